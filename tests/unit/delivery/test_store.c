/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <sqlite3.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/log.h"
#include "base/metrics.h"
#include "base/text.h"
#include "delivery/policy.h"
#include "delivery/store.h"
#include "fakes/faulty_vfs.h"
#include "fakes/salvage_now.h"
#include "fakes/spool_folder.h"

/* Links the store with its files, dedup, mailbox, loop, metrics, log, buf. */

enum {
	RECORDS = 40,
	DAMAGES = 200,
};

static char body_text[20000];
static struct store *store;
static struct buf body;

static struct store *open_new(size_t max_bytes)
{
	struct store *made = store_new(&(struct store_options){
		.directory = directory, .max_bytes = max_bytes, .sync_full = true});

	assert_non_null(made);
	return made;
}

static int set_up(void **state)
{
	(void)state;
	log_init(0, LOG_ERROR + 1);
	if (!make_directory())
		return -1;
	/* Nothing that deflate makes small. */
	srand(1);
	for (size_t i = 0; i < sizeof(body_text); i++)
		body_text[i] = (char)rand();
	buf_init(&body, 1 << 22, NULL);
	store = open_new(64 << 20);
	return store_open(store) == STORE_OK ? 0 : -1;
}

static int tear_down(void **state)
{
	(void)state;
	faulty_vfs_fail(-1, false, 0);
	store_free(store);
	buf_release(&body);
	return remove_directory();
}

/* Sizes differ, so that small records share pages and large ones have several. */
static struct spool_record numbered(int n)
{
	struct spool_record record = {
		.forwarded.session_id = VIEW_LITERAL("session"),
		.forwarded.idempotency_key = VIEW_LITERAL("key"),
		.forwarded.client_address =
			n % 2 ? VIEW_LITERAL("2001:db8:1::") : (struct view){NULL, 0},
		.counts = {.logs = (uint32_t)n, .spans = 7},
		.body = {body_text + n, (size_t)(100 + n * 137)},
	};

	memset(record.hash.bytes, n + 1, sizeof(record.hash.bytes));
	return record;
}

static bool is_the_same(const struct spool_record *record, int n)
{
	struct spool_record expected = numbered(n);

	return view_equals(record->body, expected.body) &&
	       view_equals(record->forwarded.session_id, expected.forwarded.session_id) &&
	       view_equals(record->forwarded.idempotency_key, expected.forwarded.idempotency_key) &&
	       !record->forwarded.traceparent.ptr &&
	       view_equals(record->forwarded.client_address, expected.forwarded.client_address) &&
	       !record->forwarded.client_address.ptr == !expected.forwarded.client_address.ptr &&
	       record->counts.logs == (uint32_t)n && record->counts.spans == 7 &&
	       record->counts.events == 0 &&
	       memcmp(&record->hash, &expected.hash, sizeof(expected.hash)) == 0;
}

static enum store_result put(int n)
{
	struct spool_record record = numbered(n);
	enum store_result result = store_begin(store), inserted;

	if (result != STORE_OK)
		return result;
	inserted = store_insert(store, &record);
	if (inserted == STORE_FAILED)
		return inserted;
	result = store_commit(store);
	return result == STORE_OK ? inserted : result;
}

static enum store_result end_record(int64_t id, enum store_end end)
{
	return store_finish(store, &(struct store_finished){id, end}, 1);
}

static void reopen(void)
{
	store_free(store);
	store = open_new(64 << 20);
	assert_int_equal(store_open(store), STORE_OK);
}

static void test_records__put_and_read__as_they_were_and_in_order(void **state)
{
	struct spool_record record;
	int64_t last = 0;

	(void)state;
	for (int n = 0; n < RECORDS; n++)
		assert_int_equal(put(n), STORE_OK);
	for (int again = 0; again < 2; again++) {
		last = 0;
		assert_int_equal(store_records(store), RECORDS);
		for (int n = 0; n < RECORDS; n++) {
			assert_int_equal(store_next(store, last, &record, &body), STORE_OK);
			assert_true(is_the_same(&record, n));
			assert_true(record.id > last);
			last = record.id;
		}
		assert_int_equal(store_next(store, last, &record, &body), STORE_NONE);
		reopen();
	}
	assert_int_equal(put(0), STORE_OK);
	assert_int_equal(store_next(store, last, &record, &body), STORE_OK);
}

/* One statement may read many records; what is written between two of them is seen all the same. */
static void test_next__written_or_ended_between_two__as_it_is_then(void **state)
{
	struct spool_record record;
	int64_t ids[3];

	(void)state;
	for (int n = 0; n < 3; n++) {
		assert_int_equal(put(n), STORE_OK);
		ids[n] = store_last_id(store);
	}
	assert_int_equal(store_next(store, 0, &record, &body), STORE_OK);
	assert_int_equal(end_record(ids[1], STORE_DELIVERED), STORE_OK);
	assert_int_equal(store_next(store, ids[0], &record, &body), STORE_OK);
	assert_true(record.id == ids[2] && is_the_same(&record, 2));
	assert_int_equal(put(3), STORE_OK);
	assert_int_equal(store_next(store, ids[2], &record, &body), STORE_OK);
	assert_true(record.id == store_last_id(store) && is_the_same(&record, 3));
	assert_int_equal(store_next(store, 0, &record, &body), STORE_OK);
	assert_true(record.id == ids[0] && is_the_same(&record, 0));
}

/* What an operator's sqlite3 says to a wish to begin the log anew: 1 while it is read. */
static int begin_log_anew(void)
{
	char path[160];
	sqlite3 *db;
	int code;

	snprintf(path, sizeof(path), "%s/spool.db", directory);
	assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
	assert_int_equal(sqlite3_exec(db, "SELECT count(*) FROM records", NULL, NULL, NULL),
			 SQLITE_OK);
	code = sqlite3_wal_checkpoint_v2(db, NULL, SQLITE_CHECKPOINT_TRUNCATE, NULL, NULL);
	sqlite3_close(db);
	return code == SQLITE_BUSY;
}

static void
test_next__read_one_behind_the_other__log_is_let_go_at_the_end_or_by_a_peek(void **state)
{
	struct spool_record record;
	int64_t id, stored_s;

	(void)state;
	assert_int_equal(put(0), STORE_OK);
	assert_int_equal(put(1), STORE_OK);
	assert_int_equal(store_next(store, 0, &record, &body), STORE_OK);
	assert_int_equal(begin_log_anew(), 1);
	assert_int_equal(store_peek(store, INT64_MIN, &id, &stored_s), STORE_OK);
	assert_int_equal(begin_log_anew(), 0);
	assert_int_equal(store_next(store, 0, &record, &body), STORE_OK);
	assert_int_equal(store_next(store, record.id, &record, &body), STORE_OK);
	assert_int_equal(store_next(store, record.id, &record, &body), STORE_NONE);
	assert_int_equal(begin_log_anew(), 0);
}

static void test_trim__open_or_not__less_memory_and_the_same_records(void **state)
{
	struct store *closed = open_new(64 << 20);
	struct spool_record record;
	sqlite3_int64 used;

	(void)state;
	store_trim(closed);
	store_free(closed);
	for (int n = 0; n < RECORDS; n++)
		assert_int_equal(put(n), STORE_OK);
	used = sqlite3_memory_used();
	store_trim(store);
	/* Of some 30 pages in the cache, all but those that a statement holds. */
	assert_true(sqlite3_memory_used() < used - 20 * 4096);
	assert_int_equal(store_next(store, 0, &record, &body), STORE_OK);
	assert_true(is_the_same(&record, 0));
	assert_int_equal(put(1), STORE_OK);
}

static void test_headers__too_long_to_be_forwarded__left_out(void **state)
{
	struct spool_record record = numbered(1);

	(void)state;
	record.forwarded.session_id = (struct view){body_text, 129};
	record.forwarded.traceparent = (struct view){body_text, 128};
	assert_int_equal(store_begin(store), STORE_OK);
	assert_int_equal(store_insert(store, &record), STORE_OK);
	assert_int_equal(store_commit(store), STORE_OK);
	assert_int_equal(store_next(store, 0, &record, &body), STORE_OK);
	assert_null(record.forwarded.session_id.ptr);
	assert_int_equal(record.forwarded.traceparent.len, 128);
}

static void test_finished__each_end__gone_or_in_quarantine(void **state)
{
	static const enum store_end ends[] = {STORE_DELIVERED, STORE_EXPIRED, STORE_BROKEN,
					      STORE_REJECTED,  STORE_REFUSED, STORE_AMBIGUOUS};
	struct spool_record record;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(ends); i++) {
		assert_int_equal(put((int)i % 5), STORE_OK);
		assert_int_equal(store_next(store, 0, &record, &body), STORE_OK);
		assert_int_equal(end_record(record.id, ends[i]), STORE_OK);
		/* A second time: it is not there, and nothing is counted. */
		assert_int_equal(end_record(record.id, ends[i]), STORE_OK);
		assert_int_equal(store_next(store, 0, &record, &body), STORE_NONE);
		assert_int_equal(store_records(store), 0);
	}
	assert_int_equal(store_quarantined(store), 3);
	reopen();
	assert_int_equal(store_quarantined(store), 3);
}

static void test_quarantine__more_than_its_share__the_oldest_go(void **state)
{
	struct spool_record record;

	(void)state;
	store_free(store);
	store = open_new(1 << 20);
	assert_int_equal(store_open(store), STORE_OK);
	for (int n = 0; n < 200; n++) {
		assert_int_equal(put(RECORDS), STORE_OK);
		assert_int_equal(store_next(store, 0, &record, &body), STORE_OK);
		assert_int_equal(end_record(record.id, STORE_REJECTED), STORE_OK);
	}
	/* An eighth of 1 MiB, in records of 5,6 KB that do not deflate. */
	assert_in_range(store_quarantined(store), 20, 24);
}

static void test_limit__filled__never_above_and_room_comes_back(void **state)
{
	const int64_t max = 2 << 20;
	struct spool_record record;
	enum store_result result;
	int stored = 0;

	(void)state;
	store_free(store);
	store = open_new((size_t)max);
	assert_int_equal(store_open(store), STORE_OK);
	while ((result = put(RECORDS)) == STORE_OK) {
		assert_in_range(store_bytes(store), 1, max);
		stored++;
	}
	assert_int_equal(result, STORE_FULL);
	assert_in_range(stored, 150, 400);
	assert_int_equal(store_records(store), stored);
	for (int i = 0; i < stored; i++) {
		assert_int_equal(store_next(store, 0, &record, &body), STORE_OK);
		assert_int_equal(end_record(record.id, STORE_DELIVERED), STORE_OK);
		assert_in_range(store_bytes(store), 1, max);
	}
	assert_int_equal(put(RECORDS), STORE_OK);
	assert_in_range(store_bytes(store), 1, max / 2);
}

static void test_next__no_room_for_it__stays_and_says_whether_there_can_be(void **state)
{
	struct spool_record record;
	struct budget budget;
	struct buf small;

	(void)state;
	assert_int_equal(put(39), STORE_OK);
	budget_init(&budget, 4096);
	buf_init(&small, 1 << 22, &budget);
	assert_int_equal(store_next(store, 0, &record, &small), STORE_FULL);
	budget.max = 1 << 22;
	buf_init(&small, 4096, &budget);
	assert_int_equal(store_next(store, 0, &record, &small), STORE_TOO_LARGE);
	assert_int_equal(record.body.len, numbered(39).body.len);
	assert_int_equal(store_records(store), 1);
	buf_init(&small, 1 << 22, &budget);
	assert_int_equal(store_next(store, record.id - 1, &record, &small), STORE_OK);
	assert_true(is_the_same(&record, 39));
	buf_release(&small);
}

static void test_lock__second_process__cannot_use_it(void **state)
{
	struct store *second = open_new(64 << 20);

	(void)state;
	assert_int_equal(store_open(second), STORE_FAILED);
	store_free(store);
	store = second;
	assert_int_equal(store_open(second), STORE_OK);
}

static void test_dedup__after_a_restart__known(void **state)
{
	struct dedup *dedup = dedup_new();
	struct dedup_waiter waiter = {.mailbox = NULL};
	struct dedup_hash hash = numbered(3).hash, other = numbered(4).hash;

	(void)state;
	assert_int_equal(put(3), STORE_OK);
	reopen();
	store_fill_dedup(store, dedup, loop_now_us());
	assert_int_equal(dedup_begin(dedup, &hash, &waiter, loop_now_us()), DEDUP_KNOWN);
	assert_int_equal(dedup_begin(dedup, &other, &waiter, loop_now_us()), DEDUP_FIRST);
	dedup_free(dedup);
}

static void test_begin__not_open__failed(void **state)
{
	struct store *closed = open_new(64 << 20);

	(void)state;
	assert_int_equal(store_begin(closed), STORE_FAILED);
	assert_false(store_is_open(closed));
	store_free(closed);
}

/* --- what is no database of ours ---------------------------------------------------------------*/

/* Reads whatever is there as replay does. What is read is what was written. */
static int read_all(void)
{
	struct spool_record record;
	enum store_result result;
	int64_t last = INT64_MIN;
	int found = 0;

	for (;;) {
		result = store_next(store, last, &record, &body);
		if (result == STORE_DAMAGED) {
			last = record.id > last ? record.id : last + 1;
			continue;
		}
		if (result != STORE_OK)
			break;
		assert_true(record.id > last);
		assert_in_range(record.counts.logs, 0, RECORDS);
		assert_true(is_the_same(&record, (int)record.counts.logs));
		last = record.id;
		found++;
	}
	return found;
}

static void remove_named(const char *name)
{
	char path[160];

	path_of(path, sizeof(path), name);
	assert_int_equal(unlink(path), 0);
}

static void rename_named(const char *from, const char *to)
{
	char old[160], new[160];

	path_of(old, sizeof(old), from);
	path_of(new, sizeof(new), to);
	assert_int_equal(rename(old, new), 0);
}

static void execute(const char *sql)
{
	char path[160];
	sqlite3 *db;

	path_of(path, sizeof(path), "spool.db");
	assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
	assert_int_equal(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
	sqlite3_close(db);
}

/* With one record in it, and `sql` done to it. */
static void make_other(const char *sql)
{
	store_free(store);
	remove_files();
	store = open_new(64 << 20);
	assert_int_equal(store_open(store), STORE_OK);
	assert_int_equal(put(1), STORE_OK);
	store_free(store);
	execute(sql);
	store = open_new(64 << 20);
}

static void test_open__of_a_newer_version__moved_aside_whole(void **state)
{
	int64_t before = metrics_get(METRIC_SPOOL_MOVED_ASIDE);
	struct spool_record record;

	(void)state;
	make_other("PRAGMA user_version=3");
	assert_int_equal(store_open(store), STORE_OK);
	assert_int_equal(metrics_get(METRIC_SPOOL_MOVED_ASIDE), before + 1);
	assert_int_equal(store_records(store), 0);
	assert_int_equal(put(2), STORE_OK);
	/* A second one goes beside the first. */
	store_free(store);
	execute("PRAGMA user_version=3");
	store = open_new(64 << 20);
	assert_int_equal(store_open(store), STORE_OK);
	assert_true(is_there("spool.db.newer.2"));
	/* As an operator moves the first one back. */
	store_free(store);
	remove_named("spool.db");
	rename_named("spool.db.newer", "spool.db");
	execute("PRAGMA user_version=2");
	store = open_new(64 << 20);
	assert_int_equal(store_open(store), STORE_OK);
	assert_int_equal(store_next(store, 0, &record, &body), STORE_OK);
	assert_true(is_the_same(&record, 1));
}

static void test_open__foreign_or_changed__suspected_and_carried_over(void **state)
{
	static const struct {
		const char *sql;
		int carried;
		bool kept;
	} rows[] = {
		{"PRAGMA application_id=1", 1, false},
		{"PRAGMA application_id=0; PRAGMA user_version=0", 1, false},
		{"DROP TABLE quarantine", 1, true},
		{"DELETE FROM counters", 1, true},
		{"UPDATE counters SET records=-1", 1, true},
		{"UPDATE counters SET quarantined=9223372036854775807", 1, true},
		/* All would be too old. */
		{"UPDATE counters SET clock_us=clock_us+1000000000000", 1, true},
		{"UPDATE counters SET boot_us=0", 1, true},
		{"UPDATE counters SET boot_id='another'", 1, true},
		/* Nor does the next id begin there. */
		{"UPDATE counters SET last_id=9223372036854775807", 1, true},
		{"ALTER TABLE records RENAME COLUMN body TO text", 0, true},
		{"DROP TABLE records; DROP TABLE counters; PRAGMA application_id=7", 0, true},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		int64_t before = metrics_get(METRIC_SPOOL_MOVED_ASIDE);

		make_other(rows[i].sql);
		assert_int_equal(store_open(store), STORE_FAILED);
		assert_true(store_is_suspected(store));
		assert_int_equal(store_open(store), STORE_FAILED);
		assert_int_equal(metrics_get(METRIC_SPOOL_MOVED_ASIDE), before);
		assert_int_equal(salvage_now(store), SALVAGE_DONE);
		assert_int_equal(store_open(store), STORE_OK);
		assert_int_equal(metrics_get(METRIC_SPOOL_MOVED_ASIDE), before + 1);
		if (is_there("spool.db.damaged") != rows[i].kept)
			fail_msg("kept or not: %s", rows[i].sql);
		assert_false(is_there("spool.db.salvaged"));
		assert_int_equal(store_records(store), rows[i].carried);
		assert_int_equal(read_all(), rows[i].carried);
		assert_int_equal(put(1), STORE_OK);
	}
}

/* A flipped bit anywhere in a record: what it says is no longer what was written. */
static void test_record__anything_in_it_changed__is_damaged_alone(void **state)
{
	static const char *const changes[] = {
		"stored_s = stored_s + 1",
		"clock_s = clock_s + 1",
		"clock_s = NULL",
		"hash = zeroblob(16)",
		"session_id = 'another'",
		"session_id = ''",
		"session_id = hex(zeroblob(65))", /* 130 bytes, and no header has more than 128 */
		"idempotency_key = NULL",
		"traceparent = 'x'",
		"client_address = NULL",
		"client_address = '192.0.2.1'",
		"logs = logs + 1",
		"spans = 0",
		"size = size - 1",
		"size = size + 1",
		"crc = crc + 1",
		"size = 0",
		"size = 1 << 40",
		"body = x'00'",
		"body = zeroblob(0)",
		"size = 'text'",
	};
	struct spool_record record;
	char sql[160];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(changes); i++) {
		assert_int_equal(put(1), STORE_OK);
		assert_int_equal(put(2), STORE_OK);
		store_free(store);
		snprintf(sql, sizeof(sql),
			 "UPDATE records SET %s WHERE id = (SELECT min(id) FROM records)",
			 changes[i]);
		execute(sql);
		store = open_new(64 << 20);
		assert_int_equal(store_open(store), STORE_OK);
		if (store_next(store, 0, &record, &body) != STORE_DAMAGED)
			fail_msg("not found: %s", changes[i]);
		assert_int_equal(end_record(record.id, STORE_BROKEN), STORE_OK);
		assert_int_equal(store_next(store, 0, &record, &body), STORE_OK);
		assert_true(is_the_same(&record, 2));
		assert_int_equal(end_record(record.id, STORE_DELIVERED), STORE_OK);
		assert_int_equal(store_records(store), 0);
	}
}

static void test_ids__after_a_restart_or_in_a_fresh_database__never_twice(void **state)
{
	struct spool_record record;
	int64_t last = 0;

	(void)state;
	for (int round = 0; round < 3; round++) {
		assert_int_equal(put(1), STORE_OK);
		assert_int_equal(store_next(store, 0, &record, &body), STORE_OK);
		assert_true(record.id > last);
		last = record.id;
		assert_int_equal(end_record(last, STORE_DELIVERED), STORE_OK);
		if (round == 0)
			reopen();
		if (round == 1) {
			store_free(store);
			execute("PRAGMA application_id=1");
			store = open_new(64 << 20);
			assert_int_equal(open_or_salvage(store), STORE_OK);
		}
	}
}

/* As after the clock was put back. */
static void test_ids__last_one_in_the_future__go_on_from_there(void **state)
{
	const int64_t last = INT64_C(4000000000000000000);
	struct spool_record record;

	(void)state;
	store_free(store);
	execute("UPDATE counters SET last_id=4000000000000000000");
	store = open_new(64 << 20);
	assert_int_equal(store_open(store), STORE_OK);
	for (int64_t n = 1; n <= 2; n++) {
		assert_int_equal(put(1), STORE_OK);
		assert_int_equal(store_next(store, last + n - 1, &record, &body), STORE_OK);
		assert_int_equal(record.id, last + n);
	}
}

/* Counters that tell of more than there is: what is there goes, and they are right again. */
static void test_quarantine__counted_too_high__emptied_and_counted_anew(void **state)
{
	struct spool_record record;

	(void)state;
	store_free(store);
	execute("UPDATE counters SET quarantined=1001");
	store = open_new(64 << 20);
	assert_int_equal(store_open(store), STORE_OK);
	for (int64_t n = 0; n <= 1; n++) {
		assert_int_equal(put(1), STORE_OK);
		assert_int_equal(store_next(store, 0, &record, &body), STORE_OK);
		assert_int_equal(end_record(record.id, STORE_REJECTED), STORE_OK);
		assert_int_equal(store_quarantined(store), n);
	}
}

/* --- damage ------------------------------------------------------------------------------------*/

static int damage_and_use(const char *name, struct bytes file, int round)
{
	size_t at = (size_t)(((uint64_t)file.size - 1) * (uint64_t)round / DAMAGES);
	char bit = (char)(1 << round % 8);
	int found;

	store_free(store);
	if (round % 4 == 3) {
		write_file(name, file.data, at);
	} else {
		file.data[at] ^= bit;
		write_file(name, file.data, file.size);
		file.data[at] ^= bit;
	}
	store = open_new(64 << 20);
	assert_int_equal(open_or_salvage(store), STORE_OK);
	found = read_all();
	/* Damage that is found when it is used. */
	if (!store_is_open(store)) {
		assert_int_equal(open_or_salvage(store), STORE_OK);
		found = read_all();
	}
	if (put(RECORDS) != STORE_OK) {
		assert_int_equal(open_or_salvage(store), STORE_OK);
		assert_int_equal(put(RECORDS), STORE_OK);
	}
	return found;
}

static void test_damage__database_cut_or_flipped_at_200_places__serves(void **state)
{
	struct bytes database;
	int found = 0, whole = 0;

	(void)state;
	for (int n = 0; n < RECORDS; n++)
		assert_int_equal(put(n), STORE_OK);
	reopen();
	store_free(store);
	database = read_file("spool.db");
	store = open_new(64 << 20);
	for (int round = 0; round < DAMAGES; round++) {
		int n = damage_and_use("spool.db", database, round);

		found += n;
		whole += n >= RECORDS - 1;
		store_free(store);
		remove_files();
		store = open_new(64 << 20);
	}
	/* Most flips are in bodies, and cost one record. */
	assert_true(whole > DAMAGES / 2);
	assert_true(found > RECORDS * DAMAGES / 2);
	free(database.data);
}

/* As after a power cut: the log is read up to where it is whole. */
static void test_damage__log_cut_or_flipped__serves(void **state)
{
	struct bytes database, log;

	(void)state;
	for (int n = 0; n < 20; n++)
		assert_int_equal(put(n), STORE_OK);
	database = read_file("spool.db");
	log = read_file("spool.db-wal");
	assert_true(log.size > 0);
	for (int round = 0; round < DAMAGES; round++) {
		store_free(store);
		remove_files();
		store = open_new(64 << 20);
		write_file("spool.db", database.data, database.size);
		damage_and_use("spool.db-wal", log, round);
	}
	free(database.data);
	free(log.data);
}

/* --- a disk that fails -------------------------------------------------------------------------*/

/* What the store has promised, by the numbers of the records. */
struct promise {
	bool stored[RECORDS], tried[RECORDS], ended[RECORDS];
};

static void work(struct promise *promise)
{
	struct spool_record record;
	int64_t last = 0;

	for (int n = 0; n < 6; n++)
		if (store_open(store) == STORE_OK)
			promise->stored[n] = put(n * 6) == STORE_OK;
	while (store_open(store) == STORE_OK &&
	       store_next(store, last, &record, &body) == STORE_OK) {
		last = record.id;
		if (record.counts.logs % 12 != 0)
			continue;
		/* Where the end fails it may be found to have happened, after the log is read anew. */
		promise->tried[record.counts.logs / 6] = true;
		if (end_record(record.id, STORE_DELIVERED) == STORE_OK)
			promise->ended[record.counts.logs / 6] = true;
	}
}

static void check_promise(const struct promise *promise, long n)
{
	struct spool_record record;
	bool found[RECORDS] = {false};
	int64_t last = 0;

	faulty_vfs_fail(-1, false, 0);
	assert_int_equal(store_open(store), STORE_OK);
	reopen();
	while (store_next(store, last, &record, &body) == STORE_OK) {
		assert_true(is_the_same(&record, (int)record.counts.logs));
		found[record.counts.logs / 6] = true;
		last = record.id;
	}
	for (int i = 0; i < 6; i++) {
		if (promise->stored[i] && !promise->tried[i] && !found[i])
			fail_msg("fault at call %ld: record %d was promised and is gone", n, i);
		if (promise->ended[i] && found[i])
			fail_msg("fault at call %ld: record %d was ended and is back", n, i);
	}
	assert_int_equal(metrics_get(METRIC_SPOOL_MOVED_ASIDE), 0);
}

static void test_faults__each_call_once_and_for_ever__no_false_promise_and_healed(void **state)
{
	static const int codes[] = {SQLITE_FULL, SQLITE_IOERR_WRITE};
	long n;

	(void)state;
	metrics_set(METRIC_SPOOL_MOVED_ASIDE, 0);
	for (int variant = 0; variant < 4; variant++) {
		bool failed = true;

		for (n = 0; failed; n++) {
			struct promise promise = {{false}, {false}, {false}};

			store_free(store);
			remove_files();
			store = open_new(64 << 20);
			faulty_vfs_fail(n, variant % 2, codes[variant / 2]);
			work(&promise);
			failed = faulty_vfs_calls() > n;
			check_promise(&promise, n);
			if (!failed)
				assert_true(promise.stored[5] && promise.ended[0]);
			assert_true(n < 2000);
		}
		assert_true(n > 40);
	}
}

/* --- fsync -------------------------------------------------------------------------------------*/

/* A transaction is on the disk when it is committed, or else before the log that has it is used anew. */
static void test_sync__full_or_normal__each_commit_or_each_checkpoint(void **state)
{
	(void)state;
	for (int full = 0; full < 2; full++) {
		const struct store_options options = {
			.directory = directory, .max_bytes = 64 << 20, .sync_full = full};
		long before;

		store_free(store);
		remove_files();
		store = store_new(&options);
		assert_non_null(store);
		assert_int_equal(store_open(store), STORE_OK);
		assert_int_equal(put(0), STORE_OK);
		before = faulty_vfs_syncs();
		assert_int_equal(put(1), STORE_OK);
		assert_int_equal(faulty_vfs_syncs() > before, full);
		for (int n = 2; faulty_vfs_syncs() == before; n++) {
			assert_true(n < RECORDS * 10);
			assert_int_equal(put(n % RECORDS), STORE_OK);
		}
	}
}

static void test_sync__full_store__none_for_what_is_refused(void **state)
{
	long before;

	(void)state;
	store_free(store);
	store = open_new(1 << 20);
	assert_int_equal(store_open(store), STORE_OK);
	while (put(RECORDS) == STORE_OK) {
	}
	/* Where there is none for a large one, there may be room for a small one. */
	while (put(0) == STORE_OK) {
	}
	before = faulty_vfs_syncs();
	assert_int_equal(put(0), STORE_FULL);
	assert_int_equal(put(RECORDS), STORE_FULL);
	assert_int_equal(faulty_vfs_syncs(), before);
	assert_int_equal(end_record(store_last_id(store), STORE_DELIVERED), STORE_OK);
	assert_true(faulty_vfs_syncs() > before);
	assert_int_equal(put(0), STORE_OK);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_records__put_and_read__as_they_were_and_in_order),
		TEST(test_next__written_or_ended_between_two__as_it_is_then),
		TEST(test_next__read_one_behind_the_other__log_is_let_go_at_the_end_or_by_a_peek),
		TEST(test_trim__open_or_not__less_memory_and_the_same_records),
		TEST(test_headers__too_long_to_be_forwarded__left_out),
		TEST(test_finished__each_end__gone_or_in_quarantine),
		TEST(test_quarantine__more_than_its_share__the_oldest_go),
		TEST(test_limit__filled__never_above_and_room_comes_back),
		TEST(test_next__no_room_for_it__stays_and_says_whether_there_can_be),
		TEST(test_lock__second_process__cannot_use_it),
		TEST(test_dedup__after_a_restart__known),
		TEST(test_begin__not_open__failed),
		TEST(test_open__of_a_newer_version__moved_aside_whole),
		TEST(test_open__foreign_or_changed__suspected_and_carried_over),
		TEST(test_record__anything_in_it_changed__is_damaged_alone),
		TEST(test_ids__after_a_restart_or_in_a_fresh_database__never_twice),
		TEST(test_ids__last_one_in_the_future__go_on_from_there),
		TEST(test_quarantine__counted_too_high__emptied_and_counted_anew),
		TEST(test_damage__database_cut_or_flipped_at_200_places__serves),
		TEST(test_damage__log_cut_or_flipped__serves),
		TEST(test_faults__each_call_once_and_for_ever__no_false_promise_and_healed),
		TEST(test_sync__full_or_normal__each_commit_or_each_checkpoint),
		TEST(test_sync__full_store__none_for_what_is_refused),
	};

	faulty_vfs_install();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
