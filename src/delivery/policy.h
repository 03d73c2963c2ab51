/* SPDX-License-Identifier: Apache-2.0 */
/*
 * policy: what becomes of a beacon that the upstream did not take: one table and every number.
 *
 * The table says for each class of outcome whether a live beacon is spooled, what the breaker
 * learns and what replay does with a record. The mechanisms only ask: delivery.c (live beacons),
 * replay.c, retries.c (records that are tried again), pace.c (how fast), store_records.c
 * (quarantine), dedup.c, upstream/breaker.c (gets its numbers from here). Which status is which
 * verdict is upstream/outcome.c's to say.
 */
#ifndef FARO_DELIVERY_POLICY_H
#define FARO_DELIVERY_POLICY_H

#include "delivery/store.h"
#include "upstream/breaker.h"
#include "upstream/relay.h"

/* What replay does with a record after an attempt. */
enum replay_action {
	REPLAY_DELIVERED, /* deletes it */
	REPLAY_AGAIN, /* sends it again when the pace lets it: nothing speaks against the record */
	REPLAY_BACK_OFF, /* after a time of its own, and not for ever: it may be the record's fault */
};

struct policy {
	bool spools; /* a live beacon goes to the spool, where there is one */
	/* What the breaker learns from a live beacon, and from a replayed one. */
	enum breaker_report breaker, breaker_of_replay;
	enum replay_action replay;
	enum store_end end; /* of a record that has been tried too often */
};

/* By verdict, status and sent. For a call that ended, or was not started (VERDICT_OVERLOADED). */
const struct policy *policy_of(const struct relay_call *call);
/* Tells apart the beacons whose fault a failure may be; 0: nothing of it was sent. */
uint64_t policy_beacon(const struct relay_call *call);
/* Tells the breaker of a call that ended. The body is hashed only where the breaker compares it. */
void policy_report(struct breaker *breaker, enum breaker_report report,
		   const struct relay_call *call, int64_t now_us);
/* It was answered, with an error that may be its own fault. */
bool policy_is_error(const struct relay_call *call);

/* --- the breaker: while it is open, live beacons go to the spool at once -----------------------*/

enum {
	/* Different beacons in a row: fewer may be one replica of several that restarts, or one
	 * beacon that the upstream chokes on. */
	BREAKER_DIFFERENT = 5,
	/* Answers are quick, so that there is time to see whether the upstream takes others. */
	BREAKER_ERRORS_US = 10 * 1000 * 1000,
	/* One live beacon in this time is tried while it is open, however long that has been: it
	 * bounds how late an upstream that is back is noticed. */
	BREAKER_PROBE_US = 1000 * 1000,
};

extern const struct breaker_limits policy_breaker;

/* --- replay: how many, how long, how fast ------------------------------------------------------*/

enum {
	/* Records in flight: at 5 ms for an answer enough for 3000 a second. */
	REPLAY_AT_ONCE = 16,
	/* Nobody waits for a replayed beacon, so the upstream gets more time: this often
	 * FARO_UPSTREAM_TIMEOUT_MS, and at least so much. */
	REPLAY_TIMEOUT_FACTOR = 3,
	REPLAY_TIMEOUT_MIN_MS = 10000,
	/* Replay waits while live traffic has more than one in this many of the calls in flight. */
	REPLAY_LIVE_SHARE = 2,
	/* How soon replay looks again where nobody says that something has changed. */
	REPLAY_POLL_US = 50 * 1000,
	/* Records that are passed over at once, because they are known already. */
	REPLAY_PASSED_AT_ONCE = 64,
};

/* The rate grows from a quarter of FARO_REPLAY_RATE to all of it with each record that is taken: in
 * 2.25 seconds, or in three on a machine that sends only three of four in time. It is halved after
 * any trouble, live traffic's included. Errors that are answered do not bring it below where it
 * began: they may be the records' own fault, and the others wait behind them. */
enum {
	RATE_START_DIVISOR = 4,
	RATE_GROWTH_DIVISOR = 3,
	RATE_CUT_DIVISOR = 2,
	/* One trouble seldom comes alone: what comes within this counts once. */
	RATE_CUT_INTERVAL_US = 1000 * 1000,
	RATE_MIN = 1, /* records a second */
	/* The loop wakes up to a millisecond late, and waits for the disk while deliveries are
	 * recorded. So much of the time in which nothing was sent is made up for. */
	RATE_CREDIT_US = 30 * 1000,
};

/* In trouble (a failure of replay's own, or the breaker is open) replay only tries whether the
 * upstream is back. After a failure it pauses for a random time up to a bound (full jitter, so that
 * many pods do not come back together), which doubles from the least to the most with each failure
 * in a row; and there is at least half of the bound between two attempts, which need not wait for
 * each other's end. The most, and a connect timeout of 1 s, bound how late replay notices an
 * upstream that is back: within 5 s. */
enum {
	PAUSE_MIN_US = 500 * 1000,
	PAUSE_MAX_US = 3 * 1000 * 1000,
	/* When the process is about to end there is no time for long ones. */
	PAUSE_DRAINING_US = 200 * 1000,
};

/* --- deliveries are recorded by deleting the records, many in one transaction ------------------*/

enum {
	/* The first waits so long for others, unless the transaction is full before. After a crash
	 * those that waited come twice. */
	FINISH_DELAY_US = 20 * 1000,
	FINISH_BATCH = 64, /* its part of the log stays within the disk's reserve */
	/* So many may wait while the disk does not let us delete them; then nothing more is sent. */
	FINISHED_MAX = 1024,
};

/* --- a record that gets errors or no answer: because of itself, or of the upstream -------------*/

enum {
	/* Its time doubles from this with each attempt that counts: 1, 2, 4, 8 s …; half of it is
	 * random. */
	RETRY_MIN_US = 500 * 1000,
	/* After an attempt that does not count: the upstream took nobody meanwhile, and where this
	 * record is the only one, it is to be tried soon after the upstream's return. */
	RETRY_UNCOUNTED_US = 3 * 1000 * 1000,
	/* So many errors, or so many attempts without an answer, and it goes to quarantine. Only
	 * those count since the last of which the upstream took some other beacon: where it takes
	 * nobody, that says nothing about this one. Ten take some 6 minutes, in which a replica
	 * that alone is broken is restarted, and other connections lead to other replicas. What is
	 * not answered may come twice, so that it is not tried for so long. */
	ERRORS_MAX = 10,
	UNANSWERED_MAX = 5,
};

/* --- quarantine: for an operator to look at; the oldest make room ------------------------------*/

enum {
	QUARANTINE_RECORDS_MAX = 1000,
	QUARANTINE_DIVISOR = 8, /* its share of FARO_SPOOL_MAX_BYTES */
	/* When the disk did not let the too old ones go, they are tried again after this. */
	QUARANTINE_PAUSE_US = 60 * 1000 * 1000,
};

/* --- duplicates --------------------------------------------------------------------------------*/

enum {
	/* A promise is remembered for longer than the SDK and nginx take to send the same again. */
	DEDUP_KEEP_S = 300,
};

/* --- the spool's own trouble and its end -------------------------------------------------------*/

enum {
	/* A database that failed is opened again after this; what comes meanwhile is answered as if
	 * there were no spool. */
	SPOOL_REOPEN_US = 500 * 1000,
	/* A check or a salvage that was of no use is tried again after this, then after twice as long
	 * each time. */
	SALVAGE_PAUSE_MIN_US = 1000 * 1000,
	SALVAGE_PAUSE_MAX_US = 300 * 1000 * 1000,
	/* A database that was called damaged and found sound so often has a fault that the check does
	 * not see, and is salvaged without one; unless that was long ago. */
	SALVAGE_SOUND_MAX = 3,
	SALVAGE_FORGET_US = 1000 * 1000 * 1000,
	/* The end of the drain time in which replay starts nothing new, so that what is in flight
	 * can still be answered. */
	SPOOL_CLOSING_US = 1000 * 1000,
};

#endif
