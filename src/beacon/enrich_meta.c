/*
 * DESIGN. meta holds the labels of every log line: the app's (rule 3) and the session's attributes
 * (rule 5). Values of the browser are replaced where they stand, so that nothing else moves.
 */
#include "beacon/enrich_walk.h"

static void walk_app_name(struct walk *walk)
{
	size_t from, app;
	struct claim claim = {0};

	json_peek(&walk->json);
	from = json_offset(&walk->json);
	walk_read_claim(walk, &claim);
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
			json_skip(&walk->json);
	}
	add_missing_labels(walk, &members);
}

static void walk_session_attributes(struct walk *walk)
{
	const struct labels *labels = walk->enricher->labels;
	struct edits_items items = {0};
	struct json_string key;

	if (labels->attribute_count == 0) {
		if (walk_next_is(walk, JSON_OBJECT))
			json_skip(&walk->json);
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
		size_t ours;

		walk_next_item(walk, &items);
		walk_read_claim(walk, &claim);
		ours = enrich_reserved_session(&walk->enricher->names, key);
		if (ours == labels->attribute_count)
			continue;
		walk_remove_item(walk, &items, key.offset);
		walk_count_spoof(walk, &claim, labels->attributes[ours].value);
	}
	walk_close_with(walk, &items, TEXT_SESSION_MEMBERS);
}

static void walk_session(struct walk *walk)
{
	bool stamped = walk->enricher->labels->attribute_count > 0;
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
		else
			json_skip(&walk->json);
	}
	if (stamped && !members_have(&members, DO_SESSION_ATTRIBUTES))
		walk_add_member(walk, &members, TEXT_SESSION_ATTRIBUTES);
}

void walk_meta(struct walk *walk)
{
	struct members members = walk_members(walk, AT_META);
	const struct enrich_rule *rule;

	if (json_peek(&walk->json) == JSON_NULL) {
		walk_replace_next(walk, TEXT_META);
		return;
	}
	if (!walk_enter_object(walk))
		return;
	while ((rule = walk_next_known(walk, &members)) != NULL) {
		if (rule->action == DO_APP)
			walk_app(walk);
		else if (rule->action == DO_SESSION)
			walk_session(walk);
		else
			json_skip(&walk->json);
	}
	if (!members_have(&members, DO_APP))
		walk_add_member(walk, &members, TEXT_APP);
	if (walk->enricher->labels->attribute_count > 0 && !members_have(&members, DO_SESSION))
		walk_add_member(walk, &members, TEXT_SESSION);
}
