/* SPDX-License-Identifier: Apache-2.0 */
#include "fakes/relay.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

struct relay fake_relay;

void fake_relay_clear(void)
{
	fake_relay = (struct relay){.limit = FAKE_RELAY_CALLS_MAX};
}

struct relay *relay_new(struct loop *loop, const struct config *config, struct resolver *resolver,
			struct budget *inflight)
{
	(void)loop;
	(void)config;
	(void)resolver;
	(void)inflight;
	return &fake_relay;
}

void relay_free(struct relay *relay)
{
	relay->count = 0;
}

enum verdict relay_start(struct relay *relay, struct relay_call *call)
{
	if (relay->count >= relay->limit)
		return VERDICT_OVERLOADED;
	relay->calls[relay->count++] = call;
	relay->started++;
	return VERDICT_OK;
}

static void remove_call(struct relay *relay, const struct relay_call *call)
{
	size_t i = 0;

	while (i < relay->count && relay->calls[i] != call)
		i++;
	assert_true(i < relay->count);
	relay->count--;
	memmove(relay->calls + i, relay->calls + i + 1,
		(relay->count - i) * sizeof(relay->calls[0]));
}

void relay_cancel(struct relay *relay, struct relay_call *call)
{
	remove_call(relay, call);
	relay->cancelled++;
}

void fake_relay_end(struct relay_call *call)
{
	remove_call(&fake_relay, call);
	call->done(call);
}
