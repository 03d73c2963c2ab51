/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as a reply: read whole and in pieces, http_response must say the same.
 *
 * The first byte is the size of the pieces, the second whether the peer closes at the end. Build
 * with -fsanitize=fuzzer,address,undefined. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "config/config.h"
#include "upstream/http_response.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool holds, const char *what)
{
	if (holds)
		return;
	fprintf(stderr, "%s\n", what);
	abort();
}

struct reading {
	struct http_response reply;
	enum http_response_result result;
	size_t used;
};

static void read_all(struct reading *r, struct view bytes, size_t step, bool closes)
{
	size_t used;

	http_response_init(&r->reply);
	r->result = HTTP_RESPONSE_MORE;
	r->used = 0;
	while (r->used < bytes.len && r->result == HTTP_RESPONSE_MORE) {
		size_t n = bytes.len - r->used < step ? bytes.len - r->used : step;
		/* A piece of its own, so that a reading beyond it is found. */
		char *piece = malloc(n);

		memcpy(piece, bytes.ptr + r->used, n);
		r->result = http_response_feed(&r->reply, (struct view){piece, n}, &used);
		free(piece);
		check(used <= n, "more was used than there is");
		check(used == n || r->result != HTTP_RESPONSE_MORE,
		      "it wants more and leaves some");
		r->used += used;
	}
	if (closes && r->result == HTTP_RESPONSE_MORE)
		r->result = http_response_end(&r->reply);
}

static bool same_hint(const struct http_hint *a, const struct http_hint *b)
{
	return view_equals((struct view){a->text, a->len}, (struct view){b->text, b->len});
}

static void check_bounds(const struct reading *r)
{
	const struct http_response *reply = &r->reply;

	check(reply->seen <= CONFIG_UPSTREAM_REPLY_MAX_BYTES, "more was read than the limit");
	check(reply->line_len <= sizeof(reply->line), "a line beyond its end");
	check(reply->retry_after.len <= HTTP_RESPONSE_HINT_MAX, "a hint beyond its end");
	check((r->result == HTTP_RESPONSE_BROKEN) == (reply->wrong != NULL),
	      "broken without a reason");
	check(r->result != HTTP_RESPONSE_WHOLE || reply->answered, "whole without an answer");
	check(!reply->keep || reply->answered, "kept without an answer");
	check(!reply->answered || (reply->status >= 200 && reply->status <= 999), "no such status");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct view bytes;
	struct reading whole, pieces;
	bool closes;

	if (size < 2)
		return 0;
	bytes = (struct view){(const char *)data + 2, size - 2};
	closes = data[1] & 1;
	read_all(&whole, bytes, SIZE_MAX, closes);
	read_all(&pieces, bytes, (size_t)data[0] % 64 + 1, closes);
	check_bounds(&whole);
	check_bounds(&pieces);
	check(whole.result == pieces.result, "whole or not");
	check(whole.result != HTTP_RESPONSE_WHOLE || whole.used == pieces.used, "where it ends");
	check(whole.reply.answered == pieces.reply.answered, "answered or not");
	if (!whole.reply.answered)
		return 0;
	check(whole.reply.status == pieces.reply.status, "the status");
	check(whole.reply.keep == pieces.reply.keep, "kept or not");
	check(same_hint(&whole.reply.retry_after, &pieces.reply.retry_after) &&
		      same_hint(&whole.reply.session_status, &pieces.reply.session_status),
	      "the hints");
	return 0;
}
