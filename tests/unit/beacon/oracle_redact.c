/* SPDX-License-Identifier: Apache-2.0 */
#include "beacon/oracle_redact.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

enum {
	NOT_ASCII = 0x80
};

/* A character: what it is, and its bytes in the string. */
struct letter {
	int c;
	size_t from, to;
};

struct range {
	size_t from, to; /* letters */
	const char *text;
};

struct text {
	const struct oracle_redact *how;
	struct view raw;
	struct letter letters[ORACLE_REDACT_MAX + 1];
	size_t count;
	struct range ranges[ORACLE_REDACT_MAX];
	size_t range_count;
};

static struct text text;

/* ---- decoding ---- */

static int hex_at(size_t at)
{
	char four[5] = {0};
	unsigned value;

	if (text.raw.len - at < 4)
		return -1;
	memcpy(four, text.raw.ptr + at, 4);
	if (strspn(four, "0123456789abcdefABCDEF") != 4)
		return -1;
	sscanf(four, "%x", &value);
	return (int)value;
}

static void add(int c, size_t from, size_t to)
{
	if (c > 0x7f)
		c = NOT_ASCII;
	else if (c <= ' ')
		c = ' ';
	text.letters[text.count++] = (struct letter){c, from, to};
}

static void decode(void)
{
	size_t quote_run = 0;

	for (size_t i = 0; i < text.raw.len;) {
		size_t run = 0, at;
		char c;

		while (i + run < text.raw.len && text.raw.ptr[i + run] == '\\')
			run++;
		at = i + run;
		c = at < text.raw.len ? text.raw.ptr[at] : 0;
		if (run == 0) {
			add((unsigned char)c, i, i + 1);
			i++;
		} else if (c == 'u' && hex_at(at + 1) >= 0) {
			add(hex_at(at + 1), i, at + 5);
			i = at + 5;
		} else if (c == '"' || c == '/') {
			if (c == '"')
				quote_run = run;
			add(c, i, at + 1);
			i = at + 1;
		} else if (c && strchr("nrtbf", c) && (run % 2 == 1 || run == quote_run + 1)) {
			add(' ', i, at + 1);
			i = at + 1;
		} else {
			add('\\', i, at);
			i = at;
		}
	}
}

static int at(size_t i)
{
	return i < text.count ? text.letters[i].c : 0;
}

static bool is_word(int c)
{
	return c == NOT_ASCII || (c > 0 && isalnum(c));
}

/* ---- what goes ---- */

static bool is_already(size_t from, size_t to, const char *with)
{
	size_t begin = text.letters[from].from, end = text.letters[to - 1].to;

	return end - begin == strlen(with) && memcmp(text.raw.ptr + begin, with, end - begin) == 0;
}

static void take(size_t from, size_t to, const char *with)
{
	if (from < to && !is_already(from, to, with))
		text.ranges[text.range_count++] = (struct range){from, to, with};
}

static bool is_inside(const struct range *a, const struct range *b)
{
	return a != b && a->from >= b->from && a->to <= b->to;
}

static size_t write_out(char *out)
{
	size_t n = 0;

	for (size_t i = 0; i < text.count;) {
		const struct range *widest = NULL;

		for (size_t j = 0; j < text.range_count; j++)
			if (text.ranges[j].from == i &&
			    (!widest || is_inside(widest, &text.ranges[j])))
				widest = &text.ranges[j];
		if (widest) {
			n += (size_t)sprintf(out + n, "%s", widest->text);
			i = widest->to;
			continue;
		}
		memcpy(out + n, text.raw.ptr + text.letters[i].from,
		       text.letters[i].to - text.letters[i].from);
		n += text.letters[i].to - text.letters[i].from;
		i++;
	}
	return n;
}

/* ---- addresses ---- */

static const char file_endings[] =
	" png jpg jpeg gif svg webp avif ico bmp css scss less js mjs cjs ts jsx tsx map json html htm "
	"xml txt pdf csv yaml yml wasm vue woff woff2 ttf otf eot mp3 mp4 webm ogg gz tgz php svelte ";

static bool is_letter(int c)
{
	return is_word(c) && !(c < 0x80 && isdigit(c));
}

static bool is_local(size_t i)
{
	int c = at(i);

	return is_word(c) || (c && strchr("._-+%", c)) || (c == '\'' && is_word(at(i + 1)));
}

/* The end of a domain that begins at i, or 0. */
static size_t domain_end(size_t i)
{
	size_t label = i, end = i, dots = 0, versions = 0;
	char ending[64] = " ", *to = ending + 1;

	if (!is_word(at(i)))
		return 0;
	for (;; i++) {
		if (is_word(at(i))) {
			end = i + 1;
		} else if (at(i) == '.' && is_word(at(i + 1))) {
			size_t digits = label;

			while (digits < i && isdigit(at(digits)))
				digits++;
			if (digits == i && versions == dots)
				versions++;
			dots++;
			label = i + 1;
		} else if (at(i) != '-') {
			break;
		}
	}
	if (dots == 0 || versions >= 2 || !is_letter(at(label)))
		return 0;
	i = end - 1;
	if (at(i) != NOT_ASCII) {
		if (!is_letter(at(i)))
			return 0;
		for (i--; i > label && at(i) == '-';)
			i--;
		if (i < label || !is_letter(at(i)))
			return 0;
	}
	for (i = label; i < end && to < ending + 60; i++)
		*to++ = (char)(at(i) == NOT_ASCII ? '?' : tolower(at(i)));
	strcpy(to, " ");
	return strstr(file_endings, ending) ? 0 : end;
}

/* Takes the address around the @ at i; returns where to go on. */
static size_t take_address(size_t floor, size_t i)
{
	size_t from = i, begin = i, end = domain_end(i + 1), more;

	while (from > floor && is_local(from - 1) && !(from == i && at(from - 1) == '.')) {
		from--;
		if (is_word(at(from)))
			begin = from;
	}
	if (begin == i || !end)
		return i + 1;
	for (;;) {
		for (more = end; is_local(more); more++)
			;
		if (at(more) != '@' || (more > end && at(more - 1) == '.') || !domain_end(more + 1))
			break;
		end = domain_end(more + 1);
	}
	take(begin, end, "REDACTED");
	for (from = begin; from < end; from++)
		text.letters[from].c = 'D'; /* as the result will have it */
	return end;
}

/* ---- URLs ---- */

static bool has_name(size_t from, size_t to, const char *name, bool any_case)
{
	size_t len = strlen(name);

	if (to - from != len)
		return false;
	for (size_t i = 0; i < len; i++) {
		int a = at(from + i), b = (unsigned char)name[i];

		if (any_case ? tolower(a) != tolower(b) : a != b)
			return false;
	}
	return true;
}

static bool is_secret(size_t from, size_t to)
{
	static const char *const exact[] = {"X-Amz-Signature",
					    "X-Amz-Credential",
					    "X-Amz-Security-Token",
					    "AWSAccessKeyId",
					    "Signature",
					    "sig",
					    "X-Goog-Signature",
					    NULL};
	static const char *const any[] = {
		"access_token", "id_token", "refresh_token", "token",  "code", "state",
		"api_key",      "apikey",   "password",      "secret", NULL};

	for (size_t i = 0; exact[i]; i++)
		if (has_name(from, to, exact[i], false))
			return true;
	for (size_t i = 0; any[i]; i++)
		if (has_name(from, to, any[i], true))
			return true;
	for (size_t i = 0; text.how->secret[i]; i++)
		if (has_name(from, to, text.how->secret[i], true))
			return true;
	return false;
}

static bool is_kept(size_t from, size_t to)
{
	for (size_t i = 0; text.how->kept[i]; i++)
		if (has_name(from, to, text.how->kept[i], false))
			return true;
	return false;
}

static size_t find(size_t from, size_t to, const char *set)
{
	while (from < to && !(at(from) < 0x80 && strchr(set, at(from))))
		from++;
	return from;
}

/* One parameter, and those nested in its value. `outer`: FARO_REDACT=query speaks of it. */
static void take_parameter(size_t from, size_t to, bool outer)
{
	size_t equals = find(from, to, "="), name = from, nested;

	if (equals == to) {
		if (outer)
			take(from, to, "REDACTED");
		return;
	}
	for (size_t i = from; i < equals; i++)
		if (at(i) == '?' || at(i) == '#')
			name = i + 1;
	if ((outer && !is_kept(from, equals)) || (text.how->secrets && is_secret(name, equals))) {
		take(equals + 1, to, "REDACTED");
		return;
	}
	nested = find(equals + 1, to, "?#");
	if (nested < to)
		take_parameter(nested + 1, to, false);
}

static void take_parameters(size_t from, size_t to, bool outer)
{
	while (from <= to) {
		size_t end = find(from, to, "&");

		take_parameter(from, end, outer);
		from = end + 1;
	}
}

static bool is_scheme_end(size_t i)
{
	return at(i) == ':' && at(i + 1) == '/' && at(i + 2) == '/';
}

/* Is there no = yet in the parameter that i is in? */
static bool is_in_name(size_t i, size_t parameters)
{
	for (; i > parameters && !(at(i - 1) < 0x80 && strchr("&?#", at(i - 1))); i--)
		if (at(i - 1) == '=')
			return false;
	return true;
}

/* Where the authority that begins at i ends. */
static size_t authority_end(size_t i, size_t to, size_t parameters)
{
	bool in_name = is_in_name(i, parameters);

	for (; i < to; i++)
		if (at(i) == '/' || at(i) == '?' || at(i) == '#' ||
		    (is_scheme_end(i) && i + 2 < to) ||
		    (i >= parameters && (at(i) == '&' || (at(i) == '=' && in_name))))
			break;
	return i;
}

/* Credentials and addresses from `from` on. Without the position, `to` is the end. */
static void take_names(size_t from, size_t to, size_t parameters)
{
	size_t floor = from;
	bool in_authority = at(from) == '/' && at(from + 1) == '/' && text.how->as != 'q' &&
			    text.how->as != 'f';

	for (size_t i = from; i < to;) {
		size_t end, last = 0;

		if (is_scheme_end(i) && i + 2 < to) {
			i += 3;
			in_authority = true;
		} else if (in_authority && i == from) {
			i += 2;
		}
		if (in_authority) {
			end = authority_end(i, to, parameters);
			for (size_t j = i; j < end; j++)
				if (at(j) == '@')
					last = j;
			if (last > 0 && text.how->userinfo)
				take(i, last, "REDACTED:REDACTED");
			i = floor = end;
			in_authority = false;
		} else if (at(i) == '@') {
			i = text.how->email ? take_address(floor, i) : i + 1;
			floor = i;
		} else {
			i++;
		}
	}
}

/* Without the :line:col at its end. */
static size_t without_position(size_t from, size_t to)
{
	size_t end = to;

	for (int i = 0; i < 2; i++) {
		size_t digits = 0;

		while (end > from && at(end - 1) < 0x80 && isdigit(at(end - 1)) &&
		       text.letters[end - 1].to - text.letters[end - 1].from == 1) {
			end--;
			digits++;
		}
		if (digits < 1 || digits > 7 || end == from || at(end - 1) != ':' ||
		    text.letters[end - 1].to - text.letters[end - 1].from != 1)
			return to;
		end--;
	}
	return end;
}

static void take_url(size_t from, size_t to, bool bounded)
{
	size_t begin = from, hash, question, end;
	char as = text.how->as;

	if (as == 'q' && at(from) == '?')
		from++;
	if (as == 'f' && at(from) == '#')
		from++;
	hash = as == 'f' ? from : find(from, to, "#");
	question = as == 'q' ? from : find(from, hash, "?");
	take_names(from, to, as == 't' || as == 'p' ? (question < hash ? question : hash) : from);
	end = bounded ? without_position(begin, to) : to;
	if (as == 'q')
		take_parameters(from, hash < end ? hash : end, text.how->query);
	else if (question < hash)
		take_parameters(question + 1, hash < end ? hash : end, text.how->query);
	if (as != 'f' && hash == to)
		return;
	if (as != 'f')
		hash++;
	take_parameters(hash, end, false);
	if (text.how->fragment)
		take(hash, end, "REDACTED");
}

static bool ends_url(size_t i)
{
	int c = at(i), next = at(i + 1);

	if (strchr("'`)", c))
		return !(is_word(next) || (next && strchr("/?&=%#", next)));
	return c == ' ' || c == '"' || c == '<' || c == '>';
}

static bool is_scheme_letter(int c)
{
	return c != NOT_ASCII && (is_word(c) || c == '+' || c == '-' || c == '.');
}

static bool has_left_scheme(size_t colon)
{
	size_t from = colon;

	while (from > 0 && colon - from < 5 && is_scheme_letter(at(from - 1)))
		from--;
	return has_name(from, colon, "data", true) || has_name(from, colon, "blob", true);
}

static void take_text(void)
{
	size_t floor = 0;

	for (size_t i = 0; i < text.count;) {
		bool begins_path = at(i) == '/' && (i == 0 || strchr(" \"'`(=", at(i - 1)));
		bool left = at(i) == ':' && has_left_scheme(i);
		size_t end = i;

		if (begins_path || left ||
		    (is_scheme_end(i) && i > 0 && is_scheme_letter(at(i - 1)))) {
			while (end < text.count && !ends_url(end))
				end++;
			if (!left)
				take_url(i, end, true);
			i = floor = end;
		} else if (at(i) == '@' && text.how->email) {
			i = floor = take_address(floor, i);
		} else {
			i++;
		}
	}
}

size_t oracle_redact(const struct oracle_redact *how, struct view string, char *out)
{
	text.how = how;
	text.raw = string;
	text.count = text.range_count = 0;
	decode();
	if (how->as == 't')
		take_text();
	else
		take_url(0, text.count, false);
	return write_out(out);
}
