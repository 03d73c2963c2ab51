/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DESIGN. The body was found to be valid JSON. So whatever is found in it stands in a string, whose
 * quotes are the nearest ones that are not escaped, and a string before a colon is a key. Strings in
 * which nothing is found are never looked at.
 *
 * The value of a key such as "url.query" is a query without anything that would be found. Those keys
 * are found by their dot and the letter behind it. In OTLP they are values themselves, and what they
 * are the key of follows: {"key":"url.query","value":{"stringValue":"a=b"}}.
 */
#include "base/text.h"
#include "beacon/json_loops.h"
#include "beacon/redact_private.h"

struct body {
	const struct redactor *redactor;
	const char *start, *end;
	const char *done; /* nothing before it is looked at any more */
	const struct view *spared;
	size_t spared_count;
	struct redact_marks *marks;
	size_t count; /* of marks */
};

static bool is_escaped(const char *floor, const char *at)
{
	const char *from = at;

	while (from > floor && from[-1] == '\\')
		from--;
	return (at - from) % 2 == 1;
}

/* NULL where there is none. */
static const char *opening_quote(const struct body *body, const char *at)
{
	do
		at = memrchr(body->done, '"', (size_t)(at - body->done));
	while (at && is_escaped(body->done, at));
	return at;
}

/* The quote that closes the string whose bytes begin at `from`; NULL where there is none. */
static const char *closing_quote(const struct body *body, const char *from)
{
	const char *at = from - 1;

	do
		at = memchr(at + 1, '"', (size_t)(body->end - at - 1));
	while (at && is_escaped(from, at));
	return at;
}

static struct json_string string_between(const char *from, const char *to)
{
	struct json_string string = {.ptr = from, .len = (size_t)(to - from)};

	string.plain = !memchr(from, '\\', string.len);
	return string;
}

/* The string that `at` is in. False where there is none, as in what is no valid JSON. */
static bool string_around(const struct body *body, const char *at, struct json_string *string)
{
	const char *open = opening_quote(body, at), *close;

	if (!open)
		return false;
	close = closing_quote(body, open + 1);
	if (!close)
		return false;
	*string = string_between(open + 1, close);
	return true;
}

static const char *pass_space(const struct body *body, const char *at)
{
	while (at < body->end && is_space(*at))
		at++;
	return at;
}

/* Behind the token that `text` is, with white space before it; NULL if another one is next. */
static const char *pass_token(const struct body *body, const char *at, struct view text)
{
	if (at)
		at = pass_space(body, at);
	if (!at || !view_starts_with((struct view){at, (size_t)(body->end - at)}, text))
		return NULL;
	return at + text.len;
}

/* Is it the value of the member "key"? */
static bool is_pair_key(const struct body *body, struct json_string string)
{
	static const struct view key = VIEW_CONSTANT("\"key\"");
	const char *at = string.ptr - 1;

	while (at > body->start && is_space(at[-1]))
		at--;
	if (at == body->start || at[-1] != ':')
		return false;
	for (at--; at > body->start && is_space(at[-1]);)
		at--;
	return (size_t)(at - body->start) >= key.len && memcmp(at - key.len, key.ptr, key.len) == 0;
}

/* From behind a pair's key to behind the quote that opens its value's string, or NULL. */
static const char *pass_to_pair_value(const struct body *body, const char *at)
{
	const char *value;

	at = pass_token(body, at, VIEW_LITERAL(","));
	at = pass_token(body, at, VIEW_LITERAL("\"value\""));
	at = pass_token(body, at, VIEW_LITERAL(":"));
	at = pass_token(body, at, VIEW_LITERAL("{"));
	value = pass_token(body, at, VIEW_LITERAL("\"stringValue\""));
	if (!value)
		value = pass_token(body, at, VIEW_LITERAL("\"string_value\""));
	value = pass_token(body, value, VIEW_LITERAL(":"));
	return pass_token(body, value, VIEW_LITERAL("\""));
}

static void add_string(struct redact_marks *marks, struct json_string string)
{
	struct view *last = &marks->strings[REDACT_STRINGS_MAX - 1];

	if (marks->count < REDACT_STRINGS_MAX)
		marks->strings[marks->count++] = (struct view){string.ptr, string.len};
	else
		last->len = (size_t)(string.ptr + string.len - last->ptr);
}

static void redact(struct body *body, struct json_string string, enum redact_as as,
		   const char *first)
{
	size_t count = redact_string(body->redactor, string, as, first);

	body->count += count;
	if (count > 0)
		add_string(body->marks, string);
}

/* A string that is a key. `value` is behind the quote that opens its value, NULL if that is no
 * string, and may have to be read in another way than as text. */
static void look_at_key(struct body *body, struct json_string key, const char *value)
{
	enum redact_as as = value ? redact_as_of(key) : REDACT_AS_TEXT;
	const char *close;

	if (as == REDACT_AS_TEXT)
		return;
	close = closing_quote(body, value);
	if (!close)
		return;
	redact(body, string_between(value, close), as, value);
	body->done = close + 1;
}

static bool is_spared(struct body *body, const char *at)
{
	for (; body->spared_count > 0; body->spared++, body->spared_count--)
		if (at < body->spared->ptr + body->spared->len)
			return at >= body->spared->ptr;
	return false;
}

/* Something was found at `at`. */
static void look_at_string(struct body *body, const char *at)
{
	const char *behind, *value;
	struct json_string string;

	if (!string_around(body, at, &string)) {
		body->done = at + 1;
		return;
	}
	behind = string.ptr + string.len + 1;
	body->done = behind;
	value = pass_token(body, behind, VIEW_LITERAL(":"));
	if (value)
		look_at_key(body, string, pass_token(body, value, VIEW_LITERAL("\"")));
	else if (is_pair_key(body, string))
		look_at_key(body, string, pass_to_pair_value(body, behind));
	else if (!is_spared(body, string.ptr))
		redact(body, string, REDACT_AS_TEXT, at);
}

/* Fast path: most of what is found is of no use. */
static bool is_of_use(const struct body *body, const char *at)
{
	size_t left = (size_t)(body->end - at);

	if (*at == '.')
		return left > 10 &&
		       (memcmp(at, ".query\"", 7) == 0 || memcmp(at, ".fragment\"", 10) == 0 ||
			memcmp(at, ".target\"", 8) == 0);
	if (*at == '\\')
		return left > 1 && at[1] == 'u';
	return redact_matters(body->redactor, (unsigned char)*at);
}

size_t redact_body(const struct redactor *redactor, struct view text, const struct view *spared,
		   size_t spared_count, struct redact_marks *marks)
{
	struct body body = {.redactor = redactor,
			    .start = text.ptr,
			    .end = text.ptr + text.len,
			    .done = text.ptr,
			    .spared = spared,
			    .spared_count = spared_count,
			    .marks = marks};
	const char *at = body.start;

	marks->count = marks->next = 0;
	while ((at = redact_find(at, body.end)) < body.end) {
		if (is_of_use(&body, at)) {
			look_at_string(&body, at);
			at = body.done;
		} else {
			at++;
		}
	}
	return body.count;
}
