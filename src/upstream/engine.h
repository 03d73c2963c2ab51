/*
 * engine: how the relay speaks HTTP, apart from what it decides.
 *
 * The relay (relay.c) knows calls, verdicts and when to trust a connection; an engine knows
 * connections and bytes. There are two: relay_http for http://, relay_curl for https://. Each
 * embeds these structs as first members of its own.
 */
#ifndef FARO_UPSTREAM_ENGINE_H
#define FARO_UPSTREAM_ENGINE_H

#include "base/loop.h"
#include "base/metrics.h"
#include "base/spares.h"
#include "config/config.h"
#include "upstream/outcome.h"
#include "upstream/route.h"

/* One call on its way through an engine; kept and used again by the relay. */
struct transfer {
	/* The relay's. */
	struct spare spare;    /* while idle */
	struct transfer *next; /* deferred */
	struct relay *relay;
	struct relay_call *call; /* NULL: cancelled while deferred */
	struct route *route;     /* while in flight */
	bool deferred;
	int64_t started_us;

	/* The engine's to set. */
	unsigned attempts; /* how often the request was begun to be written */
	struct answer answer;
};

struct engine {
	const struct engine_operations *operations;
	struct loop *loop;
	const struct config *config;
	/* From the loop, with ->answer filled in; the engine knows the transfer no more. */
	void (*ended)(struct transfer *transfer);
};

struct engine_operations {
	/* There is no transfer in flight, and none is left. */
	void (*free)(struct engine *engine);
	struct transfer *(*new_transfer)(struct engine *engine); /* NULL: no memory */
	void (*free_transfer)(struct transfer *transfer);
	/* False: it has failed already, ->answer says why, and ended() is not called. */
	bool (*start)(struct engine *engine, struct transfer *transfer);
	/* Without ended(); its connection is closed. */
	void (*cancel)(struct engine *engine, struct transfer *transfer);
	/* What is connected now is not used for another request. */
	void (*retire_connections)(struct engine *engine, int64_t now_us);
};

/* NULL without memory. All arguments outlive the engine. */
struct engine *engine_curl_new(struct loop *loop, const struct config *config,
			       void (*ended)(struct transfer *transfer));
struct engine *engine_http_new(struct loop *loop, const struct config *config,
			       void (*ended)(struct transfer *transfer));

/* What both promise of a connection. */
enum {
	CONNECTION_LIFETIME_S = 60, /* so that new receivers behind the name get traffic */
	CONNECTION_IDLE_S = 30,
	KEEPALIVE_IDLE_S = 15,
	KEEPALIVE_INTERVAL_S = 5,
};

/* Call it before each sending of a request. What a kept connection did not answer at all before it
 * died is sent again: the receiver may then have it twice. */
static inline void transfer_count_attempt(struct transfer *transfer)
{
	if (++transfer->attempts > 1)
		metrics_add(METRIC_UPSTREAM_RESENDS, 1);
}

#endif
