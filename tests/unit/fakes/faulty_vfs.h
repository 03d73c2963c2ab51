/* SPDX-License-Identifier: Apache-2.0 */
/*
 * faulty_vfs: SQLite's own file system, in which the nth writing call fails, once or for ever.
 *
 * Counted are open, write, truncate, fsync and deletion. Reads and locks never fail, and memory
 * that is mapped (the shm file) is not seen.
 */
#ifndef FARO_FAULTY_VFS_H
#define FARO_FAULTY_VFS_H

#include <stdbool.h>

/* Becomes SQLite's default. */
void faulty_vfs_install(void);
/* Counts from now on; n < 0: nothing fails. `code` is SQLite's, such as SQLITE_FULL. */
void faulty_vfs_fail(long n, bool for_ever, int code);
/* The calls since then. */
long faulty_vfs_calls(void);
/* Those of fsync alone, since ever. */
long faulty_vfs_syncs(void);

#endif
