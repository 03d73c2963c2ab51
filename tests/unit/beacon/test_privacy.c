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

#define ITEM "{\"key\":\"service.name\"}"

/* The fewest labels: what is stamped is short. */
static struct labels_app apps[] = {{VIEW_LITERAL("a"), VIEW_LITERAL("\"a\""), VIEW_LITERAL(ITEM)}};
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
	result.verdict = enrich(enricher, (struct view){body, len}, NULL, &out, &result.counts,
				&offset, &detail);
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
		("{\"Stacktrace\":{\"FRAMES\":[{},null,7,{\"filename\":\"<anonymous>\"},"
		 "{\"filename\":\"[native code]\"},{\"FileName\":\"chrome-extension://a\"}]}}"),
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

/* ---- fields ---- */

struct field_row {
	const char *path, *in, *out;
	uint32_t fields;
};

static void check_fields(const struct field_row *rows, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		struct view path = view_of(rows[i].path);
		const struct privacy privacy = {.drop_fields = {&path, 1}};
		struct result result = run(&privacy, rows[i].in);

		if (result.verdict != VERDICT_OK || strcmp(result.text, rows[i].out) != 0)
			fail_msg("%s of %s became %s", path.ptr, rows[i].in, result.text);
		if (result.counts.dropped_fields != rows[i].fields)
			fail_msg("%s of %s: %u fields", path.ptr, rows[i].in,
				 result.counts.dropped_fields);
		free(result.text);
	}
}

#define LOGS(items)      "{" META ",\"logs\":[" items "]}"
#define CONTEXT(members) LOGS("{\"context\":{" members "},\"message\":\"m\"}")
#define META_OF(members) "{\"meta\":{" members "\"app\":" APP "}}"

static void test_dropped_field__any_place_in_its_object__removed_with_its_comma(void **state)
{
	static const struct field_row rows[] = {
		{"logs[].context.token", CONTEXT("\"token\":1"), CONTEXT(""), 1},
		{"logs[].context.token", CONTEXT("\"token\":1,\"a\":2"), CONTEXT("\"a\":2"), 1},
		{"logs[].context.token", CONTEXT("\"a\":2 , \"token\" : [1,{}] "),
		 CONTEXT("\"a\":2  "), 1},
		{"logs[].context.token", CONTEXT("\"a\":2,\"token\":1,\"b\":3"),
		 CONTEXT("\"a\":2,\"b\":3"), 1},
		{"logs[].context.token", CONTEXT("\"token\":1,\"a\":2,\"token\":3,\"token\":4"),
		 CONTEXT("\"a\":2"), 3},
		{"logs[].context", CONTEXT("\"token\":1"), LOGS("{\"message\":\"m\"}"), 1},
		{"meta.user.email",
		 META_OF("\"user\":{\"id\":\"i\",\"email\":\"e\",\"name\":\"n\"},"),
		 META_OF("\"user\":{\"id\":\"i\",\"name\":\"n\"},"), 1},
		{"meta.user", META_OF("\"user\":{},"), META_OF(""), 1},
		{"measurements[].values.x",
		 "{" META ",\"measurements\":[{\"values\":{\"x\":1,\"y\":2}}]}",
		 "{" META ",\"measurements\":[{\"values\":{\"y\":2}}]}", 1},
		{"events[].attributes[][].a",
		 "{" META ",\"events\":[{\"attributes\":[[{\"a\":1}],{\"a\":1}]}]}",
		 "{" META ",\"events\":[{\"attributes\":[[{}],{\"a\":1}]}]}", 1},
	};

	(void)state;
	check_fields(rows, ARRAY_LEN(rows));
}

static void test_dropped_field__beside_labels__labels_are_added_as_ever(void **state)
{
	static const struct field_row rows[] = {
		{"meta.app.release", "{\"meta\":{\"app\":{\"release\":1}}}", "{" META "}", 1},
		{"meta.app.release", "{\"meta\":{\"app\":{\"name\":\"a\",\"release\":1}}}",
		 "{" META "}", 1},
		{"meta.app.release",
		 "{\"meta\":{\"app\":{\"release\":1,\"bundleId\":2,\"release\":3}}}",
		 "{\"meta\":{\"app\":{\"bundleId\":2,\"name\":\"a\",\"namespace\":\"\","
		 "\"environment\":\"\"}}}",
		 2},
		{"meta.user", "{\"meta\":{\"user\":{}}}", "{" META "}", 1},
		{"logs", "{\"logs\":[{}]}", "{" META "}", 1},
		{"logs", "{\"logs\":[{}],\"events\":[]}", "{\"events\":[]," META "}", 1},
		{"traces.resourceSpans[].scopeSpans",
		 "{" META ",\"traces\":{\"resourceSpans\":[{\"scope_spans\":[]}]}}",
		 "{" META ",\"traces\":{\"resourceSpans\":[{\"resource\":{\"attributes\":[" ITEM
		 "]}}]}}",
		 1},
		{"meta.session.attributes.a",
		 META_OF("\"session\":{\"attributes\":{\"a\":\"1\",\"b\":\"2\"}},"),
		 META_OF("\"session\":{\"attributes\":{\"b\":\"2\"}},"), 1},
	};

	(void)state;
	check_fields(rows, ARRAY_LEN(rows));
}

#define TRACE_ID "\"traceId\":\"0123456789abcdef0123456789abcdef\""
#define SPAN_ID  "\"spanId\":\"0123456789abcdef\""
#define SPANS(members)                                                                        \
	"{" META ",\"traces\":{\"resourceSpans\":[{\"resource\":{\"attributes\":[" ITEM "]}," \
	"\"scopeSpans\":[{\"spans\":[{" TRACE_ID "," SPAN_ID members "}]}]}]}}"

static void test_dropped_field__spelling__as_the_receiver_reads_it(void **state)
{
	static const struct field_row rows[] = {
		{"logs[].context.token", CONTEXT("\"t\\u006fken\":1"), CONTEXT(""), 1},
		{"logs[].context.token", CONTEXT("\"TOKEN\":1,\"to\u212aen\":2"), CONTEXT(""), 2},
		{"logs[].context.token", CONTEXT("\"toke\":1,\"tokens\":2,\"\":3"),
		 CONTEXT("\"toke\":1,\"tokens\":2,\"\":3"), 0},
		{"logs[].context.userId", CONTEXT("\"user_id\":1,\"USERID\":2,\"user-id\":3"),
		 CONTEXT("\"user-id\":3"), 2},
		{"logs[].context.user_id", CONTEXT("\"user_id\":1,\"userId\":2"),
		 CONTEXT("\"userId\":2"), 1},
		{"logs[].context.http\\.url", CONTEXT("\"http.url\":1,\"http\":{\"url\":2}"),
		 CONTEXT("\"http\":{\"url\":2}"), 1},
		{"logs[].context.stra\u00dfe", CONTEXT("\"stra\\u00dfe\":1,\"stra\u00dfe\":2"),
		 CONTEXT(""), 2},
		{"LOGS[].context", CONTEXT("\"a\":1"), LOGS("{\"message\":\"m\"}"), 1},
	};

	(void)state;
	check_fields(rows, ARRAY_LEN(rows));
}

static void test_dropped_field__of_spans__removed(void **state)
{
	static const char events[] = "traces.resourceSpans[].scopeSpans[].spans[].events";
	const struct field_row rows[] = {
		{events, SPANS(",\"events\":[{\"name\":1}],\"name\":\"n\""),
		 SPANS(",\"name\":\"n\""), 1},
		{"traces.resourceSpans[].scopeSpans[].spans[].attributes[].value",
		 SPANS(",\"attributes\":[{\"key\":\"k\",\"value\":{}}]"),
		 SPANS(",\"attributes\":[{\"key\":\"k\"}]"), 1},
		{"traces.resourceSpans[].scopeSpans[].spans[].links[].attributes",
		 SPANS(",\"links\":[{" TRACE_ID ",\"attributes\":[]}]"),
		 SPANS(",\"links\":[{" TRACE_ID "}]"), 1},
	};

	(void)state;
	check_fields(rows, ARRAY_LEN(rows));
}

/* What is dropped is not there for the rules: a span that loses its id is a bad one, and a name that
 * comes twice, or misspelled, is not ambiguous. */
static void test_dropped_field__before_the_rules(void **state)
{
	struct view path = VIEW_LITERAL("traces.resourceSpans[].scopeSpans[].spans[].spanId");
	const struct privacy privacy = {.drop_fields = {&path, 1}};
	struct result result = run(&privacy, SPANS(""));

	(void)state;
	assert_int_equal(result.counts.bad_spans, 1);
	free(result.text);
	path = VIEW_LITERAL("meta.user");
	result = run(&privacy, META_OF("\"user\":{},\"USER\":{},\"user\":1,"));
	assert_int_equal(result.verdict, VERDICT_OK);
	assert_string_equal(result.text, META_OF(""));
	free(result.text);
	result = run(&privacy, META_OF("\"user\":{},\"page\":{},\"page\":{},"));
	assert_int_equal(result.verdict, VERDICT_AMBIGUOUS_KEY);
	free(result.text);
}

static void test_dropped_fields__several_paths__each_removed(void **state)
{
	const struct privacy privacy = {
		.drop_fields = LIST(VIEW_LITERAL("logs[].context.resource_id"),
				    VIEW_LITERAL("logs[].context.resourceId.deep"),
				    VIEW_LITERAL("logs[].message"), VIEW_LITERAL("logs[].a.b.c"),
				    VIEW_LITERAL("logs[].a.b.d"))};

	(void)state;
	check(&privacy,
	      LOGS("{\"message\":1,\"context\":{\"resourceId\":1,\"resource_id\":2},"
		   "\"a\":{\"b\":{\"c\":1,\"d\":2,\"e\":3}}}"),
	      LOGS("{\"context\":{},\"a\":{\"b\":{\"e\":3}}}"));
}

static void test_left_out__last_kind_dropped__and_only_if_it_had_items(void **state)
{
	static const struct {
		const char *path, *in;
		bool left_out;
	} rows[] = {
		{"logs", "{\"logs\":[{}]}", true},
		{"logs", "{\"logs\":[]}", false},
		{"logs", "{\"logs\":null}", false},
		{"logs", "{\"logs\":[{}],\"events\":[{}]}", false},
		{"traces", SPANS(""), true},
		{"traces.resourceSpans[].scopeSpans[].spans", SPANS(""), true},
		{"meta.user", "{\"meta\":{\"user\":{\"a\":1}}}", false},
		{"logs[].context", "{\"logs\":[{\"context\":{\"a\":1}}]}", false},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct view path = view_of(rows[i].path);
		const struct privacy privacy = {.drop_fields = {&path, 1}};
		struct result result = run(&privacy, rows[i].in);

		if (result.counts.left_out != rows[i].left_out)
			fail_msg("%s of %s", path.ptr, rows[i].in);
		free(result.text);
	}
}

/* ---- redaction ---- */

static struct privacy redacting(void)
{
	static struct view words[] = {VIEW_CONSTANT("secrets"), VIEW_CONSTANT("query"),
				      VIEW_CONSTANT("email")};

	return (struct privacy){.redact = {words, ARRAY_LEN(words)}};
}

/* What the rules compare, and ids, stay as they are; what they replace is not counted. */
static void test_redaction__beside_labels__changes_none(void **state)
{
	const struct privacy privacy = redacting();
	struct result result =
		run(&privacy,
		    "{\"meta\":{\"app\":{\"name\":\"/x?token=1\",\"namespace\":\"/x?token=1\","
		    "\"release\":\"/x?a\",\"version\":\"/x?token=1\",\"environment\":\"\"},"
		    "\"session\":{\"id\":\"a@b.example\",\"attributes\":{\"u\":\"a@b.example\"}},"
		    "\"geo\":\"/x?token=1\"}}");

	(void)state;
	assert_int_equal(result.verdict, VERDICT_OK);
	assert_string_equal(
		result.text,
		"{\"meta\":{\"app\":{\"name\":\"a\",\"namespace\":\"\",\"release\":\"/x?REDACTED\","
		"\"version\":\"/x?token=1\",\"environment\":\"\"},"
		"\"session\":{\"id\":\"a@b.example\",\"attributes\":{\"u\":\"REDACTED\"}}}}");
	assert_int_equal(result.counts.redactions, 2);
	free(result.text);
}

static void test_redaction__in_what_is_removed__not_counted(void **state)
{
	struct privacy privacy = redacting();
	struct view path = VIEW_LITERAL("logs[].context");
	struct result result;

	(void)state;
	privacy.drop_fields = (struct config_list){&path, 1};
	result = run(&privacy, LOGS("{\"message\":\"a@b.example\",\"context\":{\"u\":\"/?a\"}}"));
	assert_string_equal(result.text, LOGS("{\"message\":\"REDACTED\"}"));
	assert_int_equal(result.counts.redactions, 1);
	free(result.text);
}

/* More places than there are edits; and a result that is longer than the output may be. */
static void test_redaction__many_places__bounded_by_the_output_alone(void **state)
{
	enum {
		PLACES = 3 * 16384
	};
	const struct privacy privacy = redacting();
	struct enricher *enricher = enricher_new(&labels, &privacy);

	(void)state;
	for (int room = 0; room <= 1; room++) {
		size_t size = 1024 + 2 * (size_t)PLACES, n, offset, redacted;
		char *body = malloc(size);
		struct beacon_counts counts;
		const char *detail;
		struct buf out;
		enum verdict verdict;

		n = (size_t)sprintf(body, "{\"logs\":[{\"message\":\"/?");
		for (size_t i = 0; i < PLACES; i++)
			n += (size_t)sprintf(body + n, "a&");
		n += (size_t)sprintf(body + n, "\"}]," META "}");
		redacted = n + PLACES * strlen("EDACTED");
		buf_init(&out, redacted - (room ? 0 : 1), NULL);
		verdict = enrich(enricher, (struct view){body, n}, NULL, &out, &counts, &offset,
				 &detail);
		assert_int_equal(verdict, room ? VERDICT_OK : VERDICT_TOO_LARGE);
		if (room)
			assert_int_equal(counts.redactions, PLACES);
		buf_release(&out);
		free(body);
	}
	enricher_free(enricher);
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
		cmocka_unit_test(
			test_dropped_field__any_place_in_its_object__removed_with_its_comma),
		cmocka_unit_test(test_dropped_field__beside_labels__labels_are_added_as_ever),
		cmocka_unit_test(test_dropped_field__spelling__as_the_receiver_reads_it),
		cmocka_unit_test(test_dropped_field__of_spans__removed),
		cmocka_unit_test(test_dropped_field__before_the_rules),
		cmocka_unit_test(test_dropped_fields__several_paths__each_removed),
		cmocka_unit_test(test_left_out__last_kind_dropped__and_only_if_it_had_items),
		cmocka_unit_test(test_redaction__beside_labels__changes_none),
		cmocka_unit_test(test_redaction__in_what_is_removed__not_counted),
		cmocka_unit_test(test_redaction__many_places__bounded_by_the_output_alone),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
