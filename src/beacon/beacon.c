/* SPDX-License-Identifier: Apache-2.0 */
#include "beacon/beacon.h"

#include "base/metrics.h"

void beacon_count_items(const struct beacon_counts *counts)
{
	metrics_add(METRIC_ITEMS_LOG, counts->logs);
	metrics_add(METRIC_ITEMS_EXCEPTION, counts->exceptions);
	metrics_add(METRIC_ITEMS_EVENT, counts->events);
	metrics_add(METRIC_ITEMS_MEASUREMENT, counts->measurements);
	metrics_add(METRIC_ITEMS_SPAN, counts->spans);
}
