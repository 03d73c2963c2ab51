/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DESIGN. Our own names are normalised once, at start. A name of the browser is decoded and
 * changed, as the receiver and Loki would change it, into a buffer that is a little longer than the
 * longest of our names: what does not fit is equal to none of them. Nothing is allocated for a
 * beacon.
 */
#include "beacon/enrich_reserved.h"

#include <stdlib.h>

#include "base/text.h"
#include "base/utf8.h"

/* What go-logfmt's keyRuneFilter leaves out of a key. A lone surrogate counts as U+FFFD. */
static bool logfmt_drops(uint32_t rune)
{
	return rune <= ' ' || rune == '=' || rune == '"' || rune == 0x7f || rune == 0xfffd;
}

static bool may_stand_in_label(uint32_t rune)
{
	return (rune >= 'a' && rune <= 'z') || (rune >= 'A' && rune <= 'Z') ||
	       (rune >= '0' && rune <= '9') || rune == '_';
}

static char label_char(uint32_t rune)
{
	return may_stand_in_label(rune) ? (char)rune : '_';
}

/* How the receiver writes its lines (log_format), and whether it writes a prefix before the key. */
enum line_format {
	LINE_LOGFMT,
	LINE_JSON
};
enum key_place {
	KEY_ALONE,
	KEY_PREFIXED
};

/* Writes the key as it will be in the log line, without the white space that Loki trims, and
 * returns its length, at most `size`. White space inside and characters that are not ASCII are
 * written as 0x7f, which none of our names has. */
static size_t line_key(struct json_string key, enum line_format format, enum key_place place,
		       char *out, size_t size)
{
	size_t n = 0, spaces = 0;
	uint32_t rune;

	while (n < size && json_next_rune(&key, &rune)) {
		if (format == LINE_LOGFMT && logfmt_drops(rune))
			continue;
		if (utf8_is_space(rune)) {
			if (n > 0 || place == KEY_PREFIXED)
				spaces++;
			continue;
		}
		for (; spaces > 0 && n < size; spaces--)
			out[n++] = 0x7f;
		if (n < size)
			out[n++] = rune < 0x7f ? (char)rune : 0x7f;
	}
	return n;
}

static void as_label(char *name, size_t n)
{
	for (size_t i = 0; i < n; i++)
		name[i] = label_char((unsigned char)name[i]);
}

#define SESSION_PREFIX "session_attr_"

enum {
	PREFIX_LEN = sizeof(SESSION_PREFIX) - 1
};

/* Names that the receiver writes into each line of a measurement, or takes for labels. */
static const struct view line_names[] = {
	VIEW_LITERAL("kind"),
	VIEW_LITERAL("timestamp"),
	VIEW_LITERAL("app_name"),
	VIEW_LITERAL("app_namespace"),
	VIEW_LITERAL("app_release"),
	VIEW_LITERAL("app_version"),
	VIEW_LITERAL("app_environment"),
	/* Loki's own: one line with such a key makes a whole metric query fail. */
	VIEW_LITERAL("__error__"),
	VIEW_LITERAL("__error_details__"),
	VIEW_LITERAL("__preserve_error__"),
};

static bool is_reserved_as(const struct enrich_reserved *names, struct json_string name,
			   enum line_format format)
{
	size_t n =
		line_key(name, format, KEY_ALONE, names->scratch, PREFIX_LEN + names->longest + 1);
	struct view key = {names->scratch, n};

	as_label(names->scratch, n);
	for (size_t i = 0; i < ARRAY_LEN(line_names); i++)
		if (view_equals(key, line_names[i]))
			return true;
	if (!view_starts_with(key, VIEW_LITERAL(SESSION_PREFIX)))
		return false;
	key = (struct view){key.ptr + PREFIX_LEN, key.len - PREFIX_LEN};
	for (size_t i = 0; i < names->session_count; i++)
		if (view_equals(key, names->session[i]))
			return true;
	return false;
}

/* Fast path for almost all names: two characters that stay as they are, and that none of the
 * reserved names begins with. */
static bool begins_otherwise(struct json_string name)
{
	static const char beginnings[][3] = {"ki", "ti", "ap", "__", "se"};

	if (!name.plain || name.len < 2 || !may_stand_in_label((unsigned char)name.ptr[0]) ||
	    !may_stand_in_label((unsigned char)name.ptr[1]))
		return false;
	for (size_t i = 0; i < ARRAY_LEN(beginnings); i++)
		if (memcmp(name.ptr, beginnings[i], 2) == 0)
			return false;
	return true;
}

bool enrich_reserved_value(const struct enrich_reserved *names, struct json_string name)
{
	return !begins_otherwise(name) &&
	       (is_reserved_as(names, name, LINE_LOGFMT) || is_reserved_as(names, name, LINE_JSON));
}

static size_t session_as(const struct enrich_reserved *names, struct json_string key,
			 enum line_format format)
{
	size_t i, n = line_key(key, format, KEY_PREFIXED, names->scratch, names->longest + 1);
	struct view found = {names->scratch, n};

	as_label(names->scratch, n);
	for (i = 0; i < names->session_count; i++)
		if (view_equals(found, names->session[i]))
			break;
	return i;
}

bool enrich_reserved_session(const struct enrich_reserved *names, struct json_string key,
			     struct view *ours)
{
	const struct labels *labels = names->labels;
	size_t found = session_as(names, key, LINE_LOGFMT);

	if (found == names->session_count)
		found = session_as(names, key, LINE_JSON);
	*ours = found < labels->attribute_count ? labels->attributes[found].value
						: VIEW_LITERAL("");
	return found < names->session_count;
}

static struct view decoded(const struct enrich_reserved *names, struct json_string string)
{
	if (string.plain)
		return (struct view){string.ptr, string.len};
	return json_decode(string, names->scratch, names->longest + 4);
}

size_t enrich_reserved_app(const struct enrich_reserved *names, struct json_string name)
{
	struct view text = decoded(names, name);
	size_t i;

	for (i = 0; i < names->labels->app_count; i++)
		if (view_equals(text, names->labels->apps[i].name))
			break;
	return i;
}

static bool looks_like(struct json_string key, struct view normal)
{
	uint32_t rune;
	size_t i = 0;

	for (; json_next_rune(&key, &rune); i++)
		if (i == normal.len || label_char(rune) != normal.ptr[i])
			return false;
	return i == normal.len;
}

/* Of a request, or of a label without a value. With whatever stands in it for a dot: what is made of
 * it may have its label's name. */
static bool is_kept_free(const struct enrich_reserved *names, struct json_string key)
{
	for (size_t i = names->labels->attribute_count; i < names->session_count; i++)
		if (looks_like(key, names->session[i]))
			return true;
	return false;
}

enum enrich_owner enrich_reserved_attribute(const struct enrich_reserved *names,
					    struct json_string key, struct view *ours)
{
	struct view text = decoded(names, key);

	if (view_equals(text, VIEW_LITERAL("service.name")))
		return OWNER_APP_NAME;
	for (size_t i = 0; i < names->stamped_count; i++)
		if (view_equals(text, names->stamped[i].key)) {
			*ours = names->stamped[i].value;
			return OWNER_US;
		}
	*ours = VIEW_LITERAL("");
	return view_starts_with(text, VIEW_LITERAL("k8s.")) || is_kept_free(names, key)
		       ? OWNER_US
		       : OWNER_BROWSER;
}

/* The result is never longer than the key. Nothing has to be left out or trimmed: the labels module
 * rejects keys that would need it. */
static bool normalise_ours(struct view *normal, struct view key)
{
	char *text = malloc(key.len + 1);
	uint32_t rune;
	size_t n = 0;

	if (!text)
		return false;
	while (json_text_rune(&key, &rune))
		text[n++] = label_char(rune);
	*normal = (struct view){text, n};
	return true;
}

static bool init_labels(struct enrich_reserved *names)
{
	const struct labels *labels = names->labels;
#define LABEL(key, member) {VIEW_LITERAL(key), labels->member},
	const struct enrich_label fixed[] = {LABELS_STAMPED_ON_SPANS(LABEL)};
#undef LABEL
	const size_t fixed_count = ARRAY_LEN(fixed);

	names->stamped_count = fixed_count + labels->attribute_count;
	names->stamped = malloc(names->stamped_count * sizeof(*names->stamped));
	if (!names->stamped)
		return false;
	memcpy(names->stamped, fixed, sizeof(fixed));
	for (size_t i = 0; i < labels->attribute_count; i++)
		names->stamped[fixed_count + i] = (struct enrich_label){
			labels->attributes[i].key, labels->attributes[i].value};
	return true;
}

static void measure(struct enrich_reserved *names, struct view text)
{
	if (text.len > names->longest)
		names->longest = text.len;
}

static bool add_session_key(struct enrich_reserved *names, struct view key)
{
	struct view *normal = &names->session[names->session_count];

	if (!normalise_ours(normal, key))
		return false;
	measure(names, *normal);
	names->session_count++;
	return true;
}

static bool init_session(struct enrich_reserved *names)
{
	const struct labels *labels = names->labels;
	bool ok;

	names->session = calloc(labels->attribute_count + labels->request_attribute_count +
					labels->unset_count + 1,
				sizeof(*names->session));
	ok = names->session != NULL;
	for (size_t i = 0; ok && i < labels->attribute_count; i++)
		ok = add_session_key(names, labels->attributes[i].session_key);
	for (size_t i = 0; ok && i < labels->request_attribute_count; i++)
		ok = add_session_key(names, labels->request_attributes[i].session_key);
	for (size_t i = 0; ok && i < labels->unset_count; i++)
		ok = add_session_key(names, labels->unset_session_keys[i]);
	return ok;
}

bool enrich_reserved_init(struct enrich_reserved *names, const struct labels *labels)
{
	names->labels = labels;
	if (!init_session(names) || !init_labels(names))
		return false;
	for (size_t i = 0; i < names->stamped_count; i++)
		measure(names, names->stamped[i].key);
	for (size_t i = 0; i < labels->app_count; i++)
		measure(names, labels->apps[i].name);
	for (size_t i = 0; i < ARRAY_LEN(line_names); i++)
		measure(names, line_names[i]);
	names->scratch = malloc(PREFIX_LEN + names->longest + 4);
	return names->scratch != NULL;
}

void enrich_reserved_release(struct enrich_reserved *names)
{
	for (size_t i = 0; i < names->session_count; i++)
		free((void *)(uintptr_t)names->session[i].ptr);
	free(names->session);
	free(names->stamped);
	free(names->scratch);
	*names = (struct enrich_reserved){0};
}
