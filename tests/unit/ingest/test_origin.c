#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/text.h"
#include "ingest/origin.h"

static struct view allowed[] = {{"https://partner.example", 23}};
static const struct config config = {.allowed_origins = {allowed, 1}};

/* What a request says about where it comes from; absent where NULL. */
struct sender {
	const char *host, *origin, *site;
	bool may_send;
};

static struct request request_of(const struct sender *sender)
{
	return (struct request){.host = view_of(sender->host),
				.origin = view_of(sender->origin),
				.sec_fetch_site = view_of(sender->site)};
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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_origin__who_may_send),
		cmocka_unit_test(test_origin__cors__for_the_allowed_origin_only),
		cmocka_unit_test(test_origin__cors__says_nothing_where_no_origin_is_allowed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
