/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/log.h"
#include "base/metrics.h"
#include "base/text.h"
#include "ingest/ingest.h"

/* Everything between a front end and the relay, and neither of them. */

#define BEACON "{\"meta\":{},\"logs\":[{\"message\":\"m\"}]}"

static struct view allowed[] = {{"https://partner.example", 23}};
static struct config config;
static struct ingest ingest;
static struct budget memory;

static void complain(void *arg, const char *setting, const char *problem, bool fatal)
{
	(void)arg;
	(void)fatal;
	fail_msg("%s: %s", setting, problem);
}

static int set_up(void **state)
{
	const struct labels_source source = {.service_name = "shop"};

	(void)state;
	log_init(LOG_FORMAT_LOGFMT, LOG_ERROR);
	config = (struct config){.path = "/faro",
				 .max_body_bytes = 1000,
				 .max_decoded_bytes = 2000,
				 .allowed_origins = {allowed, 1}};
	budget_init(&memory, 1 << 20);
	if (!labels_init(&config.labels, &source, complain, NULL))
		return -1;
	return ingest_init(&ingest, &config, &memory) ? 0 : -1;
}

static int tear_down(void **state)
{
	(void)state;
	ingest_release(&ingest);
	labels_release(&config.labels);
	return budget_used(&memory) == 0 ? 0 : -1;
}

/* What a browser on the page's own origin sends; a row changes what it is about. */
struct envelope {
	const char *method, *path, *host, *origin, *site, *type, *coding, *body, *ignore;
	int64_t length; /* 0: the body's own, or none */
	bool without_length;
	enum length_state length_state;
	unsigned refused; /* variables */
	bool path_too_long;
	int status;
	const char *reason; /* NULL: goes to the receiver, or is a success */
};

static void load(struct request *request, const struct envelope *e)
{
	ingest_init_request(&ingest, request);
	request->method = view_of(e->method ? e->method : "POST");
	request->path = view_of(e->path ? e->path : "/faro/collect");
	request->host = view_of(e->host);
	request->origin = view_of(e->origin);
	request->sec_fetch_site = view_of(e->site);
	request->content_type = view_of(e->type ? e->type : "application/json");
	request->content_encoding = view_of(e->coding);
	request->ignore = view_of(e->ignore);
	request_append_body(request, e->body ? e->body : BEACON,
			    strlen(e->body ? e->body : BEACON));
	request->length_state =
		e->length_state || e->without_length ? e->length_state : LENGTH_GIVEN;
	if (request->length_state == LENGTH_GIVEN)
		request->content_length = e->length ? e->length : (int64_t)request->body->len;
	request->path_too_long = e->path_too_long;
	request->refused = e->refused;
}

static void check_row(const struct envelope *e, size_t row)
{
	struct request request;
	enum ingest_next next;

	load(&request, e);
	next = ingest_begin(&ingest, &request);
	if (e->status == 0) {
		if (next != INGEST_RELAY)
			fail_msg("row %zu: %d %s", row, request.reply.status, request.reply.detail);
		ingest_relayed(&ingest, &request,
			       &(struct relay_call){.verdict = VERDICT_ACCEPTED, .status = 202});
		assert_int_equal(request.reply.status, 202);
	} else if (next != INGEST_REPLY || request.reply.status != e->status ||
		   (e->reason == NULL) != (request.reply.reason == NULL) ||
		   (e->reason && strcmp(e->reason, request.reply.reason) != 0)) {
		fail_msg("row %zu: %d %s %s", row, request.reply.status, request.reply.reason,
			 request.reply.detail);
	}
	if (e->reason)
		assert_true(strlen(request.reply.detail) > 10);
	request_release(&request);
}

static void test_ingest__every_row_of_the_reply_table_before_the_receiver(void **state)
{
	static const struct envelope rows[] = {
		{.status = 0},
		/* path */
		{.path = "/faro", .status = 0},
		{.path = "/faro/", .status = 0},
		{.path = "/faro/collect/", .status = 0},
		{.path = "/faro//", .status = 404, .reason = "not_found"},
		{.path = "/faro/collect//", .status = 404, .reason = "not_found"},
		{.path = "/faro//collect", .status = 404, .reason = "not_found"},
		{.path = "/", .status = 404, .reason = "not_found"},
		{.path = "/farocollect", .status = 404, .reason = "not_found"},
		{.path = "/far", .status = 404, .reason = "not_found"},
		{.path = "", .status = 404, .reason = "not_found"},
		{.path_too_long = true, .status = 404, .reason = "not_found"},
		/* method */
		{.method = "OPTIONS", .status = 204},
		{.method = "GET", .status = 405, .reason = "method"},
		{.method = "post", .status = 405, .reason = "method"}, /* methods have case */
		{.method = "", .status = 405, .reason = "method"},
		/* type */
		{.type = "text/plain;charset=UTF-8", .status = 0},
		{.type = "Application/JSON ; charset=utf-8", .status = 0},
		{.type = "application/jsonx", .status = 415, .reason = "media_type"},
		{.type = "text/html", .status = 415, .reason = "media_type"},
		{.type = "", .status = 415, .reason = "media_type"},
		/* coding */
		{.coding = "Identity", .status = 0},
		{.coding = "br", .status = 415, .reason = "content_coding"},
		{.coding = "gzip, gzip", .status = 415, .reason = "content_coding"},
		{.coding = "gzip", .status = 400, .reason = "bad_encoding"},
		{.refused = 1U << REQUEST_CONTENT_ENCODING,
		 .status = 415,
		 .reason = "content_coding"},
		/* what the operator leaves out */
		{.ignore = "crawler", .status = 202},
		{.ignore = "", .status = 0},
		{.ignore = "0", .status = 0},
		{.ignore = "00", .status = 202},
		{.refused = 1U << REQUEST_IGNORE, .status = 202},
		{.ignore = "crawler", .coding = "gzip", .body = "no gzip", .status = 202},
		{.ignore = "crawler", .type = "text/html", .length = 1, .status = 202},
		{.ignore = "crawler", .path = "/x", .status = 404, .reason = "not_found"},
		{.ignore = "crawler", .method = "GET", .status = 405, .reason = "method"},
		{.ignore = "crawler", .method = "OPTIONS", .status = 204},
		{.ignore = "1", .site = "cross-site", .status = 403, .reason = "cross_site"},
		/* body */
		{.body = "", .status = 400, .reason = "empty"},
		{.body = "", .without_length = true, .status = 400, .reason = "empty"},
		{.body = "", .length = 5, .status = 400, .reason = "length"},
		{.body = "", .length_state = LENGTH_MALFORMED, .status = 400, .reason = "length"},
		{.without_length = true, .status = 400, .reason = "length"},
		{.length = sizeof(BEACON) - 2, .status = 400, .reason = "length"},
		{.length = sizeof(BEACON), .status = 400, .reason = "length"},
		{.length_state = LENGTH_MALFORMED, .status = 400, .reason = "length"},
		{.body = "{\"meta\":", .status = 400, .reason = "bad_json"},
		{.body = "{\"META\":{}}", .status = 400, .reason = "ambiguous_key"},
		/* The cheap checks come first. */
		{.method = "GET", .path = "/x", .status = 404, .reason = "not_found"},
		{.type = "text/html", .site = "cross-site", .status = 403, .reason = "cross_site"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		check_row(&rows[i], i);
}

static void test_ingest__left_out__is_counted_by_a_known_word(void **state)
{
	static const struct {
		const char *word;
		enum metric metric;
	} rows[] = {
		{"crawler", METRIC_IGNORED_CRAWLER},
		{"synthetic", METRIC_IGNORED_SYNTHETIC},
		{"health", METRIC_IGNORED_HEALTH},
		{"localhost", METRIC_IGNORED_LOCALHOST},
		{"address", METRIC_IGNORED_ADDRESS},
		{"legacy_browser", METRIC_IGNORED_LEGACY_BROWSER},
		{"other", METRIC_IGNORED_OTHER},
		{"Crawler", METRIC_IGNORED_OTHER},
		{"\"}\n", METRIC_IGNORED_OTHER},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		int64_t left_out = metrics_get(rows[i].metric);
		int64_t accepted = metrics_get(METRIC_ACCEPTED_POLICY);
		int64_t decoded = metrics_get(METRIC_DECODED_BYTES);

		check_row(&(struct envelope){.ignore = rows[i].word, .status = 202}, i);
		assert_int_equal(metrics_get(rows[i].metric), left_out + 1);
		assert_int_equal(metrics_get(METRIC_ACCEPTED_POLICY), accepted + 1);
		assert_int_equal(metrics_get(METRIC_DECODED_BYTES), decoded);
	}
	assert_int_equal(metrics_get(METRIC_INFLIGHT), 0);
}

static void test_ingest__plain_body__is_capped_as_an_inflated_one(void **state)
{
	char body[1002];

	(void)state;
	config.max_decoded_bytes = 500;
	memset(body, ' ', sizeof(body));
	memcpy(body, "{}", 2);
	body[500] = '\0';
	check_row(&(struct envelope){.body = body, .status = 0}, 0);
	body[500] = ' ';
	body[501] = '\0';
	check_row(&(struct envelope){.body = body, .status = 413, .reason = "too_large"}, 1);
	body[501] = ' ';
	body[1001] = '\0';
	check_row(&(struct envelope){.body = body, .status = 413, .reason = "too_large"}, 2);
	config.max_decoded_bytes = 2000;
}

static void test_ingest__cross_origin__is_answered_for_the_allowed_origin_only(void **state)
{
	struct request request;

	(void)state;
	load(&request,
	     &(struct envelope){.method = "OPTIONS", .origin = "https://partner.example"});
	assert_int_equal(ingest_begin(&ingest, &request), INGEST_REPLY);
	assert_true(view_equals(request.reply.cors_origin, allowed[0]));
	request_release(&request);
	load(&request, &(struct envelope){.method = "OPTIONS", .origin = "https://evil.example"});
	assert_int_equal(ingest_begin(&ingest, &request), INGEST_REPLY);
	assert_null(request.reply.cors_origin.ptr);
	assert_true(request.reply.vary_origin);
	request_release(&request);
}

static void test_ingest__the_receivers_word__becomes_the_reply(void **state)
{
	static const struct {
		struct relay_call call;
		int status;
		const char *reason;
		unsigned retry_min_s, retry_max_s;
	} rows[] = {
		{{.verdict = VERDICT_ACCEPTED, .status = 202}, 202, NULL, 0, 0},
		{{.verdict = VERDICT_UPSTREAM_REJECTED, .status = 400},
		 400,
		 "upstream_rejected",
		 0,
		 0},
		{{.verdict = VERDICT_UPSTREAM_REJECTED, .status = 413},
		 413,
		 "upstream_rejected",
		 0,
		 0},
		{{.verdict = VERDICT_UPSTREAM_REJECTED, .status = 422},
		 422,
		 "upstream_rejected",
		 0,
		 0},
		{{.verdict = VERDICT_UPSTREAM_MISCONFIGURED, .status = 401, .retry_after_s = 9},
		 502,
		 "upstream_misconfigured",
		 0,
		 0},
		{{.verdict = VERDICT_UPSTREAM_THROTTLED, .status = 429},
		 429,
		 "upstream_throttled",
		 1,
		 5},
		{{.verdict = VERDICT_UPSTREAM_THROTTLED, .status = 429, .retry_after_s = 30},
		 429,
		 "upstream_throttled",
		 30,
		 30},
		{{.verdict = VERDICT_UPSTREAM_UNAVAILABLE}, 503, "upstream_unavailable", 1, 5},
		{{.verdict = VERDICT_UPSTREAM_TIMEOUT}, 504, "upstream_timeout", 0, 0},
		{{.verdict = VERDICT_OVERLOADED}, 429, "overloaded", 1, 5},
		{{.verdict = VERDICT_SPOOL_FULL}, 429, "spool_full", 1, 5},
		{{.verdict = VERDICT_STALLED}, 503, "stalled", 1, 5},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		int64_t logs = metrics_get(METRIC_ITEMS_LOG);
		struct request request;

		load(&request, &(struct envelope){.status = 0});
		assert_int_equal(ingest_begin(&ingest, &request), INGEST_RELAY);
		ingest_relayed(&ingest, &request, &rows[i].call);
		assert_int_equal(request.reply.status, rows[i].status);
		if (rows[i].reason)
			assert_string_equal(request.reply.reason, rows[i].reason);
		assert_in_range(request.reply.retry_after_s, rows[i].retry_min_s,
				rows[i].retry_max_s);
		/* Items count once the receiver took them. */
		assert_int_equal(metrics_get(METRIC_ITEMS_LOG) - logs, rows[i].reason ? 0 : 1);
		request_release(&request);
	}
	assert_int_equal(metrics_get(METRIC_INFLIGHT), 0);
}

static void test_ingest__status_pages__are_for_reading(void **state)
{
	struct request request;

	(void)state;
	for (int e = ENDPOINT_METRICS; e <= ENDPOINT_READY; e++) {
		load(&request, &(struct envelope){.method = "GET", .path = "/anything"});
		request.endpoint = (enum endpoint)e;
		assert_int_equal(ingest_begin(&ingest, &request), INGEST_REPLY);
		assert_int_equal(request.reply.status, 200);
		assert_true(request.reply.text_page->len > 0);
		request_release(&request);
		load(&request, &(struct envelope){.method = "POST"});
		request.endpoint = (enum endpoint)e;
		assert_int_equal(ingest_begin(&ingest, &request), INGEST_REPLY);
		assert_int_equal(request.reply.status, 405);
		assert_string_equal(request.reply.allow, "GET, HEAD");
		request_release(&request);
	}
	load(&request, &(struct envelope){.method = "POST"});
	request.endpoint = ENDPOINT_UNKNOWN;
	assert_int_equal(ingest_begin(&ingest, &request), INGEST_REPLY);
	assert_int_equal(request.reply.status, 404);
	request_release(&request);
}

/* What one beacon is told from another by may be just what is taken away. */
static void test_ingest__hash__of_beacons_that_redaction_makes_equal__differs(void **state)
{
	static const char *const bodies[] = {
		"{\"meta\":{},\"logs\":[{\"message\":\"/a?token=1\"}]}",
		"{\"meta\":{},\"logs\":[{\"message\":\"/a?token=2\"}]}",
	};
	static struct view words[] = {VIEW_CONSTANT("secrets")};
	struct request requests[ARRAY_LEN(bodies)];

	(void)state;
	ingest_release(&ingest);
	config.privacy.redact = (struct config_list){words, ARRAY_LEN(words)};
	assert_true(ingest_init(&ingest, &config, &memory));
	for (size_t i = 0; i < ARRAY_LEN(bodies); i++) {
		load(&requests[i], &(struct envelope){.body = bodies[i]});
		requests[i].forwarded.idempotency_key = VIEW_LITERAL("key");
		assert_true(ingest_label(&ingest, &requests[i]));
		assert_int_equal(requests[i].counts.redactions, 1);
		ingest_clear_body(&ingest);
	}
	assert_int_equal(requests[0].labelled.len, requests[1].labelled.len);
	assert_memory_equal(requests[0].labelled.data, requests[1].labelled.data,
			    requests[0].labelled.len);
	assert_memory_not_equal(&requests[0].hash, &requests[1].hash, sizeof(requests[0].hash));
	for (size_t i = 0; i < ARRAY_LEN(bodies); i++)
		request_release(&requests[i]);
	ingest_release(&ingest);
	config.privacy.redact.count = 0;
	assert_true(ingest_init(&ingest, &config, &memory));
}

static void test_ingest__hash__of_the_key_and_the_body_as_received(void **state)
{
	struct dedup_hash expected = dedup_hash(VIEW_LITERAL("key"), VIEW_LITERAL(BEACON));
	struct request request;

	(void)state;
	load(&request, &(struct envelope){.status = 0});
	request.forwarded.idempotency_key = VIEW_LITERAL("key");
	assert_true(ingest_label(&ingest, &request));
	assert_memory_equal(&request.hash, &expected, sizeof(expected));
	ingest_clear_body(&ingest);
	request_clear(&request);
	assert_true(dedup_hash_is_empty(&request.hash));
	request_release(&request);
	load(&request, &(struct envelope){.status = 0});
	assert_true(ingest_label(&ingest, &request));
	assert_true(dedup_hash_is_empty(&request.hash));
	ingest_clear_body(&ingest);
	request_release(&request);
}

#define OPTED_OUT "{\"meta\":{\"session\":{\"overrides\":{\"geoLocationTrackingEnabled\":false}}}}"

/* An ingest of its own, with these settings. */
static void label_with(enum client_address stamped, enum client_address forwarded,
		       const char *address, const char *body, const char *in_body,
		       const char *forwarded_address)
{
	const struct labels_source source = {.service_name = "shop",
					     .request_attributes = "geo.x,a",
					     .stamps_client_address =
						     stamped != CLIENT_ADDRESS_OFF};
	struct config with = config;
	struct request request;
	struct ingest one;

	with.client_address = stamped;
	with.forward_client_address = forwarded;
	with.client_address_mask = (struct address_mask){24, 48};
	assert_true(labels_init(&with.labels, &source, complain, NULL));
	assert_true(ingest_init(&one, &with, &memory));
	ingest_init_request(&one, &request);
	request.remote_addr = view_of(address);
	request.facts.values[0] = VIEW_LITERAL("x1");
	request.facts.values[1] = VIEW_LITERAL("a1");
	request.length_state = LENGTH_GIVEN;
	request.content_length = (int64_t)strlen(body);
	request_append_body(&request, body, strlen(body));
	assert_true(ingest_label(&one, &request));
	if (!memmem(request.labelled.data, request.labelled.len, in_body, strlen(in_body)))
		fail_msg("%s is not in %.*s", in_body, (int)request.labelled.len,
			 request.labelled.data);
	assert_int_equal(request.forwarded.client_address.ptr != NULL, forwarded_address != NULL);
	if (forwarded_address)
		assert_true(
			view_equals(request.forwarded.client_address, view_of(forwarded_address)));
	request_release(&request);
	ingest_release(&one);
	labels_release(&with.labels);
}

#define FACTS "\"geo_x\":\"x1\",\"a\":\"a1\""

static void test_ingest__address__stamped_and_forwarded_each_in_its_form(void **state)
{
	const enum client_address off = CLIENT_ADDRESS_OFF, masked = CLIENT_ADDRESS_MASKED,
				  full = CLIENT_ADDRESS_FULL;

	(void)state;
	label_with(off, off, "192.0.2.7", "{}", "{" FACTS "}", NULL);
	label_with(masked, off, "192.0.2.7", "{}", "{" FACTS ",\"client_address\":\"192.0.2.0\"}",
		   NULL);
	label_with(full, masked, "2001:DB8:1:2::7", "{}",
		   "{" FACTS ",\"client_address\":\"2001:db8:1:2::7\"}", "2001:db8:1::");
	label_with(masked, full, "::ffff:192.0.2.7", "{}",
		   "{" FACTS ",\"client_address\":\"192.0.2.0\"}", "192.0.2.7");
	label_with(off, full, "192.0.2.7", "{}", "{" FACTS "}", "192.0.2.7");
	label_with(full, full, "unix:", "{}", "{" FACTS "}", NULL);
	label_with(full, full, NULL, "{}", "{" FACTS "}", NULL);
	/* The page has opted out. */
	label_with(full, full, "192.0.2.7", OPTED_OUT, "\"attributes\":{\"a\":\"a1\"}", NULL);
}

static void test_ingest__no_memory_for_the_body__is_overload(void **state)
{
	struct request request;

	(void)state;
	load(&request, &(struct envelope){.status = 0});
	request.body_state = BODY_OVER_BUDGET;
	assert_int_equal(ingest_begin(&ingest, &request), INGEST_REPLY);
	assert_int_equal(request.reply.status, 429);
	assert_string_equal(request.reply.reason, "overloaded");
	assert_in_range(request.reply.retry_after_s, 1, 5);
	request_release(&request);
}

/* At KEEP_BYTES of ingest.c, and one above. While they are held the budget knows of them. */
static void test_ingest__buffers__are_kept_while_there_is_traffic(void **state)
{
	static const struct {
		size_t bytes;
		bool kept;
	} rows[] = {
		{1, true},
		{512 * 1024, true},
		{512 * 1024 + 1, false},
	};
	struct buf *const bufs[] = {&ingest.body, &ingest.decoded, NULL /* labelled */};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		for (size_t b = 0; b < ARRAY_LEN(bufs); b++) {
			struct request request;
			struct buf *buf = bufs[b] ? bufs[b] : &request.labelled;
			size_t max, used;

			ingest_init_request(&ingest, &request);
			request.endpoint = ENDPOINT_HEALTH;
			max = buf->max;
			buf->max = SIZE_MAX;
			buf_release(buf);
			used = budget_used(&memory);
			assert_int_equal(buf_reserve(buf, rows[i].bytes), BUF_OK);
			assert_int_equal(budget_used(&memory), used + buf->cap);
			assert_int_equal(ingest_begin(&ingest, &request), INGEST_REPLY);
			ingest_end(&request);
			assert_int_equal(buf->data != NULL, rows[i].kept);
			ingest_trim(&ingest);
			/* The labelled one is its request's. */
			if (bufs[b])
				assert_null(buf->data);
			buf_release(buf);
			buf->max = max;
			request_release(&request);
		}
	}
}

/* The envelope and the body are checked as ever; what is left out afterwards is no error. */
static void test_begin__settings_leave_out_the_last_item__202_by_policy(void **state)
{
	static struct view noise[] = {VIEW_CONSTANT("noise")};
	int64_t before = metrics_get(METRIC_ACCEPTED_POLICY);
	int64_t dropped = metrics_get(METRIC_DROPPED_ERROR);

	(void)state;
	ingest_release(&ingest);
	config.privacy.drop_errors = (struct config_list){noise, 1};
	assert_true(ingest_init(&ingest, &config, &memory));
	check_row(&(struct envelope){.body = "{\"exceptions\":[{\"value\":\"noise\"}]}",
				     .status = 202},
		  0);
	check_row(&(struct envelope){.body = "{\"exceptions\":[{\"value\":\"noise\"},{}]}"}, 1);
	assert_int_equal(metrics_get(METRIC_ACCEPTED_POLICY), before + 1);
	assert_int_equal(metrics_get(METRIC_DROPPED_ERROR), dropped + 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_ingest__every_row_of_the_reply_table_before_the_receiver),
		cmocka_unit_test(test_ingest__left_out__is_counted_by_a_known_word),
		cmocka_unit_test(test_ingest__plain_body__is_capped_as_an_inflated_one),
		cmocka_unit_test(
			test_ingest__cross_origin__is_answered_for_the_allowed_origin_only),
		cmocka_unit_test(test_ingest__the_receivers_word__becomes_the_reply),
		cmocka_unit_test(test_ingest__status_pages__are_for_reading),
		cmocka_unit_test(test_ingest__hash__of_beacons_that_redaction_makes_equal__differs),
		cmocka_unit_test(test_ingest__hash__of_the_key_and_the_body_as_received),
		cmocka_unit_test(test_ingest__address__stamped_and_forwarded_each_in_its_form),
		cmocka_unit_test(test_ingest__no_memory_for_the_body__is_overload),
		cmocka_unit_test(test_begin__settings_leave_out_the_last_item__202_by_policy),
		cmocka_unit_test(test_ingest__buffers__are_kept_while_there_is_traffic),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
