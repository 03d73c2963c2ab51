/* SPDX-License-Identifier: Apache-2.0 */
/*
 * For a driver of the store whose directory it fills with files of its own, and in which calls fail. To be
 * included once a driver.
 */
#ifndef FARO_STORE_STAGE_H
#define FARO_STORE_STAGE_H

#include <setjmp.h>
#include <stdarg.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "base/log.h"
#include "delivery/store.h"
#include "fakes/faulty_calls.h"
#include "fakes/spool_folder.h"

enum {
	MAX_BYTES = 64 << 20
};

/* A file as it was. */
struct bytes {
	char *data;
	size_t size;
};

static struct store *store;
static struct buf body;
static struct bytes database; /* what the tests begin with */

static struct store *new_store(int64_t max_bytes)
{
	struct store *made = store_new(&(struct store_options){
		.directory = directory, .max_bytes = (size_t)max_bytes, .sync_full = true});

	assert_non_null(made);
	return made;
}

static int set_up(void **state)
{
	(void)state;
	log_init(0, LOG_ERROR + 1);
	buf_init(&body, 1 << 22, NULL);
	return make_directory() ? 0 : -1;
}

static int tear_down(void **state)
{
	(void)state;
	faulty_calls_fail(NULL, FAULTY_KINDS, 0, 0, 0);
	store_free(store);
	store = NULL;
	free(database.data);
	database = (struct bytes){NULL, 0};
	buf_release(&body);
	return remove_directory();
}

static void path_of(char *path, size_t size, const char *name)
{
	snprintf(path, size, "%s/%s", directory, name);
}

static struct bytes read_file(const char *name)
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

static void write_file(const char *name, const char *data, size_t size)
{
	char path[160];
	FILE *file;

	path_of(path, sizeof(path), name);
	file = fopen(path, "w");
	assert_non_null(file);
	assert_int_equal(fwrite(data, 1, size, file), size);
	fclose(file);
}

/* That database in the place of all that was there, and a store that is to be opened. */
static void begin_with(const char *data, size_t size)
{
	store_free(store);
	remove_files();
	write_file("spool.db", data, size);
	store = new_store(MAX_BYTES);
}

#endif
