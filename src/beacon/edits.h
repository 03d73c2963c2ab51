/*
 * edits: a bounded list of "remove this many bytes here and insert this text", in the order of the
 * input, and the one copy that carries them out.
 *
 * An edit refers to its text by index, so the texts may be chosen after the whole input was read.
 * The list's memory is kept from one input to the next.
 */
#ifndef FARO_BEACON_EDITS_H
#define FARO_BEACON_EDITS_H

#include <stdint.h>

#include "base/buf.h"

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
	enum edits_error error; /* why the first edit that is missing was not added */
};

void edits_init(struct edits *edits);
void edits_release(struct edits *edits);
/* Forgets the edits and the error, keeps the memory. */
void edits_clear(struct edits *edits);

/* Offsets must not decrease, and edits must not overlap. After an error, which stays in
 * edits->error, further edits are ignored. */
void edits_add(struct edits *edits, size_t offset, size_t removed, unsigned text);

/* Appends the edited `in` to `out`: reserves the exact size once and copies once. */
enum buf_result edits_apply(const struct edits *edits, struct view in, const struct view *texts,
			    struct buf *out);

#endif
