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
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>
#include <sqlite3.h>

#include "base/log.h"
#include "base/metrics.h"
#include "base/text.h"
#include "delivery/store.h"
#include "fakes/numbered_records.h"
#include "fakes/salvage_now.h"
#include "fakes/store_stage.h"

/*
 * Databases that are damaged: what can be read of them, by an SQLite of the test's own that asks for one
 * record after the other by its id, is in the spool afterwards; whatever fails or is killed meanwhile.
 */

enum {
	RECORDS = 60,
	MANY = 2000,
	DAMAGES = 200,
	PAGE = 4096
};

static int record_count; /* in `database` */
static int64_t ids[MANY], stored_s[MANY];
static bool can_be_read[MANY], found[MANY];

/* --- files -------------------------------------------------------------------------------------*/

static void assert_file(const char *name, struct bytes expected)
{
	struct bytes bytes = read_file(name);

	assert_int_equal(bytes.size, expected.size);
	assert_memory_equal(bytes.data, expected.data, expected.size);
	free(bytes.data);
}

/* Of all files in the folder but SQLite's own index of the log. */
static int64_t bytes_in_folder(void)
{
	DIR *dir = opendir(directory);
	struct dirent *entry;
	struct stat st;
	int64_t sum = 0;

	while ((entry = readdir(dir)))
		if (entry->d_name[0] != '.' && !strstr(entry->d_name, "-shm") &&
		    fstatat(dirfd(dir), entry->d_name, &st, 0) == 0)
			sum += st.st_size;
	closedir(dir);
	return sum;
}

/* Over all that stands in a row. */
static uint64_t digest(sqlite3_stmt *row)
{
	uint64_t sum = 14695981039346656037u;

	for (int i = 0; i < sqlite3_column_count(row); i++) {
		bool is_number = sqlite3_column_type(row, i) == SQLITE_INTEGER;
		int64_t number = is_number ? sqlite3_column_int64(row, i) : 0;
		const unsigned char *bytes =
			is_number ? (unsigned char *)&number : sqlite3_column_blob(row, i);
		int len = is_number ? (int)sizeof(number) : sqlite3_column_bytes(row, i);

		sum = (sum ^ (uint64_t)len) * 1099511628211u;
		for (int k = 0; k < len; k++)
			sum = (sum ^ bytes[k]) * 1099511628211u;
	}
	return sum;
}

/* Asks for each record by its id, and notes which are as they were; the first time, how they are. */
static int look_by_id(bool is_first)
{
	static uint64_t digests[MANY];
	sqlite3_stmt *row = NULL;
	char path[160];
	sqlite3 *db;
	int count = 0;

	path_of(path, sizeof(path), "spool.db");
	memset(can_be_read, 0, sizeof(can_be_read));
	assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
	sqlite3_db_config(db, SQLITE_DBCONFIG_WRITABLE_SCHEMA, 1, NULL);
	sqlite3_db_config(db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
	sqlite3_prepare_v2(db, "SELECT * FROM records WHERE id = ?", -1, &row, NULL);
	for (int n = 0; row && n < record_count; n++) {
		sqlite3_bind_int64(row, 1, ids[n]);
		if (sqlite3_step(row) == SQLITE_ROW) {
			digests[n] = is_first ? digest(row) : digests[n];
			can_be_read[n] = digest(row) == digests[n];
		}
		sqlite3_reset(row);
		count += can_be_read[n];
	}
	sqlite3_finalize(row);
	sqlite3_close(db);
	return count;
}

/* --- the stage ---------------------------------------------------------------------------------*/

/* A spool with so many records, and two in quarantine. */
static void make_sound(int count)
{
	struct spool_record record = {.id = 0};

	record_count = count;
	store = new_store(MAX_BYTES);
	assert_int_equal(store_open(store), STORE_OK);
	assert_int_equal(put_many(store, count, count + 2), STORE_OK);
	for (int n = 0; n < 2; n++) {
		assert_int_equal(store_next(store, 0, &record, &body), STORE_OK);
		assert_int_equal(
			store_finish(store, &(struct store_finished){record.id, STORE_REJECTED}, 1),
			STORE_OK);
	}
	for (int n = 0; n < count; n += 50)
		assert_int_equal(put_many(store, n, n + 50 < count ? n + 50 : count), STORE_OK);
	for (int n = 0; n < count; n++) {
		assert_int_equal(store_next(store, record.id, &record, &body), STORE_OK);
		assert_int_equal(number_of_record(&record), n);
		ids[n] = record.id;
		stored_s[n] = record.stored_s;
	}
	store_free(store);
	store = NULL;
	assert_int_equal(look_by_id(true), count);
	database = read_file("spool.db");
}

/* Reads as replay does, and salvages when that is due, until all was read. */
static int read_all(void)
{
	for (int tries = 0; tries < 5; tries++) {
		struct spool_record record = {.id = INT64_MIN};
		enum store_result result;
		int count = 0;

		memset(found, 0, sizeof(found));
		assert_int_equal(open_or_salvage(store), STORE_OK);
		while ((result = store_next(store, record.id, &record, &body)) == STORE_OK ||
		       result == STORE_DAMAGED) {
			int n = (int)record.counts.logs;

			if (result == STORE_DAMAGED)
				continue;
			assert_in_range(n, 0, record_count - 1);
			assert_int_equal(number_of_record(&record), n);
			assert_true(record.id == ids[n] && record.stored_s == stored_s[n]);
			found[n] = true;
			count++;
		}
		if (result == STORE_NONE)
			return count;
		assert_int_equal(result, STORE_FAILED);
	}
	fail_msg("it cannot be used");
	return 0;
}

/* All that look_by_id() has noted was found. */
static void assert_all_found(const char *what, int number)
{
	for (int n = 0; n < record_count; n++)
		if (can_be_read[n] && !found[n])
			fail_msg("%s %d: record %d can be read, and is gone", what, number, n);
}

/* --- what can be read --------------------------------------------------------------------------*/

static void test_salvage__cut_or_flipped_at_200_places__all_that_can_be_read_is_back(void **state)
{
	int sum = 0;

	(void)state;
	make_sound(RECORDS);
	for (int round = 0; round < DAMAGES; round++) {
		size_t at = (database.size - 1) * (size_t)round / DAMAGES;
		char before = database.data[at];
		bool is_cut = round % 4 == 3;

		database.data[at] = (char)(before ^ (1 << round % 8));
		begin_with(database.data, is_cut ? at : database.size);
		look_by_id(false);
		sum += read_all();
		assert_all_found(is_cut ? "cut" : "flip", round);
		/* What is kept is what was there. */
		if (is_there("spool.db.damaged"))
			assert_file("spool.db.damaged",
				    (struct bytes){database.data, is_cut ? at : database.size});
		assert_int_equal(put_numbered(store, RECORDS), STORE_OK);
		database.data[at] = before;
	}
	assert_true(sum > RECORDS * DAMAGES * 3 / 4);
}

/* Good pages between bad ones, wherever they are; those of the schema, which are first, are good. */
static void test_salvage__many_bad_pages__the_good_ones_between_them_are_back(void **state)
{
	static const size_t each[] = {2, 3, 10, 50};

	(void)state;
	make_sound(MANY);
	for (size_t i = 0; i < ARRAY_LEN(each); i++) {
		char *data = malloc(database.size);
		int readable, read;

		memcpy(data, database.data, database.size);
		for (size_t page = 6; page * PAGE < database.size; page += each[i])
			memset(data + page * PAGE, 0x55, PAGE);
		begin_with(data, database.size);
		readable = look_by_id(false);
		read = read_all();
		assert_all_found("each page", (int)each[i]);
		assert_true(read >= readable && read < MANY);
		free(data);
	}
}

/* Damage in what no record needs: nothing is lost, and nothing is kept. */
static void test_salvage__all_is_carried_over__no_copy_is_kept(void **state)
{
	enum {
		FREE_PAGES = 36 /* where the header counts them */
	};
	int64_t before = metrics_get(METRIC_SPOOL_DROPPED_DAMAGED);

	(void)state;
	make_sound(RECORDS);
	database.data[FREE_PAGES + 3] ^= 0x40;
	begin_with(database.data, database.size);
	assert_int_equal(store_open(store), STORE_OK);
	/* Deletion finds it, and the record is there again. */
	assert_int_equal(store_finish(store, &(struct store_finished){ids[0], STORE_DELIVERED}, 1),
			 STORE_FAILED);
	assert_true(store_is_suspected(store));
	assert_int_equal(salvage_now(store), SALVAGE_DONE);
	assert_true(salvaged.is_whole);
	assert_int_equal(salvaged.carried, RECORDS);
	assert_int_equal(salvaged.lost, 0);
	assert_int_equal(read_all(), RECORDS);
	assert_int_equal(store_quarantined(store), 2);
	assert_false(is_there("spool.db.damaged"));
	assert_false(is_there("spool.db.salvaged"));
	assert_int_equal(metrics_get(METRIC_SPOOL_DROPPED_DAMAGED), before);
}

static void test_salvage__a_lost_page__counted_told_and_ids_go_on(void **state)
{
	int64_t before = metrics_get(METRIC_SPOOL_DROPPED_DAMAGED);
	struct spool_record record = {.id = 0};
	int read;

	(void)state;
	make_sound(RECORDS);
	database.data[3 * PAGE] = 0x77; /* the root of a table */
	begin_with(database.data, database.size);
	read = read_all();
	assert_int_equal(salvaged.carried, read);
	assert_int_equal(salvaged.lost, RECORDS - read);
	assert_int_equal(store_records(store), read);
	assert_int_equal(metrics_get(METRIC_SPOOL_DROPPED_DAMAGED) - before, RECORDS - read);
	assert_int_equal(put_numbered(store, 1), STORE_OK);
	while (store_next(store, record.id, &record, &body) == STORE_OK)
		;
	assert_true(record.id > ids[RECORDS - 1]);
}

/* --- copies ------------------------------------------------------------------------------------*/

/* A database of which one page with records is lost, so that a copy is kept. */
static void begin_damaged(void)
{
	enum {
		LEAF = 13
	};
	size_t page = 8;

	while (database.data[page * PAGE] != LEAF)
		page++;
	memset(database.data + page * PAGE, 0x55, PAGE);
	begin_with(database.data, database.size);
	assert_in_range(look_by_id(false), 1, RECORDS - 1);
}

static void test_copies__damaged_again_and_again__none_is_written_over(void **state)
{
	static const char *const names[] = {"spool.db.damaged", "spool.db.damaged.2",
					    "spool.db.damaged.3"};

	(void)state;
	make_sound(RECORDS);
	begin_damaged();
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		char *first = &database.data[database.size - 1];

		read_all();
		for (size_t k = 0; k < ARRAY_LEN(names); k++)
			assert_int_equal(is_there(names[k]), k <= i);
		assert_file(names[i], database);
		store_free(store);
		*first ^= 1; /* to tell them apart */
		write_file("spool.db", database.data, database.size);
		store = new_store(MAX_BYTES);
	}
}

static void test_copies__no_room__nothing_is_moved_until_there_is(void **state)
{
	int64_t max_bytes;
	char path[160];
	int refused = 0;

	(void)state;
	make_sound(RECORDS);
	begin_damaged();
	for (max_bytes = 64 * 1024;; max_bytes += 16 * 1024) {
		enum salvage_result result;

		store_free(store);
		store = new_store(max_bytes);
		while (store_open(store) == STORE_OK && !store_is_suspected(store)) {
			struct spool_record record = {.id = INT64_MIN};

			while (store_next(store, record.id, &record, &body) == STORE_OK)
				;
		}
		result = salvage_now(store);
		if (result == SALVAGE_DONE)
			break;
		assert_int_equal(result, SALVAGE_NO_ROOM);
		assert_int_equal(store_open(store), STORE_FAILED);
		assert_file("spool.db", database);
		assert_false(is_there("spool.db.damaged"));
		assert_false(is_there("spool.db.salvaged"));
		refused++;
	}
	assert_in_range(refused, 10, 100);
	assert_true(bytes_in_folder() <= max_bytes);
	assert_int_equal(store_open(store), STORE_OK);
	/* What is kept counts: there is no room for more before an operator has removed it. */
	while (put_numbered(store, 1) == STORE_OK)
		assert_true(bytes_in_folder() <= max_bytes);
	assert_true(store_bytes(store) >= (int64_t)database.size);
	path_of(path, sizeof(path), "spool.db.damaged");
	assert_int_equal(unlink(path), 0);
	for (int n = 0; n < 10; n++)
		assert_int_equal(put_numbered(store, 1), STORE_OK);
}

/* --- faults and kills --------------------------------------------------------------------------*/

static int exit_status(pid_t child)
{
	int status;

	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

/* Salvages where that is due. False: something failed. */
static bool open_and_read(struct store *opened)
{
	struct spool_record record = {.id = INT64_MIN};
	enum store_result result = open_or_salvage(opened);

	while (store_is_open(opened) &&
	       (result = store_next(opened, record.id, &record, &body)) == STORE_OK)
		;
	return result == STORE_NONE;
}

/* A process that opens, salvages and opens, and is killed at that call. False: it got to its end. */
static bool is_killed_at(long at)
{
	pid_t child = fork();

	if (child == 0) {
		struct store *other = new_store(MAX_BYTES);

		faulty_calls_kill(directory, at);
		for (int i = 0; i < 5; i++)
			open_and_read(other);
		_exit(store_is_open(other) ? 0 : 1);
	}
	return exit_status(child) == 9;
}

static void kill_at_each_call(void)
{
	long at;
	bool is_killed = true;

	for (at = 0; is_killed; at++) {
		begin_with(database.data, database.size);
		is_killed = is_killed_at(at);
		/* The next one may be killed as well. */
		if (is_killed && at % 3 == 0)
			is_killed_at(at % 7);
		read_all();
		assert_all_found("killed at", (int)at);
		assert_false(is_there("spool.db.salvaged"));
	}
	assert_in_range(at, 20, 2000);
}

static void test_kill__at_each_call_of_a_salvage__nothing_is_lost(void **state)
{
	(void)state;
	make_sound(RECORDS);
	begin_damaged();
	kill_at_each_call();
}

/* With a log, which belongs to the damaged database and never to the fresh one. */
static void test_kill__at_each_call_with_a_log__nothing_is_lost(void **state)
{
	bool is_killed = true;
	struct bytes log;
	sqlite3 *writer;
	char path[160];

	(void)state;
	make_sound(RECORDS);
	store = new_store(MAX_BYTES);
	assert_int_equal(store_open(store), STORE_OK);
	path_of(path, sizeof(path), "spool.db");
	assert_int_equal(sqlite3_open(path, &writer), SQLITE_OK);
	assert_int_equal(sqlite3_exec(writer, "UPDATE counters SET records = -1", NULL, NULL, NULL),
			 SQLITE_OK);
	log = read_file("spool.db-wal");
	sqlite3_close(writer);
	assert_true(log.size > 0);
	for (long at = 0; is_killed; at++) {
		begin_with(database.data, database.size);
		write_file("spool.db-wal", log.data, log.size);
		is_killed = is_killed_at(at);
		assert_int_equal(read_all(), RECORDS);
		assert_false(is_there("spool.db.salvaged"));
		assert_file("spool.db.damaged", database);
		assert_file("spool.db.damaged-wal", log);
	}
	free(log.data);
}

/* Whatever call fails meanwhile, once or ten times. */
static void test_faults__at_each_call_of_a_salvage__nothing_is_lost(void **state)
{
	static const struct {
		enum faulty_kind kind;
		int error;
	} rows[] = {{FAULTY_READ, EIO},  {FAULTY_WRITE, EIO},   {FAULTY_WRITE, ENOSPC},
		    {FAULTY_SYNC, EIO},  {FAULTY_OPEN, EMFILE}, {FAULTY_NAME, EIO},
		    {FAULTY_NAME, EROFS}};

	(void)state;
	make_sound(RECORDS);
	begin_damaged();
	for (size_t i = 0; i < 2 * ARRAY_LEN(rows); i++) {
		long at, count = i < ARRAY_LEN(rows) ? 1 : 10;
		bool is_reached = true;

		for (at = 0; is_reached; at++) {
			begin_with(database.data, database.size);
			faulty_calls_fail(directory, rows[i % ARRAY_LEN(rows)].kind, at, count,
					  rows[i % ARRAY_LEN(rows)].error);
			/* Until it has recovered, and once more, which may reach other calls. */
			for (int n = 0, well = 0; n < 15 && well < 2; n++)
				well += open_and_read(store);
			is_reached = faulty_calls_count() > at;
			faulty_calls_fail(NULL, FAULTY_KINDS, 0, 0, 0);
			read_all();
			assert_all_found("failed at", (int)at);
			assert_file("spool.db.damaged", database);
			assert_false(is_there("spool.db.damaged.2"));
		}
		assert_in_range(at, 2, 2000);
	}
}

static void test_cancel__before_or_while_it_runs__later_and_as_before(void **state)
{
	struct salvage salvage;

	(void)state;
	make_sound(RECORDS);
	begin_damaged();
	while (store_open(store) == STORE_OK) {
		struct spool_record record = {.id = INT64_MIN};

		while (store_next(store, record.id, &record, &body) == STORE_OK)
			;
	}
	salvage_init(&salvage, store, false);
	salvage_cancel(&salvage);
	salvage_run(&salvage);
	assert_int_equal(salvage.result, SALVAGE_LATER);
	assert_int_equal(store_end_salvage(store, &salvage), STORE_FAILED);
	salvage_release(&salvage);
	assert_true(store_is_suspected(store));
	assert_file("spool.db", database);
	assert_false(is_there("spool.db.salvaged"));
}

/* --- the directory -----------------------------------------------------------------------------*/

/* Who opens it finds another lock than the one that is held, and another process may hold that. */
static void test_lock__exchanged_under_us__not_used_by_two(void **state)
{
	struct store *other = NULL;
	char path[160];

	(void)state;
	store = new_store(MAX_BYTES);
	assert_int_equal(store_open(store), STORE_OK);
	assert_int_equal(put_numbered(store, 1), STORE_OK);
	path_of(path, sizeof(path), "lock");
	assert_int_equal(unlink(path), 0);
	other = new_store(MAX_BYTES);
	assert_int_equal(store_open(other), STORE_OK);
	/* The name is there again, and it is the other's. */
	assert_int_equal(put_numbered(store, 2), STORE_FAILED);
	assert_int_equal(store_open(store), STORE_FAILED);
	assert_int_equal(put_numbered(other, 2), STORE_OK);
	store_free(other);
	assert_int_equal(store_open(store), STORE_OK);
	assert_int_equal(put_numbered(store, 3), STORE_OK);
	assert_int_equal(store_records(store), 3);
}

/* --- a log that is not on the disk -------------------------------------------------------------*/

/* After a failed fsync what stands in the log may never reach the disk; nothing is put behind it. */
static void test_log__fsync_of_a_commit_failed__begun_anew_before_the_next(void **state)
{
	sqlite3 *reader;
	char path[160];
	struct stat st;

	(void)state;
	/* The files that it opens are watched from here on. */
	faulty_calls_fail(directory, FAULTY_SYNC, 0, 0, 0);
	store = new_store(MAX_BYTES);
	assert_int_equal(store_open(store), STORE_OK);
	assert_int_equal(put_numbered(store, 1), STORE_OK);
	/* Somebody else has it open, so that closing does not remove the log. */
	path_of(path, sizeof(path), "spool.db");
	assert_int_equal(sqlite3_open(path, &reader), SQLITE_OK);
	assert_int_equal(sqlite3_exec(reader, "BEGIN; SELECT * FROM counters", NULL, NULL, NULL),
			 SQLITE_OK);
	faulty_calls_fail(directory, FAULTY_SYNC, 0, 1, EIO);
	assert_int_equal(put_numbered(store, 2), STORE_FAILED);
	faulty_calls_fail(directory, FAULTY_SYNC, 0, 0, 0);
	assert_int_equal(store_open(store), STORE_FAILED);
	assert_int_equal(sqlite3_exec(reader, "COMMIT", NULL, NULL, NULL), SQLITE_OK);
	assert_int_equal(store_open(store), STORE_OK);
	path_of(path, sizeof(path), "spool.db-wal");
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_size, 0);
	assert_int_equal(put_numbered(store, 3), STORE_OK);
	sqlite3_close(reader);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_salvage__cut_or_flipped_at_200_places__all_that_can_be_read_is_back),
		TEST(test_salvage__many_bad_pages__the_good_ones_between_them_are_back),
		TEST(test_salvage__all_is_carried_over__no_copy_is_kept),
		TEST(test_salvage__a_lost_page__counted_told_and_ids_go_on),
		TEST(test_copies__damaged_again_and_again__none_is_written_over),
		TEST(test_copies__no_room__nothing_is_moved_until_there_is),
		TEST(test_kill__at_each_call_of_a_salvage__nothing_is_lost),
		TEST(test_kill__at_each_call_with_a_log__nothing_is_lost),
		TEST(test_faults__at_each_call_of_a_salvage__nothing_is_lost),
		TEST(test_cancel__before_or_while_it_runs__later_and_as_before),
		TEST(test_lock__exchanged_under_us__not_used_by_two),
		TEST(test_log__fsync_of_a_commit_failed__begun_anew_before_the_next),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
