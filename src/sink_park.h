/*
 * sink_park: connections whose answer is put off, without a thread each.
 *
 * sink_http parks a suspended connection for the delay, or for ever; one thread resumes it when its
 * time has come, when a client that waits for ever hangs up, or at the end. After park_stop()
 * nothing parks any more and nothing is parked.
 */
#ifndef FARO_SINK_PARK_H
#define FARO_SINK_PARK_H

#include <microhttpd.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

struct park_slot;

struct park {
	pthread_t thread;
	pthread_mutex_t lock;
	struct park_slot *first, *last; /* by due time: the delay is the same for all */
	int epoll_fd;
	int wake_fd;
	int delay_ms; /* PARK_FOR_EVER: until the client hangs up */
	bool stopping;
};

#define PARK_FOR_EVER (-1)

/* False with errno set. */
bool park_start(struct park *park, int delay_ms);
/* Suspends the connection. False, with nothing done, after park_stop() or without memory. */
bool park_add(struct park *park, struct MHD_Connection *connection);
/* Resumes all and ends the thread: to be called before MHD_stop_daemon(), and park_release() after
 * it. */
void park_stop(struct park *park);
void park_release(struct park *park);

#endif
