/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DESIGN: a line is formatted into a buffer on the stack that is exactly as large as a line may be
 * (LOG_LINE_MAX_BYTES), and written at once. Each field is all or nothing: where the buffer is
 * full, the line is cut back to the end of the field before, so that it always parses. How it is
 * written without waiting is in log_output.c.
 */
#include "base/log.h"

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <time.h>

#include "base/log_output.h"
#include "base/text.h"
#include "base/utf8.h"

const char *const log_level_names[] = {[LOG_DEBUG] = "debug",
				       [LOG_INFO] = "info",
				       [LOG_WARN] = "warn",
				       [LOG_ERROR] = "error",
				       NULL};

static atomic_int log_format = LOG_FORMAT_LOGFMT;
static atomic_int log_level = LOG_INFO;

static int64_t monotonic_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

int64_t (*log_clock_ms)(void) = monotonic_ms;

void log_init(int format, int level)
{
	atomic_store(&log_format, format);
	atomic_store(&log_level, level);
}

/* The limit of one event; the last slot is shared by all names that found no free one. */
struct limit {
	const char *event;
	int64_t next_ms;
	int64_t suppressed;
};

static struct limit limits[LOG_LIMIT_EVENTS + 1];
static pthread_mutex_t limits_lock = PTHREAD_MUTEX_INITIALIZER;

static struct limit *find_limit(const char *event)
{
	for (size_t i = 0; i < LOG_LIMIT_EVENTS; i++) {
		if (!limits[i].event) {
			limits[i] = (struct limit){.event = event, .next_ms = INT64_MIN};
			return &limits[i];
		}
		if (strcmp(limits[i].event, event) == 0)
			return &limits[i];
	}
	if (!limits[LOG_LIMIT_EVENTS].event)
		limits[LOG_LIMIT_EVENTS] = (struct limit){.event = "", .next_ms = INT64_MIN};
	return &limits[LOG_LIMIT_EVENTS];
}

/* True where a line may be written now; *suppressed is how many were not since the last one. */
static bool limit_allows(int64_t every_ms, const char *event, int64_t *suppressed)
{
	int64_t now_ms = log_clock_ms();
	struct limit *limit;
	bool allowed;

	pthread_mutex_lock(&limits_lock);
	limit = find_limit(event);
	allowed = now_ms >= limit->next_ms;
	if (allowed) {
		*suppressed = limit->suppressed;
		limit->suppressed = 0;
		limit->next_ms = now_ms + every_ms;
	} else {
		limit->suppressed++;
	}
	pthread_mutex_unlock(&limits_lock);
	return allowed;
}

/* One character of a masked text, escaped where it stands in quotes. */
static enum buf_result put_masked(struct buf *out, const char *s, size_t n, bool quoted)
{
	const char *backslash = quoted ? "\\\\" : "\\";
	enum buf_result result = BUF_OK;

	if (n > 0 && !utf8_is_control(s)) {
		if (quoted && (*s == '"' || *s == '\\'))
			result = buf_append(out, "\\", 1);
		return result == BUF_OK ? buf_append(out, s, n) : result;
	}
	/* An invalid byte stands for itself alone. */
	for (size_t i = 0; i < (n ? n : 1) && result == BUF_OK; i++)
		result = buf_printf(out, "%sx%02x", backslash, (unsigned char)s[i]);
	return result;
}

static enum buf_result put_text(struct buf *out, struct view text, bool quoted)
{
	enum buf_result result = BUF_OK;
	size_t n;

	for (size_t i = 0; i < text.len && result == BUF_OK; i += n ? n : 1) {
		n = utf8_sequence(text.ptr + i, text.len - i);
		result = put_masked(out, text.ptr + i, n, quoted);
	}
	return result;
}

enum buf_result log_mask(struct buf *out, struct view text)
{
	return put_text(out, text, false);
}

static enum buf_result put_quoted(struct buf *out, struct view text)
{
	enum buf_result result = buf_append(out, "\"", 1);

	if (result == BUF_OK)
		result = put_text(out, text, true);
	if (result == BUF_OK)
		result = buf_append(out, "\"", 1);
	return result;
}

static bool needs_quotes(struct view text)
{
	for (size_t i = 0; i < text.len; i++) {
		if (text.ptr[i] == ' ' || text.ptr[i] == '=' || text.ptr[i] == '"')
			return true;
	}
	return text.len == 0;
}

static enum buf_result put_value(struct buf *out, int format, const struct log_field *field)
{
	if (!field->text.ptr)
		return buf_printf(out, "%" PRId64, field->number);
	if (format == LOG_FORMAT_JSON || needs_quotes(field->text))
		return put_quoted(out, field->text);
	return put_text(out, field->text, false);
}

/* Writes the whole field and leaves `reserve` bytes free behind it, or writes nothing. */
static void put_field(struct buf *out, int format, size_t reserve, const char *separator,
		      const struct log_field *field)
{
	size_t before = out->len;
	enum buf_result result;

	if (format == LOG_FORMAT_JSON)
		result = buf_printf(out, "%s\"%s\":", separator, field->key);
	else
		result = buf_printf(out, "%s%s=", separator, field->key);
	if (result == BUF_OK)
		result = put_value(out, format, field);
	if (result == BUF_OK)
		result = buf_reserve(out, reserve);
	if (result != BUF_OK)
		out->len = before;
}

enum {
	END_BYTES = sizeof("}\n")
};

static void put_fields(struct buf *out, int format, const struct log_field *fields)
{
	for (const struct log_field *field = fields; field && field->key; field++)
		put_field(out, format, END_BYTES, format == LOG_FORMAT_JSON ? "," : " ", field);
}

/* ts, level and event are short and ours; a buffer too small for them gets no line. */
static bool put_head(struct buf *out, int format, const char *timestamp, enum log_level level,
		     const char *event)
{
	const char *name = log_level_names[level];
	size_t before = out->len;
	enum buf_result result;

	if (format == LOG_FORMAT_JSON)
		result = buf_printf(out, "{\"ts\":\"%s\",\"level\":\"%s\",\"event\":\"%s\"",
				    timestamp, name, event);
	else
		result = buf_printf(out, "ts=%s level=%s event=%s", timestamp, name, event);
	if (result == BUF_OK)
		result = buf_reserve(out, END_BYTES);
	if (result != BUF_OK)
		out->len = before;
	return result == BUF_OK;
}

/* `first` are msg and our own counts, `fields` the caller's. */
static void format_line(struct buf *out, int format, const char *timestamp, enum log_level level,
			const char *event, const struct log_field *first,
			const struct log_field *fields)
{
	if (!put_head(out, format, timestamp, level, event))
		return;
	put_fields(out, format, first);
	put_fields(out, format, fields);
	buf_append(out, format == LOG_FORMAT_JSON ? "}\n" : "\n",
		   format == LOG_FORMAT_JSON ? 2 : 1);
}

void log_format_line(struct buf *out, int format, const char *timestamp, enum log_level level,
		     const char *event, const char *msg, const struct log_field *fields)
{
	const struct log_field first[] = {LOG_STR("msg", msg), {.key = NULL}};

	format_line(out, format, timestamp, level, event, first, fields);
}

static void format_now(char *text, size_t size)
{
	struct timespec now;
	struct tm tm;
	size_t n;

	clock_gettime(CLOCK_REALTIME, &now);
	gmtime_r(&now.tv_sec, &tm);
	n = strftime(text, size, "%Y-%m-%dT%H:%M:%S", &tm);
	snprintf(text + n, size - n, ".%03ldZ", now.tv_nsec / 1000000);
}

static atomic_llong dropped;
static pthread_mutex_t output_lock = PTHREAD_MUTEX_INITIALIZER;

static void emit(enum log_level level, const char *event, const char *msg,
		 const struct log_field *fields, int64_t suppressed)
{
	char bytes[LOG_LINE_MAX_BYTES], timestamp[40];
	struct buf line = {.data = bytes, .cap = sizeof(bytes), .max = sizeof(bytes)};
	long long lost = atomic_exchange(&dropped, 0);
	struct log_field first[4] = {LOG_STR("msg", msg)};
	size_t n = 1;

	if (suppressed > 0)
		first[n++] = LOG_NUM("suppressed", suppressed);
	if (lost > 0)
		first[n++] = LOG_NUM("dropped", lost);
	format_now(timestamp, sizeof(timestamp));
	format_line(&line, atomic_load(&log_format), timestamp, level, event, first, fields);
	pthread_mutex_lock(&output_lock);
	if (!log_output_write(line.data, line.len))
		atomic_fetch_add(&dropped, lost + 1);
	pthread_mutex_unlock(&output_lock);
}

void log_write(enum log_level level, const char *event, const char *msg,
	       const struct log_field *fields)
{
	int kept = errno;

	if ((int)level >= atomic_load(&log_level))
		emit(level, event, msg, fields, 0);
	errno = kept;
}

void log_write_limited(int64_t every_ms, enum log_level level, const char *event, const char *msg,
		       const struct log_field *fields)
{
	int64_t suppressed = 0;
	int kept = errno;

	if ((int)level >= atomic_load(&log_level) && limit_allows(every_ms, event, &suppressed))
		emit(level, event, msg, fields, suppressed);
	errno = kept;
}
