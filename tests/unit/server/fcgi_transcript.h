/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Feeds a FastCGI stream in pieces and writes down what comes of it: a line a request, and why it
 * broke. Each request is answered with how many there were. Whatever the pieces, the two texts must
 * be the same.
 */
#ifndef FARO_FCGI_TRANSCRIPT_H
#define FARO_FCGI_TRANSCRIPT_H

#include "server/fcgi.h"

struct transcript {
	struct buf text;    /* what was read */
	struct buf answers; /* what is to be sent */
	int requests;
	struct fcgi_stream stream;
	struct fcgi_intake intake;
	struct request request;
	struct buf body;
	char facts[2 * LABELS_VALUE_MAX_BYTES];
};

/* Two attributes of the request, as an operator might list them. */
static inline const struct request_parameters *transcript_parameters(void)
{
	static struct request_variable rows[] = {
		{REQUEST_FACT, VIEW_CONSTANT("FARO_ATTR_A"), offsetof(struct request, facts), 0,
		 LABELS_VALUE_MAX_BYTES},
		{REQUEST_FACT, VIEW_CONSTANT("FARO_ATTR_B"),
		 offsetof(struct request, facts) + sizeof(struct view), LABELS_VALUE_MAX_BYTES,
		 LABELS_VALUE_MAX_BYTES},
	};
	static const struct request_parameters parameters = {rows, 2};

	return &parameters;
}

static inline void print_view(struct buf *out, const char *name, struct view view)
{
	buf_printf(out, " %s=", name);
	if (view.ptr)
		buf_append(out, view.ptr, view.len);
	else
		buf_printf(out, "-");
}

static inline void print_request(struct transcript *transcript)
{
	const struct request *request = &transcript->request;
	struct buf *text = &transcript->text;

	buf_printf(text, "endpoint=%d length=", request->endpoint);
	if (request->length_state == LENGTH_GIVEN)
		buf_printf(text, "%lld", (long long)request->content_length);
	else
		buf_printf(text, request->length_state == LENGTH_ABSENT ? "-" : "?");
	buf_printf(text, " body=%d keep=%d refused=%x", request->body_state,
		   transcript->stream.keep, request->refused);
	print_view(text, "method", request->method);
	print_view(text, "path", request->path);
	print_view(text, "host", request->host);
	print_view(text, "origin", request->origin);
	print_view(text, "site", request->sec_fetch_site);
	print_view(text, "type", request->content_type);
	print_view(text, "coding", request->content_encoding);
	print_view(text, "session", request->forwarded.session_id);
	print_view(text, "key", request->forwarded.idempotency_key);
	print_view(text, "trace", request->forwarded.traceparent);
	if (request->ignore.ptr)
		print_view(text, "ignore", request->ignore);
	if (request->remote_addr.ptr)
		print_view(text, "address", request->remote_addr);
	for (size_t i = 0; i < 2; i++)
		if (request->facts.values[i].ptr)
			print_view(text, "fact", request->facts.values[i]);
	if (request->body_state == BODY_WHOLE)
		print_view(text, "content",
			   (struct view){request->body->data ? request->body->data : "",
					 request->body->len});
	buf_printf(text, "\n");
}

static inline void answer_request(struct transcript *transcript)
{
	char reply[32];
	int n = snprintf(reply, sizeof(reply), "reply %d", ++transcript->requests);

	print_request(transcript);
	fcgi_put_reply(&transcript->stream, (struct view){reply, (size_t)n}, &transcript->answers);
	buf_clear(&transcript->body);
	request_clear(&transcript->request);
}

static inline void transcript_init(struct transcript *transcript, size_t body_max,
				   struct budget *budget)
{
	transcript->requests = 0;
	buf_init(&transcript->text, SIZE_MAX, NULL);
	buf_init(&transcript->answers, SIZE_MAX, NULL);
	buf_init(&transcript->body, body_max, budget);
	request_init(&transcript->request, &transcript->body, 1000, budget);
	fcgi_init(&transcript->stream);
	transcript->request.parameters = transcript_parameters();
	transcript->intake.request = &transcript->request;
	transcript->intake.facts = transcript->facts;
}

static inline void transcript_release(struct transcript *transcript)
{
	buf_release(&transcript->text);
	buf_release(&transcript->answers);
	buf_release(&transcript->body);
	request_release(&transcript->request);
}

/* False: the stream is broken. */
static inline bool transcript_feed(struct transcript *transcript, struct view bytes)
{
	while (bytes.len > 0) {
		switch (fcgi_feed(&transcript->stream, &transcript->intake, &bytes,
				  &transcript->answers)) {
		case FCGI_WANTS_MORE:
			break;
		case FCGI_REQUEST_READ:
			answer_request(transcript);
			break;
		case FCGI_STREAM_BROKEN:
			buf_printf(&transcript->text, "broken: %s\n", transcript->stream.problem);
			return false;
		}
	}
	return true;
}

/* Pieces of sizes[0], sizes[1], … bytes, and so on from the first; then the peer hangs up. */
static inline void transcript_write(struct transcript *transcript, struct view bytes,
				    const size_t *sizes, size_t count)
{
	size_t at = 0;

	for (size_t i = 0; at < bytes.len; i = (i + 1) % count) {
		size_t left = bytes.len - at;
		size_t n = sizes[i] < left ? sizes[i] : left;

		if (!transcript_feed(transcript, (struct view){bytes.ptr + at, n}))
			return;
		at += n;
	}
	buf_printf(&transcript->text, "at rest: %d\n", fcgi_is_at_rest(&transcript->stream));
	if (fcgi_end_early(&transcript->stream, &transcript->intake))
		answer_request(transcript);
}

#endif
