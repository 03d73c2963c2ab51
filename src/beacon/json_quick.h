/* SPDX-License-Identifier: Apache-2.0 */
/*
 * json_quick: from token to token where JSON is as usual: compact, plain, and far from the end. Internal
 * to json_pass.h.
 *
 * A quick_*() function moves *at in the usual case. In all others it returns false, with nothing
 * changed, and finds no errors. It needs room: it may only be called before json->roomy, or LANES behind
 * it for what follows a value. White space may stand before a value where that begins.
 */
#ifndef FARO_BEACON_JSON_QUICK_H
#define FARO_BEACON_JSON_QUICK_H

#include <string.h>

#include "base/text.h"
#include "beacon/json.h"
#include "beacon/json_loops.h"

enum {
	QUICK_DIGITS = 10
};

/* The containers that json_skip() is in: one bit for each, set for objects, the innermost is lowest. */
struct nest {
	uint64_t objects;
	unsigned depth;
};

/* The first stop from `at` on. Where there is no more room, the first byte that was not looked at. At
 * most LANES bytes beyond `roomy`, or beyond `at`. */
static ALWAYS_INLINE const char *quick_stop(const struct json *json, const char *at)
{
	lanes_bits stops = stops_in(at);

	while (stops == 0) {
		at += LANES;
		if (UNLIKELY(at >= json->roomy))
			return at;
		stops = stops_in(at);
	}
	return at + lanes_first(stops);
}

static ALWAYS_INLINE bool are_two(const char *at, char first, char second)
{
	uint16_t two;

	memcpy(&two, at, sizeof(two));
	return two == (uint16_t)((unsigned char)first | (unsigned char)second << 8);
}

/* From behind a key's opening quote to its value, or the white space before it. */
static ALWAYS_INLINE bool quick_key(const struct json *json, const char **at)
{
	const char *quote = quick_stop(json, *at);

	if (UNLIKELY(quote == *at || !are_two(quote, '"', ':')))
		return false;
	*at = quote + 2;
	return true;
}

static ALWAYS_INLINE bool quick_string(const struct json *json, const char **at)
{
	const char *quote = quick_stop(json, *at + 1);

	*at = *quote == '"' ? quote + 1 : *at;
	return *quote == '"';
}

/* An integer of few digits; most have one or two. */
static ALWAYS_INLINE bool quick_number(const char **at)
{
	const char *end = *at;

	while (is_digit(*end) && end - *at < QUICK_DIGITS)
		end++;
	if (end == *at || (**at == '0' && end - *at > 1) || !(*end == ',' || *end == '}'))
		return false;
	*at = end;
	return true;
}

static ALWAYS_INLINE bool quick_scalar(const struct json *json, const char **at)
{
	return LIKELY(**at == '"') ? quick_string(json, at) : quick_number(at);
}

/* From behind a value that was quickly passed to the next one in the same container. */
static ALWAYS_INLINE bool quick_next(const struct json *json, const char **at,
				     const struct nest *nest)
{
	const char *next = *at + 2;

	if (!(nest->objects & 1)) {
		next = *at + 1;
		if (**at != ',')
			return false;
	} else if (!are_two(*at, ',', '"') || !quick_key(json, &next)) {
		return false;
	}
	*at = next;
	return true;
}

/* From a bracket to the first value in what it opens, which is not empty. */
static ALWAYS_INLINE bool quick_open(const struct json *json, const char **at, struct nest *nest)
{
	bool is_object = **at == '{';
	const char *value = *at + 2;

	if (json->depth + nest->depth == JSON_MAX_DEPTH)
		return false;
	if (is_object && (*at)[1] == '"') {
		if (!quick_key(json, &value))
			return false;
	} else if (**at == '[' && (*at)[1] > ' ' && (*at)[1] != ']') {
		value = *at + 1;
	} else {
		return false;
	}
	nest->depth++;
	nest->objects = nest->objects << 1 | is_object;
	*at = value;
	return true;
}

static ALWAYS_INLINE char closing_bracket(const struct nest *nest)
{
	return nest->objects & 1 ? '}' : ']';
}

static ALWAYS_INLINE void leave(struct nest *nest)
{
	nest->depth--;
	nest->objects >>= 1;
}

/* Leaves the innermost container, if it ends here and is in another one. */
static ALWAYS_INLINE bool quick_leave(const struct json *json, const char **at, struct nest *nest)
{
	if (**at != closing_bracket(nest) || nest->depth == 1 || *at >= json->roomy)
		return false;
	leave(nest);
	(*at)++;
	return true;
}

/* Like json_skip(), as far as it goes in the usual way. `at` is where a value begins; returns where
 * another one does, or where one has ended; then *behind is set. */
static ALWAYS_INLINE const char *quick_items(const struct json *json, const char *at,
					     struct nest *nest, bool *behind)
{
	*behind = false;
	while (LIKELY(at < json->roomy)) {
		if (!quick_scalar(json, &at)) {
			if (!quick_open(json, &at, nest))
				break;
			continue;
		}
		while (!quick_next(json, &at, nest))
			if (!quick_leave(json, &at, nest)) {
				*behind = true;
				return at;
			}
	}
	return at;
}

static ALWAYS_INLINE bool can_be_quick(const struct json *json)
{
	return json->at < json->roomy && !json_failed(json);
}

/* From behind an object's bracket, or a member's value, to the value of the next member, whose key is
 * *key. */
static ALWAYS_INLINE bool quick_member(struct json *json, const char **at, struct json_string *key)
{
	const char *name = *at + 2, *value;

	if (!can_be_quick(json))
		return false;
	if (json->fresh) {
		name = *at + 1;
		if (**at != '"')
			return false;
	} else if (!are_two(*at, ',', '"')) {
		return false;
	}
	value = name;
	if (!quick_key(json, &value))
		return false;
	*key = (struct json_string){.ptr = name,
				    .len = (size_t)(value - 2 - name),
				    .offset = (size_t)(name - 1 - json->start),
				    .plain = true};
	json->separator = json->fresh ? 0 : key->offset - 1;
	json->fresh = false;
	*at = value;
	return true;
}

#endif
