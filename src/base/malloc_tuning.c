/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DESIGN: all threads share one heap, and its unused memory is returned to the kernel when a thread
 * becomes idle. By default glibc has a heap for each thread, and malloc_trim() returns the free
 * pages of the first one only: of 8 MB, between 2.0 and 2.7 were free pages of the others, while
 * the memory in use stayed the same. Threads do not wait for the lock of the one heap: a busy loop
 * keeps its buffers, and small blocks come from a cache of each thread.
 *
 * Other C libraries (musl) return pages on their own, and have none of these calls.
 */
#include "base/malloc_tuning.h"

#include <malloc.h>

/*
 * The thresholds are fixed. By default glibc raises the one for mmap to the largest block that was
 * freed, and then keeps up to that much at the end of the heap: 300 MiB after 64 bodies of 5 MiB.
 * With a fixed one a large body is returned as soon as its beacon is answered, and a body that
 * grows while it is read leaves no holes: 1000 such bodies that filled 64 MiB left a heap of 156 MB
 * with a threshold of 1 MiB, and of 72 MB with 128 KiB. M_TOP_PAD is 0 since a body that grows into
 * the padding at the heap's end leaves a hole once it is moved: the same heap had 124 MB with
 * padding.
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
