/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DESIGN: a sequence lock whose writer does not wait. The version is made odd by the one who
 * writes, and even again behind the members; what a reader has read is whole if the version was
 * even before, and is the same afterwards.
 */
#include "base/exemplar.h"

void exemplar_set(struct exemplar_slot *slot, const struct exemplar *exemplar)
{
	uint64_t version = atomic_load_explicit(&slot->version, memory_order_relaxed);

	if (version % 2 != 0 ||
	    !atomic_compare_exchange_strong_explicit(&slot->version, &version, version + 1,
						     memory_order_acquire, memory_order_relaxed))
		return;
	atomic_thread_fence(memory_order_release);
	atomic_store_explicit(&slot->high, exemplar->trace.high, memory_order_relaxed);
	atomic_store_explicit(&slot->low, exemplar->trace.low, memory_order_relaxed);
	atomic_store_explicit(&slot->value_us, exemplar->value_us, memory_order_relaxed);
	atomic_store_explicit(&slot->time_ms, exemplar->time_ms, memory_order_relaxed);
	atomic_store_explicit(&slot->version, version + 2, memory_order_release);
}

bool exemplar_get(struct exemplar_slot *slot, struct exemplar *exemplar)
{
	uint64_t version = atomic_load_explicit(&slot->version, memory_order_acquire);

	exemplar->trace.high = atomic_load_explicit(&slot->high, memory_order_relaxed);
	exemplar->trace.low = atomic_load_explicit(&slot->low, memory_order_relaxed);
	exemplar->value_us = atomic_load_explicit(&slot->value_us, memory_order_relaxed);
	exemplar->time_ms = atomic_load_explicit(&slot->time_ms, memory_order_relaxed);
	atomic_thread_fence(memory_order_acquire);
	return version != 0 && version % 2 == 0 &&
	       atomic_load_explicit(&slot->version, memory_order_relaxed) == version;
}
