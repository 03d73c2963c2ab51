/*
 * store_schema: what a database of the spool looks like, how one is opened, and how it is told from
 * others; private to the store and its salvage. Functions that return an int give SQLite's codes.
 *
 * Versions: user_version is the schema's. A later program converts an older database in one
 * transaction when it opens it; one that is newer than the program is moved aside as spool.db.newer
 * and may be moved back by hand once the program is the newer one again.
 */
#ifndef FARO_DELIVERY_STORE_SCHEMA_H
#define FARO_DELIVERY_STORE_SCHEMA_H

#include <sqlite3.h>
#include <stdbool.h>
#include <stdint.h>

enum {
	STORE_PAGE_BYTES = 4096,
};

/* The columns of a record, as store_records.c reads and binds them. */
#define STORE_COLUMNS                                                                              \
	"id, stored_s, hash, session_id, idempotency_key, traceparent, logs, exceptions, events, " \
	"measurements, spans, size, crc, body"

enum store_column {
	COLUMN_ID,
	COLUMN_STORED_S,
	COLUMN_HASH,
	COLUMN_SESSION_ID,
	COLUMN_IDEMPOTENCY_KEY,
	COLUMN_TRACEPARENT,
	COLUMN_LOGS,
	COLUMN_EXCEPTIONS,
	COLUMN_EVENTS,
	COLUMN_MEASUREMENTS,
	COLUMN_SPANS,
	COLUMN_SIZE,
	COLUMN_CRC,
	COLUMN_BODY,
	STORE_COLUMN_COUNT
};

struct counters {
	int64_t records, quarantined, quarantined_bytes, last_id;
};

#define STORE_COUNTERS "records, quarantined, quarantined_bytes, last_id"

enum store_kind {
	KIND_EMPTY, /* nothing is in it */
	KIND_OURS,
	KIND_NEWER,
	KIND_FOREIGN,
};

/* Whether SQLite says that what it read is no whole database. */
bool store_is_damage(int code);

/* Opens what is there, and makes no file. `lenient`: for reading as much as can be read, also where
 * the schema or the file's length is wrong. `db` is to be closed in any case. */
int store_connect(const char *path, bool lenient, sqlite3 **db);
/* Closes it as it is: the log is neither copied back nor removed. `db` may be NULL. */
void store_disconnect(sqlite3 *db);
int store_kind_of(sqlite3 *db, enum store_kind *kind);
/* Makes the tables of an empty one. */
int store_create_tables(sqlite3 *db);
/* The first column of the first row; 0 without a row. */
int store_read_number(sqlite3 *db, const char *sql, int64_t *value);
/* From a row of STORE_COUNTERS. False: they cannot be right. */
bool store_read_counters(sqlite3_stmt *row, struct counters *counters);

#endif
