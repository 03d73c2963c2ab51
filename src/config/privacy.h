/* SPDX-License-Identifier: Apache-2.0 */
/*
 * privacy: what the operator leaves out of beacons, as it was set. All of it is off by default.
 *
 * config fills it in, and beacon/ carries it out. Read-only after the start, and shared by all
 * threads.
 */
#ifndef FARO_CONFIG_PRIVACY_H
#define FARO_CONFIG_PRIVACY_H

#include <stdbool.h>

#include "base/buf.h"

struct config_list {
	struct view *items; /* each with a NUL behind it */
	size_t count;
};

enum config_switch {
	SWITCH_OFF,
	SWITCH_ON,
};

enum {
	PRIVACY_LIST_MAX = 64,       /* items of each list */
	PRIVACY_TEXT_MAX_BYTES = 255 /* of an item */
};

/* The items of FARO_REDACT. */
#define PRIVACY_REDACT_WORDS     \
	PRIVACY_REDACT(secrets)  \
	PRIVACY_REDACT(query)    \
	PRIVACY_REDACT(fragment) \
	PRIVACY_REDACT(userinfo) \
	PRIVACY_REDACT(email)

struct privacy {
	struct config_list redact;        /* of those words */
	struct config_list redact_params; /* names of parameters beside the known ones */
	struct config_list redact_keep;   /* names of parameters that `query` keeps */
	enum config_switch drop_extension_errors;
	struct config_list drop_errors; /* literal texts */
	struct config_list drop_fields; /* paths, see privacy_path_next() */
};

/*
 * A path has names with dots between them, and [] behind the name of an array whose elements it
 * goes into: logs[].context.token. A backslash takes the character behind it as it is.
 */
struct privacy_step {
	struct view name;
	unsigned arrays; /* how many [] follow */
};

enum privacy_path {
	PATH_STEP,
	PATH_END,
	PATH_MALFORMED
};

/* Takes the next name off the path. It is written into `name`, which has as many bytes as the path. */
enum privacy_path privacy_path_next(const char **path, char *name, struct privacy_step *step);
/* The name in snake_case, if it is in camelCase. `out` has twice as many bytes; without a capital
 * letter its ptr is NULL. */
struct view privacy_snake_case(struct view name, char *out);

#endif
