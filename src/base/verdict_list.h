/* SPDX-License-Identifier: Apache-2.0 */
/*
 * verdict_list: everything that may become of a request, a row each, with all that belongs to it.
 *
 * Names, statuses, reasons, metric labels, log events, Retry-After and texts of the reply are
 * written here and nowhere else. A file that needs some of them defines the macros of the rows it
 * wants and includes this one; rows of the other kinds vanish. All macros are undefined at the end.
 *
 *	beacon/verdict.h    enum verdict
 *	base/metrics.[hc]   rejected_total, accepted_total, upstream_requests_total, requests_total
 *	upstream/outcome.c  the log line of an attempt, and which statuses are passed on
 *	ingest/reply.c      the reply and its log line
 *
 * It stands in base because metrics, which are below everything, have the labels.
 */
#ifndef REPLY_STATUS
#define REPLY_STATUS(code, phrase)
#endif
#ifndef PASSED_ON_STATUS
#define PASSED_ON_STATUS(code)
#endif
#ifndef PLAIN_VERDICT
#define PLAIN_VERDICT(name, status)
#endif
#ifndef PROMISE_VERDICT
#define PROMISE_VERDICT(name, status, by)
#endif
#ifndef BROWSER_VERDICT
#define BROWSER_VERDICT(name, status, reason, text)
#endif
#ifndef UPSTREAM_VERDICT
#define UPSTREAM_VERDICT(name, status, reason, retry_after, message, text)
#endif
#ifndef OWN_VERDICT
#define OWN_VERDICT(name, status, reason, retry_after, message, text)
#endif

/* Every status that a reply can have, with its phrase (RFC 9110): also requests_total{code}. A
 * verdict with another one does not compile. */
REPLY_STATUS(200, "OK")
REPLY_STATUS(202, "Accepted")
REPLY_STATUS(204, "No Content")
REPLY_STATUS(400, "Bad Request")
REPLY_STATUS(403, "Forbidden")
REPLY_STATUS(404, "Not Found")
REPLY_STATUS(405, "Method Not Allowed")
REPLY_STATUS(413, "Content Too Large")
REPLY_STATUS(415, "Unsupported Media Type")
REPLY_STATUS(422, "Unprocessable Content")
REPLY_STATUS(429, "Too Many Requests")
REPLY_STATUS(502, "Bad Gateway")
REPLY_STATUS(503, "Service Unavailable")
REPLY_STATUS(504, "Gateway Timeout")

/* The upstream's statuses that blame the beacon: UPSTREAM_REJECTED, whose reply has the same
 * status. */
PASSED_ON_STATUS(400)
PASSED_ON_STATUS(413)
PASSED_ON_STATUS(422)

/* Nothing wrong so far: go on with the next stage. */
PLAIN_VERDICT(OK, 202)

/* A 202 is a promise. `by` is what it rests on: accepted_total{by}. */
PROMISE_VERDICT(ACCEPTED, 202, "receiver")   /* the upstream answered 2xx */
PROMISE_VERDICT(SPOOLED, 202, "spool")       /* the beacon is committed to the spool */
PROMISE_VERDICT(DUPLICATE, 202, "duplicate") /* the same beacon was answered 202 before */
PROMISE_VERDICT(POLICY, 202, "policy")       /* the operator's settings leave it out */

PLAIN_VERDICT(PREFLIGHT, 204)
PLAIN_VERDICT(STATUS_PAGE, 200) /* metrics, health, ready */

/* The browser's fault. `reason` is that of the problem body and of rejected_total{reason}; the
 * event is rejected_<reason>. `text` says what is wrong and what to do; NULL: the stage that
 * rejects the request has a text of its own. */
BROWSER_VERDICT(EMPTY, 400, "empty", "The request has no body; send one beacon as JSON.")
BROWSER_VERDICT(
	LENGTH, 400, "length",
	"The body does not have the length that was declared; send the request again, whole.")
BROWSER_VERDICT(BAD_ENCODING, 400, "bad_encoding", NULL)
BROWSER_VERDICT(BAD_JSON, 400, "bad_json", NULL)
BROWSER_VERDICT(AMBIGUOUS_KEY, 400, "ambiguous_key", NULL)
BROWSER_VERDICT(
	CROSS_SITE, 403, "cross_site",
	"Beacons are accepted from pages of the same origin only; the operator can add this "
	"page's origin to FARO_ALLOWED_ORIGINS.")
BROWSER_VERDICT(NOT_FOUND, 404, "not_found",
		"There is nothing under this path; post beacons to FARO_PATH or FARO_PATH/collect.")
BROWSER_VERDICT(BAD_METHOD, 405, "method", "Use one of the methods in Allow.")
BROWSER_VERDICT(TOO_LARGE, 413, "too_large", NULL)
BROWSER_VERDICT(BAD_TYPE, 415, "media_type", "Send Content-Type: application/json (or text/plain).")
BROWSER_VERDICT(BAD_CODING, 415, "content_coding", NULL)

/* What the upstream answered, or that it did not. `reason` is the outcome of
 * upstream_requests_total; with upstream_ before it, it is the reason of the reply, its metric and
 * the event. `message` is the operator's, in the log; NULL: it depends on the status (outcome.c).
 * `text` is the browser's. */
UPSTREAM_VERDICT(REJECTED, PASSED_ON, "rejected", false,
		 "The receiver did not accept a beacon; compare its limit on bytes with "
		 "FARO_MAX_DECODED_BYTES, and its version with the SDK's.",
		 "The receiver does not accept this beacon; check the SDK's version and the "
		 "receiver's limits. Sending it again does not help.")
UPSTREAM_VERDICT(
	MISCONFIGURED, 502, "misconfigured", false, NULL,
	"The receiver refuses all beacons of this relay; the operator finds the reason in its "
	"log.")
UPSTREAM_VERDICT(THROTTLED, 429, "throttled", true,
		 "The receiver's rate limit is reached; raise it there if this lasts.",
		 "The receiver's rate limit is reached; send it again after Retry-After.")
UPSTREAM_VERDICT(UNAVAILABLE, 503, "unavailable", true,
		 "The receiver cannot be reached or is failing; faro-ingest --check, run with the "
		 "same settings, says why and what to change.",
		 "The receiver cannot be reached or is failing; send it again after Retry-After.")
UPSTREAM_VERDICT(TIMEOUT, 504, "timeout", false,
		 "The receiver did not answer within FARO_UPSTREAM_TIMEOUT_MS.",
		 "The receiver did not answer in time and may or may not have the beacon; send it "
		 "again later.")

/* Our own limits. The event is the reason; `message` is what the operator can do. NULL: whoever
 * knows more has logged it (spool.c). */
OWN_VERDICT(OVERLOADED, 429, "overloaded", true,
	    "Beacons are rejected: memory or the number in flight is at its limit; raise "
	    "FARO_MAX_MEMORY_BYTES or FARO_UPSTREAM_MAX_INFLIGHT, or repair a slow receiver.",
	    "Too many beacons are in flight; send it again after Retry-After.")
OWN_VERDICT(SPOOL_FULL, 429, "spool_full", true, NULL,
	    "The receiver does not accept beacons at the moment, and the spool is full; send it "
	    "again after Retry-After.")
OWN_VERDICT(
	STALLED, 503, "stalled", true,
	"The process stood still for a while (stopped, frozen, or without CPU time), and requests in "
	"flight were lost with their connections; give it more CPU time if this lasts.",
	"The relay stood still for a moment; send it again after Retry-After.")

#undef REPLY_STATUS
#undef PASSED_ON_STATUS
#undef PLAIN_VERDICT
#undef PROMISE_VERDICT
#undef BROWSER_VERDICT
#undef UPSTREAM_VERDICT
#undef OWN_VERDICT
