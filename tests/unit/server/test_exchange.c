/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/malloc_tuning.h"
#include "base/text.h"
#include "fakes/allocations.h"
#include "server/exchange.h"

/* Links exchange with request and buf; ingest, loop and heap are what is below. --wrap=calloc:
 * fails. */

enum {
	SECOND = 1000000,
	SPARES_MAX = 64, /* of exchange.c */
	BODY_MAX = 100000,
	MEMORY_BYTES = 10 * BODY_MAX,
};

static struct loop loop;
static struct budget memory;
static struct ingest ingest;
static struct exchange_pool pool;
static int ingest_trims, heap_gifts;

void loop_timer_add(struct loop *of, struct loop_timer *timer)
{
	timer->due_us = INT64_MAX;
	timer->next = of->timers;
	of->timers = timer;
}

void ingest_init_request(struct ingest *of, struct request *request)
{
	request_init(request, &of->body, 2 * BODY_MAX, of->memory);
}

void ingest_trim(struct ingest *of)
{
	buf_release(&of->body);
	ingest_trims++;
}

void ingest_clear_body(struct ingest *of)
{
	buf_clear(&of->body);
}

void malloc_give_back(void)
{
	heap_gifts++;
}

static int set_up(void **state)
{
	(void)state;
	loop = (struct loop){.now_us = SECOND};
	budget_init(&memory, MEMORY_BYTES);
	ingest = (struct ingest){.memory = &memory};
	buf_init(&ingest.body, BODY_MAX, &memory);
	exchange_init_pool(&pool, &loop, &ingest);
	ingest_trims = heap_gifts = 0;
	fail_at = -1;
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	exchange_release_pool(&pool);
	buf_release(&ingest.body);
	assert_int_equal(budget_used(&memory), 0);
	return 0;
}

/* As the loop does. */
static bool timer_fires_after(int64_t us)
{
	loop.now_us += us;
	if (pool.trim_timer.due_us > loop.now_us)
		return false;
	pool.trim_timer.due_us = INT64_MAX;
	pool.trim_timer.fire(&pool.trim_timer);
	return true;
}

static void test_pool__given_back__taken_again_up_to_the_maximum(void **state)
{
	struct exchange *exchanges[SPARES_MAX + 1];

	(void)state;
	for (int i = 0; i < SPARES_MAX + 1; i++)
		assert_non_null(exchanges[i] = exchange_take(&pool));
	for (int i = 0; i < SPARES_MAX + 1; i++)
		exchange_put(&pool, exchanges[i]);
	assert_int_equal(pool.busy_count, 0);
	assert_int_equal(pool.spares.count, SPARES_MAX);
	assert_ptr_equal(exchange_take(&pool), exchanges[SPARES_MAX - 1]);
	exchange_put(&pool, exchanges[SPARES_MAX - 1]);
}

/* The labelled body of a spare is what others lack. */
static void test_pool__given_back__kept_while_half_of_the_memory_is_free(void **state)
{
	static const struct {
		size_t others, spares;
	} rows[] = {
		{MEMORY_BYTES / 2 - BODY_MAX - 1, 1},
		{MEMORY_BYTES / 2 - BODY_MAX, 1},
		{MEMORY_BYTES / 2 - BODY_MAX + 1, 0},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct exchange *exchange = exchange_take(&pool);

		assert_non_null(exchange);
		assert_int_equal(buf_reserve(&exchange->request.labelled, BODY_MAX), BUF_OK);
		assert_int_equal(exchange->request.labelled.cap, BODY_MAX);
		assert_true(budget_take(&memory, rows[i].others));
		exchange_put(&pool, exchange);
		assert_int_equal(pool.spares.count, rows[i].spares);
		/* What ingest keeps is given back in any case. */
		assert_int_equal(pool.trim_timer.due_us, loop.now_us + SECOND);
		pool.trim_timer.due_us = INT64_MAX;
		budget_give_back(&memory, rows[i].others);
	}
	assert_int_equal(budget_used(&memory), 0);
}

static void test_pool__no_memory__null(void **state)
{
	(void)state;
	fail_at = allocations;
	assert_null(exchange_take(&pool));
	assert_int_equal(pool.busy_count, 0);
}

static void test_trim__unused_for_a_second__all_is_given_back_once(void **state)
{
	struct exchange *exchange = exchange_take(&pool);

	(void)state;
	assert_int_equal(buf_reserve(&exchange->request.labelled, 5000), BUF_OK);
	assert_int_equal(buf_reserve(&ingest.body, 5000), BUF_OK);
	exchange_put(&pool, exchange);
	assert_true(budget_used(&memory) >= 10000);
	assert_false(timer_fires_after(SECOND - 1));
	assert_true(timer_fires_after(1));
	assert_int_equal(pool.spares.count, 0);
	assert_int_equal(budget_used(&memory), 0);
	assert_int_equal(ingest_trims, 1);
	assert_int_equal(heap_gifts, 1);
	/* Until the next one nothing wakes the loop. */
	assert_int_equal(pool.trim_timer.due_us, INT64_MAX);
	exchange_put(&pool, exchange_take(&pool));
	assert_true(timer_fires_after(SECOND));
	assert_int_equal(heap_gifts, 2);
}

static void test_trim__traffic__only_what_it_does_not_need_goes(void **state)
{
	struct exchange *burst[3], *busy;

	(void)state;
	for (int i = 0; i < 3; i++)
		burst[i] = exchange_take(&pool);
	for (int i = 0; i < 3; i++)
		exchange_put(&pool, burst[i]);
	loop.now_us += SECOND / 2;
	exchange_put(&pool, exchange_take(&pool));
	assert_true(timer_fires_after(SECOND / 2));
	/* The one of half a second ago stays. */
	assert_int_equal(pool.spares.count, 1);
	assert_int_equal(heap_gifts, 0);
	busy = exchange_take(&pool);
	assert_true(timer_fires_after(SECOND));
	assert_int_equal(pool.spares.count, 0);
	assert_int_equal(heap_gifts, 0);
	exchange_put(&pool, busy);
	assert_true(timer_fires_after(SECOND));
	assert_int_equal(heap_gifts, 1);
}

static void receive(struct exchange *exchange, size_t bytes)
{
	static const char zeros[BODY_MAX];

	exchange_resume(&pool, exchange);
	request_append_body(&exchange->request, zeros, bytes);
}

/* Less than half of ingest's buffer is copied, and what fills it changes places with it. */
static void test_suspend__half_a_body__leaves_and_comes_back(void **state)
{
	static const struct {
		size_t bytes;
		bool swapped;
	} rows[] = {{2047, false}, {2048, true}, {BODY_MAX, true}};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct exchange *exchange = exchange_take(&pool);
		const char *data;

		buf_release(&ingest.body);
		assert_int_equal(buf_reserve(&ingest.body, 4096), BUF_OK);
		receive(exchange, rows[i].bytes);
		data = ingest.body.data;
		exchange_suspend(&pool, exchange);
		assert_int_equal(ingest.body.len, 0);
		assert_int_equal(exchange->body.len, rows[i].bytes);
		assert_int_equal(exchange->body.data == data, rows[i].swapped);
		exchange_resume(&pool, exchange);
		assert_int_equal(ingest.body.len, rows[i].bytes);
		ingest_clear_body(&ingest);
		exchange_put(&pool, exchange);
	}
}

/* The others read into the memory of the labelled body meanwhile, and no more is needed. */
static void test_suspend__with_memory_for_the_labelled_body__lends_it(void **state)
{
	struct exchange *exchange = exchange_take(&pool);
	const char *labelled, *body;
	size_t used;

	(void)state;
	assert_int_equal(buf_reserve(&exchange->request.labelled, 5000), BUF_OK);
	receive(exchange, BODY_MAX);
	labelled = exchange->request.labelled.data;
	body = ingest.body.data;
	used = budget_used(&memory);
	for (int times = 0; times < 2; times++) {
		exchange_suspend(&pool, exchange);
		assert_ptr_equal(ingest.body.data, labelled);
		assert_int_equal(ingest.body.len, 0);
		assert_int_equal(exchange->request.labelled.cap, 0);
		exchange_resume(&pool, exchange);
		assert_ptr_equal(ingest.body.data, body);
		assert_int_equal(ingest.body.len, BODY_MAX);
	}
	exchange_end_body(exchange);
	assert_ptr_equal(exchange->request.labelled.data, labelled);
	assert_int_equal(exchange->body.cap, 0);
	assert_int_equal(budget_used(&memory), used);
	ingest_clear_body(&ingest);
	exchange_put(&pool, exchange);
}

/* Else a body could grow beyond its own maximum. */
static void test_suspend__more_memory_than_a_body_may_have__keeps_it(void **state)
{
	struct exchange *exchange = exchange_take(&pool);

	(void)state;
	assert_int_equal(buf_reserve(&exchange->request.labelled, BODY_MAX + 1), BUF_OK);
	receive(exchange, BODY_MAX);
	exchange_suspend(&pool, exchange);
	assert_int_equal(ingest.body.cap, 0);
	assert_int_equal(exchange->request.labelled.cap, BODY_MAX + 1);
	exchange_resume(&pool, exchange);
	exchange_end_body(exchange);
	ingest_clear_body(&ingest);
	exchange_put(&pool, exchange);
}

static void test_suspend__no_room_or_refused_already__holds_no_memory(void **state)
{
	struct exchange *exchange = exchange_take(&pool);
	size_t rest;

	(void)state;
	assert_int_equal(buf_reserve(&ingest.body, 4096), BUF_OK);
	receive(exchange, 100);
	rest = memory.max - budget_used(&memory);
	assert_true(budget_take(&memory, rest));
	exchange_suspend(&pool, exchange);
	assert_int_equal(exchange->request.body_state, BODY_OVER_BUDGET);
	assert_int_equal(exchange->body.cap, 0);
	budget_give_back(&memory, rest);
	exchange_put(&pool, exchange);

	exchange = exchange_take(&pool);
	receive(exchange, 4096);
	exchange->request.body_state = BODY_TOO_LARGE;
	exchange_suspend(&pool, exchange);
	assert_int_equal(exchange->body.cap, 0);
	exchange_put(&pool, exchange);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_pool__given_back__taken_again_up_to_the_maximum),
		TEST(test_pool__given_back__kept_while_half_of_the_memory_is_free),
		TEST(test_pool__no_memory__null),
		TEST(test_trim__unused_for_a_second__all_is_given_back_once),
		TEST(test_trim__traffic__only_what_it_does_not_need_goes),
		TEST(test_suspend__half_a_body__leaves_and_comes_back),
		TEST(test_suspend__with_memory_for_the_labelled_body__lends_it),
		TEST(test_suspend__more_memory_than_a_body_may_have__keeps_it),
		TEST(test_suspend__no_room_or_refused_already__holds_no_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
