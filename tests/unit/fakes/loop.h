/* SPDX-License-Identifier: Apache-2.0 */
/*
 * loop: the real loop on a clock that stands: nothing waits, and a wait takes a microsecond. For a
 * program with --wrap=epoll_wait,--wrap=clock_gettime.
 *
 * Events are the kernel's; where there are none the loop is quiet, and only fake_loop_pass() lets
 * its timers fire. Where a test moves the clock itself, it is as if the process had stood still.
 */
#ifndef FARO_FAKE_LOOP_H
#define FARO_FAKE_LOOP_H

#include "base/loop.h"
#include "fakes/clock.h"

/* The clock begins again, at a time that is no special one. */
void fake_loop_begin(void);
/* The clock is the system's again: what is linked with the test has one, too. */
void fake_loop_end(void);

/* Turns until it would wait. False: it spins. */
bool fake_loop_settle(struct loop *loop);
/* Lets so much time pass, each timer when it is due, and settles. False: it spins. */
bool fake_loop_pass(struct loop *loop, int64_t us);

int __wrap_epoll_wait(int epfd, struct epoll_event *events, int max, int timeout);

#endif
