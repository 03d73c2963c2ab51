/* SPDX-License-Identifier: Apache-2.0 */
/*
 * For a driver of the store: records that are told apart by a number, and that tell whether they are as
 * they were put. To be included once a driver.
 */
#ifndef FARO_NUMBERED_RECORDS_H
#define FARO_NUMBERED_RECORDS_H

#include <stdio.h>
#include <stdlib.h>

#include "delivery/store.h"

enum {
	NUMBERED_MAX = 8192,
	NUMBERED_BYTES = 10000
};

static char numbered_body[NUMBERED_MAX + NUMBERED_BYTES];

/* Sizes differ, so that small records share pages and large ones have several; none deflates. */
static struct view body_of(int n)
{
	size_t len = n % 7 == 0 ? 9000 + (size_t)(n % 100) : 200 + (size_t)(n * 37 % 1500);
	static bool is_filled;
	unsigned random = 1;

	for (size_t i = 0; i < sizeof(numbered_body) && !is_filled; i++)
		numbered_body[i] = (char)(rand_r(&random) >> 4);
	is_filled = true;
	return (struct view){numbered_body + n, len};
}

/* Puts that one in a transaction of its own. */
static enum store_result put_numbered(struct store *store, int n)
{
	struct spool_record record = {.counts.logs = (uint32_t)n, .body = body_of(n)};
	enum store_result result = store_begin(store), inserted;

	if (result != STORE_OK)
		return result;
	inserted = store_insert(store, &record);
	if (inserted == STORE_FAILED)
		return inserted;
	result = store_commit(store);
	return result == STORE_OK ? inserted : result;
}

/* Puts those from `from` on in one transaction. */
static inline enum store_result put_many(struct store *store, int from, int to)
{
	if (store_begin(store) != STORE_OK)
		return STORE_FAILED;
	for (int n = from; n < to; n++) {
		struct spool_record record = {.counts.logs = (uint32_t)n, .body = body_of(n)};

		if (store_insert(store, &record) != STORE_OK)
			return STORE_FAILED;
	}
	return store_commit(store);
}

/* -1: it is not as it was put. */
static int number_of_record(const struct spool_record *record)
{
	int n = (int)record->counts.logs;

	return view_equals(record->body, body_of(n)) ? n : -1;
}

#endif
