/*
 * DESIGN: first the text of every setting is found (flag, else variable, else default), then each
 * text is parsed by its row's function (setting.c), then what must fit together is checked. A
 * problem is a line on `errors` and never stops the reading, so one run shows them all.
 */
#include "config/config.h"

#include <curl/curl.h>
#include <limits.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/cgroup.h"
#include "base/text.h"
#include "config/setting.h"

#define PREFIX SETTING_PREFIX

const char *config_file_root = "";

/* The command line */

static bool names_setting(const char *flag, size_t len, const struct setting *setting)
{
	char name[64];

	setting_print_flag(name, sizeof(name), setting->name);
	return strlen(name) == len && memcmp(name, flag, len) == 0;
}

struct arguments {
	int argc, next;
	char **argv;
};

static void refuse(struct reading *reading, const char *argument, const char *reason)
{
	setting_report(reading->errors, "%.200s: %s; see --help", argument, reason);
	reading->failed = true;
}

/* The value of --x=value or --x value; NULL, with a problem, where there is none. */
static const char *take_value(struct reading *reading, struct arguments *arguments,
			      const char *argument, const char *equals)
{
	if (equals)
		return equals + 1;
	if (arguments->next < arguments->argc)
		return arguments->argv[arguments->next++];
	refuse(reading, argument, "expected a value after it");
	return NULL;
}

static void set_mode(struct reading *reading, enum config_mode mode)
{
	if (mode == MODE_SUPERVISE)
		refuse(reading, "--supervise",
		       "expected -- and a command behind all options, such as -- nginx -g 'daemon off;'");
	if (reading->config->mode != MODE_SERVE && reading->config->mode != mode)
		refuse(reading, "command line",
		       "expected only one of --test-config, --check, --print, --ping, --version, --help");
	reading->config->mode = mode;
}

static void parse_listen_mode(struct reading *reading, const char *text)
{
	char *end;
	unsigned long mode = strtoul(text, &end, 8);

	if (strspn(text, "01234567") != strlen(text) || end == text || mode > 0777)
		refuse(reading, text,
		       "--listen-mode expects an octal number from 0 to 0777, such as 0660");
	reading->config->listen_mode = (mode_t)mode;
}

static void apply_option(struct reading *reading, const struct setting_option *option,
			 const char *value)
{
	if (option->value && *value == '\0') {
		refuse(reading, option->name, "expected a value that is not empty");
	} else if (strcmp(option->name, "listen") == 0) {
		reading->config->listen = value;
	} else if (strcmp(option->name, "listen-mode") == 0) {
		parse_listen_mode(reading, value);
	} else if (strcmp(option->name, "send") == 0) {
		reading->config->check_send = true;
	} else {
		reading->config->ping_socket = option->mode == MODE_PING ? value : NULL;
		set_mode(reading, option->mode);
	}
}

static void parse_option(struct reading *reading, struct arguments *arguments,
			 const struct setting_option *option, const char *argument,
			 const char *equals)
{
	const char *value = NULL;

	if (option->value) {
		value = take_value(reading, arguments, argument, equals);
		if (!value)
			return;
	} else if (equals) {
		refuse(reading, argument, "this option takes no value");
		return;
	}
	apply_option(reading, option, value);
}

static void parse_argument(struct reading *reading, struct arguments *arguments,
			   const char *argument)
{
	const char *name = argument + 2, *equals = strchr(argument, '='), *value;
	size_t len = equals ? (size_t)(equals - name) : strlen(name);

	for (size_t i = 0; i < SETTING_OPTIONS; i++) {
		if (strlen(setting_options[i].name) == len &&
		    memcmp(setting_options[i].name, name, len) == 0) {
			parse_option(reading, arguments, &setting_options[i], argument, equals);
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
	refuse(reading, argument, "unknown option");
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
			refuse(reading, argument, "unknown option");
		else
			refuse(reading, argument, "unexpected argument");
	}
	if (reading->config->check_send && reading->config->mode != MODE_CHECK)
		refuse(reading, "--send", "expected only together with --check");
}

/* The environment */

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
	for (size_t i = 0; i < ARRAY_LEN(protocols); i++) {
		size_t digits = port[5] == '_' ? strspn(port + 6, "0123456789") : 0;

		if (digits > 0 &&
		    strncmp(port + 6 + digits, protocols[i], strlen(protocols[i])) == 0)
			return true;
	}
	return false;
}

/* Of a request, of --supervise, and of nginx/15-faro.envsh in the same container. */
static bool is_known_word(const char *name, size_t len)
{
	static const char *const words[] = {"ENDPOINT", "SOCKET", "CONFIG_JS", "COLLECTOR_URL"};

	for (size_t i = 0; i < ARRAY_LEN(words); i++)
		if (strlen(words[i]) == len && memcmp(words[i], name, len) == 0)
			return true;
	return false;
}

static void check_variable(struct reading *reading, const char *variable)
{
	const char *equals = strchr(variable, '=');
	size_t len = equals ? (size_t)(equals - variable) : 0, prefix = sizeof(PREFIX) - 1;

	/* Words between nginx and us that are no settings. */
	if (len <= prefix || strncmp(variable, PREFIX, prefix) != 0 ||
	    setting_find(variable + prefix, len - prefix) >= 0 ||
	    is_known_word(variable + prefix, len - prefix) ||
	    is_service_link(variable + prefix - 1, len - prefix + 1, equals + 1))
		return;
	setting_report(
		reading->errors,
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

/* What must fit together */

enum {
	MEMORY_DEFAULT_BYTES = 128 * 1024 * 1024
};

/* One beacon of the greatest size needs room as sent, inflated and labelled. An operator who asks
 * for less made a mistake; a small container works, for all but such beacons. */
static void check_memory(struct reading *reading)
{
	struct config *config = reading->config;
	size_t needed = config->max_body_bytes + 2 * config->max_decoded_bytes;
	const char *text = reading->text[SETTING_MAX_MEMORY_BYTES];
	uint64_t limit = cgroup_memory_limit(config_file_root), third = limit / 3;

	if (!text) {
		if (limit == UINT64_MAX)
			third = MEMORY_DEFAULT_BYTES;
		if (third > settings[SETTING_MAX_MEMORY_BYTES].max)
			third = settings[SETTING_MAX_MEMORY_BYTES].max;
		config->max_memory_bytes = (size_t)third;
	}
	/* Nothing: the text was no number of bytes, which has been said already. */
	if (config->max_memory_bytes >= needed || config->max_memory_bytes == 0)
		return;
	if (text)
		setting_problem(
			reading, SETTING_MAX_MEMORY_BYTES, text,
			"expected at least %zu, which one beacon of the greatest size needs "
			"(FARO_MAX_BODY_BYTES and twice FARO_MAX_DECODED_BYTES); or lower those",
			needed);
	else
		setting_report(
			reading->errors,
			"warning: FARO_MAX_MEMORY_BYTES: %zu by default is less than the %zu that "
			"one beacon of the greatest size needs; such beacons are answered 429: lower "
			"FARO_MAX_BODY_BYTES and FARO_MAX_DECODED_BYTES, or set it, or raise the memory limit",
			config->max_memory_bytes, needed);
}

/* Putting it together */

static void report_labels(void *arg, const char *setting, const char *text, bool fatal)
{
	struct reading *reading = arg;

	setting_report(reading->errors, "%s%s%s%s",
		       fatal ? "" : "warning: ", setting ? setting : "", setting ? ": " : "", text);
	reading->failed |= fatal;
}

static void read_labels(struct reading *reading)
{
	char namespace_file[PATH_MAX];
	const struct labels_source source = {
		.service_name = getenv("OTEL_SERVICE_NAME"),
		.resource_attributes = getenv("OTEL_RESOURCE_ATTRIBUTES"),
		.app_names = reading->text[SETTING_APP_NAMES],
		.label_attributes = reading->text[SETTING_LABEL_ATTRIBUTES],
		.namespace_file = namespace_file,
	};

	snprintf(namespace_file, sizeof(namespace_file), "%s%s", config_file_root,
		 CONFIG_NAMESPACE_FILE);
	labels_init(&reading->config->labels, &source, report_labels, reading);
}

/*
 * The authorities that this root file system trusts. A library knows just the place of the system it
 * was built for, while the self-contained program runs in any image: Debian's and Alpine's place,
 * Red Hat's, SUSE's, and what Alpine has without a package for it.
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

	if (!config->upstream_tls || config->upstream_ca_file)
		return;
	config->upstream_ca_file = system_authorities();
	if (!config->upstream_ca_file)
		setting_report(reading->errors,
			       "warning: FARO_UPSTREAM_CA_FILE: not set, and this system has no "
			       "ca-certificates: no receiver at https:// can be trusted");
}

static void check_upstream(struct reading *reading)
{
	const struct config *config = reading->config;

	if (!reading->text[SETTING_UPSTREAM_URL] && config->mode != MODE_PRINT)
		setting_problem(
			reading, SETTING_UPSTREAM_URL, NULL,
			"expected the URL of the receiver, such as http://alloy:12347/collect");
	if (config->upstream_ca_file && config->upstream_url && !config->upstream_tls)
		setting_report(reading->errors, "warning: FARO_UPSTREAM_CA_FILE has no effect: "
						"FARO_UPSTREAM_URL does not begin with https://");
	choose_authorities(reading);
}

/* Room for the copies that are changed: FARO_PATH and FARO_ALLOWED_ORIGINS. */
static bool make_space(struct reading *reading)
{
	const char *path = reading->text[SETTING_PATH],
		   *origins = reading->text[SETTING_ALLOWED_ORIGINS];

	reading->space = calloc(1, strlen(path ? path : settings[SETTING_PATH].default_text) +
					   (origins ? strlen(origins) : 0) + 2);
	reading->config->storage = reading->space;
	if (!reading->space)
		setting_out_of_memory(reading);
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
	read_labels(reading);
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
	labels_release(&config->labels);
	*config = (struct config){.mode = MODE_SERVE};
}
