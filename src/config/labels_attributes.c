/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DESIGN: OTEL_RESOURCE_ATTRIBUTES by the rules of the OpenTelemetry specification: a comma list of
 * key=value, each percent-decoded, of which any error discards all. The members are kept in their
 * order, and the last of a key counts.
 */
#include "base/text.h"
#include "config/labels_build.h"

/* Replaces *text by its trimmed, percent-decoded copy. False at a percent sign without two
 * hexadecimal digits, or without memory. */
static bool decode(struct labels_build *build, struct view *text)
{
	struct view raw = view_trim(*text);
	char *bytes = labels_duplicate(build, raw);
	size_t out = 0;

	for (size_t i = 0; bytes && i < raw.len; i++) {
		int high, low;

		bytes[out++] = raw.ptr[i];
		if (raw.ptr[i] != '%')
			continue;
		high = i + 1 < raw.len ? hex_value(raw.ptr[i + 1]) : -1;
		low = i + 2 < raw.len ? hex_value(raw.ptr[i + 2]) : -1;
		if (high < 0 || low < 0)
			return false;
		bytes[out - 1] = (char)(high << 4 | low);
		i += 2;
	}
	if (bytes)
		bytes[out] = '\0';
	*text = (struct view){bytes, out};
	return bytes;
}

/* NULL, or what is wrong with it. */
static const char *parse_attribute(struct labels_build *build, struct view item,
				   struct resource_attribute *attribute)
{
	const char *equals = memchr(item.ptr, '=', item.len);
	size_t n = equals ? (size_t)(equals - item.ptr) : 0;

	if (!equals)
		return "has no '='";
	attribute->key = (struct view){item.ptr, n};
	attribute->value = (struct view){item.ptr + n + 1, item.len - n - 1};
	if (!decode(build, &attribute->key) || !decode(build, &attribute->value))
		return "has a '%' that two hexadecimal digits do not follow (write %25 for a "
		       "percent sign)";
	if (attribute->key.len == 0)
		return "has no key before '='";
	return NULL;
}

void labels_parse_attributes(struct labels_build *build)
{
	struct view list = view_of(build->source->resource_attributes), item;
	const char *problem = NULL;
	size_t n = 0;

	build->attributes =
		labels_alloc(build, view_count_items(list) * sizeof(*build->attributes));
	while (build->attributes && !problem && view_next_item(&list, &item))
		problem = parse_attribute(build, item, &build->attributes[n++]);
	if (build->out_of_memory)
		return;
	if (problem)
		labels_complain(
			build, false, RESOURCE_ATTRIBUTES,
			"item %zu %s; expected key=value pairs, percent-encoded, with commas "
			"between them; all of it is ignored, as OpenTelemetry asks",
			n, problem);
	else
		build->attribute_count = n;
}

struct view labels_attribute_value(const struct labels_build *build, struct view key)
{
	for (size_t i = build->attribute_count; i-- > 0;) {
		if (view_equals(build->attributes[i].key, key))
			return build->attributes[i].value;
	}
	return VIEW_LITERAL("");
}
