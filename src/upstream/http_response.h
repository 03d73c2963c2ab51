/* SPDX-License-Identifier: Apache-2.0 */
/*
 * http_response: parses the upstream's answer as it comes, in pieces of any size.
 *
 * Pure: no socket, no clock, no memory of its own. It keeps what the relay asks of a reply (status,
 * two hints, whether the connection can be used again) and counts the body without storing it.
 * Whatever could make two parties disagree on where a reply ends breaks it, and with it the
 * connection: lengths that differ, a length beside chunks, another coding than chunked, folded
 * lines, NUL, a CR within a line, more than CONFIG_UPSTREAM_REPLY_MAX_BYTES.
 */
#ifndef FARO_UPSTREAM_HTTP_RESPONSE_H
#define FARO_UPSTREAM_HTTP_RESPONSE_H

#include <stdint.h>

#include "base/buf.h"

enum {
	HTTP_RESPONSE_LINE_MAX = 256, /* what is longer of a line is read, but not kept */
	HTTP_RESPONSE_HINT_MAX = 48,  /* a longer one counts as none */
};

enum http_response_result {
	HTTP_RESPONSE_MORE,
	HTTP_RESPONSE_WHOLE,
	HTTP_RESPONSE_BROKEN, /* ->wrong says why */
};

struct http_hint {
	size_t len; /* 0: none */
	char text[HTTP_RESPONSE_HINT_MAX];
};

struct http_response {
	/* An interim reply (1xx) is no answer. All is valid if the header came whole, also where
	 * the body is broken. */
	bool answered;
	int status;
	bool speaks_http; /* a status line was read */
	bool keep;        /* the connection may carry another request once this is whole */
	struct http_hint retry_after, session_status;
	const char *wrong;

	/* Its own. */
	enum http_response_state {
		REPLY_STATUS,
		REPLY_HEADER,
		REPLY_CHUNK_SIZE,
		REPLY_CHUNK_END,
		REPLY_TRAILER, /* up to here they are lines */
		REPLY_CHUNK,
		REPLY_BODY,
		REPLY_UNTIL_CLOSE,
		REPLY_WHOLE,
		REPLY_BROKEN,
	} state;
	size_t seen; /* bytes of all that came */
	uint64_t left;
	bool has_length, chunked, http_1_0, says_close, says_keep;
	bool cr, cut; /* of the present line: its last byte is CR; it did not fit */
	size_t line_len;
	char line[HTTP_RESPONSE_LINE_MAX];
};

void http_response_init(struct http_response *reply);
/* *used is less than bytes.len where the reply ended before; whole or broken, it stays so. */
enum http_response_result http_response_feed(struct http_response *reply, struct view bytes,
					     size_t *used);
/* The connection was closed. */
enum http_response_result http_response_end(struct http_response *reply);

#endif
