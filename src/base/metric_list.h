/* SPDX-License-Identifier: Apache-2.0 */
/*
 * metric_list: the counters and gauges of /metrics, in its order, a row each.
 *
 * A file that needs them defines METRIC_COUNTER, METRIC_GAUGE and METRIC_SERIES and includes this
 * one; metrics.h makes enum metric of it (METRIC_ and the row's name), metrics.c the text. The
 * macros are undefined at the end.
 */

/* Families of several series, which stand together. A row names its family without FAMILY_. */
#define FAMILY_REJECTED "rejected_total", "Requests answered with an error, by reason."
#define FAMILY_ACCEPTED                                                                        \
	"accepted_total", "Beacons answered 202: taken by the receiver, stored in the spool, " \
			  "known already, or left out by policy."
#define FAMILY_IGNORED "ignored_total", "Requests that FARO_IGNORE left out, by reason."
#define FAMILY_ITEMS   "items_total", "Items in the beacons that the receiver took, by kind."
#define FAMILY_DROPPED_ITEMS \
	"dropped_items_total", "Items that were removed from beacons, by reason."
#define FAMILY_REQUESTS "upstream_requests_total", "Requests to the receiver, by outcome."
#define FAMILY_DROPPED                                                                \
	"spool_dropped_total", "Spooled beacons that were not delivered, by reason; " \
			       "rejected, refused and ambiguous ones are in quarantine."

#define BROWSER_VERDICT(name, status, reason, text) \
	METRIC_SERIES(REJECTED_##name, REJECTED, "reason=\"" reason "\"")
#define UPSTREAM_VERDICT(name, status, reason, ...) \
	METRIC_SERIES(REJECTED_UPSTREAM_##name, REJECTED, "reason=\"upstream_" reason "\"")
#define OWN_VERDICT(name, status, reason, ...) \
	METRIC_SERIES(REJECTED_##name, REJECTED, "reason=\"" reason "\"")
#include "base/verdict_list.h"

#define PROMISE_VERDICT(name, status, by) METRIC_SERIES(ACCEPTED_##name, ACCEPTED, "by=\"" by "\"")
#include "base/verdict_list.h"

#define IGNORE_REASON(name, word) METRIC_SERIES(IGNORED_##name, IGNORED, "reason=\"" word "\"")
#include "base/ignore_list.h"

METRIC_SERIES(ITEMS_LOG, ITEMS, "kind=\"log\"")
METRIC_SERIES(ITEMS_EXCEPTION, ITEMS, "kind=\"exception\"")
METRIC_SERIES(ITEMS_EVENT, ITEMS, "kind=\"event\"")
METRIC_SERIES(ITEMS_MEASUREMENT, ITEMS, "kind=\"measurement\"")
METRIC_SERIES(ITEMS_SPAN, ITEMS, "kind=\"span\"")

METRIC_COUNTER(RECEIVED_BYTES, "received_bytes_total", "Bytes of beacons as browsers sent them.")
METRIC_COUNTER(DECODED_BYTES, "decoded_bytes_total", "Bytes of the same beacons after inflating.")
METRIC_COUNTER(SPOOFED, "spoofed_total",
	       "Labels that browsers sent and may not set; they were replaced or removed.")

METRIC_SERIES(DROPPED_BAD_SPAN, DROPPED_ITEMS, "reason=\"bad_span\"")
METRIC_SERIES(DROPPED_EXTENSION, DROPPED_ITEMS, "reason=\"extension\"")
METRIC_SERIES(DROPPED_ERROR, DROPPED_ITEMS, "reason=\"error\"")
METRIC_COUNTER(DROPPED_FIELDS, "dropped_fields_total",
	       "Members that FARO_DROP_FIELDS removed from beacons.")
METRIC_COUNTER(REDACTIONS, "redactions_total",
	       "Places in beacons that FARO_REDACT replaced by REDACTED.")

METRIC_SERIES(UPSTREAM_OK, REQUESTS, "outcome=\"ok\"")
#define UPSTREAM_VERDICT(name, status, reason, ...) \
	METRIC_SERIES(UPSTREAM_##name, REQUESTS, "outcome=\"" reason "\"")
#include "base/verdict_list.h"
METRIC_COUNTER(UPSTREAM_RESENDS, "upstream_resends_total",
	       "Requests sent again because a kept connection had died; each may be a duplicate.")
METRIC_COUNTER(UPSTREAM_UNANSWERED, "upstream_unanswered_total",
	       "Requests that were sent and not answered; the receiver may have taken them.")

METRIC_COUNTER(SPOOL_REPLAYED, "spool_replayed_total",
	       "Spooled beacons that the receiver took later.")
METRIC_SERIES(SPOOL_DROPPED_AGE, DROPPED, "reason=\"age\"")
METRIC_SERIES(SPOOL_DROPPED_DAMAGED, DROPPED, "reason=\"damaged\"")
METRIC_SERIES(SPOOL_DROPPED_REJECTED, DROPPED, "reason=\"rejected\"")
METRIC_SERIES(SPOOL_DROPPED_REFUSED, DROPPED, "reason=\"refused\"")
METRIC_SERIES(SPOOL_DROPPED_AMBIGUOUS, DROPPED, "reason=\"ambiguous\"")
METRIC_COUNTER(SPOOL_MOVED_ASIDE, "spool_moved_aside_total",
	       "Databases of the spool that were damaged, foreign or newer, and moved aside.")
METRIC_COUNTER(DUPLICATES, "duplicates_total",
	       "Beacons that came again with their Idempotency-Key and were not relayed again.")

METRIC_GAUGE(INFLIGHT, "inflight",
	     "Beacons that wait for the receiver or the spool now; "
	     "if it stays high, the receiver is slow.")
METRIC_GAUGE(INFLIGHT_BYTES, "inflight_bytes",
	     "Memory that beacons take now, in bytes; at FARO_MAX_MEMORY_BYTES browsers get 429.")
/* It begins as 1: nothing is known to be wrong before the first request. */
METRIC_GAUGE(UPSTREAM_UP, "upstream_up",
	     "1 if the receiver answered the last request to it, with any status, else 0.")
METRIC_GAUGE(UPSTREAM_REFUSES, "upstream_misconfigured",
	     "1 while the receiver refuses all beacons (401, 403, 404, certificate), else 0; "
	     "check URL and key.")
METRIC_GAUGE(BREAKER_OPEN, "breaker_open",
	     "1 while the receiver fails and new beacons go straight to the spool, else 0.")
METRIC_GAUGE(SPOOL_RECORDS, "spool_records", "Beacons in the spool that wait to be delivered.")
METRIC_GAUGE(SPOOL_QUARANTINED, "spool_quarantined",
	     "Beacons that failed too often: kept to look at, and not sent again.")
METRIC_GAUGE(SPOOL_BYTES, "spool_bytes",
	     "Bytes of the spool's files: database, log, and what was moved aside.")
METRIC_GAUGE(SPOOL_MAX_BYTES, "spool_max_bytes",
	     "What spool_bytes may reach (FARO_SPOOL_MAX_BYTES); 0 without a spool.")
METRIC_GAUGE(SPOOL_OLDEST_SECONDS, "spool_oldest_seconds",
	     "Age of the oldest beacon that waits in the spool, in seconds; 0 if none waits.")

#undef FAMILY_REJECTED
#undef FAMILY_ACCEPTED
#undef FAMILY_IGNORED
#undef FAMILY_ITEMS
#undef FAMILY_DROPPED_ITEMS
#undef FAMILY_REQUESTS
#undef FAMILY_DROPPED
#undef METRIC_COUNTER
#undef METRIC_GAUGE
#undef METRIC_SERIES
