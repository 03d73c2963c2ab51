/* SPDX-License-Identifier: Apache-2.0 */
/*
 * replay_stage: what the drivers of replay stand on: replay with its pace and retries, and a loop,
 * a relay and a store that are the stage's own, so that time is what the test says, each call is
 * answered when the test wants it, and the store fails where it is told to.
 */
#ifndef FARO_TEST_REPLAY_STAGE_H
#define FARO_TEST_REPLAY_STAGE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/log.h"
#include "base/metrics.h"
#include "base/text.h"
#include "delivery/policy.h"
#include "delivery/replay.h"
#include "delivery/retries.h"
#include "fakes/relay.h"

#define SECOND INT64_C(1000000)

enum {
	RECORDS_MAX = RETRIES_MAX + 1000,
	SLOTS = REPLAY_AT_ONCE
};

struct store {
	struct spool_record records[RECORDS_MAX]; /* in the order of their ids; id 0: gone */
	int64_t count;
	bool closed;
	bool finish_fails, open_fails;
	int transactions;
	int peeks;
	int ends[STORE_AMBIGUOUS + 1];
	void (*on_next)(void);
};

enum answer {
	ACCEPT,
	REFUSE,       /* 400 */
	UNAUTHORIZED, /* 401 */
	NOT_FOUND,    /* 404 */
	THROTTLE,     /* 429, come again in 20 s */
	FAIL,         /* 503 */
	FAIL_LATER,   /* 503, come again in 20 s */
	SILENT,       /* sent, and no answer */
	UNREACHED     /* not sent */
};

extern struct loop loop;
extern struct store store;
extern struct config config;
extern struct breaker breaker;
extern struct budget memory, inflight;
extern struct replay *replay;

int set_up(void **state);
int tear_down(void **state);
/* A new replay with that rate. */
bool restart(int rate);

/* Goes on to the next timer. False: none is armed. */
bool turn(void);
/* Numbers 1 to `count`. */
void keep(int count);
struct spool_record *first_after(struct store *of, int64_t after);

int number_of(const struct relay_call *call);
/* The number of the beacon that is sent first of those in flight; waits for one. */
int wait_for_call(void);
/* All that may be sent at once. */
void wait_for_calls(size_t count);
void answer(int number, enum answer with);

#endif
