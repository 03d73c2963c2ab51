/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DESIGN: what the operator reads about the settings: --help, and the first line of the log, with a
 * key for each label and each setting as it is in effect. Both go through the table of settings.
 */
#include "config/config.h"

#include "base/log.h"
#include "base/text.h"
#include "build-config.h"
#include "config/arguments.h"

static void print_option(FILE *out, const struct option_row *option)
{
	fprintf(out, "  --%s%s%s\n      %s\n", option->name, option->value ? "=" : "",
		option->value ? option->value : "", option->help);
}

static void print_setting(FILE *out, const struct setting *setting)
{
	char option[SETTING_NAME_SIZE], range[80];

	setting_option_name(option, setting);
	setting_print_range(range, sizeof(range), setting);
	fprintf(out, "  --%s=%s%s\n      %s", option, setting->type->word, range, setting->name);
	if (setting->default_text)
		fprintf(out, " (default %s)", setting->default_text);
	else if (setting->required)
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
	for (size_t i = 0; i < option_count; i++)
		print_option(out, &option_rows[i]);
	fprintf(out, "\nSettings, each as an option or a variable; an option wins, and an empty "
		     "value counts as not set:\n");
	for (size_t i = 0; i < setting_count; i++)
		print_setting(out, &settings[i]);
	fprintf(out, "\nLabels come from OTEL_SERVICE_NAME (required) and "
		     "OTEL_RESOURCE_ATTRIBUTES.\nSee faro-ingest(8) for all of it.\n");
}

/* The fields of one line; the keys and the texts that are put together are kept until it is
 * written. */
struct start_line {
	struct log_field fields[SETTINGS_MAX + 16];
	size_t count;
	char keys[SETTINGS_MAX][SETTING_NAME_SIZE];
	struct buf texts[SETTINGS_MAX];
	size_t setting_count;
};

static void add_labels(struct start_line *line, const struct config *config)
{
	const struct labels *labels = &config->labels;
	const struct log_field fields[] = {
		LOG_STR("version", PACKAGE_VERSION),
		LOG_STR("listen", config->listen ? config->listen : "fd 0"),
		LOG_VIEW("service_name", labels->service_name),
		LOG_VIEW("service_namespace", labels->namespace_),
		LOG_VIEW("k8s_namespace", labels->k8s_namespace),
		LOG_VIEW("environment", labels->environment),
		LOG_VIEW("service_version", labels->version),
	};

	_Static_assert(ARRAY_LEN(fields) < 16, "they fit beside the settings");
	memcpy(line->fields, fields, sizeof(fields));
	line->count = ARRAY_LEN(fields);
}

static void add_setting(struct start_line *line, const struct config *config,
			const struct setting *setting)
{
	size_t i = line->setting_count++;
	struct log_field *field = &line->fields[line->count++];

	setting_key(line->keys[i], setting);
	buf_init(&line->texts[i], LOG_LINE_MAX_BYTES, NULL);
	*field = (struct log_field){.key = line->keys[i]};
	setting->type->log(config, setting, field, &line->texts[i]);
}

static void add_settings(struct start_line *line, const struct config *config, bool lists)
{
	for (size_t i = 0; i < setting_count; i++)
		if (settings[i].type->is_list == lists)
			add_setting(line, config, &settings[i]);
}

/* The lists come last, so that one that is too long for the line, and left out, costs no other
 * key. */
void config_log_start(const struct config *config)
{
	struct start_line line = {.count = 0};

	add_labels(&line, config);
	add_settings(&line, config, false);
	add_settings(&line, config, true);
	log_write(LOG_INFO, "started", "Taking beacons.", line.fields);
	for (size_t i = 0; i < line.setting_count; i++)
		buf_release(&line.texts[i]);
}
