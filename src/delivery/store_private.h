/* SPDX-License-Identifier: Apache-2.0 */
/*
 * store_private: what store.c (the database) and store_records.c (what is in it) share; private to
 * them. Functions that return an int return SQLite's codes; store_failed() turns a code that is not
 * SQLITE_OK into a result.
 */
#ifndef FARO_DELIVERY_STORE_PRIVATE_H
#define FARO_DELIVERY_STORE_PRIVATE_H

#include <libdeflate.h>
#include <sqlite3.h>

#include "delivery/spool_dir.h"
#include "delivery/store.h"
#include "delivery/store_schema.h"

enum {
	STORE_VACUUM_PAGES = 64,
	STORE_DISK_RESERVE_BYTES = 1024 * 1024, /* a log, and the pages that it is copied to */
	STORE_CHECKPOINT_PAGES = 64,
	STORE_LOG_KEEP_BYTES = 512 * 1024, /* what stays of a log that had to grow further */
	STORE_LOG_RESERVE_BYTES = (STORE_CHECKPOINT_PAGES + 16) * STORE_PAGE_BYTES,
};

enum statement {
	BEGIN,
	COMMIT,
	ROLLBACK,
	INSERT,
	NEXT,
	NEXT_TWO,
	PEEK,
	LATEST,
	QUARANTINE,
	DELETE,
	TRIM_OLDEST,
	TRIM,
	READ_COUNTERS,
	WRITE_COUNTERS,
	PAGE_COUNT,
	FREE_COUNT,
	VACUUM,
	STATEMENTS
};

struct store {
	struct store_options options;
	struct spool_dir dir;
	sqlite3 *db;
	sqlite3_stmt *statements[STATEMENTS];
	bool suspected;           /* of damage; closed until a salvage has ended */
	bool known;               /* counters were read, or written */
	bool unsynced;            /* the log may have what is not on the disk */
	uint64_t read_errors;     /* when it was opened */
	struct spool_clock clock; /* runs on while the store is closed */
	struct counters counters; /* as committed */
	struct counters next;     /* as of the transaction */
	bool is_reading;          /* NEXT stands on a row, whose id is read_id */
	int64_t read_id;
	int64_t used_bytes; /* of the transaction, estimated */
	int64_t room_bytes;
	struct libdeflate_compressor *deflater;
	struct libdeflate_decompressor *inflater;
	struct buf packed;
};

/* A statement without a result that matters. */
int store_run(struct store *store, enum statement which);
/* A statement with one row of numbers; SQLITE_NOTFOUND without a row. */
int store_read_row(struct store *store, enum statement which, int64_t *columns, int count);

/* The next store_next() looks for its record anew. While a statement reads, the log cannot be begun
 * anew, and what others write is not seen. So this is called before anything is written, and by
 * store_peek(), which the spool calls each second. */
void store_end_reading(struct store *store);

int store_begin_transaction(struct store *store);
int store_commit_transaction(struct store *store);

/* Whether the checksum fits what a row of STORE_COLUMNS says. */
bool store_row_is_whole(sqlite3_stmt *row);

/* Undoes the transaction where SQLite can go on; else closes the database, which is examined again
 * when it is next opened. What looks like damage is suspected, unless a read has failed. */
enum store_result store_failed(struct store *store, int code);

#endif
