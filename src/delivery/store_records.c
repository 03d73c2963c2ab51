/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DESIGN: a record's body is deflated at level 1, in zlib's format, which the shell of SQLite can
 * inflate (sqlar_uncompress). A checksum covers everything of a record, so that a flipped bit in it
 * is found when it is read, and costs this record only.
 */
#include <stdlib.h>
#include <time.h>

#include "base/text.h"
#include "delivery/policy.h"
#include "delivery/store_private.h"

enum {
	FILL_MAX_US = 300 * 1000, /* the process serves nobody meanwhile */
	ID_MAX_BYTES = 128,       /* of a header; longer ones are not forwarded anyway */
};

/* --- writing -----------------------------------------------------------------------------------*/

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
	const struct view texts_of[] = {
		record->forwarded.session_id, record->forwarded.idempotency_key,
		record->forwarded.traceparent, record->forwarded.client_address, packed};
	uint32_t crc = libdeflate_crc32(0, numbers, sizeof(numbers));

	/* Version 1 had none. */
	if (record->clock_s >= 0)
		crc = libdeflate_crc32(crc, &record->clock_s, sizeof(record->clock_s));
	crc = libdeflate_crc32(crc, record->hash.bytes, sizeof(record->hash.bytes));
	for (size_t i = 0; i < ARRAY_LEN(texts_of); i++)
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

static void bind_view(sqlite3_stmt *statement, int column, struct view value)
{
	if (value.ptr)
		sqlite3_bind_text(statement, column, value.ptr, (int)value.len, SQLITE_STATIC);
	else
		sqlite3_bind_null(statement, column);
}

static void leave_out_long(struct view *value)
{
	if (value->len > ID_MAX_BYTES)
		*value = (struct view){NULL, 0};
}

/* A column's parameter is its number and one. */
static void bind_record(sqlite3_stmt *insert, const struct spool_record *record, struct view packed)
{
	const uint32_t counts[] = {record->counts.logs, record->counts.exceptions,
				   record->counts.events, record->counts.measurements,
				   record->counts.spans};

	sqlite3_bind_int64(insert, 1 + COLUMN_ID, record->id);
	sqlite3_bind_int64(insert, 1 + COLUMN_STORED_S, record->stored_s);
	sqlite3_bind_int64(insert, 1 + COLUMN_CLOCK_S, record->clock_s);
	if (dedup_hash_is_empty(&record->hash))
		sqlite3_bind_null(insert, 1 + COLUMN_HASH);
	else
		sqlite3_bind_blob(insert, 1 + COLUMN_HASH, record->hash.bytes,
				  sizeof(record->hash.bytes), SQLITE_STATIC);
	bind_view(insert, 1 + COLUMN_SESSION_ID, record->forwarded.session_id);
	bind_view(insert, 1 + COLUMN_IDEMPOTENCY_KEY, record->forwarded.idempotency_key);
	bind_view(insert, 1 + COLUMN_TRACEPARENT, record->forwarded.traceparent);
	bind_view(insert, 1 + COLUMN_CLIENT_ADDRESS, record->forwarded.client_address);
	for (int i = 0; i < 5; i++)
		sqlite3_bind_int64(insert, 1 + COLUMN_LOGS + i, counts[i]);
	sqlite3_bind_int64(insert, 1 + COLUMN_SIZE, (int64_t)record->body.len);
	sqlite3_bind_int64(insert, 1 + COLUMN_CRC, checksum(record, packed));
	sqlite3_bind_blob64(insert, 1 + COLUMN_BODY, packed.ptr, packed.len, SQLITE_STATIC);
}

/* A small record shares its page; a large one has its own, the last of which is not full. */
static int64_t cost(size_t packed_len)
{
	return (int64_t)packed_len + (packed_len < 1000 ? 256 : STORE_PAGE_BYTES);
}

static bool has_room(const struct store *store, size_t packed_len)
{
	/* On the disk twice: in the log, and once more when that is copied back. */
	return store->used_bytes + cost(packed_len) <= (int64_t)store->options.max_bytes &&
	       2 * cost(packed_len) <= store->room_bytes;
}

enum store_result store_insert(struct store *store, const struct spool_record *given)
{
	struct spool_record record = *given;
	struct view packed;
	int64_t now_us = wall_clock_us();
	int code;

	/* The last two pages are left free, so that a full store need not deflate what it refuses. */
	if (!has_room(store, STORE_PAGE_BYTES) || !pack(store, record.body))
		return STORE_FULL;
	packed = (struct view){store->packed.data, store->packed.len};
	if (!has_room(store, packed.len))
		return STORE_FULL;
	leave_out_long(&record.forwarded.session_id);
	leave_out_long(&record.forwarded.idempotency_key);
	leave_out_long(&record.forwarded.traceparent);
	leave_out_long(&record.forwarded.client_address);
	record.id = now_us > store->next.last_id ? now_us : store->next.last_id + 1;
	record.stored_s = now_us / 1000000;
	record.clock_s = store_now_s(store);
	bind_record(store->statements[INSERT], &record, packed);
	code = store_run(store, INSERT);
	sqlite3_clear_bindings(store->statements[INSERT]);
	if (code != SQLITE_OK)
		return store_failed(store, code);
	store->used_bytes += cost(packed.len);
	store->room_bytes -= 2 * cost(packed.len);
	store->next.records++;
	store->next.last_id = record.id;
	return STORE_OK;
}

/* --- reading -----------------------------------------------------------------------------------*/

static struct view read_id(sqlite3_stmt *row, int column)
{
	const void *bytes = sqlite3_column_blob(row, column);
	size_t len = (size_t)sqlite3_column_bytes(row, column);

	return len <= ID_MAX_BYTES ? (struct view){bytes, len} : (struct view){NULL, 0};
}

/* Its views point into the row, and its body is the length only. */
static void read_columns(sqlite3_stmt *row, struct spool_record *record)
{
	*record = (struct spool_record){
		.id = sqlite3_column_int64(row, COLUMN_ID),
		.stored_s = sqlite3_column_int64(row, COLUMN_STORED_S),
		.clock_s = sqlite3_column_type(row, COLUMN_CLOCK_S) == SQLITE_NULL
				   ? -1
				   : sqlite3_column_int64(row, COLUMN_CLOCK_S),
		.forwarded = {.session_id = read_id(row, COLUMN_SESSION_ID),
			      .idempotency_key = read_id(row, COLUMN_IDEMPOTENCY_KEY),
			      .traceparent = read_id(row, COLUMN_TRACEPARENT),
			      .client_address = read_id(row, COLUMN_CLIENT_ADDRESS)},
		.body = {NULL, (size_t)sqlite3_column_int64(row, COLUMN_SIZE)},
	};
	if (sqlite3_column_bytes(row, COLUMN_HASH) == DEDUP_HASH_BYTES)
		memcpy(record->hash.bytes, sqlite3_column_blob(row, COLUMN_HASH), DEDUP_HASH_BYTES);
	record->counts = (struct beacon_counts){
		.logs = (uint32_t)sqlite3_column_int64(row, COLUMN_LOGS),
		.exceptions = (uint32_t)sqlite3_column_int64(row, COLUMN_EXCEPTIONS),
		.events = (uint32_t)sqlite3_column_int64(row, COLUMN_EVENTS),
		.measurements = (uint32_t)sqlite3_column_int64(row, COLUMN_MEASUREMENTS),
		.spans = (uint32_t)sqlite3_column_int64(row, COLUMN_SPANS),
	};
}

static bool is_whole(sqlite3_stmt *row, const struct spool_record *record)
{
	struct view packed = {sqlite3_column_blob(row, COLUMN_BODY),
			      (size_t)sqlite3_column_bytes(row, COLUMN_BODY)};

	return record->body.len <= INT32_MAX &&
	       checksum(record, packed) == (uint32_t)sqlite3_column_int64(row, COLUMN_CRC);
}

bool store_row_is_whole(sqlite3_stmt *row)
{
	struct spool_record record;

	read_columns(row, &record);
	return is_whole(row, &record);
}

/* The buffer is large enough. */
static void move_to(struct buf *buf, struct view *value)
{
	char *at = buf->data + buf->len;

	if (!value->ptr)
		return;
	memcpy(at, value->ptr, value->len);
	buf->len += value->len;
	value->ptr = at;
}

/* The checksum comes first: what passes it was promised, whatever the limits are today. */
static enum store_result read_record(struct store *store, sqlite3_stmt *row,
				     struct spool_record *record, struct buf *body)
{
	struct view packed = {sqlite3_column_blob(row, COLUMN_BODY),
			      (size_t)sqlite3_column_bytes(row, COLUMN_BODY)};
	enum buf_result room;

	read_columns(row, record);
	if (!is_whole(row, record))
		return STORE_DAMAGED;
	buf_clear(body);
	room = buf_reserve(body, record->body.len + 4 * ID_MAX_BYTES);
	if (room != BUF_OK)
		return room == BUF_TOO_LARGE ? STORE_TOO_LARGE : STORE_FULL;
	if (libdeflate_zlib_decompress(store->inflater, packed.ptr, packed.len, body->data,
				       record->body.len, NULL) != LIBDEFLATE_SUCCESS)
		return STORE_DAMAGED;
	record->body.ptr = body->data;
	body->len = record->body.len;
	move_to(body, &record->forwarded.session_id);
	move_to(body, &record->forwarded.idempotency_key);
	move_to(body, &record->forwarded.traceparent);
	move_to(body, &record->forwarded.client_address);
	return STORE_OK;
}

/* Whether a damaged record stands where its id belongs. Else others would be skipped: SQLite finds
 * nothing wrong with it while it reads. */
static int check_order(struct store *store, int64_t after, int64_t id)
{
	sqlite3_stmt *row = store->statements[NEXT_TWO];
	int code;

	sqlite3_bind_int64(row, 1, after);
	code = sqlite3_step(row);
	if (code == SQLITE_ROW)
		code = sqlite3_step(row);
	if (id <= after || (code == SQLITE_ROW && sqlite3_column_int64(row, 0) <= id))
		code = SQLITE_CORRUPT;
	sqlite3_reset(row);
	return code == SQLITE_ROW || code == SQLITE_DONE ? SQLITE_OK : code;
}

void store_end_reading(struct store *store)
{
	if (store->is_reading)
		sqlite3_reset(store->statements[NEXT]);
	store->is_reading = false;
}

/* One statement reads many records, as long as each is asked for behind the one before. */
static int step_to_next(struct store *store, int64_t after)
{
	sqlite3_stmt *row = store->statements[NEXT];
	int code;

	if (store->is_reading && store->read_id != after)
		store_end_reading(store);
	if (!store->is_reading)
		sqlite3_bind_int64(row, 1, after);
	store->is_reading = true;
	code = sqlite3_step(row);
	if (code == SQLITE_ROW)
		store->read_id = sqlite3_column_int64(row, COLUMN_ID);
	else
		store_end_reading(store);
	return code;
}

enum store_result store_next(struct store *store, int64_t after, struct spool_record *record,
			     struct buf *body)
{
	enum store_result result = STORE_NONE;
	int code = step_to_next(store, after);

	if (code == SQLITE_ROW)
		result = read_record(store, store->statements[NEXT], record, body);
	if (result == STORE_DAMAGED)
		code = check_order(store, after, record->id);
	return code == SQLITE_OK || code == SQLITE_ROW || code == SQLITE_DONE
		       ? result
		       : store_failed(store, code);
}

enum store_result store_peek(struct store *store, int64_t after, int64_t *id, int64_t *stored_s)
{
	int64_t columns[2] = {0, 0};
	int code;

	store_end_reading(store);
	sqlite3_bind_int64(store->statements[PEEK], 1, after);
	code = store_read_row(store, PEEK, columns, 2);
	/* Damage may have made the count wrong: where there is nothing, it is none. */
	if (code == SQLITE_NOTFOUND && after == INT64_MIN)
		store->counters.records = 0;
	if (code == SQLITE_NOTFOUND)
		return STORE_NONE;
	if (code != SQLITE_OK)
		return store_failed(store, code);
	*id = columns[0];
	*stored_s = columns[1];
	return STORE_OK;
}

void store_fill_dedup(struct store *store, struct dedup *dedup, int64_t now_us)
{
	sqlite3_stmt *row = store->statements[LATEST];
	struct dedup_hash hash;
	int64_t now_s = store_now_s(store);
	int code;

	sqlite3_bind_int64(row, 1, DEDUP_ENTRIES / 2);
	while ((code = sqlite3_step(row)) == SQLITE_ROW && loop_now_us() - now_us < FILL_MAX_US) {
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
		store_failed(store, code);
}

/* --- the end of records ------------------------------------------------------------------------*/

/* The oldest of the quarantine, as TRIM_OLDEST reads it. Version 1 gave no clock_s: 0, when the
 * clock began. */
enum {
	OLDEST_ID,
	OLDEST_BYTES,
	OLDEST_CLOCK_S,
	OLDEST_COLUMNS
};

static int delete_oldest(struct store *store, const int64_t *oldest)
{
	sqlite3_bind_int64(store->statements[TRIM], 1, oldest[OLDEST_ID]);
	store->next.quarantined--;
	store->next.quarantined_bytes -= oldest[OLDEST_BYTES];
	return store_run(store, TRIM);
}

/* Deletes the oldest until the rest is within its share. */
static int trim_quarantine(struct store *store)
{
	int64_t share = (int64_t)(store->options.max_bytes / QUARANTINE_DIVISOR);
	int64_t oldest[OLDEST_COLUMNS] = {0};
	int code = SQLITE_OK;

	while (code == SQLITE_OK && (store->next.quarantined > QUARANTINE_RECORDS_MAX ||
				     store->next.quarantined_bytes > share)) {
		code = store_read_row(store, TRIM_OLDEST, oldest, OLDEST_COLUMNS);
		if (code == SQLITE_NOTFOUND) {
			store->next.quarantined = store->next.quarantined_bytes = 0;
			return SQLITE_OK;
		}
		if (code == SQLITE_OK)
			code = delete_oldest(store, oldest);
	}
	return code;
}

/* NULL: it does not go there. */
static const char *const quarantine_reasons[] = {
	[STORE_REJECTED] = "rejected",
	[STORE_REFUSED] = "refused",
	[STORE_AMBIGUOUS] = "ambiguous",
};

static int quarantine(struct store *store, const struct store_finished *finished)
{
	sqlite3_stmt *statement = store->statements[QUARANTINE];
	int64_t bytes = 0;
	int code;

	sqlite3_bind_int64(statement, 1, finished->id);
	sqlite3_bind_text(statement, 2, quarantine_reasons[finished->end], -1, SQLITE_STATIC);
	while ((code = sqlite3_step(statement)) == SQLITE_ROW) {
		bytes = sqlite3_column_int64(statement, 0);
		store->next.quarantined++;
	}
	sqlite3_reset(statement);
	store->next.quarantined_bytes += bytes;
	return code == SQLITE_DONE ? trim_quarantine(store) : code;
}

static int remove_record(struct store *store, const struct store_finished *finished)
{
	int code = SQLITE_OK;

	if (quarantine_reasons[finished->end])
		code = quarantine(store, finished);
	if (code != SQLITE_OK)
		return code;
	sqlite3_bind_int64(store->statements[DELETE], 1, finished->id);
	code = store_run(store, DELETE);
	if (code == SQLITE_OK)
		store->next.records -= sqlite3_changes(store->db);
	return code;
}

/* Returns free pages to the file system, unless that lacks the space for moving pages. */
static int vacuum_some(struct store *store)
{
	int64_t unused = 0;
	int code = store_read_row(store, FREE_COUNT, &unused, 1);

	if (code != SQLITE_OK || unused < STORE_VACUUM_PAGES ||
	    store->room_bytes < -STORE_DISK_RESERVE_BYTES / 2)
		return code;
	return store_run(store, VACUUM);
}

enum store_result store_finish(struct store *store, const struct store_finished *finished,
			       size_t count)
{
	int code = store_begin_transaction(store);

	for (size_t i = 0; i < count && code == SQLITE_OK; i++)
		code = remove_record(store, &finished[i]);
	if (code == SQLITE_OK)
		code = vacuum_some(store);
	/* A damaged database may have counted wrongly; the next record begins anew. */
	if (store->next.records < 0)
		store->next.records = 0;
	if (code == SQLITE_OK)
		code = store_commit_transaction(store);
	return code == SQLITE_OK ? STORE_OK : store_failed(store, code);
}

/* --- the end of the quarantine -----------------------------------------------------------------*/

static int delete_until(struct store *store, int64_t until_s)
{
	int64_t oldest[OLDEST_COLUMNS] = {0};
	int code = SQLITE_OK;

	for (int n = 0; n < FINISH_BATCH && code == SQLITE_OK; n++) {
		code = store_read_row(store, TRIM_OLDEST, oldest, OLDEST_COLUMNS);
		if (code == SQLITE_OK && oldest[OLDEST_CLOCK_S] > until_s)
			break;
		if (code == SQLITE_OK)
			code = delete_oldest(store, oldest);
	}
	/* Damage, or an operator's DELETE, may have left wrong counters. */
	if (code == SQLITE_NOTFOUND || store->next.quarantined < 0)
		store->next.quarantined = 0;
	if (code == SQLITE_NOTFOUND || store->next.quarantined_bytes < 0)
		store->next.quarantined_bytes = 0;
	return code == SQLITE_NOTFOUND ? SQLITE_OK : code;
}

enum store_result store_expire_quarantine(struct store *store, int64_t max_age_s)
{
	int64_t until_s = store_now_s(store) - max_age_s, oldest[OLDEST_COLUMNS] = {0};
	int code = store_read_row(store, TRIM_OLDEST, oldest, OLDEST_COLUMNS);

	if (code == SQLITE_NOTFOUND)
		store->counters.quarantined = store->counters.quarantined_bytes = 0;
	if (code == SQLITE_NOTFOUND || (code == SQLITE_OK && oldest[OLDEST_CLOCK_S] > until_s))
		return STORE_OK;
	if (code == SQLITE_OK)
		code = store_begin_transaction(store);
	if (code == SQLITE_OK)
		code = delete_until(store, until_s);
	if (code == SQLITE_OK)
		code = vacuum_some(store);
	if (code == SQLITE_OK)
		code = store_commit_transaction(store);
	return code == SQLITE_OK ? STORE_OK : store_failed(store, code);
}
