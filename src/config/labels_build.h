/* SPDX-License-Identifier: Apache-2.0 */
/*
 * labels_build: what is known while the labels are made; private to labels.
 *
 *	labels.c             chooses the values, in the order of the sources
 *	labels_attributes.c  reads OTEL_RESOURCE_ATTRIBUTES
 *	labels_keys.c        which keys FARO_LABEL_ATTRIBUTES may name
 *	labels_request.c     which keys FARO_REQUEST_ATTRIBUTES may name, and their parameters
 *	labels_json.c        makes the JSON fragments
 *
 * Without memory a function sets `out_of_memory`, and what it returns is empty.
 */
#ifndef FARO_CONFIG_LABELS_BUILD_H
#define FARO_CONFIG_LABELS_BUILD_H

#include "config/labels.h"

#define RESOURCE_ATTRIBUTES "OTEL_RESOURCE_ATTRIBUTES"
#define LABEL_ATTRIBUTES    "FARO_LABEL_ATTRIBUTES"
#define REQUEST_ATTRIBUTES  "FARO_REQUEST_ATTRIBUTES"
#define CLIENT_ADDRESS      "FARO_CLIENT_ADDRESS"
#define DEPLOYMENT_OLD      "deployment.environment"
#define DEPLOYMENT          "deployment.environment.name"

/* One decoded member of OTEL_RESOURCE_ATTRIBUTES. */
struct resource_attribute {
	struct view key, value;
};

struct labels_build {
	struct labels *labels;
	const struct labels_source *source;
	labels_complaint *complain;
	void *arg;
	struct resource_attribute *attributes; /* in their order */
	size_t attribute_count;
	struct view file_namespace;
	bool failed;
	bool out_of_memory;
};

void labels_complain(struct labels_build *build, bool fatal, const char *setting, const char *fmt,
		     ...) __attribute__((format(printf, 4, 5)));

/* Complains of a list that has more than `max` items, where `what` names them ("keys"). */
bool labels_are_too_many(struct labels_build *build, const char *setting, const char *what,
			 size_t count, int max);
/* As much of a key as a complaint shows. */
int labels_shown_len(struct view key);

/* Zeroed; NULL without memory. */
void *labels_alloc(struct labels_build *build, size_t size);
/* With a NUL behind it. */
char *labels_duplicate(struct labels_build *build, struct view text);
struct view labels_copy(struct labels_build *build, struct view text);

/* With an underscore for each dot. */
struct view labels_session_key(struct labels_build *build, struct view key);

/* Any error in the variable is a warning, and leaves no attribute. */
void labels_parse_attributes(struct labels_build *build);
/* The last value of this key; empty where it is not set, or set to nothing. */
struct view labels_attribute_value(const struct labels_build *build, struct view key);

/* False, with a complaint, for a key that cannot be a label, or always is one. */
bool labels_may_label(struct labels_build *build, struct view key);
/* False, with a warning, for a key that cannot be stamped because it has no value. */
bool labels_has_value(struct labels_build *build, struct view key);
/* Whether every beacon gets this key from us. */
bool labels_is_always_stamped(struct view key);
/* Whether a LogQL query, which sees both keys through `| logfmt`, cannot tell them apart. */
bool labels_same_when_queried(struct view a, struct view b);

void labels_choose_request_attributes(struct labels_build *build);

void labels_make_fragments(struct labels_build *build);

#endif
