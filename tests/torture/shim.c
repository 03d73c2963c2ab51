/* SPDX-License-Identifier: Apache-2.0 */
/*
 * To be preloaded: fails the Nth allocation or system call, once or from there on, as a file of eight
 * numbers says, which is shared with whoever drives the torture. So one process can be told about one N
 * after another.
 *
 *	cc -shared -fPIC -O1 -o shim.so shim.c;  FARO_TORTURE=FILE LD_PRELOAD=shim.so faro-ingest …
 *
 * With -DWITHOUT_CALLS it is for allocations only, with -DWITHOUT_ALLOCATIONS for calls only. Beside a
 * shared AddressSanitizer the first has to be preloaded before it and the second after it.
 *
 * Counted are the calls of the program and of its libraries through the names below, in all threads. Not
 * counted: what libc does within itself; close(), since nobody can do anything about its failure.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <execinfo.h>
#include <fcntl.h>
#include <poll.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

enum kind {
	ALLOCATIONS = 1,
	CALLS = 2
};

struct control {
	_Atomic int64_t kind; /* 0: fail nothing */
	_Atomic int64_t at;   /* from 1 */
	_Atomic int64_t for_ever;
	_Atomic int64_t error;   /* errno of a call that fails */
	_Atomic int64_t counted; /* since the driver set it to 0 */
	_Atomic int64_t failed;
	_Atomic int64_t live; /* allocations */
	_Atomic int64_t ready;
};

static struct control nobody, *control = &nobody;
static bool tracing;        /* FARO_TORTURE_TRACE is set: where it fails goes to stderr */

/* glibc's own names of what is replaced here, and AddressSanitizer's where it is there. */
void *__libc_malloc(size_t size);
void *__libc_calloc(size_t count, size_t size);
void *__libc_realloc(void *pointer, size_t size);
void __libc_free(void *pointer);
__attribute__((weak)) void *__interceptor_malloc(size_t size);
__attribute__((weak)) void *__interceptor_calloc(size_t count, size_t size);
__attribute__((weak)) void *__interceptor_realloc(void *pointer, size_t size);
__attribute__((weak)) void __interceptor_free(void *pointer);

#define BEHIND(name) (__interceptor_##name ? __interceptor_##name : __libc_##name)

__attribute__((constructor)) static void begin(void)
{
	const char *path = getenv("FARO_TORTURE");
	int fd = path ? (int)syscall(SYS_openat, AT_FDCWD, path, O_RDWR | O_CLOEXEC, 0) : -1;
	void *shared;

	void *frames[1];

	tracing = getenv("FARO_TORTURE_TRACE");
	backtrace(frames, 1); /* the first one loads a library */
	unsetenv("LD_PRELOAD"); /* a sanitizer's symbolizer is not meant */
	if (fd < 0)
		return;
	shared = (void *)syscall(SYS_mmap, NULL, sizeof(*control), PROT_READ | PROT_WRITE,
				 MAP_SHARED, fd, 0);
	syscall(SYS_close, fd);
	if (shared == MAP_FAILED)
		return;
	control = shared;
	control->ready = 1;
}

static void trace(void)
{
	void *frames[16];

	if (tracing)
		backtrace_symbols_fd(frames, backtrace(frames, 16), STDERR_FILENO);
}

static bool fails(enum kind kind)
{
	int64_t number;

	if (control->kind != kind)
		return false;
	number = atomic_fetch_add(&control->counted, 1) + 1;
	if (control->for_ever ? number < control->at : number != control->at)
		return false;
	atomic_fetch_add(&control->failed, 1);
	trace();
	errno = kind == ALLOCATIONS ? ENOMEM : (int)control->error;
	return true;
}

#ifndef WITHOUT_ALLOCATIONS

/* --- allocations ------------------------------------------------------------------------------------- */

void *malloc(size_t size)
{
	if (fails(ALLOCATIONS))
		return NULL;
	atomic_fetch_add(&control->live, 1);
	return BEHIND(malloc)(size);
}

void *calloc(size_t count, size_t size)
{
	if (fails(ALLOCATIONS))
		return NULL;
	atomic_fetch_add(&control->live, 1);
	return BEHIND(calloc)(count, size);
}

void *realloc(void *pointer, size_t size)
{
	if (size > 0 && fails(ALLOCATIONS))
		return NULL;
	atomic_fetch_add(&control->live, !pointer);
	return BEHIND(realloc)(pointer, size);
}

void free(void *pointer)
{
	if (pointer)
		atomic_fetch_sub(&control->live, 1);
	BEHIND(free)(pointer);
}

#endif
#ifndef WITHOUT_CALLS

/* --- system calls ------------------------------------------------------------------------------------ */

#define CALL(type, name, number, parameters, ...)                                    \
	type name parameters                                                         \
	{                                                                            \
		return fails(CALLS) ? (type)-1 : (type)syscall(number, __VA_ARGS__); \
	}

CALL(ssize_t, read, SYS_read, (int fd, void *to, size_t n), fd, to, n)
CALL(ssize_t, __read_chk, SYS_read, (int fd, void *to, size_t n, size_t room), fd, to, n + 0 * room)
CALL(ssize_t, readv, SYS_readv, (int fd, const void *v, int n), fd, v, n)
CALL(ssize_t, writev, SYS_writev, (int fd, const void *v, int n), fd, v, n)
CALL(ssize_t, pread64, SYS_pread64, (int fd, void *to, size_t n, off_t at), fd, to, n, at)
CALL(ssize_t, pwrite64, SYS_pwrite64, (int fd, const void *from, size_t n, off_t at), fd, from, n,
     at)
CALL(int, fsync, SYS_fsync, (int fd), fd)
CALL(int, fdatasync, SYS_fdatasync, (int fd), fd)
CALL(int, ftruncate64, SYS_ftruncate, (int fd, off_t n), fd, n)
CALL(int, fallocate64, SYS_fallocate, (int fd, int mode, off_t at, off_t n), fd, mode, at, n)
CALL(int, socket, SYS_socket, (int family, int type, int protocol), family, type, protocol)
CALL(int, connect, SYS_connect, (int fd, const struct sockaddr *to, socklen_t n), fd, to, n)
CALL(int, accept4, SYS_accept4, (int fd, struct sockaddr *from, socklen_t *n, int flags), fd, from,
     n, flags)
CALL(int, setsockopt, SYS_setsockopt, (int fd, int level, int name, const void *value, socklen_t n),
     fd, level, name, value, n)
CALL(int, getsockopt, SYS_getsockopt, (int fd, int level, int name, void *value, socklen_t *n), fd,
     level, name, value, n)
CALL(int, getsockname, SYS_getsockname, (int fd, struct sockaddr *address, socklen_t *n), fd,
     address, n)
CALL(int, getpeername, SYS_getpeername, (int fd, struct sockaddr *address, socklen_t *n), fd,
     address, n)
CALL(int, shutdown, SYS_shutdown, (int fd, int how), fd, how)
CALL(ssize_t, send, SYS_sendto, (int fd, const void *from, size_t n, int flags), fd, from, n, flags,
     NULL, 0)
CALL(ssize_t, sendto, SYS_sendto,
     (int fd, const void *from, size_t n, int flags, const struct sockaddr *to, socklen_t size), fd,
     from, n, flags, to, size)
CALL(ssize_t, sendmsg, SYS_sendmsg, (int fd, const struct msghdr *message, int flags), fd, message,
     flags)
CALL(ssize_t, recv, SYS_recvfrom, (int fd, void *to, size_t n, int flags), fd, to, n, flags, NULL,
     NULL)
CALL(ssize_t, __recv_chk, SYS_recvfrom, (int fd, void *to, size_t n, size_t room, int flags), fd,
     to, n + 0 * room, flags, NULL, NULL)
CALL(ssize_t, recvfrom, SYS_recvfrom,
     (int fd, void *to, size_t n, int flags, struct sockaddr *from, socklen_t *size), fd, to, n,
     flags, from, size)
CALL(ssize_t, recvmsg, SYS_recvmsg, (int fd, struct msghdr *message, int flags), fd, message, flags)
CALL(int, epoll_ctl, SYS_epoll_ctl, (int fd, int what, int of, struct epoll_event *event), fd, what,
     of, event)
CALL(int, epoll_wait, SYS_epoll_pwait, (int fd, struct epoll_event *events, int n, int timeout_ms),
     fd, events, n, timeout_ms, NULL, 8)
CALL(int, unlink, SYS_unlinkat, (const char *path), AT_FDCWD, path, 0)

static char eventfds[1024]; /* which descriptors are */

int eventfd(unsigned value, int flags)
{
	int fd = fails(CALLS) ? -1 : (int)syscall(SYS_eventfd2, value, flags);

	if (fd >= 0 && fd < (int)sizeof(eventfds))
		eventfds[fd] = 1;
	return fd;
}

/* An eventfd takes a number or is full, which has nothing to do with memory or disks. */
ssize_t write(int fd, const void *from, size_t n)
{
	bool is_event = fd >= 0 && fd < (int)sizeof(eventfds) && eventfds[fd];

	return !is_event && fails(CALLS) ? -1 : syscall(SYS_write, fd, from, n);
}

int poll(struct pollfd *fds, nfds_t count, int timeout_ms)
{
	struct timespec timeout = {timeout_ms / 1000, timeout_ms % 1000 * 1000000L};

	if (fails(CALLS))
		return -1;
	return (int)syscall(SYS_ppoll, fds, count, timeout_ms < 0 ? NULL : &timeout, NULL, 8);
}

int open64(const char *path, int flags, ...)
{
	va_list args;
	mode_t mode;

	va_start(args, flags);
	mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(args, mode_t) : 0;
	va_end(args);
	return fails(CALLS) ? -1 : (int)syscall(SYS_openat, AT_FDCWD, path, flags, mode);
}

int open(const char *path, int flags, ...) __attribute__((alias("open64")));

int fcntl64(int fd, int what, ...)
{
	va_list args;
	void *arg;

	va_start(args, what);
	arg = va_arg(args, void *);
	va_end(args);
	return fails(CALLS) ? -1 : (int)syscall(SYS_fcntl, fd, what, arg);
}

int fcntl(int fd, int what, ...) __attribute__((alias("fcntl64")));

void *mmap64(void *at, size_t n, int protection, int flags, int fd, off_t offset)
{
	return fails(CALLS) ? MAP_FAILED
			    : (void *)syscall(SYS_mmap, at, n, protection, flags, fd, offset);
}

void *mmap(void *at, size_t n, int protection, int flags, int fd, off_t offset)
	__attribute__((alias("mmap64")));

#endif
