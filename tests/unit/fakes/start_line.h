/* SPDX-License-Identifier: Apache-2.0 */
/* For a driver of config: what config_log_start() writes on standard error. */
#ifndef FARO_START_LINE_H
#define FARO_START_LINE_H

#include <stdio.h>
#include <unistd.h>

#include "config/config.h"

/* Valid until the next call. */
static inline const char *start_line(const struct config *config)
{
	static char line[8192];
	int kept = dup(STDERR_FILENO);
	FILE *file = tmpfile();
	size_t n;

	dup2(fileno(file), STDERR_FILENO);
	config_log_start(config);
	dup2(kept, STDERR_FILENO);
	close(kept);
	rewind(file);
	n = fread(line, 1, sizeof(line) - 1, file);
	line[n] = '\0';
	fclose(file);
	return line;
}

#endif
