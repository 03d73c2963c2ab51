/* SPDX-License-Identifier: Apache-2.0 */
#include "server/connection_stage.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <unistd.h>

#include <sys/socket.h>

#include "base/malloc_tuning.h"

struct fake fake;

/* --- what is faked -----------------------------------------------------------------------------*/

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

bool begins(struct view text, const char *prefix)
{
	return text.len >= strlen(prefix) && memcmp(text.ptr, prefix, strlen(prefix)) == 0;
}

void ingest_init_request(struct ingest *of, struct request *request)
{
	request_init(request, &of->body, BODY_MAX, of->memory);
}

void ingest_clear_body(struct ingest *of)
{
	buf_clear(&of->body);
}

void ingest_trim(struct ingest *of)
{
	buf_release(&of->body);
}

enum ingest_next ingest_begin(struct ingest *of, struct request *request)
{
	static const char *const states[] = {"", "broken", "too large", "over budget", "stalled"};
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
	ingest_clear_body(of);
	return next;
}

void ingest_relayed(struct ingest *of, struct request *request, const struct relay_call *call)
{
	(void)of;
	say(request, "done:", call->body);
}

void ingest_end(struct request *request)
{
	assert_int_equal(request->reply.status, 200);
	fake.ended++;
}

void end_delivery(size_t i)
{
	assert_true(i < fake_delivery.held_count);
	fake_delivery_answer(fake_delivery.held[i], VERDICT_ACCEPTED);
}

static enum verdict end_at_once(struct delivery *delivery)
{
	(void)delivery;
	return fake.at_once ? VERDICT_DUPLICATE : VERDICT_OK;
}

void malloc_give_back(void)
{
}

/* --- what each test stands on ------------------------------------------------------------------*/

struct loop loop;
static struct loop_timer pump; /* so that no turn of the loop waits */
struct budget memory, connection_slots;
struct ingest ingest;
struct delivery_context context;
struct connections all;
int peers[PEERS];
static int lowest_fd;
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

int set_up(void **state)
{
	(void)state;
	fake = (struct fake){.begun = 0};
	fake_delivery = (struct fake_delivery){.answer = end_at_once};
	fake_log_clear();
	fake_clock.stands = true;
	fake_clock.now_us = 1000 * SECOND_US;
	fake_epoll.fail_at = -1;
	fail_at = -1;
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
int tear_down(void **state)
{
	(void)state;
	connections_release(&all);
	assert_int_equal(fake_delivery.held_count, 0);
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

void turn_until_idle(void)
{
	struct pollfd ready = {.fd = loop.epoll_fd, .events = POLLIN};

	do {
		pump.due_us = 0;
		loop_turn(&loop);
	} while (poll(&ready, 1, 0) > 0);
}

/* In steps that are not taken for a time in which the process stands still. */
void pass(int64_t us)
{
	while (us > 0) {
		int64_t step_us = us < STEP_US ? us : STEP_US;

		us -= step_us;
		fake_clock.now_us += step_us;
		turn_until_idle();
	}
	turn_until_idle(); /* what a timer has done may be to do for another */
}

void stand_still(int64_t us)
{
	fake_clock.now_us += us;
	turn_until_idle();
}

/* The number of a peer; its connection is there unless there was no memory for it. */
size_t connect_peer(void)
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

void hang_up(size_t peer)
{
	close(peers[peer]);
	peers[peer] = -1;
	turn_until_idle();
}

/* --- what a web server writes ------------------------------------------------------------------*/

char wire[WIRE_BYTES];
size_t wire_len;

static void put_padded(unsigned type, struct view content, size_t padding)
{
	const unsigned char header[8] = {1,
					 (unsigned char)type,
					 0,
					 1,
					 (unsigned char)(content.len >> 8),
					 (unsigned char)content.len,
					 (unsigned char)padding};

	assert_true(wire_len + sizeof(header) + content.len + padding <= sizeof(wire));
	memcpy(wire + wire_len, header, sizeof(header));
	wire_len += sizeof(header);
	if (content.len > 0)
		memcpy(wire + wire_len, content.ptr, content.len);
	wire_len += content.len;
	memset(wire + wire_len, 0, padding);
	wire_len += padding;
}

static void put(unsigned type, struct view content)
{
	put_padded(type, content, 0);
}

void put_piece(struct view content, size_t padding)
{
	put_padded(FCGI_STDIN, content, padding);
}

void put_head(char flags)
{
	const char begin[8] = {0, FCGI_RESPONDER, flags};

	put(FCGI_BEGIN_REQUEST, (struct view){begin, sizeof(begin)});
	put(FCGI_PARAMS, VIEW_LITERAL("\16\4REQUEST_METHODPOST"));
	put(FCGI_PARAMS, VIEW_LITERAL(""));
}

void put_body(struct view body)
{
	while (body.len > 0) {
		size_t n = body.len < 50000 ? body.len : 50000;

		put(FCGI_STDIN, (struct view){body.ptr, n});
		body = (struct view){body.ptr + n, body.len - n};
	}
}

void put_request(const char *body, char flags)
{
	put_head(flags);
	put_body(view_of(body));
	put(FCGI_STDIN, VIEW_LITERAL(""));
}

void put_question(void)
{
	size_t at = wire_len;

	put(FCGI_GET_VALUES, VIEW_LITERAL("\16\0FCGI_MAX_CONNS"));
	wire[at + 3] = 0; /* of no request */
}

/* What was put goes out. */
void send_wire(size_t peer)
{
	assert_int_equal(send(peers[peer], wire, wire_len, MSG_NOSIGNAL), wire_len);
	wire_len = 0;
	turn_until_idle();
}

void send_request(size_t peer, const char *body)
{
	put_request(body, FCGI_KEEP_CONN);
	send_wire(peer);
}

/* --- what it reads -----------------------------------------------------------------------------*/

static char text[512 * 1024], stdout_text[2 * BIG_BYTES];
static size_t stdout_len;
size_t text_len;

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
const char *read_answers(size_t peer)
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
