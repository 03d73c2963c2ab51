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
	assert_in_range(first, 5, 8);
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

static void test_rate__live_traffic_in_trouble__halved_once_a_second(void **state)
{
	double before;

	(void)state;
	send_for(30 * SECOND);
	before = pace.rate;
	for (int i = 0; i < 10; i++) {
		breaker_report(&breaker, BREAKER_THROTTLED, now_us);
		pace_blocked_until(&pace, now_us);
	}
	assert_true(pace.rate == before / 2);
	now_us += SECOND;
	breaker_report(&breaker, BREAKER_THROTTLED, now_us);
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
static void test_pause__failures_in_a_row__bound_doubles_to_30_s(void **state)
{
	static const int64_t bounds_ms[] = {500, 1000, 2000, 4000, 8000, 16000, 30000, 30000};
	int64_t longest_us = 0, until_us;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bounds_ms); i++) {
		longest_us = 0;
		for (int times = 0; times < 200; times++) {
			pace.failures = (int)i;
			pace_after_failure(&pace, 0, now_us);
			until_us = pace.pause_until_us - now_us;
			assert_in_range(until_us, 0, bounds_ms[i] * 1000);
			longest_us = until_us > longest_us ? until_us : longest_us;
		}
		assert_true(longest_us > bounds_ms[i] * 1000 * 8 / 10);
	}
}

static void test_retry_after__honoured__also_while_others_are_served(void **state)
{
	(void)state;
	pace_after_failure(&pace, 7, now_us);
	breaker_report(&breaker, BREAKER_SUCCESS, now_us);
	assert_int_equal(pace_blocked_until(&pace, now_us), now_us + 7 * SECOND);
}

static void test_pause__others_are_served__cut_short(void **state)
{
	(void)state;
	pace_after_failure(&pace, 0, now_us);
	pace.pause_until_us = now_us + 20 * SECOND;
	assert_int_equal(pace_blocked_until(&pace, now_us), now_us + 20 * SECOND);
	breaker_report(&breaker, BREAKER_SUCCESS, now_us);
	assert_int_equal(pace_blocked_until(&pace, now_us), now_us + SECOND / 2);
}

static void test_breaker_open__replay_probes_after_live_traffic_could(void **state)
{
	(void)state;
	for (int i = 0; i < BREAKER_FAILURES; i++)
		breaker_report(&breaker, BREAKER_FAILURE, now_us);
	assert_true(pace_blocked_until(&pace, now_us) > now_us + SECOND);
	now_us += SECOND;
	assert_true(breaker_admits(&breaker, now_us));
	/* Somebody probes. */
	assert_true(pace_blocked_until(&pace, now_us) > now_us);
	breaker_cancel_attempt(&breaker);
	assert_true(pace_blocked_until(&pace, now_us) > now_us);
	now_us += SECOND / 2;
	assert_int_equal(pace_blocked_until(&pace, now_us), 0);
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
		TEST(test_rate__live_traffic_in_trouble__halved_once_a_second),
		TEST(test_rate__trouble_for_long__never_below_one_a_second),
		TEST(test_pause__failures_in_a_row__bound_doubles_to_30_s),
		TEST(test_retry_after__honoured__also_while_others_are_served),
		TEST(test_pause__others_are_served__cut_short),
		TEST(test_breaker_open__replay_probes_after_live_traffic_could),
		TEST(test_flush__rate_does_not_count_and_pauses_are_short),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
