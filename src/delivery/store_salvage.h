/* SPDX-License-Identifier: Apache-2.0 */
/*
 * store_salvage: finds out whether a suspected database is damaged, and carries over what can be read
 * of it to a fresh one, spool.db.salvaged.
 *
 *	store_is_suspected → salvage_init → salvage_run → store_end_salvage → salvage_release
 *
 * salvage_run() reads all of the database, and so blocks for as long as that takes: it has a thread of
 * its own, and uses nothing of the store, which stays closed. All other functions are called in the
 * store's thread; salvage_cancel() also while salvage_run() is under way.
 */
#ifndef FARO_DELIVERY_STORE_SALVAGE_H
#define FARO_DELIVERY_STORE_SALVAGE_H

#include <pthread.h>
#include <sqlite3.h>
#include <stdatomic.h>

#include "delivery/spool_clock.h"
#include "delivery/spool_dir.h"
#include "delivery/store.h"

enum salvage_result {
	SALVAGE_LATER,   /* a read failed, or something else that says nothing of the database */
	SALVAGE_SOUND,   /* it is not damaged */
	SALVAGE_NO_ROOM, /* it is; there is no room for what can be read */
	SALVAGE_DONE,    /* it is; what can be read is carried over, and on the disk */
};

struct salvage {
	enum salvage_result result; /* valid after salvage_run(), as are: */
	int64_t carried;            /* records that wait to be delivered */
	int64_t lost;               /* as far as is known how many there were */
	bool is_whole;              /* nothing was lost, of the quarantine neither */

	/* private */
	struct spool_dir dir;
	size_t max_bytes;
	int64_t expected; /* records; -1: not known */
	int64_t last_id;
	struct spool_clock_state clock; /* of the store; at 0 if it has not been open */
	bool is_certain;
	_Atomic bool cancelled;
	pthread_mutex_t mutex; /* of: */
	sqlite3 *db;           /* what is read, while it may be interrupted */
};

/* `is_certain`: it is not checked again. */
void salvage_init(struct salvage *salvage, const struct store *store, bool is_certain);
void salvage_release(struct salvage *salvage);
void salvage_run(struct salvage *salvage);
/* It returns soon, with SALVAGE_LATER. */
void salvage_cancel(struct salvage *salvage);

/* Puts the salvaged database in the place of the damaged one, which is kept as a copy unless all of it
 * was carried over; then store_open() may be called. STORE_FAILED: the store is suspected as before,
 * and all of it is to be done again, later. */
enum store_result store_end_salvage(struct store *store, const struct salvage *salvage);

#endif
