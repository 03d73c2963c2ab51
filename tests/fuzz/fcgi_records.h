/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fcgi_records: what a web server writes, in any order and size that the caller likes.
 */
#ifndef FARO_FUZZ_FCGI_RECORDS_H
#define FARO_FUZZ_FCGI_RECORDS_H

#include <stdio.h>

#include "base/text.h"
#include "server/fcgi.h"

static inline void put_record(struct buf *out, unsigned type, unsigned id, struct view content,
			      unsigned padding)
{
	static const char zeros[256];
	const char header[8] = {FCGI_VERSION,
				(char)type,
				(char)(id >> 8),
				(char)id,
				(char)(content.len >> 8),
				(char)content.len,
				(char)padding};

	buf_append(out, header, sizeof(header));
	buf_append(out, content.ptr, content.len);
	buf_append(out, zeros, padding);
}

/* In records of so many bytes; 0: one. */
static inline void put_stream(struct buf *out, unsigned type, unsigned id, struct view content,
			      size_t step)
{
	while (content.len > 0) {
		size_t n = step > 0 && step < content.len ? step : content.len;

		put_record(out, type, id, (struct view){content.ptr, n}, 0);
		content = (struct view){content.ptr + n, content.len - n};
	}
}

static inline void put_begin(struct buf *out, unsigned id, unsigned role, bool keep)
{
	const char begin[8] = {0, (char)role, keep ? FCGI_KEEP_CONN : 0};

	put_record(out, FCGI_BEGIN_REQUEST, id, (struct view){begin, sizeof(begin)}, 0);
}

static inline void put_pair(struct buf *out, const char *name, struct view value)
{
	const char lengths[2] = {(char)strlen(name), (char)(value.len & 0x7f)};

	buf_append(out, lengths, sizeof(lengths));
	buf_append(out, name, strlen(name));
	buf_append(out, value.ptr, value.len & 0x7f);
}

static const struct view bodies[] = {
	VIEW_CONSTANT("{\"meta\":{},\"logs\":[{\"message\":\"m\"}]}"),
	VIEW_CONSTANT(
		"{\"meta\":{\"app\":{\"name\":\"a\"},\"session\":{\"id\":\"s\"}},\"events\":[{"
		"\"name\":\"e\",\"timestamp\":\"2026-11-22T10:00:00Z\"}]}"),
	VIEW_CONSTANT(" {\"exceptions\":[{\"type\":\"T\",\"value\":\"v\"}],\"measurements\":[{"
		      "\"type\":\"w\",\"values\":{\"x\":1}}],\"meta\":{}}\n"),
	/* The first of them, by gzip and by zlib; in stored blocks, so that they can be read
	 * here. */
	VIEW_CONSTANT(
		"\x1f\x8b\x08\0\0\0\0\0\0\xff\x01\x0b\0\xf4\xff{\"meta\":{}}\x77\xbe\x92\xdb\x0b\0\0\0"),
	VIEW_CONSTANT("\x78\x01\x01\x0b\0\xf4\xff{\"meta\":{}}\x17\x91\x04\x16"),
	VIEW_CONSTANT("{\"meta\":{}"),
	VIEW_CONSTANT(""),
	VIEW_CONSTANT("{\"meta\":{},\"logs\":[{\"message\":\"a\xff\"}]}"),
};

static inline struct view body_of(uint8_t choice)
{
	return bodies[choice % (ARRAY_LEN(bodies))];
}

/* The variables of nginx; `length` says what it says. */
static inline void put_variables(struct buf *out, uint8_t choice, size_t length)
{
	static const char *const codings[] = {"", "", "", "gzip", "deflate", "br"};
	static const char *const methods[] = {"POST", "POST", "POST", "POST", "OPTIONS", "GET"};
	static const char *const endpoints[] = {"collect", "collect", "collect", "metrics",
						"health",  "ready",   "other"};
	char digits[24];
	int n = snprintf(digits, sizeof(digits), "%zu", length);

	put_pair(out, "FARO_ENDPOINT", view_of(endpoints[choice / 64 == 3 ? choice % 7 : 0]));
	put_pair(out, "REQUEST_METHOD",
		 view_of(choice / 64 == 3 ? "GET" : methods[choice / 8 % 6]));
	put_pair(out, "SCRIPT_NAME", VIEW_LITERAL("/faro"));
	put_pair(out, "HTTP_HOST", VIEW_LITERAL("shop.example"));
	put_pair(out, "HTTP_X_UNKNOWN", VIEW_LITERAL("value"));
	put_pair(out, "CONTENT_TYPE", VIEW_LITERAL("application/json"));
	put_pair(out, "HTTP_CONTENT_ENCODING", view_of(codings[choice % 8 % 6]));
	put_pair(out, "HTTP_X_FARO_SESSION_ID", VIEW_LITERAL("abc"));
	put_pair(out, "CONTENT_LENGTH", (struct view){digits, (size_t)n});
}

#endif
