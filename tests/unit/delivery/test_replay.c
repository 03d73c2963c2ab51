/* SPDX-License-Identifier: Apache-2.0 */
#include "delivery/replay_stage.h"

/* Order, limits and ends; whose fault an error is: test_replay_poison.c. */

enum {
	MANY = 1200,
};

/* --- the order ---------------------------------------------------------------------------------*/

static void test_order__tried_again__oldest_first_once_one_is_taken(void **state)
{
	static const struct {
		enum answer first;
		int ended[3], expected[3];
	} rows[] = {
		/* Answered: as they came. */
		{FAIL, {1, 2, 3}, {1, 2, 3}},
		{FAIL, {3, 2, 1}, {1, 2, 3}},
		{FAIL, {3, 1, 2}, {1, 2, 3}},
		/* Trouble: the one that was tried the longest ago shows that it is over. */
		{SILENT, {1, 2, 3}, {1, 2, 3}},
		{SILENT, {3, 2, 1}, {3, 1, 2}},
		{SILENT, {2, 3, 1}, {2, 1, 3}},
		{UNREACHED, {3, 2, 1}, {3, 1, 2}},
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
		breaker_report(&breaker, BREAKER_SUCCESS, 1, loop.now_us);
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

/* --- what the receiver says --------------------------------------------------------------------*/

/* An operator's mistake says nothing about the beacons, however long it lasts. */
static void test_answered_not_now__for_long__nothing_lost(void **state)
{
	static const enum answer rows[] = {REFUSE,   UNAUTHORIZED, NOT_FOUND,
					   THROTTLE, FAIL,         UNREACHED};

	for (size_t row = 0; row < ARRAY_LEN(rows); row++) {
		keep(3);
		for (int n = 0; n < 100; n++)
			answer(wait_for_call(), rows[row]);
		for (int n = 1; n <= 3; n++)
			answer(wait_for_call(), ACCEPT);
		replay_finish(replay);
		assert_int_equal(store.ends[STORE_DELIVERED], 3);
		tear_down(state);
		set_up(state);
	}
}

/* It lives, so that it is not the breaker that holds the others back. */
static void test_throttled__others_wait__one_at_a_time_until_one_is_taken(void **state)
{
	int number;

	(void)state;
	keep(20);
	wait_for_calls(SLOTS);
	for (int n = 1; n <= SLOTS; n++)
		answer(n, THROTTLE);
	for (int n = 1; n <= 3; n++) {
		int64_t told_us = loop.now_us;

		number = wait_for_call();
		assert_true(loop.now_us >= told_us + 20 * SECOND);
		assert_int_equal(fake_relay.count, 1);
		answer(number, THROTTLE);
	}
	answer(wait_for_call(), ACCEPT);
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

/* Its own fault, perhaps. */
static void test_retry_after__of_one_error__only_it_waits(void **state)
{
	int64_t told_us;

	(void)state;
	keep(20);
	wait_for_calls(3);
	told_us = loop.now_us;
	answer(1, FAIL_LATER);
	for (int n = 2; n <= 20; n++) {
		while (fake_relay.count == 0)
			assert_true(turn());
		answer(number_of(fake_relay.calls[0]), ACCEPT);
	}
	assert_true(loop.now_us < told_us + 5 * SECOND);
	assert_int_equal(wait_for_call(), 1);
	assert_true(loop.now_us >= told_us + 20 * SECOND);
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
	keep(MANY);
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
	assert_int_equal(sent, MANY);
	assert_int_equal(store.ends[STORE_DELIVERED], MANY);
}

/* Each transaction costs a wait for the disk. */
static void test_finish__many_at_once__few_transactions(void **state)
{
	int sent = 0;

	(void)state;
	keep(MANY);
	while (fake_relay.count > 0 || turn())
		while (fake_relay.count > 0)
			answer(++sent, ACCEPT);
	assert_int_equal(store.ends[STORE_DELIVERED], MANY);
	assert_in_range(store.transactions, MANY / 64, MANY / 64 + 2);
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

/* Live traffic has opened it; replay finds out by itself, one at a time. */
static void test_breaker_open__replay_tries_one_at_a_time(void **state)
{
	int64_t first_us;

	(void)state;
	for (int i = 0; i < BREAKER_DIFFERENT; i++)
		breaker_report(&breaker, BREAKER_FAILURE, 0, loop.now_us);
	keep(20);
	wait_for_call();
	assert_int_equal(fake_relay.count, 1);
	first_us = loop.now_us;
	wait_for_calls(2);
	assert_true(loop.now_us >= first_us + PAUSE_MIN_US / 2);
	answer(1, ACCEPT);
	assert_false(breaker_is_open(&breaker));
	wait_for_calls(SLOTS);
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
		TEST(test_order__tried_again__oldest_first_once_one_is_taken),
		TEST(test_unanswered__others_are_taken__quarantine_after_5_attempts),
		TEST(test_unanswered__nobody_is_taken__never_given_up),
		TEST(test_answered_not_now__for_long__nothing_lost),
		TEST(test_throttled__others_wait__one_at_a_time_until_one_is_taken),
		TEST(test_retry_after__nobody_is_sent_before),
		TEST(test_retry_after__of_one_error__only_it_waits),
		TEST(test_retry__gone_from_the_store__forgotten),
		TEST(test_retry__store_fails_when_it_is_read__sent_once_it_is_open),
		TEST(test_finish__store_cannot_be_opened__remembered_and_not_sent_again),
		TEST(test_finish__fails_for_long__sending_stops_and_each_is_sent_once),
		TEST(test_finish__many_at_once__few_transactions),
		TEST(test_expire__in_flight_or_ended_already__left_alone),
		TEST(test_expire__cannot_be_deleted_yet__not_sent_any_more),
		TEST(test_expire__many__a_batch_at_a_time),
		TEST(test_expire__store_is_closed__not_asked),
		TEST(test_breaker_open__replay_tries_one_at_a_time),
		TEST(test_trim__one_in_flight__keeps_its_body_and_no_other),
		TEST(test_large__more_than_there_is__passed_by_and_kept),
		TEST(test_large__all_there_is__sent_when_it_is_alone),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
