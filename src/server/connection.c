#include "server/connection.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/log.h"
#include "base/text.h"

/*
 * DESIGN: a connection is nginx's, kept over many requests; an exchange is one request on it and
 * holds the memory. An idle connection has no exchange, so memory follows the beacons that are read
 * or wait for the receiver, and not the connections that nginx keeps.
 *
 *	        first byte           last byte, relay       delivery_done           all of it taken
 *	idle ─────────────→ reading ─────────────────→ waiting ─────────→ writing ─────────────────→ idle
 *	                       └────────── reply is ready ───────────────────↗  └─→ ended
 *
 * While an exchange waits for the receiver its connection stays registered, since nginx has nothing
 * to say then. If something does come (it hung up, or it pipelines), the watch is taken away until
 * the answer is written: the beacon is relayed all the same.
 *
 * Every function that epoll, a timer or the context calls holds its connection, works, and lets it go in
 * settle(): only there is a connection freed, or what it waits for next decided.
 *
 * The limits: a request may take PEER_MAX_US from its first byte to its last, and a reply as long
 * until it is taken (event "peer_too_slow"); what breaks the protocol or its limits (fcgi.h) ends the
 * connection at once (event "connection_dropped"). A kept connection may be idle for ever.
 */
enum {
	INPUT_BYTES = 64 * 1024,
	/* Reads before others have their turn: a megabyte. */
	READS_A_TURN = 16,
	PEER_MAX_US = 5 * 1000 * 1000,
	/* How exact that is where many peers are slow. */
	DUE_STEP_US = 100 * 1000,
	REPLY_BYTES = 4096,
	/* How many that have something to say are passed over for one that has not. */
	IDLEST_TRIES = 64,
};

struct connection {
	struct loop_watch watch;
	struct connections *all;
	struct list link;
	struct fcgi_stream stream;
	struct exchange *exchange; /* NULL: idle, or writing */
	struct buf early;          /* what came behind the request that is waiting */
	struct buf unsent;         /* from `sent` on */
	size_t sent;
	int64_t due_us; /* INT64_MAX: the peer owes us nothing */
	bool waiting;   /* for the receiver */
	bool held;      /* a function further up settles it */
	bool last;      /* it ends when all is sent */
	bool dead;      /* it ends as soon as it does not wait */
};

/* --- what a connection waits for ----------------------------------------------------- */

static bool is_reading(const struct connection *connection)
{
	return !connection->dead && !connection->last && !connection->waiting &&
	       connection->unsent.len == 0;
}

static void watch_for(struct connection *connection, uint32_t events)
{
	if (!loop_watch_set(connection->all->loop, &connection->watch, events))
		connection->dead = true;
}

static void give_time(struct connection *connection)
{
	struct loop_timer *timer = &connection->all->due_timer;

	if (connection->due_us == INT64_MAX)
		connection->due_us = connection->all->loop->now_us + PEER_MAX_US;
	if (timer->due_us > connection->due_us)
		timer->due_us = connection->due_us;
}

static void put_exchange(struct connection *connection)
{
	struct exchange *exchange = connection->exchange;

	connection->exchange = NULL;
	exchange_put(&connection->all->exchanges, exchange);
}

static void free_connection(struct connection *connection)
{
	struct connections *all = connection->all;

	watch_for(connection, 0);
	close(connection->watch.fd);
	if (connection->exchange)
		put_exchange(connection);
	buf_release(&connection->early);
	buf_release(&connection->unsent);
	list_remove(&connection->link);
	all->count--;
	budget_give_back(all->connection_slots, 1);
	free(connection);
}

static uint32_t wanted_events(const struct connection *connection)
{
	if (connection->unsent.len > 0)
		return EPOLLOUT;
	return connection->waiting && connection->watch.events == 0 ? 0 : EPOLLIN;
}

/* Not the beacon that waits for the receiver, which is relayed all the same. */
static void bury(struct connection *connection)
{
	if (!connection->waiting) {
		free_connection(connection);
		return;
	}
	watch_for(connection, 0);
	buf_release(&connection->unsent);
	connection->due_us = INT64_MAX;
}

/* Lets go of it: it is freed here, or what it waits for is settled. */
static void settle(struct connection *connection)
{
	connection->held = false;
	list_remove(&connection->link);
	list_add(&connection->all->ring, &connection->link);
	if (connection->exchange && !connection->waiting) {
		exchange_suspend(&connection->all->exchanges, connection->exchange);
		if (connection->stream.phase == FCGI_NO_REQUEST)
			put_exchange(connection);
	}
	if (!connection->dead)
		watch_for(connection, wanted_events(connection));
	if (connection->dead)
		bury(connection);
	else if (connection->unsent.len > 0 ||
		 (!connection->waiting && !fcgi_is_at_rest(&connection->stream)))
		give_time(connection);
	else
		connection->due_us = INT64_MAX;
}

/* --- writing ------------------------------------------------------------------------- */

/* How many of these bytes the kernel took. */
static size_t send_some(struct connection *connection, struct view bytes)
{
	ssize_t n = send(connection->watch.fd, bytes.ptr, bytes.len, MSG_NOSIGNAL);

	if (n < 0 && errno != EAGAIN && errno != EINTR)
		connection->dead = true;
	return n < 0 ? 0 : (size_t)n;
}

/* What is in the output goes out, or behind what has not gone out yet. */
static void send_output(struct connection *connection)
{
	struct buf *output = &connection->all->output;
	size_t sent = 0;

	if (!connection->dead && connection->unsent.len == 0)
		sent = send_some(connection, (struct view){output->data, output->len});
	if (!connection->dead && sent < output->len &&
	    buf_append(&connection->unsent, output->data + sent, output->len - sent) != BUF_OK)
		connection->dead = true;
	buf_shrink(output, REPLY_BYTES);
	if (connection->last && connection->unsent.len == 0)
		connection->dead = true;
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
	if (connection->last)
		connection->dead = true;
}

static void write_reply(struct connection *connection)
{
	struct connections *all = connection->all;
	struct request *request = &connection->exchange->request;

	buf_clear(&all->response);
	if (request_print_reply(request, &all->response) != BUF_OK ||
	    fcgi_put_reply(&connection->stream,
			   (struct view){all->response.data, all->response.len},
			   &all->output) != BUF_OK)
		connection->dead = true;
	buf_shrink(&all->response, REPLY_BYTES);
	if (!connection->stream.keep || all->closing)
		connection->last = true;
	send_output(connection);
	ingest_end(request);
	connection->waiting = false;
	connection->due_us = INT64_MAX;
	put_exchange(connection);
}

/* --- a request ----------------------------------------------------------------------- */

static void take_input(struct connection *connection, struct view bytes);

/* What came early is taken up again; nothing is where it came from. */
static void take_early(struct connection *connection)
{
	struct buf early = connection->early;

	if (early.len == 0 || !is_reading(connection))
		return;
	buf_init(&connection->early, early.max, early.budget);
	take_input(connection, (struct view){early.data, early.len});
	buf_release(&early);
}

/* Also called from within delivery_start(). */
static void delivery_done(struct delivery *delivery)
{
	struct exchange *exchange = container_of(delivery, struct exchange, delivery);
	struct connection *connection = exchange->connection;
	bool held = connection->held;

	connection->held = true;
	ingest_relayed(connection->all->ingest, &exchange->request, &delivery->call);
	write_reply(connection);
	if (held)
		return;
	take_early(connection);
	settle(connection);
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
	exchange->delivery.done = delivery_done;
	connection->waiting = true;
	delivery_start(connection->all->context, &exchange->delivery);
}

static void serve(struct connection *connection)
{
	struct connections *all = connection->all;
	struct exchange *exchange = connection->exchange;
	enum ingest_next next;

	connection->due_us = INT64_MAX;
	all->last_request_us = all->loop->now_us;
	next = ingest_begin(all->ingest, &exchange->request);
	buf_release(&exchange->body);
	if (next == INGEST_RELAY)
		deliver(connection);
	else
		write_reply(connection);
}

/* A body that is under way is answered for what it is; there is nothing to say to what is less. */
static void cut(struct connection *connection)
{
	struct exchange *exchange = connection->exchange;

	if (exchange && !connection->waiting && fcgi_cut(&connection->stream, &exchange->intake)) {
		connection->stream.keep = false;
		serve(connection);
	} else {
		connection->dead = true;
	}
}

/* --- reading ------------------------------------------------------------------------- */

static void drop(struct connection *connection, const char *problem)
{
	log_limited(
		LOG_WARN, "connection_dropped",
		"A peer did not speak FastCGI as a web server does, and its connection was ended; "
		"only a web server should use the socket.",
		LOG_STR("problem", problem));
	connection->dead = true;
}

static void take_some(struct connection *connection, struct view *bytes)
{
	struct connections *all = connection->all;
	enum fcgi_event event;

	if (!connection->exchange)
		connection->exchange = exchange_take(&all->exchanges);
	if (!connection->exchange) {
		connection->dead = true;
		return;
	}
	connection->exchange->connection = connection;
	event = fcgi_feed(&connection->stream, &connection->exchange->intake, bytes, &all->output);
	if (all->output.len > 0)
		send_output(connection);
	if (event == FCGI_STREAM_BROKEN)
		drop(connection, connection->stream.problem);
	if (event == FCGI_REQUEST_READ)
		serve(connection);
}

/* What can't be taken now, since there is an exchange before it, is kept. */
static void take_input(struct connection *connection, struct view bytes)
{
	while (bytes.len > 0 && is_reading(connection))
		take_some(connection, &bytes);
	if (!connection->dead && !connection->last && bytes.len > 0 &&
	    buf_append(&connection->early, bytes.ptr, bytes.len) != BUF_OK)
		connection->last = true;
}

static void read_input(struct connection *connection)
{
	char *input = connection->all->input;

	for (int turn = 0; turn < READS_A_TURN && is_reading(connection); turn++) {
		ssize_t n = recv(connection->watch.fd, input, INPUT_BYTES, 0);

		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			return;
		if (n <= 0) {
			cut(connection);
			return;
		}
		take_input(connection, (struct view){input, (size_t)n});
		if (n < INPUT_BYTES)
			return;
	}
}

static void hold(struct connection *connection)
{
	connection->held = true;
	if (connection->exchange && !connection->waiting)
		exchange_resume(&connection->all->exchanges, connection->exchange);
}

static void connection_ready(struct loop_watch *watch, uint32_t events)
{
	struct connection *connection = container_of(watch, struct connection, watch);

	(void)events;
	if (connection->waiting && connection->unsent.len == 0) {
		watch_for(connection, 0);
		return;
	}
	hold(connection);
	if (connection->unsent.len > 0) {
		send_unsent(connection);
		take_early(connection);
	} else {
		read_input(connection);
	}
	settle(connection);
}

/* --- peers that are slow ------------------------------------------------------------- */

static void end_slow(struct connection *connection)
{
	log_limited(
		LOG_WARN, "peer_too_slow",
		"A FastCGI peer took too long to send its request or to take the reply, and its "
		"connection was ended; let nginx buffer requests (fastcgi_request_buffering on).");
	hold(connection);
	connection->due_us = INT64_MAX;
	if (connection->unsent.len > 0)
		connection->dead = true;
	else
		cut(connection);
	settle(connection);
}

static void look_at_due(struct loop_timer *timer)
{
	struct connections *all = container_of(timer, struct connections, due_timer);
	int64_t now_us = all->loop->now_us;
	int64_t next_us = INT64_MAX;
	size_t left = all->count;

	/* Who is settled meanwhile goes to the end, and is not looked at again. */
	for (struct list *link = all->ring.next, *next; left > 0 && link != &all->ring;
	     link = next, left--) {
		struct connection *c = container_of(link, struct connection, link);

		next = link->next;
		if (c->due_us <= now_us)
			end_slow(c);
		else if (c->due_us < next_us)
			next_us = c->due_us;
	}
	if (next_us < now_us + DUE_STEP_US)
		next_us = now_us + DUE_STEP_US;
	if (timer->due_us > next_us)
		timer->due_us = next_us;
}

/* --- life ---------------------------------------------------------------------------- */

bool connections_init(struct connections *connections, struct loop *loop, struct ingest *ingest,
		      struct delivery_context *context, struct budget *connection_slots)
{
	*connections = (struct connections){.loop = loop,
					    .ingest = ingest,
					    .context = context,
					    .connection_slots = connection_slots};
	list_init(&connections->ring);
	exchange_init_pool(&connections->exchanges, loop, ingest);
	connections->due_timer.fire = look_at_due;
	loop_timer_add(loop, &connections->due_timer);
	buf_init(&connections->response, SIZE_MAX, NULL);
	buf_init(&connections->output, SIZE_MAX, NULL);
	connections->input = malloc(INPUT_BYTES);
	return connections->input;
}

void connections_release(struct connections *connections)
{
	struct list *ring = &connections->ring;

	/* All of them before the first is freed: the end of one is posted to those that wait for it, and
	 * what is posted is linked to what was posted before. */
	for (struct list *link = ring->next; link != ring; link = link->next) {
		struct connection *c = container_of(link, struct connection, link);

		if (c->waiting)
			delivery_cancel(&c->exchange->delivery);
	}
	for (struct list *link = ring->next, *next; link != ring; link = next) {
		next = link->next;
		free_connection(container_of(link, struct connection, link));
	}
	exchange_release_pool(&connections->exchanges);
	buf_release(&connections->response);
	buf_release(&connections->output);
	free(connections->input);
}

struct connection *connections_add(struct connections *connections, int fd)
{
	struct connection *connection = calloc(1, sizeof(*connection));

	if (!connection) {
		close(fd);
		budget_give_back(connections->connection_slots, 1);
		return NULL;
	}
	connection->all = connections;
	connection->watch = (struct loop_watch){.fd = fd, .ready = connection_ready};
	connection->due_us = INT64_MAX;
	fcgi_init(&connection->stream);
	buf_init(&connection->early, INPUT_BYTES, connections->ingest->memory);
	buf_init(&connection->unsent, SIZE_MAX, connections->ingest->memory);
	list_add(&connections->ring, &connection->link);
	connections->count++;
	watch_for(connection, EPOLLIN);
	if (!connection->dead)
		return connection;
	free_connection(connection);
	return NULL;
}

static bool is_idle(const struct connection *connection)
{
	return !connection->exchange && connection->unsent.len == 0 &&
	       fcgi_is_at_rest(&connection->stream);
}

/* Also what hung up. */
static bool has_nothing_to_say(const struct connection *connection)
{
	char byte;

	return recv(connection->watch.fd, &byte, 1, MSG_PEEK) <= 0;
}

bool connections_end_idlest(struct connections *connections)
{
	struct list *ring = &connections->ring;
	int tries = IDLEST_TRIES;

	for (struct list *link = ring->next; link != ring && tries > 0; link = link->next) {
		struct connection *c = container_of(link, struct connection, link);

		if (!is_idle(c))
			continue;
		if (has_nothing_to_say(c)) {
			free_connection(c);
			return true;
		}
		tries--;
	}
	return false;
}

void connections_end(struct connections *connections)
{
	struct list *ring = &connections->ring;

	connections->closing = true;
	/* To spool one may end others, which then are gone, or at the end of the ring with a reply. */
	for (size_t left = connections->count; left > 0 && !list_is_empty(ring); left--) {
		struct connection *c = container_of(ring->next, struct connection, link);

		list_remove(&c->link);
		list_add(ring, &c->link);
		if (c->waiting)
			delivery_spool_now(&c->exchange->delivery);
		else if (c->unsent.len > 0)
			c->last = true;
		else
			free_connection(c);
	}
}
