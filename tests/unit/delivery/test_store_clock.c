/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>
#include <sqlite3.h>
#include <zlib.h>

#include "base/log.h"
#include "base/text.h"
#include "delivery/policy.h"
#include "delivery/store.h"
#include "fakes/numbered_records.h"
#include "fakes/salvage_now.h"
#include "fakes/spool_folder.h"

/*
 * How old records are, while clocks are put right, machines start anew, and databases are of an older
 * version. The clocks and the boot's id are the test's, by --wrap.
 */

#define SECOND INT64_C(1000000)
#define DAY    (86400 * SECOND)

static struct {
	int64_t wall_us, boot_us;
	bool no_boot_time;
	const char *boot_id; /* NULL: it cannot be read */
} machine;

int __real_clock_gettime(clockid_t clock, struct timespec *now);
int __wrap_clock_gettime(clockid_t clock, struct timespec *now);
long __real_read_small_file(const char *path, char *out, size_t size, struct stat *seen);
long __wrap_read_small_file(const char *path, char *out, size_t size, struct stat *seen);

int __wrap_clock_gettime(clockid_t clock, struct timespec *now)
{
	int64_t us = clock == CLOCK_REALTIME ? machine.wall_us : machine.boot_us;

	if (clock == CLOCK_BOOTTIME && machine.no_boot_time) {
		errno = EINVAL;
		return -1;
	}
	*now = (struct timespec){us / SECOND, us % SECOND * 1000};
	return 0;
}

long __wrap_read_small_file(const char *path, char *out, size_t size, struct stat *seen)
{
	if (strcmp(path, "/proc/sys/kernel/random/boot_id") != 0)
		return __real_read_small_file(path, out, size, seen);
	if (!machine.boot_id)
		return -1;
	assert_true(size <= 36);
	memcpy(out, machine.boot_id, size);
	return (long)size;
}

#define BOOT_A "6f7c1b9e-58a5-4b0c-9d0e-0a1b2c3d4e5f"
#define BOOT_B "0c2d4e6f-1a3b-4c5d-8e7f-90a1b2c3d4e5"

static struct store *store;
static struct buf body;

static void open_new(void)
{
	store_free(store);
	store = store_new(&(struct store_options){
		.directory = directory, .max_bytes = 64 << 20, .sync_full = false});
	assert_non_null(store);
	assert_int_equal(open_or_salvage(store), STORE_OK);
}

static int set_up(void **state)
{
	(void)state;
	machine.wall_us = 1800000000 * SECOND;
	machine.boot_us = 1000 * SECOND;
	machine.no_boot_time = false;
	machine.boot_id = BOOT_A;
	log_init(0, LOG_ERROR + 1);
	buf_init(&body, 1 << 22, NULL);
	if (!make_directory())
		return -1;
	open_new();
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	store_free(store);
	store = NULL;
	buf_release(&body);
	return remove_directory();
}

/* On all clocks. */
static void pass(int64_t us)
{
	machine.wall_us += us;
	machine.boot_us += us;
}

static void start_anew(const char *boot_id)
{
	machine.boot_id = boot_id;
	machine.boot_us = 5 * SECOND;
}

/* Of the first record behind `after`, in seconds. */
static int64_t age(int64_t after)
{
	int64_t id, clock_s;

	assert_int_equal(store_peek(store, after, &id, &clock_s), STORE_OK);
	return store_now_s(store) - clock_s;
}

static void execute(const char *sql)
{
	char path[160];
	sqlite3 *db;

	snprintf(path, sizeof(path), "%s/spool.db", directory);
	assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
	if (sqlite3_exec(db, sql, NULL, NULL, NULL) != SQLITE_OK)
		fail_msg("%s: %s", sql, sqlite3_errmsg(db));
	sqlite3_close(db);
}

static int64_t read_number_of(sqlite3 *db, const char *sql)
{
	sqlite3_stmt *row;
	int64_t number;

	assert_int_equal(sqlite3_prepare_v2(db, sql, -1, &row, NULL), SQLITE_OK);
	assert_int_equal(sqlite3_step(row), SQLITE_ROW);
	number = sqlite3_column_int64(row, 0);
	sqlite3_finalize(row);
	return number;
}

static int64_t read_number(const char *sql)
{
	char path[160];
	sqlite3 *db;
	int64_t number;

	path_of(path, sizeof(path), "spool.db");
	assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
	number = read_number_of(db, sql);
	sqlite3_close(db);
	return number;
}

/* --- the wall clock ----------------------------------------------------------------------------*/

/* Two days forward and back, 1970 and then NTP: within a process, and from one to the next. */
static void test_age__wall_clock_put_right__is_the_time_that_passed(void **state)
{
	static const int64_t walls_s[] = {
		1800000000 + 2 * 86400, 1800000000 - 2 * 86400, 0, 100, 1800000000, 4000000000};
	struct spool_record record;
	int64_t last = 0;

	(void)state;
	assert_int_equal(put_numbered(store, 0), STORE_OK);
	for (size_t i = 0; i < ARRAY_LEN(walls_s); i++) {
		machine.wall_us = walls_s[i] * SECOND;
		assert_int_equal(age(0), (int64_t)i * 30);
		assert_int_equal(put_numbered(store, (int)i + 1), STORE_OK);
		pass(30 * SECOND);
		if (i % 2 == 0)
			open_new();
	}
	/* Their ids are in the order in which they came, and so are their ages. */
	for (int n = 0; n <= (int)ARRAY_LEN(walls_s); n++) {
		int64_t expected = n == 0 ? 180 : 180 - (n - 1) * 30;

		assert_int_equal(age(last), expected);
		assert_int_equal(store_next(store, last, &record, &body), STORE_OK);
		assert_int_equal(number_of_record(&record), n);
		assert_true(record.id > last);
		last = record.id;
	}
}

/* --- processes and boots -----------------------------------------------------------------------*/

static void test_age__no_process_for_a_while__counts_within_one_boot_only(void **state)
{
	(void)state;
	assert_int_equal(put_numbered(store, 0), STORE_OK);
	store_free(store);
	store = NULL;
	pass(DAY + SECOND / 2);
	open_new();
	assert_int_equal(age(0), 86400);
	/* The half second is not lost, however often it is saved. */
	assert_int_equal(put_numbered(store, 1), STORE_OK);
	open_new();
	pass(SECOND / 2);
	assert_int_equal(age(0), 86401);
	/* From here on what was saved last. */
	assert_int_equal(put_numbered(store, 2), STORE_OK);
	pass(DAY);
	start_anew(BOOT_B);
	open_new();
	assert_int_equal(age(0), 86401);
	pass(7 * SECOND);
	assert_int_equal(age(0), 86408);
}

static void test_age__machine_put_back_within_its_boot__never_less(void **state)
{
	(void)state;
	assert_int_equal(put_numbered(store, 0), STORE_OK);
	pass(100 * SECOND);
	assert_int_equal(put_numbered(store, 1), STORE_OK);
	machine.boot_us -= 50 * SECOND;
	open_new();
	assert_int_equal(age(0), 100);
}

static void test_age__no_boot_id_or_boot_time__only_that_of_processes(void **state)
{
	(void)state;
	for (int variant = 0; variant < 2; variant++) {
		store_free(store);
		store = NULL;
		remove_files();
		machine.boot_id = variant == 0 ? NULL : BOOT_A;
		machine.no_boot_time = variant == 1;
		open_new();
		assert_int_equal(put_numbered(store, 0), STORE_OK);
		pass(10 * SECOND);
		assert_int_equal(age(0), 10);
		assert_int_equal(put_numbered(store, 1), STORE_OK);
		store_free(store);
		store = NULL;
		pass(DAY);
		open_new();
		assert_int_equal(age(0), 10);
	}
}

/* The store is closed by failures, and opened again; time passes as before. */
static void test_age__closed_for_a_while__counts(void **state)
{
	char path[160];

	(void)state;
	assert_int_equal(put_numbered(store, 0), STORE_OK);
	snprintf(path, sizeof(path), "%s/lock", directory);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(store_begin(store), STORE_FAILED);
	pass(100 * SECOND);
	assert_int_equal(store_open(store), STORE_OK);
	assert_int_equal(age(0), 100);
}

static void test_age__salvaged__as_before(void **state)
{
	static const char *const damages[] = {"UPDATE counters SET records = -1",
					      "UPDATE counters SET clock_us = clock_us + 1"};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(damages); i++) {
		store_free(store);
		store = NULL;
		remove_files();
		open_new();
		pass(20 * SECOND);
		assert_int_equal(put_numbered(store, 0), STORE_OK);
		pass(10 * SECOND);
		assert_int_equal(put_numbered(store, 1), STORE_OK);
		store_free(store);
		store = NULL;
		execute(damages[i]);
		open_new();
		assert_int_equal(age(0), 10);
		pass(5 * SECOND);
		assert_int_equal(age(0), 15);
	}
}

static void test_dedup__older_than_it_remembers__not_told(void **state)
{
	struct spool_record record = {.body = body_of(0)};
	struct dedup_waiter waiter = {.mailbox = NULL};

	(void)state;
	memset(record.hash.bytes, 7, sizeof(record.hash.bytes));
	assert_int_equal(store_begin(store), STORE_OK);
	assert_int_equal(store_insert(store, &record), STORE_OK);
	assert_int_equal(store_commit(store), STORE_OK);
	for (int is_old = 0; is_old < 2; is_old++) {
		struct dedup *dedup = dedup_new();

		/* The wall clock says nothing. */
		machine.wall_us += 10 * DAY;
		store_fill_dedup(store, dedup, loop_now_us());
		assert_int_equal(dedup_begin(dedup, &record.hash, &waiter, loop_now_us()),
				 is_old ? DEDUP_FIRST : DEDUP_KNOWN);
		dedup_free(dedup);
		pass((DEDUP_KEEP_S + 1) * SECOND);
	}
}

/* --- the quarantine ----------------------------------------------------------------------------*/

enum {
	AGE_S = 86400
};

static void quarantine_all(void)
{
	int64_t id, clock_s;

	while (store_peek(store, INT64_MIN, &id, &clock_s) == STORE_OK)
		assert_int_equal(
			store_finish(store, &(struct store_finished){id, STORE_REFUSED}, 1),
			STORE_OK);
}

static void put_in_quarantine(int n)
{
	assert_int_equal(put_numbered(store, n), STORE_OK);
	quarantine_all();
}

/* How many the gauge, and the table, have after the too old ones were looked for. */
static int64_t left_in_quarantine(void)
{
	assert_int_equal(store_expire_quarantine(store, AGE_S), STORE_OK);
	assert_int_equal(read_number("SELECT count(*) FROM quarantine"), store_quarantined(store));
	return store_quarantined(store);
}

static void test_quarantine__too_old__goes_and_a_younger_one_stays(void **state)
{
	(void)state;
	put_in_quarantine(0);
	pass(SECOND);
	put_in_quarantine(1);
	/* The wall clock says nothing. */
	machine.wall_us += 10 * DAY;
	pass(DAY - 2 * SECOND);
	assert_int_equal(left_in_quarantine(), 2);
	pass(SECOND);
	assert_int_equal(left_in_quarantine(), 1);
	assert_int_equal(read_number("SELECT logs FROM quarantine"), 1);
	assert_int_equal(left_in_quarantine(), 1);
	pass(SECOND);
	assert_int_equal(left_in_quarantine(), 0);
	assert_int_equal(left_in_quarantine(), 0);
}

/* Its age is the beacon's, not that of its time in quarantine. */
static void test_quarantine__waited_long_as_a_record__goes_soon(void **state)
{
	(void)state;
	assert_int_equal(put_numbered(store, 0), STORE_OK);
	pass(DAY - SECOND);
	quarantine_all();
	assert_int_equal(left_in_quarantine(), 1);
	pass(SECOND);
	assert_int_equal(left_in_quarantine(), 0);
}

static void test_quarantine__no_process_for_a_while__counts_within_one_boot_only(void **state)
{
	(void)state;
	put_in_quarantine(0);
	store_free(store);
	store = NULL;
	pass(DAY);
	start_anew(BOOT_B);
	open_new();
	assert_int_equal(left_in_quarantine(), 1);
	put_in_quarantine(1);
	store_free(store);
	store = NULL;
	pass(DAY);
	open_new();
	assert_int_equal(left_in_quarantine(), 0);
}

static void test_quarantine__many_too_old__a_batch_at_a_time(void **state)
{
	enum {
		MANY = 2 * FINISH_BATCH + 5
	};

	(void)state;
	assert_int_equal(put_many(store, 0, MANY), STORE_OK);
	quarantine_all();
	pass(DAY);
	put_in_quarantine(MANY);
	assert_int_equal(left_in_quarantine(), 1 + MANY - FINISH_BATCH);
	assert_int_equal(left_in_quarantine(), 1 + MANY - 2 * FINISH_BATCH);
	assert_int_equal(left_in_quarantine(), 1);
	assert_int_equal(left_in_quarantine(), 1);
	assert_int_equal(read_number("SELECT quarantined_bytes FROM counters"),
			 read_number("SELECT length(body) FROM quarantine"));
}

/* Else each second of an idle spool would wait for the disk. */
static void test_quarantine__nothing_too_old__nothing_written(void **state)
{
	char path[160];
	sqlite3 *db;
	int64_t before;

	(void)state;
	path_of(path, sizeof(path), "spool.db");
	assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
	for (int n = 0; n < 2; n++) {
		pass(SECOND); /* the clock is not as it was saved */
		before = read_number_of(db, "PRAGMA data_version");
		assert_int_equal(left_in_quarantine(), n);
		assert_int_equal(read_number_of(db, "PRAGMA data_version"), before);
		put_in_quarantine(n);
		assert_int_not_equal(read_number_of(db, "PRAGMA data_version"), before);
	}
	pass(DAY);
	before = read_number_of(db, "PRAGMA data_version");
	assert_int_equal(left_in_quarantine(), 0);
	assert_int_not_equal(read_number_of(db, "PRAGMA data_version"), before);
	sqlite3_close(db);
}

/* An operator's DELETE leaves the counters as they were. */
static void test_quarantine__counted_wrongly__counted_anew_once_it_is_empty(void **state)
{
	static const char *const changes[] = {
		"DELETE FROM quarantine",
		"UPDATE counters SET quarantined = 7, quarantined_bytes = 7000000",
		"UPDATE counters SET quarantined = 1, quarantined_bytes = 1",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(changes); i++) {
		put_in_quarantine(0);
		put_in_quarantine(1);
		store_free(store);
		store = NULL;
		execute(changes[i]);
		pass(DAY);
		open_new();
		assert_int_equal(left_in_quarantine(), 0);
		put_in_quarantine(2);
		assert_int_equal(left_in_quarantine(), 1);
		assert_int_equal(read_number("SELECT quarantined_bytes FROM counters"),
				 read_number("SELECT length(body) FROM quarantine"));
		pass(DAY);
		assert_int_equal(left_in_quarantine(), 0);
	}
}

/* The clock is lost, and goes on from the youngest that is there, be it only in quarantine. */
static void test_quarantine__salvaged_without_the_clock__goes_at_its_age(void **state)
{
	(void)state;
	pass(2 * DAY);
	put_in_quarantine(0);
	store_free(store);
	store = NULL;
	execute("DELETE FROM counters");
	open_new();
	assert_int_equal(salvaged.result, SALVAGE_DONE);
	assert_int_equal(left_in_quarantine(), 1);
	pass(DAY);
	assert_int_equal(left_in_quarantine(), 0);
}

/* --- version 1 ---------------------------------------------------------------------------------*/

#define COLUMNS_1                                                                                \
	"id INTEGER PRIMARY KEY, stored_s INTEGER NOT NULL, hash BLOB, session_id TEXT, "        \
	"idempotency_key TEXT, traceparent TEXT, logs INTEGER NOT NULL, exceptions INTEGER NOT " \
	"NULL, events INTEGER NOT NULL, measurements INTEGER NOT NULL, spans INTEGER NOT NULL, " \
	"size INTEGER NOT NULL, crc INTEGER NOT NULL, body BLOB NOT NULL"

/* As 0.1.0 made it. */
static void make_version_1(void)
{
	store_free(store);
	store = NULL;
	remove_files();
	execute("PRAGMA auto_vacuum=INCREMENTAL; PRAGMA journal_mode=WAL; BEGIN;"
		"CREATE TABLE records(" COLUMNS_1 ");"
		"CREATE TABLE quarantine(" COLUMNS_1 ", reason TEXT NOT NULL);"
		"CREATE TABLE counters(records INTEGER NOT NULL, quarantined INTEGER NOT NULL, "
		"quarantined_bytes INTEGER NOT NULL, last_id INTEGER NOT NULL);"
		"INSERT INTO counters VALUES(0, 0, 0, 0);"
		"PRAGMA user_version=1; PRAGMA application_id=1180791407; COMMIT");
}

/* As 0.1.0 stored it: the checksum is over what the columns hold, in their order. */
static void put_version_1(int64_t id, int n)
{
	struct view text = body_of(n);
	int64_t numbers[] = {id, id / SECOND, n, 0, 0, 0, 0, (int64_t)text.len};
	const unsigned char no_hash[16] = {0};
	static unsigned char packed[20000];
	uLongf len = sizeof(packed);
	static char sql[41000];
	unsigned long crc = crc32(0, (const unsigned char *)numbers, sizeof(numbers));
	int at;

	assert_int_equal(compress(packed, &len, (const unsigned char *)text.ptr, text.len), Z_OK);
	crc = crc32(crc32(crc, no_hash, sizeof(no_hash)), packed, (unsigned)len);
	at = snprintf(sql, sizeof(sql),
		      "UPDATE counters SET records=records+1, last_id=%lld; INSERT INTO records "
		      "VALUES(%lld,%lld,NULL,NULL,NULL,NULL,%d,0,0,0,0,%d,%lu,x'",
		      (long long)id, (long long)id, (long long)numbers[1], n, (int)text.len, crc);
	for (uLongf i = 0; i < len; i++)
		at += snprintf(sql + at, sizeof(sql) - (size_t)at, "%02x", packed[i]);
	snprintf(sql + at, sizeof(sql) - (size_t)at, "')");
	execute(sql);
}

/* With three records, of which one is ended in each way that keeps or deletes one. */
static void check_converted(void)
{
	struct spool_record record = {.id = 0};

	assert_int_equal(store_records(store), 3);
	for (int n = 0; n < 3; n++) {
		assert_int_equal(store_next(store, record.id, &record, &body), STORE_OK);
		assert_int_equal(number_of_record(&record), n);
		assert_int_equal(record.stored_s, 1700000000);
		assert_int_equal(age(record.id - 1), 0);
	}
	pass(50 * SECOND);
	assert_int_equal(age(0), 50);
	assert_int_equal(put_numbered(store, 3), STORE_OK);
	assert_int_equal(age(record.id), 0);
	open_new();
	assert_int_equal(age(0), 50);
	for (int n = 0; n < 4; n++) {
		assert_int_equal(store_next(store, 0, &record, &body), STORE_OK);
		assert_int_equal(number_of_record(&record), n);
		assert_int_equal(
			store_finish(store, &(struct store_finished){record.id, STORE_REJECTED}, 1),
			STORE_OK);
	}
	assert_int_equal(store_quarantined(store), 4);
	assert_int_equal(store_records(store), 0);
	/* The one that was put after the conversion is 50 seconds younger. */
	pass(DAY - 51 * SECOND);
	assert_int_equal(left_in_quarantine(), 4);
	pass(SECOND);
	assert_int_equal(left_in_quarantine(), 1);
	pass(50 * SECOND);
	assert_int_equal(left_in_quarantine(), 0);
}

static void make_three(void)
{
	make_version_1();
	for (int n = 0; n < 3; n++)
		put_version_1(1700000000 * SECOND + n, n);
}

static void test_version_1__opened__converted_and_its_age_begins(void **state)
{
	(void)state;
	make_three();
	open_new();
	check_converted();
}

/* Not as often as the clock would be begun, but once. */
static void test_version_1__opened_again_and_again__ages(void **state)
{
	(void)state;
	make_three();
	for (int n = 0; n < 3; n++) {
		open_new();
		assert_int_equal(put_numbered(store, 3), STORE_OK);
		assert_int_equal(age(0), n * 10);
		pass(10 * SECOND);
	}
}

static void test_version_1__damaged__salvaged_and_converted(void **state)
{
	(void)state;
	make_three();
	execute("UPDATE counters SET quarantined = -1");
	open_new();
	assert_int_equal(salvaged.result, SALVAGE_DONE);
	assert_int_equal(salvaged.carried, 3);
	check_converted();
}

static void test_version_1__half_of_its_tables__salvaged(void **state)
{
	(void)state;
	make_three();
	execute("DROP TABLE quarantine");
	open_new();
	assert_int_equal(salvaged.carried, 3);
	assert_false(salvaged.is_whole);
	check_converted();
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_age__wall_clock_put_right__is_the_time_that_passed),
		TEST(test_age__no_process_for_a_while__counts_within_one_boot_only),
		TEST(test_age__machine_put_back_within_its_boot__never_less),
		TEST(test_age__no_boot_id_or_boot_time__only_that_of_processes),
		TEST(test_age__closed_for_a_while__counts),
		TEST(test_age__salvaged__as_before),
		TEST(test_dedup__older_than_it_remembers__not_told),
		TEST(test_quarantine__too_old__goes_and_a_younger_one_stays),
		TEST(test_quarantine__waited_long_as_a_record__goes_soon),
		TEST(test_quarantine__no_process_for_a_while__counts_within_one_boot_only),
		TEST(test_quarantine__many_too_old__a_batch_at_a_time),
		TEST(test_quarantine__nothing_too_old__nothing_written),
		TEST(test_quarantine__counted_wrongly__counted_anew_once_it_is_empty),
		TEST(test_quarantine__salvaged_without_the_clock__goes_at_its_age),
		TEST(test_version_1__opened__converted_and_its_age_begins),
		TEST(test_version_1__opened_again_and_again__ages),
		TEST(test_version_1__damaged__salvaged_and_converted),
		TEST(test_version_1__half_of_its_tables__salvaged),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
