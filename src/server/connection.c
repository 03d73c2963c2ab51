/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DESIGN: a connection is nginx's, kept over many requests; an exchange is one request on it and
 * holds the memory. An idle connection has no exchange, so memory follows the beacons that are read
 * or wait for the upstream, and not the connections that nginx keeps.
 *
 *	      first byte         last byte, relay    on_delivery_end    all of it taken
 *	idle ───────────→ reading ───────────────→ waiting ─────────→ writing ──────────→ idle
 *	                     └────────── reply is ready ─────────────────↗  └─→ ended
 *
 * While an exchange waits for the upstream its connection stays registered, since nginx has nothing
 * to say then. If something does come (it hung up, or it pipelines), its events are disabled until
 * the reply is written: the beacon is delivered all the same.
 *
 * Every function that epoll, a timer or a delivery calls ends with end_turn(): only there is a
 * connection freed, or what it waits for next decided. Until then `close` says what is to come.
 *
 * Limits: a request may take PEER_MAX_US from its first byte to its last, and a reply as long until
 * it is taken (event "peer_too_slow"), without the time in which this process stood still, and not
 * before all that is there has been read; what breaks the protocol or its limits (fcgi.h) ends the
 * connection at once (event "connection_dropped"). A kept connection may be idle for ever.
 */
#include "server/connection.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/log.h"
#include "base/text.h"
#include "server/connection_private.h"

enum {
	/* Bytes that are read before others have their turn. */
	TURN_BYTES = 1024 * 1024,
	/* So much of a body is worth a call that reads nothing else. */
	LONG_BYTES = 8 * 1024,
	PEER_MAX_US = 5 * 1000 * 1000,
	REPLY_BYTES = 4096,
};

/* --- what a connection waits for ---------------------------------------------------------------*/

static bool is_reading(const struct connection *connection)
{
	return connection->close == KEEP_OPEN && !connection->waiting &&
	       connection->unsent.len == 0;
}

static void watch_peer(struct connection *connection, uint32_t events)
{
	if (!loop_watch_set(connection->all->loop, &connection->watch, events))
		connection->close = CLOSE_NOW;
}

static uint32_t wanted_events(const struct connection *connection)
{
	if (connection->unsent.len > 0)
		return EPOLLOUT;
	return connection->waiting && connection->watch.events == 0 ? 0 : EPOLLIN;
}

/* Gives the peer its time, unless that runs already. */
static void start_deadline(struct connection *connection)
{
	struct loop_timer *timer = &connection->all->due_timer;
	const struct loop *loop = connection->all->loop;

	if (connection->due_us == INT64_MAX)
		connection->due_us = loop_awake_us(loop) + PEER_MAX_US;
	if (timer->due_us > connection->due_us + loop->lost_us)
		timer->due_us = connection->due_us + loop->lost_us;
}

static void put_exchange_back(struct connection *connection)
{
	struct exchange *exchange = connection->exchange;

	connection->exchange = NULL;
	exchange_put(&connection->all->exchanges, exchange);
}

/* Frees the connection, unless its beacon is with the upstream: then only its socket's events are
 * disabled. */
static void free_unless_waiting(struct connection *connection)
{
	if (!connection->waiting) {
		connection_free(connection);
		return;
	}
	watch_peer(connection, 0);
	buf_release(&connection->unsent);
	connection->due_us = INT64_MAX;
}

static void begin_turn(struct connection *connection)
{
	if (connection->exchange && !connection->waiting)
		exchange_resume(&connection->all->exchanges, connection->exchange);
}

/* The connection may be gone after this. */
static void end_turn(struct connection *connection)
{
	list_remove(&connection->link);
	list_add(&connection->all->ring, &connection->link);
	if (connection->exchange && !connection->waiting) {
		exchange_suspend(&connection->all->exchanges, connection->exchange);
		if (connection->stream.phase == FCGI_NO_REQUEST)
			put_exchange_back(connection);
	}
	if (connection->close != CLOSE_NOW)
		watch_peer(connection, wanted_events(connection));
	if (connection->close == CLOSE_NOW)
		free_unless_waiting(connection);
	else if (connection->unsent.len > 0 ||
		 (!connection->waiting && !fcgi_is_at_rest(&connection->stream)))
		start_deadline(connection);
	else
		connection->due_us = INT64_MAX;
}

/* --- writing -----------------------------------------------------------------------------------*/

void connection_close_when_sent(struct connection *connection)
{
	if (connection->close == KEEP_OPEN)
		connection->close = CLOSE_WHEN_SENT;
}

static void close_if_sent(struct connection *connection)
{
	if (connection->close == CLOSE_WHEN_SENT && connection->unsent.len == 0)
		connection->close = CLOSE_NOW;
}

/* How many of these bytes the kernel took. */
static size_t send_some(struct connection *connection, struct view bytes)
{
	ssize_t n = send(connection->watch.fd, bytes.ptr, bytes.len, MSG_NOSIGNAL);

	if (n < 0 && errno != EAGAIN && errno != EINTR)
		connection->close = CLOSE_NOW;
	return n < 0 ? 0 : (size_t)n;
}

/* What is in the output goes out, or behind what has not gone out yet. */
static void send_output(struct connection *connection)
{
	struct buf *output = &connection->all->output;
	size_t sent = 0;

	if (connection->close != CLOSE_NOW && connection->unsent.len == 0)
		sent = send_some(connection, (struct view){output->data, output->len});
	if (connection->close != CLOSE_NOW && sent < output->len &&
	    buf_append(&connection->unsent, output->data + sent, output->len - sent) != BUF_OK)
		connection->close = CLOSE_NOW;
	buf_shrink(output, REPLY_BYTES);
	close_if_sent(connection);
}

static void send_unsent(struct connection *connection)
{
	struct buf *unsent = &connection->unsent;

	connection->sent += send_some(connection, (struct view){unsent->data + connection->sent,
								unsent->len - connection->sent});
	if (connection->sent < unsent->len)
		return;
	connection->sent = 0;
	connection->due_us = INT64_MAX;
	buf_release(unsent);
	close_if_sent(connection);
}

static void write_reply(struct connection *connection)
{
	struct connections *all = connection->all;
	struct request *request = &connection->exchange->request;

	buf_clear(&all->response);
	if (reply_print(&request->reply, &all->response) != BUF_OK ||
	    fcgi_put_reply(&connection->stream,
			   (struct view){all->response.data, all->response.len},
			   &all->output) != BUF_OK)
		connection->close = CLOSE_NOW;
	buf_shrink(&all->response, REPLY_BYTES);
	if (!connection->stream.keep || all->closing)
		connection_close_when_sent(connection);
	send_output(connection);
	ingest_end(request);
	connection->waiting = false;
	connection->due_us = INT64_MAX;
	put_exchange_back(connection);
}

/* --- a request ---------------------------------------------------------------------------------*/

static void feed(struct connection *connection, struct view bytes);

/* What came early is fed again, from another buffer than the one that it would go back to. */
static void feed_early(struct connection *connection)
{
	struct buf early = connection->early;

	if (early.len == 0 || !is_reading(connection))
		return;
	buf_init(&connection->early, early.max, early.budget);
	feed(connection, (struct view){early.data, early.len});
	buf_release(&early);
}

static void write_outcome(struct connection *connection)
{
	struct exchange *exchange = connection->exchange;

	ingest_relayed(connection->all->ingest, &exchange->request, &exchange->delivery.call);
	write_reply(connection);
}

static void on_delivery_end(struct delivery *delivery)
{
	struct exchange *exchange = container_of(delivery, struct exchange, delivery);
	struct connection *connection = exchange->connection;

	write_outcome(connection);
	feed_early(connection);
	end_turn(connection);
}

static void deliver(struct connection *connection)
{
	struct exchange *exchange = connection->exchange;
	struct request *request = &exchange->request;

	exchange->delivery.call = (struct relay_call){
		.body = {request->labelled.data, request->labelled.len},
		.forwarded = request->forwarded,
	};
	exchange->delivery.counts = request->counts;
	exchange->delivery.hash = request->hash;
	exchange->delivery.done = on_delivery_end;
	connection->waiting = true;
	if (delivery_start(connection->all->context, &exchange->delivery) != VERDICT_OK)
		write_outcome(connection);
}

/* Since the request under way began; false without one. */
static bool has_stood_still(const struct connection *connection)
{
	return connection->exchange &&
	       loop_has_stood_still(connection->all->loop, connection->exchange->lost_us);
}

static void handle_request(struct connection *connection)
{
	struct connections *all = connection->all;
	struct exchange *exchange = connection->exchange;
	enum ingest_next next;

	/* Whoever gave up meanwhile, or because of it, is not to blame. */
	if (exchange->request.body_state == BODY_BROKEN && has_stood_still(connection))
		exchange->request.body_state = BODY_STALLED;
	connection->due_us = INT64_MAX;
	all->last_request_us = all->loop->now_us;
	exchange_end_body(exchange);
	next = ingest_begin(all->ingest, &exchange->request);
	if (next == INGEST_RELAY)
		deliver(connection);
	else
		write_reply(connection);
}

/* Answers a request whose body is incomplete; one still in its headers is closed without a
 * reply. */
static void handle_incomplete(struct connection *connection)
{
	struct exchange *exchange = connection->exchange;

	if (exchange && !connection->waiting &&
	    fcgi_end_early(&connection->stream, &exchange->intake)) {
		connection->stream.keep = false;
		handle_request(connection);
	} else {
		connection->close = CLOSE_NOW;
	}
}

/* --- reading -----------------------------------------------------------------------------------*/

static void close_on_violation(struct connection *connection)
{
	log_limited(
		LOG_WARN, "connection_dropped",
		"A peer sent something that a FastCGI web server does not send, and its connection was "
		"closed; only the web server should use the socket.",
		LOG_STR("problem", connection->stream.problem));
	connection->close = CLOSE_NOW;
}

/* Up to the end of a request. */
static void feed_some(struct connection *connection, struct view *bytes)
{
	struct connections *all = connection->all;
	enum fcgi_event event;

	if (!connection->exchange)
		connection->exchange = exchange_take(&all->exchanges);
	if (!connection->exchange) {
		connection->close = CLOSE_NOW;
		return;
	}
	connection->exchange->connection = connection;
	event = fcgi_feed(&connection->stream, &connection->exchange->intake, bytes, &all->output);
	if (all->output.len > 0)
		send_output(connection);
	if (event == FCGI_STREAM_BROKEN)
		close_on_violation(connection);
	if (event == FCGI_REQUEST_READ)
		handle_request(connection);
}

/* What follows a request that is not answered yet is kept until it is. */
static void feed(struct connection *connection, struct view bytes)
{
	while (bytes.len > 0 && is_reading(connection))
		feed_some(connection, &bytes);
	if (connection->close == KEEP_OPEN && bytes.len > 0 &&
	    buf_append(&connection->early, bytes.ptr, bytes.len) != BUF_OK)
		connection->close = CLOSE_WHEN_SENT;
}

/* Where the next bytes go: those of a body to their place in it, as far as that has room already, the
 * others to the input. Behind a long piece of a body only the next record's header is read, so that
 * the content of that record goes to its place as well. */
static void plan_read(const struct connection *connection, struct iovec parts[2])
{
	const struct fcgi_stream *stream = &connection->stream;
	size_t ahead = fcgi_body_ahead(stream), room = 0;

	if (ahead > 0)
		room = request_body_room(&connection->exchange->request, &parts[0].iov_base);
	parts[0].iov_len = ahead < room ? ahead : room;
	parts[1].iov_base = connection->all->input;
	parts[1].iov_len = CONNECTION_INPUT_BYTES;
	if (ahead >= LONG_BYTES && ahead <= room)
		parts[1].iov_len = stream->padding_left + FCGI_HEADER_BYTES;
}

static void feed_parts(struct connection *connection, const struct iovec parts[2], size_t n)
{
	size_t placed = n < parts[0].iov_len ? n : parts[0].iov_len;

	feed(connection, (struct view){parts[0].iov_base, placed});
	feed(connection, (struct view){parts[1].iov_base, n - placed});
}

/* True: there may be more. */
static bool read_input(struct connection *connection)
{
	size_t taken = 0;

	while (taken < TURN_BYTES && is_reading(connection)) {
		struct iovec parts[2] = {{NULL, 0}};
		ssize_t n;

		plan_read(connection, parts);
		n = readv(connection->watch.fd, parts, ARRAY_LEN(parts));
		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			return false;
		if (n <= 0) {
			handle_incomplete(connection);
			return false;
		}
		feed_parts(connection, parts, (size_t)n);
		if ((size_t)n < parts[0].iov_len + parts[1].iov_len)
			return false;
		taken += (size_t)n;
	}
	return is_reading(connection);
}

/* Takes what is there, or sends what is to be sent. True: there may be more to read. */
static bool serve_peer(struct connection *connection)
{
	if (connection->unsent.len == 0)
		return read_input(connection);
	send_unsent(connection);
	feed_early(connection);
	return false;
}

static void on_peer_ready(struct loop_watch *watch, uint32_t events)
{
	struct connection *connection = container_of(watch, struct connection, watch);

	(void)events;
	if (connection->waiting && connection->unsent.len == 0) {
		watch_peer(connection, 0);
		return;
	}
	begin_turn(connection);
	serve_peer(connection);
	end_turn(connection);
}

static void end_slow(struct connection *connection)
{
	if (!has_stood_still(connection))
		log_limited(LOG_WARN, "peer_too_slow",
			    "A FastCGI peer took too long to send its request or to read the "
			    "reply, and its connection was closed; let nginx buffer requests "
			    "(fastcgi_request_buffering on).");
	connection->due_us = INT64_MAX;
	if (connection->unsent.len > 0)
		connection->close = CLOSE_NOW;
	else
		handle_incomplete(connection);
}

void connection_time_out(struct connection *connection)
{
	int64_t now_us = loop_awake_us(connection->all->loop);
	bool more;

	begin_turn(connection);
	more = serve_peer(connection);
	if (!more && connection->close != CLOSE_NOW && connection->due_us <= now_us)
		end_slow(connection);
	end_turn(connection);
}

/* --- life --------------------------------------------------------------------------------------*/

struct connection *connection_new(struct connections *all, int fd)
{
	struct connection *connection = calloc(1, sizeof(*connection));

	if (!connection)
		return NULL;
	connection->all = all;
	connection->watch = (struct loop_watch){.fd = fd, .ready = on_peer_ready};
	connection->due_us = INT64_MAX;
	fcgi_init(&connection->stream);
	buf_init(&connection->early, CONNECTION_INPUT_BYTES, all->ingest->memory);
	buf_init(&connection->unsent, SIZE_MAX, all->ingest->memory);
	list_add(&all->ring, &connection->link);
	all->count++;
	watch_peer(connection, EPOLLIN);
	return connection;
}

void connection_free(struct connection *connection)
{
	struct connections *all = connection->all;

	watch_peer(connection, 0);
	close(connection->watch.fd);
	if (connection->exchange)
		put_exchange_back(connection);
	buf_release(&connection->early);
	buf_release(&connection->unsent);
	list_remove(&connection->link);
	all->count--;
	budget_give_back(all->connection_slots, 1);
	free(connection);
}
