/* SPDX-License-Identifier: Apache-2.0 */
/*
 * relay: which connection is used again, and what comes on it that answers nothing (relay_stage.h).
 * --wrap=epoll_ctl, clock_gettime, malloc, calloc and free: fakes/; --wrap=sendmsg: below.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdlib.h>

#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include "base/metrics.h"
#include "fakes/allocations.h"
#include "fakes/clock.h"
#include "fakes/epoll.h"
#include "upstream/relay_stage.h"

#define SECOND_US INT64_C(1000000)

ssize_t __real_sendmsg(int fd, const struct msghdr *message, int flags);
ssize_t __wrap_sendmsg(int fd, const struct msghdr *message, int flags);
static bool no_room;          /* in any socket */
static int write_error;       /* of the next write; 0: none */
static int write_errors_left; /* and of so many more */

ssize_t __wrap_sendmsg(int fd, const struct msghdr *message, int flags)
{
	if (write_error) {
		errno = write_error;
		if (write_errors_left-- <= 0)
			write_error = 0;
		return -1;
	}
	if (!no_room)
		return __real_sendmsg(fd, message, flags);
	errno = EAGAIN;
	return -1;
}

static void test_kept_connection__hundred_calls__no_epoll_ctl(void **state)
{
	unsigned before, i;

	(void)state;
	call_and_wait();
	before = fake_epoll.calls;
	for (i = 0; i < 100; i++)
		assert_int_equal(call_and_wait()->verdict, VERDICT_ACCEPTED);
	assert_int_equal(fake_epoll.calls, before);
	assert_int_equal(bench->stub.accepted, 1);
}

static void test_idle_connection__closed_by_the_peer__loop_rests(void **state)
{
	int64_t resends = metrics_get(METRIC_UPSTREAM_RESENDS);

	(void)state;
	call_and_wait();
	stub_close_connections(&bench->stub);
	TURN_UNTIL(bench->stub.open == 0);
	assert_true(idle_turns() < 10);
	assert_int_equal(call_and_wait()->verdict, VERDICT_ACCEPTED);
	assert_int_equal(bench->stub.accepted, 2);
	assert_int_equal(metrics_get(METRIC_UPSTREAM_RESENDS), resends);
}

static void test_idle_connection__stray_answer__not_taken_for_the_next(void **state)
{
	(void)state;
	call_and_wait();
	stub_send_stray(&bench->stub, "HTTP/1.1 202 X\r\nContent-Length: 0\r\n\r\n");
	TURN_UNTIL(bench->stub.open == 0);
	assert_true(idle_turns() < 10);
	/* What came before the request is no answer to it. */
	answer_with("HTTP/1.1 429 X\r\nContent-Length: 0\r\n\r\n");
	assert_int_equal(call_and_wait()->status, 429);
	assert_int_equal(bench->stub.accepted, 2);
}

/* A kept connection of which the receiver reads no more has no room for the next request. */
static void test_kept_connection__answer_before_the_request_is_written__not_taken(void **state)
{
	(void)state;
	call_and_wait();
	no_room = true;
	assert_int_equal(start(&bench->calls[0]), VERDICT_OK);
	stub_send_stray(&bench->stub, "HTTP/1.1 202 X\r\nContent-Length: 0\r\n\r\n");
	TURN_UNTIL(bench->stub.accepted == 2 || bench->done == 2);
	answer_with("HTTP/1.1 429 X\r\nContent-Length: 0\r\n\r\n");
	no_room = false;
	TURN_UNTIL(bench->done == 2);
	assert_int_equal(bench->calls[0].status, 429);
	assert_int_equal(bench->stub.accepted, 2);
}

static void test_kept_connection__answer_and_room_at_once__not_taken(void **state)
{
	(void)state;
	call_and_wait();
	no_room = true;
	assert_int_equal(start(&bench->calls[0]), VERDICT_OK);
	stub_send_stray(&bench->stub, "HTTP/1.1 202 X\r\nContent-Length: 0\r\n\r\n");
	await_bytes();
	answer_with("HTTP/1.1 429 X\r\nContent-Length: 0\r\n\r\n");
	no_room = false;
	TURN_UNTIL(bench->done == 2);
	assert_int_equal(bench->calls[0].status, 429);
	assert_int_equal(bench->stub.accepted, 2);
}

/* It came while the loop was at work, so that no event has told of it. */
static void test_kept_connection__stray_answer_unread__not_taken_for_the_next(void **state)
{
	(void)state;
	call_and_wait();
	stub_send_stray(&bench->stub, "HTTP/1.1 202 X\r\nContent-Length: 0\r\n\r\n");
	await_bytes();
	answer_with("HTTP/1.1 429 X\r\nContent-Length: 0\r\n\r\n");
	assert_int_equal(call_and_wait()->status, 429);
	assert_int_equal(bench->stub.accepted, 2);
}

/* The kernel refuses, and epoll has nothing to say about it. */
static void test_kept_connection__cannot_be_written__another_is_used(void **state)
{
	(void)state;
	assert_int_equal(call_and_wait()->verdict, VERDICT_ACCEPTED);
	write_error = ENOBUFS;
	assert_int_equal(call_and_wait()->verdict, VERDICT_ACCEPTED);
	assert_int_equal(bench->stub.accepted, 2);
}

static void test_new_connection__cannot_be_written__unavailable_without_a_spin(void **state)
{
	(void)state;
	write_error = ENOBUFS;
	write_errors_left = INT_MAX;
	assert_int_equal(call_and_wait()->verdict, VERDICT_UPSTREAM_UNAVAILABLE);
	assert_true(bench->turns < 20);
	write_error = 0;
}

static void test_transfers__not_needed_for_a_moment__freed(void **state)
{
	long kept;

	(void)state;
	for (size_t i = 0; i < CALLS; i++)
		assert_int_equal(start(&bench->calls[i]), VERDICT_OK);
	TURN_UNTIL(bench->done == CALLS);
	kept = live;
	fake_clock.ahead_us += SECOND_US;
	turn();
	/* Each was one allocation, and with libcurl more. */
	assert_true(live <= kept - CALLS);
	/* And the next call has what it needs. */
	assert_int_equal(call_and_wait()->verdict, VERDICT_ACCEPTED);
}

/* In one turn of the loop a call starts on an idle connection, and then the connection's own event
 * comes, of something that was there before the request. */

static struct loop_watch starter;

static void on_start(struct loop_watch *watch, uint32_t events)
{
	(void)events;
	loop_watch_set(&bench->loop, watch, 0);
	assert_int_equal(start(&bench->calls[0]), VERDICT_OK);
}

static void wait_for_stub(void)
{
	struct pollfd fd = {bench->stub.event, POLLIN, 0};

	assert_int_equal(poll(&fd, 1, GUARD_US / 1000), 1);
}

static void check_start_before_event(bool stray)
{
	uint64_t one = 1;

	call_and_wait();
	/* Else epoll still has the connection in front of what becomes ready first. */
	idle_turns();
	on_stub_event(&bench->stub_watch, 0);
	starter = (struct loop_watch){.fd = eventfd(0, EFD_CLOEXEC), .ready = on_start};
	assert_true(loop_watch_set(&bench->loop, &starter, EPOLLIN));
	assert_int_equal(write(starter.fd, &one, sizeof(one)), sizeof(one));
	if (stray)
		stub_send_stray(&bench->stub, "HTTP/1.1 429 X\r\nContent-Length: 0\r\n\r\n");
	else
		stub_close_connections(&bench->stub);
	wait_for_stub();
	stub_set_script(&bench->stub, (struct stub_script){0});
	TURN_UNTIL(bench->done == 2);
	assert_int_equal(bench->calls[0].status, 202);
	assert_int_equal(bench->stub.accepted, 2);
	close(starter.fd);
}

static void test_idle_connection__stray_answer_in_the_turn_of_a_start__not_taken(void **state)
{
	(void)state;
	check_start_before_event(true);
}

static void test_idle_connection__closed_in_the_turn_of_a_start__another_is_used(void **state)
{
	(void)state;
	check_start_before_event(false);
}

static void check_not_used_again(const char *answer)
{
	unsigned accepted = bench->stub.accepted;

	stub_set_script(&bench->stub, (struct stub_script){.answer = answer});
	assert_int_equal(call_and_wait()->verdict, VERDICT_ACCEPTED);
	assert_int_equal(call_and_wait()->verdict, VERDICT_ACCEPTED);
	assert_int_equal(bench->stub.accepted, accepted + 2);
}

/* As much as is read at once, and more behind it. */
static void test_connection__answer_that_fills_the_buffer__not_used_again(void **state)
{
	static const char head[] = "HTTP/1.1 202 X\r\nContent-Length: 16343\r\n\r\n",
			  stray[] = "HTTP/1.1 202 X\r\nContent-Length: 0\r\n\r\n";
	static char answer[16384 + sizeof(stray)];

	(void)state;
	memset(answer, 'x', sizeof(answer));
	memcpy(answer, head, strlen(head));
	assert_int_equal(strlen(head) + 16343, 16384);
	memcpy(answer + 16384, stray, sizeof(stray));
	check_not_used_again(answer);
}

static void test_connection__not_to_be_used_again__is_not(void **state)
{
	(void)state;
	check_not_used_again("HTTP/1.1 202 X\r\nConnection: close\r\nContent-Length: 0\r\n\r\n");
	make_relay();
	check_not_used_again("HTTP/1.0 202 X\r\nContent-Length: 0\r\n\r\n");
}

static void test_descriptors__exhausted__unavailable_without_a_spin(void **state)
{
	struct rlimit before, none_left;
	int next = dup(0);

	(void)state;
	close(next);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
	none_left = (struct rlimit){(rlim_t)next, before.rlim_max};
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &none_left), 0);
	assert_int_equal(call_and_wait()->verdict, VERDICT_UPSTREAM_UNAVAILABLE);
	assert_false(bench->calls[0].sent);
	assert_true(idle_turns() < 10);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
	assert_int_equal(call_and_wait()->verdict, VERDICT_ACCEPTED);
}

static void test_idle_connection__for_thirty_seconds__closed(void **state)
{
	(void)state;
	call_and_wait();
	fake_clock.ahead_us += 29 * SECOND_US;
	call_and_wait();
	assert_int_equal(bench->stub.accepted, 1);
	fake_clock.ahead_us += 29 * SECOND_US;
	idle_turns();
	assert_int_equal(bench->stub.open, 1);
	fake_clock.ahead_us += 2 * SECOND_US;
	TURN_UNTIL(bench->stub.open == 0);
	assert_true(idle_turns() < 10);
}

static void test_idle_connections__the_last_used_is_next__others_age(void **state)
{
	(void)state;
	stub_set_script(&bench->stub, (struct stub_script){.first = STUB_HOLD});
	start(&bench->calls[0]);
	start(&bench->calls[1]);
	TURN_UNTIL(bench->stub.held == 2);
	stub_let_go(&bench->stub);
	TURN_UNTIL(bench->done == 2);
	fake_clock.ahead_us += 20 * SECOND_US;
	idle_turns();
	call_and_wait();
	call_and_wait();
	fake_clock.ahead_us += 15 * SECOND_US;
	TURN_UNTIL(bench->stub.open == 1);
	call_and_wait();
	assert_int_equal(bench->stub.accepted, 2);
}

static void test_busy_connection__a_minute_old__replaced(void **state)
{
	(void)state;
	call_and_wait();
	for (; fake_clock.ahead_us < 59 * SECOND_US; fake_clock.ahead_us += 10 * SECOND_US)
		call_and_wait();
	assert_int_equal(bench->stub.accepted, 1);
	idle_turns();
	call_and_wait();
	assert_int_equal(bench->stub.accepted, 2);
	TURN_UNTIL(bench->stub.open == 1);
}

/* libcurl throws away what came along with an answer, and keeps the connection. */
static void test_connection__two_answers_at_once__not_used_again(void **state)
{
	(void)state;
	check_not_used_again("HTTP/1.1 202 X\r\nContent-Length: 0\r\n\r\n"
			     "HTTP/1.1 429 X\r\nContent-Length: 0\r\n\r\n");
	make_relay();
	check_not_used_again("HTTP/1.1 204 X\r\n\r\nbody");
}

/* More than are called at once are not kept. */
static void test_idle_connections__above_the_limit__closed(void **state)
{
	(void)state;
	bench->config.upstream_max_inflight = 2;
	make_relay();
	stub_set_script(&bench->stub, (struct stub_script){.first = STUB_HOLD});
	start(&bench->calls[0]);
	start(&bench->calls[1]);
	start(&bench->calls[2]);
	TURN_UNTIL(bench->stub.held == 3);
	stub_let_go(&bench->stub);
	TURN_UNTIL(bench->done == 3);
	TURN_UNTIL(bench->stub.open == 2);
}

static void test_reused_connection__dies_unanswered__sent_again_and_counted(void **state)
{
	static const enum stub_action deaths[] = {STUB_CLOSE, STUB_RESET};
	size_t i;

	(void)state;
	for (i = 0; i < 2; i++) {
		int64_t before = metrics_get(METRIC_UPSTREAM_RESENDS);
		unsigned requests = bench->stub.requests;

		make_relay();
		stub_set_script(&bench->stub, (struct stub_script){.later = deaths[i]});
		assert_int_equal(call_and_wait()->verdict, VERDICT_ACCEPTED);
		assert_int_equal(metrics_get(METRIC_UPSTREAM_RESENDS), before);
		assert_int_equal(call_and_wait()->verdict, VERDICT_ACCEPTED);
		assert_int_equal(metrics_get(METRIC_UPSTREAM_RESENDS), before + 1);
		assert_int_equal(bench->stub.requests, requests + 3);
	}
}

/* The receiver closes what was idle, and the next request crosses its word about that. */
static void test_reused_connection__says_408__sent_again_on_a_new_one(void **state)
{
	(void)state;
	assert_int_equal(call_and_wait()->verdict, VERDICT_ACCEPTED);
	stub_set_script(&bench->stub,
			(struct stub_script){.first = STUB_HOLD,
					     .later = STUB_ANSWER_AND_CLOSE,
					     .answer = "HTTP/1.1 408 X\r\nContent-Length: 0\r\n"
						       "Connection: close\r\n\r\n"});
	start(&bench->calls[0]);
	TURN_UNTIL(bench->stub.held == 1);
	answer_with("HTTP/1.1 202 X\r\nContent-Length: 0\r\n\r\n");
	stub_let_go(&bench->stub);
	TURN_UNTIL(bench->done == 2);
	assert_int_equal(bench->calls[0].status, 202);
	assert_int_equal(bench->stub.requests, 3);
}

static void test_new_connection__says_408__that_is_the_answer(void **state)
{
	(void)state;
	answer_with("HTTP/1.1 408 X\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
	assert_int_equal(call_and_wait()->status, 408);
	assert_int_equal(bench->stub.requests, 1);
}

static void test_new_connection__dies_unanswered__not_sent_again(void **state)
{
	(void)state;
	stub_set_script(&bench->stub, (struct stub_script){.first = STUB_CLOSE});
	assert_int_equal(call_and_wait()->verdict, VERDICT_UPSTREAM_UNAVAILABLE);
	assert_int_equal(bench->stub.requests, 1);
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
		TEST(test_kept_connection__hundred_calls__no_epoll_ctl),
		TEST(test_idle_connection__closed_by_the_peer__loop_rests),
		TEST(test_idle_connection__stray_answer__not_taken_for_the_next),
		TEST(test_idle_connection__stray_answer_in_the_turn_of_a_start__not_taken),
		TEST(test_idle_connection__closed_in_the_turn_of_a_start__another_is_used),
		TEST(test_connection__answer_that_fills_the_buffer__not_used_again),
		TEST(test_transfers__not_needed_for_a_moment__freed),
		TEST(test_connection__not_to_be_used_again__is_not),
		TEST(test_descriptors__exhausted__unavailable_without_a_spin),
		TEST(test_reused_connection__dies_unanswered__sent_again_and_counted),
		TEST(test_new_connection__dies_unanswered__not_sent_again),
	};
	static const struct CMUnitTest own_tests[] = {
		TEST(test_idle_connection__for_thirty_seconds__closed),
		TEST(test_idle_connections__the_last_used_is_next__others_age),
		TEST(test_kept_connection__answer_before_the_request_is_written__not_taken),
		TEST(test_kept_connection__cannot_be_written__another_is_used),
		TEST(test_new_connection__cannot_be_written__unavailable_without_a_spin),
		TEST(test_kept_connection__answer_and_room_at_once__not_taken),
		TEST(test_kept_connection__stray_answer_unread__not_taken_for_the_next),
		TEST(test_busy_connection__a_minute_old__replaced),
		TEST(test_reused_connection__says_408__sent_again_on_a_new_one),
		TEST(test_new_connection__says_408__that_is_the_answer),
		TEST(test_connection__two_answers_at_once__not_used_again),
		TEST(test_idle_connections__above_the_limit__closed),
	};
	int failed;

	/* A driver that hangs has failed. */
	alarm(240);
	failed = cmocka_run_group_tests_name("engine_http", tests, NULL, NULL);
	failed += cmocka_run_group_tests_name("engine_http alone", own_tests, NULL, NULL);
	through_libcurl = true;
	return failed + cmocka_run_group_tests_name("engine_curl", tests, NULL, NULL);
}
