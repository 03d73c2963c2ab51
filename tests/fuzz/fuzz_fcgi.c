/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as a FastCGI stream: whole and in pieces, the same requests and answers must come of
 * it, and what the bodies took of the budget is given back.
 *
 * An input is the number of piece sizes (of which at most 15 are used), those sizes, and the
 * stream. Build with -fsanitize=fuzzer,address,undefined. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "server/fcgi_transcript.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum {
	SIZES_MAX = 15
};

static void check(bool holds, const char *what)
{
	if (holds)
		return;
	fprintf(stderr, "%s\n", what);
	abort();
}

static bool are_equal(const struct buf *a, const struct buf *b)
{
	return view_equals((struct view){a->data, a->len}, (struct view){b->data, b->len});
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct transcript whole, pieces;
	const size_t everything = SIZE_MAX;
	size_t sizes[SIZES_MAX + 1] = {1}, count;
	struct budget budget;
	struct view stream;

	if (size == 0)
		return 0;
	count = data[0] & SIZES_MAX;
	if (size < 1 + count)
		return 0;
	for (size_t i = 0; i < count; i++)
		sizes[i] = 1U + data[1 + i];
	stream = (struct view){(const char *)data + 1 + count, size - 1 - count};
	budget_init(&budget, 1 << 20);
	transcript_init(&whole, 1000, &budget);
	transcript_write(&whole, stream, &everything, 1);
	transcript_init(&pieces, 1000, &budget);
	transcript_write(&pieces, stream, sizes, count > 0 ? count : 1);
	check(are_equal(&whole.text, &pieces.text), "other requests come of the pieces");
	check(are_equal(&whole.answers, &pieces.answers), "the pieces have other answers");
	transcript_release(&whole);
	transcript_release(&pieces);
	check(budget_used(&budget) == 0, "the budget is not given back");
	return 0;
}
