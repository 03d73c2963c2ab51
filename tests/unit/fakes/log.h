/* SPDX-License-Identifier: Apache-2.0 */
/*
 * log: log.h without a line: it remembers what was logged last. For a driver that has this file
 * among its sources.
 */
#ifndef FARO_FAKE_LOG_H
#define FARO_FAKE_LOG_H

#include <stdint.h>

/* Texts are those of literals, and live as long. */
extern struct fake_log {
	const char *event, *msg; /* NULL: nothing was logged */
	int64_t status;          /* fields; 0 and "": there was none */
	char upstream_url[128];
	unsigned recovered; /* how often upstream_recovered was logged */
} fake_log;

/* As before the first line. */
void fake_log_clear(void);

#endif
