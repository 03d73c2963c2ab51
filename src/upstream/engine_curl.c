/*
 * DESIGN: the engine for https://. A transfer is an easy handle whose options are set once; a call
 * gives it its body and headers and adds it to the multi handle. libcurl then speaks to the loop
 * through two callbacks: which sockets to watch (curl_sockets), and when to call it at the latest.
 * Finished transfers are collected after each such turn, so that ended() never runs inside libcurl.
 * Limit: CONFIG_UPSTREAM_REPLY_MAX_BYTES of reply, beyond which the connection is closed.
 *
 * Where libcurl had no memory to note a socket it says so, but not whose, and keeps a record of it
 * that it divides by zero with when it next looks (7.88, singlesocket() in lib/multi.c). So what is in
 * flight ends then, and the multi handle with it.
 */
#include <curl/curl.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/list.h"
#include "base/text.h"
#include "upstream/engine.h"
#include "upstream/engine_curl_sockets.h"

enum {
	RECEIVE_BUFFER_BYTES = 2048,
	CA_CACHE_S = 300,         /* a renewed CA file counts after this */
	HEADERS_MAX = 5,          /* besides the forwarded ones */
	ADDRESS_LINE_BYTES = 1200 /* host, port, and RESOLVER_ADDRESSES_MAX addresses */
};

struct curl_transfer {
	struct transfer base;
	struct curl_engine *engine;
	CURL *easy;
	struct list flight;
	bool lost;
	size_t reply_bytes;
	bool answered; /* the reply's header is complete */
	struct relay_forward forward;
	struct curl_slist headers[HEADERS_MAX + FORWARDS_MAX];
	struct curl_slist addresses;
	char address_line[ADDRESS_LINE_BYTES];
	char error[CURL_ERROR_SIZE];
};

struct curl_engine {
	struct engine base;
	CURLM *multi; /* NULL: to be made for the next transfer */
	struct loop_timer timer;
	struct list flight; /* the transfers that libcurl has, the oldest first */
	struct curl_sockets sockets;
	int64_t distrusted_us; /* connections from before are not used again; 0: all are trusted */
	bool fresh; /* no answer has come since: what is as old as libcurl can tell is too old */
};

/* libcurl writes the key into each request's head, and leaves it in what it frees. */
static void wipe_and_free(void *memory)
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
		wipe_and_free(old);
	}
	return memory;
}

/* Left to itself, libcurl keeps a connection to which a request could not be written, and TLS then takes
 * the next request for the rest of that one, whose answer it gets (7.88: multi_done() in lib/multi.c).
 * So only what has answered is kept. */
static void set_answered(struct curl_transfer *transfer, bool answered)
{
	transfer->answered = answered;
	curl_easy_setopt(transfer->easy, CURLOPT_FORBID_REUSE, (long)!answered);
}

static size_t on_header(char *line, size_t size, size_t n, void *arg)
{
	struct curl_transfer *transfer = arg;

	n *= size;
	transfer->reply_bytes += n;
	if (transfer->reply_bytes > CONFIG_UPSTREAM_REPLY_MAX_BYTES)
		return 0;
	/* An interim reply (1xx) ends with a blank line too; the next status line undoes it. */
	if (n >= 5 && memcmp(line, "HTTP/", 5) == 0)
		set_answered(transfer, false);
	else if (n <= 2 && (line[0] == '\r' || line[0] == '\n'))
		set_answered(transfer, true);
	return n;
}

static size_t on_body(char *bytes, size_t size, size_t n, void *arg)
{
	struct curl_transfer *transfer = arg;

	(void)bytes;
	transfer->reply_bytes += size * n;
	return transfer->reply_bytes > CONFIG_UPSTREAM_REPLY_MAX_BYTES ? 0 : size * n;
}

/* libcurl sends again, without being asked, what a kept connection did not answer at all. */
static int on_request(void *arg, char *peer_ip, char *local_ip, int peer_port, int local_port)
{
	struct curl_transfer *transfer = arg;

	(void)peer_ip, (void)local_ip, (void)peer_port, (void)local_port;
	relay_count_attempt(&transfer->base);
	return CURL_PREREQFUNC_OK;
}

/* The options below cannot fail but for memory; the failures are added up. */
#define SET(option, value) failed |= curl_easy_setopt(easy, (option), (value)) != CURLE_OK

static bool set_connection_options(struct curl_engine *engine, CURL *easy)
{
	const struct config *config = engine->base.config;
	bool failed = !curl_sockets_equip(&engine->sockets, easy);

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

static bool set_request_options(struct curl_transfer *transfer, CURL *easy)
{
	bool failed = false;

	SET(CURLOPT_PRIVATE, transfer);
	SET(CURLOPT_ERRORBUFFER, transfer->error);
	SET(CURLOPT_POST, 1L);
	SET(CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
	SET(CURLOPT_FOLLOWLOCATION, 0L);
	SET(CURLOPT_USERAGENT, RELAY_USER_AGENT);
	SET(CURLOPT_BUFFERSIZE, (long)RECEIVE_BUFFER_BYTES);
	SET(CURLOPT_HEADERFUNCTION, on_header);
	SET(CURLOPT_HEADERDATA, transfer);
	SET(CURLOPT_WRITEFUNCTION, on_body);
	SET(CURLOPT_WRITEDATA, transfer);
	SET(CURLOPT_PREREQFUNCTION, on_request);
	SET(CURLOPT_PREREQDATA, transfer);
	return !failed;
}

static void free_transfer(struct transfer *base)
{
	struct curl_transfer *transfer = (struct curl_transfer *)base;

	curl_easy_cleanup(transfer->easy);
	free(transfer);
}

static struct transfer *new_transfer(struct engine *base)
{
	struct curl_engine *engine = (struct curl_engine *)base;
	struct curl_transfer *transfer = calloc(1, sizeof(*transfer));

	if (!transfer)
		return NULL;
	transfer->engine = engine;
	transfer->easy = curl_easy_init();
	if (transfer->easy && set_connection_options(engine, transfer->easy) &&
	    set_request_options(transfer, transfer->easy))
		return &transfer->base;
	free_transfer(&transfer->base);
	return NULL;
}

static enum relay_failure failure_of(CURLcode code, bool sent)
{
	switch (code) {
	case CURLE_OPERATION_TIMEDOUT:
		return sent ? RELAY_SILENT : RELAY_UNCONNECTED;
	case CURLE_PEER_FAILED_VERIFICATION:
	case CURLE_SSL_CACERT_BADFILE:
	case CURLE_SSL_ISSUER_ERROR:
	case CURLE_SSL_INVALIDCERTSTATUS:
		return RELAY_UNTRUSTED;
	default:
		return sent ? RELAY_BROKEN : RELAY_UNCONNECTED;
	}
}

static struct view read_header(CURL *easy, const char *name)
{
	struct curl_header *header;

	if (curl_easy_header(easy, name, 0, CURLH_HEADER, -1, &header) != CURLHE_OK)
		return (struct view){NULL, 0};
	return view_of(header->value);
}

static void take_back(struct curl_transfer *transfer)
{
	curl_multi_remove_handle(transfer->engine->multi, transfer->easy);
	list_remove(&transfer->flight);
}

static void end(struct curl_transfer *transfer, CURLcode code)
{
	struct answer *answer = &transfer->base.answer;
	long status = 0;

	take_back(transfer);
	if (transfer->answered)
		curl_easy_getinfo(transfer->easy, CURLINFO_RESPONSE_CODE, &status);
	/* An interim reply is none. */
	if (status >= 200) {
		transfer->engine->fresh = false;
		answer->status = (int)status;
		answer->retry_after = read_header(transfer->easy, "Retry-After");
		answer->session_status = read_header(transfer->easy, "X-Faro-Session-Status");
	} else {
		answer->failure = failure_of(code, transfer->base.attempts > 0);
		answer->reason = *transfer->error ? transfer->error : curl_easy_strerror(code);
	}
	transfer->engine->base.ended(&transfer->base);
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
		end(transfer, code);
	}
}

static struct curl_transfer *transfer_at(struct list *flight)
{
	return container_of(flight, struct curl_transfer, flight);
}

/* Whoever is told may begin the next transfer, which is not lost. */
static void lose_all(struct curl_engine *engine)
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
		end(transfer_at(flight->next), CURLE_OUT_OF_MEMORY);
}

static void act(struct curl_engine *engine, curl_socket_t fd, int events)
{
	int running;
	bool done = curl_multi_socket_action(engine->multi, fd, events, &running) == CURLM_OK;

	collect_finished(engine);
	if (!done)
		lose_all(engine);
}

static void on_socket_ready(struct curl_sockets *sockets, curl_socket_t fd, int events)
{
	act(container_of(sockets, struct curl_engine, sockets), fd, events);
}

static void on_timer_fired(struct loop_timer *timer)
{
	act(container_of(timer, struct curl_engine, timer), CURL_SOCKET_TIMEOUT, 0);
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

/* How old a kept connection may be: what was made before the retire_connections is not used again. */
static long connection_lifetime_s(const struct curl_engine *engine, int64_t now_us)
{
	int64_t trusted_s = (now_us - engine->distrusted_us) / 1000000;

	if (engine->distrusted_us == 0 || trusted_s >= CONNECTION_LIFETIME_S)
		return CONNECTION_LIFETIME_S;
	return trusted_s > 1 ? (long)trusted_s : 1; /* 0 would stand for "for ever" */
}

/* libcurl takes non-const text, and leaves it as it is. A header without a value is left out. */
static struct curl_slist *list_headers(struct curl_transfer *transfer)
{
	static char content_type[] = RELAY_CONTENT_TYPE,
		    no_accept[] = "Accept:", no_expect[] = "Expect:";
	const struct route *route = transfer->base.route;
	/* The list is built from its end. */
	char *fixed[HEADERS_MAX] = {route->key_line, route->tenant_line, no_expect, no_accept,
				    content_type};
	struct curl_slist *node = transfer->headers, *list = NULL;
	size_t i;

	relay_forward(&transfer->forward, transfer->base.call);
	for (i = 0; i < HEADERS_MAX + transfer->forward.count; i++) {
		char *line = i < HEADERS_MAX ? fixed[i] : transfer->forward.lines[i - HEADERS_MAX];

		if (!line)
			continue;
		*node = (struct curl_slist){.data = line, .next = list};
		list = node++;
	}
	return list;
}

/* "host:port:addr,[addr]"; what does not fit is left out whole. */
static struct curl_slist *list_addresses(struct curl_transfer *transfer)
{
	const struct config *config = transfer->engine->base.config;
	const struct resolver_addresses *addresses = &transfer->base.route->addresses;
	char *line = transfer->address_line;
	int used, n;
	size_t i;

	if (addresses->numeric)
		return NULL;
	used = snprintf(line, ADDRESS_LINE_BYTES, "%s:%u", config->upstream_host,
			config->upstream_port);
	for (i = 0; i < addresses->count && used < ADDRESS_LINE_BYTES; i++) {
		const struct resolver_address *address = &addresses->list[i];

		n = snprintf(line + used, (size_t)(ADDRESS_LINE_BYTES - used),
			     address->family == AF_INET6 ? "%c[%s]" : "%c%s", i == 0 ? ':' : ',',
			     address->text);
		if (n >= ADDRESS_LINE_BYTES - used)
			line[used] = '\0';
		used += n;
	}
	transfer->addresses = (struct curl_slist){.data = line};
	return &transfer->addresses;
}

/* Hands the call to the easy handle, which has everything else from its last one. */
static bool prepare(struct curl_transfer *transfer)
{
	const struct transfer *base = &transfer->base;
	const struct relay_call *call = base->call;
	CURL *easy = transfer->easy;
	bool failed = false;

	SET(CURLOPT_HTTPHEADER, list_headers(transfer));
	SET(CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)call->body.len);
	/* NULL would make libcurl read the standard input. */
	SET(CURLOPT_POSTFIELDS, call->body.len > 0 ? call->body.ptr : "");
	SET(CURLOPT_FRESH_CONNECT, (long)transfer->engine->fresh);
	SET(CURLOPT_MAXLIFETIME_CONN, connection_lifetime_s(transfer->engine, base->started_us));
	SET(CURLOPT_RESOLVE, list_addresses(transfer));
	return !failed;
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

static bool start(struct engine *base, struct transfer *base_transfer)
{
	struct curl_engine *engine = (struct curl_engine *)base;
	struct curl_transfer *transfer = (struct curl_transfer *)base_transfer;

	transfer->reply_bytes = 0;
	set_answered(transfer, false);
	transfer->lost = false;
	transfer->error[0] = '\0';
	if (prepare(transfer) && (engine->multi || set_up_multi(engine)) &&
	    curl_multi_add_handle(engine->multi, transfer->easy) == CURLM_OK) {
		list_add(&engine->flight, &transfer->flight);
		return true;
	}
	base_transfer->answer.failure = RELAY_UNCONNECTED;
	base_transfer->answer.reason = "There is no memory";
	return false;
}

static void cancel(struct engine *base, struct transfer *transfer)
{
	(void)base;
	take_back((struct curl_transfer *)transfer);
}

static void retire_connections(struct engine *base, int64_t now_us)
{
	struct curl_engine *engine = (struct curl_engine *)base;

	engine->distrusted_us = now_us;
	engine->fresh = true;
}

static void free_engine(struct engine *base)
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
		free_engine, new_transfer, free_transfer, start, cancel, retire_connections};
	struct curl_engine *engine = calloc(1, sizeof(*engine));

	if (!engine)
		return NULL;
	/* Libraries of TLS take milliseconds to set up, and memory; http:// does without. Threads
	 * may do this at the same time, and each is counted. */
	if (curl_global_init_mem(CURL_GLOBAL_ALL, malloc, wipe_and_free, reallocate, strdup,
				 calloc) != CURLE_OK)
		goto fail;
	engine->base = (struct engine){&operations, loop, config, ended};
	engine->timer.fire = on_timer_fired;
	list_init(&engine->flight);
	curl_sockets_init(&engine->sockets, loop, (unsigned)config->upstream_timeout_ms,
			  on_socket_ready);
	if (!set_up_multi(engine)) {
		curl_global_cleanup();
		goto fail;
	}
	loop_timer_add(loop, &engine->timer);
	return &engine->base;
fail:
	free(engine);
	return NULL;
}
