/*
 * breaker: whether the receiver is worth an attempt, shared by all loops.
 *
 *	closed ──BREAKER_FAILURES in a row──> open, 1 s ──over──> one probe ──taken──> closed
 *	                                        ^ twice as long, at most 30 s     │
 *	                                        └───────────────failed────────────┘
 *
 * While it is open, beacons go straight to the spool; so it is used where there is one. It also
 * counts what the receiver said to anybody, by which replay sees how live traffic fares. Every
 * function may be called from any thread.
 */
#ifndef FARO_UPSTREAM_BREAKER_H
#define FARO_UPSTREAM_BREAKER_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "beacon/verdict.h"

enum {
	BREAKER_FAILURES = 5,
	BREAKER_OPEN_MIN_US = 1000 * 1000,
	BREAKER_OPEN_MAX_US = 30 * 1000 * 1000,
};

struct breaker {
	pthread_mutex_t mutex; /* of all but the counters */
	int failures;          /* in a row; BREAKER_FAILURES or more while it is open */
	int64_t open_until_us; /* 0: closed */
	int64_t open_us;       /* the length of the last opening */
	bool probing;
	_Atomic uint64_t accepted, troubles; /* 2xx; anything else but a refused beacon */
};

void breaker_init(struct breaker *breaker);
/* True: make the attempt, and tell its end by breaker_report() or breaker_forget(). */
bool breaker_admits(struct breaker *breaker, int64_t now_us);
void breaker_report(struct breaker *breaker, enum verdict verdict, int64_t now_us);
/* The attempt was not made, or was cancelled. */
void breaker_forget(struct breaker *breaker);
bool breaker_is_open(struct breaker *breaker);
/* When it next admits somebody; 0: now. INT64_MAX: a probe is under way. */
int64_t breaker_retry_at_us(struct breaker *breaker, int64_t now_us);

#endif
