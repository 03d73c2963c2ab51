#include "config/setting.h"

#include <stdarg.h>

#include "base/log.h"
#include "base/text.h"

#define KIB ((uint64_t)1024)
#define MIB (1024 * KIB)
#define GIB (1024 * MIB)

/* Problems and warnings */

static void write_line(FILE *errors, const char *text)
{
	char bytes[2048];
	struct buf line = {.data = bytes, .cap = sizeof(bytes), .max = sizeof(bytes)};

	log_mask(&line, view_of(text));
	fprintf(errors, "faro-ingest: %.*s\n", (int)line.len, line.data);
}

void setting_report(FILE *errors, const char *fmt, ...)
{
	char text[1600];
	va_list args;

	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	write_line(errors, text);
}

void setting_print_flag(char *out, size_t size, const char *name)
{
	size_t n = 0;

	for (; name[n] && n + 1 < size; n++)
		out[n] = name[n] == '_' ? '-' : (char)(name[n] | 0x20);
	out[n] = '\0';
}

void setting_problem(struct reading *reading, enum setting_id id, const char *value,
		     const char *fmt, ...)
{
	char text[1024], name[64];
	va_list args;

	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	if (reading->is_flag[id])
		setting_print_flag(name, sizeof(name), settings[id].name);
	else
		snprintf(name, sizeof(name), "%s", settings[id].name);
	setting_report(reading->errors, "%s%s%s%.200s: %s",
		       reading->is_flag[id] ? "--" : SETTING_PREFIX, name, value ? "=" : "",
		       value ? value : "", text);
	reading->failed = true;
}

void setting_out_of_memory(struct reading *reading)
{
	setting_report(reading->errors, "memory ran out while the settings were read");
	reading->failed = true;
}

/* Values: numbers and words */

static void *field(struct reading *reading, enum setting_id id)
{
	return (char *)reading->config + settings[id].offset;
}

bool setting_parse_whole(const char *text, uint64_t *value, const char **rest)
{
	*value = 0;
	if (*text < '0' || *text > '9')
		return false;
	for (; is_digit(*text); text++) {
		if (__builtin_mul_overflow(*value, 10, value) ||
		    __builtin_add_overflow(*value, (uint64_t)(*text - '0'), value))
			return false;
	}
	*rest = text;
	return true;
}

static const struct {
	const char *name;
	uint64_t bytes;
} units[] = {{"", 1}, {"KiB", KIB}, {"MiB", MIB}, {"GiB", GIB}};

enum {
	UNITS = ARRAY_LEN(units)
};

static bool parse_byte_count(const char *text, uint64_t *value)
{
	const char *rest;

	if (!setting_parse_whole(text, value, &rest))
		return false;
	for (size_t i = 0; i < UNITS; i++) {
		if (strcmp(rest, units[i].name) == 0)
			return !__builtin_mul_overflow(*value, units[i].bytes, value);
	}
	return false;
}

/* 5242880 as 5MiB, 1000 as 1000. */
static void print_byte_count(char *out, size_t size, uint64_t value)
{
	size_t i = UNITS - 1;

	while (i > 0 && (value == 0 || value % units[i].bytes != 0))
		i--;
	snprintf(out, size, "%llu%s", (unsigned long long)(value / units[i].bytes), units[i].name);
}

static bool in_range(enum setting_id id, uint64_t value)
{
	return value >= settings[id].min && value <= settings[id].max;
}

static void setting_parse_bytes(struct reading *reading, enum setting_id id, const char *text)
{
	char min[32], max[32];
	uint64_t value;

	if (parse_byte_count(text, &value) && in_range(id, value)) {
		*(size_t *)field(reading, id) = (size_t)value;
		return;
	}
	print_byte_count(min, sizeof(min), settings[id].min);
	print_byte_count(max, sizeof(max), settings[id].max);
	setting_problem(reading, id, text,
			"expected a number of bytes from %s to %s, such as 65536, 512KiB or 5MiB",
			min, max);
}

static bool parse_number(struct reading *reading, enum setting_id id, const char *text,
			 const char *what, uint64_t *value)
{
	const char *rest;

	if (setting_parse_whole(text, value, &rest) && *rest == '\0' && in_range(id, *value))
		return true;
	setting_problem(reading, id, text, "expected a whole number%s from %llu to %llu", what,
			(unsigned long long)settings[id].min, (unsigned long long)settings[id].max);
	return false;
}

static void setting_parse_count(struct reading *reading, enum setting_id id, const char *text)
{
	uint64_t value;

	if (parse_number(reading, id, text, "", &value))
		*(size_t *)field(reading, id) = (size_t)value;
}

static void setting_parse_ms(struct reading *reading, enum setting_id id, const char *text)
{
	uint64_t value;

	if (parse_number(reading, id, text, " of milliseconds", &value))
		*(int64_t *)field(reading, id) = (int64_t)value;
}

static void setting_parse_s(struct reading *reading, enum setting_id id, const char *text)
{
	uint64_t value;

	if (parse_number(reading, id, text, " of seconds", &value))
		*(int64_t *)field(reading, id) = (int64_t)value;
}

static void setting_parse_sync(struct reading *reading, enum setting_id id, const char *text)
{
	if (strcmp(text, "full") == 0 || strcmp(text, "normal") == 0)
		reading->config->spool_sync_full = *text == 'f';
	else
		setting_problem(reading, id, text, "expected full or normal");
}

static void setting_parse_log_format(struct reading *reading, enum setting_id id, const char *text)
{
	if (strcmp(text, "logfmt") == 0)
		reading->config->log_format = LOG_FORMAT_LOGFMT;
	else if (strcmp(text, "json") == 0)
		reading->config->log_format = LOG_FORMAT_JSON;
	else
		setting_problem(reading, id, text, "expected logfmt or json");
}

static void setting_parse_log_level(struct reading *reading, enum setting_id id, const char *text)
{
	for (int i = LOG_DEBUG; i <= LOG_ERROR; i++) {
		if (strcmp(text, log_level_name(i)) == 0) {
			reading->config->log_level = i;
			return;
		}
	}
	setting_problem(reading, id, text, "expected debug, info, warn or error");
}

/* The table */

#define IN_CONFIG(member) offsetof(struct config, member)

const struct setting settings[SETTING_COUNT] = {
	[SETTING_UPSTREAM_URL] = {"UPSTREAM_URL", "URL", setting_parse_url,
				  .help = "The receiver; no path or / means /collect."},
	[SETTING_UPSTREAM_CA_FILE] =
		{"UPSTREAM_CA_FILE", "FILE", setting_parse_ca_file,
		 .help = "Certificates (PEM) to trust for https instead of the "
			 "system's."},
	[SETTING_UPSTREAM_API_KEY_FILE] =
		{"UPSTREAM_API_KEY_FILE", "FILE", setting_parse_key_file,
		 .help = "Its content is sent as x-api-key; read again when it "
			 "changes."},
	[SETTING_UPSTREAM_TENANT] = {"UPSTREAM_TENANT", "TEXT", setting_parse_tenant,
				     .help = "Sent as X-Scope-OrgID."},
	[SETTING_UPSTREAM_CONNECT_TIMEOUT_MS] = {"UPSTREAM_CONNECT_TIMEOUT_MS", "MS",
						 setting_parse_ms,
						 IN_CONFIG(upstream_connect_timeout_ms), 1, 60000,
						 "1000",
						 "Longest wait for a connection to the receiver."},
	[SETTING_UPSTREAM_TIMEOUT_MS] =
		{"UPSTREAM_TIMEOUT_MS", "MS", setting_parse_ms, IN_CONFIG(upstream_timeout_ms), 1,
		 60000, "3000", "Longest wait for the receiver's answer, connecting included."},
	[SETTING_UPSTREAM_MAX_INFLIGHT] =
		{"UPSTREAM_MAX_INFLIGHT", "COUNT", setting_parse_count,
		 IN_CONFIG(upstream_max_inflight), 1, 65536, "256",
		 "Beacons on their way to the receiver; beyond it browsers get "
		 "429."},
	[SETTING_APP_NAMES] =
		{"APP_NAMES", "LIST",
		 .help = "Frontends behind this server; a browser may be any of them, the "
			 "first if it names none. Default: the service's name."},
	[SETTING_LABEL_ATTRIBUTES] = {"LABEL_ATTRIBUTES", "LIST",
				      .help = "Further keys of OTEL_RESOURCE_ATTRIBUTES to stamp."},
	[SETTING_PATH] = {"PATH", "PATH", setting_parse_path, .default_text = "/faro",
			  .help = "PATH and PATH/collect take beacons."},
	[SETTING_ALLOWED_ORIGINS] =
		{"ALLOWED_ORIGINS", "LIST", setting_parse_origins,
		 .help = "Other origins whose pages may send. Default: the same origin "
			 "only."},
	[SETTING_MAX_BODY_BYTES] = {"MAX_BODY_BYTES", "BYTES", setting_parse_bytes,
				    IN_CONFIG(max_body_bytes), 1, GIB, "5MiB",
				    "Largest body as sent."},
	[SETTING_MAX_DECODED_BYTES] = {"MAX_DECODED_BYTES", "BYTES", setting_parse_bytes,
				       IN_CONFIG(max_decoded_bytes), 1, GIB, "5MiB",
				       "Largest body after inflating."},
	[SETTING_MAX_MEMORY_BYTES] =
		{"MAX_MEMORY_BYTES", "BYTES", setting_parse_bytes, IN_CONFIG(max_memory_bytes), 1,
		 2 * GIB,
		 .help = "All bodies together; beyond it browsers get 429. Default: a "
			 "third of the cgroup's memory limit, else 128MiB."},
	[SETTING_SPOOL_DIR] = {"SPOOL_DIR", "DIRECTORY", setting_parse_spool_dir,
			       .help = "What the receiver does not take is kept here and "
				       "delivered later. Default: no spool."},
	[SETTING_SPOOL_MAX_BYTES] = {"SPOOL_MAX_BYTES", "BYTES", setting_parse_bytes,
				     IN_CONFIG(spool_max_bytes), MIB, 1024 * GIB, "64MiB",
				     "Largest spool; beyond it browsers get 429."},
	[SETTING_SPOOL_MAX_AGE_S] = {"SPOOL_MAX_AGE_S", "SECONDS", setting_parse_s,
				     IN_CONFIG(spool_max_age_s), 1, 31536000, "86400",
				     "What is older is dropped."},
	[SETTING_SPOOL_SYNC] = {"SPOOL_SYNC", "WORD", setting_parse_sync, .default_text = "full",
				.help = "full outlasts a power cut, normal a killed process."},
	[SETTING_REPLAY_RATE] = {"REPLAY_RATE", "COUNT", setting_parse_count,
				 IN_CONFIG(replay_rate), 1, 100000, "20",
				 "Spooled beacons delivered a second, at most."},
	[SETTING_WORKERS] = {"WORKERS", "COUNT", setting_parse_count, IN_CONFIG(workers), 1, 64,
			     "1", "Threads, each with a loop of its own."},
	[SETTING_DRAIN_TIMEOUT_MS] = {"DRAIN_TIMEOUT_MS", "MS", setting_parse_ms,
				      IN_CONFIG(drain_timeout_ms), 0, 600000, "10000",
				      "How long to go on answering after SIGTERM."},
	[SETTING_LOG_FORMAT] = {"LOG_FORMAT", "WORD", setting_parse_log_format,
				.default_text = "logfmt", .help = "logfmt or json."},
	[SETTING_LOG_LEVEL] = {"LOG_LEVEL", "WORD", setting_parse_log_level, .default_text = "info",
			       .help = "debug, info, warn or error."},
};

const struct setting_option setting_options[SETTING_OPTIONS] = {
	{"listen", "SPEC", MODE_SERVE, "FastCGI on unix:PATH or [ADDRESS:]PORT (loopback)."},
	{"listen-mode", "MODE", MODE_SERVE, "Octal permissions of that socket; default 0660."},
	{"test-config", NULL, MODE_TEST_CONFIG, "Check the settings and exit (also -t)."},
	{"check", NULL, MODE_CHECK,
	 "Try the receiver, and tell what to change; nothing is stored."},
	{"send", NULL, MODE_SERVE, "With --check: also send a log and a span that are stored."},
	{"print", NULL, MODE_PRINT, "Read one body on stdin, write it labelled to stdout."},
	{"ping", "SOCKET", MODE_PING, "Ask the one that listens on SOCKET whether it works."},
	{"supervise", NULL, MODE_SUPERVISE,
	 "With -- COMMAND [ARGUMENT]... behind all options: run that and a responder beside it."},
	{"version", NULL, MODE_VERSION, "Print the version and exit."},
	{"help", NULL, MODE_HELP, "Print this and exit."},
};

int setting_find(const char *name, size_t len)
{
	for (int i = 0; i < SETTING_COUNT; i++) {
		if (strlen(settings[i].name) == len && memcmp(settings[i].name, name, len) == 0)
			return i;
	}
	return -1;
}

void setting_print_range(char *out, size_t size, const struct setting *setting)
{
	char min[32], max[32];

	out[0] = '\0';
	if (setting->max == 0)
		return;
	if (setting->parse == setting_parse_bytes) {
		print_byte_count(min, sizeof(min), setting->min);
		print_byte_count(max, sizeof(max), setting->max);
		snprintf(out, size, " %s to %s", min, max);
		return;
	}
	snprintf(out, size, " %llu to %llu", (unsigned long long)setting->min,
		 (unsigned long long)setting->max);
}
