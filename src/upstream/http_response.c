/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DESIGN: line by line up to the body, and within chunks; the body is only counted.
 *
 *	STATUS ──> HEADER ─┬─ 1xx ──> STATUS
 *	                   ├─ no body ──────────────────────────────> WHOLE
 *	                   ├─ length ──> BODY ──────────────────────> WHOLE
 *	                   ├─ neither ──> UNTIL_CLOSE ──────────────> WHOLE
 *	                   └─ chunked ──> CHUNK_SIZE ──> TRAILER ───> WHOLE
 *	                                   ^      v
 *	                            CHUNK_END <── CHUNK
 *
 * A line is gathered in reply->line whether it comes whole or not, so that there is one way. A line
 * that ends in LF alone is taken, as RFC 9112 allows. Limits: HTTP_RESPONSE_LINE_MAX, within which
 * the headers that count must fit, and CONFIG_UPSTREAM_REPLY_MAX_BYTES for everything; beyond, the
 * reply is broken.
 */
#include "upstream/http_response.h"

#include "base/text.h"
#include "config/config.h"

static void break_off(struct http_response *reply, const char *wrong)
{
	reply->state = REPLY_BROKEN;
	reply->keep = false;
	reply->wrong = wrong;
}

/* What belongs to one header block; an interim reply leaves nothing behind. */
static void begin_header(struct http_response *reply)
{
	reply->state = REPLY_STATUS;
	reply->status = 0;
	reply->retry_after.len = reply->session_status.len = 0;
	reply->has_length = reply->chunked = reply->says_close = reply->says_keep = false;
	reply->left = 0;
}

void http_response_init(struct http_response *reply)
{
	reply->answered = reply->speaks_http = reply->keep = false;
	reply->wrong = NULL;
	reply->seen = 0;
	reply->cr = reply->cut = false;
	reply->line_len = 0;
	begin_header(reply);
}

static void on_status_line(struct http_response *reply, struct view line)
{
	const char *p = line.ptr;

	if (line.len < 12 || memcmp(p, "HTTP/1.", 7) != 0 || !is_digit(p[7]) || p[8] != ' ' ||
	    !is_digit(p[9]) || !is_digit(p[10]) || !is_digit(p[11]) ||
	    (line.len > 12 && p[12] != ' ') || p[9] == '0') {
		break_off(reply, "This is no HTTP/1.1");
		return;
	}
	reply->speaks_http = true;
	reply->http_1_0 = p[7] == '0';
	reply->status = (p[9] - '0') * 100 + (p[10] - '0') * 10 + (p[11] - '0');
	reply->state = REPLY_HEADER;
}

/* Digits and nothing else: "5, 5", "+5" and "0x5" are read differently by different parties. */
static bool read_length(struct view value, uint64_t *length)
{
	size_t i;

	*length = 0;
	for (i = 0; i < value.len; i++) {
		if (!is_digit(value.ptr[i]) || *length > (UINT64_MAX - 9) / 10)
			return false;
		*length = *length * 10 + (uint64_t)(value.ptr[i] - '0');
	}
	return value.len > 0;
}

static void on_length(struct http_response *reply, struct view value)
{
	uint64_t length;

	if (!read_length(value, &length) || (reply->has_length && length != reply->left)) {
		break_off(reply, "Its Content-Length is not one number");
		return;
	}
	reply->has_length = true;
	reply->left = length;
}

static void on_coding(struct http_response *reply, struct view value)
{
	if (reply->chunked || !view_equals_nocase(value, VIEW_LITERAL("chunked")))
		break_off(reply, "Its Transfer-Encoding is not chunked alone");
	reply->chunked = true;
}

static void on_connection(struct http_response *reply, struct view value)
{
	while (value.len > 0) {
		const char *comma = memchr(value.ptr, ',', value.len);
		size_t len = comma ? (size_t)(comma - value.ptr) : value.len;
		struct view option = view_trim((struct view){value.ptr, len});

		if (view_equals_nocase(option, VIEW_LITERAL("close")))
			reply->says_close = true;
		if (view_equals_nocase(option, VIEW_LITERAL("keep-alive")))
			reply->says_keep = true;
		len += comma != NULL;
		value = (struct view){value.ptr + len, value.len - len};
	}
}

/* The first of several counts. */
static void take_hint(struct http_hint *hint, struct view value)
{
	if (hint->len > 0 || value.len > sizeof(hint->text))
		return;
	memcpy(hint->text, value.ptr, value.len);
	hint->len = value.len;
}

static void on_retry_after(struct http_response *reply, struct view value)
{
	take_hint(&reply->retry_after, value);
}

static void on_session_status(struct http_response *reply, struct view value)
{
	take_hint(&reply->session_status, value);
}

static bool is_name(struct view name)
{
	size_t i;

	for (i = 0; i < name.len; i++)
		if (name.ptr[i] <= ' ' || name.ptr[i] > '~')
			return false;
	return name.len > 0;
}

static void on_header_field(struct http_response *reply, struct view line)
{
	static const struct {
		struct view name;
		void (*take)(struct http_response *reply, struct view value);
		bool frames; /* must not be missed */
	} rows[] = {
		{VIEW_CONSTANT("Content-Length"), on_length, true},
		{VIEW_CONSTANT("Transfer-Encoding"), on_coding, true},
		{VIEW_CONSTANT("Connection"), on_connection, true},
		{VIEW_CONSTANT("Retry-After"), on_retry_after, false},
		{VIEW_CONSTANT("X-Faro-Session-Status"), on_session_status, false},
	};
	const char *colon = memchr(line.ptr, ':', line.len);
	struct view name = {line.ptr, colon ? (size_t)(colon - line.ptr) : 0};
	size_t i;

	/* A folded line begins with white space and so has no name either. */
	if (!is_name(name)) {
		break_off(reply, "A line of its header has no name");
		return;
	}
	for (i = 0; i < ARRAY_LEN(rows); i++) {
		if (!view_equals_nocase(name, rows[i].name))
			continue;
		if (!reply->cut)
			rows[i].take(reply,
				     view_trim((struct view){colon + 1, line.len - name.len - 1}));
		else if (rows[i].frames)
			break_off(reply, "A line of its header is too long");
		return;
	}
}

static void end_header(struct http_response *reply)
{
	if (reply->status == 101) {
		break_off(reply, "It switches protocols unasked");
		return;
	}
	if (reply->status < 200) {
		begin_header(reply);
		return;
	}
	if (reply->chunked && (reply->has_length || reply->http_1_0)) {
		break_off(reply, "It has chunks where there can be none");
		return;
	}
	reply->answered = true;
	reply->keep = !reply->says_close && (!reply->http_1_0 || reply->says_keep);
	if (reply->status == 204 || reply->status == 304) {
		/* A 204 that announces a body may send one, behind our back. */
		if (reply->status == 204 && (reply->chunked || reply->left > 0))
			reply->keep = false;
		reply->state = REPLY_WHOLE;
	} else if (reply->chunked) {
		reply->state = REPLY_CHUNK_SIZE;
	} else if (reply->has_length) {
		reply->state = reply->left > 0 ? REPLY_BODY : REPLY_WHOLE;
	} else {
		reply->keep = false;
		reply->state = REPLY_UNTIL_CLOSE;
	}
}

/* What follows the digits is an extension, which means nothing to us. */
static void on_chunk_size(struct http_response *reply, struct view line)
{
	size_t i;

	reply->left = 0;
	for (i = 0; i < line.len && hex_value(line.ptr[i]) >= 0; i++) {
		/* Leading zeros are digits too: so many are no size that anybody means. */
		if (i == 8)
			break;
		reply->left = reply->left * 16 + (uint64_t)hex_value(line.ptr[i]);
	}
	line = view_trim((struct view){line.ptr + i, line.len - i});
	if (i == 0 || (line.len > 0 && line.ptr[0] != ';'))
		break_off(reply, "The size of a chunk is no number");
	else
		reply->state = reply->left > 0 ? REPLY_CHUNK : REPLY_TRAILER;
}

static void on_line(struct http_response *reply, struct view line)
{
	bool is_blank = line.len == 0;

	switch (reply->state) {
	case REPLY_STATUS:
		on_status_line(reply, line);
		break;
	case REPLY_HEADER:
		if (is_blank)
			end_header(reply);
		else
			on_header_field(reply, line);
		break;
	case REPLY_CHUNK_SIZE:
		on_chunk_size(reply, line);
		break;
	case REPLY_CHUNK_END:
		reply->state = REPLY_CHUNK_SIZE;
		if (!is_blank)
			break_off(reply, "A chunk is longer than its size");
		break;
	default: /* REPLY_TRAILER */
		if (is_blank)
			reply->state = REPLY_WHOLE;
		break;
	}
}

/* A line's piece without its LF. False: the reply is broken. */
static bool gather(struct http_response *reply, const char *piece, size_t len)
{
	const char *cr;
	size_t room = sizeof(reply->line) - reply->line_len;

	if (len == 0)
		return true;
	cr = memchr(piece, '\r', len);
	if (reply->cr || (cr && cr != piece + len - 1) || memchr(piece, '\0', len)) {
		break_off(reply, "It has a stray control character");
		return false;
	}
	reply->cr = cr != NULL;
	len -= reply->cr;
	if (len > room) {
		reply->cut = true;
		len = room;
	}
	memcpy(reply->line + reply->line_len, piece, len);
	reply->line_len += len;
	return true;
}

static const char *feed_line(struct http_response *reply, const char *p, const char *end)
{
	const char *lf = memchr(p, '\n', (size_t)(end - p));

	if (!gather(reply, p, (size_t)((lf ? lf : end) - p)) || !lf)
		return end;
	on_line(reply, (struct view){reply->line, reply->line_len});
	reply->line_len = 0;
	reply->cr = reply->cut = false;
	return lf + 1;
}

static const char *feed_body(struct http_response *reply, const char *p, const char *end)
{
	size_t n = (size_t)(end - p);

	if (reply->state == REPLY_UNTIL_CLOSE)
		return end;
	if (n > reply->left)
		n = (size_t)reply->left;
	reply->left -= n;
	if (reply->left == 0)
		reply->state = reply->state == REPLY_CHUNK ? REPLY_CHUNK_END : REPLY_WHOLE;
	return p + n;
}

static enum http_response_result result(const struct http_response *reply)
{
	return reply->state == REPLY_WHOLE    ? HTTP_RESPONSE_WHOLE
	       : reply->state == REPLY_BROKEN ? HTTP_RESPONSE_BROKEN
					      : HTTP_RESPONSE_MORE;
}

enum http_response_result http_response_feed(struct http_response *reply, struct view bytes,
					     size_t *used)
{
	size_t room = CONFIG_UPSTREAM_REPLY_MAX_BYTES - reply->seen;
	const char *p = bytes.ptr, *end = p + (bytes.len < room ? bytes.len : room);

	while (p < end && reply->state < REPLY_WHOLE)
		p = reply->state <= REPLY_TRAILER ? feed_line(reply, p, end)
						  : feed_body(reply, p, end);
	*used = (size_t)(p - bytes.ptr);
	reply->seen += *used;
	if (bytes.len > room && reply->state < REPLY_WHOLE)
		break_off(reply, "It is too long");
	return result(reply);
}

enum http_response_result http_response_end(struct http_response *reply)
{
	if (reply->state == REPLY_UNTIL_CLOSE)
		reply->state = REPLY_WHOLE;
	else if (reply->state < REPLY_WHOLE)
		break_off(reply, reply->seen > 0 ? "The connection was closed within the answer"
						 : "The connection was closed without an answer");
	return result(reply);
}
