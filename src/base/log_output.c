/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DESIGN: stderr is shared with other programs, so it cannot be made non-blocking. poll(2) says
 * beforehand whether it can take a line, but somebody else may fill it in between, so the write
 * itself must not wait either:
 *
 *	socket          send(2) with MSG_DONTWAIT
 *	pipe, terminal  write(2) to an open file of our own, made through /proc, which is
 *	                non-blocking for us alone
 *	a pipe that is another user's, and cannot be opened: RWF_NOWAIT, from Linux 6.5 on
 *
 * What is left: such a pipe or terminal on an older system, and a file, whose disk or server may
 * hang. There a line may wait.
 */
#include "base/log_output.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

enum {
	NOWAIT_FLAG = 0x8 /* RWF_NOWAIT, which not every C library has */
};

/* The open file of our own, and what it is. */
static struct {
	int fd;
	dev_t device;
	ino_t inode;
	bool known; /* fd, which may be -1, is for this device and inode */
} own;

/* Once for what stderr is now; a supervisor may have given it another one. */
static int own_file(const struct stat *status)
{
	if (own.known && own.device == status->st_dev && own.inode == status->st_ino)
		return own.fd;
	if (own.known && own.fd >= 0)
		close(own.fd);
	own.fd = open("/proc/self/fd/2", O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	own.device = status->st_dev;
	own.inode = status->st_ino;
	own.known = true;
	return own.fd;
}

static bool is_terminal(const struct stat *status)
{
	return S_ISCHR(status->st_mode) && isatty(STDERR_FILENO);
}

/* So is the function. */
static ssize_t write_nowait(const char *bytes, size_t n)
{
	const struct iovec part = {(char *)(uintptr_t)bytes, n};

	return syscall(SYS_pwritev2, STDERR_FILENO, &part, 1L, -1L, -1L, (long)NOWAIT_FLAG);
}

static ssize_t write_now(const struct stat *status, const char *bytes, size_t n)
{
	ssize_t done;

	if (S_ISSOCK(status->st_mode))
		return send(STDERR_FILENO, bytes, n, MSG_DONTWAIT | MSG_NOSIGNAL);
	if (!S_ISFIFO(status->st_mode) && !is_terminal(status))
		return write(STDERR_FILENO, bytes, n);
	if (own_file(status) >= 0)
		return write(own.fd, bytes, n);
	done = write_nowait(bytes, n);
	if (done >= 0 || errno == EAGAIN || errno == EINTR || errno == EPIPE)
		return done;
	return write(STDERR_FILENO, bytes, n);
}

bool log_output_write(const char *line, size_t len)
{
	struct pollfd ready = {.fd = STDERR_FILENO, .events = POLLOUT};
	struct stat status;
	size_t done = 0;
	ssize_t n;

	/* On POLLERR no one reads, and a write raises SIGPIPE. */
	if (poll(&ready, 1, 0) != 1 || ready.revents != POLLOUT ||
	    fstat(STDERR_FILENO, &status) != 0)
		return false;
	while (done < len) {
		n = write_now(&status, line + done, len - done);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			break;
		done += (size_t)n;
	}
	return done > 0;
}
