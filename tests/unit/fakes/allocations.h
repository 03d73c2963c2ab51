/* SPDX-License-Identifier: Apache-2.0 */
/*
 * allocations: counts the allocations of what a driver links, and fails the one that a test wants
 * failed. For a driver with --wrap of some of malloc, calloc, realloc and free; the others are not
 * seen.
 */
#ifndef FARO_FAKE_ALLOCATIONS_H
#define FARO_FAKE_ALLOCATIONS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

/* The allocation number `fail_at` and, with `fail_on`, all after it fail; -1: none. */
extern _Atomic long allocations, fail_at, live;
extern _Atomic bool fail_on;

/* Counts one more; true: it is to fail. */
bool allocation_fails(void);

void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *old, size_t size);
void __wrap_free(void *pointer);

#endif
