/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DESIGN: cJSON prints the JSON fragments that enrich copies. Its output is exact for the values
 * that pass the checks in labels.c: it escapes the quotation mark and the backslash, and writes
 * every other character from U+0020 on as it is.
 */
#include <cJSON.h>

#include "config/labels_build.h"

/* Prints and deletes `item` (NULL: there was no memory to make it), then cuts `strip` bytes off
 * either end: the brackets or braces, where the members alone are wanted. */
static struct view print_json(struct labels_build *build, cJSON *item, size_t strip)
{
	char *text = item ? cJSON_PrintUnformatted(item) : NULL;
	struct view result = {NULL, 0};

	cJSON_Delete(item);
	if (text)
		result = labels_copy(build, (struct view){text + strip, strlen(text) - 2 * strip});
	else
		build->out_of_memory = true;
	cJSON_free(text);
	return result;
}

static struct view string_json(struct labels_build *build, struct view text)
{
	return print_json(build, cJSON_CreateString(text.ptr), 0);
}

/* {"key":K,"value":{"stringValue":V}} at the end of the array, unless V is empty. */
static bool add_resource_attribute(cJSON *array, const char *key, struct view value)
{
	cJSON *item, *any_value;

	if (value.len == 0)
		return true;
	item = cJSON_CreateObject();
	if (!cJSON_AddItemToArray(array, item)) {
		cJSON_Delete(item);
		return false;
	}
	if (!cJSON_AddStringToObject(item, "key", key))
		return false;
	any_value = cJSON_AddObjectToObject(item, "value");
	return any_value && cJSON_AddStringToObject(any_value, "stringValue", value.ptr);
}

static struct view resource_attributes_json(struct labels_build *build, struct view app)
{
	const struct labels *labels = build->labels;
	cJSON *array = cJSON_CreateArray();
#define ADD(key, member) &&add_resource_attribute(array, key, labels->member)
	bool ok = add_resource_attribute(array, "service.name", app) LABELS_STAMPED_ON_SPANS(ADD);
#undef ADD

	for (size_t i = 0; i < labels->attribute_count && ok; i++)
		ok = add_resource_attribute(array, labels->attributes[i].key.ptr,
					    labels->attributes[i].value);
	if (!ok) {
		cJSON_Delete(array);
		array = NULL;
	}
	return print_json(build, array, 1);
}

static struct view session_members_json(struct labels_build *build)
{
	const struct labels *labels = build->labels;
	cJSON *object = cJSON_CreateObject();
	bool ok = object;

	for (size_t i = 0; i < labels->attribute_count && ok; i++)
		ok = cJSON_AddStringToObject(object, labels->attributes[i].session_key.ptr,
					     labels->attributes[i].value.ptr);
	if (!ok) {
		cJSON_Delete(object);
		object = NULL;
	}
	return print_json(build, object, 1);
}

void labels_make_fragments(struct labels_build *build)
{
	struct labels *labels = build->labels;

	labels->namespace_json = string_json(build, labels->namespace_);
	labels->environment_json = string_json(build, labels->environment);
	labels->version_json = string_json(build, labels->version);
	labels->session_members = session_members_json(build);
	for (size_t i = 0; i < labels->app_count; i++) {
		struct labels_app *app = &labels->apps[i];

		app->json = string_json(build, app->name);
		app->resource_attributes = resource_attributes_json(build, app->name);
	}
}
