/* SPDX-License-Identifier: Apache-2.0 */
/*
 * delivery: delivery.h without an upstream, a spool or a memory of what came: the test answers, at
 * once or later. For a program that has this file among its sources.
 */
#ifndef FARO_FAKE_DELIVERY_H
#define FARO_FAKE_DELIVERY_H

#include "delivery/delivery.h"

enum {
	FAKE_DELIVERIES_MAX = 256
};

extern struct fake_delivery {
	/* Asked when a delivery starts; VERDICT_OK, or none to be asked: it is held. */
	enum verdict (*answer)(struct delivery *delivery);
	struct delivery *held[FAKE_DELIVERIES_MAX]; /* the oldest first */
	size_t held_count, spooled_now, cancelled;
} fake_delivery;

/* Ends one that is held. */
void fake_delivery_answer(struct delivery *delivery, enum verdict verdict);

#endif
