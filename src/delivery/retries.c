/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DESIGN: an array of retries that never move; numbers of them in a hash table by id (linear
 * probing, no tombstones) and in one of two binary heaps, which knows each one's place.
 */
#include "delivery/retries.h"

#include <stdlib.h>

#include "delivery/policy.h"

/* --- two heaps ---------------------------------------------------------------------------------*/

static bool is_before(const struct retries *retries, const struct retry_heap *heap, uint16_t a,
		      uint16_t b)
{
	const struct retry *x = &retries->list[a], *y = &retries->list[b];

	if (heap == &retries->waiting)
		return x->due_us < y->due_us;
	if (retry_attempts(x) != retry_attempts(y))
		return retry_attempts(x) < retry_attempts(y);
	return x->id < y->id;
}

static void put_at(struct retries *retries, struct retry_heap *heap, size_t place, uint16_t number)
{
	heap->list[place] = number;
	retries->list[number].place = (uint16_t)place;
}

static void move_up(struct retries *retries, struct retry_heap *heap, size_t place)
{
	uint16_t number = heap->list[place];

	while (place > 0 && is_before(retries, heap, number, heap->list[(place - 1) / 2])) {
		put_at(retries, heap, place, heap->list[(place - 1) / 2]);
		place = (place - 1) / 2;
	}
	put_at(retries, heap, place, number);
}

static void move_down(struct retries *retries, struct retry_heap *heap, size_t place)
{
	uint16_t number = heap->list[place];
	size_t child;

	while ((child = 2 * place + 1) < heap->count) {
		if (child + 1 < heap->count &&
		    is_before(retries, heap, heap->list[child + 1], heap->list[child]))
			child++;
		if (!is_before(retries, heap, heap->list[child], number))
			break;
		put_at(retries, heap, place, heap->list[child]);
		place = child;
	}
	put_at(retries, heap, place, number);
}

static struct retry_heap *heap_of(struct retries *retries, enum retry_state state)
{
	return state == RETRY_WAITING ? &retries->waiting
	       : state == RETRY_DUE   ? &retries->due
				      : NULL;
}

/* From the heap where it is to that of the state. */
static void set_state(struct retries *retries, struct retry *retry, enum retry_state state)
{
	struct retry_heap *from = heap_of(retries, retry->state), *to = heap_of(retries, state);
	size_t place = retry->place;

	if (from && --from->count > place) {
		put_at(retries, from, place, from->list[from->count]);
		move_up(retries, from, place);
		move_down(retries, from, place);
	}
	retry->state = state;
	if (to) {
		put_at(retries, to, to->count++, (uint16_t)(retry - retries->list));
		move_up(retries, to, to->count - 1);
	}
}

/* --- by id -------------------------------------------------------------------------------------*/

static size_t first_slot(int64_t id)
{
	/* Ids are times or follow each other; the upper bits of the product depend on all. */
	return (size_t)((uint64_t)id * UINT64_C(0x9e3779b97f4a7c15) >> 50) % RETRIES_TABLE;
}

/* The slot where it is, or that is free for it. There always is one. */
static size_t find_slot(const struct retries *retries, int64_t id)
{
	size_t slot = first_slot(id);

	while (retries->table[slot] != 0 && retries->list[retries->table[slot] - 1].id != id)
		slot = (slot + 1) % RETRIES_TABLE;
	return slot;
}

/* Those that follow it without a gap may have been put there because of it. */
static void free_slot(struct retries *retries, size_t slot)
{
	retries->table[slot] = 0;
	for (slot = (slot + 1) % RETRIES_TABLE; retries->table[slot] != 0;
	     slot = (slot + 1) % RETRIES_TABLE) {
		uint16_t number = retries->table[slot];

		retries->table[slot] = 0;
		retries->table[find_slot(retries, retries->list[number - 1].id)] = number;
	}
}

struct retry *retries_find(struct retries *retries, int64_t id)
{
	uint16_t number = retries->table[find_slot(retries, id)];

	return number == 0 ? NULL : &retries->list[number - 1];
}

struct retry *retries_take(struct retries *retries, int64_t id)
{
	struct retry *retry = retries_find(retries, id);
	size_t number;

	if (retry || retries->count == RETRIES_MAX)
		return retry;
	if (retries->unused != 0) {
		number = retries->unused - 1U;
		retries->unused = retries->list[number].place;
	} else {
		number = retries->used++;
	}
	retries->count++;
	retry = &retries->list[number];
	*retry = (struct retry){.id = id, .state = RETRY_IN_FLIGHT};
	retries->table[find_slot(retries, id)] = (uint16_t)(number + 1);
	return retry;
}

void retries_remove(struct retries *retries, int64_t id)
{
	struct retry *retry = retries_find(retries, id);

	if (!retry)
		return;
	set_state(retries, retry, RETRY_UNUSED);
	free_slot(retries, find_slot(retries, id));
	retry->place = retries->unused;
	retries->unused = (uint16_t)(retry - retries->list + 1);
	retries->count--;
}

/* --- when --------------------------------------------------------------------------------------*/

void retries_again(struct retries *retries, struct retry *retry, int64_t now_us)
{
	retry->failed_us = retry->due_us = now_us;
	set_state(retries, retry, RETRY_DUE);
}

/* Half of it is random. */
static int64_t wait_us(struct retries *retries, const struct retry *retry, bool counted)
{
	int64_t bound_us = counted ? RETRY_MIN_US : RETRY_UNCOUNTED_US;

	for (int i = 0; i < retry_attempts(retry) && counted; i++)
		bound_us *= 2;
	return bound_us / 2 + rand_r(&retries->random) % (bound_us / 2);
}

bool retries_back_off(struct retries *retries, struct retry *retry, bool answered,
		      uint64_t accepted, int64_t now_us)
{
	bool counts = retry_attempts(retry) == 0 || accepted != retry->accepted;

	if (counts) {
		retry->accepted = accepted;
		retry->errors += answered;
		retry->unanswered += !answered;
	}
	if (retry->errors >= ERRORS_MAX || retry->unanswered >= UNANSWERED_MAX)
		return false;
	retry->failed_us = now_us;
	retry->due_us = now_us + wait_us(retries, retry, counts);
	set_state(retries, retry, RETRY_WAITING);
	return true;
}

void retries_delay(struct retries *retries, struct retry *retry, int64_t until_us)
{
	if (retry->state != RETRY_WAITING || retry->due_us >= until_us)
		return;
	retry->due_us = until_us;
	move_down(retries, &retries->waiting, retry->place);
}

struct retry *retries_next(struct retries *retries, int64_t now_us)
{
	while (retries_due_us(retries) <= now_us)
		set_state(retries, &retries->list[retries->waiting.list[0]], RETRY_DUE);
	return retries->due.count > 0 ? &retries->list[retries->due.list[0]] : NULL;
}

struct retry *retries_longest_left(struct retries *retries)
{
	struct retry *longest = NULL;

	for (size_t i = 0; i < retries->used; i++) {
		struct retry *retry = &retries->list[i];

		if (heap_of(retries, retry->state) &&
		    (!longest || retry->failed_us < longest->failed_us))
			longest = retry;
	}
	return longest;
}

void retries_send(struct retries *retries, struct retry *retry)
{
	set_state(retries, retry, RETRY_IN_FLIGHT);
}

int64_t retries_due_us(const struct retries *retries)
{
	return retries->waiting.count > 0 ? retries->list[retries->waiting.list[0]].due_us
					  : INT64_MAX;
}
