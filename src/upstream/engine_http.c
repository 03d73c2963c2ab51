/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DESIGN: the engine for http://. A request is written without a copy (http_request), in one system
 * call where the socket takes it. Its answer is parsed from one buffer that all transfers share,
 * since http_response keeps what it needs.
 *
 *	start ─┬─ a kept connection ──────────────┬──> writing ──> waiting ──> ended()
 *	       └─ connecting ──connected──────────┘        │          │
 *	             ^  └─refused: next address            │          │
 *	             └── once: a kept one died unanswered, ┴──────────┘
 *	                 or says 408
 *
 * All transfers wait equally long, to connect and altogether, so two rings are the timers. They are
 * on loop_awake_us()'s clock, and who is due is looked at once more before it is ended. The time
 * to connect has two halves: an address that is silent in the first costs no more than that. An
 * answer may come before all is written; it counts, and the connection is closed. What comes before
 * anything is written answers nothing, and the connection counts as dead. Nor does a 408 on a kept
 * connection: the peer got tired of waiting, and the request crossed its goodbye (RFC 9110, 15.5.9).
 */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/text.h"
#include "upstream/engine.h"
#include "upstream/http_pool.h"
#include "upstream/http_request.h"
#include "upstream/http_response.h"

enum {
	RECEIVE_BYTES = 16384,
};

static const char unconnected[] = "The connection was not made in time";

struct http_transfer {
	struct transfer base;
	struct http_engine *engine;
	struct http_connection *connection;         /* NULL: not in flight */
	struct list due, connecting;                /* `connecting`: in its ring until connected */
	int64_t connecting_since_us, half_since_us; /* on loop_awake_us()'s clock */
	unsigned first_address, tried;              /* of the route */
	struct http_request request;
	struct http_response reply;
};

struct http_engine {
	struct engine base;
	struct http_pool pool;
	struct loop_timer timer;
	struct list due, connecting;
	char received[RECEIVE_BYTES];
};

static struct http_transfer *transfer_of(struct transfer *base)
{
	return (struct http_transfer *)(void *)base;
}

static struct http_engine *engine_of(struct engine *base)
{
	return (struct http_engine *)(void *)base;
}

static void arm_http_timer(struct http_engine *engine, int64_t due_us)
{
	if (engine->timer.due_us > due_us)
		engine->timer.due_us = due_us;
}

/* For a deadline on loop_awake_us()'s clock. */
static void arm_for_deadline(struct http_engine *engine, int64_t due_us)
{
	arm_http_timer(engine, due_us + engine->base.loop->lost_us);
}

static bool is_connecting(const struct http_transfer *t)
{
	return t->connecting.next != NULL;
}

/* The transfer no longer has a connection, nor a deadline. */
static void release_connection(struct http_transfer *t, bool keep)
{
	list_remove(&t->due);
	list_remove(&t->connecting);
	if (!t->connection)
		return;
	if (keep) {
		http_pool_keep(t->connection);
		arm_http_timer(t->engine,
			       t->engine->base.loop->now_us + CONNECTION_IDLE_S * (int64_t)1000000);
	} else {
		http_pool_close(t->connection);
	}
	t->connection = NULL;
}

/* An answer whose header came whole counts whatever came after it. */
static void end_transfer(struct http_transfer *t, enum relay_failure failure, const char *reason)
{
	const struct http_response *reply = &t->reply;
	struct answer *answer = &t->base.answer;

	release_connection(t, false);
	answer->failure = failure;
	answer->reason = reason;
	if (reply->answered) {
		answer->failure = RELAY_ANSWERED;
		answer->status = reply->status;
		answer->retry_after =
			(struct view){reply->retry_after.text, reply->retry_after.len};
		answer->session_status =
			(struct view){reply->session_status.text, reply->session_status.len};
	}
}

static void end_and_call_back(struct http_transfer *t, enum relay_failure failure,
			      const char *reason)
{
	end_transfer(t, failure, reason);
	t->engine->base.ended(&t->base);
}

/* Each connection of a route begins with another of the preferred addresses; the others follow. */
static const struct resolver_address *next_address(struct http_transfer *t)
{
	const struct resolver_addresses *addresses = &t->base.route->addresses;
	size_t preferred = addresses->preferred, i = t->tried++;

	if (i >= addresses->count)
		return NULL;
	if (i < preferred)
		i = (t->first_address + i) % preferred;
	return &addresses->list[i];
}

/* False, with the answer filled in: there is no address left. */
static bool connect_next(struct http_transfer *t, int error)
{
	struct http_engine *engine = t->engine;
	const struct resolver_address *address;

	while ((address = next_address(t))) {
		t->connection = http_pool_connect(&engine->pool, address,
						  engine->base.config->upstream_port, t);
		if (t->connection)
			return true;
		error = errno;
	}
	end_transfer(t, RELAY_UNCONNECTED, strerror(error));
	return false;
}

static int64_t half_due_us(const struct http_transfer *t)
{
	return t->half_since_us + t->engine->base.config->upstream_connect_timeout_ms * 1000 / 2;
}

static void begin_half(struct http_transfer *t)
{
	struct http_engine *engine = t->engine;

	t->half_since_us = loop_awake_us(engine->base.loop);
	list_remove(&t->connecting);
	list_add(&engine->connecting, &t->connecting);
	arm_for_deadline(engine, half_due_us(t));
}

static bool begin_connecting(struct http_transfer *t)
{
	t->first_address = t->base.route->begun++;
	t->tried = 0;
	begin_half(t);
	t->connecting_since_us = t->half_since_us;
	return connect_next(t, EHOSTUNREACH);
}

/* The address that is tried has been silent: where the way is blocked for its whole family, the
 * others of it are no better. The last one of all goes on. */
static void end_half(struct http_transfer *t)
{
	const struct resolver_addresses *addresses = &t->base.route->addresses;

	if (t->half_since_us != t->connecting_since_us) {
		end_and_call_back(t, RELAY_UNCONNECTED, unconnected);
		return;
	}
	begin_half(t);
	if (t->tried >= addresses->count)
		return;
	if (t->tried < addresses->preferred && addresses->preferred < addresses->count)
		t->tried = (unsigned)addresses->preferred;
	http_pool_close(t->connection);
	t->connection = NULL;
	if (!connect_next(t, ETIMEDOUT))
		t->engine->base.ended(&t->base);
}

/* Its connection died. A kept one may have died before the request came: then it is sent once more.
 * False, with the answer filled in: the call has failed. */
static bool retry_on_new_connection(struct http_transfer *t, const char *reason)
{
	bool reused = t->connection->reused;

	http_pool_close(t->connection);
	t->connection = NULL;
	if (!reused || t->reply.seen > 0) {
		end_transfer(t, RELAY_BROKEN, reason);
		return false;
	}
	t->request.written = 0;
	return begin_connecting(t);
}

/* False with errno set: the connection is dead. */
static bool write_some(struct http_transfer *t)
{
	struct iovec parts[HTTP_REQUEST_PARTS];
	struct msghdr message = {.msg_iov = parts,
				 .msg_iovlen = http_request_remaining(&t->request, parts)};
	ssize_t n = sendmsg(t->connection->watch.fd, &message, MSG_NOSIGNAL);

	if (n > 0) {
		if (t->request.written == 0)
			transfer_count_attempt(&t->base);
		t->request.written += (size_t)n;
	} else if (n < 0 && errno != EAGAIN && errno != EINTR) {
		return false;
	}
	return http_connection_watch_writing(t->connection, !http_request_is_written(&t->request));
}

/* True: the reply was for the time in which the connection was idle, and the request goes on. */
static bool retry_after_goodbye(struct http_transfer *t)
{
	if (!t->connection->reused || !t->reply.answered || t->reply.status != 408)
		return false;
	http_response_init(&t->reply);
	if (!retry_on_new_connection(t, "The kept connection was given up"))
		t->engine->base.ended(&t->base);
	return true;
}

static void on_reply(struct http_transfer *t, enum http_response_result result, bool clean)
{
	if (result == HTTP_RESPONSE_MORE || retry_after_goodbye(t))
		return;
	if (result == HTTP_RESPONSE_WHOLE && clean && t->reply.keep &&
	    http_request_is_written(&t->request))
		release_connection(t, true);
	end_and_call_back(t, t->reply.speaks_http ? RELAY_BROKEN : RELAY_NOT_HTTP, t->reply.wrong);
}

/* `hung_up`: the peer will send no more than what is there. */
static void read_some(struct http_transfer *t, bool hung_up)
{
	char *received = t->engine->received;
	ssize_t n = recv(t->connection->watch.fd, received, RECEIVE_BYTES, 0);
	enum http_response_result result;
	size_t used;

	if (n > 0 && t->request.written == 0) {
		if (!retry_on_new_connection(t, "It answered before it was asked"))
			t->engine->base.ended(&t->base);
	} else if (n > 0) {
		result = http_response_feed(&t->reply, (struct view){received, (size_t)n}, &used);
		/* Where the buffer is full, more may be there, which is nobody's answer. */
		on_reply(t, result, used == (size_t)n && n < RECEIVE_BYTES && !hung_up);
	} else if (n == 0 && t->reply.seen > 0) {
		on_reply(t, http_response_end(&t->reply), false);
	} else if (n == 0 || hung_up || (errno != EAGAIN && errno != EINTR)) {
		if (!retry_on_new_connection(t,
					     n == 0 ? "The connection was closed without an answer"
						    : strerror(errno)))
			t->engine->base.ended(&t->base);
	}
}

/* False: it is not connected, or not any more. */
static bool finish_connecting(struct http_transfer *t)
{
	int error = 0;
	socklen_t size = sizeof(error);

	getsockopt(t->connection->watch.fd, SOL_SOCKET, SO_ERROR, &error, &size);
	if (error == 0) {
		list_remove(&t->connecting);
		return true;
	}
	http_pool_close(t->connection);
	t->connection = NULL;
	if (!connect_next(t, error))
		t->engine->base.ended(&t->base);
	return false;
}

static void on_connection_ready(struct http_connection *connection, uint32_t events)
{
	struct http_transfer *t = connection->user;
	bool hung_up = (events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0;

	if (is_connecting(t) && !finish_connecting(t))
		return;
	/* What was there before the first byte of the request is no answer to it. */
	if ((events & EPOLLIN) && t->request.written == 0) {
		read_some(t, hung_up);
		return;
	}
	/* Where the rest cannot be written, the answer may be there all the same. */
	if ((events & EPOLLOUT) && !http_request_is_written(&t->request) && !write_some(t))
		hung_up = true;
	if (hung_up || (events & EPOLLIN))
		read_some(t, hung_up);
}

/* True: it is past; else the timer is armed for it. */
static bool is_past(struct http_engine *engine, int64_t due_us)
{
	if (due_us <= loop_awake_us(engine->base.loop))
		return true;
	arm_for_deadline(engine, due_us);
	return false;
}

/* What its connection has to say that no event has told of yet; poll(2) has the bits of epoll(7).
 * True: that may have ended the transfer. */
static bool look_again(struct http_transfer *t)
{
	short wanted = (short)(POLLIN | (t->connection->watch.events & EPOLLOUT));
	struct pollfd now = {.fd = t->connection->watch.fd, .events = wanted};

	if (poll(&now, 1, 0) <= 0)
		return false;
	on_connection_ready(t->connection, (uint32_t)now.revents);
	return true;
}

static void end_halves(struct http_engine *engine)
{
	struct http_transfer *looked_at = NULL, *t;

	while (!list_is_empty(&engine->connecting)) {
		t = container_of(engine->connecting.next, struct http_transfer, connecting);
		if (!is_past(engine, half_due_us(t)))
			return;
		if (t != looked_at && look_again(t))
			looked_at = t;
		else
			end_half(t);
	}
}

static void end_silent(struct http_engine *engine)
{
	struct http_transfer *looked_at = NULL, *t;

	while (!list_is_empty(&engine->due)) {
		t = container_of(engine->due.next, struct http_transfer, due);
		if (!is_past(engine, transfer_due_us(&t->base, engine->base.config)))
			return;
		if (t != looked_at && look_again(t))
			looked_at = t;
		else if (is_connecting(t))
			end_and_call_back(t, RELAY_UNCONNECTED, unconnected);
		else
			end_and_call_back(t, RELAY_SILENT, "The answer did not come in time");
	}
}

static void on_http_timer(struct loop_timer *timer)
{
	struct http_engine *engine = container_of(timer, struct http_engine, timer);

	end_halves(engine);
	end_silent(engine);
	/* Of the peer's own idle time some has passed, whatever this process did meanwhile. */
	arm_http_timer(engine, http_pool_expire(&engine->pool));
}

static bool http_engine_start(struct engine *base, struct transfer *transfer)
{
	struct http_engine *engine = engine_of(base);
	struct http_transfer *t = transfer_of(transfer);

	http_response_init(&t->reply);
	http_request_init(&t->request, transfer->route, transfer->call);
	list_add(&engine->due, &t->due);
	arm_for_deadline(engine, transfer_due_us(transfer, base->config));
	t->connection = http_pool_take(&engine->pool, t);
	if (!t->connection)
		return begin_connecting(t);
	return write_some(t) || retry_on_new_connection(t, strerror(errno));
}

static void http_engine_cancel(struct engine *base, struct transfer *transfer)
{
	(void)base;
	release_connection(transfer_of(transfer), false);
}

static void http_engine_retire_connections(struct engine *base, int64_t now_us)
{
	(void)now_us;
	http_pool_retire(&engine_of(base)->pool);
}

static struct transfer *new_http_transfer(struct engine *base)
{
	struct http_transfer *t = calloc(1, sizeof(*t));

	if (!t)
		return NULL;
	t->engine = engine_of(base);
	return &t->base;
}

static void free_http_transfer(struct transfer *transfer)
{
	free(transfer);
}

static void http_engine_free(struct engine *base)
{
	http_pool_release(&engine_of(base)->pool);
	free(base);
}

struct engine *engine_http_new(struct loop *loop, const struct config *config,
			       void (*ended)(struct transfer *transfer))
{
	static const struct engine_operations operations = {
		http_engine_free,  new_http_transfer,  free_http_transfer,
		http_engine_start, http_engine_cancel, http_engine_retire_connections};
	struct http_engine *engine = calloc(1, sizeof(*engine));

	if (!engine)
		return NULL;
	engine->base = (struct engine){&operations, loop, config, ended};
	engine->pool.loop = loop;
	engine->pool.user_timeout_ms = (unsigned)config->upstream_timeout_ms;
	engine->pool.idle_max = config->upstream_max_inflight;
	engine->pool.ready = on_connection_ready;
	http_pool_init(&engine->pool);
	list_init(&engine->due);
	list_init(&engine->connecting);
	engine->timer.fire = on_http_timer;
	loop_timer_add(loop, &engine->timer);
	return &engine->base;
}
