/* SPDX-License-Identifier: Apache-2.0 */
/*
 * metrics: enum-indexed counters and histograms, and their Prometheus text.
 *
 * metric_list.h has a row for each: name, label, type and help. Labels come from closed sets only,
 * so the number of series does not depend on what browsers send. The one thing of a client on the
 * page is the trace of an exemplar, in OpenMetrics: 32 hexadecimal digits, one for each bucket.
 * There is one instance in the process; every function may be called from any thread, and updates
 * are relaxed atomics.
 */
#ifndef FARO_BASE_METRICS_H
#define FARO_BASE_METRICS_H

#include <stdint.h>

#include "base/buf.h"
#include "base/traceparent.h"

enum metric {
#define METRIC_COUNTER(name, ...) METRIC_##name,
#define METRIC_GAUGE(name, ...)   METRIC_##name,
#define METRIC_SERIES(name, ...)  METRIC_##name,
#include "base/metric_list.h"
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
/* requests_total{code}: a status of verdict_list.h. Anything else counts as "other", such as the 0
 * of a request whose peer was gone before there was a reply. */
void metrics_count_reply(int status);
/* With a trace, the observation becomes the exemplar of its bucket. */
void metrics_observe(enum histogram histogram, int64_t microseconds, struct trace_id trace);

enum metrics_format {
	METRICS_TEXT, /* Prometheus text 0.0.4, which has no exemplars */
	METRICS_OPENMETRICS
};

/* The value of Content-Type. */
const char *metrics_type(enum metrics_format format);
/* Appends the page, build_info included. */
enum buf_result metrics_print(struct buf *out, enum metrics_format format);

#endif
