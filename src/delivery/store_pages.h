/* SPDX-License-Identifier: Apache-2.0 */
/*
 * store_pages: the ids that stand in the pages of a database, read without SQLite, which gives up a
 * whole table where it meets a page that it cannot read on its way.
 *
 * They are candidates: a page that was freed still says what was in it, and one that is damaged says
 * anything. Whoever asks SQLite for a record by its id learns whether it is there.
 */
#ifndef FARO_DELIVERY_STORE_PAGES_H
#define FARO_DELIVERY_STORE_PAGES_H

#include <stdbool.h>
#include <stdint.h>

/* Calls found() for each id in a database's file, or in its log, until that is false. Returns false
 * with errno set if the file cannot be read; one that is missing has no pages. */
bool store_pages_read(const char *path, bool is_log, bool (*found)(void *context, int64_t id),
		      void *context);

#endif
