/* SPDX-License-Identifier: Apache-2.0 */
#include "base/cgroup.h"

#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"

/* Version 1 has a number near INT64_MAX where version 2 says "max". */
#define NO_LIMIT_BYTES ((uint64_t)1 << 50)

/* Reads the beginning of a file and puts a NUL behind it. */
static bool read_text(char *out, size_t size, const char *path)
{
	long n = read_small_file(path, out, size - 1, NULL);

	out[n > 0 ? n : 0] = '\0';
	return n > 0;
}

/* To the smallest limit of the group and its ancestors, each of which applies. */
static void lower_to_limit(uint64_t *limit, const char *root, const char *hierarchy,
			   const char *group, const char *file)
{
	char name[PATH_MAX], path[PATH_MAX], text[64];
	uint64_t value;
	char *slash;

	snprintf(name, sizeof(name), "%s", group);
	do {
		slash = strrchr(name, '/');
		if (slash && slash[1] == '\0')
			*slash = '\0';
		if (snprintf(path, sizeof(path), "%s%s%s/%s", root, hierarchy, name, file) <
			    (int)sizeof(path) &&
		    read_text(text, sizeof(text), path) && is_digit(text[0])) {
			value = strtoull(text, NULL, 10);
			if (value < *limit && value < NO_LIMIT_BYTES)
				*limit = value;
		}
		slash = strrchr(name, '/');
		if (slash)
			*slash = '\0';
	} while (slash);
}

/* /proc/self/cgroup has one "ID:CONTROLLERS:PATH" a line; version 2 has "0::PATH". In a container
 * the path may be the host's, which does not exist there; then the root of the mount counts. */
uint64_t cgroup_memory_limit(const char *root)
{
	char path[PATH_MAX], text[8192], *rest = text, *line;
	uint64_t limit = UINT64_MAX;

	snprintf(path, sizeof(path), "%s/proc/self/cgroup", root);
	if (!read_text(text, sizeof(text), path))
		return limit;
	while ((line = strsep(&rest, "\n")) != NULL) {
		char *controllers = strchr(line, ':');
		char *group = controllers ? strchr(controllers + 1, ':') : NULL;

		if (!group)
			continue;
		if (strncmp(line, "0::", 3) == 0)
			lower_to_limit(&limit, root, "/sys/fs/cgroup", group + 1, "memory.max");
		else if (memmem(controllers, (size_t)(group - controllers), "memory", 6))
			lower_to_limit(&limit, root, "/sys/fs/cgroup/memory", group + 1,
				       "memory.limit_in_bytes");
	}
	return limit;
}
