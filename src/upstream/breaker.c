#include "upstream/breaker.h"

#include "base/metrics.h"

void breaker_init(struct breaker *breaker)
{
	*breaker = (struct breaker){.mutex = PTHREAD_MUTEX_INITIALIZER};
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
	if (breaker->open_us < BREAKER_OPEN_MIN_US)
		breaker->open_us = BREAKER_OPEN_MIN_US;
	if (breaker->open_us > BREAKER_OPEN_MAX_US)
		breaker->open_us = BREAKER_OPEN_MAX_US;
	breaker->open_until_us = now_us + breaker->open_us;
	breaker->probing = false;
	metrics_set(METRIC_BREAKER_OPEN, 1);
}

void breaker_report(struct breaker *breaker, enum verdict verdict, int64_t now_us)
{
	pthread_mutex_lock(&breaker->mutex);
	switch (verdict) {
	case VERDICT_ACCEPTED:
		atomic_fetch_add(&breaker->accepted, 1);
		close_again(breaker);
		break;
	case VERDICT_UPSTREAM_THROTTLED:
		/* It lives, and wants less: that is for replay's rate to follow. */
		atomic_fetch_add(&breaker->troubles, 1);
		close_again(breaker);
		break;
	case VERDICT_UPSTREAM_REJECTED:
		close_again(breaker);
		break;
	default:
		atomic_fetch_add(&breaker->troubles, 1);
		if (++breaker->failures >= BREAKER_FAILURES)
			open_for_longer(breaker, now_us);
		break;
	}
	pthread_mutex_unlock(&breaker->mutex);
}

void breaker_forget(struct breaker *breaker)
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
