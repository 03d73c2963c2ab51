/*
 * enrich_names: which of the browser's free names would pass for a label of ours further on.
 *
 * Free names are the keys of resource attributes, of meta.session.attributes and of a measurement's
 * values. The first are compared as they are (decoded). The others go into a log line: as logfmt the
 * receiver drops some characters from them, as JSON it drops none (log_format). Loki's `| logfmt` and
 * `| json` then take white space from both ends of the line's keys and write _ for whatever cannot
 * stand in a label's name (sanitizeLabelKey). Both are done, for both formats, before comparing.
 */
#ifndef FARO_BEACON_ENRICH_RESERVED_H
#define FARO_BEACON_ENRICH_RESERVED_H

#include "beacon/json.h"
#include "config/labels.h"

enum enrich_owner {
	OWNER_BROWSER,  /* not ours: passes */
	OWNER_APP_NAME, /* service.name: the value depends on the app */
	OWNER_US,
};

/* A resource attribute that only we may set. */
struct enrich_label {
	struct view key, value;
};

struct enrich_reserved {
	const struct labels *labels;
	struct enrich_label
		*stamped; /* service.name, whose value depends on the app, is not here */
	size_t stamped_count;
	struct view *session; /* normalised keys, in the order of labels->attributes */
	size_t longest;       /* of these, the labels' keys and the apps' names, in bytes */
	char *scratch;        /* longest + 4 bytes: a text that was cut for it is still too long */
};

/* False without memory; enrich_reserved_release() is due all the same. */
bool enrich_reserved_init(struct enrich_reserved *names, const struct labels *labels);
void enrich_reserved_release(struct enrich_reserved *names);

/* Whose is a resource attribute? For OWNER_US *ours is our value, empty where nothing is known. */
enum enrich_owner enrich_reserved_attribute(const struct enrich_reserved *names,
					    struct json_string key, struct view *ours);
/* The index of the app of that name, or app_count. */
size_t enrich_reserved_app(const struct enrich_reserved *names, struct json_string name);
/* The index of the attribute whose session key `key` would look like, or attribute_count. */
size_t enrich_reserved_session(const struct enrich_reserved *names, struct json_string key);
/* May no measurement's value be called so? */
bool enrich_name_is_reserved(struct json_string name);

#endif
