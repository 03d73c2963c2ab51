/*
 * metrics: enum-indexed counters and histograms, and their Prometheus text.
 *
 * One table in metrics.c gives each its name, labels, type and help. Labels come from closed sets
 * only, so the number of series does not depend on what browsers send. One process-wide instance;
 * every function may be called from any thread, updates are relaxed atomics.
 */
#ifndef FARO_BASE_METRICS_H
#define FARO_BASE_METRICS_H

#include <stdint.h>

#include "base/buf.h"

enum metric {
	/* rejected_total{reason}: see ingest.c for which verdict counts where */
	METRIC_REJECTED_EMPTY,
	METRIC_REJECTED_LENGTH,
	METRIC_REJECTED_BAD_ENCODING,
	METRIC_REJECTED_BAD_JSON,
	METRIC_REJECTED_AMBIGUOUS_KEY,
	METRIC_REJECTED_RESERVED_NAME,
	METRIC_REJECTED_CROSS_SITE,
	METRIC_REJECTED_NOT_FOUND,
	METRIC_REJECTED_METHOD,
	METRIC_REJECTED_TOO_LARGE,
	METRIC_REJECTED_MEDIA_TYPE,
	METRIC_REJECTED_CONTENT_CODING,
	METRIC_REJECTED_UPSTREAM_REJECTED,
	METRIC_REJECTED_UPSTREAM_MISCONFIGURED,
	METRIC_REJECTED_UPSTREAM_THROTTLED,
	METRIC_REJECTED_UPSTREAM_UNAVAILABLE,
	METRIC_REJECTED_UPSTREAM_TIMEOUT,
	METRIC_REJECTED_OVERLOADED,

	/* accepted_total{by}: what the 202 rests on */
	METRIC_ACCEPTED_RECEIVER,
	METRIC_ACCEPTED_SPOOL,
	METRIC_ACCEPTED_DUPLICATE,

	METRIC_ITEMS_LOG,
	METRIC_ITEMS_EXCEPTION,
	METRIC_ITEMS_EVENT,
	METRIC_ITEMS_MEASUREMENT,
	METRIC_ITEMS_SPAN,

	METRIC_RECEIVED_BYTES,
	METRIC_DECODED_BYTES,
	METRIC_SPOOFED,

	METRIC_UPSTREAM_OK,
	METRIC_UPSTREAM_REJECTED,
	METRIC_UPSTREAM_MISCONFIGURED,
	METRIC_UPSTREAM_THROTTLED,
	METRIC_UPSTREAM_UNAVAILABLE,
	METRIC_UPSTREAM_TIMEOUT,
	METRIC_UPSTREAM_RESENDS,
	METRIC_UPSTREAM_UNANSWERED,

	METRIC_SPOOL_REPLAYED,
	METRIC_SPOOL_DROPPED_AGE,
	METRIC_SPOOL_DROPPED_DAMAGED,
	METRIC_SPOOL_DROPPED_REJECTED,
	METRIC_SPOOL_DROPPED_AMBIGUOUS,
	METRIC_SPOOL_MOVED_ASIDE,
	METRIC_DUPLICATES,

	/* Gauges: set or moved both ways. */
	METRIC_INFLIGHT,
	METRIC_INFLIGHT_BYTES,
	METRIC_UPSTREAM_UP, /* 1 after an answer of the receiver, 0 after none; 1 before the first
			     */
	METRIC_UPSTREAM_REFUSES,
	METRIC_BREAKER_OPEN,
	METRIC_SPOOL_RECORDS,
	METRIC_SPOOL_QUARANTINED,
	METRIC_SPOOL_BYTES,
	METRIC_SPOOL_MAX_BYTES,
	METRIC_SPOOL_OLDEST_SECONDS,
	METRIC_COUNT
};

enum histogram {
	HISTOGRAM_REQUEST_SECONDS,
	HISTOGRAM_UPSTREAM_SECONDS,
	HISTOGRAM_COUNT
};

void metrics_add(enum metric metric, int64_t amount);
void metrics_set(enum metric metric, int64_t value);
int64_t metrics_get(enum metric metric);
/* requests_total{code}: one of the statuses that ingest can answer with; others count as "other".
 */
void metrics_count_reply(int status);
void metrics_observe(enum histogram histogram, int64_t microseconds);

/* Appends the exposition text (version 0.0.4), build_info included. */
enum buf_result metrics_print(struct buf *out);

#endif
