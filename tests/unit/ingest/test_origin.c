/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include <cJSON.h>
#include <stdio.h>

#include "base/text.h"
#include "fakes/sources.h"
#include "ingest/origin.h"

static struct view allowed[] = {{"https://partner.example", 23}};
static const struct config config = {.allowed_origins = {allowed, 1}};

/* What a request says about where it comes from; absent where NULL. */
struct sender {
	const char *host, *origin, *site;
	bool may_send;
	unsigned refused; /* a variable that is too long to be anything */
};

static struct request request_of(const struct sender *sender)
{
	return (struct request){.host = view_of(sender->host),
				.origin = view_of(sender->origin),
				.sec_fetch_site = view_of(sender->site),
				.refused = sender->refused};
}

static void test_origin__who_may_send(void **state)
{
	static const struct sender rows[] = {
		{.site = "same-origin", .origin = "https://app.example", .may_send = true},
		{.site = "none", .may_send = true},
		{.site = "same-site"},
		{.site = "cross-site"},
		{.site = "something-new"},
		/* The list wins over the browser's word. */
		{.site = "cross-site", .origin = "https://partner.example", .may_send = true},
		{.site = "cross-site", .origin = "https://partner.example.evil"},
		/* Browsers without Sec-Fetch-Site. */
		{.origin = "https://app.example", .host = "app.example", .may_send = true},
		{.origin = "https://APP.example", .host = "app.example", .may_send = true},
		{.origin = "https://app.example", .host = "app.example:443", .may_send = true},
		{.origin = "http://app.example", .host = "app.example:80", .may_send = true},
		{.origin = "http://app.example:8080", .host = "app.example:8080", .may_send = true},
		/* The port got lost between browser and responder. */
		{.origin = "http://app.example:8080", .host = "app.example", .may_send = true},
		{.origin = "http://app.example:8080", .host = "app.example:8081"},
		{.origin = "https://app.example", .host = "app.example:80"},
		{.origin = "http://[::1]:8080", .host = "[::1]:8080", .may_send = true},
		{.origin = "http://[::1]", .host = "[::2]"},
		{.origin = "https://evil.example", .host = "app.example"},
		{.origin = "null", .host = "app.example"},
		{.origin = "ftp://app.example", .host = "app.example"},
		{.origin = "https://", .host = ""},
		{.origin = "https://app.example"},
		{.host = "app.example", .may_send = true}, /* neither: no browser of today */
		/* Too long is not absent. */
		{.host = "app.example", .refused = 1U << REQUEST_ORIGIN},
		{.host = "app.example", .refused = 1U << REQUEST_SEC_FETCH_SITE},
		{.host = "app.example",
		 .origin = "https://app.example",
		 .refused = 1U << REQUEST_SEC_FETCH_SITE},
		{.site = "same-origin", .refused = 1U << REQUEST_ORIGIN, .may_send = true},
		{.site = "cross-site", .refused = 1U << REQUEST_ORIGIN},
		{.origin = "https://partner.example",
		 .refused = 1U << REQUEST_SEC_FETCH_SITE,
		 .may_send = true},
		{.origin = "https://app.example", .refused = 1U << REQUEST_HOST},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		const struct request request = request_of(&rows[i]);

		if (origin_may_send(&config, &request) != rows[i].may_send)
			fail_msg("row %zu", i);
	}
}

static void test_origin__cors__for_the_allowed_origin_only(void **state)
{
	struct request request = request_of(&(struct sender){.origin = "https://partner.example"});

	(void)state;
	origin_set_cors(&config, &request);
	assert_true(view_equals(request.reply.cors_origin, allowed[0]));
	assert_true(request.reply.vary_origin);
	request = request_of(&(struct sender){.origin = "https://evil.example"});
	origin_set_cors(&config, &request);
	assert_null(request.reply.cors_origin.ptr);
	assert_true(request.reply.vary_origin);
}

static void test_origin__cors__says_nothing_where_no_origin_is_allowed(void **state)
{
	const struct config none = {.path = "/faro"};
	struct request request = request_of(&(struct sender){.origin = "https://partner.example"});

	(void)state;
	origin_set_cors(&none, &request);
	assert_null(request.reply.cors_origin.ptr);
	assert_false(request.reply.vary_origin);
}

/* What a page of another site gets: it may send only where its origin is in the list. */
static void expect_allowed(const struct config *list, const char *name, const cJSON *origins,
			   bool expected)
{
	const cJSON *origin;

	cJSON_ArrayForEach(origin, origins)
	{
		struct request request = request_of(
			&(struct sender){.site = "cross-site", .origin = origin->valuestring});

		origin_set_cors(list, &request);
		if (origin_may_send(list, &request) != expected ||
		    (request.reply.cors_origin.ptr != NULL) != expected)
			fail_msg("%s: %s is %s", name, origin->valuestring,
				 expected ? "refused" : "allowed");
	}
}

static void test_origin__cases_of_nginx_too__each(void **state)
{
	static char program[] = "faro-ingest", url[] = "--upstream-url=http://a", printing[] = "-t";
	char *argv[] = {program, url, printing, NULL};
	cJSON *file = read_cases("tests/system/origins.json");
	FILE *errors = fopen("/dev/null", "w");
	size_t count = 0;
	const cJSON *one;

	(void)state;
	setenv("OTEL_SERVICE_NAME", "shop", 1);
	setenv("OTEL_RESOURCE_ATTRIBUTES", "service.namespace=retail", 1);
	cJSON_ArrayForEach(one, cJSON_GetObjectItem(file, "cases"))
	{
		const char *list = cJSON_GetObjectItem(one, "list")->valuestring;
		bool valid = cJSON_IsTrue(cJSON_GetObjectItem(one, "valid"));
		struct config read;

		setenv("FARO_ALLOWED_ORIGINS", list, 1);
		if (config_init(&read, 3, argv, errors) != valid)
			fail_msg("%s is %s", list, valid ? "refused" : "taken");
		if (valid) {
			expect_allowed(&read, list, cJSON_GetObjectItem(one, "allows"), true);
			expect_allowed(&read, list, cJSON_GetObjectItem(one, "refuses"), false);
		}
		config_release(&read);
		count++;
	}
	assert_in_range(count, 30, 1000);
	unsetenv("FARO_ALLOWED_ORIGINS");
	fclose(errors);
	cJSON_Delete(file);
}

/* A name has at most 253 characters, and an origin 270, as in nginx's map. */
static void test_origin__longer_than_a_name_can_be__matches_no_wildcard(void **state)
{
	struct view wildcard = VIEW_LITERAL("https://*.preview.example");
	const struct config list = {.allowed_origins = {&wildcard, 1}};
	char origin[272];

	(void)state;
	for (size_t length = 269; length <= 271; length++) {
		size_t i = 8, end = length - (wildcard.len - 9);
		struct request request = {.origin = {origin, length},
					  .sec_fetch_site = VIEW_LITERAL("cross-site")};

		memcpy(origin, wildcard.ptr, 8);
		for (; i < end; i++)
			origin[i] = 'a';
		memcpy(origin + end, wildcard.ptr + 9, wildcard.len - 9);
		assert_int_equal(origin_may_send(&list, &request), length <= 270);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_origin__who_may_send),
		cmocka_unit_test(test_origin__cases_of_nginx_too__each),
		cmocka_unit_test(test_origin__longer_than_a_name_can_be__matches_no_wildcard),
		cmocka_unit_test(test_origin__cors__for_the_allowed_origin_only),
		cmocka_unit_test(test_origin__cors__says_nothing_where_no_origin_is_allowed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
