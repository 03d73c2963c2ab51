/* SPDX-License-Identifier: Apache-2.0 */
/*
 * To be preloaded: what the files under one directory do, below SQLite, as a file of numbers says, which is
 * shared with the test.
 *
 *	cc -shared -fPIC -O1 -o shim.so disk_shim.c;  PRELOADED_DISK=FILE PRELOADED_DISK_DIR=DIR LD_PRELOAD=shim.so faro-ingest …
 *
 * Of the calls of one kind (reads, writes, syncs, opens) those from the `at`th on fail with EIO, `times` of them.
 * All kinds are counted, and the bytes that were read. Each read waits `slow_us` before.
 *
 * Not seen: files that are mapped (SQLite maps its -shm file), renames, removals.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

enum kind {
	READS = 1,
	WRITES,
	SYNCS,
	OPENS,
	KINDS
};

struct control {
	_Atomic int64_t kind; /* 0: none fails */
	_Atomic int64_t at;   /* from 1 */
	_Atomic int64_t times;
	_Atomic int64_t failed;
	_Atomic int64_t slow_us;
	_Atomic int64_t ready;
	_Atomic int64_t read_bytes;
	_Atomic int64_t counts[KINDS]; /* the first one is nobody's */
};

static struct control nobody, *control = &nobody;
static const char *directory;
static _Atomic char is_ours[65536]; /* which descriptors are */

__attribute__((constructor)) static void begin(void)
{
	const char *path = getenv("PRELOADED_DISK");
	int fd = path ? (int)syscall(SYS_openat, AT_FDCWD, path, O_RDWR | O_CLOEXEC, 0) : -1;
	void *shared;

	directory = getenv("PRELOADED_DISK_DIR");
	if (fd < 0)
		return;
	shared = mmap(NULL, sizeof(*control), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	syscall(SYS_close, fd);
	if (shared == MAP_FAILED)
		return;
	control = shared;
	control->ready = 1;
}

static bool ours(int fd)
{
	return fd >= 0 && fd < (int)sizeof(is_ours) && is_ours[fd];
}

static bool call_fails(enum kind kind)
{
	int64_t number = atomic_fetch_add(&control->counts[kind], 1) + 1;

	if (control->kind != kind || number < control->at || number >= control->at + control->times)
		return false;
	atomic_fetch_add(&control->failed, 1);
	errno = EIO;
	return true;
}

static bool fails(int fd, enum kind kind)
{
	return ours(fd) && call_fails(kind);
}

static ssize_t note_read(int fd, ssize_t n)
{
	if (ours(fd) && n > 0)
		atomic_fetch_add(&control->read_bytes, n);
	return n;
}

static void be_slow(int fd)
{
	if (ours(fd) && control->slow_us > 0)
		usleep((useconds_t)control->slow_us);
}

ssize_t read(int fd, void *to, size_t n)
{
	be_slow(fd);
	return fails(fd, READS) ? -1 : note_read(fd, syscall(SYS_read, fd, to, n));
}

ssize_t pread64(int fd, void *to, size_t n, off_t at)
{
	be_slow(fd);
	return fails(fd, READS) ? -1 : note_read(fd, syscall(SYS_pread64, fd, to, n, at));
}

ssize_t pread(int fd, void *to, size_t n, off_t at) __attribute__((alias("pread64")));

ssize_t write(int fd, const void *from, size_t n)
{
	return fails(fd, WRITES) ? -1 : syscall(SYS_write, fd, from, n);
}

ssize_t pwrite64(int fd, const void *from, size_t n, off_t at)
{
	return fails(fd, WRITES) ? -1 : syscall(SYS_pwrite64, fd, from, n, at);
}

ssize_t pwrite(int fd, const void *from, size_t n, off_t at) __attribute__((alias("pwrite64")));

int ftruncate64(int fd, off_t n)
{
	return fails(fd, WRITES) ? -1 : (int)syscall(SYS_ftruncate, fd, n);
}

int ftruncate(int fd, off_t n) __attribute__((alias("ftruncate64")));

int fsync(int fd)
{
	return fails(fd, SYNCS) ? -1 : (int)syscall(SYS_fsync, fd);
}

int fdatasync(int fd)
{
	return fails(fd, SYNCS) ? -1 : (int)syscall(SYS_fdatasync, fd);
}

int open64(const char *path, int flags, ...)
{
	bool is_inside = directory && strncmp(path, directory, strlen(directory)) == 0;
	va_list args;
	mode_t mode;
	int fd;

	va_start(args, flags);
	mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(args, mode_t) : 0;
	va_end(args);
	if (is_inside && call_fails(OPENS))
		return -1;
	fd = (int)syscall(SYS_openat, AT_FDCWD, path, flags, mode);
	if (fd >= 0 && fd < (int)sizeof(is_ours))
		is_ours[fd] = is_inside;
	return fd;
}

int open(const char *path, int flags, ...) __attribute__((alias("open64")));

int close(int fd)
{
	if (fd >= 0 && fd < (int)sizeof(is_ours))
		is_ours[fd] = 0;
	return (int)syscall(SYS_close, fd);
}
