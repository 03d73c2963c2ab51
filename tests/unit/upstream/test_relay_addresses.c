/* SPDX-License-Identifier: Apache-2.0 */
/*
 * relay: which of a name's addresses is connected to, and what happens where none answers
 * (relay_stage.h).
 */
#include <errno.h>
#include <poll.h>

#include <arpa/inet.h>
#include <sys/socket.h>

#include "base/metrics.h"
#include "upstream/relay_stage.h"

/* A socket at an own address; where nobody listens on it, connections are refused. */
static int bind_to(const char *address, uint16_t *port)
{
	struct sockaddr_in name = {.sin_family = AF_INET, .sin_port = htons(*port)};
	int fd = socket(AF_INET, SOCK_STREAM, 0);
	socklen_t size = sizeof(name);
	char own[32];
	int yes = 1;

	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes));
	inet_pton(AF_INET, own_addresses(own, sizeof(own), address), &name.sin_addr);
	assert_int_equal(bind(fd, (struct sockaddr *)&name, size), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&name, &size), 0);
	*port = ntohs(name.sin_port);
	return fd;
}

static void test_refused__unavailable_and_a_new_lookup(void **state)
{
	uint16_t port = 0;
	int fd = bind_to("127.0.0.1", &port);

	(void)state;
	point_at(port);
	resolve_to("127.0.0.1");
	make_relay();
	assert_int_equal(call_and_wait()->verdict, VERDICT_UPSTREAM_UNAVAILABLE);
	assert_int_equal(bench->calls[0].status, 0);
	assert_int_equal(bench->resolver.refreshed, 1);
	assert_string_equal(fake_log.event, "upstream_unavailable");
	assert_string_equal(fake_log.upstream_url, bench->url);
	assert_non_null(strstr(fake_log.msg, "faro-ingest --check"));
	close(fd);
}

/* A listener whose backlog is full: what else comes is dropped without a word. */
struct full_listener {
	int fd, fillers[4];
	uint16_t port;
};

static void full_listener_init(struct full_listener *full, const char *address, uint16_t port)
{
	struct sockaddr_in name;
	socklen_t size = sizeof(name);
	size_t i;

	full->port = port;
	full->fd = bind_to(address, &full->port);
	assert_int_equal(listen(full->fd, 0), 0);
	assert_int_equal(getsockname(full->fd, (struct sockaddr *)&name, &size), 0);
	for (i = 0; i < 4; i++) {
		full->fillers[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
		connect(full->fillers[i], (struct sockaddr *)&name, size);
	}
}

static void full_listener_release(struct full_listener *full)
{
	size_t i;

	for (i = 0; i < 4; i++)
		close(full->fillers[i]);
	close(full->fd);
}

static void test_connection__not_made_in_time__unavailable(void **state)
{
	struct full_listener full;

	(void)state;
	full_listener_init(&full, "127.0.0.1", 0);
	bench->config.upstream_connect_timeout_ms = 50;
	point_at(full.port);
	resolve_to("127.0.0.1");
	make_relay();
	assert_int_equal(call_and_wait()->verdict, VERDICT_UPSTREAM_UNAVAILABLE);
	full_listener_release(&full);
}

/* Newer versions of libcurl get to the second address within the first call. */
static void test_two_addresses__the_first_is_silent__next_call_begins_with_another(void **state)
{
	struct full_listener full;

	(void)state;
	full_listener_init(&full, "127.0.0.2", bench->stub.port);
	bench->config.upstream_connect_timeout_ms = 300;
	resolve_to("127.0.0.2,127.0.0.1");
	resolve_next_to("127.0.0.1,127.0.0.2");
	make_relay();
	call_and_wait();
	assert_int_equal(call_and_wait()->verdict, VERDICT_ACCEPTED);
	assert_int_equal(call_and_wait()->verdict, VERDICT_ACCEPTED);
	full_listener_release(&full);
}

/* The system prefers a family that leads nowhere, as where a firewall drops all of IPv6. */
static void test_addresses__the_preferred_are_silent__others_within_the_call(void **state)
{
	static const struct row {
		const char *addresses;
		size_t preferred;
	} rows[] = {
		{"127.0.0.2,127.0.0.1", 1},
		{"127.0.0.2,127.0.0.2,127.0.0.2,127.0.0.1", 3},
		/* One of the others refuses. */
		{"127.0.0.2,127.0.0.3,127.0.0.1", 1},
		/* Of one family, and the only one that is left. */
		{"127.0.0.2,127.0.0.1", 2},
	};
	struct full_listener full;
	size_t i;

	(void)state;
	full_listener_init(&full, "127.0.0.2", bench->stub.port);
	bench->config.upstream_connect_timeout_ms = 500;
	for (i = 0; i < ARRAY_LEN(rows); i++) {
		resolve_to(rows[i].addresses);
		bench->resolver.preferred = rows[i].preferred;
		make_relay();
		assert_int_equal(call_and_wait()->verdict, VERDICT_ACCEPTED);
	}
	full_listener_release(&full);
}

static void test_addresses__all_are_silent__unavailable_in_time(void **state)
{
	struct full_listener full;

	(void)state;
	full_listener_init(&full, "127.0.0.2", bench->stub.port);
	bench->config.upstream_connect_timeout_ms = 100;
	resolve_to("127.0.0.2,127.0.0.2,127.0.0.2");
	make_relay();
	assert_int_equal(call_and_wait()->verdict, VERDICT_UPSTREAM_UNAVAILABLE);
	full_listener_release(&full);
}

static void test_no_address_yet__unavailable_later(void **state)
{
	(void)state;
	bench->resolver = (struct resolver){.error = "Name or service not known"};
	make_relay();
	assert_int_equal(call_and_wait()->verdict, VERDICT_UPSTREAM_UNAVAILABLE);
	assert_int_equal(bench->stub.accepted, 0);
	/* And then one is found. */
	resolve_to("127.0.0.1");
	assert_int_equal(call_and_wait()->verdict, VERDICT_ACCEPTED);
	assert_int_equal(fake_log.recovered, 1);
}

static void test_no_address_yet__done_starts_again__one_a_turn(void **state)
{
	unsigned turns;

	(void)state;
	bench->resolver = (struct resolver){0};
	make_relay();
	bench->calls[1] = (struct relay_call){.done = on_done};
	bench->next = &bench->calls[1];
	assert_int_equal(start(&bench->calls[0]), VERDICT_OK);
	TURN_UNTIL(bench->done == 1);
	turns = bench->turns;
	TURN_UNTIL(bench->done == 2);
	assert_int_equal(bench->turns, turns + 1);
}

static void test_no_address_yet__cancelled__no_done(void **state)
{
	(void)state;
	bench->resolver = (struct resolver){0};
	make_relay();
	assert_int_equal(start(&bench->calls[0]), VERDICT_OK);
	assert_int_equal(start(&bench->calls[1]), VERDICT_OK);
	assert_int_equal(start(&bench->calls[2]), VERDICT_OK);
	relay_cancel(bench->relay, &bench->calls[0]);
	/* The other one is cancelled while the list is walked. */
	bench->victim = &bench->calls[1];
	TURN_UNTIL(bench->done == 1);
	assert_int_equal(bench->calls[1].verdict, VERDICT_COUNT);
	assert_int_equal(budget_used(&bench->inflight), 0);
	/* Some that are cancelled and never told. */
	assert_int_equal(start(&bench->calls[0]), VERDICT_OK);
	relay_cancel(bench->relay, &bench->calls[0]);
	turn();
}

static void test_two_addresses__calls_at_once__spread(void **state)
{
	struct stub other;

	(void)state;
	start_stub(&other, "127.0.0.2", bench->stub.port);
	resolve_to("127.0.0.1,127.0.0.2");
	stub_set_script(&bench->stub, (struct stub_script){.first = STUB_HOLD});
	start(&bench->calls[0]);
	start(&bench->calls[1]);
	start(&bench->calls[2]);
	TURN_UNTIL(bench->done == 1);
	TURN_UNTIL(bench->stub.held == 2);
	assert_int_equal(other.requests, 1);
	stub_let_go(&bench->stub);
	TURN_UNTIL(bench->done == 3);
	stub_stop(&other);
}

static void test_addresses__change_while_a_call_is_in_flight__its_connection_not_kept(void **state)
{
	struct stub other;

	(void)state;
	start_stub(&other, "127.0.0.2", bench->stub.port);
	stub_set_script(&bench->stub, (struct stub_script){.first = STUB_HOLD});
	assert_int_equal(start(&bench->calls[1]), VERDICT_OK);
	TURN_UNTIL(bench->stub.held == 1);
	resolve_to("127.0.0.2");
	call_and_wait();
	stub_let_go(&bench->stub);
	TURN_UNTIL(bench->done == 2);
	call_and_wait();
	assert_int_equal(other.requests, 2);
	assert_int_equal(bench->stub.requests, 1);
	stub_stop(&other);
}

static void test_cancel__while_connecting__no_done(void **state)
{
	struct full_listener full;

	(void)state;
	full_listener_init(&full, "127.0.0.1", 0);
	bench->config.upstream_connect_timeout_ms = 50;
	point_at(full.port);
	make_relay();
	assert_int_equal(start(&bench->calls[0]), VERDICT_OK);
	relay_cancel(bench->relay, &bench->calls[0]);
	idle_turns();
	assert_int_equal(bench->done, 0);
	full_listener_release(&full);
}

static void test_two_addresses__the_first_refuses__the_second_is_used(void **state)
{
	static const char *const addresses[] = {
		"127.0.0.2,127.0.0.1",
		"::1,127.0.0.1",
		"127.0.0.2,::1,127.0.0.3,127.0.0.1",
	};
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(addresses); i++) {
		resolve_to(addresses[i]);
		make_relay();
		assert_int_equal(call_and_wait()->verdict, VERDICT_ACCEPTED);
		/* The connection is watched as any other. */
		assert_int_equal(call_and_wait()->verdict, VERDICT_ACCEPTED);
	}
	assert_int_equal(bench->stub.accepted, 3);
}

static void test_addresses__change__calls_move(void **state)
{
	struct stub other;
	struct loop_watch watch;

	(void)state;
	start_stub(&other, "127.0.0.2", bench->stub.port);
	watch_stub(&other, &watch);
	call_and_wait();
	call_and_wait();
	assert_int_equal(bench->stub.accepted, 1);
	resolve_to("127.0.0.2");
	/* The old receiver is alive and its connection is kept; within two seconds it is given up.
	 */
	while (other.requests == 0)
		assert_int_equal(call_and_wait()->verdict, VERDICT_ACCEPTED);
	loop_watch_set(&bench->loop, &watch, 0);
	stub_stop(&other);
}

static void test_addresses__change_while_a_call_is_in_flight__both_end_well(void **state)
{
	struct stub other;

	(void)state;
	start_stub(&other, "127.0.0.2", bench->stub.port);
	stub_set_script(&bench->stub, (struct stub_script){.first = STUB_HOLD});
	assert_int_equal(start(&bench->calls[1]), VERDICT_OK);
	TURN_UNTIL(bench->stub.held == 1);
	resolve_to("127.0.0.2");
	assert_int_equal(call_and_wait()->verdict, VERDICT_ACCEPTED);
	assert_int_equal(other.requests, 1);
	stub_let_go(&bench->stub);
	TURN_UNTIL(bench->done == 2);
	assert_int_equal(bench->calls[1].verdict, VERDICT_ACCEPTED);
	stub_stop(&other);
}

/* A call that is cancelled before libcurl began with it has named addresses that then go. */
static void test_addresses__named_by_a_cancelled_call__not_missed(void **state)
{
	struct stub other;

	(void)state;
	assert_int_equal(start(&bench->calls[1]), VERDICT_OK);
	relay_cancel(bench->relay, &bench->calls[1]);
	start_stub(&other, "127.0.0.2", bench->stub.port);
	resolve_to("127.0.0.2");
	assert_int_equal(call_and_wait()->verdict, VERDICT_ACCEPTED);
	assert_int_equal(other.requests, 1);
	stub_stop(&other);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	static const struct CMUnitTest tests[] = {
		TEST(test_refused__unavailable_and_a_new_lookup),
		TEST(test_connection__not_made_in_time__unavailable),
		TEST(test_no_address_yet__unavailable_later),
		TEST(test_no_address_yet__done_starts_again__one_a_turn),
		TEST(test_no_address_yet__cancelled__no_done),
		TEST(test_two_addresses__the_first_refuses__the_second_is_used),
		TEST(test_two_addresses__the_first_is_silent__next_call_begins_with_another),
		TEST(test_addresses__change__calls_move),
		TEST(test_addresses__change_while_a_call_is_in_flight__both_end_well),
		TEST(test_addresses__named_by_a_cancelled_call__not_missed),
	};
	static const struct CMUnitTest own_tests[] = {
		TEST(test_two_addresses__calls_at_once__spread),
		TEST(test_addresses__the_preferred_are_silent__others_within_the_call),
		TEST(test_addresses__all_are_silent__unavailable_in_time),
		TEST(test_addresses__change_while_a_call_is_in_flight__its_connection_not_kept),
		TEST(test_cancel__while_connecting__no_done),
	};
	int failed;

	/* A driver that hangs has failed. */
	alarm(240);
	failed = cmocka_run_group_tests_name("engine_http", tests, NULL, NULL);
	failed += cmocka_run_group_tests_name("engine_http alone", own_tests, NULL, NULL);
	through_libcurl = true;
	return failed + cmocka_run_group_tests_name("engine_curl", tests, NULL, NULL);
}
