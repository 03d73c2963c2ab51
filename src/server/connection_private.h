/* SPDX-License-Identifier: Apache-2.0 */
/*
 * connection_private: what connection.c (one connection) and connections.c (all of a loop) share;
 * private to them.
 */
#ifndef FARO_SERVER_CONNECTION_PRIVATE_H
#define FARO_SERVER_CONNECTION_PRIVATE_H

#include "server/connection.h"

enum {
	/* Of one read beside what is read to its place, and of what comes early. Most requests are
	 * shorter; what it takes of a longer one's body is copied. */
	CONNECTION_INPUT_BYTES = 20 * 1024,
};

/* A connection only ever goes down this list. */
enum close_mode {
	KEEP_OPEN,
	CLOSE_WHEN_SENT, /* reads no further request */
	CLOSE_NOW,       /* but not before the upstream has answered what it waits for */
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
	/* When the peer is too slow, on loop_awake_us()'s clock; INT64_MAX: it owes us nothing. */
	int64_t due_us;
	bool waiting; /* for its delivery */
	enum close_mode close;
};

/* NULL without memory; the socket stays the caller's. */
struct connection *connection_new(struct connections *all, int fd);
/* Closes the socket. Not while a delivery is under way, unless it was cancelled. */
void connection_free(struct connection *connection);

/* Its peer is due: what is there is read, or written, and then it has taken too long. May free
 * it. */
void connection_time_out(struct connection *connection);

/* After this its next reply is its last. */
void connection_close_when_sent(struct connection *connection);

#endif
