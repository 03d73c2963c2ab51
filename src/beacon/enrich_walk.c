/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DESIGN. The steps here are all that walkers do with the cursor and the list of edits, besides
 * json_skip() and json_read_string(). enrich_walk.h explains each.
 */
#include "beacon/enrich_walk.h"

void walk_spare(struct walk *walk, size_t from)
{
	if (walk->spared_count < WALK_SPARED_MAX)
		walk->spared[walk->spared_count++] =
			(struct view){walk->json.start + from, json_offset(&walk->json) - from};
}

void walk_refuse(struct walk *walk, size_t offset, enum verdict verdict, const char *detail)
{
	walk->verdict = verdict;
	walk->detail = detail;
	walk->json.at = walk->json.start + offset;
	json_stop(&walk->json);
}

static void refuse_type(struct walk *walk, enum json_type wanted)
{
	const char *detail =
		wanted == JSON_ARRAY
			? "Rule 2 (wrong type): a known name must hold an array or null."
		: wanted == JSON_STRING
			? "Rule 2 (wrong type): a resource attribute's key must be a string."
			: "Rule 2 (wrong type): a known name or item must be an object or null.";

	walk_refuse(walk, json_offset(&walk->json), VERDICT_BAD_JSON, detail);
}

static void refuse_key(struct walk *walk, size_t offset, enum enrich_key_fault fault)
{
	walk_refuse(
		walk, offset, VERDICT_AMBIGUOUS_KEY,
		fault == KEY_REPEATED
			? "Rule 2 (ambiguous_key): a known name comes twice in one object; send it "
			  "once."
			: "Rule 2 (ambiguous_key): a known name is written in another case or with "
			  "escapes; write it as the Faro SDK does.");
}

bool walk_next_is(struct walk *walk, enum json_type wanted)
{
	enum json_type type = json_peek(&walk->json);

	if (type == wanted)
		return true;
	if (type == JSON_NULL || type == JSON_NONE)
		json_skip(&walk->json); /* for JSON_NONE this sets the error */
	else
		refuse_type(walk, wanted);
	return false;
}

/* Nothing that follows can make the body acceptable, and it may be long. */
static void stop_without_edits(struct walk *walk)
{
	if (json_failed(&walk->json))
		return;
	if (walk->enricher->edits.error == EDITS_FULL)
		walk_refuse(walk, json_offset(&walk->json), VERDICT_TOO_LARGE,
			    "The body has too many resources or forged labels; send fewer "
			    "items a batch.");
	else
		walk_refuse(walk, json_offset(&walk->json), VERDICT_OVERLOADED, ENRICH_NO_MEMORY);
}

/* After every step that may have added an edit. */
static void check_edits(struct walk *walk)
{
	if (walk->enricher->edits.error != EDITS_OK)
		stop_without_edits(walk);
}

void walk_add_text(struct walk *walk, size_t offset, size_t removed, unsigned text)
{
	edits_add(&walk->enricher->edits, offset, removed, text);
	check_edits(walk);
}

/* The offset of the closing bracket of the container that was just left. */
static size_t closing(const struct walk *walk)
{
	return json_offset(&walk->json) - 1;
}

void walk_add_member(struct walk *walk, struct members *members, enum enrich_text text)
{
	walk_add_text(walk, closing(walk), 0,
		      enrich_fragment_index(text, members->any ? WITH_COMMA : BARE));
	members->any = true;
}

void walk_replace_next(struct walk *walk, enum enrich_text text)
{
	size_t from;

	json_peek(&walk->json);
	from = json_offset(&walk->json);
	if (json_skip(&walk->json))
		walk_add_text(walk, from, json_offset(&walk->json) - from,
			      enrich_fragment_index(text, VALUE));
}

/* Compares the next value with the type in the table. null passes, since the receiver ignores it.
 * What is no value at all passes too: json_skip() will set the error. */
static bool has_wrong_type(struct walk *walk, const struct enrich_rule *rule)
{
	enum json_type type;

	if (rule->takes == JSON_NONE)
		return false;
	type = json_peek(&walk->json);
	return type != rule->takes && type != JSON_NULL && type != JSON_NONE;
}

/* The next member that may have a rule, or be dropped. */
static bool next_member(struct walk *walk, struct members *members, struct json_string *key)
{
	if (!members->items)
		return json_named_member(&walk->json, &members->set->names, key);
	return walk_next_of(walk, members->items, &members->set->names, key);
}

/* Objects that hold items of the beacon, or what holds them. */
static bool has_items(enum enrich_level level)
{
	return level == AT_TOP || level == AT_TRACES || level == AT_RESOURCE_SPANS ||
	       level == AT_SCOPE_SPANS;
}

/* Gives the object the means to remove members, where its walker has none. */
static void lend_items(struct walk *walk, struct members *members)
{
	members->borrows_items = true;
	members->items = &walk->enricher->items[walk->json.depth];
	*members->items = (struct edits_items){0};
}

/* True if FARO_DROP_FIELDS has the member. */
static bool drop_known(struct walk *walk, struct members *members, struct json_string key)
{
	enum json_type type = json_peek(&walk->json);
	size_t from = json_offset(&walk->json);

	if (!walk_drop_member(walk, members->items, members->node, key))
		return false;
	/* More than [], which has nothing in it. */
	if (has_items(members->set->rules->level) && (type == JSON_ARRAY || type == JSON_OBJECT) &&
	    json_offset(&walk->json) - from > 2)
		walk->lost_items = true;
	return true;
}

const struct enrich_rule *walk_next_known(struct walk *walk, struct members *members)
{
	const struct enrich_rule *rule;
	enum enrich_key_fault fault;
	struct json_string key;

	if (members->node && !members->items)
		lend_items(walk, members);
	while (next_member(walk, members, &key)) {
		walk->node = NULL;
		if (members->node && drop_may_have(members->node, key) &&
		    drop_known(walk, members, key))
			continue;
		rule = enrich_rule_find(members->set, &key, &members->seen, &fault);
		if (!rule) {
			walk_pass(walk);
		} else if (fault != KEY_GOOD) {
			refuse_key(walk, key.offset, fault);
		} else if (has_wrong_type(walk, rule)) {
			refuse_type(walk, rule->takes);
		} else {
			members->from = key.offset;
			return rule;
		}
	}
	members->any = members->borrows_items ? walk_close(walk, members->items, false)
					      : !walk->json.was_empty;
	return NULL;
}

bool walk_enter_object(struct walk *walk)
{
	return walk_next_is(walk, JSON_OBJECT) && json_enter(&walk->json, JSON_OBJECT);
}

bool walk_enter_array(struct walk *walk)
{
	return walk_next_is(walk, JSON_ARRAY) && json_enter(&walk->json, JSON_ARRAY);
}

uint32_t walk_count_items(struct walk *walk)
{
	const struct drop_node *array = walk->node;
	uint32_t count = 0;

	if (!walk_enter_array(walk))
		return 0;
	for (; walk_next_element(walk, array) && !json_failed(&walk->json); count++)
		walk_pass(walk);
	return count;
}

bool members_have(const struct members *members, enum enrich_action action)
{
	for (unsigned i = 0; i < members->set->count; i++)
		if (members->set->rules[i].action == action)
			return members->seen >> i & 1;
	return false;
}

void walk_read_claim(struct walk *walk, struct claim *claim)
{
	enum json_type type = json_peek(&walk->json);

	if (type == JSON_STRING) {
		claim->is_string = !claim->made;
		json_read_string(&walk->json, &claim->string);
		claim->made = claim->made || claim->string.len > 0;
	} else if (json_skip(&walk->json) && type != JSON_NULL) {
		claim->made = true;
		claim->is_string = false;
	}
}

bool claim_is(const struct claim *claim, struct view text)
{
	return claim->is_string && json_string_is(claim->string, text);
}

void walk_count_spoof(struct walk *walk, const struct claim *claim, struct view ours)
{
	if (claim->made && !claim_is(claim, ours))
		walk->counts->spoofed++;
}

size_t walk_claimed_app(const struct walk *walk, const struct claim *claim)
{
	if (!claim->is_string)
		return walk->enricher->labels->app_count;
	return enrich_reserved_app(&walk->enricher->names, claim->string);
}

bool walk_next_of(struct walk *walk, struct edits_items *items, const struct json_names *names,
		  struct json_string *key)
{
	/* The comma behind a removed member is that of the member behind it, whatever its name. */
	if (items->pending ? !json_member(&walk->json, key)
			   : !json_named_member(&walk->json, names, key))
		return false;
	walk_next_item(walk, items);
	return true;
}

void walk_next_item(struct walk *walk, struct edits_items *items)
{
	edits_next_item(&walk->enricher->edits, items, walk->json.separator);
	check_edits(walk);
}

void walk_remove_item(struct walk *walk, struct edits_items *items, size_t from)
{
	edits_remove_item(&walk->enricher->edits, items, from, json_offset(&walk->json));
}

bool walk_close(struct walk *walk, struct edits_items *items, bool appends)
{
	bool comma;

	items->any = !walk->json.was_empty;
	comma = edits_end_items(&walk->enricher->edits, items, appends);
	check_edits(walk);
	return comma;
}

void walk_close_with(struct walk *walk, struct edits_items *items, enum enrich_text text,
		     bool appends)
{
	bool comma = walk_close(walk, items, appends);

	walk_add_text(walk, closing(walk), 0,
		      enrich_fragment_index(text, comma ? WITH_COMMA : BARE));
}
