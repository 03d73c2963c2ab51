/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DESIGN: entries stand in a ring in the order in which their beacons came, and are found by chains
 * of equal hash bits. A new entry replaces the oldest one; where that beacon is still under way,
 * the new one is not recorded. An entry also ends when it is too old, or when its beacon was not
 * promised; then it is in no chain.
 *
 * Anybody can compute the hash of a beacon, and prepare many that share some bits of it. So the
 * chain follows from the hash and a number that each process draws; the hash itself, which the
 * spool stores, is the same in all of them.
 */
#include "delivery/dedup.h"

#include <stdlib.h>
#include <sys/random.h>
#include <xxhash.h>

#include "base/loop.h"
#include "delivery/policy.h"

enum {
	NONE = DEDUP_ENTRIES, /* an index that is none */
};

enum phase {
	FREE,
	UNDER_WAY,
	PROMISED
};

struct entry {
	struct dedup_hash hash;
	int64_t promised_us;
	struct dedup_waiter *waiters;
	uint32_t next; /* in the chain */
	uint32_t phase;
};

struct dedup {
	pthread_mutex_t mutex;
	uint64_t seed;       /* of the chains */
	uint32_t next_index; /* of the next entry */
	uint32_t chains[DEDUP_ENTRIES];
	struct entry entries[DEDUP_ENTRIES];
};

struct dedup *dedup_new(void)
{
	struct dedup *dedup = calloc(1, sizeof(*dedup));

	if (!dedup)
		return NULL;
	/* A kernel that has no random number yet leaves the clock's. */
	if (getrandom(&dedup->seed, sizeof(dedup->seed), GRND_NONBLOCK) !=
	    (ssize_t)sizeof(dedup->seed))
		dedup->seed = (uint64_t)loop_now_us();
	pthread_mutex_init(&dedup->mutex, NULL);
	for (size_t i = 0; i < DEDUP_ENTRIES; i++)
		dedup->chains[i] = NONE;
	return dedup;
}

void dedup_free(struct dedup *dedup)
{
	if (!dedup)
		return;
	pthread_mutex_destroy(&dedup->mutex);
	free(dedup);
}

static uint32_t *chain_of(struct dedup *dedup, const struct dedup_hash *hash)
{
	XXH64_hash_t bits = XXH3_64bits_withSeed(hash->bytes, sizeof(hash->bytes), dedup->seed);

	return &dedup->chains[bits % DEDUP_ENTRIES];
}

size_t dedup_chain_length(struct dedup *dedup, const struct dedup_hash *hash)
{
	size_t length = 0;

	pthread_mutex_lock(&dedup->mutex);
	for (uint32_t i = *chain_of(dedup, hash); i != NONE; i = dedup->entries[i].next)
		length++;
	pthread_mutex_unlock(&dedup->mutex);
	return length;
}

static struct entry *find_entry(struct dedup *dedup, const struct dedup_hash *hash)
{
	uint32_t i;

	for (i = *chain_of(dedup, hash); i != NONE; i = dedup->entries[i].next)
		if (memcmp(&dedup->entries[i].hash, hash, sizeof(*hash)) == 0)
			return &dedup->entries[i];
	return NULL;
}

static void remove_entry(struct dedup *dedup, struct entry *entry)
{
	uint32_t *link = chain_of(dedup, &entry->hash);
	uint32_t index = (uint32_t)(entry - dedup->entries);

	while (*link != index)
		link = &dedup->entries[*link].next;
	*link = entry->next;
	entry->phase = FREE;
}

/* NULL: the oldest entry is still in use. */
static struct entry *add_entry(struct dedup *dedup, const struct dedup_hash *hash)
{
	struct entry *entry = &dedup->entries[dedup->next_index];
	uint32_t *chain = chain_of(dedup, hash);

	if (entry->phase == UNDER_WAY) {
		dedup->next_index = (dedup->next_index + 1) % DEDUP_ENTRIES;
		return NULL;
	}
	if (entry->phase == PROMISED)
		remove_entry(dedup, entry);
	*entry = (struct entry){.hash = *hash, .next = *chain, .phase = UNDER_WAY};
	*chain = dedup->next_index;
	dedup->next_index = (dedup->next_index + 1) % DEDUP_ENTRIES;
	return entry;
}

static bool is_too_old(const struct entry *entry, int64_t now_us)
{
	return entry->phase == PROMISED &&
	       now_us - entry->promised_us >= (int64_t)DEDUP_KEEP_S * 1000000;
}

enum dedup_state dedup_begin(struct dedup *dedup, const struct dedup_hash *hash,
			     struct dedup_waiter *waiter, int64_t now_us)
{
	enum dedup_state state = DEDUP_FIRST;
	struct entry *entry;

	pthread_mutex_lock(&dedup->mutex);
	entry = find_entry(dedup, hash);
	if (entry && is_too_old(entry, now_us)) {
		remove_entry(dedup, entry);
		entry = NULL;
	}
	if (!entry) {
		add_entry(dedup, hash);
	} else if (entry->phase == PROMISED) {
		state = DEDUP_KNOWN;
	} else {
		state = DEDUP_WAIT;
		waiter->next = entry->waiters;
		entry->waiters = waiter;
	}
	pthread_mutex_unlock(&dedup->mutex);
	return state;
}

void dedup_end(struct dedup *dedup, const struct dedup_hash *hash, struct dedup_outcome outcome,
	       int64_t now_us)
{
	struct dedup_waiter *waiter, *next;
	struct entry *entry;

	pthread_mutex_lock(&dedup->mutex);
	entry = find_entry(dedup, hash);
	/* It may have gone unrecorded, and another one of the same kind may have come after it. */
	if (entry && entry->phase == UNDER_WAY) {
		waiter = entry->waiters;
		entry->waiters = NULL;
		entry->promised_us = now_us;
		if (outcome.promised)
			entry->phase = PROMISED;
		else
			remove_entry(dedup, entry);
		for (; waiter; waiter = next) {
			next = waiter->next;
			waiter->outcome = outcome;
			mailbox_post(waiter->mailbox, &waiter->message);
		}
	}
	pthread_mutex_unlock(&dedup->mutex);
}

void dedup_leave(struct dedup *dedup, const struct dedup_hash *hash, struct dedup_waiter *waiter)
{
	struct dedup_waiter **link;
	struct entry *entry;

	pthread_mutex_lock(&dedup->mutex);
	entry = find_entry(dedup, hash);
	if (entry) {
		for (link = &entry->waiters; *link && *link != waiter; link = &(*link)->next)
			;
		if (*link)
			*link = waiter->next;
	}
	pthread_mutex_unlock(&dedup->mutex);
}

void dedup_remember(struct dedup *dedup, const struct dedup_hash *hash, int64_t age_s,
		    int64_t now_us)
{
	struct entry *entry;

	pthread_mutex_lock(&dedup->mutex);
	entry = find_entry(dedup, hash) ? NULL : add_entry(dedup, hash);
	if (entry) {
		entry->phase = PROMISED;
		entry->promised_us = now_us - age_s * 1000000;
	}
	pthread_mutex_unlock(&dedup->mutex);
}
