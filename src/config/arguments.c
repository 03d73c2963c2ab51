/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DESIGN: an argument is an option of the table below, or of a setting. Of an option that is given
 * twice the last value counts; modes exclude each other.
 */
#include "config/arguments.h"

#include <stdlib.h>

#include "base/text.h"

static void set_listen(struct reading *reading, const struct option_row *option, const char *value)
{
	(void)option;
	reading->config->listen = value;
}

static void set_listen_mode(struct reading *reading, const struct option_row *option,
			    const char *value)
{
	char *end;
	unsigned long mode = strtoul(value, &end, 8);

	(void)option;
	if (strspn(value, "01234567") != strlen(value) || end == value || mode > 0777)
		reading_bad_argument(
			reading, value,
			"--listen-mode expects an octal number from 0 to 0777, such as 0660");
	reading->config->listen_mode = (mode_t)mode;
}

static void set_send(struct reading *reading, const struct option_row *option, const char *value)
{
	(void)option;
	(void)value;
	reading->config->check_send = true;
}

static void set_through(struct reading *reading, const struct option_row *option, const char *value)
{
	size_t scheme = strncmp(value, "http://", 7) == 0    ? 7
			: strncmp(value, "https://", 8) == 0 ? 8
							     : 0;
	size_t host = strcspn(value + scheme, "/?#@ ");
	const char *rest = value + scheme + host;

	(void)option;
	if (scheme == 0 || host == 0 || (*rest != '\0' && strcmp(rest, "/") != 0)) {
		reading_bad_argument(reading, value,
				     "--through expects nginx's address without a path, such as "
				     "http://127.0.0.1:8080");
		return;
	}
	reading->config->check_through =
		arena_copy(&reading->config->storage, (struct view){value, scheme + host});
	if (!reading->config->check_through)
		reading_out_of_memory(reading);
}

static void report_two_modes(struct reading *reading)
{
	char bytes[256];
	struct buf modes = {.data = bytes, .cap = sizeof(bytes), .max = sizeof(bytes)};

	for (size_t i = 0; i < option_count; i++)
		if (option_rows[i].mode != MODE_SERVE && option_rows[i].mode != MODE_SUPERVISE)
			buf_printf(&modes, "%s--%s", modes.len > 0 ? ", " : "expected only one of ",
				   option_rows[i].name);
	bytes[modes.len] = '\0';
	reading_bad_argument(reading, "command line", bytes);
}

static void set_mode(struct reading *reading, const struct option_row *option, const char *value)
{
	struct config *config = reading->config;

	config->ping_socket = value;
	if (config->mode != MODE_SERVE && config->mode != option->mode)
		report_two_modes(reading);
	config->mode = option->mode;
}

/* main() gives a command line that has a command to supervise(), and not to us. */
static void refuse_supervise(struct reading *reading, const struct option_row *option,
			     const char *value)
{
	reading_bad_argument(
		reading, "--supervise",
		"expected -- and a command after all options, such as -- nginx -g 'daemon off;'");
	set_mode(reading, option, value);
}

const struct option_row option_rows[] = {
	{"listen", NULL, "SPEC", set_listen, MODE_SERVE,
	 "Serve FastCGI on unix:PATH or [ADDRESS:]PORT (loopback)."},
	{"listen-mode", NULL, "MODE", set_listen_mode, MODE_SERVE,
	 "Octal permissions of that socket; default 0660."},
	{"test-config", "-t", NULL, set_mode, MODE_TEST_CONFIG,
	 "Check the settings and exit (also -t)."},
	{"check", NULL, NULL, set_mode, MODE_CHECK,
	 "Try the receiver, and tell what to change; nothing is stored."},
	{"send", NULL, NULL, set_send, MODE_SERVE,
	 "With --check: also send a log and a span that are stored."},
	{"through", NULL, "URL", set_through, MODE_SERVE,
	 "With --check: also send a beacon to nginx at URL, through which it reaches the receiver."},
	{"print", NULL, NULL, set_mode, MODE_PRINT,
	 "Read one body on stdin, write it labelled to stdout."},
	{"ping", NULL, "SOCKET", set_mode, MODE_PING,
	 "Ask the faro-ingest that listens on SOCKET whether it works."},
	{"supervise", NULL, NULL, refuse_supervise, MODE_SUPERVISE,
	 "Run COMMAND and a responder beside it; write -- COMMAND [ARGUMENT]... after all options."},
	{"version", NULL, NULL, set_mode, MODE_VERSION, "Print the version and exit."},
	{"help", NULL, NULL, set_mode, MODE_HELP, "Print this and exit."},
};

const size_t option_count = ARRAY_LEN(option_rows);

/* The arguments from `next` on have not been looked at yet. */
struct arguments {
	int argc, next;
	char **argv;
};

/* The value of --x=value or --x value; NULL, with a problem, where there is none. */
static const char *option_value(struct reading *reading, struct arguments *arguments,
				const char *argument)
{
	const char *equals = strchr(argument, '=');

	if (equals)
		return equals + 1;
	if (arguments->next < arguments->argc)
		return arguments->argv[arguments->next++];
	reading_bad_argument(reading, argument, "expected a value after it");
	return NULL;
}

static void apply_option(struct reading *reading, struct arguments *arguments,
			 const struct option_row *option, const char *argument)
{
	const char *value = NULL;

	if (option->value) {
		value = option_value(reading, arguments, argument);
		if (!value)
			return;
		if (*value == '\0') {
			reading_bad_argument(reading, option->name,
					     "expected a value that is not empty");
			return;
		}
	} else if (strchr(argument, '=')) {
		reading_bad_argument(reading, argument, "this option takes no value");
		return;
	}
	option->apply(reading, option, value);
}

static const struct option_row *find_option(const char *argument)
{
	const struct view text = {argument, strcspn(argument, "=")};

	for (size_t i = 0; i < option_count; i++) {
		const struct option_row *option = &option_rows[i];

		if (option->letter && strcmp(option->letter, argument) == 0)
			return option;
		if (view_starts_with(text, VIEW_LITERAL("--")) &&
		    view_equals((struct view){text.ptr + 2, text.len - 2}, view_of(option->name)))
			return option;
	}
	return NULL;
}

static const struct setting *find_setting(const char *argument)
{
	if (strncmp(argument, "--", 2) != 0)
		return NULL;
	return setting_of_option((struct view){argument + 2, strcspn(argument + 2, "=")});
}

static void read_argument(struct reading *reading, struct arguments *arguments)
{
	const char *argument = arguments->argv[arguments->next++];
	const struct option_row *option = find_option(argument);
	const struct setting *setting = find_setting(argument);

	if (option) {
		apply_option(reading, arguments, option, argument);
	} else if (setting) {
		reading->given[setting - settings].text =
			option_value(reading, arguments, argument);
		reading->given[setting - settings].is_option = true;
	} else {
		reading_bad_argument(reading, argument,
				     argument[0] == '-' ? "unknown option" : "unexpected argument");
	}
}

void arguments_read(struct reading *reading, int argc, char **argv)
{
	struct arguments arguments = {.argc = argc, .next = 1, .argv = argv};

	while (arguments.next < argc)
		read_argument(reading, &arguments);
	if (reading->config->check_send && reading->config->mode != MODE_CHECK)
		reading_bad_argument(reading, "--send", "expected only together with --check");
	if (reading->config->check_through && reading->config->mode != MODE_CHECK)
		reading_bad_argument(reading, "--through", "expected only together with --check");
}
