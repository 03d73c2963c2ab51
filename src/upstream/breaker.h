/*
 * breaker: whether the upstream is worth an attempt, shared by all loops.
 *
 *	closed ──limits.failures in a row──> open, min ──over──> one probe ──no failure──> closed
 *	                                       ^ twice as long, at most max │
 *	                                       └──────────failure───────────┘
 *
 * While it is open, beacons go straight to the spool; so it is used where there is one. It also
 * counts what the upstream said to anybody, by which replay sees how live traffic fares. What
 * counts as a failure, and the limits, are its user's to say. Every function may be called from any
 * thread.
 */
#ifndef FARO_UPSTREAM_BREAKER_H
#define FARO_UPSTREAM_BREAKER_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct breaker_limits {
	int failures; /* so many in a row open it */
	int64_t open_min_us, open_max_us;
};

/* How an attempt ended. All but a failure close it. */
enum breaker_report {
	BREAKER_SUCCESS,
	BREAKER_ALIVE,     /* answered, and neither a success nor trouble */
	BREAKER_THROTTLED, /* answered, and counted as trouble */
	BREAKER_FAILURE,   /* counted as trouble */
};

struct breaker {
	const struct breaker_limits *limits;
	pthread_mutex_t mutex; /* of all but the counters */
	int failures;          /* in a row; limits->failures or more while it is open */
	int64_t open_until_us; /* 0: closed */
	int64_t open_us;       /* the length of the last opening */
	bool probing;
	_Atomic uint64_t accepted, troubles;
};

/* `limits` must outlive it. */
void breaker_init(struct breaker *breaker, const struct breaker_limits *limits);
/* True: make the attempt, and tell its end by breaker_report() or breaker_cancel_attempt(). */
bool breaker_admits(struct breaker *breaker, int64_t now_us);
void breaker_report(struct breaker *breaker, enum breaker_report report, int64_t now_us);
/* The attempt was not made, or was cancelled: another one may probe. */
void breaker_cancel_attempt(struct breaker *breaker);
bool breaker_is_open(struct breaker *breaker);
/* When it next admits somebody; 0: now. INT64_MAX: a probe is under way. */
int64_t breaker_retry_at_us(struct breaker *breaker, int64_t now_us);

#endif
