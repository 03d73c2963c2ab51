/* SPDX-License-Identifier: Apache-2.0 */
/*
 * buf: growable bytes with a maximum given at init, and the budget they draw on.
 *
 * Nothing else in the program grows with what a browser sends. A buffer never holds more than
 * `max` bytes, and the capacities of all buffers together never exceed the process-wide budget
 * that they were given; the budget also serves as a plain counted limit (relay: beacons in
 * flight). Budgets may be shared between threads, a buffer belongs to one.
 */
#ifndef FARO_BASE_BUF_H
#define FARO_BASE_BUF_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>

/* Bytes that another object owns; there may be no NUL behind them. A view with ptr == NULL stands
 * for "absent", which is not the same as empty. */
struct view {
	const char *ptr;
	size_t len;
};

/* Of a string literal: as an initializer, and as an expression. */
#define VIEW_CONSTANT(s)           \
	{                          \
		(s), sizeof(s) - 1 \
	}
#define VIEW_LITERAL(s) ((struct view)VIEW_CONSTANT(s))

static inline struct view view_of(const char *s)
{
	return (struct view){s, s ? strlen(s) : 0};
}

static inline bool view_equals(struct view a, struct view b)
{
	return a.len == b.len && (a.len == 0 || memcmp(a.ptr, b.ptr, a.len) == 0);
}

/* Without the blanks and tabs at both ends, which are white space in HTTP's and OpenTelemetry's
 * lists. */
static inline struct view view_trim(struct view v)
{
	while (v.len > 0 && (v.ptr[0] == ' ' || v.ptr[0] == '\t')) {
		v.ptr++;
		v.len--;
	}
	while (v.len > 0 && (v.ptr[v.len - 1] == ' ' || v.ptr[v.len - 1] == '\t'))
		v.len--;
	return v;
}

/* ASCII letters compare without case, as HTTP's tokens do. */
bool view_equals_nocase(struct view a, struct view b);

struct budget {
	atomic_size_t used;
	size_t max;
};

void budget_init(struct budget *budget, size_t max);
/* False, and nothing taken, when `amount` more would exceed the maximum. */
bool budget_take(struct budget *budget, size_t amount);
void budget_give_back(struct budget *budget, size_t amount);
size_t budget_used(const struct budget *budget);

enum buf_result {
	BUF_OK,
	BUF_TOO_LARGE,   /* the buffer's own maximum */
	BUF_OVER_BUDGET, /* the process-wide budget, or malloc() itself */
};

struct buf {
	char *data; /* NULL while cap is 0 */
	size_t len;
	size_t cap;
	size_t max;
	struct budget *budget; /* NULL: draws on none */
};

/* No allocation. `budget` must outlive the buffer. */
void buf_init(struct buf *buf, size_t max, struct budget *budget);
/* Frees the bytes; the buffer may be used again as after buf_init(). */
void buf_release(struct buf *buf);
/* Forgets the content and keeps the capacity. */
static inline void buf_clear(struct buf *buf)
{
	buf->len = 0;
}
/* Where one buffer is empty and the other has no memory: the other gets that of the first, unless it
 * is more than its maximum. Both draw on the same budget. */
void buf_hand_over(struct buf *from, struct buf *to);
/* Forgets the content and, where the capacity is above `keep`, frees it. */
void buf_shrink(struct buf *buf, size_t keep);
/* Grows the capacity to `extra` bytes behind data[len]. The content is unchanged on any failure. */
enum buf_result buf_reserve(struct buf *buf, size_t extra);
enum buf_result buf_append(struct buf *buf, const void *bytes, size_t n);
/* Appends as printf(3) does; for our own texts, never for a beacon. */
enum buf_result buf_printf(struct buf *buf, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

#endif
