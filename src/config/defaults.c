/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DESIGN: values that are not set and depend on the machine (the memory that the container may use,
 * where the system keeps its certificate authorities), and the settings that must fit together. It
 * runs after all settings are parsed.
 */
#include <limits.h>
#include <unistd.h>

#include "base/cgroup.h"
#include "base/text.h"
#include "config/reading.h"

const char *config_file_root = "";

/* Memory */

enum {
	MEMORY_DEFAULT_BYTES = 128 * 1024 * 1024
};

static size_t default_memory(void)
{
	uint64_t limit = cgroup_memory_limit(config_file_root);
	uint64_t bytes = limit == UINT64_MAX ? MEMORY_DEFAULT_BYTES : limit / 3;
	uint64_t max = SETTING_OF(max_memory_bytes)->max;

	return (size_t)(bytes < max ? bytes : max);
}

/* One beacon of the largest size is held as sent, inflated and labelled. An operator who sets less
 * made a mistake; a small container works, for all but such beacons. */
static void check_memory(struct reading *reading)
{
	struct config *config = reading->config;
	size_t needed = config->max_body_bytes + 2 * config->max_decoded_bytes;
	const char *text = reading_text(reading, SETTING_OF(max_memory_bytes));

	if (!text)
		config->max_memory_bytes = default_memory();
	/* 0: the text was no number of bytes, which has been said already. */
	if (config->max_memory_bytes >= needed || config->max_memory_bytes == 0)
		return;
	if (text)
		reading_problem(
			reading, SETTING_OF(max_memory_bytes), text,
			"expected at least %zu, which one beacon of the largest size needs "
			"(FARO_MAX_BODY_BYTES and twice FARO_MAX_DECODED_BYTES); or lower those two",
			needed);
	else
		reading_report(
			reading,
			"warning: FARO_MAX_MEMORY_BYTES: %zu by default is less than the %zu that "
			"one beacon of the largest size needs; such beacons are answered 429: "
			"lower FARO_MAX_BODY_BYTES and FARO_MAX_DECODED_BYTES, set FARO_MAX_MEMORY_BYTES, or "
			"raise the memory limit of the container",
			config->max_memory_bytes, needed);
}

/* Certificate authorities */

/*
 * Where this root file system keeps the authorities that it trusts; NULL: nowhere. A library knows
 * only the place of the system that it was built for, while the self-contained program runs in any
 * image. The places are those of Debian and Alpine, of Red Hat, of SUSE, and of Alpine without a
 * package for it.
 */
static const char *system_authorities(void)
{
	static const char *const places[] = {
		"/etc/ssl/certs/ca-certificates.crt",
		"/etc/pki/tls/certs/ca-bundle.crt",
		"/etc/ssl/ca-bundle.pem",
		"/etc/ssl/cert.pem",
	};
	char path[PATH_MAX];

	for (size_t i = 0; i < ARRAY_LEN(places); i++) {
		snprintf(path, sizeof(path), "%s%s", config_file_root, places[i]);
		if (access(path, R_OK) == 0)
			return places[i];
	}
	return NULL;
}

static void choose_authorities(struct reading *reading)
{
	struct config *config = reading->config;

	if (config->upstream_ca_file && config->upstream_url && !config->upstream_tls)
		reading_report(reading, "warning: FARO_UPSTREAM_CA_FILE has no effect: "
					"FARO_UPSTREAM_URL does not begin with https://");
	if (!config->upstream_tls || config->upstream_ca_file)
		return;
	config->upstream_ca_file = system_authorities();
	if (!config->upstream_ca_file)
		reading_report(
			reading,
			"warning: FARO_UPSTREAM_CA_FILE: not set, and this system has no "
			"certificate authorities (ca-certificates), so no receiver at https:// can "
			"be trusted");
}

/* Lists that are for an item of FARO_REDACT. */
static bool redacts(const struct privacy *privacy, struct view word)
{
	for (size_t i = 0; i < privacy->redact.count; i++)
		if (view_equals(privacy->redact.items[i], word))
			return true;
	return false;
}

static void check_redaction(struct reading *reading)
{
	const struct privacy *privacy = &reading->config->privacy;

	if (privacy->redact_params.count > 0 && !redacts(privacy, VIEW_LITERAL("secrets")))
		reading_report(reading, "warning: FARO_REDACT_PARAMS has no effect: FARO_REDACT "
					"does not have secrets");
	if (privacy->redact_keep.count > 0 && !redacts(privacy, VIEW_LITERAL("query")))
		reading_report(reading, "warning: FARO_REDACT_KEEP has no effect: FARO_REDACT "
					"does not have query");
}

void defaults_choose(struct reading *reading)
{
	check_redaction(reading);
	choose_authorities(reading);
	check_memory(reading);
}
