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

enum {
	STORE_PAGE_BYTES = 4096,
	STORE_VACUUM_PAGES = 64,
	STORE_DISK_RESERVE_BYTES = 1024 * 1024, /* a log, and the pages that it is copied to */
};

#define STORE_COLUMNS                                                                              \
	"id, stored_s, hash, session_id, idempotency_key, traceparent, logs, exceptions, events, " \
	"measurements, spans, size, crc, body"

enum statement {
	BEGIN,
	COMMIT,
	ROLLBACK,
	INSERT,
	NEXT,
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

struct counters {
	int64_t records, quarantined, quarantined_bytes, last_id;
};

struct store {
	struct store_options options;
	struct spool_dir dir;
	sqlite3 *db;
	sqlite3_stmt *statements[STATEMENTS];
	struct counters counters; /* as committed */
	struct counters next;     /* as of the transaction */
	int64_t used_bytes;       /* of the transaction, estimated */
	int64_t room_bytes;
	struct libdeflate_compressor *deflater;
	struct libdeflate_decompressor *inflater;
	struct buf packed;
};

/* A statement without a result that matters. */
int store_run(struct store *store, enum statement which);
/* A statement with one row of numbers; SQLITE_NOTFOUND without a row. */
int store_read_row(struct store *store, enum statement which, int64_t *columns, int count);

int store_begin_transaction(struct store *store);
int store_commit_transaction(struct store *store);

/* Undoes the transaction where SQLite can go on; else closes the database, which is examined again
 * when it is next opened. */
enum store_result store_failed(struct store *store, int code);

#endif
