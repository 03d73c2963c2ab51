/*
 * For a driver linked with --wrap=malloc,--wrap=calloc,--wrap=free: counts the allocations of what
 * it links, and fails the one that a test wants failed. To be included once a driver.
 */
#ifndef FARO_COUNTED_ALLOCATIONS_H
#define FARO_COUNTED_ALLOCATIONS_H

#include <stdbool.h>
#include <stdlib.h>

/* The allocation number `fail_at` and, with `fail_on`, all after it fail; -1: none. */
static long allocations, fail_at = -1, live;
static bool fail_on;

void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void __real_free(void *pointer);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void __wrap_free(void *pointer);

static bool fails(void)
{
	long number = allocations++;
	bool failing = fail_at >= 0 && (fail_on ? number >= fail_at : number == fail_at);

	live += !failing;
	return failing;
}

void *__wrap_malloc(size_t size)
{
	return fails() ? NULL : __real_malloc(size);
}

void *__wrap_calloc(size_t count, size_t size)
{
	return fails() ? NULL : __real_calloc(count, size);
}

void __wrap_free(void *pointer)
{
	live -= pointer != NULL;
	__real_free(pointer);
}

#endif
