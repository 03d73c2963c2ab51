/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DESIGN: records are read behind a cursor, in the order of their ids, and each takes a slot.
 *
 *	in the store ──> in a slot ─┬─ REPLAY_DELIVERED ───────────────> finished ──> deleted
 *	     ^ cursor               ├─ REPLAY_BACK_OFF, too often ─────> finished ──> in quarantine
 *	                            └─ REPLAY_AGAIN, _BACK_OFF ─┐
 *	                               ^ in a slot <── retries ─┘
 *
 * Who is next (read_next()): what only could not be sent, the oldest first; then by turns a new
 * record and one that has attempts against it, so that neither many of the one kind nor of the
 * other hold up the rest. In trouble: a new one, or the one that was tried the longest ago, never
 * the one that has just failed. What retries have no room for is left behind the cursor and comes
 * in a later round, when all others have been tried.
 *
 * "Finished" is a list in memory, which a timer empties: what the disk does not let us delete is not
 * sent again either. At FINISHED_MAX of them nothing more is sent; so many may at most come twice
 * after a crash.
 *
 * What an outcome leads to is policy.c's to say, when a record is tried again retries.c's, and how
 * fast all of it goes pace.c's.
 */
#include "delivery/replay.h"

#include <stdlib.h>

#include "base/log.h"
#include "base/metrics.h"
#include "base/text.h"
#include "delivery/id_set.h"
#include "delivery/pace.h"
#include "delivery/policy.h"
#include "delivery/retries.h"
#include "upstream/relay.h"

enum {
	KEEP_BYTES = 64 * 1024,
};

struct slot {
	struct relay_call call;
	struct replay *replay;
	struct spool_record record;
	struct buf body;
	int64_t retry_us; /* not before that, by Retry-After */
	int64_t *cursor;  /* goes on to the record once it is dealt with; NULL: it is a retry */
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
	int64_t cursor; /* what is above it is new */
	/* A round through what was left behind the cursor. */
	int64_t round_cursor;
	bool in_round, left_behind;
	bool retry_is_next; /* by turns */
	struct retries retries;
	struct store_finished finished[FINISHED_MAX];
	size_t finished_count;
	struct id_set finished_ids;
	struct pace pace;
	bool stopped;
};

/* --- the end of a record -----------------------------------------------------------------------*/

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
		[STORE_REFUSED] = METRIC_SPOOL_DROPPED_REFUSED,
		[STORE_AMBIGUOUS] = METRIC_SPOOL_DROPPED_AMBIGUOUS,
	};

	metrics_add(metrics[end], 1);
	retries_remove(&replay->retries, id);
	replay->finished[replay->finished_count++] = (struct store_finished){id, end};
	id_set_add(&replay->finished_ids, id);
	if (replay->finished_count >= FINISH_BATCH)
		replay->finish_timer.due_us = replay->loop->now_us;
	else if (replay->finish_timer.due_us == INT64_MAX)
		replay->finish_timer.due_us = replay->loop->now_us + FINISH_DELAY_US;
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
		for (size_t i = done; i < done + n; i++)
			id_set_remove(&replay->finished_ids, replay->finished[i].id);
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

static void try_again(struct replay *replay, const struct slot *slot, int64_t now_us)
{
	const struct policy *policy = policy_of(&slot->call);
	struct retries *retries = &replay->retries;
	struct retry *retry = retries_take(retries, slot->record.id);

	if (!retry)
		replay->left_behind = true;
	else if (policy->replay == REPLAY_AGAIN)
		retries_again(retries, retry, now_us);
	else if (!retries_back_off(retries, retry, policy_is_error(&slot->call),
				   atomic_load(&replay->breaker->accepted), now_us))
		finish_record(replay, slot->record.id, policy->end);
	else
		retries_delay(retries, retry, slot->retry_us);
}

static void keep_pace(struct replay *replay, struct slot *slot, int64_t now_us)
{
	unsigned retry_after_s = slot->call.retry_after_s;

	slot->retry_us = now_us;
	if (!policy_is_error(&slot->call))
		pace_after_failure(&replay->pace, retry_after_s, now_us);
	else if (!pace_after_error(&replay->pace, retry_after_s, now_us))
		slot->retry_us += (int64_t)retry_after_s * 1000000;
}

static void act_on_outcome(struct replay *replay, struct slot *slot, int64_t now_us)
{
	const struct policy *policy = policy_of(&slot->call);

	policy_report(replay->breaker, policy->breaker_of_replay, &slot->call, now_us);
	if (policy->replay == REPLAY_DELIVERED) {
		beacon_count_items(&slot->record.counts);
		finish_record(replay, slot->record.id, STORE_DELIVERED);
		pace_after_success(&replay->pace);
		return;
	}
	keep_pace(replay, slot, now_us);
	try_again(replay, slot, now_us);
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
	struct slot *slot = replay->slots;

	if (replay->busy >= REPLAY_AT_ONCE)
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

	slot->cursor = NULL;
	if (result == STORE_FAILED || (result != STORE_NONE && slot->record.id == id))
		return result;
	retries_remove(&replay->retries, id);
	return STORE_NONE;
}

static enum store_result read_behind(struct replay *replay, int64_t *cursor, struct slot *slot)
{
	slot->cursor = cursor;
	return store_next(replay->store, *cursor, &slot->record, &slot->body);
}

/* What was left behind the cursor, once there is room to remember what becomes of it. */
static enum store_result read_left_behind(struct replay *replay, struct slot *slot)
{
	enum store_result result;

	if (replay->retries.count == RETRIES_MAX || !(replay->in_round || replay->left_behind))
		return STORE_NONE;
	if (!replay->in_round) {
		replay->in_round = true;
		replay->left_behind = false;
		replay->round_cursor = INT64_MIN;
	}
	result = read_behind(replay, &replay->round_cursor, slot);
	if (result == STORE_FAILED || (result != STORE_NONE && slot->record.id <= replay->cursor))
		return result;
	replay->in_round = false;
	return STORE_NONE;
}

/* NULL: a new record is to be looked for before. */
static struct retry *first_retry(struct replay *replay, bool in_trouble, int64_t now_us)
{
	struct retry *retry = in_trouble ? NULL : retries_next(&replay->retries, now_us);

	return retry && (retry_attempts(retry) == 0 || replay->retry_is_next) ? retry : NULL;
}

static struct retry *other_retry(struct replay *replay, bool in_trouble, int64_t now_us)
{
	return in_trouble ? retries_longest_left(&replay->retries)
			  : retries_next(&replay->retries, now_us);
}

static enum store_result read_next(struct replay *replay, struct slot *slot, int64_t now_us)
{
	bool in_trouble = pace_is_in_trouble(&replay->pace);
	enum store_result result = STORE_NONE;
	struct retry *retry;

	while (result == STORE_NONE && (retry = first_retry(replay, in_trouble, now_us)))
		result = read_retry(replay, retry, slot);
	if (result == STORE_NONE)
		result = read_behind(replay, &replay->cursor, slot);
	while (result == STORE_NONE && (retry = other_retry(replay, in_trouble, now_us)))
		result = read_retry(replay, retry, slot);
	return result == STORE_NONE ? read_left_behind(replay, slot) : result;
}

static bool has_expired(const struct replay *replay, int64_t stored_s, int64_t now_s)
{
	return now_s - stored_s >= replay->config.spool_max_age_s;
}

static void go_on(struct slot *slot)
{
	if (slot->cursor)
		*slot->cursor = slot->record.id;
}

static bool is_known(struct replay *replay, int64_t id)
{
	return retries_find(&replay->retries, id) || is_in_slot(replay, id) ||
	       id_set_has(&replay->finished_ids, id);
}

static void drop_damaged(struct replay *replay, int64_t id)
{
	log_limited(LOG_ERROR, "spool_record_damaged",
		    "A record of the spool is damaged and is dropped.");
	finish_record(replay, id, STORE_BROKEN);
}

/* A record that cannot be read, or that is somewhere else already, is passed over. False: it is to
 * be sent, or it is not the record's fault. */
static bool pass_over(struct replay *replay, enum store_result result, struct slot *slot)
{
	const struct spool_record *record = &slot->record;

	if (result == STORE_NONE || result == STORE_FAILED)
		return false;
	if (slot->cursor && is_known(replay, record->id)) {
		go_on(slot);
		return true;
	}
	if (result != STORE_DAMAGED && result != STORE_TOO_LARGE)
		return false;
	go_on(slot);
	if (result == STORE_DAMAGED) {
		drop_damaged(replay, record->id);
		return true;
	}
	/* A former process had more memory, and another one may have it again. */
	retries_remove(&replay->retries, record->id);
	log_limited(LOG_WARN, "spool_record_too_large",
		    "A record of the spool needs more than FARO_MAX_MEMORY_BYTES and stays "
		    "there; raise that limit and restart, or the record is dropped once it is "
		    "older than FARO_SPOOL_MAX_AGE_S.",
		    LOG_NUM("bytes", (int64_t)record->body.len));
	return true;
}

/* False: not just now. */
static bool send_record(struct replay *replay, struct slot *slot, int64_t now_us)
{
	const struct spool_record *record = &slot->record;
	struct retry *retry = retries_find(&replay->retries, record->id);

	slot->call = (struct relay_call){
		.body = record->body, .forwarded = record->forwarded, .done = on_replay_answer};
	if (relay_start(replay->relay, &slot->call) != VERDICT_OK)
		return false;
	slot->busy = true;
	replay->busy++;
	replay->retry_is_next = !retry;
	if (retry)
		retries_send(&replay->retries, retry);
	go_on(slot);
	pace_sent(&replay->pace, now_us);
	return true;
}

/* False: no more just now; *next_us is set. */
static bool read_and_send(struct replay *replay, struct slot *slot, int64_t now_us,
			  int64_t *next_us)
{
	enum store_result result = read_next(replay, slot, now_us);

	if (pass_over(replay, result, slot))
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

static bool may_send(const struct replay *replay)
{
	return !replay->stopped && store_is_open(replay->store) &&
	       replay->finished_count + REPLAY_AT_ONCE < FINISHED_MAX;
}

/* Where nothing could be sent. */
static int64_t look_again_us(const struct replay *replay, int64_t now_us)
{
	int64_t due_us = retries_due_us(&replay->retries);

	if (replay->retries.due.count > 0 || due_us <= now_us)
		return now_us + REPLAY_POLL_US;
	return due_us;
}

/* Sends what may be sent now, and sees to it that it is called again when there may be more. */
static void send_more(struct replay *replay)
{
	int64_t now_us = loop_now_us(), next_us = INT64_MAX;
	struct slot *slot;

	for (int n = 0; may_send(replay) && (slot = free_slot(replay)); n++) {
		next_us = n < REPLAY_PASSED_AT_ONCE ? blocked_until(replay, now_us) : now_us;
		if (next_us != 0 || !read_and_send(replay, slot, now_us, &next_us))
			break;
		next_us = INT64_MAX;
	}
	if (next_us == INT64_MAX)
		next_us = look_again_us(replay, now_us);
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

void replay_stored(struct replay *replay, int64_t id)
{
	struct retry *retry = retries_take(&replay->retries, id);

	if (retry)
		retries_back_off(&replay->retries, retry, true,
				 atomic_load(&replay->breaker->accepted), loop_now_us());
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
		if (is_in_slot(replay, id) || id_set_has(&replay->finished_ids, id))
			continue;
		log_limited(LOG_WARN, "spool_expired",
			    "Beacons older than FARO_SPOOL_MAX_AGE_S are dropped; fix the "
			    "receiver, or raise that limit.");
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
	replay->retries.random = (unsigned)loop_now_us();
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
