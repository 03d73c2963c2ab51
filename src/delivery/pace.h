/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pace: how fast replay may go, and when it waits.
 *
 * The rate grows with each record that is taken and is cut after trouble of anybody, live traffic's
 * or replay's own. In trouble, which is after a failure of its own or while the breaker is open,
 * replay pauses for a random time up to a bound that doubles, and at least for the upstream's
 * Retry-After. All numbers are policy.h's (RATE_, PAUSE_).
 */
#ifndef FARO_DELIVERY_PACE_H
#define FARO_DELIVERY_PACE_H

#include "upstream/breaker.h"

struct pace {
	struct breaker *breaker;
	double max_rate, rate; /* records a second */
	int failures;          /* of replay, in a row */
	bool flushing;
	int64_t next_us;        /* by the rate */
	int64_t sent_us;        /* the last one */
	int64_t pause_until_us; /* after failures */
	int64_t told_until_us;  /* by Retry-After */
	int64_t cut_us;         /* when the rate was last halved */
	uint64_t troubles;      /* the breaker's count, as far as the rate has followed it */
	uint64_t accepted;      /* the same, when the pause began */
	unsigned random;
};

void pace_init(struct pace *pace, struct breaker *breaker, double max_rate, int64_t now_us);
/* The process is about to end: from now on there is no rate, and pauses are short. */
void pace_flush(struct pace *pace);

/* When the next record may go; 0: now. Takes into account what live traffic met. */
int64_t pace_blocked_until(struct pace *pace, int64_t now_us);
/* Replay only tries whether the upstream is back. */
bool pace_is_in_trouble(const struct pace *pace);
void pace_sent(struct pace *pace, int64_t now_us);
/* How the attempt ended, after the breaker has been told. */
void pace_after_success(struct pace *pace);
/* It was answered with an error, which may be the record's own fault. False: it may, so that
 * nothing but this record is to wait for Retry-After. */
bool pace_after_error(struct pace *pace, unsigned retry_after_s, int64_t now_us);
void pace_after_failure(struct pace *pace, unsigned retry_after_s, int64_t now_us);

#endif
