/* SPDX-License-Identifier: Apache-2.0 */
/*
 * text: small helpers for digits, prefixes, comma lists and small files, and two macros.
 */
#ifndef FARO_BASE_TEXT_H
#define FARO_BASE_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <string.h>
#include <sys/stat.h>

#include "base/buf.h"

/* How many elements an array has; not for a pointer. */
#define ARRAY_LEN(array) (sizeof(array) / sizeof((array)[0]))

/* The struct that has `member` at `pointer`: how a callback finds the struct it is for. */
#define container_of(pointer, type, member) \
	((type *)(void *)((char *)(pointer)-offsetof(type, member)))

static inline bool is_digit(char c)
{
	return (unsigned char)(c - '0') < 10;
}

/* The value of a hexadecimal digit of either case; -1: it is none. */
static inline int hex_value(char c)
{
	if (is_digit(c))
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static inline bool view_starts_with(struct view text, struct view prefix)
{
	return text.len >= prefix.len && memcmp(text.ptr, prefix.ptr, prefix.len) == 0;
}

/* Takes the next item off a comma list, trimmed, and passes over empty ones. False at its end. */
bool view_next_item(struct view *list, struct view *item);
size_t view_count_items(struct view list);

/*
 * Reads the beginning of a regular file, at most `size` bytes, and puts no NUL behind them. Returns
 * how many bytes were read, or -1 with errno set: EINVAL for what is not a regular file. Never
 * waits for the other end of a FIFO. `seen` may be NULL; it is filled in as soon as the file is
 * open.
 */
long read_small_file(const char *path, char *out, size_t size, struct stat *seen);

#endif
