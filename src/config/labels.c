/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DESIGN: all of it happens once, at start. Values are taken apart into views over copies that live
 * in an arena, checked where they are chosen, and turned into JSON at the end. What is not UTF-8,
 * holds a control character or is longer than LABELS_VALUE_MAX_BYTES is a fatal complaint and never
 * gets that far.
 */
#include "config/labels.h"

#include <stdarg.h>
#include <stdio.h>

#include "base/text.h"
#include "base/utf8.h"
#include "config/labels_build.h"

#define SERVICE_NAME "OTEL_SERVICE_NAME"
#define APP_NAMES    "FARO_APP_NAMES"

void labels_complain(struct labels_build *build, bool fatal, const char *setting, const char *fmt,
		     ...)
{
	char problem[1024];
	va_list args;

	va_start(args, fmt);
	vsnprintf(problem, sizeof(problem), fmt, args);
	va_end(args);
	build->failed |= fatal;
	build->complain(build->arg, setting, problem, fatal);
}

bool labels_are_too_many(struct labels_build *build, const char *setting, const char *what,
			 size_t count, int max)
{
	if (count <= (size_t)max)
		return false;
	labels_complain(build, true, setting, "has %zu %s; at most %d are possible", count, what,
			max);
	return true;
}

void *labels_alloc(struct labels_build *build, size_t size)
{
	void *bytes = arena_alloc(&build->labels->storage, size);

	build->out_of_memory |= !bytes;
	return bytes;
}

char *labels_duplicate(struct labels_build *build, struct view text)
{
	char *bytes = arena_copy(&build->labels->storage, text);

	build->out_of_memory |= !bytes;
	return bytes;
}

struct view labels_copy(struct labels_build *build, struct view text)
{
	const char *bytes = labels_duplicate(build, text);

	return (struct view){bytes, bytes ? text.len : 0};
}

const char *labels_value_problem(struct view value)
{
	size_t n;

	if (value.len > LABELS_VALUE_MAX_BYTES)
		return "is longer than 255 bytes: choose a shorter one";
	for (size_t i = 0; i < value.len; i += n) {
		n = utf8_sequence(value.ptr + i, value.len - i);
		if (n == 0)
			return "is not valid UTF-8: encode it as UTF-8";
		if (utf8_is_control(value.ptr + i))
			return "has a control character (a line end?): remove it";
	}
	return NULL;
}

static struct view checked(struct labels_build *build, const char *setting, const char *what,
			   struct view value)
{
	const char *problem = labels_value_problem(value);

	if (problem)
		labels_complain(build, true, setting, "%s %s", what, problem);
	return value;
}

static struct view checked_attribute(struct labels_build *build, const char *key)
{
	return checked(build, RESOURCE_ATTRIBUTES, key,
		       labels_attribute_value(build, view_of(key)));
}

/* A name that is longer than the buffer fails the check for length. */
static void read_namespace_file(struct labels_build *build)
{
	const char *path = build->source->namespace_file;
	char bytes[LABELS_VALUE_MAX_BYTES + 2];
	long n = path ? read_small_file(path, bytes, sizeof(bytes), NULL) : 0;

	build->file_namespace = VIEW_LITERAL("");
	if (n <= 0)
		return;
	if (bytes[n - 1] == '\n')
		n--;
	build->file_namespace = labels_copy(build, view_trim((struct view){bytes, (size_t)n}));
}

static void choose_service_name(struct labels_build *build)
{
	struct labels *labels = build->labels;
	struct view name = view_trim(view_of(build->source->service_name));

	if (name.len > 0)
		labels->service_name =
			checked(build, SERVICE_NAME, "the name", labels_copy(build, name));
	else
		labels->service_name = checked_attribute(build, "service.name");
	if (labels->service_name.len == 0 && !build->out_of_memory)
		labels_complain(
			build, true, SERVICE_NAME,
			"expected the name of the service whose pages send the beacons, here or as "
			"service.name in " RESOURCE_ATTRIBUTES);
}

static struct view first_of(struct view a, struct view b)
{
	return a.len > 0 ? a : b;
}

static void choose_values(struct labels_build *build)
{
	struct labels *labels = build->labels;

	choose_service_name(build);
	labels->k8s_namespace = checked_attribute(build, "k8s.namespace.name");
	if (labels->k8s_namespace.len == 0) {
		labels->k8s_namespace = checked(build, build->source->namespace_file,
						"the pod's namespace", build->file_namespace);
	}
	labels->namespace_ =
		first_of(checked_attribute(build, "service.namespace"), labels->k8s_namespace);
	labels->environment = first_of(checked_attribute(build, DEPLOYMENT),
				       checked_attribute(build, DEPLOYMENT_OLD));
	labels->version = checked_attribute(build, "service.version");
}

static bool has_app(const struct labels *labels, struct view name)
{
	for (size_t i = 0; i < labels->app_count; i++) {
		if (view_equals(labels->apps[i].name, name))
			return true;
	}
	return false;
}

static void choose_apps(struct labels_build *build)
{
	struct labels *labels = build->labels;
	struct view list = view_of(build->source->app_names), item;
	size_t n = view_count_items(list);

	if (labels_are_too_many(build, APP_NAMES, "names", n, LABELS_LIST_MAX))
		return;
	labels->apps = labels_alloc(build, (n ? n : 1) * sizeof(*labels->apps));
	if (!labels->apps)
		return;
	while (view_next_item(&list, &item)) {
		if (!has_app(labels, item))
			labels->apps[labels->app_count++].name = checked(
				build, APP_NAMES, "one of the names", labels_copy(build, item));
	}
	if (labels->app_count == 0)
		labels->apps[labels->app_count++].name = labels->service_name;
}

static const struct labels_attribute *find_label(const struct labels *labels, struct view key)
{
	for (size_t i = 0; i < labels->attribute_count; i++)
		if (labels_same_when_queried(labels->attributes[i].key, key))
			return &labels->attributes[i];
	return NULL;
}

struct view labels_session_key(struct labels_build *build, struct view key)
{
	char *bytes = labels_duplicate(build, key);

	for (size_t i = 0; bytes && i < key.len; i++) {
		if (bytes[i] == '.')
			bytes[i] = '_';
	}
	return (struct view){bytes, bytes ? key.len : 0};
}

/* The browser may not use it as a name all the same. */
static void reserve_label(struct labels_build *build, struct view key)
{
	struct labels *labels = build->labels;

	labels->unset_session_keys[labels->unset_count++] = labels_session_key(build, key);
}

static void add_label(struct labels_build *build, struct view key)
{
	struct labels *labels = build->labels;
	struct view own_key = labels_copy(build, key), session_key = labels_session_key(build, key);
	const struct labels_attribute *same;

	if (!own_key.ptr || !session_key.ptr)
		return;
	same = find_label(labels, own_key);
	if (!same)
		labels->attributes[labels->attribute_count++] =
			(struct labels_attribute){.key = own_key,
						  .value = checked_attribute(build, own_key.ptr),
						  .session_key = session_key};
	else if (!view_equals(same->key, own_key))
		labels_complain(build, true, LABEL_ATTRIBUTES,
				"a query cannot tell %s from %s: remove one of them", same->key.ptr,
				own_key.ptr);
}

static void choose_labels(struct labels_build *build)
{
	struct labels *labels = build->labels;
	struct view list = view_of(build->source->label_attributes), item;
	size_t n = view_count_items(list);

	if (labels_are_too_many(build, LABEL_ATTRIBUTES, "keys", n, LABELS_LIST_MAX))
		return;
	labels->attributes = labels_alloc(build, n * sizeof(*labels->attributes));
	labels->unset_session_keys = labels_alloc(build, n * sizeof(*labels->unset_session_keys));
	while (!build->out_of_memory && view_next_item(&list, &item)) {
		if (!labels_may_label(build, item))
			continue;
		if (labels_has_value(build, item))
			add_label(build, item);
		else
			reserve_label(build, item);
	}
}

/* In this order; none runs after one that had no memory. */
static void (*const steps[])(struct labels_build *build) = {
	labels_parse_attributes, read_namespace_file,
	choose_values,           choose_apps,
	choose_labels,           labels_choose_request_attributes,
};

bool labels_init(struct labels *labels, const struct labels_source *source,
		 labels_complaint *report, void *arg)
{
	struct labels_build build = {
		.labels = labels, .source = source, .complain = report, .arg = arg};

	*labels = (struct labels){.app_count = 0};
	for (size_t i = 0; i < ARRAY_LEN(steps) && !build.out_of_memory; i++)
		steps[i](&build);
	if (!build.failed && !build.out_of_memory)
		labels_make_fragments(&build);
	if (build.out_of_memory)
		labels_complain(&build, true, NULL, "memory ran out while the labels were made");
	if (build.failed)
		labels_release(labels);
	return !build.failed;
}

void labels_release(struct labels *labels)
{
	arena_release(&labels->storage);
	*labels = (struct labels){.app_count = 0};
}
