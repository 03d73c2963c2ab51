/*
 * DESIGN: records are read behind a cursor, in the order of their ids, and each takes one of SLOTS.
 *
 *	in the store ──> in a slot ──2xx──────────────> settled ──> deleted
 *	     ^ cursor       │   └─400, 413, 422─────> settled ──> in quarantine
 *	                    └─> to be tried again ─┐
 *	                          ^ in a slot <────┘  (before the cursor goes on)
 *
 * "Settled" is a list in memory: what the disk does not let us delete is not sent again either. At
 * SETTLED_MAX of them nothing more is sent; so many may at most come twice after a crash.
 *
 * A beacon that is left unanswered waits longer each time, while others go on. It goes into
 * quarantine after UNANSWERED_MAX such attempts, of which those count after which the receiver took
 * some other beacon: where it answers nobody, that says nothing about the beacon.
 *
 * After a failure one record at a time is tried.
 */
#include "delivery/replay.h"

#include <stdlib.h>

#include "base/log.h"
#include "base/metrics.h"
#include "base/text.h"
#include "delivery/pace.h"
#include "upstream/relay.h"

enum {
	SLOTS = 8,
	RETRIES_MAX = 256,
	SETTLED_MAX = 1024,
	SETTLE_BATCH = 64,
	UNANSWERED_MAX = 5,
	RETRY_MIN_US = 500 * 1000,
	POLL_US = 50 * 1000,
	TIMEOUT_FACTOR = 3, /* of the upstream timeout, and at least: */
	TIMEOUT_MIN_MS = 10000,
	KEEP_BYTES = 64 * 1024,
};

struct retry {
	int64_t id;
	int64_t due_us;
	int unanswered;
	uint64_t accepted; /* the breaker's count after the last unanswered attempt */
	bool in_slot;
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
	struct loop_timer timer, settle_timer;
	struct slot slots[SLOTS];
	size_t busy;
	int64_t cursor;
	struct retry retries[RETRIES_MAX];
	size_t retry_count;
	struct store_settled settled[SETTLED_MAX];
	size_t settled_count;
	struct pace pace;
	bool stopped;
};

/* --- what is remembered -------------------------------------------------------------------------*/

static struct retry *find_retry(struct replay *replay, int64_t id)
{
	for (size_t i = 0; i < replay->retry_count; i++)
		if (replay->retries[i].id == id)
			return &replay->retries[i];
	return NULL;
}

static void drop_retry(struct replay *replay, int64_t id)
{
	struct retry *retry = find_retry(replay, id);

	if (retry)
		*retry = replay->retries[--replay->retry_count];
}

/* There is room: RETRIES_MAX less the slots stops the cursor. */
static struct retry *take_retry(struct replay *replay, int64_t id)
{
	struct retry *retry = find_retry(replay, id);

	if (retry)
		return retry;
	retry = &replay->retries[replay->retry_count++];
	*retry = (struct retry){.id = id};
	return retry;
}

/* The oldest one; of those that were left unanswered, the one that waits longest. */
static struct retry *due_retry(struct replay *replay, bool unanswered, int64_t now_us)
{
	struct retry *first = NULL;

	for (size_t i = 0; i < replay->retry_count; i++) {
		struct retry *retry = &replay->retries[i];

		if (retry->in_slot || retry->due_us > now_us ||
		    (retry->unanswered > 0) != unanswered)
			continue;
		if (!first || (unanswered ? retry->due_us < first->due_us : retry->id < first->id))
			first = retry;
	}
	return first;
}

static bool is_settled(const struct replay *replay, int64_t id)
{
	for (size_t i = 0; i < replay->settled_count; i++)
		if (replay->settled[i].id == id)
			return true;
	return false;
}

static bool is_in_slot(const struct replay *replay, int64_t id)
{
	for (size_t i = 0; i < SLOTS; i++)
		if (replay->slots[i].busy && replay->slots[i].record.id == id)
			return true;
	return false;
}

static void settle(struct replay *replay, int64_t id, enum store_end end)
{
	static const enum metric metrics[] = {
		[STORE_DELIVERED] = METRIC_SPOOL_REPLAYED,
		[STORE_EXPIRED] = METRIC_SPOOL_DROPPED_AGE,
		[STORE_BROKEN] = METRIC_SPOOL_DROPPED_DAMAGED,
		[STORE_REJECTED] = METRIC_SPOOL_DROPPED_REJECTED,
		[STORE_AMBIGUOUS] = METRIC_SPOOL_DROPPED_AMBIGUOUS,
	};

	metrics_add(metrics[end], 1);
	drop_retry(replay, id);
	/* It may stand in the store for a while. */
	if (id > replay->cursor)
		replay->cursor = id;
	replay->settled[replay->settled_count++] = (struct store_settled){id, end};
	replay->settle_timer.due_us = replay->loop->now_us;
}

void replay_settle(struct replay *replay)
{
	size_t done = 0;

	while (done < replay->settled_count && store_open(replay->store) == STORE_OK) {
		size_t n = replay->settled_count - done;

		if (n > SETTLE_BATCH)
			n = SETTLE_BATCH;
		if (store_settle(replay->store, replay->settled + done, n) != STORE_OK)
			break;
		done += n;
	}
	replay->settled_count -= done;
	memmove(replay->settled, replay->settled + done,
		replay->settled_count * sizeof(replay->settled[0]));
}

static void on_settle(struct loop_timer *timer)
{
	struct replay *replay = container_of(timer, struct replay, settle_timer);

	replay_settle(replay);
}

/* --- the end of an attempt ----------------------------------------------------------------------*/

static void try_again(struct replay *replay, const struct slot *slot, int64_t now_us)
{
	struct retry *retry = take_retry(replay, slot->record.id);
	uint64_t accepted = atomic_load(&replay->breaker->accepted);
	int64_t wait_us = RETRY_MIN_US;

	retry->in_slot = false;
	retry->due_us = now_us;
	if (slot->call.status != 0 || !slot->call.sent)
		return;
	if (retry->unanswered > 0 && accepted == retry->accepted)
		retry->unanswered--;
	retry->accepted = accepted;
	if (++retry->unanswered >= UNANSWERED_MAX) {
		settle(replay, slot->record.id, STORE_AMBIGUOUS);
		return;
	}
	for (int i = 0; i < retry->unanswered; i++)
		wait_us *= 2;
	retry->due_us = now_us + wait_us;
}

static void pump(struct replay *replay);

static void call_done(struct relay_call *call)
{
	/* `call` is the first member. */
	struct slot *slot = (struct slot *)(void *)call;
	struct replay *replay = slot->replay;
	int64_t now_us = loop_now_us();

	breaker_report(replay->breaker, call->verdict, now_us);
	slot->busy = false;
	replay->busy--;
	if (call->verdict == VERDICT_ACCEPTED) {
		beacon_count_items(&slot->record.counts);
		settle(replay, slot->record.id, STORE_DELIVERED);
		pace_taken(&replay->pace);
	} else if (call->verdict == VERDICT_UPSTREAM_REJECTED) {
		settle(replay, slot->record.id, STORE_REJECTED);
		pace_refused(&replay->pace);
	} else {
		pace_failed(&replay->pace, call->retry_after_s, now_us);
		try_again(replay, slot, now_us);
	}
	buf_shrink(&slot->body, KEEP_BYTES);
	pump(replay);
}

/* --- sending ------------------------------------------------------------------------------------*/

static struct slot *free_slot(struct replay *replay)
{
	size_t limit = replay->pace.failures > 0 ? 1 : SLOTS;
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

	if (until_us == 0 && 2 * budget_used(replay->live) > replay->live->max)
		until_us = now_us + POLL_US;
	return until_us;
}

/* STORE_NONE: it is gone from the store, and forgotten. */
static enum store_result read_retry(struct replay *replay, const struct retry *retry,
				    struct slot *slot)
{
	int64_t id = retry->id;
	enum store_result result = store_next(replay->store, id - 1, &slot->record, &slot->body);

	if (result == STORE_FAILED || (result != STORE_NONE && slot->record.id == id))
		return result;
	drop_retry(replay, id);
	return STORE_NONE;
}

/* Reads the record that is to go next. Those that were left unanswered come last, so that each of
 * them has its turn to show that it is not the beacon's fault. */
static enum store_result read_next(struct replay *replay, struct slot *slot, int64_t now_us)
{
	enum store_result result = STORE_NONE;
	struct retry *retry;

	while (result == STORE_NONE && (retry = due_retry(replay, false, now_us)))
		result = read_retry(replay, retry, slot);
	if (result == STORE_NONE && replay->retry_count + replay->busy < RETRIES_MAX)
		result = store_next(replay->store, replay->cursor, &slot->record, &slot->body);
	while (result == STORE_NONE && (retry = due_retry(replay, true, now_us)))
		result = read_retry(replay, retry, slot);
	return result;
}

static bool has_expired(const struct replay *replay, int64_t stored_s, int64_t now_s)
{
	return now_s - stored_s >= replay->config.spool_max_age_s;
}

/* False: no more just now; *next_us is set. */
static bool send_one(struct replay *replay, struct slot *slot, int64_t now_us, int64_t *next_us)
{
	enum store_result result = read_next(replay, slot, now_us);
	struct spool_record *record = &slot->record;
	struct retry *retry;

	if (result == STORE_DAMAGED) {
		log_limited(LOG_ERROR, "spool_record_damaged",
			    "A record of the spool is damaged and is dropped.");
		settle(replay, record->id, STORE_BROKEN);
		return true;
	}
	/* A former process had more memory, and another one may have it again. */
	if (result == STORE_TOO_LARGE) {
		log_limited(LOG_WARN, "spool_record_too_large",
			    "A record of the spool needs more than FARO_MAX_MEMORY_BYTES and stays "
			    "there; raise that and start again, or it is dropped for its age.",
			    LOG_NUM("bytes", (int64_t)record->body.len));
		replay->cursor = record->id;
		return true;
	}
	if (result != STORE_OK) {
		/* What is kept for the next records may be what this one needs. */
		if (result == STORE_FULL && replay->busy == 0)
			replay_trim(replay);
		*next_us = result == STORE_FULL ? now_us + POLL_US : INT64_MAX;
		return false;
	}
	slot->call = (struct relay_call){
		.body = record->body, .forwarded = record->forwarded, .done = call_done};
	*next_us = now_us + POLL_US;
	if (!breaker_admits(replay->breaker, now_us))
		return false;
	if (relay_start(replay->relay, &slot->call) != VERDICT_OK) {
		breaker_forget(replay->breaker);
		return false;
	}
	slot->busy = true;
	replay->busy++;
	retry = find_retry(replay, record->id);
	if (retry)
		retry->in_slot = true;
	else
		replay->cursor = record->id;
	pace_sent(&replay->pace, now_us);
	return true;
}

/* Sends what may be sent now, and sees to it that it is called again when there may be more. */
static void pump(struct replay *replay)
{
	int64_t now_us = loop_now_us(), next_us = INT64_MAX;
	struct slot *slot;

	while (!replay->stopped && store_is_open(replay->store) &&
	       replay->settled_count + SLOTS < SETTLED_MAX && (slot = free_slot(replay))) {
		next_us = blocked_until(replay, now_us);
		if (next_us != 0 || !send_one(replay, slot, now_us, &next_us))
			break;
		next_us = INT64_MAX;
	}
	for (size_t i = 0; i < replay->retry_count && next_us == INT64_MAX; i++)
		if (!replay->retries[i].in_slot)
			next_us = now_us + POLL_US;
	replay->timer.due_us = next_us;
}

static void on_timer(struct loop_timer *timer)
{
	pump(container_of(timer, struct replay, timer));
}

void replay_wake(struct replay *replay)
{
	/* What waits for a time is looked at again, and goes on waiting. */
	replay->timer.due_us = replay->loop->now_us;
}

void replay_flush(struct replay *replay)
{
	pace_flush(&replay->pace);
	replay->timer.due_us = replay->loop->now_us;
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
	for (size_t i = 0; i < SLOTS; i++)
		if (!replay->slots[i].busy)
			buf_release(&replay->slots[i].body);
}

void replay_expire(struct replay *replay, int64_t now_s)
{
	int64_t id = INT64_MIN, stored_s;

	for (int i = 0; i < SETTLE_BATCH && replay->settled_count + SLOTS < SETTLED_MAX; i++) {
		if (!store_is_open(replay->store) ||
		    store_peek(replay->store, id, &id, &stored_s) != STORE_OK ||
		    !has_expired(replay, stored_s, now_s))
			return;
		if (is_in_slot(replay, id) || is_settled(replay, id))
			continue;
		log_limited(LOG_WARN, "spool_expired",
			    "Beacons older than FARO_SPOOL_MAX_AGE_S are dropped; mend the "
			    "receiver, or raise it.");
		settle(replay, id, STORE_EXPIRED);
	}
}

/* --- life ---------------------------------------------------------------------------------------*/

struct replay *replay_new(const struct spool_options *options, struct loop *loop,
			  struct store *store)
{
	struct replay *replay = calloc(1, sizeof(*replay));

	if (!replay)
		return NULL;
	replay->config = *options->config;
	replay->config.upstream_timeout_ms *= TIMEOUT_FACTOR;
	if (replay->config.upstream_timeout_ms < TIMEOUT_MIN_MS)
		replay->config.upstream_timeout_ms = TIMEOUT_MIN_MS;
	replay->config.upstream_max_inflight = SLOTS;
	replay->store = store;
	replay->breaker = options->breaker;
	replay->loop = loop;
	replay->live = options->inflight;
	replay->cursor = INT64_MIN;
	pace_init(&replay->pace, options->breaker, (double)options->config->replay_rate,
		  loop_now_us());
	for (size_t i = 0; i < SLOTS; i++) {
		replay->slots[i].replay = replay;
		buf_init(&replay->slots[i].body, options->memory->max, options->memory);
	}
	budget_init(&replay->own, SLOTS);
	replay->relay = relay_new(loop, &replay->config, options->resolver, &replay->own);
	if (!replay->relay) {
		free(replay);
		return NULL;
	}
	replay->timer.fire = on_timer;
	replay->settle_timer.fire = on_settle;
	loop_timer_add(loop, &replay->timer);
	loop_timer_add(loop, &replay->settle_timer);
	return replay;
}

void replay_free(struct replay *replay)
{
	if (!replay)
		return;
	for (size_t i = 0; i < SLOTS; i++) {
		if (replay->slots[i].busy)
			relay_cancel(replay->relay, &replay->slots[i].call);
		buf_release(&replay->slots[i].body);
	}
	relay_free(replay->relay);
	free(replay);
}
