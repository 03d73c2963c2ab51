/* SPDX-License-Identifier: Apache-2.0 */
/* The headers' own inline versions would be in the way. */
#undef _FORTIFY_SOURCE

#include "fakes/faulty_calls.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

enum {
	FDS_MAX = 4096
};

static const char *folder;
static enum faulty_kind failing = FAULTY_KINDS;
static long calls, first, count, kill_at = -1;
static int error;
static bool watched[FDS_MAX]; /* descriptors of files below it */

void faulty_calls_fail(const char *below, enum faulty_kind kind, long at, long how_many, int with)
{
	folder = below;
	failing = kind;
	first = at;
	count = how_many;
	error = with;
	kill_at = -1;
	calls = 0;
}

void faulty_calls_kill(const char *below, long at)
{
	faulty_calls_fail(below, FAULTY_KINDS, 0, 0, 0);
	kill_at = at;
}

long faulty_calls_count(void)
{
	return calls;
}

/* Of a call that is to be watched. */
static bool fails(enum faulty_kind kind)
{
	long n;

	if (kill_at >= 0 && kind != FAULTY_READ && calls++ == kill_at)
		_exit(9);
	if (kind != failing)
		return false;
	n = calls++;
	if (n < first || n >= first + count)
		return false;
	errno = error;
	return true;
}

static bool is_below(const char *path)
{
	return folder && strncmp(path, folder, strlen(folder)) == 0;
}

static bool is_watched(int fd)
{
	return folder && fd >= 0 && fd < FDS_MAX && watched[fd];
}

/* SQLite names its files by their whole paths. */
static bool is_path(const char *path)
{
	const char *found = folder ? strstr(path, folder) : NULL;

	return is_below(path) || (found && found > path && found[-1] == '/');
}

#define REAL(name) ((__typeof__(&name))(uintptr_t)dlsym(RTLD_NEXT, #name))

static int note(int fd, const char *path)
{
	if (fd >= 0 && fd < FDS_MAX)
		watched[fd] = is_path(path);
	return fd;
}

int open(const char *path, int flags, ...)
{
	va_list arguments;
	int mode;

	va_start(arguments, flags);
	mode = va_arg(arguments, int);
	va_end(arguments);
	return is_path(path) && fails(FAULTY_OPEN) ? -1 : note(REAL(open)(path, flags, mode), path);
}

ssize_t pread(int fd, void *to, size_t size, off_t at)
{
	return is_watched(fd) && fails(FAULTY_READ) ? -1 : REAL(pread)(fd, to, size, at);
}

ssize_t pwrite(int fd, const void *from, size_t size, off_t at)
{
	return is_watched(fd) && fails(FAULTY_WRITE) ? -1 : REAL(pwrite)(fd, from, size, at);
}

/* musl has one name for both. */
#ifdef __GLIBC__

int open64(const char *path, int flags, ...)
{
	va_list arguments;
	int mode;

	va_start(arguments, flags);
	mode = va_arg(arguments, int);
	va_end(arguments);
	return is_path(path) && fails(FAULTY_OPEN) ? -1
						   : note(REAL(open64)(path, flags, mode), path);
}

ssize_t pread64(int fd, void *to, size_t size, off64_t at)
{
	return is_watched(fd) && fails(FAULTY_READ) ? -1 : REAL(pread64)(fd, to, size, at);
}

ssize_t pwrite64(int fd, const void *from, size_t size, off64_t at)
{
	return is_watched(fd) && fails(FAULTY_WRITE) ? -1 : REAL(pwrite64)(fd, from, size, at);
}

#endif

int fsync(int fd)
{
	return is_watched(fd) && fails(FAULTY_SYNC) ? -1 : 0;
}

int fdatasync(int fd)
{
	return is_watched(fd) && fails(FAULTY_SYNC) ? -1 : 0;
}

int rename(const char *from, const char *to)
{
	return is_path(to) && fails(FAULTY_NAME) ? -1 : REAL(rename)(from, to);
}

int unlink(const char *path)
{
	return is_path(path) && fails(FAULTY_NAME) ? -1 : REAL(unlink)(path);
}
