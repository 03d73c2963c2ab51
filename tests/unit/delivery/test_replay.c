#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/log.h"
#include "base/metrics.h"
#include "base/text.h"
#include "delivery/policy.h"
#include "delivery/replay.h"
#include "fakes/relay.h"
#include "ingest/ingest.h"

/*
 * Links replay with its pace, and breaker, metrics, log, buf. Loop, relay and store are our own
 * below, so that time is what the test says, each call is answered when the test wants it, and the
 * store fails where it is told to.
 */

#define SECOND INT64_C(1000000)

enum {
	RECORDS_MAX = 1200,
	FINISHED_MAX = 1024, /* as in replay.c */
	RETRIES_MAX = 256,
	SLOTS = 8
};

/* --- the loop ----------------------------------------------------------------------------------*/

static struct loop loop;

int64_t loop_now_us(void)
{
	return loop.now_us;
}

void loop_timer_add(struct loop *to, struct loop_timer *timer)
{
	timer->next = to->timers;
	timer->due_us = INT64_MAX;
	to->timers = timer;
}

static int64_t next_due_us(void)
{
	int64_t due_us = INT64_MAX;

	for (struct loop_timer *timer = loop.timers; timer; timer = timer->next)
		due_us = timer->due_us < due_us ? timer->due_us : due_us;
	return due_us;
}

/* Goes on to the next timer. False: none is armed. */
static bool turn(void)
{
	int64_t due_us = next_due_us();

	if (due_us == INT64_MAX)
		return false;
	loop.now_us = due_us > loop.now_us ? due_us : loop.now_us;
	for (struct loop_timer *timer = loop.timers; timer; timer = timer->next)
		if (timer->due_us <= loop.now_us) {
			timer->due_us = INT64_MAX;
			timer->fire(timer);
		}
	return true;
}

/* --- the store ---------------------------------------------------------------------------------*/

struct store {
	struct spool_record records[RECORDS_MAX]; /* in the order of their ids; id 0: gone */
	int64_t count;
	bool closed;
	bool finish_fails, open_fails;
	int peeks;
	int ends[STORE_AMBIGUOUS + 1];
	void (*on_next)(void);
};

static struct store store;

bool store_is_open(const struct store *of)
{
	return !of->closed;
}

enum store_result store_open(struct store *of)
{
	return of->open_fails ? STORE_FAILED : STORE_OK;
}

static struct spool_record *first_after(struct store *of, int64_t after)
{
	for (int64_t i = 0; i < of->count; i++)
		if (of->records[i].id != 0 && of->records[i].id > after)
			return &of->records[i];
	return NULL;
}

enum store_result store_next(struct store *of, int64_t after, struct spool_record *record,
			     struct buf *body)
{
	const struct spool_record *found = first_after(of, after);
	enum buf_result room;

	if (of->on_next)
		of->on_next();
	if (of->closed)
		return STORE_FAILED;
	if (!found)
		return STORE_NONE;
	*record = *found;
	buf_clear(body);
	room = buf_reserve(body, found->body.len + sizeof("1000"));
	if (room != BUF_OK)
		return room == BUF_TOO_LARGE ? STORE_TOO_LARGE : STORE_FULL;
	buf_printf(body, "%d", (int)found->id);
	record->body = (struct view){body->data, body->len};
	return STORE_OK;
}

enum store_result store_peek(struct store *of, int64_t after, int64_t *id, int64_t *stored_s)
{
	const struct spool_record *found = first_after(of, after);

	of->peeks++;
	if (!found)
		return STORE_NONE;
	*id = found->id;
	*stored_s = found->stored_s;
	return STORE_OK;
}

enum store_result store_finish(struct store *of, const struct store_finished *finished,
			       size_t count)
{
	if (of->finish_fails)
		return STORE_FAILED;
	for (size_t i = 0; i < count; i++) {
		assert_int_equal(of->records[finished[i].id - 1].id, finished[i].id);
		of->records[finished[i].id - 1].id = 0;
		of->ends[finished[i].end]++;
	}
	return STORE_OK;
}

/* --- the relay ---------------------------------------------------------------------------------*/

void beacon_count_items(const struct beacon_counts *counts)
{
	(void)counts;
}

static int number_of(const struct relay_call *call)
{
	char text[16] = "";

	assert_in_range(call->body.len, 1, sizeof(text) - 1);
	memcpy(text, call->body.ptr, call->body.len);
	return atoi(text);
}

/* The number of the beacon that is sent first of those in flight; waits for one. */
static int wait_for_call(void)
{
	for (int turns = 0; fake_relay.count == 0; turns++) {
		assert_true(turns < 10000);
		assert_true(turn());
	}
	return number_of(fake_relay.calls[0]);
}

enum answer {
	ACCEPT,
	REFUSE,       /* 400 */
	UNAUTHORIZED, /* 401 */
	NOT_FOUND,    /* 404 */
	THROTTLE,     /* 429, come again in 20 s */
	FAIL,         /* 503 */
	SILENT        /* sent, and no answer */
};

static void answer(int number, enum answer with)
{
	static const struct {
		int status;
		enum verdict verdict;
		unsigned retry_after_s;
	} answers[] = {
		[ACCEPT] = {202, VERDICT_ACCEPTED, 0},
		[REFUSE] = {400, VERDICT_UPSTREAM_REJECTED, 0},
		[UNAUTHORIZED] = {401, VERDICT_UPSTREAM_MISCONFIGURED, 0},
		[NOT_FOUND] = {404, VERDICT_UPSTREAM_MISCONFIGURED, 0},
		[THROTTLE] = {429, VERDICT_UPSTREAM_THROTTLED, 20},
		[FAIL] = {503, VERDICT_UPSTREAM_UNAVAILABLE, 0},
		[SILENT] = {0, VERDICT_UPSTREAM_UNAVAILABLE, 0},
	};
	size_t i = 0;
	struct relay_call *call;

	while (i < fake_relay.count && number_of(fake_relay.calls[i]) != number)
		i++;
	assert_true(i < fake_relay.count);
	call = fake_relay.calls[i];
	call->sent = true;
	call->status = answers[with].status;
	call->verdict = answers[with].verdict;
	call->retry_after_s = answers[with].retry_after_s;
	fake_relay_end(call);
}

/* --- the stage ---------------------------------------------------------------------------------*/

static struct config config;
static struct breaker breaker;
static struct budget memory, inflight;
static struct replay *replay;

static int set_up(void **state)
{
	const struct spool_options options = {
		.config = &config, .breaker = &breaker, .memory = &memory, .inflight = &inflight};

	(void)state;
	log_init(0, LOG_ERROR + 1);
	loop = (struct loop){.now_us = 1000 * SECOND};
	memset(&store, 0, sizeof(store));
	fake_relay_clear();
	fake_relay.limit = SLOTS;
	config = (struct config){
		.spool_max_age_s = 1000, .upstream_timeout_ms = 100, .replay_rate = 100000};
	breaker_init(&breaker, &policy_breaker);
	budget_init(&memory, 64 << 20);
	budget_init(&inflight, 10);
	replay = replay_new(&options, &loop, &store);
	return replay ? 0 : -1;
}

static int tear_down(void **state)
{
	(void)state;
	replay_free(replay);
	assert_int_equal(budget_used(&memory), 0);
	return 0;
}

/* Numbers 1 to `count`. */
static void keep(int count)
{
	for (int n = 1; n <= count; n++)
		store.records[n - 1] = (struct spool_record){.id = n};
	store.count = count;
	replay_wake(replay);
}

/* All that may be sent at once. */
static void wait_for_calls(size_t count)
{
	for (int turns = 0; fake_relay.count < count; turns++) {
		assert_true(turns < 100);
		assert_true(turn());
	}
}

/* --- the order ---------------------------------------------------------------------------------*/

static void test_order__tried_again__oldest_or_longest_waiting_first(void **state)
{
	static const struct {
		enum answer first;
		int ended[3], expected[3];
	} rows[] = {
		/* Refused for now: as they came. */
		{FAIL, {1, 2, 3}, {1, 2, 3}},
		{FAIL, {3, 2, 1}, {1, 2, 3}},
		{FAIL, {3, 1, 2}, {1, 2, 3}},
		/* Left unanswered: as they failed. */
		{SILENT, {1, 2, 3}, {1, 2, 3}},
		{SILENT, {3, 2, 1}, {3, 2, 1}},
		{SILENT, {2, 3, 1}, {2, 3, 1}},
	};

	for (size_t row = 0; row < ARRAY_LEN(rows); row++) {
		keep(3);
		wait_for_calls(3);
		for (int i = 0; i < 3; i++) {
			loop.now_us += SECOND / 1000;
			answer(rows[row].ended[i], rows[row].first);
		}
		/* All of them are due. */
		loop.now_us += 60 * SECOND;
		for (int i = 0; i < 3; i++) {
			assert_int_equal(wait_for_call(), rows[row].expected[i]);
			answer(rows[row].expected[i], ACCEPT);
		}
		turn();
		assert_null(first_after(&store, 0));
		tear_down(state);
		set_up(state);
	}
}

static void test_unanswered__others_are_taken__quarantine_after_5_attempts(void **state)
{
	int attempts = 0;

	(void)state;
	keep(30);
	while (store.ends[STORE_AMBIGUOUS] == 0) {
		int number = wait_for_call();

		attempts += number == 1;
		answer(number, number == 1 ? SILENT : ACCEPT);
		/* Live traffic has its beacons taken. */
		breaker_report(&breaker, BREAKER_SUCCESS, loop.now_us);
		while (fake_relay.count == 0 && turn())
			continue;
	}
	assert_int_equal(attempts, 5);
}

static void test_unanswered__nobody_is_taken__never_given_up(void **state)
{
	(void)state;
	keep(1);
	for (int n = 0; n < 50; n++) {
		assert_int_equal(wait_for_call(), 1);
		answer(1, SILENT);
	}
	assert_int_equal(wait_for_call(), 1);
	answer(1, ACCEPT);
	turn();
	assert_int_equal(store.ends[STORE_DELIVERED], 1);
}

/* So many are remembered, and one of them comes before a new one. */
static void test_unanswered__as_many_as_are_remembered__no_new_one_is_sent(void **state)
{
	(void)state;
	keep(RETRIES_MAX + 10);
	for (int n = 1; n <= RETRIES_MAX; n++) {
		assert_int_equal(wait_for_call(), n);
		answer(n, SILENT);
	}
	for (int n = 1; n <= 3; n++) {
		assert_int_equal(wait_for_call(), n);
		answer(n, SILENT);
	}
	assert_int_equal(wait_for_call(), 4);
	answer(4, ACCEPT);
	assert_int_equal(wait_for_call(), RETRIES_MAX + 1);
}

/* --- what the receiver says --------------------------------------------------------------------*/

static void test_refused__quarantine_at_once_and_the_others_pass(void **state)
{
	(void)state;
	keep(3);
	wait_for_calls(3);
	answer(1, ACCEPT);
	answer(2, REFUSE);
	answer(3, ACCEPT);
	while (turn())
		assert_int_equal(fake_relay.count, 0);
	assert_int_equal(store.ends[STORE_REJECTED], 1);
	assert_int_equal(store.ends[STORE_DELIVERED], 2);
	assert_null(first_after(&store, 0));
}

/* An operator's mistake says nothing about the beacons, however long it lasts. */
static void test_answered_not_now__for_long__nothing_lost(void **state)
{
	static const enum answer rows[] = {UNAUTHORIZED, NOT_FOUND, THROTTLE, FAIL};

	for (size_t row = 0; row < ARRAY_LEN(rows); row++) {
		keep(3);
		for (int n = 0; n < 100; n++)
			answer(wait_for_call(), rows[row]);
		for (int n = 1; n <= 3; n++) {
			assert_int_equal(wait_for_call(), n);
			answer(n, ACCEPT);
		}
		turn();
		assert_int_equal(store.ends[STORE_DELIVERED], 3);
		tear_down(state);
		set_up(state);
	}
}

/* It lives, so that it is not the breaker that holds the others back. */
static void test_failure__others_wait__one_at_a_time_until_one_is_taken(void **state)
{
	(void)state;
	keep(20);
	wait_for_calls(SLOTS);
	for (int n = 1; n <= SLOTS; n++)
		answer(n, THROTTLE);
	for (int n = 1; n <= 3; n++) {
		assert_int_equal(wait_for_call(), 1);
		for (int turns = 0; turns < 10; turns++)
			turn();
		assert_int_equal(fake_relay.count, 1);
		answer(1, THROTTLE);
	}
	assert_int_equal(wait_for_call(), 1);
	answer(1, ACCEPT);
	wait_for_calls(SLOTS);
}

static void test_retry_after__nobody_is_sent_before(void **state)
{
	int64_t told_us;

	(void)state;
	keep(3);
	wait_for_calls(3);
	answer(2, ACCEPT);
	told_us = loop.now_us;
	answer(1, THROTTLE);
	answer(3, ACCEPT);
	assert_int_equal(wait_for_call(), 1);
	assert_true(loop.now_us >= told_us + 20 * SECOND);
	assert_true(loop.now_us < told_us + 21 * SECOND);
}

/* --- what the store says -----------------------------------------------------------------------*/

static void test_retry__gone_from_the_store__forgotten(void **state)
{
	(void)state;
	keep(2);
	fake_relay.limit = 1;
	assert_int_equal(wait_for_call(), 1);
	answer(1, FAIL);
	store.records[0].id = 0;
	/* The next one is there; then none. */
	assert_int_equal(wait_for_call(), 2);
	answer(2, FAIL);
	store.records[1].id = 0;
	while (turn())
		assert_int_equal(fake_relay.count, 0);
	assert_int_equal(store.ends[STORE_DELIVERED], 0);
}

static void close_store(void)
{
	store.closed = true;
}

static void test_retry__store_fails_when_it_is_read__sent_once_it_is_open(void **state)
{
	(void)state;
	keep(1);
	assert_int_equal(wait_for_call(), 1);
	answer(1, FAIL);
	store.on_next = close_store;
	while (!store.closed)
		assert_true(turn());
	for (int turns = 0; turns < 100; turns++)
		turn();
	assert_int_equal(fake_relay.count, 0);
	store.on_next = NULL;
	store.closed = false;
	replay_wake(replay);
	assert_int_equal(wait_for_call(), 1);
}

static void test_finish__store_cannot_be_opened__remembered_and_not_sent_again(void **state)
{
	(void)state;
	keep(1);
	assert_int_equal(wait_for_call(), 1);
	store.open_fails = true;
	answer(1, ACCEPT);
	while (turn())
		assert_int_equal(fake_relay.count, 0);
	assert_int_equal(store.ends[STORE_DELIVERED], 0);
	store.open_fails = false;
	replay_finish(replay);
	assert_int_equal(store.ends[STORE_DELIVERED], 1);
}

static void test_finish__fails_for_long__sending_stops_and_each_is_sent_once(void **state)
{
	int64_t expired = metrics_get(METRIC_SPOOL_DROPPED_AGE);
	int sent = 0;

	(void)state;
	store.finish_fails = true;
	keep(RECORDS_MAX);
	while (fake_relay.count > 0 || turn())
		while (fake_relay.count > 0)
			answer(++sent, ACCEPT);
	assert_in_range(sent, FINISHED_MAX - SLOTS, FINISHED_MAX);
	/* Nor is there room to end them otherwise. */
	replay_expire(replay, 2000);
	assert_int_equal(metrics_get(METRIC_SPOOL_DROPPED_AGE), expired);
	store.finish_fails = false;
	replay_finish(replay);
	assert_int_equal(store.ends[STORE_DELIVERED], sent);
	replay_wake(replay);
	while (fake_relay.count > 0 || turn())
		while (fake_relay.count > 0)
			answer(++sent, ACCEPT);
	assert_int_equal(sent, RECORDS_MAX);
	assert_int_equal(store.ends[STORE_DELIVERED], RECORDS_MAX);
}

/* --- age ---------------------------------------------------------------------------------------*/

static void test_expire__in_flight_or_ended_already__left_alone(void **state)
{
	int64_t expired = metrics_get(METRIC_SPOOL_DROPPED_AGE);

	(void)state;
	store.finish_fails = true;
	fake_relay.limit = 2;
	keep(4);
	wait_for_calls(2);
	fake_relay.limit = 1;
	answer(1, ACCEPT);
	/* 1 has ended, though not in the store; 2 is in flight. */
	replay_expire(replay, 2000);
	assert_int_equal(metrics_get(METRIC_SPOOL_DROPPED_AGE), expired + 2);
	replay_expire(replay, 2000);
	assert_int_equal(metrics_get(METRIC_SPOOL_DROPPED_AGE), expired + 2);
	store.finish_fails = false;
	replay_finish(replay);
	assert_int_equal(store.ends[STORE_EXPIRED], 2);
	assert_int_equal(store.ends[STORE_DELIVERED], 1);
	answer(2, ACCEPT);
	turn();
	assert_int_equal(store.ends[STORE_DELIVERED], 2);
}

static void test_expire__cannot_be_deleted_yet__not_sent_any_more(void **state)
{
	(void)state;
	store.finish_fails = true;
	keep(2);
	store.records[1].stored_s = 1000;
	replay_expire(replay, 1500);
	assert_int_equal(wait_for_call(), 2);
	assert_int_equal(fake_relay.count, 1);
	store.finish_fails = false;
	answer(2, ACCEPT);
	turn();
	assert_int_equal(store.ends[STORE_EXPIRED], 1);
	assert_int_equal(store.ends[STORE_DELIVERED], 1);
}

static void test_expire__many__a_batch_at_a_time(void **state)
{
	(void)state;
	fake_relay.limit = 0;
	keep(100);
	replay_expire(replay, 2000);
	replay_finish(replay);
	assert_int_equal(store.ends[STORE_EXPIRED], 64);
	replay_expire(replay, 2000);
	replay_finish(replay);
	assert_int_equal(store.ends[STORE_EXPIRED], 100);
}

static void test_expire__store_is_closed__not_asked(void **state)
{
	(void)state;
	keep(1);
	store.closed = true;
	replay_expire(replay, 2000);
	assert_int_equal(store.peeks, 0);
	store.closed = false;
	replay_expire(replay, 2000);
	assert_true(store.peeks > 0);
}

/* --- who else ----------------------------------------------------------------------------------*/

/* Live traffic fails while a record is read. */
static void open_breaker(void)
{
	store.on_next = NULL;
	for (int i = 0; i < BREAKER_FAILURES; i++)
		breaker_report(&breaker, BREAKER_FAILURE, loop.now_us);
}

static void test_breaker__opens_while_a_record_is_read__sent_when_it_admits(void **state)
{
	int64_t begun_us = loop.now_us;

	(void)state;
	store.on_next = open_breaker;
	keep(1);
	assert_int_equal(wait_for_call(), 1);
	assert_null(store.on_next);
	assert_true(loop.now_us >= begun_us + BREAKER_OPEN_MIN_US);
}

static void test_trim__one_in_flight__keeps_its_body_and_no_other(void **state)
{
	size_t used;

	(void)state;
	keep(2);
	wait_for_calls(2);
	answer(1, ACCEPT);
	used = budget_used(&memory);
	replay_trim(replay);
	assert_in_range(budget_used(&memory), 1, used - 1);
	assert_int_equal(number_of(fake_relay.calls[0]), 2);
	answer(2, ACCEPT);
	replay_trim(replay);
	assert_int_equal(budget_used(&memory), 0);
}

/* --- memory ------------------------------------------------------------------------------------*/

static void test_large__more_than_there_is__passed_by_and_kept(void **state)
{
	(void)state;
	keep(3);
	store.records[1].body.len = memory.max;
	wait_for_calls(2);
	assert_int_equal(number_of(fake_relay.calls[1]), 3);
	answer(1, ACCEPT);
	answer(3, ACCEPT);
	while (turn() && store.ends[STORE_DELIVERED] < 2)
		;
	assert_int_equal(store.ends[STORE_DELIVERED], 2);
	assert_int_equal(store.records[1].id, 2);
}

/* The buffers of the others are kept for the next, and this one needs what they take. */
static void test_large__all_there_is__sent_when_it_is_alone(void **state)
{
	(void)state;
	keep(SLOTS);
	wait_for_calls(SLOTS);
	for (int n = 1; n <= SLOTS; n++)
		answer(n, ACCEPT);
	assert_in_range(budget_used(&memory), 1, memory.max);
	keep(SLOTS + 1);
	store.records[SLOTS].body.len = memory.max - sizeof("1000");
	assert_int_equal(wait_for_call(), SLOTS + 1);
	answer(SLOTS + 1, ACCEPT);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_order__tried_again__oldest_or_longest_waiting_first),
		TEST(test_unanswered__others_are_taken__quarantine_after_5_attempts),
		TEST(test_unanswered__nobody_is_taken__never_given_up),
		TEST(test_unanswered__as_many_as_are_remembered__no_new_one_is_sent),
		TEST(test_refused__quarantine_at_once_and_the_others_pass),
		TEST(test_answered_not_now__for_long__nothing_lost),
		TEST(test_failure__others_wait__one_at_a_time_until_one_is_taken),
		TEST(test_retry_after__nobody_is_sent_before),
		TEST(test_retry__gone_from_the_store__forgotten),
		TEST(test_retry__store_fails_when_it_is_read__sent_once_it_is_open),
		TEST(test_finish__store_cannot_be_opened__remembered_and_not_sent_again),
		TEST(test_finish__fails_for_long__sending_stops_and_each_is_sent_once),
		TEST(test_expire__in_flight_or_ended_already__left_alone),
		TEST(test_expire__cannot_be_deleted_yet__not_sent_any_more),
		TEST(test_expire__many__a_batch_at_a_time),
		TEST(test_expire__store_is_closed__not_asked),
		TEST(test_breaker__opens_while_a_record_is_read__sent_when_it_admits),
		TEST(test_trim__one_in_flight__keeps_its_body_and_no_other),
		TEST(test_large__more_than_there_is__passed_by_and_kept),
		TEST(test_large__all_there_is__sent_when_it_is_alone),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
