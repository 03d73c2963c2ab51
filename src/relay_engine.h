/*
 * relay_engine: how the relay speaks HTTP, apart from what it decides.
 *
 * The relay (relay.c) knows calls, verdicts and when to trust a connection; an engine knows
 * connections and bytes. There are two: relay_http for http://, relay_curl for https://. Each
 * embeds these structs as first members of its own.
 */
#ifndef FARO_RELAY_ENGINE_H
#define FARO_RELAY_ENGINE_H

#include "config.h"
#include "loop.h"
#include "metrics.h"
#include "relay_headers.h"
#include "relay_outcome.h"

/* One call on its way through an engine; kept and used again by the relay. */
struct relay_transfer {
	/* The relay's. */
	struct relay_transfer *next; /* idle or deferred */
	struct relay *relay;
	struct relay_call *call;   /* NULL: cancelled while deferred */
	struct relay_route *route; /* while in flight */
	bool deferred;
	int64_t started_us;
	int64_t idle_us; /* since when */

	/* The engine's to set. */
	unsigned attempts; /* how often the request was begun to be written */
	struct relay_answer answer;
};

struct relay_engine {
	const struct relay_engine_operations *operations;
	struct loop *loop;
	const struct config *config;
	/* From the loop, with ->answer filled in; the engine knows the transfer no more. */
	void (*ended)(struct relay_transfer *transfer);
};

struct relay_engine_operations {
	/* There is no transfer in flight, and none is left. */
	void (*free)(struct relay_engine *engine);
	struct relay_transfer *(*new_transfer)(struct relay_engine *engine); /* NULL: no memory */
	void (*free_transfer)(struct relay_transfer *transfer);
	/* False: it has failed already, ->answer says why, and ended() is not called. */
	bool (*start)(struct relay_engine *engine, struct relay_transfer *transfer);
	/* Without ended(); its connection is closed. */
	void (*cancel)(struct relay_engine *engine, struct relay_transfer *transfer);
	/* What is connected now is not used for another request. */
	void (*distrust)(struct relay_engine *engine, int64_t now_us);
};

/* NULL without memory. All arguments outlive the engine. */
struct relay_engine *relay_curl_new(struct loop *loop, const struct config *config,
				    void (*ended)(struct relay_transfer *transfer));
struct relay_engine *relay_http_new(struct loop *loop, const struct config *config,
				    void (*ended)(struct relay_transfer *transfer));

/* What both promise of a connection. */
enum {
	CONNECTION_LIFETIME_S = 60, /* so that new receivers behind the name get traffic */
	CONNECTION_IDLE_S = 30,
	KEEPALIVE_IDLE_S = 15,
	KEEPALIVE_INTERVAL_S = 5,
};

/* Call it before each sending of a request. What a kept connection did not answer at all before it
 * died is sent again: the receiver may then have it twice. */
static inline void relay_count_attempt(struct relay_transfer *transfer)
{
	if (++transfer->attempts > 1)
		metrics_add(METRIC_UPSTREAM_RESENDS, 1);
}

#endif
