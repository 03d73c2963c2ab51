/* SPDX-License-Identifier: Apache-2.0 */
/*
 * dedup: the same Idempotency-Key with the same body is relayed once, shared by all loops.
 *
 *	dedup_begin ─┬─ DEDUP_FIRST: relay it, then dedup_end()
 *	             ├─ DEDUP_KNOWN: it was taken within the last DEDUP_KEEP_S (policy.h)
 *	             └─ DEDUP_WAIT: the first is under way; the waiter's message tells its end
 *
 * Memory is fixed: DEDUP_ENTRIES beacons are remembered (3.5 MiB), and where more come within that
 * time the oldest are forgotten first; a repeat of such a one is relayed again.
 */
#ifndef FARO_DELIVERY_DEDUP_H
#define FARO_DELIVERY_DEDUP_H

#include "base/buf.h"
#include "base/mailbox.h"
#include "beacon/dedup_hash.h"
#include "beacon/verdict.h"

enum {
	DEDUP_ENTRIES = 65536, /* a power of two */
};

enum dedup_state {
	DEDUP_FIRST,
	DEDUP_KNOWN,
	DEDUP_WAIT,
};

/* How a first one ended. */
struct dedup_outcome {
	bool promised; /* it was answered 202 */
	enum verdict verdict;
	int status; /* of the upstream; 0: it gave none */
};

struct dedup_waiter {
	struct message message;       /* .open is the owner's */
	struct mailbox *mailbox;      /* the owner's */
	struct dedup_outcome outcome; /* of the first, valid in open() */
	struct dedup_waiter *next;
};

struct dedup;

/* NULL without memory. */
struct dedup *dedup_new(void);
void dedup_free(struct dedup *dedup);

/* `waiter` is kept until its message is opened, or dedup_leave(). */
enum dedup_state dedup_begin(struct dedup *dedup, const struct dedup_hash *hash,
			     struct dedup_waiter *waiter, int64_t now_us);
void dedup_end(struct dedup *dedup, const struct dedup_hash *hash, struct dedup_outcome outcome,
	       int64_t now_us);
/* The waiter's message is not posted after this; it may have been before. */
void dedup_leave(struct dedup *dedup, const struct dedup_hash *hash, struct dedup_waiter *waiter);

/* How many entries a lookup of this one passes at most; for tests. */
size_t dedup_chain_length(struct dedup *dedup, const struct dedup_hash *hash);

/* What a former process promised `age_s` ago. */
void dedup_remember(struct dedup *dedup, const struct dedup_hash *hash, int64_t age_s,
		    int64_t now_us);

#endif
