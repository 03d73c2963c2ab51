/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DESIGN. The three forms of a text overlap, so one allocation holds them all. Larger texts are
 * made of smaller ones: a session of its attributes, meta of the app and the session.
 */
#include "beacon/enrich_fragments.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#define ARGS(view) (int)(view).len, (view).ptr

static const char *const keys[TEXT_COUNT] = {
	[TEXT_NAME] = ",\"name\":",
	[TEXT_NAMESPACE] = ",\"namespace\":",
	[TEXT_ENVIRONMENT] = ",\"environment\":",
	[TEXT_VERSION] = ",\"version\":",
	[TEXT_APP] = ",\"app\":",
	[TEXT_SESSION_MEMBERS] = ",",
	[TEXT_SESSION_ATTRIBUTES] = ",\"attributes\":",
	[TEXT_SESSION] = ",\"session\":",
	[TEXT_META] = ",\"meta\":",
	[TEXT_RESOURCE_ITEMS] = ",",
	[TEXT_RESOURCE_ATTRIBUTES] = ",\"attributes\":",
	[TEXT_RESOURCE] = ",\"resource\":",
};

struct view enrich_fragment_key(enum enrich_text text)
{
	return view_of(keys[text]);
}

void enrich_fragment_set(struct view *views, enum enrich_text text, struct view whole)
{
	struct view *forms = &views[enrich_fragment_index(text, WITH_COMMA)];
	size_t key_len = enrich_fragment_key(text).len;

	forms[WITH_COMMA] = whole;
	forms[BARE] = (struct view){whole.ptr + 1, whole.len - 1};
	forms[VALUE] = (struct view){whole.ptr + key_len, whole.len - key_len};
}

/* All three forms point into one allocation; WITH_COMMA points at its beginning. */
__attribute__((format(printf, 3, 4))) static bool make(struct view *views, enum enrich_text text,
						       const char *format, ...)
{
	struct view key = enrich_fragment_key(text);
	va_list args;
	char *whole;
	int n;

	va_start(args, format);
	n = vsnprintf(NULL, 0, format, args);
	va_end(args);
	whole = n < 0 ? NULL : malloc(key.len + (size_t)n + 1);
	if (!whole)
		return false;
	memcpy(whole, key.ptr, key.len);
	va_start(args, format);
	vsnprintf(whole + key.len, (size_t)n + 1, format, args);
	va_end(args);
	enrich_fragment_set(views, text, (struct view){whole, key.len + (size_t)n});
	return true;
}

static bool make_session(struct view *views, const struct labels *labels)
{
	const struct view *attributes =
		&views[enrich_fragment_index(TEXT_SESSION_ATTRIBUTES, BARE)];

	return make(views, TEXT_SESSION_MEMBERS, "%.*s", ARGS(labels->session_members)) &&
	       make(views, TEXT_SESSION_ATTRIBUTES, "{%.*s}", ARGS(labels->session_members)) &&
	       make(views, TEXT_SESSION, "{%.*s}", ARGS(*attributes));
}

static bool make_app(struct view *views, const struct labels *labels, const struct labels_app *app)
{
	const struct view *name = &views[enrich_fragment_index(TEXT_NAME, BARE)];
	const struct view *namespace_ = &views[enrich_fragment_index(TEXT_NAMESPACE, WITH_COMMA)];
	const struct view *environment =
		&views[enrich_fragment_index(TEXT_ENVIRONMENT, WITH_COMMA)];
	struct view version;

	if (!make(views, TEXT_NAME, "%.*s", ARGS(app->json)) ||
	    !make(views, TEXT_NAMESPACE, "%.*s", ARGS(labels->namespace_json)) ||
	    !make(views, TEXT_ENVIRONMENT, "%.*s", ARGS(labels->environment_json)) ||
	    !make(views, TEXT_VERSION, "%.*s", ARGS(labels->version_json)))
		return false;
	version = labels->version.len > 0 ? views[enrich_fragment_index(TEXT_VERSION, WITH_COMMA)]
					  : VIEW_LITERAL("");
	return make(views, TEXT_APP, "{%.*s%.*s%.*s%.*s}", ARGS(*name), ARGS(*namespace_),
		    ARGS(*environment), ARGS(version));
}

static bool make_meta(struct view *views, const struct labels *labels)
{
	const struct view *app = &views[enrich_fragment_index(TEXT_APP, BARE)];
	struct view session = labels->attribute_count > 0
				      ? views[enrich_fragment_index(TEXT_SESSION, WITH_COMMA)]
				      : VIEW_LITERAL("");

	return make(views, TEXT_META, "{%.*s%.*s}", ARGS(*app), ARGS(session));
}

static bool make_resource(struct view *views, const struct labels_app *app)
{
	const struct view *attributes =
		&views[enrich_fragment_index(TEXT_RESOURCE_ATTRIBUTES, BARE)];

	return make(views, TEXT_RESOURCE_ITEMS, "%.*s", ARGS(app->resource_attributes)) &&
	       make(views, TEXT_RESOURCE_ATTRIBUTES, "[%.*s]", ARGS(app->resource_attributes)) &&
	       make(views, TEXT_RESOURCE, "{%.*s}", ARGS(*attributes));
}

static struct view *row_of(const struct enrich_fragments *texts, size_t app)
{
	return texts->views + app * ENRICH_FRAGMENTS;
}

bool enrich_fragments_init(struct enrich_fragments *texts, const struct labels *labels)
{
	texts->app_count = labels->app_count;
	texts->views = calloc(labels->app_count * ENRICH_FRAGMENTS, sizeof(*texts->views));
	if (!texts->views)
		return false;
	for (size_t i = 0; i < labels->app_count; i++) {
		struct view *views = row_of(texts, i);

		if (!make_session(views, labels) || !make_app(views, labels, &labels->apps[i]) ||
		    !make_meta(views, labels) || !make_resource(views, &labels->apps[i])) {
			enrich_fragments_release(texts);
			return false;
		}
	}
	return true;
}

void enrich_fragments_release(struct enrich_fragments *texts)
{
	for (size_t i = 0; texts->views && i < texts->app_count; i++)
		for (unsigned text = 0; text < TEXT_COUNT; text++)
			free((void *)(uintptr_t)row_of(
				     texts,
				     i)[enrich_fragment_index((enum enrich_text)text, WITH_COMMA)]
				     .ptr);
	free(texts->views);
	*texts = (struct enrich_fragments){0};
}

const struct view *enrich_fragments_of(const struct enrich_fragments *texts, size_t app)
{
	return row_of(texts, app);
}
