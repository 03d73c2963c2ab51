/*
 * DESIGN: one heap for all threads, and what is free in it goes back to the kernel when a thread comes to
 * rest. glibc would have a heap for each thread. Of such a one it keeps the holes and the end, which
 * malloc_trim() leaves alone in all but the first: between spells of faults 2.0 to 2.7 of 8 MB were that,
 * another number each time, while what was in use was level. A loop that is busy has its buffers, and
 * small blocks come from a cache of the thread's own, so that nobody waits for the one heap's lock.
 *
 * Other C libraries (musl) give pages back on their own, and have none of these calls.
 */
#include "base/malloc_tuning.h"

#include <malloc.h>

/*
 * Of the thresholds: glibc raises the one for mmap to the largest block that was freed, and then keeps up
 * to that much at the end of the heap: after 64 bodies of 5 MiB, 300 MiB stayed. A fixed one gives a large
 * body back as soon as its beacon is answered, and a body that grows while it is read leaves no holes:
 * where 1000 of them filled 64 MiB, the heap had 156 MB with a threshold of 1 MiB, 72 with this. Without
 * room at the heap's end (M_TOP_PAD) it does not grow into that either, where it would leave a hole behind
 * once it is too large for it: 124 MB.
 */
void malloc_tuning_init(void)
{
#ifdef __GLIBC__
	mallopt(M_ARENA_MAX, 1);
	mallopt(M_TOP_PAD, 0);
	mallopt(M_MMAP_THRESHOLD, 128 * 1024);
	mallopt(M_TRIM_THRESHOLD, 1024 * 1024);
#endif
}

void malloc_give_back(void)
{
#ifdef __GLIBC__
	malloc_trim(0);
#endif
}
