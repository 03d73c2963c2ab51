/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DESIGN. An address is a local part, @ and a domain that ends in letters and is no file name. What
 * is behind it may be the local part of another one (a@b.example-@c.example): both go as one, so that
 * the result has no address in it that was none before.
 */
#include <strings.h>

#include "base/text.h"
#include "beacon/redact_private.h"

/* logo@2x.png is no address. Endings that are domains, too, such as .md, are not here. */
static const char *const file_endings[] = {
	"png",  "jpg", "jpeg", "gif", "svg",  "webp", "avif", "ico", "bmp",  "css",    "scss",
	"less", "js",  "mjs",  "cjs", "ts",   "jsx",  "tsx",  "map", "json", "html",   "htm",
	"xml",  "txt", "pdf",  "csv", "yaml", "yml",  "wasm", "vue", "woff", "woff2",  "ttf",
	"otf",  "eot", "mp3",  "mp4", "webm", "ogg",  "gz",   "tgz", "php",  "svelte",
};

static bool is_letter(unsigned char c)
{
	return redact_is_word(c) && !is_digit((char)c);
}

/* An apostrophe only inside of a word, as in o'hara. */
static bool is_local(unsigned char c, unsigned char next)
{
	return redact_is_word(c) || c == '.' || c == '_' || c == '-' || c == '+' || c == '%' ||
	       (c == '\'' && redact_is_word(next));
}

static char *local_begin(const struct redact_text *text, char *floor, char *at)
{
	unsigned char right = '@';
	char *begin = at;

	if (at == floor)
		return at;
	while (at > floor) {
		struct redact_char before = redact_char_before(text, at);

		if (!is_local(before.c, right) || (right == '@' && before.c == '.'))
			break;
		at -= before.len;
		right = before.c;
		/* It begins with a letter or digit: what stands before it may be a quote. */
		if (redact_is_word(before.c))
			begin = at;
	}
	return begin;
}

static bool is_file_ending(const struct redact_text *text, const char *from, const char *to)
{
	char ending[8];
	size_t n = 0;

	while (from < to) {
		struct redact_char c = redact_char_at(text, from);

		if (n + 1 == sizeof(ending))
			return false;
		ending[n++] = (char)c.c;
		from += c.len;
	}
	ending[n] = '\0';
	for (size_t i = 0; i < ARRAY_LEN(file_endings); i++)
		if (strcasecmp(file_endings[i], ending) == 0)
			return true;
	return false;
}

struct domain {
	char *end;                   /* after its last letter or digit */
	char *label;                 /* where the last label begins */
	unsigned labels, numbers;    /* and how many of the first ones have digits alone */
	bool digits;                 /* the last label has had nothing else */
	unsigned char last[2], head; /* of that label */
};

static void begin_label(struct domain *domain, char *at)
{
	if (domain->digits && domain->numbers == domain->labels - 1)
		domain->numbers++;
	domain->label = at;
	domain->labels++;
	domain->digits = true;
	domain->last[0] = domain->last[1] = domain->head = 0;
}

static void take_char(struct domain *domain, unsigned char c, char *next)
{
	if (domain->head == 0)
		domain->head = c;
	if (!is_digit((char)c))
		domain->digits = false;
	if (c == '-')
		return;
	domain->last[0] = domain->last[1];
	domain->last[1] = c;
	domain->end = next;
}

static void read_domain(const struct redact_text *text, char *at, struct domain *domain)
{
	*domain = (struct domain){.end = at, .label = at, .labels = 1, .digits = true};
	while (at < text->end) {
		struct redact_char c = redact_char_at(text, at);

		at += c.len;
		if (c.c == '.' && domain->head != 0 && redact_is_word(redact_peek(text, at)))
			begin_label(domain, at);
		else if (redact_is_word(c.c) || (c.c == '-' && domain->head != 0))
			take_char(domain, c.c, at);
		else
			break;
	}
}

/* 18.3.0-beta.next is a version. */
static bool is_domain(const struct redact_text *text, const struct domain *domain)
{
	unsigned char last = domain->last[1];

	return domain->labels > 1 && domain->numbers < 2 && is_letter(domain->head) &&
	       (last == CHAR_OTHER || (is_letter(last) && is_letter(domain->last[0]))) &&
	       !is_file_ending(text, domain->label, domain->end);
}

/* The end of the domain behind the @ at `at`, or NULL. */
static char *domain_end(const struct redact_text *text, char *at)
{
	struct domain domain;

	read_domain(text, at + redact_char_at(text, at).len, &domain);
	return is_domain(text, &domain) ? domain.end : NULL;
}

/* The @ that what stands at `at` is the local part of, or NULL. */
static char *next_at_sign(const struct redact_text *text, char *at)
{
	unsigned char last = 0;

	while (at < text->end) {
		struct redact_char c = redact_char_at(text, at);

		if (c.c == '@')
			return last == '.' ? NULL : at;
		at += c.len;
		if (!is_local(c.c, redact_peek(text, at)))
			return NULL;
		last = c.c;
	}
	return NULL;
}

char *redact_email(struct redact_text *text, char *floor, char *at)
{
	char *begin = local_begin(text, floor, at), *next = at + redact_char_at(text, at).len;
	char *end = begin < at ? domain_end(text, at) : NULL;

	if (!end)
		return next;
	while ((at = next_at_sign(text, end)) != NULL) {
		next = domain_end(text, at);
		if (!next)
			break;
		end = next;
	}
	redact_mark(text, begin, end, MARK_VALUE);
	return end;
}
