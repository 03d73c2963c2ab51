/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DESIGN: what libcurl wants and what epoll has are kept apart, for each file descriptor.
 *
 *	open ──> not in the set ──curl wants IN or OUT──> in the set, EPOLLIN always
 *	              ^                                     │  ^ EPOLLOUT comes and goes
 *	              └──── an event that curl does not want ┘  └─ "remove", "in": nothing to do
 *
 * An event that nobody wants (a kept connection whose peer closed it, or sent what was not asked
 * for) takes the socket out of the set, so that the level-triggered loop does not turn for ever;
 * libcurl finds the connection dead when it next wants to use it.
 *
 * libcurl closes some sockets without telling us (of an address that did not answer, before the
 * next one) and the kernel gives the same number to the next: so an opened socket counts as new,
 * whatever was believed of its number, and is watched at once if libcurl still thinks that it is.
 */
#include "upstream/engine_curl_sockets.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/log.h"

struct curl_socket {
	struct loop_watch watch;
	struct curl_sockets *sockets;
	bool ours;       /* opened by us; else libcurl's own, which it closes as it likes */
	uint32_t wanted; /* what libcurl asks for, in epoll's bits */
	CURL *easy;      /* for this transfer */
};

static void watch_socket(struct curl_socket *s, uint32_t events)
{
	if (loop_watch_set(s->sockets->loop, &s->watch, events))
		return;
	if (errno == EBADF || errno == ENOENT) /* libcurl closed it unnoticed: see above. */
		s->watch.events = 0;
	else /* The call that waits for it ends with its deadline. */
		log_limited(LOG_ERROR, "upstream_unwatched",
			    "A connection to the receiver was given up, because epoll cannot watch "
			    "it; check the limits of epoll and memory.");
}

static void watch_wanted(struct curl_socket *s)
{
	bool missing = (s->wanted & ~s->watch.events) != 0;
	bool idle_writer = (s->watch.events & ~s->wanted & EPOLLOUT) != 0;

	if (!s->ours)
		watch_socket(s, s->wanted);
	else if (missing || idle_writer)
		watch_socket(s, s->wanted | EPOLLIN);
}

/* Both ways, and nothing is left to read: so libcurl finds it dead when it next wants to use it. */
static void shut_down(struct curl_socket *s)
{
	char unread[4096];

	shutdown(s->watch.fd, SHUT_RDWR);
	while (recv(s->watch.fd, unread, sizeof(unread), MSG_DONTWAIT) > 0)
		;
}

static void on_watched_ready(struct loop_watch *watch, uint32_t events)
{
	struct curl_socket *s = (struct curl_socket *)(void *)watch;
	int curl_events = 0;

	/* Errors and hang-ups are found by whoever reads or writes. */
	if (events & (EPOLLERR | EPOLLHUP))
		events |= EPOLLIN | EPOLLOUT;
	events &= s->wanted;
	if (events == 0) {
		watch_socket(s, s->wanted);
		if (s->wanted == 0 && s->ours)
			shut_down(s);
		return;
	}
	if (events & EPOLLIN)
		curl_events |= CURL_CSELECT_IN;
	if (events & EPOLLOUT)
		curl_events |= CURL_CSELECT_OUT;
	s->sockets->ready(s->sockets, watch->fd, curl_events);
}

static bool grow(struct curl_sockets *sockets, size_t count)
{
	struct curl_socket **by_fd;
	size_t i;

	if (count <= sockets->count)
		return true;
	count = (count + 63) / 64 * 64;
	by_fd = realloc(sockets->by_fd, count * sizeof(struct curl_socket *));
	if (!by_fd)
		return false;
	for (i = sockets->count; i < count; i++)
		by_fd[i] = NULL;
	sockets->by_fd = by_fd;
	sockets->count = count;
	return true;
}

/* The record of a number is kept when it is closed: there are as many as were open at once. */
static struct curl_socket *record_of(struct curl_sockets *sockets, curl_socket_t fd)
{
	struct curl_socket *s;

	if (fd < 0 || !grow(sockets, (size_t)fd + 1))
		return NULL;
	s = sockets->by_fd[fd];
	if (s)
		return s;
	s = calloc(1, sizeof(*s));
	if (!s)
		return NULL;
	s->watch = (struct loop_watch){.fd = fd, .ready = on_watched_ready};
	s->sockets = sockets;
	sockets->by_fd[fd] = s;
	return s;
}

static curl_socket_t on_open(void *arg, curlsocktype purpose, struct curl_sockaddr *address)
{
	struct curl_sockets *sockets = arg;
	struct curl_socket *s;
	int fd;

	(void)purpose;
	fd = socket(address->family, address->socktype | SOCK_CLOEXEC | SOCK_NONBLOCK,
		    address->protocol);
	if (fd < 0)
		return CURL_SOCKET_BAD;
	s = record_of(sockets, fd);
	if (!s) {
		close(fd);
		return CURL_SOCKET_BAD;
	}
	/* A peer that stops acknowledging is given up as soon as a silent one. */
	setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &sockets->user_timeout_ms,
		   sizeof(sockets->user_timeout_ms));
	s->ours = true;
	s->watch.events = 0;
	watch_wanted(s);
	return fd;
}

static int on_close(void *arg, curl_socket_t fd)
{
	struct curl_sockets *sockets = arg;

	if (fd >= 0 && (size_t)fd < sockets->count && sockets->by_fd[fd]) {
		struct curl_socket *s = sockets->by_fd[fd];

		watch_socket(s, 0);
		s->ours = false;
		s->wanted = 0;
	}
	return close(fd);
}

static int on_wanted(CURL *easy, curl_socket_t fd, int what, void *arg, void *socket_arg)
{
	struct curl_socket *s = record_of(arg, fd);

	(void)socket_arg;
	/* To return an error would end every transfer; without memory this one ends by its
	 * deadline. */
	if (!s)
		return 0;
	s->easy = easy;
	s->wanted = 0;
	if (what == CURL_POLL_IN || what == CURL_POLL_INOUT)
		s->wanted |= EPOLLIN;
	if (what == CURL_POLL_OUT || what == CURL_POLL_INOUT)
		s->wanted |= EPOLLOUT;
	watch_wanted(s);
	return 0;
}

curl_socket_t curl_sockets_find(const struct curl_sockets *sockets, CURL *easy)
{
	size_t i;

	for (i = 0; i < sockets->count; i++)
		if (sockets->by_fd[i] && sockets->by_fd[i]->easy == easy &&
		    sockets->by_fd[i]->wanted != 0)
			return (curl_socket_t)i;
	return CURL_SOCKET_BAD;
}

void curl_sockets_init(struct curl_sockets *sockets, struct loop *loop, unsigned user_timeout_ms,
		       void (*ready)(struct curl_sockets *, curl_socket_t, int))
{
	*sockets = (struct curl_sockets){
		.loop = loop, .user_timeout_ms = user_timeout_ms, .ready = ready};
}

void curl_sockets_release(struct curl_sockets *sockets)
{
	size_t i;

	for (i = 0; i < sockets->count; i++)
		free(sockets->by_fd[i]);
	free(sockets->by_fd);
	sockets->by_fd = NULL;
	sockets->count = 0;
}

void curl_sockets_attach(struct curl_sockets *sockets, CURLM *multi)
{
	curl_multi_setopt(multi, CURLMOPT_SOCKETFUNCTION, on_wanted);
	curl_multi_setopt(multi, CURLMOPT_SOCKETDATA, sockets);
}

bool curl_sockets_equip(struct curl_sockets *sockets, CURL *easy)
{
	return curl_easy_setopt(easy, CURLOPT_OPENSOCKETFUNCTION, on_open) == CURLE_OK &&
	       curl_easy_setopt(easy, CURLOPT_OPENSOCKETDATA, sockets) == CURLE_OK &&
	       curl_easy_setopt(easy, CURLOPT_CLOSESOCKETFUNCTION, on_close) == CURLE_OK &&
	       curl_easy_setopt(easy, CURLOPT_CLOSESOCKETDATA, sockets) == CURLE_OK;
}
