/* SPDX-License-Identifier: Apache-2.0 */
/*
 * arena: memory that is freed all at once, for what is built at start and then only read.
 *
 * Each block is zeroed and aligned for any type. One thread owns an arena.
 */
#ifndef FARO_BASE_ARENA_H
#define FARO_BASE_ARENA_H

#include "base/buf.h"

struct arena {
	struct arena_block *blocks; /* NULL: nothing is allocated */
};

/* NULL without memory. */
void *arena_alloc(struct arena *arena, size_t size);
/* With a NUL behind it. NULL without memory. */
char *arena_copy(struct arena *arena, struct view text);
/* Frees every block; the arena may be used again. */
void arena_release(struct arena *arena);

#endif
