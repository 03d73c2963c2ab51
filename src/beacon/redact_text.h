/* SPDX-License-Identifier: Apache-2.0 */
/*
 * redact_text: the characters of a JSON string as a reader of URLs takes them, forwards and
 * backwards; internal to redact*.c.
 *
 * A string may have JSON in it that has JSON in it, as session replay does, and each level doubles
 * the backslashes. So a run of backslashes and what it escapes is one character here: \u0026, \\u0026
 * and & are the same, and so are \" and \\\". Positions are always between characters, so what is
 * taken away or kept is valid JSON on every level.
 */
#ifndef FARO_BEACON_REDACT_TEXT_H
#define FARO_BEACON_REDACT_TEXT_H

#include "beacon/json.h"

enum {
	CHAR_OTHER = 0x80, /* what is not ASCII */
};

struct redact_text {
	char *start, *end;
	bool plain;       /* there are no backslashes */
	char *quotes_at;  /* quotes before it have been looked at, */
	size_t quote_run; /* and so many backslashes stand before the last of them */
	size_t marks;     /* made in it */
};

/* ASCII, or CHAR_OTHER. White space and control characters are ' '. */
struct redact_char {
	unsigned char c;
	size_t len;
};

/* Both for positions with a character behind, or before them. */
struct redact_char redact_char_at(const struct redact_text *text, const char *at);
struct redact_char redact_char_before(const struct redact_text *text, const char *at);
/* Finds out which JSON in JSON the text before `at` is, for the control characters there. `at` must
 * not decrease. */
void redact_text_go_to(struct redact_text *text, char *at);
/* The first byte from `at` on that is ?, # or @, or a backslash or dot before f, p, q, t or u: of \\u, and
 * of .q, .f and .t, by which keys are found. Nobody needs p; it is cheaper to find it, too. */
const char *redact_find(const char *at, const char *end);

/* A bit for what a byte may mean. */
enum {
	BYTE_IN_URL = 1,     /* anything to redact_url() */
	BYTE_BEFORE_URL = 2, /* anything to who looks for the beginning of a URL */
	BYTE_ENDS_URL = 4,   /* or may do so, for redact_ends_url() */
	BYTE_ESCAPED = 8     /* another character than itself */
};

extern const unsigned char redact_bytes[256];

/* Letters, digits, and what is not ASCII. */
bool redact_is_word(unsigned char c);
/* True if a URL ends before this character; `next` is the one behind it, 0 at the end. */
bool redact_ends_url(unsigned char c, unsigned char next);
/* The character at `at`, or 0 at the end. */
static inline unsigned char redact_peek(const struct redact_text *text, const char *at)
{
	return at < text->end ? redact_char_at(text, at).c : 0;
}

#endif
