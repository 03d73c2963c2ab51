/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>
#include <sqlite3.h>

#include "base/log.h"
#include "base/metrics.h"
#include "base/text.h"
#include "delivery/policy.h"
#include "delivery/spool.h"
#include "fakes/allocations.h"
#include "fakes/clock.h"
#include "fakes/spool_folder.h"
#include "ingest/ingest.h"
#include "upstream/relay.h"

/*
 * Links the spool with its store, pace and replay, and what those need, but for the relay: that is
 * one of our own below, which answers in the spool's thread as the test has said, and notes what it
 * was given. --wrap=calloc,--wrap=pthread_create,--wrap=sqlite3_step: the one that a test wants
 * failed does. --wrap=clock_gettime,--wrap=epoll_wait: a thread that has nothing to do but to wait for
 * a timer has waited for it a millisecond later.
 */

#define SECOND INT64_C(1000000)
/* Far more than anything needs; while the repair's thread works, time passes fast. */
#define PATIENCE (1000000 * SECOND)

enum {
	BODY_BYTES = 4000,
	NOTED_MAX = 1024
};

/* --- the relay ---------------------------------------------------------------------------------*/

enum answer {
	ACCEPT,
	REFUSE_BAD, /* 400 for bodies that begin with "bad", else 202 */
	FAIL,       /* 503 */
	SILENT,     /* sent, and no answer */
	UNREACHED,  /* not sent */
	HOLD,       /* for as long as the test says so */
	OVERLOADED, /* relay_start() refuses */
	NO_RELAY,   /* relay_new() fails */
};

struct relay {
	struct loop_timer timer;
	struct loop *loop;
	struct relay_call *calls[16];
	size_t count;
};

static _Atomic int answer;
static _Atomic int answered_by[NO_RELAY + 1];
static pthread_mutex_t noted_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t noted_more = PTHREAD_COND_INITIALIZER;
static _Atomic int started;               /* calls */
static int noted[NOTED_MAX], noted_count; /* the numbers of those that were accepted */

static void note(const struct relay_call *call)
{
	pthread_mutex_lock(&noted_lock);
	if (noted_count < NOTED_MAX)
		noted[noted_count++] = atoi(call->body.ptr + 4);
	pthread_cond_signal(&noted_more);
	pthread_mutex_unlock(&noted_lock);
}

static void give_answer(struct relay_call *call, enum answer with)
{
	bool bad = memcmp(call->body.ptr, "bad ", 4) == 0;

	atomic_fetch_add(&answered_by[with], 1);
	call->sent = with != UNREACHED;
	call->status = 0;
	call->verdict = VERDICT_UPSTREAM_UNAVAILABLE;
	if (with == FAIL) {
		call->status = 503;
	} else if (with == REFUSE_BAD && bad) {
		call->status = 400;
		call->verdict = VERDICT_UPSTREAM_REJECTED;
	} else if (with == ACCEPT || with == REFUSE_BAD) {
		call->status = 202;
		call->verdict = VERDICT_ACCEPTED;
		note(call);
	}
	call->done(call);
}

static void on_relay_timer(struct loop_timer *timer)
{
	struct relay *relay = container_of(timer, struct relay, timer);

	if (answer == HOLD) {
		timer->due_us = relay->loop->now_us + SECOND / 20;
		return;
	}
	while (relay->count > 0) {
		struct relay_call *call = relay->calls[0];

		memmove(relay->calls, relay->calls + 1, --relay->count * sizeof(relay->calls[0]));
		give_answer(call, answer);
	}
}

struct relay *relay_new(struct loop *loop, const struct config *config, struct resolver *resolver,
			struct budget *inflight)
{
	struct relay *relay = answer == NO_RELAY ? NULL : calloc(1, sizeof(*relay));

	(void)config;
	(void)resolver;
	(void)inflight;
	if (!relay)
		return NULL;
	relay->loop = loop;
	relay->timer = (struct loop_timer){.fire = on_relay_timer, .due_us = INT64_MAX};
	loop_timer_add(loop, &relay->timer);
	return relay;
}

void relay_free(struct relay *relay)
{
	free(relay);
}

enum verdict relay_start(struct relay *relay, struct relay_call *call)
{
	if (answer == OVERLOADED) {
		atomic_fetch_add(&answered_by[OVERLOADED], 1);
		return VERDICT_OVERLOADED;
	}
	relay->calls[relay->count++] = call;
	relay->timer.due_us = relay->loop->now_us;
	atomic_fetch_add(&started, 1);
	return VERDICT_OK;
}

void relay_cancel(struct relay *relay, struct relay_call *call)
{
	(void)relay;
	(void)call;
}

void beacon_count_items(const struct beacon_counts *counts)
{
	(void)counts;
}

/* --- time --------------------------------------------------------------------------------------*/

int __real_epoll_wait(int epfd, struct epoll_event *events, int max, int timeout);
int __wrap_epoll_wait(int epfd, struct epoll_event *events, int max, int timeout);

int __wrap_epoll_wait(int epfd, struct epoll_event *events, int max, int timeout)
{
	int count = __real_epoll_wait(epfd, events, max, timeout > 1 ? 1 : timeout);

	if (count == 0 && timeout > 1)
		fake_clock.ahead_us += (timeout - 1) * INT64_C(1000);
	return count;
}

/* The spool's thread waits in this time, or works. */
static void let_pass(int64_t us)
{
	int64_t until_us = loop_now_us() + us;

	while (loop_now_us() < until_us)
		usleep(1000);
}

/* --- what can fail -----------------------------------------------------------------------------*/

static _Atomic bool threads_fail;
static _Atomic long threads, thread_fails_at = -1;

int __real_pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*run)(void *),
			  void *arg);
int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*run)(void *),
			  void *arg);

static _Atomic long steps, step_fails_each;        /* 0: none does */
static _Atomic long inserts, insert_fails_at = -1; /* -1: none does */
static _Atomic bool expiry_fails;
static _Atomic int expiries;

int __real_sqlite3_step(sqlite3_stmt *statement);
int __wrap_sqlite3_step(sqlite3_stmt *statement);

int __wrap_sqlite3_step(sqlite3_stmt *statement)
{
	long each = step_fails_each;

	if (strncmp(sqlite3_sql(statement), "INSERT INTO records", 19) == 0 &&
	    atomic_fetch_add(&inserts, 1) == insert_fails_at)
		return SQLITE_IOERR;
	if (strncmp(sqlite3_sql(statement), "DELETE FROM quarantine", 22) == 0) {
		expiries++;
		if (expiry_fails)
			return SQLITE_IOERR;
	}
	return each > 0 && atomic_fetch_add(&steps, 1) % each == each - 1
		       ? SQLITE_IOERR
		       : __real_sqlite3_step(statement);
}

int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*run)(void *),
			  void *arg)
{
	return threads_fail || atomic_fetch_add(&threads, 1) == thread_fails_at
		       ? EAGAIN
		       : __real_pthread_create(thread, attributes, run, arg);
}

/* --- the stage ---------------------------------------------------------------------------------*/

static struct config config;
static struct breaker breaker;
static struct dedup *dedup;
static struct budget memory, inflight;
static struct loop loop; /* of the one who puts */
static struct mailbox mailbox;
static struct spool *spool;

struct beacon {
	struct spool_put put;
	char body[BODY_BYTES];
	bool done;
};

static struct spool *open_spool(void)
{
	const struct spool_options options = {.config = &config,
					      .breaker = &breaker,
					      .dedup = dedup,
					      .memory = &memory,
					      .inflight = &inflight};

	return spool_new(&options);
}

static int set_up(void **state)
{
	(void)state;
	log_init(0, LOG_ERROR + 1);
	if (!make_directory())
		return -1;
	config = (struct config){.spool_dir = directory,
				 .spool_max_bytes = 16 << 20,
				 .spool_max_age_s = 100000000,
				 .max_body_bytes = 1 << 20,
				 .max_decoded_bytes = 1 << 20,
				 .upstream_timeout_ms = 100,
				 .replay_rate = 100000};
	breaker_init(&breaker, &policy_breaker);
	budget_init(&memory, 64 << 20);
	budget_init(&inflight, 10);
	dedup = dedup_new();
	answer = ACCEPT;
	noted_count = 0;
	started = 0;
	for (int i = 0; i <= NO_RELAY; i++)
		answered_by[i] = 0;
	fail_at = -1;
	step_fails_each = 0;
	inserts = 0;
	insert_fails_at = -1;
	expiry_fails = false;
	expiries = 0;
	threads_fail = false;
	threads = 0;
	thread_fails_at = -1;
	spool = NULL;
	return dedup && loop_init(&loop) && mailbox_init(&mailbox, &loop) ? 0 : -1;
}

static int tear_down(void **state)
{
	(void)state;
	if (spool)
		spool_free(spool, loop_now_us());
	mailbox_release(&mailbox);
	loop_release(&loop);
	dedup_free(dedup);
	assert_int_equal(budget_used(&memory), 0);
	return remove_directory();
}

static void on_done(struct spool_put *put)
{
	((struct beacon *)(void *)put)->done = true;
}

/* Nothing that deflate makes small, behind a number. */
static void hand_over_with(struct beacon *beacon, const char *kind, int number, bool got_error)
{
	unsigned random = (unsigned)number;

	for (size_t i = 0; i < BODY_BYTES; i++)
		beacon->body[i] = (char)rand_r(&random);
	snprintf(beacon->body, 16, "%-4s%d", kind, number);
	beacon->done = false;
	beacon->put = (struct spool_put){
		.got_error = got_error,
		.mailbox = &mailbox,
		.done = on_done,
		.record.body = {beacon->body, BODY_BYTES},
	};
	spool_put(spool, &beacon->put);
}

static void hand_over(struct beacon *beacon, const char *kind, int number)
{
	hand_over_with(beacon, kind, number, false);
}

static enum spool_result put(const char *kind, int number)
{
	static struct beacon beacon;

	hand_over(&beacon, kind, number);
	while (!beacon.done)
		loop_turn(&loop);
	return beacon.put.result;
}

static void wait_until_noted(int count)
{
	pthread_mutex_lock(&noted_lock);
	while (noted_count < count)
		pthread_cond_wait(&noted_more, &noted_lock);
	pthread_mutex_unlock(&noted_lock);
}

static int64_t end(int64_t us)
{
	int64_t left = spool_free(spool, loop_now_us() + us);

	spool = NULL;
	return left;
}

/* --- the promise -------------------------------------------------------------------------------*/

static void test_put__many_at_once__all_stored_and_delivered_in_order(void **state)
{
	enum {
		COUNT = 300
	};
	struct beacon *beacons = calloc(COUNT, sizeof(*beacons));

	(void)state;
	spool = open_spool();
	for (int n = 0; n < COUNT; n++)
		hand_over(&beacons[n], "ok", n);
	for (int n = 0; n < COUNT; n++) {
		while (!beacons[n].done)
			loop_turn(&loop);
		assert_int_equal(beacons[n].put.result, SPOOL_STORED);
	}
	wait_until_noted(COUNT);
	for (int n = 0; n < COUNT; n++)
		assert_int_equal(noted[n], n);
	assert_int_equal(end(PATIENCE), 0);
	free(beacons);
}

/* More than a batch may have, so that the next transaction gets the rest. */
static void test_put__large_ones__in_several_transactions(void **state)
{
	enum {
		COUNT = 8,
		BYTES = 400 * 1000
	};
	struct beacon *beacons = calloc(COUNT, sizeof(*beacons));
	char *large = malloc(BYTES);

	(void)state;
	memset(large, 'x', BYTES);
	memcpy(large, "ok  7", 6);
	spool = open_spool();
	for (int n = 0; n < COUNT; n++) {
		beacons[n].put = (struct spool_put){
			.mailbox = &mailbox, .done = on_done, .record.body = {large, BYTES}};
		spool_put(spool, &beacons[n].put);
	}
	for (int n = 0; n < COUNT; n++) {
		while (!beacons[n].done)
			loop_turn(&loop);
		assert_int_equal(beacons[n].put.result, SPOOL_STORED);
	}
	wait_until_noted(COUNT);
	assert_int_equal(end(PATIENCE), 0);
	free(large);
	free(beacons);
}

static void test_put__nobody_takes_it__the_next_process_delivers(void **state)
{
	(void)state;
	answer = HOLD;
	spool = open_spool();
	for (int n = 0; n < 20; n++)
		assert_int_equal(put("ok", n), SPOOL_STORED);
	assert_int_equal(end(0), 20);
	answer = ACCEPT;
	spool = open_spool();
	wait_until_noted(20);
	assert_int_equal(end(PATIENCE), 0);
}

static void test_put__spool_full__told_and_nothing_lost(void **state)
{
	int stored = 0;

	(void)state;
	config.spool_max_bytes = 3 << 20;
	answer = HOLD;
	spool = open_spool();
	while (stored < 2000 && put("ok", stored) == SPOOL_STORED)
		stored++;
	assert_in_range(stored, 10, 1000);
	assert_int_equal(put("ok", stored), SPOOL_FULL);
	answer = ACCEPT;
	wait_until_noted(stored);
	assert_int_equal(end(PATIENCE), 0);
	assert_int_equal(noted_count, stored);
}

static void test_put__no_directory__failed_until_there_is_one(void **state)
{
	(void)state;
	assert_int_equal(rmdir(directory), 0);
	config.spool_dir = "/proc/none";
	spool = open_spool();
	assert_non_null(spool);
	assert_int_equal(put("ok", 1), SPOOL_FAILED);
	assert_int_equal(put("ok", 2), SPOOL_FAILED);
	assert_int_equal(end(0), 0);
	config.spool_dir = directory;
	spool = open_spool();
	assert_int_equal(put("ok", 3), SPOOL_STORED);
}

/* Whatever fails while it stores and delivers: what it promised arrives, once it does no more. */
static void test_put__the_database_fails_now_and_then__no_false_promise(void **state)
{
	static const long each[] = {5, 7, 11, 13, 17, 31, 61};
	int promised = 0;

	(void)state;
	spool = open_spool();
	for (size_t i = 0; i < ARRAY_LEN(each); i++) {
		step_fails_each = each[i];
		for (int n = 0; n < 10; n++) {
			promised += put("ok", n) == SPOOL_STORED;
			let_pass(SECOND / 50);
		}
	}
	step_fails_each = 0;
	assert_true(promised > 0);
	wait_until_noted(promised);
	assert_int_equal(end(PATIENCE), 0);
}

/* Nobody of a batch is promised what only the others would have. */
static void test_put__one_insert_of_many_fails__no_more_and_no_less_than_promised(void **state)
{
	enum {
		COUNT = 300
	};
	struct beacon *beacons = calloc(COUNT, sizeof(*beacons));
	int stored = 0, failed = 0;
	int64_t sum = 0;

	(void)state;
	insert_fails_at = COUNT / 2;
	answer = HOLD;
	spool = open_spool();
	for (int n = 0; n < COUNT; n++)
		hand_over(&beacons[n], "ok", n);
	for (int n = 0; n < COUNT; n++) {
		while (!beacons[n].done)
			loop_turn(&loop);
		if (beacons[n].put.result == SPOOL_STORED) {
			stored++;
			sum += n;
		} else {
			assert_int_equal(beacons[n].put.result, SPOOL_FAILED);
			failed++;
		}
	}
	assert_true(stored >= COUNT / 2 - 63);
	assert_true(failed > 0);
	answer = ACCEPT;
	spool_drain(spool);
	assert_int_equal(end(PATIENCE), 0);
	assert_int_equal(noted_count, stored);
	for (int i = 0; i < noted_count; i++)
		sum -= noted[i];
	assert_int_equal(sum, 0);
	free(beacons);
}

/* --- replay ------------------------------------------------------------------------------------*/

/* Nobody is taken after it, so that it may be the receiver's fault. */
static void test_replay__a_refused_one__stays_and_the_others_pass(void **state)
{
	(void)state;
	answer = REFUSE_BAD;
	spool = open_spool();
	put("ok", 1);
	put("bad", 2);
	put("ok", 3);
	wait_until_noted(2);
	assert_int_equal(noted[0] + noted[1], 4);
	assert_int_equal(end(SECOND / 10), 1);
	assert_int_equal(metrics_get(METRIC_SPOOL_QUARANTINED), 0);
}

/* One that the receiver did not like comes after those that it has not seen. */
static void test_put__got_an_error__after_the_new_ones(void **state)
{
	static struct beacon beacons[3];

	(void)state;
	assert_true(budget_take(&inflight, 6));
	spool = open_spool();
	for (int n = 0; n < 3; n++)
		hand_over_with(&beacons[n], "ok", n, n == 0);
	for (int n = 0; n < 3; n++)
		while (!beacons[n].done)
			loop_turn(&loop);
	budget_give_back(&inflight, 6);
	wait_until_noted(3);
	assert_int_equal(noted[2], 0);
	assert_int_equal(end(PATIENCE), 0);
}

/* However it fails, nothing is given up: that says nothing about the beacon. */
static void test_replay__failures__tried_again_until_taken(void **state)
{
	static const enum answer failures[] = {FAIL, UNREACHED, SILENT, OVERLOADED};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(failures); i++) {
		noted_count = 0;
		breaker_init(&breaker, &policy_breaker);
		answer = (int)failures[i];
		spool = open_spool();
		for (int n = 0; n < 3; n++)
			assert_int_equal(put("ok", n), SPOOL_STORED);
		while (answered_by[failures[i]] < 1)
			usleep(1000);
		answer = ACCEPT;
		spool_drain(spool);
		wait_until_noted(3);
		assert_int_equal(end(PATIENCE), 0);
		assert_int_equal(noted_count, 3);
	}
}

static void test_replay__live_traffic_has_half_of_the_places__waits(void **state)
{
	(void)state;
	assert_true(budget_take(&inflight, 6));
	spool = open_spool();
	assert_int_equal(put("ok", 1), SPOOL_STORED);
	let_pass(SECOND / 8); /* it looks again every 50 ms */
	assert_int_equal(noted_count, 0);
	budget_give_back(&inflight, 6);
	wait_until_noted(1);
	assert_int_equal(end(PATIENCE), 0);
}

static void test_replay__no_memory_for_a_body__waits(void **state)
{
	size_t all = memory.max;

	(void)state;
	assert_true(budget_take(&memory, all));
	spool = open_spool();
	assert_int_equal(put("ok", 1), SPOOL_STORED);
	let_pass(SECOND / 8);
	assert_int_equal(noted_count, 0);
	budget_give_back(&memory, all);
	wait_until_noted(1);
	assert_int_equal(end(PATIENCE), 0);
}

static void test_rest__last_record_gone__buffers_given_back_each_time(void **state)
{
	(void)state;
	spool = open_spool();
	for (int n = 1; n <= 2; n++) {
		int tries = 10000;

		assert_int_equal(put("ok", n), SPOOL_STORED);
		wait_until_noted(n);
		while (budget_used(&memory) > 0 && tries-- > 0)
			usleep(1000);
		assert_int_equal(budget_used(&memory), 0);
	}
	assert_int_equal(end(PATIENCE), 0);
}

static void test_memory__small_blocks_of_sqlite__have_six_sizes(void **state)
{
	sqlite3_uint64 last = 0;
	int sizes = 0;

	(void)state;
	spool = open_spool();
	for (int n = 1; n <= 1024; n++) {
		void *block = sqlite3_malloc(n);
		sqlite3_uint64 size = sqlite3_msize(block);

		assert_true(size >= (sqlite3_uint64)n);
		sizes += size != last;
		last = size;
		sqlite3_free(block);
	}
	assert_int_equal(sizes, 6);
}

static void test_replay__too_old__dropped_and_counted(void **state)
{
	int64_t before = metrics_get(METRIC_SPOOL_DROPPED_AGE);

	(void)state;
	config.spool_max_age_s = 0;
	assert_true(budget_take(&inflight, 6));
	spool = open_spool();
	for (int n = 0; n < 5; n++)
		assert_int_equal(put("ok", n), SPOOL_STORED);
	while (metrics_get(METRIC_SPOOL_DROPPED_AGE) - before < 5)
		usleep(1000);
	assert_int_equal(end(PATIENCE), 0);
	assert_int_equal(noted_count, 0);
}

/* It may be taken after all. */
static void test_replay__too_old_and_in_flight__not_dropped(void **state)
{
	(void)state;
	config.spool_max_age_s = 1;
	answer = HOLD;
	spool = open_spool();
	assert_int_equal(put("ok", 1), SPOOL_STORED);
	let_pass(5 * SECOND / 2); /* housekeeping looks once a second */
	answer = ACCEPT;
	wait_until_noted(1);
	assert_int_equal(end(PATIENCE), 0);
	assert_int_equal(noted_count, 1);
}

static void damage(const char *sql)
{
	char path[160];
	sqlite3 *db;

	snprintf(path, sizeof(path), "%s/spool.db", directory);
	assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
	assert_int_equal(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
	sqlite3_close(db);
}

/* A spool with 5 records, and 3 in quarantine that are too old. */
static void leave_quarantine(void)
{
	config.spool_max_age_s = 1000000;
	answer = HOLD;
	spool = open_spool();
	for (int n = -3; n < 5; n++)
		assert_int_equal(put("ok", n), SPOOL_STORED);
	assert_int_equal(end(0), 8);
	damage("INSERT INTO quarantine SELECT *, 'refused' FROM records ORDER BY id LIMIT 3;"
	       "DELETE FROM records WHERE id IN (SELECT id FROM quarantine);"
	       "UPDATE quarantine SET clock_s = clock_s - 1000000;"
	       "UPDATE counters SET records = 5, quarantined = 3, quarantined_bytes = "
	       "(SELECT sum(length(body)) FROM quarantine)");
}

static void wait_until_quarantined(int64_t count)
{
	while (metrics_get(METRIC_SPOOL_QUARANTINED) != count)
		usleep(1000);
}

static void test_quarantine__too_old_at_the_start__gone_and_the_gauge_falls(void **state)
{
	(void)state;
	leave_quarantine();
	spool = open_spool();
	wait_until_quarantined(0);
	assert_int_equal(end(0), 5);
}

/* What is in the spool is delivered meanwhile, without anybody who puts more, and so is what is put. */
static void test_quarantine__disk_does_not_let_it_go__delivers_and_tries_again(void **state)
{
	(void)state;
	leave_quarantine();
	answer = ACCEPT;
	expiry_fails = true;
	spool = open_spool();
	wait_until_noted(5);
	assert_true(expiries > 0);
	assert_int_equal(put("ok", 5), SPOOL_STORED);
	wait_until_noted(6);
	assert_int_equal(metrics_get(METRIC_SPOOL_QUARANTINED), 3);
	expiry_fails = false;
	wait_until_quarantined(0);
	assert_int_equal(end(PATIENCE), 0);
}

static void test_replay__a_damaged_record__dropped_and_the_others_pass(void **state)
{
	int64_t before = metrics_get(METRIC_SPOOL_DROPPED_DAMAGED);

	(void)state;
	answer = HOLD;
	spool = open_spool();
	for (int n = 0; n < 3; n++)
		assert_int_equal(put("ok", n), SPOOL_STORED);
	assert_int_equal(end(0), 3);
	damage("UPDATE records SET crc = crc + 1 WHERE id = (SELECT min(id) + 1 FROM records)");
	damage("UPDATE records SET crc = crc + 1 WHERE id = (SELECT max(id) FROM records)");
	answer = ACCEPT;
	spool = open_spool();
	while (metrics_get(METRIC_SPOOL_DROPPED_DAMAGED) == before)
		usleep(1000);
	assert_int_equal(end(PATIENCE), 0);
	assert_true(noted_count <= 2);
}

/* A spool with 20 records that nobody took, whose database cannot be used as it is. */
static void leave_damaged(void)
{
	answer = HOLD;
	spool = open_spool();
	for (int n = 0; n < 20; n++)
		assert_int_equal(put("ok", n), SPOOL_STORED);
	assert_int_equal(end(0), 20);
	damage("UPDATE counters SET records = -1");
	answer = ACCEPT;
}

static void test_salvage__damaged__what_is_readable_is_delivered_and_new_ones_taken(void **state)
{
	int64_t before = metrics_get(METRIC_SPOOL_MOVED_ASIDE);

	(void)state;
	leave_damaged();
	spool = open_spool();
	while (put("ok", 20) != SPOOL_STORED)
		usleep(1000);
	wait_until_noted(21);
	assert_int_equal(metrics_get(METRIC_SPOOL_MOVED_ASIDE), before + 1);
	assert_int_equal(end(PATIENCE), 0);
}

static void test_salvage__no_thread_for_it__tried_again(void **state)
{
	(void)state;
	leave_damaged();
	threads = 0;
	thread_fails_at = 0; /* the next is the spool's own */
	spool = open_spool();
	assert_non_null(spool);
	assert_int_equal(put("ok", 20), SPOOL_FAILED);
	wait_until_noted(20);
	assert_int_equal(end(PATIENCE), 0);
}

/* Nothing was changed, and the next process does it all. */
static void test_salvage__the_process_ends__cancelled_and_nothing_lost(void **state)
{
	(void)state;
	leave_damaged();
	for (int n = 0; n < 20; n++) {
		spool = open_spool();
		usleep((useconds_t)n * 200);
		answer = HOLD;
		end(0);
	}
	answer = ACCEPT;
	spool = open_spool();
	wait_until_noted(20);
	assert_int_equal(end(PATIENCE), 0);
}

/* What is in flight at the end stays, and the thread does not wait for it beyond its deadline. */
static void test_free__a_call_without_end__kept_at_the_deadline(void **state)
{
	(void)state;
	answer = HOLD;
	spool = open_spool();
	assert_int_equal(put("ok", 1), SPOOL_STORED);
	while (started == 0)
		usleep(1000);
	assert_int_equal(end(SECOND / 10), 1);
}

/* --- what is not there -------------------------------------------------------------------------*/

static void test_new__any_allocation_or_the_thread_fails__null(void **state)
{
	long needed;

	(void)state;
	allocations = 0;
	spool = open_spool();
	assert_non_null(spool);
	needed = allocations;
	end(0);
	for (long n = 0; n < needed; n++) {
		allocations = 0;
		fail_at = n;
		spool = open_spool();
		fail_at = -1;
		/* The store may do without what it can make later. */
		if (spool)
			end(0);
	}
	threads_fail = true;
	assert_null(open_spool());
	assert_int_equal(errno, EAGAIN);
	threads_fail = false;
	answer = NO_RELAY;
	assert_null(open_spool());
	assert_int_equal(errno, ENOMEM);
}

static void test_new__no_descriptor_left__null(void **state)
{
	struct rlimit before, fewer;
	int last = dup(0), error;

	(void)state;
	assert_true(last >= 0);
	close(last);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
	/* None at all, and one for the loop but none for its mailbox. */
	for (int left = 0; left <= 1; left++) {
		fewer = (struct rlimit){(rlim_t)(last + left), before.rlim_max};
		assert_int_equal(setrlimit(RLIMIT_NOFILE, &fewer), 0);
		spool = open_spool();
		error = errno;
		assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
		assert_null(spool);
		assert_int_equal(error, EMFILE);
	}
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_put__many_at_once__all_stored_and_delivered_in_order),
		TEST(test_put__large_ones__in_several_transactions),
		TEST(test_put__nobody_takes_it__the_next_process_delivers),
		TEST(test_put__spool_full__told_and_nothing_lost),
		TEST(test_put__no_directory__failed_until_there_is_one),
		TEST(test_put__the_database_fails_now_and_then__no_false_promise),
		TEST(test_put__one_insert_of_many_fails__no_more_and_no_less_than_promised),
		TEST(test_replay__a_refused_one__stays_and_the_others_pass),
		TEST(test_put__got_an_error__after_the_new_ones),
		TEST(test_replay__failures__tried_again_until_taken),
		TEST(test_replay__live_traffic_has_half_of_the_places__waits),
		TEST(test_replay__no_memory_for_a_body__waits),
		TEST(test_rest__last_record_gone__buffers_given_back_each_time),
		TEST(test_memory__small_blocks_of_sqlite__have_six_sizes),
		TEST(test_replay__too_old__dropped_and_counted),
		TEST(test_replay__too_old_and_in_flight__not_dropped),
		TEST(test_quarantine__too_old_at_the_start__gone_and_the_gauge_falls),
		TEST(test_quarantine__disk_does_not_let_it_go__delivers_and_tries_again),
		TEST(test_replay__a_damaged_record__dropped_and_the_others_pass),
		TEST(test_salvage__damaged__what_is_readable_is_delivered_and_new_ones_taken),
		TEST(test_salvage__no_thread_for_it__tried_again),
		TEST(test_salvage__the_process_ends__cancelled_and_nothing_lost),
		TEST(test_free__a_call_without_end__kept_at_the_deadline),
		TEST(test_new__any_allocation_or_the_thread_fails__null),
		TEST(test_new__no_descriptor_left__null),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
