/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DESIGN. An escaped control character, such as \n, ends a URL. In JSON in JSON it is \\n, which in
 * plain text is a backslash and an n. The quotes tell which it is: in a string that begins with \",
 * it is \\n, and generally it has one backslash more than the quote. An odd number of them is a
 * control character in any case.
 */
#include "beacon/redact_text.h"

#include "base/text.h"
#include "beacon/json_avx2.h"
#include "beacon/redact_find.h"

#define BOTH    (BYTE_IN_URL | BYTE_BEFORE_URL)
#define ENDS    (BOTH | BYTE_ENDS_URL)
#define ESCAPED (BOTH | BYTE_ENDS_URL | BYTE_ESCAPED)
const unsigned char redact_bytes[256] = {
	['\x01'] = ESCAPED,  ['\x02'] = ESCAPED,  ['\x03'] = ESCAPED,  ['\\'] = ESCAPED,
	[' '] = ENDS,        ['"'] = ENDS,        ['<'] = ENDS,        ['>'] = ENDS,
	['\''] = ENDS,       ['`'] = ENDS,        [')'] = ENDS,        ['('] = BYTE_BEFORE_URL,
	['='] = BOTH,        [':'] = BOTH,        ['/'] = BOTH,        ['?'] = BYTE_IN_URL,
	['#'] = BYTE_IN_URL, ['&'] = BYTE_IN_URL, ['@'] = BYTE_IN_URL,
};
#undef BOTH
#undef ENDS
#undef ESCAPED

/* How many backslashes stand before `at`. */
static size_t run_before(const struct redact_text *text, const char *at)
{
	const char *from = at;

	while (from > text->start && from[-1] == '\\')
		from--;
	return (size_t)(at - from);
}

static bool are_hex(const char *four)
{
	return hex_value(four[0]) >= 0 && hex_value(four[1]) >= 0 && hex_value(four[2]) >= 0 &&
	       hex_value(four[3]) >= 0;
}

static unsigned char char_of_hex(const char *four)
{
	unsigned value = 0;

	for (int i = 0; i < 4; i++)
		value = value << 4 | (unsigned)hex_value(four[i]);
	return value > 0x7f ? CHAR_OTHER : value <= ' ' ? ' ' : (unsigned char)value;
}

/* A byte by itself. What is marked already will be a word. */
static unsigned char char_of_byte(char byte)
{
	if ((signed char)byte < 0)
		return CHAR_OTHER;
	return (unsigned char)byte < ' ' ? 'D' : (unsigned char)byte;
}

static bool is_control_letter(char c)
{
	return c == 'n' || c == 'r' || c == 't' || c == 'f' || c == 'b';
}

static bool escapes_control(const struct redact_text *text, size_t run)
{
	return run % 2 == 1 || run == text->quote_run + 1;
}

static struct redact_char escaped_char(const struct redact_text *text, const char *at)
{
	const char *from = at;
	size_t run;

	while (at < text->end && *at == '\\')
		at++;
	run = (size_t)(at - from);
	if (at == text->end)
		return (struct redact_char){'\\', run};
	if (*at == 'u' && text->end - at >= 5 && are_hex(at + 1))
		return (struct redact_char){char_of_hex(at + 1), run + 5};
	if (*at == '"' || *at == '/')
		return (struct redact_char){(unsigned char)*at, run + 1};
	if (is_control_letter(*at) && escapes_control(text, run))
		return (struct redact_char){' ', run + 1};
	return (struct redact_char){'\\', run};
}

struct redact_char redact_char_at(const struct redact_text *text, const char *at)
{
	if (*at == '\\')
		return escaped_char(text, at);
	return (struct redact_char){char_of_byte(*at), 1};
}

struct redact_char redact_char_before(const struct redact_text *text, const char *at)
{
	char c = at[-1];
	size_t run;

	if (text->plain)
		return (struct redact_char){char_of_byte(c), 1};
	if (at - text->start >= 6 && at[-5] == 'u' && at[-6] == '\\' && are_hex(at - 4))
		return (struct redact_char){char_of_hex(at - 4), run_before(text, at - 5) + 5};
	if (c == '"' || c == '/')
		return (struct redact_char){(unsigned char)c, run_before(text, at - 1) + 1};
	if (is_control_letter(c) && at - text->start >= 2 && at[-2] == '\\') {
		run = run_before(text, at - 1);
		if (escapes_control(text, run))
			return (struct redact_char){' ', run + 1};
	}
	return (struct redact_char){char_of_byte(c), 1};
}

void redact_text_go_to(struct redact_text *text, char *at)
{
	const char *quote;

	if (text->plain || at <= text->quotes_at)
		return;
	quote = memrchr(text->quotes_at, '"', (size_t)(at - text->quotes_at));
	if (quote)
		text->quote_run = run_before(text, quote);
	text->quotes_at = at;
}

const char *redact_find(const char *at, const char *end)
{
	return loops_avx2 ? redact_find_avx2(at, end) : find_redactable(at, end);
}

bool redact_is_word(unsigned char c)
{
	return c == CHAR_OTHER || is_digit((char)c) || ((c | 0x20) >= 'a' && (c | 0x20) <= 'z');
}

/* A bracket or an apostrophe may be a part of the URL: https://a.example/O'Hara(x)?y=z. */
static bool continues_url(unsigned char next)
{
	return next != 0 && (redact_is_word(next) || strchr("/?&=%#", next));
}

bool redact_ends_url(unsigned char c, unsigned char next)
{
	switch (c) {
	case ' ':
	case '"':
	case '<':
	case '>':
		return true;
	case '\'':
	case '`':
	case ')':
		return !continues_url(next);
	default:
		return false;
	}
}
