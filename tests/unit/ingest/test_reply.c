/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/log.h"
#include "base/metrics.h"
#include "base/text.h"
#include "ingest/reply.h"

static void expect_reply(const struct reply *reply, const char *expected)
{
	struct buf out;

	buf_init(&out, 10000, NULL);
	assert_int_equal(reply_print(reply, &out), BUF_OK);
	assert_int_equal(buf_append(&out, "", 1), BUF_OK);
	assert_string_equal(out.data, expected);
	buf_release(&out);
}

static void test_reply__printed__to_the_byte(void **state)
{
	struct buf page = {.data = (char[]){"x 1\n"}, .len = 4};
	struct reply busy = {.status = 429,
			     .reason = "overloaded",
			     .detail = "Say \"later\".",
			     .retry_after_s = 3,
			     .vary_origin = true};
	struct reply unknown_method = {
		.status = 405, .reason = "method", .detail = "No.", .allow = "POST, OPTIONS"};
	struct reply allowed = {.status = 202,
				.vary_origin = true,
				.cors_origin = VIEW_LITERAL("https://a.example")};
	static const struct config_list none = {NULL, 0};
	struct view names[] = {{"baggage", 7}, {"Sentry-Trace", 12}};
	const struct config_list some = {names, 2};
	struct reply preflight = {.status = 204,
				  .preflight = &none,
				  .vary_origin = true,
				  .cors_origin = VIEW_LITERAL("https://a.example")};

	(void)state;
	expect_reply(&(struct reply){.status = 202},
		     "Status: 202 Accepted\r\nCache-Control: no-store\r\n"
		     "Content-Type: text/plain\r\nContent-Length: 2\r\n\r\nok");
	expect_reply(&(struct reply){.status = 202, .session_status = "invalid"},
		     "Status: 202 Accepted\r\nCache-Control: no-store\r\n"
		     "X-Faro-Session-Status: invalid\r\n"
		     "Content-Type: text/plain\r\nContent-Length: 2\r\n\r\nok");
	/* The same for a page elsewhere on the host, and for one of an allowed origin. */
	expect_reply(&(struct reply){.status = 202, .vary_origin = true},
		     "Status: 202 Accepted\r\nCache-Control: no-store\r\nVary: Origin\r\n"
		     "Content-Type: text/plain\r\nContent-Length: 2\r\n\r\nok");
	expect_reply(&allowed,
		     "Status: 202 Accepted\r\nCache-Control: no-store\r\nVary: Origin\r\n"
		     "Access-Control-Allow-Origin: https://a.example\r\n"
		     "Access-Control-Expose-Headers: Retry-After, X-Faro-Session-Status\r\n"
		     "Content-Type: text/plain\r\nContent-Length: 2\r\n\r\nok");
	expect_reply(&busy,
		     "Status: 429 Too Many Requests\r\nCache-Control: no-store\r\n"
		     "Retry-After: 3\r\nVary: Origin\r\n"
		     "Content-Type: application/problem+json\r\nContent-Length: 111\r\n\r\n"
		     "{\"type\":\"about:blank\",\"title\":\"Too Many Requests\",\"status\":429,"
		     "\"reason\":\"overloaded\",\"detail\":\"Say \\\"later\\\".\"}");
	expect_reply(&unknown_method,
		     "Status: 405 Method Not Allowed\r\nCache-Control: no-store\r\n"
		     "Allow: POST, OPTIONS\r\n"
		     "Content-Type: application/problem+json\r\nContent-Length: 97\r\n\r\n"
		     "{\"type\":\"about:blank\",\"title\":\"Method Not Allowed\",\"status\":405,"
		     "\"reason\":\"method\",\"detail\":\"No.\"}");
	expect_reply(&preflight,
		     "Status: 204 No Content\r\nCache-Control: no-store\r\nVary: Origin\r\n"
		     "Access-Control-Allow-Origin: https://a.example\r\n"
		     "Access-Control-Expose-Headers: Retry-After, X-Faro-Session-Status\r\n"
		     "Access-Control-Allow-Methods: POST\r\n"
		     "Access-Control-Allow-Headers: Content-Type, Content-Encoding, "
		     "Idempotency-Key, Traceparent, X-Api-Key, X-Faro-Session-Id\r\n"
		     "Access-Control-Max-Age: 7200\r\n\r\n");
	preflight.preflight = &some;
	expect_reply(&preflight,
		     "Status: 204 No Content\r\nCache-Control: no-store\r\nVary: Origin\r\n"
		     "Access-Control-Allow-Origin: https://a.example\r\n"
		     "Access-Control-Expose-Headers: Retry-After, X-Faro-Session-Status\r\n"
		     "Access-Control-Allow-Methods: POST\r\n"
		     "Access-Control-Allow-Headers: Content-Type, Content-Encoding, "
		     "Idempotency-Key, Traceparent, X-Api-Key, X-Faro-Session-Id, baggage, "
		     "Sentry-Trace\r\n"
		     "Access-Control-Max-Age: 7200\r\n\r\n");
	expect_reply(&(struct reply){.status = 200, .text_page = &page, .text_page_type = "text/x"},
		     "Status: 200 OK\r\nCache-Control: no-store\r\n"
		     "Content-Type: text/x\r\n"
		     "Content-Length: 4\r\n\r\nx 1\n");
}

enum kind {
	PLAIN,
	PROMISE,
	BROWSER,
	UPSTREAM,
	OWN
};

/* Every verdict of the list, and what belongs to its kind. */
static const struct listed {
	const char *name;
	enum verdict verdict;
	enum kind kind;
	const char *series;         /* that counts it; NULL: none does */
	const char *reason;         /* NULL: it is no error */
	const char *message, *text; /* NULL: none, or somebody else's */
} listed[] = {
#define PLAIN_VERDICT(name, status) {#name, VERDICT_##name, PLAIN, NULL, NULL, NULL, NULL},
#define PROMISE_VERDICT(name, status, by) \
	{#name, VERDICT_##name, PROMISE, "accepted_total{by=\"" by "\"}", NULL, NULL, NULL},
#define BROWSER_VERDICT(name, status, reason, text)                                \
	{#name,  VERDICT_##name, BROWSER, "rejected_total{reason=\"" reason "\"}", \
	 reason, NULL,           text},
#define UPSTREAM_VERDICT(name, status, reason, retry_after, message, text) \
	{"UPSTREAM_" #name,                                                \
	 VERDICT_UPSTREAM_##name,                                          \
	 UPSTREAM,                                                         \
	 "rejected_total{reason=\"upstream_" reason "\"}",                 \
	 "upstream_" reason,                                               \
	 message,                                                          \
	 text},
#define OWN_VERDICT(name, status, reason, retry_after, message, text)          \
	{#name,  VERDICT_##name, OWN, "rejected_total{reason=\"" reason "\"}", \
	 reason, message,        text},
#include "base/verdict_list.h"
};

/* The value of a series on the page of metrics; -1 where it is not there exactly once. */
static long scrape(const char *series)
{
	char line[128];
	const char *found;
	struct buf page;
	long value = -1;

	buf_init(&page, SIZE_MAX, NULL);
	assert_int_equal(metrics_print(&page, METRICS_TEXT), BUF_OK);
	assert_int_equal(buf_append(&page, "", 1), BUF_OK);
	snprintf(line, sizeof(line), "\nfaro_ingest_%s ", series);
	found = strstr(page.data, line);
	if (found && !strstr(found + 1, line))
		value = strtol(found + strlen(line), NULL, 10);
	buf_release(&page);
	return value;
}

static void expect_counted_status(const char *name, int status)
{
	char series[64];

	snprintf(series, sizeof(series), "requests_total{code=\"%d\"}", status);
	if (scrape(series) < 0)
		fail_msg("%s: a reply %d counts as another", name, status);
}

static void expect_status_line(const char *name, const struct reply *reply)
{
	char start[32];
	struct buf out;

	buf_init(&out, 10000, NULL);
	assert_int_equal(reply_print(reply, &out), BUF_OK);
	snprintf(start, sizeof(start), "Status: %d ", reply->status);
	if (out.len < strlen(start) + 2 || memcmp(out.data, start, strlen(start)) != 0 ||
	    out.data[strlen(start)] == '\r')
		fail_msg("%s: the status %d has no phrase", name, reply->status);
	buf_release(&out);
}

static bool is_sentence(const char *text)
{
	return text && strlen(text) > 20 && text[strlen(text) - 1] == '.';
}

/* A stage that rejects what a browser sent may have the text; outcome.c, or the spool that is full,
 * has the message. */
static void expect_texts(const struct listed *row)
{
	if (!is_sentence(row->text) && (row->text || row->kind != BROWSER))
		fail_msg("%s: it does not say what is wrong and what to do", row->name);
	if (!is_sentence(row->message) &&
	    (row->message || (row->kind == OWN && row->verdict != VERDICT_SPOOL_FULL)))
		fail_msg("%s: the operator is not told what to do", row->name);
}

static void expect_error(const struct listed *row, const struct reply *reply)
{
	if (!reply->reason || strcmp(reply->reason, row->reason) != 0 || reply->status < 400)
		fail_msg("%s: %d %s", row->name, reply->status, reply->reason);
	assert_string_equal(reply->detail, row->text ? row->text : "");
	expect_texts(row);
	/* Who is asked to come again is told when. */
	if ((reply->status == 429 || reply->status == 503) != (reply->retry_after_s > 0))
		fail_msg("%s: %d with Retry-After %u", row->name, reply->status,
			 reply->retry_after_s);
}

static void check_verdict(const struct listed *row, const struct relay_call *call)
{
	struct reply reply = {0};
	unsigned random = 1;
	long before = row->series ? scrape(row->series) : 0;

	if (call)
		reply_set_relayed(&reply, call, &random);
	else
		reply_set(&reply, row->verdict, NULL, &random);
	expect_counted_status(row->name, reply.status);
	expect_status_line(row->name, &reply);
	if (row->series && (before < 0 || scrape(row->series) != before + 1))
		fail_msg("%s: %s has not counted it", row->name, row->series);
	if (row->reason)
		expect_error(row, &reply);
	else if (reply.reason || reply.status < 200 || reply.status > 299)
		fail_msg("%s: %d %s", row->name, reply.status, reply.reason);
}

static void test_reply__every_verdict__has_all_its_parts(void **state)
{
	(void)state;
	log_init(LOG_FORMAT_LOGFMT, LOG_ERROR);
	assert_int_equal(ARRAY_LEN(listed), VERDICT_COUNT);
	for (size_t i = 0; i < ARRAY_LEN(listed); i++)
		if (listed[i].verdict != VERDICT_UPSTREAM_REJECTED)
			check_verdict(&listed[i], NULL);
}

static void test_reply__a_detail_that_is_too_long__is_cut(void **state)
{
	char detail[sizeof(((struct reply *)0)->detail) + 1];
	unsigned random = 1;

	(void)state;
	for (size_t len = sizeof(detail) - 3; len < sizeof(detail); len++) {
		struct reply reply = {0};
		size_t kept = len < sizeof(reply.detail) - 1 ? len : sizeof(reply.detail) - 1;

		memset(reply.detail, 'x', sizeof(reply.detail));
		memset(detail, 'd', len);
		detail[len] = '\0';
		reply_set(&reply, VERDICT_BAD_JSON, detail, &random);
		assert_memory_equal(reply.detail, detail, kept);
		assert_int_equal(reply.detail[kept], '\0');
	}
}

static void test_reply__statuses_that_are_passed_on__are_ours_too(void **state)
{
	static const int statuses[] = {
#define PASSED_ON_STATUS(code) code,
#include "base/verdict_list.h"
	};
	const struct listed *row = listed;

	(void)state;
	while (row->verdict != VERDICT_UPSTREAM_REJECTED)
		row++;
	for (size_t i = 0; i < ARRAY_LEN(statuses); i++)
		check_verdict(row, &(struct relay_call){.verdict = VERDICT_UPSTREAM_REJECTED,
							.status = statuses[i]});
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_reply__printed__to_the_byte),
		cmocka_unit_test(test_reply__every_verdict__has_all_its_parts),
		cmocka_unit_test(test_reply__a_detail_that_is_too_long__is_cut),
		cmocka_unit_test(test_reply__statuses_that_are_passed_on__are_ours_too),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
