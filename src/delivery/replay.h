/* SPDX-License-Identifier: Apache-2.0 */
/*
 * replay: sends the records of the store, oldest first, and ends them there; in the spool's thread.
 *
 * It is slower than FARO_REPLAY_RATE where the upstream throttles or fails, replay or live traffic,
 * only tries from time to time while the breaker is open, and waits while live traffic takes half
 * of the calls in flight. A record that is answered with an error waits by itself; the others pass.
 */
#ifndef FARO_DELIVERY_REPLAY_H
#define FARO_DELIVERY_REPLAY_H

#include "delivery/spool.h"

struct replay;

/* All arguments outlive it. NULL without memory. */
struct replay *replay_new(const struct spool_options *options, struct loop *loop,
			  struct store *store);
/* What is in flight is cancelled, and stays in the store. */
void replay_free(struct replay *replay);

/* There may be something to do: a record was stored, or a second has passed. */
void replay_wake(struct replay *replay);
/* This record was answered with an error before it was stored: new ones go before it. */
void replay_stored(struct replay *replay, int64_t id);
/* The process is about to end: from now on at full speed. */
void replay_flush(struct replay *replay);
/* Sends nothing more; what is in flight may still end. */
void replay_stop(struct replay *replay);
bool replay_is_idle(const struct replay *replay);
/* Frees the buffers of what is not in flight. */
void replay_trim(struct replay *replay);

/* Ends what is older than FARO_SPOOL_MAX_AGE_S. */
void replay_expire(struct replay *replay, int64_t now_s);
/* Ends in the store what has ended; what cannot be ended just now is remembered. */
void replay_finish(struct replay *replay);

#endif
