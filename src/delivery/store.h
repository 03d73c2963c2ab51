/* SPDX-License-Identifier: Apache-2.0 */
/*
 * store: the spool's records in SQLite, which only the files store_* know. One thread uses a store.
 *
 *	store_new → store_open (again on failure) ─┬─ store_begin → store_insert* → store_commit
 *	                                           ├─ store_next
 *	                                           └─ store_finish          → store_free
 *
 * Results: STORE_FAILED is a matter of the disk or of memory; the store is then closed, and
 * store_open() may be tried again. The transaction was not promised to anybody, though where fsync
 * failed it may be found there later. What seems to be no database of ours, or a damaged one, is
 * suspected: it stays closed until a salvage (store_salvage.h) has ended. One of a newer version is
 * moved aside, and a fresh one is begun.
 *
 * An id is never given twice, neither after a restart nor in a fresh database: it is the time in
 * microseconds, or one more than the last one.
 */
#ifndef FARO_DELIVERY_STORE_H
#define FARO_DELIVERY_STORE_H

#include "base/buf.h"
#include "beacon/beacon.h"
#include "delivery/dedup.h"

enum store_result {
	STORE_OK,
	STORE_NONE,      /* no such record */
	STORE_FULL,      /* the limit, or the disk's reserve, is reached; the others may fit */
	STORE_TOO_LARGE, /* this record, for what it is to be read into; the id is valid */
	STORE_DAMAGED,   /* this record is; the id is valid */
	STORE_FAILED,
};

struct spool_record {
	int64_t id;
	int64_t stored_s; /* wall clock, for people */
	int64_t clock_s;  /* of store_now_s(); below 0: not known */
	struct dedup_hash hash;
	struct forwarded_headers forwarded;
	struct beacon_counts counts;
	struct view body;
};

/* How a record ends. */
enum store_end {
	STORE_DELIVERED,
	STORE_EXPIRED,
	STORE_BROKEN, /* was STORE_DAMAGED */
	/* Into quarantine, since it was tried too often: */
	STORE_REJECTED,  /* the upstream says that it is wrong */
	STORE_REFUSED,   /* the upstream answers it with another error */
	STORE_AMBIGUOUS, /* without an answer */
};

struct store_finished {
	int64_t id;
	enum store_end end;
};

struct store_options {
	const char *directory;
	size_t max_bytes;
	bool sync_full;
};

struct store;

/* NULL without memory; nothing is opened yet. `directory` is kept. */
struct store *store_new(const struct store_options *options);
void store_free(struct store *store);

/* STORE_OK at once where it is open. */
enum store_result store_open(struct store *store);
bool store_is_open(const struct store *store);
/* It cannot be opened before store_end_salvage(). */
bool store_is_suspected(const struct store *store);

/* A failure of one of the three fails the whole; STORE_FULL of an insert leaves out that record. */
enum store_result store_begin(struct store *store);
enum store_result store_insert(struct store *store, const struct spool_record *record);
enum store_result store_commit(struct store *store);
/* What store_insert() gave last. */
int64_t store_last_id(const struct store *store);

/* The first record with an id above `after`. Its body is inflated into `body`, where its views
 * point, too. STORE_FULL: `body` cannot grow just now; STORE_TOO_LARGE: it never can. */
enum store_result store_next(struct store *store, int64_t after, struct spool_record *record,
			     struct buf *body);
/* Id of the first record above `after`, and what store_now_s() was when it was stored. */
enum store_result store_peek(struct store *store, int64_t after, int64_t *id, int64_t *stored_s);
/* A clock that only runs on, from which ages are counted; of use once the store was open. */
int64_t store_now_s(const struct store *store);
/* Ends up to a batch of records in one transaction. */
enum store_result store_finish(struct store *store, const struct store_finished *finished,
			       size_t count);
/* Deletes up to a batch of what is in quarantine and was stored so long ago. Nothing is written where
 * nothing is. */
enum store_result store_expire_quarantine(struct store *store, int64_t max_age_s);

/* Frees memory that is kept for speed only. */
void store_trim(struct store *store);

/* Gives dedup the promises of the last minutes that are in the spool. */
void store_fill_dedup(struct store *store, struct dedup *dedup, int64_t now_us);

int64_t store_records(const struct store *store); /* without quarantine */
int64_t store_quarantined(const struct store *store);
/* Of the database, its log, and what was moved aside, on the disk. */
int64_t store_bytes(const struct store *store);

#endif
