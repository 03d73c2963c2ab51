/* SPDX-License-Identifier: Apache-2.0 */
#include "upstream/http_pool.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/text.h"
#include "upstream/engine.h"

enum {
	READING = EPOLLIN | EPOLLRDHUP
};

void http_pool_init(struct http_pool *pool)
{
	list_init(&pool->idle);
}

static int64_t idle_until_us(const struct http_connection *c)
{
	return c->kept_us + CONNECTION_IDLE_S * (int64_t)1000000;
}

static void stop_idling(struct http_connection *c)
{
	if (!c->link.next)
		return;
	list_remove(&c->link);
	c->pool->idle_count--;
}

void http_pool_close(struct http_connection *c)
{
	stop_idling(c);
	loop_watch_set(c->pool->loop, &c->watch, 0);
	close(c->watch.fd);
	free(c);
}

static struct http_connection *oldest_idle(struct http_pool *pool)
{
	return list_is_empty(&pool->idle)
		       ? NULL
		       : container_of(pool->idle.next, struct http_connection, link);
}

void http_pool_release(struct http_pool *pool)
{
	while (!list_is_empty(&pool->idle))
		http_pool_close(oldest_idle(pool));
}

void http_pool_retire(struct http_pool *pool)
{
	pool->epoch++;
	http_pool_release(pool);
}

/* Ages are those of the system's clock: the peer, and what stands between, count them whatever this
 * process does. */
static bool is_worn_out(const struct http_connection *c)
{
	return c->epoch != c->pool->epoch ||
	       c->pool->loop->now_us - c->made_us >= CONNECTION_LIFETIME_S * (int64_t)1000000;
}

/* What is there before the request is no answer to it: an event may not have told of it yet. */
static bool has_nothing_to_read(const struct http_connection *c)
{
	char byte;

	return recv(c->watch.fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) < 0 && errno == EAGAIN;
}

struct http_connection *http_pool_take(struct http_pool *pool, void *user)
{
	while (!list_is_empty(&pool->idle)) {
		struct http_connection *c =
			container_of(pool->idle.prev, struct http_connection, link);

		/* It may have got too old before a timer could say so. */
		if (is_worn_out(c) || idle_until_us(c) <= pool->loop->now_us ||
		    !has_nothing_to_read(c)) {
			http_pool_close(c);
			continue;
		}
		stop_idling(c);
		c->user = user;
		c->reused = true;
		return c;
	}
	return NULL;
}

void http_pool_keep(struct http_connection *c)
{
	struct http_pool *pool = c->pool;

	if (is_worn_out(c)) {
		http_pool_close(c);
		return;
	}
	c->user = NULL;
	c->kept_us = pool->loop->now_us;
	list_add(&pool->idle, &c->link);
	if (++pool->idle_count > pool->idle_max)
		http_pool_close(oldest_idle(pool));
}

int64_t http_pool_expire(struct http_pool *pool)
{
	struct http_connection *c;

	while ((c = oldest_idle(pool))) {
		if (idle_until_us(c) > pool->loop->now_us)
			return idle_until_us(c);
		http_pool_close(c);
	}
	return INT64_MAX;
}

static void on_pooled_ready(struct loop_watch *watch, uint32_t events)
{
	struct http_connection *c = container_of(watch, struct http_connection, watch);

	if (c->user)
		c->pool->ready(c, events);
	else
		http_pool_close(c);
}

bool http_connection_watch_writing(struct http_connection *c, bool writing)
{
	return loop_watch_set(c->pool->loop, &c->watch, READING | (writing ? EPOLLOUT : 0));
}

static socklen_t fill_name(struct sockaddr_storage *name, const struct resolver_address *address,
			   uint16_t port)
{
	struct sockaddr_in *four = (struct sockaddr_in *)(void *)name;
	struct sockaddr_in6 *six = (struct sockaddr_in6 *)(void *)name;

	memset(name, 0, sizeof(*name));
	name->ss_family = (sa_family_t)address->family;
	if (address->family == AF_INET6) {
		six->sin6_port = htons(port);
		inet_pton(AF_INET6, address->text, &six->sin6_addr);
		return sizeof(*six);
	}
	four->sin_port = htons(port);
	inet_pton(AF_INET, address->text, &four->sin_addr);
	return sizeof(*four);
}

static void set_option(int fd, int level, int option, int value)
{
	setsockopt(fd, level, option, &value, sizeof(value));
}

/* A peer that is gone without a word is noticed while idle, and one that stops acknowledging is
 * given up as soon as a silent one. */
static void set_options(int fd, unsigned user_timeout_ms)
{
	set_option(fd, IPPROTO_TCP, TCP_NODELAY, 1);
	set_option(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
	set_option(fd, IPPROTO_TCP, TCP_KEEPIDLE, KEEPALIVE_IDLE_S);
	set_option(fd, IPPROTO_TCP, TCP_KEEPINTVL, KEEPALIVE_INTERVAL_S);
	set_option(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, (int)user_timeout_ms);
}

struct http_connection *http_pool_connect(struct http_pool *pool,
					  const struct resolver_address *address, uint16_t port,
					  void *user)
{
	struct http_connection *c = calloc(1, sizeof(*c));
	struct sockaddr_storage name;
	socklen_t size = fill_name(&name, address, port);
	int error;

	if (!c)
		return NULL;
	c->pool = pool;
	c->user = user;
	c->epoch = pool->epoch;
	c->made_us = pool->loop->now_us;
	c->watch.ready = on_pooled_ready;
	c->watch.fd = socket(address->family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (c->watch.fd < 0) {
		free(c);
		return NULL;
	}
	set_options(c->watch.fd, pool->user_timeout_ms);
	if ((connect(c->watch.fd, (struct sockaddr *)&name, size) == 0 || errno == EINPROGRESS) &&
	    http_connection_watch_writing(c, true))
		return c;
	error = errno;
	close(c->watch.fd);
	free(c);
	errno = error;
	return NULL;
}
