/* SPDX-License-Identifier: Apache-2.0 */
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
	DIFFERENT = 5
};

static const struct breaker_limits limits = {DIFFERENT, 10 * SECOND, SECOND};
static struct breaker breaker;

static int set_up(void **state)
{
	(void)state;
	breaker_init(&breaker, &limits);
	metrics_set(METRIC_BREAKER_OPEN, 0);
	return 0;
}

/* Of beacons that were never there before. */
static void report_different(enum breaker_report report, int n, int64_t now_us)
{
	static uint64_t beacon;

	for (int i = 0; i < n; i++)
		breaker_report(&breaker, report, ++beacon, now_us);
}

static void test_failures__of_four__closed_of_five__open(void **state)
{
	(void)state;
	report_different(BREAKER_FAILURE, DIFFERENT - 1, 1);
	assert_true(breaker_admits(&breaker, 1));
	assert_false(breaker_is_open(&breaker));
	report_different(BREAKER_FAILURE, 1, 1);
	assert_true(breaker_is_open(&breaker));
	assert_false(breaker_admits(&breaker, 1));
	assert_int_equal(metrics_get(METRIC_BREAKER_OPEN), 1);
}

/* Five attempts of which nothing was sent, whoever made them. */
static void test_failures__nothing_sent__each_counts(void **state)
{
	(void)state;
	for (int i = 0; i < DIFFERENT; i++) {
		assert_false(breaker_is_open(&breaker));
		breaker_report(&breaker, BREAKER_FAILURE, 0, 1);
	}
	assert_true(breaker_is_open(&breaker));
}

static void test_one_beacon__however_often_and_long__closed(void **state)
{
	static const enum breaker_report reports[] = {BREAKER_FAILURE, BREAKER_ERROR};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(reports); i++) {
		for (int64_t n = 0; n < 1000; n++)
			breaker_report(&breaker, reports[i], 7, n * 10 * SECOND);
		assert_false(breaker_is_open(&breaker));
		assert_false(breaker_sees_errors(&breaker));
	}
}

/* What says that it can be reached ends a row of failures. */
static void test_failures__answer_in_between__begins_anew(void **state)
{
	static const enum breaker_report answers[] = {BREAKER_SUCCESS, BREAKER_THROTTLED,
						      BREAKER_ALIVE, BREAKER_ERROR};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(answers); i++) {
		report_different(BREAKER_FAILURE, DIFFERENT - 1, 1);
		breaker_report(&breaker, answers[i], 1000, 1);
		report_different(BREAKER_FAILURE, DIFFERENT - 1, 1);
		breaker_report(&breaker, answers[i], 1000, 1);
		assert_false(breaker_is_open(&breaker));
	}
}

static void test_errors__of_five_for_10_s_and_none_accepted__open(void **state)
{
	(void)state;
	report_different(BREAKER_ERROR, 100, 1);
	assert_true(breaker_sees_errors(&breaker));
	report_different(BREAKER_ERROR, 100, 10 * SECOND);
	assert_false(breaker_is_open(&breaker));
	report_different(BREAKER_ERROR, 1, 10 * SECOND + 1);
	assert_true(breaker_is_open(&breaker));
}

static void test_errors__of_four__closed(void **state)
{
	(void)state;
	for (int i = 0; i < 1000; i++)
		breaker_report(&breaker, BREAKER_ERROR, 1 + (uint64_t)(i % 4), i * SECOND);
	assert_false(breaker_is_open(&breaker));
	assert_false(breaker_sees_errors(&breaker));
}

static void test_errors__one_accepted_each_9_s__closed(void **state)
{
	(void)state;
	for (int64_t s = 0; s < 1000; s++) {
		report_different(BREAKER_ERROR, 50, s * SECOND);
		if (s % 9 == 0)
			breaker_report(&breaker, BREAKER_SUCCESS, 1, s * SECOND);
		assert_false(breaker_is_open(&breaker));
	}
}

/* It was opened by failures, and now there is an answer. */
static void test_open__any_answer__closed(void **state)
{
	static const enum breaker_report answers[] = {BREAKER_SUCCESS, BREAKER_THROTTLED,
						      BREAKER_ALIVE, BREAKER_ERROR};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(answers); i++) {
		report_different(BREAKER_FAILURE, DIFFERENT, 1);
		assert_true(breaker_is_open(&breaker));
		breaker_report(&breaker, answers[i], 1000, 1);
		assert_false(breaker_is_open(&breaker));
		assert_int_equal(metrics_get(METRIC_BREAKER_OPEN), 0);
	}
}

static void test_open_by_errors__only_acceptance__closes(void **state)
{
	(void)state;
	report_different(BREAKER_ERROR, DIFFERENT, 1);
	report_different(BREAKER_ERROR, 1, 20 * SECOND);
	breaker_report(&breaker, BREAKER_ALIVE, 1000, 21 * SECOND);
	breaker_report(&breaker, BREAKER_THROTTLED, 1000, 21 * SECOND);
	report_different(BREAKER_ERROR, 1, 21 * SECOND);
	assert_true(breaker_is_open(&breaker));
	breaker_report(&breaker, BREAKER_SUCCESS, 1000, 21 * SECOND);
	assert_false(breaker_is_open(&breaker));
	assert_false(breaker_sees_errors(&breaker));
	assert_int_equal(metrics_get(METRIC_BREAKER_OPEN), 0);
}

/* After an hour as in the beginning, whether the last one has been answered or not. */
static void test_open__for_long__one_a_second_is_admitted(void **state)
{
	int admitted = 0;

	(void)state;
	report_different(BREAKER_FAILURE, DIFFERENT, 0);
	for (int64_t ms = 0; ms < INT64_C(3600) * 1000; ms += 10) {
		if (!breaker_admits(&breaker, ms * 1000))
			continue;
		admitted++;
		if (admitted % 2 == 0)
			report_different(BREAKER_FAILURE, 1, ms * 1000);
	}
	assert_in_range(admitted, 3599, 3600);
}

/* They began before it opened, and end one after another. */
static void test_open__late_failures__do_not_prolong(void **state)
{
	(void)state;
	report_different(BREAKER_FAILURE, DIFFERENT + 20, 1);
	report_different(BREAKER_FAILURE, 20, SECOND / 2);
	assert_false(breaker_admits(&breaker, SECOND));
	assert_true(breaker_admits(&breaker, 1 + SECOND));
}

static void test_counts__what_was_accepted_and_what_was_trouble(void **state)
{
	(void)state;
	report_different(BREAKER_SUCCESS, 3, 1);
	report_different(BREAKER_ALIVE, 1, 1);
	report_different(BREAKER_THROTTLED, 1, 1);
	report_different(BREAKER_FAILURE, 1, 1);
	/* An error is none while it may be the beacon's fault. */
	report_different(BREAKER_ERROR, DIFFERENT, 1);
	assert_int_equal(breaker.accepted, 3);
	assert_int_equal(breaker.troubles, 2);
	report_different(BREAKER_ERROR, 1, 20 * SECOND);
	assert_int_equal(breaker.troubles, 3);
}

static _Atomic int64_t clock_us;

/* Attempts that end in each way, while others are under way and it opens and closes. */
static void *attempt(void *seed)
{
	unsigned random = *(unsigned *)seed;

	for (int i = 0; i < 3000 * 1000; i++) {
		int64_t now_us = atomic_fetch_add(&clock_us, SECOND / 4) + SECOND / 4;

		if (!breaker_admits(&breaker, now_us))
			continue;
		random = random * 1103515245 + 12345;
		breaker_report(&breaker, (random >> 16 & 7) > 0 ? BREAKER_FAILURE : BREAKER_SUCCESS,
			       random >> 8 & 15, now_us);
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
	admitted = breaker_admits(&breaker, clock_us + limits.probe_us);
	assert_true(admitted);
	assert_int_equal(metrics_get(METRIC_BREAKER_OPEN), breaker_is_open(&breaker));
}

#define TEST(name) cmocka_unit_test_setup(name, set_up)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_failures__of_four__closed_of_five__open),
		TEST(test_failures__nothing_sent__each_counts),
		TEST(test_one_beacon__however_often_and_long__closed),
		TEST(test_failures__answer_in_between__begins_anew),
		TEST(test_errors__of_five_for_10_s_and_none_accepted__open),
		TEST(test_errors__of_four__closed),
		TEST(test_errors__one_accepted_each_9_s__closed),
		TEST(test_open__any_answer__closed),
		TEST(test_open_by_errors__only_acceptance__closes),
		TEST(test_open__for_long__one_a_second_is_admitted),
		TEST(test_open__late_failures__do_not_prolong),
		TEST(test_counts__what_was_accepted_and_what_was_trouble),
		TEST(test_threads__whatever_they_report__somebody_is_admitted_again),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
