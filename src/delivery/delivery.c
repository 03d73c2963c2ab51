/*
 * DESIGN: each arrow is one function, and every way ends in finish().
 *
 *	start ─┬─ known ───────────────────────────────────────────────> duplicate
 *	       ├─ the same is under way ──> waits ──its end──> duplicate, or what became of that
 *	       └─ relay ─┬─ taken, or refused ─────────────────────────> finish
 *	                 └─ not now, or breaker open ──> spool ─┬─ stored ──> spooled
 *	                                                        └─ not ─────> as without a spool
 */
#include "delivery/delivery.h"

#include "base/metrics.h"
#include "base/text.h"

enum {
	KEY_MAX_BYTES = 128 /* longer ones are not forwarded, and say nothing */
};

/* Of a first one, which is no duplicate. */
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

static void finish(struct delivery *delivery, enum verdict verdict)
{
	delivery->phase = DELIVERY_NONE;
	delivery->call.verdict = verdict;
	if (verdict == VERDICT_DUPLICATE)
		metrics_add(METRIC_DUPLICATES, 1);
	end_first(delivery, verdict);
	delivery->done(delivery);
}

/* --- the spool ----------------------------------------------------------------------------------*/

static void put_done(struct spool_put *put)
{
	struct delivery *delivery = container_of(put, struct delivery, put);

	delivery->context->at_spool--;
	if (put->result == SPOOL_STORED)
		finish(delivery, VERDICT_SPOOLED);
	else if (put->result == SPOOL_FULL)
		finish(delivery, VERDICT_OVERLOADED);
	else
		finish(delivery, delivery->call.verdict);
}

static void put(struct delivery *delivery, enum verdict otherwise)
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
		.mailbox = &delivery->context->mailbox,
		.done = put_done,
	};
	spool_put(delivery->context->spool, &delivery->put);
}

/* --- the receiver -------------------------------------------------------------------------------*/

static bool is_for_spool(const struct delivery *delivery, enum verdict verdict)
{
	if (!delivery->context->spool)
		return false;
	switch (verdict) {
	case VERDICT_UPSTREAM_UNAVAILABLE:
	case VERDICT_UPSTREAM_TIMEOUT:
	case VERDICT_UPSTREAM_THROTTLED:
	case VERDICT_UPSTREAM_MISCONFIGURED:
	case VERDICT_OVERLOADED:
		return true;
	default:
		return false;
	}
}

static void end_attempt(struct delivery *delivery, enum verdict verdict)
{
	if (is_for_spool(delivery, verdict))
		put(delivery, verdict);
	else
		finish(delivery, verdict);
}

static void call_done(struct relay_call *call)
{
	struct delivery *delivery = container_of(call, struct delivery, call);

	if (delivery->context->spool)
		breaker_report(delivery->context->breaker, call->verdict, loop_now_us());
	end_attempt(delivery, call->verdict);
}

static void relay(struct delivery *delivery)
{
	struct delivery_context *context = delivery->context;
	enum verdict verdict;

	if (context->spool && !breaker_admits(context->breaker, loop_now_us())) {
		put(delivery, VERDICT_UPSTREAM_UNAVAILABLE);
		return;
	}
	delivery->call.done = call_done;
	delivery->phase = DELIVERY_AT_RELAY;
	verdict = relay_start(context->relay, &delivery->call);
	if (verdict == VERDICT_OK)
		return;
	breaker_forget(context->breaker);
	end_attempt(delivery, verdict);
}

/* --- the others of its kind ---------------------------------------------------------------------*/

static void first_ended(struct message *message)
{
	struct delivery *delivery = container_of(message, struct delivery, waiter.message);
	const struct dedup_outcome *outcome = &delivery->waiter.outcome;

	delivery->call.status = outcome->status;
	finish(delivery, outcome->promised ? VERDICT_DUPLICATE : outcome->verdict);
}

/* True: there is nothing to relay, now or at all. */
static bool is_repeated(struct delivery *delivery)
{
	struct delivery_context *context = delivery->context;
	struct view key = delivery->call.forwarded.idempotency_key;

	if (key.len == 0 || key.len > KEY_MAX_BYTES)
		return false;
	delivery->hash = dedup_hash(key, delivery->call.body);
	delivery->waiter =
		(struct dedup_waiter){.message.open = first_ended, .mailbox = &context->mailbox};
	delivery->phase = DELIVERY_WAITS;
	switch (dedup_begin(context->dedup, &delivery->hash, &delivery->waiter, loop_now_us())) {
	case DEDUP_FIRST:
		delivery->first = true;
		return false;
	case DEDUP_KNOWN:
		finish(delivery, VERDICT_DUPLICATE);
		return true;
	case DEDUP_WAIT:
		break;
	}
	return true;
}

/* --- the context -----------------------------------------------------------------------------------*/

bool delivery_context_init(struct delivery_context *context, struct loop *loop)
{
	context->at_spool = 0;
	return mailbox_init(&context->mailbox, loop);
}

void delivery_context_release(struct delivery_context *context)
{
	mailbox_release(&context->mailbox);
}

void delivery_start(struct delivery_context *context, struct delivery *delivery)
{
	delivery->context = context;
	delivery->first = false;
	delivery->hash = (struct dedup_hash){{0}};
	if (!is_repeated(delivery))
		relay(delivery);
}

static void cancel_attempt(struct delivery *delivery)
{
	relay_cancel(delivery->context->relay, &delivery->call);
	breaker_forget(delivery->context->breaker);
}

void delivery_spool_now(struct delivery *delivery)
{
	if (delivery->phase != DELIVERY_AT_RELAY || !delivery->context->spool)
		return;
	cancel_attempt(delivery);
	put(delivery, VERDICT_UPSTREAM_TIMEOUT);
}

void delivery_cancel(struct delivery *delivery)
{
	if (delivery->phase == DELIVERY_AT_RELAY)
		cancel_attempt(delivery);
	if (delivery->phase == DELIVERY_WAITS)
		dedup_leave(delivery->context->dedup, &delivery->hash, &delivery->waiter);
	delivery->phase = DELIVERY_NONE;
	end_first(delivery, VERDICT_UPSTREAM_TIMEOUT);
}
