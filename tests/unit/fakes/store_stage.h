/* SPDX-License-Identifier: Apache-2.0 */
/*
 * For a driver of the store whose directory it fills with files of its own, and in which calls fail. To be
 * included once a driver.
 */
#ifndef FARO_STORE_STAGE_H
#define FARO_STORE_STAGE_H

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include "base/log.h"
#include "delivery/store.h"
#include "fakes/faulty_calls.h"
#include "fakes/spool_folder.h"

enum {
	MAX_BYTES = 64 << 20
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

/* That database in the place of all that was there, and a store that is to be opened. */
static void begin_with(const char *data, size_t size)
{
	store_free(store);
	remove_files();
	write_file("spool.db", data, size);
	store = new_store(MAX_BYTES);
}

#endif
