/* SPDX-License-Identifier: Apache-2.0 */
/*
 * relay_stage: what the drivers of the relay stand on: a relay, a real HTTP server on loopback
 * (stub_receiver), and a loop in which a test that waits for nothing fails. For each engine in
 * turn.
 *
 * The resolver is a fake whose addresses the test sets, and the log one that remembers the last
 * event.
 */
#ifndef FARO_TEST_RELAY_STAGE_H
#define FARO_TEST_RELAY_STAGE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/loop.h"
#include "base/text.h"
#include "fakes/log.h"
#include "fakes/resolver.h"
#include "fakes/stub_receiver.h"
#include "upstream/relay.h"

#define HOST "receiver.invalid" /* nobody but the resolver knows it */

enum {
	CALLS = 8,
	GUARD_US = 20 * 1000000
};

struct bench {
	struct loop loop;
	struct loop_timer guard;
	struct config config;
	char url[128];
	struct resolver resolver;
	char addresses[2][128]; /* its first answer, and the next */
	struct budget inflight;
	struct relay *relay;
	struct stub stub;
	struct loop_watch stub_watch;
	unsigned turns, done;
	struct relay_call calls[CALLS];
	struct relay_call *next, *victim; /* what done() is to start, or to cancel */
};

extern struct bench *bench;
extern bool through_libcurl; /* which engine is tested */

int set_up(void **state);
int tear_down(void **state);

/* 127.0.0.N in a list stands for an address of this process, at whose ports no other one listens. */
const char *own_addresses(char *text, size_t size, const char *list);

/* Where the next relay goes to; make_relay() makes it. */
void point_at(uint16_t port);
void resolve_to(const char *addresses);
void resolve_next_to(const char *addresses);

/* At an address of this process. */
void start_stub(struct stub *stub, const char *address, uint16_t port);
void make_relay(void);

/* One turn of the loop; fails the test where nothing comes of it for GUARD_US. */
void turn(void);

#define TURN_UNTIL(condition)                    \
	do {                                     \
		bench->guard.due_us = INT64_MAX; \
		while (!(condition))             \
			turn();                  \
		bench->guard.due_us = INT64_MAX; \
	} while (0)

/* What the call counts at its end; starts bench->next and cancels bench->victim. */
void on_done(struct relay_call *call);
enum verdict start(struct relay_call *call);
struct relay_call *call_and_wait(void);

/* How often the loop turns in a while in which nothing is to be done. */
unsigned idle_turns(void);

/* Lets the loop turn when something happens at another stub than the stage's own. */
void watch_stub(struct stub *stub, struct loop_watch *watch);
void on_stub_event(struct loop_watch *watch, uint32_t events);
/* The stub answers everything so, and closes. */
void answer_with(const char *answer);
/* Where the stub closes after its answer: a request that overtakes that is answered with a RST,
 * which libcurl does not always survive. */
void await_close(void);
/* Until something is there on a connection of ours to the stub, which has not been read; without a
 * turn of the loop. */
void await_bytes(void);

#endif
