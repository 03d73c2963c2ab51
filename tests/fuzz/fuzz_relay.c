/* SPDX-License-Identifier: Apache-2.0 */
/* Programs of hostile receivers against the relay's own engine: relay.c, engine_http.c,
 * http_pool.c.
 *
 * An input is a byte of options and a program, an operation a byte with its operands (see
 * `operations`): calls begin and are cancelled, connections come about, fail or hang, the receiver
 * reads or does not, writes pieces of replies or anything else, half-closes, closes, resets; time
 * passes; the process stands still. Its connections are socketpairs: socket(2) and connect(2) are replaced, and sendmsg(2)
 * says which call went where.
 *
 * A second reader, http_response fed with all that came behind the replies before, says what status
 * a call may be told. Build with -fsanitize=fuzzer,address,undefined. */
#include "base/log.h"
#include "base/text.h"
#include "fake_receiver.h"
#include "fakes/loop.h"
#include "fakes/resolver.h"
#include "upstream/http_response.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum {
	INFLIGHT_MAX = 3,
	TIMEOUT_MS = 5000,
	IDLE_US = 31 * 1000 * 1000,
};

static struct config config = {.upstream_url = (char[]){"http://receiver.example/collect"},
			       .upstream_host = (char[]){"receiver.example"},
			       .upstream_port = 80,
			       .upstream_connect_timeout_ms = 1000,
			       .upstream_timeout_ms = TIMEOUT_MS,
			       .upstream_max_inflight = INFLIGHT_MAX};
static struct loop loop;
static struct budget inflight;
static struct relay *relay;
static struct resolver resolver = {.addresses = "192.0.2.1,2001:db8::1,192.0.2.1,2001:db8::1"};
static unsigned numbers;
static uint8_t in_done; /* what the next done() does */

/* --- calls -------------------------------------------------------------------------------------*/

/* What the receiver wrote for the present request of a connection. */
static struct view present(const struct line *l)
{
	return (struct view){l->wrote.data ? l->wrote.data + l->answered : "",
			     l->wrote.len - l->answered};
}

/* Its call is over: what came for it is an answer, or the connection is spent. */
static void end_request(struct line *l, int status)
{
	struct http_response reply;
	enum http_response_result result;
	size_t used;

	http_response_init(&reply);
	result = http_response_feed(&reply, present(l), &used);
	check(status == 0 || !l->polluted, "a status from before the request");
	if (status > 0) {
		char digits[16];
		int n = snprintf(digits, sizeof(digits), " %d", status);
		struct view bytes = present(l);

		check(reply.answered && reply.status == status, "a status that nobody sent");
		check(memmem(bytes.ptr, bytes.len, digits, (size_t)n), "a status out of thin air");
	}
	if (status == 0 || result != HTTP_RESPONSE_WHOLE || !reply.keep || l->sent != l->total)
		l->spent = true;
	l->answered += used;
	l->call = 0;
}

static void start_call(struct call *call, size_t size);

static void on_done(struct relay_call *relay_call)
{
	struct call *call = (struct call *)(void *)relay_call;
	uint8_t what = in_done;

	check(call->number > 0, "a call is told that is not under way");
	check(relay_call->sent == call->sent, "sent or not");
	check(relay_call->status == 0 || call->sent, "a status without a request");
	check((relay_call->verdict == VERDICT_ACCEPTED) ==
		      (relay_call->status >= 200 && relay_call->status <= 299),
	      "another verdict than the status");
	check(relay_call->retry_after_s <= 30, "a hint beyond its limit");
	if (call->line && call->line->call == call->number)
		end_request(call->line, relay_call->status);
	else
		check(relay_call->status == 0, "a status of a connection that went on");
	call->told++;
	call->number = 0;
	in_done = 0;
	if (what & 1)
		start_call(call, 10);
	if (what & 2)
		start_call(&calls[what >> 2 & 3], 3000);
	if ((what & 0x10) && calls[what >> 5 & 3].number) {
		struct call *other = &calls[what >> 5 & 3];

		relay_cancel(relay, &other->call);
		if (other->line && other->line->call == other->number)
			other->line->spent = true;
		other->number = 0;
	}
}

/* A deadline does not run while the process stands still. */
static int64_t awake_us(void)
{
	return fake_clock.now_us - loop.lost_us;
}

static size_t calls_under_way(void)
{
	size_t count = 0;

	for (size_t i = 0; i < CALLS_MAX; i++)
		count += calls[i].number > 0;
	return count;
}

static void start_call(struct call *call, size_t size)
{
	static char body[65536];
	unsigned number = numbers + 1;
	size_t before = calls_under_way();

	if (call->number)
		return;
	numbers = number;
	memset(body, 'b', sizeof(body));
	*call = (struct call){.number = number, .started_us = awake_us()};
	/* Of one length, so that none is the beginning of another. */
	snprintf(call->name, sizeof(call->name), "call-%08u", number);
	call->call.body = (struct view){body, size < sizeof(body) ? size : sizeof(body)};
	call->call.forwarded.session_id = view_of(call->name);
	call->call.done = on_done;
	if (relay_start(relay, &call->call) == VERDICT_OK) {
		check(before < INFLIGHT_MAX, "more calls than there may be");
	} else {
		/* A cancelled one may be told a turn later. */
		check(before >= INFLIGHT_MAX || budget_used(&inflight) >= INFLIGHT_MAX,
		      "a call is refused that had room");
		call->number = 0;
	}
}

/* --- operations --------------------------------------------------------------------------------*/

static void receiver_write(struct view bytes)
{
	ssize_t n;

	if (!line || line->fd < 0 || line->shut || bytes.len == 0)
		return;
	n = send(line->fd, bytes.ptr, bytes.len, MSG_DONTWAIT | MSG_NOSIGNAL);
	if (n > 0)
		buf_append(&line->wrote, bytes.ptr, (size_t)n);
}

/* True: there was something. */
static bool receiver_read(struct line *l, size_t most)
{
	static char bytes[65536];

	return l->fd >= 0 &&
	       recv(l->fd, bytes, most < sizeof(bytes) ? most : sizeof(bytes), MSG_DONTWAIT) > 0;
}

/* After this, no idle connection may have what was not asked for. */
static void spend_strays(void)
{
	for (struct line *l = lines; l < lines + line_count; l++)
		if (l->call == 0 && (l->fd < 0 || l->shut || l->wrote.len > l->answered))
			l->spent = true;
}

static void check_deadlines(void)
{
	for (struct call *c = calls; c < calls + CALLS_MAX; c++)
		check(!c->number || awake_us() - c->started_us < (TIMEOUT_MS + 5) * (int64_t)1000,
		      "a call beyond its deadline");
}

static void pass(int64_t us)
{
	turning = true;
	check(us > 0 ? fake_loop_pass(&loop, us) : fake_loop_settle(&loop), "the loop spins");
	turning = false;
	spend_strays();
	check_deadlines();
	check(budget_used(&inflight) == calls_under_way(), "another number of calls in flight");
}

static void op_start(struct program *in)
{
	uint8_t how = next_byte(in);
	static const size_t sizes[] = {0, 1, 100, 1000, 8000, 65536, 20, 300};

	start_call(&calls[how & 3], sizes[how >> 2 & 7]);
}

static void op_cancel(struct program *in)
{
	struct call *call = &calls[next_byte(in) & 3];

	if (!call->number)
		return;
	relay_cancel(relay, &call->call);
	if (call->line && call->line->call == call->number)
		call->line->spent = true;
	call->number = 0;
}

static void op_read(struct program *in)
{
	uint8_t n = next_byte(in);

	if (line && n > 0)
		receiver_read(line, n * (size_t)16);
	while (line && n == 0 && receiver_read(line, SIZE_MAX))
		;
}

static void op_raw(struct program *in)
{
	receiver_write(next_bytes(in, next_byte(in)));
}

static const struct view texts[] = {
	VIEW_CONSTANT("HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n"),
	VIEW_CONSTANT("HTTP/1.1 202 Accepted\r\nContent-Length: 2\r\n\r\nok"),
	VIEW_CONSTANT("HTTP/1.1 204 No Content\r\n\r\n"),
	VIEW_CONSTANT(
		"HTTP/1.1 400 Bad Request\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nbad\r\n0\r\n\r\n"),
	VIEW_CONSTANT(
		"HTTP/1.1 429 Too Many Requests\r\nRetry-After: 7\r\nContent-Length: 0\r\n\r\n"),
	VIEW_CONSTANT("HTTP/1.1 503 Busy\r\nConnection: close\r\n\r\nbusy"),
	VIEW_CONSTANT("HTTP/1.0 200 OK\r\n\r\n"),
	VIEW_CONSTANT("HTTP/1.1 100 Continue\r\n\r\n"),
	VIEW_CONSTANT("HTTP/1.1 101 Switching Protocols\r\n\r\n"),
	VIEW_CONSTANT("HTTP/1.1 202 "),
	VIEW_CONSTANT("HTTP/1.1 500 E\r\n"),
	VIEW_CONSTANT("Content-Length: 5\r\n"),
	VIEW_CONSTANT("Transfer-Encoding: chunked\r\n"),
	VIEW_CONSTANT("X-Faro-Session-Status: invalid\r\n"),
	VIEW_CONSTANT("Connection: keep-alive\r\n"),
	VIEW_CONSTANT("\r\n"),
	VIEW_CONSTANT("5\r\nhello\r\n"),
	VIEW_CONSTANT("0\r\n\r\n"),
	VIEW_CONSTANT("ffffffff\r\n"),
	VIEW_CONSTANT("hello"),
	VIEW_CONSTANT("Content-Length: 0\r\n"),
	VIEW_CONSTANT("Connection: close\r\n"),
	VIEW_CONSTANT("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"),
};

static void op_text(struct program *in)
{
	uint8_t how = next_byte(in), from = 0;
	struct view text = texts[(how & 0x7f) % (ARRAY_LEN(texts))];

	/* A part of it. */
	if (how & 0x80) {
		from = next_byte(in);
		if (from & 0x80)
			text.len = (from & 0x7f) < text.len ? from & 0x7f : text.len;
		else if (from < text.len)
			text = (struct view){text.ptr + from, text.len - from};
	}
	receiver_write(text);
}

/* Around what a reply may have. */
static void op_much(struct program *in)
{
	static char letters[65536];
	uint8_t many = next_byte(in);

	memset(letters, 'l', sizeof(letters));
	receiver_write((struct view){letters, (size_t)many * 256});
}

static void op_half_close(struct program *in)
{
	(void)in;
	if (!line || line->fd < 0)
		return;
	shutdown(line->fd, SHUT_WR);
	line->shut = true;
}

/* A reset where something was not read. */
static void op_close(struct program *in)
{
	if (line && (next_byte(in) & 1))
		while (receiver_read(line, SIZE_MAX))
			;
	if (line)
		hang_up(line);
}

static void op_turn(struct program *in)
{
	(void)in;
	pass(0);
}

static void op_pass(struct program *in)
{
	uint8_t how = next_byte(in);
	int64_t ms = how & 0x80 ? (how & 0x3f) * (int64_t)1000 : (how + 1) * (int64_t)20;

	/* All at once: the process stands still. */
	if ((how & 0xc0) == 0xc0)
		fake_clock.now_us += ms * 1000;
	pass((how & 0xc0) == 0xc0 ? 0 : ms * 1000);
}

static void op_line(struct program *in)
{
	uint8_t back = next_byte(in) & 7;

	if (back < line_count)
		line = &lines[line_count - 1 - back];
}

static void op_connecting(struct program *in)
{
	connecting = next_byte(in);
}

static void op_resolve(struct program *in)
{
	uint8_t how = next_byte(in);

	resolver.count = (how & 3) + 1;
	resolver.preferred = (how >> 2) % resolver.count + 1;
	if (how & 0x40)
		resolver.generation++;
	else if (how & 0x80)
		resolver.generation = 0;
}

static void op_in_done(struct program *in)
{
	in_done = next_byte(in);
}

static void (*const operations[])(struct program *in) = {
	op_start,      op_text,       op_turn,    op_read, op_start, op_text,
	op_raw,        op_half_close, op_close,   op_pass, op_line,  op_text,
	op_connecting, op_cancel,     op_resolve, op_much, op_turn,  op_in_done,
};

/* --- the whole ---------------------------------------------------------------------------------*/

/* The receiver's end sees whether the other one is closed. */
static void check_closed(struct line *l)
{
	char byte;

	if (l->fd < 0)
		return;
	while (receiver_read(l, SIZE_MAX))
		;
	check(recv(l->fd, &byte, 1, MSG_DONTWAIT) == 0 || errno != EAGAIN,
	      "a connection is left open");
}

static void begin(uint8_t options)
{
	static bool done;

	if (!done) {
		log_init(LOG_FORMAT_LOGFMT, LOG_ERROR);
		check(loop_init(&loop), "no loop");
	}
	done = true;
	fake_loop_begin();
	loop.timers = NULL;
	loop.now_us = fake_clock.now_us;
	budget_init(&inflight, INFLIGHT_MAX);
	resolver.generation = options & 1 ? 0 : 1;
	resolver.count = (options >> 1 & 3) + 1;
	resolver.preferred = resolver.count;
	memset(calls, 0, sizeof(calls));
	line_count = 0;
	line = NULL;
	numbers = 0;
	connecting = options >> 4;
	in_done = 0;
	relay = relay_new(&loop, &config, &resolver, &inflight);
	check(relay, "no memory");
}

static void end(uint8_t options)
{
	in_done = 0;
	pass(0);
	pass((TIMEOUT_MS + 10) * (int64_t)1000);
	check(calls_under_way() == 0, "a call that nobody is told of");
	check(budget_used(&inflight) == 0, "the places in flight are not given back");
	if (options & 8) {
		pass(IDLE_US);
		for (size_t i = 0; i < line_count; i++)
			check_closed(&lines[i]);
	}
	relay_free(relay);
	for (size_t i = 0; i < line_count; i++) {
		check_closed(&lines[i]);
		hang_up(&lines[i]);
		buf_release(&lines[i].wrote);
	}
	fake_loop_end();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct program in = {data, data + size};
	uint8_t options = next_byte(&in);

	begin(options);
	while (in.at < in.end)
		operations[next_byte(&in) % (ARRAY_LEN(operations))](&in);
	end(options);
	return 0;
}
