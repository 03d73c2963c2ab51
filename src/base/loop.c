/* SPDX-License-Identifier: Apache-2.0 */
#include "base/loop.h"

#include <stddef.h>
#include <time.h>
#include <unistd.h>

enum {
	/* The longest single wait; a timer that is due later costs an idle turn. */
	WAIT_MAX_MS = 3600 * 1000,
	/* A turn that takes so much longer than it was to wait is one in which the process stood
	 * still. Less than that is what many beacons, or a busy machine, may cost. */
	STALL_US = 250 * 1000,
	/* Batches in one turn after it: more than connections there may be, and a bound where some
	 * are never quiet. */
	ROUNDS_MAX = 128,
};

int64_t loop_now_us(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

bool loop_init(struct loop *loop)
{
	*loop = (struct loop){.now_us = loop_now_us()};
	loop->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	return loop->epoll_fd >= 0;
}

void loop_release(struct loop *loop)
{
	if (loop->epoll_fd >= 0)
		close(loop->epoll_fd);
	loop->epoll_fd = -1;
}

static void remove_from_batch(struct loop *loop, const struct loop_watch *watch)
{
	int i;

	for (i = loop->batch_next; i < loop->batch_len; i++)
		if (loop->batch[i].data.ptr == watch)
			loop->batch[i].data.ptr = NULL;
}

bool loop_watch_set(struct loop *loop, struct loop_watch *watch, uint32_t events)
{
	struct epoll_event event = {.events = events, .data.ptr = watch};
	int operation = EPOLL_CTL_MOD;

	if (events == watch->events)
		return true;
	if (events == 0)
		operation = EPOLL_CTL_DEL;
	else if (watch->events == 0)
		operation = EPOLL_CTL_ADD;
	if (epoll_ctl(loop->epoll_fd, operation, watch->fd, &event) != 0 && events != 0)
		return false;
	watch->events = events;
	if (events == 0)
		remove_from_batch(loop, watch);
	return true;
}

void loop_timer_add(struct loop *loop, struct loop_timer *timer)
{
	timer->due_us = INT64_MAX;
	timer->next = loop->timers;
	loop->timers = timer;
}

/* Rounded up, so that a timer is due when the wait ends and does not cost a second, empty one.
 * `from_us` is when it begins; where the clock need not be read for it, the last known time. */
static int wait_ms(const struct loop *loop, int64_t *from_us)
{
	const struct loop_timer *timer;
	int64_t due_us = INT64_MAX, left_us;

	*from_us = loop->now_us;
	for (timer = loop->timers; timer; timer = timer->next)
		if (timer->due_us < due_us)
			due_us = timer->due_us;
	if (due_us == INT64_MAX)
		return -1;
	/* A timer that was armed for "now" is due without reading the clock. */
	if (due_us <= loop->now_us)
		return 0;
	*from_us = loop_now_us();
	left_us = due_us - *from_us;
	if (left_us <= 0)
		return 0;
	if (left_us > (int64_t)WAIT_MAX_MS * 1000)
		return WAIT_MAX_MS;
	return (int)((left_us + 999) / 1000);
}

/*
 * Reads the clock after a wait. True: the process stood still, in what it did before the wait, in
 * the wait, or behind it. A wait that was interrupted says so by itself, since no signal has a
 * handler: SIGCONT interrupts it, and so does the end of a freeze. How much of such a turn was lost
 * nobody knows: all but what any turn may take, so that nobody else pays for it.
 */
static bool take_time(struct loop *loop, int64_t from_us, int asked_ms, bool interrupted)
{
	int64_t before_us = loop->now_us, waited_us, turn_us;

	loop->now_us = loop_now_us();
	loop->lost_before_us = loop->lost_us;
	waited_us = loop->now_us - from_us;
	turn_us = loop->now_us - before_us;
	/* Without a timer nobody is given time, and the wait has no end that could be passed. */
	if (!interrupted && from_us - before_us <= STALL_US &&
	    (asked_ms < 0 || waited_us <= (int64_t)asked_ms * 1000 + STALL_US))
		return false;
	if (turn_us > STALL_US)
		loop->lost_us += turn_us - STALL_US;
	return true;
}

/* Each timer fires at most once a turn, so that one that arms itself for "now" cannot keep the loop
 * from its sockets. */
static void fire_timers(struct loop *loop)
{
	struct loop_timer *timer;

	for (timer = loop->timers; timer; timer = timer->next) {
		if (timer->due_us > loop->now_us)
			continue;
		timer->due_us = INT64_MAX;
		timer->fire(timer);
	}
}

bool loop_has_stood_still(const struct loop *loop, int64_t lost_us)
{
	return loop->lost_us != lost_us || loop_now_us() - loop->now_us > STALL_US;
}

static void handle_batch(struct loop *loop, int n)
{
	loop->batch_len = n > 0 ? n : 0;
	loop->batch_next = 0;
	while (loop->batch_next < loop->batch_len) {
		const struct epoll_event *event = &loop->batch[loop->batch_next++];
		struct loop_watch *watch = event->data.ptr;

		if (watch)
			watch->ready(watch, event->events);
	}
	loop->batch_len = 0;
}

/* What is level-triggered and still ready comes again behind all others. */
static void handle_all(struct loop *loop)
{
	int n = LOOP_BATCH;

	for (int round = 0; round < ROUNDS_MAX && (n < 0 || n == LOOP_BATCH); round++) {
		n = epoll_wait(loop->epoll_fd, loop->batch, LOOP_BATCH, 0);
		handle_batch(loop, n);
	}
}

void loop_turn(struct loop *loop)
{
	int64_t from_us;
	int asked_ms = wait_ms(loop, &from_us);
	int n = epoll_wait(loop->epoll_fd, loop->batch, LOOP_BATCH, asked_ms);
	bool stood_still = take_time(loop, from_us, asked_ms, n < 0);

	handle_batch(loop, n);
	if (stood_still)
		handle_all(loop);
	fire_timers(loop);
}
