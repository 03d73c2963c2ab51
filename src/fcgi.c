#include "fcgi.h"

#include <fastcgi.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "loop.h"

/*
 * DESIGN: libfcgi is made to live in a loop as follows.
 *
 * FCGX_InitRequest() is given -1 as the listening socket, since after any error FCGX_Accept_r()
 * goes on to accept() on it, which would block; this way that fails at once. FCGX_Accept_r() begins
 * by finishing the exchange before, which closes the descriptor unless keepConnection is set, so it
 * is set before the first one. FCGX_Detach() makes every close of the library a plain one:
 * otherwise it shuts down and waits up to two seconds for the peer.
 *
 * STDIN is read to its end even where CONTENT_LENGTH says that all of it came, since the empty
 * record that ends it would be taken for the beginning of the next request. What comes beyond the
 * buffer is read and dropped, up to DRAIN_MAX_BYTES.
 *
 * The limit: one read or write waits at most IO_TIMEOUT_S for the peer, so one that stalls costs its
 * loop a second. The library reads until it has what it was asked for, however slowly that drips in;
 * nothing in here can bound that, so a worker's main thread does (worker_watch). Both end with the
 * connection closed. (nginx with fastcgi_request_buffering on has the whole body before it connects.)
 */
enum {
	IO_TIMEOUT_S = 1,
	PIECE_BYTES = 64 * 1024,
	DRAIN_MAX_BYTES = 64 * 1024 * 1024,
};

bool fcgi_global_init(void)
{
	return FCGX_Init() == 0;
}

static bool set_timeouts(int fd)
{
	const struct timeval timeout = {.tv_sec = IO_TIMEOUT_S};

	return setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout)) == 0 &&
	       setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof(timeout)) == 0;
}

bool fcgi_conn_open(struct fcgi_conn *conn, int fd)
{
	conn->fd = -1;
	if (!set_timeouts(fd) || FCGX_InitRequest(&conn->fcgx, -1, 0) != 0) {
		close(fd);
		return false;
	}
	conn->fd = fd;
	conn->fcgx.ipcFd = fd;
	conn->fcgx.keepConnection = 1;
	FCGX_Detach(&conn->fcgx);
	return true;
}

void fcgi_conn_close(struct fcgi_conn *conn)
{
	if (conn->fd < 0)
		return;
	/* Frees the streams without writing to them, and closes the descriptor. */
	FCGX_Free(&conn->fcgx, 1);
	conn->fd = -1;
}

/* The next piece straight into the body's buffer while that has room; else into one of our own,
 * from which it is appended (which makes room) or dropped. True: there may be more. */
static bool read_piece(FCGX_Stream *in, struct request *request, size_t *total)
{
	struct buf *body = request->body;
	size_t room = body->cap - body->len;
	char piece[PIECE_BYTES];
	int n;

	if (request->body_state == BODY_WHOLE && room > 0) {
		room = room < PIECE_BYTES ? room : PIECE_BYTES;
		n = FCGX_GetStr(body->data + body->len, (int)room, in);
		body->len += (size_t)n;
	} else {
		room = PIECE_BYTES;
		n = FCGX_GetStr(piece, PIECE_BYTES, in);
		request_append_body(request, piece, (size_t)n);
	}
	*total += (size_t)n;
	return (size_t)n == room;
}

/* To the end of STDIN. False: the rest is not worth waiting for. */
static bool read_body(struct fcgi_conn *conn, struct request *request)
{
	FCGX_Stream *in = conn->fcgx.in;
	size_t total = 0;

	/* Only a hint: what it does not make room for, the pieces do, or say why not. */
	if (request->content_length > 0 && (uint64_t)request->content_length <= request->body->max)
		buf_reserve(request->body, (size_t)request->content_length);
	while (read_piece(in, request, &total))
		if (total > DRAIN_MAX_BYTES)
			return false;
	if (FCGX_GetError(in) != 0)
		request->body_state = BODY_BROKEN;
	return true;
}

bool fcgi_conn_read(struct fcgi_conn *conn, struct request *request)
{
	request->started_us = loop_now_us();
	if (FCGX_Accept_r(&conn->fcgx) != 0) {
		/* The library has closed the descriptor. */
		conn->fd = -1;
		return false;
	}
	/* A read that failed between two parameters leaves a short environment and a success. */
	if (FCGX_GetError(conn->fcgx.in) != 0 || conn->fcgx.role != FCGI_RESPONDER)
		return false;
	request_read_variables(request, conn->fcgx.envp);
	return read_body(conn, request);
}

bool fcgi_conn_reply(struct fcgi_conn *conn, struct view response)
{
	bool keep = conn->fcgx.keepConnection;

	FCGX_PutStr(response.ptr, (int)response.len, conn->fcgx.out);
	/* The descriptor is ours to close, unless a stream failed: then the library does it. */
	conn->fcgx.keepConnection = 1;
	FCGX_Finish_r(&conn->fcgx);
	if (conn->fcgx.ipcFd < 0)
		conn->fd = -1;
	return keep && conn->fd >= 0;
}
