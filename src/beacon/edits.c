/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DESIGN. The list grows by doubling up to EDITS_MAX and is never made smaller, so a thread that
 * has seen one beacon of the usual size allocates nothing for the next.
 *
 * A removed item takes the comma behind it along, which is known when the next item begins. The
 * last item has none. If items are appended, they use the comma before it. Otherwise the comma
 * before the run of removed items that it ends has to go: the edits of that run are taken back and
 * replaced by one that begins at that comma.
 */
#include "beacon/edits.h"

#include <stdlib.h>

enum {
	FIRST_CAPACITY = 64
};

void edits_init(struct edits *edits)
{
	*edits = (struct edits){0};
}

void edits_release(struct edits *edits)
{
	free(edits->list);
	edits_init(edits);
}

void edits_clear(struct edits *edits)
{
	edits->count = edits->fixed = 0;
	edits->error = EDITS_OK;
}

static enum edits_error make_room(struct edits *edits)
{
	size_t capacity = edits->capacity ? edits->capacity * 2 : FIRST_CAPACITY;
	struct edit *list;

	if (edits->count < edits->capacity)
		return EDITS_OK;
	if (edits->count >= EDITS_MAX)
		return EDITS_FULL;
	list = realloc(edits->list, capacity * sizeof(*list));
	if (!list)
		return EDITS_NO_MEMORY;
	edits->list = list;
	edits->capacity = capacity;
	return EDITS_OK;
}

/* An edit that begins where a removal ends becomes part of it, so a run of forged members or
 * attributes costs one edit. */
static bool extend_last(struct edits *edits, size_t offset, size_t removed, unsigned text)
{
	struct edit *last = edits->count > edits->fixed ? &edits->list[edits->count - 1] : NULL;

	if (!last || last->text != EDIT_REMOVES || last->offset + last->removed != offset)
		return false;
	last->removed += (uint32_t)removed;
	last->text = text;
	return true;
}

void edits_add(struct edits *edits, size_t offset, size_t removed, unsigned text)
{
	if (edits->error != EDITS_OK || extend_last(edits, offset, removed, text))
		return;
	edits->error = make_room(edits);
	if (edits->error != EDITS_OK)
		return;
	edits->list[edits->count++] = (struct edit){
		.offset = (uint32_t)offset, .removed = (uint32_t)removed, .text = text};
}

/* May extend any edit: what is removed here is never taken back without the edit before it. */
static void remove_bytes(struct edits *edits, size_t from, size_t to)
{
	edits->fixed = 0;
	edits_add(edits, from, to - from, EDIT_REMOVES);
}

void edits_remove_pending(struct edits *edits, struct edits_items *items, size_t comma)
{
	remove_bytes(edits, items->from, comma + 1);
	items->pending = false;
}

void edits_remove_item(struct edits *edits, struct edits_items *items, size_t from, size_t to)
{
	edits->count = items->item_count;
	if (!items->in_run)
		items->run_count = items->item_count;
	items->pending = true;
	items->from = from;
	items->to = to;
}

bool edits_end_items(struct edits *edits, struct edits_items *items, bool appends)
{
	if (!items->pending)
		return items->any;
	if (items->kept && !appends) {
		edits->count = items->run_count;
		remove_bytes(edits, items->comma, items->to);
		return true;
	}
	remove_bytes(edits, items->from, items->to);
	return false;
}

static size_t size_after(const struct edits *edits, struct view in, const struct view *texts)
{
	size_t size = in.len;

	for (size_t i = 0; i < edits->count; i++)
		size += texts[edits->list[i].text].len - edits->list[i].removed;
	return size;
}

/* Like buf_append(), without its checks: the space was reserved. */
static void append_reserved(struct buf *out, const char *bytes, size_t n)
{
	if (n > 0)
		memcpy(out->data + out->len, bytes, n);
	out->len += n;
}

enum buf_result edits_apply(const struct edits *edits, struct view in, const struct view *texts,
			    struct buf *out)
{
	enum buf_result result = buf_reserve(out, size_after(edits, in, texts));
	size_t done = 0;

	if (result != BUF_OK)
		return result;
	for (size_t i = 0; i < edits->count; i++) {
		const struct edit *edit = &edits->list[i];

		append_reserved(out, in.ptr + done, edit->offset - done);
		append_reserved(out, texts[edit->text].ptr, texts[edit->text].len);
		done = edit->offset + edit->removed;
	}
	append_reserved(out, in.ptr + done, in.len - done);
	return BUF_OK;
}

/* What stands before edit i, or behind the last one. */
static struct view piece_before(const struct edits *edits, struct view in, size_t i)
{
	size_t from = i > 0 ? edits->list[i - 1].offset + edits->list[i - 1].removed : 0;
	size_t to = i < edits->count ? edits->list[i].offset : in.len;

	return (struct view){in.ptr + from, to - from};
}

enum buf_result edits_apply_marked(const struct edits *edits, struct view in,
				   const struct view *texts, struct redact_marks *marks,
				   struct buf *out, size_t *count)
{
	enum buf_result result;
	size_t size = 0;

	redact_rewind(marks);
	for (size_t i = 0; i <= edits->count; i++) {
		size += redact_size(marks, piece_before(edits, in, i), count);
		if (i < edits->count)
			size += texts[edits->list[i].text].len;
	}
	result = buf_reserve(out, size);
	if (result != BUF_OK)
		return result;
	redact_rewind(marks);
	for (size_t i = 0; i <= edits->count; i++) {
		struct view piece = piece_before(edits, in, i);

		out->len = (size_t)(redact_write(marks, piece, out->data + out->len) - out->data);
		if (i < edits->count)
			append_reserved(out, texts[edits->list[i].text].ptr,
					texts[edits->list[i].text].len);
	}
	return BUF_OK;
}
