/*
 * DESIGN: one table of records in the order of their ids, one of the quarantine, and one row of
 * counters that is changed within the same transactions, so that COUNT(*) is never needed. SQLite
 * writes to its write-ahead log and copies it back often (CHECKPOINT_PAGES), so that the log stays
 * small; what was freed by deleting goes back to the file system a few pages at a time.
 *
 * Limits: database and log together stay under max_bytes, but for one batch; and while the file
 * system has less room than DISK_RESERVE_BYTES nothing is inserted (STORE_FULL), because on a full
 * one not even a deletion succeeds. The quarantine has its own share; its oldest go first.
 *
 * Versions: user_version is the schema's. A later program converts an older database in one
 * transaction when it opens it; one that is newer than the program is moved aside as spool.db.newer
 * and may be moved back by hand once the program is the newer one again.
 */
#include <stdlib.h>

#include "base/log.h"
#include "base/metrics.h"
#include "delivery/store_private.h"

enum {
	APPLICATION_ID = 0x4661726f, /* "Faro" */
	SCHEMA_VERSION = 1,
	CHECKPOINT_PAGES = 64,
	LOG_KEEP_BYTES = 512 * 1024, /* what stays of a log that had to grow further */
	LOG_RESERVE_BYTES = (CHECKPOINT_PAGES + 16) * STORE_PAGE_BYTES,
	BUSY_MS = 250, /* an operator's sqlite3 may hold the lock for a moment */
};

#define COLUMN_TYPES                                                                             \
	"id INTEGER PRIMARY KEY, stored_s INTEGER NOT NULL, hash BLOB, session_id TEXT, "        \
	"idempotency_key TEXT, traceparent TEXT, logs INTEGER NOT NULL, exceptions INTEGER NOT " \
	"NULL, events INTEGER NOT NULL, measurements INTEGER NOT NULL, spans INTEGER NOT NULL, " \
	"size INTEGER NOT NULL, crc INTEGER NOT NULL, body BLOB NOT NULL"

static const char schema[] =
	"BEGIN IMMEDIATE;"
	"CREATE TABLE records(" COLUMN_TYPES ");"
	"CREATE TABLE quarantine(" COLUMN_TYPES ", reason TEXT NOT NULL);"
	"CREATE TABLE counters(records INTEGER NOT NULL, quarantined INTEGER NOT NULL, "
	"quarantined_bytes INTEGER NOT NULL, last_id INTEGER NOT NULL);"
	"INSERT INTO counters VALUES(0, 0, 0, 0);"
	"PRAGMA user_version=1;"
	"PRAGMA application_id=1180791407;" /* APPLICATION_ID */
	"COMMIT;";

static const char *const texts[STATEMENTS] = {
	[BEGIN] = "BEGIN IMMEDIATE",
	[COMMIT] = "COMMIT",
	[ROLLBACK] = "ROLLBACK",
	[INSERT] = "INSERT INTO records(" STORE_COLUMNS
		   ") VALUES(?1,?2,?3,?4,?5,?6,?7,?8,?9,?10,?11,?12,?13,?14)",
	[NEXT] = "SELECT " STORE_COLUMNS " FROM records WHERE id > ?1 ORDER BY id LIMIT 1",
	[PEEK] = "SELECT id, stored_s FROM records WHERE id > ?1 ORDER BY id LIMIT 1",
	[LATEST] = "SELECT stored_s, hash FROM records ORDER BY id DESC LIMIT ?1",
	[QUARANTINE] = "INSERT OR REPLACE INTO quarantine SELECT *, ?2 FROM records WHERE id = ?1 "
		       "RETURNING length(body)",
	[DELETE] = "DELETE FROM records WHERE id = ?1",
	[TRIM_OLDEST] = "SELECT id, length(body) FROM quarantine ORDER BY id LIMIT 1",
	[TRIM] = "DELETE FROM quarantine WHERE id = ?1",
	[READ_COUNTERS] = "SELECT records, quarantined, quarantined_bytes, last_id FROM counters",
	[WRITE_COUNTERS] = "UPDATE counters SET records = ?1, quarantined = ?2, "
			   "quarantined_bytes = ?3, last_id = ?4",
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
	store->options = *options;
	spool_dir_init(&store->dir, options->directory);
	buf_init(&store->packed, SIZE_MAX / 2, NULL);
	store->deflater = libdeflate_alloc_compressor(1);
	store->inflater = libdeflate_alloc_decompressor();
	if (store->deflater && store->inflater)
		return store;
	store_free(store);
	return NULL;
}

static void close_database(struct store *store)
{
	for (size_t i = 0; i < STATEMENTS; i++) {
		sqlite3_finalize(store->statements[i]);
		store->statements[i] = NULL;
	}
	sqlite3_close(store->db);
	store->db = NULL;
}

void store_free(struct store *store)
{
	if (!store)
		return;
	close_database(store);
	spool_dir_release(&store->dir);
	libdeflate_free_compressor(store->deflater);
	libdeflate_free_decompressor(store->inflater);
	buf_release(&store->packed);
	free(store);
}

void store_trim(struct store *store)
{
	buf_release(&store->packed);
	if (store->db)
		sqlite3_db_release_memory(store->db);
}

bool store_is_open(const struct store *store)
{
	return store->db != NULL;
}

int64_t store_records(const struct store *store)
{
	return store->counters.records;
}

int64_t store_quarantined(const struct store *store)
{
	return store->counters.quarantined;
}

int64_t store_bytes(const struct store *store)
{
	return spool_dir_bytes(&store->dir);
}

/* --- failures ----------------------------------------------------------------------------------*/

static void move_aside(struct store *store, const char *suffix, const char *msg)
{
	/* Else closing would write the log into what is damaged, and remove it. */
	sqlite3_db_config(store->db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
	close_database(store);
	if (!spool_dir_move_aside(&store->dir, suffix))
		return;
	metrics_add(METRIC_SPOOL_MOVED_ASIDE, 1);
	store->counters = (struct counters){.last_id = store->counters.last_id};
	log_event(LOG_ERROR, "spool_moved_aside", msg, LOG_STR("path", store->dir.path),
		  LOG_STR("suffix", suffix));
}

enum store_result store_failed(struct store *store, int code)
{
	int primary = code & 0xff;

	log_limited(LOG_ERROR, "spool_failed",
		    "The spool cannot be used just now; check the disk of FARO_SPOOL_DIR.",
		    LOG_STR("error", store->db ? sqlite3_errmsg(store->db) : sqlite3_errstr(code)),
		    LOG_NUM("code", code));
	if (!store->db)
		return STORE_FAILED;
	if (primary == SQLITE_CORRUPT || primary == SQLITE_NOTADB) {
		move_aside(store, "damaged",
			   "The spool's database is damaged, or is none of ours; a fresh one is "
			   "begun.");
	} else if (primary == SQLITE_FULL || primary == SQLITE_BUSY) {
		for (size_t i = 0; i < STATEMENTS; i++)
			sqlite3_reset(store->statements[i]);
		if (!sqlite3_get_autocommit(store->db))
			sqlite3_step(store->statements[ROLLBACK]);
		sqlite3_reset(store->statements[ROLLBACK]);
	} else {
		close_database(store);
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

static int read_pragma(sqlite3 *db, const char *sql, int64_t *value)
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

static int set_up_connection(struct store *store)
{
	int code = sqlite3_open_v2(store->dir.path, &store->db,
				   SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL);

	if (code != SQLITE_OK)
		return code;
	sqlite3_extended_result_codes(store->db, 1);
	sqlite3_busy_timeout(store->db, BUSY_MS);
	sqlite3_db_config(store->db, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
	sqlite3_db_config(store->db, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, NULL);
	/* auto_vacuum counts for a new file only. */
	code = sqlite3_exec(store->db,
			    "PRAGMA auto_vacuum=INCREMENTAL; PRAGMA journal_mode=WAL;"
			    "PRAGMA temp_store=MEMORY; PRAGMA cache_size=-1024; PRAGMA mmap_size=0;"
			    "PRAGMA secure_delete=OFF; PRAGMA cell_size_check=ON;"
			    "PRAGMA wal_autocheckpoint=64;"     /* CHECKPOINT_PAGES */
			    "PRAGMA journal_size_limit=524288", /* LOG_KEEP_BYTES */
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
	int64_t columns[4] = {0}, id = store->counters.last_id;
	int code = store_read_row(store, READ_COUNTERS, columns, 4);

	if (code != SQLITE_OK)
		return code == SQLITE_NOTFOUND ? SQLITE_CORRUPT : code;
	for (int i = 0; i < 4; i++)
		if (columns[i] < 0 || columns[i] > INT64_MAX / 2)
			return SQLITE_CORRUPT;
	store->counters = (struct counters){columns[0], columns[1], columns[2], columns[3]};
	if (store->counters.last_id < id)
		store->counters.last_id = id;
	return SQLITE_OK;
}

/* Finds out what the file is. Of a newer version, or foreign: it is moved aside. */
static int take_schema(struct store *store)
{
	int64_t application = 0, version = 0, tables = 0;
	int code = read_pragma(store->db, "PRAGMA application_id", &application);

	if (code == SQLITE_OK)
		code = read_pragma(store->db, "PRAGMA user_version", &version);
	if (code == SQLITE_OK)
		code = read_pragma(store->db, "SELECT count(*) FROM sqlite_schema", &tables);
	if (code != SQLITE_OK)
		return code;
	if (application == APPLICATION_ID && version > SCHEMA_VERSION) {
		move_aside(store, "newer",
			   "The spool was written by a newer version; move it back once that runs "
			   "again. A fresh one is begun.");
		return SQLITE_SCHEMA;
	}
	if (application == 0 && version == 0 && tables == 0) {
		code = sqlite3_exec(store->db, schema, NULL, NULL, NULL);
		if (code == SQLITE_OK)
			spool_dir_sync_directory(&store->dir);
		return code;
	}
	return application == APPLICATION_ID && version == SCHEMA_VERSION ? SQLITE_OK
									  : SQLITE_NOTADB;
}

static enum store_result open_once(struct store *store)
{
	int code;

	if (!spool_dir_prepare(&store->dir))
		return STORE_FAILED;
	code = set_up_connection(store);
	if (code == SQLITE_OK)
		code = take_schema(store);
	if (code == SQLITE_OK)
		code = prepare_statements(store);
	if (code == SQLITE_OK)
		code = read_counters(store);
	if (code == SQLITE_OK)
		return STORE_OK;
	if (store->db)
		store_failed(store, code);
	/* Also where store_failed() would go on with it: it is not completely open yet. */
	close_database(store);
	return STORE_FAILED;
}

enum store_result store_open(struct store *store)
{
	if (store->db)
		return STORE_OK;
	/* The second time for the fresh one, if the first was moved aside. */
	return open_once(store) == STORE_OK ? STORE_OK : open_once(store);
}

/* --- transactions ------------------------------------------------------------------------------*/

int store_begin_transaction(struct store *store)
{
	int64_t pages = 0, unused = 0, log_bytes = spool_dir_log_bytes(&store->dir);
	int code = store_run(store, BEGIN);

	/* The log is longer while somebody else reads for long. */
	if (log_bytes < LOG_RESERVE_BYTES)
		log_bytes = LOG_RESERVE_BYTES;

	if (code == SQLITE_OK)
		code = store_read_row(store, PAGE_COUNT, &pages, 1);
	if (code == SQLITE_OK)
		code = store_read_row(store, FREE_COUNT, &unused, 1);
	store->used_bytes = (pages - unused) * STORE_PAGE_BYTES + log_bytes;
	store->room_bytes = spool_dir_room(&store->dir) - STORE_DISK_RESERVE_BYTES;
	store->next = store->counters;
	return code;
}

int store_commit_transaction(struct store *store)
{
	sqlite3_stmt *write = store->statements[WRITE_COUNTERS];
	int code;

	sqlite3_bind_int64(write, 1, store->next.records);
	sqlite3_bind_int64(write, 2, store->next.quarantined);
	sqlite3_bind_int64(write, 3, store->next.quarantined_bytes);
	sqlite3_bind_int64(write, 4, store->next.last_id);
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
	int code = store_commit_transaction(store);

	buf_shrink(&store->packed, 256 * 1024);
	return code == SQLITE_OK ? STORE_OK : store_failed(store, code);
}
