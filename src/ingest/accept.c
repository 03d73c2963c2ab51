/* SPDX-License-Identifier: Apache-2.0 */
#include "ingest/accept.h"

#include "base/text.h"

enum {
	WEIGHT_FULL = 1000
};

/* Takes what is before the next `separator`, trimmed. False at the end. */
static bool next_part(struct view *rest, char separator, struct view *part)
{
	const char *end;

	if (!rest->ptr)
		return false;
	end = memchr(rest->ptr, separator, rest->len);
	part->ptr = rest->ptr;
	part->len = end ? (size_t)(end - rest->ptr) : rest->len;
	*rest = end ? (struct view){end + 1, rest->len - part->len - 1} : (struct view){NULL, 0};
	*part = view_trim(*part);
	return true;
}

/* q=0.75 in thousandths; 0 for what is none. */
static int read_weight(struct view text)
{
	int weight = 0, unit = WEIGHT_FULL;

	for (size_t i = 0; i < text.len; i++) {
		if (i == 1 && text.ptr[i] == '.')
			continue;
		if (!is_digit(text.ptr[i]))
			return 0;
		weight += (text.ptr[i] - '0') * unit;
		unit /= 10;
	}
	return weight <= WEIGHT_FULL ? weight : 0;
}

struct range {
	struct view type, version; /* no version: any */
	int weight;
};

static struct range read_range(struct view item)
{
	static const struct view q = VIEW_CONSTANT("q"), version = VIEW_CONSTANT("version");
	struct range range = {.weight = WEIGHT_FULL};
	struct view part, name;

	next_part(&item, ';', &range.type);
	while (next_part(&item, ';', &part)) {
		if (!next_part(&part, '=', &name) || !part.ptr)
			continue;
		if (view_equals_nocase(name, q))
			range.weight = read_weight(view_trim(part));
		else if (view_equals_nocase(name, version))
			range.version = view_trim(part);
	}
	return range;
}

bool accept_prefers_openmetrics(struct view accept)
{
	static const struct view open_type = VIEW_CONSTANT("application/openmetrics-text");
	static const struct view text_type = VIEW_CONSTANT("text/plain");
	static const struct view open_version = VIEW_CONSTANT("1.0.0");
	int open_weight = 0, text_weight = 0;
	struct view item;

	while (view_next_item(&accept, &item)) {
		struct range range = read_range(item);
		bool is_open = view_equals_nocase(range.type, open_type) &&
			       (range.version.len == 0 || view_equals(range.version, open_version));

		if (is_open && range.weight > open_weight)
			open_weight = range.weight;
		if (view_equals_nocase(range.type, text_type) && range.weight > text_weight)
			text_weight = range.weight;
	}
	return open_weight > 0 && open_weight >= text_weight;
}
