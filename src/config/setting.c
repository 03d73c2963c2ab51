/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DESIGN: a row is written by the macro of its shape, so that a part that is left out, or a member
 * of another C type than the row's kind stores, does not compile. What the manual says about a
 * setting is compared with its row by test_setting.c.
 */
#include "config/setting.h"

#include "base/text.h"

#define KIB ((uint64_t)1024)
#define MIB (1024 * KIB)
#define GIB (1024 * MIB)

#define HAS_TYPE(member, c_type) \
	__builtin_types_compatible_p(__typeof__(((struct config *)NULL)->member), c_type)
#define HAS_SIZE(member, c_type) (sizeof(((struct config *)NULL)->member) == sizeof(c_type))
#define MEMBER_IF(condition, member) \
	(offsetof(struct config, member) + 0 * sizeof(char[(condition) ? 1 : -1]))
#define MEMBER(member, c_type) MEMBER_IF(HAS_TYPE(member, c_type), member)

/* clang-format off */
#define NUMBER(kind, c_type, variable, member, minimum, maximum, initial, line) \
	{.name = (variable), .type = &setting_type_##kind, .offset = MEMBER(member, c_type), \
	 .min = (minimum), .max = (maximum), .default_text = (initial), .help = (line)}
#define COUNT(variable, member, minimum, maximum, initial, line) \
	NUMBER(count, size_t, variable, member, minimum, maximum, initial, line)
#define BYTES(variable, member, minimum, maximum, initial, line) \
	NUMBER(bytes, size_t, variable, member, minimum, maximum, initial, line)
#define MS(variable, member, minimum, maximum, initial, line) \
	NUMBER(ms, int64_t, variable, member, minimum, maximum, initial, line)
#define SECONDS(variable, member, minimum, maximum, initial, line) \
	NUMBER(seconds, int64_t, variable, member, minimum, maximum, initial, line)

/* The member is an enum in the order of the words. */
#define WORD(variable, member, the_words, initial, line) \
	{.name = (variable), .type = &setting_type_word, \
	 .offset = MEMBER_IF(HAS_SIZE(member, unsigned), member), \
	 .words = (the_words), .default_text = (initial), .help = (line)}

/* `kind` is text, file, directory or path, or one of the lists that labels.c reads. */
#define TEXT(kind, variable, member, the_check, what, initial, line) \
	{.name = (variable), .type = &setting_type_##kind, \
	 .offset = MEMBER(member, const char *), .check = (the_check), .expected = (what), \
	 .default_text = (initial), .help = (line)}
#define MASK(variable, member, initial, line) \
	{.name = (variable), .type = &setting_type_mask, \
	 .offset = MEMBER(member, struct address_mask), .default_text = (initial), .help = (line)}
#define REQUIRED_URL(variable, member, what, line) \
	{.name = (variable), .type = &setting_type_url, .offset = MEMBER(member, char *), \
	 .expected = (what), .required = true, .help = (line)}
#define LIST(variable, member, the_check, what, initial, line) \
	{.name = (variable), .type = &setting_type_list, \
	 .offset = MEMBER(member, struct config_list), .check = (the_check), .expected = (what), \
	 .default_text = (initial), .help = (line)}
#define SHORT_LIST(variable, member, maximum, the_check, what, initial, line) \
	{.name = (variable), .type = &setting_type_list, \
	 .offset = MEMBER(member, struct config_list), .max = (maximum), .check = (the_check), \
	 .expected = (what), .default_text = (initial), .help = (line)}
/* clang-format on */

static const char *const sync_words[] = {
	[SPOOL_SYNC_FULL] = "full",
	[SPOOL_SYNC_NORMAL] = "normal",
	NULL,
};

static const char *const client_address_words[] = {
	[CLIENT_ADDRESS_OFF] = "off",
	[CLIENT_ADDRESS_MASKED] = "masked",
	[CLIENT_ADDRESS_FULL] = "full",
	NULL,
};

static const char *const log_format_words[] = {
	[LOG_FORMAT_LOGFMT] = "logfmt",
	[LOG_FORMAT_JSON] = "json",
	NULL,
};

static const char *const switch_words[] = {
	[SWITCH_OFF] = "off",
	[SWITCH_ON] = "on",
	NULL,
};

const struct setting settings[] = {
	REQUIRED_URL("FARO_UPSTREAM_URL", upstream_url,
		     "the URL of the receiver, such as http://alloy:12347/collect",
		     "The receiver; no path or / means /collect."),
	TEXT(file, "FARO_UPSTREAM_CA_FILE", upstream_ca_file, setting_check_ca_file,
	     "a readable file with certificates in PEM form", NULL,
	     "Certificates (PEM) to trust for https instead of the system's."),
	TEXT(file, "FARO_UPSTREAM_API_KEY_FILE", upstream_api_key_file, setting_check_key_file,
	     "a readable file with the key in it", NULL,
	     "Its content is sent as x-api-key; read again when it changes."),
	TEXT(text, "FARO_UPSTREAM_TENANT", upstream_tenant, setting_check_tenant,
	     "at most 512 printable ASCII characters", NULL, "Sent as X-Scope-OrgID."),
	MS("FARO_UPSTREAM_CONNECT_TIMEOUT_MS", upstream_connect_timeout_ms, 1, 60000, "1000",
	   "Longest wait for a connection to the receiver."),
	MS("FARO_UPSTREAM_TIMEOUT_MS", upstream_timeout_ms, 1, 60000, "3000",
	   "Longest wait for the receiver's answer, connecting included."),
	COUNT("FARO_UPSTREAM_MAX_INFLIGHT", upstream_max_inflight, 1, 65536, "256",
	      "Beacons on their way to the receiver; beyond it browsers get 429."),
	TEXT(app_names, "FARO_APP_NAMES", app_names, NULL, NULL, NULL,
	     "Frontends behind this server; a browser may be any of them, the first if it names "
	     "none. Default: the service's name."),
	TEXT(label_attributes, "FARO_LABEL_ATTRIBUTES", label_attributes, NULL, NULL, NULL,
	     "Further keys of OTEL_RESOURCE_ATTRIBUTES to stamp."),
	TEXT(request_attributes, "FARO_REQUEST_ATTRIBUTES", request_attributes, NULL, NULL, NULL,
	     "Keys, such as geo.country.iso_code, to stamp with what nginx says in FARO_ATTR_ and "
	     "the key, as in FARO_ATTR_GEO_COUNTRY_ISO_CODE."),
	WORD("FARO_CLIENT_ADDRESS", client_address, client_address_words, "off",
	     "off, masked or full: stamp the client's address, as nginx gives it, as client.address."),
	MASK("FARO_CLIENT_ADDRESS_MASK", client_address_mask, "24,48",
	     "How many bits of a masked IPv4 and of a masked IPv6 address are kept."),
	WORD("FARO_FORWARD_CLIENT_ADDRESS", forward_client_address, client_address_words, "off",
	     "off, masked or full: send the client's address to the receiver as X-Forwarded-For."),
	TEXT(path, "FARO_PATH", path, setting_check_path, "a path such as /faro", "/faro",
	     "PATH and PATH/collect take beacons."),
	LIST("FARO_ALLOWED_ORIGINS", allowed_origins, setting_check_origin,
	     "origins such as https://shop.example or https://*.preview.example", NULL,
	     "Other origins whose pages may send; https://*.preview.example is every name below "
	     "that domain. Default: the same origin only."),
	SHORT_LIST("FARO_ALLOWED_HEADERS", allowed_headers, 32, setting_check_header,
		   "at most 32 names of headers, such as baggage", NULL,
		   "Further request headers that pages of other origins may send along."),
	BYTES("FARO_MAX_BODY_BYTES", max_body_bytes, 1, GIB, "5MiB", "Largest body as sent."),
	BYTES("FARO_MAX_DECODED_BYTES", max_decoded_bytes, 1, GIB, "5MiB",
	      "Largest body after inflating."),
	BYTES("FARO_MAX_MEMORY_BYTES", max_memory_bytes, 1, 2 * GIB, NULL,
	      "All bodies together; beyond it browsers get 429. Default: a third of the cgroup's "
	      "memory limit, else 128MiB."),
	SHORT_LIST("FARO_REDACT", privacy.redact, PRIVACY_LIST_MAX, setting_check_redact,
		   "some of secrets, query, fragment, userinfo and email", NULL,
		   "What becomes REDACTED in URLs and texts: secrets, query, fragment, userinfo, "
		   "email."),
	SHORT_LIST("FARO_REDACT_PARAMS", privacy.redact_params, PRIVACY_LIST_MAX,
		   setting_check_param, "at most 64 names of parameters, such as session_key", NULL,
		   "Further parameters of URLs that are secrets."),
	SHORT_LIST("FARO_REDACT_KEEP", privacy.redact_keep, PRIVACY_LIST_MAX, setting_check_param,
		   "at most 64 names of parameters, such as page", NULL,
		   "Parameters of URLs whose values stay where FARO_REDACT has query."),
	WORD("FARO_DROP_EXTENSION_ERRORS", privacy.drop_extension_errors, switch_words, "off",
	     "on or off: remove exceptions that a browser's extension has thrown."),
	SHORT_LIST("FARO_DROP_ERRORS", privacy.drop_errors, PRIVACY_LIST_MAX, setting_check_error,
		   "at most 64 texts of at most 255 bytes", NULL,
		   "Remove exceptions whose value contains one of these texts."),
	SHORT_LIST("FARO_DROP_FIELDS", privacy.drop_fields, PRIVACY_LIST_MAX, setting_check_field,
		   "at most 64 paths, such as meta.user.email or logs[].context.token", NULL,
		   "Remove these members, such as meta.user or logs[].context.token."),
	TEXT(directory, "FARO_SPOOL_DIR", spool_dir, setting_check_directory,
	     "an absolute path, such as /var/spool/faro-ingest", NULL,
	     "Beacons that the receiver does not accept are kept here and delivered later. Default: no "
	     "spool."),
	BYTES("FARO_SPOOL_MAX_BYTES", spool_max_bytes, MIB, 1024 * GIB, "64MiB",
	      "Largest spool; beyond it browsers get 429."),
	SECONDS("FARO_SPOOL_MAX_AGE_S", spool_max_age_s, 1, 31536000, "86400",
		"Older beacons are dropped."),
	WORD("FARO_SPOOL_SYNC", spool_sync, sync_words, "full",
	     "full: a 202 survives a power cut; normal: it survives a killed process only."),
	COUNT("FARO_REPLAY_RATE", replay_rate, 1, 100000, "20",
	      "Spooled beacons delivered a second, at most."),
	COUNT("FARO_WORKERS", workers, 1, 64, "1", "Threads, each with its own event loop."),
	MS("FARO_DRAIN_DELAY_MS", drain_delay_ms, 0, 600000, "0",
	   "How long to ignore SIGTERM, while an nginx beside it still serves."),
	MS("FARO_DRAIN_TIMEOUT_MS", drain_timeout_ms, 0, 600000, "10000",
	   "How long to go on answering after SIGTERM and that delay."),
	WORD("FARO_LOG_FORMAT", log_format, log_format_words, "logfmt", "logfmt or json."),
	WORD("FARO_LOG_LEVEL", log_level, log_level_names, "info", "debug, info, warn or error."),
};

const size_t setting_count = ARRAY_LEN(settings);
_Static_assert(ARRAY_LEN(settings) <= SETTINGS_MAX, "raise SETTINGS_MAX");

const struct setting *setting_at(size_t offset)
{
	for (size_t i = 0; i < setting_count; i++)
		if (settings[i].offset == offset)
			return &settings[i];
	return NULL;
}

const struct setting *setting_of_variable(struct view name)
{
	for (size_t i = 0; i < setting_count; i++)
		if (view_equals(view_of(settings[i].name), name))
			return &settings[i];
	return NULL;
}

const struct setting *setting_of_option(struct view name)
{
	char option[SETTING_NAME_SIZE];

	for (size_t i = 0; i < setting_count; i++) {
		setting_option_name(option, &settings[i]);
		if (view_equals(view_of(option), name))
			return &settings[i];
	}
	return NULL;
}

static void print_name(char out[SETTING_NAME_SIZE], const char *name, char underscore)
{
	size_t n = 0;

	for (; name[n] && n + 1 < SETTING_NAME_SIZE; n++)
		out[n] = name[n] == '_' ? underscore : (char)(name[n] | 0x20);
	out[n] = '\0';
}

void setting_option_name(char out[SETTING_NAME_SIZE], const struct setting *setting)
{
	print_name(out, setting->name + sizeof(SETTING_PREFIX) - 1, '-');
}

void setting_key(char out[SETTING_NAME_SIZE], const struct setting *setting)
{
	print_name(out, setting->name + sizeof(SETTING_PREFIX) - 1, '_');
}
