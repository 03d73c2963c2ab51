/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DESIGN: a loop in a thread of its own. The records that come within a turn of it are one batch.
 *
 *	inbox ──open──> waiting ──end of the turn──> one transaction ──> messages back
 *
 * A batch has at most BATCH_RECORDS records and BATCH_BYTES of bodies (or one record), so that the
 * database's log stays small; the rest is the next turn's, after replay had its turn. A store that
 * failed is opened again at most every SPOOL_REOPEN_US, and a put meanwhile fails at once; so it
 * does while a store that seems to be damaged is checked and salvaged in another thread.
 */
#include "delivery/spool.h"

#include <errno.h>
#include <stdlib.h>

#include "base/log.h"
#include "base/malloc_tuning.h"
#include "base/metrics.h"
#include "base/text.h"
#include "delivery/policy.h"
#include "delivery/replay.h"
#include "delivery/salvager.h"

enum {
	BATCH_RECORDS = 64,
	BATCH_BYTES = 1024 * 1024, /* before deflating */
	HOUSEKEEPING_US = 1000 * 1000,
	STOPPING_US = 10 * 1000,
};

struct spool {
	struct loop loop;
	struct mailbox inbox;
	pthread_t thread;
	struct store *store;
	struct replay *replay;
	struct salvager salvager;
	struct spool_put *waiting, **waiting_end;
	struct loop_timer commit_timer, housekeeping_timer, stop_timer;
	struct message drain_message, stop_message;
	int64_t deadline_us; /* written before stop_message is posted */
	int64_t reopen_us;
	int64_t max_age_s;
	int64_t expire_us; /* the quarantine is not looked at before */
	bool trimmed;      /* unused memory was returned, and no record has come since */
	bool ended;
};

/* --- storing -----------------------------------------------------------------------------------*/

static bool open_if_due(struct spool *spool)
{
	if (store_is_open(spool->store))
		return true;
	if (loop_now_us() >= spool->reopen_us) {
		if (store_open(spool->store) == STORE_OK) {
			log_event(LOG_INFO, "spool_open", "The spool can be used.",
				  LOG_NUM("records", store_records(spool->store)));
			return true;
		}
		spool->reopen_us = loop_now_us() + SPOOL_REOPEN_US;
	}
	if (store_is_suspected(spool->store))
		salvager_start(&spool->salvager, loop_now_us());
	return false;
}

static void on_salvaged(struct salvager *salvager)
{
	struct spool *spool = container_of(salvager, struct spool, salvager);

	spool->reopen_us = 0;
	if (open_if_due(spool))
		replay_wake(spool->replay);
}

/* Takes a batch off the list, which it ends, and returns its first. */
static struct spool_put *take_batch(struct spool *spool)
{
	struct spool_put *first = spool->waiting, *put = first;
	size_t bytes = put->record.body.len;
	int n = 1;

	for (; put->message.next && n < BATCH_RECORDS; n++) {
		struct spool_put *next = (struct spool_put *)(void *)put->message.next;

		bytes += next->record.body.len;
		if (bytes > BATCH_BYTES)
			break;
		put = next;
	}
	spool->waiting = (struct spool_put *)(void *)put->message.next;
	if (!spool->waiting)
		spool->waiting_end = &spool->waiting;
	put->message.next = NULL;
	return first;
}

static enum spool_result insert_all(struct spool *spool, struct spool_put *first)
{
	struct spool_put *put;

	if (!open_if_due(spool) || store_begin(spool->store) != STORE_OK)
		return SPOOL_FAILED;
	for (put = first; put; put = (struct spool_put *)(void *)put->message.next) {
		enum store_result result = store_insert(spool->store, &put->record);

		if (result == STORE_FAILED)
			return SPOOL_FAILED;
		put->result = result == STORE_OK ? SPOOL_STORED : SPOOL_FULL;
		put->record.id = store_last_id(spool->store);
	}
	return store_commit(spool->store) == STORE_OK ? SPOOL_STORED : SPOOL_FAILED;
}

static void on_batch_answer(struct message *message)
{
	/* `message` is the first member. */
	struct spool_put *put = (struct spool_put *)(void *)message;

	put->done(put);
}

static void show_gauges(struct spool *spool)
{
	metrics_set(METRIC_SPOOL_RECORDS, store_records(spool->store));
	metrics_set(METRIC_SPOOL_QUARANTINED, store_quarantined(spool->store));
	metrics_set(METRIC_SPOOL_BYTES, store_bytes(spool->store));
}

static void warn_full(const struct spool *spool)
{
	log_limited(LOG_WARN, "spool_full",
		    "The spool is full and takes no more beacons; fix the "
		    "receiver, raise FARO_SPOOL_MAX_BYTES, or free the disk.",
		    LOG_NUM("bytes", store_bytes(spool->store)));
}

static void commit_batch(struct loop_timer *timer)
{
	struct spool *spool = container_of(timer, struct spool, commit_timer);
	struct spool_put *put = take_batch(spool), *next;
	bool failed = insert_all(spool, put) == SPOOL_FAILED, full = false;

	spool->trimmed = false;
	show_gauges(spool);
	for (; put; put = next) {
		next = (struct spool_put *)(void *)put->message.next;
		if (failed)
			put->result = SPOOL_FAILED;
		full = full || put->result == SPOOL_FULL;
		if (put->result == SPOOL_STORED && put->got_error)
			replay_stored(spool->replay, put->record.id);
		put->message.open = on_batch_answer;
		mailbox_post(put->mailbox, &put->message);
	}
	if (full)
		warn_full(spool);
	if (spool->waiting)
		timer->due_us = spool->loop.now_us;
	replay_wake(spool->replay);
}

static void on_put_message(struct message *message)
{
	struct spool_put *put = (struct spool_put *)(void *)message;
	struct spool *spool = put->spool;

	message->next = NULL;
	*spool->waiting_end = put;
	spool->waiting_end = (struct spool_put **)(void *)&put->message.next;
	spool->commit_timer.due_us = spool->loop.now_us;
}

void spool_put(struct spool *spool, struct spool_put *put)
{
	put->spool = spool;
	put->message.open = on_put_message;
	mailbox_post(&spool->inbox, &put->message);
}

/* --- housekeeping ------------------------------------------------------------------------------*/

static void show_age(struct spool *spool, int64_t now_s)
{
	int64_t id, stored_s, age_s = 0;

	if (store_is_open(spool->store) &&
	    store_peek(spool->store, INT64_MIN, &id, &stored_s) == STORE_OK)
		age_s = now_s > stored_s ? now_s - stored_s : 0;
	metrics_set(METRIC_SPOOL_OLDEST_SECONDS, age_s);
}

/* What fails may close the store, which replay needs open; so it is not tried again each second. */
static void expire_quarantine(struct spool *spool)
{
	int64_t now_us = loop_now_us();

	if (!store_is_open(spool->store) || now_us < spool->expire_us)
		return;
	if (store_expire_quarantine(spool->store, spool->max_age_s) != STORE_OK)
		spool->expire_us = now_us + QUARANTINE_PAUSE_US;
}

/* Once, when the last record is gone: unused memory is returned to the system. */
static void free_unused(struct spool *spool)
{
	if (spool->trimmed || spool->waiting || store_records(spool->store) > 0 ||
	    !replay_is_idle(spool->replay))
		return;
	replay_trim(spool->replay);
	store_trim(spool->store);
	malloc_give_back();
	spool->trimmed = true;
}

static void on_housekeeping(struct loop_timer *timer)
{
	struct spool *spool = container_of(timer, struct spool, housekeeping_timer);
	int64_t now_s = store_now_s(spool->store);

	timer->due_us = spool->loop.now_us + HOUSEKEEPING_US;
	if (!open_if_due(spool))
		return;
	replay_expire(spool->replay, now_s);
	replay_finish(spool->replay);
	show_age(spool, now_s);
	expire_quarantine(spool);
	show_gauges(spool);
	free_unused(spool);
	replay_wake(spool->replay);
}

/* --- the end -----------------------------------------------------------------------------------*/

static void on_stop_timer(struct loop_timer *timer)
{
	struct spool *spool = container_of(timer, struct spool, stop_timer);
	int64_t now_us = loop_now_us();

	if (now_us >= spool->deadline_us - SPOOL_CLOSING_US)
		replay_stop(spool->replay);
	spool->ended = !spool->waiting && (now_us >= spool->deadline_us ||
					   (replay_is_idle(spool->replay) &&
					    (now_us >= spool->deadline_us - SPOOL_CLOSING_US ||
					     store_records(spool->store) == 0)));
	timer->due_us = now_us + STOPPING_US;
}

static void on_drain_message(struct message *message)
{
	replay_flush(container_of(message, struct spool, drain_message)->replay);
}

static void on_stop_message(struct message *message)
{
	struct spool *spool = container_of(message, struct spool, stop_message);

	spool->stop_timer.due_us = spool->loop.now_us;
}

void spool_drain(struct spool *spool)
{
	mailbox_post(&spool->inbox, &spool->drain_message);
}

static void *run_spool(void *arg)
{
	struct spool *spool = arg;

	while (!spool->ended)
		loop_turn(&spool->loop);
	replay_finish(spool->replay);
	return NULL;
}

/* --- life --------------------------------------------------------------------------------------*/

static void free_spool(struct spool *spool)
{
	salvager_release(&spool->salvager);
	replay_free(spool->replay);
	store_free(spool->store);
	mailbox_release(&spool->inbox);
	loop_release(&spool->loop);
	free(spool);
}

int64_t spool_free(struct spool *spool, int64_t deadline_us)
{
	int64_t left;

	spool->deadline_us = deadline_us;
	mailbox_post(&spool->inbox, &spool->stop_message);
	pthread_join(spool->thread, NULL);
	left = store_records(spool->store);
	free_spool(spool);
	return left;
}

static void set_up_timers(struct spool *spool)
{
	spool->commit_timer.fire = commit_batch;
	spool->housekeeping_timer.fire = on_housekeeping;
	spool->stop_timer.fire = on_stop_timer;
	loop_timer_add(&spool->loop, &spool->commit_timer);
	loop_timer_add(&spool->loop, &spool->housekeeping_timer);
	loop_timer_add(&spool->loop, &spool->stop_timer);
	spool->housekeeping_timer.due_us = spool->loop.now_us;
}

static bool set_up(struct spool *spool, const struct spool_options *options)
{
	const struct config *config = options->config;

	spool->store = store_new(&(struct store_options){
		.directory = config->spool_dir,
		.max_bytes = config->spool_max_bytes,
		.sync_full = config->spool_sync == SPOOL_SYNC_FULL,
	});
	if (!spool->store)
		return false;
	spool->max_age_s = config->spool_max_age_s;
	salvager_init(&spool->salvager, spool->store, &spool->inbox, on_salvaged);
	metrics_set(METRIC_SPOOL_MAX_BYTES, (int64_t)config->spool_max_bytes);
	spool->replay = replay_new(options, &spool->loop, spool->store);
	if (!spool->replay)
		return false;
	set_up_timers(spool);
	if (open_if_due(spool))
		store_fill_dedup(spool->store, options->dedup, loop_now_us());
	show_gauges(spool);
	return true;
}

struct spool *spool_new(const struct spool_options *options)
{
	struct spool *spool = calloc(1, sizeof(*spool));
	int error;

	if (!spool)
		return NULL;
	spool->inbox.watch.fd = -1;
	spool->waiting_end = &spool->waiting;
	spool->drain_message.open = on_drain_message;
	spool->stop_message.open = on_stop_message;
	if (!loop_init(&spool->loop)) {
		free(spool);
		return NULL;
	}
	if (!mailbox_init(&spool->inbox, &spool->loop))
		error = errno;
	else if (!set_up(spool, options))
		error = ENOMEM;
	else
		error = pthread_create(&spool->thread, NULL, run_spool, spool);
	if (error == 0)
		return spool;
	free_spool(spool);
	errno = error;
	return NULL;
}
