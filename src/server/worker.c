/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DESIGN: a worker accepts connections from the listener that it shares with the others, and ends
 * when it is told to; what happens on a connection is connection.c's.
 *
 * Where all connection slots of the process are taken, the connection that has been idle for
 * longest is closed for the next one. Where none is idle, and when the process or the system is out
 * of descriptors or memory, accepting pauses for ACCEPT_PAUSE_US (event "accept_paused") while the
 * kernel's backlog holds what comes.
 */
#include "server/worker.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/log.h"
#include "base/loop.h"
#include "base/text.h"
#include "server/connection.h"
#include "upstream/relay.h"

enum {
	ACCEPT_PAUSE_US = 100 * 1000,
	/* A drained worker ends once nothing was asked for this long: nginx then hardly has a
	 * request on the way to a connection that is about to be closed. */
	DRAIN_QUIET_US = 250 * 1000,
	/* The last part of the drain time, in which connections are closed after their reply. */
	DRAIN_CLOSING_SHARE = 5,
};

struct worker {
	struct worker_shared *shared;
	pthread_t thread;
	struct loop loop;
	struct delivery_context context;
	struct ingest ingest;
	struct connections connections;

	struct loop_watch accept_watch;
	struct loop_timer accept_timer;

	struct loop_watch wake_watch; /* an eventfd: look at drain_deadline_us */
	struct loop_timer drain_timer;
	_Atomic int64_t drain_deadline_us; /* INT64_MAX: not draining */
	bool ended;
	size_t unanswered;
};

/* --- accepting ---------------------------------------------------------------------------------*/

static void pause_accepting(struct worker *worker)
{
	loop_watch_set(&worker->loop, &worker->accept_watch, 0);
	worker->accept_timer.due_us = loop_now_us() + ACCEPT_PAUSE_US;
}

static void on_accept_timer(struct loop_timer *timer)
{
	struct worker *worker = container_of(timer, struct worker, accept_timer);

	/* A new connection wakes all workers. With EPOLLEXCLUSIVE it would be one, which may be
	 * the only one without a free slot. */
	if (!worker->connections.closing &&
	    !loop_watch_set(&worker->loop, &worker->accept_watch, EPOLLIN))
		timer->due_us = loop_now_us() + ACCEPT_PAUSE_US;
}

static bool has_connection(const struct listener *listener)
{
	struct pollfd listening = {.fd = listener->fd, .events = POLLIN};

	return poll(&listening, 1, 0) > 0;
}

static bool accept_one(struct worker *worker)
{
	struct budget *connection_slots = &worker->shared->connection_slots;
	int fd;

	if (!budget_take(connection_slots, 1)) {
		/* Nobody makes room for a connection that another worker has taken. */
		if (!has_connection(worker->shared->listener))
			return true;
		if (!connections_end_idlest(&worker->connections) ||
		    !budget_take(connection_slots, 1)) {
			errno = EMFILE;
			return false;
		}
	}
	fd = accept4(worker->shared->listener->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	if (fd >= 0)
		return connections_add(&worker->connections, fd) != NULL;
	budget_give_back(connection_slots, 1);
	/* Another worker took it, or the peer is gone already. */
	return errno != EMFILE && errno != ENFILE && errno != ENOBUFS && errno != ENOMEM;
}

static void on_listener_ready(struct loop_watch *watch, uint32_t events)
{
	struct worker *worker = container_of(watch, struct worker, accept_watch);

	(void)events;
	/* Who comes is about to ask for something: see has_been_quiet(). */
	worker->connections.last_request_us = worker->loop.now_us;
	if (accept_one(worker))
		return;
	log_limited(
		LOG_WARN, "accept_paused",
		"No further connection can be accepted for now; let nginx open fewer, or raise the limit "
		"of open files if the limit below is less than 4096.",
		LOG_NUM("connections", (int64_t)budget_used(&worker->shared->connection_slots)),
		LOG_NUM("limit", (int64_t)worker->shared->connection_slots.max));
	pause_accepting(worker);
}

/* --- the end -----------------------------------------------------------------------------------*/

static void begin_closing(struct worker *worker)
{
	loop_watch_set(&worker->loop, &worker->accept_watch, 0);
	connections_end(&worker->connections);
}

/* By the loop's clock, which knows nothing of what comes after the last look at the sockets; and a
 * connection that waits to be accepted has a request in it. */
static bool has_been_quiet(const struct worker *worker)
{
	int64_t now_us = worker->loop.now_us;

	return worker->loop.lost_us == worker->loop.lost_before_us &&
	       !has_connection(worker->shared->listener) &&
	       worker->connections.exchanges.busy_count == 0 &&
	       now_us - worker->connections.last_request_us >= DRAIN_QUIET_US;
}

/* The drain time is the operator's, who counts it from the signal whatever this process does: after
 * a stall that is longer, what is there is answered, and it ends. */
static void on_drain_timer(struct loop_timer *timer)
{
	struct worker *worker = container_of(timer, struct worker, drain_timer);
	int64_t deadline_us = atomic_load(&worker->drain_deadline_us);
	int64_t now_us = loop_now_us();
	int64_t reserve_us = worker->shared->config->drain_timeout_ms * 1000 / DRAIN_CLOSING_SHARE;

	if (!worker->connections.closing &&
	    (has_been_quiet(worker) || now_us >= deadline_us - reserve_us))
		begin_closing(worker);
	if (worker->connections.closing &&
	    (worker->connections.count == 0 ||
	     (now_us >= deadline_us && worker->context.at_spool == 0))) {
		worker->unanswered = worker->connections.count;
		worker->ended = true;
		return;
	}
	/* Often enough for the shortest of drain times; there is little else to do by now. */
	timer->due_us = now_us + 10 * 1000;
}

static void on_wake(struct loop_watch *watch, uint32_t events)
{
	struct worker *worker = container_of(watch, struct worker, wake_watch);
	uint64_t count;

	(void)events;
	if (read(watch->fd, &count, sizeof(count)) < 0)
		return;
	/* Being told to stop counts as a request, so that what is on its way still gets here. */
	if (worker->drain_timer.due_us == INT64_MAX)
		worker->connections.last_request_us = loop_now_us();
	on_drain_timer(&worker->drain_timer);
}

static void *run_worker(void *arg)
{
	struct worker *worker = arg;

	while (!worker->ended)
		loop_turn(&worker->loop);
	return NULL;
}

/* --- life --------------------------------------------------------------------------------------*/

static void free_worker(struct worker *worker)
{
	connections_release(&worker->connections);
	delivery_context_release(&worker->context);
	relay_free(worker->context.relay);
	ingest_release(&worker->ingest);
	if (worker->wake_watch.fd >= 0)
		close(worker->wake_watch.fd);
	loop_release(&worker->loop);
	free(worker);
}

static bool set_up_watches(struct worker *worker)
{
	worker->wake_watch.ready = on_wake;
	worker->accept_watch =
		(struct loop_watch){.fd = worker->shared->listener->fd, .ready = on_listener_ready};
	worker->accept_timer = (struct loop_timer){INT64_MAX, on_accept_timer, NULL};
	worker->drain_timer = (struct loop_timer){INT64_MAX, on_drain_timer, NULL};
	loop_timer_add(&worker->loop, &worker->accept_timer);
	loop_timer_add(&worker->loop, &worker->drain_timer);
	worker->wake_watch.fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (worker->wake_watch.fd < 0 ||
	    !loop_watch_set(&worker->loop, &worker->wake_watch, EPOLLIN))
		return false;
	on_accept_timer(&worker->accept_timer);
	return worker->accept_watch.events != 0;
}

static bool set_up_context(struct worker *worker)
{
	struct worker_shared *shared = worker->shared;

	worker->context.dedup = shared->dedup;
	worker->context.breaker = shared->breaker;
	worker->context.spool = shared->spool;
	worker->context.relay =
		relay_new(&worker->loop, shared->config, shared->resolver, &shared->inflight);
	return delivery_context_init(&worker->context, &worker->loop) && worker->context.relay;
}

struct worker *worker_new(struct worker_shared *shared)
{
	struct worker *worker = calloc(1, sizeof(*worker));
	int error;

	if (!worker)
		return NULL;
	worker->shared = shared;
	worker->wake_watch.fd = -1;
	worker->context.mailbox.watch.fd = -1;
	atomic_init(&worker->drain_deadline_us, INT64_MAX);
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
	if (!connections_init(&worker->connections, &worker->loop, &worker->ingest,
			      &worker->context, &worker->shared->connection_slots) ||
	    !set_up_context(worker) || !set_up_watches(worker)) {
		free_worker(worker);
		return NULL;
	}
	error = pthread_create(&worker->thread, NULL, run_worker, worker);
	if (error == 0)
		return worker;
	free_worker(worker);
	errno = error;
	return NULL;
}

void worker_drain(struct worker *worker, int64_t deadline_us)
{
	const uint64_t one = 1;

	atomic_store(&worker->drain_deadline_us, deadline_us);
	/* A full eventfd has woken the worker already. */
	if (write(worker->wake_watch.fd, &one, sizeof(one)) < 0)
		return;
}

size_t worker_join(struct worker *worker)
{
	size_t unanswered;

	pthread_join(worker->thread, NULL);
	unanswered = worker->unanswered;
	free_worker(worker);
	return unanswered;
}
