/* SPDX-License-Identifier: Apache-2.0 */
/*
 * http_pool: the connections of one engine, in its loop.
 *
 * A connection is watched for reading as long as it lives, so a request costs no epoll_ctl(2) and
 * an idle one that the peer closes, or sends what was not asked for, is closed by the event that
 * says so. The one used last is used next; the others get old and are closed.
 */
#ifndef FARO_UPSTREAM_HTTP_POOL_H
#define FARO_UPSTREAM_HTTP_POOL_H

#include "base/list.h"
#include "base/loop.h"
#include "upstream/resolver.h"

struct http_connection;

struct http_pool {
	struct loop *loop;
	unsigned user_timeout_ms; /* TCP_USER_TIMEOUT */
	size_t idle_max;
	/* Called for a connection that has a user; events of idle ones are handled by the pool. */
	void (*ready)(struct http_connection *connection, uint32_t events);

	struct list idle;
	size_t idle_count;
	unsigned epoch; /* connections of an older one are not used again */
};

struct http_connection {
	struct loop_watch watch;
	struct http_pool *pool;
	void *user;       /* NULL: idle */
	struct list link; /* while idle */
	bool reused;
	unsigned epoch;
	int64_t made_us, kept_us;
};

void http_pool_init(struct http_pool *pool);
/* Closes the idle ones; there are no others. */
void http_pool_release(struct http_pool *pool);

/* An idle connection that may be used again and on which nothing has come, or NULL. */
struct http_connection *http_pool_take(struct http_pool *pool, void *user);
/* A new one; `ready` says when it is there, or has failed. NULL with errno set. */
struct http_connection *http_pool_connect(struct http_pool *pool,
					  const struct resolver_address *address, uint16_t port,
					  void *user);
/* For the next request, since this one was answered completely. */
void http_pool_keep(struct http_connection *connection);
void http_pool_close(struct http_connection *connection);
void http_pool_retire(struct http_pool *pool);
/* Closes what was idle too long; when to come again, or INT64_MAX. */
int64_t http_pool_expire(struct http_pool *pool);

/* Whether `ready` is to be called for writing, too. False with errno set. */
bool http_connection_watch_writing(struct http_connection *connection, bool writing);

#endif
