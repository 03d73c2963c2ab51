/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DESIGN. A URL is read once, from its beginning to its end. Its path, query and fragment follow each
 * other; an authority may stand anywhere, since a URL may be a parameter of another one. A segment is
 * what stands between two & of the query or fragment: a name, =, and a value.
 *
 * A ? or # in a value begins a segment that is nested, for the same reason. If the value goes, so
 * does all that is nested in it. If it stays, only secrets are looked for in there: the operator keeps
 * the value.
 */
#include "base/text.h"
#include "beacon/redact_private.h"

enum {
	POSITION_DIGITS = 7, /* of a line or column */
};

enum part {
	PART_PATH,
	PART_QUERY,
	PART_FRAGMENT
};

struct url {
	const struct redactor *redactor;
	struct redact_text *text;
	enum part part;
	char *authority, *userinfo; /* its begin, and the last @ in it; NULL: none */
	char *fragment;
	char *segment, *name, *equals; /* begins; `equals` is NULL before there is one */
	char *value;                   /* what is behind the = */
	bool goes;                     /* the value */
	bool nested;
	char *address_floor; /* no address begins before it */
};

static void end_authority(struct url *url, char *at)
{
	if (!url->authority)
		return;
	if (url->userinfo && url->redactor->userinfo)
		redact_mark(url->text, url->authority, url->userinfo, MARK_USERINFO);
	url->authority = url->userinfo = NULL;
	url->address_floor = at;
}

static void begin_segment(struct url *url, char *at, bool nested)
{
	url->segment = url->name = at;
	url->equals = NULL;
	url->goes = false;
	url->nested = nested;
}

/* Does the query's parameter go, whatever it is called? */
static bool query_goes(const struct url *url)
{
	return url->redactor->query && url->part == PART_QUERY && !url->nested;
}

static void take_equals(struct url *url, char *at, char *next)
{
	const struct redactor *redactor = url->redactor;

	if (url->part == PART_PATH || url->equals)
		return;
	end_authority(url, at);
	url->equals = at;
	url->value = next;
	url->goes = (query_goes(url) &&
		     !redact_names_have(&redactor->kept, url->text, url->segment, at)) ||
		    (redactor->secrets &&
		     redact_names_have(&redactor->secret, url->text, url->name, at));
}

static void end_segment(struct url *url, char *at)
{
	if (url->part == PART_PATH)
		return;
	if (url->equals && url->goes)
		redact_mark(url->text, url->value, at, MARK_VALUE);
	else if (!url->equals && query_goes(url))
		redact_mark(url->text, url->segment, at, MARK_VALUE);
}

/* A ? or # inside of a query or fragment. */
static void take_nested(struct url *url, char *next)
{
	if (!url->equals)
		url->name = next;
	else if (!url->goes)
		begin_segment(url, next, true);
}

static void take_question(struct url *url, char *next)
{
	if (url->part != PART_PATH) {
		take_nested(url, next);
		return;
	}
	url->part = PART_QUERY;
	begin_segment(url, next, false);
}

static void take_hash(struct url *url, char *at, char *next)
{
	if (url->part == PART_FRAGMENT) {
		take_nested(url, next);
		return;
	}
	end_segment(url, at);
	url->part = PART_FRAGMENT;
	url->fragment = next;
	begin_segment(url, next, false);
}

static void begin_authority(struct url *url, char *at)
{
	url->authority = at;
	url->userinfo = NULL;
}

/* The end of // at `at`, or NULL. */
static char *pass_slashes(const struct redact_text *text, char *at)
{
	for (int i = 0; i < 2; i++) {
		struct redact_char c;

		if (at == text->end)
			return NULL;
		c = redact_char_at(text, at);
		if (c.c != '/')
			return NULL;
		at += c.len;
	}
	return at;
}

/* Returns where to go on. */
static char *take_colon(struct url *url, char *at, char *next)
{
	char *authority = pass_slashes(url->text, next);

	if (!authority)
		return next;
	end_authority(url, at);
	begin_authority(url, authority);
	return authority;
}

static char *take_at_sign(struct url *url, char *at, char *next)
{
	if (url->authority) {
		url->userinfo = at;
		return next;
	}
	if (url->redactor->email)
		next = redact_email(url->text, url->address_floor, at);
	url->address_floor = next;
	return next;
}

static char *take_char(struct url *url, unsigned char c, char *at, char *next)
{
	switch (c) {
	case ':':
		return take_colon(url, at, next);
	case '/':
		end_authority(url, at);
		return next;
	case '?':
		end_authority(url, at);
		take_question(url, next);
		return next;
	case '#':
		end_authority(url, at);
		take_hash(url, at, next);
		return next;
	case '&':
		if (url->part == PART_PATH)
			return next;
		end_authority(url, at);
		end_segment(url, at);
		begin_segment(url, next, false);
		return next;
	case '=':
		take_equals(url, at, next);
		return next;
	case '@':
		return take_at_sign(url, at, next);
	default:
		return next;
	}
}

/* Where a colon and digits begin that end at `end`, or NULL. */
static char *number_before(char *begin, char *end)
{
	char *at = end;

	while (at > begin && is_digit(at[-1]) && end - at <= POSITION_DIGITS)
		at--;
	if (at == end || end - at > POSITION_DIGITS || at == begin || at[-1] != ':')
		return NULL;
	return at - 1;
}

/* The end without :line:col, which a stack frame has behind a URL. */
static char *without_position(char *begin, char *end)
{
	char *column = number_before(begin, end), *line;

	if (!column)
		return end;
	line = number_before(begin, column);
	return line ? line : end;
}

static void end_url(struct url *url, char *begin, char *end, bool bounded)
{
	end_authority(url, end);
	if (bounded)
		end = without_position(begin, end);
	end_segment(url, end);
	if (url->fragment && url->redactor->fragment)
		redact_mark(url->text, url->fragment, end, MARK_VALUE);
}

/* Keyed by its name, a query comes with or without its ?. */
static char *pass_first(const struct redact_text *text, char *at, unsigned char mark)
{
	if (redact_peek(text, at) != mark)
		return at;
	return at + redact_char_at(text, at).len;
}

static char *begin_url(struct url *url, char *at, enum redact_as as)
{
	char *authority;

	if (as == REDACT_AS_QUERY) {
		at = pass_first(url->text, at, '?');
		url->part = PART_QUERY;
	} else if (as == REDACT_AS_FRAGMENT) {
		at = pass_first(url->text, at, '#');
		url->part = PART_FRAGMENT;
		url->fragment = at;
	} else {
		authority = pass_slashes(url->text, at);
		if (authority) {
			begin_authority(url, authority);
			at = authority;
		}
	}
	url->address_floor = at;
	begin_segment(url, at, false);
	return at;
}

static char *read_url(struct url *url, char *at, bool bounded)
{
	struct redact_text *text = url->text;

	while (at < text->end) {
		unsigned means = redact_bytes[(unsigned char)*at];
		struct redact_char c = {(unsigned char)*at, 1};

		/* Fast path: most bytes mean nothing here. */
		if (!(means & BYTE_IN_URL)) {
			at++;
			continue;
		}
		if (!bounded)
			redact_text_go_to(text, at); /* there may be quotes in it */
		if (means & BYTE_ESCAPED)
			c = redact_char_at(text, at);
		if (bounded && (means & BYTE_ENDS_URL) &&
		    redact_ends_url(c.c, redact_peek(text, at + c.len)))
			break;
		at = take_char(url, c.c, at, at + c.len);
	}
	return at;
}

char *redact_url(const struct redactor *redactor, struct redact_text *text, char *at,
		 enum redact_as as, bool bounded)
{
	struct url url = {.redactor = redactor, .text = text, .part = PART_PATH};
	char *begin = at;

	at = read_url(&url, begin_url(&url, at, as), bounded);
	end_url(&url, begin, at, bounded);
	return at;
}

char *redact_url_from(const struct redactor *redactor, struct redact_text *text, char *begin,
		      char *at)
{
	struct url url = {
		.redactor = redactor, .text = text, .part = PART_PATH, .address_floor = at};

	at = read_url(&url, at, true);
	end_url(&url, begin, at, true);
	return at;
}
