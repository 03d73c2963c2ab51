/* SPDX-License-Identifier: Apache-2.0 */
/*
 * list: a doubly linked list through links embedded in their owners; the oldest comes first.
 *
 * Where all owners wait equally long, the oldest is also the next one due, so a list serves as a
 * queue of timers. Adding and removing never allocate.
 */
#ifndef FARO_BASE_LIST_H
#define FARO_BASE_LIST_H

#include <stdbool.h>
#include <stddef.h>

struct list {
	struct list *next, *prev; /* of a head: the oldest and the newest; NULL: in no list */
};

static inline void list_init(struct list *head)
{
	head->next = head->prev = head;
}

static inline bool list_is_empty(const struct list *head)
{
	return head->next == head;
}

static inline void list_add(struct list *head, struct list *link)
{
	link->next = head;
	link->prev = head->prev;
	head->prev->next = link;
	head->prev = link;
}

/* No effect on a link that is in no list. */
static inline void list_remove(struct list *link)
{
	if (!link->next)
		return;
	link->next->prev = link->prev;
	link->prev->next = link->next;
	link->next = link->prev = NULL;
}

#endif
