/*
 * DESIGN: a call takes an idle transfer (an easy handle whose options are set once), is given its
 * body and headers and added to the multi handle. libcurl then speaks to the loop through two
 * callbacks: which sockets to watch (relay_sockets), and when to call it at the latest. Finished
 * transfers are collected after each such turn, so that done() never runs inside libcurl.
 *
 *	idle ──relay_start()──> in flight ──finished──> done() ──> idle (or freed, if many are)
 *	  │                         └──relay_cancel()─────────────────^
 *	  └─ no address is known yet ──> unsent ──next turn──> done()
 *
 * A receiver's answer counts as soon as its header is complete: what happens to the body after a
 * status of 2xx does not undo that the beacon was taken. Limits: CONFIG_UPSTREAM_REPLY_MAX_BYTES of
 * reply, beyond which the connection is closed, and the shared number of calls in flight, beyond
 * which relay_start() says VERDICT_OVERLOADED.
 */
#include "relay.h"

#include <curl/curl.h>
#include <stdlib.h>

#include "build-config.h"
#include "metrics.h"
#include "relay_headers.h"
#include "relay_outcome.h"
#include "relay_sockets.h"
#include "secret.h"

enum {
	IDLE_TRANSFERS_MAX = 64,
	RECEIVE_BUFFER_BYTES = 2048,
	CONNECTION_LIFETIME_S = 60, /* so that new receivers behind the name get traffic */
	CONNECTION_IDLE_S = 30,
	KEEPALIVE_IDLE_S = 15,
	KEEPALIVE_INTERVAL_S = 5,
	CA_CACHE_S = 300, /* a renewed CA file counts after this */
	/* Connections made after a new route begin with another address of the name. */
	ROUTE_LIFETIME_US = 10 * 1000000,
};

struct relay_transfer {
	struct relay_transfer *next; /* idle or unsent */
	struct relay *relay;
	struct relay_call *call; /* NULL: cancelled while unsent */
	CURL *easy;
	struct relay_route *route; /* while in flight */
	unsigned introduced;       /* serial of the route whose addresses libcurl has from it */
	bool unsent;
	int64_t started_us;
	unsigned attempts; /* how often the request was begun to be written */
	size_t reply_bytes;
	bool answered; /* the reply's header is complete */
	struct relay_forward forward;
	char error[CURL_ERROR_SIZE];
};

struct relay {
	struct loop *loop;
	const struct config *config;
	struct resolver *resolver;
	struct budget *inflight;
	CURLM *multi;
	struct loop_timer timer, unsent_timer;
	struct relay_sockets sockets;
	struct relay_transfer *idle, *unsent;
	size_t idle_count;
	struct secret secret;
	struct relay_route *route;
	unsigned serial;
	bool stale; /* the route is to be made anew before the next call */
	/* Connections from before this are not used again: after a timeout they may all lead
	 * nowhere, after a change of addresses to a receiver that is gone. 0: all are trusted. */
	int64_t distrusted_us;
	bool silent;      /* a call timed out, and none was answered since */
	int64_t failures; /* since the last success */
};

bool relay_global_init(void)
{
	return curl_global_init(CURL_GLOBAL_ALL) == CURLE_OK;
}

static size_t on_header(char *line, size_t size, size_t n, void *arg)
{
	struct relay_transfer *transfer = arg;

	n *= size;
	transfer->reply_bytes += n;
	if (transfer->reply_bytes > CONFIG_UPSTREAM_REPLY_MAX_BYTES)
		return 0;
	/* An interim reply (1xx) ends with a blank line too; the next status line undoes it. */
	if (n >= 5 && memcmp(line, "HTTP/", 5) == 0)
		transfer->answered = false;
	else if (n <= 2 && (line[0] == '\r' || line[0] == '\n'))
		transfer->answered = true;
	return n;
}

static size_t on_body(char *bytes, size_t size, size_t n, void *arg)
{
	struct relay_transfer *transfer = arg;

	(void)bytes;
	transfer->reply_bytes += size * n;
	return transfer->reply_bytes > CONFIG_UPSTREAM_REPLY_MAX_BYTES ? 0 : size * n;
}

/* Called before each sending of a request. libcurl sends again, without being asked, what a kept
 * connection did not answer at all before it died: the receiver may then have it twice. */
static int on_request(void *arg, char *peer_ip, char *local_ip, int peer_port, int local_port)
{
	struct relay_transfer *transfer = arg;

	(void)peer_ip, (void)local_ip, (void)peer_port, (void)local_port;
	if (++transfer->attempts > 1)
		metrics_add(METRIC_UPSTREAM_RESENDS, 1);
	return CURL_PREREQFUNC_OK;
}

/* The options below cannot fail but for memory; the failures are added up. */
#define SET(option, value) failed |= curl_easy_setopt(easy, (option), (value)) != CURLE_OK

static bool set_connection_options(struct relay *relay, CURL *easy)
{
	const struct config *config = relay->config;
	bool failed = !relay_sockets_equip(&relay->sockets, easy);

	SET(CURLOPT_PROTOCOLS_STR, "http,https");
	SET(CURLOPT_URL, config->upstream_url);
	SET(CURLOPT_PROXY, "");
	SET(CURLOPT_NOSIGNAL, 1L);
	SET(CURLOPT_DNS_CACHE_TIMEOUT, -1L);
	SET(CURLOPT_CONNECTTIMEOUT_MS, (long)config->upstream_connect_timeout_ms);
	SET(CURLOPT_TIMEOUT_MS, (long)config->upstream_timeout_ms);
	SET(CURLOPT_MAXLIFETIME_CONN, (long)CONNECTION_LIFETIME_S);
	SET(CURLOPT_MAXAGE_CONN, (long)CONNECTION_IDLE_S);
	SET(CURLOPT_TCP_NODELAY, 1L);
	SET(CURLOPT_TCP_KEEPALIVE, 1L);
	SET(CURLOPT_TCP_KEEPIDLE, (long)KEEPALIVE_IDLE_S);
	SET(CURLOPT_TCP_KEEPINTVL, (long)KEEPALIVE_INTERVAL_S);
	if (!config->upstream_tls)
		return !failed;
	SET(CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
	SET(CURLOPT_SSL_VERIFYPEER, 1L);
	SET(CURLOPT_SSL_VERIFYHOST, 2L);
	SET(CURLOPT_CA_CACHE_TIMEOUT, (long)CA_CACHE_S);
	if (config->upstream_ca_file) {
		/* This file alone, without the system's directory beside it. */
		SET(CURLOPT_CAINFO, config->upstream_ca_file);
		SET(CURLOPT_CAPATH, NULL);
	}
	return !failed;
}

static bool set_request_options(struct relay_transfer *transfer, CURL *easy)
{
	bool failed = false;

	SET(CURLOPT_PRIVATE, transfer);
	SET(CURLOPT_ERRORBUFFER, transfer->error);
	SET(CURLOPT_POST, 1L);
	SET(CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
	SET(CURLOPT_FOLLOWLOCATION, 0L);
	SET(CURLOPT_USERAGENT, "faro-ingest/" PACKAGE_VERSION);
	SET(CURLOPT_BUFFERSIZE, (long)RECEIVE_BUFFER_BYTES);
	SET(CURLOPT_HEADERFUNCTION, on_header);
	SET(CURLOPT_HEADERDATA, transfer);
	SET(CURLOPT_WRITEFUNCTION, on_body);
	SET(CURLOPT_WRITEDATA, transfer);
	SET(CURLOPT_PREREQFUNCTION, on_request);
	SET(CURLOPT_PREREQDATA, transfer);
	return !failed;
}

static void free_transfer(struct relay_transfer *transfer)
{
	curl_easy_cleanup(transfer->easy);
	free(transfer);
}

static struct relay_transfer *new_transfer(struct relay *relay)
{
	struct relay_transfer *transfer = calloc(1, sizeof(*transfer));

	if (!transfer)
		return NULL;
	transfer->relay = relay;
	transfer->easy = curl_easy_init();
	if (transfer->easy && set_connection_options(relay, transfer->easy) &&
	    set_request_options(transfer, transfer->easy))
		return transfer;
	free_transfer(transfer);
	return NULL;
}

static struct relay_transfer *take_transfer(struct relay *relay)
{
	struct relay_transfer *transfer = relay->idle;

	if (!transfer)
		return new_transfer(relay);
	relay->idle = transfer->next;
	relay->idle_count--;
	return transfer;
}

/* The end of a call, however it came: the transfer is idle again, and one more may start. */
static void give_back(struct relay_transfer *transfer)
{
	struct relay *relay = transfer->relay;

	if (transfer->call)
		transfer->call->transfer = NULL;
	transfer->call = NULL;
	relay_route_drop(transfer->route);
	transfer->route = NULL;
	budget_give_back(relay->inflight, 1);
	if (relay->idle_count >= IDLE_TRANSFERS_MAX) {
		free_transfer(transfer);
		return;
	}
	transfer->next = relay->idle;
	relay->idle = transfer;
	relay->idle_count++;
}

static void finish(struct relay_transfer *transfer, CURLcode code)
{
	struct relay *relay = transfer->relay;
	struct relay_call *call = transfer->call;
	struct relay_outcome outcome = {
		.code = code,
		.easy = transfer->easy,
		.error = transfer->error,
		.answered = transfer->answered,
		.sent = transfer->attempts > 0,
		.failures = &relay->failures,
	};
	int64_t now_us = loop_now_us();

	if (transfer->unsent)
		outcome.error = resolver_error(relay->resolver);
	else
		metrics_observe(HISTOGRAM_UPSTREAM_SECONDS, now_us - transfer->started_us);
	relay_outcome_tell(&outcome, call);
	if (call->status > 0) {
		relay->silent = false;
	} else if (!transfer->unsent) {
		resolver_hurry(relay->resolver);
		/* No connection: libcurl 7.88 does not get beyond a first address that is silent,
		 * so the next call begins with another. */
		if (!outcome.sent)
			relay->stale = true;
		if (call->verdict == VERDICT_UPSTREAM_TIMEOUT) {
			relay->silent = true;
			relay->distrusted_us = now_us;
		}
	}
	give_back(transfer);
	call->done(call);
}

static void collect_finished(struct relay *relay)
{
	CURLMsg *message;
	int left;

	while ((message = curl_multi_info_read(relay->multi, &left))) {
		struct relay_transfer *transfer = NULL;
		CURLcode code = message->data.result;

		if (message->msg != CURLMSG_DONE)
			continue;
		curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, (char **)&transfer);
		curl_multi_remove_handle(relay->multi, transfer->easy);
		finish(transfer, code);
	}
}

static void on_socket_ready(struct relay_sockets *sockets, curl_socket_t fd, int events)
{
	struct relay *relay = OWNER(sockets, struct relay, sockets);
	int running;

	curl_multi_socket_action(relay->multi, fd, events, &running);
	collect_finished(relay);
}

static void on_timer_fired(struct loop_timer *timer)
{
	struct relay *relay = OWNER(timer, struct relay, timer);
	int running;

	curl_multi_socket_action(relay->multi, CURL_SOCKET_TIMEOUT, 0, &running);
	collect_finished(relay);
}

/* libcurl says when it wants to be called; it must not be called from in here. */
static int on_timer_wanted(CURLM *multi, long timeout_ms, void *arg)
{
	struct relay *relay = arg;

	(void)multi;
	if (timeout_ms < 0)
		relay->timer.due_us = INT64_MAX;
	else if (timeout_ms == 0)
		relay->timer.due_us = relay->loop->now_us;
	else
		relay->timer.due_us = loop_now_us() + (int64_t)timeout_ms * 1000;
	return 0;
}

/* Calls that start while these are told wait for the next turn. */
static void on_unsent(struct loop_timer *timer)
{
	struct relay *relay = OWNER(timer, struct relay, unsent_timer);
	struct relay_transfer *transfer = relay->unsent, *next;

	relay->unsent = NULL;
	for (; transfer; transfer = next) {
		next = transfer->next;
		if (transfer->call)
			finish(transfer, CURLE_COULDNT_RESOLVE_HOST);
		else
			give_back(transfer);
	}
}

/* How old a kept connection may be: what was made before the distrust is not used again. */
static long connection_lifetime_s(const struct relay *relay, int64_t now_us)
{
	int64_t trusted_s = (now_us - relay->distrusted_us) / 1000000;

	if (relay->distrusted_us == 0 || trusted_s >= CONNECTION_LIFETIME_S)
		return CONNECTION_LIFETIME_S;
	return trusted_s > 1 ? (long)trusted_s : 1; /* 0 would stand for "for ever" */
}

/* False only if there is none at all. */
static bool refresh_route(struct relay *relay, int64_t now_us)
{
	struct relay_route *now = relay->route, *next;

	if (relay->secret.path && secret_refresh(&relay->secret, now_us))
		relay->stale = true;
	if (now && !relay->stale && now->generation == resolver_generation(relay->resolver) &&
	    now_us - now->made_us < ROUTE_LIFETIME_US)
		return true;
	next = relay_route_new(relay->resolver, relay->config->upstream_tenant,
			       secret_value(&relay->secret));
	if (!next)
		return now != NULL;
	next->serial = ++relay->serial;
	next->made_us = now_us;
	if (now && now->generation != next->generation)
		relay->distrusted_us = now_us;
	relay_route_drop(now);
	relay->route = next;
	relay->stale = false;
	return true;
}

/* Hands the call to the easy handle, which has everything else from its last one. */
static bool prepare(struct relay_transfer *transfer, int64_t now_us)
{
	struct relay *relay = transfer->relay;
	struct relay_route *route = transfer->route;
	const struct relay_call *call = transfer->call;
	CURL *easy = transfer->easy;
	bool failed = false;

	SET(CURLOPT_HTTPHEADER, relay_forward(&transfer->forward, call, route->headers));
	SET(CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)call->body.len);
	/* NULL would make libcurl read the standard input. */
	SET(CURLOPT_POSTFIELDS, call->body.len > 0 ? call->body.ptr : "");
	SET(CURLOPT_FRESH_CONNECT, (long)relay->silent);
	SET(CURLOPT_MAXLIFETIME_CONN, connection_lifetime_s(relay, now_us));
	/* Each handle says it for itself, since the others may not have begun yet. libcurl reads
	 * the list once, when a transfer begins. Where that was cancelled before, the next call
	 * either has the same route, which lives, or names another. */
	if (transfer->introduced != route->serial) {
		SET(CURLOPT_RESOLVE, *route->address_line ? &route->addresses : NULL);
		transfer->introduced = route->serial;
	}
	return !failed;
}

static void start_unsent(struct relay_transfer *transfer)
{
	struct relay *relay = transfer->relay;

	transfer->unsent = true;
	transfer->next = relay->unsent;
	relay->unsent = transfer;
	relay->unsent_timer.due_us = relay->loop->now_us;
}

enum verdict relay_start(struct relay *relay, struct relay_call *call)
{
	struct relay_transfer *transfer;
	int64_t now_us = loop_now_us();

	if (!budget_take(relay->inflight, 1))
		return VERDICT_OVERLOADED;
	transfer = refresh_route(relay, now_us) ? take_transfer(relay) : NULL;
	if (!transfer) {
		budget_give_back(relay->inflight, 1);
		return VERDICT_OVERLOADED;
	}
	transfer->call = call;
	transfer->route = relay_route_hold(relay->route);
	transfer->started_us = now_us;
	transfer->attempts = 0;
	transfer->reply_bytes = 0;
	transfer->answered = transfer->unsent = false;
	transfer->error[0] = '\0';
	call->transfer = transfer;
	if (transfer->route->generation == 0) {
		start_unsent(transfer);
	} else if (!prepare(transfer, now_us) ||
		   curl_multi_add_handle(relay->multi, transfer->easy) != CURLM_OK) {
		give_back(transfer);
		return VERDICT_OVERLOADED;
	}
	return VERDICT_OK;
}

void relay_cancel(struct relay *relay, struct relay_call *call)
{
	struct relay_transfer *transfer = call->transfer;

	if (!transfer)
		return;
	if (transfer->unsent) {
		/* It is in a list that may be walked just now. */
		transfer->call = NULL;
		call->transfer = NULL;
		return;
	}
	if (transfer->attempts > 0)
		metrics_add(METRIC_UPSTREAM_UNANSWERED, 1);
	curl_multi_remove_handle(relay->multi, transfer->easy);
	give_back(transfer);
}

static bool set_up_multi(struct relay *relay)
{
	CURLM *multi = curl_multi_init();

	relay->multi = multi;
	if (!multi)
		return false;
	relay_sockets_attach(&relay->sockets, multi);
	curl_multi_setopt(multi, CURLMOPT_TIMERFUNCTION, on_timer_wanted);
	curl_multi_setopt(multi, CURLMOPT_TIMERDATA, relay);
	curl_multi_setopt(multi, CURLMOPT_PIPELINING, (long)CURLPIPE_NOTHING);
	curl_multi_setopt(multi, CURLMOPT_MAXCONNECTS, (long)relay->config->upstream_max_inflight);
	return true;
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
	relay->timer.fire = on_timer_fired;
	relay->unsent_timer.fire = on_unsent;
	secret_init(&relay->secret, config->upstream_api_key_file);
	relay_sockets_init(&relay->sockets, loop, (unsigned)config->upstream_timeout_ms,
			   on_socket_ready);
	if (!set_up_multi(relay)) {
		free(relay);
		return NULL;
	}
	loop_timer_add(loop, &relay->timer);
	loop_timer_add(loop, &relay->unsent_timer);
	return relay;
}

static void free_list(struct relay_transfer *transfer)
{
	while (transfer) {
		struct relay_transfer *next = transfer->next;

		relay_route_drop(transfer->route);
		free_transfer(transfer);
		transfer = next;
	}
}

void relay_free(struct relay *relay)
{
	if (!relay)
		return;
	free_list(relay->idle);
	free_list(relay->unsent);
	curl_multi_cleanup(relay->multi);
	relay_sockets_release(&relay->sockets);
	relay_route_drop(relay->route);
	secret_release(&relay->secret);
	free(relay);
}
