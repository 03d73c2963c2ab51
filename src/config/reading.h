/* SPDX-License-Identifier: Apache-2.0 */
/*
 * reading: what is known while the settings are read, and how problems are reported; private to
 * config.
 *
 * A problem is one line on `errors` and never ends the reading, so that one run shows them all.
 */
#ifndef FARO_CONFIG_READING_H
#define FARO_CONFIG_READING_H

#include "config/setting.h"

struct reading {
	struct config *config;
	FILE *errors;
	struct {
		const char *text; /* NULL: neither option nor variable, or an empty one */
		bool is_option;
	} given[SETTINGS_MAX]; /* in the order of the rows */
	bool failed;
};

/* The steps of config_init(), in their order. */
void arguments_read(struct reading *reading, int argc, char **argv);
void environment_read(struct reading *reading);
void defaults_choose(struct reading *reading);

/* What was given for a setting, NULL: nothing. */
const char *reading_text(const struct reading *reading, const struct setting *setting);

/* One masked line; it fails nothing. A warning begins with that word. */
void reading_report(struct reading *reading, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));
/* "FARO_WORKERS=x: ..." or "--workers=x: ..."; `value` is NULL where it may hold a secret. */
void reading_problem(struct reading *reading, const struct setting *setting, const char *value,
		     const char *fmt, ...) __attribute__((format(printf, 4, 5)));
/* The same for what is no setting: "ARGUMENT: REASON; see --help". */
void reading_bad_argument(struct reading *reading, const char *argument, const char *reason);
void reading_out_of_memory(struct reading *reading);

#endif
