/* SPDX-License-Identifier: Apache-2.0 */
#include "upstream/breaker.h"

#include "base/metrics.h"

void breaker_init(struct breaker *breaker, const struct breaker_limits *limits)
{
	*breaker = (struct breaker){.limits = limits, .mutex = PTHREAD_MUTEX_INITIALIZER};
}

bool breaker_admits(struct breaker *breaker, int64_t now_us)
{
	bool admitted;

	pthread_mutex_lock(&breaker->mutex);
	admitted = !breaker->is_open || now_us >= breaker->probe_us;
	if (breaker->is_open && admitted)
		breaker->probe_us = now_us + breaker->limits->probe_us;
	pthread_mutex_unlock(&breaker->mutex);
	return admitted;
}

static bool is_full(const struct breaker *breaker, const struct breaker_row *row)
{
	return row->count >= breaker->limits->different;
}

static void add_to_row(const struct breaker *breaker, struct breaker_row *row, uint64_t beacon,
		       int64_t now_us)
{
	if (row->count == 0)
		row->since_us = now_us;
	for (int i = 0; i < row->count && beacon != 0; i++)
		if (row->beacons[i] == beacon)
			return;
	if (!is_full(breaker, row))
		row->beacons[row->count++] = beacon;
}

static void set_open(struct breaker *breaker, bool is_open, int64_t now_us)
{
	if (breaker->is_open == is_open)
		return;
	breaker->is_open = is_open;
	breaker->probe_us = now_us + breaker->limits->probe_us;
	metrics_set(METRIC_BREAKER_OPEN, is_open);
}

static void learn(struct breaker *breaker, enum breaker_report report, uint64_t beacon,
		  int64_t now_us)
{
	struct breaker_row *failures = &breaker->failures, *errors = &breaker->errors;

	/* Whoever answers can be reached. */
	if (report != BREAKER_FAILURE)
		failures->count = 0;
	switch (report) {
	case BREAKER_SUCCESS:
		errors->count = 0;
		set_open(breaker, false, now_us);
		break;
	case BREAKER_ALIVE:
	case BREAKER_THROTTLED:
		if (!is_full(breaker, errors))
			set_open(breaker, false, now_us);
		break;
	case BREAKER_ERROR:
		add_to_row(breaker, errors, beacon, now_us);
		if (!is_full(breaker, errors))
			set_open(breaker, false, now_us);
		else if (now_us - errors->since_us >= breaker->limits->errors_us)
			set_open(breaker, true, now_us);
		break;
	case BREAKER_FAILURE:
		add_to_row(breaker, failures, beacon, now_us);
		if (is_full(breaker, failures))
			set_open(breaker, true, now_us);
		break;
	}
}

void breaker_report(struct breaker *breaker, enum breaker_report report, uint64_t beacon,
		    int64_t now_us)
{
	pthread_mutex_lock(&breaker->mutex);
	learn(breaker, report, beacon, now_us);
	if (report == BREAKER_SUCCESS)
		atomic_fetch_add(&breaker->accepted, 1);
	if (report == BREAKER_THROTTLED || report == BREAKER_FAILURE ||
	    (report == BREAKER_ERROR && breaker->is_open))
		atomic_fetch_add(&breaker->troubles, 1);
	pthread_mutex_unlock(&breaker->mutex);
}

bool breaker_is_open(struct breaker *breaker)
{
	bool is_open;

	pthread_mutex_lock(&breaker->mutex);
	is_open = breaker->is_open;
	pthread_mutex_unlock(&breaker->mutex);
	return is_open;
}

bool breaker_sees_errors(struct breaker *breaker)
{
	bool sees;

	pthread_mutex_lock(&breaker->mutex);
	sees = is_full(breaker, &breaker->errors);
	pthread_mutex_unlock(&breaker->mutex);
	return sees;
}
