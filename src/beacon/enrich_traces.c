/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DESIGN. In traces, the attributes of every resource are labelled (rule 4), and spans are counted.
 * The receiver reads this part with another decoder than the rest (pdata): names are
 * case-sensitive, and an empty key ends an object.
 *
 * A span with bad ids is removed (rule 8). Ids of zeros, or none, pass the receiver, but Tempo then
 * refuses all spans of that push, those of other services too. At ids of another form, or another
 * type, the receiver refuses the whole beacon.
 */
#include "beacon/enrich_walk.h"

enum {
	TRACE_ID_DIGITS = 32,
	SPAN_ID_DIGITS = 16
};

static void read_attribute_value(struct walk *walk, struct claim *claim)
{
	struct json_string key;

	if (!walk_enter_object(walk))
		return;
	while (json_member(&walk->json, &key)) {
		bool is_string = json_string_is(key, VIEW_LITERAL("stringValue")) ||
				 json_string_is(key, VIEW_LITERAL("string_value"));

		walk_read_claim(walk, claim);
		claim->is_string = claim->is_string && is_string;
		claim->made = claim->made || !is_string;
	}
}

static void count_attribute_spoof(struct walk *walk, enum enrich_owner owner,
				  const struct claim *claim, struct view ours)
{
	size_t app;

	if (owner != OWNER_APP_NAME) {
		walk_count_spoof(walk, claim, ours);
		return;
	}
	app = walk_claimed_app(walk, claim);
	if (app < walk->enricher->labels->app_count) {
		walk->enricher->name_claims[app]++;
		walk->known_claims++;
	} else if (claim->made) {
		walk->counts->spoofed++;
	}
}

/* True when the attribute is to be removed. */
static bool walk_attribute(struct walk *walk)
{
	struct members members = walk_members(walk, AT_ATTRIBUTE);
	const struct enrich_rule *rule;
	struct json_string key = {.ptr = "", .plain = true};
	struct claim claim = {0};
	enum enrich_owner owner;
	struct view ours;

	if (!walk_enter_object(walk))
		return false;
	while ((rule = walk_next_known(walk, &members)) != NULL) {
		if (rule->action == DO_VALUE)
			read_attribute_value(walk, &claim);
		else if (walk_next_is(walk, JSON_STRING))
			json_read_string(&walk->json, &key);
	}
	if (json_failed(&walk->json))
		return false;
	owner = enrich_reserved_attribute(&walk->enricher->names, key, &ours);
	if (owner == OWNER_BROWSER)
		return false;
	count_attribute_spoof(walk, owner, &claim, ours);
	return true;
}

static void walk_attributes(struct walk *walk)
{
	struct edits_items items = {0};

	if (json_peek(&walk->json) == JSON_NULL) {
		walk_replace_next(walk, TEXT_RESOURCE_ATTRIBUTES);
		return;
	}
	if (!walk_enter_array(walk))
		return;
	while (json_element(&walk->json)) {
		size_t from = json_offset(&walk->json);

		walk_next_item(walk, &items);
		if (walk_attribute(walk))
			walk_remove_item(walk, &items, from);
	}
	walk_close_with(walk, &items, TEXT_RESOURCE_ITEMS, true);
}

static void walk_resource(struct walk *walk)
{
	struct members members = walk_members(walk, AT_RESOURCE);

	if (json_peek(&walk->json) == JSON_NULL) {
		walk_replace_next(walk, TEXT_RESOURCE);
		return;
	}
	if (!walk_enter_object(walk))
		return;
	while (walk_next_known(walk, &members))
		walk_attributes(walk);
	if (!members_have(&members, DO_ATTRIBUTES))
		walk_add_member(walk, &members, TEXT_RESOURCE_ATTRIBUTES);
}

enum id_form {
	ID_MALFORMED,
	ID_EMPTY,
	ID_ZERO,
	ID_GOOD
};

/* The receiver decodes no escapes in an id. */
static enum id_form walk_id(struct walk *walk, size_t digits)
{
	struct json_string id;
	bool is_zero;

	if (json_read_hex(&walk->json, digits, &is_zero))
		return is_zero ? ID_ZERO : ID_GOOD;
	if (json_peek(&walk->json) != JSON_STRING) {
		json_skip(&walk->json);
		return ID_MALFORMED;
	}
	return json_read_string(&walk->json, &id) && id.len == 0 ? ID_EMPTY : ID_MALFORMED;
}

static enum id_form walk_id_of(struct walk *walk, enum enrich_action action)
{
	return walk_id(walk, action == DO_TRACE_ID ? TRACE_ID_DIGITS : SPAN_ID_DIGITS);
}

/* A link to nothing, with ids of zeros, is what an SDK writes for a context that it does not know.
 */
static bool walk_link(struct walk *walk)
{
	struct members members = walk_members(walk, AT_LINK);
	enum json_type type = json_peek(&walk->json);
	const struct enrich_rule *rule;
	bool good = true;

	if (type != JSON_OBJECT)
		return json_skip(&walk->json) && type == JSON_NULL;
	json_enter(&walk->json, JSON_OBJECT);
	while ((rule = walk_next_known(walk, &members)) != NULL)
		good = walk_id_of(walk, rule->action) >= ID_ZERO && good;
	return good;
}

static bool walk_links(struct walk *walk)
{
	const struct drop_node *array = walk->node;
	enum json_type type = json_peek(&walk->json);
	bool good = true;

	if (type != JSON_ARRAY)
		return json_skip(&walk->json) && type == JSON_NULL;
	json_enter(&walk->json, JSON_ARRAY);
	while (walk_next_element(walk, array))
		good = walk_link(walk) && good;
	return good;
}

/* False for a span that is to be removed. */
static bool walk_span(struct walk *walk)
{
	struct members members = walk_members(walk, AT_SPAN);
	bool trace_id = false, span_id = false, others = true;
	const struct enrich_rule *rule;

	if (json_peek(&walk->json) != JSON_OBJECT) {
		json_skip(&walk->json);
		return false;
	}
	json_enter(&walk->json, JSON_OBJECT);
	while ((rule = walk_next_known(walk, &members)) != NULL)
		switch (rule->action) {
		case DO_TRACE_ID:
			trace_id = walk_id_of(walk, rule->action) == ID_GOOD;
			break;
		case DO_SPAN_ID:
			span_id = walk_id_of(walk, rule->action) == ID_GOOD;
			break;
		case DO_PARENT_SPAN_ID:
			others = walk_id(walk, SPAN_ID_DIGITS) != ID_MALFORMED && others;
			break;
		default:
			others = walk_links(walk) && others;
			break;
		}
	return trace_id && span_id && others;
}

/* Returns how many spans stay. */
static uint32_t walk_spans(struct walk *walk)
{
	const struct drop_node *array = walk->node;
	struct edits_items items = {0};
	uint32_t good = 0;

	if (!walk_enter_array(walk))
		return 0;
	while (walk_next_element(walk, array)) {
		size_t from = json_offset(&walk->json);

		walk_next_item(walk, &items);
		if (walk_span(walk)) {
			good++;
		} else {
			walk_remove_item(walk, &items, from);
			walk->counts->bad_spans++;
		}
	}
	walk_close(walk, &items, false);
	return good;
}

/* Returns the number of scopes, and adds their spans to *spans. */
static uint32_t walk_scopes(struct walk *walk, uint32_t *spans)
{
	const struct drop_node *array = walk->node;
	uint32_t scopes = 0;

	if (!walk_enter_array(walk))
		return 0;
	for (; walk_next_element(walk, array); scopes++) {
		struct members members = walk_members(walk, AT_SCOPE_SPANS);

		if (!walk_enter_object(walk))
			continue;
		while (walk_next_known(walk, &members))
			*spans += walk_spans(walk);
	}
	return scopes;
}

static void walk_resource_spans(struct walk *walk)
{
	struct members members = walk_members(walk, AT_RESOURCE_SPANS);
	uint32_t scopes = 0, spans = 0, deprecated = 0;
	const struct enrich_rule *rule;

	if (!walk_enter_object(walk))
		return;
	while ((rule = walk_next_known(walk, &members)) != NULL) {
		if (rule->action == DO_RESOURCE)
			walk_resource(walk);
		else if (rule->action == DO_SCOPE_SPANS)
			scopes = walk_scopes(walk, &spans);
		else
			walk_scopes(walk, &deprecated);
	}
	if (!members_have(&members, DO_RESOURCE))
		walk_add_member(walk, &members, TEXT_RESOURCE);
	walk->counts->spans += scopes > 0 ? spans : deprecated;
}

static void walk_all_resource_spans(struct walk *walk)
{
	const struct drop_node *array = walk->node;

	if (!walk_enter_array(walk))
		return;
	while (walk_next_element(walk, array))
		walk_resource_spans(walk);
}

void walk_traces(struct walk *walk)
{
	struct members members = walk_members(walk, AT_TRACES);

	if (!walk_enter_object(walk))
		return;
	walk->json.refuse_empty_keys = true;
	while (walk_next_known(walk, &members))
		walk_all_resource_spans(walk);
	walk->json.refuse_empty_keys = false;
}
