/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DESIGN. Whatever is taken away has ?, # or @ before or in it, so a string without them is passed by
 * a loop over 16 bytes at a time. At each of them, the text before it is searched backwards for the
 * beginning of a URL, down to what was searched already. So each byte is read a fixed number of times.
 */
#include "beacon/redact_private.h"

#include <stdlib.h>
#include <strings.h>

#include "base/text.h"
#include "beacon/json_loops.h"

/* What is looked for: parameters with secrets, those of OpenTelemetry's list, which have a case, and
 * others. */
static const struct {
	struct view name;
	bool any_case;
} secret_parameters[] = {
	{VIEW_CONSTANT("X-Amz-Signature"), false},
	{VIEW_CONSTANT("X-Amz-Credential"), false},
	{VIEW_CONSTANT("X-Amz-Security-Token"), false},
	{VIEW_CONSTANT("AWSAccessKeyId"), false},
	{VIEW_CONSTANT("Signature"), false},
	{VIEW_CONSTANT("sig"), false},
	{VIEW_CONSTANT("X-Goog-Signature"), false},
	{VIEW_CONSTANT("access_token"), true},
	{VIEW_CONSTANT("id_token"), true},
	{VIEW_CONSTANT("refresh_token"), true},
	{VIEW_CONSTANT("token"), true},
	{VIEW_CONSTANT("code"), true},
	{VIEW_CONSTANT("state"), true},
	{VIEW_CONSTANT("api_key"), true},
	{VIEW_CONSTANT("apikey"), true},
	{VIEW_CONSTANT("password"), true},
	{VIEW_CONSTANT("secret"), true},
};

/* Values that are a part of a URL by themselves. */
static const struct {
	struct view key;
	enum redact_as as;
} keys[] = {
	{VIEW_CONSTANT("url.query"), REDACT_AS_QUERY},
	{VIEW_CONSTANT("url.fragment"), REDACT_AS_FRAGMENT},
	{VIEW_CONSTANT("http.target"), REDACT_AS_TARGET},
};

/* Their content is no address of anything. */
static const struct view left_schemes[] = {VIEW_CONSTANT("data"), VIEW_CONSTANT("blob")};

enum {
	LONGEST_LEFT_SCHEME = 4
};

static const struct view written[] = {
	[MARK_VALUE] = VIEW_CONSTANT(REDACTED),
	[MARK_MORE] = VIEW_CONSTANT(""),
	[MARK_USERINFO] = VIEW_CONSTANT(REDACTED ":" REDACTED),
};

/* ---- marks ---- */

void redact_mark(struct redact_text *text, char *from, char *to, enum redact_mark mark)
{
	if (from >= to || view_equals((struct view){from, (size_t)(to - from)}, written[mark]))
		return;
	memset(from, MARK_MORE, (size_t)(to - from));
	*from = (char)mark;
	text->marks++;
}

static ALWAYS_INLINE lanes_bits marks_in(const char *at)
{
	lanes bytes = lanes_load(at);

	return lanes_mask(lanes_below(bytes, MARK_USERINFO + 1) & lanes_above(bytes, 0));
}

/* The first marked byte, or the end. No text of JSON has bytes below a tab. */
static const char *find_mark(const char *at, const char *end)
{
	FIND(at, end, marks_in, (unsigned char)*at <= MARK_USERINFO);
}

/* The same for a piece of the beacon; passes over strings without marks. */
static const char *next_mark(struct redact_marks *marks, const char *at, const char *end)
{
	for (; marks->next < marks->count; marks->next++) {
		struct view string = marks->strings[marks->next];
		const char *from = string.ptr > at ? string.ptr : at;
		const char *string_end = string.ptr + string.len;
		const char *to = string_end < end ? string_end : end;
		const char *mark = from < to ? find_mark(from, to) : to;

		if (mark < to)
			return mark;
		if (string_end > end)
			break;
	}
	return end;
}

static const char *pass_marked(const char *at, const char *end)
{
	do
		at++;
	while (at < end && *at == MARK_MORE);
	return at;
}

void redact_rewind(struct redact_marks *marks)
{
	marks->next = 0;
}

size_t redact_size(struct redact_marks *marks, struct view piece, size_t *count)
{
	const char *at = piece.ptr, *end = at + piece.len, *mark;
	size_t size = 0;

	while ((mark = next_mark(marks, at, end)) < end) {
		size += (size_t)(mark - at) + written[(unsigned char)*mark].len;
		at = pass_marked(mark, end);
		(*count)++;
	}
	return size + (size_t)(end - at);
}

static char *copy(char *out, const char *bytes, size_t n)
{
	if (n > 0)
		memcpy(out, bytes, n);
	return out + n;
}

char *redact_write(struct redact_marks *marks, struct view piece, char *out)
{
	const char *at = piece.ptr, *end = at + piece.len, *mark;

	while ((mark = next_mark(marks, at, end)) < end) {
		struct view text = written[(unsigned char)*mark];

		out = copy(out, at, (size_t)(mark - at));
		out = copy(out, text.ptr, text.len);
		at = pass_marked(mark, end);
	}
	return copy(out, at, (size_t)(end - at));
}

/* ---- names ---- */

static bool add_name(struct redactor *redactor, struct redact_names *names, struct view text,
		     bool any_case)
{
	struct redact_name *name = arena_alloc(&redactor->storage, sizeof(*name));

	if (!name)
		return false;
	*name = (struct redact_name){text, any_case, names->by_length[text.len]};
	names->by_length[text.len] = name;
	return true;
}

/* The text decoded into `out`; longer than any name where it does not fit. What is escaped and is not
 * ASCII is equal to nothing. */
static size_t decode_name(const struct redact_text *text, const char *from, const char *to,
			  char *out, size_t size)
{
	size_t n = 0;

	while (from < to && n < size) {
		struct redact_char c = redact_char_at(text, from);

		out[n++] = (char)(c.len == 1 ? *from : c.c);
		from += c.len;
	}
	return n;
}

bool redact_names_have(const struct redact_names *names, const struct redact_text *text,
		       const char *from, const char *to)
{
	char decoded[PRIVACY_TEXT_MAX_BYTES + 1];
	struct view name = {from, (size_t)(to - from)};
	const struct redact_name *one;

	if (!text->plain && memchr(from, '\\', name.len))
		name = (struct view){decoded,
				     decode_name(text, from, to, decoded, sizeof(decoded))};
	if (name.len > PRIVACY_TEXT_MAX_BYTES)
		return false;
	for (one = names->by_length[name.len]; one; one = one->next)
		if (one->any_case ? view_equals_nocase(name, one->text)
				  : view_equals(name, one->text))
			return true;
	return false;
}

/* ---- strings ---- */

static bool begins_path(unsigned char before)
{
	return before == ' ' || before == '"' || before == '\'' || before == '`' || before == '(' ||
	       before == '=';
}

static bool is_of_scheme(unsigned char c)
{
	return c != CHAR_OTHER && (redact_is_word(c) || c == '+' || c == '-' || c == '.');
}

/* Is what ends at the colon `at` a scheme that is left as it is? */
static bool is_left_scheme(const struct redact_text *text, const char *at)
{
	char scheme[LONGEST_LEFT_SCHEME + 1];
	size_t n = sizeof(scheme);

	while (n > 0 && at > text->start) {
		struct redact_char before = redact_char_before(text, at);

		if (!is_of_scheme(before.c))
			break;
		scheme[--n] = (char)before.c;
		at -= before.len;
	}
	for (size_t i = 0; i < ARRAY_LEN(left_schemes); i++)
		if (view_equals_nocase((struct view){scheme + n, sizeof(scheme) - n},
				       left_schemes[i]))
			return true;
	return false;
}

struct found {
	char *url; /* its colon before //, or the slash that it begins with; NULL: there is none */
	bool left; /* it is data: or blob: */
};

/* A colon, with a slash and another one to its right. */
static bool begins_authority(const struct redact_text *text, const char *colon)
{
	return colon > text->start && is_of_scheme(redact_char_before(text, colon).c);
}

/* Fast path: passes over bytes that mean nothing to find_url(), but for the last one of them. */
static char *pass_back(const struct redact_text *text, char *floor, char *at, unsigned char *right)
{
	if (!text->plain || *right == '/')
		return at;
	while (at > floor && !(redact_bytes[(unsigned char)at[-1]] & BYTE_BEFORE_URL))
		at--;
	*right = redact_char_at(text, at).c;
	return at;
}

/* What may end a URL, but for \, which is an escape of something. */
static ALWAYS_INLINE lanes_bits url_ends_in(const char *at)
{
	lanes bytes = lanes_load(at);
	lanes quotes = lanes_equal(bytes, '"') | lanes_equal(bytes, '\'') | lanes_equal(bytes, '`');
	lanes others = lanes_equal(bytes, '<') | lanes_equal(bytes, '>') | lanes_equal(bytes, ')') |
		       lanes_equal(bytes, ' ');

	return lanes_mask(quotes | others | lanes_equal(bytes, '\\') |
			  (lanes_below(bytes, ' ') & lanes_above(bytes, 0)));
}

static const char *find_url_end(const char *at, const char *end)
{
	FIND(at, end, url_ends_in, redact_bytes[(unsigned char)*at] & BYTE_ENDS_URL);
}

/* Fast path: most URLs are a whole string. The colon of the one that `text` begins with, if nothing ends
 * it before `at`; or NULL. */
static char *find_url_at_start(const struct redact_text *text, char *at)
{
	struct view left = {text->start, (size_t)(at - text->start)};
	char *colon = text->start + 4;

	if (!view_starts_with(left, VIEW_LITERAL("http:")) &&
	    !view_starts_with(left, VIEW_LITERAL("https:")))
		return NULL;
	if (*colon == 's')
		colon++;
	if (at - colon < 3 || colon[1] != '/' || colon[2] != '/')
		return NULL;
	return find_url_end(colon, at) == at ? colon : NULL;
}

/* The leftmost URL that begins between `floor` and `at`, and has not ended before `at`. */
static struct found find_url(const struct redact_text *text, char *floor, char *at)
{
	struct found found = {floor == text->start ? find_url_at_start(text, at) : NULL, false};
	unsigned char right, right2 = 0;

	if (found.url)
		return found;
	right = redact_char_at(text, at).c;
	for (;;) {
		struct redact_char before = {' ', 0}; /* at the string's start */

		at = pass_back(text, floor, at, &right);
		if (at > text->start)
			before = redact_char_before(text, at);
		if (right == '/' && begins_path(before.c))
			found = (struct found){at, false};
		if (at == floor || redact_ends_url(before.c, right))
			return found;
		at -= before.len;
		if (before.c == ':' && is_left_scheme(text, at))
			found = (struct found){at, true};
		else if (before.c == ':' && right == '/' && right2 == '/' &&
			 begins_authority(text, at))
			found = (struct found){at, false};
		right2 = right;
		right = before.c;
	}
}

static char *url_end(const struct redact_text *text, char *at)
{
	while (at < text->end) {
		struct redact_char c = redact_char_at(text, at);

		if (redact_ends_url(c.c, redact_peek(text, at + c.len)))
			break;
		at += c.len;
	}
	return at;
}

bool redact_matters(const struct redactor *redactor, unsigned char c)
{
	switch (c) {
	case '?':
		return redactor->secrets || redactor->query;
	case '#':
		return redactor->secrets || redactor->fragment;
	case '@':
		return redactor->userinfo || redactor->email;
	default:
		return false;
	}
}

/* At one of those characters. Returns its end, or that of what it belongs to. */
static char *redact_around(const struct redactor *redactor, struct redact_text *text, char *floor,
			   char *at, struct redact_char c)
{
	struct found found = find_url(text, floor, at);

	if (found.url && found.left)
		return url_end(text, found.url);
	if (found.url)
		return redact_url(redactor, text, found.url, REDACT_AS_TEXT, true);
	if (c.c == '@' && redactor->email)
		return redact_email(text, floor, at);
	return at + c.len;
}

/* Fast path: a URL that is the whole string needs to be read only from its first ? or # on. `at` is the
 * first character that matters; where only one of the two does, the other may stand before it. Returns
 * the URL's end, or NULL where it has to be read from the beginning. */
static char *redact_from_first(const struct redactor *redactor, struct redact_text *text, char *at,
			       struct redact_char c)
{
	char *url = NULL;

	if (c.c != '@' && redact_matters(redactor, '?') && redact_matters(redactor, '#'))
		url = find_url_at_start(text, at);
	return url ? redact_url_from(redactor, text, url, at) : NULL;
}

static void redact_text(const struct redactor *redactor, struct redact_text *text, char *at)
{
	char *floor = text->start, *first = at;

	while ((at += redact_find(at, text->end) - at) < text->end) {
		struct redact_char c;
		char *behind = NULL;

		/* Of an escape's backslashes, the last one was found. */
		while (*at == '\\' && at > floor && at[-1] == '\\')
			at--;
		c = redact_char_at(text, at);
		if (!redact_matters(redactor, c.c)) {
			at += c.len;
			continue;
		}
		redact_text_go_to(text, at);
		if (at == first)
			behind = redact_from_first(redactor, text, at, c);
		if (!behind)
			behind = redact_around(redactor, text, floor, at, c);
		floor = at = behind;
	}
}

size_t redact_string(const struct redactor *redactor, struct json_string string, enum redact_as as,
		     const char *first)
{
	char *bytes = (char *)(uintptr_t)string.ptr;
	struct redact_text text = {.start = bytes,
				   .end = bytes + string.len,
				   .plain = string.plain,
				   .quotes_at = bytes};

	if (as == REDACT_AS_TEXT)
		redact_text(redactor, &text, bytes + (first - string.ptr));
	else
		redact_url(redactor, &text, bytes, as, false);
	return text.marks;
}

enum redact_as redact_as_of(struct json_string key)
{
	for (size_t i = 0; i < ARRAY_LEN(keys); i++)
		if ((!key.plain || key.len == keys[i].key.len) && json_string_is(key, keys[i].key))
			return keys[i].as;
	return REDACT_AS_TEXT;
}

/* ---- settings ---- */

static bool add_names(struct redactor *redactor, const struct privacy *privacy)
{
	bool added = true;

	for (size_t i = 0; i < ARRAY_LEN(secret_parameters); i++)
		added = added && add_name(redactor, &redactor->secret, secret_parameters[i].name,
					  secret_parameters[i].any_case);
	for (size_t i = 0; i < privacy->redact_params.count; i++)
		added = added && add_name(redactor, &redactor->secret,
					  privacy->redact_params.items[i], true);
	for (size_t i = 0; i < privacy->redact_keep.count; i++)
		added = added &&
			add_name(redactor, &redactor->kept, privacy->redact_keep.items[i], false);
	return added;
}

struct redactor *redactor_new(const struct privacy *privacy)
{
	struct redactor *redactor = calloc(1, sizeof(*redactor));

	if (!redactor)
		return NULL;
	for (size_t i = 0; i < privacy->redact.count; i++) {
#define PRIVACY_REDACT(word) \
	redactor->word =     \
		redactor->word || view_equals(privacy->redact.items[i], VIEW_LITERAL(#word));
		PRIVACY_REDACT_WORDS
#undef PRIVACY_REDACT
	}
	if (!add_names(redactor, privacy)) {
		redactor_free(redactor);
		return NULL;
	}
	return redactor;
}

void redactor_free(struct redactor *redactor)
{
	if (!redactor)
		return;
	arena_release(&redactor->storage);
	free(redactor);
}
