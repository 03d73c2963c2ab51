/* SPDX-License-Identifier: Apache-2.0 */
/*
 * spool: keeps what the upstream did not take, and delivers it later.
 *
 * One thread owns the database and the replay. A loop hands a record over with spool_put(); the
 * spool writes all that has come meanwhile in one transaction and answers each by its message, in
 * the loop it came from, so that no loop ever waits for a disk. The bytes stay their owner's until
 * then, and are not copied.
 *
 *	spool_new → spool_put* → spool_drain → (the workers end) → spool_free
 */
#ifndef FARO_DELIVERY_SPOOL_H
#define FARO_DELIVERY_SPOOL_H

#include "base/mailbox.h"
#include "config/config.h"
#include "delivery/store.h"
#include "upstream/breaker.h"
#include "upstream/resolver.h"

enum spool_result {
	SPOOL_STORED, /* committed; from here on it is the spool's to deliver */
	SPOOL_FULL,   /* its limit, or the disk's reserve, is reached */
	SPOOL_FAILED, /* the disk failed */
};

struct spool;

struct spool_put {
	struct message message;     /* the spool's until done() */
	struct spool_record record; /* but for id and time, which the store gives */
	bool got_error;             /* the upstream answered it with an error just now */
	struct mailbox *mailbox;    /* of the loop in which done() is called */
	void (*done)(struct spool_put *put);
	enum spool_result result;
	struct spool *spool;
};

struct spool_options {
	const struct config *config;
	struct resolver *resolver;
	struct breaker *breaker;
	struct dedup *dedup;
	struct budget *memory;   /* replay's bodies draw on it */
	struct budget *inflight; /* of the workers: replay waits while half of it is taken */
};

/* Opens the database where it can; where it cannot, puts fail until it can. NULL with errno set
 * where there is no memory or thread. Signals should be blocked. */
struct spool *spool_new(const struct spool_options *options);

/* From any thread; done() is called in any case. */
void spool_put(struct spool *spool, struct spool_put *put);

/* The process is about to end: replay at full speed. */
void spool_drain(struct spool *spool);
/* Nobody puts any more. Returns when the spool is empty, or at the deadline; then how many records
 * stay. */
int64_t spool_free(struct spool *spool, int64_t deadline_us);

#endif
