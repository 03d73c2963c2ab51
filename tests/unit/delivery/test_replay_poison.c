/* SPDX-License-Identifier: Apache-2.0 */
#include "delivery/replay_stage.h"

/* Whose fault an error is: the record's, which nobody else may feel, or the receiver's, which may cost
 * no record. */

static int poison_count; /* numbers up to this */
static enum answer to_poison, to_others;
static int asked[RECORDS_MAX + 1];
static struct loop_timer user_timer, finishing_timer;

/* Somebody whose live beacons are taken. */
static void on_user_timer(struct loop_timer *timer)
{
	breaker_report(&breaker, BREAKER_SUCCESS, 1, loop.now_us);
	timer->due_us = loop.now_us + SECOND / 5;
}

static void begin_user(void)
{
	user_timer = (struct loop_timer){.fire = on_user_timer};
	loop_timer_add(&loop, &user_timer);
	user_timer.due_us = loop.now_us;
}

static void on_finishing_timer(struct loop_timer *timer)
{
	(void)timer;
}

/* All are answered at once, for so long. How many were asked about. */
static int answer_for(int64_t time_us)
{
	int count = 0;

	finishing_timer = (struct loop_timer){.fire = on_finishing_timer};
	if (loop.timers != &finishing_timer)
		loop_timer_add(&loop, &finishing_timer);
	finishing_timer.due_us = loop.now_us + time_us;
	while (finishing_timer.due_us != INT64_MAX) {
		while (fake_relay.count > 0) {
			int number = number_of(fake_relay.calls[0]);

			asked[number]++;
			count++;
			answer(number, number <= poison_count ? to_poison : to_others);
		}
		assert_true(turn());
	}
	loop.timers = finishing_timer.next;
	return count;
}

static void begin_poison(int poison, enum answer with, int all)
{
	memset(asked, 0, sizeof(asked));
	poison_count = poison;
	to_poison = with;
	to_others = ACCEPT;
	keep(all);
}

static void test_poison__at_the_head__the_others_are_delivered(void **state)
{
	static const enum answer rows[] = {REFUSE, UNAUTHORIZED, NOT_FOUND,
					   FAIL,   FAIL_LATER,   SILENT};

	for (size_t row = 0; row < ARRAY_LEN(rows); row++) {
		begin_poison(1, rows[row], 21);
		answer_for(10 * SECOND);
		assert_int_equal(store.ends[STORE_DELIVERED], 20);
		assert_int_equal(store.records[0].id, 1);
		assert_false(breaker_is_open(&breaker));
		tear_down(state);
		set_up(state);
	}
}

/* Nobody else is there, so that nothing tells its fault from the receiver's. */
static void test_poison__quiet_day__kept_asked_about_now_and_then_and_breaker_closed(void **state)
{
	int count;

	(void)state;
	begin_poison(1, FAIL, 1);
	count = answer_for(86400 * SECOND);
	assert_in_range(count, 86400 / 3, 86400);
	assert_int_equal(store.records[0].id, 1);
	assert_false(breaker_is_open(&breaker));
}

static void test_poison__others_are_taken__quarantine_after_10_answers(void **state)
{
	static const struct {
		enum answer with;
		enum store_end end;
		int attempts;
	} rows[] = {{REFUSE, STORE_REJECTED, 10},
		    {NOT_FOUND, STORE_REFUSED, 10},
		    {FAIL, STORE_REFUSED, 10},
		    {SILENT, STORE_AMBIGUOUS, 5}};

	for (size_t row = 0; row < ARRAY_LEN(rows); row++) {
		begin_user();
		begin_poison(1, rows[row].with, 1);
		if (rows[row].attempts == 10) {
			answer_for(120 * SECOND);
			assert_int_equal(store.ends[rows[row].end], 0);
		}
		answer_for(520 * SECOND);
		assert_int_equal(store.ends[rows[row].end], 1);
		assert_int_equal(asked[1], rows[row].attempts);
		tear_down(state);
		set_up(state);
	}
}

static void test_mirror__all_are_refused_for_an_hour__none_in_quarantine(void **state)
{
	static const enum answer rows[] = {REFUSE, UNAUTHORIZED, NOT_FOUND, FAIL, SILENT};

	for (size_t row = 0; row < ARRAY_LEN(rows); row++) {
		int count;

		restart(20);
		begin_poison(100, rows[row], 100);
		count = answer_for(3600 * SECOND);
		assert_true(breaker_is_open(&breaker));
		/* It is left alone but for a try each second or two. */
		assert_in_range(count, 3600 / 4, 3600 + 200);
		for (int end = 0; end <= STORE_AMBIGUOUS; end++)
			assert_int_equal(store.ends[end], 0);
		to_poison = ACCEPT;
		answer_for(60 * SECOND);
		assert_int_equal(store.ends[STORE_DELIVERED], 100);
		tear_down(state);
		set_up(state);
	}
}

static void test_outage__of_an_hour__first_delivery_within_5_s(void **state)
{
	static const struct {
		enum answer with;
		int records;
	} rows[] = {{UNREACHED, 1}, {UNREACHED, 20}, {FAIL, 1},
		    {FAIL, 20},     {SILENT, 1},     {SILENT, 20}};

	for (int times = 0; times < 20; times++)
		for (size_t row = 0; row < ARRAY_LEN(rows); row++) {
			begin_poison(rows[row].records, rows[row].with, rows[row].records);
			answer_for(3600 * SECOND + times * SECOND / 10);
			to_poison = ACCEPT;
			answer_for(5 * SECOND);
			assert_true(store.ends[STORE_DELIVERED] > 0);
			answer_for(30 * SECOND);
			assert_int_equal(store.ends[STORE_DELIVERED], rows[row].records);
			tear_down(state);
			set_up(state);
		}
}

static void test_trouble__one_fails__another_is_tried_next(void **state)
{
	int last = 0;

	(void)state;
	keep(2);
	for (int n = 0; n < 1000; n++) {
		int number = wait_for_call();

		assert_int_not_equal(number, last);
		last = number;
		answer(number, UNREACHED);
	}
}

/* A flood of 20 s at 50 a second, each of which was tried before it was stored; in the middle of it
 * an outage of 3 s, in which the beacons of others came to the spool. */
static void test_flood__at_the_usual_rate__those_of_others_within_30_s(void **state)
{
	(void)state;
	restart(20);
	begin_user();
	begin_poison(1000, FAIL, 1015);
	for (int64_t id = 1; id <= 1000; id++)
		replay_stored(replay, id);
	answer_for(30 * SECOND);
	assert_int_equal(store.ends[STORE_DELIVERED], 15);
}

/* The same after a restart, where nothing is known of them, and more than can be remembered. */
static void test_flood__more_than_is_remembered__others_pass_and_none_is_forgotten(void **state)
{
	(void)state;
	begin_user();
	begin_poison(RECORDS_MAX - 20, FAIL, RECORDS_MAX);
	answer_for(30 * SECOND);
	assert_int_equal(store.ends[STORE_DELIVERED], 20);
	answer_for(3600 * SECOND);
	assert_int_equal(store.ends[STORE_REFUSED], RECORDS_MAX - 20);
	for (int n = 1; n <= RECORDS_MAX - 20; n++)
		assert_in_range(asked[n], 10, 60);
}

/* Nobody else is there to tell, and the receiver is well. */
static void test_flood__after_a_restart_and_nobody_else__others_pass(void **state)
{
	(void)state;
	begin_poison(40, FAIL, 60);
	answer_for(60 * SECOND);
	assert_int_equal(store.ends[STORE_DELIVERED], 20);
}

static void test_stored_after_an_error__not_sent_before_new_ones(void **state)
{
	(void)state;
	fake_relay.limit = 1;
	keep(2);
	replay_stored(replay, 1);
	assert_int_equal(wait_for_call(), 2);
	answer(2, ACCEPT);
	assert_int_equal(wait_for_call(), 1);
	answer(1, ACCEPT);
	turn();
	assert_int_equal(store.ends[STORE_DELIVERED], 2);
}

/* What ends before the cursor comes to it takes nobody with it. */
static void test_stored_after_an_error__ends_before_older_ones__these_are_sent(void **state)
{
	(void)state;
	fake_relay.limit = 0;
	keep(3);
	replay_stored(replay, 3);
	loop.now_us += 10 * SECOND;
	fake_relay.limit = 2;
	wait_for_calls(2);
	answer(3, ACCEPT);
	turn();
	assert_int_equal(store.ends[STORE_DELIVERED], 1);
	wait_for_calls(2);
	answer(1, ACCEPT);
	answer(2, ACCEPT);
	turn();
	assert_int_equal(store.ends[STORE_DELIVERED], 3);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_poison__at_the_head__the_others_are_delivered),
		TEST(test_poison__quiet_day__kept_asked_about_now_and_then_and_breaker_closed),
		TEST(test_poison__others_are_taken__quarantine_after_10_answers),
		TEST(test_mirror__all_are_refused_for_an_hour__none_in_quarantine),
		TEST(test_outage__of_an_hour__first_delivery_within_5_s),
		TEST(test_trouble__one_fails__another_is_tried_next),
		TEST(test_flood__at_the_usual_rate__those_of_others_within_30_s),
		TEST(test_flood__more_than_is_remembered__others_pass_and_none_is_forgotten),
		TEST(test_flood__after_a_restart_and_nobody_else__others_pass),
		TEST(test_stored_after_an_error__not_sent_before_new_ones),
		TEST(test_stored_after_an_error__ends_before_older_ones__these_are_sent),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
