/*
 * retries: the records that replay is to send again, and when each of them may go. In memory: after
 * a restart every record begins anew.
 *
 * The times and limits of one record are policy.h's (RETRY_MIN_US, UNANSWERED_MAX); how fast replay
 * goes as a whole is pace.c's.
 */
#ifndef FARO_DELIVERY_RETRIES_H
#define FARO_DELIVERY_RETRIES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	RETRIES_MAX = 256
};

struct retry {
	int64_t id;
	int64_t due_us;
	int unanswered;    /* attempts that count against it */
	uint64_t accepted; /* what the upstream had accepted after the last of them */
	bool in_flight;
};

/* All zero: none. */
struct retries {
	struct retry list[RETRIES_MAX];
	size_t count;
};

/* NULL: it has not failed yet. */
struct retry *retries_find(struct retries *retries, int64_t id);
/* Finds it, or adds it; there must be room, which the caller sees to by `count`. */
struct retry *retries_take(struct retries *retries, int64_t id);
void retries_remove(struct retries *retries, int64_t id);
/* True: there is one that is not in flight. */
bool retries_are_waiting(const struct retries *retries);

/* The one that is to go next of those that are due: the oldest of those that were answered, or of
 * those that were left `unanswered` the one that has been due for longest. NULL: there is none. */
struct retry *retries_next(struct retries *retries, bool unanswered, int64_t now_us);

/* It was left unanswered once more. `accepted` is how many beacons the upstream has accepted so
 * far, from anybody. False: it has been tried often enough. */
bool retry_back_off(struct retry *retry, uint64_t accepted, int64_t now_us);

#endif
