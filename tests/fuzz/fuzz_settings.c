/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Any bytes as the environment: either a config whose values are what its header promises, or lines
 * that name what was wrong. Variables stand one after another with a NUL between them, as in the
 * file /proc/PID/environ; those that do not begin with FARO_ or OTEL_ are left out.
 *
 * Build with -fsanitize=fuzzer,address,undefined.
 */
#include <cJSON.h>
#include <curl/curl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/utf8.h"
#include "config/config.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum {
	VARIABLES_MAX = 64
};

static void fail(const char *what, const char *text)
{
	fprintf(stderr, "%s: %s\n", what, text ? text : "");
	abort();
}

/* A line is one: masked, in UTF-8, and begins with the program's name. */
static void check_line(const char *line, size_t len, bool *problem)
{
	static const char start[] = "faro-ingest: ", warning[] = "warning: ";
	const char *text = line + sizeof(start) - 1;

	if (len < sizeof(start) || strncmp(line, start, sizeof(start) - 1) != 0)
		fail("a line that does not begin with the program's name", line);
	for (size_t i = 0, n; i < len; i += n) {
		n = utf8_sequence(line + i, len - i);
		if (n == 0 || utf8_is_control(line + i))
			fail("a line with what is no text", line);
	}
	if (strncmp(text, warning, sizeof(warning) - 1) == 0)
		return;
	*problem = true;
	if (!memmem(line, len, "FARO_", 5) && !memmem(line, len, "OTEL_", 5))
		fail("a problem that names no variable", line);
}

static bool check_lines(const char *lines)
{
	bool problem = false;

	while (*lines) {
		size_t len = strcspn(lines, "\n");

		if (lines[len] != '\n')
			fail("a line without an end", lines);
		check_line(lines, len, &problem);
		lines += len + 1;
	}
	return problem;
}

/* `json`, between the brackets, must be valid to its end. */
static cJSON *parse(const char *open, struct view json, const char *close)
{
	char *text;
	cJSON *tree;

	if (asprintf(&text, "%s%.*s%s", open, (int)json.len, json.ptr, close) < 0)
		abort();
	tree = cJSON_ParseWithOpts(text, NULL, true);
	if (!tree)
		fail("a fragment that is no JSON", text);
	free(text);
	return tree;
}

static void check_string(struct view value, struct view json)
{
	cJSON *tree = parse("", json, "");

	if (!cJSON_IsString(tree) || !view_equals(view_of(tree->valuestring), value))
		fail("a fragment of another value", tree->valuestring);
	cJSON_Delete(tree);
}

static void check_labels(const struct labels *labels)
{
	cJSON *session;

	if (labels->service_name.len == 0 || labels->app_count == 0)
		fail("nobody", NULL);
	check_string(labels->namespace_, labels->namespace_json);
	check_string(labels->environment, labels->environment_json);
	check_string(labels->version, labels->version_json);
	for (size_t i = 0; i < labels->app_count; i++) {
		cJSON *attributes = parse("[", labels->apps[i].resource_attributes, "]");

		check_string(labels->apps[i].name, labels->apps[i].json);
		if (cJSON_GetArraySize(attributes) < 1)
			fail("no attributes", NULL);
		cJSON_Delete(attributes);
	}
	session = parse("{", labels->session_members, "}");
	if (cJSON_GetArraySize(session) != (int)labels->attribute_count)
		fail("attributes of a session that are not those of the setting", NULL);
	cJSON_Delete(session);
}

static void check_config(const struct config *config)
{
	size_t n = strlen(config->path);

	if (!config->upstream_url || strncmp(config->upstream_url, "http", 4) != 0 ||
	    !config->upstream_host || config->upstream_host[0] == '\0' ||
	    config->upstream_port == 0)
		fail("an upstream that is none", config->upstream_url);
	if (config->path[0] != '/' || n < 2 || config->path[n - 1] == '/' ||
	    n >= CONFIG_PATH_MAX_BYTES)
		fail("a path that is none", config->path);
	if (config->workers == 0 || config->max_body_bytes == 0 || config->max_decoded_bytes == 0 ||
	    config->max_memory_bytes == 0 || config->upstream_timeout_ms <= 0 ||
	    config->upstream_max_inflight == 0)
		fail("a limit of nothing", NULL);
	for (size_t i = 0; i < config->allowed_origins.count; i++) {
		struct view origin = config->allowed_origins.items[i];

		if (!memmem(origin.ptr, origin.len, "://", 3) ||
		    memchr(origin.ptr, ',', origin.len))
			fail("an origin that is none", origin.ptr);
	}
	for (size_t i = 0; i < config->allowed_headers.count; i++)
		if (strpbrk(config->allowed_headers.items[i].ptr, "*, :\r\n"))
			fail("a header's name that is none", config->allowed_headers.items[i].ptr);
	check_labels(&config->labels);
}

static void set_environment(char *text, size_t size)
{
	static char *variables[VARIABLES_MAX + 1];
	size_t count = 0;

	for (size_t at = 0; at < size && count < VARIABLES_MAX; at += strlen(text + at) + 1) {
		if ((strncmp(text + at, "FARO_", 5) == 0 || strncmp(text + at, "OTEL_", 5) == 0) &&
		    strchr(text + at, '='))
			variables[count++] = text + at;
	}
	variables[count] = NULL;
	environ = variables;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static char program[] = "faro-ingest";
	char *argv[] = {program, NULL}, *text, *lines = NULL;
	char **outer = environ;
	struct config config;
	size_t lines_len;
	FILE *errors;
	bool taken;

	config_file_root = "/nonexistent"; /* the same on every machine */
	text = calloc(1, size + 1);
	errors = open_memstream(&lines, &lines_len);
	if (!text || !errors)
		abort();
	memcpy(text, data, size);
	set_environment(text, size);
	taken = config_init(&config, 1, argv, errors);
	fclose(errors);
	if (check_lines(lines) == taken)
		fail(taken ? "taken in spite of" : "refused without a reason", lines);
	if (taken) {
		check_config(&config);
		config_release(&config);
	}
	environ = outer;
	free(lines);
	free(text);
	return 0;
}
