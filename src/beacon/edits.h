/*
 * edits: a bounded list of "remove so many bytes here, put this text there", in the order of the
 * input, and the one copy that carries them out.
 *
 * An edit names its text by index, so that which text it is may be decided after the whole input
 * was read. The list is kept from input to input.
 */
#ifndef FARO_BEACON_EDITS_H
#define FARO_BEACON_EDITS_H

#include <stdint.h>

#include "base/buf.h"

/* More than any SDK's beacon needs (one of 1600 resources), and few enough (192 KiB) to keep one
 * list a thread outside the byte budget. */
enum {
	EDITS_MAX = 16384
};

/* The text of index 0 is always empty: an edit that only removes. */
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
	enum edits_error error; /* of the first edit that was lost */
};

void edits_init(struct edits *edits);
void edits_release(struct edits *edits);
/* Forgets the edits and the error, keeps the memory. */
void edits_clear(struct edits *edits);

/* Offsets must not decrease and edits must not overlap. An error sticks in edits->error and later
 * edits are dropped. */
void edits_add(struct edits *edits, size_t offset, size_t removed, unsigned text);

/* Appends `in` to `out` with the edits made: one reservation of the exact size, one copy. */
enum buf_result edits_apply(const struct edits *edits, struct view in, const struct view *texts,
			    struct buf *out);

#endif
