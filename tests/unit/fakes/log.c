/* SPDX-License-Identifier: Apache-2.0 */
#include "fakes/log.h"

#include <stdio.h>
#include <string.h>

#include "base/log.h"

struct fake_log fake_log;

void fake_log_clear(void)
{
	fake_log = (struct fake_log){.event = NULL};
}

void log_write(enum log_level level, const char *event, const char *msg,
	       const struct log_field *fields)
{
	(void)level;
	fake_log.event = event;
	fake_log.msg = msg;
	fake_log.status = 0;
	fake_log.upstream_url[0] = '\0';
	for (; fields->key; fields++) {
		if (strcmp(fields->key, "status") == 0)
			fake_log.status = fields->number;
		else if (strcmp(fields->key, "upstream_url") == 0)
			snprintf(fake_log.upstream_url, sizeof(fake_log.upstream_url), "%s",
				 fields->text.ptr);
	}
	fake_log.recovered += strcmp(event, "upstream_recovered") == 0;
}

void log_write_limited(int64_t every_ms, enum log_level level, const char *event, const char *msg,
		       const struct log_field *fields)
{
	(void)every_ms;
	log_write(level, event, msg, fields);
}
