/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sink_http: the receiver's routes and answers on libmicrohttpd.
 *
 * sink.c fills the options, starts it on a listening socket, waits for a signal and stops it.
 */
#ifndef FARO_SINK_HTTP_H
#define FARO_SINK_HTTP_H

#include <microhttpd.h>
#include <stdatomic.h>

#include "sink/delay.h"
#include "sink/payload.h"

struct sink_options {
	const char *listen;         /* [ADDRESS:]PORT */
	const char *session_status; /* NULL: no such header */
	const char *api_key;        /* NULL: none wanted */
	const char *save_dir;       /* NULL: nothing saved */
	int status;                 /* 0: what the receiver would answer */
	int delay_ms;
	int retry_after; /* seconds, -1: no such header */
	int rate;        /* requests a second, 0: no limit */
	int threads;
	bool silent;
	bool quiet;
};

/* A bucket of 2 * rate tokens, full at first. */
struct limiter {
	pthread_mutex_t lock;
	double tokens;
	int64_t filled_ns;
};

struct sink {
	const struct sink_options *options;
	struct MHD_Daemon *daemon;
	struct delay delay;
	struct limiter limiter;
	pthread_mutex_t output_lock; /* a beacon's lines stay together */
	atomic_uint saved;
	atomic_uint_fast64_t requests; /* collect requests read to their end */
	atomic_uint_fast64_t beacons;  /* of them, answered 2xx (or due to be) */
	atomic_uint_fast64_t items[SINK_KINDS];
	atomic_uint delayed; /* requests whose answer is delayed and not yet sent */
	bool delays;         /* by --delay-ms or --silent */
};

/* Takes the socket over. False with a line on stderr. `options` must outlive the sink. */
bool sink_start(struct sink *sink, const struct sink_options *options, int listen_fd);
void sink_stop(struct sink *sink);

#endif
