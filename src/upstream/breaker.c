#include "upstream/breaker.h"

#include "base/metrics.h"

void breaker_init(struct breaker *breaker, const struct breaker_limits *limits)
{
	*breaker = (struct breaker){.limits = limits, .mutex = PTHREAD_MUTEX_INITIALIZER};
}

bool breaker_admits(struct breaker *breaker, int64_t now_us)
{
	bool closed, probes;

	pthread_mutex_lock(&breaker->mutex);
	closed = breaker->open_until_us == 0;
	probes = !closed && now_us >= breaker->open_until_us && !breaker->probing;
	breaker->probing |= probes;
	pthread_mutex_unlock(&breaker->mutex);
	return closed || probes;
}

static void close_again(struct breaker *breaker)
{
	breaker->failures = 0;
	if (breaker->open_until_us == 0)
		return;
	breaker->open_us = 0;
	breaker->open_until_us = 0;
	breaker->probing = false;
	metrics_set(METRIC_BREAKER_OPEN, 0);
}

/* Calls that began before it opened end later, and say nothing new: only the probe prolongs. */
static void open_for_longer(struct breaker *breaker, int64_t now_us)
{
	if (breaker->open_until_us != 0 && (now_us < breaker->open_until_us || !breaker->probing))
		return;
	breaker->open_us *= 2;
	if (breaker->open_us < breaker->limits->open_min_us)
		breaker->open_us = breaker->limits->open_min_us;
	if (breaker->open_us > breaker->limits->open_max_us)
		breaker->open_us = breaker->limits->open_max_us;
	breaker->open_until_us = now_us + breaker->open_us;
	breaker->probing = false;
	metrics_set(METRIC_BREAKER_OPEN, 1);
}

void breaker_report(struct breaker *breaker, enum breaker_report report, int64_t now_us)
{
	pthread_mutex_lock(&breaker->mutex);
	if (report == BREAKER_SUCCESS)
		atomic_fetch_add(&breaker->accepted, 1);
	if (report == BREAKER_THROTTLED || report == BREAKER_FAILURE)
		atomic_fetch_add(&breaker->troubles, 1);
	if (report != BREAKER_FAILURE)
		close_again(breaker);
	else if (++breaker->failures >= breaker->limits->failures)
		open_for_longer(breaker, now_us);
	pthread_mutex_unlock(&breaker->mutex);
}

void breaker_cancel_attempt(struct breaker *breaker)
{
	/* Whoever else probes just now is then not the only one, which does no harm. */
	pthread_mutex_lock(&breaker->mutex);
	breaker->probing = false;
	pthread_mutex_unlock(&breaker->mutex);
}

int64_t breaker_retry_at_us(struct breaker *breaker, int64_t now_us)
{
	int64_t opens_us = 0;

	pthread_mutex_lock(&breaker->mutex);
	if (now_us < breaker->open_until_us)
		opens_us = breaker->open_until_us;
	else if (breaker->probing)
		opens_us = INT64_MAX;
	pthread_mutex_unlock(&breaker->mutex);
	return opens_us;
}

bool breaker_is_open(struct breaker *breaker)
{
	bool is_open;

	pthread_mutex_lock(&breaker->mutex);
	is_open = breaker->open_until_us != 0;
	pthread_mutex_unlock(&breaker->mutex);
	return is_open;
}
