/* SPDX-License-Identifier: Apache-2.0 */
#include "fakes/allocations.h"

_Atomic long allocations, fail_at = -1, live;
_Atomic bool fail_on;

/* Weak, since a driver need not wrap all of them. */
void *__real_malloc(size_t size) __attribute__((weak));
void *__real_calloc(size_t count, size_t size) __attribute__((weak));
void *__real_realloc(void *old, size_t size) __attribute__((weak));
void __real_free(void *pointer) __attribute__((weak));

bool allocation_fails(void)
{
	long number = allocations++;
	bool failing = fail_at >= 0 && (fail_on ? number >= fail_at : number == fail_at);

	live += !failing;
	return failing;
}

void *__wrap_malloc(size_t size)
{
	return allocation_fails() ? NULL : __real_malloc(size);
}

void *__wrap_calloc(size_t count, size_t size)
{
	return allocation_fails() ? NULL : __real_calloc(count, size);
}

void *__wrap_realloc(void *old, size_t size)
{
	if (allocation_fails())
		return NULL;
	live -= old != NULL;
	return __real_realloc(old, size);
}

void __wrap_free(void *pointer)
{
	live -= pointer != NULL;
	__real_free(pointer);
}
