/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DESIGN: the engine for https://. A transfer is an easy handle (engine_curl_transfer); a call is
 * given to it and it to the multi handle. libcurl then speaks to the loop through two callbacks:
 * which sockets to watch (engine_curl_sockets), and when to call it at the latest. Finished
 * transfers are collected after each such turn, so that ended() never runs inside libcurl. Limit:
 * CONFIG_UPSTREAM_REPLY_MAX_BYTES of reply, beyond which the connection is closed.
 *
 * The time to answer is measured here and not by libcurl, which knows only the system's clock, and
 * looks at it before it reads: after a time in which the process stood still, it would not see the
 * answer that is there. The time to connect is libcurl's, since it divides it between addresses.
 *
 * Where libcurl had no memory to note a socket it says so, but not whose, and keeps a record of it
 * that it divides by zero with when it next looks (7.88, singlesocket() in lib/multi.c). So what is
 * in flight ends then, and the multi handle with it.
 */
#include <curl/curl.h>
#include <malloc.h>
#include <stdlib.h>

#include "base/text.h"
#include "upstream/engine_curl_transfer.h"

struct curl_engine {
	struct engine base;
	CURLM *multi;               /* NULL: to be made for the next transfer */
	struct loop_timer timer;    /* libcurl's */
	struct loop_timer deadline; /* of the oldest in flight */
	struct list flight;         /* the transfers that libcurl has, the oldest first */
	struct curl_sockets sockets;
	int64_t retired_us; /* connections from before are not used again; 0: all are */
	bool fresh; /* no answer has come since: what is as old as libcurl can tell is too old */
};

/* libcurl writes the key into each request's head, and leaves it in what it frees. */
static void wipe_and_free_block(void *memory)
{
	if (memory)
		explicit_bzero(memory, malloc_usable_size(memory));
	free(memory);
}

static void *reallocate(void *old, size_t size)
{
	size_t had = old ? malloc_usable_size(old) : 0;
	void *memory;

	if (old && size <= had)
		return old;
	memory = malloc(size);
	if (memory && old) {
		memcpy(memory, old, had);
		wipe_and_free_block(old);
	}
	return memory;
}

static struct transfer *new_curl_transfer(struct engine *base)
{
	struct curl_engine *engine = (struct curl_engine *)base;
	struct curl_transfer *transfer = curl_transfer_new(engine, base->config, &engine->sockets);

	return transfer ? &transfer->base : NULL;
}

static void free_curl_transfer(struct transfer *base)
{
	curl_transfer_free((struct curl_transfer *)base);
}

static void remove_from_multi(struct curl_transfer *transfer)
{
	curl_multi_remove_handle(transfer->engine->multi, transfer->easy);
	list_remove(&transfer->flight);
}

static void end_curl_transfer(struct curl_transfer *transfer, CURLcode code)
{
	struct curl_engine *engine = transfer->engine;

	remove_from_multi(transfer);
	curl_transfer_read_answer(transfer, code);
	if (transfer->base.answer.status > 0)
		engine->fresh = false;
	engine->base.ended(&transfer->base);
}

static void collect_finished(struct curl_engine *engine)
{
	CURLMsg *message;
	int left;

	while ((message = curl_multi_info_read(engine->multi, &left))) {
		struct curl_transfer *transfer = NULL;
		CURLcode code = message->data.result;

		if (message->msg != CURLMSG_DONE)
			continue;
		curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, (char **)&transfer);
		end_curl_transfer(transfer, code);
	}
}

static struct curl_transfer *transfer_at(struct list *flight)
{
	return container_of(flight, struct curl_transfer, flight);
}

/* An owner whose transfer ended may start the next one, which is not lost. */
static void end_all_as_lost(struct curl_engine *engine)
{
	struct list *flight = &engine->flight, *link;

	for (link = flight->next; link != flight; link = link->next) {
		curl_multi_remove_handle(engine->multi, transfer_at(link)->easy);
		transfer_at(link)->lost = true;
	}
	curl_multi_cleanup(engine->multi);
	engine->multi = NULL;
	engine->timer.due_us = INT64_MAX;
	while (!list_is_empty(flight) && transfer_at(flight->next)->lost)
		end_curl_transfer(transfer_at(flight->next), CURLE_OUT_OF_MEMORY);
}

/* The timer is armed for it, unless it is past. */
static bool is_due(struct curl_engine *engine, const struct curl_transfer *transfer)
{
	const struct loop *loop = engine->base.loop;
	int64_t due_us = transfer_due_us(&transfer->base, engine->base.config);

	if (due_us <= loop_awake_us(loop))
		return true;
	if (engine->deadline.due_us > due_us + loop->lost_us)
		engine->deadline.due_us = due_us + loop->lost_us;
	return false;
}

static void let_curl_act(struct curl_engine *engine, curl_socket_t fd, int events)
{
	int running;
	bool done = curl_multi_socket_action(engine->multi, fd, events, &running) == CURLM_OK;

	collect_finished(engine);
	if (!done)
		end_all_as_lost(engine);
}

static void on_socket_ready(struct curl_sockets *sockets, curl_socket_t fd, int events)
{
	let_curl_act(container_of(sockets, struct curl_engine, sockets), fd, events);
}

static void on_timer_fired(struct loop_timer *timer)
{
	let_curl_act(container_of(timer, struct curl_engine, timer), CURL_SOCKET_TIMEOUT, 0);
}

/* Whoever is due is looked at once more: libcurl reads what its connection has to say. */
static void on_deadline(struct loop_timer *timer)
{
	struct curl_engine *engine = container_of(timer, struct curl_engine, deadline);

	while (!list_is_empty(&engine->flight)) {
		struct curl_transfer *transfer = transfer_at(engine->flight.next);
		curl_socket_t fd = CURL_SOCKET_BAD;

		if (!is_due(engine, transfer))
			return;
		if (!transfer->looked_at)
			fd = curl_sockets_find(&engine->sockets, transfer->easy);
		transfer->looked_at = true;
		if (fd != CURL_SOCKET_BAD)
			let_curl_act(engine, fd, CURL_CSELECT_IN);
		else
			end_curl_transfer(transfer, CURLE_OPERATION_TIMEDOUT);
	}
}

/* libcurl says when it wants to be called; it must not be called from in here. */
static int on_timer_wanted(CURLM *multi, long timeout_ms, void *arg)
{
	struct curl_engine *engine = arg;

	(void)multi;
	if (timeout_ms < 0)
		engine->timer.due_us = INT64_MAX;
	else if (timeout_ms == 0)
		engine->timer.due_us = engine->base.loop->now_us;
	else
		engine->timer.due_us = loop_now_us() + (int64_t)timeout_ms * 1000;
	return 0;
}

/* How old a kept connection may be: what was made before retire_connections() is not used again. */
static long connection_lifetime_s(const struct curl_engine *engine, int64_t now_us)
{
	int64_t trusted_s = (now_us - engine->retired_us) / 1000000;

	if (engine->retired_us == 0 || trusted_s >= CONNECTION_LIFETIME_S)
		return CONNECTION_LIFETIME_S;
	return trusted_s > 1 ? (long)trusted_s : 1; /* 0 would stand for "for ever" */
}

static bool set_up_multi(struct curl_engine *engine)
{
	CURLM *multi = curl_multi_init();

	engine->multi = multi;
	if (!multi)
		return false;
	curl_sockets_attach(&engine->sockets, multi);
	curl_multi_setopt(multi, CURLMOPT_TIMERFUNCTION, on_timer_wanted);
	curl_multi_setopt(multi, CURLMOPT_TIMERDATA, engine);
	curl_multi_setopt(multi, CURLMOPT_PIPELINING, (long)CURLPIPE_NOTHING);
	curl_multi_setopt(multi, CURLMOPT_MAXCONNECTS,
			  (long)engine->base.config->upstream_max_inflight);
	return true;
}

static bool curl_engine_start(struct engine *base, struct transfer *base_transfer)
{
	struct curl_engine *engine = (struct curl_engine *)base;
	struct curl_transfer *transfer = (struct curl_transfer *)base_transfer;
	long lifetime_s = connection_lifetime_s(engine, base_transfer->started_us);

	transfer->lost = transfer->looked_at = false;
	if (curl_transfer_prepare(transfer, engine->fresh, lifetime_s) &&
	    (engine->multi || set_up_multi(engine)) &&
	    curl_multi_add_handle(engine->multi, transfer->easy) == CURLM_OK) {
		list_add(&engine->flight, &transfer->flight);
		is_due(engine, transfer);
		return true;
	}
	base_transfer->answer.failure = RELAY_UNCONNECTED;
	base_transfer->answer.reason = "There is no memory";
	return false;
}

static void curl_engine_cancel(struct engine *base, struct transfer *transfer)
{
	(void)base;
	remove_from_multi((struct curl_transfer *)transfer);
}

static void curl_engine_retire_connections(struct engine *base, int64_t now_us)
{
	struct curl_engine *engine = (struct curl_engine *)base;

	engine->retired_us = now_us;
	engine->fresh = true;
}

static void curl_engine_free(struct engine *base)
{
	struct curl_engine *engine = (struct curl_engine *)base;

	curl_multi_cleanup(engine->multi);
	curl_global_cleanup();
	curl_sockets_release(&engine->sockets);
	free(engine);
}

struct engine *engine_curl_new(struct loop *loop, const struct config *config,
			       void (*ended)(struct transfer *transfer))
{
	static const struct engine_operations operations = {
		curl_engine_free,  new_curl_transfer,  free_curl_transfer,
		curl_engine_start, curl_engine_cancel, curl_engine_retire_connections};
	struct curl_engine *engine = calloc(1, sizeof(*engine));

	if (!engine)
		return NULL;
	/* Libraries of TLS take milliseconds to set up, and memory; http:// does without. Threads
	 * may do this at the same time, and each is counted. */
	if (curl_global_init_mem(CURL_GLOBAL_ALL, malloc, wipe_and_free_block, reallocate, strdup,
				 calloc) != CURLE_OK)
		goto fail;
	engine->base = (struct engine){&operations, loop, config, ended};
	engine->timer.fire = on_timer_fired;
	engine->deadline.fire = on_deadline;
	list_init(&engine->flight);
	curl_sockets_init(&engine->sockets, loop, (unsigned)config->upstream_timeout_ms,
			  on_socket_ready);
	if (!set_up_multi(engine)) {
		curl_global_cleanup();
		goto fail;
	}
	loop_timer_add(loop, &engine->timer);
	loop_timer_add(loop, &engine->deadline);
	return &engine->base;
fail:
	free(engine);
	return NULL;
}
