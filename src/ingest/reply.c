/* SPDX-License-Identifier: Apache-2.0 */
#include "ingest/reply.h"

#include <cJSON.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/metrics.h"

/* Retry-After where the upstream gave none: long enough to help, and spread, so that browsers that
 * were rejected together do not come back together. */
enum {
	RETRY_MIN_S = 1,
	RETRY_MAX_S = 5
};

enum {
	ORIGIN_LOGGED_BYTES = 270 /* what the longest one has */
};

/* A row of the list whose status has no phrase there uses a name that does not exist, and does not
 * compile. */
enum status {
	STATUS_PASSED_ON = 0, /* the upstream's own */
#define REPLY_STATUS(code, phrase) STATUS_##code = (code),
#include "base/verdict_list.h"
};

#define PASSED_ON_STATUS(code) _Static_assert(STATUS_##code == (code), "a reply may have it");
#include "base/verdict_list.h"

#define NO_METRIC        METRIC_COUNT
#define REJECTED_MESSAGE "A request was rejected; its reply says why."

static const struct row {
	enum status status;
	enum metric metric;
	const char *reason;  /* NULL: no error */
	const char *event;   /* in the log, rate-limited; NULL: outcome.c logs it, or nobody does */
	const char *message; /* of the event */
	enum log_level level;
	bool retry_after;
	const char *text; /* NULL: none, or the stage's own */
} rows[VERDICT_COUNT] = {
#define PLAIN_VERDICT(name, code) [VERDICT_##name] = {.status = STATUS_##code, .metric = NO_METRIC},
#define PROMISE_VERDICT(name, code, by) \
	[VERDICT_##name] = {.status = STATUS_##code, .metric = METRIC_ACCEPTED_##name},
#define BROWSER_VERDICT(name, code, label, detail)            \
	[VERDICT_##name] = {.status = STATUS_##code,          \
			    .metric = METRIC_REJECTED_##name, \
			    .reason = (label),                \
			    .event = "rejected_" label,       \
			    .message = REJECTED_MESSAGE,      \
			    .level = LOG_INFO,                \
			    .text = (detail)},
#define UPSTREAM_VERDICT(name, code, label, retry, advice, detail)              \
	[VERDICT_UPSTREAM_##name] = {.status = STATUS_##code,                   \
				     .metric = METRIC_REJECTED_UPSTREAM_##name, \
				     .reason = "upstream_" label,               \
				     .retry_after = (retry),                    \
				     .text = (detail)},
#define OWN_VERDICT(name, code, label, retry, advice, detail)   \
	[VERDICT_##name] = {.status = STATUS_##code,            \
			    .metric = METRIC_REJECTED_##name,   \
			    .reason = (label),                  \
			    .event = (advice) ? (label) : NULL, \
			    .message = (advice),                \
			    .level = LOG_WARN,                  \
			    .retry_after = (retry),             \
			    .text = (detail)},
#include "base/verdict_list.h"
};

static unsigned jittered_retry_s(unsigned *random)
{
	return RETRY_MIN_S + (unsigned)rand_r(random) % (RETRY_MAX_S - RETRY_MIN_S + 1);
}

/* The origin is a browser's word: enough of it to find the page. */
static void log_rejection(const struct reply *reply, const struct row *row)
{
	struct view origin = reply->refused_origin;

	if (!origin.ptr) {
		log_limited(row->level, row->event, row->message, LOG_NUM("status", reply->status));
		return;
	}
	if (origin.len > ORIGIN_LOGGED_BYTES)
		origin.len = ORIGIN_LOGGED_BYTES;
	log_write_limited(LOG_MINUTE_MS, row->level, row->event, row->message,
			  (const struct log_field[]){LOG_NUM("status", reply->status),
						     LOG_VIEW("origin", origin),
						     {.key = NULL}});
}

/* Each beacon that is accepted comes by here with an empty one, for which snprintf(3) is too much. */
static void copy_detail(struct reply *reply, const char *detail)
{
	size_t len = strnlen(detail, sizeof(reply->detail) - 1);

	memcpy(reply->detail, detail, len);
	reply->detail[len] = '\0';
}

void reply_set(struct reply *reply, enum verdict verdict, const char *detail, unsigned *random)
{
	const struct row *row = &rows[verdict];

	if (!detail)
		detail = row->text ? row->text : "";
	if (reply->status == 0)
		reply->status = (int)row->status;
	reply->reason = row->reason;
	copy_detail(reply, detail);
	if (row->retry_after && reply->retry_after_s == 0)
		reply->retry_after_s = jittered_retry_s(random);
	if (row->metric != NO_METRIC)
		metrics_add(row->metric, 1);
	if (row->event)
		log_rejection(reply, row);
}

void reply_set_relayed(struct reply *reply, const struct relay_call *call, unsigned *random)
{
	const struct row *row = &rows[call->verdict];

	if (row->status == STATUS_PASSED_ON)
		reply->status = call->status;
	if (row->retry_after || call->verdict == VERDICT_ACCEPTED)
		reply->retry_after_s = call->retry_after_s;
	memcpy(reply->session_status, call->session_status, sizeof(reply->session_status));
	reply_set(reply, call->verdict, NULL, random);
}

/* --- printing ------------------------------------------------------------------------ */

static const char *status_phrase(int status)
{
	switch (status) {
#define REPLY_STATUS(code, phrase) \
	case code:                 \
		return phrase;
#include "base/verdict_list.h"
	default:
		/* Not reached: a status comes from the list, or is one of PASSED_ON_STATUS. */
		return "";
	}
}

/* The problem details of RFC 9457 as text that free() takes back; NULL without memory. */
static char *problem_text(const struct reply *reply)
{
	cJSON *problem = cJSON_CreateObject();
	char *text = NULL;

	if (cJSON_AddStringToObject(problem, "type", "about:blank") &&
	    cJSON_AddStringToObject(problem, "title", status_phrase(reply->status)) &&
	    cJSON_AddNumberToObject(problem, "status", reply->status) &&
	    cJSON_AddStringToObject(problem, "reason", reply->reason) &&
	    cJSON_AddStringToObject(problem, "detail", reply->detail))
		text = cJSON_PrintUnformatted(problem);
	cJSON_Delete(problem);
	return text;
}

static enum buf_result print_preflight(const struct config_list *headers, struct buf *out)
{
	enum buf_result result =
		buf_printf(out, "Access-Control-Allow-Methods: POST\r\n"
				"Access-Control-Allow-Headers: Content-Type, Content-Encoding, "
				"Idempotency-Key, Traceparent, X-Api-Key, X-Faro-Session-Id");

	for (size_t i = 0; i < headers->count && result == BUF_OK; i++)
		result = buf_printf(out, ", %s", headers->items[i].ptr);
	return result == BUF_OK ? buf_printf(out, "\r\nAccess-Control-Max-Age: 7200\r\n") : result;
}

static enum buf_result print_cors(const struct reply *reply, struct buf *out)
{
	enum buf_result result = BUF_OK;

	if (reply->vary_origin)
		result = buf_printf(out, "Vary: Origin\r\n");
	if (result != BUF_OK || !reply->cors_origin.ptr)
		return result;
	result = buf_printf(out,
			    "Access-Control-Allow-Origin: %.*s\r\n"
			    "Access-Control-Expose-Headers: Retry-After, X-Faro-Session-Status\r\n",
			    (int)reply->cors_origin.len, reply->cors_origin.ptr);
	if (result == BUF_OK && reply->preflight)
		result = print_preflight(reply->preflight, out);
	return result;
}

static enum buf_result print_headers(const struct reply *reply, struct buf *out)
{
	enum buf_result result = buf_printf(out, "Status: %d %s\r\nCache-Control: no-store\r\n",
					    reply->status, status_phrase(reply->status));

	if (result == BUF_OK && reply->retry_after_s > 0)
		result = buf_printf(out, "Retry-After: %u\r\n", reply->retry_after_s);
	if (result == BUF_OK && reply->allow)
		result = buf_printf(out, "Allow: %s\r\n", reply->allow);
	if (result == BUF_OK && reply->accept_encoding)
		result = buf_printf(out, "Accept-Encoding: %s\r\n", reply->accept_encoding);
	if (result == BUF_OK && reply->session_status[0])
		result = buf_printf(out, "X-Faro-Session-Status: %s\r\n", reply->session_status);
	return result == BUF_OK ? print_cors(reply, out) : result;
}

static enum buf_result print_body(const char *type, struct view body, struct buf *out)
{
	enum buf_result result =
		buf_printf(out, "Content-Type: %s\r\nContent-Length: %zu\r\n\r\n", type, body.len);

	return result == BUF_OK ? buf_append(out, body.ptr, body.len) : result;
}

/* The reply that nearly every beacon gets: it is printed from a constant. */
static bool is_plain_success(const struct reply *reply)
{
	return reply->status == 202 && !reply->vary_origin && !reply->cors_origin.ptr &&
	       reply->retry_after_s == 0 && !reply->session_status[0];
}

enum buf_result reply_print(const struct reply *reply, struct buf *out)
{
	static const struct view plain_success =
		VIEW_CONSTANT("Status: 202 Accepted\r\nCache-Control: no-store\r\n"
			      "Content-Type: text/plain\r\nContent-Length: 2\r\n\r\nok");
	enum buf_result result;
	char *problem;

	if (is_plain_success(reply))
		return buf_append(out, plain_success.ptr, plain_success.len);
	result = print_headers(reply, out);
	if (result != BUF_OK)
		return result;
	if (reply->text_page)
		return print_body(reply->text_page_type,
				  (struct view){reply->text_page->data, reply->text_page->len},
				  out);
	if (reply->status == 204)
		return buf_printf(out, "\r\n");
	if (!reply->reason)
		return print_body("text/plain", VIEW_LITERAL("ok"), out);
	problem = problem_text(reply);
	if (!problem)
		return BUF_OVER_BUDGET;
	result = print_body("application/problem+json", view_of(problem), out);
	cJSON_free(problem);
	return result;
}
