/* SPDX-License-Identifier: Apache-2.0 */
/* enrich: rule by rule with pinned output; limits, counts, refusals, failing memory. What several
 * rules do together is in test_enrich_pairs.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/text.h"
#include "beacon/enrich_check.h"
#include "beacon/enrich_labels.h"

/* ---- failing memory: linked with --wrap ---- */

void *__real_malloc(size_t n);
void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *old, size_t n);
void *__wrap_malloc(size_t n);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *old, size_t n);

static int allocations_left = -1; /* -1: as many as wanted */
static bool fails_for_ever;

static bool may_allocate(void)
{
	if (allocations_left < 0)
		return true;
	if (allocations_left == 0) {
		if (!fails_for_ever)
			allocations_left = -1;
		return false;
	}
	allocations_left--;
	return true;
}

void *__wrap_malloc(size_t n)
{
	return may_allocate() ? __real_malloc(n) : NULL;
}

void *__wrap_calloc(size_t n, size_t size)
{
	return may_allocate() ? __real_calloc(n, size) : NULL;
}

void *__wrap_realloc(void *old, size_t n)
{
	return may_allocate() ? __real_realloc(old, n) : NULL;
}

/* ---- pinned output ---- */

#define APP        "{\"name\":\"shop-web\"," APP_REST "}"
#define APP_REST   "\"namespace\":\"shop-ns\",\"environment\":\"prod\",\"version\":\"1.2.3\""
#define ATTRIBUTES "{" SESSION_MEMBERS "}"
#define META       "\"meta\":{\"app\":" APP ",\"session\":{\"attributes\":" ATTRIBUTES "}}"
#define ITEMS      ITEMS_OF("shop-web")
#define RESOURCE   "\"resource\":{\"attributes\":[" ITEMS "]}"

struct pin {
	const char *in, *out;
	uint32_t spoofed;
};

static void check_pins(const struct pin *pins, size_t count)
{
	struct enricher *enricher = enricher_new(&test_labels, NULL);
	struct buf out;

	assert_non_null(enricher);
	buf_init(&out, 1 << 20, NULL);
	for (size_t i = 0; i < count; i++) {
		struct checked checked = check_beacon(enricher, view_of(pins[i].in), &out);

		if (checked.verdict != VERDICT_OK || checked.wrong)
			fail_msg("%s: %s", pins[i].in,
				 checked.wrong ? checked.wrong : checked.detail);
		if (!view_equals((struct view){out.data, out.len}, view_of(pins[i].out)))
			fail_msg("%s\nbecame %.*s\nnot    %s", pins[i].in, (int)out.len, out.data,
				 pins[i].out);
		if (checked.counts.spoofed != pins[i].spoofed)
			fail_msg("%s: %u spoofs", pins[i].in, checked.counts.spoofed);
	}
	enricher_free(enricher);
	buf_release(&out);
}

#define CHECK(pins) check_pins(pins, sizeof(pins) / sizeof((pins)[0]))

static void test_meta__missing_or_null__is_made(void **state)
{
	static const struct pin pins[] = {
		{"{}", "{" META "}", 0},
		{" { } ", " { " META "} ", 0},
		{"{\"meta\":null}", "{" META "}", 0},
		{"{\"logs\":[] }", "{\"logs\":[] ," META "}", 0},
		{"{\"meta\":{}}", "{" META "}", 0},
		{"{\"meta\":{\"app\":null,\"session\":null}}", "{" META "}", 0},
		{"{\"meta\":{\"app\":{},\"session\":{\"attributes\":{}}}}", "{" META "}", 0},
		{"{\"meta\":{\"session\":{\"attributes\":null}}}",
		 "{\"meta\":{\"session\":{\"attributes\":" ATTRIBUTES "},\"app\":" APP "}}", 0},
	};

	(void)state;
	CHECK(pins);
}

#define WITH_APP(app) \
	"{\"meta\":{\"app\":" app ",\"session\":{\"id\":\"s\",\"attributes\":" ATTRIBUTES "}}}"
#define SENT_APP(app) "{\"meta\":{\"app\":" app ",\"session\":{\"id\":\"s\"}}}"

static void test_app__labels_are_the_operators(void **state)
{
	static const struct pin pins[] = {
		/* A name from the list stays, in its own spelling. */
		{SENT_APP("{\"name\":\"shop-admin\"}"),
		 WITH_APP("{\"name\":\"shop-admin\"," APP_REST "}"), 0},
		{SENT_APP("{\"name\":\"shop\\u002dadmin\"}"),
		 WITH_APP("{\"name\":\"shop\\u002dadmin\"," APP_REST "}"), 0},
		/* Any other becomes the first of the list; null and "" claim nothing. */
		{SENT_APP("{\"name\":\"evil\"}"), WITH_APP("{\"name\":\"shop-web\"," APP_REST "}"),
		 1},
		{SENT_APP("{\"name\":\"Shop-Web\"}"),
		 WITH_APP("{\"name\":\"shop-web\"," APP_REST "}"), 1},
		{SENT_APP("{\"name\":null}"), WITH_APP("{\"name\":\"shop-web\"," APP_REST "}"), 0},
		{SENT_APP("{\"name\":\"\"}"), WITH_APP("{\"name\":\"shop-web\"," APP_REST "}"), 0},
		{SENT_APP("{\"name\":7}"), WITH_APP("{\"name\":\"shop-web\"," APP_REST "}"), 1},
		/* Right already: not a byte changes. */
		{WITH_APP("{\"version\":\"9\",\"environment\":\"prod\",\"namespace\":\"shop\\u002d"
			  "ns\",\"name\":\"shop-web\"}"),
		 WITH_APP("{\"version\":\"9\",\"environment\":\"prod\",\"namespace\":\"shop\\u002d"
			  "ns\",\"name\":\"shop-web\"}"),
		 0},
		/* Replaced in place, the rest at the end; the version is the browser's. */
		{SENT_APP("{ \"namespace\" : \"evil\" , \"version\":\"9\",\"release\":\"r\" }"),
		 WITH_APP("{ \"namespace\" : \"shop-ns\" , \"version\":\"9\",\"release\":\"r\" "
			  ",\"name\":\"shop-web\",\"environment\":\"prod\"}"),
		 1},
		{SENT_APP("{\"name\":\"shop-web\",\"namespace\":null,\"environment\":\"dev\","
			  "\"version\":\"\"}"),
		 WITH_APP("{\"name\":\"shop-web\"," APP_REST "}"), 1},
	};

	(void)state;
	CHECK(pins);
}

#define WITH_SESSION(attributes) \
	"{\"meta\":{\"app\":" APP ",\"session\":{\"attributes\":" attributes "}}}"

static void test_session__label_attributes_replace_their_likes(void **state)
{
	static const struct pin pins[] = {
		{WITH_SESSION("{\"plan\":\"gold\" }"),
		 WITH_SESSION("{\"plan\":\"gold\" ," SESSION_MEMBERS "}"), 0},
		{WITH_SESSION("{\"team\":\"evil\"}"), WITH_SESSION(ATTRIBUTES), 1},
		/* Loki trims white space at the end; in front of it there is session_attr_. */
		{WITH_SESSION(
			 "{\"\\u0001team\\u00a0\":\"x\",\"team\xe3\x80\x80\\u007f\xc2\x85\":\"x\"}"),
		 WITH_SESSION(ATTRIBUTES), 2},
		{WITH_SESSION("{\"\\u00a0team\":\"x\"}"),
		 WITH_SESSION("{\"\\u00a0team\":\"x\"," SESSION_MEMBERS "}"), 0},
		{WITH_SESSION("{\"k8s cluster name\":\"x\"}"), WITH_SESSION(ATTRIBUTES), 1},
		{WITH_SESSION("{\"team\":\"tea \\\"m\\\"\"}"), WITH_SESSION(ATTRIBUTES), 0},
		{WITH_SESSION("{ \"team\":1 , \"a\":\"b\" }"),
		 WITH_SESSION("{  \"a\":\"b\" ," SESSION_MEMBERS "}"), 1},
		{WITH_SESSION("{\"a\":\"b\" , \"team\":1 }"),
		 WITH_SESSION("{\"a\":\"b\" ,  " SESSION_MEMBERS "}"), 1},
		{WITH_SESSION("{\"a\":\"b\",\"team\":\"x\",\"t=eam\":\"x\",\"c\":\"d\","
			      "\"k8s-cluster.name\":\"x\"}"),
		 WITH_SESSION("{\"a\":\"b\",\"c\":\"d\"," SESSION_MEMBERS "}"), 3},
	};

	(void)state;
	CHECK(pins);
}

#define REST_OF_META "\"app\":" APP ",\"session\":{\"attributes\":" ATTRIBUTES "}"

static void test_geo__is_removed(void **state)
{
	static const struct pin pins[] = {
		{"{\"meta\":{\"geo\":{\"country\":\"XX\"}," REST_OF_META "}}",
		 "{\"meta\":{" REST_OF_META "}}", 1},
		{"{\"meta\":{" REST_OF_META ",\"geo\":\"XX\"}}", "{\"meta\":{" REST_OF_META "}}",
		 1},
		/* It claims nothing, and goes all the same. */
		{"{\"meta\":{" REST_OF_META " , \"geo\" : null }}",
		 "{\"meta\":{" REST_OF_META "  }}", 0},
		/* Behind it, the labels that are missing are added. */
		{"{\"meta\":{\"geo\":1}}", "{" META "}", 1},
		{"{\"meta\":{\"page\":{},\"geo\":1}}", "{\"meta\":{\"page\":{}," REST_OF_META "}}",
		 1},
		{"{\"meta\":{\"geo\":1,\"session\":{\"attributes\":" ATTRIBUTES "}}}",
		 "{\"meta\":{\"session\":{\"attributes\":" ATTRIBUTES "},\"app\":" APP "}}", 1},
		{"{\"meta\":{\"app\":" APP ",\"geo\":1}}", "{" META "}", 1},
		/* Elsewhere it is not a name that counts. */
		{"{\"geo\":1,\"meta\":{" REST_OF_META ",\"geolocation\":{\"geo\":1}}}",
		 "{\"geo\":1,\"meta\":{" REST_OF_META ",\"geolocation\":{\"geo\":1}}}", 0},
	};

	(void)state;
	CHECK(pins);
}

#define OVERRIDES(members)                                                   \
	"{\"meta\":{\"app\":" APP ",\"session\":{\"attributes\":" ATTRIBUTES \
	",\"overrides\":" members "}}}"

static void test_overrides__rename_no_service(void **state)
{
	static const struct pin pins[] = {
		{OVERRIDES("{\"serviceName\":\"evil\"}"), OVERRIDES("{}"), 1},
		{OVERRIDES("{\"serviceName\":\"shop-admin\"}"),
		 OVERRIDES("{\"serviceName\":\"shop-admin\"}"), 0},
		{OVERRIDES("{\"serviceName\":\"shop\\u002dweb\"}"),
		 OVERRIDES("{\"serviceName\":\"shop\\u002dweb\"}"), 0},
		{OVERRIDES("{\"serviceName\":[\"shop-web\"]}"), OVERRIDES("{}"), 1},
		{OVERRIDES("{\"serviceName\":null}"), OVERRIDES("{}"), 0},
		{OVERRIDES("{\"serviceName\":\"\"}"), OVERRIDES("{}"), 0},
		{OVERRIDES("{\"a\":1,\"serviceName\":\"x\",\"geoLocationTrackingEnabled\":false}"),
		 OVERRIDES("{\"a\":1,\"geoLocationTrackingEnabled\":false}"), 1},
		{OVERRIDES("{\"geoLocationTrackingEnabled\":true,\"serviceName\":7}"),
		 OVERRIDES("{\"geoLocationTrackingEnabled\":true}"), 1},
		{OVERRIDES("null"), OVERRIDES("null"), 0},
		{OVERRIDES("[{\"serviceName\":\"x\"}]"), OVERRIDES("[{\"serviceName\":\"x\"}]"), 0},
		{OVERRIDES("{\"deeper\":{\"serviceName\":\"x\"}}"),
		 OVERRIDES("{\"deeper\":{\"serviceName\":\"x\"}}"), 0},
	};

	(void)state;
	CHECK(pins);
}

#define SENT_SPANS(list) "{" META ",\"traces\":{\"resourceSpans\":" list "}}"
#define SENT(attributes) SENT_SPANS("[{\"resource\":{\"attributes\":[" attributes "]}}]")

static void test_resource__labels_are_the_operators(void **state)
{
	static const struct pin pins[] = {
		{SENT_SPANS("[{},{\"resource\":null},{\"resource\":{}},{\"resource\":{"
			    "\"attributes\":null}},{\"resource\":{\"attributes\":[]}}]"),
		 SENT_SPANS("[{" RESOURCE "},{" RESOURCE "},{" RESOURCE "},{" RESOURCE
			    "},{" RESOURCE "}]"),
		 0},
		{SENT_SPANS("[null]"), SENT_SPANS("[null]"), 0}, /* no span can be in there */
		{SENT_SPANS("[{\"scopeSpans\":[] }]"),
		 SENT_SPANS("[{\"scopeSpans\":[] ," RESOURCE "}]"), 0},
		{SENT(ITEM("a", "b") " "), SENT(ITEM("a", "b") " ," ITEMS), 0},
		{SENT(ITEM("service.name", "evil")), SENT(ITEMS), 1},
		{SENT(ITEM("service.name", "shop-web")), SENT(ITEMS), 0},
		{SENT("{\"key\":\"service.name\",\"value\":{\"string_value\":\"shop-web\"}}"),
		 SENT(ITEMS), 0},
		{SENT("{\"key\":\"service.name\",\"value\":{\"bytesValue\":\"shop-web\"}}"),
		 SENT(ITEMS), 1},
		{SENT(ITEM("service.name", "shop-admin")), SENT(ITEMS), 1}, /* known, not chosen */
		{SENT(ITEM("k8s.pod.name", "x") " , " ITEM("a", "b")),
		 SENT(" " ITEM("a", "b") "," ITEMS), 1},
		{SENT(ITEM("a", "b") " , " ITEM("k8s.", "x") " "),
		 SENT(ITEM("a", "b") " ,  " ITEMS), 1},
		{SENT(ITEM("k8s.a", "") "," ITEM("a", "b") "," ITEM("k8s.b", "x") "," ITEM("c",
											   "d")),
		 SENT(ITEM("a", "b") "," ITEM("c", "d") "," ITEMS), 1},
		/* Nothing is claimed; another type claims, whatever stands beside it. */
		{SENT(ITEM("team", "")), SENT(ITEMS), 0},
		{SENT("{\"key\":\"team\",\"value\":{\"intValue\":null}}"), SENT(ITEMS), 1},
		{SENT("{\"key\":\"service.name\",\"value\":{\"intValue\":1,\"stringValue\":\"shop-"
		      "web\"}}"),
		 SENT(ITEMS), 1},
		{SENT("{\"unknown\":{\"a\":[]},\"key\":\"a\"}"),
		 SENT("{\"unknown\":{\"a\":[]},\"key\":\"a\"}," ITEMS), 0},
		{SENT(ITEM("service.version", "9") "," ITEM("K8S.x", "y")),
		 SENT(ITEM("service.version", "9") "," ITEM("K8S.x", "y") "," ITEMS), 0},
	};

	(void)state;
	CHECK(pins);
}

/* meta comes last, so the app is known only after the resources. */
static void test_resource__gets_the_app_that_meta_names_later(void **state)
{
#define LATER(list)                                                            \
	"{\"traces\":{\"resourceSpans\":[{\"resource\":{\"attributes\":[" list \
	"]}}]},\"meta\":{\"app\":{\"name\":\"shop-admin\"," APP_REST           \
	"},\"session\":{\"attributes\":" ATTRIBUTES "}}}"
	static const struct pin pins[] = {
		{LATER(ITEM("service.name", "shop-admin")), LATER(ITEMS_OF("shop-admin")), 0},
		{LATER(ITEM("service.name", "shop-web")), LATER(ITEMS_OF("shop-admin")), 1},
	};

	(void)state;
	CHECK(pins);
}

/* ---- what must arrive unchanged ---- */

static void check_unchanged(const char *logs, size_t len)
{
	static const char head[] = "{" META ",\"logs\":[", tail[] = "]}";
	struct enricher *enricher = enricher_new(&test_labels, NULL);
	struct buf in, out;
	struct checked checked;

	assert_non_null(enricher);
	buf_init(&in, (size_t)16 << 20, NULL);
	buf_init(&out, (size_t)16 << 20, NULL);
	buf_append(&in, head, sizeof(head) - 1);
	buf_append(&in, logs, len);
	buf_append(&in, tail, sizeof(tail) - 1);
	/* Our own session attributes are removed and come again: compare by content. */
	checked = check_beacon(enricher, (struct view){in.data, in.len}, &out);
	assert_int_equal(checked.verdict, VERDICT_OK);
	assert_null(checked.wrong);
	assert_int_equal(checked.counts.spoofed, 0);
	assert_true(view_equals((struct view){in.data, in.len}, (struct view){out.data, out.len}));
	enricher_free(enricher);
	buf_release(&in);
	buf_release(&out);
}

static void test_bytes__odd_values__arrive_as_they_came(void **state)
{
	static const char *const rows[] = {
		"{\"t\":1741944413589000001,\"u\":\"1741944413589000001\"}",
		"18446744073709551616",
		"-9223372036854775809",
		"1e400",
		"-1E-400",
		"-0",
		"-0.0",
		"1.10",
		"\"\\ud800\"",
		"\"\\udead\\ud83d\\ude00\"",
		"\"\\u0000\\u007f\\/\"",
		"{\"a\":1,\"A\":2,\"a\":3}",
		"\" \xf4\x8f\xbf\xbf \"",
		" [ ]\t,\r\n { } ",
	};
	const size_t big = (size_t)5 << 20;
	char *text = malloc(big), deep[140];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		check_unchanged(rows[i], strlen(rows[i]));
	assert_non_null(text);
	memset(text, 'x', big);
	text[0] = text[big - 1] = '"';
	check_unchanged(text, big);
	free(text);
	memset(deep, '[', 60);
	memset(deep + 60, ']', 60);
	check_unchanged(deep, 120);
}

static void test_depth__64_accepted_65_refused(void **state)
{
	struct enricher *enricher = enricher_new(&test_labels, NULL);
	struct buf out;

	(void)state;
	assert_non_null(enricher);
	buf_init(&out, 1 << 20, NULL);
	for (size_t levels = 62; levels <= 64; levels++) { /* and the top-level object */
		char text[200];
		struct checked checked;
		size_t n = 0;

		n += (size_t)sprintf(text, "{\"x\":");
		memset(text + n, '[', levels);
		memset(text + n + levels, ']', levels);
		n += 2 * levels;
		text[n++] = '}';
		checked = check_beacon(enricher, (struct view){text, n}, &out);
		assert_int_equal(checked.verdict, levels < 64 ? VERDICT_OK : VERDICT_BAD_JSON);
		if (levels == 64)
			assert_int_equal(checked.offset, 5 + 63);
	}
	enricher_free(enricher);
	buf_release(&out);
}

/* ---- spans ---- */

#define TRACE "\"traceId\":\"0af7651916cd43dd8448eb211c80319c\""
#define SPAN  "\"spanId\":\"b7ad6b7169203331\""
#define IDS   TRACE "," SPAN

#define GOOD_SPAN "{" IDS "}"

struct span_row {
	const char *span;
	bool stays;
};

static const struct span_row span_rows[] = {
	{GOOD_SPAN, true},
	{"{ " SPAN " , \"name\" : \"x\" , " TRACE " }", true},
	{"{\"trace_id\":\"0AF7651916CD43DD8448EB211C80319C\",\"span_id\":\"0000000000000001\"}",
	 true},
	{"{\"unknown\":{\"traceId\":1,\"links\":1}," IDS ",\"name\":\"\\ud800\"}", true},
	/* No object, or no id. */
	{"null", false},
	{"1", false},
	{"[]", false},
	{"\"b7ad6b7169203331\"", false},
	{"{}", false},
	{"{" TRACE "}", false},
	{"{" SPAN "}", false},
	/* Not so many digits. */
	{"{" SPAN ",\"traceId\":\"\"}", false},
	{"{" SPAN ",\"traceId\":\"0af7651916cd43dd8448eb211c80319\"}", false},
	{"{" SPAN ",\"traceId\":\"0af7651916cd43dd8448eb211c80319c0\"}", false},
	{"{" SPAN ",\"traceId\":\"b7ad6b7169203331\"}", false},
	{"{" TRACE ",\"spanId\":\"\"}", false},
	{"{" TRACE ",\"spanId\":\"b7ad6b716920333\"}", false},
	{"{" TRACE ",\"spanId\":\"b7ad6b71692033311\"}", false},
	{"{" TRACE ",\"spanId\":\"0af7651916cd43dd8448eb211c80319c\"}", false},
	/* No digits. */
	{"{" SPAN ",\"traceId\":\"0af7651916cd43dd8448eb211c80319g\"}", false},
	{"{" SPAN ",\"traceId\":\"0af7651916cd43d 8448eb211c80319c\"}", false},
	{"{" TRACE ",\"spanId\":\"-7ad6b7169203331\"}", false},
	{"{" TRACE ",\"spanId\":\"b7ad6b71692033\xc3\xa9\"}", false},
	/* The receiver decodes no escapes in ids. */
	{"{" TRACE ",\"spanId\":\"b7ad6b716920333\\u0031\"}", false},
	{"{" TRACE ",\"spanId\":\"b7ad6b71692\\u0031\"}", false},
	{"{" TRACE ",\"spanId\":\"b7ad6b716920\\\"31\"}", false},
	/* All zero. */
	{"{" SPAN ",\"traceId\":\"00000000000000000000000000000000\"}", false},
	{"{" TRACE ",\"spanId\":\"0000000000000000\"}", false},
	{"{" SPAN ",\"traceId\":\"00000000000000000000000000000001\"}", true},
	{"{" SPAN ",\"traceId\":\"10000000000000000000000000000000\"}", true},
	/* No string. */
	{"{" SPAN ",\"traceId\":null}", false},
	{"{" SPAN ",\"traceId\":1}", false},
	{"{" TRACE ",\"spanId\":[\"b7ad6b7169203331\"]}", false},
	{"{" TRACE ",\"span_id\":{}}", false},
	/* A parent that is none is one too many for nobody; null is one for the receiver. */
	{"{" IDS ",\"parentSpanId\":\"\"}", true},
	{"{" IDS ",\"parentSpanId\":\"0000000000000000\"}", true},
	{"{" IDS ",\"parent_span_id\":\"00f067aa0ba902b7\"}", true},
	{"{" IDS ",\"parentSpanId\":null}", false},
	{"{" IDS ",\"parentSpanId\":\"00f067aa0ba902b\"}", false},
	{"{" IDS ",\"parent_span_id\":7}", false},
	/* What is good behind it makes up for nothing. */
	{"{" IDS ",\"parentSpanId\":7,\"links\":[]}", false},
	{"{" IDS ",\"links\":[1],\"parentSpanId\":\"\"}", false},
	/* Links. */
	{"{" IDS ",\"links\":null}", true},
	{"{" IDS ",\"links\":[]}", true},
	{"{" IDS ",\"links\":[{" IDS "},{\"trace_id\":\"00000000000000000000000000000000\","
	 "\"span_id\":\"0000000000000000\"},{},null,{\"x\":1}]}",
	 true},
	{"{" IDS ",\"links\":{}}", false},
	{"{" IDS ",\"links\":\"x\"}", false},
	{"{" IDS ",\"links\":[{" IDS "},1]}", false},
	{"{" IDS ",\"links\":[{" IDS "},[]]}", false},
	{"{" IDS ",\"links\":[{\"traceId\":\"\"}]}", false},
	{"{" IDS ",\"links\":[{\"spanId\":\"x\"},{" IDS "}]}", false},
	{"{" IDS ",\"links\":[{\"trace_id\":null}]}", false},
	{"{" IDS ",\"links\":[{" TRACE ",\"span_id\":1}]}", false},
};

/* In which list, and what stands around the span there. */
static void check_span(const struct span_row *row, const char *list, const char *before,
		       const char *after)
{
	struct enricher *enricher = enricher_new(&test_labels, NULL);
	bool beside = before[0] != '\0' || after[0] != '\0';
	struct buf in, wanted, out;
	struct checked checked;

	assert_non_null(enricher);
	buf_init(&in, 1 << 20, NULL);
	buf_init(&wanted, 1 << 20, NULL);
	buf_init(&out, 1 << 20, NULL);
	for (int removed = 0; removed <= !row->stays; removed++)
		buf_printf(removed ? &wanted : &in,
			   "{" META ",\"events\":[{}],\"traces\":{\"resourceSpans\":[{" RESOURCE
			   ",\"%s\":[{\"spans\":[%s%s%s%s%s]}]}]}}",
			   list, before, before[0] && !removed ? "," : "", removed ? "" : row->span,
			   after[0] && (!removed || before[0]) ? "," : "", after);
	checked = check_beacon(enricher, (struct view){in.data, in.len}, &out);
	if (checked.verdict != VERDICT_OK || checked.wrong)
		fail_msg("%s: %s", in.data, checked.wrong ? checked.wrong : checked.detail);
	if (row->stays)
		buf_append(&wanted, in.data, in.len);
	if (!view_equals((struct view){out.data, out.len}, (struct view){wanted.data, wanted.len}))
		fail_msg("%.*s\nbecame %.*s\nnot    %.*s", (int)in.len, in.data, (int)out.len,
			 out.data, (int)wanted.len, wanted.data);
	assert_int_equal(checked.counts.bad_spans, !row->stays);
	assert_int_equal(checked.counts.spans, row->stays + (beside ? 1 : 0));
	assert_int_equal(checked.counts.events, 1);
	assert_int_equal(checked.counts.spoofed, 0);
	enricher_free(enricher);
	buf_release(&in);
	buf_release(&wanted);
	buf_release(&out);
}

static void test_spans__with_bad_ids__go_alone(void **state)
{
	static const char *const lists[] = {"scopeSpans", "scope_spans", "deprecatedScopeSpans",
					    "deprecated_scope_spans"};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(span_rows); i++)
		for (size_t k = 0; k < ARRAY_LEN(lists); k++) {
			check_span(&span_rows[i], lists[k], "", "");
			check_span(&span_rows[i], lists[k], GOOD_SPAN, "");
			check_span(&span_rows[i], lists[k], "", GOOD_SPAN);
		}
}

#define SENT_LIST(spans)                                                                           \
	"{" META ",\"traces\":{\"resourceSpans\":[{" RESOURCE ",\"scopeSpans\":[{\"spans\":" spans \
	"}]}]}}"

static void test_spans__several_bad__the_others_stay(void **state)
{
	static const struct pin pins[] = {
		{SENT_LIST("[{},{},{}]"), SENT_LIST("[]"), 0},
		{SENT_LIST("[ {} , null ]"), SENT_LIST("[   ]"), 0},
		{SENT_LIST("[{},{}," GOOD_SPAN "," GOOD_SPAN ",{},{}]"),
		 SENT_LIST("[" GOOD_SPAN "," GOOD_SPAN "]"), 0},
		{SENT_LIST("[" GOOD_SPAN ",{},{}," GOOD_SPAN "]"),
		 SENT_LIST("[" GOOD_SPAN "," GOOD_SPAN "]"), 0},
		{SENT_LIST("[{}," GOOD_SPAN ",{}," GOOD_SPAN ",{}]"),
		 SENT_LIST("[" GOOD_SPAN "," GOOD_SPAN "]"), 0},
		/* Behind an empty list, the resource is added. */
		{"{" META ",\"traces\":{\"resourceSpans\":[{\"scopeSpans\":[{\"spans\":[{}]}]}]}}",
		 "{" META
		 ",\"traces\":{\"resourceSpans\":[{\"scopeSpans\":[{\"spans\":[]}]," RESOURCE
		 "}]}}",
		 0},
	};

	(void)state;
	CHECK(pins);
}

/* ---- counts ---- */

static void test_counts__items_by_kind(void **state)
{
	static const struct {
		const char *in;
		struct beacon_counts counts;
	} rows[] = {
		{"{}", {0}},
		{"{\"logs\":[1,[2,3],{}],\"exceptions\":[{}],\"events\":null,\"measurements\":[{},"
		 "null]}",
		 {.logs = 3, .exceptions = 1, .measurements = 2}},
		{"{\"events\":[{\"a\":[1,2]},{}],\"traces\":null}", {.events = 2}},
		{"{\"logs\":null,\"exceptions\":null,\"measurements\":null}", {0}},
		{"{\"traces\":{\"resource_spans\":[{\"scope_spans\":[{\"spans\":[" GOOD_SPAN
		 "," GOOD_SPAN "]},{\"spans\":[" GOOD_SPAN
		 "]},null]},{\"scopeSpans\":null},null]}}",
		 {.spans = 3}},
		/* The receiver takes the deprecated list only where the other is empty. */
		{"{\"traces\":{\"resourceSpans\":[{\"deprecatedScopeSpans\":[{\"spans\":[" GOOD_SPAN
		 "," GOOD_SPAN "]}]},"
		 "{\"deprecated_scope_spans\":[{\"spans\":[" GOOD_SPAN
		 "]}],\"scopeSpans\":[{}]}]}}",
		 {.spans = 2}},
		/* Removed spans are counted in any list, and by themselves. */
		{"{\"traces\":{\"resourceSpans\":[{\"deprecatedScopeSpans\":[{\"spans\":[{}," GOOD_SPAN
		 "]}]},{\"deprecatedScopeSpans\":[{\"spans\":[{}]}],\"scopeSpans\":[{\"spans\":[{},"
		 "null," GOOD_SPAN "]}]}]}}",
		 {.spans = 2, .bad_spans = 4}},
	};
	struct enricher *enricher = enricher_new(&test_labels, NULL);
	struct buf out;

	(void)state;
	assert_non_null(enricher);
	buf_init(&out, 1 << 20, NULL);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct checked checked = check_beacon(enricher, view_of(rows[i].in), &out);

		assert_int_equal(checked.verdict, VERDICT_OK);
		assert_null(checked.wrong);
		assert_memory_equal(&checked.counts, &rows[i].counts, sizeof(checked.counts));
	}
	enricher_free(enricher);
	buf_release(&out);
}

/* ---- refusals ---- */

static void test_refusals__verdict_offset_and_rule(void **state)
{
	static const struct {
		const char *in;
		enum verdict verdict;
		size_t offset;
		const char *begins;
	} rows[] = {
		{"", VERDICT_BAD_JSON, 0, "Rule 1"},
		{"  ", VERDICT_BAD_JSON, 2, "Rule 1"},
		{"null", VERDICT_BAD_JSON, 0, "Rule 1"},
		{" [{}]", VERDICT_BAD_JSON, 1, "Rule 1"},
		{"{} {}", VERDICT_BAD_JSON, 3, "Rule 1"},
		{"\xef\xbb\xbf{}", VERDICT_BAD_JSON, 0, "Rule 1"},
		{"{\"a\":\"\xff\"}", VERDICT_BAD_JSON, 6, "Rule 1"},
		{"{\"a\":nul}", VERDICT_BAD_JSON, 5, "Rule 1"},
		{"{\"a\":\"\n\"}", VERDICT_BAD_JSON, 6,
		 "Rule 1 (strict JSON): a string holds a bare"},
		/* No value at all, where a walker looks for one. */
		{"{\"measurements\":x}", VERDICT_BAD_JSON, 16, "Rule 1"},
		{"{\"meta\":{\"app\":{\"name\":tru}}}", VERDICT_BAD_JSON, 23, "Rule 1"},
		{"{\"meta\":x}", VERDICT_BAD_JSON, 8, "Rule 1"},
		{"{\"meta\":{\"app\":x}}", VERDICT_BAD_JSON, 15, "Rule 1"},
		{"{\"meta\":{\"session\":x}}", VERDICT_BAD_JSON, 19, "Rule 1"},
		{"{\"meta\":{\"session\":{\"attributes\":x}}}", VERDICT_BAD_JSON, 33, "Rule 1"},
		{"{\"traces\":x}", VERDICT_BAD_JSON, 10, "Rule 1"},
		{"{\"traces\":{\"resourceSpans\":[{\"resource\":x}]}}", VERDICT_BAD_JSON, 40,
		 "Rule 1"},
		{"{\"traces\":{\"resourceSpans\":[{\"resource\":{\"attributes\":x}}]}}",
		 VERDICT_BAD_JSON, 54, "Rule 1"},
		{"{\"meta\":[]}", VERDICT_BAD_JSON, 8, "Rule 2 (wrong type)"},
		{"{\"meta\":nul}", VERDICT_BAD_JSON, 8, "Rule 1"},
		{"{\"a\":1,\"META\":{}}", VERDICT_AMBIGUOUS_KEY, 7, "Rule 2 (ambiguous_key)"},
		{"{\"logs\":[],\"logs\":[]}", VERDICT_AMBIGUOUS_KEY, 11, "Rule 2 (ambiguous_key)"},
		{"{\"meta\":{\"geo\":1,\"Geo\":1}}", VERDICT_AMBIGUOUS_KEY, 17,
		 "Rule 2 (ambiguous_key)"},
		{"{\"meta\":{\"session\":{\"overrides\":{\"servicename\":\"x\"}}}}",
		 VERDICT_AMBIGUOUS_KEY, 33, "Rule 2 (ambiguous_key)"},
		{"{\"meta\":{\"session\":{\"overrides\":x}}}", VERDICT_BAD_JSON, 32, "Rule 1"},
		{SENT_LIST("[{" TRACE ",\"trace_id\":\"\"}]"), VERDICT_AMBIGUOUS_KEY,
		 sizeof(SENT_LIST("[{" TRACE ",")) - sizeof("}]}]}}"), "Rule 2 (ambiguous_key)"},
		{SENT_LIST("[{" SPAN "," SPAN "}]"), VERDICT_AMBIGUOUS_KEY,
		 sizeof(SENT_LIST("[{" SPAN ",")) - sizeof("}]}]}}"), "Rule 2 (ambiguous_key)"},
		{SENT_LIST("[{\"SpanID\":1}]"), VERDICT_AMBIGUOUS_KEY,
		 sizeof(SENT_LIST("[{")) - sizeof("}]}]}}"), "Rule 2 (ambiguous_key)"},
		{SENT_LIST("[{\"links\":[{\"trace_id\":1,\"traceId\":1}]}]"), VERDICT_AMBIGUOUS_KEY,
		 sizeof(SENT_LIST("[{\"links\":[{\"trace_id\":1,")) - sizeof("}]}]}}"),
		 "Rule 2 (ambiguous_key)"},
		{SENT_LIST("[{\"\":1}]"), VERDICT_AMBIGUOUS_KEY,
		 sizeof(SENT_LIST("[{")) - sizeof("}]}]}}"), "Rule 2 (ambiguous_key)"},
		{SENT_LIST("[{\"traceId\":x}]"), VERDICT_BAD_JSON,
		 sizeof(SENT_LIST("[{\"traceId\":")) - sizeof("}]}]}}"), "Rule 1"},
		{SENT_LIST("[{\"links\":[x]}]"), VERDICT_BAD_JSON,
		 sizeof(SENT_LIST("[{\"links\":[")) - sizeof("}]}]}}"), "Rule 1"},
		{"{\"traces\":{\"a\":{\"\":1}}}", VERDICT_AMBIGUOUS_KEY, 16,
		 "Rule 2 (ambiguous_key)"},
	};
	struct enricher *enricher = enricher_new(&test_labels, NULL);
	struct buf out;

	(void)state;
	assert_non_null(enricher);
	buf_init(&out, 1 << 20, NULL);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct checked checked = check_beacon(enricher, view_of(rows[i].in), &out);

		if (checked.verdict != rows[i].verdict || checked.offset != rows[i].offset ||
		    strncmp(checked.detail, rows[i].begins, strlen(rows[i].begins)) != 0)
			fail_msg("%s: verdict %d at %zu: %s", rows[i].in, (int)checked.verdict,
				 checked.offset, checked.detail);
	}
	enricher_free(enricher);
	buf_release(&out);
}

#define WITH_VALUES(values) \
	"{" META ",\"measurements\":[{\"values\":" values "}],\"exceptions\":[{}]}"

static void test_values__with_the_name_of_a_label__go_alone(void **state)
{
	static const struct pin pins[] = {
		{WITH_VALUES("{\"kind\":1}"), WITH_VALUES("{}"), 1},
		{WITH_VALUES("{\"kind\":1,\"lcp\":2}"), WITH_VALUES("{\"lcp\":2}"), 1},
		{WITH_VALUES("{\"lcp\":2,\"kind\":1}"), WITH_VALUES("{\"lcp\":2}"), 1},
		{WITH_VALUES("{\"a\":1,\"app_name\":2,\"timestamp\":3,\"b\":4,\"kind\":5,"
			     "\"session_attr_team\":6}"),
		 WITH_VALUES("{\"a\":1,\"b\":4}"), 4},
		{WITH_VALUES("{ \"a\" : 1 , \"kind\" : 2 , \"kind\" : 3 }"),
		 WITH_VALUES("{ \"a\" : 1  }"), 2},
		/* The receiver reads null as 0; any other type would cost the beacon. */
		{WITH_VALUES("{\"kind\":null,\"app.name\":{\"x\":[]}}"), WITH_VALUES("{}"), 2},
		{WITH_VALUES("{\"app_load_ms\":1,\"session_attr_plan\":2}"),
		 WITH_VALUES("{\"app_load_ms\":1,\"session_attr_plan\":2}"), 0},
		{"{" META ",\"measurements\":[{\"values\":{\"kind\":1}},{\"values\":{\"a\":1}},"
		 "{\"values\":{\"a\":1,\"kind\":1}}]}",
		 "{" META ",\"measurements\":[{\"values\":{}},{\"values\":{\"a\":1}},"
		 "{\"values\":{\"a\":1}}]}",
		 2},
	};

	(void)state;
	CHECK(pins);
}

static void test_reserved_names__as_the_log_line_has_them(void **state)
{
	static const struct {
		const char *name; /* between the quotes */
		bool reserved;
	} rows[] = {
		{"kind", true},
		{"kin", false},
		{"kinds", false},
		{"Kind", false},
		{"timestamp", true},
		{"timestamps", false},
		{"app_name", true},
		{"app_namespace", true},
		{"app_release", true},
		{"app_version", true},
		{"app_environment", true},
		/* Other names that begin so are nobody's. */
		{"app_", false},
		{"app", false},
		{"app_load_ms", false},
		{"app_names", false},
		{"value_kind", false},
		/* The session's labels, also one that is configured and has no value. */
		{"session_attr_team", true},
		{"session_attr_k8s_cluster_name", true},
		{"session_attr_cost_center", true},
		{"session_attr_", false},
		{"session_attr", false},
		{"session_attr_plan", false},
		{"session_attr_teams", false},
		{"team", false},
		{"", false},
		{"k", false},
		{"_", false},
		/* logfmt drops these from a key, */
		{" kind", true},
		{"k=in\\\"d", true},
		{"ki\x7fnd", true},
		{"ki\xef\xbf\xbdnd", true},
		/* and Loki's labels have only letters, digits and underscores. */
		{"app.name", true},
		{"app-version", true},
		{"app.other", false},
		{"session.attr.team", true},
		{"session-attr/k8s.cluster.name", true},
		{"session.attr.x", false},
		{"time.stamp", false},
		{"app/name", true},
		{"app0name", false},
		{"app9name", false},
		{"app:name", true},
		{"app@name", true},
		{"appAname", false},
		{"appZname", false},
		{"app[name", true},
		{"app`name", true},
		{"appaname", false},
		{"appzname", false},
		{"app{name", true},
		{"{app_name", false},
		{"9", false},
		{"_kind", false},
		{"Zapp_name", false},
		{"kin\xc3\xa9", false},
		/* Loki takes white space, also what is not ASCII, from both ends, */
		{"kind\xc2\xa0", true},
		{"\xc2\xa0\xe3\x80\x80kind", true},
		{"\\u2003app_name", true},
		{"\\u0085app_name", true},
		{"\\u0085timestamp", true},
		{"kin\\u00a0d", false},
		{"session\xe2\x80\xa8_attr_team", false},
		{"\xe1\x9a\x80session_attr_team", true},
		{"\xe1\x9a\x80session_attr_plan", false},
		{"k\\u0001ind\xc2\xa0\x7f", true},
		{"\xe2\x80\x8bkind", false},
		{"kind\xe2\x80\xa8\xe2\x80\xa9\xe2\x80\xaf\xe2\x81\x9f\xe2\x80\x80\xe2\x80\x8a",
		 true},
		{"\xc2\xa0\xc2\xa0\xc2\xa0\xc2\xa0\xc2\xa0\xc2\xa0\xc2\xa0\xc2\xa0\xc2\xa0\xc2\xa0\xc2\xa0\xc2\xa0"
		 "\xc2\xa0\xc2\xa0\xc2\xa0\xc2\xa0\xc2\xa0\xc2\xa0\xc2\xa0\xc2\xa0\xc2\xa0\xc2\xa0\xc2\xa0\xc2\xa0"
		 "\xc2\xa0\xc2\xa0\xc2\xa0\xc2\xa0\xc2\xa0\xc2\xa0\xc2\xa0\xc2\xa0\xc2\xa0\xc2\xa0\xc2\xa0\xc2\xa0"
		 "app_name",
		 true},
		/* from a line of JSON as well, which has the characters that logfmt drops, */
		{"app name", true},
		{"session attr=team", true},
		{"session\\u0000attr\\\"cost.center", true},
		{"t=imestamp", true},
		{"s\\u0065ssion_attr_team", true},
		{"app\xef\xbf\xbdversion", true},
		/* and has names of its own. */
		{"__error__", true},
		{"__error_details__", true},
		{"__preserve_error__", true},
		{"__error", false},
		{"__load__", false},
		{"\xc3\xa9kind", false},
		/* Longer than any of ours. */
		{"session_attr_abcdefghijklmnopqrstuvwxyz0123456789", false},
		{"session_attr_teamabcdefghijklmnopqrstuvwxyz0123456789", false},
		{"deployment_environment_name_and_something_behind_it", false},
	};
	struct enricher *enricher = enricher_new(&test_labels, NULL);
	struct buf in, out;

	(void)state;
	assert_non_null(enricher);
	buf_init(&in, 1 << 20, NULL);
	buf_init(&out, 1 << 20, NULL);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct checked checked;

		buf_clear(&in);
		buf_printf(&in, "{\"measurements\":[{\"values\":{\"%s\":1}}]," META "}",
			   rows[i].name);
		checked = check_beacon(enricher, (struct view){in.data, in.len}, &out);
		if (rows[i].reserved) {
			buf_clear(&in);
			buf_printf(&in, "{\"measurements\":[{\"values\":{}}]," META "}");
		}
		if (checked.wrong || checked.verdict != VERDICT_OK ||
		    checked.counts.spoofed != rows[i].reserved ||
		    !view_equals((struct view){out.data, out.len}, (struct view){in.data, in.len}))
			fail_msg("%s: verdict %d, %s, %.*s", rows[i].name, (int)checked.verdict,
				 checked.wrong ? checked.wrong : "", (int)out.len, out.data);
	}
	enricher_free(enricher);
	buf_release(&in);
	buf_release(&out);
}

/* ---- limits ---- */

/* Offsets have 32 bits. The bytes behind the first are not looked at, so they need not be there. */
static void test_body__longer_than_offsets_go__too_large(void **state)
{
	static const char text[] = "no beacon, and more than one wide load of it";
	struct enricher *enricher = enricher_new(&test_labels, NULL);
	struct buf out;

	(void)state;
	assert_non_null(enricher);
	buf_init(&out, 1 << 20, NULL);
	assert_int_equal(check_beacon(enricher, (struct view){text, UINT32_MAX}, &out).verdict,
			 VERDICT_BAD_JSON);
	assert_int_equal(
		check_beacon(enricher, (struct view){text, (size_t)UINT32_MAX + 1}, &out).verdict,
		VERDICT_TOO_LARGE);
	enricher_free(enricher);
	buf_release(&out);
}

/* A forged attribute between two kept ones costs one edit; one more than EDITS_MAX is too many. */
static void forge(struct buf *in, size_t count)
{
	buf_clear(in);
	buf_printf(in, "{" META ",\"traces\":{\"resourceSpans\":[{\"resource\":{\"attributes\":[");
	for (size_t i = 0; i < count; i++)
		buf_printf(in, "{\"key\":\"k8s.x\"},{},");
	buf_printf(in, "{}]}}]}}");
}

static void test_edits__at_most_edits_max(void **state)
{
	struct enricher *enricher = enricher_new(&test_labels, NULL);
	const size_t own = 2; /* the session's attributes, and the labels at the end */
	struct buf in, out;

	(void)state;
	assert_non_null(enricher);
	buf_init(&in, (size_t)16 << 20, NULL);
	buf_init(&out, (size_t)16 << 20, NULL);
	for (size_t n = EDITS_MAX - 1; n <= EDITS_MAX + 2; n++) {
		struct checked checked;

		forge(&in, n - own);
		checked = check_beacon(enricher, (struct view){in.data, in.len}, &out);
		assert_int_equal(checked.verdict, n <= EDITS_MAX ? VERDICT_OK : VERDICT_TOO_LARGE);
		assert_null(checked.wrong);
	}
	/* The enricher is good for the next one. */
	assert_int_equal(check_beacon(enricher, VIEW_LITERAL("{}"), &out).verdict, VERDICT_OK);
	enricher_free(enricher);
	buf_release(&in);
	buf_release(&out);
}

/* What comes after the edit that is one too many is not read: it could cost time without end. */
static void test_edits__one_too_many__ends_the_pass_there(void **state)
{
	struct enricher *enricher = enricher_new(&test_labels, NULL);
	struct checked checked;
	struct buf in, out;
	size_t limit;

	(void)state;
	assert_non_null(enricher);
	buf_init(&in, (size_t)16 << 20, NULL);
	buf_init(&out, (size_t)16 << 20, NULL);
	forge(&in, EDITS_MAX + 1);
	limit = in.len;
	forge(&in, (size_t)10 * EDITS_MAX);
	checked = check_beacon(enricher, (struct view){in.data, in.len}, &out);
	assert_int_equal(checked.verdict, VERDICT_TOO_LARGE);
	assert_in_range(checked.offset, limit / 2, limit);
	/* Not even syntax. */
	in.data[in.len - 1] = 'x';
	checked = check_beacon(enricher, (struct view){in.data, in.len}, &out);
	assert_int_equal(checked.verdict, VERDICT_TOO_LARGE);
	enricher_free(enricher);
	buf_release(&in);
	buf_release(&out);
}

static void test_output__at_its_maximum(void **state)
{
	static const size_t len = sizeof("{" META "}") - 1;
	struct enricher *enricher = enricher_new(&test_labels, NULL);

	(void)state;
	assert_non_null(enricher);
	for (size_t max = len - 1; max <= len + 1; max++) {
		struct buf out;
		struct checked checked;

		buf_init(&out, max, NULL);
		checked = check_beacon(enricher, VIEW_LITERAL("{}"), &out);
		assert_int_equal(checked.verdict, max >= len ? VERDICT_OK : VERDICT_TOO_LARGE);
		buf_release(&out);
	}
	enricher_free(enricher);
}

/* ---- memory ---- */

static void test_memory__every_allocation_fails_once__no_leak(void **state)
{
	(void)state;
	for (int ever = 0; ever < 2; ever++) {
		int n = 0;
		struct enricher *enricher;

		do {
			allocations_left = n++;
			fails_for_ever = ever == 1;
			enricher = enricher_new(&test_labels, NULL);
			allocations_left = -1;
		} while (!enricher);
		assert_true(n > 10);
		enricher_free(enricher);
		enricher_free(NULL); /* as a caller does that got none */
	}
}

static void test_memory__no_room_for_edits_or_output__overloaded(void **state)
{
	int n, overloaded = 0;

	(void)state;
	for (n = 0;; n++) {
		struct enricher *enricher = enricher_new(&test_labels, NULL);
		struct beacon_counts counts;
		const char *detail;
		enum verdict verdict;
		size_t offset;
		struct buf out;

		assert_non_null(enricher);
		buf_init(&out, 1 << 20, NULL);
		allocations_left = n;
		fails_for_ever = false;
		/* Two edits: if the first one fails, the second must not be made alone. */
		verdict = enrich(enricher, VIEW_LITERAL("{\"meta\":{}}"), NULL, &out, &counts,
				 &offset, &detail);
		allocations_left = -1;
		buf_release(&out);
		enricher_free(enricher);
		if (verdict == VERDICT_OK)
			break;
		assert_int_equal(verdict, VERDICT_OVERLOADED);
		assert_non_null(detail);
		overloaded++;
	}
	assert_int_equal(overloaded, 2); /* the list, the output */
}

/* ---- the table ---- */

/* Every row is found at its level under its names. */
static void test_rules__each_row_is_found(void **state)
{
	struct enrich_rule_set sets[ENRICH_LEVELS];
	unsigned rows = 0;

	(void)state;
	enrich_rule_sets_init(sets);
	for (size_t i = 0; i < ENRICH_LEVELS; i++) {
		assert_in_range(sets[i].count, 1, 32);
		rows += sets[i].count;
	}
	assert_int_equal(rows, enrich_rule_count);
	for (size_t i = 0; i < enrich_rule_count; i++) {
		const struct enrich_rule *rule = &enrich_rules[i];
		const struct enrich_rule_set *set = &sets[rule->level];

		/* The rows of a level must stand together. */
		assert_in_range(rule - set->rules, 0, set->count - 1);
		for (int also = 0; also < (rule->also.ptr ? 2 : 1); also++) {
			struct view name = also ? rule->also : rule->name;
			struct json_string key = {.ptr = name.ptr, .len = name.len, .plain = true};
			enum enrich_key_fault fault;
			uint32_t seen = 0;

			assert_true(json_names_may_have(&set->names, key));
			assert_ptr_equal(enrich_rule_find(set, &key, &seen, &fault), rule);
			assert_int_equal(fault, KEY_GOOD);
			assert_ptr_equal(enrich_rule_find(set, &key, &seen, &fault), rule);
			assert_int_equal(fault, KEY_REPEATED);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_meta__missing_or_null__is_made),
		cmocka_unit_test(test_app__labels_are_the_operators),
		cmocka_unit_test(test_session__label_attributes_replace_their_likes),
		cmocka_unit_test(test_geo__is_removed),
		cmocka_unit_test(test_overrides__rename_no_service),
		cmocka_unit_test(test_resource__labels_are_the_operators),
		cmocka_unit_test(test_resource__gets_the_app_that_meta_names_later),
		cmocka_unit_test(test_bytes__odd_values__arrive_as_they_came),
		cmocka_unit_test(test_depth__64_accepted_65_refused),
		cmocka_unit_test(test_spans__with_bad_ids__go_alone),
		cmocka_unit_test(test_spans__several_bad__the_others_stay),
		cmocka_unit_test(test_counts__items_by_kind),
		cmocka_unit_test(test_refusals__verdict_offset_and_rule),
		cmocka_unit_test(test_values__with_the_name_of_a_label__go_alone),
		cmocka_unit_test(test_reserved_names__as_the_log_line_has_them),
		cmocka_unit_test(test_body__longer_than_offsets_go__too_large),
		cmocka_unit_test(test_edits__at_most_edits_max),
		cmocka_unit_test(test_edits__one_too_many__ends_the_pass_there),
		cmocka_unit_test(test_output__at_its_maximum),
		cmocka_unit_test(test_memory__every_allocation_fails_once__no_leak),
		cmocka_unit_test(test_memory__no_room_for_edits_or_output__overloaded),
		cmocka_unit_test(test_rules__each_row_is_found),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
