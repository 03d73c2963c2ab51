/* SPDX-License-Identifier: Apache-2.0 */
/*
 * edits: a bounded list of "remove this many bytes here and insert this text", in the order of the
 * input, and the one copy that carries them out.
 *
 * An edit refers to its text by index, so the texts may be chosen after the whole input was read.
 * The list's memory is kept from one input to the next.
 */
#ifndef FARO_BEACON_EDITS_H
#define FARO_BEACON_EDITS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "beacon/redact.h"

/* More than any SDK's beacon needs: it is enough for 1600 resources. Small enough (192 KiB) to keep
 * one list a thread outside of the byte budget. */
enum {
	EDITS_MAX = 16384
};

/* Index 0 is the empty text: an edit with it only removes. */
enum {
	EDIT_REMOVES = 0
};

struct edit {
	uint32_t offset, removed;
	uint32_t text;
};

enum edits_error {
	EDITS_OK,
	EDITS_FULL,
	EDITS_NO_MEMORY
};

struct edits {
	struct edit *list;
	size_t count, capacity;
	size_t fixed;           /* edits_add() makes none of the first `fixed` edits longer */
	enum edits_error error; /* why the first edit that is missing was not added */
};

void edits_init(struct edits *edits);
void edits_release(struct edits *edits);
/* Forgets the edits and the error, keeps the memory. */
void edits_clear(struct edits *edits);

/* Offsets must not decrease, and edits must not overlap. After an error, which stays in
 * edits->error, further edits are ignored. */
void edits_add(struct edits *edits, size_t offset, size_t removed, unsigned text);

/*
 * Removing items from an object or array, each with the comma that it needs, so that the rest is
 * JSON again. For each container:
 *
 *	struct edits_items items = {0};
 *	for each item of it:
 *		edits_next_item(&edits, &items, comma);
 *		if it goes: edits_remove_item(&edits, &items, from, to);
 *	items.any = the container has items;
 *	needs_comma = edits_end_items(&edits, &items, appends);
 *
 * Between these calls there may be edits inside of the item. Those of a removed item are dropped.
 */

struct edits_items {
	bool any;          /* there are items; known at the end */
	bool kept;         /* an item was kept before the current run of removed items */
	bool in_run;       /* the item before the last one was removed */
	bool pending;      /* the last item is removed; it is not known yet which comma goes */
	size_t from, to;   /* of the pending item */
	size_t comma;      /* before the current run */
	size_t item_count; /* of edits before the last item */
	size_t run_count;  /* of edits before the current run */
};

/* Carries out a pending removal, now that the comma behind the item is known. */
void edits_remove_pending(struct edits *edits, struct edits_items *items, size_t comma);

/* An item begins. `comma` is the offset of the comma before it; 0 for the first item. Items that stay
 * may be passed over without this, but none that follows a removed one. */
static inline void edits_next_item(struct edits *edits, struct edits_items *items, size_t comma)
{
	items->in_run = items->pending;
	if (items->pending) {
		edits_remove_pending(edits, items, comma);
	} else {
		items->kept = comma > 0;
		items->comma = comma;
	}
	items->item_count = edits->fixed = edits->count;
}
/* Removes the item that was begun last: an array's element, or a member from its key on. `to` is
 * the byte after it. */
void edits_remove_item(struct edits *edits, struct edits_items *items, size_t from, size_t to);
/* The container has no more items. `appends`: the caller will certainly insert further items before
 * the closing bracket. Returns true if a comma must precede those that it inserts. */
bool edits_end_items(struct edits *edits, struct edits_items *items, bool appends);

/* Appends the edited `in` to `out`: reserves the exact size once and copies once. */
enum buf_result edits_apply(const struct edits *edits, struct view in, const struct view *texts,
			    struct buf *out);
/* The same, and writes out what is marked in it (redact.h); adds to *count how many places that is. */
enum buf_result edits_apply_marked(const struct edits *edits, struct view in,
				   const struct view *texts, struct redact_marks *marks,
				   struct buf *out, size_t *count);

#endif
