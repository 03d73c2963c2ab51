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
#include "fakes/numbered_records.h"
#include "fakes/salvage_now.h"
#include "fakes/store_stage.h"

/*
 * A disk on which calls fail for a while, below SQLite, which calls some of that damage. Whatever fails:
 * what was promised is there afterwards, and nothing was moved aside.
 */

enum {
	OLD = 150,   /* records of a former process */
	PUTS = 10,   /* of this one */
	PLACES = 100 /* at which a fault begins */
};

/* What is known of each record. */
struct promise {
	bool stored, tried, ended;
	bool doubtful; /* one try to put it failed, and may be found there */
};

static struct promise promises[OLD + PUTS];

/* What a former process has left. */
static void make_old_ones(void)
{
	store = new_store(MAX_BYTES);
	assert_int_equal(store_open(store), STORE_OK);
	assert_int_equal(put_many(store, 0, OLD), STORE_OK);
	store_free(store);
	store = NULL;
	database = read_file("spool.db");
}

static void begin_life(void)
{
	begin_with(database.data, database.size);
	memset(promises, 0, sizeof(promises));
	for (int n = 0; n < OLD; n++)
		promises[n].stored = true;
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

	if (!database.data)
		make_old_ones();
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
