/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DESIGN: one turn usually brings a whole beacon, so its body is read into the one buffer that
 * ingest keeps warm, and an exchange has none of its own. Where a request is not whole after what
 * was there to read, what came of its body leaves with the exchange (suspend), and comes back with
 * the next piece (resume); the buffers change places, and no byte is copied for it. The others then
 * read into the memory that the exchange has for its labelled body, and it gets that back for what
 * it lent: fresh pages would cost more than reading into them.
 *
 * The limit is the budget that all bodies draw on: what exceeds it is BODY_OVER_BUDGET.
 */
#include "server/exchange.h"

#include <stdlib.h>

#include "base/malloc_tuning.h"
#include "base/text.h"

enum {
	/* Kept for reuse. */
	SPARES_MAX = 64,
	/* What was not used for this long is freed. */
	TRIM_AFTER_US = 1000 * 1000,
};

static struct exchange *new_exchange(struct exchange_pool *pool)
{
	size_t facts_bytes = request_parameters_room(&pool->ingest->parameters);
	struct exchange *exchange = calloc(1, sizeof(*exchange) + facts_bytes);

	if (!exchange)
		return NULL;
	exchange->intake.facts = (char *)(exchange + 1);
	ingest_init_request(pool->ingest, &exchange->request);
	buf_init(&exchange->body, pool->ingest->body.max, pool->ingest->memory);
	exchange->intake.request = &exchange->request;
	return exchange;
}

struct exchange *exchange_take(struct exchange_pool *pool)
{
	struct spare *spare = spares_take(&pool->spares);
	struct exchange *exchange =
		spare ? container_of(spare, struct exchange, spare) : new_exchange(pool);

	if (!exchange)
		return NULL;
	pool->busy_count++;
	exchange->request.started_us = pool->loop->now_us;
	/* What the process has just slept through was a part of this request's life. */
	exchange->lost_us = pool->loop->lost_before_us;
	return exchange;
}

static void free_exchange(struct spare *spare)
{
	struct exchange *exchange = container_of(spare, struct exchange, spare);

	request_release(&exchange->request);
	buf_release(&exchange->body);
	free(exchange);
}

void exchange_put(struct exchange_pool *pool, struct exchange *exchange)
{
	const struct budget *memory = pool->ingest->memory;
	int64_t now_us = pool->loop->now_us;

	pool->busy_count--;
	if (pool->trim_timer.due_us == INT64_MAX)
		pool->trim_timer.due_us = now_us + TRIM_AFTER_US;
	/* Nothing is kept from others where half of the memory is in use. */
	if (budget_used(memory) > memory->max / 2) {
		free_exchange(&exchange->spare);
		return;
	}
	request_clear(&exchange->request);
	buf_release(&exchange->body);
	exchange->connection = NULL;
	spares_keep(&pool->spares, &exchange->spare, now_us);
}

/* Under constant traffic this frees what a burst needed and the present does not. */
static void on_exchange_trim(struct loop_timer *timer)
{
	struct exchange_pool *pool = container_of(timer, struct exchange_pool, trim_timer);

	spares_trim(&pool->spares, pool->loop->now_us - TRIM_AFTER_US);
	if (pool->busy_count > 0 || pool->spares.count > 0) {
		timer->due_us = pool->loop->now_us + TRIM_AFTER_US;
		return;
	}
	ingest_trim(pool->ingest);
	malloc_give_back();
}

static void swap_bodies(struct exchange *exchange, struct buf *lent)
{
	struct buf body = exchange->body;

	exchange->body = *lent;
	*lent = body;
}

void exchange_resume(struct exchange_pool *pool, struct exchange *exchange)
{
	if (exchange->body.len > 0)
		swap_bodies(exchange, &pool->ingest->body);
}

/* A short beginning is copied, since a peer that stalls would otherwise hold the whole of ingest's
 * buffer. A body that will be rejected in any case holds no memory until then. */
void exchange_suspend(struct exchange_pool *pool, struct exchange *exchange)
{
	struct request *request = &exchange->request;
	struct buf *lent = &pool->ingest->body;
	bool fills = exchange->body.cap > 0 || lent->len >= lent->cap / 2;

	if (request->body_state == BODY_WHOLE && fills) {
		swap_bodies(exchange, lent);
		buf_hand_over(&request->labelled, lent);
	} else if (request->body_state == BODY_WHOLE &&
		   buf_append(&exchange->body, lent->data, lent->len) != BUF_OK) {
		request->body_state = BODY_OVER_BUDGET;
	}
	if (request->body_state != BODY_WHOLE)
		buf_release(&exchange->body);
	ingest_clear_body(pool->ingest);
}

void exchange_end_body(struct exchange *exchange)
{
	buf_hand_over(&exchange->body, &exchange->request.labelled);
	buf_release(&exchange->body);
}

void exchange_init_pool(struct exchange_pool *pool, struct loop *loop, struct ingest *ingest)
{
	*pool = (struct exchange_pool){.loop = loop, .ingest = ingest};
	spares_init(&pool->spares, SPARES_MAX, free_exchange);
	pool->trim_timer.fire = on_exchange_trim;
	loop_timer_add(loop, &pool->trim_timer);
}

void exchange_release_pool(struct exchange_pool *pool)
{
	spares_release(&pool->spares);
}
