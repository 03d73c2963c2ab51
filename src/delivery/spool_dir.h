/*
 * spool_dir: the spool's directory: its lock, its files, and how much the disk still takes.
 *
 *	spool.db, spool.db-wal, spool.db-shm	SQLite's
 *	spool.db.damaged, spool.db.newer	what was moved aside last, of each kind
 *	lock					held by the one process that may use the rest
 */
#ifndef FARO_DELIVERY_SPOOL_DIR_H
#define FARO_DELIVERY_SPOOL_DIR_H

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>

struct spool_dir {
	const char *directory;
	char path[PATH_MAX];
	int lock_fd;    /* -1: not held */
	uint64_t inode; /* of the database */
};

void spool_dir_init(struct spool_dir *dir, const char *directory);
void spool_dir_release(struct spool_dir *dir);

/* Makes the directory (0700) and the database's file (0600) where they are missing, and takes the
 * lock. False, and logged, if that cannot be. */
bool spool_dir_prepare(struct spool_dir *dir);
/* Whether the database is still the one that was prepared: a directory may be removed under us. */
bool spool_dir_is_same(const struct spool_dir *dir);
/* The database, which must be closed, to spool.db.SUFFIX, over a former one. */
bool spool_dir_move_aside(struct spool_dir *dir, const char *suffix);
/* So that a new file's name survives a power cut. */
void spool_dir_sync_directory(struct spool_dir *dir);

/* Database and write-ahead log. */
int64_t spool_dir_bytes(const struct spool_dir *dir);
int64_t spool_dir_log_bytes(const struct spool_dir *dir);
/* What may still be written to this file system; INT64_MAX where it does not say. */
int64_t spool_dir_room(const struct spool_dir *dir);

#endif
