/* SPDX-License-Identifier: Apache-2.0 */
/*
 * For a driver of the spool: a directory of its own for each test, in $TMPDIR or else in memory,
 * where a sync takes no time. Files in it are removed, and a directory in it is not. To be included
 * once a driver.
 */
#ifndef FARO_SPOOL_FOLDER_H
#define FARO_SPOOL_FOLDER_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <dirent.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* A file as it was. */
struct bytes {
	char *data;
	size_t size;
};

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

/* --- files in it -------------------------------------------------------------------------------*/

static inline void path_of(char *path, size_t size, const char *name)
{
	snprintf(path, size, "%s/%s", directory, name);
}

static inline bool is_there(const char *name)
{
	char path[160];

	path_of(path, sizeof(path), name);
	return access(path, F_OK) == 0;
}

/* Nothing, where there is no such file; free `data`. */
static inline struct bytes read_file(const char *name)
{
	struct bytes bytes = {NULL, 0};
	char path[160];
	struct stat st;
	FILE *file;

	path_of(path, sizeof(path), name);
	file = fopen(path, "r");
	if (!file)
		return bytes;
	assert_int_equal(fstat(fileno(file), &st), 0);
	bytes = (struct bytes){malloc((size_t)st.st_size + 1), (size_t)st.st_size};
	assert_int_equal(fread(bytes.data, 1, bytes.size, file), bytes.size);
	fclose(file);
	return bytes;
}

static inline void write_file(const char *name, const char *data, size_t size)
{
	char path[160];
	FILE *file;

	path_of(path, sizeof(path), name);
	file = fopen(path, "w");
	assert_non_null(file);
	assert_int_equal(fwrite(data, 1, size, file), size);
	fclose(file);
}

#endif
