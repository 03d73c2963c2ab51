/* SPDX-License-Identifier: Apache-2.0 */
#include "fakes/loop.h"

/* How many turns in a row may have something to do before it counts as spinning. */
enum {
	TURNS_MAX = 1000
};

/* What the last wait was asked, and its answer. */
static int wait_timeout_ms, wait_events;

/* What is to pass in the next wait that finds nothing: between two turns it would be a stall. */
static int64_t passing_us;
static bool has_passed;

int __real_epoll_wait(int epfd, struct epoll_event *events, int max, int timeout);

int __wrap_epoll_wait(int epfd, struct epoll_event *events, int max, int timeout)
{
	fake_clock.now_us++;
	wait_timeout_ms = timeout;
	wait_events = __real_epoll_wait(epfd, events, max, 0);
	if (wait_events <= 0 && timeout != 0 && passing_us > 0) {
		fake_clock.now_us += passing_us;
		passing_us = 0;
		has_passed = true;
	}
	return wait_events;
}

void fake_loop_begin(void)
{
	fake_clock.stands = true;
	passing_us = 0;
	fake_clock.now_us = (int64_t)1000 * 1000000;
}

void fake_loop_end(void)
{
	fake_clock.stands = false;
}

bool fake_loop_settle(struct loop *loop)
{
	for (int i = 0; i < TURNS_MAX; i++) {
		has_passed = false;
		loop_turn(loop);
		if (wait_events <= 0 && wait_timeout_ms != 0 && !has_passed)
			return true;
	}
	return false;
}

bool fake_loop_pass(struct loop *loop, int64_t us)
{
	int64_t until_us = fake_clock.now_us + us;

	while (fake_loop_settle(loop)) {
		int64_t step_us = (int64_t)wait_timeout_ms * 1000;

		if (fake_clock.now_us >= until_us)
			return true;
		if (wait_timeout_ms < 0 || step_us > until_us - fake_clock.now_us)
			step_us = until_us - fake_clock.now_us;
		passing_us = step_us;
	}
	return false;
}
