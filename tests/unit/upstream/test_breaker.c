#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/metrics.h"
#include "base/text.h"
#include "upstream/breaker.h"

/* Links the breaker, metrics and buf. Time is what the test says. */

#define SECOND INT64_C(1000000)

enum {
	FAILURES = 5
};

static const struct breaker_limits limits = {FAILURES, SECOND, 30 * SECOND};
static struct breaker breaker;

static int set_up(void **state)
{
	(void)state;
	breaker_init(&breaker, &limits);
	metrics_set(METRIC_BREAKER_OPEN, 0);
	return 0;
}

static void fail_times(int n, int64_t now_us)
{
	for (int i = 0; i < n; i++)
		breaker_report(&breaker, BREAKER_FAILURE, now_us);
}

static void test_failures__four__closed_five__open(void **state)
{
	(void)state;
	fail_times(FAILURES - 1, 1);
	assert_true(breaker_admits(&breaker, 1));
	assert_false(breaker_is_open(&breaker));
	fail_times(1, 1);
	assert_false(breaker_admits(&breaker, 1));
	assert_int_equal(metrics_get(METRIC_BREAKER_OPEN), 1);
	assert_int_equal(breaker_retry_at_us(&breaker, 1), 1 + SECOND);
}

/* What says that the receiver lives ends a row of failures. */
static void test_row__answer_in_between__begins_anew(void **state)
{
	static const enum breaker_report answers[] = {BREAKER_SUCCESS, BREAKER_THROTTLED,
						      BREAKER_ALIVE};

	(void)state;
	for (size_t i = 0; i < 3; i++) {
		fail_times(FAILURES - 1, 1);
		breaker_report(&breaker, answers[i], 1);
		fail_times(FAILURES - 1, 1);
		breaker_report(&breaker, answers[i], 1);
		assert_true(breaker_admits(&breaker, 1));
	}
}

static void test_open__over__one_probe_only(void **state)
{
	(void)state;
	fail_times(FAILURES, 1);
	assert_false(breaker_admits(&breaker, SECOND));
	assert_true(breaker_admits(&breaker, 1 + SECOND));
	assert_false(breaker_admits(&breaker, 1 + SECOND));
	assert_int_equal(breaker_retry_at_us(&breaker, 1 + SECOND), INT64_MAX);
	breaker_cancel_attempt(&breaker);
	assert_true(breaker_admits(&breaker, 1 + SECOND));
}

static void test_probes__failing__twice_as_long_up_to_30_s(void **state)
{
	static const int64_t expected_s[] = {1, 2, 4, 8, 16, 30, 30};
	int64_t now_us = 1;

	(void)state;
	fail_times(FAILURES, now_us);
	for (size_t i = 0; i < ARRAY_LEN(expected_s); i++) {
		assert_int_equal(breaker_retry_at_us(&breaker, now_us),
				 now_us + expected_s[i] * SECOND);
		now_us += expected_s[i] * SECOND;
		assert_true(breaker_admits(&breaker, now_us));
		fail_times(1, now_us);
	}
	now_us += 30 * SECOND;
	assert_true(breaker_admits(&breaker, now_us));
	breaker_report(&breaker, BREAKER_SUCCESS, now_us);
	assert_true(breaker_admits(&breaker, now_us));
	assert_int_equal(metrics_get(METRIC_BREAKER_OPEN), 0);
	fail_times(FAILURES, now_us);
	assert_int_equal(breaker_retry_at_us(&breaker, now_us), now_us + SECOND);
}

/* They began before it opened, and end one after another. */
static void test_open__late_failures__do_not_prolong(void **state)
{
	(void)state;
	fail_times(FAILURES + 20, 1);
	fail_times(20, SECOND / 2);
	assert_int_equal(breaker_retry_at_us(&breaker, SECOND / 2), 1 + SECOND);
}

static _Atomic int64_t clock_us;

/* Attempts that end in each way, while others are under way and openings end. */
static void *attempt(void *seed)
{
	unsigned random = *(unsigned *)seed;

	for (int i = 0; i < 3000 * 1000; i++) {
		int64_t now_us = atomic_fetch_add(&clock_us, SECOND / 4) + SECOND / 4;

		if (!breaker_admits(&breaker, now_us))
			continue;
		random = random * 1103515245 + 12345;
		breaker_report(&breaker, (random >> 16 & 7) > 0 ? BREAKER_FAILURE : BREAKER_SUCCESS,
			       now_us);
	}
	return NULL;
}

static void test_threads__whatever_they_report__somebody_is_admitted_again(void **state)
{
	unsigned seeds[] = {1, 2, 3};
	pthread_t threads[3];
	bool admitted;

	(void)state;
	for (size_t i = 0; i < 3; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, attempt, &seeds[i]), 0);
	for (size_t i = 0; i < 3; i++)
		pthread_join(threads[i], NULL);
	admitted = breaker_admits(&breaker, clock_us + limits.open_max_us);
	assert_true(admitted);
	assert_int_equal(metrics_get(METRIC_BREAKER_OPEN), breaker_is_open(&breaker));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_failures__four__closed_five__open, set_up),
		cmocka_unit_test_setup(test_row__answer_in_between__begins_anew, set_up),
		cmocka_unit_test_setup(test_open__over__one_probe_only, set_up),
		cmocka_unit_test_setup(test_probes__failing__twice_as_long_up_to_30_s, set_up),
		cmocka_unit_test_setup(test_open__late_failures__do_not_prolong, set_up),
		cmocka_unit_test_setup(
			test_threads__whatever_they_report__somebody_is_admitted_again, set_up),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
