/* SPDX-License-Identifier: Apache-2.0 */
#include "server/cgi.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/log.h"
#include "base/metrics.h"
#include "ingest/ingest.h"

enum {
	PIECE_BYTES = 64 * 1024
};

/* At most `limit` bytes of stdin, or to its end. CONTENT_LENGTH is the limit of a CGI program: the
 * server need not close the pipe behind the body (RFC 3875, 4.2). */
static void read_stdin(struct request *request, int64_t limit)
{
	char piece[PIECE_BYTES];
	ssize_t n;

	while (limit > 0 && request->body_state == BODY_WHOLE) {
		n = read(STDIN_FILENO, piece, limit < PIECE_BYTES ? (size_t)limit : sizeof(piece));
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			request->body_state = BODY_BROKEN;
		if (n <= 0)
			return;
		request_append_body(request, piece, (size_t)n);
		limit -= n;
	}
}

static bool write_stdout(struct view bytes)
{
	while (bytes.len > 0) {
		ssize_t n = write(STDOUT_FILENO, bytes.ptr, bytes.len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return false;
		bytes.ptr += n;
		bytes.len -= (size_t)n;
	}
	return true;
}

/* One POST through the same relay as the workers', in a loop that ends with it. */
struct single_call {
	struct relay_call call;
	bool ended;
};

static void on_single_call_end(struct relay_call *call)
{
	/* `call` is the first member. */
	((struct single_call *)call)->ended = true;
}

static void relay_and_wait(const struct config *config, struct ingest *ingest,
			   struct request *request, struct resolver *resolver)
{
	struct single_call single = {
		.call = {
			.body = {request->labelled.data, request->labelled.len},
			.forwarded = request->forwarded,
			.done = on_single_call_end,
			.verdict = VERDICT_OVERLOADED,
		}};
	struct budget inflight;
	struct relay *relay = NULL;
	struct loop loop;

	budget_init(&inflight, 1);
	if (loop_init(&loop)) {
		relay = relay_new(&loop, config, resolver, &inflight);
		if (relay && relay_start(relay, &single.call) == VERDICT_OK)
			while (!single.ended)
				loop_turn(&loop);
		relay_free(relay);
		loop_release(&loop);
	}
	ingest_relayed(ingest, request, &single.call);
}

static void relay_once(const struct config *config, struct ingest *ingest, struct request *request)
{
	struct resolver *resolver = resolver_new(config->upstream_host, config->upstream_port);

	if (!resolver) {
		ingest_relayed(ingest, request,
			       &(struct relay_call){.verdict = VERDICT_OVERLOADED});
		return;
	}
	resolver_wait(resolver, config->upstream_connect_timeout_ms);
	relay_and_wait(config, ingest, request, resolver);
	resolver_free(resolver);
}

static bool reply(const struct request *request)
{
	struct buf out;
	bool written;

	buf_init(&out, SIZE_MAX, NULL);
	written = reply_print(&request->reply, &out) == BUF_OK &&
		  write_stdout((struct view){out.data, out.len});
	buf_release(&out);
	return written;
}

int cgi_serve(const struct config *config)
{
	struct ingest ingest;
	struct request request;
	struct budget memory;
	bool written;

	/* Writing to a peer that is gone must fail with EPIPE, here and in OpenSSL. */
	signal(SIGPIPE, SIG_IGN);
	budget_init(&memory, config->max_memory_bytes);
	if (!ingest_init(&ingest, config, &memory)) {
		log_event(LOG_ERROR, "no_memory", "There is not enough memory for one beacon.");
		return EXIT_FAILURE;
	}
	ingest_init_request(&ingest, &request);
	request.started_us = loop_now_us();
	request_read_variables(&request, environ);
	read_stdin(&request, request.length_state == LENGTH_GIVEN ? request.content_length : 0);
	if (ingest_begin(&ingest, &request) == INGEST_RELAY)
		relay_once(config, &ingest, &request);
	written = reply(&request);
	if (!written)
		log_event(LOG_WARN, "reply_not_taken", "The web server did not read the reply.",
			  LOG_STR("error", strerror(errno)));
	ingest_end(&request);
	request_release(&request);
	ingest_release(&ingest);
	return written ? EXIT_SUCCESS : EXIT_FAILURE;
}

/* No JSON begins with the magic number of RFC 1952. */
static bool looks_gzipped(const struct buf *body)
{
	return body->len >= 2 && memcmp(body->data, "\x1f\x8b", 2) == 0;
}

int cgi_print(const struct config *config)
{
	struct ingest ingest;
	struct request request;
	struct budget memory;
	int status = EXIT_FAILURE;

	budget_init(&memory, config->max_memory_bytes);
	if (!ingest_init(&ingest, config, &memory)) {
		fputs("faro-ingest: there is not enough memory for one beacon\n", stderr);
		return EXIT_FAILURE;
	}
	ingest_init_request(&ingest, &request);
	request_read_variables(&request, environ);
	read_stdin(&request, INT64_MAX);
	if (request.content_encoding.len == 0 && looks_gzipped(request.body))
		request.content_encoding = VIEW_LITERAL("gzip");
	request.length_state = LENGTH_GIVEN;
	request.content_length = (int64_t)request.body->len;
	if (!ingest_label(&ingest, &request))
		fprintf(stderr, "faro-ingest: %s: %s\n", request.reply.reason,
			request.reply.detail);
	else if (!write_stdout((struct view){request.labelled.data, request.labelled.len}))
		perror("faro-ingest: stdout");
	else
		status = EXIT_SUCCESS;
	if (status == EXIT_SUCCESS && request.counts.left_out)
		fputs("faro-ingest: the settings remove the last item: this beacon is answered with "
		      "202, and not relayed\n",
		      stderr);
	request_release(&request);
	ingest_release(&ingest);
	return status;
}
