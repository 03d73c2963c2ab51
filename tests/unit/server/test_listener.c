/* SPDX-License-Identifier: Apache-2.0 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/text.h"
#include "server/listener.h"

/* Links listener.c. */

static char folder[] = "/tmp/test_listener.XXXXXX";
static char spec[160];
static const char *path; /* within spec */
static char said[512];

static bool open_with_mode(struct listener *listener, const char *what, mode_t mode)
{
	FILE *errors = fmemopen(said, sizeof(said), "w");
	bool opened = listener_open(listener, what, mode, errors);

	fclose(errors);
	return opened;
}

static int set_up(void **state)
{
	(void)state;
	if (!mkdtemp(folder))
		return -1;
	snprintf(spec, sizeof(spec), "unix:%s/socket", folder);
	path = spec + 5;
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	return rmdir(folder); /* fails where a test left something behind */
}

static mode_t mode_of(const char *file)
{
	struct stat st;

	assert_int_equal(stat(file, &st), 0);
	return st.st_mode & 0777;
}

static void test_listener__unix_socket__has_its_mode_and_goes_away(void **state)
{
	static const mode_t modes[] = {0600, 0660, 0666};
	mode_t before = umask(077);

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(modes); i++) {
		struct listener listener;

		assert_true(open_with_mode(&listener, spec, modes[i]));
		assert_true(listener_is_listening(listener.fd));
		assert_int_equal(mode_of(path), modes[i]);
		listener_close(&listener);
		assert_int_not_equal(access(path, F_OK), 0);
	}
	assert_int_equal(umask(before), 077); /* ours for a moment only */
}

static void test_listener__path_without_prefix__is_a_unix_socket_too(void **state)
{
	struct listener listener;

	(void)state;
	assert_true(open_with_mode(&listener, path, 0660));
	listener_close(&listener);
}

static void test_listener__stale_socket__is_replaced(void **state)
{
	struct listener dead, listener;

	(void)state;
	assert_true(open_with_mode(&dead, spec, 0660));
	close(dead.fd); /* as a killed process leaves it */
	assert_true(open_with_mode(&listener, spec, 0660));
	listener_close(&listener);
}

static void test_listener__socket_in_use__is_left_alone(void **state)
{
	struct listener live, second;

	(void)state;
	assert_true(open_with_mode(&live, spec, 0660));
	assert_false(open_with_mode(&second, spec, 0660));
	assert_non_null(strstr(said, "already listens there"));
	assert_int_equal(access(path, F_OK), 0);
	listener_close(&live);
}

/* Nobody can connect, and yet it is not for us to remove. */
static void test_listener__socket_with_a_full_backlog__is_left_alone(void **state)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	struct listener live, second;
	int waiting[8];
	size_t n = 0;

	(void)state;
	assert_true(open_with_mode(&live, spec, 0660));
	assert_int_equal(listen(live.fd, 0), 0);
	strcpy(address.sun_path, path);
	do {
		assert_true(n < ARRAY_LEN(waiting));
		waiting[n] = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
	} while (connect(waiting[n++], (struct sockaddr *)&address, sizeof(address)) == 0);
	assert_int_equal(errno, EAGAIN);
	assert_false(open_with_mode(&second, spec, 0660));
	assert_int_equal(access(path, F_OK), 0);
	while (n > 0)
		close(waiting[--n]);
	listener_close(&live);
}

static void test_listener__a_file_that_is_no_socket__is_left_alone(void **state)
{
	struct listener listener;
	FILE *file = fopen(path, "w");

	(void)state;
	assert_non_null(file);
	fclose(file);
	assert_false(open_with_mode(&listener, spec, 0660));
	assert_int_equal(access(path, F_OK), 0);
	assert_int_equal(unlink(path), 0);
}

static void test_listener__somebody_elses_socket__is_not_removed(void **state)
{
	struct listener first, second;

	(void)state;
	assert_true(open_with_mode(&first, spec, 0660));
	assert_int_equal(unlink(path), 0);
	assert_true(open_with_mode(&second, spec, 0660));
	listener_close(&first);
	assert_int_equal(access(path, F_OK), 0);
	listener_close(&second);
}

static void test_listener__tcp__on_loopback_only(void **state)
{
	static const struct {
		const char *spec;
		const char *problem; /* NULL: opens */
	} rows[] = {
		{"127.0.0.1:0", NULL},
		{"127.8.9.10:0", NULL},
		{"[::1]:0", NULL},
		{"0", NULL}, /* a bare port is on 127.0.0.1 */
		{"0.0.0.0:0", "only a loopback address"},
		{"[::]:0", "only a loopback address"},
		{"192.0.2.1:9000", "only a loopback address"},
		{"localhost:9000", "expected unix:PATH, PORT or ADDRESS:PORT"}, /* names may lie */
		{":9000", "expected unix:PATH"},
		{"127.0.0.1:", "expected unix:PATH"},
		{"", "expected unix:PATH"},
		{"65535000", "expected unix:PATH"}, /* no port, and not cut to one */
		{"unix:", "expected the path"},     /* else the kernel makes up a name */
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct listener listener;
		bool opened = open_with_mode(&listener, rows[i].spec, 0660);

		if (opened != (rows[i].problem == NULL) ||
		    (rows[i].problem && !strstr(said, rows[i].problem)))
			fail_msg("%s: %s", rows[i].spec, said);
		listener_close(&listener);
	}
}

static void test_listener__path_length__is_the_kernels(void **state)
{
	char longest[5 + 109];
	struct listener listener;
	size_t folder_len = strlen(folder);

	(void)state;
	memset(longest, 'a', sizeof(longest));
	memcpy(longest, "unix:", 5);
	memcpy(longest + 5, folder, folder_len);
	longest[5 + folder_len] = '/';
	longest[5 + 108] = '\0';
	assert_false(open_with_mode(&listener, longest, 0660));
	assert_non_null(strstr(said, "107 bytes"));
	longest[5 + 107] = '\0';
	assert_true(open_with_mode(&listener, longest, 0660));
	listener_close(&listener);
}

static void test_listener__adopted__is_non_blocking_and_local(void **state)
{
	struct sockaddr_in any = {.sin_family = AF_INET};
	FILE *errors = fmemopen(said, sizeof(said), "w");
	struct listener listener;
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	(void)state;
	assert_false(listener_is_listening(fd));
	assert_int_equal(bind(fd, (struct sockaddr *)&any, sizeof(any)), 0);
	assert_int_equal(listen(fd, 1), 0);
	assert_true(listener_is_listening(fd));
	assert_false(listener_adopt(&listener, fd, errors));
	close(fd);

	fd = socket(AF_INET, SOCK_STREAM, 0);
	any.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	assert_int_equal(bind(fd, (struct sockaddr *)&any, sizeof(any)), 0);
	assert_int_equal(listen(fd, 1), 0);
	assert_true(listener_adopt(&listener, fd, errors));
	assert_int_equal(accept(fd, NULL, NULL), -1); /* does not wait */
	listener_close(&listener);
	fclose(errors);
	assert_non_null(strstr(said, "spawn-fcgi"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_listener__unix_socket__has_its_mode_and_goes_away),
		cmocka_unit_test(test_listener__path_without_prefix__is_a_unix_socket_too),
		cmocka_unit_test(test_listener__stale_socket__is_replaced),
		cmocka_unit_test(test_listener__socket_in_use__is_left_alone),
		cmocka_unit_test(test_listener__socket_with_a_full_backlog__is_left_alone),
		cmocka_unit_test(test_listener__a_file_that_is_no_socket__is_left_alone),
		cmocka_unit_test(test_listener__somebody_elses_socket__is_not_removed),
		cmocka_unit_test(test_listener__tcp__on_loopback_only),
		cmocka_unit_test(test_listener__path_length__is_the_kernels),
		cmocka_unit_test(test_listener__adopted__is_non_blocking_and_local),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
