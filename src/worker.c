#include "worker.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "delivery.h"
#include "fcgi.h"
#include "ingest.h"
#include "log.h"
#include "loop.h"
#include "relay.h"

/*
 * DESIGN: a connection is nginx's, kept over many requests; an exchange is one request on it and
 * holds the memory. An idle connection has no exchange, so memory follows the beacons that wait for
 * the receiver and not the connections that nginx keeps.
 *
 *	            readable              delivery_start       delivery_done
 *	idle ──────────────────→ reading ───────────────→ delivered ─────────→ answered ─→ idle
 *	                            └──────────── reply is ready ─────────────↗   └────→ closed
 *
 * While an exchange waits for the receiver its connection stays registered, since nginx has nothing
 * to say then. If something does come (it hung up, or it pipelines), the watch is taken away until
 * the answer is written: the beacon is relayed all the same.
 *
 * Limits: MAX_CONNECTIONS a worker; at it, and when the process or the system is out of descriptors
 * or memory, accepting pauses for ACCEPT_PAUSE_US (event "accept_paused") while the kernel's backlog
 * holds what comes. Reading a request blocks the loop, READING_MAX_US at most and what worker_watch()
 * takes to notice; writing its reply a second a write.
 */
enum {
	MAX_CONNECTIONS = 8192, /* nginx keeps `keepalive` of them a worker process */
	ACCEPT_PAUSE_US = 100 * 1000,
	/* Exchanges kept for reuse: what 64 connections of nginx need at a time. */
	SPARE_EXCHANGES = 64,
	/* A drained worker ends once nothing was asked for this long: nginx then hardly has a
	 * request on the way to a connection that is about to be closed. */
	DRAIN_QUIET_US = 250 * 1000,
	/* The end of the drain time that is kept back for closing connections after their answer.
	 */
	DRAIN_CLOSING_SHARE = 5,
	/* What was not used for this long gives its large buffers back. */
	TRIM_AFTER_US = 1000 * 1000,
	/* From a request's first byte to its last; nginx sends what it has in one go. */
	READING_MAX_US = 5 * 1000 * 1000,
	REPLY_BYTES = 4096,
};

struct connection {
	struct loop_watch watch;
	struct fcgi_conn fcgi;
	struct worker *worker;
	struct exchange *exchange; /* NULL: idle */
	bool watched;
	struct connection *prev, *next;
};

struct exchange {
	struct delivery delivery;
	struct request request;
	struct connection *connection;
	struct exchange *next_spare;
	int64_t used_us; /* when it was last given back */
};

struct worker {
	struct worker_shared *shared;
	pthread_t thread;
	struct loop loop;
	struct delivery_desk desk;
	struct ingest ingest;
	struct buf reply;

	struct loop_watch accept_watch;
	struct loop_timer accept_timer;
	bool accepting;

	/* What the loop is reading from, for worker_watch(); -1: nothing. */
	pthread_mutex_t reading_lock;
	int reading_fd;
	int64_t reading_since_us;

	struct connection *connections;
	size_t connection_count;
	struct exchange *spares; /* the one given back last comes first */
	size_t spare_count, busy_count;
	struct loop_timer trim_timer; /* armed while there is something to trim */

	struct loop_watch wake_watch; /* an eventfd: look at drain_deadline_us */
	struct loop_timer drain_timer;
	_Atomic int64_t drain_deadline_us; /* INT64_MAX: not draining */
	int64_t last_request_us;
	bool closing; /* every connection is closed after its answer */
	bool ended;
	size_t unanswered;
};

/* --- exchanges ----------------------------------------------------------------------- */

static struct exchange *take_exchange(struct worker *worker)
{
	struct exchange *exchange = worker->spares;

	if (exchange) {
		worker->spares = exchange->next_spare;
		worker->spare_count--;
	} else {
		exchange = calloc(1, sizeof(*exchange));
		if (!exchange)
			return NULL;
		ingest_init_request(&worker->ingest, &exchange->request);
	}
	worker->busy_count++;
	return exchange;
}

static void free_exchange(struct exchange *exchange)
{
	request_release(&exchange->request);
	free(exchange);
}

static void put_exchange(struct worker *worker, struct exchange *exchange)
{
	worker->busy_count--;
	if (worker->spare_count >= SPARE_EXCHANGES) {
		free_exchange(exchange);
		return;
	}
	request_clear(&exchange->request);
	exchange->request.body = &worker->ingest.body;
	exchange->connection = NULL;
	exchange->used_us = worker->loop.now_us;
	exchange->next_spare = worker->spares;
	worker->spares = exchange;
	worker->spare_count++;
	if (worker->trim_timer.due_us == INT64_MAX)
		worker->trim_timer.due_us = exchange->used_us + TRIM_AFTER_US;
}

/* Under constant traffic this trims what a burst needed and the present does not. */
static void trim(struct loop_timer *timer)
{
	struct worker *worker = OWNER(timer, struct worker, trim_timer);
	int64_t unused_us = worker->loop.now_us - TRIM_AFTER_US;
	bool busy = worker->busy_count > 0;

	for (struct exchange *e = worker->spares; e; e = e->next_spare) {
		if (e->used_us <= unused_us)
			ingest_trim_request(&e->request);
		else
			busy = true;
	}
	if (!busy)
		ingest_trim(&worker->ingest);
	else
		timer->due_us = worker->loop.now_us + TRIM_AFTER_US;
}

/* --- connections --------------------------------------------------------------------- */

static void watch_connection(struct connection *connection)
{
	if (!connection->watched)
		connection->watched =
			loop_watch_add(&connection->worker->loop, &connection->watch, EPOLLIN);
}

static void unwatch_connection(struct connection *connection)
{
	if (connection->watched)
		loop_watch_remove(&connection->worker->loop, &connection->watch);
	connection->watched = false;
}

static void close_connection(struct connection *connection)
{
	struct worker *worker = connection->worker;

	unwatch_connection(connection);
	fcgi_conn_close(&connection->fcgi);
	if (connection->next)
		connection->next->prev = connection->prev;
	if (connection->prev)
		connection->prev->next = connection->next;
	else
		worker->connections = connection->next;
	worker->connection_count--;
	free(connection);
}

static void write_reply(struct connection *connection)
{
	struct worker *worker = connection->worker;
	struct exchange *exchange = connection->exchange;
	bool keep = false;

	buf_clear(&worker->reply);
	if (request_print_reply(&exchange->request, &worker->reply) == BUF_OK)
		keep = fcgi_conn_reply(&connection->fcgi,
				       (struct view){worker->reply.data, worker->reply.len});
	buf_shrink(&worker->reply, REPLY_BYTES);
	ingest_end(&exchange->request);
	connection->exchange = NULL;
	put_exchange(worker, exchange);
	if (keep && !worker->closing)
		watch_connection(connection);
	if (!keep || worker->closing || !connection->watched)
		close_connection(connection);
}

static void delivery_done(struct delivery *delivery)
{
	struct exchange *exchange = OWNER(delivery, struct exchange, delivery);
	struct connection *connection = exchange->connection;

	ingest_relayed(&connection->worker->ingest, &exchange->request, &delivery->call);
	write_reply(connection);
}

static void deliver_exchange(struct connection *connection, struct exchange *exchange)
{
	struct request *request = &exchange->request;

	exchange->delivery.call = (struct relay_call){
		.body = {request->labelled.data, request->labelled.len},
		.session_id = request->session_id,
		.idempotency_key = request->idempotency_key,
		.traceparent = request->traceparent,
	};
	exchange->delivery.counts = request->counts;
	exchange->delivery.done = delivery_done;
	delivery_start(&connection->worker->desk, &exchange->delivery);
}

static void set_reading(struct worker *worker, int fd)
{
	pthread_mutex_lock(&worker->reading_lock);
	worker->reading_fd = fd;
	worker->reading_since_us = loop_now_us();
	pthread_mutex_unlock(&worker->reading_lock);
}

/* The shutdown makes the read that blocks the loop return, as if the peer had hung up. */
void worker_watch(struct worker *worker, int64_t now_us)
{
	bool ended = false;

	pthread_mutex_lock(&worker->reading_lock);
	if (worker->reading_fd >= 0 && now_us - worker->reading_since_us > READING_MAX_US) {
		shutdown(worker->reading_fd, SHUT_RDWR);
		worker->reading_fd = -1;
		ended = true;
	}
	pthread_mutex_unlock(&worker->reading_lock);
	if (ended)
		log_limited(
			LOG_WARN, "peer_too_slow",
			"A FastCGI peer took too long to send its request, and its connection was "
			"ended; let nginx buffer requests (fastcgi_request_buffering on).");
}

static bool read_request(struct connection *connection, struct request *request)
{
	bool read;

	set_reading(connection->worker, connection->fcgi.fd);
	read = fcgi_conn_read(&connection->fcgi, request);
	set_reading(connection->worker, -1);
	return read;
}

static void serve(struct connection *connection, struct exchange *exchange, bool hung_up)
{
	struct worker *worker = connection->worker;

	if (!read_request(connection, &exchange->request)) {
		if (!hung_up)
			log_limited(
				LOG_WARN, "connection_dropped",
				"A peer stalled or did not speak FastCGI, and its connection was "
				"ended; only a web server should use the socket.");
		put_exchange(worker, exchange);
		buf_clear(&worker->ingest.body);
		close_connection(connection);
		return;
	}
	worker->last_request_us = exchange->request.started_us;
	connection->exchange = exchange;
	exchange->connection = connection;
	if (ingest_begin(&worker->ingest, &exchange->request) == INGEST_RELAY)
		deliver_exchange(connection, exchange);
	else
		write_reply(connection);
}

static void connection_ready(struct loop_watch *watch, uint32_t events)
{
	struct connection *connection = OWNER(watch, struct connection, watch);
	struct exchange *exchange;

	if (connection->exchange) {
		unwatch_connection(connection);
		return;
	}
	exchange = take_exchange(connection->worker);
	if (exchange)
		serve(connection, exchange, events & (EPOLLHUP | EPOLLRDHUP));
	else
		close_connection(connection);
}

/* --- accepting ----------------------------------------------------------------------- */

static void pause_accepting(struct worker *worker)
{
	if (worker->accepting)
		loop_watch_remove(&worker->loop, &worker->accept_watch);
	worker->accepting = false;
	worker->accept_timer.due_us = loop_now_us() + ACCEPT_PAUSE_US;
}

static void resume_accepting(struct loop_timer *timer)
{
	struct worker *worker = OWNER(timer, struct worker, accept_timer);

	/* One worker of several is woken for a connection. */
	if (!worker->closing && !worker->accepting)
		worker->accepting = loop_watch_add(&worker->loop, &worker->accept_watch,
						   EPOLLIN | EPOLLEXCLUSIVE);
	if (!worker->closing && !worker->accepting)
		timer->due_us = loop_now_us() + ACCEPT_PAUSE_US;
}

static bool add_connection(struct worker *worker, int fd)
{
	struct connection *connection = calloc(1, sizeof(*connection));

	if (!connection) {
		close(fd);
		return false;
	}
	if (!fcgi_conn_open(&connection->fcgi, fd)) {
		free(connection);
		return false;
	}
	connection->worker = worker;
	connection->watch = (struct loop_watch){.fd = fd, .ready = connection_ready};
	connection->next = worker->connections;
	if (connection->next)
		connection->next->prev = connection;
	worker->connections = connection;
	worker->connection_count++;
	watch_connection(connection);
	if (connection->watched)
		return true;
	close_connection(connection);
	return false;
}

static bool accept_one(struct worker *worker)
{
	int fd;

	if (worker->connection_count >= MAX_CONNECTIONS) {
		errno = EMFILE;
		return false;
	}
	/* Blocking, since libfcgi reads from it. */
	fd = accept4(worker->shared->listener->fd, NULL, NULL, SOCK_CLOEXEC);
	if (fd >= 0)
		return add_connection(worker, fd);
	/* Another worker took it, or the peer is gone already. */
	return errno != EMFILE && errno != ENFILE && errno != ENOBUFS && errno != ENOMEM;
}

static void listener_ready(struct loop_watch *watch, uint32_t events)
{
	struct worker *worker = OWNER(watch, struct worker, accept_watch);

	(void)events;
	if (accept_one(worker))
		return;
	log_limited(
		LOG_WARN, "accept_paused",
		"No further connection can be taken for now; lower keepalive in nginx's upstream "
		"block, or, if there are far fewer than 8192, raise the limit of open files.",
		LOG_NUM("connections", (int64_t)worker->connection_count));
	pause_accepting(worker);
}

/* --- the end ------------------------------------------------------------------------- */

/* From here on an answer ends its connection; those that wait for a request end now, and what waits
 * for the receiver goes to the spool. */
static void begin_closing(struct worker *worker)
{
	worker->closing = true;
	if (worker->accepting)
		loop_watch_remove(&worker->loop, &worker->accept_watch);
	worker->accepting = false;
	for (struct connection *c = worker->connections, *next; c; c = next) {
		next = c->next;
		if (!c->exchange)
			close_connection(c);
		else
			delivery_hurry(&c->exchange->delivery);
	}
}

static bool is_quiet(const struct worker *worker, int64_t now_us)
{
	return worker->busy_count == 0 && now_us - worker->last_request_us >= DRAIN_QUIET_US;
}

static void look_at_drain(struct loop_timer *timer)
{
	struct worker *worker = OWNER(timer, struct worker, drain_timer);
	int64_t deadline_us = atomic_load(&worker->drain_deadline_us);
	int64_t now_us = loop_now_us();
	int64_t reserve_us = worker->shared->config->drain_timeout_ms * 1000 / DRAIN_CLOSING_SHARE;

	if (!worker->closing && (is_quiet(worker, now_us) || now_us >= deadline_us - reserve_us))
		begin_closing(worker);
	if (worker->closing &&
	    (worker->busy_count == 0 || (now_us >= deadline_us && worker->desk.at_spool == 0))) {
		worker->unanswered = worker->busy_count;
		worker->ended = true;
		return;
	}
	/* Often enough for the shortest of drain times; there is little else to do by now. */
	timer->due_us = now_us + 10 * 1000;
}

static void woken(struct loop_watch *watch, uint32_t events)
{
	struct worker *worker = OWNER(watch, struct worker, wake_watch);
	uint64_t count;

	(void)events;
	if (read(watch->fd, &count, sizeof(count)) < 0)
		return;
	/* Being told to stop counts as a request, so that what is on its way still gets here. */
	if (worker->drain_timer.due_us == INT64_MAX)
		worker->last_request_us = loop_now_us();
	look_at_drain(&worker->drain_timer);
}

static void *run(void *arg)
{
	struct worker *worker = arg;

	while (!worker->ended)
		loop_turn(&worker->loop);
	return NULL;
}

/* --- life ---------------------------------------------------------------------------- */

static void release(struct worker *worker)
{
	for (struct connection *c = worker->connections, *next; c; c = next) {
		next = c->next;
		if (c->exchange) {
			delivery_cancel(&c->exchange->delivery);
			free_exchange(c->exchange);
		}
		close_connection(c);
	}
	for (struct exchange *e = worker->spares, *next; e; e = next) {
		next = e->next_spare;
		free_exchange(e);
	}
	delivery_close_desk(&worker->desk);
	relay_free(worker->desk.relay);
	ingest_release(&worker->ingest);
	buf_release(&worker->reply);
	if (worker->wake_watch.fd >= 0)
		close(worker->wake_watch.fd);
	loop_release(&worker->loop);
	pthread_mutex_destroy(&worker->reading_lock);
	free(worker);
}

static bool set_up_watches(struct worker *worker)
{
	worker->wake_watch.ready = woken;
	worker->accept_watch =
		(struct loop_watch){.fd = worker->shared->listener->fd, .ready = listener_ready};
	worker->accept_timer = (struct loop_timer){INT64_MAX, resume_accepting, NULL};
	worker->drain_timer = (struct loop_timer){INT64_MAX, look_at_drain, NULL};
	worker->trim_timer = (struct loop_timer){INT64_MAX, trim, NULL};
	loop_timer_add(&worker->loop, &worker->accept_timer);
	loop_timer_add(&worker->loop, &worker->drain_timer);
	loop_timer_add(&worker->loop, &worker->trim_timer);
	worker->wake_watch.fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (worker->wake_watch.fd < 0 ||
	    !loop_watch_add(&worker->loop, &worker->wake_watch, EPOLLIN))
		return false;
	resume_accepting(&worker->accept_timer);
	return worker->accepting;
}

static bool open_desk(struct worker *worker)
{
	struct worker_shared *shared = worker->shared;

	worker->desk.dedup = shared->dedup;
	worker->desk.breaker = shared->breaker;
	worker->desk.spool = shared->spool;
	worker->desk.relay =
		relay_new(&worker->loop, shared->config, shared->resolver, &shared->inflight);
	return delivery_open_desk(&worker->desk, &worker->loop) && worker->desk.relay;
}

struct worker *worker_new(struct worker_shared *shared)
{
	struct worker *worker = calloc(1, sizeof(*worker));
	int error;

	if (!worker)
		return NULL;
	worker->shared = shared;
	worker->wake_watch.fd = -1;
	worker->desk.mailbox.watch.fd = -1;
	pthread_mutex_init(&worker->reading_lock, NULL);
	worker->reading_fd = -1;
	atomic_init(&worker->drain_deadline_us, INT64_MAX);
	buf_init(&worker->reply, SIZE_MAX, NULL);
	if (!loop_init(&worker->loop)) {
		free(worker);
		return NULL;
	}
	if (!ingest_init(&worker->ingest, shared->config, &shared->memory)) {
		loop_release(&worker->loop);
		free(worker);
		errno = ENOMEM;
		return NULL;
	}
	if (!open_desk(worker) || !set_up_watches(worker)) {
		release(worker);
		return NULL;
	}
	error = pthread_create(&worker->thread, NULL, run, worker);
	if (error == 0)
		return worker;
	release(worker);
	errno = error;
	return NULL;
}

void worker_drain(struct worker *worker, int64_t deadline_us)
{
	const uint64_t one = 1;

	atomic_store(&worker->drain_deadline_us, deadline_us);
	/* An eventfd is full only where the worker has been told already. */
	if (write(worker->wake_watch.fd, &one, sizeof(one)) < 0)
		return;
}

size_t worker_join(struct worker *worker)
{
	struct timespec second;
	size_t unanswered;

	/* A peer may still hold the loop, which then knows nothing of its deadline. */
	do {
		worker_watch(worker, loop_now_us());
		clock_gettime(CLOCK_REALTIME, &second);
		second.tv_sec++;
	} while (pthread_timedjoin_np(worker->thread, NULL, &second) == ETIMEDOUT);
	unanswered = worker->unanswered;
	release(worker);
	return unanswered;
}
