/* SPDX-License-Identifier: Apache-2.0 */
/*
 * log: one line an event on stderr, logfmt or JSON, with stable keys.
 *
 *	ts=2026-11-22T17:00:00.123Z level=warn event=upstream_unavailable msg="…" status=503
 *
 * Control characters and invalid UTF-8 in values are masked as \xNN text, then values are quoted
 * where needed: a line is always one line, and any logfmt or JSON parser reads it. Never hand it a
 * body, an address, a session or a key.
 *
 * Safe from any thread; errno is kept; nothing is allocated. A line is written with one write(2)
 * and does not wait for who reads stderr (what is left is in log_output.c): where it cannot be
 * taken, it is dropped, and the next line that is written has dropped=<how many>. A field that no longer fits into the line is left out.
 */
#ifndef FARO_BASE_LOG_H
#define FARO_BASE_LOG_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"

enum {
	LOG_LINE_MAX_BYTES = 4096, /* PIPE_BUF: a pipe takes as much at once */
	LOG_LIMIT_MS = 10 * 1000,
	LOG_MINUTE_MS = 60 * 1000,
	LOG_LIMIT_EVENTS = 64, /* names with a limit of their own; all others share one */
};

enum log_format {
	LOG_FORMAT_LOGFMT,
	LOG_FORMAT_JSON
};

enum log_level {
	LOG_DEBUG,
	LOG_INFO,
	LOG_WARN,
	LOG_ERROR
};

/* A key and its value; keys are literals of [a-z_]. */
struct log_field {
	const char *key;  /* NULL ends the list */
	struct view text; /* used where text.ptr != NULL, else the number */
	int64_t number;
};

#define LOG_STR(k, s)  ((struct log_field){.key = (k), .text = view_of((s) ? (s) : "")})
#define LOG_VIEW(k, v) ((struct log_field){.key = (k), .text = (v)})
#define LOG_NUM(k, n)  ((struct log_field){.key = (k), .number = (n)})

/* Until it is called: logfmt, info. */
void log_init(int format, int level);

/* "debug" for LOG_DEBUG and so on, and a NULL behind them. */
extern const char *const log_level_names[];

/* log_event(LOG_INFO, "started", "Listening for beacons.", LOG_NUM("workers", 1)); */
#define log_event(level, event, msg, ...)  \
	log_write((level), (event), (msg), \
		  (const struct log_field[]){__VA_ARGS__ __VA_OPT__(, ){.key = NULL}})
void log_write(enum log_level level, const char *event, const char *msg,
	       const struct log_field *fields);

/*
 * The same for what may repeat as fast as requests come: at most one line an event (compared by
 * name) in 10 seconds, or in `every_ms`; the next line then has suppressed=<how many were left
 * out>. `event` must be a literal.
 */
#define log_limited(level, event, msg, ...)                      \
	log_write_limited(LOG_LIMIT_MS, (level), (event), (msg), \
			  (const struct log_field[]){__VA_ARGS__ __VA_OPT__(, ){.key = NULL}})
void log_write_limited(int64_t every_ms, enum log_level level, const char *event, const char *msg,
		       const struct log_field *fields);

/* Appends the line, in `format` and with its newline; fields that do not fit are left out. */
void log_format_line(struct buf *out, int format, const char *timestamp, enum log_level level,
		     const char *event, const char *msg, const struct log_field *fields);
/* Appends `text` with control characters and invalid UTF-8 masked as \xNN. */
enum buf_result log_mask(struct buf *out, struct view text);

/* The clock of log_limited(), in milliseconds; a test replaces it. */
extern int64_t (*log_clock_ms)(void);

#endif
