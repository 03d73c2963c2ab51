/* SPDX-License-Identifier: Apache-2.0 */
/*
 * For a driver of the spool: a directory of its own for each test, in $TMPDIR or else in memory,
 * where a sync takes no time. Files in it are removed, and a directory in it is not. To be included
 * once a driver.
 */
#ifndef FARO_SPOOL_FOLDER_H
#define FARO_SPOOL_FOLDER_H

#include <dirent.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char directory[80];

static bool make_directory(void)
{
	const char *where = getenv("TMPDIR");
	int length = snprintf(directory, sizeof(directory), "%s/faro-spool-XXXXXX",
			      where ? where : "/dev/shm");

	return length < (int)sizeof(directory) && mkdtemp(directory);
}

static void remove_files(void)
{
	DIR *dir = opendir(directory);
	struct dirent *entry;
	char name[512];

	while (dir && (entry = readdir(dir))) {
		snprintf(name, sizeof(name), "%s/%s", directory, entry->d_name);
		unlink(name);
	}
	if (dir)
		closedir(dir);
}

/* As a tear_down returns it. */
static int remove_directory(void)
{
	remove_files();
	return rmdir(directory);
}

#endif
