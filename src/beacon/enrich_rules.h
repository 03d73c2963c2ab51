/* SPDX-License-Identifier: Apache-2.0 */
/*
 * enrich_rules: one table of the names that matter to labels and that the receiver's decoders know.
 *
 * enrich follows it through a beacon. The section LABELS of the manual shows the same table; a test
 * compares the two.
 */
#ifndef FARO_BEACON_ENRICH_RULES_H
#define FARO_BEACON_ENRICH_RULES_H

#include "beacon/json.h"

/* The objects in which names are known. */
enum enrich_level {
	AT_TOP,
	AT_META,
	AT_APP,
	AT_SESSION,
	AT_OVERRIDES,
	AT_MEASUREMENT,
	AT_TRACES,
	AT_RESOURCE_SPANS,
	AT_SCOPE_SPANS,
	AT_SPAN,
	AT_LINK,
	AT_RESOURCE,
	AT_ATTRIBUTE,
	ENRICH_LEVELS
};

/* What enrich does with the value. The order has no meaning. */
enum enrich_action {
	DO_PASS,
	DO_META,
	DO_COUNT_LOGS,
	DO_COUNT_EXCEPTIONS,
	DO_COUNT_EVENTS,
	DO_MEASUREMENTS,
	DO_VALUES,
	DO_APP,
	DO_SESSION,
	DO_SESSION_ATTRIBUTES,
	DO_OVERRIDES,
	DO_SERVICE_NAME,
	DO_LOCATION,
	DO_GEO,
	DO_APP_NAME,
	DO_APP_NAMESPACE,
	DO_APP_VERSION,
	DO_APP_ENVIRONMENT,
	DO_TRACES,
	DO_RESOURCE_SPANS,
	DO_RESOURCE,
	DO_ATTRIBUTES,
	DO_KEY,
	DO_VALUE,
	DO_SCOPE_SPANS,
	DO_DEPRECATED_SCOPE_SPANS,
	DO_SPANS,
	DO_TRACE_ID,
	DO_SPAN_ID,
	DO_PARENT_SPAN_ID,
	DO_LINKS,
};

struct enrich_rule {
	enum enrich_level level;
	const char *path; /* of the object, as the manual writes it; "" is the top level */
	struct view name; /* canonical */
	struct view also; /* OTLP's snake_case, just as canonical; ptr is NULL if there is none */
	enum json_type takes; /* null is always allowed; JSON_NONE: any type is */
	enum enrich_action action;
	const char *done; /* for the manual */
};

extern const struct enrich_rule enrich_rules[];
extern const size_t enrich_rule_count;

/* What is wrong with a key that has a rule. */
enum enrich_key_fault {
	KEY_GOOD,
	KEY_REPEATED,
	KEY_MISSPELLED
};

/* The rules of one level. */
struct enrich_rule_set {
	const struct enrich_rule *rules;
	unsigned count;          /* at most 32: a bit each in *seen */
	struct json_names names; /* tells most keys that nobody asks for */
};

/* Fills in the sets of all levels. */
void enrich_rule_sets_init(struct enrich_rule_set sets[ENRICH_LEVELS]);

/* Adds names to `names` of all sets. */
void enrich_rule_sets_add(struct enrich_rule_set sets[ENRICH_LEVELS],
			  const struct json_names *names);

/* Finds the rule for `key`, in any spelling; NULL if the receiver does not know the name. *seen
 * collects which rules of an object were found; begin each object with 0. */
const struct enrich_rule *enrich_rule_find(const struct enrich_rule_set *set,
					   const struct json_string *key, uint32_t *seen,
					   enum enrich_key_fault *fault);

/* A sentence for a body that json rejected: what is wrong and what to do. */
const char *enrich_json_text(enum json_error error);

#endif
