/*
 * setting: the table of all settings and the parsers of their values; private to config.
 *
 * A parser gets a text that is not empty and sets one member of the config, or reports what was
 * expected with setting_problem() and goes on: after a problem the config is thrown away.
 */
#ifndef FARO_CONFIG_SETTING_H
#define FARO_CONFIG_SETTING_H

#include "config/config.h"

#define SETTING_PREFIX "FARO_"

enum setting_id {
	SETTING_UPSTREAM_URL,
	SETTING_UPSTREAM_CA_FILE,
	SETTING_UPSTREAM_API_KEY_FILE,
	SETTING_UPSTREAM_TENANT,
	SETTING_UPSTREAM_CONNECT_TIMEOUT_MS,
	SETTING_UPSTREAM_TIMEOUT_MS,
	SETTING_UPSTREAM_MAX_INFLIGHT,
	SETTING_APP_NAMES,
	SETTING_LABEL_ATTRIBUTES,
	SETTING_PATH,
	SETTING_ALLOWED_ORIGINS,
	SETTING_MAX_BODY_BYTES,
	SETTING_MAX_DECODED_BYTES,
	SETTING_MAX_MEMORY_BYTES,
	SETTING_SPOOL_DIR,
	SETTING_SPOOL_MAX_BYTES,
	SETTING_SPOOL_MAX_AGE_S,
	SETTING_SPOOL_SYNC,
	SETTING_REPLAY_RATE,
	SETTING_WORKERS,
	SETTING_DRAIN_TIMEOUT_MS,
	SETTING_LOG_FORMAT,
	SETTING_LOG_LEVEL,
	SETTING_COUNT
};

struct reading {
	struct config *config;
	FILE *errors;
	const char *text[SETTING_COUNT]; /* NULL: neither flag nor variable, or an empty one */
	bool is_flag[SETTING_COUNT];
	char *space; /* the free part of config->storage */
	bool failed;
};

typedef void setting_parser(struct reading *reading, enum setting_id id, const char *text);

struct setting {
	const char *name;      /* without FARO_ */
	const char *kind;      /* in --help */
	setting_parser *parse; /* NULL: labels.c takes the text */
	size_t offset;         /* in struct config, of a number */
	uint64_t min, max;     /* of a number */
	const char *default_text;
	const char *help;
};

extern const struct setting settings[SETTING_COUNT];

/* An option that is no setting. */
struct setting_option {
	const char *name, *value; /* `value` NULL: it takes none */
	enum config_mode mode;
	const char *help;
};

enum {
	SETTING_OPTIONS = 10
};

extern const struct setting_option setting_options[SETTING_OPTIONS];

/* setting_parse.c; the others are used in the table only. */
setting_parser setting_parse_url, setting_parse_ca_file, setting_parse_key_file;
setting_parser setting_parse_tenant, setting_parse_path, setting_parse_origins;
setting_parser setting_parse_spool_dir;

/* The setting with this name, or -1. */
int setting_find(const char *name, size_t len);
/* UPSTREAM_URL as upstream-url. */
void setting_print_flag(char *out, size_t size, const char *name);
/* " 1 to 64", or nothing where there is no range. */
void setting_print_range(char *out, size_t size, const struct setting *setting);
/* Digits, up to *rest. False without any, or beyond UINT64_MAX. */
bool setting_parse_whole(const char *text, uint64_t *value, const char **rest);

/* One masked line; a warning begins with that word. */
void setting_report(FILE *errors, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* "FARO_WORKERS=x: ..." or "--workers=x: ..."; `value` is NULL where it may hold a secret. */
void setting_problem(struct reading *reading, enum setting_id id, const char *value,
		     const char *fmt, ...) __attribute__((format(printf, 4, 5)));
void setting_out_of_memory(struct reading *reading);

#endif
