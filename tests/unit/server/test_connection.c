#include <errno.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/log.h"
#include "base/malloc_tuning.h"
#include "base/text.h"
#include "fakes/counted_allocations.h"
#include "server/connection.h"

/*
 * Links connection.c, exchange.c, fcgi.c, request.c, loop.c and buf.c; a test is the web server, at
 * the other end of a socket pair. What lies behind is faked here: ingest answers with what the body
 * was, or relays it where it begins with "relay"; a delivery ends when the test says so.
 *
 * --wrap=clock_gettime: time passes where a test lets it. --wrap=malloc, calloc, realloc, free and
 * epoll_ctl: fail where a test wants them to.
 */

enum {
	SECOND_US = 1000 * 1000,
	PEER_MAX_S = 5,
	DUE_STEP_US = 100 * 1000,
	BODY_MAX = 256 * 1024,
	BIG_BYTES = 1000 * 1000, /* more than a socket holds */
	INPUT_BYTES = 64 * 1024, /* of a read, and of what is kept early */
	PEERS = 8,
};

/* --- time, memory, epoll -----------------------------------------------------------------------*/

int __wrap_clock_gettime(clockid_t clock, struct timespec *now);
void *__real_realloc(void *old, size_t size);
void *__wrap_realloc(void *old, size_t size);
int __real_epoll_ctl(int epoll, int operation, int fd, struct epoll_event *event);
int __wrap_epoll_ctl(int epoll, int operation, int fd, struct epoll_event *event);

static int64_t clock_us;
static long epoll_calls, epoll_fail_at = -1;

int __wrap_clock_gettime(clockid_t clock, struct timespec *now)
{
	(void)clock;
	*now = (struct timespec){clock_us / SECOND_US, clock_us % SECOND_US * 1000};
	return 0;
}

void *__wrap_realloc(void *old, size_t size)
{
	if (fails())
		return NULL;
	live -= old != NULL;
	return __real_realloc(old, size);
}

int __wrap_epoll_ctl(int epoll, int operation, int fd, struct epoll_event *event)
{
	if (operation != EPOLL_CTL_DEL && epoll_calls++ == epoll_fail_at) {
		errno = ENOMEM;
		return -1;
	}
	return __real_epoll_ctl(epoll, operation, fd, event);
}

/* --- what is faked -----------------------------------------------------------------------------*/

static struct {
	struct delivery *started[PEERS]; /* under way, the oldest first */
	size_t count;
	bool at_once; /* ended by delivery_start() itself */
	int begun, ended, spooled_now, cancelled;
	const char *event; /* logged last */
} fake;

static char page_text[BIG_BYTES];
static struct buf page = {.data = page_text};

static void say(struct request *request, const char *what, struct view body)
{
	assert_true(strlen(what) + body.len <= sizeof(page_text));
	page.len = (size_t)snprintf(page_text, sizeof(page_text), "%s", what);
	if (body.len > 0)
		memcpy(page_text + page.len, body.ptr, body.len);
	page.len += body.len;
	request->reply.status = 200;
	request->reply.text_page = &page;
}

static bool begins(struct view text, const char *prefix)
{
	return text.len >= strlen(prefix) && memcmp(text.ptr, prefix, strlen(prefix)) == 0;
}

void ingest_init_request(struct ingest *ingest, struct request *request)
{
	request_init(request, &ingest->body, BODY_MAX, ingest->memory);
}

void ingest_clear_body(struct ingest *ingest)
{
	buf_clear(&ingest->body);
}

void ingest_trim(struct ingest *ingest)
{
	buf_release(&ingest->body);
}

enum ingest_next ingest_begin(struct ingest *ingest, struct request *request)
{
	static const char *const states[] = {"", "broken", "too large", "over budget"};
	struct view body = {request->body->data, request->body->len};
	enum ingest_next next = INGEST_REPLY;

	fake.begun++;
	if (request->body_state != BODY_WHOLE) {
		say(request, states[request->body_state], VIEW_LITERAL(""));
	} else if (begins(body, "big")) {
		say(request, "", VIEW_LITERAL(""));
		memset(page_text, 'x', BIG_BYTES);
		page.len = BIG_BYTES;
	} else if (!begins(body, "relay")) {
		say(request, "re:", body);
	} else if (buf_append(&request->labelled, body.ptr, body.len) == BUF_OK) {
		next = INGEST_RELAY;
	} else {
		say(request, "no memory", VIEW_LITERAL(""));
	}
	ingest_clear_body(ingest);
	return next;
}

void ingest_relayed(struct ingest *ingest, struct request *request, const struct relay_call *call)
{
	(void)ingest;
	say(request, "done:", call->body);
}

void ingest_end(struct request *request)
{
	assert_int_equal(request->reply.status, 200);
	fake.ended++;
}

static void end_delivery(size_t i)
{
	struct delivery *delivery = fake.started[i];

	assert_true(i < fake.count);
	fake.count--;
	memmove(fake.started + i, fake.started + i + 1, (fake.count - i) * sizeof(fake.started[0]));
	delivery->done(delivery);
}

enum verdict delivery_start(struct delivery_context *context, struct delivery *delivery)
{
	(void)context;
	if (fake.at_once)
		return VERDICT_DUPLICATE;
	assert_true(fake.count < PEERS);
	fake.started[fake.count++] = delivery;
	return VERDICT_OK;
}

void delivery_spool_now(struct delivery *delivery)
{
	(void)delivery;
	fake.spooled_now++;
}

void delivery_cancel(struct delivery *delivery)
{
	(void)delivery;
	fake.cancelled++;
	fake.count--;
}

void malloc_give_back(void)
{
}

void log_write_limited(int64_t every_ms, enum log_level level, const char *event, const char *msg,
		       const struct log_field *fields)
{
	(void)every_ms, (void)level, (void)msg, (void)fields;
	fake.event = event;
}

/* --- what each test stands on ------------------------------------------------------------------*/

static struct loop loop;
static struct loop_timer pump; /* so that no turn of the loop waits */
static struct budget memory, connection_slots;
static struct ingest ingest;
static struct delivery_context context;
static struct connections all;
static int peers[PEERS], lowest_fd;
static size_t peer_count;

static int free_fd(void)
{
	int fd = dup(STDERR_FILENO);

	close(fd);
	return fd;
}

static void pumped(struct loop_timer *timer)
{
	(void)timer;
}

static int set_up(void **state)
{
	(void)state;
	memset(&fake, 0, sizeof(fake));
	clock_us = 1000 * SECOND_US;
	epoll_fail_at = fail_at = -1;
	live = 0;
	lowest_fd = free_fd();
	peer_count = 0;
	budget_init(&memory, (size_t)16 << 20);
	budget_init(&connection_slots, PEERS);
	ingest = (struct ingest){.memory = &memory};
	buf_init(&ingest.body, BODY_MAX, &memory);
	if (!loop_init(&loop))
		return -1;
	pump = (struct loop_timer){.fire = pumped};
	loop_timer_add(&loop, &pump);
	return connections_init(&all, &loop, &ingest, &context, &connection_slots) ? 0 : -1;
}

/* Whatever a test did: no memory, no descriptor and no exchange is left. */
static int tear_down(void **state)
{
	(void)state;
	connections_release(&all);
	assert_int_equal(fake.count, 0);
	assert_int_equal(all.exchanges.busy_count, 0);
	assert_int_equal(all.count, 0);
	buf_release(&ingest.body);
	loop_release(&loop);
	for (size_t i = 0; i < peer_count; i++)
		if (peers[i] >= 0)
			close(peers[i]);
	assert_int_equal(live, 0);
	assert_int_equal(budget_used(&memory), 0);
	assert_int_equal(budget_used(&connection_slots), 0);
	assert_int_equal(free_fd(), lowest_fd);
	return 0;
}

static void turn_until_idle(void)
{
	struct pollfd ready = {.fd = loop.epoll_fd, .events = POLLIN};

	do {
		pump.due_us = 0;
		loop_turn(&loop);
	} while (poll(&ready, 1, 0) > 0);
}

static void pass(int64_t us)
{
	clock_us += us;
	turn_until_idle();
	turn_until_idle(); /* what a timer has done may be to do for another */
}

/* The number of a peer; its connection is there unless there was no memory for it. */
static size_t connect_peer(void)
{
	int ends[2];

	assert_true(peer_count < PEERS);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends),
			 0);
	peers[peer_count] = ends[1];
	assert_true(budget_take(&connection_slots, 1));
	connections_add(&all, ends[0]);
	return peer_count++;
}

static void hang_up(size_t peer)
{
	close(peers[peer]);
	peers[peer] = -1;
	turn_until_idle();
}

/* --- what a web server writes ------------------------------------------------------------------*/

static char wire[512 * 1024];
static size_t wire_len;

static void put(unsigned type, struct view content)
{
	const unsigned char header[8] = {1,
					 (unsigned char)type,
					 0,
					 1,
					 (unsigned char)(content.len >> 8),
					 (unsigned char)content.len};

	assert_true(wire_len + sizeof(header) + content.len <= sizeof(wire));
	memcpy(wire + wire_len, header, sizeof(header));
	wire_len += sizeof(header);
	if (content.len > 0)
		memcpy(wire + wire_len, content.ptr, content.len);
	wire_len += content.len;
}

static void put_head(char flags)
{
	const char begin[8] = {0, FCGI_RESPONDER, flags};

	put(FCGI_BEGIN_REQUEST, (struct view){begin, sizeof(begin)});
	put(FCGI_PARAMS, VIEW_LITERAL("\16\4REQUEST_METHODPOST"));
	put(FCGI_PARAMS, VIEW_LITERAL(""));
}

static void put_body(struct view body)
{
	while (body.len > 0) {
		size_t n = body.len < 50000 ? body.len : 50000;

		put(FCGI_STDIN, (struct view){body.ptr, n});
		body = (struct view){body.ptr + n, body.len - n};
	}
}

static void put_request(const char *body, char flags)
{
	put_head(flags);
	put_body(view_of(body));
	put(FCGI_STDIN, VIEW_LITERAL(""));
}

static void put_question(void)
{
	size_t at = wire_len;

	put(FCGI_GET_VALUES, VIEW_LITERAL("\16\0FCGI_MAX_CONNS"));
	wire[at + 3] = 0; /* of no request */
}

/* What was put goes out. */
static void send_wire(size_t peer)
{
	assert_int_equal(send(peers[peer], wire, wire_len, MSG_NOSIGNAL), wire_len);
	wire_len = 0;
	turn_until_idle();
}

static void send_request(size_t peer, const char *body)
{
	put_request(body, FCGI_KEEP_CONN);
	send_wire(peer);
}

/* --- what it reads -----------------------------------------------------------------------------*/

static char text[512 * 1024], stdout_text[2 * BIG_BYTES];
static size_t text_len, stdout_len;

static void end_answer(void)
{
	char *body = memmem(stdout_text, stdout_len, "\r\n\r\n", 4);
	size_t len;

	assert_non_null(body);
	body += 4;
	len = stdout_len - (size_t)(body - stdout_text);
	if (len > 100000)
		text_len += (size_t)sprintf(text + text_len, "%zu bytes;", len);
	else
		text_len += (size_t)sprintf(text + text_len, "%.*s;", (int)len, body);
	stdout_len = 0;
}

static size_t parse_record(const unsigned char *record, size_t len)
{
	size_t content = len < 8 ? 0 : (size_t)record[4] << 8 | record[5];

	if (len < 8 + content)
		return 0;
	if (record[1] == FCGI_STDOUT) {
		memcpy(stdout_text + stdout_len, record + 8, content);
		stdout_len += content;
	} else if (record[1] == FCGI_END_REQUEST) {
		end_answer();
	} else {
		text_len += (size_t)sprintf(text + text_len, "record %u;", record[1]);
	}
	return 8 + content + record[6];
}

/* The bodies of the answers that came since the last look, each with a semicolon; behind them "cut"
 * where an answer is not whole, and "end" where the connection is. */
static const char *read_answers(size_t peer)
{
	static unsigned char bytes[2 * BIG_BYTES];
	size_t len = 0, at = 0;
	ssize_t n;
	int error;

	text_len = stdout_len = 0;
	do {
		turn_until_idle();
		n = recv(peers[peer], bytes + len, sizeof(bytes) - len, 0);
		error = n < 0 ? errno : 0;
		len += n > 0 ? (size_t)n : 0;
	} while (n > 0);
	for (size_t record = 1; record > 0; at += record)
		record = parse_record(bytes + at, len - at);
	if (at < len || stdout_len > 0)
		text_len += (size_t)sprintf(text + text_len, "cut");
	if (error != EAGAIN)
		text_len += (size_t)sprintf(text + text_len, "end");
	text[text_len] = '\0';
	return text;
}

#define EXPECT(peer, answers) assert_string_equal(read_answers(peer), answers)

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
			if (fake.count > 0)
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
	assert_string_equal(fake.event, "connection_dropped");
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
			while (fake.count > 0) {
				assert_int_equal(fake.count, 1);
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

		fake.event = NULL;
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
		assert_null(fake.event);
		pass(1);
		EXPECT(peer, rows[i].answer);
		assert_string_equal(fake.event, "peer_too_slow");
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
	assert_null(fake.event);
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
	assert_null(fake.event);
	pass(1);
	assert_int_equal(all.count, 0);
	assert_string_equal(fake.event, "peer_too_slow");
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
	assert_null(fake.event);
	EXPECT(peer, "");
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
	assert_int_equal(fake.cancelled, 0);
	assert_int_equal(fake.count, 2);
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
	assert_int_equal(fake.count, 0);
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
	size_t waiting = fake.count;

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
	assert_int_equal(fake.count, waiting + 1);
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
	assert_string_equal(fake.event, "peer_too_slow");
	assert_int_equal(fake.count, 1);
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
	assert_int_equal(fake.count, 1);
	assert_int_equal(all.count, 1);
	end_delivery(0);
	assert_int_equal(fake.begun, fake.ended);
	assert_int_equal(all.count, 0);
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
	assert_int_equal(fake.spooled_now, 1);
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
	assert_int_equal(fake.cancelled, 1);
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
	while (fake.count > 0) {
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
		epoll_fail_at = epoll_calls + n;
		play();
		if (epoll_calls <= epoll_fail_at)
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
		TEST(test_keep_off__closed_after_the_answer),
		TEST(test_question__answered_without_an_exchange),
		TEST(test_other_protocol__dropped),
		TEST(test_pipelined__answered_in_order),
		TEST(test_pipelined__while_waiting__not_read),
		TEST(test_early_bytes__kept_up_to_their_limit),
		TEST(test_early_bytes__no_room__closed_after_the_answer),
		TEST(test_slow_to_send__ended_after_its_time),
		TEST(test_slow__each_from_its_own_first_byte),
		TEST(test_slow__due_shortly_after_another__looked_at_in_steps),
		TEST(test_idle__has_no_end),
		TEST(test_slow_to_take__ended_after_its_time),
		TEST(test_large_answer__taken_in_time__is_whole),
		TEST(test_hang_up__while_waiting__relayed_all_the_same),
		TEST(test_hang_up__in_a_body__answered_for_what_it_is),
		TEST(test_hang_up__with_an_answer_unread__ends),
		TEST(test_unsent_while_waiting__taken__both_are_answered),
		TEST(test_unsent_while_waiting__slow_to_take__relayed_all_the_same),
		TEST(test_unsent_while_waiting__hang_up__relayed_all_the_same),
		TEST(test_idlest__of_all__who_asked_last_stays_longest),
		TEST(test_end__idle_at_once_others_after_their_answer),
		TEST(test_release__with_a_request_waiting__cancels_it),
		TEST(test_memory__each_allocation_fails__answered_or_ended),
		TEST(test_epoll__each_call_fails__answered_or_ended),
		TEST(test_init__no_memory__can_be_released),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
