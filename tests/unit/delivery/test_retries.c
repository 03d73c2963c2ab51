/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/text.h"
#include "delivery/policy.h"
#include "delivery/retries.h"

/* Links retries alone. */

#define SECOND INT64_C(1000000)

static struct retries retries;

static int set_up(void **state)
{
	(void)state;
	memset(&retries, 0, sizeof(retries));
	return 0;
}

static struct retry *add(int64_t id)
{
	struct retry *retry = retries_take(&retries, id);

	assert_non_null(retry);
	assert_int_equal(retry->id, id);
	return retry;
}

static void test_take__more_than_there_is_room_for__null_until_one_is_removed(void **state)
{
	(void)state;
	for (int64_t id = 1; id <= RETRIES_MAX; id++)
		retries_again(&retries, add(id), 1);
	assert_null(retries_take(&retries, RETRIES_MAX + 1));
	assert_ptr_equal(retries_take(&retries, 5), retries_find(&retries, 5));
	retries_remove(&retries, 7);
	assert_null(retries_find(&retries, 7));
	retries_again(&retries, add(RETRIES_MAX + 1), 1);
	assert_null(retries_take(&retries, 7));
	assert_int_equal(retries.count, RETRIES_MAX);
}

static void test_next__fewest_attempts_then_oldest(void **state)
{
	static const int64_t expected[] = {3, 4, 1, 2, 5};

	(void)state;
	for (int64_t id = 5; id >= 1; id--) {
		struct retry *retry = add(id);

		if (id == 3 || id == 4)
			retries_again(&retries, retry, 1);
		else
			retries_back_off(&retries, retry, id != 2, 0, 1);
	}
	assert_int_equal(retries_next(&retries, 1)->id, 3);
	for (size_t i = 0; i < ARRAY_LEN(expected); i++) {
		struct retry *retry = retries_next(&retries, 100 * SECOND);

		assert_int_equal(retry->id, expected[i]);
		retries_send(&retries, retry);
	}
	assert_null(retries_next(&retries, 100 * SECOND));
}

/* From another acceptance to the next, each counts: 1, 2, 4 s … half of which is random. */
static void test_back_off__others_are_taken__doubles_until_it_is_enough(void **state)
{
	struct retry *retry = add(1);
	int64_t bound_us = SECOND;
	uint64_t accepted = 0;

	(void)state;
	for (int n = 1; n < ERRORS_MAX; n++, bound_us *= 2) {
		assert_true(retries_back_off(&retries, retry, true, accepted++, 7));
		assert_in_range(retry->due_us - 7, bound_us / 2, bound_us);
		assert_int_equal(retries_due_us(&retries), retry->due_us);
		assert_null(retries_next(&retries, retry->due_us - 1));
		assert_ptr_equal(retries_next(&retries, retry->due_us), retry);
		retries_send(&retries, retry);
	}
	assert_false(retries_back_off(&retries, retry, true, accepted, 7));
}

static void test_back_off__nobody_is_taken__counted_once_and_soon_again(void **state)
{
	struct retry *retry = add(1);

	(void)state;
	for (int n = 0; n < 1000; n++) {
		assert_true(retries_back_off(&retries, retry, n % 2 == 0, 42, 7));
		assert_true(retry->due_us <= 7 + RETRY_UNCOUNTED_US);
		assert_int_equal(retry_attempts(retry), 1);
		retries_send(&retries, retry);
	}
}

static void test_delay__waiting__not_before_that(void **state)
{
	struct retry *retry = add(1);

	(void)state;
	retries_back_off(&retries, add(2), true, 0, 7);
	retries_back_off(&retries, retry, true, 0, 7);
	retries_delay(&retries, retry, 50 * SECOND);
	retries_delay(&retries, retry, 20 * SECOND);
	assert_int_equal(retry->due_us, 50 * SECOND);
	assert_int_equal(retries_next(&retries, 49 * SECOND)->id, 2);
	retries_remove(&retries, 2);
	assert_null(retries_next(&retries, 49 * SECOND));
	assert_ptr_equal(retries_next(&retries, 50 * SECOND), retry);
}

static void test_longest_left__due_or_not__but_not_in_flight(void **state)
{
	(void)state;
	assert_null(retries_longest_left(&retries));
	retries_again(&retries, add(1), 3);
	retries_back_off(&retries, add(2), true, 0, 2);
	add(3);
	assert_int_equal(retries_longest_left(&retries)->id, 2);
	retries_send(&retries, retries_find(&retries, 2));
	assert_int_equal(retries_longest_left(&retries)->id, 1);
}

/* --- against a plain list ----------------------------------------------------------------------*/

enum {
	IDS = 600,
	STEPS = 200000
};

static struct {
	bool there, in_flight;
} plain[IDS];

static void check_next(int64_t now_us)
{
	struct retry *next = retries_next(&retries, now_us);

	for (int64_t id = 0; id < IDS; id++) {
		struct retry *retry = retries_find(&retries, id * 1000003);

		assert_int_equal(retry != NULL, plain[id].there);
		if (!retry || plain[id].in_flight || retry->due_us > now_us)
			continue;
		assert_non_null(next);
		assert_true(
			retry_attempts(next) < retry_attempts(retry) ||
			(retry_attempts(next) == retry_attempts(retry) && next->id <= retry->id));
	}
	assert_true(!next || next->due_us <= now_us);
}

static void step(int64_t id, int what, int64_t now_us)
{
	struct retry *retry = retries_find(&retries, id * 1000003);

	if (!plain[id].there) {
		add(id * 1000003);
		plain[id].there = plain[id].in_flight = true;
	} else if (what == 0) {
		retries_remove(&retries, id * 1000003);
		plain[id].there = false;
	} else if (!plain[id].in_flight) {
		retries_send(&retries, retry);
		plain[id].in_flight = true;
	} else if (what == 1) {
		retries_again(&retries, retry, now_us);
		plain[id].in_flight = false;
	} else if (retries_back_off(&retries, retry, what == 2, (uint64_t)now_us, now_us)) {
		plain[id].in_flight = false;
	} else {
		retries_remove(&retries, id * 1000003);
		plain[id].there = false;
	}
}

static void test_any__at_random__as_a_plain_list_says(void **state)
{
	unsigned random = 1;

	(void)state;
	memset(plain, 0, sizeof(plain));
	for (int64_t n = 0; n < STEPS; n++) {
		step(rand_r(&random) % IDS, rand_r(&random) % 4, n * SECOND / 50);
		if (n % 100 == 0)
			check_next(n * SECOND / 50);
	}
}

#define TEST(name) cmocka_unit_test_setup(name, set_up)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_take__more_than_there_is_room_for__null_until_one_is_removed),
		TEST(test_next__fewest_attempts_then_oldest),
		TEST(test_back_off__others_are_taken__doubles_until_it_is_enough),
		TEST(test_back_off__nobody_is_taken__counted_once_and_soon_again),
		TEST(test_delay__waiting__not_before_that),
		TEST(test_longest_left__due_or_not__but_not_in_flight),
		TEST(test_any__at_random__as_a_plain_list_says),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
