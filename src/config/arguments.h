/* SPDX-License-Identifier: Apache-2.0 */
/*
 * arguments: the options that are no settings, for the command line and --help; private to config.
 */
#ifndef FARO_CONFIG_ARGUMENTS_H
#define FARO_CONFIG_ARGUMENTS_H

#include "config/reading.h"

struct option_row;

/* `value` is not empty; NULL for an option that takes none. */
typedef void option_action(struct reading *reading, const struct option_row *option,
			   const char *value);

struct option_row {
	const char *name;   /* without -- */
	const char *letter; /* a shorter form, such as -t; NULL: none */
	const char *value;  /* the word for it in --help; NULL: it takes none */
	option_action *apply;
	enum config_mode mode; /* MODE_SERVE: it asks for no other mode */
	const char *help;
};

extern const struct option_row option_rows[];
extern const size_t option_count;

#endif
