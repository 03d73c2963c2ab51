/* SPDX-License-Identifier: Apache-2.0 */
/*
 * drop: the paths of FARO_DROP_FIELDS as a tree, in which a walk over a beacon goes down.
 *
 * A node stands for a member, or for the elements of an array. The walk keeps the node of each
 * object and array that it is in; NULL: nothing below is to be removed.
 */
#ifndef FARO_BEACON_DROP_H
#define FARO_BEACON_DROP_H

#include "base/arena.h"
#include "beacon/json.h"
#include "config/privacy.h"

struct drop_node {
	struct view name, also;     /* the second is snake_case; ptr NULL: there is none */
	bool dropped;               /* it ends a path */
	struct json_names names;    /* of an object: what its members are called */
	struct drop_node *members;  /* of an object: the first, */
	struct drop_node *next;     /* and the one after it */
	struct drop_node *elements; /* of an array: what all of them are */
};

struct drop_tree {
	struct drop_node *root;  /* NULL: there are no paths */
	struct json_names names; /* of all members in it */
	struct arena storage;
};

/* The paths are good (setting_check_field). False without memory; drop_release() in any case. */
bool drop_init(struct drop_tree *tree, const struct config_list *paths);
void drop_release(struct drop_tree *tree);

/* False for most keys that no member has. */
static inline bool drop_may_have(const struct drop_node *object, struct json_string key)
{
	return json_names_may_have(&object->names, key);
}
/* The member of this name: decoded and folded as the Faro receiver does it. */
const struct drop_node *drop_find(const struct drop_node *object, struct json_string key);

#endif
