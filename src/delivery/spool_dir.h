/* SPDX-License-Identifier: Apache-2.0 */
/*
 * spool_dir: the spool's directory: its lock, its files, and what room the disk has.
 *
 *	spool.db, spool.db-wal, spool.db-shm	SQLite's
 *	spool.db.damaged, spool.db.damaged.2 …	what was moved aside, each with its log (-wal); never
 *	spool.db.newer, spool.db.newer.2 …	written over by a later one
 *	spool.db.salvaged			what is carried over from a damaged database
 *	lock					held by the one process that may use the rest
 *
 * A damaged database is exchanged for the salvaged one in this order, each step on the disk before
 * the next:
 *
 *	spool.db → spool.db.damaged.N   spool.db-wal → its -wal   spool.db.salvaged → spool.db
 *
 * Where spool.db is missing and spool.db.salvaged is there, a process was killed in between, and
 * spool_dir_prepare() does the rest. Where both are there, the salvage was not finished, and what it
 * left is removed. So spool.db is never seen without its own log, nor with another's.
 */
#ifndef FARO_DELIVERY_SPOOL_DIR_H
#define FARO_DELIVERY_SPOOL_DIR_H

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

enum {
	SPOOL_NAME_MAX_BYTES = 64, /* of a copy, in the directory */
};

/* Which file a name stood for; all zero: none. */
struct file_id {
	dev_t device;
	ino_t inode;
};

struct spool_dir {
	const char *directory;
	char path[PATH_MAX];
	int lock_fd; /* -1: not held */
	struct file_id lock, database;
	int64_t copies_bytes; /* as last seen */
};

void spool_dir_init(struct spool_dir *dir, const char *directory);
void spool_dir_release(struct spool_dir *dir);

/* Makes the directory (0700) and the database's file (0600) where they are missing, takes the lock,
 * and ends an exchange that was interrupted. False, and logged, if that cannot be. */
bool spool_dir_prepare(struct spool_dir *dir);
/* Whether lock and database are still those that were prepared: a directory may be removed, or
 * exchanged, under us. */
bool spool_dir_is_same(const struct spool_dir *dir);

/* The database, which must be closed and have no log, to spool.db.SUFFIX or the next free number of
 * it, which is written to `copy`. */
bool spool_dir_move_aside(struct spool_dir *dir, const char *suffix,
			  char copy[SPOOL_NAME_MAX_BYTES]);
/* Exchanges the closed database for spool.db.salvaged, which must be on the disk. The former one is
 * kept as `copy`, or deleted, and `copy` is empty. False, and logged: what was not done yet is left
 * to spool_dir_prepare(). */
bool spool_dir_exchange(struct spool_dir *dir, bool keep, char copy[SPOOL_NAME_MAX_BYTES]);
/* Writes the path of spool.db.salvaged. */
void spool_dir_salvaged_path(const struct spool_dir *dir, char path[PATH_MAX]);

/* So that names survive a power cut. */
bool spool_dir_sync_directory(const struct spool_dir *dir);

/* Database, write-ahead log, and what was moved aside. */
int64_t spool_dir_bytes(const struct spool_dir *dir);
int64_t spool_dir_log_bytes(const struct spool_dir *dir);
/* What was moved aside, and a salvaged database; looks anew where there was any. */
int64_t spool_dir_copies_bytes(struct spool_dir *dir);
/* What may still be written to this file system; INT64_MAX where it does not say. */
int64_t spool_dir_room(const struct spool_dir *dir);

#endif
