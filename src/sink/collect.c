/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DESIGN: a collect request is read to its end, judged in the receiver's order (rate, gunzip, JSON,
 * API key, size), printed and counted, and only then answered, perhaps after a delay. So a client
 * that gave up meanwhile was heard all the same, as with a slow receiver. The receiver bounds
 * neither the bytes that it reads nor what they inflate to; here both are bounded, and more is 413.
 */
#include "sink/collect.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "sink/gunzip.h"
#include "sink/lines.h"
#include "sink/response.h"
#include "sink/save.h"

/* All the limits in bytes. */
enum {
	MAX_RECEIVED_BYTES = 32 * 1024 * 1024,
	MAX_INFLATED_BYTES = 64 * 1024 * 1024,
	MAX_OUTPUT_BYTES = 64 * 1024 * 1024, /* lines of one beacon */
	MAX_HEADERS_BYTES = 64 * 1024,
	RECEIVER_MAX_BYTES = 5 * 1024 * 1024, /* max_allowed_payload_size: its default */
};

struct collect_request {
	struct buf body;
	bool overflow; /* body was longer than MAX_RECEIVED_BYTES; the end of it was dropped */
	bool judged;
	bool delayed; /* counted in sink->delayed until it is answered */
	unsigned status;
	char text[PROBLEM_MAX];
};

struct collect_request *collect_request_new(void)
{
	struct collect_request *request = calloc(1, sizeof(*request));

	if (request)
		buf_init(&request->body, MAX_RECEIVED_BYTES, NULL);
	return request;
}

void collect_request_free(struct sink *sink, struct collect_request *request)
{
	if (!request)
		return;
	atomic_fetch_sub(&sink->delayed, request->delayed);
	buf_release(&request->body);
	free(request);
}

static bool limiter_allows(struct limiter *limiter, int rate)
{
	struct timespec now;
	int64_t now_ns;
	bool allowed;

	if (rate == 0)
		return true;
	clock_gettime(CLOCK_MONOTONIC, &now);
	now_ns = (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
	pthread_mutex_lock(&limiter->lock);
	limiter->tokens += (double)(now_ns - limiter->filled_ns) / 1e9 * rate;
	if (limiter->tokens > 2.0 * rate)
		limiter->tokens = 2.0 * rate;
	limiter->filled_ns = now_ns;
	allowed = limiter->tokens >= 1;
	limiter->tokens -= allowed ? 1 : 0;
	pthread_mutex_unlock(&limiter->lock);
	return allowed;
}

static enum MHD_Result append_header(void *cls, enum MHD_ValueKind kind, const char *key,
				     const char *value)
{
	struct buf *out = cls;

	(void)kind;
	return buf_printf(out, "%s: %s\n", key, value ? value : "") == BUF_OK ? MHD_YES : MHD_NO;
}

static void save(struct sink *sink, struct MHD_Connection *connection, struct view body)
{
	struct buf headers;

	if (!sink->options->save_dir)
		return;
	buf_init(&headers, MAX_HEADERS_BYTES, NULL);
	MHD_get_connection_values(connection, MHD_HEADER_KIND, append_header, &headers);
	save_beacon(sink->options->save_dir, atomic_fetch_add(&sink->saved, 1) + 1,
		    (struct view){headers.data, headers.len}, body);
	buf_release(&headers);
}

/* One write for all lines of a beacon where the system allows it; no other thread writes
 * between. */
static void print_lines(struct sink *sink, const struct payload *payload)
{
	struct buf out;
	size_t at = 0;

	buf_init(&out, MAX_OUTPUT_BYTES, NULL);
	if (!lines_write(&out, payload))
		fprintf(stderr,
			"faro-sink: a beacon's lines exceed %d bytes; the rest is not shown\n",
			MAX_OUTPUT_BYTES);
	pthread_mutex_lock(&sink->output_lock);
	while (at < out.len) {
		ssize_t n = write(STDOUT_FILENO, out.data + at, out.len - at);

		if (n < 0 && errno != EINTR)
			break; /* stdout is closed */
		at += n > 0 ? (size_t)n : 0;
	}
	pthread_mutex_unlock(&sink->output_lock);
	buf_release(&out);
}

static unsigned problem(struct collect_request *request, unsigned status, const char *text)
{
	snprintf(request->text, sizeof(request->text), "%s", text);
	return status;
}

static bool is_too_long(struct MHD_Connection *connection)
{
	const char *length = request_header(connection, "Content-Length");

	return length && strtoull(length, NULL, 10) > RECEIVER_MAX_BYTES;
}

/* The receiver's checks behind the JSON one, in its order. */
static unsigned judge_request(struct sink *sink, struct MHD_Connection *connection,
			      struct collect_request *request)
{
	const char *key = sink->options->api_key;

	if (key && !request_header_is(connection, "x-api-key", key))
		return problem(request, MHD_HTTP_UNAUTHORIZED, "API key not provided or incorrect");
	if (is_too_long(connection))
		return problem(request, MHD_HTTP_CONTENT_TOO_LARGE, "Request Entity Too Large");
	return problem(request, MHD_HTTP_ACCEPTED, "ok");
}

static bool is_success(unsigned status)
{
	return status >= 200 && status < 300;
}

static unsigned final_status(const struct sink *sink, unsigned status)
{
	return sink->options->status ? (unsigned)sink->options->status : status;
}

static unsigned judge_json(struct sink *sink, struct MHD_Connection *connection,
			   struct collect_request *request, struct view body)
{
	struct payload payload;
	unsigned status;

	if (!payload_parse(&payload, body, request->text))
		return MHD_HTTP_BAD_REQUEST;
	status = judge_request(sink, connection, request);
	if (is_success(status) && is_success(final_status(sink, status)) &&
	    !sink->options->silent) {
		atomic_fetch_add(&sink->beacons, 1);
		for (int i = 0; i < SINK_KINDS; i++)
			atomic_fetch_add(&sink->items[i], payload.counts[i]);
		if (!sink->options->quiet)
			print_lines(sink, &payload);
	}
	payload_release(&payload);
	return status;
}

static unsigned judge(struct sink *sink, struct MHD_Connection *connection,
		      struct collect_request *request)
{
	struct view body = {request->body.data, request->body.len};
	enum gunzip_result result = GUNZIP_OK;
	struct buf inflated;
	unsigned status = 0;

	if (!limiter_allows(&sink->limiter, sink->options->rate))
		return problem(request, MHD_HTTP_TOO_MANY_REQUESTS, "Too Many Requests");
	if (request->overflow)
		return problem(request, MHD_HTTP_CONTENT_TOO_LARGE, "Request Entity Too Large");
	buf_init(&inflated, MAX_INFLATED_BYTES, NULL);
	if (request_header_is(connection, "Content-Encoding", "gzip")) {
		result = gunzip(body, &inflated);
		body = (struct view){inflated.data, inflated.len};
	}
	switch (result) {
	case GUNZIP_OK:
		save(sink, connection, body);
		status = judge_json(sink, connection, request, body);
		break;
	case GUNZIP_NOT_GZIP:
		status = problem(request, MHD_HTTP_BAD_REQUEST, "failed to decompress gzip body");
		break;
	case GUNZIP_TOO_LARGE:
		status = problem(request, MHD_HTTP_CONTENT_TOO_LARGE,
				 "inflates to more than faro-sink takes");
		break;
	}
	buf_release(&inflated);
	return status;
}

static enum MHD_Result send_answer(struct sink *sink, struct MHD_Connection *connection,
				   const struct collect_request *request)
{
	const struct sink_options *options = sink->options;
	unsigned status = final_status(sink, request->status);
	const char *text = request->text;
	struct MHD_Response *response;
	char seconds[16];

	if (status == MHD_HTTP_NO_CONTENT || status == MHD_HTTP_NOT_MODIFIED)
		text = "";
	else if (status != request->status)
		text = is_success(status) ? "ok" : "faro-sink answers with --status";
	response = response_of_text(status, text);
	if (!response)
		return MHD_NO;
	MHD_add_response_header(response, "Vary", "Origin");
	if (request_header(connection, "Origin"))
		MHD_add_response_header(response, "Access-Control-Allow-Origin", "*");
	if (options->session_status)
		MHD_add_response_header(response, "X-Faro-Session-Status", options->session_status);
	if (options->retry_after >= 0 && !is_success(status)) {
		snprintf(seconds, sizeof(seconds), "%d", options->retry_after);
		MHD_add_response_header(response, "Retry-After", seconds);
	}
	return response_send(connection, status, response);
}

void collect_take(struct collect_request *request, const char *bytes, size_t n)
{
	if (!request->overflow && buf_append(&request->body, bytes, n) != BUF_OK)
		request->overflow = true;
}

enum MHD_Result collect_answer(struct sink *sink, struct MHD_Connection *connection,
			       struct collect_request *request)
{
	if (request->judged)
		return sink->options->silent ? MHD_NO : send_answer(sink, connection, request);
	atomic_fetch_add(&sink->requests, 1);
	request->status = judge(sink, connection, request);
	request->judged = true;
	buf_release(&request->body);
	if (!sink->delays)
		return send_answer(sink, connection, request);
	request->delayed = true;
	atomic_fetch_add(&sink->delayed, 1);
	return delay_add(&sink->delay, connection) ? MHD_YES : MHD_NO;
}
