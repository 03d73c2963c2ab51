/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DESIGN. There are at most 64 paths, so the members of a node are searched one by one. Names that
 * match the same key are one node, whatever their spelling: the tree has one way for each key.
 */
#include "beacon/drop.h"

#include <string.h>

static bool is_plain_name(struct json_string key, struct view name)
{
	return view_equals_nocase((struct view){key.ptr, key.len}, name);
}

static bool is_name(struct json_string key, struct view name)
{
	if (!name.ptr)
		return false;
	return key.plain ? is_plain_name(key, name)
			 : json_string_match(key, name) != JSON_DIFFERENT;
}

const struct drop_node *drop_find(const struct drop_node *object, struct json_string key)
{
	if (!drop_may_have(object, key))
		return NULL;
	for (const struct drop_node *node = object->members; node; node = node->next)
		if (is_name(key, node->name) || is_name(key, node->also))
			return node;
	return NULL;
}

static bool is_same(struct view a, struct view b)
{
	return a.ptr && b.ptr && view_equals_nocase(a, b);
}

/* The node that already stands for the name. */
static struct drop_node *find_same(const struct drop_node *object, struct view name,
				   struct view also)
{
	struct drop_node *node;

	for (node = object->members; node; node = node->next)
		if (is_same(node->name, name) || is_same(node->also, name) ||
		    is_same(node->name, also))
			break;
	return node;
}

static void add_name(struct drop_tree *tree, struct drop_node *object, struct view name)
{
	if (!name.ptr)
		return;
	json_names_add(&object->names, name);
	json_names_add(&tree->names, name);
}

static struct drop_node *add_member(struct drop_tree *tree, struct drop_node *object,
				    struct view name)
{
	char *snake = arena_alloc(&tree->storage, 2 * name.len + 1);
	struct drop_node *node;
	struct view also;

	if (!snake)
		return NULL;
	also = privacy_snake_case(name, snake);
	add_name(tree, object, name);
	add_name(tree, object, also);
	node = find_same(object, name, also);
	if (node) {
		if (!node->also.ptr && also.ptr)
			node->also = is_same(node->name, also) ? name : also;
		return node;
	}
	node = arena_alloc(&tree->storage, sizeof(*node));
	if (!node)
		return NULL;
	*node = (struct drop_node){.name = name, .also = also, .next = object->members};
	object->members = node;
	return node;
}

static struct drop_node *add_elements(struct drop_tree *tree, struct drop_node *array)
{
	if (!array->elements)
		array->elements = arena_alloc(&tree->storage, sizeof(*array->elements));
	return array->elements;
}

static bool add_path(struct drop_tree *tree, struct view text)
{
	char *names = arena_alloc(&tree->storage, text.len + 1);
	struct drop_node *node = tree->root;
	const char *path = text.ptr;
	struct privacy_step step;

	while (names && node && privacy_path_next(&path, names, &step) == PATH_STEP) {
		names += step.name.len;
		node = add_member(tree, node, step.name);
		for (unsigned i = 0; i < step.arrays && node; i++)
			node = add_elements(tree, node);
	}
	if (!names || !node)
		return false;
	node->dropped = true;
	return true;
}

bool drop_init(struct drop_tree *tree, const struct config_list *paths)
{
	*tree = (struct drop_tree){.root = NULL};
	if (paths->count == 0)
		return true;
	tree->root = arena_alloc(&tree->storage, sizeof(*tree->root));
	for (size_t i = 0; i < paths->count; i++)
		if (!tree->root || !add_path(tree, paths->items[i]))
			return false;
	return true;
}

void drop_release(struct drop_tree *tree)
{
	arena_release(&tree->storage);
	tree->root = NULL;
}
