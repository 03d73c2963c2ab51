/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DESIGN. One cursor, one pass. The caller's own call stack knows the path down to the cursor.
 * json_skip() needs no stack: it keeps one bit for each level, which tells objects from arrays. So
 * nothing recurses, and the depth limit of 64 (JSON_TOO_DEEP) is the width of one word.
 *
 * Strings are what a beacon is made of, and most are shorter than what one comparison sees. So what
 * counts is the way from token to token (json_pass.h). Where JSON is compact, strings are plain and
 * numbers are short, which is nearly always, the quick_*() functions take it (json_quick.h): one
 * comparison finds a string's end, and another one sees the two bytes behind it. What they do not
 * take is read with care by the pass_*() functions, which alone find errors. No load reaches beyond
 * the input: the quick ones are used only where JSON_ROOM bytes are left, and the loops read the
 * last few bytes one by one.
 *
 * json_skip() and json_named_member(), which see almost every byte, have a copy for AVX2, which is
 * chosen at run time (json_avx2.h); one comparison of a byte for each call is what the choice costs.
 * Everything else is compiled once, for SSE2 or NEON; with -DJSON_PLAIN, for plain C. The tests run
 * them all. A UTF-8 sequence is checked by one masked comparison of four bytes.
 */
#include "beacon/json.h"

#include <string.h>

#include "base/text.h"
#include "beacon/json_avx2.h"
#include "beacon/json_pass.h"

#define FOUR(x) x, x, x, x
#define LANES_32(x)                                                                    \
	{                                                                              \
		FOUR(x), FOUR(x), FOUR(x), FOUR(x), FOUR(x), FOUR(x), FOUR(x), FOUR(x) \
	}
const struct loops_of_stops loops_of_stops = {LANES_32(2), LANES_32(0x21), LANES_32('\\')};

void json_init(struct json *json, struct view in)
{
	if (!in.ptr)
		in = VIEW_LITERAL("");
	*json = (struct json){.start = in.ptr, .at = in.ptr, .end = in.ptr + in.len};
	json->roomy = in.len > JSON_ROOM ? json->end - JSON_ROOM : json->start;
	if (in.len >= 3 && memcmp(in.ptr, "\xef\xbb\xbf", 3) == 0)
		fail_at(json, in.ptr, JSON_BOM);
}

const unsigned char json_types[256] = {
	['{'] = JSON_OBJECT, ['['] = JSON_ARRAY,  ['"'] = JSON_STRING, ['t'] = JSON_TRUE,
	['f'] = JSON_FALSE,  ['n'] = JSON_NULL,   ['-'] = JSON_NUMBER, ['0'] = JSON_NUMBER,
	['1'] = JSON_NUMBER, ['2'] = JSON_NUMBER, ['3'] = JSON_NUMBER, ['4'] = JSON_NUMBER,
	['5'] = JSON_NUMBER, ['6'] = JSON_NUMBER, ['7'] = JSON_NUMBER, ['8'] = JSON_NUMBER,
	['9'] = JSON_NUMBER,
};

enum json_type json_peek_slowly(struct json *json)
{
	if (json_failed(json))
		return JSON_NONE;
	json->at = pass_space(json, json->at);
	return (enum json_type)json_types[(unsigned char)byte_at(json, json->at)];
}

size_t json_offset(const struct json *json)
{
	return (size_t)(json->at - json->start);
}

bool json_enter(struct json *json, enum json_type type)
{
	if (json_peek(json) != type)
		return fail_syntax(json, json->at);
	if (json->depth == JSON_MAX_DEPTH)
		return fail_at(json, json->at, JSON_TOO_DEEP);
	json->depth++;
	json->fresh = true;
	json->separator = 0;
	json->at++;
	return true;
}

bool json_member(struct json *json, struct json_string *key)
{
	const char *at = json->at;

	if (LIKELY(quick_member(json, &at, key))) {
		json->at = pass_space(json, at);
		return true;
	}
	if (!go_to_item(json, '}'))
		return false;
	at = pass_key(json, json->at, key);
	if (at)
		json->at = at;
	return at != NULL;
}

bool json_element(struct json *json)
{
	const char *at = json->at;

	if (LIKELY(can_be_quick(json) && !json->fresh && are_two(at, ',', '{'))) {
		json->separator = (size_t)(at - json->start);
		json->at = at + 1;
		return true;
	}
	if (!go_to_item(json, ']'))
		return false;
	/* A comma with nothing after it must not look like an element. */
	return json_peek(json) != JSON_NONE || fail_syntax(json, json->at);
}

bool json_read_string(struct json *json, struct json_string *string)
{
	const char *quote;

	if (json_peek(json) != JSON_STRING)
		return fail_syntax(json, json->at);
	quote = pass_string(json, json->at + 1, &string->plain);
	if (!quote)
		return false;
	string->ptr = json->at + 1;
	string->len = (size_t)(quote - string->ptr);
	string->offset = json_offset(json);
	json->at = quote + 1;
	return true;
}

static NOINLINE bool skip_baseline(struct json *json)
{
	return skip(json);
}

bool json_skip(struct json *json)
{
	return LIKELY(loops_avx2) ? json_skip_avx2(json) : skip_baseline(json);
}

void json_names_add(struct json_names *names, struct view name)
{
	names->letters[json_names_length(name.len)] |= (uint32_t)1
						       << json_names_bit(name.ptr, name.len);
}

void json_names_join(struct json_names *names, const struct json_names *more)
{
	for (size_t i = 0; i < JSON_LENGTHS; i++)
		names->letters[i] |= more->letters[i];
}

static NOINLINE bool named_member_baseline(struct json *json, const struct json_names *names,
					   struct json_string *key)
{
	return named_member(json, names, key);
}

bool json_named_member(struct json *json, const struct json_names *names, struct json_string *key)
{
	return LIKELY(loops_avx2) ? json_named_member_avx2(json, names, key)
				  : named_member_baseline(json, names, key);
}

bool json_read_hex(struct json *json, size_t digits, bool *is_zero)
{
	const char *at = json->at;
	lanes_bits other = 0;

	if (json_failed(json) || (size_t)(json->end - at) < digits + 2 || at[0] != '"' ||
	    at[digits + 1] != '"')
		return false;
	for (size_t i = 1; i < digits; i += LANES) {
		if (not_hex_in(at + i) != 0)
			return false;
		other |= lanes_mask(lanes_equal(lanes_load(at + i), '0')) ^ LANES_ALL;
	}
	json->at = at + digits + 2;
	*is_zero = other == 0;
	return true;
}

bool json_finish(struct json *json)
{
	if (json_failed(json))
		return false;
	json->at = pass_space(json, json->at);
	return json->at == json->end || fail_at(json, json->at, JSON_TRAILING);
}

void json_stop(struct json *json)
{
	fail_at(json, json->at, JSON_STOPPED);
}
