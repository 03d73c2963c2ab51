/* SPDX-License-Identifier: Apache-2.0 */
/*
 * To be preloaded: the clocks of one process, as a file of numbers says, which is shared with the test.
 *
 *	cc -shared -fPIC -O1 -o shim.so clock_shim.c -ldl;  PRELOADED_CLOCK=FILE LD_PRELOAD=shim.so faro-ingest …
 *
 * `wall_s` is added to the time of day, as by somebody who sets it. `asleep_s` is added to CLOCK_BOOTTIME
 * alone, as by a machine that was suspended. `rate` is how many seconds pass in one, for all clocks and for
 * what epoll_wait() waits; changing it makes no clock jump. PRELOADED_CLOCK_BOOT_ID names a file that is read for the
 * kernel's boot_id.
 *
 * Not changed: deadlines of condition variables, time stamps of files, what libc does within itself.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#define SECOND   1000000000LL
#define SLICE_MS 20

static const char boot_id[] = "/proc/sys/kernel/random/boot_id";

struct control {
	_Atomic int64_t wall_s;
	_Atomic int64_t asleep_s;
	_Atomic int64_t rate; /* 0: 1 */
	_Atomic int64_t ready;
	_Atomic int64_t asked_wall; /* how often the time of day was asked for */
	_Atomic int64_t asked_boot;
};

static struct control nobody, *control = &nobody;

/* What has passed more than in the kernel's monotonic clock. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static int64_t last_ns, ahead_ns, last_rate = 1;

__attribute__((constructor)) static void begin(void)
{
	const char *path = getenv("PRELOADED_CLOCK");
	int fd = path ? (int)syscall(SYS_openat, AT_FDCWD, path, O_RDWR | O_CLOEXEC, 0) : -1;
	void *shared;

	if (fd < 0)
		return;
	shared = mmap(NULL, sizeof(*control), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	syscall(SYS_close, fd);
	if (shared == MAP_FAILED)
		return;
	control = shared;
	control->ready = 1;
}

static int64_t kernel_ns(clockid_t clock)
{
	struct timespec now;

	syscall(SYS_clock_gettime, clock, &now);
	return now.tv_sec * SECOND + now.tv_nsec;
}

static int64_t rate_now(void)
{
	int64_t rate = control->rate;

	return rate > 0 ? rate : 1;
}

static int64_t ahead(void)
{
	int64_t now_ns, result;

	pthread_mutex_lock(&lock);
	now_ns = kernel_ns(CLOCK_MONOTONIC);
	if (last_ns != 0)
		ahead_ns += (now_ns - last_ns) * (last_rate - 1);
	last_ns = now_ns;
	last_rate = rate_now();
	result = ahead_ns;
	pthread_mutex_unlock(&lock);
	return result;
}

static int64_t shown_ns(clockid_t clock)
{
	switch (clock) {
	case CLOCK_REALTIME:
	case CLOCK_REALTIME_COARSE:
	case CLOCK_TAI:
		control->asked_wall++;
		return kernel_ns(clock) + ahead() + control->wall_s * SECOND;
	case CLOCK_BOOTTIME:
		control->asked_boot++;
		return kernel_ns(clock) + ahead() + control->asleep_s * SECOND;
	case CLOCK_MONOTONIC:
	case CLOCK_MONOTONIC_RAW:
	case CLOCK_MONOTONIC_COARSE:
		return kernel_ns(clock) + ahead();
	default:
		return kernel_ns(clock);
	}
}

int clock_gettime(clockid_t clock, struct timespec *now)
{
	int64_t ns = shown_ns(clock);

	now->tv_sec = ns / SECOND;
	now->tv_nsec = ns % SECOND;
	return 0;
}

time_t time(time_t *at)
{
	time_t now = shown_ns(CLOCK_REALTIME) / SECOND;

	if (at)
		*at = now;
	return now;
}

int gettimeofday(struct timeval *now, void *zone)
{
	int64_t ns = shown_ns(CLOCK_REALTIME);

	(void)zone;
	now->tv_sec = ns / SECOND;
	now->tv_usec = ns % SECOND / 1000;
	return 0;
}

/* In slices, so that a clock that goes faster from now on is felt by who waits already. */
int epoll_wait(int fd, struct epoll_event *events, int count, int timeout_ms)
{
	int64_t due_ns = shown_ns(CLOCK_MONOTONIC) + timeout_ms * 1000000LL, left_ms;
	int n;

	for (;;) {
		left_ms = (due_ns - shown_ns(CLOCK_MONOTONIC) + 999999) / 1000000;
		if (timeout_ms < 0 || left_ms > SLICE_MS * rate_now())
			left_ms = SLICE_MS * rate_now();
		left_ms = left_ms > 0 ? (left_ms + rate_now() - 1) / rate_now() : 0;
		n = (int)syscall(SYS_epoll_pwait, fd, events, count, (int)left_ms, NULL, 8);
		if (n != 0 || (timeout_ms >= 0 && shown_ns(CLOCK_MONOTONIC) >= due_ns))
			return n;
	}
}

/* --- the boot's id ----------------------------------------------------------------------------------- */

static const char *instead_of(const char *path)
{
	const char *other = getenv("PRELOADED_CLOCK_BOOT_ID");

	return other && strcmp(path, boot_id) == 0 ? other : path;
}

int open64(const char *path, int flags, ...)
{
	va_list args;
	mode_t mode;

	va_start(args, flags);
	mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(args, mode_t) : 0;
	va_end(args);
	return (int)syscall(SYS_openat, AT_FDCWD, instead_of(path), flags, mode);
}

int open(const char *path, int flags, ...) __attribute__((alias("open64")));

FILE *fopen64(const char *path, const char *mode)
{
	FILE *(*real)(const char *, const char *) =
		(FILE * (*)(const char *, const char *)) dlsym(RTLD_NEXT, "fopen64");

	return real(instead_of(path), mode);
}

FILE *fopen(const char *path, const char *mode) __attribute__((alias("fopen64")));
