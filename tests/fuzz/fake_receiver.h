/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fake_receiver: the sockets of the relay's engine without a network.
 *
 * For one file of a program that is linked with -Wl,--wrap=socket,--wrap=connect,--wrap=sendmsg.
 * Each socket is one end of a pair, whose other end is a `struct line`; what is
 * sent on it says by its session which call it is of, and is held against what a connection may
 * carry.
 */
#ifndef FARO_FUZZ_FAKE_RECEIVER_H
#define FARO_FUZZ_FAKE_RECEIVER_H

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "program.h"
#include "upstream/relay.h"

enum {
	CALLS_MAX = 4,
	LINES_MAX = 64,
};

/* A connection as the receiver has it. */
struct line {
	int fd, client; /* fd -1: closed; client: the other end, until it is connected */
	struct buf wrote;
	size_t answered;    /* how much of it were whole replies to calls that are over */
	size_t total, sent; /* of the present request */
	unsigned call;      /* the number of the present one; 0: none */
	bool shut;          /* for writing */
	bool spent;         /* must not be used again */
	bool polluted;      /* something came before the present request */
};

struct call {
	struct relay_call call; /* the first member */
	unsigned number;        /* 0: not under way */
	char name[16];
	int64_t started_us;
	struct line *line; /* it was sent on this one last */
	bool sent;
	size_t told;
};

static struct call calls[CALLS_MAX];
static struct line lines[LINES_MAX];
static size_t line_count;
static struct line *line;  /* whose turn it is; NULL: there is none yet */
static bool turning;       /* in the loop: what is there has its event in this turn */
static uint8_t connecting; /* how the next connection comes about */

/* --- sockets -----------------------------------------------------------------------------------*/

int __real_socket(int domain, int type, int protocol);
int __wrap_socket(int domain, int type, int protocol);
int __wrap_connect(int fd, const struct sockaddr *name, socklen_t size);
ssize_t __real_sendmsg(int fd, const struct msghdr *message, int flags);
ssize_t __wrap_sendmsg(int fd, const struct msghdr *message, int flags);

enum {
	CONNECTS_AT_ONCE,
	CONNECTS_SOON,
	CONNECTS_IF_READ, /* not before the receiver reads */
	CONNECTS_TIGHT,   /* and takes little at a time */
	CONNECTS_TO_NOBODY,
	CONNECTS_TO_NOBODY_SOON,
	CONNECTS_WITHOUT_SOCKET,
	CONNECTS_KINDS,
};

int __wrap_socket(int domain, int type, int protocol)
{
	int pair[2];
	struct line *l = &lines[line_count];

	(void)domain;
	(void)protocol;
	if (connecting % CONNECTS_KINDS == CONNECTS_WITHOUT_SOCKET || line_count == LINES_MAX) {
		errno = EMFILE;
		return -1;
	}
	check(socketpair(AF_UNIX, type, 0, pair) == 0, "no socketpair");
	*l = (struct line){.fd = pair[1], .client = pair[0]};
	buf_init(&l->wrote, SIZE_MAX, NULL);
	line_count++;
	return pair[0];
}

static void fill(int fd)
{
	static const char junk[4096];
	int least = 1;

	setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &least, sizeof(least));
	while (send(fd, junk, sizeof(junk), MSG_DONTWAIT | MSG_NOSIGNAL) > 0)
		;
}

static void hang_up(struct line *l)
{
	if (l->fd >= 0)
		close(l->fd);
	l->fd = -1;
}

int __wrap_connect(int fd, const struct sockaddr *name, socklen_t size)
{
	struct line *l = &lines[line_count - 1];
	int kind = connecting % CONNECTS_KINDS, least = 1;

	(void)name;
	(void)size;
	check(l->client == fd, "it connects another socket than the last");
	/* The next one comes about without trouble. */
	connecting = 0;
	line = l;
	switch (kind) {
	case CONNECTS_TO_NOBODY:
		hang_up(l);
		errno = ECONNREFUSED;
		return -1;
	case CONNECTS_TO_NOBODY_SOON:
		fill(fd);
		hang_up(l);
		break;
	case CONNECTS_IF_READ:
		fill(fd);
		break;
	case CONNECTS_TIGHT:
		setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &least, sizeof(least));
		break;
	case CONNECTS_AT_ONCE:
		return 0;
	default:
		break;
	}
	errno = EINPROGRESS;
	return -1;
}

/* Client descriptors are used again, so the last one counts. */
static struct line *line_of(int client)
{
	for (size_t i = line_count; i-- > 0;)
		if (lines[i].client == client)
			return &lines[i];
	check(false, "a socket of nobody");
	return NULL;
}

static struct call *call_of(const char *head, size_t len)
{
	for (size_t i = 0; i < CALLS_MAX; i++)
		if (calls[i].number && memmem(head, len, calls[i].name, strlen(calls[i].name)))
			return &calls[i];
	check(false, "a request of no call");
	return NULL;
}

static void begin_request(struct line *l, const struct msghdr *message)
{
	char head[2048];
	size_t len = 0, total = 0;
	struct call *call;

	for (size_t i = 0; i < message->msg_iovlen; i++) {
		size_t n = message->msg_iov[i].iov_len, room = sizeof(head) - len;

		total += n;
		memcpy(head + len, message->msg_iov[i].iov_base, n < room ? n : room);
		len += n < room ? n : room;
	}
	call = call_of(head, len);
	check(!l->spent, "a connection that is spent is used");
	check(l->call == 0 || l->call == call->number, "two requests at a time");
	check(l->sent == l->total || l->sent == 0, "a request within another one's body");
	l->polluted = turning && l->wrote.len > l->answered;
	l->call = call->number;
	l->total = total;
	l->sent = 0;
	call->line = l;
}

ssize_t __wrap_sendmsg(int fd, const struct msghdr *message, int flags)
{
	struct line *l = line_of(fd);
	bool begins = message->msg_iovlen > 0 && message->msg_iov[0].iov_len > 5 &&
		      memcmp(message->msg_iov[0].iov_base, "POST ", 5) == 0;
	ssize_t n;

	if (begins)
		begin_request(l, message);
	n = __real_sendmsg(fd, message, flags);
	if (n > 0) {
		l->sent += (size_t)n;
		check(l->sent <= l->total, "more is sent than there is");
		for (size_t i = 0; i < CALLS_MAX; i++)
			if (calls[i].number && calls[i].number == l->call)
				calls[i].sent = true;
	}
	return n;
}

#endif
