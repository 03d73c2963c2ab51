/*
 * relay against a real HTTP server on loopback (stub_receiver), through each of its engines. The
 * resolver is a stand-in whose addresses the test sets, the log one that remembers the last event,
 * epoll_ctl(2) is counted, and the clock may be put forward.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include <arpa/inet.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include <cmocka.h>

#include "base/log.h"
#include "base/loop.h"
#include "base/metrics.h"
#include "base/text.h"
#include "build-config.h"
#include "fakes/counted_allocations.h"
#include "fakes/stub_receiver.h"
#include "upstream/relay.h"
#include "upstream/route.h"

#define HOST "receiver.invalid" /* nobody but the resolver knows it */

/* Stand-ins. */

struct resolver {
	unsigned generation;
	const char *addresses;      /* a comma list; IPv6 is what has a colon */
	const char *next_addresses; /* what is read from the second time on, if not NULL */
	const char *error;
	size_t preferred; /* 0: all */
	unsigned refreshed;
};

unsigned resolver_generation(struct resolver *resolver)
{
	return resolver->generation;
}

unsigned resolver_read(struct resolver *resolver, struct resolver_addresses *addresses)
{
	const char *p = resolver->addresses;

	memset(addresses, 0, sizeof(*addresses));
	while (p && *p) {
		struct resolver_address *address = &addresses->list[addresses->count++];
		size_t len = strcspn(p, ",");

		memcpy(address->text, p, len);
		address->family = memchr(p, ':', len) ? AF_INET6 : AF_INET;
		p += len + (p[len] == ',');
	}
	addresses->preferred = resolver->preferred ? resolver->preferred : addresses->count;
	if (resolver->next_addresses)
		resolver->addresses = resolver->next_addresses;
	return resolver->generation;
}

const char *resolver_error(struct resolver *resolver)
{
	return resolver->error;
}

void resolver_refresh(struct resolver *resolver)
{
	resolver->refreshed++;
}

static char last_event[64], last_msg[256], last_url[128];
static int64_t last_status;
static unsigned recovered_lines;

void log_write(enum log_level level, const char *event, const char *msg,
	       const struct log_field *fields)
{
	(void)level;
	snprintf(last_event, sizeof(last_event), "%s", event);
	snprintf(last_msg, sizeof(last_msg), "%s", msg);
	last_status = 0;
	*last_url = '\0';
	for (; fields->key; fields++) {
		if (strcmp(fields->key, "status") == 0)
			last_status = fields->number;
		else if (strcmp(fields->key, "upstream_url") == 0)
			snprintf(last_url, sizeof(last_url), "%s", fields->text.ptr);
	}
	if (strcmp(event, "upstream_recovered") == 0)
		recovered_lines++;
}

void log_write_limited(int64_t every_ms, enum log_level level, const char *event, const char *msg,
		       const struct log_field *fields)
{
	(void)every_ms;
	log_write(level, event, msg, fields);
}

int __real_epoll_ctl(int epfd, int op, int fd, struct epoll_event *event);
int __wrap_epoll_ctl(int epfd, int op, int fd, struct epoll_event *event);
static unsigned epoll_ctls;

int __wrap_epoll_ctl(int epfd, int op, int fd, struct epoll_event *event)
{
	epoll_ctls++;
	return __real_epoll_ctl(epfd, op, fd, event);
}

ssize_t __real_sendmsg(int fd, const struct msghdr *message, int flags);
ssize_t __wrap_sendmsg(int fd, const struct msghdr *message, int flags);
static bool no_room;          /* in any socket */
static int write_error;       /* of the next write; 0: none */
static int write_errors_left; /* and of so many more */

ssize_t __wrap_sendmsg(int fd, const struct msghdr *message, int flags)
{
	if (write_error) {
		errno = write_error;
		if (write_errors_left-- <= 0)
			write_error = 0;
		return -1;
	}
	if (!no_room)
		return __real_sendmsg(fd, message, flags);
	errno = EAGAIN;
	return -1;
}

int __real_clock_gettime(clockid_t clock, struct timespec *now);
int __wrap_clock_gettime(clockid_t clock, struct timespec *now);
static time_t forward_s; /* our clock is ahead by this; libcurl has its own */

int __wrap_clock_gettime(clockid_t clock, struct timespec *now)
{
	int result = __real_clock_gettime(clock, now);

	now->tv_sec += forward_s;
	return result;
}

/* What each test stands on. */

enum {
	CALLS = 8,
	GUARD_US = 20 * 1000000
};

struct bench {
	struct loop loop;
	struct loop_timer guard;
	struct config config;
	char url[128];
	struct resolver resolver;
	struct budget inflight;
	struct relay *relay;
	struct stub stub;
	struct loop_watch stub_watch;
	unsigned turns, done;
	struct relay_call calls[CALLS];
	struct relay_call *next, *victim; /* what done() is to start, or to cancel */
};

static struct bench *bench;

static void on_guard(struct loop_timer *timer)
{
	(void)timer;
	fail_msg("nothing came of it in %d s", GUARD_US / 1000000);
}

static void on_stub_event(struct loop_watch *watch, uint32_t events)
{
	uint64_t count;

	(void)events;
	while (read(watch->fd, &count, sizeof(count)) > 0)
		;
}

static void watch_stub(struct stub *stub, struct loop_watch *watch)
{
	*watch = (struct loop_watch){.fd = stub->event, .ready = on_stub_event};
	assert_true(loop_watch_set(&bench->loop, watch, EPOLLIN));
}

static void on_done(struct relay_call *call)
{
	struct relay_call *next = bench->next, *victim = bench->victim;

	(void)call;
	assert_null(call->transfer);
	bench->done++;
	bench->next = bench->victim = NULL;
	if (victim)
		relay_cancel(bench->relay, victim);
	if (next)
		assert_int_equal(relay_start(bench->relay, next), VERDICT_OK);
}

static void point_at(uint16_t port)
{
	snprintf(bench->url, sizeof(bench->url), "http://" HOST ":%u/collect", port);
	bench->config.upstream_url = bench->url;
	bench->config.upstream_port = port;
}

static void resolve_to(const char *addresses)
{
	bench->resolver.generation++;
	bench->resolver.addresses = addresses;
}

static void make_relay(void)
{
	relay_free(bench->relay);
	/* The old one's timers went with it. */
	bench->loop.timers = NULL;
	loop_timer_add(&bench->loop, &bench->guard);
	bench->relay = relay_new(&bench->loop, &bench->config, &bench->resolver, &bench->inflight);
	assert_non_null(bench->relay);
}

static char host[] = HOST;
static bool through_libcurl; /* which engine is tested */

static int set_up(void **state)
{
	bench = calloc(1, sizeof(*bench));
	/* It is https:// that is libcurl's; what it does over plain HTTP is the same. */
	bench->config.upstream_tls = through_libcurl;
	bench->config.upstream_host = host;
	*state = bench;
	assert_true(loop_init(&bench->loop));
	bench->guard.fire = on_guard;
	stub_start(&bench->stub, "127.0.0.1", 0);
	watch_stub(&bench->stub, &bench->stub_watch);
	bench->config.upstream_connect_timeout_ms = 5000;
	bench->config.upstream_timeout_ms = 15000;
	bench->config.upstream_max_inflight = CALLS;
	budget_init(&bench->inflight, CALLS);
	point_at(bench->stub.port);
	resolve_to("127.0.0.1");
	make_relay();
	recovered_lines = 0;
	*last_event = '\0';
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	relay_free(bench->relay);
	forward_s = 0;
	assert_int_equal(budget_used(&bench->inflight), 0);
	stub_stop(&bench->stub);
	loop_release(&bench->loop);
	free(bench);
	return 0;
}

static void turn(void)
{
	if (bench->guard.due_us == INT64_MAX)
		bench->guard.due_us = loop_now_us() + GUARD_US;
	loop_turn(&bench->loop);
	bench->turns++;
}

#define TURN_UNTIL(condition)                    \
	do {                                     \
		bench->guard.due_us = INT64_MAX; \
		while (!(condition))             \
			turn();                  \
		bench->guard.due_us = INT64_MAX; \
	} while (0)

static enum verdict start(struct relay_call *call)
{
	call->body = VIEW_LITERAL("{\"meta\":{}}");
	call->done = on_done;
	call->verdict = VERDICT_COUNT;
	return relay_start(bench->relay, call);
}

static struct relay_call *call_and_wait(void)
{
	struct relay_call *call = &bench->calls[0];
	unsigned before = bench->done;

	assert_int_equal(start(call), VERDICT_OK);
	assert_int_equal(bench->done, before);
	TURN_UNTIL(bench->done == before + 1);
	return call;
}

static void answer_with(const char *answer)
{
	stub_set_script(&bench->stub, (struct stub_script){STUB_ANSWER_AND_CLOSE,
							   STUB_ANSWER_AND_CLOSE, answer, NULL, 0});
}

/* Where the stub closes after its answer: a request that overtakes that is answered with a RST,
 * which libcurl does not always survive. */
static void await_close(void)
{
	TURN_UNTIL(bench->stub.open == 0);
}

/* Statuses. */

static void test_status__each_class__verdict(void **state)
{
	static const struct {
		int status;
		enum verdict verdict;
		enum metric metric;
		const char *event;
	} rows[] = {
		{200, VERDICT_ACCEPTED, METRIC_UPSTREAM_OK, ""},
		{202, VERDICT_ACCEPTED, METRIC_UPSTREAM_OK, ""},
		{204, VERDICT_ACCEPTED, METRIC_UPSTREAM_OK, ""},
		{299, VERDICT_ACCEPTED, METRIC_UPSTREAM_OK, ""},
		/* A redirect is not followed. */
		{301, VERDICT_UPSTREAM_MISCONFIGURED, METRIC_UPSTREAM_MISCONFIGURED,
		 "upstream_misconfigured"},
		{308, VERDICT_UPSTREAM_MISCONFIGURED, METRIC_UPSTREAM_MISCONFIGURED,
		 "upstream_misconfigured"},
		{400, VERDICT_UPSTREAM_REJECTED, METRIC_UPSTREAM_REJECTED, "upstream_rejected"},
		{401, VERDICT_UPSTREAM_MISCONFIGURED, METRIC_UPSTREAM_MISCONFIGURED,
		 "upstream_misconfigured"},
		{403, VERDICT_UPSTREAM_MISCONFIGURED, METRIC_UPSTREAM_MISCONFIGURED,
		 "upstream_misconfigured"},
		{404, VERDICT_UPSTREAM_MISCONFIGURED, METRIC_UPSTREAM_MISCONFIGURED,
		 "upstream_misconfigured"},
		{405, VERDICT_UPSTREAM_MISCONFIGURED, METRIC_UPSTREAM_MISCONFIGURED,
		 "upstream_misconfigured"},
		{413, VERDICT_UPSTREAM_REJECTED, METRIC_UPSTREAM_REJECTED, "upstream_rejected"},
		/* Not taken for a request to try without "Expect:", which is not sent. */
		{417, VERDICT_UPSTREAM_MISCONFIGURED, METRIC_UPSTREAM_MISCONFIGURED,
		 "upstream_misconfigured"},
		{422, VERDICT_UPSTREAM_REJECTED, METRIC_UPSTREAM_REJECTED, "upstream_rejected"},
		{429, VERDICT_UPSTREAM_THROTTLED, METRIC_UPSTREAM_THROTTLED, "upstream_throttled"},
		{499, VERDICT_UPSTREAM_MISCONFIGURED, METRIC_UPSTREAM_MISCONFIGURED,
		 "upstream_misconfigured"},
		{500, VERDICT_UPSTREAM_UNAVAILABLE, METRIC_UPSTREAM_UNAVAILABLE,
		 "upstream_unavailable"},
		{503, VERDICT_UPSTREAM_UNAVAILABLE, METRIC_UPSTREAM_UNAVAILABLE,
		 "upstream_unavailable"},
		{599, VERDICT_UPSTREAM_UNAVAILABLE, METRIC_UPSTREAM_UNAVAILABLE,
		 "upstream_unavailable"},
		/* No such class. */
		{600, VERDICT_UPSTREAM_UNAVAILABLE, METRIC_UPSTREAM_UNAVAILABLE,
		 "upstream_unavailable"},
	};
	char answer[128];
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(rows); i++) {
		int64_t before = metrics_get(rows[i].metric);
		struct relay_call *call;

		make_relay();
		*last_event = '\0';
		snprintf(answer, sizeof(answer),
			 "HTTP/1.1 %d X\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: "
			 "0\r\n\r\n",
			 rows[i].status);
		answer_with(answer);
		call = call_and_wait();
		assert_int_equal(call->verdict, rows[i].verdict);
		assert_int_equal(call->status, rows[i].status);
		assert_int_equal(metrics_get(rows[i].metric), before + 1);
		assert_int_equal(metrics_get(METRIC_UPSTREAM_UP), 1);
		assert_string_equal(last_event, rows[i].event);
		if (*rows[i].event) {
			assert_int_equal(last_status, rows[i].status);
			assert_string_equal(last_url, bench->url);
		}
	}
}

static void test_misconfigured__log__says_what_to_check(void **state)
{
	(void)state;
	answer_with("HTTP/1.1 401 X\r\nContent-Length: 0\r\n\r\n");
	call_and_wait();
	assert_non_null(strstr(last_msg, "FARO_UPSTREAM_API_KEY_FILE"));
	assert_non_null(strstr(last_msg, "faro-ingest --check"));
	await_close();
	answer_with("HTTP/1.1 404 X\r\nContent-Length: 0\r\n\r\n");
	call_and_wait();
	assert_non_null(strstr(last_msg, "path"));
}

static void test_hints__of_the_receiver__checked_and_capped(void **state)
{
	static const struct {
		const char *headers;
		unsigned retry_after_s;
		const char *session_status;
	} rows[] = {
		{"Retry-After: 7\r\n", 7, ""},
		{"Retry-After: 0\r\n", 0, ""},
		{"Retry-After: 29\r\n", 29, ""},
		{"Retry-After: 30\r\n", 30, ""},
		{"Retry-After: 31\r\n", 30, ""},
		{"Retry-After: 999999999\r\n", 30, ""},
		/* As 32 and as 64 bits go round. */
		{"Retry-After: 4294967297\r\n", 30, ""},
		{"Retry-After: 18446744073709551617\r\n", 30, ""},
		{"Retry-After: -5\r\n", 0, ""},
		{"Retry-After: soon\r\n", 0, ""},
		/* Dates: long ago, far away. */
		{"Retry-After: Wed, 21 Oct 2015 07:28:00 GMT\r\n", 0, ""},
		{"Retry-After: Fri, 21 Oct 2095 07:28:00 GMT\r\n", 30, ""},
		{"X-Faro-Session-Status: invalid\r\n", 0, "invalid"},
		{"x-faro-session-status:   Not-Valid \r\n", 0, "Not-Valid"},
		/* 31 and 32 letters. */
		{"X-Faro-Session-Status: abcdefghijabcdefghijabcdefghijk\r\n", 0,
		 "abcdefghijabcdefghijabcdefghijk"},
		{"X-Faro-Session-Status: abcdefghijabcdefghijabcdefghijkl\r\n", 0, ""},
		{"X-Faro-Session-Status: in valid\r\n", 0, ""},
		{"X-Faro-Session-Status: a\"b\r\n", 0, ""},
		{"X-Faro-Session-Status:\r\n", 0, ""},
	};
	char answer[256];
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(rows); i++) {
		struct relay_call *call;

		snprintf(answer, sizeof(answer), "HTTP/1.1 202 X\r\n%sContent-Length: 0\r\n\r\n",
			 rows[i].headers);
		answer_with(answer);
		call = call_and_wait();
		assert_int_equal(call->verdict, VERDICT_ACCEPTED);
		assert_int_equal(call->retry_after_s, rows[i].retry_after_s);
		assert_string_equal(call->session_status, rows[i].session_status);
		await_close();
	}
	/* Nothing of one call is left for the next on the same handle. */
	answer_with(NULL);
	assert_string_equal(call_and_wait()->session_status, "");
}

/* Replies that are not what they should be. Ten times what socket buffers hold counts as endless.
 */

enum {
	ENDLESS = 8 * 1000 * 1000
};

static void cut_off(unsigned count)
{
	TURN_UNTIL(bench->stub.cut == count);
}

static void test_reply__hostile_or_cut__harmless(void **state)
{
	static const struct {
		const char *name, *answer, *repeated;
		size_t times;
		enum verdict verdict;
		int status;
	} rows[] = {
		{"interim replies",
		 "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early\r\nA: b\r\n\r\n",
		 "HTTP/1.1 202 X\r\nContent-Length: 0\r\n\r\n", 1, VERDICT_ACCEPTED, 202},
		{"only an interim reply", "HTTP/1.1 100 Continue\r\n\r\n", NULL, 0,
		 VERDICT_UPSTREAM_UNAVAILABLE, 0},
		{"endless interim replies", "", "HTTP/1.1 100 Continue\r\n\r\n", ENDLESS,
		 VERDICT_UPSTREAM_UNAVAILABLE, 0},
		{"nothing", "", NULL, 0, VERDICT_UPSTREAM_UNAVAILABLE, 0},
		{"another protocol", "SSH-2.0-x\r\n", NULL, 0, VERDICT_UPSTREAM_UNAVAILABLE, 0},
		{"HTTP/0.9", "ok", NULL, 0, VERDICT_UPSTREAM_UNAVAILABLE, 0},
		{"a cut status line", "HTTP/1.1 20", NULL, 0, VERDICT_UPSTREAM_UNAVAILABLE, 0},
		{"a cut header", "HTTP/1.1 202 X\r\nContent-Le", NULL, 0,
		 VERDICT_UPSTREAM_UNAVAILABLE, 0},
		{"a NUL in the header", "HTTP/1.1 202 X\r\nA: \0", NULL, 0,
		 VERDICT_UPSTREAM_UNAVAILABLE, 0},
		{"one endless header", "HTTP/1.1 202 X\r\nA: ", "aaaaaaaaaaaaaaaa", ENDLESS,
		 VERDICT_UPSTREAM_UNAVAILABLE, 0},
		{"endless headers", "HTTP/1.1 202 X\r\n", "A: b\r\n", ENDLESS,
		 VERDICT_UPSTREAM_UNAVAILABLE, 0},
		/* The receiver said that it took it. */
		{"a cut body", "HTTP/1.1 202 X\r\nContent-Length: 100\r\n\r\nok", NULL, 0,
		 VERDICT_ACCEPTED, 202},
		{"an endless body", "HTTP/1.1 202 X\r\n\r\n", "aaaaaaaaaaaaaaaa", ENDLESS,
		 VERDICT_ACCEPTED, 202},
		{"an endless body of a refusal", "HTTP/1.1 400 X\r\n\r\n", "aaaaaaaaaaaaaaaa",
		 ENDLESS, VERDICT_UPSTREAM_REJECTED, 400},
		{"bad chunks", "HTTP/1.1 202 X\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", NULL,
		 0, VERDICT_ACCEPTED, 202},
		{"a bad length", "HTTP/1.1 202 X\r\nContent-Length: -1\r\n\r\n", NULL, 0,
		 VERDICT_UPSTREAM_UNAVAILABLE, 0},
	};
	unsigned cut = 0;
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(rows); i++) {
		struct relay_call *call;

		stub_set_script(&bench->stub,
				(struct stub_script){STUB_ANSWER_AND_CLOSE, STUB_ANSWER_AND_CLOSE,
						     rows[i].answer, rows[i].repeated,
						     rows[i].times});
		call = call_and_wait();
		/* What is endless is not read to its end. */
		if (rows[i].times >= ENDLESS)
			cut_off(++cut);
		if (call->verdict != rows[i].verdict || call->status != rows[i].status)
			fail_msg("%s: verdict %d, status %d", rows[i].name, (int)call->verdict,
				 call->status);
		assert_int_equal(metrics_get(METRIC_UPSTREAM_UP), rows[i].status > 0);
		await_close();
	}
}

static void test_refusal__before_the_body_is_read__its_status(void **state)
{
	static char body[2 << 20];
	struct relay_call *call = &bench->calls[0];

	(void)state;
	memset(body, ' ', sizeof(body));
	stub_set_script(&bench->stub, (struct stub_script){STUB_ANSWER_EARLY, STUB_ANSWER_EARLY,
							   "HTTP/1.1 413 X\r\nContent-Length: 0\r\n"
							   "Connection: close\r\n\r\n",
							   NULL, 0});
	*call = (struct relay_call){.body = {body, sizeof(body)}, .done = on_done};
	assert_int_equal(relay_start(bench->relay, call), VERDICT_OK);
	TURN_UNTIL(bench->done == 1);
	/* The receiver's RST may overtake its answer. */
	if (call->status == 0)
		assert_int_equal(call->verdict, VERDICT_UPSTREAM_UNAVAILABLE);
	else
		assert_int_equal(call->verdict, VERDICT_UPSTREAM_REJECTED);
}

/* The rest of the body would be taken for the next request. libcurl sends it to its end first. */
static void test_refusal__before_the_body_is_read__connection_not_kept(void **state)
{
	static char body[32 << 20];
	struct relay_call *call = &bench->calls[0];

	(void)state;
	memset(body, ' ', sizeof(body));
	stub_set_script(&bench->stub, (struct stub_script){.first = STUB_ANSWER_EARLY_AND_STAY});
	*call = (struct relay_call){.body = {body, sizeof(body)}, .done = on_done};
	assert_int_equal(relay_start(bench->relay, call), VERDICT_OK);
	TURN_UNTIL(bench->done == 1);
	assert_int_equal(call->verdict, VERDICT_ACCEPTED);
	stub_set_script(&bench->stub, (struct stub_script){0});
	assert_int_equal(call_and_wait()->verdict, VERDICT_ACCEPTED);
	assert_int_equal(bench->stub.accepted, 2);
}

static void test_body__of_five_mebibytes__arrives_whole(void **state)
{
	static char body[5 << 20];
	struct relay_call *call = &bench->calls[0];
	char header[STUB_REQUEST_MAX];

	(void)state;
	memset(body, ' ', sizeof(body));
	*call = (struct relay_call){.body = {body, sizeof(body)}, .done = on_done};
	assert_int_equal(relay_start(bench->relay, call), VERDICT_OK);
	TURN_UNTIL(bench->done == 1);
	assert_int_equal(call->verdict, VERDICT_ACCEPTED);
	stub_read_last_request(&bench->stub, header, sizeof(header));
	assert_non_null(strstr(header, "Content-Length: 5242880\r\n"));
}

static void test_body__empty__is_not_read_from_elsewhere(void **state)
{
	struct relay_call *call = &bench->calls[0];

	(void)state;
	*call = (struct relay_call){.done = on_done};
	assert_int_equal(relay_start(bench->relay, call), VERDICT_OK);
	TURN_UNTIL(bench->done == 1);
	assert_int_equal(call->verdict, VERDICT_ACCEPTED);
}

/* No answer. */

static void test_silence__past_the_deadline__timeout_and_fresh_connections(void **state)
{
	unsigned before;

	(void)state;
	bench->config.upstream_timeout_ms = 700;
	make_relay();
	/* Two kept connections: one becomes silent, the other is suspect from then on. */
	stub_set_script(&bench->stub,
			(struct stub_script){.first = STUB_HOLD, .later = STUB_SILENT});
	assert_int_equal(start(&bench->calls[1]), VERDICT_OK);
	assert_int_equal(start(&bench->calls[2]), VERDICT_OK);
	TURN_UNTIL(bench->stub.held == 2);
	stub_let_go(&bench->stub);
	TURN_UNTIL(bench->done == 2);
	assert_int_equal(bench->stub.open, 2);

	assert_int_equal(call_and_wait()->verdict, VERDICT_UPSTREAM_TIMEOUT);
	assert_int_equal(bench->calls[0].status, 0);
	assert_string_equal(last_event, "upstream_timeout");
	assert_int_equal(metrics_get(METRIC_UPSTREAM_UP), 0);
	assert_true(bench->resolver.refreshed > 0);

	before = bench->stub.accepted;
	stub_set_script(&bench->stub, (struct stub_script){.later = STUB_SILENT});
	assert_int_equal(call_and_wait()->verdict, VERDICT_ACCEPTED);
	assert_int_equal(bench->stub.accepted, before + 1);
	assert_string_equal(last_event, "upstream_recovered");
	assert_string_equal(last_url, bench->url);
}

static void test_silence__within_the_body_of_a_success__accepted(void **state)
{
	(void)state;
	bench->config.upstream_timeout_ms = 700;
	make_relay();
	stub_set_script(
		&bench->stub,
		(struct stub_script){.answer = "HTTP/1.1 202 X\r\nContent-Length: 100\r\n\r\nok"});
	assert_int_equal(call_and_wait()->verdict, VERDICT_ACCEPTED);
}

static uint16_t closed_port(void)
{
	struct stub gone;

	stub_start(&gone, "127.0.0.1", 0);
	stub_stop(&gone);
	return gone.port;
}

static void test_refused__unavailable_and_a_new_lookup(void **state)
{
	uint16_t port = closed_port();

	(void)state;
	point_at(port);
	resolve_to("127.0.0.1");
	make_relay();
	assert_int_equal(call_and_wait()->verdict, VERDICT_UPSTREAM_UNAVAILABLE);
	assert_int_equal(bench->calls[0].status, 0);
	assert_int_equal(bench->resolver.refreshed, 1);
	assert_string_equal(last_event, "upstream_unavailable");
	assert_string_equal(last_url, bench->url);
	assert_non_null(strstr(last_msg, "faro-ingest --check"));
}

/* A listener whose backlog is full: what else comes is dropped without a word. */
struct full_listener {
	int fd, fillers[4];
	uint16_t port;
};

static void full_listener_init(struct full_listener *full, const char *address, uint16_t port)
{
	struct sockaddr_in name = {.sin_family = AF_INET, .sin_port = htons(port)};
	socklen_t size = sizeof(name);
	size_t i;

	inet_pton(AF_INET, address, &name.sin_addr);
	full->fd = socket(AF_INET, SOCK_STREAM, 0);
	assert_int_equal(bind(full->fd, (struct sockaddr *)&name, size), 0);
	assert_int_equal(listen(full->fd, 0), 0);
	assert_int_equal(getsockname(full->fd, (struct sockaddr *)&name, &size), 0);
	full->port = ntohs(name.sin_port);
	for (i = 0; i < 4; i++) {
		full->fillers[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
		connect(full->fillers[i], (struct sockaddr *)&name, size);
	}
}

static void full_listener_release(struct full_listener *full)
{
	size_t i;

	for (i = 0; i < 4; i++)
		close(full->fillers[i]);
	close(full->fd);
}

static void test_connection__not_made_in_time__unavailable(void **state)
{
	struct full_listener full;

	(void)state;
	full_listener_init(&full, "127.0.0.1", 0);
	bench->config.upstream_connect_timeout_ms = 50;
	point_at(full.port);
	resolve_to("127.0.0.1");
	make_relay();
	assert_int_equal(call_and_wait()->verdict, VERDICT_UPSTREAM_UNAVAILABLE);
	full_listener_release(&full);
}

/* Newer versions of libcurl get to the second address within the first call. */
static void test_two_addresses__the_first_is_silent__next_call_begins_with_another(void **state)
{
	struct full_listener full;

	(void)state;
	full_listener_init(&full, "127.0.0.2", bench->stub.port);
	bench->config.upstream_connect_timeout_ms = 300;
	resolve_to("127.0.0.2,127.0.0.1");
	bench->resolver.next_addresses = "127.0.0.1,127.0.0.2";
	make_relay();
	call_and_wait();
	assert_int_equal(call_and_wait()->verdict, VERDICT_ACCEPTED);
	assert_int_equal(call_and_wait()->verdict, VERDICT_ACCEPTED);
	full_listener_release(&full);
}

/* The system prefers a family that leads nowhere, as where a firewall drops all of IPv6. */
static void test_addresses__the_preferred_are_silent__others_within_the_call(void **state)
{
	static const struct row {
		const char *addresses;
		size_t preferred;
	} rows[] = {
		{"127.0.0.2,127.0.0.1", 1},
		{"127.0.0.2,127.0.0.2,127.0.0.2,127.0.0.1", 3},
		/* One of the others refuses. */
		{"127.0.0.2,127.0.0.3,127.0.0.1", 1},
		/* Of one family, and the only one that is left. */
		{"127.0.0.2,127.0.0.1", 2},
	};
	struct full_listener full;
	size_t i;

	(void)state;
	full_listener_init(&full, "127.0.0.2", bench->stub.port);
	bench->config.upstream_connect_timeout_ms = 500;
	for (i = 0; i < ARRAY_LEN(rows); i++) {
		resolve_to(rows[i].addresses);
		bench->resolver.preferred = rows[i].preferred;
		make_relay();
		assert_int_equal(call_and_wait()->verdict, VERDICT_ACCEPTED);
	}
	full_listener_release(&full);
}

static void test_addresses__all_are_silent__unavailable_in_time(void **state)
{
	struct full_listener full;

	(void)state;
	full_listener_init(&full, "127.0.0.2", bench->stub.port);
	bench->config.upstream_connect_timeout_ms = 100;
	resolve_to("127.0.0.2,127.0.0.2,127.0.0.2");
	make_relay();
	assert_int_equal(call_and_wait()->verdict, VERDICT_UPSTREAM_UNAVAILABLE);
	full_listener_release(&full);
}

static void test_no_address_yet__unavailable_later(void **state)
{
	(void)state;
	bench->resolver = (struct resolver){.error = "Name or service not known"};
	make_relay();
	assert_int_equal(call_and_wait()->verdict, VERDICT_UPSTREAM_UNAVAILABLE);
	assert_int_equal(bench->stub.accepted, 0);
	/* And then one is found. */
	resolve_to("127.0.0.1");
	assert_int_equal(call_and_wait()->verdict, VERDICT_ACCEPTED);
	assert_int_equal(recovered_lines, 1);
}

static void test_no_address_yet__done_starts_again__one_a_turn(void **state)
{
	unsigned turns;

	(void)state;
	bench->resolver = (struct resolver){0};
	make_relay();
	bench->calls[1] = (struct relay_call){.done = on_done};
	bench->next = &bench->calls[1];
	assert_int_equal(start(&bench->calls[0]), VERDICT_OK);
	TURN_UNTIL(bench->done == 1);
	turns = bench->turns;
	TURN_UNTIL(bench->done == 2);
	assert_int_equal(bench->turns, turns + 1);
}

static void test_no_address_yet__cancelled__no_done(void **state)
{
	(void)state;
	bench->resolver = (struct resolver){0};
	make_relay();
	assert_int_equal(start(&bench->calls[0]), VERDICT_OK);
	assert_int_equal(start(&bench->calls[1]), VERDICT_OK);
	assert_int_equal(start(&bench->calls[2]), VERDICT_OK);
	relay_cancel(bench->relay, &bench->calls[0]);
	/* The other one is cancelled while the list is walked. */
	bench->victim = &bench->calls[1];
	TURN_UNTIL(bench->done == 1);
	assert_int_equal(bench->calls[1].verdict, VERDICT_COUNT);
	assert_int_equal(budget_used(&bench->inflight), 0);
	/* Some that are cancelled and never told. */
	assert_int_equal(start(&bench->calls[0]), VERDICT_OK);
	relay_cancel(bench->relay, &bench->calls[0]);
	turn();
}

static void test_failures__one_line_when_they_end(void **state)
{
	(void)state;
	answer_with("HTTP/1.1 503 X\r\nContent-Length: 0\r\n\r\n");
	call_and_wait();
	await_close();
	call_and_wait();
	await_close();
	/* What is wrong with one beacon is no end of it, and no failure. */
	answer_with("HTTP/1.1 400 X\r\nContent-Length: 0\r\n\r\n");
	call_and_wait();
	await_close();
	assert_int_equal(recovered_lines, 0);
	answer_with(NULL);
	call_and_wait();
	await_close();
	call_and_wait();
	assert_int_equal(recovered_lines, 1);
}

/* Connections. */

static void test_kept_connection__hundred_calls__no_epoll_ctl(void **state)
{
	unsigned before, i;

	(void)state;
	call_and_wait();
	before = epoll_ctls;
	for (i = 0; i < 100; i++)
		assert_int_equal(call_and_wait()->verdict, VERDICT_ACCEPTED);
	assert_int_equal(epoll_ctls, before);
	assert_int_equal(bench->stub.accepted, 1);
}

static bool alarmed;

static void on_alarm(struct loop_timer *timer)
{
	(void)timer;
	alarmed = true;
}

/* How often the loop turns in a while in which nothing is to be done. */
static unsigned idle_turns(void)
{
	static struct loop_timer alarm;
	unsigned before = bench->turns;

	alarmed = false;
	alarm.fire = on_alarm;
	loop_timer_add(&bench->loop, &alarm);
	alarm.due_us = loop_now_us() + 100000;
	while (!alarmed)
		turn();
	bench->loop.timers = alarm.next;
	return bench->turns - before;
}

static void test_idle_connection__closed_by_the_peer__loop_rests(void **state)
{
	int64_t resends = metrics_get(METRIC_UPSTREAM_RESENDS);

	(void)state;
	call_and_wait();
	stub_close_connections(&bench->stub);
	TURN_UNTIL(bench->stub.open == 0);
	assert_true(idle_turns() < 10);
	assert_int_equal(call_and_wait()->verdict, VERDICT_ACCEPTED);
	assert_int_equal(bench->stub.accepted, 2);
	assert_int_equal(metrics_get(METRIC_UPSTREAM_RESENDS), resends);
}

static void test_idle_connection__stray_answer__not_taken_for_the_next(void **state)
{
	(void)state;
	call_and_wait();
	stub_send_stray(&bench->stub, "HTTP/1.1 202 X\r\nContent-Length: 0\r\n\r\n");
	TURN_UNTIL(bench->stub.open == 0);
	assert_true(idle_turns() < 10);
	/* What came before the request is no answer to it. */
	answer_with("HTTP/1.1 429 X\r\nContent-Length: 0\r\n\r\n");
	assert_int_equal(call_and_wait()->status, 429);
	assert_int_equal(bench->stub.accepted, 2);
}

/* A kept connection of which the receiver reads no more has no room for the next request. */
static void test_kept_connection__answer_before_the_request_is_written__not_taken(void **state)
{
	(void)state;
	call_and_wait();
	no_room = true;
	assert_int_equal(start(&bench->calls[0]), VERDICT_OK);
	stub_send_stray(&bench->stub, "HTTP/1.1 202 X\r\nContent-Length: 0\r\n\r\n");
	TURN_UNTIL(bench->stub.accepted == 2 || bench->done == 2);
	answer_with("HTTP/1.1 429 X\r\nContent-Length: 0\r\n\r\n");
	no_room = false;
	TURN_UNTIL(bench->done == 2);
	assert_int_equal(bench->calls[0].status, 429);
	assert_int_equal(bench->stub.accepted, 2);
}

/* On a connection of ours to the stub, which has not been read; without a turn of the loop. */
static bool bytes_are_there(void)
{
	for (int fd = 3; fd < 256; fd++) {
		struct sockaddr_in peer = {.sin_port = 0};
		socklen_t size = sizeof(peer);
		int unread = 0;

		if (getpeername(fd, (struct sockaddr *)&peer, &size) == 0 &&
		    ntohs(peer.sin_port) == bench->stub.port && ioctl(fd, FIONREAD, &unread) == 0 &&
		    unread > 0)
			return true;
	}
	return false;
}

static void test_kept_connection__answer_and_room_at_once__not_taken(void **state)
{
	(void)state;
	call_and_wait();
	no_room = true;
	assert_int_equal(start(&bench->calls[0]), VERDICT_OK);
	stub_send_stray(&bench->stub, "HTTP/1.1 202 X\r\nContent-Length: 0\r\n\r\n");
	while (!bytes_are_there())
		poll(NULL, 0, 1);
	answer_with("HTTP/1.1 429 X\r\nContent-Length: 0\r\n\r\n");
	no_room = false;
	TURN_UNTIL(bench->done == 2);
	assert_int_equal(bench->calls[0].status, 429);
	assert_int_equal(bench->stub.accepted, 2);
}

/* It came while the loop was at work, so that no event has told of it. */
static void test_kept_connection__stray_answer_unread__not_taken_for_the_next(void **state)
{
	(void)state;
	call_and_wait();
	stub_send_stray(&bench->stub, "HTTP/1.1 202 X\r\nContent-Length: 0\r\n\r\n");
	while (!bytes_are_there())
		poll(NULL, 0, 1);
	answer_with("HTTP/1.1 429 X\r\nContent-Length: 0\r\n\r\n");
	assert_int_equal(call_and_wait()->status, 429);
	assert_int_equal(bench->stub.accepted, 2);
}

/* The kernel refuses, and epoll has nothing to say about it. */
static void test_kept_connection__cannot_be_written__another_is_used(void **state)
{
	(void)state;
	assert_int_equal(call_and_wait()->verdict, VERDICT_ACCEPTED);
	write_error = ENOBUFS;
	assert_int_equal(call_and_wait()->verdict, VERDICT_ACCEPTED);
	assert_int_equal(bench->stub.accepted, 2);
}

static void test_new_connection__cannot_be_written__unavailable_without_a_spin(void **state)
{
	(void)state;
	write_error = ENOBUFS;
	write_errors_left = INT_MAX;
	assert_int_equal(call_and_wait()->verdict, VERDICT_UPSTREAM_UNAVAILABLE);
	assert_true(bench->turns < 20);
	write_error = 0;
}

static void test_transfers__not_needed_for_a_moment__freed(void **state)
{
	long kept;

	(void)state;
	for (size_t i = 0; i < CALLS; i++)
		assert_int_equal(start(&bench->calls[i]), VERDICT_OK);
	TURN_UNTIL(bench->done == CALLS);
	kept = live;
	forward_s++;
	turn();
	/* Each was one allocation, and with libcurl more. */
	assert_true(live <= kept - CALLS);
	/* And the next call has what it needs. */
	assert_int_equal(call_and_wait()->verdict, VERDICT_ACCEPTED);
}

/* In one turn of the loop a call starts on an idle connection, and then the connection's own event
 * comes, of something that was there before the request. */

static struct loop_watch starter;

static void on_start(struct loop_watch *watch, uint32_t events)
{
	(void)events;
	loop_watch_set(&bench->loop, watch, 0);
	assert_int_equal(start(&bench->calls[0]), VERDICT_OK);
}

static void wait_for_stub(void)
{
	struct pollfd fd = {bench->stub.event, POLLIN, 0};

	assert_int_equal(poll(&fd, 1, GUARD_US / 1000), 1);
}

static void check_start_before_event(bool stray)
{
	uint64_t one = 1;

	call_and_wait();
	/* Else epoll still has the connection in front of what becomes ready first. */
	idle_turns();
	on_stub_event(&bench->stub_watch, 0);
	starter = (struct loop_watch){.fd = eventfd(0, EFD_CLOEXEC), .ready = on_start};
	assert_true(loop_watch_set(&bench->loop, &starter, EPOLLIN));
	assert_int_equal(write(starter.fd, &one, sizeof(one)), sizeof(one));
	if (stray)
		stub_send_stray(&bench->stub, "HTTP/1.1 429 X\r\nContent-Length: 0\r\n\r\n");
	else
		stub_close_connections(&bench->stub);
	wait_for_stub();
	stub_set_script(&bench->stub, (struct stub_script){0});
	TURN_UNTIL(bench->done == 2);
	assert_int_equal(bench->calls[0].status, 202);
	assert_int_equal(bench->stub.accepted, 2);
	close(starter.fd);
}

static void test_idle_connection__stray_answer_in_the_turn_of_a_start__not_taken(void **state)
{
	(void)state;
	check_start_before_event(true);
}

static void test_idle_connection__closed_in_the_turn_of_a_start__another_is_used(void **state)
{
	(void)state;
	check_start_before_event(false);
}

static void check_not_used_again(const char *answer)
{
	unsigned accepted = bench->stub.accepted;

	stub_set_script(&bench->stub, (struct stub_script){.answer = answer});
	assert_int_equal(call_and_wait()->verdict, VERDICT_ACCEPTED);
	assert_int_equal(call_and_wait()->verdict, VERDICT_ACCEPTED);
	assert_int_equal(bench->stub.accepted, accepted + 2);
}

/* As much as is read at once, and more behind it. */
static void test_connection__answer_that_fills_the_buffer__not_used_again(void **state)
{
	static const char head[] = "HTTP/1.1 202 X\r\nContent-Length: 16343\r\n\r\n",
			  stray[] = "HTTP/1.1 202 X\r\nContent-Length: 0\r\n\r\n";
	static char answer[16384 + sizeof(stray)];

	(void)state;
	memset(answer, 'x', sizeof(answer));
	memcpy(answer, head, strlen(head));
	assert_int_equal(strlen(head) + 16343, 16384);
	memcpy(answer + 16384, stray, sizeof(stray));
	check_not_used_again(answer);
}

static void test_connection__not_to_be_used_again__is_not(void **state)
{
	(void)state;
	check_not_used_again("HTTP/1.1 202 X\r\nConnection: close\r\nContent-Length: 0\r\n\r\n");
	make_relay();
	check_not_used_again("HTTP/1.0 202 X\r\nContent-Length: 0\r\n\r\n");
}

static void test_descriptors__exhausted__unavailable_without_a_spin(void **state)
{
	struct rlimit before, none_left;
	int next = dup(0);

	(void)state;
	close(next);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
	none_left = (struct rlimit){(rlim_t)next, before.rlim_max};
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &none_left), 0);
	assert_int_equal(call_and_wait()->verdict, VERDICT_UPSTREAM_UNAVAILABLE);
	assert_false(bench->calls[0].sent);
	assert_true(idle_turns() < 10);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
	assert_int_equal(call_and_wait()->verdict, VERDICT_ACCEPTED);
}

/* Of our own engine. */

static void test_idle_connection__for_thirty_seconds__closed(void **state)
{
	(void)state;
	call_and_wait();
	forward_s += 29;
	call_and_wait();
	assert_int_equal(bench->stub.accepted, 1);
	forward_s += 29;
	idle_turns();
	assert_int_equal(bench->stub.open, 1);
	forward_s += 2;
	TURN_UNTIL(bench->stub.open == 0);
	assert_true(idle_turns() < 10);
}

static void test_idle_connections__the_last_used_is_next__others_age(void **state)
{
	(void)state;
	stub_set_script(&bench->stub, (struct stub_script){.first = STUB_HOLD});
	start(&bench->calls[0]);
	start(&bench->calls[1]);
	TURN_UNTIL(bench->stub.held == 2);
	stub_let_go(&bench->stub);
	TURN_UNTIL(bench->done == 2);
	forward_s += 20;
	idle_turns();
	call_and_wait();
	call_and_wait();
	forward_s += 15;
	TURN_UNTIL(bench->stub.open == 1);
	call_and_wait();
	assert_int_equal(bench->stub.accepted, 2);
}

static void test_busy_connection__a_minute_old__replaced(void **state)
{
	(void)state;
	call_and_wait();
	for (; forward_s < 59; forward_s += 10)
		call_and_wait();
	assert_int_equal(bench->stub.accepted, 1);
	idle_turns();
	call_and_wait();
	assert_int_equal(bench->stub.accepted, 2);
	TURN_UNTIL(bench->stub.open == 1);
}

/* libcurl throws away what came along with an answer, and keeps the connection. */
static void test_connection__two_answers_at_once__not_used_again(void **state)
{
	(void)state;
	check_not_used_again("HTTP/1.1 202 X\r\nContent-Length: 0\r\n\r\n"
			     "HTTP/1.1 429 X\r\nContent-Length: 0\r\n\r\n");
	make_relay();
	check_not_used_again("HTTP/1.1 204 X\r\n\r\nbody");
}

static void test_two_addresses__calls_at_once__spread(void **state)
{
	struct stub other;

	(void)state;
	stub_start(&other, "127.0.0.2", bench->stub.port);
	resolve_to("127.0.0.1,127.0.0.2");
	stub_set_script(&bench->stub, (struct stub_script){.first = STUB_HOLD});
	start(&bench->calls[0]);
	start(&bench->calls[1]);
	start(&bench->calls[2]);
	TURN_UNTIL(bench->done == 1);
	TURN_UNTIL(bench->stub.held == 2);
	assert_int_equal(other.requests, 1);
	stub_let_go(&bench->stub);
	TURN_UNTIL(bench->done == 3);
	stub_stop(&other);
}

static void test_addresses__change_while_a_call_is_in_flight__its_connection_not_kept(void **state)
{
	struct stub other;

	(void)state;
	stub_start(&other, "127.0.0.2", bench->stub.port);
	stub_set_script(&bench->stub, (struct stub_script){.first = STUB_HOLD});
	assert_int_equal(start(&bench->calls[1]), VERDICT_OK);
	TURN_UNTIL(bench->stub.held == 1);
	resolve_to("127.0.0.2");
	call_and_wait();
	stub_let_go(&bench->stub);
	TURN_UNTIL(bench->done == 2);
	call_and_wait();
	assert_int_equal(other.requests, 2);
	assert_int_equal(bench->stub.requests, 1);
	stub_stop(&other);
}

/* More than are called at once are not kept. */
static void test_idle_connections__above_the_limit__closed(void **state)
{
	(void)state;
	bench->config.upstream_max_inflight = 2;
	make_relay();
	stub_set_script(&bench->stub, (struct stub_script){.first = STUB_HOLD});
	start(&bench->calls[0]);
	start(&bench->calls[1]);
	start(&bench->calls[2]);
	TURN_UNTIL(bench->stub.held == 3);
	stub_let_go(&bench->stub);
	TURN_UNTIL(bench->done == 3);
	TURN_UNTIL(bench->stub.open == 2);
}

static void test_cancel__while_connecting__no_done(void **state)
{
	struct full_listener full;

	(void)state;
	full_listener_init(&full, "127.0.0.1", 0);
	bench->config.upstream_connect_timeout_ms = 50;
	point_at(full.port);
	make_relay();
	assert_int_equal(start(&bench->calls[0]), VERDICT_OK);
	relay_cancel(bench->relay, &bench->calls[0]);
	idle_turns();
	assert_int_equal(bench->done, 0);
	full_listener_release(&full);
}

static void test_request__default_port__not_in_the_host(void **state)
{
	struct config config = {.upstream_url = (char[]){"http://[::1]:80/a"}};
	struct route *route;

	(void)state;
	route = route_new(&bench->resolver, &config, (struct view){NULL, 0});
	assert_non_null(strstr(route->head, "POST /a HTTP/1.1\r\nHost: [::1]\r\n"));
	route_drop(route);
	config.upstream_url = (char[]){"http://[::1]:8080/a"};
	route = route_new(&bench->resolver, &config, (struct view){NULL, 0});
	assert_non_null(strstr(route->head, "\r\nHost: [::1]:8080\r\n"));
	route_drop(route);
}

static void test_reused_connection__dies_unanswered__sent_again_and_counted(void **state)
{
	static const enum stub_action deaths[] = {STUB_CLOSE, STUB_RESET};
	size_t i;

	(void)state;
	for (i = 0; i < 2; i++) {
		int64_t before = metrics_get(METRIC_UPSTREAM_RESENDS);
		unsigned requests = bench->stub.requests;

		make_relay();
		stub_set_script(&bench->stub, (struct stub_script){.later = deaths[i]});
		assert_int_equal(call_and_wait()->verdict, VERDICT_ACCEPTED);
		assert_int_equal(metrics_get(METRIC_UPSTREAM_RESENDS), before);
		assert_int_equal(call_and_wait()->verdict, VERDICT_ACCEPTED);
		assert_int_equal(metrics_get(METRIC_UPSTREAM_RESENDS), before + 1);
		assert_int_equal(bench->stub.requests, requests + 3);
	}
}

static void test_new_connection__dies_unanswered__not_sent_again(void **state)
{
	(void)state;
	stub_set_script(&bench->stub, (struct stub_script){.first = STUB_CLOSE});
	assert_int_equal(call_and_wait()->verdict, VERDICT_UPSTREAM_UNAVAILABLE);
	assert_int_equal(bench->stub.requests, 1);
}

static void test_two_addresses__the_first_refuses__the_second_is_used(void **state)
{
	static const char *const addresses[] = {
		"127.0.0.2,127.0.0.1",
		"::1,127.0.0.1",
		"127.0.0.2,::1,127.0.0.3,127.0.0.1",
	};
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(addresses); i++) {
		resolve_to(addresses[i]);
		make_relay();
		assert_int_equal(call_and_wait()->verdict, VERDICT_ACCEPTED);
		/* The connection is watched as any other. */
		assert_int_equal(call_and_wait()->verdict, VERDICT_ACCEPTED);
	}
	assert_int_equal(bench->stub.accepted, 3);
}

static void test_addresses__change__calls_move(void **state)
{
	struct stub other;
	struct loop_watch watch;

	(void)state;
	stub_start(&other, "127.0.0.2", bench->stub.port);
	watch_stub(&other, &watch);
	call_and_wait();
	call_and_wait();
	assert_int_equal(bench->stub.accepted, 1);
	resolve_to("127.0.0.2");
	/* The old receiver is alive and its connection is kept; within two seconds it is given up.
	 */
	while (other.requests == 0)
		assert_int_equal(call_and_wait()->verdict, VERDICT_ACCEPTED);
	loop_watch_set(&bench->loop, &watch, 0);
	stub_stop(&other);
}

static void test_addresses__change_while_a_call_is_in_flight__both_end_well(void **state)
{
	struct stub other;

	(void)state;
	stub_start(&other, "127.0.0.2", bench->stub.port);
	stub_set_script(&bench->stub, (struct stub_script){.first = STUB_HOLD});
	assert_int_equal(start(&bench->calls[1]), VERDICT_OK);
	TURN_UNTIL(bench->stub.held == 1);
	resolve_to("127.0.0.2");
	assert_int_equal(call_and_wait()->verdict, VERDICT_ACCEPTED);
	assert_int_equal(other.requests, 1);
	stub_let_go(&bench->stub);
	TURN_UNTIL(bench->done == 2);
	assert_int_equal(bench->calls[1].verdict, VERDICT_ACCEPTED);
	stub_stop(&other);
}

/* A call that is cancelled before libcurl began with it has named addresses that then go. */
static void test_addresses__named_by_a_cancelled_call__not_missed(void **state)
{
	struct stub other;

	(void)state;
	assert_int_equal(start(&bench->calls[1]), VERDICT_OK);
	relay_cancel(bench->relay, &bench->calls[1]);
	stub_start(&other, "127.0.0.2", bench->stub.port);
	resolve_to("127.0.0.2");
	assert_int_equal(call_and_wait()->verdict, VERDICT_ACCEPTED);
	assert_int_equal(other.requests, 1);
	stub_stop(&other);
}

/* Calls. */

static void test_inflight__at_the_limit__overloaded_until_one_ends(void **state)
{
	size_t i;

	(void)state;
	stub_set_script(&bench->stub, (struct stub_script){.first = STUB_HOLD, .later = STUB_HOLD});
	budget_init(&bench->inflight, 3);
	for (i = 0; i < 3; i++)
		assert_int_equal(start(&bench->calls[i]), VERDICT_OK);
	assert_int_equal(start(&bench->calls[3]), VERDICT_OVERLOADED);
	TURN_UNTIL(bench->stub.held == 3);
	relay_cancel(bench->relay, &bench->calls[2]);
	assert_int_equal(start(&bench->calls[3]), VERDICT_OK);
	assert_int_equal(start(&bench->calls[4]), VERDICT_OVERLOADED);
	TURN_UNTIL(bench->stub.requests == 4);
	stub_let_go(&bench->stub);
	TURN_UNTIL(bench->done == 3);
	assert_int_equal(bench->calls[2].verdict, VERDICT_COUNT);
	assert_int_equal(bench->calls[4].verdict, VERDICT_COUNT);
	assert_int_equal(budget_used(&bench->inflight), 0);
}

static void test_cancel__in_flight__connection_closed_and_no_done(void **state)
{
	(void)state;
	stub_set_script(&bench->stub, (struct stub_script){.first = STUB_HOLD});
	assert_int_equal(start(&bench->calls[0]), VERDICT_OK);
	TURN_UNTIL(bench->stub.held == 1);
	relay_cancel(bench->relay, &bench->calls[0]);
	assert_null(bench->calls[0].transfer);
	TURN_UNTIL(bench->stub.open == 0);
	assert_int_equal(bench->done, 0);
	/* Once more is no harm. */
	relay_cancel(bench->relay, &bench->calls[0]);
}

static void test_done__starts_and_cancels_others(void **state)
{
	(void)state;
	stub_set_script(&bench->stub, (struct stub_script){.first = STUB_HOLD});
	assert_int_equal(start(&bench->calls[0]), VERDICT_OK);
	assert_int_equal(start(&bench->calls[1]), VERDICT_OK);
	TURN_UNTIL(bench->stub.held == 2);
	bench->calls[2] = (struct relay_call){.done = on_done};
	bench->next = &bench->calls[2];
	bench->victim = &bench->calls[1];
	relay_cancel(bench->relay, &bench->calls[0]);
	assert_int_equal(start(&bench->calls[0]), VERDICT_OK);
	TURN_UNTIL(bench->stub.requests == 3);
	stub_set_script(&bench->stub, (struct stub_script){0});
	stub_let_go(&bench->stub);
	TURN_UNTIL(bench->done == 2 || bench->done == 3);
	TURN_UNTIL(budget_used(&bench->inflight) == 0);
	assert_int_equal(bench->calls[2].verdict, VERDICT_ACCEPTED);
}

static void free_owner(struct relay_call *call)
{
	free(call);
	bench->done++;
}

static void test_done__frees_its_owner(void **state)
{
	struct relay_call *call = calloc(1, sizeof(*call));

	(void)state;
	call->done = free_owner;
	assert_int_equal(relay_start(bench->relay, call), VERDICT_OK);
	TURN_UNTIL(bench->done == 1);
}

/* Headers. */

static bool has(const char *header, const char *line)
{
	char text[256];

	snprintf(text, sizeof(text), "\r\n%s\r\n", line);
	return strstr(header, text) != NULL;
}

static void test_request__fixed_headers_and_no_others(void **state)
{
	char header[STUB_REQUEST_MAX], expected[512];

	(void)state;
	setenv("http_proxy", "http://127.0.0.1:1/", 1);
	bench->config.upstream_tenant = "shop";
	make_relay();
	call_and_wait();
	stub_read_last_request(&bench->stub, header, sizeof(header));
	snprintf(expected, sizeof(expected),
		 "POST /collect HTTP/1.1\r\nHost: " HOST ":%u\r\n"
		 "User-Agent: faro-ingest/%s\r\nContent-Type: application/json\r\n"
		 "X-Scope-OrgID: shop\r\nContent-Length: 11\r\n\r\n",
		 bench->stub.port, PACKAGE_VERSION);
	assert_string_equal(header, expected);
	unsetenv("http_proxy");
}

static void test_request__headers_of_the_client__forwarded_for_this_call_only(void **state)
{
	char header[STUB_REQUEST_MAX];
	struct relay_call *call = &bench->calls[0];

	(void)state;
	call->forwarded.session_id = VIEW_LITERAL("aB3dE6gH9k");
	call->forwarded.idempotency_key = VIEW_LITERAL("36b8f84d-df4e-4d49-b662-bcde71a8764f");
	call->forwarded.traceparent =
		VIEW_LITERAL("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01");
	call_and_wait();
	stub_read_last_request(&bench->stub, header, sizeof(header));
	assert_true(has(header, "x-faro-session-id: aB3dE6gH9k"));
	assert_true(has(header, "Idempotency-Key: 36b8f84d-df4e-4d49-b662-bcde71a8764f"));
	assert_true(has(header,
			"traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"));
	*call = (struct relay_call){0};
	call_and_wait();
	stub_read_last_request(&bench->stub, header, sizeof(header));
	assert_null(strstr(header, "aB3dE6gH9k"));
	assert_null(strstr(header, "traceparent"));
}

/* Whether the heap holds it, freed blocks included. Sanitizers have heaps of their own. */
static bool is_on_heap(struct view needle)
{
	static char bytes[65536];
	char line[256];
	unsigned long at, end;
	bool found = false;
	FILE *maps = fopen("/proc/self/maps", "r");
	int memory = open("/proc/self/mem", O_RDONLY);

	assert_non_null(maps);
	assert_true(memory >= 0);
	while (fgets(line, sizeof(line), maps)) {
		if (!strstr(line, "[heap]") || sscanf(line, "%lx-%lx", &at, &end) != 2)
			continue;
		for (; at < end && !found; at += sizeof(bytes) / 2) {
			ssize_t n = pread(memory, bytes, sizeof(bytes), (off_t)at);

			found = n > 0 && memmem(bytes, (size_t)n, needle.ptr, needle.len);
		}
	}
	close(memory);
	fclose(maps);
	return found;
}

static void test_route__dropped__no_piece_of_the_key_on_the_heap(void **state)
{
	static char key[1000];
	struct route *route;
	unsigned random = 1;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(key); i++)
		key[i] = (char)('!' + rand_r(&random) % 90);
	route = route_new(&bench->resolver, &bench->config, (struct view){key, sizeof(key)});
	assert_memory_equal(route->key_line + strlen("x-api-key: "), key, sizeof(key));
	assert_memory_equal(route->head + route->head_len - sizeof(key) - 2, key, sizeof(key));
	route_drop(route);
	for (i = 0; i + 16 <= sizeof(key); i += 16)
		assert_false(is_on_heap((struct view){key + i, 16}));
}

static bool forwards(const struct relay_call *call)
{
	struct forwarded_lines forward;

	route_print_forwarded(&forward, call);
	return forward.count > 0;
}

static void test_forward__syntax__else_left_out(void **state)
{
	char long_id[FORWARDED_MAX_BYTES + 1];
	static const struct {
		struct view value;
		bool valid;
	} ids[] =
		{
			{VIEW_LITERAL("a"), true},
			{VIEW_LITERAL("A-z_0.9~:"), true},
			{VIEW_LITERAL(""), false},
			{VIEW_LITERAL("a b"), false},
			{VIEW_LITERAL("a\r\nx-api-key: y"), false},
			{VIEW_LITERAL("a\0b"), false},
			{VIEW_LITERAL("a\177"), false},
			{VIEW_LITERAL("\303\244"), false},
			{VIEW_LITERAL("a;"), false},
			{VIEW_LITERAL("a,b"), false},
			{VIEW_LITERAL("\"a\""), false},
		},
	  traces[] = {
		  {VIEW_LITERAL("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"), true},
		  {VIEW_LITERAL("fe-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-ff"), true},
		  /* Upper case, version ff, ids of zeros, too short, too long, other separators. */
		  {VIEW_LITERAL("00-0AF7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"), false},
		  {VIEW_LITERAL("ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"), false},
		  {VIEW_LITERAL("00-00000000000000000000000000000000-b7ad6b7169203331-01"), false},
		  {VIEW_LITERAL("00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01"), false},
		  {VIEW_LITERAL("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-0"), false},
		  {VIEW_LITERAL("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-"), false},
		  {VIEW_LITERAL("00_0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"), false},
		  {VIEW_LITERAL("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-0g"), false},
		  {VIEW_LITERAL(""), false},
	  };
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(ids); i++) {
		assert_int_equal(
			forwards(&(struct relay_call){.forwarded.session_id = ids[i].value}),
			ids[i].valid);
		assert_int_equal(
			forwards(&(struct relay_call){.forwarded.idempotency_key = ids[i].value}),
			ids[i].valid);
	}
	for (i = 0; i < ARRAY_LEN(traces); i++)
		assert_int_equal(
			forwards(&(struct relay_call){.forwarded.traceparent = traces[i].value}),
			traces[i].valid);
	memset(long_id, 'a', sizeof(long_id));
	for (i = sizeof(long_id) - 2; i <= sizeof(long_id); i++)
		assert_int_equal(
			forwards(&(struct relay_call){.forwarded.session_id = {long_id, i}}),
			i <= FORWARDED_MAX_BYTES);
}

static void write_key(const char *path, const char *key)
{
	FILE *file = fopen(path, "w");

	assert_non_null(file);
	assert_true(fputs(key, file) >= 0);
	assert_int_equal(fclose(file), 0);
}

static void test_api_key__file_changes__next_calls_carry_it(void **state)
{
	char path[] = "test_relay_key_XXXXXX", header[STUB_REQUEST_MAX];
	int fd = mkstemp(path);

	(void)state;
	assert_true(fd >= 0);
	close(fd);
	write_key(path, "first\n");
	bench->config.upstream_api_key_file = path;
	make_relay();
	call_and_wait();
	stub_read_last_request(&bench->stub, header, sizeof(header));
	assert_true(has(header, "x-api-key: first"));
	write_key(path, "second\n");
	/* The file is looked at once a second. */
	while (!has(header, "x-api-key: second")) {
		assert_int_equal(call_and_wait()->verdict, VERDICT_ACCEPTED);
		stub_read_last_request(&bench->stub, header, sizeof(header));
	}
	unlink(path);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	static const struct CMUnitTest tests[] = {
		TEST(test_status__each_class__verdict),
		TEST(test_misconfigured__log__says_what_to_check),
		TEST(test_hints__of_the_receiver__checked_and_capped),
		TEST(test_reply__hostile_or_cut__harmless),
		TEST(test_refusal__before_the_body_is_read__its_status),
		TEST(test_body__of_five_mebibytes__arrives_whole),
		TEST(test_body__empty__is_not_read_from_elsewhere),
		TEST(test_silence__past_the_deadline__timeout_and_fresh_connections),
		TEST(test_silence__within_the_body_of_a_success__accepted),
		TEST(test_refused__unavailable_and_a_new_lookup),
		TEST(test_connection__not_made_in_time__unavailable),
		TEST(test_no_address_yet__unavailable_later),
		TEST(test_no_address_yet__done_starts_again__one_a_turn),
		TEST(test_no_address_yet__cancelled__no_done),
		TEST(test_failures__one_line_when_they_end),
		TEST(test_kept_connection__hundred_calls__no_epoll_ctl),
		TEST(test_idle_connection__closed_by_the_peer__loop_rests),
		TEST(test_idle_connection__stray_answer__not_taken_for_the_next),
		TEST(test_idle_connection__stray_answer_in_the_turn_of_a_start__not_taken),
		TEST(test_idle_connection__closed_in_the_turn_of_a_start__another_is_used),
		TEST(test_connection__answer_that_fills_the_buffer__not_used_again),
		TEST(test_transfers__not_needed_for_a_moment__freed),
		TEST(test_connection__not_to_be_used_again__is_not),
		TEST(test_descriptors__exhausted__unavailable_without_a_spin),
		TEST(test_reused_connection__dies_unanswered__sent_again_and_counted),
		TEST(test_new_connection__dies_unanswered__not_sent_again),
		TEST(test_two_addresses__the_first_refuses__the_second_is_used),
		TEST(test_two_addresses__the_first_is_silent__next_call_begins_with_another),
		TEST(test_addresses__change__calls_move),
		TEST(test_addresses__change_while_a_call_is_in_flight__both_end_well),
		TEST(test_addresses__named_by_a_cancelled_call__not_missed),
		TEST(test_inflight__at_the_limit__overloaded_until_one_ends),
		TEST(test_cancel__in_flight__connection_closed_and_no_done),
		TEST(test_done__starts_and_cancels_others),
		TEST(test_done__frees_its_owner),
		TEST(test_request__fixed_headers_and_no_others),
		TEST(test_request__headers_of_the_client__forwarded_for_this_call_only),
		TEST(test_forward__syntax__else_left_out),
		TEST(test_api_key__file_changes__next_calls_carry_it),
	};
	static const struct CMUnitTest own_tests[] = {
		TEST(test_idle_connection__for_thirty_seconds__closed),
		TEST(test_idle_connections__the_last_used_is_next__others_age),
		TEST(test_kept_connection__answer_before_the_request_is_written__not_taken),
		TEST(test_kept_connection__cannot_be_written__another_is_used),
		TEST(test_new_connection__cannot_be_written__unavailable_without_a_spin),
		TEST(test_kept_connection__answer_and_room_at_once__not_taken),
		TEST(test_kept_connection__stray_answer_unread__not_taken_for_the_next),
		TEST(test_busy_connection__a_minute_old__replaced),
		TEST(test_refusal__before_the_body_is_read__connection_not_kept),
		TEST(test_connection__two_answers_at_once__not_used_again),
		TEST(test_two_addresses__calls_at_once__spread),
		TEST(test_addresses__the_preferred_are_silent__others_within_the_call),
		TEST(test_addresses__all_are_silent__unavailable_in_time),
		TEST(test_addresses__change_while_a_call_is_in_flight__its_connection_not_kept),
		TEST(test_idle_connections__above_the_limit__closed),
		TEST(test_cancel__while_connecting__no_done),
		TEST(test_request__default_port__not_in_the_host),
		TEST(test_route__dropped__no_piece_of_the_key_on_the_heap),
	};

	int failed;

	/* A driver that hangs has failed. */
	alarm(240);
	failed = cmocka_run_group_tests_name("relay_http", tests, NULL, NULL);
	failed += cmocka_run_group_tests_name("relay_http alone", own_tests, NULL, NULL);
	through_libcurl = true;
	return failed + cmocka_run_group_tests_name("relay_curl", tests, NULL, NULL);
}
