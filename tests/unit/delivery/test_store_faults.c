/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <cmocka.h>
#include <libdeflate.h>
#include <sqlite3.h>

#include "base/log.h"
#include "base/metrics.h"
#include "base/text.h"
#include "delivery/store.h"
#include "fakes/salvage_now.h"
#include "fakes/spool_folder.h"

/*
 * Links the store with its files, dedup, mailbox, loop, metrics, log, buf. Every step of SQLite
 * fails in turn, which faults of a disk (test_store.c) reach only where it writes; and so does what
 * the files and the compressor need, by --wrap.
 */

enum {
	PUTS = 4,
	OLD_PUTS = 3,
	KEPT_HASHES = 2
};

/* The call number `fail_at` and, with `fail_on`, all after it fail; -1: none. */
static long calls, fail_at = -1;
static bool fail_on;
static int fail_code;
static const char *failing; /* which function */

static bool fails(const char *name)
{
	long number;

	if (!failing || strcmp(name, failing) != 0)
		return false;
	number = calls++;
	return fail_at >= 0 && (fail_on ? number >= fail_at : number == fail_at);
}

static void arm(const char *name, long at, bool on, int code)
{
	calls = 0;
	failing = name;
	fail_at = at;
	fail_on = on;
	fail_code = code;
}

int __real_sqlite3_step(sqlite3_stmt *statement);
int __wrap_sqlite3_step(sqlite3_stmt *statement);
int __real_open(const char *path, int flags, mode_t mode);
int __wrap_open(const char *path, int flags, mode_t mode);
int __real_fstat(int fd, struct stat *status);
int __wrap_fstat(int fd, struct stat *status);
int __real_statvfs(const char *path, struct statvfs *vfs);
int __wrap_statvfs(const char *path, struct statvfs *vfs);
int __real_rename(const char *from, const char *to);
int __wrap_rename(const char *from, const char *to);
void *__real_calloc(size_t count, size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__real_realloc(void *pointer, size_t size);
void *__wrap_realloc(void *pointer, size_t size);
struct libdeflate_compressor *__real_libdeflate_alloc_compressor(int level);
struct libdeflate_compressor *__wrap_libdeflate_alloc_compressor(int level);
struct libdeflate_decompressor *__real_libdeflate_alloc_decompressor(void);
struct libdeflate_decompressor *__wrap_libdeflate_alloc_decompressor(void);

int __wrap_sqlite3_step(sqlite3_stmt *statement)
{
	return fails("step") ? fail_code : __real_sqlite3_step(statement);
}

int __wrap_open(const char *path, int flags, mode_t mode)
{
	if (!fails("open"))
		return __real_open(path, flags, mode);
	errno = EMFILE;
	return -1;
}

int __wrap_fstat(int fd, struct stat *status)
{
	return fails("fstat") ? -1 : __real_fstat(fd, status);
}

int __wrap_statvfs(const char *path, struct statvfs *vfs)
{
	int result = fails("statvfs") ? -1 : __real_statvfs(path, vfs);

	if (fails("full disk"))
		vfs->f_bavail = 0;
	return result;
}

int __wrap_rename(const char *from, const char *to)
{
	if (!fails("rename"))
		return __real_rename(from, to);
	errno = EROFS;
	return -1;
}

void *__wrap_calloc(size_t count, size_t size)
{
	return fails("calloc") ? NULL : __real_calloc(count, size);
}

void *__wrap_realloc(void *pointer, size_t size)
{
	return fails("realloc") ? NULL : __real_realloc(pointer, size);
}

struct libdeflate_compressor *__wrap_libdeflate_alloc_compressor(int level)
{
	return fails("compressor") ? NULL : __real_libdeflate_alloc_compressor(level);
}

struct libdeflate_decompressor *__wrap_libdeflate_alloc_decompressor(void)
{
	return fails("decompressor") ? NULL : __real_libdeflate_alloc_decompressor();
}

/* --- the stage ---------------------------------------------------------------------------------*/

static char body_text[8000];
static struct dedup *dedup;

static int set_up(void **state)
{
	(void)state;
	log_init(0, LOG_ERROR + 1);
	srand(1);
	for (size_t i = 0; i < sizeof(body_text); i++)
		body_text[i] = (char)rand();
	dedup = dedup_new();
	return make_directory() && dedup ? 0 : -1;
}

static int tear_down(void **state)
{
	(void)state;
	arm(NULL, -1, false, 0);
	dedup_free(dedup);
	return remove_directory();
}

static struct store *new_store(void)
{
	return store_new(&(struct store_options){
		.directory = directory, .max_bytes = 4 << 20, .sync_full = false});
}

static struct spool_record numbered(int n)
{
	struct spool_record record = {
		.forwarded.session_id = VIEW_LITERAL("s"),
		.body = {body_text + n, sizeof(body_text) - 100},
	};

	if (n < KEPT_HASHES)
		memset(record.hash.bytes, n + 1, sizeof(record.hash.bytes));
	return record;
}

/* Puts that many. How many were promised. */
static int64_t put_some(struct store *store, int count)
{
	int64_t inserted = 0;

	if (open_or_salvage(store) != STORE_OK || store_begin(store) != STORE_OK)
		return 0;
	for (int n = 0; n < count; n++) {
		struct spool_record record = numbered(n);
		enum store_result result = store_insert(store, &record);

		if (result == STORE_FAILED)
			return 0;
		inserted += result == STORE_OK;
	}
	return store_commit(store) == STORE_OK ? inserted : 0;
}

/* Reads them, and ends one in each way. How many are gone. */
static int64_t end_some(struct store *store)
{
	static const enum store_end ends[] = {STORE_DELIVERED, STORE_REJECTED, STORE_AMBIGUOUS};
	struct store_finished finished[3];
	struct spool_record record;
	struct buf body;
	int64_t after = INT64_MIN, id, stored_s, gone = 0;
	size_t count = 0;

	buf_init(&body, 1 << 20, NULL);
	while (count < 3 && store_is_open(store) &&
	       store_next(store, after, &record, &body) == STORE_OK) {
		after = record.id;
		finished[count] = (struct store_finished){record.id, ends[count]};
		count++;
	}
	if (store_is_open(store))
		store_peek(store, INT64_MIN, &id, &stored_s);
	if (store_is_open(store))
		store_fill_dedup(store, dedup, 0);
	if (store_is_open(store) && store_finish(store, finished, count) == STORE_OK)
		gone = (int64_t)count;
	if (store_is_open(store))
		store_expire_quarantine(store, 0);
	buf_release(&body);
	return gone;
}

static void put_old_ones(void)
{
	struct store *store = new_store();

	remove_files();
	assert_int_equal(put_some(store, OLD_PUTS), OLD_PUTS);
	store_free(store);
}

static int64_t read_number(const char *sql)
{
	sqlite3_stmt *row;
	char path[160];
	sqlite3 *db;
	int64_t number;

	path_of(path, sizeof(path), "spool.db");
	assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
	assert_int_equal(sqlite3_prepare_v2(db, sql, -1, &row, NULL), SQLITE_OK);
	assert_int_equal(sqlite3_step(row), SQLITE_ROW);
	number = sqlite3_column_int64(row, 0);
	sqlite3_finalize(row);
	sqlite3_close(db);
	return number;
}

/* Record by record, since the counter that the database keeps may tell of what is not there. */
static int64_t count_what_is_there(void)
{
	struct store *store = new_store();
	struct spool_record record = {.id = INT64_MIN};
	struct buf body;
	int64_t records = 0;

	arm(NULL, -1, false, 0);
	buf_init(&body, 1 << 20, NULL);
	assert_int_equal(store_open(store), STORE_OK);
	while (store_next(store, record.id, &record, &body) == STORE_OK)
		records++;
	assert_int_equal(records, store_records(store));
	assert_int_equal(read_number("SELECT count(*) FROM quarantine"), store_quarantined(store));
	buf_release(&body);
	store_free(store);
	return records;
}

/* The same store serves on; the first attempt may find the transaction that could not be undone. */
static int64_t put_one_more(struct store *store)
{
	int64_t promised = put_some(store, 1);

	for (int tries = 0; promised == 0 && tries < 3; tries++)
		promised = put_some(store, 1);
	assert_int_equal(promised, 1);
	return promised;
}

/* One life of a store, with one fault in it. True: the fault was reached. */
static bool live_once(const char *name, long at, bool on, int code)
{
	struct store *store;
	int64_t promised, gone, there, moved = metrics_get(METRIC_SPOOL_MOVED_ASIDE);
	bool reached;

	put_old_ones();
	arm(name, at, on, code);
	store = new_store();
	if (!store)
		return true;
	promised = put_some(store, PUTS);
	gone = end_some(store);
	reached = calls > at;
	arm(NULL, -1, false, 0);
	promised += put_one_more(store);
	there = store_records(store);
	store_free(store);
	/* Where nothing can be read, nothing can be carried over. */
	if (code != SQLITE_CORRUPT || !on) {
		assert_int_equal(there, OLD_PUTS + promised - gone);
		assert_int_equal(count_what_is_there(), there);
		assert_int_equal(metrics_get(METRIC_SPOOL_MOVED_ASIDE), moved);
	}
	return reached;
}

static void fail_each(const char *name, int code)
{
	for (int on = 0; on <= 1; on++)
		for (long at = 0; live_once(name, at, on, code); at++)
			assert_true(at < 1000);
}

/* --- the tests ---------------------------------------------------------------------------------*/

static void test_steps__each_once_and_for_ever__no_false_promise_and_healed(void **state)
{
	static const int codes[] = {SQLITE_IOERR, SQLITE_FULL, SQLITE_NOMEM, SQLITE_BUSY};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(codes); i++)
		fail_each("step", codes[i]);
}

static void test_steps__called_damage__checked_and_found_sound(void **state)
{
	(void)state;
	fail_each("step", SQLITE_CORRUPT);
}

static void test_steps__done_where_a_row_is_due__no_crash(void **state)
{
	(void)state;
	for (long at = 0; at < 100; at++) {
		struct store *store;

		put_old_ones();
		store = new_store();
		arm("step", at, false, SQLITE_DONE);
		put_some(store, PUTS);
		end_some(store);
		arm(NULL, -1, false, 0);
		put_one_more(store);
		store_free(store);
	}
}

static void test_files__each_call_fails__healed(void **state)
{
	(void)state;
	fail_each("open", SQLITE_OK);
	fail_each("realloc", SQLITE_OK);
}

/* It cannot tell a database that was exchanged, and so uses none. */
static void test_files__no_inode__no_promise(void **state)
{
	struct store *store = new_store();

	(void)state;
	arm("fstat", 0, true, 0);
	assert_int_equal(put_some(store, 1), 0);
	arm(NULL, -1, false, 0);
	assert_int_equal(put_some(store, 1), 1);
	store_free(store);
}

/* It is made without being certain that its name survives a power cut. */
static void test_files__directory_not_to_be_synced__serves(void **state)
{
	enum {
		AFTER_LOCK_AND_DATABASE = 2
	};
	struct store *store = new_store();

	(void)state;
	arm("open", AFTER_LOCK_AND_DATABASE, false, 0);
	assert_int_equal(put_some(store, 1), 1);
	assert_int_equal(calls, AFTER_LOCK_AND_DATABASE + 1);
	store_free(store);
}

static int64_t unused_pages(void)
{
	return read_number("PRAGMA freelist_count");
}

/* Ends all that is there in one transaction. */
static void end_all(struct store *store)
{
	struct store_finished finished[64];
	int64_t id = INT64_MIN, stored_s;
	size_t count = 0;

	while (count < 64 && store_peek(store, id, &id, &stored_s) == STORE_OK)
		finished[count++] = (struct store_finished){id, STORE_DELIVERED};
	assert_int_equal(store_finish(store, finished, count), STORE_OK);
	assert_int_equal(store_records(store), 0);
}

/* No record is taken, but records end, without the pages being moved, for which there is no
 * room. */
static void test_disk__full__only_ends_records_until_there_is_room(void **state)
{
	enum {
		COUNT = 50 /* of 2 pages each: more than are given back at a time */
	};
	struct store *store = new_store();
	int64_t unused;

	(void)state;
	assert_int_equal(put_some(store, COUNT), COUNT);
	arm("full disk", 0, true, 0);
	assert_int_equal(put_some(store, 1), 0);
	assert_int_equal(store_records(store), COUNT);
	end_all(store);
	unused = unused_pages();
	assert_in_range(unused, 64, 1000);
	arm(NULL, -1, false, 0);
	end_all(store);
	assert_int_equal(unused_pages(), unused - 64);
	assert_int_equal(put_some(store, 1), 1);
	store_free(store);
}

static void test_disk__does_not_say_what_room_it_has__used(void **state)
{
	struct store *store = new_store();

	(void)state;
	arm("statvfs", 0, true, 0);
	assert_int_equal(put_some(store, 1), 1);
	store_free(store);
}

static void test_files__damaged_and_not_to_be_moved__failed_until_they_can(void **state)
{
	struct store *store;
	char path[160];
	FILE *file;

	(void)state;
	snprintf(path, sizeof(path), "%s/spool.db", directory);
	file = fopen(path, "w");
	assert_non_null(file);
	for (int i = 0; i < 1000; i++)
		fputs("this is no database\n", file);
	fclose(file);
	store = new_store();
	arm("rename", 0, true, 0);
	assert_int_equal(open_or_salvage(store), STORE_FAILED);
	assert_true(store_is_suspected(store));
	/* The database is moved, and the salvaged one not yet, which opening does then. */
	arm("rename", 2, false, 0);
	assert_int_equal(open_or_salvage(store), STORE_OK);
	assert_int_equal(put_some(store, 1), 1);
	store_free(store);
}

/* Another's modes are not ours to change: root may have named what it must not have. */
static void test_directory__is_there__left_as_it_is(void **state)
{
	struct stat status;
	struct store *store = new_store();

	(void)state;
	assert_int_equal(chmod(directory, 0777), 0);
	assert_int_equal(store_open(store), STORE_OK);
	assert_int_equal(stat(directory, &status), 0);
	assert_int_equal(status.st_mode & 0777, 0777);
	store_free(store);
}

static void test_directory__is_a_file__refused_and_left_as_it_is(void **state)
{
	char path[PATH_MAX];
	struct stat status;
	struct store *store;
	int fd;

	(void)state;
	snprintf(path, sizeof(path), "%s/file", directory);
	fd = open(path, O_CREAT | O_WRONLY, 0644);
	assert_true(fd >= 0);
	assert_int_equal(fchmod(fd, 0666), 0);
	close(fd);
	store = store_new(&(struct store_options){.directory = path, .max_bytes = 4 << 20});
	assert_int_equal(store_open(store), STORE_FAILED);
	store_free(store);
	assert_int_equal(stat(path, &status), 0);
	assert_int_equal(status.st_mode & 0777, 0666);
	unlink(path);
}

static void test_directory__too_long__refused(void **state)
{
	struct store *store;
	char *longest = malloc(PATH_MAX + 1);

	(void)state;
	memset(longest, 'x', PATH_MAX);
	longest[0] = '/';
	longest[PATH_MAX] = '\0';
	store = store_new(&(struct store_options){.directory = longest, .max_bytes = 4 << 20});
	assert_int_equal(store_open(store), STORE_FAILED);
	store_free(store);
	free(longest);
}

static void test_new__each_allocation_fails__null(void **state)
{
	static const char *const names[] = {"calloc", "compressor", "decompressor"};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		arm(names[i], 0, false, 0);
		assert_null(new_store());
	}
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_steps__each_once_and_for_ever__no_false_promise_and_healed),
		TEST(test_steps__called_damage__checked_and_found_sound),
		TEST(test_steps__done_where_a_row_is_due__no_crash),
		TEST(test_files__each_call_fails__healed),
		TEST(test_files__no_inode__no_promise),
		TEST(test_files__directory_not_to_be_synced__serves),
		TEST(test_files__damaged_and_not_to_be_moved__failed_until_they_can),
		TEST(test_disk__full__only_ends_records_until_there_is_room),
		TEST(test_disk__does_not_say_what_room_it_has__used),
		TEST(test_directory__is_there__left_as_it_is),
		TEST(test_directory__is_a_file__refused_and_left_as_it_is),
		TEST(test_directory__too_long__refused),
		TEST(test_new__each_allocation_fails__null),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
