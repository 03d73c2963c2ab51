/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DESIGN: each arrow is one function, and every way ends in end_delivery(): within
 * delivery_start(), which then returns the verdict, or later, from the loop, which tells the owner.
 *
 *	start ─┬─ known ────────────────────────────────────────────> duplicate
 *	       ├─ the same is under way ──> waits ──its end──> duplicate, or that one's verdict
 *	       └─ attempt ─┬─ taken, or rejected ───────────────────> the upstream's verdict
 *	                   └─ not now, or breaker open ──> spool ─┬─ stored ──> spooled
 *	                                                          └─ not ──> the upstream's verdict
 */
#include "delivery/delivery.h"

#include "base/metrics.h"
#include "base/text.h"
#include "delivery/policy.h"

/* A duplicate is none: it repeats one. */
static bool is_promise(enum verdict verdict)
{
	return verdict == VERDICT_ACCEPTED || verdict == VERDICT_SPOOLED;
}

static void end_first(struct delivery *delivery, enum verdict verdict)
{
	if (!delivery->first)
		return;
	delivery->first = false;
	dedup_end(delivery->context->dedup, &delivery->hash,
		  (struct dedup_outcome){is_promise(verdict), verdict, delivery->call.status},
		  loop_now_us());
}

static enum verdict end_delivery(struct delivery *delivery, enum verdict verdict)
{
	delivery->phase = DELIVERY_NONE;
	delivery->call.verdict = verdict;
	if (verdict == VERDICT_DUPLICATE)
		metrics_add(METRIC_DUPLICATES, 1);
	end_first(delivery, verdict);
	return verdict;
}

static void end_and_tell_owner(struct delivery *delivery, enum verdict verdict)
{
	end_delivery(delivery, verdict);
	delivery->done(delivery);
}

/* --- the spool ---------------------------------------------------------------------------------*/

static void on_spool_answer(struct spool_put *put)
{
	struct delivery *delivery = container_of(put, struct delivery, put);

	delivery->context->at_spool--;
	if (put->result == SPOOL_STORED)
		end_and_tell_owner(delivery, VERDICT_SPOOLED);
	else if (put->result == SPOOL_FULL)
		end_and_tell_owner(delivery, VERDICT_SPOOL_FULL);
	else
		end_and_tell_owner(delivery, delivery->call.verdict);
}

/* `otherwise` is the verdict where the spool fails. */
static void hand_to_spool(struct delivery *delivery, enum verdict otherwise, bool got_error)
{
	const struct relay_call *call = &delivery->call;

	delivery->call.verdict = otherwise;
	delivery->phase = DELIVERY_AT_SPOOL;
	delivery->context->at_spool++;
	delivery->put = (struct spool_put){
		.record = {.hash = delivery->hash,
			   .forwarded = call->forwarded,
			   .counts = delivery->counts,
			   .body = call->body},
		.got_error = got_error,
		.mailbox = &delivery->context->mailbox,
		.done = on_spool_answer,
	};
	spool_put(delivery->context->spool, &delivery->put);
}

/* --- the upstream ------------------------------------------------------------------------------*/

static bool is_for_spool(const struct delivery *delivery)
{
	return delivery->context->spool && policy_of(&delivery->call)->spools;
}

static void on_upstream_answer(struct relay_call *call)
{
	struct delivery *delivery = container_of(call, struct delivery, call);

	if (delivery->context->spool)
		policy_report(delivery->context->breaker, policy_of(call)->breaker, call,
			      loop_now_us());
	if (is_for_spool(delivery))
		hand_to_spool(delivery, call->verdict, policy_is_error(call));
	else
		end_and_tell_owner(delivery, call->verdict);
}

/* As delivery_start(). */
static enum verdict attempt(struct delivery *delivery)
{
	struct delivery_context *context = delivery->context;
	struct relay_call *call = &delivery->call;

	if (context->spool && !breaker_admits(context->breaker, loop_now_us())) {
		hand_to_spool(delivery, VERDICT_UPSTREAM_UNAVAILABLE, false);
		return VERDICT_OK;
	}
	call->done = on_upstream_answer;
	delivery->phase = DELIVERY_AT_RELAY;
	call->verdict = relay_start(context->relay, call);
	if (call->verdict == VERDICT_OK)
		return VERDICT_OK;
	if (!is_for_spool(delivery))
		return end_delivery(delivery, call->verdict);
	hand_to_spool(delivery, call->verdict, false);
	return VERDICT_OK;
}

/* --- the same beacon again ---------------------------------------------------------------------*/

static void on_first_ended(struct message *message)
{
	struct delivery *delivery = container_of(message, struct delivery, waiter.message);
	const struct dedup_outcome *outcome = &delivery->waiter.outcome;

	delivery->call.status = outcome->status;
	end_and_tell_owner(delivery, outcome->promised ? VERDICT_DUPLICATE : outcome->verdict);
}

/* DEDUP_FIRST: it is to be relayed. */
static enum dedup_state look_for_same(struct delivery *delivery)
{
	struct delivery_context *context = delivery->context;
	enum dedup_state state;

	if (dedup_hash_is_empty(&delivery->hash))
		return DEDUP_FIRST;
	delivery->waiter =
		(struct dedup_waiter){.message.open = on_first_ended, .mailbox = &context->mailbox};
	delivery->phase = DELIVERY_WAITS;
	state = dedup_begin(context->dedup, &delivery->hash, &delivery->waiter, loop_now_us());
	delivery->first = state == DEDUP_FIRST;
	return state;
}

enum verdict delivery_start(struct delivery_context *context, struct delivery *delivery)
{
	delivery->context = context;
	delivery->first = false;
	switch (look_for_same(delivery)) {
	case DEDUP_KNOWN:
		return end_delivery(delivery, VERDICT_DUPLICATE);
	case DEDUP_WAIT:
		return VERDICT_OK;
	case DEDUP_FIRST:
		break;
	}
	return attempt(delivery);
}

/* --- ending it early ---------------------------------------------------------------------------*/

void delivery_spool_now(struct delivery *delivery)
{
	if (delivery->phase != DELIVERY_AT_RELAY || !delivery->context->spool)
		return;
	relay_cancel(delivery->context->relay, &delivery->call);
	hand_to_spool(delivery, VERDICT_UPSTREAM_TIMEOUT, false);
}

void delivery_cancel(struct delivery *delivery)
{
	if (delivery->phase == DELIVERY_AT_RELAY)
		relay_cancel(delivery->context->relay, &delivery->call);
	if (delivery->phase == DELIVERY_WAITS)
		dedup_leave(delivery->context->dedup, &delivery->hash, &delivery->waiter);
	delivery->phase = DELIVERY_NONE;
	end_first(delivery, VERDICT_UPSTREAM_TIMEOUT);
}

/* --- the context -------------------------------------------------------------------------------*/

bool delivery_context_init(struct delivery_context *context, struct loop *loop)
{
	context->at_spool = 0;
	return mailbox_init(&context->mailbox, loop);
}

void delivery_context_release(struct delivery_context *context)
{
	mailbox_release(&context->mailbox);
}
