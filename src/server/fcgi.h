/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fcgi: the FastCGI 1.0 protocol of one connection as a responder sees it, without the connection:
 * bytes go in in pieces of any size, requests come out; answers go to a buffer.
 *
 *	fcgi_feed → … → FCGI_REQUEST_READ, then fcgi_put_reply, then fcgi_feed again
 *
 * There is one request at a time on a connection (FCGI_MPXS_CONNS is 0). No byte is trusted:
 * whatever comes costs a fixed amount of memory besides the request's body, which has limits of its
 * own.
 */
#ifndef FARO_SERVER_FCGI_H
#define FARO_SERVER_FCGI_H

#include "ingest/request.h"
#include "server/fcgi_pairs.h"

/* The specification's numbers. */
enum {
	FCGI_VERSION = 1,
	FCGI_HEADER_BYTES = 8,
	FCGI_CONTENT_MAX_BYTES = 65535,

	FCGI_BEGIN_REQUEST = 1,
	FCGI_ABORT_REQUEST = 2,
	FCGI_END_REQUEST = 3,
	FCGI_PARAMS = 4,
	FCGI_STDIN = 5,
	FCGI_STDOUT = 6,
	FCGI_GET_VALUES = 9,
	FCGI_GET_VALUES_RESULT = 10,
	FCGI_UNKNOWN_TYPE = 11,

	FCGI_RESPONDER = 1,
	FCGI_KEEP_CONN = 1,
	FCGI_REQUEST_COMPLETE = 0,
	FCGI_CANT_MPX_CONN = 1,
	FCGI_UNKNOWN_ROLE = 3,
};

/* What a peer may do between two replies; beyond it the stream is broken. */
enum {
	FCGI_PARAMS_MAX_BYTES = 256 * 1024,      /* nginx takes headers of 32 KiB */
	FCGI_DRAIN_MAX_BYTES = 64 * 1024 * 1024, /* STDIN of a body that is not kept */
	FCGI_IGNORED_MAX_BYTES = 1024 * 1024,    /* padding, and records of no request */
	FCGI_ASIDES_MAX = 16,                    /* records that are answered by themselves */
	FCGI_CONNECTIONS_MAX = 4096,             /* of the process, as FCGI_GET_VALUES is told */
};

/* Where a request goes while it is read. */
struct fcgi_intake {
	struct request *request;
	/* The request's views point in here, and into the room for request_parameters. */
	struct request_values values;
	char *facts;
};

struct fcgi_stream {
	/* The record that is being read. */
	unsigned char header[FCGI_HEADER_BYTES];
	unsigned char begin[8];
	unsigned header_have, content_left, padding_left;
	enum {
		FCGI_FOR_NOBODY,
		FCGI_FOR_BEGIN,
		FCGI_FOR_PARAMS,
		FCGI_FOR_BODY,
		FCGI_FOR_QUERY
	} content_for;

	/* The request. */
	enum {
		FCGI_NO_REQUEST,
		FCGI_IN_PARAMS,
		FCGI_IN_BODY,
		FCGI_READ
	} phase;
	unsigned id;
	bool keep; /* the connection, after the reply */
	size_t params_bytes, body_bytes;
	struct fcgi_pairs params;

	struct fcgi_pairs query; /* of FCGI_GET_VALUES, which may come at any time */
	unsigned asked;          /* a bit for each of the names that we know */
	unsigned asides;
	size_t ignored_bytes;
	const char *problem; /* why it is broken */
};

enum fcgi_event {
	FCGI_WANTS_MORE,
	FCGI_REQUEST_READ,  /* whole, or body_state says why not; feed no more before its reply */
	FCGI_STREAM_BROKEN, /* there is no way to go on; `problem` says why */
};

void fcgi_init(struct fcgi_stream *stream);

/* Takes what it used off the front of `bytes`: all of it, unless there is an event. `answers` may
 * be appended to in any case, and is to be sent. */
enum fcgi_event fcgi_feed(struct fcgi_stream *stream, struct fcgi_intake *intake,
			  struct view *bytes, struct buf *answers);

/* The connection ended, or it took too long: a body that is under way is BODY_BROKEN, and its
 * request is to be answered. False: there is none. */
bool fcgi_end_early(struct fcgi_stream *stream, struct fcgi_intake *intake);

/* How many bytes of the request's body come next, before anything else. */
size_t fcgi_body_ahead(const struct fcgi_stream *stream);

/* Nothing is half read. */
bool fcgi_is_at_rest(const struct fcgi_stream *stream);

/* Appends the CGI response as FCGI_STDOUT and FCGI_END_REQUEST. */
enum buf_result fcgi_put_reply(struct fcgi_stream *stream, struct view response,
			       struct buf *answers);

#endif
