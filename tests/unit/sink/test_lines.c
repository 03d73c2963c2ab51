/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/text.h"
#include "sink/lines.h"
#include "sink/logfmt.h"

/*
 * The expected lines were compared with those of the receiver's own payload package and Go's logfmt
 * encoder; faro-sink must stay equal to them byte for byte.
 */

#define ZERO_TIME "timestamp=\"0001-01-01 00:00:00 +0000 UTC\" "
#define META_END  " browser_mobile=false\n"

enum {
	OUTPUT_BYTES = 1 << 20
};

struct line_case {
	const char *what, *beacon, *lines;
};

static void check_lines(const struct line_case *cases, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		struct payload payload;
		char problem[PROBLEM_MAX];
		struct buf out;

		buf_init(&out, OUTPUT_BYTES, NULL);
		if (!payload_parse(&payload, view_of(cases[i].beacon), problem))
			fail_msg("%s: refused: %s", cases[i].what, problem);
		if (!lines_write(&out, &payload) || buf_append(&out, "", 1) != BUF_OK)
			fail_msg("%s: the buffer is full", cases[i].what);
		if (strcmp(out.data, cases[i].lines) != 0)
			fail_msg("%s:\n got: %s want: %s", cases[i].what, out.data, cases[i].lines);
		buf_release(&out);
		payload_release(&payload);
	}
}

#define CHECK_LINES(cases) check_lines(cases, sizeof(cases) / sizeof((cases)[0]))

static void test_lines__escapes_that_cjson_refuses_or_cuts_at__are_read(void **state)
{
	static const struct line_case cases[] = {
		{"half of a pair at the end of a string, as a browser's substring() leaves it",
		 "{\"logs\":[{\"message\":\"a\\ud83d\"}]}",
		 ZERO_TIME "kind=log message=\"a\\ufffd\"" META_END},
		{"two first halves, a second half alone, a whole pair, an escaped backslash",
		 "{\"logs\":[{\"message\":\"\\ud83d\\ud83d\\ude00 \\ude00 \\\\ud83d\"}]}",
		 ZERO_TIME
		 "kind=log message=\"\\ufffd\xf0\x9f\x98\x80 \\ufffd \\\\ud83d\"" META_END},
		{"a NUL does not end the string", "{\"logs\":[{\"message\":\"a\\u0000b\"}]}",
		 ZERO_TIME "kind=log message=\"a\\ufffdb\"" META_END},
	};

	(void)state;
	CHECK_LINES(cases);
}

static void test_lines__each_kind__as_the_receiver_writes_it(void **state)
{
	static const struct line_case cases[] = {
		{"a log with all its fields",
		 "{\"logs\":[{\"message\":\"hi "
		 "there\",\"level\":\"info\",\"context\":{\"b\":\"2\",\"a\":\"1\"},"
		 "\"timestamp\":\"2021-09-30T10:46:17.680Z\",\"trace\":{\"trace_id\":\"t\",\"span_"
		 "id\":\"s\"}}]}",
		 "timestamp=\"2021-09-30 10:46:17.68 +0000 UTC\" kind=log message=\"hi there\" "
		 "level=info "
		 "context_a=1 context_b=2 traceID=t spanID=s" META_END},
		{"an exception: the stack trace is there even when empty, and a hash of the value",
		 "{\"exceptions\":[{\"value\":\"x\"}]}",
		 ZERO_TIME
		 "kind=exception value=x stacktrace=\": x\" hash=16929150178197425425" META_END},
		{"frames, with and without a module",
		 "{\"exceptions\":[{\"type\":\"E\",\"stacktrace\":{\"frames\":["
		 "{\"function\":\"f\",\"module\":\"m\",\"filename\":\"a.js\",\"lineno\":1,"
		 "\"colno\":2},{}]}}]}",
		 ZERO_TIME
		 "kind=exception type=E stacktrace=\"E: \\n  at f (m|a.js:1:2)\\n  at  (:0:0)\" "
		 "hash=3244421341483603138" META_END},
		{"a measurement: values twice, sorted; the trace stands between",
		 "{\"measurements\":[{\"type\":\"w\",\"values\":{\"lcp\":1000000,\"fcp\":0.5},"
		 "\"context\":{\"c\":\"d\"},\"trace\":{\"trace_id\":\"t\"}}]}",
		 ZERO_TIME
		 "kind=measurement type=w fcp=0.500000 lcp=1000000.000000 traceID=t context_c=d "
		 "value_fcp=0.5 value_lcp=1e+06" META_END},
		{"an event",
		 "{\"events\":[{\"name\":\"n\",\"domain\":\"d\",\"attributes\":{\"k\":\"v\"}}]}",
		 ZERO_TIME "kind=event event_name=n event_domain=d event_data_k=v" META_END},
		{"the order of kinds is the receiver's, not the body's",
		 "{\"events\":[{}],\"logs\":[{}]}",
		 ZERO_TIME "kind=log" META_END ZERO_TIME "kind=event" META_END},
		{"all of meta",
		 "{\"logs\":[{}],\"meta\":{\"view\":{\"name\":\"v\"},\"browser\":{\"name\":\"C\","
		 "\"mobile\":true},"
		 "\"page\":{\"url\":\"u\",\"attributes\":{\"p\":\"q\"}},\"session\":{\"id\":\"i\","
		 "\"attributes\":{\"r\":\"s\"}},\"user\":{\"username\":\"w\"},\"app\":{\"name\":"
		 "\"a\","
		 "\"namespace\":\"ns\",\"environment\":\"e\",\"version\":\"1\"},\"sdk\":{"
		 "\"version\":\"2\","
		 "\"integrations\":[{\"name\":\"x\",\"version\":\"1\"},{\"name\":\"y\"}]}}}",
		 ZERO_TIME
		 "kind=log sdk_version=2 sdk_integrations=x:1,y: app_name=a app_namespace=ns "
		 "app_version=1 app_environment=e user_username=w session_id=i session_attr_r=s "
		 "page_url=u page_attr_p=q browser_name=C browser_mobile=true view_name=v\n"},
		{"nothing at all", "{}", ""},
		{"null is an empty beacon", "null", ""},
	};

	(void)state;
	CHECK_LINES(cases);
}

static void test_lines__hostile_names_and_texts__as_go_writes_them(void **state)
{
	static const struct line_case cases[] = {
		{"a value named kind takes the field's place; value_kind stays",
		 "{\"measurements\":[{\"values\":{\"kind\":1}}]}",
		 ZERO_TIME "kind=1.000000 value_kind=1" META_END},
		{"meta wins over a value of the same name, in the value's place",
		 "{\"measurements\":[{\"values\":{\"app_name\":1}}],\"meta\":{\"app\":{\"name\":"
		 "\"a\"}}}",
		 ZERO_TIME "kind=measurement app_name=a value_app_name=1" META_END},
		{"a key with nothing left of it loses its line, not the next one",
		 "{\"measurements\":[{\"values\":{\" = \":1}},{}]}",
		 ZERO_TIME "kind=measurement" META_END},
		{"keys drop what they cannot hold",
		 "{\"logs\":[{\"context\":{\"a =\\\"\\u007f\\ufffdb\":\"x\"}}]}",
		 ZERO_TIME "kind=log context_ab=x" META_END},
		{"escapes", "{\"logs\":[{\"message\":\"\\n\\r\\t\\\"\\\\\\u0001\\u007f\\ufffd\"}]}",
		 ZERO_TIME "kind=log message=\"\\n\\r\\t\\\"\\\\\\u0001\\u007f\\ufffd\"" META_END},
		{"bytes that are not UTF-8", "{\"logs\":[{\"message\":\"\xff\xc3\xa9\"}]}",
		 ZERO_TIME "kind=log message=\"\\ufffd\xc3\xa9\"" META_END},
		{"a backslash alone needs no quotes", "{\"logs\":[{\"message\":\"a\\\\b\"}]}",
		 ZERO_TIME "kind=log message=a\\b" META_END},
		{"the text null is quoted", "{\"logs\":[{\"message\":\"null\"}]}",
		 ZERO_TIME "kind=log message=\"null\"" META_END},
		{"empty values are left out",
		 "{\"logs\":[{\"message\":\"\",\"context\":{\"a\":\"\",\"b\":null}}]}",
		 ZERO_TIME "kind=log" META_END},
		{"of equal keys in a map the last wins",
		 "{\"logs\":[{\"context\":{\"a\":\"1\",\"a\":\"2\"}}]}",
		 ZERO_TIME "kind=log context_a=2" META_END},
	};

	(void)state;
	CHECK_LINES(cases);
}

static void test_lines__folded_and_repeated_names__as_go_decodes_them(void **state)
{
	static const struct line_case cases[] = {
		{"other case", "{\"LOGS\":[{\"Message\":\"m\"}]}",
		 ZERO_TIME "kind=log message=m" META_END},
		{"long s and Kelvin sign",
		 "{\"log\xc5\xbf\":[{}],\"me\xe2\x84\xaa"
		 "a\":1}",
		 ZERO_TIME "kind=log" META_END},
		{"a repeated object merges, its scalars replace",
		 "{\"logs\":[{}],\"meta\":{\"app\":{\"name\":\"a\",\"version\":\"1\"}},\"meta\":{"
		 "\"app\":{\"name\":\"b\"}}}",
		 ZERO_TIME "kind=log app_name=b app_version=1" META_END},
		{"a repeated list merges by place and has the later length",
		 "{\"logs\":[{\"message\":\"a\",\"level\":\"x\"},{}],\"logs\":[{\"message\":\"b\"}]"
		 "}",
		 ZERO_TIME "kind=log message=b level=x" META_END},
		{"a repeated map merges",
		 "{\"logs\":[{\"context\":{\"a\":\"1\",\"b\":\"1\"},\"context\":{\"a\":\"2\"}}]}",
		 ZERO_TIME "kind=log context_a=2 context_b=1" META_END},
		{"null empties a list", "{\"logs\":[{}],\"logs\":null}", ""},
		{"null leaves an object as it is",
		 "{\"logs\":[{}],\"meta\":{\"app\":{\"name\":\"a\"}},\"meta\":null}",
		 ZERO_TIME "kind=log app_name=a" META_END},
		{"a null element is an empty item", "{\"logs\":[null]}",
		 ZERO_TIME "kind=log" META_END},
		{"unknown names are dropped", "{\"logs\":[{\"x\":[1]}],\"y\":{}}",
		 ZERO_TIME "kind=log" META_END},
	};

	(void)state;
	CHECK_LINES(cases);
}

static void test_lines__timestamps__as_go_prints_them(void **state)
{
	static const struct {
		const char *in, *out;
	} times[] = {
		{"2024-02-29T23:59:59Z", "2024-02-29 23:59:59 +0000 UTC"},
		{"2021-09-30T10:46:17.000Z", "2021-09-30 10:46:17 +0000 UTC"},
		{"2021-09-30T10:46:17.1234567899-05:30",
		 "2021-09-30 10:46:17.123456789 -0530 -0530"},
		{"2021-09-30T10:46:17.01+02:00", "2021-09-30 10:46:17.01 +0200 +0200"},
		{"2021-09-30T10:46:17-00:00", "2021-09-30 10:46:17 +0000 UTC"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(times); i++) {
		char beacon[128], line[128];
		struct line_case one = {times[i].in, beacon, line};

		snprintf(beacon, sizeof(beacon), "{\"logs\":[{\"timestamp\":\"%s\"}]}",
			 times[i].in);
		snprintf(line, sizeof(line), "timestamp=\"%s\" kind=log" META_END, times[i].out);
		check_lines(&one, 1);
	}
}

static void test_lines__spans__one_line_each(void **state)
{
	static const struct line_case cases[] = {
		{"all fields",
		 "{\"traces\":{\"resourceSpans\":[{\"resource\":{\"attributes\":[{\"key\":"
		 "\"service.name\","
		 "\"value\":{\"stringValue\":\"my "
		 "app\"}},{\"key\":\"n\",\"value\":{\"intValue\":3}}]},"
		 "\"scopeSpans\":[{\"scope\":{\"name\":\"sc\"},\"spans\":[{\"traceId\":"
		 "\"0123456789abcdef0123456789abcdef\",\"spanId\":\"0123456789abcdef\",\"name\":"
		 "\"HTTP GET\","
		 "\"startTimeUnixNano\":\"1000000000\",\"endTimeUnixNano\":\"1001500000\"}]}]}]}}",
		 "kind=span trace_id=0123456789abcdef0123456789abcdef span_id=0123456789abcdef "
		 "name=\"HTTP GET\" resource_service.name=\"my app\" resource_n=3 scope=sc "
		 "duration=1.500ms\n"},
		{"snake case, and repeats are appended",
		 "{\"traces\":{\"resource_spans\":[{\"scope_spans\":[{\"spans\":[{\"name\":\"a\"}]}"
		 "]}],"
		 "\"resourceSpans\":[{\"resource\":{\"attributes\":[{\"key\":\"k\",\"value\":{"
		 "\"stringValue\":\"1\"}}]},"
		 "\"resource\":{\"attributes\":[{\"key\":\"k\",\"value\":{\"stringValue\":\"2\"}}]}"
		 ","
		 "\"scopeSpans\":[{\"spans\":[{\"name\":\"b\"}]}]}]}}",
		 "kind=span name=a\nkind=span name=b resource_k=1 resource_k=2\n"},
		{"repeated traces are replaced",
		 "{\"traces\":{\"resourceSpans\":[{\"scopeSpans\":[{\"spans\":[{}]}]}]},\"traces\":"
		 "{}}",
		 ""},
		{"traces of null", "{\"traces\":null}", ""},
	};

	(void)state;
	CHECK_LINES(cases);
}

static void test_lines__beyond_the_maximum__whole_lines_only(void **state)
{
	static const char beacon[] = "{\"logs\":[{\"message\":\"1\"},{\"message\":\"2\"}]}";
	struct payload payload;
	char problem[PROBLEM_MAX];
	size_t whole;

	(void)state;
	assert_true(payload_parse(&payload, VIEW_LITERAL(beacon), problem));
	whole = 2 * strlen(ZERO_TIME "kind=log message=1" META_END);
	for (size_t max = whole - 1; max <= whole + 1; max++) {
		struct buf out;

		buf_init(&out, max, NULL);
		assert_int_equal(lines_write(&out, &payload), max >= whole);
		assert_int_equal(out.len, max >= whole ? whole : whole / 2);
		buf_release(&out);
	}
	payload_release(&payload);
}

#define TRACES(span) \
	"{\"traces\":{\"resourceSpans\":[{\"scopeSpans\":[{\"spans\":[{" span "}]}]}]}}"

static void test_parse__what_the_receiver_refuses__refused(void **state)
{
	static const char *const refused[] = {
		"",                                                /* nothing */
		" ",                                               /* white space */
		"[]",                                              /* not an object */
		"1",                                               /* not an object */
		"\"x\"",                                           /* not an object */
		"{",                                               /* cut short */
		"{\"logs\":[{}]",                                  /* cut short */
		"\xef\xbb\xbf{}",                                  /* a BOM */
		"{\"logs\":{}}",                                   /* a list is wanted */
		"{\"logs\":[1]}",                                  /* an object is wanted */
		"{\"meta\":[]}",                                   /* an object is wanted */
		"{\"meta\":{\"app\":\"x\"}}",                      /* an object is wanted */
		"{\"meta\":{\"app\":{\"name\":1}}}",               /* a string is wanted */
		"{\"meta\":{\"browser\":{\"mobile\":\"false\"}}}", /* a boolean is wanted */
		"{\"logs\":[{\"context\":{\"a\":1}}]}",            /* a string is wanted */
		"{\"logs\":[{\"context\":[]}]}",                   /* a map is wanted */
		"{\"measurements\":[{\"values\":{\"a\":\"1\"}}]}", /* a number is wanted */
		"{\"measurements\":[{\"values\":{\"a\":1e999}}]}", /* beyond a double */
		"{\"exceptions\":[{\"stacktrace\":{\"frames\":[{\"lineno\":\"1\"}]}}]}", /* a number
											  */
		"{\"exceptions\":[{\"stacktrace\":{\"frames\":[{\"lineno\":1.5}]}}]}",   /* whole */
		"{\"logs\":[{\"timestamp\":1}]}",                             /* a string */
		"{\"logs\":[{\"timestamp\":\"\"}]}",                          /* a time */
		"{\"logs\":[{\"timestamp\":\"2021-02-29T00:00:00Z\"}]}",      /* no such day */
		"{\"logs\":[{\"timestamp\":\"2021-13-01T00:00:00Z\"}]}",      /* no such month */
		"{\"logs\":[{\"timestamp\":\"2021-09-30T24:00:00Z\"}]}",      /* no such hour */
		"{\"logs\":[{\"timestamp\":\"2021-09-30T10:46:17\"}]}",       /* no zone */
		"{\"logs\":[{\"timestamp\":\"2021-09-30T10:46:17.Z\"}]}",     /* no fraction */
		"{\"logs\":[{\"timestamp\":\"2021-09-30 10:46:17Z\"}]}",      /* no T */
		"{\"logs\":[{\"timestamp\":\"2021-09-30T10:46:17+24:00\"}]}", /* no such zone */
		"{\"traces\":[]}",                                            /* an object */
		"{\"traces\":{\"resourceSpans\":{}}}",                        /* a list */
		"{\"traces\":{\"resourceSpans\":[1]}}",                       /* an object */
		TRACES("\"traceId\":\"xy\""),                                 /* hexadecimal */
		TRACES("\"traceId\":\"0123\""),                               /* 32 digits */
		TRACES("\"spanId\":1"),                                       /* a string */
		TRACES("\"name\":1"),                                         /* a string */
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(refused); i++) {
		struct payload payload;
		char problem[PROBLEM_MAX] = "";

		if (payload_parse(&payload, view_of(refused[i]), problem))
			fail_msg("taken: %s", refused[i]);
		assert_string_not_equal(problem, "");
	}
}

static void test_parse__garbage_behind_the_object__ignored(void **state)
{
	struct payload payload;
	char problem[PROBLEM_MAX];

	(void)state;
	assert_true(payload_parse(&payload, VIEW_LITERAL("{\"logs\":[{}]} {]x"), problem));
	assert_int_equal(payload.counts[SINK_LOG], 1);
	payload_release(&payload);
}

static void test_parse__deep_nesting__refused_without_a_crash(void **state)
{
	enum {
		DEPTH = 1000000
	};
	char *deep = malloc(DEPTH);
	struct payload payload;
	char problem[PROBLEM_MAX];

	(void)state;
	memset(deep, '[', DEPTH);
	assert_false(payload_parse(&payload, (struct view){deep, DEPTH}, problem));
	memcpy(deep, "{\"a\":", 5);
	assert_false(payload_parse(&payload, (struct view){deep, DEPTH}, problem));
	free(deep);
}

static void test_float__as_go_prints_it(void **state)
{
	static const struct {
		double value;
		const char *text;
	} cases[] = {
		{0, "0"},
		{-0.0, "-0"},
		{1, "1"},
		{0.1, "0.1"},
		{100000, "100000"},
		{999999.5, "999999.5"},
		{1e6, "1e+06"},
		{1234567, "1.234567e+06"},
		{1e21, "1e+21"},
		{0.0001, "0.0001"},
		{0.00001, "1e-05"},
		{0.00012345, "0.00012345"},
		{-2.5e-10, "-2.5e-10"},
		{1.5e300, "1.5e+300"},
		{0.1 + 0.2, "0.30000000000000004"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		char text[LOGFMT_FLOAT_MAX];

		logfmt_float(text, cases[i].value);
		assert_string_equal(text, cases[i].text);
	}
}

static void test_kv__many_fields__order_and_last_value_kept(void **state)
{
	enum {
		FIELDS = 5000
	};
	char key[16], value[16], expected[48];
	struct buf out;
	struct kv kv;

	(void)state;
	kv_init(&kv, 1 << 20);
	buf_init(&out, 1 << 20, NULL);
	for (int round = 0; round < 2; round++) {
		for (int i = 0; i < FIELDS; i++) {
			snprintf(key, sizeof(key), "k%d", i);
			snprintf(value, sizeof(value), "%d", round);
			kv_add(&kv, key, value);
		}
	}
	assert_int_equal(kv_write(&kv, &out), LOGFMT_OK);
	assert_memory_equal(out.data, "k0=1 k1=1 k2=1 ", 15);
	snprintf(expected, sizeof(expected), " k%d=1\n", FIELDS - 1);
	assert_memory_equal(out.data + out.len - strlen(expected), expected, strlen(expected));
	kv_clear(&kv);
	buf_clear(&out);
	kv_add(&kv, "k1", "again");
	assert_int_equal(kv_write(&kv, &out), LOGFMT_OK);
	assert_int_equal(out.len, strlen("k1=again\n"));
	buf_release(&out);
	kv_release(&kv);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_lines__escapes_that_cjson_refuses_or_cuts_at__are_read),
		cmocka_unit_test(test_lines__each_kind__as_the_receiver_writes_it),
		cmocka_unit_test(test_lines__hostile_names_and_texts__as_go_writes_them),
		cmocka_unit_test(test_lines__folded_and_repeated_names__as_go_decodes_them),
		cmocka_unit_test(test_lines__timestamps__as_go_prints_them),
		cmocka_unit_test(test_lines__spans__one_line_each),
		cmocka_unit_test(test_lines__beyond_the_maximum__whole_lines_only),
		cmocka_unit_test(test_parse__what_the_receiver_refuses__refused),
		cmocka_unit_test(test_parse__garbage_behind_the_object__ignored),
		cmocka_unit_test(test_parse__deep_nesting__refused_without_a_crash),
		cmocka_unit_test(test_float__as_go_prints_it),
		cmocka_unit_test(test_kv__many_fields__order_and_last_value_kept),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
