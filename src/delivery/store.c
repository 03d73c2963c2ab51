/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DESIGN: SQLite writes to its write-ahead log and copies it back often (STORE_CHECKPOINT_PAGES), so
 * that the log stays small; what was freed by deleting goes back to the file system a few pages at a
 * time. What is in the tables: store_schema.c.
 *
 * Limits: database, log and what was moved aside stay together under max_bytes, but for one batch;
 * and while the file system has less room than STORE_DISK_RESERVE_BYTES nothing is inserted
 * (STORE_FULL), because on a full one not even a deletion succeeds. The quarantine has its own share,
 * and the age that records have; its oldest go first.
 *
 * Failures: what SQLite calls damage is a failure of the disk where a read has failed since the
 * database was opened, and a suspicion where none has. A suspected database stays closed, as it is,
 * until it was checked and, if need be, salvaged.
 */
#include <stdlib.h>

#include "base/log.h"
#include "base/metrics.h"
#include "delivery/read_errors.h"
#include "delivery/store_private.h"

static const char *const texts[STATEMENTS] = {
	[BEGIN] = "BEGIN IMMEDIATE",
	[COMMIT] = "COMMIT",
	[ROLLBACK] = "ROLLBACK",
	[INSERT] = "INSERT INTO records(" STORE_COLUMNS ") VALUES(" STORE_PLACEHOLDERS ")",
	[NEXT] = "SELECT " STORE_COLUMNS " FROM records WHERE id > ?1 ORDER BY id",
	[NEXT_TWO] = "SELECT id FROM records WHERE id > ?1 ORDER BY id LIMIT 2",
	[PEEK] = "SELECT id, clock_s FROM records WHERE id > ?1 ORDER BY id LIMIT 1",
	[LATEST] = "SELECT clock_s, hash FROM records ORDER BY id DESC LIMIT ?1",
	[QUARANTINE] = "INSERT OR REPLACE INTO quarantine(" STORE_COLUMNS ", reason) "
		       "SELECT " STORE_COLUMNS ", ?2 FROM records WHERE id = ?1 "
		       "RETURNING length(body)",
	[DELETE] = "DELETE FROM records WHERE id = ?1",
	[TRIM_OLDEST] = "SELECT id, length(body), clock_s FROM quarantine ORDER BY id LIMIT 1",
	[TRIM] = "DELETE FROM quarantine WHERE id = ?1",
	[READ_COUNTERS] = "SELECT " STORE_COUNTERS " FROM counters",
	[WRITE_COUNTERS] = STORE_WRITE_COUNTERS,
	[PAGE_COUNT] = "PRAGMA page_count",
	[FREE_COUNT] = "PRAGMA freelist_count",
	[VACUUM] = "PRAGMA incremental_vacuum(64)", /* STORE_VACUUM_PAGES */
};

/* --- life --------------------------------------------------------------------------------------*/

static int round_up(int bytes)
{
	int size = 32;

	if (bytes > 1024)
		return (bytes + 7) & ~7;
	while (size < bytes)
		size *= 2;
	return size;
}

/* SQLite asks for blocks of all sizes, since it lists the pages of every large body. glibc keeps a
 * few freed blocks of each size, and each keeps its page from being returned: fewer sizes, fewer
 * pages. Without effect once SQLite is in use. */
static void use_few_sizes(void)
{
	sqlite3_mem_methods methods;

	if (sqlite3_config(SQLITE_CONFIG_GETMALLOC, &methods) != SQLITE_OK)
		return;
	methods.xRoundup = round_up;
	sqlite3_config(SQLITE_CONFIG_MALLOC, &methods);
}

struct store *store_new(const struct store_options *options)
{
	struct store *store = calloc(1, sizeof(*store));

	if (!store)
		return NULL;
	use_few_sizes();
	read_errors_install();
	store->options = *options;
	spool_dir_init(&store->dir, options->directory);
	spool_clock_init(&store->clock);
	buf_init(&store->packed, SIZE_MAX / 2, NULL);
	store->deflater = libdeflate_alloc_compressor(1);
	store->inflater = libdeflate_alloc_decompressor();
	if (store->deflater && store->inflater)
		return store;
	store_free(store);
	return NULL;
}

/* `as_it_is`: its log is not copied back, which would write into what may be damaged. */
static void close_database(struct store *store, bool as_it_is)
{
	for (size_t i = 0; i < STATEMENTS; i++) {
		sqlite3_finalize(store->statements[i]);
		store->statements[i] = NULL;
	}
	if (as_it_is)
		store_disconnect(store->db);
	else
		sqlite3_close(store->db);
	store->db = NULL;
	store->is_reading = false;
}

void store_free(struct store *store)
{
	if (!store)
		return;
	close_database(store, false);
	spool_dir_release(&store->dir);
	libdeflate_free_compressor(store->deflater);
	libdeflate_free_decompressor(store->inflater);
	buf_release(&store->packed);
	free(store);
}

void store_trim(struct store *store)
{
	store_end_reading(store);
	buf_release(&store->packed);
	if (store->db)
		sqlite3_db_release_memory(store->db);
}

bool store_is_open(const struct store *store)
{
	return store->db != NULL;
}

bool store_is_suspected(const struct store *store)
{
	return store->suspected;
}

int64_t store_now_s(const struct store *store)
{
	return spool_clock_now_us(&store->clock) / 1000000;
}

int64_t store_records(const struct store *store)
{
	return store->counters.records;
}

int64_t store_quarantined(const struct store *store)
{
	return store->counters.quarantined;
}

int64_t store_last_id(const struct store *store)
{
	return store->next.last_id;
}

int64_t store_bytes(const struct store *store)
{
	return spool_dir_bytes(&store->dir);
}

/* --- failures ----------------------------------------------------------------------------------*/

static void undo_transaction(struct store *store)
{
	store_end_reading(store);
	for (size_t i = 0; i < STATEMENTS; i++)
		sqlite3_reset(store->statements[i]);
	if (!sqlite3_get_autocommit(store->db))
		sqlite3_step(store->statements[ROLLBACK]);
	sqlite3_reset(store->statements[ROLLBACK]);
}

static void suspect(struct store *store)
{
	store->suspected = true;
	log_limited(LOG_ERROR, "spool_suspected",
		    "The spool's database seems to be damaged; no beacon is stored until it has "
		    "been checked.",
		    LOG_STR("path", store->dir.path));
}

enum store_result store_failed(struct store *store, int code)
{
	int primary = code & 0xff;

	log_limited(LOG_ERROR, "spool_failed",
		    "The spool cannot be used at the moment; check the disk of FARO_SPOOL_DIR.",
		    LOG_STR("error", store->db ? sqlite3_errmsg(store->db) : sqlite3_errstr(code)),
		    LOG_NUM("code", code));
	if (!store->db)
		return STORE_FAILED;
	if (store_is_damage(code)) {
		close_database(store, true);
		if (read_errors_count() == store->read_errors)
			suspect(store);
	} else if (primary == SQLITE_FULL || primary == SQLITE_BUSY) {
		undo_transaction(store);
	} else {
		store->unsynced = store->unsynced || primary == SQLITE_IOERR;
		close_database(store, false);
	}
	return STORE_FAILED;
}

int store_run(struct store *store, enum statement which)
{
	sqlite3_stmt *statement = store->statements[which];
	int code;

	do
		code = sqlite3_step(statement);
	while (code == SQLITE_ROW);
	sqlite3_reset(statement);
	return code == SQLITE_DONE ? SQLITE_OK : code;
}

int store_read_row(struct store *store, enum statement which, int64_t *columns, int count)
{
	sqlite3_stmt *statement = store->statements[which];
	int code = sqlite3_step(statement);

	if (code == SQLITE_ROW) {
		for (int i = 0; i < count; i++)
			columns[i] = sqlite3_column_int64(statement, i);
		code = SQLITE_OK;
	} else if (code == SQLITE_DONE) {
		code = SQLITE_NOTFOUND;
	}
	sqlite3_reset(statement);
	return code;
}

/* --- opening -----------------------------------------------------------------------------------*/

static int set_up_connection(struct store *store)
{
	int code = store_connect(store->dir.path, false, &store->db);

	if (code == SQLITE_OK)
		code = sqlite3_exec(store->db,
				    "PRAGMA journal_mode=WAL;"
				    "PRAGMA wal_autocheckpoint=64;"     /* STORE_CHECKPOINT_PAGES */
				    "PRAGMA journal_size_limit=524288", /* STORE_LOG_KEEP_BYTES */
				    NULL, NULL, NULL);
	if (code == SQLITE_OK)
		code = sqlite3_exec(store->db,
				    store->options.sync_full ? "PRAGMA synchronous=FULL"
							     : "PRAGMA synchronous=NORMAL",
				    NULL, NULL, NULL);
	return code;
}

static int prepare_statements(struct store *store)
{
	int code = SQLITE_OK;

	for (size_t i = 0; i < STATEMENTS && code == SQLITE_OK; i++)
		code = sqlite3_prepare_v3(store->db, texts[i], -1, SQLITE_PREPARE_PERSISTENT,
					  &store->statements[i], NULL);
	/* The tables are not ours, or half of them. */
	return code == SQLITE_ERROR ? SQLITE_CORRUPT : code;
}

static int read_counters(struct store *store)
{
	sqlite3_stmt *row = store->statements[READ_COUNTERS];
	int64_t last_id = store->counters.last_id;
	int code = sqlite3_step(row);

	if (code == SQLITE_ROW)
		code = store_read_counters(row, &store->counters) ? SQLITE_OK : SQLITE_CORRUPT;
	else if (code == SQLITE_DONE)
		code = SQLITE_CORRUPT;
	sqlite3_reset(row);
	if (store->counters.last_id < last_id)
		store->counters.last_id = last_id;
	if (code == SQLITE_OK) {
		store->known = true;
		spool_clock_resume(&store->clock, &store->counters.clock);
	}
	return code;
}

static int take_schema(struct store *store, enum store_kind kind)
{
	int code;

	if (kind == KIND_OURS)
		return SQLITE_OK;
	if (kind == KIND_OLDER)
		return store_convert(store->db);
	if (kind != KIND_EMPTY)
		return SQLITE_NOTADB;
	code = store_create_tables(store->db);
	if (code == SQLITE_OK)
		spool_dir_sync_directory(&store->dir);
	return code;
}

/* After a failed fsync the kernel calls those pages of the log clean that never reached the disk, and
 * the next fsync succeeds: after a power cut the log would end there, whatever was committed behind it.
 * So all of it goes to the database, and a new log begins. */
static int renew_log(struct store *store)
{
	int code = SQLITE_OK;

	if (store->unsynced)
		code = sqlite3_wal_checkpoint_v2(store->db, NULL, SQLITE_CHECKPOINT_TRUNCATE, NULL,
						 NULL);
	if (code == SQLITE_OK)
		store->unsynced = false;
	return code;
}

static int open_database(struct store *store, enum store_kind *kind)
{
	int code = set_up_connection(store);

	if (code == SQLITE_OK)
		code = store_kind_of(store->db, kind);
	if (code != SQLITE_OK || *kind == KIND_NEWER)
		return code;
	code = take_schema(store, *kind);
	if (code == SQLITE_OK)
		code = renew_log(store);
	if (code == SQLITE_OK)
		code = prepare_statements(store);
	if (code == SQLITE_OK)
		code = read_counters(store);
	return code;
}

/* Closing copies its log back, so that one file is moved, at once. */
static bool move_newer_aside(struct store *store)
{
	char copy[SPOOL_NAME_MAX_BYTES];

	close_database(store, false);
	if (!spool_dir_move_aside(&store->dir, "newer", copy))
		return false;
	metrics_add(METRIC_SPOOL_MOVED_ASIDE, 1);
	store->counters = (struct counters){.last_id = store->counters.last_id};
	log_event(
		LOG_ERROR, "spool_moved_aside",
		"The spool was written by a newer version and was moved aside; a new one was made. "
		"Once the newer version runs again, move the copy back.",
		LOG_STR("path", store->dir.path), LOG_VIEW("copy", view_of(copy)));
	return true;
}

/* STORE_NONE: what was there was moved aside. */
static enum store_result open_once(struct store *store)
{
	enum store_kind kind = KIND_EMPTY;
	int code;

	if (!spool_dir_prepare(&store->dir))
		return STORE_FAILED;
	store->read_errors = read_errors_count();
	code = open_database(store, &kind);
	if (code == SQLITE_OK && kind == KIND_NEWER)
		return move_newer_aside(store) ? STORE_NONE : STORE_FAILED;
	if (code == SQLITE_OK)
		return STORE_OK;
	store_failed(store, code);
	/* Also where store_failed() would go on with it: it is not completely open yet. */
	close_database(store, false);
	return STORE_FAILED;
}

enum store_result store_open(struct store *store)
{
	enum store_result result;

	if (store->db)
		return STORE_OK;
	if (store->suspected)
		return STORE_FAILED;
	result = open_once(store);
	if (result == STORE_NONE)
		result = open_once(store);
	return result == STORE_OK ? STORE_OK : STORE_FAILED;
}

/* --- transactions ------------------------------------------------------------------------------*/

int store_begin_transaction(struct store *store)
{
	int64_t pages = 0, unused = 0, log_bytes = spool_dir_log_bytes(&store->dir);
	int code;

	store_end_reading(store);
	code = store_run(store, BEGIN);
	/* The log is longer while somebody else reads for long. */
	if (log_bytes < STORE_LOG_RESERVE_BYTES)
		log_bytes = STORE_LOG_RESERVE_BYTES;
	if (code == SQLITE_OK)
		code = store_read_row(store, PAGE_COUNT, &pages, 1);
	if (code == SQLITE_OK)
		code = store_read_row(store, FREE_COUNT, &unused, 1);
	store->used_bytes = (pages - unused) * STORE_PAGE_BYTES + log_bytes +
			    spool_dir_copies_bytes(&store->dir);
	store->room_bytes = spool_dir_room(&store->dir) - STORE_DISK_RESERVE_BYTES;
	store->next = store->counters;
	return code;
}

int store_commit_transaction(struct store *store)
{
	int code;

	spool_clock_save(&store->clock, &store->next.clock);
	store_bind_counters(store->statements[WRITE_COUNTERS], &store->next);
	code = store_run(store, WRITE_COUNTERS);
	if (code == SQLITE_OK)
		code = store_run(store, COMMIT);
	if (code == SQLITE_OK)
		store->counters = store->next;
	return code;
}

enum store_result store_begin(struct store *store)
{
	int code = spool_dir_is_same(&store->dir) ? store_begin_transaction(store)
						  : SQLITE_READONLY_DBMOVED;

	return code == SQLITE_OK ? STORE_OK : store_failed(store, code);
}

enum store_result store_commit(struct store *store)
{
	/* A full store is not written to, nor waited for, for each beacon that it refuses. */
	bool is_empty = store->next.last_id == store->counters.last_id;
	int code = is_empty ? store_run(store, ROLLBACK) : store_commit_transaction(store);

	buf_shrink(&store->packed, 256 * 1024);
	return code == SQLITE_OK ? STORE_OK : store_failed(store, code);
}
