/* SPDX-License-Identifier: Apache-2.0 */
/*
 * log_output: writes to stderr without ever waiting for who reads it. Private to log, which lets
 * one thread in at a time.
 */
#ifndef FARO_BASE_LOG_OUTPUT_H
#define FARO_BASE_LOG_OUTPUT_H

#include <stdbool.h>
#include <stddef.h>

/* At most PIPE_BUF bytes. False where not even the first byte could be written now. */
bool log_output_write(const char *line, size_t len);

#endif
