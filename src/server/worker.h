/* SPDX-License-Identifier: Apache-2.0 */
/*
 * worker: one thread = one epoll loop with the FastCGI connections, the relay and their timers in
 * it.
 *
 * Workers share the read-only config, the listening socket, the resolver, the metrics, three
 * budgets (bytes, calls in flight, connections), the breaker, the memory of duplicates and the
 * spool's inbox; nothing else.
 */
#ifndef FARO_SERVER_WORKER_H
#define FARO_SERVER_WORKER_H

#include "config/config.h"
#include "delivery/dedup.h"
#include "delivery/spool.h"
#include "server/listener.h"
#include "upstream/breaker.h"
#include "upstream/resolver.h"

struct worker_shared {
	const struct config *config;
	const struct listener *listener;
	struct resolver *resolver;
	struct dedup *dedup;
	struct breaker *breaker;
	struct spool *spool;            /* NULL: none */
	struct budget memory;           /* bytes of all beacons */
	struct budget inflight;         /* calls to the upstream */
	struct budget connection_slots; /* connections of web servers */
};

struct worker;

/* Starts the thread; signals should be blocked, since it inherits the mask. NULL with errno set. */
struct worker *worker_new(struct worker_shared *shared);

/*
 * From any thread, any number of times: serve on until nothing has been asked for a moment, at most
 * until `deadline_us` on loop_now_us()'s clock, and answer what is in flight; then end. A later
 * call may bring the deadline forward.
 */
void worker_drain(struct worker *worker, int64_t deadline_us);

/* Waits for the thread and frees everything. Returns how many beacons were left unanswered at the
 * deadline. */
size_t worker_join(struct worker *worker);

#endif
