/* SPDX-License-Identifier: Apache-2.0 */
/*
 * loop: epoll and a few timers. One thread drives one loop; loops share nothing.
 * Watches and timers are embedded in their owners, so adding one never allocates.
 *
 * The process may stand still for a while: stopped, frozen, paused with its machine, or without a
 * processor. Then what has come meanwhile is read before any timer fires, and lost_us grows, so
 * that whoever gives a peer time can measure it in the time in which the peer could be served:
 * loop_awake_us().
 */
#ifndef FARO_BASE_LOOP_H
#define FARO_BASE_LOOP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/epoll.h>

struct loop_watch {
	int fd;
	uint32_t events; /* as epoll has them; 0: it is not watched */
	/* EPOLLIN | EPOLLOUT | EPOLLERR | EPOLLHUP … as epoll_wait(2) reports them. */
	void (*ready)(struct loop_watch *watch, uint32_t events);
};

struct loop_timer {
	int64_t due_us; /* on the clock of loop_now_us(); INT64_MAX: not armed */
	void (*fire)(struct loop_timer *timer);
	struct loop_timer *next;
};

enum {
	LOOP_BATCH = 64
};

struct loop {
	int epoll_fd;
	struct loop_timer *timers; /* all that were added, armed or not; there are few */
	int64_t now_us;            /* when the last wait ended */
	int64_t lost_us;           /* how long the process has stood still, in all */
	int64_t lost_before_us;    /* the same before this turn */
	struct epoll_event batch[LOOP_BATCH];
	int batch_len, batch_next;
};

/* CLOCK_MONOTONIC in microseconds. */
int64_t loop_now_us(void);

/* now_us on a clock that stands still while the process does. What is due then is due for a timer
 * at that time + lost_us, and is to be looked at again when it fires. */
static inline int64_t loop_awake_us(const struct loop *loop)
{
	return loop->now_us - loop->lost_us;
}

/* The process has stood still since lost_us had this value, or does so in this very turn. */
bool loop_has_stood_still(const struct loop *loop, int64_t lost_us);

/* False with errno set. */
bool loop_init(struct loop *loop);
void loop_release(struct loop *loop);

/* Watches for these events from now on, level-triggered; no system call where they are unchanged.
 * False with errno set (EMFILE and ENOMEM among them): it is watched as before.
 * With 0, to be called before close(2), it always succeeds. It also removes the watch's event from
 * the current batch, so that its owner may be freed at once. */
bool loop_watch_set(struct loop *loop, struct loop_watch *watch, uint32_t events);

/* To be called once for each timer. Its due_us may then be set at any time, also within fire(),
 * before which it is reset. A timer lives as long as its loop. */
void loop_timer_add(struct loop *loop, struct loop_timer *timer);

/* Waits once, at most until the next timer is due, and calls what is ready; after a time in which
 * the process stood still, all that is ready, and then the timers. */
void loop_turn(struct loop *loop);

#endif
