/* SPDX-License-Identifier: Apache-2.0 */
/*
 * enrich_reserved: tells which names that the browser may choose would look like a label of ours.
 *
 * Such names are the keys of resource attributes, of meta.session.attributes, and of the values of
 * measurements. Keys of resource attributes are only decoded before they are compared. The others
 * become keys of a log line. The receiver writes the line as logfmt, where some characters are left
 * out, or as JSON, where none are (log_format). Loki's `| logfmt` and `| json` then remove white
 * space from both ends of a key and write an underscore for each character that a label's name
 * cannot have (sanitizeLabelKey). These changes are made, for both formats, before comparing.
 */
#ifndef FARO_BEACON_ENRICH_RESERVED_H
#define FARO_BEACON_ENRICH_RESERVED_H

#include "beacon/json.h"
#include "config/labels.h"

enum enrich_owner {
	OWNER_BROWSER,  /* the browser may set it */
	OWNER_APP_NAME, /* service.name: our value depends on the app */
	OWNER_US,
};

/* A resource attribute that only we may set. */
struct enrich_label {
	struct view key, value;
};

struct enrich_reserved {
	const struct labels *labels;
	struct enrich_label *stamped; /* all but service.name, whose value depends on the app */
	size_t stamped_count;
	/* Normalised keys that nobody else may use in a session: of labels->attributes and
	 * request_attributes in their order, then of those without a value. */
	struct view *session;
	size_t session_count;
	size_t longest; /* bytes of the longest of these, the labels' keys and the apps' names */
	/* A decoded text that does not fit still looks longer than all of them. */
	char *scratch;
};

/* False without memory; enrich_reserved_release() must be called in either case. */
bool enrich_reserved_init(struct enrich_reserved *names, const struct labels *labels);
void enrich_reserved_release(struct enrich_reserved *names);

/* Who may set this resource attribute? For OWNER_US, *ours is our value, which may be empty; it is
 * for an attribute of the request, whatever that is. */
enum enrich_owner enrich_reserved_attribute(const struct enrich_reserved *names,
					    struct json_string key, struct view *ours);
/* The index of the app of that name, or app_count. */
size_t enrich_reserved_app(const struct enrich_reserved *names, struct json_string name);
/* True for a session key that would look like one of ours; *ours is then our value, as above. */
bool enrich_reserved_session(const struct enrich_reserved *names, struct json_string key,
			     struct view *ours);
/* True for a name that no value of a measurement may have: the log line has it without a prefix. */
bool enrich_reserved_value(const struct enrich_reserved *names, struct json_string name);

#endif
