/* SPDX-License-Identifier: Apache-2.0 */
/*
 * enrich_walk: the state of one pass over a beacon, and the steps that all walkers take. Internal
 * to enrich*.c.
 *
 * A step that fails sets the cursor's error. That error ends every loop above it, so the walkers
 * return no results.
 */
#ifndef FARO_BEACON_ENRICH_WALK_H
#define FARO_BEACON_ENRICH_WALK_H

#include "beacon/drop.h"
#include "beacon/edits.h"
#include "beacon/enrich.h"
#include "beacon/enrich_fragments.h"
#include "beacon/enrich_request.h"
#include "beacon/enrich_reserved.h"
#include "beacon/enrich_rules.h"
#include "beacon/json.h"
#include "beacon/redact.h"

#define ENRICH_NO_MEMORY "There is no memory for this body now; send it again later."

/* Exceptions that are left out. */
struct enrich_noise {
	bool any, extensions;
	const struct config_list *texts;                         /* NULL: none */
	struct json_names of_exception, of_stacktrace, of_frame; /* members that count */
};

struct enricher {
	const struct labels *labels;
	struct enrich_noise noise;
	struct drop_tree dropped;
	struct redactor *redactor;                    /* NULL: nothing is redacted */
	struct redact_marks marks;                    /* made by it */
	struct edits_items items[JSON_MAX_DEPTH + 1]; /* lent to objects, by depth */
	struct enrich_rule_set rules[ENRICH_LEVELS];
	struct edits edits;
	struct enrich_fragments texts;
	struct enrich_request request; /* unused unless there are request attributes */
	struct enrich_reserved names;
	uint32_t *name_claims; /* for each app: how many resources claimed its name */
};

enum {
	/* Four labels in meta.app, the session's id, and serviceName, which come once each. */
	WALK_SPARED_MAX = 6
};

struct walk {
	struct json json;
	struct enricher *enricher;
	struct beacon_counts *counts;
	size_t app;                          /* index into labels->apps */
	uint32_t known_claims;               /* sum of name_claims */
	const struct drop_node *node;        /* of the next value */
	bool lost_items;                     /* the operator's settings have removed one */
	struct view spared[WALK_SPARED_MAX]; /* values that are not redacted */
	size_t spared_count;
	enum verdict verdict; /* of walk_refuse() */
	const char *detail;
};

/* The object that is being walked: which rows were met, and whether it has any member. */
struct members {
	const struct enrich_rule_set *set;
	uint32_t seen;
	bool any;    /* known at the end of the object */
	size_t from; /* where the member begins that walk_next_known() has found */
	const struct drop_node *node;
	struct edits_items *items; /* NULL unless members may be removed */
	bool borrows_items;        /* the walker has none, and fields are dropped */
};

/* The value that the browser sent for a label. */
struct claim {
	bool made; /* false for null, "" and a missing value: these claim nothing */
	bool is_string;
	struct json_string string;
};

/* The value that begins at `from`, and has just been passed, is not redacted. */
void walk_spare(struct walk *walk, size_t from);
/* Ends the pass with this verdict. Must not be called after another error. */
void walk_refuse(struct walk *walk, size_t offset, enum verdict verdict, const char *detail);
/* True if the next value has the type that a rule wants. False for null, which is skipped, and for
 * any other type, which ends the pass. */
bool walk_next_is(struct walk *walk, enum json_type wanted);
/* Step into the next value if it is an object, or an array; otherwise like walk_next_is(). */
bool walk_enter_object(struct walk *walk);
bool walk_enter_array(struct walk *walk);
static inline struct members walk_members(const struct walk *walk, enum enrich_level level)
{
	return (struct members){.set = &walk->enricher->rules[level], .node = walk->node};
}
/* Goes to the value of the next member that has a rule, and returns that rule. Skips all other
 * members. NULL at the end of the object. */
const struct enrich_rule *walk_next_known(struct walk *walk, struct members *members);
bool members_have(const struct members *members, enum enrich_action action);
/* Goes to the next element of the array whose node this is. */
static inline bool walk_next_element(struct walk *walk, const struct drop_node *array)
{
	if (!json_element(&walk->json))
		return false;
	walk->node = array ? array->elements : NULL;
	return true;
}
/* If FARO_DROP_FIELDS has this member of the object: removes it, with its value that comes next.
 * Else the value's node is set. For members that the walker looks at one by one. */
bool walk_drop_member(struct walk *walk, struct edits_items *items, const struct drop_node *object,
		      struct json_string key);
/* Passes over the next value, all of it, and removes the fields in it that are dropped. */
void walk_pass_value(struct walk *walk);
static inline void walk_pass(struct walk *walk)
{
	if (walk->node)
		walk_pass_value(walk);
	else
		json_skip(&walk->json);
}
/* Passes over an array, or null, and returns how many items it has. */
uint32_t walk_count_items(struct walk *walk);

void walk_add_text(struct walk *walk, size_t offset, size_t removed, unsigned text);
/* Adds a member to the object that was just left. */
void walk_add_member(struct walk *walk, struct members *members, enum enrich_text text);
/* Replaces the next value. */
void walk_replace_next(struct walk *walk, enum enrich_text text);
/* For containers whose items may be removed (edits.h): the cursor has come to the next item. */
void walk_next_item(struct walk *walk, struct edits_items *items);
/* Goes to the next member that may have one of the names, or another one. Those in between stay. */
bool walk_next_of(struct walk *walk, struct edits_items *items, const struct json_names *names,
		  struct json_string *key);
/* Removes that item, which begins at `from` and has just been passed. */
void walk_remove_item(struct walk *walk, struct edits_items *items, size_t from);
/* Ends the container that was just left. `appends`: members will be added. Returns true if a comma
 * must precede them. */
bool walk_close(struct walk *walk, struct edits_items *items, bool appends);
/* The same, and appends `text` to its items, which may be empty unless `appends`. */
void walk_close_with(struct walk *walk, struct edits_items *items, enum enrich_text text,
		     bool appends);

/* Reads the next value into `claim`, which may already hold an earlier value of the same label. */
void walk_read_claim(struct walk *walk, struct claim *claim);
bool claim_is(const struct claim *claim, struct view text);
/* Counts a claim that differs from our value. */
void walk_count_spoof(struct walk *walk, const struct claim *claim, struct view ours);
/* The index of the app that the claim names, or app_count. */
size_t walk_claimed_app(const struct walk *walk, const struct claim *claim);

/* Walkers in files of their own. */
void walk_meta(struct walk *walk);
void walk_traces(struct walk *walk);
void walk_exceptions(struct walk *walk);
void enrich_noise_init(struct enrich_noise *noise, const struct privacy *privacy);

#endif
