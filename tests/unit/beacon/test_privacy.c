/* SPDX-License-Identifier: Apache-2.0 */
/* enrich with the settings of config/privacy.h: what is left out of a beacon, with pinned output, and
 * that no label is lost or forged by that. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/text.h"
#include "beacon/enrich.h"
#include "beacon/json.h"

/* The fewest labels: what is stamped is short. */
static struct labels_app apps[] = {{VIEW_LITERAL("a"), VIEW_LITERAL("\"a\""), VIEW_LITERAL("9")}};
static const struct labels labels = {
	.service_name = VIEW_LITERAL("a"),
	.apps = apps,
	.app_count = 1,
	.namespace_json = VIEW_LITERAL("\"\""),
	.environment_json = VIEW_LITERAL("\"\""),
	.version_json = VIEW_LITERAL("\"\""),
};

#define APP  "{\"name\":\"a\",\"namespace\":\"\",\"environment\":\"\"}"
#define META "\"meta\":{\"app\":" APP "}"

#define LIST(...)                                                                  \
	{                                                                          \
		(struct view[]){__VA_ARGS__},                                      \
			sizeof((struct view[]){__VA_ARGS__}) / sizeof(struct view) \
	}

struct result {
	enum verdict verdict;
	struct beacon_counts counts;
	char *text; /* free() it */
};

/* The body is a copy that ends where its memory ends. */
static struct result run(const struct privacy *privacy, const char *in)
{
	struct enricher *enricher = enricher_new(&labels, privacy);
	size_t len = strlen(in), offset;
	char *body = malloc(len + 1);
	struct result result;
	const char *detail;
	struct buf out;

	assert_non_null(enricher);
	assert_non_null(body);
	memcpy(body, in, len);
	buf_init(&out, 16 << 20, NULL);
	result.verdict =
		enrich(enricher, (struct view){body, len}, &out, &result.counts, &offset, &detail);
	if (result.verdict == VERDICT_OK)
		assert_int_equal(buf_append(&out, "", 1), BUF_OK);
	result.text = out.data;
	enricher_free(enricher);
	free(body);
	return result;
}

static void check(const struct privacy *privacy, const char *in, const char *out)
{
	struct result result = run(privacy, in);

	assert_int_equal(result.verdict, VERDICT_OK);
	assert_string_equal(result.text, out);
	free(result.text);
}

/* ---- exceptions ---- */

#define EXCEPTIONS(list) "{" META ",\"exceptions\":[" list "]}"
#define THROWN(file)                                                                \
	"{\"value\":\"v\",\"stacktrace\":{\"frames\":[{\"filename\":\"" file "\"}," \
	"{\"filename\":\"https://shop.example/a.js\"}]}}"

static const struct privacy without_extensions = {.drop_extension_errors = SWITCH_ON};

static void test_extension_error__first_file_decides__removed(void **state)
{
	static const char *const extensions[] = {
		THROWN("chrome-extension://abc/x.js"),
		THROWN("moz-extension://abc/x.js"),
		THROWN("safari-extension://abc/x.js"),
		THROWN("safari-web-extension://abc/x.js"),
		THROWN("webkit-masked-url://hidden/"),
		THROWN("chrome\\u002dextension:\\/\\/abc/x.js"),
		"{\"Stacktrace\":{\"FRAMES\":[{},null,7,{\"filename\":\"<anonymous>\"},"
		"{\"filename\":\"[native code]\"},{\"FileName\":\"chrome-extension://a\"}]}}",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(extensions); i++) {
		char in[1024];

		snprintf(in, sizeof(in), EXCEPTIONS("{\"value\":\"1\"} , %s,{\"value\":\"2\"}"),
			 extensions[i]);
		check(&without_extensions, in, EXCEPTIONS("{\"value\":\"1\"} , {\"value\":\"2\"}"));
	}
}

static void test_extension_error__another_file_before_it__stays(void **state)
{
	static const char *const others[] = {
		EXCEPTIONS("{\"value\":\"chrome-extension://a\"}"),
		EXCEPTIONS("{\"stacktrace\":{\"frames\":[{\"filename\":\"/a.js\"},"
			   "{\"filename\":\"chrome-extension://a\"}]}}"),
		EXCEPTIONS("{\"stacktrace\":{\"frames\":[{\"filename\":\"<anonymous>\"}]}}"),
		EXCEPTIONS("{\"stacktrace\":{\"frames\":\"chrome-extension:\"}},null,1,[]"),
		EXCEPTIONS("{\"stacktrace\":{\"frames\":[{\"function\":\"chrome-extension:\"}]}}"),
		EXCEPTIONS(
			"{\"stacktrace\":{\"frames\":[{\"filename\":\"x chrome-extension:\"}]}}"),
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(others); i++)
		check(&without_extensions, others[i], others[i]);
}

static void test_dropped_error__value_contains_a_text__removed(void **state)
{
	const struct privacy privacy = {.drop_errors = LIST(VIEW_LITERAL("ResizeObserver loop"),
							    VIEW_LITERAL("na\xc3\xafve"))};

	(void)state;
	check(&privacy,
	      EXCEPTIONS(
		      "{\"value\":\"a ResizeObserver loop b\"},{\"value\":\"resizeobserver loop\"},"
		      "{\"Value\":\"na\\u00efve\"},{\"type\":\"ResizeObserver loop\"}"),
	      EXCEPTIONS("{\"value\":\"resizeobserver loop\"},{\"type\":\"ResizeObserver loop\"}"));
	check(&privacy, EXCEPTIONS("{\"value\":\"ResizeObserver loo\"},{\"value\":7}"),
	      EXCEPTIONS("{\"value\":\"ResizeObserver loo\"},{\"value\":7}"));
}

/* Before, in and behind 16 KiB, written as it is and with an escape. */
static void test_dropped_error__text_far_into_the_value__not_found(void **state)
{
	const struct privacy privacy = {.drop_errors = LIST(VIEW_LITERAL("needle"))};
	static const struct {
		int before;
		bool found;
	} rows[] = {{0, true}, {16384 - 6 - 4, true}, {16384, false}};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows) * 2; i++) {
		char *in = malloc(40000);
		struct result result;

		snprintf(in, 40000, EXCEPTIONS("{\"value\":\"%*sneedle%s\"}"), rows[i / 2].before,
			 "", i % 2 ? "\\n" : "");
		result = run(&privacy, in);
		assert_int_equal(result.counts.dropped_errors, rows[i / 2].found);
		free(result.text);
		free(in);
	}
}

static void test_counts__exceptions_left_out__by_reason(void **state)
{
	const struct privacy privacy = {.drop_extension_errors = SWITCH_ON,
					.drop_errors = LIST(VIEW_LITERAL("v"))};
	struct result result =
		run(&privacy, EXCEPTIONS("{\"value\":\"w\"},{\"value\":\"v\"}," THROWN(
				      "moz-extension://a") "," THROWN("https://a")));

	(void)state;
	assert_int_equal(result.counts.exceptions, 1);
	assert_int_equal(result.counts.extension_errors, 1);
	assert_int_equal(result.counts.dropped_errors, 2);
	assert_false(result.counts.left_out);
	free(result.text);
}

static void test_left_out__last_item_removed__and_only_then(void **state)
{
	const struct privacy privacy = {.drop_errors = LIST(VIEW_LITERAL("noise"))};
	static const struct {
		const char *in;
		bool left_out;
	} rows[] = {
		{EXCEPTIONS("{\"value\":\"noise\"}"), true},
		{"{\"exceptions\":[{\"value\":\"noise\"}],\"logs\":[],\"traces\":{}}", true},
		{"{\"logs\":[{}],\"exceptions\":[{\"value\":\"noise\"}]}", false},
		{EXCEPTIONS("{\"value\":\"noise\"},{}"), false},
		{EXCEPTIONS(""), false},
		{"{}", false},
		/* A span with bad ids is no policy of the operator's. */
		{"{\"traces\":{\"resourceSpans\":[{\"scopeSpans\":[{\"spans\":[{}]}]}]}}", false},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct result result = run(&privacy, rows[i].in);

		if (result.verdict != VERDICT_OK || result.counts.left_out != rows[i].left_out)
			fail_msg("%s", rows[i].in);
		free(result.text);
	}
}

/* What runs ahead must not hide what is wrong, wherever the exception ends. */
static void test_exceptions__cut_anywhere__rejected(void **state)
{
	static const char whole[] = EXCEPTIONS(THROWN("chrome-extension://abc/x.js"));
	const struct privacy privacy = {.drop_extension_errors = SWITCH_ON,
					.drop_errors = LIST(VIEW_LITERAL("v"))};
	char in[sizeof(whole)];

	(void)state;
	for (size_t n = 0; n + 1 < sizeof(whole); n++) {
		struct result result;

		snprintf(in, sizeof(in), "%.*s", (int)n, whole);
		result = run(&privacy, in);
		assert_int_equal(result.verdict, VERDICT_BAD_JSON);
		free(result.text);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_extension_error__first_file_decides__removed),
		cmocka_unit_test(test_extension_error__another_file_before_it__stays),
		cmocka_unit_test(test_dropped_error__value_contains_a_text__removed),
		cmocka_unit_test(test_dropped_error__text_far_into_the_value__not_found),
		cmocka_unit_test(test_counts__exceptions_left_out__by_reason),
		cmocka_unit_test(test_left_out__last_item_removed__and_only_then),
		cmocka_unit_test(test_exceptions__cut_anywhere__rejected),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
