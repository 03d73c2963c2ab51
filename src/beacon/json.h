/* SPDX-License-Identifier: Apache-2.0 */
/*
 * json: a strict RFC 8259 scanner. One pass, no tree, no allocation; positions are byte offsets.
 *
 * It is a cursor over the caller's bytes. The caller enters the objects and arrays that it needs,
 * and lets json_skip() validate the rest, which is faster:
 *
 *	json_init(&json, in);
 *	if (json_enter(&json, JSON_OBJECT))
 *		while (json_member(&json, &key))
 *			json_skip(&json);
 *	ok = json_finish(&json);
 *
 * The whole text is checked: syntax, UTF-8 (no overlong form, no surrogate, nothing above
 * U+10FFFF), at most JSON_MAX_DEPTH levels, and one top-level value with only white space after it.
 * A lone surrogate written as an escape is legal. After the first error every call returns false,
 * so loops end by themselves, and one call of json_failed() at the end is enough. Each value must
 * be entered, read or skipped before the caller asks for the next member or element.
 */
#ifndef FARO_BEACON_JSON_H
#define FARO_BEACON_JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"

enum {
	JSON_MAX_DEPTH = 64,
	JSON_ROOM = 128, /* four times what is compared at once */
};

enum json_error {
	JSON_OK,
	JSON_TRUNCATED,  /* the input ends inside a value */
	JSON_SYNTAX,     /* a byte that cannot stand here */
	JSON_BAD_STRING, /* a control character, or an escape that does not exist */
	JSON_BAD_UTF8,
	JSON_BAD_NUMBER,
	JSON_TOO_DEEP,
	JSON_BOM,
	JSON_TRAILING,  /* something follows the top-level value */
	JSON_EMPTY_KEY, /* only where `refuse_empty_keys` is set */
	JSON_STOPPED,   /* json_stop() */
};

enum json_type {
	JSON_NONE, /* no value begins here, or there was an error before */
	JSON_OBJECT,
	JSON_ARRAY,
	JSON_STRING,
	JSON_NUMBER,
	JSON_TRUE,
	JSON_FALSE,
	JSON_NULL,
};

struct json {
	const char *start, *at, *end;
	const char *roomy; /* before it, JSON_ROOM bytes can be read at once */
	enum json_error error;
	unsigned depth;
	bool fresh;             /* a container was just entered: no comma may follow */
	bool was_empty;         /* the container that was left last had no items */
	bool refuse_empty_keys; /* the caller may change it at any time */
	size_t separator;       /* offset of the comma before the last item; 0: it is first */
};

/* A string or key as written in the input; valid as long as the input is. */
struct json_string {
	const char *ptr; /* the raw bytes between the quotes */
	size_t len;
	size_t offset; /* of the opening quote */
	bool plain;    /* no escapes and no bytes above 0x7f: raw and decoded are the same */
};

void json_init(struct json *json, struct view in);

extern const unsigned char json_types[256]; /* enum json_type by a value's first byte */
enum json_type json_peek_slowly(struct json *json);
/* Skips white space and tells the type of the next value by its first byte; does not check it. */
static inline enum json_type json_peek(struct json *json)
{
	/* White space begins no value, and an error may be anywhere. */
	enum json_type type = json->at < json->end && json->error == JSON_OK
				      ? (enum json_type)json_types[(unsigned char)*json->at]
				      : JSON_NONE;

	return type != JSON_NONE ? type : json_peek_slowly(json);
}
/* After json_peek(): where the next value begins. After a value was read, skipped or left: the byte
 * after it. After an error: where it is. */
size_t json_offset(const struct json *json);

/* Enters the next value, which must be an object or array as `type` says; else it is an error. */
bool json_enter(struct json *json, enum json_type type);
/* Goes to the value of the innermost object's next member and returns its key. At the object's end:
 * leaves it and returns false. */
bool json_member(struct json *json, struct json_string *key);

enum {
	JSON_LENGTHS = 32
};

/* Which keys may be one of several names. It knows them by length, and by the sum of the first and the
 * last letter, without case: a bit for each. Of a length, its lowest five bits count. */
struct json_names {
	uint32_t letters[JSON_LENGTHS];
};

/* `len` may be 0 where a byte stands before and behind. */
static inline unsigned json_names_bit(const char *name, size_t len)
{
	return ((unsigned)name[0] + (unsigned)name[(ptrdiff_t)len - 1]) & 31;
}

static inline size_t json_names_length(size_t length)
{
	return length % JSON_LENGTHS;
}
/* `name` is not empty. */
void json_names_add(struct json_names *names, struct view name);
/* Adds all that `more` has. */
void json_names_join(struct json_names *names, const struct json_names *more);
/* False for a key that is none of the names, in any spelling; true for most others as well if it is
 * not plain. The key is one of the text, so an empty one stands between its quotes. */
static inline bool json_names_may_have(const struct json_names *names, struct json_string key)
{
	return !key.plain ||
	       names->letters[json_names_length(key.len)] >> json_names_bit(key.ptr, key.len) & 1;
}
/* Like json_member(), but skips the members that are none of the names. */
bool json_named_member(struct json *json, const struct json_names *names, struct json_string *key);
/* Goes to the array's next element. At the array's end: leaves it and returns false. */
bool json_element(struct json *json);
bool json_read_string(struct json *json, struct json_string *string);
/* Reads a string of exactly so many hexadecimal digits, a multiple of 8, without escapes. False,
 * without having moved, if something else comes next; white space must have been skipped. */
bool json_read_hex(struct json *json, size_t digits, bool *is_zero);
/* Validates and skips one value of any type. */
bool json_skip(struct json *json);
/* True if only white space follows the top-level value. */
bool json_finish(struct json *json);

/* Makes every later call fail: for a caller that found an error of its own. */
void json_stop(struct json *json);
static inline bool json_failed(const struct json *json)
{
	return json->error != JSON_OK;
}

/*
 * Comparing strings. A lone surrogate escape counts as U+FFFD, as Go's decoders read it.
 */

/* Takes the next code point off the front of `rest`; false at its end. */
bool json_next_rune(struct json_string *rest, uint32_t *rune);
/* The same for plain UTF-8, in which a backslash is a character like any other. */
bool json_text_rune(struct view *text, uint32_t *rune);
/* The decoded text of a string, for comparing it with several texts. Plain strings are returned as
 * they are; others are decoded into `out`, and cut where the next character might not fit into
 * `size` bytes. If `size` is 4 more than the longest of those texts, a cut string is longer than
 * each of them. */
struct view json_decode(struct json_string string, char *out, size_t size);
/* True if they are equal after decoding. */
bool json_string_is(struct json_string string, struct view text);

enum json_match {
	JSON_DIFFERENT,
	JSON_ALIKE, /* equal only after decoding escapes and folding as Go's encoding/json does */
	JSON_SAME,  /* the same bytes */
};

/* Folding: ASCII letters without case; in `string`, U+017F as s and U+212A as k. */
enum json_match json_string_match(struct json_string string, struct view name);

#endif
