/* SPDX-License-Identifier: Apache-2.0 */
/*
 * relay: what each answer of the upstream, or its silence, means. Through each of its engines,
 * against a real HTTP server on loopback (relay_stage.h).
 */
#include <errno.h>

#include "base/metrics.h"
#include "upstream/relay_stage.h"

static void test_status__each_class__verdict(void **state)
{
	static const struct {
		int status;
		enum verdict verdict;
		enum metric metric;
		const char *event;
	} rows[] = {
		{200, VERDICT_ACCEPTED, METRIC_UPSTREAM_OK, ""},
		{202, VERDICT_ACCEPTED, METRIC_UPSTREAM_OK, ""},
		{204, VERDICT_ACCEPTED, METRIC_UPSTREAM_OK, ""},
		{299, VERDICT_ACCEPTED, METRIC_UPSTREAM_OK, ""},
		/* A redirect is not followed. */
		{301, VERDICT_UPSTREAM_MISCONFIGURED, METRIC_UPSTREAM_MISCONFIGURED,
		 "upstream_misconfigured"},
		{308, VERDICT_UPSTREAM_MISCONFIGURED, METRIC_UPSTREAM_MISCONFIGURED,
		 "upstream_misconfigured"},
		{400, VERDICT_UPSTREAM_REJECTED, METRIC_UPSTREAM_REJECTED, "upstream_rejected"},
		{401, VERDICT_UPSTREAM_MISCONFIGURED, METRIC_UPSTREAM_MISCONFIGURED,
		 "upstream_misconfigured"},
		{403, VERDICT_UPSTREAM_MISCONFIGURED, METRIC_UPSTREAM_MISCONFIGURED,
		 "upstream_misconfigured"},
		{404, VERDICT_UPSTREAM_MISCONFIGURED, METRIC_UPSTREAM_MISCONFIGURED,
		 "upstream_misconfigured"},
		{405, VERDICT_UPSTREAM_MISCONFIGURED, METRIC_UPSTREAM_MISCONFIGURED,
		 "upstream_misconfigured"},
		{408, VERDICT_UPSTREAM_UNAVAILABLE, METRIC_UPSTREAM_UNAVAILABLE,
		 "upstream_unavailable"},
		{413, VERDICT_UPSTREAM_REJECTED, METRIC_UPSTREAM_REJECTED, "upstream_rejected"},
		/* Not taken for a request to try without "Expect:", which is not sent. */
		{417, VERDICT_UPSTREAM_MISCONFIGURED, METRIC_UPSTREAM_MISCONFIGURED,
		 "upstream_misconfigured"},
		{422, VERDICT_UPSTREAM_REJECTED, METRIC_UPSTREAM_REJECTED, "upstream_rejected"},
		{425, VERDICT_UPSTREAM_UNAVAILABLE, METRIC_UPSTREAM_UNAVAILABLE,
		 "upstream_unavailable"},
		{429, VERDICT_UPSTREAM_THROTTLED, METRIC_UPSTREAM_THROTTLED, "upstream_throttled"},
		{499, VERDICT_UPSTREAM_MISCONFIGURED, METRIC_UPSTREAM_MISCONFIGURED,
		 "upstream_misconfigured"},
		{500, VERDICT_UPSTREAM_UNAVAILABLE, METRIC_UPSTREAM_UNAVAILABLE,
		 "upstream_unavailable"},
		{503, VERDICT_UPSTREAM_UNAVAILABLE, METRIC_UPSTREAM_UNAVAILABLE,
		 "upstream_unavailable"},
		{599, VERDICT_UPSTREAM_UNAVAILABLE, METRIC_UPSTREAM_UNAVAILABLE,
		 "upstream_unavailable"},
		/* No such class. */
		{600, VERDICT_UPSTREAM_UNAVAILABLE, METRIC_UPSTREAM_UNAVAILABLE,
		 "upstream_unavailable"},
	};
	char answer[128];
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(rows); i++) {
		int64_t before = metrics_get(rows[i].metric);
		struct relay_call *call;

		make_relay();
		fake_log.event = "";
		snprintf(answer, sizeof(answer),
			 "HTTP/1.1 %d X\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: "
			 "0\r\n\r\n",
			 rows[i].status);
		answer_with(answer);
		call = call_and_wait();
		assert_int_equal(call->verdict, rows[i].verdict);
		assert_int_equal(call->status, rows[i].status);
		assert_int_equal(metrics_get(rows[i].metric), before + 1);
		assert_int_equal(metrics_get(METRIC_UPSTREAM_UP), 1);
		assert_string_equal(fake_log.event, rows[i].event);
		if (*rows[i].event) {
			assert_int_equal(fake_log.status, rows[i].status);
			assert_string_equal(fake_log.upstream_url, bench->url);
		}
	}
}

static void test_misconfigured__log__says_what_to_check(void **state)
{
	(void)state;
	answer_with("HTTP/1.1 401 X\r\nContent-Length: 0\r\n\r\n");
	call_and_wait();
	assert_non_null(strstr(fake_log.msg, "FARO_UPSTREAM_API_KEY_FILE"));
	assert_non_null(strstr(fake_log.msg, "faro-ingest --check"));
}

/* A Faro receiver knows /collect: where that is not found, or no HTTP is spoken, the port is wrong
 * and not the path. */
static void test_wrong_port__log__tells_it_from_a_wrong_path(void **state)
{
	static const char not_found[] = "HTTP/1.1 404 X\r\nContent-Length: 0\r\n\r\n";
	static const struct {
		const char *path, *answer, *event, *advice;
	} rows[] = {
		{"collect", not_found, "upstream_misconfigured", "check host and port"},
		{"faro", not_found, "upstream_misconfigured", "does not know the path"},
		{"collect", "SSH-2.0-OpenSSH_9.2\r\n", "upstream_unavailable",
		 "does not speak HTTP/1.1; check the port"},
		/* It speaks HTTP, and is broken otherwise. */
		{"collect", "HTTP/1.1 200 X\r\nContent-Length: x\r\n\r\n", "upstream_unavailable",
		 "cannot be reached or is failing"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		strcpy(strrchr(bench->url, '/') + 1, rows[i].path);
		make_relay();
		answer_with(rows[i].answer);
		call_and_wait();
		assert_string_equal(fake_log.event, rows[i].event);
		if (!strstr(fake_log.msg, rows[i].advice))
			fail_msg("row %zu: %s", i, fake_log.msg);
	}
}

static void test_hints__of_the_receiver__checked_and_capped(void **state)
{
	static const struct {
		const char *headers;
		unsigned retry_after_s;
		const char *session_status;
	} rows[] = {
		{"Retry-After: 7\r\n", 7, ""},
		{"Retry-After: 0\r\n", 0, ""},
		{"Retry-After: 29\r\n", 29, ""},
		{"Retry-After: 30\r\n", 30, ""},
		{"Retry-After: 31\r\n", 30, ""},
		{"Retry-After: 999999999\r\n", 30, ""},
		/* As 32 and as 64 bits go round. */
		{"Retry-After: 4294967297\r\n", 30, ""},
		{"Retry-After: 18446744073709551617\r\n", 30, ""},
		{"Retry-After: -5\r\n", 0, ""},
		{"Retry-After: soon\r\n", 0, ""},
		/* Dates: long ago, far away. */
		{"Retry-After: Wed, 21 Oct 2015 07:28:00 GMT\r\n", 0, ""},
		{"Retry-After: Fri, 21 Oct 2095 07:28:00 GMT\r\n", 30, ""},
		{"X-Faro-Session-Status: invalid\r\n", 0, "invalid"},
		{"x-faro-session-status:   Not-Valid \r\n", 0, "Not-Valid"},
		/* 31 and 32 letters. */
		{"X-Faro-Session-Status: abcdefghijabcdefghijabcdefghijk\r\n", 0,
		 "abcdefghijabcdefghijabcdefghijk"},
		{"X-Faro-Session-Status: abcdefghijabcdefghijabcdefghijkl\r\n", 0, ""},
		{"X-Faro-Session-Status: in valid\r\n", 0, ""},
		{"X-Faro-Session-Status: a\"b\r\n", 0, ""},
		{"X-Faro-Session-Status:\r\n", 0, ""},
	};
	char answer[256];
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(rows); i++) {
		struct relay_call *call;

		snprintf(answer, sizeof(answer), "HTTP/1.1 202 X\r\n%sContent-Length: 0\r\n\r\n",
			 rows[i].headers);
		answer_with(answer);
		call = call_and_wait();
		assert_int_equal(call->verdict, VERDICT_ACCEPTED);
		assert_int_equal(call->retry_after_s, rows[i].retry_after_s);
		assert_string_equal(call->session_status, rows[i].session_status);
		await_close();
	}
	/* Nothing of one call is left for the next on the same handle. */
	answer_with(NULL);
	assert_string_equal(call_and_wait()->session_status, "");
}

/* Replies that are not what they should be. Ten times what socket buffers hold counts as endless.
 */

enum {
	ENDLESS = 8 * 1000 * 1000
};

static void cut_off(unsigned count)
{
	TURN_UNTIL(bench->stub.cut == count);
}

static void test_reply__hostile_or_cut__harmless(void **state)
{
	static const struct {
		const char *name, *answer, *repeated;
		size_t times;
		enum verdict verdict;
		int status;
	} rows[] = {
		{"interim replies",
		 "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early\r\nA: b\r\n\r\n",
		 "HTTP/1.1 202 X\r\nContent-Length: 0\r\n\r\n", 1, VERDICT_ACCEPTED, 202},
		{"only an interim reply", "HTTP/1.1 100 Continue\r\n\r\n", NULL, 0,
		 VERDICT_UPSTREAM_UNAVAILABLE, 0},
		{"endless interim replies", "", "HTTP/1.1 100 Continue\r\n\r\n", ENDLESS,
		 VERDICT_UPSTREAM_UNAVAILABLE, 0},
		{"nothing", "", NULL, 0, VERDICT_UPSTREAM_UNAVAILABLE, 0},
		{"another protocol", "SSH-2.0-x\r\n", NULL, 0, VERDICT_UPSTREAM_UNAVAILABLE, 0},
		{"HTTP/0.9", "ok", NULL, 0, VERDICT_UPSTREAM_UNAVAILABLE, 0},
		{"a cut status line", "HTTP/1.1 20", NULL, 0, VERDICT_UPSTREAM_UNAVAILABLE, 0},
		{"a cut header", "HTTP/1.1 202 X\r\nContent-Le", NULL, 0,
		 VERDICT_UPSTREAM_UNAVAILABLE, 0},
		{"a NUL in the header", "HTTP/1.1 202 X\r\nA: \0", NULL, 0,
		 VERDICT_UPSTREAM_UNAVAILABLE, 0},
		{"one endless header", "HTTP/1.1 202 X\r\nA: ", "aaaaaaaaaaaaaaaa", ENDLESS,
		 VERDICT_UPSTREAM_UNAVAILABLE, 0},
		{"endless headers", "HTTP/1.1 202 X\r\n", "A: b\r\n", ENDLESS,
		 VERDICT_UPSTREAM_UNAVAILABLE, 0},
		/* The receiver said that it took it. */
		{"a cut body", "HTTP/1.1 202 X\r\nContent-Length: 100\r\n\r\nok", NULL, 0,
		 VERDICT_ACCEPTED, 202},
		{"an endless body", "HTTP/1.1 202 X\r\n\r\n", "aaaaaaaaaaaaaaaa", ENDLESS,
		 VERDICT_ACCEPTED, 202},
		{"an endless body of a refusal", "HTTP/1.1 400 X\r\n\r\n", "aaaaaaaaaaaaaaaa",
		 ENDLESS, VERDICT_UPSTREAM_REJECTED, 400},
		{"bad chunks", "HTTP/1.1 202 X\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", NULL,
		 0, VERDICT_ACCEPTED, 202},
		{"a bad length", "HTTP/1.1 202 X\r\nContent-Length: -1\r\n\r\n", NULL, 0,
		 VERDICT_UPSTREAM_UNAVAILABLE, 0},
	};
	unsigned cut = 0;
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(rows); i++) {
		struct relay_call *call;

		stub_set_script(&bench->stub,
				(struct stub_script){STUB_ANSWER_AND_CLOSE, STUB_ANSWER_AND_CLOSE,
						     rows[i].answer, rows[i].repeated,
						     rows[i].times});
		call = call_and_wait();
		/* What is endless is not read to its end. */
		if (rows[i].times >= ENDLESS)
			cut_off(++cut);
		if (call->verdict != rows[i].verdict || call->status != rows[i].status)
			fail_msg("%s: verdict %d, status %d", rows[i].name, (int)call->verdict,
				 call->status);
		assert_int_equal(metrics_get(METRIC_UPSTREAM_UP), rows[i].status > 0);
		await_close();
	}
}

static void test_refusal__before_the_body_is_read__its_status(void **state)
{
	static char body[2 << 20];
	struct relay_call *call = &bench->calls[0];

	(void)state;
	memset(body, ' ', sizeof(body));
	stub_set_script(&bench->stub, (struct stub_script){STUB_ANSWER_EARLY, STUB_ANSWER_EARLY,
							   "HTTP/1.1 413 X\r\nContent-Length: 0\r\n"
							   "Connection: close\r\n\r\n",
							   NULL, 0});
	*call = (struct relay_call){.body = {body, sizeof(body)}, .done = on_done};
	assert_int_equal(relay_start(bench->relay, call), VERDICT_OK);
	TURN_UNTIL(bench->done == 1);
	/* The receiver's RST may overtake its answer. */
	if (call->status == 0)
		assert_int_equal(call->verdict, VERDICT_UPSTREAM_UNAVAILABLE);
	else
		assert_int_equal(call->verdict, VERDICT_UPSTREAM_REJECTED);
}

/* The rest of the body would be taken for the next request. libcurl sends it to its end first. */
static void test_refusal__before_the_body_is_read__connection_not_kept(void **state)
{
	static char body[32 << 20];
	struct relay_call *call = &bench->calls[0];

	(void)state;
	memset(body, ' ', sizeof(body));
	stub_set_script(&bench->stub, (struct stub_script){.first = STUB_ANSWER_EARLY_AND_STAY});
	*call = (struct relay_call){.body = {body, sizeof(body)}, .done = on_done};
	assert_int_equal(relay_start(bench->relay, call), VERDICT_OK);
	TURN_UNTIL(bench->done == 1);
	assert_int_equal(call->verdict, VERDICT_ACCEPTED);
	stub_set_script(&bench->stub, (struct stub_script){0});
	assert_int_equal(call_and_wait()->verdict, VERDICT_ACCEPTED);
	assert_int_equal(bench->stub.accepted, 2);
}

static void test_body__of_five_mebibytes__arrives_whole(void **state)
{
	static char body[5 << 20];
	struct relay_call *call = &bench->calls[0];
	char header[STUB_REQUEST_MAX];

	(void)state;
	memset(body, ' ', sizeof(body));
	*call = (struct relay_call){.body = {body, sizeof(body)}, .done = on_done};
	assert_int_equal(relay_start(bench->relay, call), VERDICT_OK);
	TURN_UNTIL(bench->done == 1);
	assert_int_equal(call->verdict, VERDICT_ACCEPTED);
	stub_read_last_request(&bench->stub, header, sizeof(header));
	assert_non_null(strstr(header, "Content-Length: 5242880\r\n"));
}

static void test_body__empty__is_not_read_from_elsewhere(void **state)
{
	struct relay_call *call = &bench->calls[0];

	(void)state;
	*call = (struct relay_call){.done = on_done};
	assert_int_equal(relay_start(bench->relay, call), VERDICT_OK);
	TURN_UNTIL(bench->done == 1);
	assert_int_equal(call->verdict, VERDICT_ACCEPTED);
}

static void test_silence__past_the_deadline__timeout_and_fresh_connections(void **state)
{
	unsigned before;

	(void)state;
	bench->config.upstream_timeout_ms = 700;
	make_relay();
	/* Two kept connections: one becomes silent, the other is suspect from then on. */
	stub_set_script(&bench->stub,
			(struct stub_script){.first = STUB_HOLD, .later = STUB_SILENT});
	assert_int_equal(start(&bench->calls[1]), VERDICT_OK);
	assert_int_equal(start(&bench->calls[2]), VERDICT_OK);
	TURN_UNTIL(bench->stub.held == 2);
	stub_let_go(&bench->stub);
	TURN_UNTIL(bench->done == 2);
	assert_int_equal(bench->stub.open, 2);

	assert_int_equal(call_and_wait()->verdict, VERDICT_UPSTREAM_TIMEOUT);
	assert_int_equal(bench->calls[0].status, 0);
	assert_string_equal(fake_log.event, "upstream_timeout");
	assert_int_equal(metrics_get(METRIC_UPSTREAM_UP), 0);
	assert_true(bench->resolver.refreshed > 0);

	before = bench->stub.accepted;
	stub_set_script(&bench->stub, (struct stub_script){.later = STUB_SILENT});
	assert_int_equal(call_and_wait()->verdict, VERDICT_ACCEPTED);
	assert_int_equal(bench->stub.accepted, before + 1);
	assert_string_equal(fake_log.event, "upstream_recovered");
	assert_string_equal(fake_log.upstream_url, bench->url);
}

static void test_silence__within_the_body_of_a_success__accepted(void **state)
{
	(void)state;
	bench->config.upstream_timeout_ms = 700;
	make_relay();
	stub_set_script(
		&bench->stub,
		(struct stub_script){.answer = "HTTP/1.1 202 X\r\nContent-Length: 100\r\n\r\nok"});
	assert_int_equal(call_and_wait()->verdict, VERDICT_ACCEPTED);
}

static void test_failures__one_line_when_they_end(void **state)
{
	(void)state;
	answer_with("HTTP/1.1 503 X\r\nContent-Length: 0\r\n\r\n");
	call_and_wait();
	await_close();
	call_and_wait();
	await_close();
	/* What is wrong with one beacon is no end of it, and no failure. */
	answer_with("HTTP/1.1 400 X\r\nContent-Length: 0\r\n\r\n");
	call_and_wait();
	await_close();
	assert_int_equal(fake_log.recovered, 0);
	answer_with(NULL);
	call_and_wait();
	await_close();
	call_and_wait();
	assert_int_equal(fake_log.recovered, 1);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	static const struct CMUnitTest tests[] = {
		TEST(test_status__each_class__verdict),
		TEST(test_misconfigured__log__says_what_to_check),
		TEST(test_wrong_port__log__tells_it_from_a_wrong_path),
		TEST(test_hints__of_the_receiver__checked_and_capped),
		TEST(test_reply__hostile_or_cut__harmless),
		TEST(test_refusal__before_the_body_is_read__its_status),
		TEST(test_body__of_five_mebibytes__arrives_whole),
		TEST(test_body__empty__is_not_read_from_elsewhere),
		TEST(test_silence__past_the_deadline__timeout_and_fresh_connections),
		TEST(test_silence__within_the_body_of_a_success__accepted),
		TEST(test_failures__one_line_when_they_end),
	};
	static const struct CMUnitTest own_tests[] = {
		TEST(test_refusal__before_the_body_is_read__connection_not_kept),
	};
	int failed;

	/* A driver that hangs has failed. */
	alarm(240);
	failed = cmocka_run_group_tests_name("engine_http", tests, NULL, NULL);
	failed += cmocka_run_group_tests_name("engine_http alone", own_tests, NULL, NULL);
	through_libcurl = true;
	return failed + cmocka_run_group_tests_name("engine_curl", tests, NULL, NULL);
}
