/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DESIGN: libmicrohttpd's threads read requests and call handle() for each part of one; which route
 * it is decides at the end. What a collect request is answered, collect.c says.
 */
#include "sink/http.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/resource.h>
#include <time.h>

#include "sink/collect.h"
#include "sink/response.h"

/* For connections that a client left in the middle of a request: libmicrohttpd's epoll loop does
 * not see every half-close. Longer than any pool keeps a connection that it means to use again. */
enum {
	IDLE_SECONDS = 120
};

/* How long delayed answers may take to be sent at the end. */
enum {
	LAST_ANSWERS_MS = 2000,
	LAST_ANSWERS_STEP_MS = 5
};

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
	return response_send(connection, MHD_HTTP_OK, response);
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
		*context = collect_request_new();
		return *context ? MHD_YES : MHD_NO;
	}
	/* libmicrohttpd takes no answer in the middle of a body. */
	if (*upload_size > 0) {
		collect_take(*context, upload, *upload_size);
		*upload_size = 0;
		return MHD_YES;
	}
	if (is_collect && is_options && request_header(connection, "Access-Control-Request-Method"))
		return response_send_preflight(connection);
	if (is_collect && (is_options || strcmp(method, "POST") == 0))
		return collect_answer(sink, connection, *context);
	if (is_collect)
		return response_send_text(connection, MHD_HTTP_METHOD_NOT_ALLOWED,
					  "Method Not Allowed");
	if (strcmp(url, "/-/ready") == 0)
		return response_send_text(connection, MHD_HTTP_OK, "ready");
	if (strcmp(url, "/-/counts") == 0)
		return send_counts(sink, connection);
	return response_send_text(connection, MHD_HTTP_NOT_FOUND, "404 page not found");
}

static void completed(void *cls, struct MHD_Connection *connection, void **context,
		      enum MHD_RequestTerminationCode code)
{
	struct sink *sink = cls;

	(void)connection;
	(void)code;
	collect_request_free(sink, *context);
	*context = NULL;
}

/* The limit of open files, less some for what is no connection. */
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
	sink->delays = options->silent || options->delay_ms > 0;
	if (sink->delays &&
	    !delay_start(&sink->delay, options->silent ? DELAY_FOR_EVER : options->delay_ms)) {
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

	for (int ms = 0; ms < LAST_ANSWERS_MS && atomic_load(&sink->delayed) > 0;
	     ms += LAST_ANSWERS_STEP_MS)
		nanosleep(&step, NULL);
}

void sink_stop(struct sink *sink)
{
	if (sink->delays) {
		delay_stop(&sink->delay);
		await_last_answers(sink);
	}
	MHD_stop_daemon(sink->daemon);
	if (sink->delays)
		delay_release(&sink->delay);
	pthread_mutex_destroy(&sink->limiter.lock);
	pthread_mutex_destroy(&sink->output_lock);
}
