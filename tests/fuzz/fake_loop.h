/*
 * The real loop on a clock that the test moves: nothing here ever waits, and a wait takes a
 * microsecond.
 *
 * For one file of a program that is linked with -Wl,--wrap=epoll_wait,--wrap=clock_gettime. Events
 * are the kernel's; where there are none the loop is quiet, and only fake_loop_pass() lets its
 * timers fire.
 */
#ifndef FARO_FAKE_LOOP_H
#define FARO_FAKE_LOOP_H

#include <time.h>

#include "base/loop.h"

int __real_epoll_wait(int epfd, struct epoll_event *events, int max, int timeout);
int __wrap_epoll_wait(int epfd, struct epoll_event *events, int max, int timeout);
int __real_clock_gettime(clockid_t clock, struct timespec *now);
int __wrap_clock_gettime(clockid_t clock, struct timespec *now);

/* How many turns in a row may have something to do before it counts as spinning. */
enum {
	FAKE_LOOP_TURNS_MAX = 1000
};

/* The wait's last answer, and what it was asked. */
static struct {
	bool on; /* else the clock is the system's: what is linked with the test has one, too */
	int64_t now_us;
	int events, timeout_ms;
} fake_loop;

int __wrap_epoll_wait(int epfd, struct epoll_event *events, int max, int timeout)
{
	fake_loop.now_us++;
	fake_loop.timeout_ms = timeout;
	fake_loop.events = __real_epoll_wait(epfd, events, max, 0);
	return fake_loop.events;
}

int __wrap_clock_gettime(clockid_t clock, struct timespec *now)
{
	if (!fake_loop.on)
		return __real_clock_gettime(clock, now);
	now->tv_sec = fake_loop.now_us / 1000000;
	now->tv_nsec = fake_loop.now_us % 1000000 * 1000;
	return 0;
}

/* The clock begins again, at a time that is no special one. */
static inline void fake_loop_begin(void)
{
	fake_loop.on = true;
	fake_loop.now_us = (int64_t)1000 * 1000000;
}

static inline void fake_loop_end(void)
{
	fake_loop.on = false;
}

/* Turns until it would wait. False: it spins. */
static inline bool fake_loop_settle(struct loop *loop)
{
	for (int i = 0; i < FAKE_LOOP_TURNS_MAX; i++) {
		loop_turn(loop);
		if (fake_loop.events <= 0 && fake_loop.timeout_ms != 0)
			return true;
	}
	return false;
}

/* Lets so much time pass, each timer when it is due, and settles. False: it spins. */
static inline bool fake_loop_pass(struct loop *loop, int64_t us)
{
	int64_t until_us = fake_loop.now_us + us;

	while (fake_loop_settle(loop)) {
		int64_t step_us = (int64_t)fake_loop.timeout_ms * 1000;

		if (fake_loop.now_us >= until_us)
			return true;
		if (fake_loop.timeout_ms < 0 || step_us > until_us - fake_loop.now_us)
			step_us = until_us - fake_loop.now_us;
		fake_loop.now_us += step_us;
	}
	return false;
}

#endif
