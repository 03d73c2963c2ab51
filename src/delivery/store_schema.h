/* SPDX-License-Identifier: Apache-2.0 */
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

#include "delivery/spool_clock.h"

enum {
	STORE_PAGE_BYTES = 4096,
};

/* The columns of a record, as store_records.c reads and binds them. stored_s is the wall clock's, for
 * people; clock_s is the spool's (spool_clock.h), NULL where version 1 stored the record.
 * client_address is NULL where none is forwarded. */
#define STORE_COLUMNS_WITH(clock_s, client_address)                         \
	"id, stored_s, " clock_s                                            \
	", hash, session_id, idempotency_key, traceparent, " client_address \
	", logs, exceptions, events, measurements, spans, size, crc, body"
#define STORE_COLUMNS       STORE_COLUMNS_WITH("clock_s", "client_address")
#define STORE_COLUMNS_OLDER STORE_COLUMNS_WITH("NULL", "NULL")
#define STORE_PLACEHOLDERS  "?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?" /* for STORE_COLUMNS */

enum store_column {
	COLUMN_ID,
	COLUMN_STORED_S,
	COLUMN_CLOCK_S,
	COLUMN_HASH,
	COLUMN_SESSION_ID,
	COLUMN_IDEMPOTENCY_KEY,
	COLUMN_TRACEPARENT,
	COLUMN_CLIENT_ADDRESS,
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
	struct spool_clock_state clock;
};

/* clock_crc is NULL until the clock was saved. */
#define STORE_COUNTERS \
	"records, quarantined, quarantined_bytes, last_id, clock_us, boot_us, boot_id, clock_crc"
#define STORE_COUNTERS_OLDER "records, quarantined, quarantined_bytes, last_id, 0, 0, '', NULL"
#define STORE_WRITE_COUNTERS                                                             \
	"UPDATE counters SET records=?, quarantined=?, quarantined_bytes=?, last_id=?, " \
	"clock_us=?, boot_us=?, boot_id=?, clock_crc=?"

enum store_kind {
	KIND_EMPTY, /* nothing is in it */
	KIND_OURS,
	KIND_OLDER,
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
/* Makes one of an older version ours, in one transaction. */
int store_convert(sqlite3 *db);
/* The first column of the first row; 0 without a row. */
int store_read_number(sqlite3 *db, const char *sql, int64_t *value);
/* From a row of STORE_COUNTERS. False: they cannot be right. */
bool store_read_counters(sqlite3_stmt *row, struct counters *counters);
/* To STORE_WRITE_COUNTERS. They must stay as they are until it was run. */
void store_bind_counters(sqlite3_stmt *write, const struct counters *counters);

#endif
