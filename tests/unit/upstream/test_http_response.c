/* SPDX-License-Identifier: Apache-2.0 */
/* http_response: every row is read whole, byte by byte, and cut in two at every place; all
 * agree. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/text.h"
#include "config/config.h"
#include "upstream/http_response.h"

#define OK "HTTP/1.1 202 Accepted\r\n"

enum closed {
	OPEN,
	CLOSED /* after the bytes */
};

static const struct row {
	const char *bytes;
	enum closed closed;
	enum http_response_result result;
	int status; /* 0: not answered */
	bool keep;
	size_t unused; /* bytes behind the reply */
} rows[] = {
	/* Bodies with a length, without one, none. */
	{OK "Content-Length: 2\r\n\r\nok", OPEN, HTTP_RESPONSE_WHOLE, 202, true, 0},
	{OK "Content-Length: 0\r\n\r\n", OPEN, HTTP_RESPONSE_WHOLE, 202, true, 0},
	{OK "Content-Length: 2\r\n\r\no", OPEN, HTTP_RESPONSE_MORE, 202, true, 0},
	{OK "Content-Length: 2\r\n\r\no", CLOSED, HTTP_RESPONSE_BROKEN, 202, false, 0},
	{OK "\r\nok", OPEN, HTTP_RESPONSE_MORE, 202, false, 0},
	{OK "\r\nok", CLOSED, HTTP_RESPONSE_WHOLE, 202, false, 0},
	{"HTTP/1.1 204 No Content\r\n\r\n", OPEN, HTTP_RESPONSE_WHOLE, 204, true, 0},
	{"HTTP/1.1 304 X\r\nContent-Length: 9\r\n\r\n", OPEN, HTTP_RESPONSE_WHOLE, 304, true, 0},
	/* A second reply, which nobody asked for, and a body where there is none. */
	{OK "Content-Length: 0\r\n\r\n" OK, OPEN, HTTP_RESPONSE_WHOLE, 202, true, 23},
	{"HTTP/1.1 204 X\r\nContent-Length: 2\r\n\r\nok", OPEN, HTTP_RESPONSE_WHOLE, 204, false, 2},
	{"HTTP/1.1 204 X\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", OPEN, HTTP_RESPONSE_WHOLE,
	 204, false, 5},
	/* Chunks: none, two, in capitals, with an extension and a trailer, with zeros before. */
	{OK "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", OPEN, HTTP_RESPONSE_WHOLE, 202, true, 0},
	{OK "Transfer-Encoding: Chunked\r\n\r\n1\r\na\r\n0A\r\n0123456789\r\n0\r\n\r\n", OPEN,
	 HTTP_RESPONSE_WHOLE, 202, true, 0},
	{OK "Transfer-Encoding: chunked\r\n\r\n1 ; a=\"b\"\r\na\r\n000\r\nA: b\r\n\r\nx", OPEN,
	 HTTP_RESPONSE_WHOLE, 202, true, 1},
	{OK "Transfer-Encoding: chunked\r\n\r\n00000001\r\na\r\n", OPEN, HTTP_RESPONSE_MORE, 202,
	 true, 0},
	{OK "Transfer-Encoding: chunked\r\n\r\n000000001\r\na\r\n", OPEN, HTTP_RESPONSE_BROKEN, 202,
	 false, 0},
	{OK "Transfer-Encoding: chunked\r\n\r\n1\r\nab\r\n", OPEN, HTTP_RESPONSE_BROKEN, 202, false,
	 0},
	{OK "Transfer-Encoding: chunked\r\n\r\n\r\n", OPEN, HTTP_RESPONSE_BROKEN, 202, false, 0},
	{OK "Transfer-Encoding: chunked\r\n\r\n-1\r\n", OPEN, HTTP_RESPONSE_BROKEN, 202, false, 0},
	{OK "Transfer-Encoding: chunked\r\n\r\n0x1\r\n", OPEN, HTTP_RESPONSE_BROKEN, 202, false, 0},
	{OK "Transfer-Encoding: chunked\r\n\r\n1 1\r\n", OPEN, HTTP_RESPONSE_BROKEN, 202, false, 0},
	{OK "Transfer-Encoding: chunked\r\n\r\n1\r\na\r\n", CLOSED, HTTP_RESPONSE_BROKEN, 202,
	 false, 0},
	/* Two readings of where the body ends. */
	{OK "Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n", OPEN, HTTP_RESPONSE_BROKEN,
	 0, false, 0},
	{OK "Transfer-Encoding: chunked\r\nContent-Length: 2\r\n\r\n", OPEN, HTTP_RESPONSE_BROKEN,
	 0, false, 0},
	{OK "Content-Length: 2\r\nContent-Length: 3\r\n\r\nok", OPEN, HTTP_RESPONSE_BROKEN, 0,
	 false, 0},
	{OK "Content-Length: 2\r\nContent-Length: 2\r\n\r\nok", OPEN, HTTP_RESPONSE_WHOLE, 202,
	 true, 0},
	{OK "Content-Length: 0\r\nContent-Length: 2\r\n\r\n", OPEN, HTTP_RESPONSE_BROKEN, 0, false,
	 0},
	{OK "Content-Length: 2, 2\r\n\r\nok", OPEN, HTTP_RESPONSE_BROKEN, 0, false, 0},
	{OK "Content-Length: +2\r\n\r\nok", OPEN, HTTP_RESPONSE_BROKEN, 0, false, 0},
	{OK "Content-Length: 0x2\r\n\r\nok", OPEN, HTTP_RESPONSE_BROKEN, 0, false, 0},
	{OK "Content-Length: \r\n\r\n", OPEN, HTTP_RESPONSE_BROKEN, 0, false, 0},
	{OK "Content-Length: 99999999999999999999\r\n\r\n", OPEN, HTTP_RESPONSE_BROKEN, 0, false,
	 0},
	{OK "Transfer-Encoding: gzip, chunked\r\n\r\n", OPEN, HTTP_RESPONSE_BROKEN, 0, false, 0},
	{OK "Transfer-Encoding: identity\r\n\r\n", OPEN, HTTP_RESPONSE_BROKEN, 0, false, 0},
	{OK "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n", OPEN,
	 HTTP_RESPONSE_BROKEN, 0, false, 0},
	{"HTTP/1.0 202 X\r\nTransfer-Encoding: chunked\r\n\r\n", OPEN, HTTP_RESPONSE_BROKEN, 0,
	 false, 0},
	/* Lines: folded, nameless, with white space in or behind the name, no colon. */
	{OK "A: b\r\n c\r\n\r\n", OPEN, HTTP_RESPONSE_BROKEN, 0, false, 0},
	{OK "A: b\r\n\tc: d\r\n\r\n", OPEN, HTTP_RESPONSE_BROKEN, 0, false, 0},
	{OK ": b\r\n\r\n", OPEN, HTTP_RESPONSE_BROKEN, 0, false, 0},
	{OK "Content-Length : 2\r\n\r\n", OPEN, HTTP_RESPONSE_BROKEN, 0, false, 0},
	{OK "Content Length: 2\r\n\r\n", OPEN, HTTP_RESPONSE_BROKEN, 0, false, 0},
	{OK "Content-Length\r\n\r\n", OPEN, HTTP_RESPONSE_BROKEN, 0, false, 0},
	/* Line ends: LF alone is one, CR alone is none. */
	{"HTTP/1.1 202 X\nContent-Length: 0\n\n", OPEN, HTTP_RESPONSE_WHOLE, 202, true, 0},
	{OK "A: b\rContent-Length: 2\r\n\r\n", OPEN, HTTP_RESPONSE_BROKEN, 0, false, 0},
	{OK "A: b\r\r\n\r\n", OPEN, HTTP_RESPONSE_BROKEN, 0, false, 0},
	{OK "\r\r\n", OPEN, HTTP_RESPONSE_BROKEN, 0, false, 0},
	/* Interim replies; a switch of protocols is none that was asked for. */
	{"HTTP/1.1 100 Continue\r\n\r\n" OK "Content-Length: 0\r\n\r\n", OPEN, HTTP_RESPONSE_WHOLE,
	 202, true, 0},
	{"HTTP/1.1 103 Early\r\nContent-Length: 5\r\nConnection: close\r\n\r\n" OK
	 "Content-Length: 0\r\n\r\n",
	 OPEN, HTTP_RESPONSE_WHOLE, 202, true, 0},
	{"HTTP/1.1 100 Continue\r\n\r\n", CLOSED, HTTP_RESPONSE_BROKEN, 0, false, 0},
	{"HTTP/1.1 101 X\r\n\r\n", OPEN, HTTP_RESPONSE_BROKEN, 0, false, 0},
	/* Status lines. */
	{"HTTP/1.1 202\r\nContent-Length: 0\r\n\r\n", OPEN, HTTP_RESPONSE_WHOLE, 202, true, 0},
	{"HTTP/1.1 999 X\r\nContent-Length: 0\r\n\r\n", OPEN, HTTP_RESPONSE_WHOLE, 999, true, 0},
	{"HTTP/1.1 099 X\r\n\r\n", OPEN, HTTP_RESPONSE_BROKEN, 0, false, 0},
	{"HTTP/1.1 20 X\r\n\r\n", OPEN, HTTP_RESPONSE_BROKEN, 0, false, 0},
	{"HTTP/1.1 2020\r\n\r\n", OPEN, HTTP_RESPONSE_BROKEN, 0, false, 0},
	{"HTTP/1.1  202 X\r\n\r\n", OPEN, HTTP_RESPONSE_BROKEN, 0, false, 0},
	{"HTTP/2 202\r\n\r\n", OPEN, HTTP_RESPONSE_BROKEN, 0, false, 0},
	{"http/1.1 202 X\r\n\r\n", OPEN, HTTP_RESPONSE_BROKEN, 0, false, 0},
	{"\r\nHTTP/1.1 202 X\r\n\r\n", OPEN, HTTP_RESPONSE_BROKEN, 0, false, 0},
	{"ok", CLOSED, HTTP_RESPONSE_BROKEN, 0, false, 0},
	{"", CLOSED, HTTP_RESPONSE_BROKEN, 0, false, 0},
	{"", OPEN, HTTP_RESPONSE_MORE, 0, false, 0},
	/* Whether it can be used again. */
	{OK "Connection: close\r\nContent-Length: 0\r\n\r\n", OPEN, HTTP_RESPONSE_WHOLE, 202, false,
	 0},
	{OK "Connection: x , CLOSE\r\nContent-Length: 0\r\n\r\n", OPEN, HTTP_RESPONSE_WHOLE, 202,
	 false, 0},
	{OK "Connection: closed\r\nContent-Length: 0\r\n\r\n", OPEN, HTTP_RESPONSE_WHOLE, 202, true,
	 0},
	{OK "Connection: keep-alive\r\nConnection: close\r\nContent-Length: 0\r\n\r\n", OPEN,
	 HTTP_RESPONSE_WHOLE, 202, false, 0},
	{"HTTP/1.0 202 X\r\nContent-Length: 0\r\n\r\n", OPEN, HTTP_RESPONSE_WHOLE, 202, false, 0},
	{"HTTP/1.0 202 X\r\nConnection: Keep-Alive\r\nContent-Length: 0\r\n\r\n", OPEN,
	 HTTP_RESPONSE_WHOLE, 202, true, 0},
	{"HTTP/1.0 202 X\r\n\r\nok", CLOSED, HTTP_RESPONSE_WHOLE, 202, false, 0},
};

/* In pieces: up to `cut`, then the rest in one or, with `step`, in that many bytes at a time. */
static enum http_response_result feed(struct http_response *reply, struct view bytes, size_t cut,
				      size_t step, size_t *unused)
{
	enum http_response_result result = HTTP_RESPONSE_MORE;
	size_t used, n;

	http_response_init(reply);
	*unused = bytes.len;
	while (*unused > 0 && result == HTTP_RESPONSE_MORE) {
		n = *unused == bytes.len && cut > 0 ? cut
		    : step > 0 && step < *unused    ? step
						    : *unused;
		/* Bytes of their own, so that a reading beyond them is found. */
		char *copy = malloc(n);

		memcpy(copy, bytes.ptr + (bytes.len - *unused), n);
		result = http_response_feed(reply, (struct view){copy, n}, &used);
		free(copy);
		assert_true(used <= n);
		assert_true(used == n || result != HTTP_RESPONSE_MORE);
		*unused -= used;
	}
	return result;
}

static void check(const struct row *row, size_t cut, size_t step)
{
	struct http_response reply;
	size_t unused;
	enum http_response_result result = feed(&reply, view_of(row->bytes), cut, step, &unused);

	if (row->closed == CLOSED)
		result = http_response_end(&reply);
	if (result != row->result || (reply.answered ? reply.status : 0) != row->status ||
	    reply.keep != row->keep || (result == HTTP_RESPONSE_WHOLE && unused != row->unused) ||
	    (result == HTTP_RESPONSE_BROKEN) != (reply.wrong != NULL))
		fail_msg("%s: cut %zu: result %d, answered %d, status %d, keep %d, unused %zu",
			 row->bytes, cut, (int)result, reply.answered, reply.status, reply.keep,
			 unused);
}

static void test_reply__each_row__whole_and_in_pieces(void **state)
{
	size_t i, cut;

	(void)state;
	for (i = 0; i < ARRAY_LEN(rows); i++) {
		check(&rows[i], 0, 0);
		check(&rows[i], 0, 1);
		for (cut = 1; cut < strlen(rows[i].bytes); cut++)
			check(&rows[i], cut, 0);
	}
}

static void test_reply__nul_in_a_line__broken(void **state)
{
	static const struct view texts[] = {VIEW_CONSTANT("HTTP/1.1 202 \0\r\n"),
					    VIEW_CONSTANT(OK "A: \0\r\n"), VIEW_CONSTANT(OK "\0")};
	struct http_response reply;
	size_t i, unused;

	(void)state;
	for (i = 0; i < ARRAY_LEN(texts); i++) {
		assert_int_equal(feed(&reply, texts[i], 0, 0, &unused), HTTP_RESPONSE_BROKEN);
		assert_int_equal(feed(&reply, texts[i], 0, 1, &unused), HTTP_RESPONSE_BROKEN);
	}
}

static bool hint_is(const struct http_hint *hint, const char *text)
{
	return view_equals((struct view){hint->text, hint->len}, view_of(text));
}

static void test_hints__first_of_the_answer__kept(void **state)
{
	static const char bytes[] =
		"HTTP/1.1 103 Early\r\nRetry-After: 1\r\n\r\n"
		"HTTP/1.1 429 X\r\nretry-after:\t7 \r\nRetry-After: 8\r\nX-Faro-Session-Status: invalid"
		"\r\nContent-Length: 0\r\n\r\n";
	struct http_response reply;
	size_t unused, cut;

	(void)state;
	for (cut = 0; cut < sizeof(bytes) - 1; cut++) {
		assert_int_equal(feed(&reply, view_of(bytes), cut, 0, &unused),
				 HTTP_RESPONSE_WHOLE);
		assert_true(hint_is(&reply.retry_after, "7"));
		assert_true(hint_is(&reply.session_status, "invalid"));
	}
	/* Nothing is left for the next. */
	assert_int_equal(feed(&reply, view_of(OK "Content-Length: 0\r\n\r\n"), 0, 0, &unused),
			 HTTP_RESPONSE_WHOLE);
	assert_true(hint_is(&reply.retry_after, "") && hint_is(&reply.session_status, ""));
}

static void test_hint__longer_than_kept__none(void **state)
{
	char bytes[256], hint[64];
	struct http_response reply;
	size_t unused, len;

	(void)state;
	for (len = HTTP_RESPONSE_HINT_MAX - 1; len <= HTTP_RESPONSE_HINT_MAX + 1; len++) {
		memset(hint, 'a', len);
		hint[len] = '\0';
		snprintf(bytes, sizeof(bytes), OK "Retry-After: %s\r\nContent-Length: 0\r\n\r\n",
			 hint);
		assert_int_equal(feed(&reply, view_of(bytes), 0, 0, &unused), HTTP_RESPONSE_WHOLE);
		assert_true(hint_is(&reply.retry_after, len <= HTTP_RESPONSE_HINT_MAX ? hint : ""));
	}
}

/* A line of `name` with so many bytes that it is `len` long, then a length. */
static char *with_line(const char *name, char fill, size_t len)
{
	static char bytes[2 * HTTP_RESPONSE_LINE_MAX + 128];
	size_t used = strlen(OK);

	memcpy(bytes, OK, used);
	memset(bytes + used, fill, len);
	memcpy(bytes + used, name, strlen(name));
	snprintf(bytes + used + len, 64, "\r\nContent-Length: 2\r\n\r\nok");
	return bytes;
}

static void test_line__longer_than_kept__skipped_unless_it_frames(void **state)
{
	struct http_response reply;
	size_t unused, len;

	(void)state;
	for (len = HTTP_RESPONSE_LINE_MAX - 1; len <= HTTP_RESPONSE_LINE_MAX + 1; len++) {
		bool fits = len <= HTTP_RESPONSE_LINE_MAX;
		size_t step;

		for (step = 0; step <= 1; step++) {
			assert_int_equal(feed(&reply, view_of(with_line("Set-Cookie: ", 'a', len)),
					      0, step, &unused),
					 HTTP_RESPONSE_WHOLE);
			/* What says how the connection goes on must not be cut. */
			assert_int_equal(feed(&reply, view_of(with_line("Connection: ", ' ', len)),
					      0, step, &unused),
					 fits ? HTTP_RESPONSE_WHOLE : HTTP_RESPONSE_BROKEN);
			assert_int_equal(feed(&reply,
					      view_of(with_line("Content-Length:2", ' ', len)), 0,
					      step, &unused),
					 fits ? HTTP_RESPONSE_WHOLE : HTTP_RESPONSE_BROKEN);
		}
	}
}

static void test_reply__at_the_limit_of_bytes__whole_beyond_broken(void **state)
{
	static char bytes[CONFIG_UPSTREAM_REPLY_MAX_BYTES + 64];
	struct http_response reply;
	size_t total, unused, step, i;

	(void)state;
	for (total = CONFIG_UPSTREAM_REPLY_MAX_BYTES - 1;
	     total <= CONFIG_UPSTREAM_REPLY_MAX_BYTES + 1; total++) {
		bool fits = total <= CONFIG_UPSTREAM_REPLY_MAX_BYTES;
		/* "HTTP/1.1 202 X\r\nContent-Length: 65490\r\n\r\n" */
		size_t head = 16 + 21 + 4;

		memset(bytes, 'a', sizeof(bytes));
		snprintf(bytes, head + 1, "HTTP/1.1 202 X\r\nContent-Length: %zu\r\n\r\n",
			 total - head);
		bytes[head] = 'a';
		for (step = 0; step <= 4096; step += 4096) {
			assert_int_equal(
				feed(&reply, (struct view){bytes, total}, 0, step, &unused),
				fits ? HTTP_RESPONSE_WHOLE : HTTP_RESPONSE_BROKEN);
			assert_int_equal(reply.status, 202);
			assert_true(reply.answered);
		}
	}
	/* A header of such a length: no answer. */
	memset(bytes, 'a', sizeof(bytes));
	memcpy(bytes, OK, strlen(OK));
	for (i = strlen(OK); i + 4 < sizeof(bytes); i += 4)
		memcpy(bytes + i, "A:\r\n", 4);
	assert_int_equal(feed(&reply, (struct view){bytes, sizeof(bytes)}, 0, 0, &unused),
			 HTTP_RESPONSE_BROKEN);
	assert_false(reply.answered);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_reply__each_row__whole_and_in_pieces),
		cmocka_unit_test(test_reply__nul_in_a_line__broken),
		cmocka_unit_test(test_hints__first_of_the_answer__kept),
		cmocka_unit_test(test_hint__longer_than_kept__none),
		cmocka_unit_test(test_line__longer_than_kept__skipped_unless_it_frames),
		cmocka_unit_test(test_reply__at_the_limit_of_bytes__whole_beyond_broken),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
