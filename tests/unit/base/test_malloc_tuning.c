/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/malloc_tuning.h"

/* Sanitizers have an allocator of their own, and musl gives back what it does by itself. */
#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define OTHER_ALLOCATOR
#endif
#endif
#if !defined(__GLIBC__) || defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define OTHER_ALLOCATOR
#endif

enum {
	BLOCKS = 4096,
	BLOCK_BYTES = 4096,
};

static long resident_pages(void)
{
	FILE *statm = fopen("/proc/self/statm", "r");
	long pages = 0;

	assert_non_null(statm);
	assert_int_equal(fscanf(statm, "%*d %ld", &pages), 1);
	fclose(statm);
	return pages;
}

/* 16 MiB, of which every 64th block stays: no hole is at the end of the heap. */
static void test_heap__holes_between_what_is_used__are_given_back(void **state)
{
	static char *blocks[BLOCKS];
	long before, full;

	(void)state;
	malloc_tuning_init();
	before = resident_pages();
	for (size_t i = 0; i < BLOCKS; i++) {
		blocks[i] = malloc(BLOCK_BYTES);
		assert_non_null(blocks[i]);
		memset(blocks[i], (int)i, BLOCK_BYTES);
	}
	full = resident_pages();
	for (size_t i = 0; i < BLOCKS; i++)
		if (i % 64 != 63)
			free(blocks[i]);
	malloc_give_back();
	assert_true(full - before >= BLOCKS);
#ifndef OTHER_ALLOCATOR
	assert_in_range(resident_pages() - before, 0, (full - before) / 4);
#endif
	for (size_t i = 63; i < BLOCKS; i += 64) {
		for (size_t n = 0; n < BLOCK_BYTES; n++)
			assert_int_equal(blocks[i][n], (char)i);
		free(blocks[i]);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_heap__holes_between_what_is_used__are_given_back),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
