/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DESIGN: a call takes an idle transfer and hands it to the engine, which is engine_http for
 * http:// and engine_curl for https://. The engine says once how it ended; what that means, and
 * whether the connections may be used again, is decided here.
 *
 *	idle ──relay_start()──> in flight ──ended()──> done() ──> idle (or freed, if many are)
 *	  │                         └──relay_cancel()─────────────────^
 *	  └─ no address is known, or refused at once ──> deferred ──next turn──> done()
 *
 * While the process stands still, the upstream's time does not run: what is silent past its deadline
 * is so while it was listened to. But it may close a connection on which we are silent, and libcurl
 * has a clock of its own for connecting: such an end is our own doing (VERDICT_STALLED).
 *
 * An answer counts as soon as its header is complete: what happens to the body after a
 * status of 2xx does not change that the beacon was taken. Limit: the shared number of calls in
 * flight, beyond which relay_start() says VERDICT_OVERLOADED.
 */
#include "upstream/relay.h"

#include <stdlib.h>

#include "base/key_file.h"
#include "base/metrics.h"
#include "base/text.h"
#include "upstream/engine.h"

enum {
	IDLE_TRANSFERS_MAX = 64,
	/* Idle transfers are freed after this, which is before an idle loop returns unused memory
	 * to the system. */
	TRIM_AFTER_US = 500 * 1000,
	/* Connections made after a new route begin with another address of the name. */
	ROUTE_LIFETIME_US = 10 * 1000000,
};

struct relay {
	struct loop *loop;
	const struct config *config;
	struct resolver *resolver;
	struct budget *inflight;
	struct engine *engine;
	struct loop_timer deferred_timer;
	struct loop_timer trim_timer; /* armed while there are idle ones */
	struct spares idle;           /* transfers */
	struct transfer *deferred;
	struct key_file key_file;
	struct route *route;
	bool stale;       /* the route is to be made anew before the next call */
	int64_t failures; /* since the last success */
};

static struct transfer *take_transfer(struct relay *relay)
{
	struct spare *spare = spares_take(&relay->idle);
	struct transfer *transfer;

	if (spare)
		return container_of(spare, struct transfer, spare);
	transfer = relay->engine->operations->new_transfer(relay->engine);
	if (transfer)
		transfer->relay = relay;
	return transfer;
}

static void free_idle_transfer(struct spare *spare)
{
	struct transfer *transfer = container_of(spare, struct transfer, spare);

	transfer->relay->engine->operations->free_transfer(transfer);
}

/* The end of a call, however it came: the transfer is idle again, and one more may start. */
static void release_transfer(struct transfer *transfer)
{
	struct relay *relay = transfer->relay;
	int64_t now_us = relay->loop->now_us;

	if (transfer->call)
		transfer->call->transfer = NULL;
	transfer->call = NULL;
	route_drop(transfer->route);
	transfer->route = NULL;
	budget_give_back(relay->inflight, 1);
	spares_keep(&relay->idle, &transfer->spare, now_us);
	if (relay->trim_timer.due_us == INT64_MAX)
		relay->trim_timer.due_us = now_us + TRIM_AFTER_US;
}

static void on_idle_trim(struct loop_timer *timer)
{
	struct relay *relay = container_of(timer, struct relay, trim_timer);

	spares_trim(&relay->idle, relay->loop->now_us - TRIM_AFTER_US);
	if (relay->idle.count > 0)
		timer->due_us = relay->loop->now_us + TRIM_AFTER_US;
}

static void learn_from_failure(struct relay *relay, enum relay_failure failure, int64_t now_us)
{
	if (failure == RELAY_UNRESOLVED)
		return;
	resolver_refresh(relay->resolver);
	/* The next connection begins with another address. */
	if (failure == RELAY_UNCONNECTED || failure == RELAY_UNTRUSTED)
		relay->stale = true;
	/* All kept connections may lead nowhere. */
	if (failure == RELAY_SILENT)
		relay->engine->operations->retire_connections(relay->engine, now_us);
}

static bool is_our_doing(const struct transfer *transfer)
{
	const struct answer *answer = &transfer->answer;

	return answer->status == 0 &&
	       (answer->failure == RELAY_BROKEN || answer->failure == RELAY_UNCONNECTED) &&
	       loop_has_stood_still(transfer->relay->loop, transfer->lost_us);
}

/* It says nothing about the upstream, and is not counted as an outcome of a request to it. */
static void end_as_stalled(struct transfer *transfer)
{
	struct relay_call *call = transfer->call;

	call->verdict = VERDICT_STALLED;
	call->status = 0;
	call->sent = transfer->attempts > 0;
	call->retry_after_s = 0;
	call->session_status[0] = '\0';
	if (call->sent)
		metrics_add(METRIC_UPSTREAM_UNANSWERED, 1);
	release_transfer(transfer);
	call->done(call);
}

static void on_transfer_end(struct transfer *transfer)
{
	struct relay *relay = transfer->relay;
	struct relay_call *call = transfer->call;
	struct outcome outcome = {
		.answer = &transfer->answer,
		.url = relay->config->upstream_url,
		.sent = transfer->attempts > 0,
		.failures = &relay->failures,
	};
	int64_t now_us = relay->loop->now_us;

	if (is_our_doing(transfer)) {
		end_as_stalled(transfer);
		return;
	}
	if (transfer->answer.failure != RELAY_UNRESOLVED)
		metrics_observe(HISTOGRAM_UPSTREAM_SECONDS,
				now_us > transfer->started_us ? now_us - transfer->started_us : 0,
				traceparent_sampled(call->forwarded.traceparent));
	outcome_report(&outcome, call);
	if (call->status == 0)
		learn_from_failure(relay, transfer->answer.failure, now_us);
	release_transfer(transfer);
	call->done(call);
}

/* Calls that are started by those that end here wait for the next turn. */
static void on_deferred_timer(struct loop_timer *timer)
{
	struct relay *relay = container_of(timer, struct relay, deferred_timer);
	struct transfer *transfer = relay->deferred, *next;

	relay->deferred = NULL;
	for (; transfer; transfer = next) {
		next = transfer->next;
		if (transfer->call)
			on_transfer_end(transfer);
		else
			release_transfer(transfer);
	}
}

static void defer(struct transfer *transfer)
{
	struct relay *relay = transfer->relay;

	transfer->deferred = true;
	transfer->next = relay->deferred;
	relay->deferred = transfer;
	relay->deferred_timer.due_us = relay->loop->now_us;
}

/* False only if there is none at all. */
static bool refresh_route(struct relay *relay, int64_t now_us)
{
	struct route *now = relay->route, *next;

	if (relay->key_file.path && key_file_refresh(&relay->key_file, now_us))
		relay->stale = true;
	if (now && !relay->stale && now->generation == resolver_generation(relay->resolver) &&
	    now_us - now->made_us < ROUTE_LIFETIME_US)
		return true;
	next = route_new(relay->resolver, relay->config, key_file_value(&relay->key_file));
	if (!next)
		return now != NULL;
	next->made_us = now_us;
	/* Older connections may lead to a replica that is gone. */
	if (now && now->generation != next->generation)
		relay->engine->operations->retire_connections(relay->engine, now_us);
	route_drop(now);
	relay->route = next;
	relay->stale = false;
	return true;
}

static bool start_transfer(struct relay *relay, struct transfer *transfer)
{
	if (transfer->route->generation != 0)
		return relay->engine->operations->start(relay->engine, transfer);
	transfer->answer.failure = RELAY_UNRESOLVED;
	transfer->answer.reason = resolver_error(relay->resolver);
	if (!transfer->answer.reason)
		transfer->answer.reason = "The name server has not answered yet";
	return false;
}

enum verdict relay_start(struct relay *relay, struct relay_call *call)
{
	struct transfer *transfer;
	/* Not the loop's clock: what the turn has done so far must not shorten the time to
	 * answer. */
	int64_t now_us = loop_now_us();

	if (!budget_take(relay->inflight, 1))
		return VERDICT_OVERLOADED;
	transfer = refresh_route(relay, now_us) ? take_transfer(relay) : NULL;
	if (!transfer) {
		budget_give_back(relay->inflight, 1);
		return VERDICT_OVERLOADED;
	}
	transfer->call = call;
	transfer->route = route_hold(relay->route);
	transfer->started_us = now_us;
	transfer->lost_us = relay->loop->lost_us;
	transfer->attempts = 0;
	transfer->deferred = false;
	transfer->answer = (struct answer){.failure = RELAY_ANSWERED};
	call->transfer = transfer;
	if (!start_transfer(relay, transfer))
		defer(transfer);
	return VERDICT_OK;
}

void relay_cancel(struct relay *relay, struct relay_call *call)
{
	struct transfer *transfer = call->transfer;

	if (!transfer)
		return;
	if (transfer->attempts > 0)
		metrics_add(METRIC_UPSTREAM_UNANSWERED, 1);
	if (transfer->deferred) {
		/* Its list may be under iteration just now: on_deferred_timer() releases it. */
		transfer->call = NULL;
		call->transfer = NULL;
		return;
	}
	relay->engine->operations->cancel(relay->engine, transfer);
	release_transfer(transfer);
}

struct relay *relay_new(struct loop *loop, const struct config *config, struct resolver *resolver,
			struct budget *inflight)
{
	struct relay *relay = calloc(1, sizeof(*relay));

	if (!relay)
		return NULL;
	relay->loop = loop;
	relay->config = config;
	relay->resolver = resolver;
	relay->inflight = inflight;
	relay->deferred_timer.fire = on_deferred_timer;
	relay->trim_timer.fire = on_idle_trim;
	spares_init(&relay->idle, IDLE_TRANSFERS_MAX, free_idle_transfer);
	key_file_init(&relay->key_file, config->upstream_api_key_file);
	relay->engine = config->upstream_tls ? engine_curl_new(loop, config, on_transfer_end)
					     : engine_http_new(loop, config, on_transfer_end);
	if (!relay->engine) {
		free(relay);
		return NULL;
	}
	loop_timer_add(loop, &relay->deferred_timer);
	loop_timer_add(loop, &relay->trim_timer);
	return relay;
}

static void free_deferred(struct relay *relay)
{
	for (struct transfer *transfer = relay->deferred, *next; transfer; transfer = next) {
		next = transfer->next;
		route_drop(transfer->route);
		free_idle_transfer(&transfer->spare);
	}
}

void relay_free(struct relay *relay)
{
	if (!relay)
		return;
	spares_release(&relay->idle);
	free_deferred(relay);
	relay->engine->operations->free(relay->engine);
	route_drop(relay->route);
	key_file_release(&relay->key_file);
	free(relay);
}
