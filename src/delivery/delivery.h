/* SPDX-License-Identifier: Apache-2.0 */
/*
 * delivery: from a labelled beacon to its verdict: once, to the upstream, else to the spool.
 *
 * One context belongs to one loop. A delivery is embedded in its owner, who fills in what is asked
 * and keeps the bytes until done().
 */
#ifndef FARO_DELIVERY_DELIVERY_H
#define FARO_DELIVERY_DELIVERY_H

#include "delivery/dedup.h"
#include "delivery/spool.h"
#include "upstream/breaker.h"
#include "upstream/relay.h"

struct delivery_context {
	struct relay *relay;
	struct dedup *dedup;
	struct breaker *breaker; /* used where there is a spool */
	struct spool *spool;     /* NULL: none */
	struct mailbox mailbox;
	/* Deliveries in the spool's queue; run the loop until this is 0, their memory must stay
	 * valid. */
	size_t at_spool;
};

enum delivery_phase {
	DELIVERY_NONE,
	DELIVERY_WAITS, /* for the end of the same beacon, which came before it */
	DELIVERY_AT_RELAY,
	DELIVERY_AT_SPOOL,
};

struct delivery {
	/* body and forwarded headers are asked for; the outcome is told here, verdict included:
	 * VERDICT_SPOOLED, VERDICT_DUPLICATE and VERDICT_OVERLOADED besides the relay's. */
	struct relay_call call;
	struct beacon_counts counts;
	struct dedup_hash hash; /* asked for; empty: the beacon has no key */
	/* Called from the loop, once, never from within delivery_start(). */
	void (*done)(struct delivery *delivery);

	struct delivery_context *context;
	enum delivery_phase phase;
	bool first; /* the same beacons that came after it wait for its end */
	struct dedup_waiter waiter;
	struct spool_put put;
};

/* `context` has everything but its mailbox. False with errno set. */
bool delivery_context_init(struct delivery_context *context, struct loop *loop);
/* There is no delivery under way. */
void delivery_context_release(struct delivery_context *context);

/* VERDICT_OK: done() will be called. Anything else is the outcome already (VERDICT_DUPLICATE or
 * VERDICT_OVERLOADED, as in ->call), and done() will not be called. */
enum verdict delivery_start(struct delivery_context *context, struct delivery *delivery);
/* On shutdown: cancels the upstream attempt and spools the beacon. No effect without a spool. */
void delivery_spool_now(struct delivery *delivery);
/* Ends it without done(); not while it is DELIVERY_AT_SPOOL. */
void delivery_cancel(struct delivery *delivery);

#endif
