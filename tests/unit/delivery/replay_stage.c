/* SPDX-License-Identifier: Apache-2.0 */
#include "delivery/replay_stage.h"

#include "ingest/ingest.h"

/* --- the loop ----------------------------------------------------------------------------------*/

struct loop loop;

int64_t loop_now_us(void)
{
	return loop.now_us;
}

void loop_timer_add(struct loop *to, struct loop_timer *timer)
{
	timer->next = to->timers;
	timer->due_us = INT64_MAX;
	to->timers = timer;
}

static int64_t next_due_us(void)
{
	int64_t due_us = INT64_MAX;

	for (struct loop_timer *timer = loop.timers; timer; timer = timer->next)
		due_us = timer->due_us < due_us ? timer->due_us : due_us;
	return due_us;
}

bool turn(void)
{
	int64_t due_us = next_due_us();

	if (due_us == INT64_MAX)
		return false;
	loop.now_us = due_us > loop.now_us ? due_us : loop.now_us;
	for (struct loop_timer *timer = loop.timers; timer; timer = timer->next)
		if (timer->due_us <= loop.now_us) {
			timer->due_us = INT64_MAX;
			timer->fire(timer);
		}
	return true;
}

/* --- the store ---------------------------------------------------------------------------------*/

struct store store;

bool store_is_open(const struct store *of)
{
	return !of->closed;
}

enum store_result store_open(struct store *of)
{
	return of->open_fails ? STORE_FAILED : STORE_OK;
}

struct spool_record *first_after(struct store *of, int64_t after)
{
	for (int64_t i = after > 0 ? after : 0; i < of->count; i++)
		if (of->records[i].id != 0 && of->records[i].id > after)
			return &of->records[i];
	return NULL;
}

enum store_result store_next(struct store *of, int64_t after, struct spool_record *record,
			     struct buf *body)
{
	const struct spool_record *found = first_after(of, after);
	enum buf_result room;

	if (of->on_next)
		of->on_next();
	if (of->closed)
		return STORE_FAILED;
	if (!found)
		return STORE_NONE;
	*record = *found;
	buf_clear(body);
	room = buf_reserve(body, found->body.len + sizeof("1000"));
	if (room != BUF_OK)
		return room == BUF_TOO_LARGE ? STORE_TOO_LARGE : STORE_FULL;
	buf_printf(body, "%d", (int)found->id);
	record->body = (struct view){body->data, body->len};
	return STORE_OK;
}

enum store_result store_peek(struct store *of, int64_t after, int64_t *id, int64_t *stored_s)
{
	const struct spool_record *found = first_after(of, after);

	of->peeks++;
	if (!found)
		return STORE_NONE;
	*id = found->id;
	*stored_s = found->stored_s;
	return STORE_OK;
}

enum store_result store_finish(struct store *of, const struct store_finished *finished,
			       size_t count)
{
	of->transactions++;
	if (of->finish_fails)
		return STORE_FAILED;
	for (size_t i = 0; i < count; i++) {
		assert_int_equal(of->records[finished[i].id - 1].id, finished[i].id);
		of->records[finished[i].id - 1].id = 0;
		of->ends[finished[i].end]++;
	}
	return STORE_OK;
}

/* --- the relay ---------------------------------------------------------------------------------*/

void beacon_count_items(const struct beacon_counts *counts)
{
	(void)counts;
}

int number_of(const struct relay_call *call)
{
	char text[16] = "";

	assert_in_range(call->body.len, 1, sizeof(text) - 1);
	memcpy(text, call->body.ptr, call->body.len);
	return atoi(text);
}

int wait_for_call(void)
{
	for (int turns = 0; fake_relay.count == 0; turns++) {
		assert_true(turns < 10000);
		assert_true(turn());
	}
	return number_of(fake_relay.calls[0]);
}

void answer(int number, enum answer with)
{
	static const struct {
		int status;
		enum verdict verdict;
		unsigned retry_after_s;
	} answers[] = {
		[ACCEPT] = {202, VERDICT_ACCEPTED, 0},
		[REFUSE] = {400, VERDICT_UPSTREAM_REJECTED, 0},
		[UNAUTHORIZED] = {401, VERDICT_UPSTREAM_MISCONFIGURED, 0},
		[NOT_FOUND] = {404, VERDICT_UPSTREAM_MISCONFIGURED, 0},
		[THROTTLE] = {429, VERDICT_UPSTREAM_THROTTLED, 20},
		[FAIL] = {503, VERDICT_UPSTREAM_UNAVAILABLE, 0},
		[FAIL_LATER] = {503, VERDICT_UPSTREAM_UNAVAILABLE, 20},
		[SILENT] = {0, VERDICT_UPSTREAM_UNAVAILABLE, 0},
		[UNREACHED] = {0, VERDICT_UPSTREAM_UNAVAILABLE, 0},
	};
	size_t i = 0;
	struct relay_call *call;

	while (i < fake_relay.count && number_of(fake_relay.calls[i]) != number)
		i++;
	assert_true(i < fake_relay.count);
	call = fake_relay.calls[i];
	call->sent = with != UNREACHED;
	call->status = answers[with].status;
	call->verdict = answers[with].verdict;
	call->retry_after_s = answers[with].retry_after_s;
	fake_relay_end(call);
}

/* --- the stage ---------------------------------------------------------------------------------*/

struct config config;
struct breaker breaker;
struct budget memory, inflight;
struct replay *replay;

bool restart(int rate)
{
	const struct spool_options options = {
		.config = &config, .breaker = &breaker, .memory = &memory, .inflight = &inflight};

	replay_free(replay);
	loop.timers = NULL;
	config.replay_rate = (unsigned)rate;
	replay = replay_new(&options, &loop, &store);
	return replay != NULL;
}

int set_up(void **state)
{
	(void)state;
	log_init(0, LOG_ERROR + 1);
	loop = (struct loop){.now_us = 1000 * SECOND};
	memset(&store, 0, sizeof(store));
	fake_relay_clear();
	fake_relay.limit = SLOTS;
	config = (struct config){.spool_max_age_s = 1000, .upstream_timeout_ms = 100};
	breaker_init(&breaker, &policy_breaker);
	budget_init(&memory, 64 << 20);
	budget_init(&inflight, 10);
	return restart(100000) ? 0 : -1;
}

int tear_down(void **state)
{
	(void)state;
	replay_free(replay);
	replay = NULL;
	assert_int_equal(budget_used(&memory), 0);
	return 0;
}

void keep(int count)
{
	for (int n = 1; n <= count; n++)
		store.records[n - 1] = (struct spool_record){.id = n};
	store.count = count;
	replay_wake(replay);
}

void wait_for_calls(size_t count)
{
	for (int turns = 0; fake_relay.count < count; turns++) {
		assert_true(turns < 100);
		assert_true(turn());
	}
}
