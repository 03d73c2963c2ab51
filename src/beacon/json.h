/*
 * json: a strict RFC 8259 scanner: one pass, no tree, no allocation, byte offsets.
 *
 * A cursor over somebody else's bytes. The caller walks down the objects and arrays that it cares
 * for and lets json_skip() validate the rest at the speed of the wide loops:
 *
 *	json_init(&json, in);
 *	if (json_enter(&json, JSON_OBJECT))
 *		while (json_member(&json, &key))
 *			json_skip(&json);
 *	ok = json_finish(&json);
 *
 * The whole text is checked: syntax, UTF-8 (no overlong form, no surrogate, nothing above
 * U+10FFFF), at most JSON_MAX_DEPTH levels, one top-level value and nothing but white space after
 * it. A lone surrogate written as an escape is legal and passes. The first error sticks: every
 * later call returns false, so loops end by themselves and one look at json_failed() is enough.
 * Each value must be consumed (entered, read or skipped) before the next member or element is
 * asked for.
 */
#ifndef FARO_BEACON_JSON_H
#define FARO_BEACON_JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"

enum {
	JSON_MAX_DEPTH = 64
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
	JSON_TRAILING,  /* something after the top-level value */
	JSON_EMPTY_KEY, /* only where `refuse_empty_keys` is set */
	JSON_STOPPED,   /* json_stop() */
};

enum json_type {
	JSON_NONE, /* no value begins here, or an error has stuck */
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
	enum json_error error;
	unsigned depth;
	bool fresh;             /* a container was just entered: no comma is due */
	bool refuse_empty_keys; /* may be switched by the caller at any time */
	size_t separator;       /* offset of the comma that was passed last */
};

/* A string or key as it stands in the input; valid as long as the input is. */
struct json_string {
	const char *ptr; /* the raw bytes between the quotes */
	size_t len;
	size_t offset; /* of the opening quote */
	bool plain;    /* neither escapes nor bytes above 0x7f: raw and decoded are the same */
};

void json_init(struct json *json, struct view in);

/* What comes next, white space skipped. Looks at one byte; the value itself is not checked yet. */
enum json_type json_peek(struct json *json);
/* Where the next value begins once json_peek() was called; where the last one ended after it was
 * consumed (for an entered container: one behind its closing bracket); or where the error is. */
size_t json_offset(const struct json *json);

/* Steps into the object or array that comes next. False when it is something else (an error). */
bool json_enter(struct json *json, enum json_type type);
/* The next member's key of the innermost object, with the cursor at its value; false, having left
 * the object, at its end. */
bool json_member(struct json *json, struct json_string *key);
/* The same for an array: true with the cursor at an element. */
bool json_element(struct json *json);
bool json_read_string(struct json *json, struct json_string *string);
/* Validates and passes one value of any type, however deep. */
bool json_skip(struct json *json);
/* True when the top-level value was consumed and only white space is left. */
bool json_finish(struct json *json);

/* Makes every later call fail; for a caller that found an error of its own. */
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
/* The same for valid UTF-8 that is no JSON: nothing in it is an escape. */
bool json_text_rune(struct view *text, uint32_t *rune);
/* The text of a string that is compared with many: the raw bytes where they are plain, else decoded
 * into `out`, up to a character that might no longer fit its `size` bytes. With 4 more than the
 * longest of those texts, one that was cut is still longer than each. */
struct view json_decode(struct json_string string, char *out, size_t size);
/* Equal after decoding. */
bool json_string_is(struct json_string string, struct view text);

enum json_match {
	JSON_DIFFERENT,
	JSON_ALIKE, /* equal only after decoding escapes and folding as Go's encoding/json does */
	JSON_SAME,  /* the same bytes */
};

/* `name` is ASCII. Folding: ASCII letters without case, U+017F as s, U+212A as k. */
enum json_match json_string_match(struct json_string string, struct view name);

#endif
