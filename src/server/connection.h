/* SPDX-License-Identifier: Apache-2.0 */
/*
 * connection: the web server's connections of one loop.
 *
 * Nothing here ever waits for a peer: what comes is read when it is there, a reply that the peer
 * does not take is kept, and written when it does. A worker has one `struct connections` and gives
 * it the sockets that it accepted.
 */
#ifndef FARO_SERVER_CONNECTION_H
#define FARO_SERVER_CONNECTION_H

#include "base/list.h"
#include "server/exchange.h"

struct connections {
	struct loop *loop;
	struct ingest *ingest;
	struct delivery_context *context;
	struct budget *connection_slots; /* of all loops */

	char *input; /* what was read last, from any of them */
	struct buf response, output;

	struct list ring; /* who had something to do last comes last */
	size_t count;
	struct exchange_pool exchanges;
	struct loop_timer due_timer; /* armed while a peer owes us something */
	int64_t last_request_us;
	bool closing;
};

/* The four must outlive it. False without memory; connections_release() is due in any case. */
bool connections_init(struct connections *connections, struct loop *loop, struct ingest *ingest,
		      struct delivery_context *context, struct budget *connection_slots);
/* Also with exchanges under way, but none that the spool has. */
void connections_release(struct connections *connections);

/* Takes over a connected, non-blocking socket and the slot that was taken for it. NULL without
 * memory: the socket is closed, and the slot given back. */
struct connection *connections_add(struct connections *connections, int fd);

/* Ends the connection that has been idle for longest, and gives its slot back. False: none is
 * idle. */
bool connections_end_idlest(struct connections *connections);

/* From here on a reply ends its connection; those that wait for a request, or for the rest of one,
 * end now, and what waits for the upstream goes to the spool. It is over when `count` is 0. */
void connections_end(struct connections *connections);

#endif
