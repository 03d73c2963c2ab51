/* SPDX-License-Identifier: Apache-2.0 */
/* Every attack and every oddity alone, and every two of them together, on one beacon. What is
 * accepted must pass the oracles; what is refused alone must be refused in company. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/text.h"
#include "beacon/enrich_check.h"
#include "beacon/enrich_labels.h"

/* A place in the beacon. A lower-case one is a gap for insertions (any number), an upper-case one
 * holds its default unless something takes its place. */
struct slot {
	const char *name, *text;
};

static const struct slot slots[] = {
	{"BODY", "{@top@@META@@LOGS@@MEASUREMENTS@@TRACES@@tail@}"},
	{"META", "\"meta\":@METAVALUE@,"},
	{"METAVALUE",
	 "{@meta@@APP@@SESSION@\"page\":{\"url\":\"https://shop.example/\"}@metaend@}"},
	{"APP", "\"app\":@APPVALUE@,"},
	{"APPVALUE", "{@app@@NAME@@NS@@ENV@@VER@\"release\":\"r1\"}"},
	{"NAME", "\"name\":\"shop-admin\","},
	{"NS", "\"namespace\":\"evil\","},
	{"ENV", "\"environment\":\"prod\","},
	{"VER", "\"version\":\"9.9\","},
	{"SESSION", "\"session\":@SESSIONVALUE@,"},
	{"SESSIONVALUE", "{@session@\"id\":\"s1\",\"attributes\":@SATTRS@@sessionend@}"},
	{"SATTRS", "{@sattr@\"plan\":\"gold\"@sattrend@}"},
	{"LOGS", "\"logs\":@LOGSVALUE@,"},
	{"LOGSVALUE", "[{@log@\"message\":\"m\",\"context\":{\"app_name\":\"x\"}}]"},
	{"MEASUREMENTS", "\"measurements\":[{@measurement@\"type\":\"t\",\"values\":@VALUES@}],"},
	{"VALUES", "{@value@\"lcp\":1234.5@valueend@}"},
	{"TRACES", "\"traces\":@TRACESVALUE@"},
	{"TRACESVALUE", "{@traces@\"resourceSpans\":@RS@}"},
	{"RS", "[@rs@{@rsmember@\"resource\":@RES@,\"scopeSpans\":@SCOPES@}]"},
	{"SCOPES", "[{@scope@\"spans\":@SPANS@}]"},
	{"SPANS",
	 "[@spans@{@span@@TRACEID@@SPANID@\"startTimeUnixNano\":1741944413589000001}@spansend@]"},
	{"TRACEID", "\"traceId\":\"0af7651916cd43dd8448eb211c80319c\","},
	{"SPANID", "\"spanId\":\"b7ad6b7169203331\","},
	{"RES", "{@res@\"attributes\":@ATTRS@}"},
	{"ATTRS", "[@attr@ @ATTR@ @attrend@]"},
	{"ATTR", "{@attrmember@\"key\":\"telemetry.sdk.language\",\"value\":{\"stringValue\":"
		 "\"webjs\"}}"},
};

#define ATTRIBUTE(key, value) "{\"key\":\"" key "\",\"value\":" value "}"
#define OK                    VERDICT_OK
#define AMBIGUOUS             VERDICT_AMBIGUOUS_KEY
#define BAD                   VERDICT_BAD_JSON

struct mutation {
	const char *slot, *text;
	enum verdict verdict;
};

static const struct mutation mutations[] = {
	/* Go decoding: another spelling, escapes, folding beyond ASCII. */
	{"top", "\"META\":{\"app\":{\"name\":\"evil\"}},", AMBIGUOUS},
	{"top", "\"m\\u0065ta\":{},", AMBIGUOUS},
	{"top", "\"Logs\":[],", AMBIGUOUS},
	{"top", "\"trace\xc5\xbf\":null,", AMBIGUOUS},
	{"tail", ",\"mea\\u017furements\":[{\"values\":{\"kind\":1}}]", AMBIGUOUS},
	{"tail", ",\"Events\":[]", AMBIGUOUS},
	{"meta", "\"App\":{},", AMBIGUOUS},
	{"meta", "\"\\u0073ession\":{},", AMBIGUOUS},
	{"meta", "\"Page\":{},", AMBIGUOUS},
	{"app", "\"name\xc5\xbfpace\":\"evil\",", AMBIGUOUS},
	{"app", "\"Environment\":\"evil\",", AMBIGUOUS},
	{"app", "\"\\u006eame\":\"shop-web\",", AMBIGUOUS},
	{"session", "\"Attributes\":{\"team\":\"evil\"},", AMBIGUOUS},
	{"session", "\"ID\":\"x\",", AMBIGUOUS},
	{"measurement", "\"Values\":{\"app_name\":1},", AMBIGUOUS},
	{"traces", "\"ResourceSpans\":[],", AMBIGUOUS},
	{"traces", "\"resource\\u0053pans\":[],", AMBIGUOUS},
	{"rsmember", "\"Resource\":{},", AMBIGUOUS},
	{"rsmember", "\"scopespans\":[],", AMBIGUOUS},
	{"res", "\"ATTRIBUTES\":[],", AMBIGUOUS},
	{"attrmember", "\"Key\":\"service.name\",", AMBIGUOUS},
	{"attrmember",
	 "\"\xe2\x84\xaa"
	 "ey\":\"service.name\",",
	 AMBIGUOUS},
	/* Go decoding: repeats are merged, replaced or appended. */
	{"tail", ",\"meta\":{\"app\":{\"name\":\"evil\"}}", AMBIGUOUS},
	{"tail", ",\"meta\":null", AMBIGUOUS},
	{"tail", ",\"logs\":[{\"message\":\"x\"}]", AMBIGUOUS},
	{"tail", ",\"traces\":{\"resourceSpans\":[]}", AMBIGUOUS},
	{"meta", "\"app\":{\"namespace\":\"evil\"},", AMBIGUOUS},
	{"meta", "\"session\":{\"attributes\":{\"team\":\"evil\"}},", AMBIGUOUS},
	{"meta", "\"page\":{\"id\":\"x\"},", AMBIGUOUS},
	{"app", "\"namespace\":\"evil\",", AMBIGUOUS},
	{"session", "\"attributes\":{\"team\":\"evil\"},", AMBIGUOUS},
	{"measurement", "\"values\":{},", AMBIGUOUS},
	{"traces", "\"resourceSpans\":[],", AMBIGUOUS},
	{"traces", "\"resource_spans\":[{\"resource\":{}}],", AMBIGUOUS},
	{"rsmember", "\"resource\":{\"attributes\":[]},", AMBIGUOUS},
	{"rsmember", "\"scope_spans\":[],", AMBIGUOUS},
	{"res", "\"attributes\":[" ATTRIBUTE("service.name", "{}") "],", AMBIGUOUS},
	{"attrmember", "\"key\":\"x\",", AMBIGUOUS},
	{"attrmember", "\"value\":{},", AMBIGUOUS},
	{"scope", "\"spans\":[],", AMBIGUOUS},
	/* Go decoding: an empty key ends an object of traces early; elsewhere it is a name. */
	{"traces", "\"\":1,", AMBIGUOUS},
	{"rsmember", "\"\":{},", AMBIGUOUS},
	{"attrmember", "\"\":0,", AMBIGUOUS},
	{"span", "\"attributes\":[{\"key\":\"a\",\"value\":{\"\":1}}],", AMBIGUOUS},
	{"span", "\"x\":{\"y\":[{\"\":null}]},", AMBIGUOUS},
	{"top", "\"\":1,", OK},
	{"tail", ",\"other\":{\"\":1}", OK}, /* behind traces */
	{"meta", "\"\":{},", OK},
	{"log", "\"\":\"\",", OK},
	/* Strict JSON. */
	{"tail", "}{\"meta\":{\"app\":{\"name\":\"evil\"}}", BAD},
	{"tail", "} x{", BAD},
	{"tail", ",", BAD},
	{"log", "\"message\":\"\xed\xa0\x80\",", BAD},
	{"log", "\"a\":01,", BAD},
	{"log", "\"message\":\"\\ud800\",", OK},
	/* Rule 6. */
	{"value", "\"app_namespace\":1,", OK},
	{"value", "\"kind\":1,", OK},
	{"value", "\"k=i n\\u0000d\":1,", OK},
	{"value", "\"ap\\ud800p_name\":1,\"app_x\":1,", OK},
	{"value", "\" app.name\":1,", OK},
	{"value", "\"session_attr_team\":1,", OK},
	{"value", "\"session-attr_team\":1,", OK},
	{"value", "\"app-load\":1,\"kinds\":2,\"apple\":3,", OK},
	{"value", "\"session_attr_cost.center\":{},\"timestamp\":null,", OK},
	{"valueend", ",\"timestamp\":1", OK},
	{"valueend", " , \"session_attr_k8s.cluster.name\" : 1 ", OK},
	{"VALUES", "{\"app_version\":1,\"app_release\":2}", OK},
	/* Nulls and gaps. */
	{"METAVALUE", "null", OK},
	{"META", "", OK},
	{"APPVALUE", "null", OK},
	{"APP", "", OK},
	{"APPVALUE", "{}", OK},
	{"NAME", "", OK},
	{"NAME", "\"name\":null,", OK},
	{"NAME", "\"name\":\"evil\",", OK},
	{"NAME", "\"name\":\"shop\\u002dweb\",", OK},
	{"NAME", "\"name\":[{\"x\":\"shop-web\"}],", OK},
	{"NS", "", OK},
	{"NS", "\"namespace\":null,", OK},
	{"NS", "\"namespace\":\"\",", OK},
	{"NS", "\"namespace\":\"shop\\u002dns\",", OK},
	{"ENV", "", OK},
	{"ENV", "\"environment\":{\"a\":1},", OK},
	{"VER", "", OK},
	{"VER", "\"version\":null,", OK},
	{"VER", "\"version\":\"\",", OK},
	{"SESSION", "", OK},
	{"SESSIONVALUE", "null", OK},
	{"SESSIONVALUE", "{}", OK},
	{"SATTRS", "null", OK},
	{"SATTRS", "{ }", OK},
	{"SATTRS", "{\"team\":\"evil\"}", OK},
	{"LOGSVALUE", "null", OK},
	{"MEASUREMENTS", "\"measurements\":[null,{\"values\":null},{}],", OK},
	{"VALUES", "null", OK},
	{"TRACESVALUE", "null", OK},
	{"TRACESVALUE", "{}", OK},
	{"RS", "null", OK},
	{"RS", "[]", OK},
	{"RS", "[null,{},{\"resource\":null},{\"resource\":{}}]", OK},
	{"RES", "null", OK},
	{"RES", "{ }", OK},
	{"ATTRS", "null", OK},
	{"ATTRS", "[ ]", OK},
	{"ATTR", ATTRIBUTE("k8s.pod.name", "{\"stringValue\":\"x\"}"), OK},
	{"ATTR", "null", OK},
	{"ATTR", "{\"value\":{\"stringValue\":\"no key\"}}", OK},
	{"ATTR", "{\"key\":null}", OK},
	{"SCOPES", "null", OK},
	{"SCOPES", "[null,{\"spans\":null}]", OK},
	/* Wrong types. */
	{"METAVALUE", "[]", BAD},
	{"APPVALUE", "\"shop-web\"", BAD},
	{"SESSIONVALUE", "1", BAD},
	{"SATTRS", "[]", BAD},
	{"LOGSVALUE", "{}", BAD},
	{"MEASUREMENTS", "\"measurements\":[1],", BAD},
	{"VALUES", "[]", BAD},
	{"TRACESVALUE", "[]", BAD},
	{"RS", "{}", BAD},
	{"RS", "[1]", BAD},
	{"RES", "[]", BAD},
	{"ATTRS", "{}", BAD},
	{"ATTR", "\"service.name\"", BAD},
	{"ATTR", ATTRIBUTE("x", "\"y\""), BAD},
	{"ATTR", "{\"key\":1}", BAD},
	{"SCOPES", "{}", BAD},
	/* Forged session attributes, also as they look behind logfmt and Loki. */
	{"sattr", "\"k8s_cluster_name\":\"evil\",", OK},
	{"sattr", "\"k8s_cluster_name\":\"eu-1\",", OK},
	{"sattr", "\"k8s.cluster.name\":\"evil\" , ", OK},
	{"sattr", "\"te=a m\":\"evil\",\"te\\ud800am\":\"evil\",", OK},
	{"sattr",
	 "\"te\xef\xbf\xbd"
	 "am\\\"\\n\\u007f\":null,",
	 OK},
	{"sattr", "\"Team\":\"mine\",\"teams\":\"mine\",", OK},
	{"sattrend", ",\"team\":\"evil\"", OK},
	{"sattrend", " , \"t\\u0065am\" : {\"x\":[1]} ", OK},
	/* Forged resource attributes, first, between and last. */
	{"attr", ATTRIBUTE("service.name", "{\"stringValue\":\"evil\"}") ",", OK},
	{"attr", ATTRIBUTE("service.name", "{\"stringValue\":\"shop-web\"}") " ,\n ", OK},
	{"attr", "{\"value\":{\"stringValue\":\"evil\"},\"key\":\"service\\u002enamespace\"},", OK},
	{"attr", ATTRIBUTE("k8s.namespace.name", "{\"intValue\":\"1\"}") ",", OK},
	{"attr", ATTRIBUTE("k8s.", "null") ",", OK},
	{"attr", ATTRIBUTE("K8S.pod", "{\"intValue\":1}") ",", OK},
	{"attr", ATTRIBUTE("deployment.environment", "{\"kvlistValue\":{\"values\":[]}}") ",", OK},
	{"attr", ATTRIBUTE("team", "{\"string_value\":\"tea \\\"m\\\"\"}") ",", OK},
	{"attr", "{\"key\":\"team\"},", OK},
	{"attrend", "," ATTRIBUTE("service.name", "{\"stringValue\":\"shop-admin\"}"), OK},
	{"attrend", " , " ATTRIBUTE("deployment.environment.name", "{\"stringValue\":\"x\"}") " ",
	 OK},
	{"attrend", "," ATTRIBUTE("service.version", "{\"stringValue\":\"9.9\"}"), OK},
	/* Rule 7. */
	{"meta", "\"geo\":{\"country\":\"XX\"},", OK},
	{"metaend", ",\"geo\":{\"country\":\"XX\"}", OK},
	{"METAVALUE", "{\"geo\":1}", OK},
	{"meta", "\"GEO\":1,", AMBIGUOUS},
	{"session", "\"overrides\":{\"serviceName\":\"evil\"},", OK},
	{"sessionend", ",\"overrides\":{\"a\":[],\"serviceName\":\"evil\" }", OK},
	{"sessionend", ",\"overrides\":{\"serviceName\":\"shop-web\",\"a\":1}", OK},
	{"sessionend", ",\"overrides\":{\"service\\u004eame\":\"evil\"}", AMBIGUOUS},
	{"sessionend", ",\"Overrides\":{\"serviceName\":\"evil\"}", AMBIGUOUS},
	/* What the web server says about the request, if it is asked. */
	{"sattr", "\"client_address\":\"evil\",", OK},
	{"sattrend", ",\"geo.country.iso_code\":\"XX\"", OK},
	{"SATTRS", "{\"client address\":\"x\",\"user_agent-synthetic.type\":1}", OK},
	{"attr", ATTRIBUTE("client.address", "{\"stringValue\":\"evil\"}") ",", OK},
	{"attrend", "," ATTRIBUTE("geo_country_iso_code", "{\"intValue\":1}"), OK},
	{"value", "\"session_attr_client_address\":1,", OK},
	{"session", "\"overrides\":{\"geoLocationTrackingEnabled\":false},", OK},
	{"sessionend", ",\"overrides\":{\"geoLocationTrackingEnabled\":false,\"a\":1}", OK},
	{"sessionend", ",\"overrides\":{\"geoLocationTrackingenabled\":false}", AMBIGUOUS},
	/* Rule 8. */
	{"spans", "{},null,", OK},
	{"spansend", ",{\"links\":1}", OK},
	{"spansend", " , {\"traceId\":\"0af7651916cd43dd8448eb211c80319c\"} ", OK},
	{"SPANS", "[]", OK},
	{"SPANS", "[[],\"\"]", OK},
	{"SPANS", "null", OK},
	{"TRACEID", "", OK},
	{"TRACEID", "\"trace_id\":\"0af7651916cd43dd8448eb211c80319C\",", OK},
	{"TRACEID", "\"traceId\":\"0\\u0061f7651916cd43dd8448eb211c80319c\",", OK},
	{"SPANID", "\"spanId\":\"0000000000000000\",", OK},
	{"span", "\"parentSpanId\":null,", OK},
	{"span", "\"links\":[{\"spanId\":\"b7ad6b7169203331\"},{}],", OK},
	{"span", "\"parentSpanId\":\"\",\"traceState\":null,", OK},
	{"span", "\"TraceId\":\"\",", AMBIGUOUS},
	{"span", "\"\\u0073panId\":\"\",", AMBIGUOUS},
	{"span", "\"lin\xe2\x84\xaas\":[],", AMBIGUOUS},
	{"span", "\"parent_span_id\":\"\",\"parentSpanId\":\"\",", AMBIGUOUS},
	{"span", "\"links\":[{\"spanId\":\"\",\"span_id\":\"\"}],", AMBIGUOUS},
	/* What nobody may touch. */
	{"log", "\"n\":[18446744073709551617,1.0E-2,-0,0.1e+1],", OK},
	{"log", "\"a\":1,\"a\":2,\"A\":\"\\u00e9\\/\",", OK},
	{"span", "\"attributes\":[" ATTRIBUTE("service.name", "{\"stringValue\":\"x\"}") "],", OK},
	{"rsmember", "\"deprecatedScopeSpans\":[{\"spans\":[{},{}]}],", OK},
	{"rsmember", "\"schemaUrl\":\"u\",\"unknown\":{\"attributes\":1,\"attributes\":2},", OK},
	{"meta", "\"k8s\":{\"pod\":\"x\"},\"os\":null,", OK},
	{"top", " \n\t\"x\" : { } ,", OK},
};

enum {
	MUTATIONS = ARRAY_LEN(mutations)
};

struct fill {
	const struct mutation *chosen[2];
	bool used[2];
	struct buf body;
};

static const char *slot_text(const char *name, size_t len)
{
	for (size_t i = 0; i < ARRAY_LEN(slots); i++)
		if (strlen(slots[i].name) == len && memcmp(slots[i].name, name, len) == 0)
			return slots[i].text;
	return "";
}

static void put_text(struct fill *fill, const char *text);

static void put_slot(struct fill *fill, const char *name, size_t len)
{
	bool gap = name[0] >= 'a', replaced = false;

	for (int i = 0; i < 2; i++) {
		const struct mutation *m = fill->chosen[i];

		if (!m || strlen(m->slot) != len || memcmp(m->slot, name, len) != 0 ||
		    (replaced && !gap))
			continue;
		put_text(fill, m->text);
		fill->used[i] = replaced = true;
	}
	if (!replaced)
		put_text(fill, slot_text(name, len));
}

/* Writes the text with its @SLOTS@ filled in. */
static void put_text(struct fill *fill, const char *text)
{
	while (*text) {
		const char *at = strchr(text, '@'), *end;

		if (!at)
			at = text + strlen(text);
		assert_int_equal(buf_append(&fill->body, text, (size_t)(at - text)), BUF_OK);
		if (!*at)
			return;
		end = strchr(at + 1, '@');
		assert_non_null(end);
		put_slot(fill, at + 1, (size_t)(end - at - 1));
		text = end + 1;
	}
}

/* Does `m` repeat what `other` has just taken away? Then there is no repeat. */
static bool is_harmless(const struct mutation *m, const struct mutation *other)
{
	static const struct {
		const char *taken, *slot, *begins;
	} rows[] = {
		{"META", "tail", ",\"meta\":"},
		{"APP", "meta", "\"app\":"},
		{"SESSION", "meta", "\"session\":"},
		{"NS", "app", "\"namespace\":"},
	};

	for (size_t i = 0; other && !*other->text && i < ARRAY_LEN(rows); i++)
		if (strcmp(other->slot, rows[i].taken) == 0 && strcmp(m->slot, rows[i].slot) == 0 &&
		    strncmp(m->text, rows[i].begins, strlen(rows[i].begins)) == 0)
			return true;
	return false;
}

/* Do both bring the same known name into one object? */
static bool repeat_each_other(const struct fill *fill)
{
	static const char *const names[] = {
		"\"geo\":", "\"overrides\":", "\"parentSpanId\":", "\"links\":["};

	for (size_t i = 0; fill->used[0] && fill->used[1] && i < ARRAY_LEN(names); i++)
		if (strstr(fill->chosen[0]->text, names[i]) &&
		    strstr(fill->chosen[1]->text, names[i]))
			return true;
	return false;
}

static bool is_expected(const struct fill *fill, enum verdict verdict)
{
	bool refused = false;

	if (repeat_each_other(fill))
		return verdict == VERDICT_AMBIGUOUS_KEY;

	for (int i = 0; i < 2; i++) {
		const struct mutation *m = fill->chosen[i];

		if (!fill->used[i] || m->verdict == VERDICT_OK ||
		    is_harmless(m, fill->chosen[1 - i]))
			continue;
		refused = true;
		if (m->verdict == verdict)
			return true;
	}
	return !refused && verdict == VERDICT_OK;
}

struct fixture {
	struct enricher *enricher;
	struct request_facts facts;
	struct buf out;
	unsigned accepted, refused, unread;
};

static void check_pair(struct fixture *fixture, const struct mutation *a, const struct mutation *b)
{
	struct fill fill = {.chosen = {a, b}};
	struct checked checked;
	char *exact;

	buf_init(&fill.body, 1 << 20, NULL);
	put_text(&fill, "@BODY@");
	exact = malloc(fill.body.len);
	assert_non_null(exact);
	memcpy(exact, fill.body.data, fill.body.len);
	checked = check_beacon_with(fixture->enricher, (struct view){exact, fill.body.len},
				    &fixture->facts, &fixture->out);
	if (checked.wrong || !is_expected(&fill, checked.verdict))
		fail_msg("%s\nverdict %d at %zu: %s; body: %.*s",
			 checked.wrong ? checked.wrong : "", (int)checked.verdict, checked.offset,
			 checked.detail ? checked.detail : "", (int)fill.body.len, exact);
	if (checked.verdict != VERDICT_OK)
		fixture->refused++;
	else if (checked.read_by_cjson)
		fixture->accepted++;
	else
		fixture->unread++;
	free(exact);
	buf_release(&fill.body);
}

static void fixture_init(struct fixture *fixture, const struct labels *labels)
{
	*fixture = (struct fixture){.enricher = enricher_new(labels, NULL)};
	assert_non_null(fixture->enricher);
	buf_init(&fixture->out, 1 << 20, NULL);
}

static void fixture_release(struct fixture *fixture)
{
	enricher_free(fixture->enricher);
	buf_release(&fixture->out);
}

static void test_mutations__alone__as_expected(void **state)
{
	struct fixture fixture;

	(void)state;
	fixture_init(&fixture, &test_labels);
	check_pair(&fixture, NULL, NULL);
	for (size_t i = 0; i < MUTATIONS; i++)
		check_pair(&fixture, &mutations[i], NULL);
	print_message("%u accepted and read by cJSON, %u accepted and compared by bytes only, %u "
		      "refused\n",
		      fixture.accepted, fixture.unread, fixture.refused);
	fixture_release(&fixture);
}

static void check_all_pairs(const struct labels *labels)
{
	struct fixture fixture;

	fixture_init(&fixture, labels);
	for (size_t i = 0; i < MUTATIONS; i++)
		for (size_t k = 0; k < MUTATIONS; k++)
			if (i != k)
				check_pair(&fixture, &mutations[i], &mutations[k]);
	print_message("%u accepted and read by cJSON, %u accepted and compared by bytes only, %u "
		      "refused\n",
		      fixture.accepted, fixture.unread, fixture.refused);
	fixture_release(&fixture);
}

static void test_mutations__in_pairs__no_forged_label_survives(void **state)
{
	(void)state;
	check_all_pairs(&test_labels);
}

/* Nothing known but the service's name. */
static void test_mutations__in_pairs__with_empty_labels(void **state)
{
	static struct labels_app app = {VIEW_LITERAL("shop-web"), VIEW_LITERAL("\"shop-web\""),
					VIEW_LITERAL(ITEM("service.name", "shop-web"))};
	static const struct labels labels = {
		.service_name = VIEW_LITERAL("shop-web"),
		.apps = &app,
		.app_count = 1,
		.namespace_json = VIEW_LITERAL("\"\""),
		.environment_json = VIEW_LITERAL("\"\""),
		.version_json = VIEW_LITERAL("\"\""),
	};

	(void)state;
	check_all_pairs(&labels);
}

/* Each pair once, with other facts from one to the next. */
static void check_with_request(const struct labels *labels)
{
	struct fixture fixture;

	fixture_init(&fixture, labels);
	for (size_t i = 0; i < MUTATIONS; i++) {
		for (size_t k = i + 1; k < MUTATIONS; k++) {
			fixture.facts = test_facts((i + k) % 3);
			check_pair(&fixture, &mutations[i], &mutations[k]);
		}
	}
	assert_true(fixture.accepted > 1000);
	fixture_release(&fixture);
}

static void test_mutations__in_pairs__with_facts_of_the_request(void **state)
{
	struct labels labels = test_labels_with_request();

	(void)state;
	check_with_request(&labels);
}

static void test_mutations__in_pairs__with_nothing_but_such_facts(void **state)
{
	struct labels labels = test_labels_of_request_alone();

	(void)state;
	check_with_request(&labels);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_mutations__alone__as_expected),
		cmocka_unit_test(test_mutations__in_pairs__no_forged_label_survives),
		cmocka_unit_test(test_mutations__in_pairs__with_empty_labels),
		cmocka_unit_test(test_mutations__in_pairs__with_facts_of_the_request),
		cmocka_unit_test(test_mutations__in_pairs__with_nothing_but_such_facts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
