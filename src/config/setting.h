/* SPDX-License-Identifier: Apache-2.0 */
/*
 * setting: the table of all settings; private to config.
 *
 * One row is a whole setting: its name, what kind of value it takes, where that is stored in struct
 * config, the range or words it may have, its default and its help line. The variable, the option,
 * --help and the key in the log line "started" are all made from the row. The kinds are in
 * setting_type.c; what only one setting demands of its value is in setting_parse.c.
 */
#ifndef FARO_CONFIG_SETTING_H
#define FARO_CONFIG_SETTING_H

#include "base/log.h"
#include "config/config.h"

#define SETTING_PREFIX "FARO_"

enum {
	SETTINGS_MAX = 64,      /* rows; a build with more fails */
	SETTING_NAME_SIZE = 64, /* of a name's buffer, with the NUL */
};

struct reading;
struct setting;

/* Gets a text that is not empty, and sets the row's member of the config, or reports what was
 * expected with reading_problem(): after a problem the config is thrown away. */
typedef void setting_parser(struct reading *reading, const struct setting *setting,
			    const char *text);
/* Sets the value of `field`, whose key is set. `text` is empty, and is for a value that has to be
 * put together first. */
typedef void setting_logger(const struct config *config, const struct setting *setting,
			    struct log_field *field, struct buf *text);
/* How an end of the range, or a default, is written. */
typedef void setting_printer(char *out, size_t size, uint64_t value);
/*
 * What one setting demands of its value, or of each item of a list. `text` is a copy that may be
 * put into the form in which it is kept. Returns NULL, or what is wrong with it, which may be "".
 */
typedef const char *setting_check(char *text);

struct setting_type {
	const char *word; /* for the value, in --help */
	setting_parser *parse;
	setting_logger *log;
	setting_printer *print; /* NULL: it has no range */
	bool is_list;           /* may be too long for a log line, and comes last there */
};

struct setting {
	const char *name; /* the variable's */
	const struct setting_type *type;
	size_t offset;            /* in struct config */
	uint64_t min, max;        /* of a number; max also of a list's items, 0: no limit */
	const char *const *words; /* of a word, up to a NULL; the value is the index */
	setting_check *check;     /* of a text or a list; NULL: none */
	const char *expected;     /* of them, and of what is required, after "expected " */
	bool required;            /* but by --print */
	const char *default_text; /* NULL: none, or one that is found in defaults.c */
	const char *help;
};

extern const struct setting settings[];
extern const size_t setting_count;

/* The row that stores in this member of struct config. */
#define SETTING_OF(member) setting_at(offsetof(struct config, member))
const struct setting *setting_at(size_t offset);
/* The row of a variable, with FARO_, or of an option, without --; NULL: there is none. */
const struct setting *setting_of_variable(struct view name);
const struct setting *setting_of_option(struct view name);

/* FARO_UPSTREAM_URL as upstream-url, and as upstream_url. */
void setting_option_name(char out[SETTING_NAME_SIZE], const struct setting *setting);
void setting_key(char out[SETTING_NAME_SIZE], const struct setting *setting);

/* setting_type.c */
extern const struct setting_type setting_type_count, setting_type_bytes, setting_type_ms,
	setting_type_seconds, setting_type_word, setting_type_text, setting_type_file,
	setting_type_directory, setting_type_path, setting_type_url, setting_type_list,
	setting_type_app_names, setting_type_label_attributes, setting_type_request_attributes,
	setting_type_mask;
/* " 1 to 64", or nothing where there is no range. */
void setting_print_range(char *out, size_t size, const struct setting *setting);
/* Digits, up to *rest. False without any, or beyond UINT64_MAX. */
bool setting_parse_whole(const char *text, uint64_t *value, const char **rest);

/* setting_parse.c */
setting_parser setting_parse_url;
setting_check setting_check_ca_file, setting_check_key_file, setting_check_tenant,
	setting_check_path, setting_check_origin, setting_check_header, setting_check_directory;

/* setting_privacy.c */
setting_check setting_check_redact, setting_check_param, setting_check_error, setting_check_field;

#endif
