/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DESIGN. meta holds the labels of every log line: the app's (rule 3) and the session's attributes
 * (rule 5). Values of the browser are replaced where they stand, so that nothing else moves.
 * Members with which a browser could rename the service, or choose where it is, are removed (rule
 * 7).
 */
#include "beacon/enrich_walk.h"

static void walk_app_name(struct walk *walk)
{
	size_t from, app;
	struct claim claim = {0};

	json_peek(&walk->json);
	from = json_offset(&walk->json);
	walk_read_claim(walk, &claim);
	walk_spare(walk, from);
	app = walk_claimed_app(walk, &claim);
	if (app < walk->enricher->labels->app_count) {
		walk->app = app;
		return;
	}
	walk_add_text(walk, from, json_offset(&walk->json) - from,
		      enrich_fragment_index(TEXT_NAME, VALUE));
	if (claim.made)
		walk->counts->spoofed++;
}

/* namespace and environment always get our value, which is "" where the operator set none. */
static void walk_app_label(struct walk *walk, struct view ours, enum enrich_text text)
{
	struct claim claim = {0};
	size_t from;

	json_peek(&walk->json);
	from = json_offset(&walk->json);
	walk_read_claim(walk, &claim);
	walk_spare(walk, from);
	if (claim_is(&claim, ours))
		return;
	walk_add_text(walk, from, json_offset(&walk->json) - from,
		      enrich_fragment_index(text, VALUE));
	walk_count_spoof(walk, &claim, ours);
}

/* The browser's own version is kept, since a page may be older than the service. */
static void walk_app_version(struct walk *walk)
{
	struct claim claim = {0};
	size_t from;

	json_peek(&walk->json);
	from = json_offset(&walk->json);
	walk_read_claim(walk, &claim);
	walk_spare(walk, from);
	if (!claim.made && walk->enricher->labels->version.len > 0)
		walk_add_text(walk, from, json_offset(&walk->json) - from,
			      enrich_fragment_index(TEXT_VERSION, VALUE));
}

static void add_missing_labels(struct walk *walk, struct members *members)
{
	if (!members_have(members, DO_APP_NAME))
		walk_add_member(walk, members, TEXT_NAME);
	if (!members_have(members, DO_APP_NAMESPACE))
		walk_add_member(walk, members, TEXT_NAMESPACE);
	if (!members_have(members, DO_APP_ENVIRONMENT))
		walk_add_member(walk, members, TEXT_ENVIRONMENT);
	if (!members_have(members, DO_APP_VERSION) && walk->enricher->labels->version.len > 0)
		walk_add_member(walk, members, TEXT_VERSION);
}

static void walk_app(struct walk *walk)
{
	const struct labels *labels = walk->enricher->labels;
	struct members members = walk_members(walk, AT_APP);
	const struct enrich_rule *rule;

	if (json_peek(&walk->json) == JSON_NULL) {
		walk_replace_next(walk, TEXT_APP);
		return;
	}
	if (!walk_enter_object(walk))
		return;
	while ((rule = walk_next_known(walk, &members)) != NULL) {
		if (rule->action == DO_APP_NAME)
			walk_app_name(walk);
		else if (rule->action == DO_APP_NAMESPACE)
			walk_app_label(walk, labels->namespace_, TEXT_NAMESPACE);
		else if (rule->action == DO_APP_ENVIRONMENT)
			walk_app_label(walk, labels->environment, TEXT_ENVIRONMENT);
		else if (rule->action == DO_APP_VERSION)
			walk_app_version(walk);
		else
			walk_pass(walk);
	}
	add_missing_labels(walk, &members);
}

/* Something is stamped in a session, or may be, or would be if it had a value here. */
static bool may_stamp_session(const struct labels *labels)
{
	return labels->attribute_count + labels->request_attribute_count + labels->unset_count > 0;
}

static void walk_session_attributes(struct walk *walk)
{
	const struct labels *labels = walk->enricher->labels;
	const struct drop_node *object = walk->node;
	struct edits_items items = {0};
	struct json_string key;

	if (!may_stamp_session(labels)) {
		if (walk_next_is(walk, JSON_OBJECT))
			walk_pass(walk);
		return;
	}
	if (json_peek(&walk->json) == JSON_NULL) {
		walk_replace_next(walk, TEXT_SESSION_ATTRIBUTES);
		return;
	}
	if (!walk_enter_object(walk))
		return;
	while (json_member(&walk->json, &key)) {
		struct claim claim = {0};
		struct view ours;

		walk_next_item(walk, &items);
		if (walk_drop_member(walk, &items, object, key))
			continue;
		if (!enrich_reserved_session(&walk->enricher->names, key, &ours)) {
			walk_pass(walk);
			continue;
		}
		walk_read_claim(walk, &claim);
		walk_remove_item(walk, &items, key.offset);
		walk_count_spoof(walk, &claim, ours);
	}
	walk_close_with(walk, &items, TEXT_SESSION_MEMBERS, labels->attribute_count > 0);
}

/* Removes the member whose value was just read. */
static void remove_claim(struct walk *walk, const struct members *members,
			 const struct claim *claim)
{
	walk_remove_item(walk, members->items, members->from);
	if (claim->made)
		walk->counts->spoofed++;
}

/* The Faro receiver has to find out where the client is. */
static void walk_geo(struct walk *walk, const struct members *members)
{
	struct claim claim = {0};

	walk_read_claim(walk, &claim);
	remove_claim(walk, members, &claim);
}

/* Grafana Cloud's receiver takes serviceName for the name of the service. */
static void walk_service_name(struct walk *walk, const struct members *members)
{
	struct claim claim = {0};
	size_t from;

	json_peek(&walk->json);
	from = json_offset(&walk->json);
	walk_read_claim(walk, &claim);
	walk_spare(walk, from);
	if (walk_claimed_app(walk, &claim) == walk->enricher->labels->app_count)
		remove_claim(walk, members, &claim);
}

/* Only a plain false opts out; what else stands there says nothing. */
static void walk_location(struct walk *walk)
{
	if (json_peek(&walk->json) == JSON_FALSE)
		walk->counts->no_location = true;
	json_skip(&walk->json);
}

/* Receivers that do not know overrides take any value for it, so it may have any type. */
static void walk_overrides(struct walk *walk)
{
	struct edits_items items = {0};
	struct members members = walk_members(walk, AT_OVERRIDES);
	const struct enrich_rule *rule;

	if (json_peek(&walk->json) != JSON_OBJECT) {
		walk_pass(walk);
		return;
	}
	members.items = &items;
	json_enter(&walk->json, JSON_OBJECT);
	while ((rule = walk_next_known(walk, &members)) != NULL) {
		if (rule->action == DO_SERVICE_NAME)
			walk_service_name(walk, &members);
		else
			walk_location(walk);
	}
	walk_close(walk, &items, false);
}

static void walk_session_id(struct walk *walk)
{
	size_t from;

	json_peek(&walk->json);
	from = json_offset(&walk->json);
	walk_pass(walk);
	walk_spare(walk, from);
}

static void walk_session(struct walk *walk)
{
	bool stamped = may_stamp_session(walk->enricher->labels);
	struct members members = walk_members(walk, AT_SESSION);
	const struct enrich_rule *rule;

	if (stamped && json_peek(&walk->json) == JSON_NULL) {
		walk_replace_next(walk, TEXT_SESSION);
		return;
	}
	if (!walk_enter_object(walk))
		return;
	while ((rule = walk_next_known(walk, &members)) != NULL) {
		if (rule->action == DO_SESSION_ATTRIBUTES)
			walk_session_attributes(walk);
		else if (rule->action == DO_OVERRIDES)
			walk_overrides(walk);
		else
			walk_session_id(walk);
	}
	if (stamped && !members_have(&members, DO_SESSION_ATTRIBUTES))
		walk_add_member(walk, &members, TEXT_SESSION_ATTRIBUTES);
}

void walk_meta(struct walk *walk)
{
	const struct labels *labels = walk->enricher->labels;
	struct edits_items items = {0};
	struct members members = walk_members(walk, AT_META);
	const struct enrich_rule *rule;
	bool adds_app, adds_session;

	if (json_peek(&walk->json) == JSON_NULL) {
		walk_replace_next(walk, TEXT_META);
		return;
	}
	if (!walk_enter_object(walk))
		return;
	members.items = &items;
	while ((rule = walk_next_known(walk, &members)) != NULL) {
		if (rule->action == DO_APP)
			walk_app(walk);
		else if (rule->action == DO_SESSION)
			walk_session(walk);
		else if (rule->action == DO_GEO)
			walk_geo(walk, &members);
		else
			walk_pass(walk);
	}
	adds_app = !members_have(&members, DO_APP);
	adds_session = may_stamp_session(labels) && !members_have(&members, DO_SESSION);
	members.any =
		walk_close(walk, &items, adds_app || (adds_session && labels->attribute_count > 0));
	if (adds_app)
		walk_add_member(walk, &members, TEXT_APP);
	if (adds_session)
		walk_add_member(walk, &members, TEXT_SESSION);
}
