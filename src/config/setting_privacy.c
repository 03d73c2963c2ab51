/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DESIGN: what the settings of privacy.h demand of their items. A path that could remove a label is
 * refused, and so is one that can match nothing, since who sets it relies on it.
 */
#include <string.h>

#include "base/text.h"
#include "config/setting.h"

_Static_assert(PRIVACY_LIST_MAX == 64 && PRIVACY_TEXT_MAX_BYTES == 255,
	       "setting.c says how many are expected");

static const char *text_problem(const char *text)
{
	return strlen(text) <= PRIVACY_TEXT_MAX_BYTES ? NULL : "one of them is too long";
}

const char *setting_check_redact(char *text)
{
#define PRIVACY_REDACT(word)          \
	if (strcmp(text, #word) == 0) \
		return NULL;
	PRIVACY_REDACT_WORDS
#undef PRIVACY_REDACT
	return "";
}

const char *setting_check_param(char *text)
{
	if (strpbrk(text, "=&?# \"<>"))
		return "it has a character that no name in a URL has";
	return text_problem(text);
}

const char *setting_check_error(char *text)
{
	return text_problem(text);
}

/* What a path may not name, and what it may not name anything below. */
enum guard {
	GUARD_NONE,
	GUARD_ITSELF,
	GUARD_BELOW, /* itself, too */
};

/* What is known of a beacon, and has labels or is an array. */
static const struct known {
	const char *path;
	enum guard guard;
} known[] = {
	{"meta", GUARD_ITSELF},
	{"meta.app", GUARD_ITSELF},
	{"meta.app.name", GUARD_BELOW},
	{"meta.app.namespace", GUARD_BELOW},
	{"meta.app.environment", GUARD_BELOW},
	{"meta.app.version", GUARD_BELOW},
	{"meta.session", GUARD_ITSELF},
	{"meta.session.attributes", GUARD_ITSELF},
	/* Where a page opts out of being located. */
	{"meta.session.overrides", GUARD_ITSELF},
	{"meta.session.overrides.geoLocationTrackingEnabled", GUARD_BELOW},
	{"logs[]", GUARD_NONE},
	{"exceptions[]", GUARD_NONE},
	{"events[]", GUARD_NONE},
	{"measurements[]", GUARD_NONE},
	{"traces", GUARD_NONE},
	{"traces.resourceSpans[]", GUARD_NONE},
	{"traces.resourceSpans[].resource", GUARD_ITSELF},
	{"traces.resourceSpans[].resource.attributes[]", GUARD_BELOW},
	{"traces.resourceSpans[].scopeSpans[]", GUARD_NONE},
	{"traces.resourceSpans[].scopeSpans[].spans[]", GUARD_NONE},
	{"traces.resourceSpans[].deprecatedScopeSpans[]", GUARD_NONE},
	{"traces.resourceSpans[].deprecatedScopeSpans[].spans[]", GUARD_NONE},
};

struct path {
	char text[PRIVACY_TEXT_MAX_BYTES + 1];
	struct privacy_step steps[PRIVACY_TEXT_MAX_BYTES];
	size_t count;
};

static bool read_path(const char *text, struct path *path)
{
	char *name = path->text;
	enum privacy_path next;

	path->count = 0;
	while ((next = privacy_path_next(&text, name, &path->steps[path->count])) == PATH_STEP)
		name += path->steps[path->count++].name.len;
	return next == PATH_END && path->count > 0;
}

static bool is_same_name(struct view name, struct view of_known)
{
	char snake[2 * PRIVACY_TEXT_MAX_BYTES];

	return view_equals_nocase(name, of_known) ||
	       view_equals_nocase(name, privacy_snake_case(of_known, snake));
}

/* True if all names of `row` are the first names of `path`. */
static bool begins_with(const struct path *path, const struct path *row)
{
	if (path->count < row->count)
		return false;
	for (size_t i = 0; i < row->count; i++)
		if (!is_same_name(path->steps[i].name, row->steps[i].name))
			return false;
	return true;
}

static const char *problem_with(const struct path *path, const struct path *row, enum guard guard)
{
	const struct privacy_step *step = &path->steps[row->count - 1];
	bool is_last = path->count == row->count;

	if (guard == GUARD_BELOW || (guard == GUARD_ITSELF && is_last))
		return "labels are stamped, or a page opts out, there";
	if (!is_last && step->arrays != row->steps[row->count - 1].arrays)
		return "[] belongs behind the name of an array, and only there";
	return NULL;
}

const char *setting_check_field(char *text)
{
	const char *wrong = text_problem(text);
	bool begins = false;
	struct path path, row;

	if (wrong)
		return wrong;
	if (!read_path(text, &path))
		return "a path has names with dots between them, and [] behind those of arrays";
	if (path.steps[path.count - 1].arrays > 0)
		return "it ends with []; name the array itself, or what is in its elements";
	for (size_t i = 0; i < ARRAY_LEN(known) && !wrong; i++) {
		read_path(known[i].path, &row);
		if (!begins_with(&path, &row))
			continue;
		begins = true;
		wrong = problem_with(&path, &row, known[i].guard);
	}
	return wrong || begins ? wrong
			       : "it begins with none of meta, logs, exceptions, events, "
				 "measurements and traces";
}
