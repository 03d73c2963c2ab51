#include "breaker.h"

#include "metrics.h"

void breaker_init(struct breaker *breaker)
{
	atomic_init(&breaker->failures, 0);
	atomic_init(&breaker->open_until_us, 0);
	atomic_init(&breaker->open_us, 0);
	atomic_init(&breaker->probing, false);
	atomic_init(&breaker->accepted, 0);
	atomic_init(&breaker->troubles, 0);
}

bool breaker_admits(struct breaker *breaker, int64_t now_us)
{
	int64_t open_until_us = atomic_load(&breaker->open_until_us);
	bool nobody = false;

	if (open_until_us == 0)
		return true;
	return now_us >= open_until_us &&
	       atomic_compare_exchange_strong(&breaker->probing, &nobody, true);
}

static void close_again(struct breaker *breaker)
{
	atomic_store(&breaker->failures, 0);
	if (atomic_load(&breaker->open_until_us) == 0)
		return;
	atomic_store(&breaker->open_us, 0);
	atomic_store(&breaker->open_until_us, 0);
	atomic_store(&breaker->probing, false);
	metrics_set(METRIC_BREAKER_OPEN, 0);
}

/* Calls that began before it opened end later, and say nothing new: only the probe prolongs. */
static void open_for_longer(struct breaker *breaker, int64_t now_us)
{
	int64_t open_until_us = atomic_load(&breaker->open_until_us);
	int64_t open_us = 2 * atomic_load(&breaker->open_us);

	if (open_until_us != 0 && (now_us < open_until_us || !atomic_load(&breaker->probing)))
		return;
	if (open_us < BREAKER_OPEN_MIN_US)
		open_us = BREAKER_OPEN_MIN_US;
	if (open_us > BREAKER_OPEN_MAX_US)
		open_us = BREAKER_OPEN_MAX_US;
	/* Two threads may do this at once; they then write the same, but for a moment. */
	atomic_store(&breaker->open_us, open_us);
	atomic_store(&breaker->open_until_us, now_us + open_us);
	atomic_store(&breaker->probing, false);
	metrics_set(METRIC_BREAKER_OPEN, 1);
}

void breaker_report(struct breaker *breaker, enum verdict verdict, int64_t now_us)
{
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
		if (atomic_fetch_add(&breaker->failures, 1) + 1 >= BREAKER_FAILURES)
			open_for_longer(breaker, now_us);
		break;
	}
}

void breaker_forget(struct breaker *breaker)
{
	/* Whoever else probes just now is then not the only one, which does no harm. */
	atomic_store(&breaker->probing, false);
}

int64_t breaker_opens_us(struct breaker *breaker, int64_t now_us)
{
	int64_t open_until_us = atomic_load(&breaker->open_until_us);

	if (open_until_us == 0)
		return 0;
	if (now_us < open_until_us)
		return open_until_us;
	return atomic_load(&breaker->probing) ? INT64_MAX : 0;
}

bool breaker_is_open(struct breaker *breaker)
{
	return atomic_load(&breaker->open_until_us) != 0;
}
