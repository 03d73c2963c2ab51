/* What the operator reads: --help, and the first line of the log with the effective configuration. */
#include "config/config.h"

#include "base/log.h"
#include "build-config.h"
#include "config/setting.h"

static void print_setting_help(FILE *out, const struct setting *setting)
{
	char flag[64], range[80];

	setting_print_flag(flag, sizeof(flag), setting->name);
	setting_print_range(range, sizeof(range), setting);
	fprintf(out, "  --%s=%s%s\n      " SETTING_PREFIX "%s", flag, setting->kind, range,
		setting->name);
	if (setting->default_text)
		fprintf(out, " (default %s)", setting->default_text);
	else if (setting == &settings[SETTING_UPSTREAM_URL])
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
	for (size_t i = 0; i < SETTING_OPTIONS; i++)
		fprintf(out, "  --%s%s%s\n      %s\n", setting_options[i].name,
			setting_options[i].value ? "=" : "",
			setting_options[i].value ? setting_options[i].value : "",
			setting_options[i].help);
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

/* Of a buffer that may never have been written to. */
static struct view content(const struct buf *buf)
{
	return (struct view){buf->data ? buf->data : "", buf->len};
}

static void log_with_lists(const struct config *config, struct buf *apps, struct buf *attributes,
			   struct buf *origins)
{
	const struct labels *labels = &config->labels;

	log_event(LOG_INFO, "started", "Taking beacons.", LOG_STR("version", PACKAGE_VERSION),
		  LOG_STR("listen", config->listen ? config->listen : "fd 0"),
		  LOG_VIEW("service_name", labels->service_name),
		  LOG_VIEW("service_namespace", labels->namespace_),
		  LOG_VIEW("k8s_namespace", labels->k8s_namespace),
		  LOG_VIEW("environment", labels->environment),
		  LOG_VIEW("service_version", labels->version),
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
		  LOG_STR("spool_dir", config->spool_dir),
		  LOG_NUM("spool_max_bytes", (int64_t)config->spool_max_bytes),
		  LOG_NUM("spool_max_age_s", config->spool_max_age_s),
		  LOG_STR("spool_sync", config->spool_sync_full ? "full" : "normal"),
		  LOG_NUM("replay_rate", (int64_t)config->replay_rate),
		  LOG_NUM("workers", (int64_t)config->workers),
		  LOG_NUM("drain_timeout_ms", config->drain_timeout_ms),
		  LOG_STR("log_format", config->log_format == LOG_FORMAT_JSON ? "json" : "logfmt"),
		  LOG_STR("log_level", log_level_name(config->log_level)),
		  LOG_VIEW("app_names", content(apps)),
		  LOG_VIEW("label_attributes", content(attributes)),
		  LOG_VIEW("allowed_origins", content(origins)));
}

/* The lists come last: one that is too long for a line is left out, and nothing behind it. */
void config_log_start(const struct config *config)
{
	const struct labels *labels = &config->labels;
	struct buf apps, attributes, origins;

	buf_init(&apps, LOG_LINE_MAX_BYTES, NULL);
	buf_init(&attributes, LOG_LINE_MAX_BYTES, NULL);
	buf_init(&origins, LOG_LINE_MAX_BYTES, NULL);
	for (size_t i = 0; i < labels->app_count; i++)
		join(&apps, i, labels->apps[i].name);
	for (size_t i = 0; i < labels->attribute_count; i++)
		join(&attributes, i, labels->attributes[i].key);
	for (size_t i = 0; i < config->allowed_origin_count; i++)
		join(&origins, i, config->allowed_origins[i]);
	log_with_lists(config, &apps, &attributes, &origins);
	buf_release(&apps);
	buf_release(&attributes);
	buf_release(&origins);
}
