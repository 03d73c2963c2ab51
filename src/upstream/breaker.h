/* SPDX-License-Identifier: Apache-2.0 */
/*
 * breaker: whether the upstream is worth an attempt, shared by all loops.
 *
 *	closed ─┬─ failures of `different` beacons in a row ─────────────────────┬─> open
 *	   ^    └─ errors for as many, and none accepted for limits.errors_us ───┘     │
 *	   └── answered, unless with the errors of a full row; one each probe_us asks ──┘
 *
 * A failure is that no answer came; an error is an answer that is one. A single beacon, however
 * often it is sent, opens nothing: what the upstream always answers with an error may be that
 * beacon's fault. While it is open, live beacons go straight to the spool, but for one each
 * probe_us, whether the last one has been answered or not; so it is used where there is a spool. It
 * also counts what the upstream said to anybody, by which replay sees how live traffic fares. What
 * counts as a failure or an error, and the limits, are its user's to say. Every function may be
 * called from any thread.
 */
#ifndef FARO_UPSTREAM_BREAKER_H
#define FARO_UPSTREAM_BREAKER_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

enum {
	BREAKER_DIFFERENT_MAX = 8
};

struct breaker_limits {
	int different;     /* beacons in a row that open it; at most BREAKER_DIFFERENT_MAX */
	int64_t errors_us; /* for so long a row of errors must last */
	int64_t probe_us;
};

/* How an attempt ended. */
enum breaker_report {
	BREAKER_SUCCESS,   /* accepted: ends both rows */
	BREAKER_ALIVE,     /* answered, no error: ends the failures only, like the next two */
	BREAKER_THROTTLED, /* the same, and counted as trouble */
	BREAKER_ERROR,     /* answered with an error; trouble while it is open */
	BREAKER_FAILURE,   /* not answered, and counted as trouble */
};

/* Different beacons without one that ends the row. */
struct breaker_row {
	uint64_t beacons[BREAKER_DIFFERENT_MAX];
	int count;
	int64_t since_us;
};

struct breaker {
	const struct breaker_limits *limits;
	pthread_mutex_t mutex; /* of all but the counters */
	struct breaker_row failures, errors;
	bool is_open;
	int64_t probe_us; /* while it is open: when the next one is admitted */
	_Atomic uint64_t accepted, troubles;
};

/* `limits` must outlive it. */
void breaker_init(struct breaker *breaker, const struct breaker_limits *limits);
/* True: make the attempt, and tell its end by breaker_report(), unless it was not made after all. */
bool breaker_admits(struct breaker *breaker, int64_t now_us);
/* `beacon` tells beacons apart; 0: nothing was sent of it, so that it cannot be its fault. */
void breaker_report(struct breaker *breaker, enum breaker_report report, uint64_t beacon,
		    int64_t now_us);
bool breaker_is_open(struct breaker *breaker);
/* As many different beacons as open it were answered with an error since the last acceptance: the
 * upstream may be in trouble. */
bool breaker_sees_errors(struct breaker *breaker);

#endif
