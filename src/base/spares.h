/* SPDX-License-Identifier: Apache-2.0 */
/*
 * spares: things that are kept for reuse, each with a link of this module embedded.
 *
 * The one that was kept last is taken first, so those that are not needed are the ones that have
 * been kept for longest, and spares_trim() frees them. When to trim is the owner's to say.
 */
#ifndef FARO_BASE_SPARES_H
#define FARO_BASE_SPARES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct spare {
	struct spare *next;
	int64_t kept_us; /* since when */
};

struct spares {
	struct spare *first;
	size_t count, max;
	void (*free)(struct spare *spare);
};

/* Keeps at most `max`; `free` is called for every other. */
void spares_init(struct spares *spares, size_t max, void (*free)(struct spare *spare));
/* Frees all. */
void spares_release(struct spares *spares);

/* NULL: there is none. */
struct spare *spares_take(struct spares *spares);
/* Keeps it, or frees it where there are enough. */
void spares_keep(struct spares *spares, struct spare *spare, int64_t now_us);
/* Frees those that have been kept since `before_us` or longer. */
void spares_trim(struct spares *spares, int64_t before_us);

#endif
