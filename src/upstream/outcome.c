/* SPDX-License-Identifier: Apache-2.0 */
#include "upstream/outcome.h"

#include <curl/curl.h>
#include <string.h>
#include <time.h>

#include "base/log.h"
#include "base/metrics.h"

enum {
	RETRY_AFTER_MAX_S = 30
};

static const struct row {
	enum metric metric;
	const char *event,
		*message; /* NULL: no failure; a failure without a message has advice() */
} rows[VERDICT_COUNT] = {
	[VERDICT_ACCEPTED] = {METRIC_UPSTREAM_OK, NULL, NULL},
#define UPSTREAM_VERDICT(name, status, reason, retry_after, text_for_log, text) \
	[VERDICT_UPSTREAM_##name] = {METRIC_UPSTREAM_##name, "upstream_" reason, text_for_log},
#include "base/verdict_list.h"
};

static bool ends_in_collect(const char *url)
{
	struct view text = view_of(url), end = VIEW_LITERAL("/collect");

	return text.len >= end.len && memcmp(text.ptr + text.len - end.len, end.ptr, end.len) == 0;
}

static const char *advice(int status, const char *url)
{
	switch (status) {
	case 0:
		return "The receiver's certificate is not trusted; check FARO_UPSTREAM_CA_FILE and "
		       "the host in FARO_UPSTREAM_URL, or run faro-ingest --check.";
	case 401:
	case 403:
		return "The receiver refuses the API key; check FARO_UPSTREAM_API_KEY_FILE, or run "
		       "faro-ingest --check.";
	case 404:
		return ends_in_collect(url)
			       ? "The server there has no /collect, so it is not a Faro receiver; "
				 "check host and port in FARO_UPSTREAM_URL (12347 by default, "
				 "4318 is OTLP), or run faro-ingest --check."
			       : "The receiver does not know the path; leave it out of "
				 "FARO_UPSTREAM_URL or write /collect, or run faro-ingest --check.";
	default:
		return "The server there does not answer as a Faro receiver does; check "
		       "FARO_UPSTREAM_URL, or run faro-ingest --check.";
	}
}

static enum verdict verdict_of_status(int status)
{
	switch (status) {
#define PASSED_ON_STATUS(code) case code:
#include "base/verdict_list.h"
		return VERDICT_UPSTREAM_REJECTED;
	default:
		break;
	}
	if (status >= 200 && status <= 299)
		return VERDICT_ACCEPTED;
	if (status == 429)
		return VERDICT_UPSTREAM_THROTTLED;
	/* "Too slow", "too early": the next attempt may fare better. */
	if (status == 408 || status == 425)
		return VERDICT_UPSTREAM_UNAVAILABLE;
	if (status >= 300 && status <= 499)
		return VERDICT_UPSTREAM_MISCONFIGURED;
	return VERDICT_UPSTREAM_UNAVAILABLE;
}

static enum verdict verdict_of_failure(enum relay_failure failure)
{
	switch (failure) {
	case RELAY_SILENT:
		return VERDICT_UPSTREAM_TIMEOUT;
	case RELAY_UNTRUSTED:
		return VERDICT_UPSTREAM_MISCONFIGURED;
	default:
		/* Also where connecting took too long: only an upstream that was reached can be
		 * silent. */
		return VERDICT_UPSTREAM_UNAVAILABLE;
	}
}

static bool is_in(char c, const char *set)
{
	return c != '\0' && strchr(set, c) != NULL;
}

/* Retry-After is a number of seconds, or a date. */
static void read_retry_after(struct view value, struct relay_call *call)
{
	char date[64];
	time_t then;
	unsigned seconds = 0;
	size_t i;

	for (i = 0; i < value.len && is_in(value.ptr[i], "0123456789"); i++)
		if (seconds <= RETRY_AFTER_MAX_S)
			seconds = seconds * 10 + (unsigned)(value.ptr[i] - '0');
	if (i < value.len) {
		if (i > 0 || value.len >= sizeof(date) || !is_in(value.ptr[0], "MTWFS"))
			return;
		memcpy(date, value.ptr, value.len);
		date[value.len] = '\0';
		then = curl_getdate(date, NULL) - time(NULL);
		seconds = then <= 0                  ? 0
			  : then < RETRY_AFTER_MAX_S ? (unsigned)then
						     : RETRY_AFTER_MAX_S;
	}
	call->retry_after_s = seconds < RETRY_AFTER_MAX_S ? seconds : RETRY_AFTER_MAX_S;
}

static void read_session_status(struct view value, struct relay_call *call)
{
	static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz-";
	size_t i;

	if (value.len >= sizeof(call->session_status))
		return;
	for (i = 0; i < value.len; i++)
		if (!is_in(value.ptr[i], letters))
			return;
	if (value.len > 0)
		memcpy(call->session_status, value.ptr, value.len);
	call->session_status[value.len] = '\0';
}

static void log_failure(const struct outcome *outcome, const struct relay_call *call)
{
	const struct row *row = &rows[call->verdict];
	const char *message = row->message ? row->message : advice(call->status, outcome->url);

	/* An operator's mistake lasts until it is corrected, so it is logged less often. */
	int64_t every_ms =
		call->verdict == VERDICT_UPSTREAM_MISCONFIGURED ? LOG_MINUTE_MS : LOG_LIMIT_MS;
	struct log_field fields[] = {LOG_STR("upstream_url", outcome->url),
				     LOG_NUM("status", call->status),
				     {.key = NULL}};

	if (call->status == 0 && outcome->answer->failure == RELAY_NOT_HTTP)
		message = "The server there does not speak HTTP/1.1; check the port in "
			  "FARO_UPSTREAM_URL (12347 by default, 4317 is OTLP over gRPC), or run "
			  "faro-ingest --check.";
	if (call->status == 0)
		fields[1] = LOG_STR("reason", outcome->answer->reason);
	log_write_limited(every_ms, LOG_WARN, row->event, message, fields);
}

static void log_outcome(const struct outcome *outcome, const struct relay_call *call)
{
	if (call->verdict != VERDICT_ACCEPTED) {
		log_failure(outcome, call);
		/* The upstream that rejects a beacon is up. */
		if (call->verdict != VERDICT_UPSTREAM_REJECTED)
			++*outcome->failures;
	} else if (*outcome->failures > 0) {
		log_limited(LOG_INFO, "upstream_recovered", "The receiver takes beacons again.",
			    LOG_STR("upstream_url", outcome->url),
			    LOG_NUM("failures", *outcome->failures));
		*outcome->failures = 0;
	}
}

void outcome_report(const struct outcome *outcome, struct relay_call *call)
{
	const struct answer *answer = outcome->answer;

	call->status = answer->status;
	call->sent = outcome->sent;
	call->retry_after_s = 0;
	call->session_status[0] = '\0';
	if (call->status > 0) {
		call->verdict = verdict_of_status(call->status);
		read_retry_after(answer->retry_after, call);
		read_session_status(answer->session_status, call);
	} else {
		call->verdict = verdict_of_failure(answer->failure);
	}
	metrics_add(rows[call->verdict].metric, 1);
	if (call->sent && call->status == 0)
		metrics_add(METRIC_UPSTREAM_UNANSWERED, 1);
	if (call->verdict == VERDICT_UPSTREAM_MISCONFIGURED || call->status > 0)
		metrics_set(METRIC_UPSTREAM_REFUSES,
			    call->verdict == VERDICT_UPSTREAM_MISCONFIGURED);
	metrics_set(METRIC_UPSTREAM_UP, call->status > 0);
	log_outcome(outcome, call);
}
