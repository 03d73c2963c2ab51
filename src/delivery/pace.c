/* SPDX-License-Identifier: Apache-2.0 */
#include "delivery/pace.h"

#include <stdlib.h>

#include "delivery/policy.h"

static double start_rate(const struct pace *pace)
{
	double rate = pace->max_rate / RATE_START_DIVISOR;

	return rate < RATE_MIN ? RATE_MIN : rate;
}

void pace_init(struct pace *pace, struct breaker *breaker, double max_rate, int64_t now_us)
{
	*pace = (struct pace){.breaker = breaker,
			      .max_rate = max_rate,
			      .cut_us = now_us - RATE_CUT_INTERVAL_US,
			      .troubles = atomic_load(&breaker->troubles),
			      .random = (unsigned)now_us};
	pace->rate = start_rate(pace);
}

void pace_flush(struct pace *pace)
{
	pace->flushing = true;
	if (pace->failures == 0)
		pace->pause_until_us = 0;
}

/* Not below `least`. */
static void cut_rate(struct pace *pace, double least, int64_t now_us)
{
	if (now_us - pace->cut_us < RATE_CUT_INTERVAL_US || pace->rate <= least)
		return;
	pace->cut_us = now_us;
	pace->rate /= RATE_CUT_DIVISOR;
	if (pace->rate < least)
		pace->rate = least;
}

static int64_t pause_bound_us(const struct pace *pace)
{
	int64_t bound_us = PAUSE_MIN_US;

	if (pace->flushing)
		return PAUSE_DRAINING_US;
	for (int i = 1; i < pace->failures && bound_us < PAUSE_MAX_US; i++)
		bound_us *= 2;
	return bound_us < PAUSE_MAX_US ? bound_us : PAUSE_MAX_US;
}

static void follow_live_traffic(struct pace *pace, int64_t now_us)
{
	uint64_t troubles = atomic_load(&pace->breaker->troubles);
	uint64_t accepted = atomic_load(&pace->breaker->accepted);

	if (troubles != pace->troubles)
		cut_rate(pace, RATE_MIN, now_us);
	pace->troubles = troubles;
	if (pace->failures == 0 || accepted == pace->accepted)
		return;
	/* The upstream took a beacon of somebody else meanwhile: a short pause is enough. */
	pace->accepted = accepted;
	pace->failures = 1;
	if (pace->pause_until_us > now_us + PAUSE_MIN_US)
		pace->pause_until_us = now_us + PAUSE_MIN_US;
}

bool pace_is_in_trouble(const struct pace *pace)
{
	return pace->failures > 0 || breaker_is_open(pace->breaker);
}

int64_t pace_blocked_until(struct pace *pace, int64_t now_us)
{
	int64_t until_us = pace->told_until_us;

	follow_live_traffic(pace, now_us);
	if (pace->pause_until_us > until_us)
		until_us = pace->pause_until_us;
	if (pace_is_in_trouble(pace) && pace->sent_us + pause_bound_us(pace) / 2 > until_us)
		until_us = pace->sent_us + pause_bound_us(pace) / 2;
	if (!pace->flushing && pace->next_us > until_us)
		until_us = pace->next_us;
	return until_us > now_us ? until_us : 0;
}

void pace_sent(struct pace *pace, int64_t now_us)
{
	pace->sent_us = now_us;
	if (pace->next_us < now_us - RATE_CREDIT_US)
		pace->next_us = now_us - RATE_CREDIT_US;
	pace->next_us += (int64_t)(1e6 / pace->rate);
}

void pace_after_success(struct pace *pace)
{
	pace->failures = 0;
	pace->pause_until_us = 0;
	pace->rate += pace->max_rate / RATE_GROWTH_DIVISOR / pace->rate;
	if (pace->rate > pace->max_rate)
		pace->rate = pace->max_rate;
}

static void follow_retry_after(struct pace *pace, unsigned retry_after_s, int64_t now_us)
{
	int64_t until_us = now_us + (int64_t)retry_after_s * 1000000;

	if (until_us > pace->told_until_us)
		pace->told_until_us = until_us;
}

bool pace_after_error(struct pace *pace, unsigned retry_after_s, int64_t now_us)
{
	if (breaker_is_open(pace->breaker)) {
		pace_after_failure(pace, retry_after_s, now_us);
		return true;
	}
	/* It can be reached. */
	pace->failures = 0;
	if (!breaker_sees_errors(pace->breaker))
		return false;
	cut_rate(pace, start_rate(pace), now_us);
	follow_retry_after(pace, retry_after_s, now_us);
	return true;
}

void pace_after_failure(struct pace *pace, unsigned retry_after_s, int64_t now_us)
{
	cut_rate(pace, RATE_MIN, now_us);
	if (pace->failures < INT16_MAX)
		pace->failures++;
	pace->accepted = atomic_load(&pace->breaker->accepted);
	/* What ends during a pause does not prolong it. */
	if (pace->pause_until_us <= now_us)
		pace->pause_until_us = now_us + rand_r(&pace->random) % pause_bound_us(pace);
	follow_retry_after(pace, retry_after_s, now_us);
}
