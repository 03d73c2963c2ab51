/* SPDX-License-Identifier: Apache-2.0 */
/* connection: requests and their replies, pipelining, the end, memory (connection_stage.h). */
#include <stdio.h>

#include <sys/socket.h>

#include "server/connection_stage.h"

/* --- requests ----------------------------------------------------------------------------------*/

static void test_request__in_one_byte_pieces__answered_when_whole(void **state)
{
	static const char *const bodies[][2] = {
		{"a body", "re:a body;"}, {"", "re:;"}, {"relay this", "done:relay this;"}};
	size_t peer = connect_peer();

	(void)state;
	fake.at_once = true;
	for (size_t i = 0; i < 3; i++) {
		put_request(bodies[i][0], FCGI_KEEP_CONN);
		for (size_t at = 0; at < wire_len; at++) {
			EXPECT(peer, "");
			assert_int_equal(send(peers[peer], wire + at, 1, MSG_NOSIGNAL), 1);
			turn_until_idle();
		}
		wire_len = 0;
		EXPECT(peer, bodies[i][1]);
		assert_int_equal(all.exchanges.busy_count, 0);
	}
	assert_int_equal(fake.begun, 3);
	assert_int_equal(fake.ended, 3);
}

/* They share ingest's buffer, one at a time; pieces of each size are suspended by exchanging
 * buffers or by copying. */
static void test_requests__in_turns_on_two_connections__keep_their_bodies(void **state)
{
	static const size_t pieces[] = {1, 7, 700, 3000};
	static char sent[2][8000], body[4000], expected[4100];
	size_t ends[2] = {connect_peer(), connect_peer()}, len = 0;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(pieces); i++) {
		for (size_t k = 0; k < 2; k++) {
			memset(body, (int)('a' + k), sizeof(body) - 1);
			put_request(body, FCGI_KEEP_CONN);
			memcpy(sent[k], wire, wire_len);
			len = wire_len;
			wire_len = 0;
		}
		for (size_t at = 0; at < len; at += pieces[i])
			for (size_t k = 0; k < 2; k++) {
				size_t n = len - at < pieces[i] ? len - at : pieces[i];

				assert_int_equal(send(peers[ends[k]], sent[k] + at, n, 0), n);
				turn_until_idle();
			}
		for (size_t k = 0; k < 2; k++) {
			memset(body, (int)('a' + k), sizeof(body) - 1);
			snprintf(expected, sizeof(expected), "re:%s;", body);
			EXPECT(ends[k], expected);
		}
	}
}

/* The first read takes all that is there and fills its buffer, so that there is another, for
 * nothing. */
static void test_body__in_two_reads__is_whole(void **state)
{
	static char body[90000], expected[100000];
	size_t peer = connect_peer(), first = INPUT_BYTES;

	(void)state;
	memset(body, 'a', sizeof(body) - 1);
	put_request(body, FCGI_KEEP_CONN);
	assert_int_equal(send(peers[peer], wire, first, 0), first);
	EXPECT(peer, "");
	memmove(wire, wire + first, wire_len -= first);
	send_wire(peer);
	snprintf(expected, sizeof(expected), "re:%s;", body);
	EXPECT(peer, expected);
}

/* --- a body that is read to its place ----------------------------------------------------------*/

/* Letters in an order that does not repeat. */
static void fill(char *text, size_t n)
{
	unsigned random = 1;

	for (size_t i = 0; i < n; i++) {
		random = random * 1103515245U + 12345U;
		text[i] = (char)('A' + (random >> 16) % 26);
	}
}

/* So that the next one finds room for as much. */
static void warm_up(size_t peer, size_t n)
{
	static char body[BODY_MAX + 1];

	memset(body, 'w', n);
	body[n] = '\0';
	put_request(body, FCGI_KEEP_CONN);
	send_wire(peer);
	read_answers(peer);
}

/* Sends the wire's bytes up to there, those that are not sent yet, and has them read. */
static size_t send_up_to(size_t peer, size_t from, size_t to)
{
	to = to < wire_len ? to : wire_len;
	if (to <= from)
		return from;
	assert_int_equal(send(peers[peer], wire + from, to - from, MSG_NOSIGNAL), to - from);
	turn_until_idle();
	return to;
}

/* Records of one size, in pieces that end a byte before, at and behind each border of theirs. */
static void send_in_pieces(size_t peer, size_t at, size_t content, size_t padding)
{
	size_t sent = send_up_to(peer, 0, at - 1);

	for (; at < wire_len; at += 8 + content + padding) {
		const size_t borders[] = {at, at + 8, at + 8 + content, at + 8 + content + padding};

		for (size_t i = 0; i < ARRAY_LEN(borders); i++)
			for (int more = -1; more <= 1; more++)
				sent = send_up_to(peer, sent, borders[i] + (size_t)more);
	}
	send_up_to(peer, sent, wire_len);
	wire_len = 0;
}

static void test_body__in_records_and_pieces_of_any_size__is_whole(void **state)
{
	static const size_t contents[] = {
		1,           100,       LONG_BYTES - 1,  LONG_BYTES,      LONG_BYTES + 1,
		INPUT_BYTES, 32 * 1024, INPUT_BYTES - 9, INPUT_BYTES + 1, 65535};
	static const size_t paddings[] = {0, 1, 255};
	static char body[90 * 1000 + 1], expected[sizeof(body) + 10];
	size_t peer = connect_peer();

	(void)state;
	fill(body, sizeof(body) - 1);
	for (size_t i = 0; i < ARRAY_LEN(contents) * ARRAY_LEN(paddings) * 2; i++) {
		size_t content = contents[i / 6], padding = paddings[i / 2 % 3];
		size_t len = content < 1000 ? 30 * content : sizeof(body) - 1, head;

		put_head(FCGI_KEEP_CONN);
		head = wire_len;
		for (size_t at = 0; at < len; at += content)
			put_piece((struct view){body + at, len - at < content ? len - at : content},
				  padding);
		put_piece(VIEW_LITERAL(""), padding);
		if (i % 2 == 0)
			send_in_pieces(peer, head, content, padding);
		else
			send_wire(peer);
		snprintf(expected, sizeof(expected), "re:%.*s;", (int)len, body);
		EXPECT(peer, expected);
	}
}

static void test_body__read_to_its_place__keeps_its_limit(void **state)
{
	static char body[BODY_MAX + 2];
	size_t peer = connect_peer();
	char expected[32];

	(void)state;
	memset(body, 'a', sizeof(body));
	for (size_t len = BODY_MAX - 1; len <= BODY_MAX + 1; len++) {
		size_t sent = 0;

		warm_up(peer, 100 * 1000);
		put_head(FCGI_KEEP_CONN);
		put_body((struct view){body, len});
		put_piece(VIEW_LITERAL(""), 0);
		/* In what the socket has room for. */
		while (sent < wire_len)
			sent = send_up_to(peer, sent, sent + 60 * 1000);
		wire_len = 0;
		snprintf(expected, sizeof(expected), "%zu bytes;", len + 3);
		EXPECT(peer, len <= BODY_MAX ? expected : "too large;");
	}
}

static void test_body__read_to_its_place__ends_in_the_middle__is_broken(void **state)
{
	static char body[65535];

	(void)state;
	for (size_t left = 1; left < 4; left++) {
		size_t peer = connect_peer();

		warm_up(peer, 100 * 1000);
		put_head(FCGI_KEEP_CONN);
		put_piece((struct view){body, sizeof(body)}, 2);
		wire_len -= left;
		send_wire(peer);
		EXPECT(peer, "");
		shutdown(peers[peer], SHUT_WR);
		EXPECT(peer, "broken;end");
	}
}

/* What a record says that it has is not what came. */
static void test_body__only_announced__costs_no_memory(void **state)
{
	static char content[65535];
	size_t peer = connect_peer(), used;

	(void)state;
	put_head(FCGI_KEEP_CONN);
	put_piece((struct view){content, sizeof(content)}, 0);
	wire_len -= sizeof(content) - 1;
	send_wire(peer);
	used = budget_used(&memory);
	for (int i = 0; i < 10; i++) {
		wire_len = 1;
		send_wire(peer);
		assert_true(budget_used(&memory) <= used + 4096);
	}
	hang_up(peer);
}

static void test_keep_off__closed_after_the_answer(void **state)
{
	static const char *const bodies[][2] = {
		{"a", "re:a;end"}, {"relay", "done:relay;end"}, {"big", "1000000 bytes;end"}};

	(void)state;
	for (int at_once = 0; at_once < 2; at_once++)
		for (size_t i = 0; i < 3; i++) {
			size_t peer = connect_peer();

			fake.at_once = at_once;
			put_request(bodies[i][0], 0);
			put_request("nobody reads this", 0);
			send_wire(peer);
			if (fake_delivery.held_count > 0)
				end_delivery(0);
			EXPECT(peer, bodies[i][1]);
			assert_int_equal(all.count, 0);
		}
	assert_int_equal(fake.begun, 6);
}

static void test_question__answered_without_an_exchange(void **state)
{
	size_t peer = connect_peer();

	(void)state;
	put_question();
	send_wire(peer);
	EXPECT(peer, "record 10;");
	assert_int_equal(all.exchanges.busy_count, 0);
	pass(3600LL * SECOND_US);
	EXPECT(peer, "");
}

static void test_other_protocol__dropped(void **state)
{
	size_t peer = connect_peer(), waiting = connect_peer();

	(void)state;
	put_request("a", FCGI_KEEP_CONN);
	memcpy(wire + wire_len, "GET / HTTP/1.1\r\n", 16);
	wire_len += 16;
	send_wire(peer);
	EXPECT(peer, "re:a;end");
	assert_string_equal(fake_log.event, "connection_dropped");
	/* What came before it is answered also where that takes a while. */
	put_request("relay", FCGI_KEEP_CONN);
	memcpy(wire + wire_len, "GET / HTTP/1.1\r\n", 16);
	wire_len += 16;
	send_wire(waiting);
	end_delivery(0);
	EXPECT(waiting, "done:relay;end");
}

/* --- pipelining --------------------------------------------------------------------------------*/

static void test_pipelined__answered_in_order(void **state)
{
	static const char *const pairs[][3] = {
		{"a", "b", "re:a;re:b;"},
		{"relay a", "b", "done:relay a;re:b;"},
		{"a", "relay b", "re:a;done:relay b;"},
		{"relay a", "relay b", "done:relay a;done:relay b;"},
		{"big", "b", "1000000 bytes;re:b;"},
	};
	size_t peer = connect_peer();

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(pairs); i++)
		for (int at_once = 0; at_once < 2; at_once++) {
			fake.at_once = at_once;
			put_request(pairs[i][0], FCGI_KEEP_CONN);
			put_request(pairs[i][1], FCGI_KEEP_CONN);
			send_wire(peer);
			/* One exchange at a time, or the answers could come in another order. */
			while (fake_delivery.held_count > 0) {
				assert_int_equal(fake_delivery.held_count, 1);
				end_delivery(0);
			}
			EXPECT(peer, pairs[i][2]);
		}
}

/* The second comes while the first waits: it stays where it is. */
static void test_pipelined__while_waiting__not_read(void **state)
{
	size_t peer = connect_peer(), used;

	(void)state;
	send_request(peer, "relay a");
	used = budget_used(&memory);
	send_request(peer, "relay b");
	send_request(peer, "c");
	assert_int_equal(fake.begun, 1);
	assert_int_equal(budget_used(&memory), used);
	end_delivery(0);
	turn_until_idle();
	assert_int_equal(fake.begun, 2);
	end_delivery(0);
	EXPECT(peer, "done:relay a;done:relay b;re:c;");
}

static void test_early_bytes__kept_up_to_their_limit(void **state)
{
	static char body[1000], expected[200 * 1000];
	const int later = 150;
	size_t peer = connect_peer(), len;

	(void)state;
	memset(body, 'a', sizeof(body) - 1);
	len = (size_t)sprintf(expected, "done:relay;");
	put_request("relay", FCGI_KEEP_CONN);
	for (int i = 0; i < later; i++) {
		put_request(body, FCGI_KEEP_CONN);
		len += (size_t)sprintf(expected + len, "re:%s;", body);
	}
	assert_true(wire_len > 2 * INPUT_BYTES);
	send_wire(peer);
	assert_true(budget_used(&memory) > INPUT_BYTES / 2);
	/* Besides them: what the body was read into, and what it became, which begin with 4 KiB
	 * each. */
	assert_true(budget_used(&memory) <= INPUT_BYTES + 2 * 4096);
	assert_int_equal(fake.begun, 1);
	end_delivery(0);
	EXPECT(peer, expected);
	assert_int_equal(fake.begun, 1 + later);
}

static void test_early_bytes__no_room__closed_after_the_answer(void **state)
{
	static char body[10000];
	size_t peer = connect_peer();

	(void)state;
	fake.at_once = true;
	send_request(peer, "relay");
	EXPECT(peer, "done:relay;");
	fake.at_once = false;
	memory.max = budget_used(&memory);
	memset(body, 'a', sizeof(body) - 1);
	put_request("relay", FCGI_KEEP_CONN);
	put_request(body, FCGI_KEEP_CONN);
	send_wire(peer);
	EXPECT(peer, "");
	end_delivery(0);
	EXPECT(peer, "done:relay;end");
	assert_int_equal(fake.begun, 2);
}

/* --- room for others ---------------------------------------------------------------------------*/

static void test_idlest__of_all__who_asked_last_stays_longest(void **state)
{
	size_t first = connect_peer(), second = connect_peer(), half = connect_peer();
	size_t waiting = connect_peer(), writing = connect_peer(), silent = connect_peer();

	(void)state;
	put_head(FCGI_KEEP_CONN);
	send_wire(half);
	send_request(waiting, "relay");
	send_request(writing, "big");
	send_request(second, "b");
	send_request(first, "a");
	EXPECT(first, "re:a;");
	EXPECT(second, "re:b;");
	/* It has been at rest since it came. */
	assert_true(connections_end_idlest(&all));
	EXPECT(silent, "end");
	assert_true(connections_end_idlest(&all));
	EXPECT(second, "end");
	assert_true(connections_end_idlest(&all));
	EXPECT(first, "end");
	assert_false(connections_end_idlest(&all));
	assert_int_equal(budget_used(&connection_slots), 3);
	EXPECT(writing, "1000000 bytes;");
	end_delivery(0);
	EXPECT(waiting, "done:relay;");
	EXPECT(half, "");
}

/* --- the end -----------------------------------------------------------------------------------*/

static void test_end__idle_at_once_others_after_their_answer(void **state)
{
	size_t idle = connect_peer(), half = connect_peer(), waiting = connect_peer();
	size_t writing = connect_peer();

	(void)state;
	send_request(idle, "a");
	EXPECT(idle, "re:a;");
	put_head(FCGI_KEEP_CONN);
	send_wire(half);
	send_request(waiting, "relay");
	send_request(writing, "big");
	connections_end(&all);
	assert_int_equal(all.count, 2);
	EXPECT(idle, "end");
	EXPECT(half, "end");
	EXPECT(waiting, "");
	assert_int_equal(fake_delivery.spooled_now, 1);
	EXPECT(writing, "1000000 bytes;end");
	end_delivery(0);
	EXPECT(waiting, "done:relay;end");
	assert_int_equal(all.count, 0);
}

static void test_release__with_a_request_waiting__cancels_it(void **state)
{
	size_t waiting = connect_peer(), half = connect_peer();

	(void)state;
	send_request(waiting, "relay");
	put_head(FCGI_KEEP_CONN);
	put_body(VIEW_LITERAL("abc"));
	send_wire(half);
	connections_release(&all);
	assert_int_equal(fake_delivery.cancelled, 1);
	EXPECT(waiting, "end");
	EXPECT(half, "end");
	/* For the tear-down. The loop's timers are those of the first. */
	loop.timers = NULL;
	assert_true(connections_init(&all, &loop, &ingest, &context, &connection_slots));
}

/* --- memory ------------------------------------------------------------------------------------*/

/* A request that comes in two pieces and is relayed, one behind it whose answer is large, all whole
 * or ended. */
static void play(void)
{
	static const char *const parts[] = {"done:relay;", "1000000 bytes;", "no memory;",
					    "over budget;", "cut"};
	size_t peer = connect_peer(), first_piece;
	const char *at;

	put_request("relay", FCGI_KEEP_CONN);
	first_piece = wire_len - 10;
	put_request("big", FCGI_KEEP_CONN);
	/* It may have been ended before. */
	send(peers[peer], wire, first_piece, MSG_NOSIGNAL);
	turn_until_idle();
	send(peers[peer], wire + first_piece, wire_len - first_piece, MSG_NOSIGNAL);
	wire_len = 0;
	turn_until_idle();
	while (fake_delivery.held_count > 0) {
		end_delivery(0);
		turn_until_idle();
	}
	at = read_answers(peer);
	for (size_t i = 0; i < ARRAY_LEN(parts); i++)
		if (begins(view_of(at), parts[i])) {
			at += strlen(parts[i]);
			i = (size_t)-1;
		}
	assert_true(strcmp(at, "end") == 0 || (strcmp(at, "") == 0 && text_len > 20));
	assert_int_equal(all.count, strcmp(at, "end") != 0);
	assert_int_equal(fake.begun, fake.ended);
}

static void test_memory__each_allocation_fails__answered_or_ended(void **state)
{
	(void)state;
	for (int for_ever = 0; for_ever < 2; for_ever++)
		for (long n = 0;; n++) {
			bool reached;

			tear_down(NULL);
			assert_int_equal(set_up(NULL), 0);
			fail_on = for_ever;
			fail_at = allocations + n;
			play();
			reached = allocations > fail_at;
			fail_at = -1;
			if (!reached) {
				assert_true(n > 5);
				break;
			}
		}
}

static void test_epoll__each_call_fails__answered_or_ended(void **state)
{
	long n;

	(void)state;
	for (n = 0;; n++) {
		tear_down(NULL);
		assert_int_equal(set_up(NULL), 0);
		fake_epoll.fail_at = fake_epoll.changes + n;
		play();
		if (fake_epoll.changes <= fake_epoll.fail_at)
			break;
	}
	assert_true(n > 2);
}

static void test_init__no_memory__can_be_released(void **state)
{
	(void)state;
	connections_release(&all);
	loop.timers = NULL;
	fail_at = allocations;
	assert_false(connections_init(&all, &loop, &ingest, &context, &connection_slots));
	fail_at = -1;
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_request__in_one_byte_pieces__answered_when_whole),
		TEST(test_requests__in_turns_on_two_connections__keep_their_bodies),
		TEST(test_body__in_two_reads__is_whole),
		TEST(test_body__in_records_and_pieces_of_any_size__is_whole),
		TEST(test_body__read_to_its_place__keeps_its_limit),
		TEST(test_body__read_to_its_place__ends_in_the_middle__is_broken),
		TEST(test_body__only_announced__costs_no_memory),
		TEST(test_keep_off__closed_after_the_answer),
		TEST(test_question__answered_without_an_exchange),
		TEST(test_other_protocol__dropped),
		TEST(test_pipelined__answered_in_order),
		TEST(test_pipelined__while_waiting__not_read),
		TEST(test_early_bytes__kept_up_to_their_limit),
		TEST(test_early_bytes__no_room__closed_after_the_answer),
		TEST(test_idlest__of_all__who_asked_last_stays_longest),
		TEST(test_end__idle_at_once_others_after_their_answer),
		TEST(test_release__with_a_request_waiting__cancels_it),
		TEST(test_memory__each_allocation_fails__answered_or_ended),
		TEST(test_epoll__each_call_fails__answered_or_ended),
		TEST(test_init__no_memory__can_be_released),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
