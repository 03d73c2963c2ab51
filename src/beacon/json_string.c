/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DESIGN. Strings are compared code point by code point, since an escape and the character that it
 * stands for are equal. Plain strings, which most are, are compared as bytes.
 */
#include "beacon/json.h"

#include <string.h>

#include "base/text.h"
#include "base/utf8.h"

/* There are four hexadecimal digits: the escape was validated. */
static uint32_t four_digits(const char *four)
{
	uint32_t value = 0;

	for (int i = 0; i < 4; i++)
		value = value << 4 | (uint32_t)hex_value(four[i]);
	return value;
}

static void advance(struct json_string *rest, size_t n)
{
	rest->ptr += n;
	rest->len -= n;
}

/* `rest` begins with \u. A pair of surrogates is one code point, a lone one is U+FFFD. */
static uint32_t unicode_escape(struct json_string *rest)
{
	uint32_t high = four_digits(rest->ptr + 2), low;

	advance(rest, 6);
	if (high < 0xd800 || high > 0xdfff)
		return high;
	if (high > 0xdbff || rest->len < 6 || rest->ptr[0] != '\\' || rest->ptr[1] != 'u')
		return 0xfffd;
	low = four_digits(rest->ptr + 2);
	if (low < 0xdc00 || low > 0xdfff)
		return 0xfffd;
	advance(rest, 6);
	return 0x10000 + ((high - 0xd800) << 10) + (low - 0xdc00);
}

static uint32_t escaped_rune(struct json_string *rest)
{
	char c = rest->ptr[1];

	if (c == 'u')
		return unicode_escape(rest);
	advance(rest, 2);
	switch (c) {
	case 'b':
		return '\b';
	case 'f':
		return '\f';
	case 'n':
		return '\n';
	case 'r':
		return '\r';
	case 't':
		return '\t';
	default:
		return (unsigned char)c;
	}
}

/* The bytes were validated when the string was scanned. */
bool json_next_rune(struct json_string *rest, uint32_t *rune)
{
	unsigned char first;
	size_t n;

	if (rest->len == 0)
		return false;
	if (*rest->ptr == '\\') {
		*rune = escaped_rune(rest);
		return true;
	}
	first = (unsigned char)*rest->ptr;
	n = first < 0x80 ? 1 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
	*rune = utf8_rune(rest->ptr, n);
	advance(rest, n);
	return true;
}

bool json_text_rune(struct view *text, uint32_t *rune)
{
	struct json_string rest = {.ptr = text->ptr, .len = text->len};

	if (text->len > 0 && *text->ptr == '\\') {
		*rune = '\\';
		advance(&rest, 1);
	} else if (!json_next_rune(&rest, rune)) {
		return false;
	}
	*text = (struct view){rest.ptr, rest.len};
	return true;
}

/* Writes up to 4 bytes and returns how many. */
static size_t encode_rune(uint32_t rune, char *out)
{
	static const unsigned char first[] = {0, 0, 0xc0, 0xe0, 0xf0};
	size_t n = rune < 0x80 ? 1 : rune < 0x800 ? 2 : rune < 0x10000 ? 3 : 4;

	for (size_t i = n - 1; i > 0; i--, rune >>= 6)
		out[i] = (char)(0x80 | (rune & 0x3f));
	out[0] = (char)(first[n] | rune);
	return n;
}

struct view json_decode(struct json_string string, char *out, size_t size)
{
	size_t n = 0;
	uint32_t rune;

	if (string.plain)
		return (struct view){string.ptr, string.len};
	while (n + 4 <= size && json_next_rune(&string, &rune))
		n += encode_rune(rune, out + n);
	return (struct view){out, n};
}

bool json_string_is(struct json_string string, struct view text)
{
	uint32_t wanted, rune;

	if (string.plain)
		return view_equals((struct view){string.ptr, string.len}, text);
	while (json_text_rune(&text, &wanted))
		if (!json_next_rune(&string, &rune) || rune != wanted)
			return false;
	return string.len == 0;
}

static uint32_t fold_ascii(uint32_t rune)
{
	return rune >= 'A' && rune <= 'Z' ? rune | 0x20 : rune;
}

static uint32_t fold(uint32_t rune)
{
	if (rune == 0x17f)
		return 's';
	return rune == 0x212a ? 'k' : fold_ascii(rune);
}

enum json_match json_string_match(struct json_string string, struct view name)
{
	uint32_t rune, wanted;

	if (string.len == name.len && memcmp(string.ptr, name.ptr, name.len) == 0)
		return JSON_SAME;
	if (string.plain && string.len != name.len)
		return JSON_DIFFERENT;
	while (name.len > 0) {
		wanted = (unsigned char)*name.ptr;
		if (wanted < 0x80)
			name = (struct view){name.ptr + 1, name.len - 1};
		else
			json_text_rune(&name, &wanted);
		if (!json_next_rune(&string, &rune) || fold(rune) != fold_ascii(wanted))
			return JSON_DIFFERENT;
	}
	return string.len == 0 ? JSON_ALIKE : JSON_DIFFERENT;
}
