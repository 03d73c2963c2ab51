/* SPDX-License-Identifier: Apache-2.0 */
/* Programs of hostile peers against connection.c and all that is behind it but the receiver.
 *
 * An input is a byte of options and a program, an operation a byte with its operands (see
 * `operations`): records in any order and size, or bytes that are none, are written to a few
 * socketpairs in pieces, read or not, half-closed, closed; time passes; a fake delivery answers at
 * once, later, or not at all; the process stands still.
 *
 * A second reader, fcgi.c fed with the whole stream, says what there is to answer: what the peer
 * reads must be that, in this order, or end early where the peer was slow, hung up, or there was no
 * room. Build with -fsanitize=fuzzer,address,undefined. */
#include <stdint.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/log.h"
#include "base/text.h"
#include "fakes/delivery.h"
#include "fakes/loop.h"
#include "fcgi_peer.h"
#include "fcgi_records.h"
#include "server/connection.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum {
	PEERS_MAX = 3,
	PIECES_MAX = 64, /* of what is written at a time */
	WRITTEN_MAX = 60 * 1024,
	PEER_MAX_US = 5 * 1000 * 1000,
	STALL_US = 250 * 1000,
	/* A slow peer has its time twice, to write and to read; what it leaves is trimmed. */
	AT_REST_US = 12500 * 1000,
	AMPLE_BYTES = 1 << 20,
};

/* A body may be so long that it is read to its place without what follows it. */
static struct config config = {.path = "/faro",
			       .max_body_bytes = 12000,
			       .max_decoded_bytes = 24000,
			       .upstream_max_inflight = 16};
static struct loop loop;
static struct ingest ingest;
static struct budget memory, connection_slots;
static struct delivery_context context;
static struct connections connections;
static struct peer peers[PEERS_MAX];
static struct peer *peer; /* whose turn it is */
static size_t piece;      /* the size of writes; 0: whole */
static uint8_t answers;   /* how deliveries are answered */
static int64_t passed_us;
static bool ending;

/* --- what the peer does ------------------------------------------------------------------------*/

static void settle(void)
{
	check(fake_loop_settle(&loop), "the loop spins");
}

/* Of the peers' time: from then on any of them may have been too slow. */
static void count_time(int64_t us)
{
	passed_us += us;
	for (struct peer *p = peers; p < peers + PEERS_MAX; p++) {
		if (p->fd < 0 || passed_us < PEER_MAX_US)
			continue;
		p->excused = true;
		if (!p->ended && p->stream.phase == FCGI_IN_BODY)
			expect(p, EXPECT_CUT, p->stream.id);
	}
}

static void pass(int64_t us)
{
	settle();
	count_time(us);
	check(fake_loop_pass(&loop, us), "the loop spins as time passes");
	if (us < AT_REST_US)
		return;
	check(connections.exchanges.busy_count <= fake_delivery.held_count, "a slow peer is kept");
	check(fake_delivery.held_count > 0 || budget_used(&memory) == 0,
	      "the budget is not given back at rest");
}

/* The process stands still, which costs no peer of its time but what a turn may take. */
static void stand_still(int64_t us)
{
	settle();
	count_time(us < STALL_US ? us : STALL_US);
	fake_clock.now_us += us;
	settle();
}

static void peer_write(struct view bytes)
{
	size_t step = piece == 0 ? bytes.len : piece;

	if (step < bytes.len / PIECES_MAX)
		step = bytes.len / PIECES_MAX;
	while (bytes.len > 0 && peer->fd >= 0 && !peer->half_closed) {
		size_t most = step < bytes.len ? step : bytes.len;
		ssize_t n = peer->written + most > WRITTEN_MAX
				    ? -1
				    : send(peer->fd, bytes.ptr, most, MSG_NOSIGNAL | MSG_DONTWAIT);

		if (n <= 0)
			return;
		peer->written += (size_t)n;
		model_write(peer, (struct view){bytes.ptr, (size_t)n});
		bytes = (struct view){bytes.ptr + n, bytes.len - (size_t)n};
		if (piece > 0)
			settle();
	}
}

static void peer_connect(struct peer *p, int room)
{
	int pair[2];

	check(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) == 0,
	      "no socketpair");
	if (room > 0)
		setsockopt(pair[1], SOL_SOCKET, SO_SNDBUF, &room, sizeof(room));
	p->fd = pair[0];
	check(budget_take(&connection_slots, 1), "no place");
	p->connection = connections_add(&connections, pair[1]);
}

/* --- operations --------------------------------------------------------------------------------*/

static void write_buf(struct buf *out)
{
	peer_write((struct view){out->data ? out->data : "", out->len});
	buf_clear(out);
}

static void op_raw(struct program *in, struct buf *out)
{
	(void)out;
	peer_write(next_bytes(in, next_byte(in)));
}

static void op_begin(struct program *in, struct buf *out)
{
	uint8_t how = next_byte(in);

	put_begin(out, how & 3, how & 0x70 ? FCGI_RESPONDER : how >> 7, how & 4);
}

static void put_request(struct buf *out, unsigned id, uint8_t variables, struct view body,
			size_t step)
{
	struct buf pairs;

	buf_init(&pairs, SIZE_MAX, NULL);
	put_variables(&pairs, variables, body.len);
	put_stream(out, FCGI_PARAMS, id, (struct view){pairs.data, pairs.len}, step);
	put_record(out, FCGI_PARAMS, id, VIEW_LITERAL(""), 0);
	put_stream(out, FCGI_STDIN, id, body, step);
	buf_release(&pairs);
}

static void op_request(struct program *in, struct buf *out)
{
	uint8_t how = next_byte(in), variables = next_byte(in), step = next_byte(in);
	struct view body = body_of(how >> 4);
	unsigned id = (how & 3) + 1;

	/* Mostly the coding that the body has. */
	if (step & 1)
		variables = body.ptr[0] == '\x1f' ? 3 : body.ptr[0] == '\x78' ? 4 : 0;
	put_begin(out, id, FCGI_RESPONDER, how & 4);
	put_request(out, id, variables, body, step / 2);
	if (how & 8)
		put_record(out, FCGI_STDIN, id, VIEW_LITERAL(""), step);
}

static void op_params(struct program *in, struct buf *out)
{
	uint8_t how = next_byte(in);
	struct view bytes = next_bytes(in, next_byte(in));

	put_stream(out, FCGI_PARAMS, how & 3, bytes, how >> 3);
	if (how & 4)
		put_record(out, FCGI_PARAMS, how & 3, VIEW_LITERAL(""), 0);
}

static void op_stdin(struct program *in, struct buf *out)
{
	uint8_t how = next_byte(in);

	put_stream(out, FCGI_STDIN, how & 3, next_bytes(in, next_byte(in)), how >> 3);
	if (how & 4)
		put_record(out, FCGI_STDIN, how & 3, VIEW_LITERAL(""), 0);
}

/* Around the limits of a body, and beyond what a socket takes at a time. */
static void op_much(struct program *in, struct buf *out)
{
	static char blanks[16384];
	uint8_t how = next_byte(in), many = next_byte(in);

	memset(blanks, ' ', sizeof(blanks));
	put_stream(out, how & 4 ? FCGI_STDIN : FCGI_PARAMS, how & 3,
		   (struct view){blanks, (size_t)many * 64}, how & 8 ? 1000 : 0);
}

static void op_record(struct program *in, struct buf *out)
{
	uint8_t type = next_byte(in), how = next_byte(in);

	put_record(out, type, how & 3, next_bytes(in, how >> 4), how & 4 ? 255 : 0);
}

static void op_abort(struct program *in, struct buf *out)
{
	put_record(out, FCGI_ABORT_REQUEST, next_byte(in) & 3, VIEW_LITERAL(""), 0);
}

static void op_values(struct program *in, struct buf *out)
{
	uint8_t how = next_byte(in);
	struct buf pairs;

	buf_init(&pairs, SIZE_MAX, NULL);
	if (how & 1)
		put_pair(&pairs, "FCGI_MPXS_CONNS", VIEW_LITERAL(""));
	if (how & 2)
		put_pair(&pairs, "FCGI_MAX_CONNS", VIEW_LITERAL("x"));
	if (how & 4)
		put_pair(&pairs, "FCGI_ELSE", VIEW_LITERAL(""));
	put_record(out, FCGI_GET_VALUES, 0, (struct view){pairs.data ? pairs.data : "", pairs.len},
		   how >> 3);
	buf_release(&pairs);
}

static void op_read(struct program *in, struct buf *out)
{
	uint8_t n = next_byte(in);

	(void)out;
	peer_read(peer, n == 0 ? SIZE_MAX : n);
}

static void op_half_close(struct program *in, struct buf *out)
{
	(void)in;
	(void)out;
	if (peer->fd < 0 || peer->half_closed)
		return;
	shutdown(peer->fd, SHUT_WR);
	peer->half_closed = true;
	model_half_close(peer);
}

static void op_close(struct program *in, struct buf *out)
{
	(void)in;
	(void)out;
	if (peer->fd >= 0)
		close(peer->fd);
	peer->fd = -1;
}

static enum verdict verdict_of(uint8_t byte)
{
	static const enum verdict verdicts[] = {
		VERDICT_ACCEPTED,          VERDICT_SPOOLED,
		VERDICT_DUPLICATE,         VERDICT_OVERLOADED,
		VERDICT_UPSTREAM_REJECTED, VERDICT_UPSTREAM_THROTTLED,
		VERDICT_UPSTREAM_TIMEOUT,  VERDICT_UPSTREAM_UNAVAILABLE,
	};

	return verdicts[byte % 8];
}

static struct peer *peer_of(const struct delivery *delivery)
{
	const struct exchange *exchange = container_of(delivery, struct exchange, delivery);

	for (struct peer *p = peers + PEERS_MAX; p > peers;)
		if ((--p)->connection == exchange->connection)
			return p;
	check(false, "a delivery of no connection");
	return NULL;
}

static enum verdict note(const struct delivery *delivery, enum verdict verdict)
{
	struct peer *p = peer_of(delivery);

	p->answered++;
	if (verdict == VERDICT_ACCEPTED || verdict == VERDICT_SPOOLED ||
	    verdict == VERDICT_DUPLICATE)
		p->accepted++;
	return verdict;
}

static enum verdict on_delivery(struct delivery *delivery)
{
	struct view body = delivery->call.body;

	while (body.len > 0 && (body.ptr[0] == ' ' || body.ptr[0] == '\n'))
		body = (struct view){body.ptr + 1, body.len - 1};
	while (body.len > 0 && (body.ptr[body.len - 1] == ' ' || body.ptr[body.len - 1] == '\n'))
		body.len--;
	check(body.len >= 2 && body.ptr[0] == '{' && body.ptr[body.len - 1] == '}',
	      "a delivery that is no object");
	check(memmem(body.ptr, body.len, "\"shop\"", 6), "a delivery without its labels");
	if (!(answers & 8))
		return VERDICT_OK;
	return note(delivery, verdict_of(answers));
}

static void answer(size_t which, uint8_t how)
{
	struct delivery *delivery;

	if (fake_delivery.held_count == 0)
		return;
	delivery = fake_delivery.held[which % fake_delivery.held_count];
	fake_delivery_answer(delivery, note(delivery, verdict_of(how)));
}

static void op_answer(struct program *in, struct buf *out)
{
	uint8_t how = next_byte(in);

	(void)out;
	answer(how >> 4, how);
}

static void op_answers(struct program *in, struct buf *out)
{
	(void)out;
	answers = next_byte(in);
}

static void op_turn(struct program *in, struct buf *out)
{
	(void)in;
	(void)out;
	settle();
}

static void op_pass(struct program *in, struct buf *out)
{
	uint8_t tenths = next_byte(in);

	(void)out;
	if (tenths & 0x80)
		stand_still((int64_t)(tenths & 0x7f) * 100 * 1000);
	else
		pass((int64_t)tenths * 100 * 1000);
}

static void op_peer(struct program *in, struct buf *out)
{
	uint8_t how = next_byte(in);

	(void)out;
	peer = &peers[how % PEERS_MAX];
	if (!peer->connection && !ending)
		peer_connect(peer, how & 0x80 ? 1 : 0);
}

static void op_piece(struct program *in, struct buf *out)
{
	(void)out;
	piece = next_byte(in);
}

static void op_end(struct program *in, struct buf *out)
{
	(void)in;
	(void)out;
	ending = true;
	for (struct peer *p = peers; p < peers + PEERS_MAX; p++)
		p->excused = true;
	connections_end(&connections);
}

static void (*const operations[])(struct program *in, struct buf *out) = {
	op_request, op_raw,    op_begin, op_params,     op_stdin,   op_much,   op_record,
	op_abort,   op_values, op_read,  op_half_close, op_close,   op_answer, op_answers,
	op_turn,    op_pass,   op_peer,  op_piece,      op_request, op_turn,   op_end,
};

static void run(struct program *in)
{
	struct buf out;

	buf_init(&out, SIZE_MAX, NULL);
	while (in->at < in->end) {
		operations[next_byte(in) % (ARRAY_LEN(operations))](in, &out);
		write_buf(&out);
	}
	buf_release(&out);
}

/* --- the end -----------------------------------------------------------------------------------*/

/* Until nobody has anything to say. */
static void finish_talking(void)
{
	bool more = true;

	while (more) {
		settle();
		more = fake_delivery.held_count > 0;
		while (fake_delivery.held_count > 0)
			answer(0, answers);
		for (struct peer *p = peers; p < peers + PEERS_MAX; p++)
			more = peer_read(p, SIZE_MAX) || more;
	}
}

static void check_talk(struct peer *p, bool ample)
{
	bool complete = is_complete(p);

	peer = p;
	if (p->fd < 0)
		return;
	check(complete || p->eof, "it waits for what it was not told");
	check(p->eof || !p->ended, "it is kept beyond its end");
	if (!ample || p->excused)
		return;
	check(complete, "it ended without a reason");
	check(p->ended || !p->eof, "it is not kept");
	check(p->taken == p->accepted, "a yes that is no 202");
	check(p->replies >= p->answered, "an answer that nobody was told");
}

static void check_rest(void)
{
	peer = NULL;
	if (!ending)
		connections_end(&connections);
	finish_talking();
	pass(AT_REST_US);
	check(connections.count == 0, "connections without an end");
	check(connections.exchanges.busy_count == 0, "exchanges without an end");
	check(connections.exchanges.spares.count == 0, "exchanges that are not trimmed");
}

static void init_once(void)
{
	static const struct labels_source source = {.service_name = "shop"};
	static bool done;

	if (done)
		return;
	done = true;
	log_init(LOG_FORMAT_LOGFMT, LOG_ERROR);
	check(labels_init(&config.labels, &source, NULL, NULL) && loop_init(&loop) &&
		      ingest_init(&ingest, &config, &memory),
	      "no memory");
	fake_delivery.answer = on_delivery;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct program in = {data, data + size};
	uint8_t options = next_byte(&in);
	bool ample = !(options & 1);

	init_once();
	fake_loop_begin();
	loop.timers = NULL;
	loop.now_us = fake_clock.now_us;
	ending = false;
	passed_us = 0;
	piece = options & 4 ? 7 : 0;
	answers = 8;
	budget_init(&connection_slots, SIZE_MAX);
	budget_init(&memory, ample ? AMPLE_BYTES : (size_t)(options >> 3) * 512);
	check(connections_init(&connections, &loop, &ingest, &context, &connection_slots),
	      "no memory");
	for (int i = 0; i < PEERS_MAX; i++)
		peer_init(&peers[i]);
	peer = &peers[0];
	peer_connect(peer, options & 0x80 ? 1 : 0);
	run(&in);
	if (!(options & 2)) {
		finish_talking();
		for (int i = 0; i < PEERS_MAX; i++)
			check_talk(&peers[i], ample);
		check_rest();
	}
	connections_release(&connections);
	ingest_trim(&ingest);
	check(budget_used(&memory) == 0, "the budget is not given back");
	check(budget_used(&connection_slots) == 0, "connection_slots are not given back");
	check(fake_delivery.held_count == 0, "a delivery is left");
	for (int i = 0; i < PEERS_MAX; i++)
		peer_release(&peers[i]);
	fake_loop_end();
	return 0;
}
