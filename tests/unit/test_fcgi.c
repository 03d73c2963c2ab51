#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <cmocka.h>
#include <fastcgi.h>

#include "fcgi.h"

/* Links fcgi.c, request.c, buf.c and loop.c. nginx is played by the other end of a socket pair.
 * Each line of DESIGN in fcgi.c about libfcgi has a test here. */

struct peer {
	int fd;             /* nginx's end */
	size_t stdin_bytes; /* for send_pieces() */
	struct fcgi_conn conn;
	struct buf body;
	struct request request;
};

static void send_record(const struct peer *peer, int type, const void *content, size_t len)
{
	unsigned char header[FCGI_HEADER_LEN] = {
		FCGI_VERSION_1,    (unsigned char)type, 0, 1, (unsigned char)(len >> 8),
		(unsigned char)len};

	assert_int_equal(write(peer->fd, header, sizeof(header)), sizeof(header));
	if (len > 0)
		assert_int_equal(write(peer->fd, content, len), len);
}

static void send_begin(const struct peer *peer, int role, bool keep)
{
	const unsigned char body[8] = {0, (unsigned char)role, keep ? FCGI_KEEP_CONN : 0};

	send_record(peer, FCGI_BEGIN_REQUEST, body, sizeof(body));
}

static size_t put_pair(unsigned char *at, const char *name, const char *value)
{
	size_t name_len = strlen(name), value_len = strlen(value);

	at[0] = (unsigned char)name_len;
	at[1] = (unsigned char)value_len;
	memcpy(at + 2, name, name_len);
	memcpy(at + 2 + name_len, value, value_len);
	return 2 + name_len + value_len;
}

static void send_params(const struct peer *peer, const char *length)
{
	unsigned char pairs[256];
	size_t n = put_pair(pairs, "REQUEST_METHOD", "POST");

	n += put_pair(pairs + n, "SCRIPT_NAME", "/faro");
	n += put_pair(pairs + n, "PATH_INFO", "/collect");
	n += put_pair(pairs + n, "CONTENT_LENGTH", length);
	n += put_pair(pairs + n, "HTTP_ORIGIN", "");
	send_record(peer, FCGI_PARAMS, pairs, n);
	send_record(peer, FCGI_PARAMS, "", 0);
}

static void send_post(const struct peer *peer, const char *length, const char *body)
{
	send_begin(peer, FCGI_RESPONDER, true);
	send_params(peer, length);
	if (*body)
		send_record(peer, FCGI_STDIN, body, strlen(body));
	send_record(peer, FCGI_STDIN, "", 0);
}

/* What came back on FCGI_STDOUT of one exchange, up to its FCGI_END_REQUEST. */
static void expect_answer(const struct peer *peer, const char *expected)
{
	char text[512];
	size_t len = 0;
	unsigned char header[FCGI_HEADER_LEN];

	do {
		unsigned char content[512];
		size_t n;

		assert_int_equal(recv(peer->fd, header, sizeof(header), MSG_WAITALL),
				 sizeof(header));
		n = (size_t)(header[4] << 8 | header[5]) + header[6];
		assert_true(n <= sizeof(content));
		assert_int_equal(recv(peer->fd, content, n, MSG_WAITALL), n);
		if (header[1] == FCGI_STDOUT) {
			memcpy(text + len, content, n - header[6]);
			len += n - header[6];
		}
	} while (header[1] != FCGI_END_REQUEST);
	assert_int_equal(len, strlen(expected));
	assert_memory_equal(text, expected, len);
}

/* A read that finds nothing gives up in 20 ms here, not in the second that fcgi.c sets. */
static int set_up(void **state)
{
	static struct peer peer;
	const struct timeval soon = {.tv_usec = 20000};
	int pair[2];

	if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair) != 0)
		return -1;
	peer.fd = pair[0];
	if (!fcgi_conn_open(&peer.conn, pair[1]))
		return -1;
	if (setsockopt(pair[1], SOL_SOCKET, SO_RCVTIMEO, &soon, sizeof(soon)) != 0)
		return -1;
	buf_init(&peer.body, 100, NULL);
	request_init(&peer.request, &peer.body, 1000, NULL);
	*state = &peer;
	return 0;
}

static int tear_down(void **state)
{
	struct peer *peer = *state;

	fcgi_conn_close(&peer->conn);
	request_release(&peer->request);
	buf_release(&peer->body);
	if (peer->fd >= 0)
		close(peer->fd);
	return 0;
}

static void hang_up(struct peer *peer)
{
	close(peer->fd);
	peer->fd = -1;
}

static void expect_body(const struct peer *peer, const char *expected)
{
	assert_int_equal(peer->request.body_state, BODY_WHOLE);
	assert_int_equal(peer->body.len, strlen(expected));
	assert_memory_equal(peer->body.data, expected, peer->body.len);
}

static void next_request(struct peer *peer)
{
	buf_clear(&peer->body);
	request_clear(&peer->request);
	peer->request.body = &peer->body;
}

static void test_fcgi__two_requests_on_a_kept_connection__both_are_whole(void **state)
{
	struct peer *peer = *state;

	send_post(peer, "5", "first");
	assert_true(fcgi_conn_read(&peer->conn, &peer->request));
	expect_body(peer, "first");
	assert_true(view_equals(peer->request.method, VIEW_LITERAL("POST")));
	assert_true(view_equals(peer->request.path, VIEW_LITERAL("/faro/collect")));
	assert_int_equal(peer->request.content_length, 5);
	assert_null(peer->request.origin.ptr); /* an empty variable is an absent one */
	assert_true(fcgi_conn_reply(&peer->conn, VIEW_LITERAL("one")));
	expect_answer(peer, "one");

	next_request(peer);
	send_post(peer, "6", "second");
	assert_true(fcgi_conn_read(&peer->conn, &peer->request));
	expect_body(peer, "second");
	assert_true(fcgi_conn_reply(&peer->conn, VIEW_LITERAL("two")));
	expect_answer(peer, "two");
}

static void test_fcgi__connection_not_to_be_kept__is_answered_and_given_up(void **state)
{
	struct peer *peer = *state;

	send_begin(peer, FCGI_RESPONDER, false);
	send_params(peer, "0");
	send_record(peer, FCGI_STDIN, "", 0);
	assert_true(fcgi_conn_read(&peer->conn, &peer->request));
	assert_false(fcgi_conn_reply(&peer->conn, VIEW_LITERAL("only")));
	expect_answer(peer, "only");
}

static void test_fcgi__more_than_the_declared_length__is_read_to_its_end(void **state)
{
	struct peer *peer = *state;

	send_post(peer, "3", "abcdef");
	assert_true(fcgi_conn_read(&peer->conn, &peer->request));
	expect_body(peer, "abcdef");
	assert_int_equal(peer->request.content_length, 3);
	assert_true(fcgi_conn_reply(&peer->conn, VIEW_LITERAL("no")));
	expect_answer(peer, "no");

	next_request(peer);
	send_post(peer, "4", "next");
	assert_true(fcgi_conn_read(&peer->conn, &peer->request));
	expect_body(peer, "next");
}

static void test_fcgi__body_above_the_buffer__is_drained_and_the_next_is_served(void **state)
{
	struct peer *peer = *state;
	char large[102];

	memset(large, 'x', sizeof(large));
	large[101] = '\0';
	send_post(peer, "101", large);
	assert_true(fcgi_conn_read(&peer->conn, &peer->request));
	assert_int_equal(peer->request.body_state, BODY_TOO_LARGE);
	assert_true(fcgi_conn_reply(&peer->conn, VIEW_LITERAL("no")));
	expect_answer(peer, "no");

	next_request(peer);
	large[100] = '\0';
	send_post(peer, "100", large);
	assert_true(fcgi_conn_read(&peer->conn, &peer->request));
	expect_body(peer, large);
}

/* More than the kernel holds, so from another thread; it ends early where nobody reads any more. */
static void *send_pieces(void *arg)
{
	static const unsigned char piece[FCGI_HEADER_LEN + 32768] = {FCGI_VERSION_1, FCGI_STDIN, 0,
								     1, 0x80};
	static const unsigned char end[FCGI_HEADER_LEN] = {FCGI_VERSION_1, FCGI_STDIN, 0, 1};
	const struct peer *peer = arg;

	for (size_t sent = 0; sent < peer->stdin_bytes; sent += 32768)
		if (send(peer->fd, piece, sizeof(piece), MSG_NOSIGNAL) < 0)
			return NULL;
	send(peer->fd, end, sizeof(end), MSG_NOSIGNAL);
	return NULL;
}

static void test_fcgi__what_is_drained__has_an_end(void **state)
{
	static const struct {
		size_t bytes;
		bool read;
	} rows[] = {{64 << 20, true}, {(64 << 20) + 65536, false}};
	const struct timeval never = {0};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct peer *peer;
		pthread_t sender;

		assert_int_equal(set_up(state), 0);
		peer = *state;
		peer->stdin_bytes = rows[i].bytes;
		setsockopt(peer->conn.fd, SOL_SOCKET, SO_RCVTIMEO, &never, sizeof(never));
		send_begin(peer, FCGI_RESPONDER, true);
		send_params(peer, "10");
		assert_int_equal(pthread_create(&sender, NULL, send_pieces, peer), 0);
		assert_int_equal(fcgi_conn_read(&peer->conn, &peer->request), rows[i].read);
		assert_int_equal(peer->request.body_state, BODY_TOO_LARGE);
		fcgi_conn_close(&peer->conn);
		pthread_join(sender, NULL);
		tear_down(state);
	}
}

static void test_fcgi__peer_gone_within_the_body__is_broken(void **state)
{
	struct peer *peer = *state;

	send_begin(peer, FCGI_RESPONDER, true);
	send_params(peer, "10");
	send_record(peer, FCGI_STDIN, "abc", 3);
	hang_up(peer);
	assert_true(fcgi_conn_read(&peer->conn, &peer->request));
	assert_int_equal(peer->request.body_state, BODY_BROKEN);
	assert_false(fcgi_conn_reply(&peer->conn, VIEW_LITERAL("nobody reads this")));
	assert_int_equal(peer->conn.fd, -1);
}

static void test_fcgi__aborted_request__is_broken(void **state)
{
	struct peer *peer = *state;

	send_begin(peer, FCGI_RESPONDER, true);
	send_params(peer, "10");
	send_record(peer, FCGI_STDIN, "abc", 3);
	send_record(peer, FCGI_ABORT_REQUEST, "", 0);
	assert_true(fcgi_conn_read(&peer->conn, &peer->request));
	assert_int_equal(peer->request.body_state, BODY_BROKEN);
	assert_false(fcgi_conn_reply(&peer->conn, VIEW_LITERAL("")));
	assert_int_equal(peer->conn.fd, -1);
}

/* The library reports success and an environment without the rest. */
static void test_fcgi__silence_between_two_parameters__ends_the_connection(void **state)
{
	struct peer *peer = *state;
	unsigned char pair[64];

	send_begin(peer, FCGI_RESPONDER, true);
	send_record(peer, FCGI_PARAMS, pair, put_pair(pair, "REQUEST_METHOD", "POST"));
	assert_false(fcgi_conn_read(&peer->conn, &peer->request));
}

static void test_fcgi__silence_within_the_body__is_broken(void **state)
{
	struct peer *peer = *state;

	send_begin(peer, FCGI_RESPONDER, true);
	send_params(peer, "10");
	send_record(peer, FCGI_STDIN, "abc", 3);
	assert_true(fcgi_conn_read(&peer->conn, &peer->request));
	assert_int_equal(peer->request.body_state, BODY_BROKEN);
	assert_false(fcgi_conn_reply(&peer->conn, VIEW_LITERAL("late")));
	assert_int_equal(peer->conn.fd, -1);
}

/* None of these may lead the library into accept(), which would block this test for ever. */
static void test_fcgi__not_fastcgi__ends_the_connection(void **state)
{
	static const char *const inputs[] = {"", "GET / HTTP/1.1\r\n\r\n", "\1\1\0\1\0\10\0"};

	for (size_t i = 0; i < sizeof(inputs) / sizeof(inputs[0]); i++) {
		struct peer *peer;

		assert_int_equal(set_up(state), 0);
		peer = *state;
		assert_int_equal(write(peer->fd, inputs[i], strlen(inputs[i])), strlen(inputs[i]));
		hang_up(peer);
		assert_false(fcgi_conn_read(&peer->conn, &peer->request));
		assert_int_equal(peer->conn.fd, -1);
		tear_down(state);
	}
}

static void test_fcgi__other_roles__end_the_connection(void **state)
{
	struct peer *peer = *state;

	send_begin(peer, FCGI_AUTHORIZER, true);
	send_params(peer, "0");
	send_record(peer, FCGI_STDIN, "", 0);
	assert_false(fcgi_conn_read(&peer->conn, &peer->request));
}

/* Without it the library waits up to two seconds for the peer whenever it closes. */
static void test_fcgi__library_is_told_not_to_linger(void **state)
{
	struct peer *peer = *state;

	assert_true(peer->conn.fcgx.detached);
	send_post(peer, "2", "ok");
	assert_true(fcgi_conn_read(&peer->conn, &peer->request));
	assert_true(fcgi_conn_reply(&peer->conn, VIEW_LITERAL("ok")));
	assert_true(peer->conn.fcgx.detached);
}

static void test_fcgi__peer_that_stalls__costs_a_second_either_way(void **state)
{
	static const int options[] = {SO_RCVTIMEO, SO_SNDTIMEO};
	struct fcgi_conn conn;
	int pair[2];

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	assert_true(fcgi_conn_open(&conn, pair[1]));
	for (size_t i = 0; i < sizeof(options) / sizeof(options[0]); i++) {
		struct timeval timeout = {0};
		socklen_t size = sizeof(timeout);

		assert_int_equal(getsockopt(conn.fd, SOL_SOCKET, options[i], &timeout, &size), 0);
		assert_int_equal(timeout.tv_sec, 1);
		assert_int_equal(timeout.tv_usec, 0);
	}
	fcgi_conn_close(&conn);
	close(pair[0]);
}

static int init_library(void **state)
{
	(void)state;
	return fcgi_global_init() ? 0 : -1;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define WITH_PEER(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)
		WITH_PEER(test_fcgi__two_requests_on_a_kept_connection__both_are_whole),
		WITH_PEER(test_fcgi__connection_not_to_be_kept__is_answered_and_given_up),
		WITH_PEER(test_fcgi__more_than_the_declared_length__is_read_to_its_end),
		WITH_PEER(test_fcgi__body_above_the_buffer__is_drained_and_the_next_is_served),
		WITH_PEER(test_fcgi__peer_gone_within_the_body__is_broken),
		WITH_PEER(test_fcgi__aborted_request__is_broken),
		WITH_PEER(test_fcgi__silence_between_two_parameters__ends_the_connection),
		WITH_PEER(test_fcgi__silence_within_the_body__is_broken),
		WITH_PEER(test_fcgi__other_roles__end_the_connection),
		WITH_PEER(test_fcgi__library_is_told_not_to_linger),
		cmocka_unit_test(test_fcgi__what_is_drained__has_an_end),
		cmocka_unit_test(test_fcgi__peer_that_stalls__costs_a_second_either_way),
		cmocka_unit_test(test_fcgi__not_fastcgi__ends_the_connection),
	};

	return cmocka_run_group_tests(tests, init_library, NULL);
}
