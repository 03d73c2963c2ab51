/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The relay while its process stands still: what the upstream says meanwhile counts, it loses no
 * time by it, and what comes of it is not its fault.
 *
 * --wrap=clock_gettime: fakes/clock. libcurl itself has the system's clock, which goes on as usual.
 */
#include <poll.h>
#include <sys/eventfd.h>

#include "base/metrics.h"
#include "fakes/clock.h"
#include "upstream/relay_stage.h"

#define MINUTE_US INT64_C(60000000)
#define STEP_US   INT64_C(200000)

static void hold_a_call(void)
{
	stub_set_script(&bench->stub,
			(struct stub_script){
				.first = STUB_HOLD,
				.answer = "HTTP/1.1 202 X\r\nContent-Length: 0\r\n\r\n",
			});
	assert_int_equal(start(&bench->calls[0]), VERDICT_OK);
	TURN_UNTIL(bench->stub.held == 1);
}

static void test_answer__came_meanwhile__counts(void **state)
{
	(void)state;
	hold_a_call();
	stub_let_go(&bench->stub);
	await_bytes();
	fake_clock.ahead_us += MINUTE_US;
	TURN_UNTIL(bench->done == 1);
	assert_int_equal(bench->calls[0].verdict, VERDICT_ACCEPTED);
	assert_null(fake_log.event);
}

static void test_answer__comes_after_it__is_waited_for(void **state)
{
	(void)state;
	hold_a_call();
	fake_clock.ahead_us += MINUTE_US;
	idle_turns();
	assert_int_equal(bench->done, 0);
	stub_let_go(&bench->stub);
	TURN_UNTIL(bench->done == 1);
	assert_int_equal(bench->calls[0].verdict, VERDICT_ACCEPTED);
}

/* It was listened to for all of its time. */
static void test_silence__after_it__is_the_upstream_s(void **state)
{
	(void)state;
	bench->config.upstream_timeout_ms = 300;
	make_relay();
	hold_a_call();
	fake_clock.ahead_us += MINUTE_US;
	TURN_UNTIL(bench->done == 1);
	assert_int_equal(bench->calls[0].verdict, VERDICT_UPSTREAM_TIMEOUT);
	assert_string_equal(fake_log.event, "upstream_timeout");
}

static void test_connection__closed_meanwhile__is_our_doing(void **state)
{
	int64_t unanswered = metrics_get(METRIC_UPSTREAM_UNANSWERED);
	int64_t failed = metrics_get(METRIC_UPSTREAM_UNAVAILABLE);
	const struct relay_call *call = &bench->calls[0];

	(void)state;
	hold_a_call();
	stub_close_connections(&bench->stub);
	while (bench->stub.open > 0)
		poll(NULL, 0, 1);
	fake_clock.ahead_us += MINUTE_US;
	TURN_UNTIL(bench->done == 1);
	assert_int_equal(call->verdict, VERDICT_STALLED);
	assert_int_equal(call->status, 0);
	assert_true(call->sent);
	assert_null(fake_log.event);
	assert_int_equal(metrics_get(METRIC_UPSTREAM_UNANSWERED), unanswered + 1);
	assert_int_equal(metrics_get(METRIC_UPSTREAM_UNAVAILABLE), failed);
	/* The next one is the upstream's own. */
	stub_set_script(&bench->stub, (struct stub_script){.first = STUB_CLOSE});
	assert_int_equal(call_and_wait()->verdict, VERDICT_UPSTREAM_UNAVAILABLE);
}

/* --- an answer that no event has told of -------------------------------------------------------*/

static void let_go_and_await(struct loop_watch *watch, uint32_t events)
{
	(void)events;
	loop_watch_set(&bench->loop, watch, 0);
	stub_let_go(&bench->stub);
	await_bytes();
}

static void on_pump(struct loop_timer *timer)
{
	(void)timer;
}

/* Less than what is taken for a time in which the process stands still; no turn waits. */
static void pass_step(struct loop_timer *pump)
{
	fake_clock.ahead_us += STEP_US;
	pump->due_us = 0;
	turn();
}

/* In the turn in which its time is over, after the loop has looked for events. */
static void test_answer__there_when_its_time_is_over__counts(void **state)
{
	struct loop_watch other = {.fd = eventfd(1, EFD_NONBLOCK | EFD_CLOEXEC),
				   .ready = let_go_and_await};
	struct loop_timer pump = {.fire = on_pump};

	(void)state;
	bench->config.upstream_timeout_ms = 10 * STEP_US / 1000;
	make_relay();
	loop_timer_add(&bench->loop, &pump);
	hold_a_call();
	for (int i = 0; i < 9; i++)
		pass_step(&pump);
	assert_int_equal(bench->done, 0);
	assert_true(loop_watch_set(&bench->loop, &other, EPOLLIN));
	pass_step(&pump);
	assert_int_equal(bench->done, 1);
	assert_int_equal(bench->calls[0].verdict, VERDICT_ACCEPTED);
	close(other.fd);
}

static int tear_down_and_reset_clock(void **state)
{
	fake_clock.ahead_us = 0;
	return tear_down(state);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down_and_reset_clock)

int main(void)
{
	static const struct CMUnitTest tests[] = {
		TEST(test_answer__came_meanwhile__counts),
		TEST(test_answer__comes_after_it__is_waited_for),
		TEST(test_silence__after_it__is_the_upstream_s),
		TEST(test_connection__closed_meanwhile__is_our_doing),
		TEST(test_answer__there_when_its_time_is_over__counts),
	};
	int failed;

	/* A driver that hangs has failed. */
	alarm(240);
	failed = cmocka_run_group_tests_name("engine_http", tests, NULL, NULL);
	through_libcurl = true;
	return failed + cmocka_run_group_tests_name("engine_curl", tests, NULL, NULL);
}
