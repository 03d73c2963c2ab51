/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sink_logfmt: logfmt as Go's encoder (go-logfmt/logfmt) writes it, and the ordered map that the
 * receiver collects an item's fields in before they are written.
 *
 * sink_lines and sink_spans call it. Failures (no memory, a maximum) come back as false; a field or
 * a line that was not written whole is the caller's to drop.
 */
#ifndef FARO_SINK_LOGFMT_H
#define FARO_SINK_LOGFMT_H

#include <stdint.h>

#include "base/buf.h"

/* The size of a buffer for a double as Go's %v or %f prints it, with the NUL. */
#define LOGFMT_FLOAT_MAX 352

/* %v of a float64: the shortest digits that read back as the same number, an exponent below 1e-4
 * and from 1e6 on. */
void logfmt_float(char out[LOGFMT_FLOAT_MAX], double value);

enum logfmt_result {
	LOGFMT_OK,
	LOGFMT_INVALID_KEY, /* no character of it can be written: Go's encoder drops the line */
	LOGFMT_FULL,        /* the buffer's maximum, or no memory */
};

/* Writes `prefix` and `key` without the characters that a key cannot hold, `=` and the value, with
 * a space before it unless the line (which began at `line_start`) is empty. Some bytes may have
 * been written on a failure. */
enum logfmt_result logfmt_field(struct buf *out, size_t line_start, struct view prefix,
				struct view key, struct view value);

/* Fields in order of their first appearance; setting one again changes its value in place. */
struct kv {
	struct kv_pair *pairs;
	size_t len;
	size_t cap;
	uint32_t *slots; /* hash table: 0 for free, else the pair's index + 1 */
	size_t slot_count;
	struct buf text; /* keys and values, one behind the other */
	bool failed;     /* sticky until kv_clear(): a field is missing */
};

void kv_init(struct kv *kv, size_t max_bytes);
void kv_release(struct kv *kv);
void kv_clear(struct kv *kv);
/* Copies all it is given. An empty value is stored as such. */
void kv_set(struct kv *kv, struct view prefix, struct view key, struct view value);
/* As kv_set() without a prefix; an empty value leaves the field as it is. */
void kv_add(struct kv *kv, const char *key, const char *value);
/* Sets every field of `from`. */
void kv_merge(struct kv *kv, const struct kv *from);
/* One line with its newline. On failure `out` holds what it held before: no part of a line. */
enum logfmt_result kv_write(const struct kv *kv, struct buf *out);

#endif
