#include "sink/http.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "base/text.h"
#include "sink/gunzip.h"
#include "sink/lines.h"
#include "sink/save.h"

/*
 * DESIGN: a collect request is read to its end, judged in the receiver's order (rate, gunzip, JSON,
 * API key, size), printed and counted, and only then answered, perhaps after its time in the park;
 * so a client that gave up meanwhile was heard all the same, as with a slow receiver. The receiver
 * bounds neither the bytes it reads nor what they inflate to; here both are bounded, and beyond is
 * 413.
 */

/* All the limits in bytes. */
enum {
	MAX_RECEIVED_BYTES = 32 * 1024 * 1024,
	MAX_INFLATED_BYTES = 64 * 1024 * 1024,
	MAX_OUTPUT_BYTES = 64 * 1024 * 1024, /* lines of one beacon */
	MAX_HEADERS_BYTES = 64 * 1024,
	RECEIVER_MAX_BYTES = 5 * 1024 * 1024, /* max_allowed_payload_size: its default */
};

/* For connections that a client left in the middle of a request: libmicrohttpd's epoll loop does
 * not see every half-close. Longer than any pool keeps a connection that it means to use again. */
enum {
	IDLE_SECONDS = 120
};

/* What those out of the park have to be sent in when the end has come. */
enum {
	LAST_ANSWERS_MS = 2000,
	LAST_ANSWERS_STEP_MS = 5
};

struct exchange {
	struct buf body;
	bool overflow; /* body was longer than MAX_RECEIVED_BYTES; the rest was dropped */
	bool judged;
	bool parked; /* was put off: counted in sink->parked until it is answered */
	unsigned status;
	char text[PROBLEM_MAX];
};

static const char *header(struct MHD_Connection *connection, const char *name)
{
	return MHD_lookup_connection_value(connection, MHD_HEADER_KIND, name);
}

static bool header_is(struct MHD_Connection *connection, const char *name, const char *value)
{
	const char *found = header(connection, name);

	return found && strcmp(found, value) == 0;
}

/* Go's http.Error ends its text with a newline and forbids sniffing. */
static struct MHD_Response *text_response(unsigned status, const char *text)
{
	char line[PROBLEM_MAX + 1];
	bool is_error = status >= 400;
	int len = snprintf(line, sizeof(line), "%s%s", text, is_error ? "\n" : "");
	struct MHD_Response *response;

	response = MHD_create_response_from_buffer((size_t)len, line, MHD_RESPMEM_MUST_COPY);
	if (!response)
		return NULL;
	MHD_add_response_header(response, "Content-Type", "text/plain; charset=utf-8");
	if (is_error)
		MHD_add_response_header(response, "X-Content-Type-Options", "nosniff");
	return response;
}

static enum MHD_Result send_response(struct MHD_Connection *connection, unsigned status,
				     struct MHD_Response *response)
{
	enum MHD_Result result;

	if (!response)
		return MHD_NO;
	result = MHD_queue_response(connection, status, response);
	MHD_destroy_response(response);
	return result;
}

static enum MHD_Result send_text(struct MHD_Connection *connection, unsigned status,
				 const char *text)
{
	return send_response(connection, status, text_response(status, text));
}

static enum MHD_Result send_counts(struct sink *sink, struct MHD_Connection *connection)
{
	static const char *const names[SINK_KINDS] = {
		[SINK_LOG] = "logs",     [SINK_EXCEPTION] = "exceptions",
		[SINK_EVENT] = "events", [SINK_MEASUREMENT] = "measurements",
		[SINK_SPAN] = "spans",
	};
	struct MHD_Response *response = NULL;
	struct buf out;
	bool ok;

	buf_init(&out, 1024, NULL);
	ok = buf_printf(&out, "{\"requests\":%" PRIuFAST64 ",\"beacons\":%" PRIuFAST64,
			atomic_load(&sink->requests), atomic_load(&sink->beacons)) == BUF_OK;
	for (int i = 0; i < SINK_KINDS; i++)
		ok = ok && buf_printf(&out, ",\"%s\":%" PRIuFAST64, names[i],
				      atomic_load(&sink->items[i])) == BUF_OK;
	if (ok && buf_append(&out, "}\n", 2) == BUF_OK)
		response =
			MHD_create_response_from_buffer(out.len, out.data, MHD_RESPMEM_MUST_COPY);
	buf_release(&out);
	if (response)
		MHD_add_response_header(response, "Content-Type", "application/json");
	return send_response(connection, MHD_HTTP_OK, response);
}

/* Header names that the receiver lets another origin send. */
static bool is_allowed_header(struct view name)
{
	static const char *const allowed[] = {"content-type", "content-encoding",  "traceparent",
					      "x-api-key",    "x-faro-session-id", "x-scope-orgid"};

	for (size_t i = 0; i < ARRAY_LEN(allowed); i++) {
		if (view_equals(name, view_of(allowed[i])))
			return true;
	}
	return name.len == 0;
}

static bool are_allowed_headers(const char *list)
{
	while (list && *list) {
		struct view name = {list + strspn(list, " ,"), 0};

		name.len = strcspn(name.ptr, " ,");
		if (!is_allowed_header(name))
			return false;
		list = name.ptr + name.len;
	}
	return true;
}

/* As with cors_allowed_origins = ["*"]: always 204, and permission in the headers or in their
 * absence. */
static enum MHD_Result send_preflight(struct MHD_Connection *connection)
{
	const char *method = header(connection, "Access-Control-Request-Method");
	const char *headers = header(connection, "Access-Control-Request-Headers");
	struct MHD_Response *response =
		MHD_create_response_from_buffer(0, NULL, MHD_RESPMEM_PERSISTENT);

	if (!response)
		return MHD_NO;
	MHD_add_response_header(response, "Vary",
				"Origin, Access-Control-Request-Method, "
				"Access-Control-Request-Headers");
	if (header(connection, "Origin") && are_allowed_headers(headers) &&
	    (strcmp(method, "POST") == 0 || strcmp(method, "GET") == 0 ||
	     strcmp(method, "HEAD") == 0)) {
		MHD_add_response_header(response, "Access-Control-Allow-Origin", "*");
		MHD_add_response_header(response, "Access-Control-Allow-Methods", method);
		if (headers && *headers)
			MHD_add_response_header(response, "Access-Control-Allow-Headers", headers);
	}
	return send_response(connection, MHD_HTTP_NO_CONTENT, response);
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

/* One write for all lines of a beacon as far as the system lets us; nobody else writes in between.
 */
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
			break; /* nobody reads any more */
		at += n > 0 ? (size_t)n : 0;
	}
	pthread_mutex_unlock(&sink->output_lock);
	buf_release(&out);
}

static unsigned problem(struct exchange *exchange, unsigned status, const char *text)
{
	snprintf(exchange->text, sizeof(exchange->text), "%s", text);
	return status;
}

static bool is_too_long(struct MHD_Connection *connection)
{
	const char *length = header(connection, "Content-Length");

	return length && strtoull(length, NULL, 10) > RECEIVER_MAX_BYTES;
}

/* The receiver's checks behind the JSON one, in its order. */
static unsigned judge_request(struct sink *sink, struct MHD_Connection *connection,
			      struct exchange *exchange)
{
	const char *key = sink->options->api_key;

	if (key && !header_is(connection, "x-api-key", key))
		return problem(exchange, MHD_HTTP_UNAUTHORIZED,
			       "API key not provided or incorrect");
	if (is_too_long(connection))
		return problem(exchange, MHD_HTTP_CONTENT_TOO_LARGE, "Request Entity Too Large");
	return problem(exchange, MHD_HTTP_ACCEPTED, "ok");
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
			   struct exchange *exchange, struct view body)
{
	struct payload payload;
	unsigned status;

	if (!payload_parse(&payload, body, exchange->text))
		return MHD_HTTP_BAD_REQUEST;
	status = judge_request(sink, connection, exchange);
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
		      struct exchange *exchange)
{
	struct view body = {exchange->body.data, exchange->body.len};
	enum gunzip_result result = GUNZIP_OK;
	struct buf inflated;
	unsigned status = 0;

	if (!limiter_allows(&sink->limiter, sink->options->rate))
		return problem(exchange, MHD_HTTP_TOO_MANY_REQUESTS, "Too Many Requests");
	if (exchange->overflow)
		return problem(exchange, MHD_HTTP_CONTENT_TOO_LARGE, "Request Entity Too Large");
	buf_init(&inflated, MAX_INFLATED_BYTES, NULL);
	if (header_is(connection, "Content-Encoding", "gzip")) {
		result = gunzip(body, &inflated);
		body = (struct view){inflated.data, inflated.len};
	}
	switch (result) {
	case GUNZIP_OK:
		save(sink, connection, body);
		status = judge_json(sink, connection, exchange, body);
		break;
	case GUNZIP_NOT_GZIP:
		status = problem(exchange, MHD_HTTP_BAD_REQUEST, "failed to decompress gzip body");
		break;
	case GUNZIP_NO_ROOM:
		status = problem(exchange, MHD_HTTP_CONTENT_TOO_LARGE,
				 "inflates to more than faro-sink takes");
		break;
	}
	buf_release(&inflated);
	return status;
}

static enum MHD_Result answer(struct sink *sink, struct MHD_Connection *connection,
			      const struct exchange *exchange)
{
	const struct sink_options *options = sink->options;
	unsigned status = final_status(sink, exchange->status);
	const char *text = exchange->text;
	struct MHD_Response *response;
	char seconds[16];

	if (status == MHD_HTTP_NO_CONTENT || status == MHD_HTTP_NOT_MODIFIED)
		text = "";
	else if (status != exchange->status)
		text = is_success(status) ? "ok" : "faro-sink answers with --status";
	response = text_response(status, text);
	if (!response)
		return MHD_NO;
	MHD_add_response_header(response, "Vary", "Origin");
	if (header(connection, "Origin"))
		MHD_add_response_header(response, "Access-Control-Allow-Origin", "*");
	if (options->session_status)
		MHD_add_response_header(response, "X-Faro-Session-Status", options->session_status);
	if (options->retry_after >= 0 && !is_success(status)) {
		snprintf(seconds, sizeof(seconds), "%d", options->retry_after);
		MHD_add_response_header(response, "Retry-After", seconds);
	}
	return send_response(connection, status, response);
}

static void take_body(struct exchange *exchange, const char *bytes, size_t n)
{
	if (!exchange->overflow && buf_append(&exchange->body, bytes, n) != BUF_OK)
		exchange->overflow = true;
}

/* Called at the end of the body, and again when out of the park. */
static enum MHD_Result collect(struct sink *sink, struct MHD_Connection *connection,
			       struct exchange *exchange)
{
	if (exchange->judged)
		return sink->options->silent ? MHD_NO : answer(sink, connection, exchange);
	atomic_fetch_add(&sink->requests, 1);
	exchange->status = judge(sink, connection, exchange);
	exchange->judged = true;
	buf_release(&exchange->body);
	if (!sink->parks)
		return answer(sink, connection, exchange);
	exchange->parked = true;
	atomic_fetch_add(&sink->parked, 1);
	return delay_add(&sink->park, connection) ? MHD_YES : MHD_NO;
}

static enum MHD_Result handle(void *cls, struct MHD_Connection *connection, const char *url,
			      const char *method, const char *version, const char *upload,
			      size_t *upload_size, void **context)
{
	struct sink *sink = cls;
	bool is_collect = strcmp(url, "/collect") == 0;
	bool is_options = strcmp(method, "OPTIONS") == 0;

	(void)version;
	if (!*context) {
		struct exchange *exchange = calloc(1, sizeof(*exchange));

		if (!exchange)
			return MHD_NO;
		buf_init(&exchange->body, MAX_RECEIVED_BYTES, NULL);
		*context = exchange;
		return MHD_YES;
	}
	/* libmicrohttpd takes no answer in the middle of a body. */
	if (*upload_size > 0) {
		take_body(*context, upload, *upload_size);
		*upload_size = 0;
		return MHD_YES;
	}
	if (is_collect && is_options && header(connection, "Access-Control-Request-Method"))
		return send_preflight(connection);
	if (is_collect && (is_options || strcmp(method, "POST") == 0))
		return collect(sink, connection, *context);
	if (is_collect)
		return send_text(connection, MHD_HTTP_METHOD_NOT_ALLOWED, "Method Not Allowed");
	if (strcmp(url, "/-/ready") == 0)
		return send_text(connection, MHD_HTTP_OK, "ready");
	if (strcmp(url, "/-/counts") == 0)
		return send_counts(sink, connection);
	return send_text(connection, MHD_HTTP_NOT_FOUND, "404 page not found");
}

static void completed(void *cls, struct MHD_Connection *connection, void **context,
		      enum MHD_RequestTerminationCode code)
{
	struct exchange *exchange = *context;
	struct sink *sink = cls;

	(void)connection;
	(void)code;
	if (!exchange)
		return;
	atomic_fetch_sub(&sink->parked, exchange->parked);
	buf_release(&exchange->body);
	free(exchange);
	*context = NULL;
}

/* As many connections as the process may have files open, but a few. */
static unsigned connection_limit(unsigned threads)
{
	struct rlimit files;
	unsigned limit = 1000;

	if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
		files.rlim_cur = files.rlim_max < 65536 ? files.rlim_max : 65536;
		setrlimit(RLIMIT_NOFILE, &files);
		if (files.rlim_cur > 128)
			limit = (unsigned)files.rlim_cur - 64;
	}
	return limit < threads ? threads : limit;
}

bool sink_start(struct sink *sink, const struct sink_options *options, int listen_fd)
{
	unsigned threads = (unsigned)options->threads;
	struct MHD_OptionItem pool[] = {{MHD_OPTION_THREAD_POOL_SIZE, (intptr_t)threads, NULL},
					{MHD_OPTION_END, 0, NULL}};

	*sink = (struct sink){.options = options};
	pthread_mutex_init(&sink->output_lock, NULL);
	pthread_mutex_init(&sink->limiter.lock, NULL);
	sink->limiter.tokens = 2.0 * options->rate;
	sink->parks = options->silent || options->delay_ms > 0;
	if (sink->parks &&
	    !delay_start(&sink->park, options->silent ? PARK_FOR_EVER : options->delay_ms)) {
		fprintf(stderr, "faro-sink: cannot start the timer thread: %s\n", strerror(errno));
		return false;
	}
	sink->daemon = MHD_start_daemon(
		MHD_USE_EPOLL_INTERNAL_THREAD | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_ITC, 0, NULL,
		NULL, handle, sink, MHD_OPTION_LISTEN_SOCKET, listen_fd,
		MHD_OPTION_NOTIFY_COMPLETED, completed, sink, MHD_OPTION_CONNECTION_TIMEOUT,
		(unsigned)IDLE_SECONDS, MHD_OPTION_CONNECTION_LIMIT, connection_limit(threads),
		MHD_OPTION_ARRAY, threads > 1 ? pool : pool + 1, MHD_OPTION_END);
	if (!sink->daemon)
		fprintf(stderr, "faro-sink: libmicrohttpd does not start: %s\n", strerror(errno));
	return sink->daemon != NULL;
}

/* MHD_stop_daemon() closes connections without sending what is queued on them. */
static void await_last_answers(struct sink *sink)
{
	const struct timespec step = {0, LAST_ANSWERS_STEP_MS * 1000000};

	for (int ms = 0; ms < LAST_ANSWERS_MS && atomic_load(&sink->parked) > 0;
	     ms += LAST_ANSWERS_STEP_MS)
		nanosleep(&step, NULL);
}

void sink_stop(struct sink *sink)
{
	if (sink->parks) {
		delay_stop(&sink->park);
		await_last_answers(sink);
	}
	MHD_stop_daemon(sink->daemon);
	if (sink->parks)
		delay_release(&sink->park);
	pthread_mutex_destroy(&sink->limiter.lock);
	pthread_mutex_destroy(&sink->output_lock);
}
