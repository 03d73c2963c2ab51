/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DESIGN: the connections of a loop stand in a ring; each goes to its end when it had something to
 * do. So the first idle one in it has been idle for longest, and is closed for another.
 *
 * One timer serves all peers that owe us something: it is armed for the earliest of their
 * deadlines, and looks at all of them, at most once in DUE_STEP_US. Where the process has stood
 * still meanwhile, it finds that they have more time.
 */
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/text.h"
#include "server/connection_private.h"

enum {
	/* How exact a peer's deadline is where many peers are slow. */
	DUE_STEP_US = 100 * 1000,
	/* How many that have something to say are passed over for one that has not. */
	IDLEST_TRIES = 64,
};

static struct connection *connection_at(struct list *link)
{
	return container_of(link, struct connection, link);
}

/* --- peers that are slow -----------------------------------------------------------------------*/

static void on_due(struct loop_timer *timer)
{
	struct connections *all = container_of(timer, struct connections, due_timer);
	int64_t now_us = loop_awake_us(all->loop);
	int64_t next_us = INT64_MAX;
	size_t left = all->count;

	/* One that is timed out goes to the end of the ring, and is not looked at again. */
	for (struct list *link = all->ring.next, *next; left > 0 && link != &all->ring;
	     link = next, left--) {
		struct connection *c = connection_at(link);

		next = link->next;
		if (c->due_us <= now_us)
			connection_time_out(c);
		else if (c->due_us < next_us)
			next_us = c->due_us;
	}
	if (next_us < now_us + DUE_STEP_US)
		next_us = now_us + DUE_STEP_US;
	if (next_us != INT64_MAX && timer->due_us > next_us + all->loop->lost_us)
		timer->due_us = next_us + all->loop->lost_us;
}

/* --- life --------------------------------------------------------------------------------------*/

bool connections_init(struct connections *connections, struct loop *loop, struct ingest *ingest,
		      struct delivery_context *context, struct budget *connection_slots)
{
	*connections = (struct connections){.loop = loop,
					    .ingest = ingest,
					    .context = context,
					    .connection_slots = connection_slots};
	list_init(&connections->ring);
	exchange_init_pool(&connections->exchanges, loop, ingest);
	connections->due_timer.fire = on_due;
	loop_timer_add(loop, &connections->due_timer);
	buf_init(&connections->response, SIZE_MAX, NULL);
	buf_init(&connections->output, SIZE_MAX, NULL);
	connections->input = malloc(CONNECTION_INPUT_BYTES);
	return connections->input;
}

void connections_release(struct connections *connections)
{
	struct list *ring = &connections->ring;

	/* All of them before the first is freed: the end of one is posted to those that wait for
	 * it, and what is posted is linked to what was posted before. */
	for (struct list *link = ring->next; link != ring; link = link->next)
		if (connection_at(link)->waiting)
			delivery_cancel(&connection_at(link)->exchange->delivery);
	for (struct list *link = ring->next, *next; link != ring; link = next) {
		next = link->next;
		connection_free(connection_at(link));
	}
	exchange_release_pool(&connections->exchanges);
	buf_release(&connections->response);
	buf_release(&connections->output);
	free(connections->input);
}

struct connection *connections_add(struct connections *connections, int fd)
{
	struct connection *connection = connection_new(connections, fd);

	if (!connection) {
		close(fd);
		budget_give_back(connections->connection_slots, 1);
		return NULL;
	}
	if (connection->close == KEEP_OPEN)
		return connection;
	connection_free(connection);
	return NULL;
}

/* --- room for others, and the end --------------------------------------------------------------*/

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
		struct connection *c = connection_at(link);

		if (!is_idle(c))
			continue;
		if (has_nothing_to_say(c)) {
			connection_free(c);
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
	for (struct list *link = ring->next, *next; link != ring; link = next) {
		struct connection *c = connection_at(link);

		next = link->next;
		if (c->waiting)
			delivery_spool_now(&c->exchange->delivery);
		else if (c->unsent.len > 0)
			connection_close_when_sent(c);
		else
			connection_free(c);
	}
}
