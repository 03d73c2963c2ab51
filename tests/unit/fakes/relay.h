/* SPDX-License-Identifier: Apache-2.0 */
/*
 * relay: relay.h without an upstream: it keeps the calls that it is given until the test ends them.
 * For a driver that has this file among its sources. It does not look at time, addresses or bytes.
 */
#ifndef FARO_FAKE_RELAY_H
#define FARO_FAKE_RELAY_H

#include "upstream/relay.h"

enum {
	FAKE_RELAY_CALLS_MAX = 16
};

/* There is one, which relay_new() returns. */
extern struct relay {
	struct relay_call *calls[FAKE_RELAY_CALLS_MAX]; /* in flight, the oldest first */
	size_t count, limit;                            /* at the limit it is overloaded */
	int started, cancelled;
} fake_relay;

/* As before the first call, with the greatest limit. */
void fake_relay_clear(void);
/* Takes it out of flight and calls done(); its outcome is the test's to fill in before. */
void fake_relay_end(struct relay_call *call);

#endif
