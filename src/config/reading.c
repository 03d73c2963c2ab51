/* SPDX-License-Identifier: Apache-2.0 */
#include "config/reading.h"

#include <stdarg.h>

#include "base/log.h"

const char *reading_text(const struct reading *reading, const struct setting *setting)
{
	return reading->given[setting - settings].text;
}

void reading_report(struct reading *reading, const char *fmt, ...)
{
	char text[1600], bytes[2048];
	struct buf line = {.data = bytes, .cap = sizeof(bytes), .max = sizeof(bytes)};
	va_list args;

	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	log_mask(&line, view_of(text));
	fprintf(reading->errors, "faro-ingest: %.*s\n", (int)line.len, line.data);
}

void reading_problem(struct reading *reading, const struct setting *setting, const char *value,
		     const char *fmt, ...)
{
	bool is_option = reading->given[setting - settings].is_option;
	char text[1024], option[SETTING_NAME_SIZE];
	va_list args;

	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	setting_option_name(option, setting);
	reading_report(reading, "%s%s%s%.200s: %s", is_option ? "--" : "",
		       is_option ? option : setting->name, value ? "=" : "", value ? value : "",
		       text);
	reading->failed = true;
}

void reading_bad_argument(struct reading *reading, const char *argument, const char *reason)
{
	reading_report(reading, "%.200s: %s; see --help", argument, reason);
	reading->failed = true;
}

void reading_out_of_memory(struct reading *reading)
{
	reading_report(reading, "memory ran out while the settings were read");
	reading->failed = true;
}
