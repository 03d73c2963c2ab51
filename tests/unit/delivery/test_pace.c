/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/text.h"
#include "delivery/pace.h"
#include "delivery/policy.h"

/* Links the pace, breaker, metrics and buf. Time is what the test says. */

#define SECOND INT64_C(1000000)

static struct breaker breaker;
static struct pace pace;
static int64_t now_us;

static int set_up(void **state)
{
	(void)state;
	now_us = 1000 * SECOND;
	breaker_init(&breaker, &policy_breaker);
	pace_init(&pace, &breaker, 20, now_us);
	return 0;
}

/* Sends as soon as it may, each taken at once; how many in that time. */
static int send_for(int64_t time_us)
{
	int64_t end_us = now_us + time_us, until_us;
	int sent = 0;

	while (now_us < end_us) {
		until_us = pace_blocked_until(&pace, now_us);
		if (until_us != 0) {
			assert_true(until_us > now_us);
			now_us = until_us;
			continue;
		}
		pace_sent(&pace, now_us);
		pace_after_success(&pace);
		sent++;
	}
	return sent;
}

static void test_rate__all_taken__grows_to_its_maximum_and_no_further(void **state)
{
	int first, last;

	(void)state;
	first = send_for(SECOND);
	assert_in_range(first, 7, 10);
	send_for(20 * SECOND);
	last = send_for(10 * SECOND);
	assert_in_range(last, 198, 202);
}

static void test_rate__time_unused__is_not_made_up_for(void **state)
{
	(void)state;
	send_for(30 * SECOND);
	now_us += 100 * SECOND;
	assert_in_range(send_for(SECOND), 19, 22);
}

static void test_rate__in_three_seconds__is_the_one_that_was_set(void **state)
{
	(void)state;
	pace_init(&pace, &breaker, 1000, now_us);
	send_for(3 * SECOND);
	assert_true(pace.rate > 990);
}

/* A busy machine sends less than it may, and the rate grows with what is taken. */
static void test_rate__one_of_six_is_not_sent__grows_in_three_seconds_all_the_same(void **state)
{
	int64_t end_us = now_us + 3 * SECOND;

	(void)state;
	pace_init(&pace, &breaker, 1000, now_us);
	for (int n = 0; now_us < end_us; n++) {
		now_us = pace_blocked_until(&pace, now_us) ? pace.next_us : now_us;
		pace_sent(&pace, now_us);
		if (n % 6 != 0)
			pace_after_success(&pace);
	}
	assert_true(pace.rate > 990);
}

/* The loop wakes up late, and the disk holds it up now and then. */
static void test_rate__wake_ups_are_late__reached_all_the_same(void **state)
{
	int64_t end_us;
	int sent = 0;

	(void)state;
	pace_init(&pace, &breaker, 5000, now_us);
	send_for(10 * SECOND);
	for (end_us = now_us + SECOND; now_us < end_us; now_us += sent % 100 < 5 ? 10000 : 1500)
		while (pace_blocked_until(&pace, now_us) == 0) {
			pace_sent(&pace, now_us);
			pace_after_success(&pace);
			sent++;
		}
	assert_in_range(sent, 4900, 5200);
}

static void test_rate__live_traffic_in_trouble__halved_once_a_second(void **state)
{
	double before;

	(void)state;
	send_for(30 * SECOND);
	before = pace.rate;
	for (int i = 0; i < 10; i++) {
		breaker_report(&breaker, BREAKER_THROTTLED, 1, now_us);
		pace_blocked_until(&pace, now_us);
	}
	assert_true(pace.rate == before / 2);
	now_us += SECOND;
	breaker_report(&breaker, BREAKER_THROTTLED, 1, now_us);
	pace_blocked_until(&pace, now_us);
	assert_true(pace.rate == before / 4);
}

static void test_rate__trouble_for_long__never_below_one_a_second(void **state)
{
	(void)state;
	for (int i = 0; i < 100; i++) {
		pace_after_failure(&pace, 0, now_us);
		now_us += 60 * SECOND;
	}
	assert_true(pace.rate == 1);
}

/* Full jitter: anything from nothing to the bound, which doubles. */
static void test_pause__failures_in_a_row__bound_doubles_to_3_s(void **state)
{
	static const int64_t bounds_ms[] = {500, 1000, 2000, 3000, 3000};
	int64_t longest_us = 0, until_us;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bounds_ms); i++) {
		longest_us = 0;
		for (int times = 0; times < 200; times++) {
			pace.failures = (int)i;
			now_us += 10 * SECOND;
			pace_after_failure(&pace, 0, now_us);
			until_us = pace.pause_until_us - now_us;
			assert_in_range(until_us, 0, bounds_ms[i] * 1000);
			longest_us = until_us > longest_us ? until_us : longest_us;
		}
		assert_true(longest_us > bounds_ms[i] * 1000 * 8 / 10);
	}
}

/* Each attempt takes a second to fail, or is still under way: silence. */
static void test_pause__for_an_hour__attempts_at_most_4_and_at_least_1_s_apart(void **state)
{
	int64_t end_us = now_us + 3600 * SECOND, last_us = 0, until_us;
	int attempts = 0;

	(void)state;
	while (now_us < end_us) {
		until_us = pace_blocked_until(&pace, now_us);
		if (until_us != 0) {
			now_us = until_us;
			continue;
		}
		if (now_us > end_us - 3500 * SECOND)
			assert_in_range(now_us - last_us, SECOND, 4 * SECOND);
		last_us = now_us;
		pace_sent(&pace, now_us);
		if (attempts++ % 2 == 1)
			continue;
		now_us += SECOND;
		breaker_report(&breaker, BREAKER_FAILURE, 0, now_us);
		pace_after_failure(&pace, 0, now_us);
	}
}

/* What ends during a pause began before it. */
static void test_pause__more_failures_meanwhile__not_prolonged(void **state)
{
	int64_t until_us;

	(void)state;
	pace_after_failure(&pace, 0, now_us);
	until_us = pace.pause_until_us;
	assert_true(until_us > now_us);
	for (int i = 0; i < 20; i++)
		pace_after_failure(&pace, 0, now_us);
	assert_int_equal(pace.pause_until_us, until_us);
}

static void report_errors(int different)
{
	for (int i = 1; i <= different; i++)
		breaker_report(&breaker, BREAKER_ERROR, (uint64_t)i, now_us);
}

static void test_error__of_few_records__nobody_else_waits(void **state)
{
	double before;

	(void)state;
	send_for(30 * SECOND);
	before = pace.rate;
	for (int i = 0; i < 100; i++) {
		report_errors(BREAKER_DIFFERENT - 1);
		assert_false(pace_after_error(&pace, 30, now_us));
		now_us += SECOND;
		assert_int_equal(pace_blocked_until(&pace, now_us), 0);
	}
	assert_true(pace.rate == before);
}

static void test_error__of_many_and_none_accepted__rate_as_in_the_beginning(void **state)
{
	double before = pace.rate;

	(void)state;
	send_for(30 * SECOND);
	assert_true(pace.rate > before);
	report_errors(BREAKER_DIFFERENT);
	for (int i = 0; i < 9; i++) {
		assert_true(pace_after_error(&pace, 0, now_us));
		now_us += SECOND;
	}
	assert_true(pace.rate == before);
	assert_int_equal(pace_blocked_until(&pace, now_us), 0);
	assert_true(pace_after_error(&pace, 7, now_us));
	assert_int_equal(pace_blocked_until(&pace, now_us), now_us + 7 * SECOND);
}

static void test_error__breaker_open__as_any_failure(void **state)
{
	(void)state;
	report_errors(BREAKER_DIFFERENT);
	now_us += BREAKER_ERRORS_US;
	report_errors(1);
	assert_true(breaker_is_open(&breaker));
	assert_true(pace_after_error(&pace, 0, now_us));
	assert_true(pace_is_in_trouble(&pace));
	assert_true(pace_blocked_until(&pace, now_us) > now_us);
}

static void test_retry_after__honoured__also_while_others_are_served(void **state)
{
	(void)state;
	pace_after_failure(&pace, 7, now_us);
	breaker_report(&breaker, BREAKER_SUCCESS, 1, now_us);
	assert_int_equal(pace_blocked_until(&pace, now_us), now_us + 7 * SECOND);
}

static void test_pause__others_are_served__cut_short(void **state)
{
	(void)state;
	pace_after_failure(&pace, 0, now_us);
	pace.pause_until_us = now_us + 20 * SECOND;
	assert_int_equal(pace_blocked_until(&pace, now_us), now_us + 20 * SECOND);
	breaker_report(&breaker, BREAKER_SUCCESS, 1, now_us);
	assert_int_equal(pace_blocked_until(&pace, now_us), now_us + SECOND / 2);
}

/* Live traffic opened it, and replay has had no failure: it does not go on at its rate. */
static void test_breaker_open__replay_tries_now_and_then(void **state)
{
	(void)state;
	for (int i = 0; i < BREAKER_DIFFERENT; i++)
		breaker_report(&breaker, BREAKER_FAILURE, 0, now_us);
	assert_true(pace_is_in_trouble(&pace));
	assert_int_equal(pace_blocked_until(&pace, now_us), 0);
	pace_sent(&pace, now_us);
	assert_true(pace_blocked_until(&pace, now_us) >= now_us + SECOND / 4);
	breaker_report(&breaker, BREAKER_SUCCESS, 1, now_us);
	assert_false(pace_is_in_trouble(&pace));
}

static void test_flush__rate_does_not_count_and_pauses_are_short(void **state)
{
	(void)state;
	pace_flush(&pace);
	for (int i = 0; i < 100; i++) {
		assert_int_equal(pace_blocked_until(&pace, now_us), 0);
		pace_sent(&pace, now_us);
	}
	for (int i = 0; i < 100; i++) {
		now_us += SECOND;
		pace_after_failure(&pace, 0, now_us);
		assert_in_range(pace.pause_until_us, now_us, now_us + SECOND / 5);
	}
}

#define TEST(name) cmocka_unit_test_setup(name, set_up)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_rate__all_taken__grows_to_its_maximum_and_no_further),
		TEST(test_rate__time_unused__is_not_made_up_for),
		TEST(test_rate__in_three_seconds__is_the_one_that_was_set),
		TEST(test_rate__one_of_six_is_not_sent__grows_in_three_seconds_all_the_same),
		TEST(test_rate__wake_ups_are_late__reached_all_the_same),
		TEST(test_rate__live_traffic_in_trouble__halved_once_a_second),
		TEST(test_rate__trouble_for_long__never_below_one_a_second),
		TEST(test_pause__failures_in_a_row__bound_doubles_to_3_s),
		TEST(test_pause__for_an_hour__attempts_at_most_4_and_at_least_1_s_apart),
		TEST(test_pause__more_failures_meanwhile__not_prolonged),
		TEST(test_error__of_few_records__nobody_else_waits),
		TEST(test_error__of_many_and_none_accepted__rate_as_in_the_beginning),
		TEST(test_error__breaker_open__as_any_failure),
		TEST(test_retry_after__honoured__also_while_others_are_served),
		TEST(test_pause__others_are_served__cut_short),
		TEST(test_breaker_open__replay_tries_now_and_then),
		TEST(test_flush__rate_does_not_count_and_pauses_are_short),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
