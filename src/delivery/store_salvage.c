/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DESIGN: first PRAGMA quick_check, then the questions that opening asks. Damage is what SQLite says
 * without a read having failed meanwhile; after such a one nothing is believed.
 *
 * Then each table is read in the order of its ids. A damaged page ends that, so after one each id that
 * stands in any page of the file or its log is asked for (store_pages.h): so good pages are found
 * wherever they are, and what is in a page that was freed is not. Each record is read by its id, so
 * that a damaged body costs this record only, and is carried over, with its id and its time, if its
 * checksum is right.
 *
 * The fresh database needs no journal on the disk, since it counts from its last fsync on. It may have as many pages as max_bytes leaves beside the damaged one and older copies.
 */
#include "delivery/store_salvage.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "base/metrics.h"
#include "delivery/read_errors.h"
#include "delivery/store_pages.h"
#include "delivery/store_private.h"

enum {
	ROWS_MAX = 100 * 1000 * 1000, /* of a table whose tree is a knot */
	PAGES_MIN = 8,                /* of a database without records */
};

struct table {
	const char *insert, *ids, *read, *read_older;
};

static const struct table records_table = {
	.insert = "INSERT OR IGNORE INTO records(" STORE_COLUMNS ") "
		  "VALUES(" STORE_PLACEHOLDERS ")",
	.read = "SELECT " STORE_COLUMNS " FROM records WHERE id = ?",
	.read_older = "SELECT " STORE_COLUMNS_OLDER " FROM records WHERE id = ?",
	.ids = "SELECT id FROM records ORDER BY id",
};

static const struct table quarantine_table = {
	.insert = "INSERT OR IGNORE INTO quarantine(" STORE_COLUMNS ", reason) "
		  "VALUES(" STORE_PLACEHOLDERS ",?)",
	.read = "SELECT " STORE_COLUMNS ", reason FROM quarantine WHERE id = ?",
	.read_older = "SELECT " STORE_COLUMNS_OLDER ", reason FROM quarantine WHERE id = ?",
	.ids = "SELECT id FROM quarantine ORDER BY id",
};

/* One table on its way. */
struct haul {
	struct salvage *salvage;
	sqlite3_stmt *ids, *read, *insert;
	int64_t carried, bytes, last_id, last_clock_s;
	int64_t broken; /* records that were found, and are not whole */
	bool damaged;   /* a page, or a record */
	int code;       /* of what ended it, if it is none of damage */
};

/* --- life --------------------------------------------------------------------------------------*/

void salvage_init(struct salvage *salvage, const struct store *store, bool is_certain)
{
	*salvage = (struct salvage){
		.dir = store->dir,
		.max_bytes = store->options.max_bytes,
		.expected = store->known ? store->counters.records : -1,
		.last_id = store->counters.last_id,
		.is_certain = is_certain,
	};
	if (store->known)
		spool_clock_save(&store->clock, &salvage->clock);
	pthread_mutex_init(&salvage->mutex, NULL);
}

void salvage_release(struct salvage *salvage)
{
	pthread_mutex_destroy(&salvage->mutex);
}

void salvage_cancel(struct salvage *salvage)
{
	salvage->cancelled = true;
	pthread_mutex_lock(&salvage->mutex);
	if (salvage->db)
		sqlite3_interrupt(salvage->db);
	pthread_mutex_unlock(&salvage->mutex);
}

static void let_interrupt(struct salvage *salvage, sqlite3 *db)
{
	pthread_mutex_lock(&salvage->mutex);
	salvage->db = db;
	pthread_mutex_unlock(&salvage->mutex);
}

static int open_damaged(struct salvage *salvage, bool lenient, sqlite3 **db)
{
	int code = store_connect(salvage->dir.path, lenient, db);

	let_interrupt(salvage, *db);
	return code;
}

static void close_damaged(struct salvage *salvage, sqlite3 *db)
{
	let_interrupt(salvage, NULL);
	store_disconnect(db);
}

/* --- the check ---------------------------------------------------------------------------------*/

/* SQLITE_CORRUPT if it finds anything. */
static int quick_check(sqlite3 *db)
{
	sqlite3_stmt *statement = NULL;
	int code = sqlite3_prepare_v2(db, "PRAGMA quick_check(1)", -1, &statement, NULL);

	if (code == SQLITE_OK)
		code = sqlite3_step(statement);
	if (code == SQLITE_ROW) {
		const char *found = (const char *)sqlite3_column_text(statement, 0);

		code = found && strcmp(found, "ok") == 0 ? SQLITE_OK : SQLITE_CORRUPT;
	}
	sqlite3_finalize(statement);
	return code;
}

static int read_counters(sqlite3 *db, struct counters *counters)
{
	sqlite3_stmt *row = NULL;
	int code =
		sqlite3_prepare_v2(db, "SELECT " STORE_COUNTERS " FROM counters", -1, &row, NULL);

	if (code == SQLITE_ERROR)
		code = sqlite3_prepare_v2(db, "SELECT " STORE_COUNTERS_OLDER " FROM counters", -1,
					  &row, NULL);
	if (code == SQLITE_OK)
		code = sqlite3_step(row);
	if (code == SQLITE_ROW)
		code = store_read_counters(row, counters) ? SQLITE_OK : SQLITE_CORRUPT;
	else if (code == SQLITE_DONE || code == SQLITE_ERROR)
		code = SQLITE_CORRUPT;
	sqlite3_finalize(row);
	return code;
}

/* The tables may be there and others than ours. */
static int look_at_tables(sqlite3 *db, bool is_older)
{
	struct counters counters;
	int64_t unused;
	int code = store_read_number(db, is_older ? records_table.read_older : records_table.read,
				     &unused);

	if (code == SQLITE_OK)
		code = store_read_number(
			db, is_older ? quarantine_table.read_older : quarantine_table.read,
			&unused);
	if (code == SQLITE_OK)
		code = read_counters(db, &counters);
	return code == SQLITE_ERROR ? SQLITE_CORRUPT : code;
}

/* What it is as a whole. SQLITE_CORRUPT, SQLITE_NOTADB: it is damaged, or none of ours. */
static int check(struct salvage *salvage)
{
	enum store_kind kind = KIND_FOREIGN;
	sqlite3 *db = NULL;
	int code = open_damaged(salvage, false, &db);

	if (code == SQLITE_OK)
		code = quick_check(db);
	if (code == SQLITE_OK)
		code = store_kind_of(db, &kind);
	if (code == SQLITE_OK && kind == KIND_FOREIGN)
		code = SQLITE_NOTADB;
	if (code == SQLITE_OK && (kind == KIND_OURS || kind == KIND_OLDER))
		code = look_at_tables(db, kind == KIND_OLDER);
	close_damaged(salvage, db);
	return code;
}

/* --- reading -----------------------------------------------------------------------------------*/

static int64_t larger(int64_t a, int64_t b)
{
	return a > b ? a : b;
}

/* True: the row is in the fresh table, be it from before. */
static bool copy_row(struct haul *haul, sqlite3_stmt *row)
{
	for (int i = 0; i < sqlite3_column_count(row); i++)
		sqlite3_bind_value(haul->insert, i + 1, sqlite3_column_value(row, i));
	haul->code = sqlite3_step(haul->insert);
	sqlite3_reset(haul->insert);
	sqlite3_clear_bindings(haul->insert);
	if (haul->code != SQLITE_DONE)
		return false;
	haul->code = SQLITE_OK;
	if (sqlite3_changes(sqlite3_db_handle(haul->insert)) == 0)
		return true;
	haul->carried++;
	haul->bytes += sqlite3_column_bytes(row, COLUMN_BODY);
	haul->last_id = larger(haul->last_id, sqlite3_column_int64(row, COLUMN_ID));
	haul->last_clock_s = larger(haul->last_clock_s, sqlite3_column_int64(row, COLUMN_CLOCK_S));
	return true;
}

/* Carries over the record with that id. False: there is none that is whole, or `code` says why not. */
static bool carry(struct haul *haul, int64_t id)
{
	bool is_carried = false;
	int code;

	sqlite3_bind_int64(haul->read, 1, id);
	code = sqlite3_step(haul->read);
	if (code == SQLITE_ROW && store_row_is_whole(haul->read))
		is_carried = copy_row(haul, haul->read);
	else if (code != SQLITE_ROW && code != SQLITE_DONE && !store_is_damage(code))
		haul->code = code;
	sqlite3_reset(haul->read);
	return is_carried;
}

static bool may_go_on(const struct haul *haul)
{
	return haul->code == SQLITE_OK && !haul->salvage->cancelled;
}

/* As far as it goes. */
static void read_in_order(struct haul *haul)
{
	int64_t rows = 0;
	int code = SQLITE_DONE;

	while (may_go_on(haul) && rows++ < ROWS_MAX &&
	       (code = sqlite3_step(haul->ids)) == SQLITE_ROW)
		haul->broken += !carry(haul, sqlite3_column_int64(haul->ids, 0));
	sqlite3_reset(haul->ids);
	haul->damaged = haul->broken > 0 || code != SQLITE_DONE;
	if (code == SQLITE_DONE)
		return;
	if (code != SQLITE_ROW && !store_is_damage(code))
		haul->code = code;
}

static bool carry_found(void *context, int64_t id)
{
	struct haul *haul = context;

	carry(haul, id);
	return may_go_on(haul);
}

static void read_each_found(struct haul *haul)
{
	const struct spool_dir *dir = &haul->salvage->dir;
	char log[PATH_MAX + 8];

	snprintf(log, sizeof(log), "%s-wal", dir->path);
	if ((!store_pages_read(dir->path, false, carry_found, haul) ||
	     !store_pages_read(log, true, carry_found, haul)) &&
	    haul->code == SQLITE_OK)
		haul->code = SQLITE_IOERR_READ;
}

static void read_table(struct haul *haul)
{
	read_in_order(haul);
	if (haul->damaged && may_go_on(haul))
		read_each_found(haul);
}

/* A table that is not there at all is one without records. */
static int prepare_reading(struct haul *haul, sqlite3 *from, const struct table *table)
{
	int code = sqlite3_prepare_v2(from, table->ids, -1, &haul->ids, NULL);

	if (code == SQLITE_OK)
		code = sqlite3_prepare_v2(from, table->read, -1, &haul->read, NULL);
	if (code == SQLITE_ERROR)
		code = sqlite3_prepare_v2(from, table->read_older, -1, &haul->read, NULL);
	return code == SQLITE_ERROR ? SQLITE_CORRUPT : code;
}

static void carry_table(struct haul *haul, sqlite3 *from, sqlite3 *to, const struct table *table)
{
	int code;

	haul->code = sqlite3_prepare_v2(to, table->insert, -1, &haul->insert, NULL);
	if (haul->code != SQLITE_OK)
		return;
	code = prepare_reading(haul, from, table);
	if (code == SQLITE_OK)
		read_table(haul);
	else if (store_is_damage(code))
		haul->damaged = true;
	else
		haul->code = code;
	sqlite3_finalize(haul->ids);
	sqlite3_finalize(haul->read);
	sqlite3_finalize(haul->insert);
}

/* --- writing -----------------------------------------------------------------------------------*/

/* What the salvaged database may have beside what is there, and beside the log that it will need. */
static int64_t pages_allowed(struct salvage *salvage)
{
	int64_t allowed = (int64_t)salvage->max_bytes - spool_dir_bytes(&salvage->dir) -
			  STORE_LOG_RESERVE_BYTES;
	int64_t room = spool_dir_room(&salvage->dir) - STORE_DISK_RESERVE_BYTES;

	return (allowed < room ? allowed : room) / STORE_PAGE_BYTES;
}

static int open_fresh(const char *path, int64_t pages, sqlite3 **db)
{
	int code, fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
	char sql[160];

	if (fd < 0)
		return SQLITE_CANTOPEN;
	close(fd);
	code = store_connect(path, false, db);
	snprintf(sql, sizeof(sql),
		 "PRAGMA journal_mode=MEMORY; PRAGMA synchronous=OFF; PRAGMA max_page_count=%lld",
		 (long long)pages);
	if (code == SQLITE_OK)
		code = sqlite3_exec(*db, sql, NULL, NULL, NULL);
	return code == SQLITE_OK ? store_create_tables(*db) : code;
}

static int write_counters(sqlite3 *db, const struct counters *counters)
{
	sqlite3_stmt *write = NULL;
	int code = sqlite3_prepare_v2(db, STORE_WRITE_COUNTERS, -1, &write, NULL);

	if (code == SQLITE_OK) {
		store_bind_counters(write, counters);
		code = sqlite3_step(write);
	}
	sqlite3_finalize(write);
	return code == SQLITE_DONE ? sqlite3_exec(db, "COMMIT", NULL, NULL, NULL) : code;
}

static bool sync_file(const struct salvage *salvage, const char *path)
{
	int fd = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
	bool synced;

	if (fd < 0)
		return false;
	synced = fsync(fd) == 0;
	close(fd);
	return synced && spool_dir_sync_directory(&salvage->dir);
}

/* --- the whole ---------------------------------------------------------------------------------*/

static void count(struct salvage *salvage, const struct counters *told, const struct haul *records,
		  const struct haul *quarantine)
{
	int64_t expected = told ? told->records : salvage->expected;

	salvage->carried = records->carried;
	salvage->lost = larger(expected - records->carried, records->broken);
	salvage->is_whole = told && !records->damaged && !quarantine->damaged &&
			    told->records == records->carried &&
			    told->quarantined == quarantine->carried;
}

/* From one open database to the other. */
static int carry_over(struct salvage *salvage, sqlite3 *from, sqlite3 *to)
{
	struct haul records = {.salvage = salvage}, quarantine = {.salvage = salvage};
	struct counters told = {0}, counters;
	int64_t last_clock_s;
	int code = read_counters(from, &told);
	bool is_told = code == SQLITE_OK;

	if (!is_told && !store_is_damage(code))
		return code;
	if (is_told) {
		salvage->last_id = larger(salvage->last_id, told.last_id);
		salvage->clock = told.clock;
	}
	code = sqlite3_exec(to, "BEGIN", NULL, NULL, NULL);
	if (code != SQLITE_OK)
		return code;
	carry_table(&records, from, to, &records_table);
	if (records.code != SQLITE_OK)
		return records.code;
	carry_table(&quarantine, from, to, &quarantine_table);
	if (quarantine.code != SQLITE_OK)
		return quarantine.code;
	counters = (struct counters){
		.records = records.carried,
		.quarantined = quarantine.carried,
		.quarantined_bytes = quarantine.bytes,
		.last_id = larger(salvage->last_id, larger(records.last_id, quarantine.last_id)),
		.clock = salvage->clock,
	};
	/* Where it is not known, nothing is from its future. */
	last_clock_s = larger(records.last_clock_s, quarantine.last_clock_s);
	counters.clock.clock_us = larger(counters.clock.clock_us, last_clock_s * 1000000);
	count(salvage, is_told ? &told : NULL, &records, &quarantine);
	return write_counters(to, &counters);
}

static enum salvage_result salvage_to(struct salvage *salvage, const char *path, int64_t pages)
{
	sqlite3 *from = NULL, *to = NULL;
	int code = open_fresh(path, pages, &to), closed;

	if (code == SQLITE_OK) {
		code = open_damaged(salvage, true, &from);
		/* What is no database at all has nothing to be carried over. */
		if (code == SQLITE_OK || store_is_damage(code))
			code = carry_over(salvage, from, to);
		close_damaged(salvage, from);
	}
	closed = sqlite3_close(to);
	if ((code & 0xff) == SQLITE_FULL)
		return SALVAGE_NO_ROOM;
	return code == SQLITE_OK && closed == SQLITE_OK && sync_file(salvage, path) ? SALVAGE_DONE
										    : SALVAGE_LATER;
}

static enum salvage_result salvage_all(struct salvage *salvage, uint64_t read_errors)
{
	char path[PATH_MAX];
	int64_t pages = pages_allowed(salvage);
	enum salvage_result result = SALVAGE_NO_ROOM;

	spool_dir_salvaged_path(&salvage->dir, path);
	if (pages >= PAGES_MIN)
		result = salvage_to(salvage, path, pages);
	if (salvage->cancelled || read_errors_count() != read_errors)
		result = SALVAGE_LATER;
	if (result != SALVAGE_DONE)
		unlink(path);
	return result;
}

void salvage_run(struct salvage *salvage)
{
	uint64_t read_errors = read_errors_count();
	int code = SQLITE_CORRUPT;

	salvage->result = SALVAGE_LATER;
	if (!salvage->is_certain)
		code = check(salvage);
	if (salvage->cancelled || read_errors_count() != read_errors)
		return;
	if (code == SQLITE_OK)
		salvage->result = SALVAGE_SOUND;
	else if (store_is_damage(code))
		salvage->result = salvage_all(salvage, read_errors);
}

static void tell(const struct store *store, const struct salvage *salvage, const char *copy)
{
	if (salvage->is_whole)
		log_event(
			LOG_ERROR, "spool_moved_aside",
			"The spool's database was damaged; all of its beacons were copied to a new "
			"one.",
			LOG_STR("path", store->dir.path), LOG_STR("copy", "none"),
			LOG_NUM("carried", salvage->carried), LOG_NUM("lost", 0));
	else
		log_event(
			LOG_ERROR, "spool_moved_aside",
			"The spool's database was damaged, or of another program; all beacons that "
			"can be read were copied to a new one. The old one is kept and counts "
			"against FARO_SPOOL_MAX_BYTES: delete it once nobody needs it.",
			LOG_STR("path", store->dir.path), LOG_STR("copy", copy),
			LOG_NUM("carried", salvage->carried), LOG_NUM("lost", salvage->lost));
}

static enum store_result replace(struct store *store, const struct salvage *salvage)
{
	char copy[SPOOL_NAME_MAX_BYTES];

	if (!spool_dir_exchange(&store->dir, !salvage->is_whole, copy))
		return STORE_FAILED;
	store->counters.records = salvage->carried;
	metrics_add(METRIC_SPOOL_MOVED_ASIDE, 1);
	metrics_add(METRIC_SPOOL_DROPPED_DAMAGED, salvage->lost);
	tell(store, salvage, copy);
	return STORE_OK;
}

enum store_result store_end_salvage(struct store *store, const struct salvage *salvage)
{
	enum store_result result = STORE_FAILED;

	if (salvage->result == SALVAGE_NO_ROOM)
		log_limited(
			LOG_ERROR, "spool_no_room",
			"The spool's database is damaged, and there is no room to copy its beacons "
			"to a new one. It was not changed, and no beacon is stored: raise "
			"FARO_SPOOL_MAX_BYTES above twice spool_bytes, delete older copies, or "
			"free the disk.",
			LOG_STR("path", store->dir.path),
			LOG_NUM("spool_bytes", store_bytes(store)));
	if (salvage->result == SALVAGE_SOUND)
		result = STORE_OK;
	else if (salvage->result == SALVAGE_DONE && spool_dir_is_same(&store->dir))
		result = replace(store, salvage);
	/* Where the directory is another one, or the exchange has begun, opening does the rest. */
	store->suspected = result != STORE_OK && spool_dir_is_same(&store->dir);
	return result;
}
