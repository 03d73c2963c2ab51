/* SPDX-License-Identifier: Apache-2.0 */
/* What the web server says about a request, stamped on the beacon, and what looks like it. */
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

#define GEO    "geo.country.iso_code"
#define AGENT  "user_agent.synthetic.type"
#define CLIENT "client.address"

/* One app and no label, so that only what comes with the request is stamped. */
#define APP         "{\"name\":\"shop-web\",\"namespace\":\"\",\"environment\":\"\"}"
#define SET(values) "{\"meta\":{\"app\":" APP ",\"session\":{\"attributes\":{" values "}}}"
#define ALL         "\"geo_country_iso_code\":\"DE\",\"client_address\":\"192.0.2.0\""
#define OPT_OUT     "\"overrides\":{\"geoLocationTrackingEnabled\":false}"

static const struct request_facts both = {
	.values = {VIEW_CONSTANT("DE"), {NULL, 0}, VIEW_CONSTANT("192.0.2.0")}};
static const struct request_facts agent = {.values = {{NULL, 0}, VIEW_CONSTANT("bot")}};

struct row {
	const char *in;
	const struct request_facts *facts;
	const char *out;
	uint32_t spoofed;
	bool no_location;
};

static void check_row(struct enricher *enricher, const struct row *row)
{
	struct checked checked;
	struct buf out;

	buf_init(&out, 1 << 20, NULL);
	checked = check_beacon_with(enricher, view_of(row->in), row->facts, &out);
	if (checked.verdict != VERDICT_OK || checked.wrong)
		fail_msg("%s: %s", row->in, checked.wrong ? checked.wrong : checked.detail);
	if (!view_equals((struct view){out.data, out.len}, view_of(row->out)))
		fail_msg("%s\nbecame %.*s\nnot    %s", row->in, (int)out.len, out.data, row->out);
	if (checked.counts.spoofed != row->spoofed ||
	    checked.counts.no_location != row->no_location)
		fail_msg("%s: %u spoofs", row->in, checked.counts.spoofed);
	buf_release(&out);
}

static void check_rows(const struct row *rows, size_t count)
{
	struct labels labels = test_labels_of_request_alone();
	struct enricher *enricher = enricher_new(&labels, NULL);

	assert_non_null(enricher);
	for (size_t i = 0; i < count; i++)
		check_row(enricher, &rows[i]);
	enricher_free(enricher);
}

static void test_session__what_the_request_has__is_stamped_once(void **state)
{
	static const struct row rows[] = {
		{"{}", &both, SET(ALL) "}", 0, false},
		{"{\"meta\":null}", &both, SET(ALL) "}", 0, false},
		{"{\"meta\":{\"app\":" APP ",\"session\":null}}", &both, SET(ALL) "}", 0, false},
		{"{\"meta\":{\"app\":" APP ",\"session\":{}}}", &both, SET(ALL) "}", 0, false},
		{SET("") "}", &both, SET(ALL) "}", 0, false},
		{SET("\"a\":\"b\"") "}", &both, SET("\"a\":\"b\"," ALL) "}", 0, false},
		{SET("\"a\":\"b\" , \"client_address\":\"x\" ") "}", &both,
		 SET("\"a\":\"b\"  ," ALL) "}", 1, false},
		{"{}", &agent, SET("\"user_agent_synthetic_type\":\"bot\"") "}", 0, false},
	};

	(void)state;
	check_rows(rows, ARRAY_LEN(rows));
}

/* Where nothing is to be stamped nothing is made, and what looks like it goes all the same. */
static void test_session__nothing_to_stamp__no_byte_but_the_forged(void **state)
{
	static const struct row rows[] = {
		{"{\"meta\":{\"app\":" APP "}}", NULL, "{\"meta\":{\"app\":" APP "}}", 0, false},
		{"{\"meta\":{\"app\":" APP ",\"session\":null}}", NULL,
		 "{\"meta\":{\"app\":" APP ",\"session\":null}}", 0, false},
		{"{\"meta\":{\"app\":" APP ",\"session\":{}}}", NULL,
		 "{\"meta\":{\"app\":" APP ",\"session\":{}}}", 0, false},
		{"{\"meta\":{\"app\":" APP ",\"session\":{\"attributes\":null}}}", NULL,
		 "{\"meta\":{\"app\":" APP ",\"session\":{\"attributes\":null}}}", 0, false},
		{"{\"meta\":{}}", NULL, "{\"meta\":{\"app\":" APP "}}", 0, false},
		{"{\"meta\":{\"page\":{},\"geo\":1}}", NULL,
		 "{\"meta\":{\"page\":{},\"app\":" APP "}}", 1, false},
		{"{\"meta\":{\"app\":" APP ",\"geo\":1}}", NULL, "{\"meta\":{\"app\":" APP "}}", 1,
		 false},
		{"{\"meta\":{\"app\":" APP ",\"geo\":1}}", &both, SET(ALL) "}", 1, false},
		{SET("\"a\":\"b\",\"client_address\":\"x\"") "}", NULL, SET("\"a\":\"b\"") "}", 1,
		 false},
		{SET("\"client_address\":\"x\"") "}", NULL, SET("") "}", 1, false},
		{SET("\"client_address\":\"x\",\"a\":\"b\"") "}", NULL, SET("\"a\":\"b\"") "}", 1,
		 false},
		{SET("\"client_address\":\"\",\"a\":\"b\"") "}", NULL, SET("\"a\":\"b\"") "}", 0,
		 false},
	};

	(void)state;
	check_rows(rows, ARRAY_LEN(rows));
}

/* With the letter that Go folds to s, which is no s to Loki. */
#define CLIENT_S_ADDRESS \
	"client\xc5\xbf" \
	"address"
#define CLIENT_ADDRE_S         \
	"client_addre\xc5\xbf" \
	"s"

/* As logfmt and Loki would show it. */
static void test_session__every_spelling__is_removed(void **state)
{
	static const char *const likes[] = {
		"client_address",        "client.address",        "client-address",
		"client address",        "client\\u0020address",  "cl=ient_addr\\\"ess",
		"client_address\\u00a0", "\\u0063lient_address",  CLIENT_S_ADDRESS,
		"client_address\\ud800", "\\u0001client_address", "client/address",
	};
	static const char *const others[] = {
		"clientAddress", "Client_address", "client_address_2",
		CLIENT_ADDRE_S,  "clientaddress",  "\\u00a0client_address",
	};
	char in[400], out[400];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(likes); i++) {
		snprintf(in, sizeof(in), SET("\"%s\":\"198.51.100.7\"") "}", likes[i]);
		check_rows(&(struct row){in, NULL, SET("") "}", 1, false}, 1);
		check_rows(&(struct row){in, &both, SET(ALL) "}", 1, false}, 1);
	}
	for (size_t i = 0; i < ARRAY_LEN(others); i++) {
		snprintf(in, sizeof(in), SET("\"%s\":\"x\"") "}", others[i]);
		snprintf(out, sizeof(out), SET("\"%s\":\"x\"," ALL) "}", others[i]);
		check_rows(&(struct row){in, &both, out, 0, false}, 1);
	}
}

#define VALUES(members) SET("") ",\"measurements\":[{\"values\":{" members "}}]}"

static void test_values__with_the_name_of_one__go_alone(void **state)
{
	static const struct row rows[] = {
		{VALUES("\"session_attr_client_address\":1"), NULL, VALUES(""), 1, false},
		{VALUES("\"a\":1,\"session_attr_geo.country.iso_code\":1"), NULL, VALUES("\"a\":1"),
		 1, false},
		{VALUES("\"client_address\":1"), NULL, VALUES("\"client_address\":1"), 0, false},
	};

	(void)state;
	check_rows(rows, ARRAY_LEN(rows));
}

#define SPANS(attributes) \
	",\"traces\":{\"resourceSpans\":[{\"resource\":{\"attributes\":[" attributes "]}}]}}"
#define SPANS_NONE   ",\"traces\":{\"resourceSpans\":[{},{\"resource\":null}]}}"
#define ITEMS        NAME_ITEM "," ITEM(GEO, "DE") "," ITEM(CLIENT, "192.0.2.0")
#define RESOURCE_ALL "\"resource\":{\"attributes\":[" ITEMS "]}"

static void test_resource__gets_the_same_under_its_key(void **state)
{
	static const struct row rows[] = {
		{SET("") SPANS(""), &both, SET(ALL) SPANS(ITEMS), 0, false},
		{SET("") SPANS(""), NULL, SET("") SPANS(NAME_ITEM), 0, false},
		{SET("") SPANS(ITEM(CLIENT, "x") "," ITEM("a", "b")), &both,
		 SET(ALL) SPANS(ITEM("a", "b") "," ITEMS), 1, false},
		{SET("") SPANS(ITEM("client_address", "x")), NULL, SET("") SPANS(NAME_ITEM), 1,
		 false},
		{SET("") SPANS(ITEM("geo\\u002ecountry-iso_code", "x")), NULL,
		 SET("") SPANS(NAME_ITEM), 1, false},
		{SET("") SPANS("{\"key\":\"client.address\",\"value\":{\"intValue\":1}}"), NULL,
		 SET("") SPANS(NAME_ITEM), 1, false},
		{SET("") SPANS(ITEM("Client.address", "x")), NULL,
		 SET("") SPANS(ITEM("Client.address", "x") "," NAME_ITEM), 0, false},
		{SET("") SPANS_NONE, &both,
		 SET(ALL) ",\"traces\":{\"resourceSpans\":[{" RESOURCE_ALL "},{" RESOURCE_ALL
			  "}]}}",
		 0, false},
	};

	(void)state;
	check_rows(rows, ARRAY_LEN(rows));
}

#define SESSION(members) "{\"meta\":{\"app\":" APP ",\"session\":{" members "}}}"

/* The page may say so before its attributes or behind them. */
static void test_opt_out__no_location_and_no_address(void **state)
{
	static const struct request_facts all = {
		.values = {VIEW_CONSTANT("DE"), VIEW_CONSTANT("bot"), VIEW_CONSTANT("192.0.2.0")}};
	static const struct row rows[] = {
		{SESSION(OPT_OUT), &both, SESSION(OPT_OUT), 0, true},
		{SESSION("\"attributes\":{}," OPT_OUT), &both,
		 SESSION("\"attributes\":{}," OPT_OUT), 0, true},
		{SESSION(OPT_OUT ",\"attributes\":{\"a\":\"b\",\"client_address\":\"x\"}"), &both,
		 SESSION(OPT_OUT ",\"attributes\":{\"a\":\"b\"}"), 1, true},
		{SESSION("\"attributes\":{\"client_address\":\"x\"}," OPT_OUT), &all,
		 SESSION("\"attributes\":{\"user_agent_synthetic_type\":\"bot\"}," OPT_OUT), 1,
		 true},
		{"{" /* spans come before meta */
		 "\"traces\":{\"resourceSpans\":[{}]},\"meta\":{\"app\":" APP
		 ",\"session\":{" OPT_OUT "}}}",
		 &all,
		 "{\"traces\":{\"resourceSpans\":[{\"resource\":{\"attributes\":[" NAME_ITEM
		 "," ITEM(AGENT,
			  "bot") "]}}]},\"meta\":{\"app\":" APP ",\"session\":{" OPT_OUT
				 ",\"attributes\":{\"user_agent_synthetic_type\":\"bot\"}}}}",
		 0, true},
	};

	(void)state;
	check_rows(rows, ARRAY_LEN(rows));
}

static void test_opt_out__anything_but_false__is_none(void **state)
{
	static const char *const values[] = {"true", "null", "0", "\"false\"", "{}", "[false]"};
	char in[300], out[400];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(values); i++) {
		snprintf(in, sizeof(in),
			 SESSION("\"overrides\":{\"geoLocationTrackingEnabled\":%s}"), values[i]);
		snprintf(out, sizeof(out),
			 SESSION("\"overrides\":{\"geoLocationTrackingEnabled\":%s},"
				 "\"attributes\":{" ALL "}"),
			 values[i]);
		check_rows(&(struct row){in, &both, out, 0, false}, 1);
	}
}

static void test_opt_out__twice_or_spelt_otherwise__ambiguous(void **state)
{
	static const char *const bodies[] = {
		SESSION("\"overrides\":{\"geoLocationTrackingEnabled\":false,"
			"\"geoLocationTrackingEnabled\":true}"),
		SESSION("\"overrides\":{\"GeoLocationTrackingEnabled\":false}"),
		SESSION("\"overrides\":{\"geoLocationTrac\xe2\x84\xaaingEnabled\":false}"),
		SESSION("\"overrides\":{\"geoLocationTrackingEnable\\u0064\":false}"),
	};
	struct labels labels = test_labels_of_request_alone();
	struct enricher *enricher = enricher_new(&labels, NULL);
	struct buf out;

	(void)state;
	buf_init(&out, 1 << 20, NULL);
	for (size_t i = 0; i < ARRAY_LEN(bodies); i++) {
		struct checked checked =
			check_beacon_with(enricher, view_of(bodies[i]), &both, &out);

		assert_int_equal(checked.verdict, VERDICT_AMBIGUOUS_KEY);
	}
	buf_release(&out);
	enricher_free(enricher);
}

/* At 255 bytes and at 256; what is no good stamps nothing, and what is is escaped. */
static void test_values__good_ones_alone__are_stamped(void **state)
{
	static char text[257];
	static const char *const bad[] = {
		"",     "\n",   "a\x7f", "\xc2\x80",         "\xed\xa0\x80",
		"\xc3", "\xff", "a\tb",  "\xf4\x90\x80\x80", "\x1b[0m"};
	struct request_facts facts = {.values = {{NULL, 0}}};
	char out[600];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		facts.values[0] = view_of(bad[i]);
		check_rows(&(struct row){SET("") "}", &facts, SET("") "}", 0, false}, 1);
	}
	facts.values[0] = (struct view){"a\0b", 3};
	check_rows(&(struct row){SET("") "}", &facts, SET("") "}", 0, false}, 1);
	facts.values[0] = VIEW_LITERAL("\",\"x\":\"\\\xe2\x98\x83/");
	check_rows(
		&(struct row){SET("") "}", &facts,
			      SET("\"geo_country_iso_code\":\"\\\",\\\"x\\\":\\\"\\\\\xe2\x98\x83/"
				  "\"") "}",
			      0, false},
		1);
	memset(text, '"', 256);
	facts.values[0] = (struct view){text, 256};
	check_rows(&(struct row){SET("") "}", &facts, SET("") "}", 0, false}, 1);
	memset(text, 'x', 255);
	text[255] = '\0';
	facts.values[0] = view_of(text);
	snprintf(out, sizeof(out), SET("\"geo_country_iso_code\":\"%s\"") "}", text);
	check_rows(&(struct row){SET("") "}", &facts, out, 0, false}, 1);
}

/* The longest there may be, with labels beside them; under sanitizers a byte too far is found. */
static void test_values__all_of_the_longest__fit(void **state)
{
	static struct labels_request_attribute attributes[LABELS_REQUEST_MAX + 1];
	static char keys[LABELS_REQUEST_MAX + 1][LABELS_REQUEST_KEY_MAX_BYTES], value[255];
	struct labels labels = test_labels_with_request();
	struct request_facts facts;
	struct enricher *enricher;
	struct checked checked;
	struct buf out;

	(void)state;
	memset(value, '\\', sizeof(value));
	for (size_t i = 0; i < ARRAY_LEN(keys); i++) {
		memset(keys[i], 'a', sizeof(keys[i]));
		keys[i][0] = (char)('A' + (int)i % 26);
		keys[i][1] = (char)('A' + (int)i / 26);
		attributes[i].key = attributes[i].session_key =
			(struct view){keys[i], sizeof(keys[i])};
		facts.values[i] = (struct view){value, sizeof(value)};
	}
	labels.request_attributes = attributes;
	labels.request_attribute_count = ARRAY_LEN(attributes);
	enricher = enricher_new(&labels, NULL);
	buf_init(&out, 1 << 20, NULL);
	checked = check_beacon_with(
		enricher, VIEW_LITERAL("{\"traces\":{\"resourceSpans\":[{},{}]}}"), &facts, &out);
	assert_int_equal(checked.verdict, VERDICT_OK);
	if (checked.wrong)
		fail_msg("%s", checked.wrong);
	assert_true(enricher->request.text.cap < 256 * 1024);
	buf_release(&out);
	enricher_free(enricher);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_session__what_the_request_has__is_stamped_once),
		cmocka_unit_test(test_session__nothing_to_stamp__no_byte_but_the_forged),
		cmocka_unit_test(test_session__every_spelling__is_removed),
		cmocka_unit_test(test_values__with_the_name_of_one__go_alone),
		cmocka_unit_test(test_resource__gets_the_same_under_its_key),
		cmocka_unit_test(test_opt_out__no_location_and_no_address),
		cmocka_unit_test(test_opt_out__anything_but_false__is_none),
		cmocka_unit_test(test_opt_out__twice_or_spelt_otherwise__ambiguous),
		cmocka_unit_test(test_values__good_ones_alone__are_stamped),
		cmocka_unit_test(test_values__all_of_the_longest__fit),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
