/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A real stderr of each kind whose reader has stopped, with --wrap=poll and --wrap=open: poll says
 * that it can be written to, as where somebody else fills it just after.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <termios.h>
#include <unistd.h>

#include "base/log_output.h"

static int kept_stderr;
static bool no_open;
static int opened;

int __real_open(const char *path, int flags, ...);
int __wrap_open(const char *path, int flags, ...);
int __wrap_poll(struct pollfd *fds, nfds_t count, int timeout_ms);

int __wrap_open(const char *path, int flags, ...)
{
	opened++;
	if (no_open) {
		errno = EACCES;
		return -1;
	}
	return __real_open(path, flags);
}

int __wrap_poll(struct pollfd *fds, nfds_t count, int timeout_ms)
{
	(void)count;
	(void)timeout_ms;
	fds[0].revents = POLLOUT;
	return 1;
}

enum kind {
	PIPE,
	SOCKET,
	TERMINAL
};

/* ends[0] is the reader's, ends[1] is to be stderr. */
static void make(enum kind kind, int ends[2])
{
	switch (kind) {
	case PIPE:
		assert_int_equal(pipe(ends), 0);
		break;
	case SOCKET:
		assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
		break;
	case TERMINAL:
		ends[0] = posix_openpt(O_RDWR | O_NOCTTY);
		if (ends[0] < 0)
			skip();
		assert_int_equal(grantpt(ends[0]), 0);
		assert_int_equal(unlockpt(ends[0]), 0);
		ends[1] = __real_open(ptsname(ends[0]), O_RDWR | O_NOCTTY);
		assert_true(ends[1] >= 0);
		break;
	}
}

/* A terminal is stopped as by Ctrl-S: the kernel moves what fills it on at times of its own. */
static void fill(enum kind kind, int fd)
{
	static const char bytes[4096];

	if (kind == TERMINAL) {
		assert_int_equal(tcflow(fd, TCOOFF), 0);
		return;
	}
	assert_int_equal(fcntl(fd, F_SETFL, O_NONBLOCK), 0);
	while (write(fd, bytes, sizeof(bytes)) > 0)
		;
	while (write(fd, bytes, 1) > 0)
		;
	assert_int_equal(errno, EAGAIN);
	assert_int_equal(fcntl(fd, F_SETFL, 0), 0);
}

static void drain(enum kind kind, const int ends[2])
{
	char bytes[4096];

	if (kind == TERMINAL) {
		assert_int_equal(tcflow(ends[1], TCOON), 0);
		return;
	}
	assert_int_equal(fcntl(ends[0], F_SETFL, O_NONBLOCK), 0);
	while (read(ends[0], bytes, sizeof(bytes)) > 0)
		;
	assert_int_equal(errno, EAGAIN);
	assert_int_equal(fcntl(ends[0], F_SETFL, 0), 0);
}

/* A terminal may give it in pieces. */
static void read_line(int fd, char *got, size_t size)
{
	size_t n = 0;

	while (n == 0 || got[n - 1] != '\n') {
		ssize_t more = read(fd, got + n, size - 1 - n);

		assert_true(more > 0);
		n += (size_t)more;
	}
	got[n] = '\0';
}

static void expect_no_wait(enum kind kind)
{
	static const char line[] = "event=e\n";
	char got[64];
	int ends[2];
	bool taken[2];

	make(kind, ends);
	dup2(ends[1], STDERR_FILENO);
	fill(kind, ends[1]);
	taken[0] = log_output_write(line, strlen(line));
	drain(kind, ends);
	taken[1] = log_output_write(line, strlen(line));
	dup2(kept_stderr, STDERR_FILENO);
	assert_false(taken[0]);
	assert_true(taken[1]);
	read_line(ends[0], got, sizeof(got));
	/* A terminal writes a carriage return too. */
	assert_string_equal(got, kind == TERMINAL ? "event=e\r\n" : line);
	/* Who shares it can still wait. */
	assert_int_equal(fcntl(ends[1], F_GETFL) & O_NONBLOCK, 0);
	close(ends[0]);
	close(ends[1]);
}

static int set_up(void **state)
{
	(void)state;
	no_open = false;
	opened = 0;
	return 0;
}

static void test_pipe__filled_just_before__nobody_waits(void **state)
{
	(void)state;
	expect_no_wait(PIPE);
	assert_int_equal(opened, 1);
	/* Another one, which the first is not taken for. */
	expect_no_wait(PIPE);
	assert_int_equal(opened, 2);
}

static void test_pipe__of_another_user__nobody_waits(void **state)
{
	const struct iovec part = {(char[]){'x'}, 1};
	int ends[2];
	bool supported;

	(void)state;
	make(PIPE, ends);
	supported = pwritev2(ends[1], &part, 1, -1, RWF_NOWAIT) == 1;
	close(ends[0]);
	close(ends[1]);
	if (!supported)
		skip();
	no_open = true;
	expect_no_wait(PIPE);
	assert_int_equal(opened, 1);
}

static void test_socket__filled_just_before__nobody_waits(void **state)
{
	(void)state;
	expect_no_wait(SOCKET);
	assert_int_equal(opened, 0);
}

static void test_terminal__stopped__nobody_waits(void **state)
{
	(void)state;
	expect_no_wait(TERMINAL);
	assert_int_equal(opened, 1);
}

static void test_file__is_written(void **state)
{
	static const char line[] = "event=e\n";
	char path[] = "/tmp/test_log_output.XXXXXX", got[64];
	int fd = mkstemp(path);
	bool taken;

	(void)state;
	assert_true(fd >= 0);
	unlink(path);
	dup2(fd, STDERR_FILENO);
	taken = log_output_write(line, strlen(line));
	dup2(kept_stderr, STDERR_FILENO);
	assert_true(taken);
	assert_int_equal(pread(fd, got, sizeof(got), 0), strlen(line));
	assert_int_equal(opened, 0);
	close(fd);
}

#define TEST(name) cmocka_unit_test_setup(name, set_up)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_pipe__filled_just_before__nobody_waits),
		TEST(test_socket__filled_just_before__nobody_waits),
		TEST(test_terminal__stopped__nobody_waits),
		TEST(test_file__is_written),
		TEST(test_pipe__of_another_user__nobody_waits),
	};

	/* A driver that waits has failed. */
	alarm(60);
	kept_stderr = dup(STDERR_FILENO);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
