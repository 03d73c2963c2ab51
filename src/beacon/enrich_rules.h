/*
 * enrich_rules: the names that the receiver's decoders know on the way to a label, in one table.
 *
 * enrich walks a beacon by it; the manual's section LABELS shows the same table, and a test
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
	AT_MEASUREMENT,
	AT_TRACES,
	AT_RESOURCE_SPANS,
	AT_SCOPE_SPANS,
	AT_RESOURCE,
	AT_ATTRIBUTE,
};

/* What enrich does with the value. The order is of no meaning. */
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
};

struct enrich_rule {
	enum enrich_level level;
	const char *path;     /* of the object, as the manual writes it; "" is the top level */
	struct view name;     /* canonical */
	struct view also;     /* OTLP's snake_case, canonical too; absent if there is none */
	enum json_type takes; /* null is always taken as well; JSON_NONE: any type passes */
	enum enrich_action action;
	const char *done; /* for the manual */
};

extern const struct enrich_rule enrich_rules[];
extern const size_t enrich_rule_count;

/* What is wrong with a key that stands for a rule. */
enum enrich_key_fault {
	KEY_GOOD,
	KEY_REPEATED,
	KEY_MISSPELLED
};

/* The rule that `key` stands for at this level, even in another spelling; NULL when the receiver
 * does not know the name. *seen collects the level's rules from member to member; begin with 0. */
const struct enrich_rule *enrich_rule_find(enum enrich_level level, struct json_string key,
					   uint32_t *seen, enum enrich_key_fault *fault);

/* A whole sentence on a body that json refused: what is wrong and what to do. */
const char *enrich_json_text(enum json_error error);

#endif
