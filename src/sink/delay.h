/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sink_delay: connections whose answer is delayed, without a thread each.
 *
 * A connection is suspended for the delay, or for ever; one thread resumes it when its time has
 * come, when a client that waits for ever hangs up, or at the end. After delay_stop() no connection
 * is suspended, and none can be.
 */
#ifndef FARO_SINK_DELAY_H
#define FARO_SINK_DELAY_H

#include <microhttpd.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

struct delay_slot;

struct delay {
	pthread_t thread;
	pthread_mutex_t lock;
	struct delay_slot *first, *last; /* by due time: the delay is the same for all */
	int epoll_fd;
	int wake_fd;
	int delay_ms; /* DELAY_FOR_EVER: until the client hangs up */
	bool stopping;
};

#define DELAY_FOR_EVER (-1)

/* False with errno set. */
bool delay_start(struct delay *delay, int delay_ms);
/* Suspends the connection. False, with nothing done, after delay_stop() or without memory. */
bool delay_add(struct delay *delay, struct MHD_Connection *connection);
/* Resumes all and ends the thread: to be called before MHD_stop_daemon(), and delay_release() after
 * it. */
void delay_stop(struct delay *delay);
void delay_release(struct delay *delay);

#endif
