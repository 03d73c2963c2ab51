/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DESIGN: first the text of every setting is found (arguments.c, environment.c, else its default),
 * then each text is parsed by its row's type (setting.c, setting_type.c), then what depends on the
 * machine or on other settings is decided (defaults.c), and last the labels are made (labels.c).
 */
#include "config/config.h"

#include <curl/curl.h>
#include <limits.h>
#include <stdlib.h>

#include "config/reading.h"

static void parse_settings(struct reading *reading)
{
	for (size_t i = 0; i < setting_count; i++) {
		const struct setting *setting = &settings[i];
		const char *text = reading_text(reading, setting);

		if (!text)
			text = setting->default_text;
		if (text)
			setting->type->parse(reading, setting, text);
	}
	for (size_t i = 0; i < setting_count; i++)
		if (settings[i].required && !reading_text(reading, &settings[i]) &&
		    reading->config->mode != MODE_PRINT)
			reading_problem(reading, &settings[i], NULL, "expected %s",
					settings[i].expected);
}

static void report_labels(void *arg, const char *setting, const char *text, bool fatal)
{
	struct reading *reading = arg;

	reading_report(reading, "%s%s%s%s", fatal ? "" : "warning: ", setting ? setting : "",
		       setting ? ": " : "", text);
	reading->failed |= fatal;
}

static void make_labels(struct reading *reading)
{
	struct config *config = reading->config;
	char namespace_file[PATH_MAX];
	const struct labels_source source = {
		.service_name = getenv("OTEL_SERVICE_NAME"),
		.resource_attributes = getenv("OTEL_RESOURCE_ATTRIBUTES"),
		.app_names = config->app_names,
		.label_attributes = config->label_attributes,
		.request_attributes = config->request_attributes,
		.stamps_client_address = config->client_address != CLIENT_ADDRESS_OFF,
		.namespace_file = namespace_file,
	};

	snprintf(namespace_file, sizeof(namespace_file), "%s%s", config_file_root,
		 CONFIG_NAMESPACE_FILE);
	labels_init(&config->labels, &source, report_labels, reading);
}

static bool needs_settings(enum config_mode mode)
{
	return mode != MODE_HELP && mode != MODE_VERSION && mode != MODE_PING;
}

bool config_init(struct config *config, int argc, char **argv, FILE *errors)
{
	struct reading reading = {.config = config, .errors = errors};

	*config = (struct config){.mode = MODE_SERVE, .listen_mode = 0660};
	arguments_read(&reading, argc, argv);
	if (needs_settings(config->mode)) {
		environment_read(&reading);
		parse_settings(&reading);
		defaults_choose(&reading);
		make_labels(&reading);
	}
	if (reading.failed)
		config_release(config);
	return !reading.failed;
}

void config_release(struct config *config)
{
	curl_free(config->upstream_url);
	curl_free(config->upstream_host);
	arena_release(&config->storage);
	labels_release(&config->labels);
	*config = (struct config){.mode = MODE_SERVE};
}
