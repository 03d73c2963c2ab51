/* SPDX-License-Identifier: Apache-2.0 */
/*
 * relay: one beacon → one POST to the upstream.
 *
 * Owns the deadlines, the fixed header set and the classes of outcome; the connections are those of
 * an engine (engine.h), our own for http://, libcurl for https://. One relay belongs to one
 * loop and thread; the limit of calls in flight is shared by all of them.
 *
 * SIGPIPE must be ignored or blocked: libcurl does not do it for a program with threads, and a TLS
 * connection is written with write(2).
 */
#ifndef FARO_UPSTREAM_RELAY_H
#define FARO_UPSTREAM_RELAY_H

#include "base/buf.h"
#include "base/loop.h"
#include "beacon/beacon.h"
#include "beacon/verdict.h"
#include "config/config.h"
#include "upstream/resolver.h"

/* One POST. Embedded in its owner; the views must live until done() is called. */
struct relay_call {
	struct view body;
	struct forwarded_headers forwarded;
	/* Called from the loop, once, never from within relay_start(). It may start another call,
	 * this one included, cancel others and free their owners. */
	void (*done)(struct relay_call *call);

	/* The outcome, valid in done(). */
	enum verdict verdict;   /* VERDICT_ACCEPTED, VERDICT_STALLED or one of VERDICT_UPSTREAM_* */
	int status;             /* of the upstream; 0: it gave none */
	unsigned retry_after_s; /* of the upstream, at most 30; 0: none */
	bool sent;              /* the request began to be written; with status 0, the upstream may
				  * have the beacon all the same */
	char session_status[32]; /* X-Faro-Session-Status, letters and dashes only; empty: none */

	struct transfer *transfer; /* relay's own while in flight */
};

struct relay;

/* All arguments outlive the relay. `inflight` counts calls. NULL without memory. */
struct relay *relay_new(struct loop *loop, const struct config *config, struct resolver *resolver,
			struct budget *inflight);
/* There must be no call in flight, and the loop must not turn again: its timers are the relay's. */
void relay_free(struct relay *relay);

/* VERDICT_OK: done() will be called. VERDICT_OVERLOADED: the limit of calls in flight is reached,
 * or there is no memory; done() will not be called. */
enum verdict relay_start(struct relay *relay, struct relay_call *call);
/* Ends a call without done(). */
void relay_cancel(struct relay *relay, struct relay_call *call);

#endif
