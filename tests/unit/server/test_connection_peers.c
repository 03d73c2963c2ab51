/* SPDX-License-Identifier: Apache-2.0 */
/* connection: peers that are slow, hang up, or do not read their replies (connection_stage.h). */
#include <sys/socket.h>

#include "server/connection_stage.h"

/* --- peers that are slow -----------------------------------------------------------------------*/

/* A byte now and then does not give more time. */
static void test_slow_to_send__ended_after_its_time(void **state)
{
	static const struct {
		size_t bytes; /* that come */
		const char *answer;
	} rows[] = {
		{1, "end"},                          /* of the first record's header */
		{16 + 8 + 10, "end"},                /* in the parameters */
		{16 + 28 + 8 + 8 + 3, "broken;end"}, /* in the body */
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		size_t peer = connect_peer();

		fake_log.event = NULL;
		put_request("0123456789", FCGI_KEEP_CONN);
		wire_len = rows[i].bytes;
		send_wire(peer);
		for (int s = 1; s < PEER_MAX_S; s++) {
			pass(SECOND_US);
			wire[0] = wire[rows[i].bytes + (size_t)s - 1];
			wire_len = 1;
			send_wire(peer);
		}
		pass(SECOND_US - 1);
		EXPECT(peer, "");
		assert_null(fake_log.event);
		pass(1);
		EXPECT(peer, rows[i].answer);
		assert_string_equal(fake_log.event, "peer_too_slow");
		assert_int_equal(all.count, 0);
	}
}

static void test_slow__each_from_its_own_first_byte(void **state)
{
	size_t first = connect_peer(), second = connect_peer();

	(void)state;
	put_head(FCGI_KEEP_CONN);
	send_wire(first);
	pass(2 * SECOND_US);
	put_head(FCGI_KEEP_CONN);
	send_wire(second);
	pass(3 * SECOND_US);
	EXPECT(first, "broken;end");
	EXPECT(second, "");
	pass(2 * SECOND_US - 1);
	EXPECT(second, "");
	pass(1);
	EXPECT(second, "broken;end");
}

/* A crowd that is slow does not make the loop look for every one of them. */
static void test_slow__due_shortly_after_another__looked_at_in_steps(void **state)
{
	size_t first = connect_peer(), second = connect_peer();

	(void)state;
	put_head(FCGI_KEEP_CONN);
	send_wire(first);
	pass(1);
	put_head(FCGI_KEEP_CONN);
	send_wire(second);
	pass(PEER_MAX_S * SECOND_US - 1);
	EXPECT(first, "broken;end");
	pass(DUE_STEP_US - 1);
	EXPECT(second, "");
	pass(1);
	EXPECT(second, "broken;end");
}

/* Nor has a request that waits for the receiver, whose time is the delivery's. */
static void test_idle__has_no_end(void **state)
{
	size_t kept = connect_peer(), waiting = connect_peer(), fresh = connect_peer();

	(void)state;
	send_request(kept, "a");
	send_request(waiting, "relay");
	EXPECT(kept, "re:a;");
	pass(3600LL * SECOND_US);
	assert_null(fake_log.event);
	end_delivery(0);
	EXPECT(waiting, "done:relay;");
	send_request(kept, "b");
	EXPECT(kept, "re:b;");
	send_request(fresh, "c");
	EXPECT(fresh, "re:c;");
}

static void test_slow_to_take__ended_after_its_time(void **state)
{
	size_t peer = connect_peer(), used;

	(void)state;
	send_request(peer, "a");
	EXPECT(peer, "re:a;");
	used = budget_used(&memory);
	send_request(peer, "big");
	assert_true(budget_used(&memory) > used + BIG_BYTES / 2);
	pass(PEER_MAX_S * SECOND_US - 1);
	assert_int_equal(all.count, 1);
	assert_null(fake_log.event);
	pass(1);
	assert_int_equal(all.count, 0);
	assert_string_equal(fake_log.event, "peer_too_slow");
	assert_true(budget_used(&memory) <= used);
	EXPECT(peer, "cutend");
}

static void test_large_answer__taken_in_time__is_whole(void **state)
{
	size_t peer = connect_peer();

	(void)state;
	send_request(peer, "big");
	/* Not read while the answer is under way. */
	send_request(peer, "b");
	assert_int_equal(fake.begun, 1);
	pass(PEER_MAX_S * SECOND_US - 1);
	EXPECT(peer, "1000000 bytes;re:b;");
	pass(3600LL * SECOND_US);
	assert_null(fake_log.event);
	EXPECT(peer, "");
}

/* --- a process that stands still ---------------------------------------------------------------*/

/* All but `kept` bytes of a request, whose rest stays in the wire. */
static size_t send_a_part(size_t kept)
{
	size_t peer = connect_peer(), whole;

	put_request("0123456789", FCGI_KEEP_CONN);
	whole = wire_len;
	wire_len -= kept;
	send_wire(peer);
	memmove(wire, wire + whole - kept, kept);
	wire_len = kept;
	return peer;
}

static void test_stall__the_rest_has_come__is_read_before_its_time_is_judged(void **state)
{
	size_t peer = send_a_part(12);

	(void)state;
	assert_int_equal(send(peers[peer], wire, wire_len, MSG_NOSIGNAL), wire_len);
	wire_len = 0;
	stand_still(60LL * SECOND_US);
	EXPECT(peer, "re:0123456789;");
	assert_null(fake_log.event);
}

static void test_stall__the_rest_comes_later__has_its_whole_time(void **state)
{
	size_t peer = send_a_part(12);

	(void)state;
	pass(2 * SECOND_US);
	stand_still(60LL * SECOND_US);
	pass((PEER_MAX_S - 2) * SECOND_US - SECOND_US / 4 - 1);
	EXPECT(peer, "");
	send_wire(peer);
	EXPECT(peer, "re:0123456789;");
	assert_null(fake_log.event);
}

/* Nobody else is blamed: neither the browser, by the reply, nor the web server, by the log. */
static void test_stall__the_rest_does_not_come__is_our_doing(void **state)
{
	size_t peer = send_a_part(12), head = connect_peer();

	(void)state;
	wire_len = 0;
	put_head(FCGI_KEEP_CONN);
	wire_len = 20;
	send_wire(head);
	stand_still(60LL * SECOND_US);
	pass(PEER_MAX_S * SECOND_US);
	EXPECT(peer, "stalled;end");
	EXPECT(head, "end"); /* nobody knows yet what it asks for */
	assert_null(fake_log.event);
	assert_int_equal(all.count, 0);
}

static void test_stall__peer_gives_up_meanwhile__is_our_doing(void **state)
{
	size_t peer = send_a_part(12), other;

	(void)state;
	wire_len = 0;
	shutdown(peers[peer], SHUT_WR);
	stand_still(60LL * SECOND_US);
	EXPECT(peer, "stalled;end");
	/* Also where nothing had been read of it before. */
	other = connect_peer();
	put_request("0123456789", FCGI_KEEP_CONN);
	assert_int_equal(send(peers[other], wire, wire_len - 12, MSG_NOSIGNAL), wire_len - 12);
	wire_len = 0;
	shutdown(peers[other], SHUT_WR);
	stand_still(60LL * SECOND_US);
	EXPECT(other, "stalled;end");
	/* And not for ever after. */
	peer = send_a_part(12);
	wire_len = 0;
	shutdown(peers[peer], SHUT_WR);
	EXPECT(peer, "broken;end");
}

static void test_stall__peer_that_takes_its_reply__has_its_whole_time(void **state)
{
	size_t peer = connect_peer();

	(void)state;
	send_request(peer, "big");
	stand_still(60LL * SECOND_US);
	pass((PEER_MAX_S - 1) * SECOND_US);
	EXPECT(peer, "1000000 bytes;");
	assert_null(fake_log.event);
}

/* --- peers that hang up ------------------------------------------------------------------------*/

static void test_hang_up__while_waiting__relayed_all_the_same(void **state)
{
	size_t peer = connect_peer(), early = connect_peer();

	(void)state;
	send_request(peer, "relay a");
	put_request("relay b", FCGI_KEEP_CONN);
	put_request("c", FCGI_KEEP_CONN);
	send_wire(early);
	hang_up(peer);
	hang_up(early);
	pass(PEER_MAX_S * SECOND_US);
	assert_int_equal(fake_delivery.cancelled, 0);
	assert_int_equal(fake_delivery.held_count, 2);
	end_delivery(0);
	end_delivery(0);
	turn_until_idle();
	assert_int_equal(fake.ended, 2);
	assert_int_equal(all.count, 0);
}

static void test_hang_up__in_a_body__answered_for_what_it_is(void **state)
{
	size_t cut = connect_peer(), shut = connect_peer(), idle = connect_peer();

	(void)state;
	put_head(FCGI_KEEP_CONN);
	put_body(VIEW_LITERAL("relay a"));
	send_wire(shut);
	EXPECT(shut, "");
	shutdown(peers[shut], SHUT_WR);
	EXPECT(shut, "broken;end");
	put_head(FCGI_KEEP_CONN);
	put_body(VIEW_LITERAL("relay a"));
	send_wire(cut);
	hang_up(cut);
	hang_up(idle);
	assert_int_equal(fake.begun, 2);
	assert_int_equal(fake.ended, 2);
	assert_int_equal(fake_delivery.held_count, 0);
	assert_int_equal(all.count, 0);
}

static void test_hang_up__with_an_answer_unread__ends(void **state)
{
	size_t peer = connect_peer();

	(void)state;
	send_request(peer, "big");
	assert_int_equal(all.count, 1);
	hang_up(peer);
	assert_int_equal(all.count, 0);
}

/* --- answers to questions that are not taken while a request waits -----------------------------*/

/* As many answers as a socket holds are not taken, and one more is not sent; the request behind it
 * waits for the receiver all the same. */
static size_t connect_full(void)
{
	size_t trial = connect_peer(), peer = connect_peer(), used, fit = 0;
	size_t waiting = fake_delivery.held_count;

	send_request(trial, "a");
	for (used = budget_used(&memory); budget_used(&memory) == used; fit++)
		send_request(trial, "a");
	hang_up(trial);
	while (fit-- > 0)
		send_request(peer, "a");
	assert_int_equal(budget_used(&memory), used);
	put_question();
	put_request("relay", FCGI_KEEP_CONN);
	send_wire(peer);
	assert_true(budget_used(&memory) > used);
	assert_int_equal(fake_delivery.held_count, waiting + 1);
	return peer;
}

/* What the socket holds, before the connection notices. */
static void take_all(size_t peer)
{
	char bytes[1000];

	while (recv(peers[peer], bytes, sizeof(bytes), 0) > 0)
		continue;
}

static void check_the_end(const char *answers, const char *end)
{
	assert_true(strlen(answers) >= strlen(end));
	assert_string_equal(answers + strlen(answers) - strlen(end), end);
}

static void test_unsent_while_waiting__taken__both_are_answered(void **state)
{
	size_t peer = connect_full(), later = connect_full();

	(void)state;
	check_the_end(read_answers(peer), "re:a;record 10;");
	end_delivery(0);
	EXPECT(peer, "done:relay;");
	/* In that order also where the receiver is faster, and there is room again by then. */
	take_all(later);
	end_delivery(0);
	EXPECT(later, "record 10;done:relay;");
	pass(PEER_MAX_S * SECOND_US);
	assert_int_equal(all.count, 2);
}

static void test_unsent_while_waiting__slow_to_take__relayed_all_the_same(void **state)
{
	size_t peer = connect_full();

	(void)state;
	pass(PEER_MAX_S * SECOND_US);
	assert_string_equal(fake_log.event, "peer_too_slow");
	assert_int_equal(fake_delivery.held_count, 1);
	pass(PEER_MAX_S * SECOND_US);
	end_delivery(0);
	check_the_end(read_answers(peer), "re:a;end");
	assert_int_equal(fake.begun, fake.ended);
	assert_int_equal(all.count, 0);
}

static void test_unsent_while_waiting__hang_up__relayed_all_the_same(void **state)
{
	size_t peer = connect_full();

	(void)state;
	hang_up(peer);
	assert_int_equal(fake_delivery.held_count, 1);
	assert_int_equal(all.count, 1);
	end_delivery(0);
	assert_int_equal(fake.begun, fake.ended);
	assert_int_equal(all.count, 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_slow_to_send__ended_after_its_time),
		TEST(test_slow__each_from_its_own_first_byte),
		TEST(test_slow__due_shortly_after_another__looked_at_in_steps),
		TEST(test_idle__has_no_end),
		TEST(test_slow_to_take__ended_after_its_time),
		TEST(test_large_answer__taken_in_time__is_whole),
		TEST(test_stall__the_rest_has_come__is_read_before_its_time_is_judged),
		TEST(test_stall__the_rest_comes_later__has_its_whole_time),
		TEST(test_stall__the_rest_does_not_come__is_our_doing),
		TEST(test_stall__peer_gives_up_meanwhile__is_our_doing),
		TEST(test_stall__peer_that_takes_its_reply__has_its_whole_time),
		TEST(test_hang_up__while_waiting__relayed_all_the_same),
		TEST(test_hang_up__in_a_body__answered_for_what_it_is),
		TEST(test_hang_up__with_an_answer_unread__ends),
		TEST(test_unsent_while_waiting__taken__both_are_answered),
		TEST(test_unsent_while_waiting__slow_to_take__relayed_all_the_same),
		TEST(test_unsent_while_waiting__hang_up__relayed_all_the_same),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
