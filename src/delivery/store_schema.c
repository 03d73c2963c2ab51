/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DESIGN: one table of records in the order of their ids, one of the quarantine, and one row of
 * counters that is changed within the same transactions, so that COUNT(*) is never needed.
 */
#include "delivery/store_schema.h"

#include <libdeflate.h>
#include <stddef.h>
#include <string.h>

enum {
	APPLICATION_ID = 0x4661726f, /* "Faro" */
	SCHEMA_VERSION = 2,
	BUSY_MS = 250, /* an operator's sqlite3 may hold the lock for a moment */
};

#define COLUMN_TYPES                                                                                                  \
	"id INTEGER PRIMARY KEY, stored_s INTEGER NOT NULL, clock_s INTEGER, hash BLOB, session_id TEXT, "            \
	"idempotency_key TEXT, traceparent TEXT, client_address TEXT, logs INTEGER NOT NULL, exceptions INTEGER NOT " \
	"NULL, events INTEGER NOT NULL, measurements INTEGER NOT NULL, spans INTEGER NOT NULL, "                      \
	"size INTEGER NOT NULL, crc INTEGER NOT NULL, body BLOB NOT NULL"

#define CLOCK_US  "clock_us INTEGER NOT NULL DEFAULT 0"
#define BOOT_US   "boot_us INTEGER NOT NULL DEFAULT 0"
#define BOOT_ID   "boot_id TEXT NOT NULL DEFAULT ''"
#define CLOCK_CRC "clock_crc INTEGER"

static const char schema[] =
	"BEGIN IMMEDIATE;"
	"CREATE TABLE records(" COLUMN_TYPES ");"
	"CREATE TABLE quarantine(" COLUMN_TYPES ", reason TEXT NOT NULL);"
	"CREATE TABLE counters(records INTEGER NOT NULL, quarantined INTEGER NOT NULL, "
	"quarantined_bytes INTEGER NOT NULL, last_id INTEGER NOT NULL, " CLOCK_US ", " BOOT_US
	", " BOOT_ID ", " CLOCK_CRC ");"
	"INSERT INTO counters(records, quarantined, quarantined_bytes, last_id) VALUES(0, 0, 0, 0);"
	"PRAGMA user_version=2;"
	"PRAGMA application_id=1180791407;" /* APPLICATION_ID */
	"COMMIT;";

/* From version 1. The clock begins, and the age of what is there is counted from then. */
static const char conversion[] = "BEGIN IMMEDIATE;"
				 "ALTER TABLE records ADD COLUMN clock_s INTEGER;"
				 "ALTER TABLE quarantine ADD COLUMN clock_s INTEGER;"
				 "ALTER TABLE records ADD COLUMN client_address TEXT;"
				 "ALTER TABLE quarantine ADD COLUMN client_address TEXT;"
				 "ALTER TABLE counters ADD COLUMN " CLOCK_US ";"
				 "ALTER TABLE counters ADD COLUMN " BOOT_US ";"
				 "ALTER TABLE counters ADD COLUMN " BOOT_ID ";"
				 "ALTER TABLE counters ADD COLUMN " CLOCK_CRC ";"
				 "PRAGMA user_version=2;"
				 "COMMIT;";

int store_convert(sqlite3 *db)
{
	int code = sqlite3_exec(db, conversion, NULL, NULL, NULL);

	/* The tables are not ours, or half of them. */
	return code == SQLITE_ERROR ? SQLITE_CORRUPT : code;
}

int store_create_tables(sqlite3 *db)
{
	return sqlite3_exec(db, schema, NULL, NULL, NULL);
}

bool store_is_damage(int code)
{
	return (code & 0xff) == SQLITE_CORRUPT || (code & 0xff) == SQLITE_NOTADB;
}

int store_read_number(sqlite3 *db, const char *sql, int64_t *value)
{
	sqlite3_stmt *statement = NULL;
	int code = sqlite3_prepare_v2(db, sql, -1, &statement, NULL);

	*value = 0;
	if (code == SQLITE_OK)
		code = sqlite3_step(statement);
	if (code == SQLITE_ROW) {
		*value = sqlite3_column_int64(statement, 0);
		code = SQLITE_OK;
	}
	sqlite3_finalize(statement);
	return code == SQLITE_DONE ? SQLITE_OK : code;
}

/* auto_vacuum is to be set before the first page is written; later, setting it would write one. */
static int set_up_new_file(sqlite3 *db)
{
	int64_t pages;
	int code = store_read_number(db, "PRAGMA page_count", &pages);

	if (code == SQLITE_OK && pages == 0)
		code = sqlite3_exec(db, "PRAGMA auto_vacuum=INCREMENTAL", NULL, NULL, NULL);
	return code;
}

int store_connect(const char *path, bool lenient, sqlite3 **db)
{
	int code = sqlite3_open_v2(path, db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL);

	if (code != SQLITE_OK)
		return code;
	sqlite3_extended_result_codes(*db, 1);
	sqlite3_busy_timeout(*db, BUSY_MS);
	sqlite3_db_config(*db, SQLITE_DBCONFIG_DEFENSIVE, !lenient, NULL);
	sqlite3_db_config(*db, SQLITE_DBCONFIG_WRITABLE_SCHEMA, lenient, NULL);
	sqlite3_db_config(*db, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, NULL);
	code = sqlite3_exec(*db,
			    lenient ? "PRAGMA cell_size_check=OFF" : "PRAGMA cell_size_check=ON",
			    NULL, NULL, NULL);
	if (code == SQLITE_OK)
		code = set_up_new_file(*db);
	if (code == SQLITE_OK)
		code = sqlite3_exec(*db,
				    "PRAGMA temp_store=MEMORY; PRAGMA cache_size=-1024;"
				    "PRAGMA mmap_size=0; PRAGMA secure_delete=OFF",
				    NULL, NULL, NULL);
	/* What cannot be opened for writing just now, SQLite opens for reading. */
	return code == SQLITE_OK && sqlite3_db_readonly(*db, "main") == 1 ? SQLITE_CANTOPEN : code;
}

void store_disconnect(sqlite3 *db)
{
	if (db)
		sqlite3_db_config(db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
	sqlite3_close(db);
}

int store_kind_of(sqlite3 *db, enum store_kind *kind)
{
	int64_t application = 0, version = 0, tables = 0;
	int code = store_read_number(db, "PRAGMA application_id", &application);

	if (code == SQLITE_OK)
		code = store_read_number(db, "PRAGMA user_version", &version);
	if (code == SQLITE_OK)
		code = store_read_number(db, "SELECT count(*) FROM sqlite_schema", &tables);
	if (application == APPLICATION_ID && version > SCHEMA_VERSION)
		*kind = KIND_NEWER;
	else if (application == APPLICATION_ID && version == SCHEMA_VERSION)
		*kind = KIND_OURS;
	else if (application == APPLICATION_ID && version == 1)
		*kind = KIND_OLDER;
	else if (application == 0 && version == 0 && tables == 0)
		*kind = KIND_EMPTY;
	else
		*kind = KIND_FOREIGN;
	return code;
}

/* A clock that is wrong would make all records too old. */
static uint32_t clock_crc(const struct spool_clock_state *clock)
{
	const int64_t numbers[] = {clock->clock_us, clock->boot_us};
	uint32_t crc = libdeflate_crc32(0, numbers, sizeof(numbers));

	return libdeflate_crc32(crc, clock->boot_id, strlen(clock->boot_id));
}

static bool read_clock(sqlite3_stmt *row, struct spool_clock_state *clock)
{
	const char *boot_id = (const char *)sqlite3_column_text(row, 6);

	*clock = (struct spool_clock_state){sqlite3_column_int64(row, 4),
					    sqlite3_column_int64(row, 5), ""};
	if (boot_id)
		strncpy(clock->boot_id, boot_id, sizeof(clock->boot_id) - 1);
	if (sqlite3_column_type(row, 7) == SQLITE_NULL)
		return clock->clock_us == 0;
	return clock->clock_us >= 0 && clock_crc(clock) == (uint32_t)sqlite3_column_int64(row, 7);
}

bool store_read_counters(sqlite3_stmt *row, struct counters *counters)
{
	struct spool_clock_state clock;
	int64_t columns[4];

	for (int i = 0; i < 4; i++) {
		columns[i] = sqlite3_column_int64(row, i);
		if (columns[i] < 0 || columns[i] > INT64_MAX / 2)
			return false;
	}
	if (!read_clock(row, &clock))
		return false;
	*counters = (struct counters){columns[0], columns[1], columns[2], columns[3], clock};
	return true;
}

void store_bind_counters(sqlite3_stmt *write, const struct counters *counters)
{
	sqlite3_bind_int64(write, 1, counters->records);
	sqlite3_bind_int64(write, 2, counters->quarantined);
	sqlite3_bind_int64(write, 3, counters->quarantined_bytes);
	sqlite3_bind_int64(write, 4, counters->last_id);
	sqlite3_bind_int64(write, 5, counters->clock.clock_us);
	sqlite3_bind_int64(write, 6, counters->clock.boot_us);
	sqlite3_bind_text(write, 7, counters->clock.boot_id, -1, SQLITE_STATIC);
	sqlite3_bind_int64(write, 8, clock_crc(&counters->clock));
}
