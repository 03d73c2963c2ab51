/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The table of settings and the list of options, row by row, and man/faro-ingest.8, which has to
 * say the same. What fails names the setting.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <cJSON.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "config/arguments.h"
#include "fakes/sources.h"
#include "fakes/start_line.h"

static char page[131072];

static int read_page(void **state)
{
	(void)state;
	read_source("man/faro-ingest.8", page, sizeof(page));
	return 0;
}

static void test_rows__each__is_complete(void **state)
{
	(void)state;
	for (size_t i = 0; i < setting_count; i++) {
		const struct setting *row = &settings[i];
		const char *prefix = SETTING_PREFIX;

		if (strncmp(row->name, prefix, strlen(prefix)) != 0 ||
		    strlen(row->name) >= SETTING_NAME_SIZE)
			fail_msg("%s: expected a name that begins with %s", row->name, prefix);
		if (!row->help || strlen(row->help) < 10 || row->help[strlen(row->help) - 1] != '.')
			fail_msg("%s: expected a help line that is a sentence", row->name);
		if (row->type->print && (row->max == 0 || row->min > row->max))
			fail_msg("%s: expected a range", row->name);
		if ((row->check || row->required) && !row->expected)
			fail_msg("%s: expected a text that says what is expected", row->name);
		if (setting_of_variable(view_of(row->name)) != row)
			fail_msg("%s: the name stands twice", row->name);
		if (setting_at(row->offset) != row)
			fail_msg("%s: another setting is stored in the same member", row->name);
	}
}

static void test_words__each__is_in_the_help_line(void **state)
{
	size_t words = 0;

	(void)state;
	for (size_t i = 0; i < setting_count; i++) {
		const struct setting *row = &settings[i];

		for (size_t j = 0; row->words && row->words[j]; j++, words++)
			if (!strstr(row->help, row->words[j]))
				fail_msg("%s: the help line lacks %s", row->name, row->words[j]);
	}
	assert_true(words > 0);
}

static bool init(struct config *config, char *argument)
{
	static char program[] = "faro-ingest";
	char *argv[] = {program, argument, NULL};
	bool ok = config_init(config, argument ? 2 : 1, argv, stderr);

	if (!ok)
		fail_msg("%s is refused", argument ? argument : "a default");
	return ok;
}

/* A row of each shape, and an option. */
static void test_help__each_shape_of_a_row__exact(void **state)
{
	static const char *const parts[] = {
		"\n  --ping=SOCKET\n      Ask the faro-ingest that listens on SOCKET whether it works.\n",
		"\n  --upstream-url=URL\n      FARO_UPSTREAM_URL (required)\n      The receiver; ",
		"\n  --upstream-tenant=TEXT\n      FARO_UPSTREAM_TENANT\n      Sent as ",
		"\n  --upstream-timeout-ms=MS 1 to 60000\n"
		"      FARO_UPSTREAM_TIMEOUT_MS (default 3000)\n      Longest ",
		"\n  --path=PATH\n      FARO_PATH (default /faro)\n      PATH and ",
		"\n  --spool-max-bytes=BYTES 1MiB to 1024GiB\n"
		"      FARO_SPOOL_MAX_BYTES (default 64MiB)\n      Largest spool; ",
		"\n  --log-format=WORD\n      FARO_LOG_FORMAT (default logfmt)\n"
		"      logfmt or json.\n",
	};
	static char help[16384];
	FILE *file = fmemopen(help, sizeof(help), "w");

	(void)state;
	assert_non_null(file);
	config_print_help(file);
	assert_int_equal(fclose(file), 0);
	for (size_t i = 0; i < ARRAY_LEN(parts); i++)
		if (!strstr(help, parts[i]))
			fail_msg("--help lacks:%s", parts[i]);
}

static void test_start_line__each_setting__has_its_key(void **state)
{
	struct config config;
	const char *line;

	(void)state;
	init(&config, NULL);
	line = start_line(&config);
	for (size_t i = 0; i < setting_count; i++) {
		char key[SETTING_NAME_SIZE], part[SETTING_NAME_SIZE + 2];

		setting_key(key, &settings[i]);
		snprintf(part, sizeof(part), " %s=", key);
		if (!strstr(line, part))
			fail_msg("%s: the line lacks%s", settings[i].name, part);
	}
	config_release(&config);
}

static void test_words__each__is_taken_and_logged(void **state)
{
	(void)state;
	for (size_t i = 0; i < setting_count; i++) {
		const struct setting *row = &settings[i];
		char option[SETTING_NAME_SIZE], key[SETTING_NAME_SIZE], argument[128], part[128];

		setting_option_name(option, row);
		setting_key(key, row);
		for (size_t j = 0; row->words && row->words[j]; j++) {
			struct config config;

			snprintf(argument, sizeof(argument), "--%s=%s", option, row->words[j]);
			snprintf(part, sizeof(part), " %s=%s ", key, row->words[j]);
			init(&config, argument);
			if (!strstr(start_line(&config), part))
				fail_msg("%s: the line lacks%s", row->name, part);
			config_release(&config);
		}
	}
}

/* The entry of a setting, with the line that begins it; its end is the next entry or section. */
static const char *find_entry(const struct setting *row, size_t *len)
{
	char range[80], line[256], note[128] = "";
	const char *entry, *end;

	setting_print_range(range, sizeof(range), row);
	if (row->default_text)
		snprintf(note, sizeof(note), ", default %s", row->default_text);
	else if (row->required)
		snprintf(note, sizeof(note), ", required");
	snprintf(line, sizeof(line), "\n.It Ev %s Pq %s%s%s\n", row->name, row->type->word, range,
		 note);
	entry = strstr(page, line);
	if (!entry)
		fail_msg("%s: the manual page lacks the line:%s", row->name, line);
	entry += strlen(line);
	end = strstr(entry - 1, "\n.It ");
	if (!end || strstr(entry, ".El\n") < end)
		end = strstr(entry, ".El\n");
	*len = (size_t)(end - entry);
	return entry;
}

static void test_manual__each_setting__says_what_the_row_says(void **state)
{
	(void)state;
	for (size_t i = 0; i < setting_count; i++) {
		const struct setting *row = &settings[i];
		size_t len;
		const char *entry = find_entry(row, &len);

		if (len < 10)
			fail_msg("%s: the manual page does not say what it is for", row->name);
		for (size_t j = 0; row->words && row->words[j]; j++)
			if (!memmem(entry, len, row->words[j], strlen(row->words[j])))
				fail_msg("%s: the manual page lacks %s", row->name, row->words[j]);
	}
}

/* All rows in their order, with nothing between them or behind. */
static void test_manual__table_of_settings__is_ours(void **state)
{
	static const char end[] = "\n.\\\" End of the settings.\n";
	const char *at = strstr(page, "\n.It Em setting Ta Em type and range Ta Em default\n");
	char range[80], line[256];

	(void)state;
	assert_non_null(at);
	at = strchr(at + 1, '\n');
	for (size_t i = 0; i < setting_count; i++) {
		const struct setting *row = &settings[i];

		setting_print_range(range, sizeof(range), row);
		snprintf(line, sizeof(line), "\n.It Ev %s Ta %s%s Ta %s", row->name,
			 row->type->word, range,
			 row->default_text ? row->default_text
			 : row->required   ? "required"
					   : "-");
		if (strncmp(at, line, strlen(line)) != 0)
			fail_msg("the manual page's table lacks, or has elsewhere:%s", line);
		at += strlen(line);
	}
	assert_int_equal(strncmp(at, end, sizeof(end) - 1), 0);
}

static void test_manual__each_entry__is_a_setting(void **state)
{
	static const char begin[] = "\n.It Ev " SETTING_PREFIX;

	(void)state;
	for (const char *p = page; (p = strstr(p, begin)) != NULL; p++) {
		const char *name = p + sizeof(begin) - sizeof(SETTING_PREFIX);
		size_t len = strcspn(name, " \n");

		if (!setting_of_variable((struct view){name, len}))
			fail_msg("%.*s: there is no such setting", (int)len, name);
	}
}

static void test_manual__options__are_those_of_the_list(void **state)
{
	size_t entries = 0;

	(void)state;
	for (const char *p = page; (p = strstr(p, "\n.It Fl ")) != NULL; p++)
		entries++;
	for (size_t i = 0; i < option_count; i++) {
		const struct option_row *row = &option_rows[i];
		char line[128];

		snprintf(line, sizeof(line), "\n.It Fl %s%s-%s%s%s\n",
			 row->letter ? row->letter + 1 : "", row->letter ? " , Fl " : "", row->name,
			 row->value ? " Ar " : "", row->value ? row->value : "");
		if (!strstr(page, line))
			fail_msg("--%s: the manual page lacks the line:%s", row->name, line);
	}
	assert_int_equal(entries, option_count);
}

/* Where another setting is the case, one beacon of the greatest size has to fit. */
static void test_bytes__cases_of_the_chart_too__each(void **state)
{
	static const char *const others[][2] = {{"FARO_MAX_BODY_BYTES", "1"},
						{"FARO_MAX_DECODED_BYTES", "1"},
						{"FARO_MAX_MEMORY_BYTES", "2GiB"}};
	static char program[] = "faro-ingest";
	cJSON *file = read_cases("tests/system/sizes.json");
	FILE *errors = fopen("/dev/null", "w");
	size_t count = 0;
	const cJSON *one;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(others); i++)
		setenv(others[i][0], others[i][1], 1);
	cJSON_ArrayForEach(one, cJSON_GetObjectItem(file, "cases"))
	{
		const char *name = cJSON_GetObjectItem(one, "setting")->valuestring;
		const char *text = cJSON_GetObjectItem(one, "text")->valuestring;
		const cJSON *bytes = cJSON_GetObjectItem(one, "bytes");
		const struct setting *row = setting_of_variable(view_of(name));
		char option[SETTING_NAME_SIZE], argument[128];
		char *argv[] = {program, argument, NULL};
		struct config config;

		assert_non_null(row);
		setting_option_name(option, row);
		snprintf(argument, sizeof(argument), "--%s=%s", option, text);
		if (config_init(&config, 2, argv, errors) != cJSON_IsNumber(bytes))
			fail_msg("%s is %s", argument, cJSON_IsNumber(bytes) ? "refused" : "taken");
		if (cJSON_IsNumber(bytes) &&
		    *(size_t *)((char *)&config + row->offset) != (size_t)bytes->valuedouble)
			fail_msg("%s is another number", argument);
		config_release(&config);
		count++;
	}
	assert_in_range(count, 30, 1000);
	for (size_t i = 0; i < ARRAY_LEN(others); i++)
		unsetenv(others[i][0]);
	fclose(errors);
	cJSON_Delete(file);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rows__each__is_complete),
		cmocka_unit_test(test_words__each__is_in_the_help_line),
		cmocka_unit_test(test_help__each_shape_of_a_row__exact),
		cmocka_unit_test(test_words__each__is_taken_and_logged),
		cmocka_unit_test(test_bytes__cases_of_the_chart_too__each),
		cmocka_unit_test(test_start_line__each_setting__has_its_key),
		cmocka_unit_test(test_manual__each_setting__says_what_the_row_says),
		cmocka_unit_test(test_manual__table_of_settings__is_ours),
		cmocka_unit_test(test_manual__each_entry__is_a_setting),
		cmocka_unit_test(test_manual__options__are_those_of_the_list),
	};

	setenv("OTEL_SERVICE_NAME", "shop", 1);
	setenv("FARO_UPSTREAM_URL", "http://alloy:12347", 1);
	return cmocka_run_group_tests(tests, read_page, NULL);
}
