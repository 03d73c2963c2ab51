/*
 * enrich_walk: what the walkers of enrich share: the state of one pass, and the steps that each of
 * them takes. Internal to enrich*.c.
 *
 * A step that fails has set the cursor's error, which ends every loop above it; nobody has to pass
 * results up.
 */
#ifndef FARO_BEACON_ENRICH_WALK_H
#define FARO_BEACON_ENRICH_WALK_H

#include "beacon/edits.h"
#include "beacon/enrich.h"
#include "beacon/enrich_fragments.h"
#include "beacon/enrich_reserved.h"
#include "beacon/enrich_rules.h"
#include "beacon/json.h"

struct enricher {
	const struct labels *labels;
	struct edits edits;
	struct enrich_fragments texts;
	struct enrich_reserved names;
	uint32_t *name_claims; /* how many resources claimed to be which app */
};

struct walk {
	struct json json;
	struct enricher *enricher;
	struct beacon_counts *counts;
	size_t app;            /* index into labels->apps */
	uint32_t known_claims; /* sum of name_claims */
	enum verdict verdict;  /* why json_stop() was called */
	const char *detail;
};

/* An object under way: which rows were met, and whether it has any member. */
struct members {
	enum enrich_level level;
	uint32_t seen;
	bool any;
};

/* What the browser says that a value is. */
struct claim {
	bool made; /* anything but null, "" or nothing at all */
	bool is_string;
	struct json_string string;
};

/* An item that is to go, until it is known whether a comma follows. */
struct removal {
	bool pending;
	size_t from, to;
};

/* Ends the pass with a verdict of ours; nothing has ended it before. */
void walk_refuse(struct walk *walk, size_t offset, enum verdict verdict, const char *detail);
/* Is the value that comes next of the type a rule wants? False for null, which is passed, and for
 * any other type, which is refused. */
bool walk_next_is(struct walk *walk, enum json_type wanted);
/* Steps into what comes next if it is an object (an array); else like walk_next_is(). */
bool walk_enter_object(struct walk *walk);
bool walk_enter_array(struct walk *walk);
/* The rule of the next member that has one, with the cursor at its value; the members that no rule
 * knows are passed. NULL at the end of the object. */
const struct enrich_rule *walk_next_known(struct walk *walk, struct members *members);
bool members_have(const struct members *members, enum enrich_action action);
/* Passes an array or null; how many items it has. */
uint32_t walk_count_items(struct walk *walk);

void walk_add_text(struct walk *walk, size_t offset, size_t removed, unsigned text);
/* Adds a member of ours to the object that was just left. */
void walk_add_member(struct walk *walk, struct members *members, enum enrich_text text);
/* Puts a value of ours in the place of the one that comes next. */
void walk_replace_next(struct walk *walk, enum enrich_text text);
/* The removal under way happens, together with the comma that the cursor has just passed. */
void walk_remove_with_comma(struct walk *walk, struct removal *removal);
/* For the container that was just left: the last of its items may have to go, and ours come in.
 * `any`: it had items. */
void walk_close_with(struct walk *walk, const struct removal *removal, bool any,
		     enum enrich_text text);

/* Reads the value that comes next into `claim`, which may hold what an earlier value said. */
void walk_read_claim(struct walk *walk, struct claim *claim);
bool claim_is(const struct claim *claim, struct view text);
void walk_count_spoof(struct walk *walk, const struct claim *claim, struct view ours);
/* The index of the app that the claim names, or app_count. */
size_t walk_claimed_app(const struct walk *walk, const struct claim *claim);

/* The walkers that have a file of their own. */
void walk_meta(struct walk *walk);
void walk_traces(struct walk *walk);

#endif
