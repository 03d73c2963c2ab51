/*
 * ring: a list through links embedded in their owners; who has waited longest comes first.
 *
 * Where all wait equally long, the order of coming is that of the deadlines, so a queue of timers
 * needs no heap. Adding and removing never allocate.
 */
#ifndef FARO_RING_H
#define FARO_RING_H

#include <stdbool.h>
#include <stddef.h>

struct ring {
	struct ring *next, *prev; /* of a head: the oldest and the newest; NULL: in no list */
};

static inline void ring_init(struct ring *head)
{
	head->next = head->prev = head;
}

static inline bool ring_is_empty(const struct ring *head)
{
	return head->next == head;
}

static inline void ring_add(struct ring *head, struct ring *link)
{
	link->next = head;
	link->prev = head->prev;
	head->prev->next = link;
	head->prev = link;
}

/* Once more is no harm. */
static inline void ring_remove(struct ring *link)
{
	if (!link->next)
		return;
	link->next->prev = link->prev;
	link->prev->next = link->next;
	link->next = link->prev = NULL;
}

#endif
