/* SPDX-License-Identifier: Apache-2.0 */
/*
 * json_pass: from token to token of a text. Internal to json.c, whose DESIGN explains it, and to
 * json_avx2.c: each has a copy, for its lanes (json_loops.h).
 *
 * A pass_*() function begins where its token does and returns the byte behind it, or NULL with the
 * error set. It takes what the quick_*() functions (json_quick.h) do not.
 */
#ifndef FARO_BEACON_JSON_PASS_H
#define FARO_BEACON_JSON_PASS_H

#include <string.h>

#include "base/text.h"
#include "beacon/json.h"
#include "beacon/json_loops.h"
#include "beacon/json_quick.h"

/* The first error counts; later ones follow from it. */
static bool fail_at(struct json *json, const char *at, enum json_error error)
{
	if (json->error == JSON_OK) {
		json->error = error;
		json->at = at;
	}
	return false;
}

/* A byte that cannot stand where it is, or no byte at all. */
static bool fail_syntax(struct json *json, const char *at)
{
	return fail_at(json, at, at < json->end ? JSON_SYNTAX : JSON_TRUNCATED);
}

/* The byte at `at`, or NUL, which stands nowhere in JSON, at the end. */
static inline char byte_at(const struct json *json, const char *at)
{
	return LIKELY(at < json->end) ? *at : '\0';
}

static NOINLINE const char *pass_much_space(const struct json *json, const char *at)
{
	return find_not_space(at, json->end);
}

/* Compact JSON has no white space, so the usual case is one comparison. */
static inline const char *pass_space(const struct json *json, const char *at)
{
	if (LIKELY(at < json->end && (unsigned char)*at > ' '))
		return at;
	return pass_much_space(json, at);
}

/* The first four bytes as one big-endian word. Bytes beyond the end are zero, and no continuation
 * byte is. */
static uint32_t load_four(const char *at, const char *end)
{
	unsigned char bytes[4] = {0};

	memcpy(bytes, at, end - at >= 4 ? 4 : (size_t)(end - at));
	return (uint32_t)bytes[0] << 24 | (uint32_t)bytes[1] << 16 | (uint32_t)bytes[2] << 8 |
	       bytes[3];
}

/* Length of the well-formed UTF-8 sequence at `at`, whose first byte is above 0x7f; 0 if there is
 * none. */
static size_t utf8_length(const char *at, const char *end)
{
	uint32_t four = load_four(at, end);

	if ((four & 0xe0c00000u) == 0xc0800000u)
		return four >= 0xc2000000u ? 2 : 0; /* C0 and C1 are overlong */
	if ((four & 0xf0c0c000u) == 0xe0808000u) {
		if (four < 0xe0a00000u)
			return 0;                                   /* overlong */
		return (four & 0xffe00000u) == 0xeda00000u ? 0 : 3; /* surrogates */
	}
	if ((four & 0xf8c0c0c0u) == 0xf0808080u)
		return four >= 0xf0900000u && four < 0xf4900000u ? 4 : 0;
	return 0;
}

/* Length of the escape sequence at the backslash `at`; 0 if there is none. */
static size_t escape_length(const char *at, const char *end)
{
	if (end - at < 2)
		return 0;
	switch (at[1]) {
	case '"':
	case '\\':
	case '/':
	case 'b':
	case 'f':
	case 'n':
	case 'r':
	case 't':
		return 2;
	case 'u':
		return end - at >= 6 && hex_value(at[2]) >= 0 && hex_value(at[3]) >= 0 &&
				       hex_value(at[4]) >= 0 && hex_value(at[5]) >= 0
			       ? 6
			       : 0;
	default:
		return 0;
	}
}

/* The closing quote of a string that is not plain ASCII, or NULL with the error set. */
static NOINLINE const char *pass_unplain(struct json *json, const char *at)
{
	for (;;) {
		size_t n;

		if (at == json->end) {
			fail_at(json, at, JSON_TRUNCATED);
			return NULL;
		}
		if (*at == '"')
			return at;
		if ((signed char)*at < 0) {
			n = utf8_length(at, json->end);
			if (n == 0) {
				fail_at(json, at, JSON_BAD_UTF8);
				return NULL;
			}
		} else {
			n = *at == '\\' ? escape_length(at, json->end) : 0;
			if (n == 0) {
				fail_at(json, at, JSON_BAD_STRING);
				return NULL;
			}
		}
		at += n;
		if (at < json->end && !is_stop(*at))
			at = find_stop(at, json->end);
	}
}

/* `at` is the byte after the opening quote. Returns the closing quote, or NULL with the error set.
 */
static inline const char *pass_string(struct json *json, const char *at, bool *plain)
{
	at = find_stop(at, json->end);
	*plain = at < json->end && *at == '"';
	return LIKELY(*plain) ? at : pass_unplain(json, at);
}

/* The end of the number at `at`, or NULL with the error set. */
static NOINLINE const char *pass_number(struct json *json, const char *at)
{
	const char *end = json->end, *digits;

	if (*at == '-')
		at++;
	digits = at;
	at = find_not_digit(at, end);
	if (at == digits || (*digits == '0' && at - digits > 1))
		goto bad;
	if (byte_at(json, at) == '.') {
		digits = ++at;
		at = find_not_digit(at, end);
		if (at == digits)
			goto bad;
	}
	if ((byte_at(json, at) | 0x20) == 'e') {
		at++;
		if (byte_at(json, at) == '+' || byte_at(json, at) == '-')
			at++;
		digits = at;
		at = find_not_digit(at, end);
		if (at == digits)
			goto bad;
	}
	return at;
bad:
	fail_at(json, at, at < end ? JSON_BAD_NUMBER : JSON_TRUNCATED);
	return NULL;
}

static const char *pass_word(struct json *json, const char *at, const char *word, size_t len)
{
	if ((size_t)(json->end - at) >= len && memcmp(at, word, len) == 0)
		return at + len;
	fail_syntax(json, at);
	return NULL;
}

/* The end of the string, number or word at `at`, or NULL with the error set. */
static inline const char *pass_scalar(struct json *json, const char *at)
{
	char c = byte_at(json, at);
	bool plain;

	if (LIKELY(c == '"')) {
		at = pass_string(json, at + 1, &plain);
		return at ? at + 1 : NULL;
	}
	if (is_digit(c) || c == '-')
		return pass_number(json, at);
	switch (c) {
	case 't':
		return pass_word(json, at, "true", 4);
	case 'f':
		return pass_word(json, at, "false", 5);
	case 'n':
		return pass_word(json, at, "null", 4);
	default:
		fail_syntax(json, at);
		return NULL;
	}
}

/* `at` is a key's opening quote. Returns where its value begins, or NULL with the error set. Where
 * nobody looks at *key, it costs nothing to fill it in: this is always inlined. */
static ALWAYS_INLINE const char *pass_key(struct json *json, const char *at,
					  struct json_string *key)
{
	const char *quote;

	if (UNLIKELY(byte_at(json, at) != '"')) {
		fail_syntax(json, at);
		return NULL;
	}
	quote = pass_string(json, at + 1, &key->plain);
	if (UNLIKELY(!quote))
		return NULL;
	key->ptr = at + 1;
	key->len = (size_t)(quote - key->ptr);
	key->offset = (size_t)(at - json->start);
	if (UNLIKELY(key->len == 0 && json->refuse_empty_keys)) {
		fail_at(json, at, JSON_EMPTY_KEY);
		return NULL;
	}
	at = pass_space(json, quote + 1);
	if (UNLIKELY(byte_at(json, at) != ':')) {
		fail_syntax(json, at);
		return NULL;
	}
	return pass_space(json, at + 1);
}

/* Goes to the container's next item. At its end, leaves it and returns false; false also with the
 * error set. */
static inline bool go_to_item(struct json *json, char closing)
{
	const char *at;

	if (json_failed(json))
		return false;
	at = pass_space(json, json->at);
	if (byte_at(json, at) == closing) {
		json->depth--;
		json->was_empty = json->fresh;
		json->fresh = false;
		json->at = at + 1;
		return false;
	}
	if (!json->fresh) {
		if (byte_at(json, at) != ',')
			return fail_syntax(json, at);
		json->separator = (size_t)(at - json->start);
		at = pass_space(json, at + 1);
	}
	json->fresh = false;
	json->at = at;
	return true;
}

/* Leaves every container that ends at `at`. Returns where the next value begins, after its comma
 * and its key, if it has one; where the skipped value ends, if nest->depth is 0; or NULL. */
static inline const char *pass_between(struct json *json, const char *at, struct nest *nest)
{
	struct json_string key;

	for (; nest->depth > 0; leave(nest), at++) {
		char c;

		at = pass_space(json, at);
		c = byte_at(json, at);
		if (LIKELY(c == ',')) {
			at = pass_space(json, at + 1);
			return nest->objects & 1 ? pass_key(json, at, &key) : at;
		}
		if (UNLIKELY(c != closing_bracket(nest))) {
			fail_syntax(json, at);
			return NULL;
		}
	}
	return at;
}

/* Passes a scalar or an empty container, or goes to the first value of one that is not empty; then
 * *entered is set. */
static const char *pass_item(struct json *json, const char *at, struct nest *nest, bool *entered)
{
	struct json_string key;
	char c;

	at = pass_space(json, at);
	c = byte_at(json, at);
	if (c != '{' && c != '[')
		return pass_scalar(json, at);
	if (UNLIKELY(json->depth + nest->depth == JSON_MAX_DEPTH)) {
		fail_at(json, at, JSON_TOO_DEEP);
		return NULL;
	}
	at = pass_space(json, at + 1);
	if (byte_at(json, at) == c + 2) /* the closing bracket in ASCII */
		return at + 1;
	nest->depth++;
	nest->objects = nest->objects << 1 | (c == '{');
	*entered = true;
	return c == '{' ? pass_key(json, at, &key) : at;
}

/* The end of the object or array at `at`, or NULL with the error set. */
static const char *pass_container(struct json *json, const char *at)
{
	struct nest nest = {0};

	do {
		bool behind, entered = false;

		at = quick_items(json, at, &nest, &behind);
		if (!behind) {
			at = pass_item(json, at, &nest, &entered);
			behind = at && !entered;
		}
		if (behind)
			at = pass_between(json, at, &nest);
	} while (at && nest.depth > 0);
	return at;
}

/* The end of the value at `at`, or NULL with the error set. */
static ALWAYS_INLINE const char *pass_value(struct json *json, const char *at)
{
	char c;

	if (LIKELY(at < json->roomy) && quick_scalar(json, &at))
		return at;
	at = pass_space(json, at);
	c = byte_at(json, at);
	return c == '{' || c == '[' ? pass_container(json, at) : pass_scalar(json, at);
}

/* ---- what json.h offers, and is worth a copy for each kind of lanes ---- */

static ALWAYS_INLINE bool skip(struct json *json)
{
	const char *at;

	if (json_failed(json))
		return false;
	at = pass_value(json, json->at);
	if (at)
		json->at = at;
	return at != NULL;
}

static ALWAYS_INLINE bool named_member(struct json *json, const struct json_names *names,
				       struct json_string *key)
{
	struct json_string found;
	const char *at;

	for (;;) {
		at = json->at;
		if (UNLIKELY(!quick_member(json, &at, &found))) {
			if (!go_to_item(json, '}'))
				return false;
			at = pass_key(json, json->at, &found);
			if (!at)
				return false;
		}
		if (json_names_may_have(names, found)) {
			*key = found;
			json->at = pass_space(json, at);
			return true;
		}
		at = pass_value(json, at);
		if (!at)
			return false;
		json->at = at;
	}
}

#endif
