/*
 * DESIGN: first the text of every setting is found (flag, else variable, else default), then each
 * text is parsed by its row's function, then what must fit together is checked. A problem is a line
 * on `errors` and never stops the reading, so one run shows them all. Lines are masked: what the
 * operator set may hold anything.
 */
#include "config.h"

#include <curl/curl.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "log.h"

#define PREFIX "FARO_"

enum setting_id {
	UPSTREAM_URL,
	UPSTREAM_CA_FILE,
	UPSTREAM_API_KEY_FILE,
	UPSTREAM_TENANT,
	UPSTREAM_CONNECT_TIMEOUT_MS,
	UPSTREAM_TIMEOUT_MS,
	UPSTREAM_MAX_INFLIGHT,
	APP_NAMES,
	LABEL_ATTRIBUTES,
	PATH,
	ALLOWED_ORIGINS,
	MAX_BODY_BYTES,
	MAX_DECODED_BYTES,
	MAX_MEMORY_BYTES,
	WORKERS,
	DRAIN_TIMEOUT_MS,
	LOG_FORMAT,
	LOG_LEVEL,
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

struct setting {
	const char *name; /* without FARO_ */
	const char *kind; /* in --help */
	void (*parse)(struct reading *reading, enum setting_id id, const char *text);
	size_t offset; /* in struct config, where `parse` wants to know */
	uint64_t min, max;
	const char *default_text;
	const char *help;
};

static const struct setting settings[SETTING_COUNT];

const char *config_file_root = "";

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

static void report(FILE *errors, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

static void report(FILE *errors, const char *fmt, ...)
{
	char text[1600];
	va_list args;

	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	write_line(errors, text);
}

static bool is_print_ascii(const char *text)
{
	for (; *text; text++) {
		if (*text < ' ' || *text > '~')
			return false;
	}
	return true;
}

static void print_flag(char *out, size_t size, const char *name)
{
	size_t n = 0;

	for (; name[n] && n + 1 < size; n++)
		out[n] = name[n] == '_' ? '-' : (char)(name[n] | 0x20);
	out[n] = '\0';
}

/* "FARO_WORKERS=x: …" or "--workers=x: …"; a value that may hold a secret is not shown. */
static void problem(struct reading *reading, enum setting_id id, const char *value, const char *fmt,
		    ...) __attribute__((format(printf, 4, 5)));

static void problem(struct reading *reading, enum setting_id id, const char *value, const char *fmt,
		    ...)
{
	char text[1024], name[64];
	va_list args;

	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	if (reading->is_flag[id])
		print_flag(name, sizeof(name), settings[id].name);
	else
		snprintf(name, sizeof(name), "%s", settings[id].name);
	report(reading->errors, "%s%s%s%.200s: %s", reading->is_flag[id] ? "--" : PREFIX, name,
	       value ? "=" : "", value ? value : "", text);
	reading->failed = true;
}

static void out_of_memory(struct reading *reading)
{
	report(reading->errors, "memory ran out while the settings were read");
	reading->failed = true;
}

/* Values: numbers and words */

static void *field(struct reading *reading, enum setting_id id)
{
	return (char *)reading->config + settings[id].offset;
}

/* Digits and nothing else before *rest. */
static bool parse_whole(const char *text, uint64_t *value, const char **rest)
{
	*value = 0;
	if (*text < '0' || *text > '9')
		return false;
	for (; *text >= '0' && *text <= '9'; text++) {
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
	UNITS = sizeof(units) / sizeof(units[0])
};

static bool parse_byte_count(const char *text, uint64_t *value)
{
	const char *rest;

	if (!parse_whole(text, value, &rest))
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

static void parse_bytes(struct reading *reading, enum setting_id id, const char *text)
{
	char min[32], max[32];
	uint64_t value;

	if (parse_byte_count(text, &value) && in_range(id, value)) {
		*(size_t *)field(reading, id) = (size_t)value;
		return;
	}
	print_byte_count(min, sizeof(min), settings[id].min);
	print_byte_count(max, sizeof(max), settings[id].max);
	problem(reading, id, text,
		"expected a number of bytes from %s to %s, such as 65536, 512KiB or 5MiB", min,
		max);
}

static bool parse_number(struct reading *reading, enum setting_id id, const char *text,
			 const char *what, uint64_t *value)
{
	const char *rest;

	if (parse_whole(text, value, &rest) && *rest == '\0' && in_range(id, *value))
		return true;
	problem(reading, id, text, "expected a whole number%s from %llu to %llu", what,
		(unsigned long long)settings[id].min, (unsigned long long)settings[id].max);
	return false;
}

static void parse_count(struct reading *reading, enum setting_id id, const char *text)
{
	uint64_t value;

	if (parse_number(reading, id, text, "", &value))
		*(size_t *)field(reading, id) = (size_t)value;
}

static void parse_ms(struct reading *reading, enum setting_id id, const char *text)
{
	uint64_t value;

	if (parse_number(reading, id, text, " of milliseconds", &value))
		*(int64_t *)field(reading, id) = (int64_t)value;
}

static void parse_log_format(struct reading *reading, enum setting_id id, const char *text)
{
	if (strcmp(text, "logfmt") == 0)
		reading->config->log_format = LOG_FORMAT_LOGFMT;
	else if (strcmp(text, "json") == 0)
		reading->config->log_format = LOG_FORMAT_JSON;
	else
		problem(reading, id, text, "expected logfmt or json");
}

static const char *const level_names[] = {"debug", "info", "warn", "error"};

static void parse_log_level(struct reading *reading, enum setting_id id, const char *text)
{
	for (int i = LOG_DEBUG; i <= LOG_ERROR; i++) {
		if (strcmp(text, level_names[i]) == 0) {
			reading->config->log_level = i;
			return;
		}
	}
	problem(reading, id, text, "expected debug, info, warn or error");
}

/* Values: the upstream */

/* NULL, or what libcurl's parser would let pass. */
static const char *url_problem(const char *text)
{
	size_t scheme = strncasecmp(text, "http://", 7) == 0    ? 7
			: strncasecmp(text, "https://", 8) == 0 ? 8
								: 0;

	if (!is_print_ascii(text) || strchr(text, ' '))
		return "it has a character that has to be percent-encoded";
	if (scheme == 0)
		return "it does not begin with http:// or https://";
	if (text[scheme] == '\0' || text[scheme] == '/')
		return "it has no host";
	if (memchr(text + scheme, '@', strcspn(text + scheme, "/?#")))
		return "it has a user or password; a key goes into " PREFIX "UPSTREAM_API_KEY_FILE";
	if (strpbrk(text, "?#"))
		return "it has a query or fragment";
	return NULL;
}

/* From the parsed URL into the config. */
static CURLUcode take_url(struct config *config, CURLU *url)
{
	char *scheme = NULL, *path = NULL, *port = NULL, *zone = NULL;
	CURLUcode code = curl_url_get(url, CURLUPART_PATH, &path, 0);
	size_t n;

	if (code == CURLUE_OK && strcmp(path, "/") == 0)
		code = curl_url_set(url, CURLUPART_PATH, "/collect", 0);
	if (code == CURLUE_OK)
		code = curl_url_get(url, CURLUPART_SCHEME, &scheme, 0);
	if (code == CURLUE_OK)
		code = curl_url_get(url, CURLUPART_PORT, &port, CURLU_DEFAULT_PORT);
	if (code == CURLUE_OK && strcmp(port, "0") == 0)
		code = CURLUE_BAD_PORT_NUMBER;
	if (code == CURLUE_OK && curl_url_get(url, CURLUPART_ZONEID, &zone, 0) == CURLUE_OK)
		code = CURLUE_BAD_IPV6;
	if (code == CURLUE_OK)
		code = curl_url_get(url, CURLUPART_HOST, &config->upstream_host, 0);
	if (code == CURLUE_OK)
		code = curl_url_get(url, CURLUPART_URL, &config->upstream_url, 0);
	if (code == CURLUE_OK) {
		config->upstream_tls = strcmp(scheme, "https") == 0;
		config->upstream_port = (uint16_t)strtoul(port, NULL, 10);
		n = strlen(config->upstream_host);
		if (config->upstream_host[0] == '[') {
			memmove(config->upstream_host, config->upstream_host + 1, n - 2);
			config->upstream_host[n - 2] = '\0';
		}
	}
	curl_free(scheme);
	curl_free(path);
	curl_free(port);
	curl_free(zone);
	return code;
}

static void parse_url(struct reading *reading, enum setting_id id, const char *text)
{
	const char *wrong = url_problem(text);
	CURLU *url = NULL;
	CURLUcode code = CURLUE_OUT_OF_MEMORY;

	if (!wrong) {
		url = curl_url();
		if (url)
			code = curl_url_set(url, CURLUPART_URL, text, CURLU_DISALLOW_USER);
		if (url && code == CURLUE_OK)
			code = take_url(reading->config, url);
		curl_url_cleanup(url);
		if (code == CURLUE_OUT_OF_MEMORY)
			out_of_memory(reading);
		else if (code != CURLUE_OK)
			wrong = curl_url_strerror(code);
	}
	if (wrong)
		problem(reading, id, strchr(text, '@') ? NULL : text,
			"expected http://HOST[:PORT][/PATH] or https://HOST[:PORT][/PATH]: %s",
			wrong);
}

/* Reads up to `size` bytes. -1 with errno; a thing that is no regular file could make us wait. */
static ssize_t read_start(const char *path, char *bytes, size_t size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	struct stat status;
	ssize_t n = -1;

	if (fd < 0)
		return -1;
	if (fstat(fd, &status) == 0) {
		if (S_ISREG(status.st_mode))
			n = read(fd, bytes, size);
		else
			errno = S_ISDIR(status.st_mode) ? EISDIR : EINVAL;
	}
	close(fd);
	return n;
}

static void parse_ca_file(struct reading *reading, enum setting_id id, const char *text)
{
	char byte;
	ssize_t n = read_start(text, &byte, 1);

	if (n < 0)
		problem(reading, id, text, "expected a readable file: %s", strerror(errno));
	else if (n == 0)
		problem(reading, id, text, "expected certificates in PEM form: the file is empty");
	reading->config->upstream_ca_file = text;
}

static const char *key_problem(const char *bytes, size_t n)
{
	if (n > CONFIG_SECRET_MAX_BYTES)
		return "it is longer than 4096 bytes";
	while (n > 0 && strchr(" \t\r\n", bytes[n - 1]))
		n--;
	if (n == 0)
		return "it is empty";
	for (size_t i = 0; i < n; i++) {
		if (bytes[i] < ' ' || bytes[i] > '~')
			return "it has more than one line, or other than ASCII characters";
	}
	return NULL;
}

static void parse_key_file(struct reading *reading, enum setting_id id, const char *text)
{
	char bytes[CONFIG_SECRET_MAX_BYTES + 1];
	ssize_t n = read_start(text, bytes, sizeof(bytes));
	const char *wrong = n < 0 ? strerror(errno) : key_problem(bytes, (size_t)n);

	if (wrong)
		problem(reading, id, text, "expected a readable file with the key in it: %s",
			wrong);
	explicit_bzero(bytes, sizeof(bytes));
	reading->config->upstream_api_key_file = text;
}

static void parse_tenant(struct reading *reading, enum setting_id id, const char *text)
{
	if (!is_print_ascii(text) || strlen(text) > CONFIG_HEADER_MAX_BYTES)
		problem(reading, id, text, "expected at most %d printable ASCII characters",
			CONFIG_HEADER_MAX_BYTES);
	reading->config->upstream_tenant = text;
}

/* Values: what browsers may ask for */

/* Of a text that begins with a slash. */
static const char *segment_problem(const char *text)
{
	while (*text == '/') {
		size_t n = strcspn(++text, "/");

		if (n == 0 && *text == '/')
			return "it has an empty segment (//)";
		if (n > 0 && n <= 2 && strspn(text, ".") >= n)
			return "it has a segment . or .., which nginx resolves before we see it";
		text += n;
	}
	return NULL;
}

static const char *path_problem(const char *text)
{
	static const char allowed[] = "abcdefghijklmnopqrstuvwxyz"
				      "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789/._~-";

	if (text[0] != '/')
		return "it does not begin with /";
	if (text[1] == '\0')
		return "it would take every request of the site";
	if (text[strspn(text, allowed)] != '\0')
		return "it has a character other than letters, digits and /._~-";
	if (strlen(text) + sizeof("/collect") > CONFIG_PATH_MAX_BYTES)
		return "it is too long";
	return segment_problem(text);
}

static void parse_path(struct reading *reading, enum setting_id id, const char *text)
{
	const char *wrong = path_problem(text);
	size_t n = strlen(text);

	if (wrong)
		problem(reading, id, text, "expected a path such as /faro: %s", wrong);
	else
		n -= text[n - 1] == '/';
	memcpy(reading->space, text, n);
	reading->space[n] = '\0';
	reading->config->path = reading->space;
	reading->space += n + 1;
}

/* What follows the host of an origin: nothing, or a port. */
static const char *origin_port_problem(const char *text)
{
	const char *rest;
	uint64_t port;

	if (*text == '\0')
		return NULL;
	if (*text == '/')
		return "it has a path; leave out everything from the slash on";
	if (*text != ':')
		return "it has a character that no host has";
	if (!parse_whole(text + 1, &port, &rest) || *rest || port < 1 || port > 65535)
		return "its port is not a number from 1 to 65535";
	return NULL;
}

/* `text` is in lower case. *port is where the port would begin. */
static const char *origin_problem(const char *text, const char **port)
{
	size_t scheme = strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789+.-");
	const char *host = text + scheme + 3;
	size_t n;

	if (strcmp(text, "*") == 0)
		return "* would let every site write into your logs; list the origins one by one";
	if (strcmp(text, "null") == 0)
		return "null is what any sandboxed page sends, so it names nobody";
	if (scheme == 0 || strncmp(text + scheme, "://", 3) != 0)
		return "it has no scheme (https://)";
	if (*host == '[') {
		n = strspn(host + 1, "0123456789abcdef:.") + 2;
		if (n < 4 || host[n - 1] != ']')
			return "its IPv6 address is not closed by ]";
	} else {
		n = strspn(host, "abcdefghijklmnopqrstuvwxyz0123456789._-");
		if (n == 0)
			return "it has no host";
	}
	*port = host + n;
	return origin_port_problem(*port);
}

/* Browsers leave the scheme's own port out of Origin. */
static bool is_default_port(const char *origin, const char *port)
{
	return (strncmp(origin, "https:", 6) == 0 && strcmp(port, ":443") == 0) ||
	       (strncmp(origin, "http:", 5) == 0 && strcmp(port, ":80") == 0);
}

static void add_origin(struct reading *reading, enum setting_id id, char *item)
{
	struct config *config = reading->config;
	const char *wrong, *port;
	size_t n;

	item += strspn(item, " \t");
	for (n = strlen(item); n > 0 && strchr(" \t", item[n - 1]); n--)
		;
	item[n] = '\0';
	if (n == 0)
		return;
	for (size_t i = 0; i < n; i++)
		item[i] = (char)(item[i] >= 'A' && item[i] <= 'Z' ? item[i] | 0x20 : item[i]);
	wrong = origin_problem(item, &port);
	if (wrong)
		problem(reading, id, item, "expected origins such as https://shop.example: %s",
			wrong);
	else
		config->allowed_origins[config->allowed_origin_count++] = (struct view){
			item, is_default_port(item, port) ? (size_t)(port - item) : n};
}

static void parse_origins(struct reading *reading, enum setting_id id, const char *text)
{
	char *rest = strcpy(reading->space, text), *item;
	size_t n = 1;

	reading->space += strlen(text) + 1;
	for (const char *p = text; *p; p++)
		n += *p == ',';
	reading->config->allowed_origins = calloc(n, sizeof(struct view));
	if (!reading->config->allowed_origins) {
		out_of_memory(reading);
		return;
	}
	while ((item = strsep(&rest, ",")) != NULL)
		add_origin(reading, id, item);
}

/* The table */

#define IN_CONFIG(member) offsetof(struct config, member)

static const struct setting settings[SETTING_COUNT] = {
	[UPSTREAM_URL] = {"UPSTREAM_URL", "URL", parse_url,
			  .help = "The receiver; no path or / means /collect."},
	[UPSTREAM_CA_FILE] = {"UPSTREAM_CA_FILE", "FILE", parse_ca_file,
			      .help = "Certificates (PEM) to trust for https instead of the "
				      "system's."},
	[UPSTREAM_API_KEY_FILE] = {"UPSTREAM_API_KEY_FILE", "FILE", parse_key_file,
				   .help = "Its content is sent as x-api-key; read again when it "
					   "changes."},
	[UPSTREAM_TENANT] = {"UPSTREAM_TENANT", "TEXT", parse_tenant,
			     .help = "Sent as X-Scope-OrgID."},
	[UPSTREAM_CONNECT_TIMEOUT_MS] = {"UPSTREAM_CONNECT_TIMEOUT_MS", "MS", parse_ms,
					 IN_CONFIG(upstream_connect_timeout_ms), 1, 60000, "1000",
					 "Longest wait for a connection to the receiver."},
	[UPSTREAM_TIMEOUT_MS] = {"UPSTREAM_TIMEOUT_MS", "MS", parse_ms,
				 IN_CONFIG(upstream_timeout_ms), 1, 60000, "3000",
				 "Longest wait for the receiver's answer, connecting included."},
	[UPSTREAM_MAX_INFLIGHT] = {"UPSTREAM_MAX_INFLIGHT", "COUNT", parse_count,
				   IN_CONFIG(upstream_max_inflight), 1, 65536, "256",
				   "Beacons on their way to the receiver; beyond it browsers get "
				   "429."},
	[APP_NAMES] = {"APP_NAMES", "LIST",
		       .help = "Frontends behind this server; a browser may be any of them, the "
			       "first if it names none. Default: the service's name."},
	[LABEL_ATTRIBUTES] = {"LABEL_ATTRIBUTES", "LIST",
			      .help = "Further keys of OTEL_RESOURCE_ATTRIBUTES to stamp."},
	[PATH] = {"PATH", "PATH", parse_path, .default_text = "/faro",
		  .help = "PATH and PATH/collect take beacons."},
	[ALLOWED_ORIGINS] = {"ALLOWED_ORIGINS", "LIST", parse_origins,
			     .help = "Other origins whose pages may send. Default: the same origin "
				     "only."},
	[MAX_BODY_BYTES] = {"MAX_BODY_BYTES", "BYTES", parse_bytes, IN_CONFIG(max_body_bytes), 1,
			    GIB, "5MiB", "Largest body as sent."},
	[MAX_DECODED_BYTES] = {"MAX_DECODED_BYTES", "BYTES", parse_bytes,
			       IN_CONFIG(max_decoded_bytes), 1, GIB, "5MiB",
			       "Largest body after inflating."},
	[MAX_MEMORY_BYTES] = {"MAX_MEMORY_BYTES", "BYTES", parse_bytes, IN_CONFIG(max_memory_bytes),
			      1, 2 * GIB,
			      .help = "All bodies together; beyond it browsers get 429. Default: a "
				      "third of the cgroup's memory limit, else 128MiB."},
	[WORKERS] = {"WORKERS", "COUNT", parse_count, IN_CONFIG(workers), 1, 64, "1",
		     "Threads, each with a loop of its own."},
	[DRAIN_TIMEOUT_MS] = {"DRAIN_TIMEOUT_MS", "MS", parse_ms, IN_CONFIG(drain_timeout_ms), 0,
			      600000, "10000", "How long to go on answering after SIGTERM."},
	[LOG_FORMAT] = {"LOG_FORMAT", "WORD", parse_log_format, .default_text = "logfmt",
			.help = "logfmt or json."},
	[LOG_LEVEL] = {"LOG_LEVEL", "WORD", parse_log_level, .default_text = "info",
		       .help = "debug, info, warn or error."},
};

/* The command line */

static bool names_setting(const char *flag, size_t len, const struct setting *setting)
{
	char name[64];

	print_flag(name, sizeof(name), setting->name);
	return strlen(name) == len && memcmp(name, flag, len) == 0;
}

static const struct option {
	const char *name, *value; /* `value` NULL: it takes none */
	enum config_mode mode;
	const char *help;
} options[] = {
	{"listen", "SPEC", MODE_SERVE, "FastCGI on unix:PATH or [ADDRESS:]PORT (loopback)."},
	{"listen-mode", "MODE", MODE_SERVE, "Octal permissions of that socket; default 0660."},
	{"test-config", NULL, MODE_TEST_CONFIG, "Check the settings and exit (also -t)."},
	{"print", NULL, MODE_PRINT, "Read one body on stdin, write it labelled to stdout."},
	{"ping", "SOCKET", MODE_PING, "Ask the one that listens on SOCKET whether it works."},
	{"version", NULL, MODE_VERSION, "Print the version and exit."},
	{"help", NULL, MODE_HELP, "Print this and exit."},
};

enum {
	OPTIONS = sizeof(options) / sizeof(options[0])
};

struct arguments {
	int argc, next;
	char **argv;
};

/* The value of --x=value or --x value; NULL, with a problem, where there is none. */
static const char *take_value(struct reading *reading, struct arguments *arguments,
			      const char *argument, const char *equals)
{
	if (equals)
		return equals + 1;
	if (arguments->next < arguments->argc)
		return arguments->argv[arguments->next++];
	report(reading->errors, "%.200s: expected a value after it; see --help", argument);
	reading->failed = true;
	return NULL;
}

static void set_mode(struct reading *reading, enum config_mode mode)
{
	if (reading->config->mode != MODE_SERVE && reading->config->mode != mode) {
		report(reading->errors, "expected one of --test-config, --print, --ping, --version "
					"and --help, not two; see --help");
		reading->failed = true;
	}
	reading->config->mode = mode;
}

static void parse_listen_mode(struct reading *reading, const char *text)
{
	char *end;
	unsigned long mode = strtoul(text, &end, 8);

	if (strspn(text, "01234567") != strlen(text) || end == text || mode > 0777) {
		report(reading->errors,
		       "--listen-mode=%.200s: expected an octal number from 0 to 0777, such as "
		       "0660",
		       text);
		reading->failed = true;
		return;
	}
	reading->config->listen_mode = (mode_t)mode;
}

static void apply_option(struct reading *reading, const struct option *option, const char *value)
{
	if (option->value && *value == '\0') {
		report(reading->errors, "--%s: expected a value; see --help", option->name);
		reading->failed = true;
	} else if (strcmp(option->name, "listen") == 0) {
		reading->config->listen = value;
	} else if (strcmp(option->name, "listen-mode") == 0) {
		parse_listen_mode(reading, value);
	} else {
		reading->config->ping_socket = option->mode == MODE_PING ? value : NULL;
		set_mode(reading, option->mode);
	}
}

static void unknown_argument(struct reading *reading, const char *argument, const char *expected)
{
	report(reading->errors, "%.200s: %s; see --help", argument, expected);
	reading->failed = true;
}

static void parse_option(struct reading *reading, struct arguments *arguments,
			 const struct option *option, const char *argument, const char *equals)
{
	const char *value = NULL;

	if (option->value) {
		value = take_value(reading, arguments, argument, equals);
		if (!value)
			return;
	} else if (equals) {
		unknown_argument(reading, argument, "this option takes no value");
		return;
	}
	apply_option(reading, option, value);
}

static void parse_argument(struct reading *reading, struct arguments *arguments,
			   const char *argument)
{
	const char *name = argument + 2, *equals = strchr(argument, '='), *value;
	size_t len = equals ? (size_t)(equals - name) : strlen(name);

	for (size_t i = 0; i < OPTIONS; i++) {
		if (strlen(options[i].name) == len && memcmp(options[i].name, name, len) == 0) {
			parse_option(reading, arguments, &options[i], argument, equals);
			return;
		}
	}
	for (int i = 0; i < SETTING_COUNT; i++) {
		if (!names_setting(name, len, &settings[i]))
			continue;
		value = take_value(reading, arguments, argument, equals);
		reading->is_flag[i] = true;
		reading->text[i] = value;
		return;
	}
	unknown_argument(reading, argument, "unknown option");
}

static void read_arguments(struct reading *reading, int argc, char **argv)
{
	struct arguments arguments = {.argc = argc, .next = 1, .argv = argv};

	while (arguments.next < argc) {
		const char *argument = argv[arguments.next++];

		if (strcmp(argument, "-t") == 0)
			set_mode(reading, MODE_TEST_CONFIG);
		else if (strncmp(argument, "--", 2) == 0 && argument[2] != '\0')
			parse_argument(reading, &arguments, argument);
		else if (argument[0] == '-')
			unknown_argument(reading, argument, "unknown option");
		else
			unknown_argument(reading, argument, "unexpected argument");
	}
}

/* The environment */

static int find_setting(const char *name, size_t len)
{
	for (int i = 0; i < SETTING_COUNT; i++) {
		if (strlen(settings[i].name) == len && memcmp(settings[i].name, name, len) == 0)
			return i;
	}
	return -1;
}

/*
 * Kubernetes sets, for a Service called "faro-x", FARO_X_SERVICE_HOST, FARO_X_SERVICE_PORT[_NAME],
 * FARO_X_PORT=tcp://… and FARO_X_PORT_80_TCP[_PROTO|_PORT|_ADDR]: the last in the manner of
 * Docker's links.
 */
static bool is_service_link(const char *name, size_t len, const char *value)
{
	static const char *const protocols[] = {"_TCP", "_UDP", "_SCTP"};
	const char *port;

	if (memmem(name, len, "_SERVICE_HOST", 13) || memmem(name, len, "_SERVICE_PORT", 13))
		return true;
	port = memmem(name, len, "_PORT", 5);
	if (!port)
		return false;
	if (port + 5 == name + len)
		return strstr(value, "://");
	for (size_t i = 0; i < sizeof(protocols) / sizeof(protocols[0]); i++) {
		size_t digits = port[5] == '_' ? strspn(port + 6, "0123456789") : 0;

		if (digits > 0 &&
		    strncmp(port + 6 + digits, protocols[i], strlen(protocols[i])) == 0)
			return true;
	}
	return false;
}

static void check_variable(struct reading *reading, const char *variable)
{
	const char *equals = strchr(variable, '=');
	size_t len = equals ? (size_t)(equals - variable) : 0, prefix = sizeof(PREFIX) - 1;

	/* FARO_ENDPOINT is nginx's word on a request, not a setting. */
	if (len <= prefix || strncmp(variable, PREFIX, prefix) != 0 ||
	    find_setting(variable + prefix, len - prefix) >= 0 ||
	    strncmp(variable, PREFIX "ENDPOINT=", prefix + 9) == 0 ||
	    is_service_link(variable + prefix - 1, len - prefix + 1, equals + 1))
		return;
	report(reading->errors,
	       "warning: %.*s is not a setting of this version and has no effect; see --help",
	       (int)(len < 200 ? len : 200), variable);
}

static void read_environment(struct reading *reading)
{
	char name[64];

	for (char **variable = environ; variable && *variable; variable++)
		check_variable(reading, *variable);
	for (int i = 0; i < SETTING_COUNT; i++) {
		snprintf(name, sizeof(name), PREFIX "%s", settings[i].name);
		if (!reading->is_flag[i])
			reading->text[i] = getenv(name);
		if (reading->text[i] && reading->text[i][0] == '\0')
			reading->text[i] = NULL;
	}
}

/* Memory */

enum {
	MEMORY_DEFAULT_BYTES = 128 * 1024 * 1024
};

static bool read_file(char *out, size_t size, const char *path)
{
	ssize_t n = read_start(path, out, size - 1);

	out[n > 0 ? n : 0] = '\0';
	return n > 0;
}

/* The smallest limit of the group and its ancestors: all of them hold. */
static void lower_to_limit(uint64_t *limit, const char *hierarchy, const char *group,
			   const char *file)
{
	char name[PATH_MAX], path[PATH_MAX], text[64];
	uint64_t value;
	const char *rest;
	char *slash;

	snprintf(name, sizeof(name), "%s", group);
	do {
		slash = strrchr(name, '/');
		if (slash && slash[1] == '\0')
			*slash = '\0';
		if (snprintf(path, sizeof(path), "%s%s%s/%s", config_file_root, hierarchy, name,
			     file) < (int)sizeof(path) &&
		    read_file(text, sizeof(text), path) && parse_whole(text, &value, &rest) &&
		    value < *limit)
			*limit = value;
		slash = strrchr(name, '/');
		if (slash)
			*slash = '\0';
	} while (slash);
}

/* From /proc/self/cgroup, one "ID:CONTROLLERS:PATH" a line; version 2 has "0::". UINT64_MAX: none.
 * In a container the path may be the host's, which is not there; then the root of what is mounted
 * counts. */
static uint64_t cgroup_memory_limit(void)
{
	char path[PATH_MAX], text[8192], *rest = text, *line;
	uint64_t limit = UINT64_MAX;

	snprintf(path, sizeof(path), "%s/proc/self/cgroup", config_file_root);
	if (!read_file(text, sizeof(text), path))
		return limit;
	while ((line = strsep(&rest, "\n")) != NULL) {
		char *controllers = strchr(line, ':');
		char *group = controllers ? strchr(controllers + 1, ':') : NULL;

		if (!group)
			continue;
		if (strncmp(line, "0::", 3) == 0)
			lower_to_limit(&limit, "/sys/fs/cgroup", group + 1, "memory.max");
		else if (memmem(controllers, (size_t)(group - controllers), "memory", 6))
			lower_to_limit(&limit, "/sys/fs/cgroup/memory", group + 1,
				       "memory.limit_in_bytes");
	}
	return limit;
}

/* One beacon of the greatest size needs room as sent, inflated and labelled. An operator who asks
 * for less made a mistake; a small container works, for all but such beacons. */
static void check_memory(struct reading *reading)
{
	struct config *config = reading->config;
	size_t needed = config->max_body_bytes + 2 * config->max_decoded_bytes;
	const char *text = reading->text[MAX_MEMORY_BYTES];
	uint64_t limit = cgroup_memory_limit(), third = limit / 3;

	if (!text) {
		if (limit >= NO_LIMIT_BYTES)
			third = MEMORY_DEFAULT_BYTES;
		if (third > settings[MAX_MEMORY_BYTES].max)
			third = settings[MAX_MEMORY_BYTES].max;
		config->max_memory_bytes = (size_t)third;
	}
	if (config->max_memory_bytes >= needed)
		return;
	if (text)
		problem(reading, MAX_MEMORY_BYTES, text,
			"expected at least %zu, which one beacon of the greatest size needs "
			"(FARO_MAX_BODY_BYTES and twice FARO_MAX_DECODED_BYTES)",
			needed);
	else
		report(reading->errors,
		       "warning: FARO_MAX_MEMORY_BYTES: %zu by default is less than the %zu that "
		       "one "
		       "beacon of the greatest size needs; such beacons are answered 429: lower "
		       "FARO_MAX_BODY_BYTES and FARO_MAX_DECODED_BYTES, or raise the memory limit",
		       config->max_memory_bytes, needed);
}

/* Putting it together */

static void report_identity(void *arg, const char *setting, const char *text, bool fatal)
{
	struct reading *reading = arg;

	report(reading->errors, "%s%s%s%s", fatal ? "" : "warning: ", setting ? setting : "",
	       setting ? ": " : "", text);
	reading->failed |= fatal;
}

static void read_identity(struct reading *reading)
{
	char namespace_file[PATH_MAX];
	const struct identity_source source = {
		.service_name = getenv("OTEL_SERVICE_NAME"),
		.resource_attributes = getenv("OTEL_RESOURCE_ATTRIBUTES"),
		.app_names = reading->text[APP_NAMES],
		.label_attributes = reading->text[LABEL_ATTRIBUTES],
		.namespace_file = namespace_file,
	};

	snprintf(namespace_file, sizeof(namespace_file), "%s%s", config_file_root,
		 CONFIG_NAMESPACE_FILE);
	identity_init(&reading->config->identity, &source, report_identity, reading);
}

static void check_upstream(struct reading *reading)
{
	const struct config *config = reading->config;

	if (!reading->text[UPSTREAM_URL] && config->mode != MODE_PRINT)
		problem(reading, UPSTREAM_URL, NULL,
			"is not set: set it to the receiver, such as http://alloy:12347/collect");
	if (config->upstream_ca_file && config->upstream_url && !config->upstream_tls)
		report(reading->errors, "warning: FARO_UPSTREAM_CA_FILE has no effect: "
					"FARO_UPSTREAM_URL does not begin with https://");
}

/* Room for the copies that are changed: FARO_PATH and FARO_ALLOWED_ORIGINS. */
static bool make_space(struct reading *reading)
{
	const char *path = reading->text[PATH], *origins = reading->text[ALLOWED_ORIGINS];

	reading->space = calloc(1, strlen(path ? path : settings[PATH].default_text) +
					   (origins ? strlen(origins) : 0) + 2);
	reading->config->storage = reading->space;
	if (!reading->space)
		out_of_memory(reading);
	return reading->space;
}

static void read_settings(struct reading *reading)
{
	read_environment(reading);
	if (!make_space(reading))
		return;
	for (int i = 0; i < SETTING_COUNT; i++) {
		const char *text = reading->text[i] ? reading->text[i] : settings[i].default_text;

		if (text && settings[i].parse)
			settings[i].parse(reading, (enum setting_id)i, text);
	}
	check_upstream(reading);
	check_memory(reading);
	read_identity(reading);
}

bool config_init(struct config *config, int argc, char **argv, FILE *errors)
{
	struct reading reading = {.config = config, .errors = errors};

	*config = (struct config){.mode = MODE_SERVE, .listen_mode = 0660};
	read_arguments(&reading, argc, argv);
	if (config->mode != MODE_HELP && config->mode != MODE_VERSION && config->mode != MODE_PING)
		read_settings(&reading);
	if (reading.failed)
		config_release(config);
	return !reading.failed;
}

void config_release(struct config *config)
{
	curl_free(config->upstream_url);
	curl_free(config->upstream_host);
	free(config->allowed_origins);
	free(config->storage);
	identity_release(&config->identity);
	*config = (struct config){.mode = MODE_SERVE};
}

/* What the operator reads */

static void print_range(char *out, size_t size, const struct setting *setting)
{
	char min[32], max[32];

	out[0] = '\0';
	if (setting->max == 0)
		return;
	if (setting->parse == parse_bytes) {
		print_byte_count(min, sizeof(min), setting->min);
		print_byte_count(max, sizeof(max), setting->max);
		snprintf(out, size, " %s to %s", min, max);
		return;
	}
	snprintf(out, size, " %llu to %llu", (unsigned long long)setting->min,
		 (unsigned long long)setting->max);
}

static void print_setting_help(FILE *out, const struct setting *setting)
{
	char flag[64], range[80];

	print_flag(flag, sizeof(flag), setting->name);
	print_range(range, sizeof(range), setting);
	fprintf(out, "  --%s=%s%s\n      " PREFIX "%s", flag, setting->kind, range, setting->name);
	if (setting->default_text)
		fprintf(out, " (default %s)", setting->default_text);
	else if (setting == &settings[UPSTREAM_URL])
		fprintf(out, " (required)");
	fprintf(out, "\n      %s\n", setting->help);
}

void config_print_help(FILE *out)
{
	fprintf(out,
		"Usage: faro-ingest [OPTION]...\n"
		"Labels Grafana Faro beacons and relays them to a receiver, as a FastCGI or CGI "
		"responder.\n"
		"Without --listen it serves the FastCGI listener or the CGI request that it was "
		"started with.\n\n"
		"Modes:\n");
	for (size_t i = 0; i < OPTIONS; i++)
		fprintf(out, "  --%s%s%s\n      %s\n", options[i].name, options[i].value ? "=" : "",
			options[i].value ? options[i].value : "", options[i].help);
	fprintf(out, "\nSettings, each as an option or a variable; an option wins, and an empty "
		     "value counts as not set:\n");
	for (int i = 0; i < SETTING_COUNT; i++)
		print_setting_help(out, &settings[i]);
	fprintf(out, "\nLabels come from OTEL_SERVICE_NAME (required) and "
		     "OTEL_RESOURCE_ATTRIBUTES.\nSee faro-ingest(8) for all of it.\n");
}

static void join(struct buf *out, size_t i, struct view item)
{
	if (i > 0)
		buf_append(out, ",", 1);
	buf_append(out, item.ptr, item.len);
}

static void describe_lists(const struct config *config, struct buf *out)
{
	const struct identity *identity = &config->identity;
	struct buf apps, labels, origins;

	buf_init(&apps, out->max, NULL);
	buf_init(&labels, out->max, NULL);
	buf_init(&origins, out->max, NULL);
	for (size_t i = 0; i < identity->app_count; i++)
		join(&apps, i, identity->apps[i].name);
	for (size_t i = 0; i < identity->attribute_count; i++)
		join(&labels, i, identity->attributes[i].key);
	for (size_t i = 0; i < config->allowed_origin_count; i++)
		join(&origins, i, config->allowed_origins[i]);
	log_format_fields(
		out,
		(const struct log_field[]){
			LOG_VIEW("app_names",
				 ((struct view){apps.data ? apps.data : "", apps.len})),
			LOG_VIEW("label_attributes",
				 ((struct view){labels.data ? labels.data : "", labels.len})),
			LOG_VIEW("allowed_origins",
				 ((struct view){origins.data ? origins.data : "", origins.len})),
			{.key = NULL}});
	buf_release(&apps);
	buf_release(&labels);
	buf_release(&origins);
}

void config_describe(const struct config *config, struct buf *out)
{
	const struct identity *identity = &config->identity;
	const struct log_field fields[] = {
		LOG_VIEW("service_name", identity->service_name),
		LOG_VIEW("service_namespace", identity->namespace_),
		LOG_VIEW("k8s_namespace", identity->k8s_namespace),
		LOG_VIEW("environment", identity->environment),
		LOG_VIEW("version", identity->version),
		LOG_STR("upstream_url", config->upstream_url),
		LOG_STR("upstream_ca_file", config->upstream_ca_file),
		LOG_STR("upstream_api_key_file", config->upstream_api_key_file),
		LOG_STR("upstream_tenant", config->upstream_tenant),
		LOG_NUM("upstream_connect_timeout_ms", config->upstream_connect_timeout_ms),
		LOG_NUM("upstream_timeout_ms", config->upstream_timeout_ms),
		LOG_NUM("upstream_max_inflight", (int64_t)config->upstream_max_inflight),
		LOG_STR("path", config->path),
		LOG_NUM("max_body_bytes", (int64_t)config->max_body_bytes),
		LOG_NUM("max_decoded_bytes", (int64_t)config->max_decoded_bytes),
		LOG_NUM("max_memory_bytes", (int64_t)config->max_memory_bytes),
		LOG_NUM("workers", (int64_t)config->workers),
		LOG_NUM("drain_timeout_ms", config->drain_timeout_ms),
		LOG_STR("log_format", config->log_format == LOG_FORMAT_JSON ? "json" : "logfmt"),
		LOG_STR("log_level", level_names[config->log_level]),
		{.key = NULL}};

	log_format_fields(out, fields);
	describe_lists(config, out);
}
