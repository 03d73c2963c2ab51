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

#include "upstream/breaker.h"
#include "upstream/relay.h"

/* What replay does with a record after an attempt. */
enum replay_action {
	REPLAY_DELIVERED,  /* deletes it */
	REPLAY_QUARANTINE, /* moves it to quarantine, where an operator may look at it */
	REPLAY_AGAIN,      /* sends it again when the pace lets it, before any younger one */
	REPLAY_BACK_OFF, /* the same after a time of its own, and after all that is due (RETRY_…) */
};

struct policy {
	bool spools; /* a live beacon goes to the spool, where there is one */
	enum breaker_report breaker;
	enum replay_action replay;
};

/* By verdict, status and sent. For a call that ended, or was not started (VERDICT_OVERLOADED). */
const struct policy *policy_of(const struct relay_call *call);

/* --- the breaker: while it is open, live beacons go to the spool at once -----------------------*/

enum {
	/* In a row: fewer may be one replica of several that restarts. */
	BREAKER_FAILURES = 5,
	/* The first opening is short, since most troubles are a restart; each probe that fails
	 * doubles it. The longest bounds how late an upstream that is back is noticed. */
	BREAKER_OPEN_MIN_US = 1000 * 1000,
	BREAKER_OPEN_MAX_US = 30 * 1000 * 1000,
};

extern const struct breaker_limits policy_breaker;

/* --- replay: how many, how long, how fast ------------------------------------------------------*/

enum {
	/* Records in flight, and after a failure, when one is enough to find out. */
	REPLAY_AT_ONCE = 8,
	REPLAY_AT_ONCE_IN_TROUBLE = 1,
	/* Nobody waits for a replayed beacon, so the upstream gets more time: this often
	 * FARO_UPSTREAM_TIMEOUT_MS, and at least so much. */
	REPLAY_TIMEOUT_FACTOR = 3,
	REPLAY_TIMEOUT_MIN_MS = 10000,
	/* Replay waits while live traffic has more than one in this many of the calls in flight. */
	REPLAY_LIVE_SHARE = 2,
	/* How soon replay looks again where nobody says that something has changed. */
	REPLAY_POLL_US = 50 * 1000,
};

/* The rate grows from a part of FARO_REPLAY_RATE by a tenth of that a second, and is halved after
 * any trouble, live traffic's included. */
enum {
	RATE_START_DIVISOR = 4,
	RATE_GROWTH_DIVISOR = 10,
	RATE_CUT_DIVISOR = 2,
	/* One trouble seldom comes alone: what comes within this counts once. */
	RATE_CUT_INTERVAL_US = 1000 * 1000,
	RATE_MIN = 1, /* records a second */
};

/* After a failure replay pauses for a random time up to a bound (full jitter, so that many pods do
 * not come back together), which doubles from the least to the most with each failure in a row. */
enum {
	PAUSE_MIN_US = 500 * 1000,
	PAUSE_MAX_US = 30 * 1000 * 1000,
	/* When the process is about to end there is no time for long ones. */
	PAUSE_DRAINING_US = 200 * 1000,
	/* Once the breaker admits a probe, live traffic has the first chance to make it. */
	PROBE_DELAY_US = 200 * 1000,
};

/* --- a record that is left unanswered: because of itself, or the upstream has it ---------------*/

enum {
	/* Its time doubles from this with each attempt: 1, 2, 4, 8 s. */
	RETRY_MIN_US = 500 * 1000,
	/* So many attempts, and it goes to quarantine. Only those count after which the upstream
	 * took some other beacon: where it answers nobody, that says nothing about this one. */
	UNANSWERED_MAX = 5,
};

/* --- quarantine: for an operator to look at; the oldest make room ------------------------------*/

enum {
	QUARANTINE_RECORDS_MAX = 1000,
	QUARANTINE_DIVISOR = 8, /* its share of FARO_SPOOL_MAX_BYTES */
};

/* --- duplicates --------------------------------------------------------------------------------*/

enum {
	/* A promise is remembered for longer than the SDK and nginx take to send the same again. */
	DEDUP_KEEP_S = 300,
	/* A longer Idempotency-Key is not forwarded, and says nothing. */
	DEDUP_KEY_MAX_BYTES = 128,
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
