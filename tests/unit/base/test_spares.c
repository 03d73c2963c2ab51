/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/spares.h"
#include "base/text.h"

/* Links spares alone. A thing is one of an array, and freeing it is counted. */

struct thing {
	int freed;
	struct spare spare;
};

static struct thing things[4];
static struct spares spares;

static void free_thing(struct spare *spare)
{
	container_of(spare, struct thing, spare)->freed++;
}

static int set_up(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(things); i++)
		things[i] = (struct thing){0};
	spares_init(&spares, 3, free_thing);
	return 0;
}

static void keep(int thing, int64_t now_us)
{
	spares_keep(&spares, &things[thing].spare, now_us);
}

static void check_freed(int first, int second, int third, int fourth)
{
	assert_int_equal(things[0].freed, first);
	assert_int_equal(things[1].freed, second);
	assert_int_equal(things[2].freed, third);
	assert_int_equal(things[3].freed, fourth);
}

static void test_take__the_last_one_kept_comes_first(void **state)
{
	(void)state;
	assert_null(spares_take(&spares));
	keep(0, 10);
	keep(1, 20);
	assert_ptr_equal(spares_take(&spares), &things[1].spare);
	keep(2, 30);
	assert_ptr_equal(spares_take(&spares), &things[2].spare);
	assert_ptr_equal(spares_take(&spares), &things[0].spare);
	assert_null(spares_take(&spares));
	check_freed(0, 0, 0, 0);
}

static void test_keep__one_more_than_the_limit__freed(void **state)
{
	(void)state;
	for (int i = 0; i < 3; i++)
		keep(i, 10);
	check_freed(0, 0, 0, 0);
	keep(3, 10);
	check_freed(0, 0, 0, 1);
	assert_int_equal(spares.count, 3);
	spares_take(&spares);
	keep(3, 20);
	check_freed(0, 0, 0, 1);
}

static void test_trim__kept_for_long__freed_and_the_others_stay(void **state)
{
	(void)state;
	keep(0, 10);
	keep(1, 20);
	keep(2, 21);
	spares_trim(&spares, 9);
	check_freed(0, 0, 0, 0);
	spares_trim(&spares, 20);
	check_freed(1, 1, 0, 0);
	assert_int_equal(spares.count, 1);
	assert_ptr_equal(spares_take(&spares), &things[2].spare);
}

static void test_release__all_are_freed(void **state)
{
	(void)state;
	for (int i = 0; i < 3; i++)
		keep(i, INT64_MAX);
	spares_release(&spares);
	check_freed(1, 1, 1, 0);
	assert_null(spares_take(&spares));
	assert_int_equal(spares.count, 0);
}

#define TEST(name) cmocka_unit_test_setup(name, set_up)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_take__the_last_one_kept_comes_first),
		TEST(test_keep__one_more_than_the_limit__freed),
		TEST(test_trim__kept_for_long__freed_and_the_others_stay),
		TEST(test_release__all_are_freed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
