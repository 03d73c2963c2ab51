/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/text.h"

/* Links buf.c; realloc() is wrapped so that it can be made to fail. */

void *__real_realloc(void *p, size_t size);
void *__wrap_realloc(void *p, size_t size);

static bool realloc_fails;

void *__wrap_realloc(void *p, size_t size)
{
	return realloc_fails ? NULL : __real_realloc(p, size);
}

static void test_buf__append_up_to_the_maximum__no_byte_more(void **state)
{
	static const struct {
		size_t first, second;
		enum buf_result expected;
	} rows[] = {
		{5, 4, BUF_OK},        /* one below */
		{5, 5, BUF_OK},        /* at the maximum */
		{5, 6, BUF_TOO_LARGE}, /* one above */
		{0, 10, BUF_OK},
		{0, 11, BUF_TOO_LARGE},
		{10, 0, BUF_OK},              /* nothing fits always */
		{1, SIZE_MAX, BUF_TOO_LARGE}, /* the sum overflows */
	};
	static const char bytes[16] = "0123456789abcdef";

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct buf buf;

		buf_init(&buf, 10, NULL);
		assert_int_equal(buf_append(&buf, bytes, rows[i].first), BUF_OK);
		assert_int_equal(buf_append(&buf, bytes, rows[i].second), rows[i].expected);
		if (rows[i].expected == BUF_OK)
			assert_int_equal(buf.len, rows[i].first + rows[i].second);
		else
			assert_int_equal(buf.len, rows[i].first);
		assert_true(buf.cap <= 10);
		buf_release(&buf);
	}
}

static void test_buf__failure__leaves_the_content(void **state)
{
	struct buf buf;

	(void)state;
	buf_init(&buf, 100000, NULL);
	assert_int_equal(buf_append(&buf, "abc", 3), BUF_OK);
	realloc_fails = true;
	assert_int_equal(buf_reserve(&buf, 50000), BUF_OVER_BUDGET);
	realloc_fails = false;
	assert_int_equal(buf.len, 3);
	assert_memory_equal(buf.data, "abc", 3);
	buf_release(&buf);
}

static void test_buf__budget__is_charged_for_the_capacity_and_gets_it_back(void **state)
{
	struct budget budget;
	struct buf one, two;

	(void)state;
	budget_init(&budget, 10000);
	buf_init(&one, 100000, &budget);
	buf_init(&two, 100000, &budget);
	assert_int_equal(buf_reserve(&one, 8000), BUF_OK);
	assert_int_equal(budget_used(&budget), one.cap);
	assert_int_equal(buf_reserve(&two, 8000), BUF_OVER_BUDGET);
	assert_int_equal(budget_used(&budget), one.cap);

	realloc_fails = true;
	assert_int_equal(buf_reserve(&two, 100), BUF_OVER_BUDGET);
	realloc_fails = false;
	assert_int_equal(budget_used(&budget), one.cap);

	buf_shrink(&one, 8000); /* kept: not above */
	assert_int_equal(budget_used(&budget), 8000);
	buf_shrink(&one, 7999);
	assert_int_equal(budget_used(&budget), 0);
	assert_int_equal(buf_reserve(&two, 8000), BUF_OK);
	buf_release(&two);
	assert_int_equal(budget_used(&budget), 0);
}

static void test_buf_hand_over__memory_of_an_empty_one__goes_to_one_without(void **state)
{
	static const struct {
		size_t len, cap, max;
		bool handed;
	} rows[] = {
		{0, 0, 5000, true},
		{0, 0, 4999, false},
		{1, 0, 5000, false},
		{0, 1, 5000, false},
	};
	struct budget budget;

	(void)state;
	budget_init(&budget, 100000);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct buf from, to;
		const char *data;
		size_t used;

		buf_init(&from, 10000, &budget);
		buf_init(&to, rows[i].max, &budget);
		assert_int_equal(buf_reserve(&from, 5000), BUF_OK);
		assert_int_equal(buf_reserve(&to, rows[i].cap), BUF_OK);
		from.len = rows[i].len;
		data = from.data;
		used = budget_used(&budget);
		buf_hand_over(&from, &to);
		assert_int_equal(to.data == data, rows[i].handed);
		assert_int_equal(from.cap, rows[i].handed ? 0 : 5000);
		assert_int_equal(budget_used(&budget), used);
		buf_release(&from);
		buf_release(&to);
		assert_int_equal(budget_used(&budget), 0);
	}
}

static void test_budget__limits(void **state)
{
	struct budget budget;

	(void)state;
	budget_init(&budget, 3);
	assert_true(budget_take(&budget, 2));
	assert_true(budget_take(&budget, 1));
	assert_false(budget_take(&budget, 1));
	assert_false(budget_take(&budget, SIZE_MAX));
	assert_true(budget_take(&budget, 0));
	budget_give_back(&budget, 1);
	assert_false(budget_take(&budget, 2));
	assert_true(budget_take(&budget, 1));
	assert_int_equal(budget_used(&budget), 3);
}

static void test_buf_printf__text_that_fits_exactly__needs_a_byte_for_its_nul(void **state)
{
	struct buf buf;

	(void)state;
	buf_init(&buf, 6, NULL);
	assert_int_equal(buf_printf(&buf, "%s", "12345"), BUF_OK);
	assert_int_equal(buf.len, 5);
	assert_int_equal(buf_printf(&buf, "%d", 6), BUF_TOO_LARGE);
	assert_int_equal(buf.len, 5);
	buf_release(&buf);
}

static void test_view__comparisons(void **state)
{
	static const struct {
		struct view a, b;
		bool equal, equal_nocase;
	} rows[] = {
		{{"gzip", 4}, {"gzip", 4}, true, true},
		{{"GZip", 4}, {"gzip", 4}, false, true},
		{{"gzip", 3}, {"gzip", 4}, false, false},
		{{NULL, 0}, {"", 0}, true, true},   /* the bytes are equal; presence is ptr's */
		{{"[", 1}, {"{", 1}, false, false}, /* differ by the case bit, and are no letters */
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		assert_int_equal(view_equals(rows[i].a, rows[i].b), rows[i].equal);
		assert_int_equal(view_equals_nocase(rows[i].a, rows[i].b), rows[i].equal_nocase);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_buf__append_up_to_the_maximum__no_byte_more),
		cmocka_unit_test(test_buf__failure__leaves_the_content),
		cmocka_unit_test(test_buf__budget__is_charged_for_the_capacity_and_gets_it_back),
		cmocka_unit_test(test_buf_hand_over__memory_of_an_empty_one__goes_to_one_without),
		cmocka_unit_test(test_budget__limits),
		cmocka_unit_test(test_buf_printf__text_that_fits_exactly__needs_a_byte_for_its_nul),
		cmocka_unit_test(test_view__comparisons),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
