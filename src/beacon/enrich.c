/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DESIGN. One pass over the body with a json cursor. Each walk_*() handles one kind of object or
 * array. It asks walk_next_known() for the members that have a row in enrich_rules.c, adds edits as
 * it passes them, and lets json_skip() validate everything else. Missing members are added in front
 * of the closing bracket, so edits come in the order of the input.
 *
 * meta may follow traces, so the app may be known only at the end. Edits therefore refer to their
 * text by index, and edits_apply() gets the texts of the app that was chosen, and of this request.
 *
 * The list of edits is bounded (EDITS_MAX). At the first edit that does not fit, the pass ends with
 * VERDICT_TOO_LARGE. A body that does not fit into `out` with its labels gets the same verdict.
 */
#include <stdlib.h>

#include "beacon/enrich_walk.h"

static void walk_values(struct walk *walk)
{
	const struct drop_node *object = walk->node;
	struct edits_items items = {0};
	struct json_string name;

	if (!walk_enter_object(walk))
		return;
	while (json_member(&walk->json, &name)) {
		walk_next_item(walk, &items);
		if (walk_drop_member(walk, &items, object, name))
			continue;
		walk_pass(walk);
		if (!enrich_reserved_value(&walk->enricher->names, name))
			continue;
		walk_remove_item(walk, &items, name.offset);
		walk->counts->spoofed++;
	}
	walk_close(walk, &items, false);
}

static void walk_measurements(struct walk *walk)
{
	const struct drop_node *array = walk->node;

	if (!walk_enter_array(walk))
		return;
	while (walk_next_element(walk, array)) {
		struct members members = walk_members(walk, AT_MEASUREMENT);

		walk->counts->measurements++;
		if (!walk_enter_object(walk))
			continue;
		while (walk_next_known(walk, &members))
			walk_values(walk);
	}
}

static void walk_top_member(struct walk *walk, enum enrich_action action)
{
	struct beacon_counts *counts = walk->counts;

	switch (action) {
	case DO_META:
		walk_meta(walk);
		break;
	case DO_COUNT_LOGS:
		counts->logs = walk_count_items(walk);
		break;
	case DO_COUNT_EXCEPTIONS:
		walk_exceptions(walk);
		break;
	case DO_COUNT_EVENTS:
		counts->events = walk_count_items(walk);
		break;
	case DO_MEASUREMENTS:
		walk_measurements(walk);
		break;
	default:
		walk_traces(walk);
		break;
	}
}

static bool has_items(const struct beacon_counts *counts)
{
	return counts->logs || counts->exceptions || counts->events || counts->measurements ||
	       counts->spans;
}

static void walk_top(struct walk *walk)
{
	struct members members = walk_members(walk, AT_TOP);
	enum json_type type = json_peek(&walk->json);
	const struct enrich_rule *rule;

	if (type != JSON_OBJECT && type != JSON_NONE) {
		walk_refuse(walk, json_offset(&walk->json), VERDICT_BAD_JSON,
			    "Rule 1 (strict JSON): the top level must be an object; send a Faro "
			    "beacon.");
		return;
	}
	if (!json_enter(&walk->json, JSON_OBJECT))
		return;
	while ((rule = walk_next_known(walk, &members)) != NULL)
		walk_top_member(walk, rule->action);
	if (!members_have(&members, DO_META))
		walk_add_member(walk, &members, TEXT_META);
	json_finish(&walk->json);
	walk->counts->left_out = walk->lost_items && !has_items(walk->counts);
}

static void walk_begin(struct walk *walk, struct enricher *enricher, struct view in,
		       struct beacon_counts *counts)
{
	*walk = (struct walk){
		.enricher = enricher, .counts = counts, .node = enricher->dropped.root};
	*counts = (struct beacon_counts){0};
	json_init(&walk->json, in);
	edits_clear(&enricher->edits);
	memset(enricher->name_claims, 0,
	       enricher->labels->app_count * sizeof(*enricher->name_claims));
}

static enum verdict verdict_of_failure(const struct walk *walk, const char **detail)
{
	if (walk->json.error == JSON_STOPPED) {
		*detail = walk->detail;
		return walk->verdict;
	}
	*detail = enrich_json_text(walk->json.error);
	return walk->json.error == JSON_EMPTY_KEY ? VERDICT_AMBIGUOUS_KEY : VERDICT_BAD_JSON;
}

/* The walk has found that the body is valid. */
static enum buf_result apply(struct walk *walk, struct view in, const struct view *texts,
			     struct buf *out)
{
	struct enricher *enricher = walk->enricher;

	if (enricher->redactor && redact_body(enricher->redactor, in, walk->spared,
					      walk->spared_count, &enricher->marks) > 0)
		return edits_apply_marked(&enricher->edits, in, texts, &enricher->marks, out,
					  &walk->counts->redactions);
	return edits_apply(&enricher->edits, in, texts, out);
}

static const struct view *texts_of(const struct walk *walk, const struct request_facts *facts)
{
	struct enricher *enricher = walk->enricher;
	const struct labels *labels = enricher->labels;

	if (labels->request_attribute_count == 0)
		return enrich_fragments_of(&enricher->texts, walk->app);
	return enrich_request_texts(&enricher->request, labels, &enricher->texts, walk->app, facts,
				    walk->counts->no_location);
}

static enum verdict write_out(struct walk *walk, struct view in, const struct request_facts *facts,
			      struct buf *out, const char **detail)
{
	const struct view *texts = texts_of(walk, facts);

	if (!texts) {
		*detail = ENRICH_NO_MEMORY;
		return VERDICT_OVERLOADED;
	}
	switch (apply(walk, in, texts, out)) {
	case BUF_OK:
		return VERDICT_OK;
	case BUF_TOO_LARGE:
		*detail = "The body with its labels is too large; send fewer items a batch.";
		return VERDICT_TOO_LARGE;
	default:
		*detail = ENRICH_NO_MEMORY;
		return VERDICT_OVERLOADED;
	}
}

enum verdict enrich(struct enricher *enricher, struct view in, const struct request_facts *facts,
		    struct buf *out, struct beacon_counts *counts, size_t *offset,
		    const char **detail)
{
	struct walk walk;

	*offset = 0;
	*detail = NULL;
	if (in.len > UINT32_MAX) {
		*detail = "The body is too large; send fewer items a batch.";
		return VERDICT_TOO_LARGE;
	}
	walk_begin(&walk, enricher, in, counts);
	walk_top(&walk);
	if (json_failed(&walk.json)) {
		*offset = json_offset(&walk.json);
		return verdict_of_failure(&walk, detail);
	}
	counts->spoofed += walk.known_claims - enricher->name_claims[walk.app];
	return write_out(&walk, in, facts, out, detail);
}

static bool init_privacy(struct enricher *enricher, const struct privacy *privacy)
{
	if (!privacy)
		return true;
	enrich_noise_init(&enricher->noise, privacy);
	if (privacy->redact.count > 0) {
		enricher->redactor = redactor_new(privacy);
		if (!enricher->redactor)
			return false;
	}
	if (!drop_init(&enricher->dropped, &privacy->drop_fields))
		return false;
	enrich_rule_sets_add(enricher->rules, &enricher->dropped.names);
	return true;
}

struct enricher *enricher_new(const struct labels *labels, const struct privacy *privacy)
{
	struct enricher *enricher = calloc(1, sizeof(*enricher));

	if (!enricher)
		return NULL;
	enricher->labels = labels;
	edits_init(&enricher->edits);
	enrich_request_init(&enricher->request);
	enrich_rule_sets_init(enricher->rules);
	enricher->name_claims = calloc(labels->app_count, sizeof(*enricher->name_claims));
	if (!init_privacy(enricher, privacy) || !enricher->name_claims ||
	    !enrich_fragments_init(&enricher->texts, labels) ||
	    !enrich_reserved_init(&enricher->names, labels)) {
		enricher_free(enricher);
		return NULL;
	}
	return enricher;
}

void enricher_free(struct enricher *enricher)
{
	if (!enricher)
		return;
	drop_release(&enricher->dropped);
	redactor_free(enricher->redactor);
	enrich_reserved_release(&enricher->names);
	enrich_fragments_release(&enricher->texts);
	enrich_request_release(&enricher->request);
	edits_release(&enricher->edits);
	free(enricher->name_claims);
	free(enricher);
}
