/* SPDX-License-Identifier: Apache-2.0 */
/* text: digits of both cases, prefixes, comma lists, and what counts as a small file. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <sys/stat.h>

#include <cmocka.h>

#include "base/text.h"

static char folder[] = "/tmp/faro-text-XXXXXX";
static char path[64];

static int set_up(void **state)
{
	(void)state;
	if (!mkdtemp(folder))
		return -1;
	snprintf(path, sizeof(path), "%s/file", folder);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	unlink(path);
	return rmdir(folder);
}

static void test_digits__each_byte__has_its_value_or_none(void **state)
{
	static const char digits[] = "0123456789abcdef", capitals[] = "0123456789ABCDEF";

	(void)state;
	for (int c = 0; c < 256; c++) {
		const char *lower = c ? strchr(digits, c) : NULL;
		const char *upper = c ? strchr(capitals, c) : NULL;
		int value = lower ? (int)(lower - digits) : upper ? (int)(upper - capitals) : -1;

		assert_int_equal(hex_value((char)c), value);
		assert_int_equal(is_digit((char)c), value >= 0 && value < 10);
	}
}

static void test_prefix__empty_equal_longer(void **state)
{
	(void)state;
	assert_true(view_starts_with(VIEW_LITERAL("abc"), VIEW_LITERAL("")));
	assert_true(view_starts_with(VIEW_LITERAL("abc"), VIEW_LITERAL("abc")));
	assert_false(view_starts_with(VIEW_LITERAL("abc"), VIEW_LITERAL("abcd")));
	assert_false(view_starts_with(VIEW_LITERAL("abc"), VIEW_LITERAL("b")));
}

static void test_items__of_a_comma_list__trimmed_and_never_empty(void **state)
{
	/* the list, its items with a bar behind each */
	static const struct {
		const char *list, *items;
	} rows[] = {
		{"", ""},        {" ,\t, ", ""},          {"a", "a|"},
		{"a,b", "a|b|"}, {",a,,b c ,", "a|b c|"}, {"\ta\t, b", "a|b|"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct view list = view_of(rows[i].list), item;
		char items[32] = "";
		size_t count = 0;

		for (; view_next_item(&list, &item); count++) {
			strncat(items, item.ptr, item.len);
			strcat(items, "|");
		}
		assert_string_equal(items, rows[i].items);
		assert_int_equal(list.len, 0);
		assert_int_equal(view_count_items(view_of(rows[i].list)), count);
	}
}

static void test_small_file__read_up_to_the_size_given(void **state)
{
	char out[8];
	FILE *file = fopen(path, "w");

	(void)state;
	assert_non_null(file);
	fputs("12345", file);
	fclose(file);
	assert_int_equal(read_small_file(path, out, sizeof(out), NULL), 5);
	assert_memory_equal(out, "12345", 5);
	assert_int_equal(read_small_file(path, out, 3, NULL), 3);
	unlink(path);
	assert_int_equal(read_small_file(path, out, sizeof(out), NULL), -1);
	assert_int_equal(errno, ENOENT);
}

static void test_small_file__fifo_or_directory__refused_without_waiting(void **state)
{
	struct stat seen;
	char out[8];

	(void)state;
	assert_int_equal(read_small_file(folder, out, sizeof(out), &seen), -1);
	assert_int_equal(errno, EINVAL);
	assert_true(S_ISDIR(seen.st_mode));
	assert_int_equal(mkfifo(path, 0600), 0);
	assert_int_equal(read_small_file(path, out, sizeof(out), NULL), -1);
	assert_int_equal(errno, EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_digits__each_byte__has_its_value_or_none),
		cmocka_unit_test(test_prefix__empty_equal_longer),
		cmocka_unit_test(test_items__of_a_comma_list__trimmed_and_never_empty),
		cmocka_unit_test(test_small_file__read_up_to_the_size_given),
		cmocka_unit_test(test_small_file__fifo_or_directory__refused_without_waiting),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
