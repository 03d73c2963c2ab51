/*
 * sink_park: connections whose answer is put off, without a thread each.
 *
 * sink_http parks a suspended connection for the delay, or for ever; one thread resumes it when its
 * time has come, when a client that waits for ever hangs up, or at the end. After delay_stop()
 * nothing parks any more and nothing is parked.
 */
#ifndef FARO_SINK_DELAY_H
#define FARO_SINK_DELAY_H

#include <microhttpd.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

struct delay_slot;

struct park {
	pthread_t thread;
	pthread_mutex_t lock;
	struct delay_slot *first, *last; /* by due time: the delay is the same for all */
	int epoll_fd;
	int wake_fd;
	int delay_ms; /* PARK_FOR_EVER: until the client hangs up */
	bool stopping;
};

#define PARK_FOR_EVER (-1)

/* False with errno set. */
bool delay_start(struct park *park, int delay_ms);
/* Suspends the connection. False, with nothing done, after delay_stop() or without memory. */
bool delay_add(struct park *park, struct MHD_Connection *connection);
/* Resumes all and ends the thread: to be called before MHD_stop_daemon(), and delay_release() after
 * it. */
void delay_stop(struct park *park);
void delay_release(struct park *park);

#endif
