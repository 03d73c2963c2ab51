/* SPDX-License-Identifier: Apache-2.0 */
#include "fakes/faulty_vfs.h"

#include <sqlite3.h>
#include <string.h>

/* The real file stands behind this in the memory that SQLite gives. */
struct faulty_file {
	sqlite3_file base;
	sqlite3_file *real;
};

static sqlite3_vfs vfs, *real_vfs;
static long calls, syncs, fail_at = -1;
static bool fails_for_ever;
static int fail_code;

void faulty_vfs_fail(long n, bool for_ever, int code)
{
	calls = 0;
	fail_at = n;
	fails_for_ever = for_ever;
	fail_code = code;
}

long faulty_vfs_calls(void)
{
	return calls;
}

long faulty_vfs_syncs(void)
{
	return syncs;
}

static bool fails(void)
{
	long n = calls++;

	return fail_at >= 0 && (fails_for_ever ? n >= fail_at : n == fail_at);
}

static sqlite3_file *real_of(sqlite3_file *file)
{
	return ((struct faulty_file *)(void *)file)->real;
}

static int do_close(sqlite3_file *file)
{
	sqlite3_file *real = real_of(file);

	return real->pMethods ? real->pMethods->xClose(real) : SQLITE_OK;
}

static int do_read(sqlite3_file *file, void *to, int n, sqlite3_int64 at)
{
	return real_of(file)->pMethods->xRead(real_of(file), to, n, at);
}

static int do_write(sqlite3_file *file, const void *from, int n, sqlite3_int64 at)
{
	return fails() ? fail_code : real_of(file)->pMethods->xWrite(real_of(file), from, n, at);
}

static int do_truncate(sqlite3_file *file, sqlite3_int64 size)
{
	return fails() ? SQLITE_IOERR_TRUNCATE
		       : real_of(file)->pMethods->xTruncate(real_of(file), size);
}

static int do_sync(sqlite3_file *file, int flags)
{
	syncs++;
	return fails() ? SQLITE_IOERR_FSYNC : real_of(file)->pMethods->xSync(real_of(file), flags);
}

static int do_size(sqlite3_file *file, sqlite3_int64 *size)
{
	return real_of(file)->pMethods->xFileSize(real_of(file), size);
}

static int do_lock(sqlite3_file *file, int lock)
{
	return real_of(file)->pMethods->xLock(real_of(file), lock);
}

static int do_unlock(sqlite3_file *file, int lock)
{
	return real_of(file)->pMethods->xUnlock(real_of(file), lock);
}

static int do_check_lock(sqlite3_file *file, int *result)
{
	return real_of(file)->pMethods->xCheckReservedLock(real_of(file), result);
}

static int do_control(sqlite3_file *file, int what, void *arg)
{
	return real_of(file)->pMethods->xFileControl(real_of(file), what, arg);
}

static int do_sector(sqlite3_file *file)
{
	return real_of(file)->pMethods->xSectorSize(real_of(file));
}

static int do_characteristics(sqlite3_file *file)
{
	return real_of(file)->pMethods->xDeviceCharacteristics(real_of(file));
}

static int do_shm_map(sqlite3_file *file, int page, int size, int extend, void volatile **to)
{
	return real_of(file)->pMethods->xShmMap(real_of(file), page, size, extend, to);
}

static int do_shm_lock(sqlite3_file *file, int offset, int n, int flags)
{
	return real_of(file)->pMethods->xShmLock(real_of(file), offset, n, flags);
}

static void do_shm_barrier(sqlite3_file *file)
{
	real_of(file)->pMethods->xShmBarrier(real_of(file));
}

static int do_shm_unmap(sqlite3_file *file, int delete_it)
{
	return real_of(file)->pMethods->xShmUnmap(real_of(file), delete_it);
}

static const sqlite3_io_methods methods = {
	.iVersion = 2,
	.xClose = do_close,
	.xRead = do_read,
	.xWrite = do_write,
	.xTruncate = do_truncate,
	.xSync = do_sync,
	.xFileSize = do_size,
	.xLock = do_lock,
	.xUnlock = do_unlock,
	.xCheckReservedLock = do_check_lock,
	.xFileControl = do_control,
	.xSectorSize = do_sector,
	.xDeviceCharacteristics = do_characteristics,
	.xShmMap = do_shm_map,
	.xShmLock = do_shm_lock,
	.xShmBarrier = do_shm_barrier,
	.xShmUnmap = do_shm_unmap,
};

static int do_open(sqlite3_vfs *self, const char *name, sqlite3_file *file, int flags, int *out)
{
	struct faulty_file *faulty = (struct faulty_file *)(void *)file;
	int code;

	(void)self;
	memset(faulty, 0, sizeof(*faulty));
	faulty->real = (sqlite3_file *)(void *)(faulty + 1);
	memset(faulty->real, 0, (size_t)real_vfs->szOsFile);
	if (fails())
		return SQLITE_CANTOPEN;
	code = real_vfs->xOpen(real_vfs, name, faulty->real, flags, out);
	if (code == SQLITE_OK)
		faulty->base.pMethods = &methods;
	return code;
}

static int do_delete(sqlite3_vfs *self, const char *name, int sync_directory)
{
	(void)self;
	return fails() ? SQLITE_IOERR_DELETE : real_vfs->xDelete(real_vfs, name, sync_directory);
}

void faulty_vfs_install(void)
{
	real_vfs = sqlite3_vfs_find(NULL);
	vfs = *real_vfs;
	vfs.zName = "faulty";
	vfs.szOsFile = (int)sizeof(struct faulty_file) + real_vfs->szOsFile;
	vfs.xOpen = do_open;
	vfs.xDelete = do_delete;
	sqlite3_vfs_register(&vfs, 1);
}
