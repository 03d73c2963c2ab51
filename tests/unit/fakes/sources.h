/* SPDX-License-Identifier: Apache-2.0 */
/*
 * For a driver that compares a module with other files of the sources. They are looked for below
 * the environment variable srcdir, as automake sets it; without it, below the working directory.
 */
#ifndef FARO_SOURCES_H
#define FARO_SOURCES_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <cJSON.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/text.h"

/* The text of such a file, "docs/REPLIES.md" say, in `text`. */
static inline const char *read_source(const char *name, char *text, size_t size)
{
	const char *srcdir = getenv("srcdir");
	char path[4096];
	long n;

	snprintf(path, sizeof(path), "%s/%s", srcdir ? srcdir : ".", name);
	n = read_small_file(path, text, size, NULL);
	if (n <= 0 || n >= (long)size)
		fail_msg("%s cannot be read, or is longer than this driver expects", path);
	text[n] = '\0';
	return text;
}

/* Cases that other programs are held to as well, to be freed by cJSON_Delete(). */
static inline cJSON *read_cases(const char *name)
{
	static char text[1 << 16];
	cJSON *cases = cJSON_Parse(read_source(name, text, sizeof(text)));

	assert_non_null(cases);
	return cases;
}

#endif
