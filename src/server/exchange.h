/* SPDX-License-Identifier: Apache-2.0 */
/*
 * exchange: one request on a connection, from its first byte to its reply, and the memory for it.
 *
 * A loop has one pool of them. What is read goes to ingest's buffers, which all exchanges of the
 * pool share, one at a time: exchange_resume() before a piece of a request is taken,
 * exchange_suspend() where that did not make it whole.
 */
#ifndef FARO_SERVER_EXCHANGE_H
#define FARO_SERVER_EXCHANGE_H

#include "base/loop.h"
#include "base/spares.h"
#include "delivery/delivery.h"
#include "ingest/ingest.h"
#include "server/fcgi.h"

struct connection;

struct exchange {
	struct delivery delivery;
	struct request request;
	struct buf body; /* of a request that is not complete yet, while others are read */
	struct connection *connection;
	int64_t lost_us;    /* of the loop, before the turn in which it began */
	struct spare spare; /* while nobody uses it */
	struct fcgi_intake intake;
};

struct exchange_pool {
	struct loop *loop;
	struct ingest *ingest;
	struct spares spares;
	size_t busy_count;
	struct loop_timer trim_timer; /* armed while there is something to trim */
};

/* Both must outlive the pool. */
void exchange_init_pool(struct exchange_pool *pool, struct loop *loop, struct ingest *ingest);
/* Every exchange has been put back. */
void exchange_release_pool(struct exchange_pool *pool);

/* For a request that begins now; NULL without memory. */
struct exchange *exchange_take(struct exchange_pool *pool);
void exchange_put(struct exchange_pool *pool, struct exchange *exchange);

void exchange_resume(struct exchange_pool *pool, struct exchange *exchange);
void exchange_suspend(struct exchange_pool *pool, struct exchange *exchange);
/* No more of the body comes, and ingest has it. */
void exchange_end_body(struct exchange *exchange);

#endif
