/*
 * DESIGN: one table of records in the order of their ids, one of the quarantine, and one row of
 * counters that is changed within the same transactions, so that nothing is ever counted. SQLite
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
#include "spool_store.h"

#include <libdeflate.h>
#include <sqlite3.h>
#include <stdlib.h>
#include <time.h>

#include "log.h"
#include "metrics.h"
#include "spool_file.h"

enum {
	APPLICATION_ID = 0x4661726f, /* "Faro" */
	SCHEMA_VERSION = 1,
	PAGE_BYTES = 4096,
	CHECKPOINT_PAGES = 64,
	LOG_KEEP_BYTES = 512 * 1024,      /* what stays of a log that had to grow further */
	DISK_RESERVE_BYTES = 1024 * 1024, /* a log, and the pages that it is copied to */
	LOG_RESERVE_BYTES = (CHECKPOINT_PAGES + 16) * PAGE_BYTES,
	VACUUM_PAGES = 64,
	QUARANTINE_RECORDS = 1000,
	QUARANTINE_SHARE = 8, /* of max_bytes */
	BUSY_MS = 250,        /* an operator's sqlite3 may hold the lock for a moment */
	ID_MAX_BYTES = 128,   /* of a header; longer ones are not forwarded anyway */
};

#define COLUMNS                                                                                    \
	"id, stored_s, hash, session_id, idempotency_key, traceparent, logs, exceptions, events, " \
	"measurements, spans, size, crc, body"
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

static const char *const texts[STATEMENTS] = {
	[BEGIN] = "BEGIN IMMEDIATE",
	[COMMIT] = "COMMIT",
	[ROLLBACK] = "ROLLBACK",
	[INSERT] = "INSERT INTO records(" COLUMNS
		   ") VALUES(?1,?2,?3,?4,?5,?6,?7,?8,?9,?10,?11,?12,?13,?14)",
	[NEXT] = "SELECT " COLUMNS " FROM records WHERE id > ?1 ORDER BY id LIMIT 1",
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
	[VACUUM] = "PRAGMA incremental_vacuum(64)", /* VACUUM_PAGES */
};

struct counters {
	int64_t records, quarantined, quarantined_bytes, last_id;
};

struct store {
	struct store_options options;
	struct spool_file file;
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

/* --- life ---------------------------------------------------------------------------------------*/

struct store *store_new(const struct store_options *options)
{
	struct store *store = calloc(1, sizeof(*store));

	if (!store)
		return NULL;
	store->options = *options;
	spool_file_init(&store->file, options->directory);
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
	spool_file_release(&store->file);
	libdeflate_free_compressor(store->deflater);
	libdeflate_free_decompressor(store->inflater);
	buf_release(&store->packed);
	free(store);
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
	return spool_file_bytes(&store->file);
}

/* --- failures -----------------------------------------------------------------------------------*/

static void move_aside(struct store *store, const char *suffix, const char *msg)
{
	/* Else closing would write the log into what is damaged, and remove it. */
	sqlite3_db_config(store->db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
	close_database(store);
	if (!spool_file_move_aside(&store->file, suffix))
		return;
	metrics_add(METRIC_SPOOL_MOVED_ASIDE, 1);
	store->counters = (struct counters){.last_id = store->counters.last_id};
	log_event(LOG_ERROR, "spool_moved_aside", msg, LOG_STR("path", store->file.path),
		  LOG_STR("suffix", suffix));
}

/* Any result that is none of success. Where SQLite can go on, the transaction is undone; else the
 * database is closed, and looked at anew when it is next opened. */
static enum store_result failed(struct store *store, int code)
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

/* A statement without a result that matters. */
static int run(struct store *store, enum statement which)
{
	sqlite3_stmt *statement = store->statements[which];
	int code;

	do
		code = sqlite3_step(statement);
	while (code == SQLITE_ROW);
	sqlite3_reset(statement);
	return code == SQLITE_DONE ? SQLITE_OK : code;
}

/* A statement with one row of numbers; SQLITE_NOTFOUND without a row. */
static int read_row(struct store *store, enum statement which, int64_t *columns, int count)
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

/* --- opening ------------------------------------------------------------------------------------*/

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
	int code = sqlite3_open_v2(store->file.path, &store->db,
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
	int code = read_row(store, READ_COUNTERS, columns, 4);

	if (code != SQLITE_OK)
		return code == SQLITE_NOTFOUND ? SQLITE_CORRUPT : code;
	store->counters = (struct counters){columns[0], columns[1], columns[2], columns[3]};
	if (store->counters.last_id < id)
		store->counters.last_id = id;
	for (int i = 0; i < 4; i++)
		if (columns[i] < 0 || columns[i] > INT64_MAX / 2)
			return SQLITE_CORRUPT;
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
			spool_file_sync_directory(&store->file);
		return code;
	}
	return application == APPLICATION_ID && version == SCHEMA_VERSION ? SQLITE_OK
									  : SQLITE_NOTADB;
}

static enum store_result open_once(struct store *store)
{
	int code;

	if (!spool_file_prepare(&store->file))
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
		failed(store, code);
	/* Also what failed() can go on with: it is no whole store yet. */
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

/* --- writing ------------------------------------------------------------------------------------*/

static int64_t wall_clock_us(void)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

/* Of what a record holds, in the order of its columns, and of its id. */
static uint32_t checksum(const struct spool_record *record, struct view packed)
{
	const int64_t numbers[] = {record->id,
				   record->stored_s,
				   record->counts.logs,
				   record->counts.exceptions,
				   record->counts.events,
				   record->counts.measurements,
				   record->counts.spans,
				   (int64_t)record->body.len};
	const struct view texts_of[] = {record->session_id, record->idempotency_key,
					record->traceparent, packed};
	uint32_t crc = libdeflate_crc32(0, numbers, sizeof(numbers));

	crc = libdeflate_crc32(crc, record->hash.bytes, sizeof(record->hash.bytes));
	for (size_t i = 0; i < sizeof(texts_of) / sizeof(texts_of[0]); i++)
		if (texts_of[i].len > 0)
			crc = libdeflate_crc32(crc, texts_of[i].ptr, texts_of[i].len);
	return crc;
}

static bool pack(struct store *store, struct view body)
{
	size_t bound = libdeflate_zlib_compress_bound(store->deflater, body.len);

	buf_clear(&store->packed);
	if (buf_reserve(&store->packed, bound) != BUF_OK)
		return false;
	store->packed.len = libdeflate_zlib_compress(store->deflater, body.ptr, body.len,
						     store->packed.data, store->packed.cap);
	return store->packed.len > 0;
}

static int begin(struct store *store)
{
	int64_t pages = 0, unused = 0;
	int code = run(store, BEGIN);

	if (code == SQLITE_OK)
		code = read_row(store, PAGE_COUNT, &pages, 1);
	if (code == SQLITE_OK)
		code = read_row(store, FREE_COUNT, &unused, 1);
	store->used_bytes = (pages - unused) * PAGE_BYTES + LOG_RESERVE_BYTES;
	store->room_bytes = spool_file_room(&store->file) - DISK_RESERVE_BYTES;
	store->next = store->counters;
	return code;
}

static int commit(struct store *store)
{
	sqlite3_stmt *write = store->statements[WRITE_COUNTERS];
	int code;

	sqlite3_bind_int64(write, 1, store->next.records);
	sqlite3_bind_int64(write, 2, store->next.quarantined);
	sqlite3_bind_int64(write, 3, store->next.quarantined_bytes);
	sqlite3_bind_int64(write, 4, store->next.last_id);
	code = run(store, WRITE_COUNTERS);
	if (code == SQLITE_OK)
		code = run(store, COMMIT);
	if (code == SQLITE_OK)
		store->counters = store->next;
	return code;
}

enum store_result store_begin(struct store *store)
{
	int code = begin(store);

	return code == SQLITE_OK ? STORE_OK : failed(store, code);
}

enum store_result store_commit(struct store *store)
{
	int code = commit(store);

	buf_shrink(&store->packed, 256 * 1024);
	return code == SQLITE_OK ? STORE_OK : failed(store, code);
}

static void bind_view(sqlite3_stmt *statement, int column, struct view value)
{
	if (value.ptr && value.len <= ID_MAX_BYTES)
		sqlite3_bind_text(statement, column, value.ptr, (int)value.len, SQLITE_STATIC);
	else
		sqlite3_bind_null(statement, column);
}

static void forget_long(struct view *value)
{
	if (value->len > ID_MAX_BYTES)
		*value = (struct view){NULL, 0};
}

static void bind_record(sqlite3_stmt *insert, const struct spool_record *record, struct view packed)
{
	const uint32_t counts[] = {record->counts.logs, record->counts.exceptions,
				   record->counts.events, record->counts.measurements,
				   record->counts.spans};

	sqlite3_bind_int64(insert, 1, record->id);
	sqlite3_bind_int64(insert, 2, record->stored_s);
	if (dedup_hash_is_empty(&record->hash))
		sqlite3_bind_null(insert, 3);
	else
		sqlite3_bind_blob(insert, 3, record->hash.bytes, sizeof(record->hash.bytes),
				  SQLITE_STATIC);
	bind_view(insert, 4, record->session_id);
	bind_view(insert, 5, record->idempotency_key);
	bind_view(insert, 6, record->traceparent);
	for (int i = 0; i < 5; i++)
		sqlite3_bind_int64(insert, 7 + i, counts[i]);
	sqlite3_bind_int64(insert, 12, (int64_t)record->body.len);
	sqlite3_bind_int64(insert, 13, checksum(record, packed));
	sqlite3_bind_blob64(insert, 14, packed.ptr, packed.len, SQLITE_STATIC);
}

/* A small record shares its page; a large one has pages of its own, the last of which is not full. */
static int64_t cost(size_t packed_len)
{
	return (int64_t)packed_len + (packed_len < 1000 ? 256 : PAGE_BYTES);
}

enum store_result store_insert(struct store *store, const struct spool_record *given)
{
	struct spool_record record = *given;
	struct view packed;
	int64_t now_us = wall_clock_us();
	int code;

	if (!pack(store, record.body))
		return STORE_FULL;
	packed = (struct view){store->packed.data, store->packed.len};
	if (store->used_bytes + cost(packed.len) > (int64_t)store->options.max_bytes ||
	    2 * cost(packed.len) > store->room_bytes)
		return STORE_FULL;
	forget_long(&record.session_id);
	forget_long(&record.idempotency_key);
	forget_long(&record.traceparent);
	record.id = now_us > store->next.last_id ? now_us : store->next.last_id + 1;
	record.stored_s = now_us / 1000000;
	bind_record(store->statements[INSERT], &record, packed);
	code = run(store, INSERT);
	sqlite3_clear_bindings(store->statements[INSERT]);
	if (code != SQLITE_OK)
		return failed(store, code);
	store->used_bytes += cost(packed.len);
	/* Once to the log, and once more when that is copied back. */
	store->room_bytes -= 2 * cost(packed.len);
	store->next.records++;
	store->next.last_id = record.id;
	return STORE_OK;
}

/* --- reading ------------------------------------------------------------------------------------*/

static struct view append(struct buf *buf, sqlite3_stmt *row, int column)
{
	const void *bytes = sqlite3_column_blob(row, column);
	size_t len = (size_t)sqlite3_column_bytes(row, column);
	char *at = buf->data + buf->len;

	if (sqlite3_column_type(row, column) == SQLITE_NULL || len > ID_MAX_BYTES)
		return (struct view){NULL, 0};
	if (len > 0)
		memcpy(at, bytes, len);
	buf->len += len;
	return (struct view){at, len};
}

static void read_numbers(sqlite3_stmt *row, struct spool_record *record)
{
	*record = (struct spool_record){.id = sqlite3_column_int64(row, 0),
					.stored_s = sqlite3_column_int64(row, 1)};
	if (sqlite3_column_bytes(row, 2) == DEDUP_HASH_BYTES)
		memcpy(record->hash.bytes, sqlite3_column_blob(row, 2), DEDUP_HASH_BYTES);
	record->counts = (struct enrich_counts){
		.logs = (uint32_t)sqlite3_column_int64(row, 6),
		.exceptions = (uint32_t)sqlite3_column_int64(row, 7),
		.events = (uint32_t)sqlite3_column_int64(row, 8),
		.measurements = (uint32_t)sqlite3_column_int64(row, 9),
		.spans = (uint32_t)sqlite3_column_int64(row, 10),
	};
}

static enum store_result read_record(struct store *store, sqlite3_stmt *row,
				     struct spool_record *record, struct buf *body)
{
	struct view packed = {sqlite3_column_blob(row, 13), (size_t)sqlite3_column_bytes(row, 13)};
	int64_t size = sqlite3_column_int64(row, 11);
	size_t got;

	read_numbers(row, record);
	if (size <= 0 || (uint64_t)size > store->options.max_record_bytes || !packed.ptr)
		return STORE_DAMAGED;
	buf_clear(body);
	if (buf_reserve(body, (size_t)size + 3 * ID_MAX_BYTES) != BUF_OK)
		return STORE_FULL;
	if (libdeflate_zlib_decompress(store->inflater, packed.ptr, packed.len, body->data,
				       (size_t)size, &got) != LIBDEFLATE_SUCCESS ||
	    got != (size_t)size)
		return STORE_DAMAGED;
	body->len = got;
	record->body = (struct view){body->data, got};
	record->session_id = append(body, row, 3);
	record->idempotency_key = append(body, row, 4);
	record->traceparent = append(body, row, 5);
	return checksum(record, packed) == (uint32_t)sqlite3_column_int64(row, 12) ? STORE_OK
										   : STORE_DAMAGED;
}

enum store_result store_next(struct store *store, int64_t after, struct spool_record *record,
			     struct buf *body)
{
	sqlite3_stmt *row = store->statements[NEXT];
	enum store_result result = STORE_NONE;
	int code;

	sqlite3_bind_int64(row, 1, after);
	code = sqlite3_step(row);
	if (code == SQLITE_ROW)
		result = read_record(store, row, record, body);
	sqlite3_reset(row);
	return code == SQLITE_ROW || code == SQLITE_DONE ? result : failed(store, code);
}

enum store_result store_peek(struct store *store, int64_t after, int64_t *id, int64_t *stored_s)
{
	int64_t columns[2] = {0, 0};
	int code;

	sqlite3_bind_int64(store->statements[PEEK], 1, after);
	code = read_row(store, PEEK, columns, 2);
	if (code == SQLITE_NOTFOUND)
		return STORE_NONE;
	if (code != SQLITE_OK)
		return failed(store, code);
	*id = columns[0];
	*stored_s = columns[1];
	return STORE_OK;
}

void store_tell(struct store *store, struct dedup *dedup, int64_t now_s, int64_t now_us)
{
	sqlite3_stmt *row = store->statements[LATEST];
	struct dedup_hash hash;
	int code;

	sqlite3_bind_int64(row, 1, DEDUP_ENTRIES / 2);
	while ((code = sqlite3_step(row)) == SQLITE_ROW) {
		int64_t age_s = now_s - sqlite3_column_int64(row, 0);

		if (age_s >= DEDUP_KEEP_S)
			break;
		if (sqlite3_column_bytes(row, 1) != sizeof(hash.bytes))
			continue;
		memcpy(hash.bytes, sqlite3_column_blob(row, 1), sizeof(hash.bytes));
		dedup_remember(dedup, &hash, age_s > 0 ? age_s : 0, now_us);
	}
	sqlite3_reset(row);
	if (code != SQLITE_ROW && code != SQLITE_DONE)
		failed(store, code);
}

/* --- the end of records -------------------------------------------------------------------------*/

/* The oldest go until the rest is within its share. */
static int trim_quarantine(struct store *store)
{
	int64_t share = (int64_t)(store->options.max_bytes / QUARANTINE_SHARE);
	int64_t oldest[2] = {0, 0};
	int code = SQLITE_OK;

	while (code == SQLITE_OK && (store->next.quarantined > QUARANTINE_RECORDS ||
				     store->next.quarantined_bytes > share)) {
		code = read_row(store, TRIM_OLDEST, oldest, 2);
		if (code == SQLITE_NOTFOUND) {
			store->next.quarantined = store->next.quarantined_bytes = 0;
			return SQLITE_OK;
		}
		if (code != SQLITE_OK)
			break;
		sqlite3_bind_int64(store->statements[TRIM], 1, oldest[0]);
		code = run(store, TRIM);
		store->next.quarantined--;
		store->next.quarantined_bytes -= oldest[1];
	}
	return code;
}

static int quarantine(struct store *store, const struct store_settled *settled)
{
	sqlite3_stmt *statement = store->statements[QUARANTINE];
	int64_t bytes = 0;
	int code;

	sqlite3_bind_int64(statement, 1, settled->id);
	sqlite3_bind_text(statement, 2, settled->end == STORE_REJECTED ? "rejected" : "ambiguous",
			  -1, SQLITE_STATIC);
	while ((code = sqlite3_step(statement)) == SQLITE_ROW) {
		bytes = sqlite3_column_int64(statement, 0);
		store->next.quarantined++;
	}
	sqlite3_reset(statement);
	store->next.quarantined_bytes += bytes;
	return code == SQLITE_DONE ? trim_quarantine(store) : code;
}

static int end_record(struct store *store, const struct store_settled *settled)
{
	int code = SQLITE_OK;

	if (settled->end == STORE_REJECTED || settled->end == STORE_AMBIGUOUS)
		code = quarantine(store, settled);
	if (code != SQLITE_OK)
		return code;
	sqlite3_bind_int64(store->statements[DELETE], 1, settled->id);
	code = run(store, DELETE);
	if (code == SQLITE_OK)
		store->next.records -= sqlite3_changes(store->db);
	return code;
}

/* What was freed goes back to the file system, unless there is no room for the pages to be moved. */
static int give_back(struct store *store)
{
	int64_t unused = 0;
	int code = read_row(store, FREE_COUNT, &unused, 1);

	if (code != SQLITE_OK || unused < VACUUM_PAGES ||
	    store->room_bytes < -DISK_RESERVE_BYTES / 2)
		return code;
	return run(store, VACUUM);
}

enum store_result store_settle(struct store *store, const struct store_settled *settled,
			       size_t count)
{
	int code = begin(store);

	for (size_t i = 0; i < count && code == SQLITE_OK; i++)
		code = end_record(store, &settled[i]);
	if (code == SQLITE_OK)
		code = give_back(store);
	/* A damaged database may have counted wrongly; the next record begins anew. */
	if (store->next.records < 0)
		store->next.records = 0;
	if (code == SQLITE_OK)
		code = commit(store);
	return code == SQLITE_OK ? STORE_OK : failed(store, code);
}
