/* SPDX-License-Identifier: Apache-2.0 */
/*
 * privacy: what the operator leaves out of beacons, as it was set. All of it is off by default.
 *
 * config fills it in, and beacon/ carries it out. Read-only after the start, and shared by all
 * threads.
 */
#ifndef FARO_CONFIG_PRIVACY_H
#define FARO_CONFIG_PRIVACY_H

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

struct privacy {
	enum config_switch drop_extension_errors;
	struct config_list drop_errors; /* literal texts */
};

#endif
