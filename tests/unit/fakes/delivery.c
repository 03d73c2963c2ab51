/* SPDX-License-Identifier: Apache-2.0 */
#include "fakes/delivery.h"

#include <stdlib.h>
#include <string.h>

struct fake_delivery fake_delivery;

static void remove_held(const struct delivery *delivery)
{
	size_t i = 0;

	while (i < fake_delivery.held_count && fake_delivery.held[i] != delivery)
		i++;
	if (i == fake_delivery.held_count)
		abort();
	fake_delivery.held_count--;
	memmove(&fake_delivery.held[i], &fake_delivery.held[i + 1],
		(fake_delivery.held_count - i) * sizeof(fake_delivery.held[0]));
}

static enum verdict fill_in(struct delivery *delivery, enum verdict verdict)
{
	delivery->call.verdict = verdict;
	delivery->call.status = verdict == VERDICT_ACCEPTED            ? 202
				: verdict == VERDICT_UPSTREAM_REJECTED ? 422
								       : 0;
	delivery->phase = DELIVERY_NONE;
	return verdict;
}

void fake_delivery_answer(struct delivery *delivery, enum verdict verdict)
{
	remove_held(delivery);
	fill_in(delivery, verdict);
	delivery->done(delivery);
}

enum verdict delivery_start(struct delivery_context *context, struct delivery *delivery)
{
	enum verdict verdict = fake_delivery.answer ? fake_delivery.answer(delivery) : VERDICT_OK;

	delivery->context = context;
	if (verdict != VERDICT_OK)
		return fill_in(delivery, verdict);
	if (fake_delivery.held_count == FAKE_DELIVERIES_MAX)
		return fill_in(delivery, VERDICT_OVERLOADED);
	delivery->phase = DELIVERY_AT_RELAY;
	fake_delivery.held[fake_delivery.held_count++] = delivery;
	return VERDICT_OK;
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
	remove_held(delivery);
}
