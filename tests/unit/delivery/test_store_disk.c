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
#include <unistd.h>

#include <cmocka.h>
#include <sqlite3.h>

#include "base/log.h"
#include "base/metrics.h"
#include "base/text.h"
#include "delivery/store.h"
#include "fakes/faulty_calls.h"
#include "fakes/numbered_records.h"
#include "fakes/salvage_now.h"
#include "fakes/spool_folder.h"

/*
 * A disk on which calls fail for a while, below SQLite, which calls some of that damage. Whatever fails:
 * what was promised is there afterwards, and nothing was moved aside.
 */

enum {
	OLD = 150,   /* records of a former process */
	PUTS = 10,   /* of this one */
	PLACES = 100 /* at which a fault begins */
};

static struct store *store;
static struct buf body;

static struct store *new_store(void)
{
	struct store *made = store_new(&(struct store_options){
		.directory = directory, .max_bytes = 64 << 20, .sync_full = true});

	assert_non_null(made);
	return made;
}

static int set_up(void **state)
{
	(void)state;
	log_init(0, LOG_ERROR + 1);
	buf_init(&body, 1 << 22, NULL);
	return make_directory() ? 0 : -1;
}

static int tear_down(void **state)
{
	(void)state;
	faulty_calls_fail(NULL, FAULTY_KINDS, 0, 0, 0);
	store_free(store);
	store = NULL;
	buf_release(&body);
	return remove_directory();
}

/* What is known of each record. */
struct promise {
	bool stored, tried, ended;
	bool doubtful; /* one try to put it failed, and may be found there */
};

static struct promise promises[OLD + PUTS];

static void begin_life(void)
{
	store_free(store);
	remove_files();
	memset(promises, 0, sizeof(promises));
	store = new_store();
	assert_int_equal(store_open(store), STORE_OK);
	assert_int_equal(put_many(store, 0, OLD), STORE_OK);
	for (int n = 0; n < OLD; n++)
		promises[n].stored = true;
	store_free(store);
	store = new_store();
}

static void end_one(int64_t id, int n)
{
	if (n % 3 != 0 || promises[n].tried)
		return;
	promises[n].tried = true;
	promises[n].ended =
		store_finish(store, &(struct store_finished){id, STORE_DELIVERED}, 1) == STORE_OK;
}

/* Puts what is not yet stored, reads all, and ends some. False: something failed. */
static bool work(void)
{
	struct spool_record record = {.id = INT64_MIN};
	enum store_result result = STORE_FAILED;

	if (open_or_salvage(store) != STORE_OK)
		return false;
	for (int n = OLD; n < OLD + PUTS && store_is_open(store); n++)
		if (!promises[n].stored) {
			promises[n].stored = put_numbered(store, n) == STORE_OK;
			promises[n].doubtful = promises[n].doubtful || !promises[n].stored;
		}
	while (store_is_open(store) &&
	       (result = store_next(store, record.id, &record, &body)) == STORE_OK) {
		assert_in_range(number_of_record(&record), 0, OLD + PUTS - 1);
		end_one(record.id, number_of_record(&record));
	}
	return result == STORE_NONE;
}

static void check_promises(enum faulty_kind kind, long at, long count)
{
	struct spool_record record = {.id = INT64_MIN};
	bool found[OLD + PUTS] = {false};
	enum store_result result;

	assert_int_equal(open_or_salvage(store), STORE_OK);
	while ((result = store_next(store, record.id, &record, &body)) == STORE_OK)
		found[number_of_record(&record)] = true;
	assert_int_equal(result, STORE_NONE);
	for (int n = 0; n < OLD + PUTS; n++) {
		if (promises[n].stored && !promises[n].tried && !found[n])
			fail_msg("kind %d, %ld at %ld: record %d is gone", (int)kind, count, at, n);
		if (promises[n].ended && !promises[n].doubtful && found[n])
			fail_msg("kind %d, %ld at %ld: record %d is back", (int)kind, count, at, n);
	}
	assert_int_equal(metrics_get(METRIC_SPOOL_MOVED_ASIDE), 0);
}

/* At how many places the fault was reached; there are fewer than PLACES opens. */
static int live_with(enum faulty_kind kind, int error)
{
	static const long counts[] = {1, 2, 10};
	int reached = 0;

	for (size_t i = 0; i < ARRAY_LEN(counts); i++) {
		bool is_reached = true;

		for (long at = 0; at < PLACES && is_reached; at++) {
			begin_life();
			faulty_calls_fail(directory, kind, at, counts[i], error);
			for (int round = 0; round < 20 && !work(); round++)
				;
			is_reached = faulty_calls_count() > at;
			reached += is_reached;
			faulty_calls_fail(NULL, FAULTY_KINDS, 0, 0, 0);
			for (int round = 0; round < 2; round++)
				work();
			for (int n = OLD; n < OLD + PUTS; n++)
				assert_true(promises[n].stored);
			check_promises(kind, at, counts[i]);
		}
	}
	return reached;
}

static void test_reads__fail_1_2_or_10_times_at_any_of_100__nothing_missing(void **state)
{
	(void)state;
	assert_int_equal(live_with(FAULTY_READ, EIO), 3 * PLACES);
}

static void test_writes__fail_1_2_or_10_times_at_any_of_100__nothing_missing(void **state)
{
	(void)state;
	assert_int_equal(live_with(FAULTY_WRITE, EIO), 3 * PLACES);
	assert_int_equal(live_with(FAULTY_WRITE, ENOSPC), 3 * PLACES);
}

static void test_syncs__fail_1_2_or_10_times_at_any_of_100__nothing_missing(void **state)
{
	(void)state;
	assert_true(live_with(FAULTY_SYNC, EIO) > 100);
}

static void test_opens__fail_1_2_or_10_times_at_any_of_100__nothing_missing(void **state)
{
	(void)state;
	assert_true(live_with(FAULTY_OPEN, EMFILE) > 15);
	assert_true(live_with(FAULTY_OPEN, EACCES) > 15);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_reads__fail_1_2_or_10_times_at_any_of_100__nothing_missing),
		TEST(test_writes__fail_1_2_or_10_times_at_any_of_100__nothing_missing),
		TEST(test_syncs__fail_1_2_or_10_times_at_any_of_100__nothing_missing),
		TEST(test_opens__fail_1_2_or_10_times_at_any_of_100__nothing_missing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
