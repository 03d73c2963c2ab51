/*
 * DESIGN: records are read behind a cursor, in the order of their ids, and each takes a slot.
 *
 *	in the store ──> in a slot ─┬─ REPLAY_DELIVERED ────────> finished ──> deleted
 *	     ^ cursor               ├─ REPLAY_QUARANTINE ───────> finished ──> in quarantine
 *	                            └─ REPLAY_AGAIN, _BACK_OFF ─┐
 *	                               ^ in a slot <────────────┘  (before the cursor goes on)
 *
 * "Finished" is a list in memory: what the disk does not let us delete is not sent again either. At
 * FINISHED_MAX of them nothing more is sent; so many may at most come twice after a crash.
 *
 * What an outcome leads to is policy.c's to say, when a record is tried again retries.c's, and how
 * fast all of it goes pace.c's.
 */
#include "delivery/replay.h"

#include <stdlib.h>

#include "base/log.h"
#include "base/metrics.h"
#include "base/text.h"
#include "delivery/pace.h"
#include "delivery/policy.h"
#include "delivery/retries.h"
#include "upstream/relay.h"

enum {
	FINISHED_MAX = 1024,
	FINISH_BATCH = 64,
	KEEP_BYTES = 64 * 1024,
};

struct slot {
	struct relay_call call;
	struct replay *replay;
	struct spool_record record;
	struct buf body;
	bool busy;
};

struct replay {
	struct config config; /* the process's, with a longer timeout */
	struct store *store;
	struct breaker *breaker;
	struct loop *loop;
	struct relay *relay;
	struct budget *live, own;
	struct loop_timer send_timer, finish_timer;
	struct slot slots[REPLAY_AT_ONCE];
	size_t busy;
	int64_t cursor;
	struct retries retries;
	struct store_finished finished[FINISHED_MAX];
	size_t finished_count;
	struct pace pace;
	bool stopped;
};

/* --- the end of a record -----------------------------------------------------------------------*/

static bool is_finished(const struct replay *replay, int64_t id)
{
	for (size_t i = 0; i < replay->finished_count; i++)
		if (replay->finished[i].id == id)
			return true;
	return false;
}

static bool is_in_slot(const struct replay *replay, int64_t id)
{
	for (size_t i = 0; i < REPLAY_AT_ONCE; i++)
		if (replay->slots[i].busy && replay->slots[i].record.id == id)
			return true;
	return false;
}

static void finish_record(struct replay *replay, int64_t id, enum store_end end)
{
	static const enum metric metrics[] = {
		[STORE_DELIVERED] = METRIC_SPOOL_REPLAYED,
		[STORE_EXPIRED] = METRIC_SPOOL_DROPPED_AGE,
		[STORE_BROKEN] = METRIC_SPOOL_DROPPED_DAMAGED,
		[STORE_REJECTED] = METRIC_SPOOL_DROPPED_REJECTED,
		[STORE_AMBIGUOUS] = METRIC_SPOOL_DROPPED_AMBIGUOUS,
	};

	metrics_add(metrics[end], 1);
	retries_remove(&replay->retries, id);
	/* It may stay in the store for a while, and is not to be read there again. */
	if (id > replay->cursor)
		replay->cursor = id;
	replay->finished[replay->finished_count++] = (struct store_finished){id, end};
	replay->finish_timer.due_us = replay->loop->now_us;
}

void replay_finish(struct replay *replay)
{
	size_t done = 0;

	while (done < replay->finished_count && store_open(replay->store) == STORE_OK) {
		size_t n = replay->finished_count - done;

		if (n > FINISH_BATCH)
			n = FINISH_BATCH;
		if (store_finish(replay->store, replay->finished + done, n) != STORE_OK)
			break;
		done += n;
	}
	replay->finished_count -= done;
	memmove(replay->finished, replay->finished + done,
		replay->finished_count * sizeof(replay->finished[0]));
}

static void on_finish_timer(struct loop_timer *timer)
{
	struct replay *replay = container_of(timer, struct replay, finish_timer);

	replay_finish(replay);
}

/* --- the end of an attempt ---------------------------------------------------------------------*/

static void try_again(struct replay *replay, const struct slot *slot, enum replay_action how,
		      int64_t now_us)
{
	struct retry *retry = retries_take(&replay->retries, slot->record.id);

	retry->in_flight = false;
	retry->due_us = now_us;
	if (how == REPLAY_BACK_OFF &&
	    !retry_back_off(retry, atomic_load(&replay->breaker->accepted), now_us))
		finish_record(replay, slot->record.id, STORE_AMBIGUOUS);
}

static void act_on_outcome(struct replay *replay, struct slot *slot, int64_t now_us)
{
	const struct policy *policy = policy_of(&slot->call);

	breaker_report(replay->breaker, policy->breaker, now_us);
	switch (policy->replay) {
	case REPLAY_DELIVERED:
		beacon_count_items(&slot->record.counts);
		finish_record(replay, slot->record.id, STORE_DELIVERED);
		pace_after_success(&replay->pace);
		break;
	case REPLAY_QUARANTINE:
		finish_record(replay, slot->record.id, STORE_REJECTED);
		pace_after_rejection(&replay->pace);
		break;
	case REPLAY_AGAIN:
	case REPLAY_BACK_OFF:
		pace_after_failure(&replay->pace, slot->call.retry_after_s, now_us);
		try_again(replay, slot, policy->replay, now_us);
		break;
	}
}

static void send_more(struct replay *replay);

static void on_replay_answer(struct relay_call *call)
{
	struct slot *slot = container_of(call, struct slot, call);
	struct replay *replay = slot->replay;

	slot->busy = false;
	replay->busy--;
	act_on_outcome(replay, slot, loop_now_us());
	buf_shrink(&slot->body, KEEP_BYTES);
	send_more(replay);
}

/* --- sending -----------------------------------------------------------------------------------*/

static struct slot *free_slot(struct replay *replay)
{
	size_t limit = replay->pace.failures > 0 ? REPLAY_AT_ONCE_IN_TROUBLE : REPLAY_AT_ONCE;
	struct slot *slot = replay->slots;

	if (replay->busy >= limit)
		return NULL;
	/* One is free, since fewer than all are busy. */
	while (slot->busy)
		slot++;
	return slot;
}

/* When the next record may go; 0: now. */
static int64_t blocked_until(struct replay *replay, int64_t now_us)
{
	int64_t until_us = pace_blocked_until(&replay->pace, now_us);

	if (until_us == 0 && REPLAY_LIVE_SHARE * budget_used(replay->live) > replay->live->max)
		until_us = now_us + REPLAY_POLL_US;
	return until_us;
}

/* STORE_NONE: it is no longer in the store, and need not be tried again. */
static enum store_result read_retry(struct replay *replay, const struct retry *retry,
				    struct slot *slot)
{
	int64_t id = retry->id;
	enum store_result result = store_next(replay->store, id - 1, &slot->record, &slot->body);

	if (result == STORE_FAILED || (result != STORE_NONE && slot->record.id == id))
		return result;
	retries_remove(&replay->retries, id);
	return STORE_NONE;
}

/* Reads the record that is to go next. Those that were left unanswered come last, so that the
 * others show first whether the upstream answers at all. */
static enum store_result read_next(struct replay *replay, struct slot *slot, int64_t now_us)
{
	enum store_result result = STORE_NONE;
	struct retry *retry;

	while (result == STORE_NONE && (retry = retries_next(&replay->retries, false, now_us)))
		result = read_retry(replay, retry, slot);
	if (result == STORE_NONE && replay->retries.count + replay->busy < RETRIES_MAX)
		result = store_next(replay->store, replay->cursor, &slot->record, &slot->body);
	while (result == STORE_NONE && (retry = retries_next(&replay->retries, true, now_us)))
		result = read_retry(replay, retry, slot);
	return result;
}

static bool has_expired(const struct replay *replay, int64_t stored_s, int64_t now_s)
{
	return now_s - stored_s >= replay->config.spool_max_age_s;
}

/* A record that cannot be read is passed over. False: it is not the record's fault. */
static bool pass_over(struct replay *replay, enum store_result result,
		      const struct spool_record *record)
{
	if (result == STORE_DAMAGED) {
		log_limited(LOG_ERROR, "spool_record_damaged",
			    "A record of the spool is damaged and is dropped.");
		finish_record(replay, record->id, STORE_BROKEN);
		return true;
	}
	if (result != STORE_TOO_LARGE)
		return false;
	/* A former process had more memory, and another one may have it again. */
	log_limited(LOG_WARN, "spool_record_too_large",
		    "A record of the spool needs more than FARO_MAX_MEMORY_BYTES and stays "
		    "there; raise that and start again, or it is dropped for its age.",
		    LOG_NUM("bytes", (int64_t)record->body.len));
	replay->cursor = record->id;
	return true;
}

/* False: not just now. */
static bool send_record(struct replay *replay, struct slot *slot, int64_t now_us)
{
	const struct spool_record *record = &slot->record;
	struct retry *retry;

	slot->call = (struct relay_call){
		.body = record->body, .forwarded = record->forwarded, .done = on_replay_answer};
	if (!breaker_admits(replay->breaker, now_us))
		return false;
	if (relay_start(replay->relay, &slot->call) != VERDICT_OK) {
		breaker_cancel_attempt(replay->breaker);
		return false;
	}
	slot->busy = true;
	replay->busy++;
	retry = retries_find(&replay->retries, record->id);
	if (retry)
		retry->in_flight = true;
	else
		replay->cursor = record->id;
	pace_sent(&replay->pace, now_us);
	return true;
}

/* False: no more just now; *next_us is set. */
static bool read_and_send(struct replay *replay, struct slot *slot, int64_t now_us,
			  int64_t *next_us)
{
	enum store_result result = read_next(replay, slot, now_us);

	if (pass_over(replay, result, &slot->record))
		return true;
	*next_us = now_us + REPLAY_POLL_US;
	if (result == STORE_OK)
		return send_record(replay, slot, now_us);
	if (result != STORE_FULL)
		*next_us = INT64_MAX;
	else if (replay->busy == 0)
		/* What is kept for the next records may be what this one needs. */
		replay_trim(replay);
	return false;
}

/* Sends what may be sent now, and sees to it that it is called again when there may be more. */
static void send_more(struct replay *replay)
{
	int64_t now_us = loop_now_us(), next_us = INT64_MAX;
	struct slot *slot;

	while (!replay->stopped && store_is_open(replay->store) &&
	       replay->finished_count + REPLAY_AT_ONCE < FINISHED_MAX &&
	       (slot = free_slot(replay))) {
		next_us = blocked_until(replay, now_us);
		if (next_us != 0 || !read_and_send(replay, slot, now_us, &next_us))
			break;
		next_us = INT64_MAX;
	}
	if (next_us == INT64_MAX && retries_are_waiting(&replay->retries))
		next_us = now_us + REPLAY_POLL_US;
	replay->send_timer.due_us = next_us;
}

static void on_send_timer(struct loop_timer *timer)
{
	send_more(container_of(timer, struct replay, send_timer));
}

void replay_wake(struct replay *replay)
{
	/* What is not due yet goes on waiting. */
	replay->send_timer.due_us = replay->loop->now_us;
}

void replay_flush(struct replay *replay)
{
	pace_flush(&replay->pace);
	replay->send_timer.due_us = replay->loop->now_us;
}

void replay_stop(struct replay *replay)
{
	replay->stopped = true;
}

bool replay_is_idle(const struct replay *replay)
{
	return replay->busy == 0;
}

void replay_trim(struct replay *replay)
{
	for (size_t i = 0; i < REPLAY_AT_ONCE; i++)
		if (!replay->slots[i].busy)
			buf_release(&replay->slots[i].body);
}

void replay_expire(struct replay *replay, int64_t now_s)
{
	int64_t id = INT64_MIN, stored_s;

	for (int i = 0; i < FINISH_BATCH && replay->finished_count + REPLAY_AT_ONCE < FINISHED_MAX;
	     i++) {
		if (!store_is_open(replay->store) ||
		    store_peek(replay->store, id, &id, &stored_s) != STORE_OK ||
		    !has_expired(replay, stored_s, now_s))
			return;
		if (is_in_slot(replay, id) || is_finished(replay, id))
			continue;
		log_limited(LOG_WARN, "spool_expired",
			    "Beacons older than FARO_SPOOL_MAX_AGE_S are dropped; fix the "
			    "receiver, or raise it.");
		finish_record(replay, id, STORE_EXPIRED);
	}
}

/* --- life --------------------------------------------------------------------------------------*/

struct replay *replay_new(const struct spool_options *options, struct loop *loop,
			  struct store *store)
{
	struct replay *replay = calloc(1, sizeof(*replay));

	if (!replay)
		return NULL;
	replay->config = *options->config;
	replay->config.upstream_timeout_ms *= REPLAY_TIMEOUT_FACTOR;
	if (replay->config.upstream_timeout_ms < REPLAY_TIMEOUT_MIN_MS)
		replay->config.upstream_timeout_ms = REPLAY_TIMEOUT_MIN_MS;
	replay->config.upstream_max_inflight = REPLAY_AT_ONCE;
	replay->store = store;
	replay->breaker = options->breaker;
	replay->loop = loop;
	replay->live = options->inflight;
	replay->cursor = INT64_MIN;
	pace_init(&replay->pace, options->breaker, (double)options->config->replay_rate,
		  loop_now_us());
	for (size_t i = 0; i < REPLAY_AT_ONCE; i++) {
		replay->slots[i].replay = replay;
		buf_init(&replay->slots[i].body, options->memory->max, options->memory);
	}
	budget_init(&replay->own, REPLAY_AT_ONCE);
	replay->relay = relay_new(loop, &replay->config, options->resolver, &replay->own);
	if (!replay->relay) {
		free(replay);
		return NULL;
	}
	replay->send_timer.fire = on_send_timer;
	replay->finish_timer.fire = on_finish_timer;
	loop_timer_add(loop, &replay->send_timer);
	loop_timer_add(loop, &replay->finish_timer);
	return replay;
}

void replay_free(struct replay *replay)
{
	if (!replay)
		return;
	for (size_t i = 0; i < REPLAY_AT_ONCE; i++) {
		if (replay->slots[i].busy)
			relay_cancel(replay->relay, &replay->slots[i].call);
		buf_release(&replay->slots[i].body);
	}
	relay_free(replay->relay);
	free(replay);
}
