/* SPDX-License-Identifier: Apache-2.0 */
#include "delivery/read_errors.h"

#include <errno.h>
#include <pthread.h>
#include <sqlite3.h>
#include <stdatomic.h>
#include <unistd.h>

static _Atomic uint64_t errors;

static ssize_t note(ssize_t result)
{
	/* SQLite asks again after EINTR. */
	if (result < 0 && errno != EINTR)
		atomic_fetch_add_explicit(&errors, 1, memory_order_relaxed);
	return result;
}

static ssize_t do_read(int fd, void *to, size_t size)
{
	return note(read(fd, to, size));
}

static ssize_t do_pread(int fd, void *to, size_t size, off_t at)
{
	return note(pread(fd, to, size, at));
}

#ifdef __GLIBC__
static ssize_t do_pread64(int fd, void *to, size_t size, off64_t at)
{
	return note(pread64(fd, to, size, at));
}
#endif

/* Those that this SQLite was built to use; it has others in its table, which it never calls. */
static void install(void)
{
	const struct {
		const char *name;
		sqlite3_syscall_ptr function;
	} calls[] = {
		{"read", (sqlite3_syscall_ptr)do_read},
		{"pread", (sqlite3_syscall_ptr)do_pread},
#ifdef __GLIBC__
		{"pread64", (sqlite3_syscall_ptr)do_pread64},
#endif
	};
	sqlite3_vfs *vfs = sqlite3_vfs_find(NULL);

	if (!vfs || vfs->iVersion < 3 || !vfs->xSetSystemCall)
		return;
	for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++)
		if (vfs->xGetSystemCall(vfs, calls[i].name))
			vfs->xSetSystemCall(vfs, calls[i].name, calls[i].function);
}

void read_errors_install(void)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	pthread_once(&once, install);
}

uint64_t read_errors_count(void)
{
	return atomic_load_explicit(&errors, memory_order_relaxed);
}
