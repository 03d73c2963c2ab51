/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fcgi_peer: a web server's end of a connection, and the second reader of what it wrote.
 *
 * model_write() and model_half_close() say what there is to answer; peer_read() takes what comes
 * and aborts where it is not that, in this order.
 */
#ifndef FARO_FUZZ_FCGI_PEER_H
#define FARO_FUZZ_FCGI_PEER_H

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "program.h"
#include "server/fcgi.h"

struct connection;

enum {
	/* Among the second reader's answers, in the place of a record's version. */
	EXPECT_REPLY = 0xfe,
	EXPECT_CUT = 0xfd, /* maybe: a body that was not whole when much time had passed */
};

struct peer {
	int fd; /* -1: closed */
	struct connection *connection;
	size_t written;
	bool half_closed, excused; /* its connection may end before all is answered */
	bool ended;                /* so it does, by what was written */
	bool eof;

	/* The second reader. */
	struct fcgi_stream stream;
	struct fcgi_intake intake;
	struct request request;
	struct buf body, expected;
	size_t expected_at;

	struct buf got, reply; /* not parsed yet; the reply that is being read */
	unsigned reply_id;
	bool in_reply, cut;
	size_t accepted, taken; /* what the fake said yes to, and 202s */
	size_t answered, replies;
};

/* --- the second reader -------------------------------------------------------------------------*/

static inline void expect(struct peer *p, uint8_t what, unsigned id)
{
	const char header[8] = {(char)what, 0, (char)(id >> 8), (char)id};

	buf_append(&p->expected, header, sizeof(header));
}

static inline void expect_reply(struct peer *p)
{
	struct buf nothing;

	expect(p, EXPECT_REPLY, p->stream.id);
	buf_init(&nothing, SIZE_MAX, NULL);
	fcgi_put_reply(&p->stream, VIEW_LITERAL(""), &nothing);
	buf_release(&nothing);
	request_clear(&p->request);
	buf_clear(&p->body);
	if (!p->stream.keep)
		p->ended = true;
}

static inline void model_write(struct peer *p, struct view bytes)
{
	while (bytes.len > 0 && !p->ended) {
		switch (fcgi_feed(&p->stream, &p->intake, &bytes, &p->expected)) {
		case FCGI_WANTS_MORE:
			break;
		case FCGI_REQUEST_READ:
			expect_reply(p);
			break;
		case FCGI_STREAM_BROKEN:
			p->ended = true;
			break;
		}
	}
}

static inline void model_half_close(struct peer *p)
{
	if (!p->ended && fcgi_end_early(&p->stream, &p->intake))
		expect_reply(p);
	p->ended = true;
}

/* --- what the peer reads -----------------------------------------------------------------------*/

static inline const unsigned char *next_expected(const struct peer *p)
{
	return p->expected_at < p->expected.len
		       ? (const unsigned char *)p->expected.data + p->expected_at
		       : NULL;
}

static inline unsigned id_of(const unsigned char *record)
{
	return (unsigned)record[2] << 8 | record[3];
}

static inline void check_reply(struct peer *p)
{
	struct view cgi = {p->reply.data, p->reply.len};
	int status = 0;

	check(cgi.len > 12 && memcmp(cgi.ptr, "Status: ", 8) == 0, "a reply without a status");
	for (size_t i = 8; i < 11; i++) {
		check(cgi.ptr[i] >= '0' && cgi.ptr[i] <= '9', "a status that is no number");
		status = status * 10 + cgi.ptr[i] - '0';
	}
	check(memmem(cgi.ptr, cgi.len, "\r\n\r\n", 4), "a reply without an end of its header");
	check(status >= 200 && status <= 599, "a status that is none");
	p->replies++;
	if (status == 202)
		check(++p->taken <= p->accepted, "a 202 for what nobody took");
}

/* A record of a reply begins, and it must be this one's turn. */
static inline void begin_reply(struct peer *p, unsigned id)
{
	const unsigned char *entry = next_expected(p);

	check(!p->cut, "a reply behind the last");
	while (entry && entry[0] == EXPECT_CUT) {
		p->cut = p->cut || id_of(entry) == id;
		p->expected_at += 8;
		entry = next_expected(p);
	}
	if (entry && entry[0] == EXPECT_REPLY && id_of(entry) == id) {
		p->cut = false;
		p->expected_at += 8;
	} else {
		check(p->cut, "a reply that no request is waiting for");
	}
	p->in_reply = true;
	p->reply_id = id;
	buf_clear(&p->reply);
}

static inline void take_reply(struct peer *p, const unsigned char *record, size_t content)
{
	check(id_of(record) == p->reply_id, "two replies at a time");
	if (record[1] == FCGI_STDOUT) {
		buf_append(&p->reply, record + 8, content);
		return;
	}
	check(record[1] == FCGI_END_REQUEST && content == 8, "a reply with a strange record");
	check(record[12] == FCGI_REQUEST_COMPLETE, "a reply that is not complete");
	p->in_reply = false;
	check_reply(p);
}

static inline void take_aside(struct peer *p, const unsigned char *record, size_t size)
{
	const unsigned char *entry = next_expected(p);

	while (entry && entry[0] == EXPECT_CUT) {
		p->expected_at += 8;
		entry = next_expected(p);
	}
	check(entry && !p->cut && p->expected.len - p->expected_at >= size &&
		      memcmp(entry, record, size) == 0,
	      "a record that answers nothing");
	p->expected_at += size;
}

static inline void parse(struct peer *p)
{
	size_t at = 0;

	while (p->got.len - at >= 8) {
		const unsigned char *record = (const unsigned char *)p->got.data + at;
		size_t content = (size_t)record[4] << 8 | record[5], size = 8 + content + record[6];

		check(record[0] == FCGI_VERSION, "this is no FastCGI");
		if (p->got.len - at < size)
			break;
		if (!p->in_reply && record[1] == FCGI_STDOUT)
			begin_reply(p, id_of(record));
		if (p->in_reply)
			take_reply(p, record, content);
		else
			take_aside(p, record, size);
		at += size;
	}
	memmove(p->got.data, p->got.data + at, p->got.len - at);
	p->got.len -= at;
}

/* True: there was something. */
static inline bool peer_read(struct peer *p, size_t most)
{
	static char bytes[65536];
	ssize_t n;

	if (p->fd < 0 || p->eof)
		return false;
	n = recv(p->fd, bytes, most < sizeof(bytes) ? most : sizeof(bytes), MSG_DONTWAIT);
	if (n > 0) {
		buf_append(&p->got, bytes, (size_t)n);
		parse(p);
	} else if (n == 0 || errno != EAGAIN) {
		p->eof = true;
	}
	return n > 0;
}

/* All that was expected came. Where the stream broke, there may have been no room for the asides of
 * its last piece. */
static inline bool is_complete(struct peer *p)
{
	const unsigned char *entry;
	bool broken = p->stream.problem != NULL;

	while ((entry = next_expected(p)) &&
	       (entry[0] == EXPECT_CUT || (broken && entry[0] == FCGI_VERSION)))
		p->expected_at += 8 + ((size_t)entry[4] << 8 | entry[5]);
	return !entry && !p->in_reply && (p->got.len == 0 || broken);
}

/* --- life --------------------------------------------------------------------------------------*/

static inline void peer_init(struct peer *p)
{
	*p = (struct peer){.fd = -1};
	buf_init(&p->body, 4096, NULL);
	buf_init(&p->expected, SIZE_MAX, NULL);
	buf_init(&p->got, SIZE_MAX, NULL);
	buf_init(&p->reply, SIZE_MAX, NULL);
	request_init(&p->request, &p->body, 1000, NULL);
	p->intake.request = &p->request;
	fcgi_init(&p->stream);
}

static inline void peer_release(struct peer *p)
{
	if (p->fd >= 0)
		close(p->fd);
	request_release(&p->request);
	buf_release(&p->body);
	buf_release(&p->expected);
	buf_release(&p->got);
	buf_release(&p->reply);
}

#endif
