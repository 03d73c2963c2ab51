/* SPDX-License-Identifier: Apache-2.0 */
/*
 * metrics: enum-indexed counters and histograms, and their Prometheus text.
 *
 * metric_list.h has a row for each: name, label, type and help. Labels come from closed sets only,
 * so the number of series does not depend on what browsers send. There is one instance in the
 * process; every function may be called from any thread, and updates are relaxed atomics.
 */
#ifndef FARO_BASE_METRICS_H
#define FARO_BASE_METRICS_H

#include <stdint.h>

#include "base/buf.h"

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
void metrics_observe(enum histogram histogram, int64_t microseconds);

/* Appends the exposition text (version 0.0.4), build_info included. */
enum buf_result metrics_print(struct buf *out);

#endif
