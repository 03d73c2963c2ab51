/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/resource.h>

#include <cmocka.h>

#include "base/metrics.h"
#include "base/text.h"
#include "delivery/delivery.h"
#include "delivery/policy.h"
#include "fakes/relay.h"

/*
 * Links delivery with breaker, dedup, mailbox, loop, metrics, buf. The relay and the spool are
 * ours, below: they keep what they are given until the test answers it, the spool by message as the
 * real one does. Neither looks at a limit, a disk or a clock.
 */

enum {
	KEPT_MAX = 16,
	NO_SPOOL = -1 /* besides the results of a spool */
};

struct spool {
	struct spool_put *puts[KEPT_MAX];
	size_t count;
};

void spool_put(struct spool *spool, struct spool_put *put)
{
	assert_true(spool->count < KEPT_MAX);
	spool->puts[spool->count++] = put;
}

/* --- the stage ---------------------------------------------------------------------------------*/

struct sent {
	struct delivery delivery; /* the first member */
	int done;
};

static struct spool the_spool;
static struct breaker breaker;
static struct loop loop;
static struct delivery_context context;
static struct sent first, second, third;

static int set_up(void **state)
{
	(void)state;
	fake_relay_clear();
	the_spool = (struct spool){.count = 0};
	breaker_init(&breaker, &policy_breaker);
	context = (struct delivery_context){.relay = &fake_relay,
					    .dedup = dedup_new(),
					    .breaker = &breaker,
					    .spool = &the_spool,
					    .at_spool = 7};
	return context.dedup && loop_init(&loop) && delivery_context_init(&context, &loop) ? 0 : -1;
}

static int tear_down(void **state)
{
	(void)state;
	assert_int_equal(context.at_spool, 0);
	delivery_context_release(&context);
	loop_release(&loop);
	dedup_free(context.dedup);
	return 0;
}

static void on_done(struct delivery *delivery)
{
	struct sent *sent = (struct sent *)(void *)delivery;

	sent->done++;
	assert_int_equal(delivery->phase, DELIVERY_NONE);
}

/* It is done once in either case: at once, as the return value says, or later, by done(). */
static void begin(struct sent *sent)
{
	enum verdict verdict = delivery_start(&context, &sent->delivery);

	assert_int_equal(sent->done, 0);
	if (verdict == VERDICT_OK)
		return;
	assert_int_equal(verdict, sent->delivery.call.verdict);
	on_done(&sent->delivery);
}

/* `key` may be NULL: it has none. What nobody asks of an owner is left as a former use left it. */
static void deliver(struct sent *sent, const char *key, const char *body)
{
	memset(sent, 1, sizeof(*sent));
	sent->done = 0;
	sent->delivery.call = (struct relay_call){
		.body = view_of(body),
		.forwarded.idempotency_key = key ? view_of(key) : (struct view){NULL, 0},
	};
	sent->delivery.hash =
		key ? dedup_hash(view_of(key), view_of(body)) : (struct dedup_hash){{0}};
	sent->delivery.done = on_done;
	begin(sent);
}

/* The oldest call under way ends. */
static void receiver_says(enum verdict verdict, int status)
{
	struct relay_call *call = fake_relay.calls[0];

	assert_true(fake_relay.count > 0);
	call->verdict = verdict;
	call->status = status;
	fake_relay_end(call);
}

static void opened(struct message *message)
{
	struct spool_put *put = container_of(message, struct spool_put, message);

	put->done(put);
}

static void spool_says(enum spool_result result)
{
	struct spool_put *put = the_spool.puts[0];

	assert_true(the_spool.count > 0);
	memmove(the_spool.puts, the_spool.puts + 1, --the_spool.count * sizeof(the_spool.puts[0]));
	put->result = result;
	put->message.open = opened;
	mailbox_post(put->mailbox, &put->message);
	loop_turn(&loop);
}

static void check_ended(const struct sent *sent, enum verdict verdict)
{
	assert_int_equal(sent->done, 1);
	assert_int_equal(sent->delivery.call.verdict, verdict);
}

/* It admits one now, and the next one a second later. */
static void open_breaker_until_now(void)
{
	const int64_t past_us = loop_now_us() - BREAKER_PROBE_US;

	breaker_init(&breaker, &policy_breaker);
	for (int i = 0; i < BREAKER_DIFFERENT; i++)
		breaker_report(&breaker, BREAKER_FAILURE, 0, past_us);
	assert_true(breaker_is_open(&breaker));
}

/* --- once to the receiver, else to the spool ---------------------------------------------------*/

static void test_outcome__each_of_the_receiver_and_the_spool__one_verdict(void **state)
{
	static const struct {
		enum verdict said;
		int status;
		int spool; /* NO_SPOOL, or what the spool answers where it is asked */
		bool asked;
		enum verdict expected;
	} rows[] = {
		/* Taken or refused: the spool has nothing to do with it. */
		{VERDICT_ACCEPTED, 202, SPOOL_STORED, false, VERDICT_ACCEPTED},
		{VERDICT_ACCEPTED, 202, NO_SPOOL, false, VERDICT_ACCEPTED},
		{VERDICT_UPSTREAM_REJECTED, 400, SPOOL_STORED, false, VERDICT_UPSTREAM_REJECTED},
		{VERDICT_UPSTREAM_REJECTED, 413, NO_SPOOL, false, VERDICT_UPSTREAM_REJECTED},
		/* Not now: promised once it is stored, and not before. */
		{VERDICT_UPSTREAM_UNAVAILABLE, 503, SPOOL_STORED, true, VERDICT_SPOOLED},
		{VERDICT_UPSTREAM_TIMEOUT, 0, SPOOL_STORED, true, VERDICT_SPOOLED},
		{VERDICT_UPSTREAM_THROTTLED, 429, SPOOL_STORED, true, VERDICT_SPOOLED},
		{VERDICT_UPSTREAM_MISCONFIGURED, 401, SPOOL_STORED, true, VERDICT_SPOOLED},
		{VERDICT_UPSTREAM_MISCONFIGURED, 404, SPOOL_STORED, true, VERDICT_SPOOLED},
		/* A full one: the browser is to come again later. */
		{VERDICT_UPSTREAM_UNAVAILABLE, 503, SPOOL_FULL, true, VERDICT_SPOOL_FULL},
		{VERDICT_UPSTREAM_MISCONFIGURED, 401, SPOOL_FULL, true, VERDICT_SPOOL_FULL},
		/* One that fails: as without one. */
		{VERDICT_UPSTREAM_UNAVAILABLE, 503, SPOOL_FAILED, true,
		 VERDICT_UPSTREAM_UNAVAILABLE},
		{VERDICT_UPSTREAM_TIMEOUT, 0, SPOOL_FAILED, true, VERDICT_UPSTREAM_TIMEOUT},
		{VERDICT_UPSTREAM_THROTTLED, 429, SPOOL_FAILED, true, VERDICT_UPSTREAM_THROTTLED},
		{VERDICT_UPSTREAM_MISCONFIGURED, 404, SPOOL_FAILED, true,
		 VERDICT_UPSTREAM_MISCONFIGURED},
		/* None. */
		{VERDICT_UPSTREAM_UNAVAILABLE, 0, NO_SPOOL, false, VERDICT_UPSTREAM_UNAVAILABLE},
		{VERDICT_UPSTREAM_TIMEOUT, 0, NO_SPOOL, false, VERDICT_UPSTREAM_TIMEOUT},
		{VERDICT_UPSTREAM_THROTTLED, 429, NO_SPOOL, false, VERDICT_UPSTREAM_THROTTLED},
		{VERDICT_UPSTREAM_MISCONFIGURED, 401, NO_SPOOL, false,
		 VERDICT_UPSTREAM_MISCONFIGURED},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		breaker_init(&breaker, &policy_breaker);
		context.spool = rows[i].spool == NO_SPOOL ? NULL : &the_spool;
		deliver(&first, NULL, "{}");
		assert_int_equal(first.delivery.phase, DELIVERY_AT_RELAY);
		receiver_says(rows[i].said, rows[i].status);
		assert_int_equal(the_spool.count, rows[i].asked);
		assert_int_equal(context.at_spool, rows[i].asked);
		assert_int_equal(first.done, !rows[i].asked);
		if (rows[i].asked)
			spool_says((enum spool_result)rows[i].spool);
		check_ended(&first, rows[i].expected);
		assert_int_equal(first.delivery.call.status, rows[i].status);
		assert_int_equal(context.at_spool, 0);
	}
}

static void test_relay_overloaded__spool_or_a_word_at_once(void **state)
{
	(void)state;
	fake_relay.limit = 0;
	deliver(&first, NULL, "{}");
	spool_says(SPOOL_STORED);
	check_ended(&first, VERDICT_SPOOLED);
	deliver(&first, NULL, "{}");
	spool_says(SPOOL_FAILED);
	check_ended(&first, VERDICT_OVERLOADED);
	context.spool = NULL;
	deliver(&first, NULL, "{}");
	check_ended(&first, VERDICT_OVERLOADED);
	/* It says nothing about the receiver. */
	assert_int_equal(breaker.failures.count, 0);
	assert_int_equal(breaker.troubles, 0);
}

static void test_put__what_replay_needs__is_in_the_record(void **state)
{
	const struct spool_record *record;
	struct dedup_hash hash = dedup_hash(view_of("key"), view_of("{\"a\":1}"));

	(void)state;
	first = (struct sent){
		.delivery = {.call = {.body = VIEW_LITERAL("{\"a\":1}"),
				      .forwarded.session_id = VIEW_LITERAL("session"),
				      .forwarded.idempotency_key = VIEW_LITERAL("key"),
				      .forwarded.traceparent = VIEW_LITERAL("00-1-2-01"),
				      .forwarded.client_address = VIEW_LITERAL("192.0.2.0")},
			     .counts = {.logs = 3, .spans = 4},
			     .hash = hash,
			     .done = on_done}};
	begin(&first);
	receiver_says(VERDICT_UPSTREAM_UNAVAILABLE, 0);
	record = &the_spool.puts[0]->record;
	assert_true(view_equals(record->body, first.delivery.call.body));
	assert_true(view_equals(record->forwarded.session_id, view_of("session")));
	assert_true(view_equals(record->forwarded.idempotency_key, view_of("key")));
	assert_true(view_equals(record->forwarded.traceparent, view_of("00-1-2-01")));
	assert_true(view_equals(record->forwarded.client_address, view_of("192.0.2.0")));
	assert_int_equal(record->counts.logs, 3);
	assert_int_equal(record->counts.spans, 4);
	assert_memory_equal(&record->hash, &hash, sizeof(hash));
	spool_says(SPOOL_STORED);

	/* Without a key there is nothing by which the next process could know it. */
	deliver(&second, NULL, "{\"a\":1}");
	receiver_says(VERDICT_UPSTREAM_UNAVAILABLE, 0);
	assert_true(dedup_hash_is_empty(&the_spool.puts[0]->record.hash));
	spool_says(SPOOL_STORED);
}

/* --- the breaker -------------------------------------------------------------------------------*/

static void test_breaker__failures_in_a_row__the_next_goes_straight_to_the_spool(void **state)
{
	(void)state;
	for (int i = 0; i < BREAKER_DIFFERENT; i++) {
		deliver(&first, NULL, "{}");
		assert_int_equal(fake_relay.started, i + 1);
		receiver_says(VERDICT_UPSTREAM_UNAVAILABLE, 0);
		spool_says(SPOOL_STORED);
	}
	deliver(&first, NULL, "{}");
	assert_int_equal(fake_relay.started, BREAKER_DIFFERENT);
	assert_int_equal(first.delivery.phase, DELIVERY_AT_SPOOL);
	spool_says(SPOOL_STORED);
	check_ended(&first, VERDICT_SPOOLED);
	deliver(&first, NULL, "{}");
	spool_says(SPOOL_FAILED);
	check_ended(&first, VERDICT_UPSTREAM_UNAVAILABLE);
	assert_int_equal(fake_relay.started, BREAKER_DIFFERENT);
}

/* What is not sent is lost there, so that every one is tried. */
static void test_breaker__no_spool__neither_asked_nor_told(void **state)
{
	(void)state;
	context.spool = NULL;
	for (int i = 0; i < 2 * BREAKER_DIFFERENT; i++) {
		deliver(&first, NULL, "{}");
		receiver_says(VERDICT_UPSTREAM_UNAVAILABLE, 0);
	}
	assert_int_equal(fake_relay.started, 2 * BREAKER_DIFFERENT);
	assert_false(breaker_is_open(&breaker));
	assert_int_equal(breaker.troubles, 0);
	open_breaker_until_now();
	deliver(&first, NULL, "{}");
	deliver(&second, NULL, "{}");
	assert_int_equal(fake_relay.count, 2);
	receiver_says(VERDICT_ACCEPTED, 202);
	receiver_says(VERDICT_ACCEPTED, 202);
}

static void test_breaker__open__one_a_second_and_the_others_go_to_the_spool(void **state)
{
	(void)state;
	open_breaker_until_now();
	deliver(&first, NULL, "{}");
	assert_int_equal(fake_relay.count, 1);
	deliver(&second, NULL, "{}"); /* while the first one probes */
	assert_int_equal(second.delivery.phase, DELIVERY_AT_SPOOL);
	assert_false(the_spool.puts[0]->got_error);
	spool_says(SPOOL_STORED);
	receiver_says(VERDICT_ACCEPTED, 202);
	assert_false(breaker_is_open(&breaker));
	deliver(&first, NULL, "{}");
	assert_int_equal(first.delivery.phase, DELIVERY_AT_RELAY);
	receiver_says(VERDICT_ACCEPTED, 202);
}

/* The same body each time, as by somebody who sends what the receiver chokes on. */
static void test_breaker__one_beacon_again_and_again__others_are_relayed(void **state)
{
	(void)state;
	for (int i = 0; i < 100; i++) {
		deliver(&first, NULL, "{\"poison\":1}");
		fake_relay.calls[0]->sent = true;
		receiver_says(VERDICT_UPSTREAM_UNAVAILABLE, 500);
		assert_true(the_spool.puts[0]->got_error);
		spool_says(SPOOL_STORED);
	}
	assert_false(breaker_is_open(&breaker));
	deliver(&first, NULL, "{}");
	assert_int_equal(first.delivery.phase, DELIVERY_AT_RELAY);
	receiver_says(VERDICT_ACCEPTED, 202);
}

/* --- the others of its kind --------------------------------------------------------------------*/

/* What was promised is a duplicate from then on; what was not is tried again. */
static void test_repeat__after_the_first_has_ended__by_what_was_promised(void **state)
{
	static const struct {
		enum verdict said;
		enum spool_result spool;
		bool promised;
	} rows[] = {
		{VERDICT_ACCEPTED, SPOOL_FAILED, true},
		{VERDICT_UPSTREAM_UNAVAILABLE, SPOOL_STORED, true},
		{VERDICT_UPSTREAM_UNAVAILABLE, SPOOL_FULL, false},
		{VERDICT_UPSTREAM_UNAVAILABLE, SPOOL_FAILED, false},
		{VERDICT_UPSTREAM_REJECTED, SPOOL_FAILED, false},
	};
	int64_t before = metrics_get(METRIC_DUPLICATES);

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		const char key[] = {(char)('a' + i), '\0'};

		breaker_init(&breaker, &policy_breaker);
		deliver(&first, key, "{}");
		receiver_says(rows[i].said, 0);
		if (the_spool.count > 0)
			spool_says(rows[i].spool);
		deliver(&second, key, "{}");
		if (rows[i].promised) {
			check_ended(&second, VERDICT_DUPLICATE);
			continue;
		}
		assert_int_equal(second.delivery.phase, DELIVERY_AT_RELAY);
		receiver_says(VERDICT_ACCEPTED, 202);
		check_ended(&second, VERDICT_ACCEPTED);
	}
	assert_int_equal(metrics_get(METRIC_DUPLICATES) - before, 2);
	assert_int_equal(fake_relay.count, 0);
}

static void test_repeat__other_body_or_no_key_to_go_by__relayed(void **state)
{
	(void)state;
	deliver(&first, "k", "{\"a\":1}");
	receiver_says(VERDICT_ACCEPTED, 202);
	deliver(&second, "k", "{\"a\":2}");
	receiver_says(VERDICT_ACCEPTED, 202);
	check_ended(&second, VERDICT_ACCEPTED);
	for (int i = 0; i < 2; i++) {
		deliver(&first, NULL, "{}");
		receiver_says(VERDICT_ACCEPTED, 202);
		check_ended(&first, VERDICT_ACCEPTED);
	}
}

/* Nobody is told a 202 before the first one has it. */
static void test_repeat__the_first_is_under_way__waits_for_its_end(void **state)
{
	static const struct {
		enum verdict said;
		int status;
		enum spool_result spool;
		enum verdict theirs;
	} rows[] = {
		{VERDICT_ACCEPTED, 202, SPOOL_FAILED, VERDICT_DUPLICATE},
		{VERDICT_UPSTREAM_UNAVAILABLE, 503, SPOOL_STORED, VERDICT_DUPLICATE},
		{VERDICT_UPSTREAM_UNAVAILABLE, 503, SPOOL_FULL, VERDICT_SPOOL_FULL},
		{VERDICT_UPSTREAM_TIMEOUT, 0, SPOOL_FAILED, VERDICT_UPSTREAM_TIMEOUT},
		{VERDICT_UPSTREAM_REJECTED, 413, SPOOL_FAILED, VERDICT_UPSTREAM_REJECTED},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		const char key[] = {(char)('a' + i), '\0'};

		breaker_init(&breaker, &policy_breaker);
		deliver(&first, key, "{}");
		deliver(&second, key, "{}");
		deliver(&third, key, "{}");
		assert_int_equal(fake_relay.count, 1);
		assert_int_equal(second.delivery.phase, DELIVERY_WAITS);
		receiver_says(rows[i].said, rows[i].status);
		if (the_spool.count > 0) {
			assert_int_equal(second.done, 0);
			spool_says(rows[i].spool);
		}
		while (!second.done || !third.done)
			loop_turn(&loop);
		check_ended(&second, rows[i].theirs);
		check_ended(&third, rows[i].theirs);
		assert_int_equal(second.delivery.call.status, rows[i].status);
		assert_int_equal(fake_relay.started, (int)i + 1);
	}
}

/* --- when the time is short --------------------------------------------------------------------*/

static void test_spool_now__at_fake_relay__to_the_spool(void **state)
{
	(void)state;
	deliver(&first, "k", "{}");
	deliver(&second, "k", "{}");
	delivery_spool_now(&second.delivery); /* its first is on its way */
	assert_int_equal(second.delivery.phase, DELIVERY_WAITS);
	delivery_spool_now(&first.delivery);
	assert_int_equal(fake_relay.cancelled, 1);
	delivery_spool_now(&first.delivery);
	assert_int_equal(the_spool.count, 1);
	spool_says(SPOOL_STORED);
	check_ended(&first, VERDICT_SPOOLED);
	while (!second.done)
		loop_turn(&loop);
	check_ended(&second, VERDICT_DUPLICATE);
	delivery_spool_now(&first.delivery);
	assert_int_equal(the_spool.count, 0);

	deliver(&third, NULL, "{}");
	delivery_spool_now(&third.delivery);
	spool_says(SPOOL_FAILED);
	check_ended(&third, VERDICT_UPSTREAM_TIMEOUT);
}

static void test_spool_now__no_spool__the_receiver_may_still_answer(void **state)
{
	(void)state;
	context.spool = NULL;
	deliver(&first, NULL, "{}");
	delivery_spool_now(&first.delivery);
	assert_int_equal(fake_relay.cancelled, 0);
	receiver_says(VERDICT_ACCEPTED, 202);
	check_ended(&first, VERDICT_ACCEPTED);
}

static void test_cancel__the_first__the_others_are_promised_nothing(void **state)
{
	(void)state;
	deliver(&first, "k", "{}");
	deliver(&second, "k", "{}");
	delivery_cancel(&first.delivery);
	assert_int_equal(fake_relay.cancelled, 1);
	while (!second.done)
		loop_turn(&loop);
	check_ended(&second, VERDICT_UPSTREAM_TIMEOUT);
	assert_int_equal(first.done, 0);
	delivery_cancel(&first.delivery);
	assert_int_equal(fake_relay.cancelled, 1);
	/* And the next is a first one, which has no other end than its own. */
	deliver(&third, "k", "{}");
	deliver(&second, "k", "{}");
	delivery_cancel(&first.delivery);
	receiver_says(VERDICT_ACCEPTED, 202);
	check_ended(&third, VERDICT_ACCEPTED);
	while (!second.done)
		loop_turn(&loop);
	check_ended(&second, VERDICT_DUPLICATE);
}

static void test_cancel__one_that_waits__not_told_and_the_others_are(void **state)
{
	(void)state;
	deliver(&first, "k", "{}");
	deliver(&second, "k", "{}");
	deliver(&third, "k", "{}");
	delivery_cancel(&second.delivery);
	receiver_says(VERDICT_ACCEPTED, 202);
	while (!third.done)
		loop_turn(&loop);
	check_ended(&first, VERDICT_ACCEPTED);
	check_ended(&third, VERDICT_DUPLICATE);
	assert_int_equal(second.done, 0);
	assert_int_equal(fake_relay.cancelled, 0);
}

static void test_context_init__no_descriptor_left__false(void **state)
{
	struct delivery_context other = {.dedup = context.dedup};
	struct rlimit before, none;

	(void)state;
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
	none = (struct rlimit){0, before.rlim_max};
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
	assert_false(delivery_context_init(&other, &loop));
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
	delivery_context_release(&other);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_outcome__each_of_the_receiver_and_the_spool__one_verdict),
		TEST(test_relay_overloaded__spool_or_a_word_at_once),
		TEST(test_put__what_replay_needs__is_in_the_record),
		TEST(test_breaker__failures_in_a_row__the_next_goes_straight_to_the_spool),
		TEST(test_breaker__no_spool__neither_asked_nor_told),
		TEST(test_breaker__open__one_a_second_and_the_others_go_to_the_spool),
		TEST(test_breaker__one_beacon_again_and_again__others_are_relayed),
		TEST(test_repeat__after_the_first_has_ended__by_what_was_promised),
		TEST(test_repeat__other_body_or_no_key_to_go_by__relayed),
		TEST(test_repeat__the_first_is_under_way__waits_for_its_end),
		TEST(test_spool_now__at_fake_relay__to_the_spool),
		TEST(test_spool_now__no_spool__the_receiver_may_still_answer),
		TEST(test_cancel__the_first__the_others_are_promised_nothing),
		TEST(test_cancel__one_that_waits__not_told_and_the_others_are),
		TEST(test_context_init__no_descriptor_left__false),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
