/*
 * delivery.h without a receiver, a spool or a memory of what came: the test answers, at once or
 * later.
 *
 * For one file of a program that is linked without delivery.c. `answer` is asked when a delivery
 * starts; VERDICT_OK holds it until fake_delivery_answer().
 */
#ifndef FARO_FAKE_DELIVERY_H
#define FARO_FAKE_DELIVERY_H

#include <stdlib.h>
#include <string.h>

#include "delivery/delivery.h"

enum {
	FAKE_DELIVERIES_MAX = 256
};

static struct {
	enum verdict (*answer)(struct delivery *delivery);
	struct delivery *held[FAKE_DELIVERIES_MAX];
	size_t held_count, spooled_now, cancelled;
} fake_delivery;

static inline void fake_delivery_forget(struct delivery *delivery)
{
	for (size_t i = 0; i < fake_delivery.held_count; i++) {
		if (fake_delivery.held[i] != delivery)
			continue;
		fake_delivery.held_count--;
		memmove(&fake_delivery.held[i], &fake_delivery.held[i + 1],
			(fake_delivery.held_count - i) * sizeof(*fake_delivery.held));
		return;
	}
	abort();
}

static inline enum verdict fake_delivery_fill_in(struct delivery *delivery, enum verdict verdict)
{
	delivery->call.verdict = verdict;
	delivery->call.status = verdict == VERDICT_ACCEPTED            ? 202
				: verdict == VERDICT_UPSTREAM_REJECTED ? 422
								       : 0;
	delivery->phase = DELIVERY_NONE;
	return verdict;
}

static inline void fake_delivery_answer(struct delivery *delivery, enum verdict verdict)
{
	fake_delivery_forget(delivery);
	fake_delivery_fill_in(delivery, verdict);
	delivery->done(delivery);
}

enum verdict delivery_start(struct delivery_context *context, struct delivery *delivery)
{
	enum verdict verdict = fake_delivery.answer(delivery);

	delivery->context = context;
	if (verdict == VERDICT_OK && fake_delivery.held_count < FAKE_DELIVERIES_MAX) {
		delivery->phase = DELIVERY_AT_RELAY;
		fake_delivery.held[fake_delivery.held_count++] = delivery;
		return VERDICT_OK;
	}
	return fake_delivery_fill_in(delivery,
				     verdict == VERDICT_OK ? VERDICT_OVERLOADED : verdict);
}

/* As with a spool, which answers later. */
void delivery_spool_now(struct delivery *delivery)
{
	fake_delivery.spooled_now++;
	delivery->phase = DELIVERY_AT_SPOOL;
}

void delivery_cancel(struct delivery *delivery)
{
	fake_delivery.cancelled++;
	delivery->phase = DELIVERY_NONE;
	fake_delivery_forget(delivery);
}

#endif
