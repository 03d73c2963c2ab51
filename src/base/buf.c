/* SPDX-License-Identifier: Apache-2.0 */
#include "base/buf.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

/* A first allocation holds a typical small beacon; growth is by half, so that a body that arrives
 * in pieces is copied a constant number of times. */
enum {
	FIRST_CAPACITY = 4096
};

bool view_equals_nocase(struct view a, struct view b)
{
	return a.len == b.len && (a.len == 0 || strncasecmp(a.ptr, b.ptr, a.len) == 0);
}

void budget_init(struct budget *budget, size_t max)
{
	atomic_init(&budget->used, 0);
	budget->max = max;
}

bool budget_take(struct budget *budget, size_t amount)
{
	size_t used = atomic_load_explicit(&budget->used, memory_order_relaxed);

	do {
		if (used > budget->max || amount > budget->max - used)
			return false;
	} while (!atomic_compare_exchange_weak_explicit(
		&budget->used, &used, used + amount, memory_order_relaxed, memory_order_relaxed));
	return true;
}

void budget_give_back(struct budget *budget, size_t amount)
{
	atomic_fetch_sub_explicit(&budget->used, amount, memory_order_relaxed);
}

size_t budget_used(const struct budget *budget)
{
	return atomic_load_explicit(&budget->used, memory_order_relaxed);
}

void buf_init(struct buf *buf, size_t max, struct budget *budget)
{
	*buf = (struct buf){.max = max, .budget = budget};
}

void buf_release(struct buf *buf)
{
	free(buf->data);
	if (buf->budget)
		budget_give_back(buf->budget, buf->cap);
	buf_init(buf, buf->max, buf->budget);
}

void buf_hand_over(struct buf *from, struct buf *to)
{
	if (from->len > 0 || to->cap > 0 || from->cap > to->max)
		return;
	to->data = from->data;
	to->cap = from->cap;
	from->data = NULL;
	from->cap = 0;
}

void buf_shrink(struct buf *buf, size_t keep)
{
	if (buf->cap > keep)
		buf_release(buf);
	buf->len = 0;
}

static size_t next_capacity(const struct buf *buf, size_t needed)
{
	size_t cap = buf->cap ? buf->cap + buf->cap / 2 : FIRST_CAPACITY;

	if (cap < needed)
		cap = needed;
	return cap < buf->max ? cap : buf->max;
}

enum buf_result buf_reserve(struct buf *buf, size_t extra)
{
	size_t cap;
	char *data;

	if (extra <= buf->cap - buf->len)
		return BUF_OK;
	if (extra > buf->max - buf->len)
		return BUF_TOO_LARGE;
	cap = next_capacity(buf, buf->len + extra);
	if (buf->budget && !budget_take(buf->budget, cap - buf->cap))
		return BUF_OVER_BUDGET;
	data = realloc(buf->data, cap);
	if (!data) {
		if (buf->budget)
			budget_give_back(buf->budget, cap - buf->cap);
		return BUF_OVER_BUDGET;
	}
	buf->data = data;
	buf->cap = cap;
	return BUF_OK;
}

enum buf_result buf_append(struct buf *buf, const void *bytes, size_t n)
{
	enum buf_result result = buf_reserve(buf, n);

	if (result != BUF_OK)
		return result;
	if (n > 0)
		memcpy(buf->data + buf->len, bytes, n);
	buf->len += n;
	return BUF_OK;
}

enum buf_result buf_printf(struct buf *buf, const char *fmt, ...)
{
	enum buf_result result;
	va_list args;
	int n;

	va_start(args, fmt);
	n = vsnprintf(NULL, 0, fmt, args);
	va_end(args);
	if (n < 0)
		return BUF_OVER_BUDGET;
	/* One byte more for the NUL that vsnprintf insists on. */
	result = buf_reserve(buf, (size_t)n + 1);
	if (result != BUF_OK)
		return result;
	va_start(args, fmt);
	vsnprintf(buf->data + buf->len, (size_t)n + 1, fmt, args);
	va_end(args);
	buf->len += (size_t)n;
	return BUF_OK;
}
