/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DESIGN. Values without a rule are passed over. Where fields are to be dropped in them, they are
 * walked member by member; json's limit on depth bounds the recursion. Elsewhere json_skip() is
 * faster.
 */
#include "beacon/enrich_walk.h"

bool walk_drop_member(struct walk *walk, struct edits_items *items, const struct drop_node *object,
		      struct json_string key)
{
	walk->node = object ? drop_find(object, key) : NULL;
	if (!walk->node || !walk->node->dropped)
		return false;
	json_skip(&walk->json);
	walk_remove_item(walk, items, key.offset);
	walk->counts->dropped_fields++;
	return true;
}

static void pass_object(struct walk *walk)
{
	const struct drop_node *object = walk->node;
	struct edits_items items = {0};
	struct json_string key;

	json_enter(&walk->json, JSON_OBJECT);
	while (walk_next_of(walk, &items, &object->names, &key))
		if (!walk_drop_member(walk, &items, object, key))
			walk_pass(walk);
	walk_close(walk, &items, false);
}

static void pass_array(struct walk *walk)
{
	const struct drop_node *array = walk->node;

	json_enter(&walk->json, JSON_ARRAY);
	while (walk_next_element(walk, array))
		walk_pass(walk);
}

void walk_pass_value(struct walk *walk)
{
	switch (json_peek(&walk->json)) {
	case JSON_OBJECT:
		pass_object(walk);
		break;
	case JSON_ARRAY:
		pass_array(walk);
		break;
	default:
		json_skip(&walk->json);
		break;
	}
}
