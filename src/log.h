/*
 * log: one line an event on stderr, logfmt or JSON, with stable keys.
 *
 *	ts=2026-11-22T17:00:00.123Z level=warn event=upstream_unavailable msg="…" status=503
 *
 * Values are quoted where needed, and control bytes, DEL and invalid UTF-8 in them are masked as \xNN
 * text, so that a line is always one line. Never hand it a body, an address, a session or a key.
 * A line is written with one write(2). Safe from any thread; errno is kept.
 */
#ifndef FARO_LOG_H
#define FARO_LOG_H

#include <stdbool.h>
#include <stdint.h>

#include "buf.h"

enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR };

/* A key and its value; keys are literals of [a-z_]. */
struct log_field {
	const char *key; /* NULL ends the list */
	struct view text; /* used where text.ptr != NULL, else the number */
	int64_t number;
};

#define LOG_STR(k, s)	((struct log_field){.key = (k), .text = view_of((s) ? (s) : "")})
#define LOG_VIEW(k, v)	((struct log_field){.key = (k), .text = (v)})
#define LOG_NUM(k, n)	((struct log_field){.key = (k), .number = (n)})

/* `format` is an enum log_format of config.h. Before it is called: logfmt, info. */
void log_init(int format, int level);

/* log_event(LOG_INFO, "started", "Listening for beacons.", LOG_NUM("workers", 1)); */
#define log_event(level, event, msg, ...)                                                          \
	log_write((level), (event), (msg),                                                         \
		  (const struct log_field[]){__VA_ARGS__ __VA_OPT__(, ) {.key = NULL}})
void log_write(enum log_level level, const char *event, const char *msg,
	       const struct log_field *fields);

/*
 * The same for what may repeat as fast as requests come: at most one line an event (compared by
 * name) in 10 seconds; the next line then carries suppressed=<how many were left out>. `event` must
 * be a literal.
 */
#define log_limited(level, event, msg, ...)                                                        \
	log_write_limited((level), (event), (msg),                                                 \
			  (const struct log_field[]){__VA_ARGS__ __VA_OPT__(, ) {.key = NULL}})
void log_write_limited(enum log_level level, const char *event, const char *msg,
		       const struct log_field *fields);

/* Unquoted logfmt into a buffer, for tests and for faro-ingest -t. */
void log_format_line(struct buf *out, int format, const char *timestamp, enum log_level level,
		     const char *event, const char *msg, const struct log_field *fields);

#endif
