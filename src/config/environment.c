/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DESIGN: the text of a setting is its option's, else its variable's; one that is empty counts as
 * not set. A variable that begins with FARO_ and is no setting is probably misspelt, and gets a
 * warning, unless it is one of those that others make.
 */
#include <stdlib.h>
#include <unistd.h>

#include "base/text.h"
#include "config/reading.h"

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

/* Variables of a request, of --supervise, and of nginx/15-faro.envsh in the same container. */
static bool is_of_others(struct view variable)
{
	static const char *const names[] = {"FARO_ENDPOINT", "FARO_IGNORE", "FARO_SOCKET",
					    "FARO_CONFIG_JS", "FARO_COLLECTOR_URL"};

	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		if (view_equals(variable, view_of(names[i])))
			return true;
	return view_starts_with(variable, VIEW_LITERAL(LABELS_PARAMETER_PREFIX));
}

/* Of one entry of the environment, NAME=VALUE. */
static void warn_if_unknown(struct reading *reading, const char *entry)
{
	static const struct view prefix = VIEW_CONSTANT(SETTING_PREFIX);
	const char *equals = strchr(entry, '=');
	struct view name = {entry, equals ? (size_t)(equals - entry) : 0};

	if (name.len <= prefix.len || !view_starts_with(name, prefix) ||
	    setting_of_variable(name) || is_of_others(name) ||
	    is_service_link(name.ptr + prefix.len - 1, name.len - prefix.len + 1, equals + 1))
		return;
	reading_report(
		reading,
		"warning: %.*s is not a setting of this version and has no effect; see --help",
		(int)(name.len < 200 ? name.len : 200), name.ptr);
}

void environment_read(struct reading *reading)
{
	for (char **entry = environ; entry && *entry; entry++)
		warn_if_unknown(reading, *entry);
	for (size_t i = 0; i < setting_count; i++) {
		const char **text = &reading->given[i].text;

		if (!reading->given[i].is_option)
			*text = getenv(settings[i].name);
		if (*text && **text == '\0')
			*text = NULL;
	}
}
