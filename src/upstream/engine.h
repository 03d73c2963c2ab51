/* SPDX-License-Identifier: Apache-2.0 */
/*
 * engine: how the relay speaks HTTP, apart from what it decides.
 *
 * The relay (relay.c) knows calls, verdicts and when to trust a connection; an engine knows
 * connections and bytes. There are two: engine_http for http://, engine_curl for https://. Each
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
	int64_t lost_us; /* of the loop when it started */

	/* The engine's to set. */
	unsigned attempts; /* how often the request began to be written */
	struct answer answer;
};

struct engine {
	const struct engine_operations *operations;
	struct loop *loop;
	const struct config *config;
	/* Called from the loop with ->answer filled in; the engine no longer uses the transfer. */
	void (*ended)(struct transfer *transfer);
};

struct engine_operations {
	/* No transfer is left, in flight or idle. */
	void (*free)(struct engine *engine);
	struct transfer *(*new_transfer)(struct engine *engine); /* NULL: no memory */
	void (*free_transfer)(struct transfer *transfer);
	/* It has the time of FARO_UPSTREAM_TIMEOUT_MS, measured while the process runs, and what is
	 * there by then is read. False: it has failed already; ->answer says why, and ended() will not be called. */
	bool (*start)(struct engine *engine, struct transfer *transfer);
	/* Closes its connection; ended() will not be called. */
	void (*cancel)(struct engine *engine, struct transfer *transfer);
	/* No present connection is used for another request. */
	void (*retire_connections)(struct engine *engine, int64_t now_us);
};

/* NULL without memory. All arguments outlive the engine. */
struct engine *engine_curl_new(struct loop *loop, const struct config *config,
			       void (*ended)(struct transfer *transfer));
struct engine *engine_http_new(struct loop *loop, const struct config *config,
			       void (*ended)(struct transfer *transfer));

/* Of the connections of both. */
enum {
	CONNECTION_LIFETIME_S = 60, /* so that new replicas behind the name get traffic */
	CONNECTION_IDLE_S = 30,
	KEEPALIVE_IDLE_S = 15,
	KEEPALIVE_INTERVAL_S = 5,
};

/* On loop_awake_us()'s clock: when it is silent past its deadline. */
static inline int64_t transfer_due_us(const struct transfer *transfer, const struct config *config)
{
	return transfer->started_us - transfer->lost_us + config->upstream_timeout_ms * 1000;
}

/* Call it whenever a request begins to be written. What a kept connection did not answer before it
 * died is sent again: the upstream may then have it twice. */
static inline void transfer_count_attempt(struct transfer *transfer)
{
	if (++transfer->attempts > 1)
		metrics_add(METRIC_UPSTREAM_RESENDS, 1);
}

#endif
