/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DESIGN: which keys FARO_REQUEST_ATTRIBUTES may name. Their values come with each request, from the
 * web server, so what describes the service is not among them. Each has a parameter and a session
 * attribute of its own. Their keys are plain ASCII, so that no part of them needs an escape in JSON.
 */
#include "base/text.h"
#include "config/labels_build.h"

static bool is_letter(char c)
{
	return (c | 0x20) >= 'a' && (c | 0x20) <= 'z';
}

static bool is_plain_char(char c)
{
	return is_letter(c) || is_digit(c) || c == '.' || c == '_' || c == '-';
}

static bool is_plain(struct view key)
{
	for (size_t i = 0; i < key.len; i++)
		if (!is_plain_char(key.ptr[i]))
			return false;
	return key.len <= LABELS_REQUEST_KEY_MAX_BYTES;
}

/* NULL, or what is wrong with a key of its own. */
static const char *key_problem(struct view key)
{
	if (!is_plain(key))
		return "is not a valid key: write at most 64 letters, digits and ._- such as "
		       "geo.country.iso_code";
	if (labels_is_always_stamped(key) || view_starts_with(key, VIEW_LITERAL("k8s.")))
		return "is a label of the service and the same for every request: remove it";
	if (view_starts_with(key, VIEW_LITERAL("http.request.header.")))
		return "is an array in OpenTelemetry's conventions, and faro-ingest stamps single "
		       "values: choose another key";
	return NULL;
}

static struct view parameter_of(struct labels_build *build, struct view key)
{
	static const struct view prefix = VIEW_CONSTANT(LABELS_PARAMETER_PREFIX);
	char *name = labels_alloc(build, prefix.len + key.len + 1);

	if (!name)
		return VIEW_LITERAL("");
	memcpy(name, prefix.ptr, prefix.len);
	for (size_t i = 0; i < key.len; i++) {
		char c = key.ptr[i];

		name[prefix.len + i] = (char)(is_letter(c) ? c & ~0x20 : is_digit(c) ? c : '_');
	}
	return (struct view){name, prefix.len + key.len};
}

/* Where a client is, and by which address it can be found. */
static bool is_location(struct view parameter)
{
	return view_starts_with(parameter, VIEW_LITERAL(LABELS_PARAMETER_PREFIX "GEO_")) ||
	       view_equals(parameter, VIEW_LITERAL(LABELS_PARAMETER_PREFIX "CLIENT_ADDRESS"));
}

/* False, with a complaint, where a label has that name already. */
static bool differs_from_labels(struct labels_build *build, const char *setting, struct view key)
{
	const struct labels *labels = build->labels;
	struct view same = {NULL, 0};

	for (size_t i = 0; i < labels->attribute_count; i++)
		if (labels_same_when_queried(labels->attributes[i].key, key))
			same = labels->attributes[i].key;
	for (size_t i = 0; i < labels->unset_count; i++)
		if (labels_same_when_queried(labels->unset_session_keys[i], key))
			same = labels->unset_session_keys[i];
	if (same.ptr)
		labels_complain(build, true, setting,
				"a query cannot tell %s from %s in " LABEL_ATTRIBUTES
				": remove one of them",
				key.ptr, same.ptr);
	return !same.ptr;
}

/* The same, for other keys of requests. The same key again is no problem, and not added twice. */
static bool differs_from_others(struct labels_build *build,
				const struct labels_request_attribute *attribute)
{
	const struct labels *labels = build->labels;

	for (size_t i = 0; i < labels->request_attribute_count; i++) {
		const struct labels_request_attribute *other = &labels->request_attributes[i];

		/* Keys that a query cannot tell apart have one parameter, too. */
		if (!view_equals(other->parameter, attribute->parameter))
			continue;
		if (!view_equals(other->key, attribute->key))
			labels_complain(build, true, REQUEST_ATTRIBUTES,
					"%s and %s have the same parameter, %s: remove one of them",
					other->key.ptr, attribute->key.ptr,
					attribute->parameter.ptr);
		return false;
	}
	return true;
}

static void add_attribute(struct labels_build *build, const char *setting, struct view key)
{
	struct labels *labels = build->labels;
	struct labels_request_attribute attribute = {
		.key = labels_copy(build, key),
		.parameter = parameter_of(build, key),
		.session_key = labels_session_key(build, key),
	};

	attribute.is_location = is_location(attribute.parameter);
	if (build->out_of_memory || !differs_from_labels(build, setting, attribute.key) ||
	    !differs_from_others(build, &attribute))
		return;
	labels->request_attributes[labels->request_attribute_count++] = attribute;
}

static void add_listed(struct labels_build *build, struct view key)
{
	const char *problem = key_problem(key);

	if (problem)
		labels_complain(build, true, REQUEST_ATTRIBUTES, "%.*s %s", labels_shown_len(key),
				key.ptr, problem);
	else
		add_attribute(build, REQUEST_ATTRIBUTES, key);
}

/* It is stamped under a key that nothing else may have. */
static void add_client_address(struct labels_build *build)
{
	const struct labels *labels = build->labels;
	size_t count = labels->request_attribute_count;

	for (size_t i = 0; i < count; i++)
		if (view_equals(labels->request_attributes[i].parameter,
				VIEW_LITERAL(LABELS_PARAMETER_PREFIX "CLIENT_ADDRESS"))) {
			labels_complain(build, true, REQUEST_ATTRIBUTES,
					CLIENT_ADDRESS
					" stamps %s already: remove it here, or set " CLIENT_ADDRESS
					" to off",
					labels->request_attributes[i].key.ptr);
			return;
		}
	add_attribute(build, CLIENT_ADDRESS, VIEW_LITERAL("client.address"));
}

void labels_choose_request_attributes(struct labels_build *build)
{
	struct labels *labels = build->labels;
	struct view list = view_of(build->source->request_attributes), item;
	size_t n = view_count_items(list);

	if (labels_are_too_many(build, REQUEST_ATTRIBUTES, "keys", n, LABELS_REQUEST_MAX))
		return;
	labels->request_attributes =
		labels_alloc(build, (n + 1) * sizeof(*labels->request_attributes));
	while (!build->out_of_memory && view_next_item(&list, &item))
		add_listed(build, item);
	labels->parameter_count = labels->request_attribute_count;
	if (build->source->stamps_client_address && !build->out_of_memory)
		add_client_address(build);
}
