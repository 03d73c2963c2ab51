/* SPDX-License-Identifier: Apache-2.0 */
/*
 * retries: the records that replay is to send again, and when each of them may go. In memory: after
 * a restart every record begins anew.
 *
 *	retries_take ──> in flight ─┬─ retries_again ────> due at once ─┐
 *	                    ^       └─ retries_back_off ─> due later ───┤
 *	                    └────────── retries_next, _longest_left ────┘     retries_remove
 *
 * Taking, finding, removing cost the same whatever is in it, and what is due is found in the time
 * of a heap. The times and limits of one record are policy.h's (RETRY_…, ERRORS_MAX,
 * UNANSWERED_MAX); how fast replay goes as a whole is pace.c's.
 */
#ifndef FARO_DELIVERY_RETRIES_H
#define FARO_DELIVERY_RETRIES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	RETRIES_MAX = 8192, /* at most 16 bits, like each count below */
	RETRIES_TABLE = 2 * RETRIES_MAX,
};

enum retry_state {
	RETRY_UNUSED,
	RETRY_IN_FLIGHT,
	RETRY_WAITING,
	RETRY_DUE,
};

struct retry {
	int64_t id;
	int64_t failed_us, due_us;
	uint64_t accepted; /* what the upstream had accepted after the last attempt that counted */
	enum retry_state state;
	uint16_t place;             /* in its heap; the next unused one */
	uint8_t errors, unanswered; /* attempts that count against it */
};

/* Numbers of retries; the first is the least. */
struct retry_heap {
	uint16_t list[RETRIES_MAX];
	size_t count;
};

/* All zero: none. */
struct retries {
	struct retry list[RETRIES_MAX];
	size_t used; /* of the list, since the beginning */
	size_t count;
	uint16_t unused;               /* the first, and one more; 0: none before `used` */
	uint16_t table[RETRIES_TABLE]; /* by id: numbers, and one more */
	struct retry_heap waiting;     /* by time */
	struct retry_heap due;         /* by attempts that count, then by id */
	unsigned random;
};

/* NULL: it is not there. */
struct retry *retries_find(struct retries *retries, int64_t id);
/* Finds it, or adds it; in flight then. NULL: there is no room. */
struct retry *retries_take(struct retries *retries, int64_t id);
void retries_remove(struct retries *retries, int64_t id);

/* Nothing speaks against it: it is due at once. */
void retries_again(struct retries *retries, struct retry *retry, int64_t now_us);
/* It was answered with an error, or was left unanswered, once more. `accepted` is how many beacons
 * the upstream has accepted so far, from anybody. False: it has been tried often enough. */
bool retries_back_off(struct retries *retries, struct retry *retry, bool answered,
		      uint64_t accepted, int64_t now_us);
/* Not before that, if it waits at all. */
void retries_delay(struct retries *retries, struct retry *retry, int64_t until_us);

/* Of those that are due: the one with the fewest attempts against it, of these the oldest. NULL:
 * there is none. */
struct retry *retries_next(struct retries *retries, int64_t now_us);
/* Due or not: the one whose last attempt is the longest ago. Looks at all of them. */
struct retry *retries_longest_left(struct retries *retries);
void retries_send(struct retries *retries, struct retry *retry);
/* When one is due; INT64_MAX: none waits. */
int64_t retries_due_us(const struct retries *retries);

static inline int retry_attempts(const struct retry *retry)
{
	return retry->errors + retry->unanswered;
}

#endif
