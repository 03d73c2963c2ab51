/* SPDX-License-Identifier: Apache-2.0 */
/* arena: blocks that are zeroed, aligned and independent, copies with a NUL, and one release for
 * all. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>

#include "base/arena.h"
#include "fakes/allocations.h"

static void test_blocks__zeroed_aligned_and_freed_together(void **state)
{
	struct arena arena = {.blocks = NULL};
	long before = live;

	(void)state;
	for (size_t size = 0; size < 100; size++) {
		char *bytes = arena_alloc(&arena, size);

		assert_non_null(bytes);
		assert_int_equal((uintptr_t)bytes % _Alignof(max_align_t), 0);
		for (size_t i = 0; i < size; i++)
			assert_int_equal(bytes[i], 0);
		memset(bytes, 'x', size);
	}
	assert_int_equal(live - before, 100);
	arena_release(&arena);
	assert_int_equal(live, before);
	assert_null(arena.blocks);
	assert_non_null(arena_alloc(&arena, 1));
	arena_release(&arena);
}

static void test_copy__of_a_part_of_a_text__ends_with_a_nul(void **state)
{
	struct arena arena = {.blocks = NULL};

	(void)state;
	assert_string_equal(arena_copy(&arena, (struct view){"abcd", 2}), "ab");
	assert_string_equal(arena_copy(&arena, (struct view){NULL, 0}), "");
	arena_release(&arena);
}

static void test_memory__none__nothing_is_lost(void **state)
{
	struct arena arena = {.blocks = NULL};
	struct arena_block *blocks;
	long before = live;

	(void)state;
	assert_non_null(arena_alloc(&arena, 1));
	blocks = arena.blocks;
	allocations = 0;
	fail_at = 0;
	assert_null(arena_alloc(&arena, 1));
	allocations = 0;
	assert_null(arena_copy(&arena, view_of("a")));
	fail_at = -1;
	assert_ptr_equal(arena.blocks, blocks);
	arena_release(&arena);
	assert_int_equal(live, before);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_blocks__zeroed_aligned_and_freed_together),
		cmocka_unit_test(test_copy__of_a_part_of_a_text__ends_with_a_nul),
		cmocka_unit_test(test_memory__none__nothing_is_lost),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
