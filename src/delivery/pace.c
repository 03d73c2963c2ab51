#include "delivery/pace.h"

#include <stdlib.h>

#include "delivery/policy.h"

void pace_init(struct pace *pace, struct breaker *breaker, double max_rate, int64_t now_us)
{
	*pace = (struct pace){.breaker = breaker,
			      .max_rate = max_rate,
			      .rate = max_rate / RATE_START_DIVISOR,
			      .cut_us = now_us - RATE_CUT_INTERVAL_US,
			      .troubles = atomic_load(&breaker->troubles),
			      .random = (unsigned)now_us};
	if (pace->rate < RATE_MIN)
		pace->rate = RATE_MIN;
}

void pace_flush(struct pace *pace)
{
	pace->flushing = true;
	if (pace->failures == 0)
		pace->pause_until_us = 0;
}

static void cut_rate(struct pace *pace, int64_t now_us)
{
	if (now_us - pace->cut_us < RATE_CUT_INTERVAL_US)
		return;
	pace->cut_us = now_us;
	pace->rate /= RATE_CUT_DIVISOR;
	if (pace->rate < RATE_MIN)
		pace->rate = RATE_MIN;
}

static void follow_live_traffic(struct pace *pace, int64_t now_us)
{
	uint64_t troubles = atomic_load(&pace->breaker->troubles);
	uint64_t accepted = atomic_load(&pace->breaker->accepted);

	if (troubles != pace->troubles)
		cut_rate(pace, now_us);
	pace->troubles = troubles;
	if (pace->failures == 0 || accepted == pace->accepted)
		return;
	/* The upstream took a beacon of somebody else meanwhile: a short pause is enough. */
	pace->accepted = accepted;
	if (pace->pause_until_us > now_us + PAUSE_MIN_US)
		pace->pause_until_us = now_us + PAUSE_MIN_US;
}

int64_t pace_blocked_until(struct pace *pace, int64_t now_us)
{
	int64_t opens_us = breaker_retry_at_us(pace->breaker, now_us);

	follow_live_traffic(pace, now_us);
	if (opens_us == INT64_MAX)
		return now_us + REPLAY_POLL_US;
	if (opens_us != 0)
		pace->probe_us = opens_us + PROBE_DELAY_US;
	if (pace->probe_us > now_us && breaker_is_open(pace->breaker))
		return pace->probe_us;
	if (pace->told_until_us > now_us)
		return pace->told_until_us;
	if (pace->pause_until_us > now_us)
		return pace->pause_until_us;
	if (!pace->flushing && pace->next_us > now_us)
		return pace->next_us;
	return 0;
}

void pace_sent(struct pace *pace, int64_t now_us)
{
	/* Time in which nothing was sent is not made up for. */
	if (pace->next_us < now_us)
		pace->next_us = now_us;
	pace->next_us += (int64_t)(1e6 / pace->rate);
}

void pace_after_success(struct pace *pace)
{
	pace->failures = 0;
	pace->rate += pace->max_rate / RATE_GROWTH_DIVISOR / pace->rate;
	if (pace->rate > pace->max_rate)
		pace->rate = pace->max_rate;
}

void pace_after_rejection(struct pace *pace)
{
	pace->failures = 0;
}

void pace_after_failure(struct pace *pace, unsigned retry_after_s, int64_t now_us)
{
	int64_t bound_us = PAUSE_MIN_US;

	for (int i = 0; i < pace->failures && bound_us < PAUSE_MAX_US; i++)
		bound_us *= 2;
	if (bound_us > PAUSE_MAX_US)
		bound_us = PAUSE_MAX_US;
	if (pace->flushing)
		bound_us = PAUSE_DRAINING_US;
	cut_rate(pace, now_us);
	pace->failures++;
	pace->accepted = atomic_load(&pace->breaker->accepted);
	pace->pause_until_us = now_us + rand_r(&pace->random) % bound_us;
	pace->told_until_us = now_us + (int64_t)retry_after_s * 1000000;
}
