/* SPDX-License-Identifier: Apache-2.0 */
#include "upstream/engine_curl_transfer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	RECEIVE_BUFFER_BYTES = 2048,
	/* libcurl's least. With its 64 KiB, 256 transfers in flight took 16 MiB more than the chart's
	 * 64 MiB have. */
	SEND_BUFFER_BYTES = 16384,
	CA_CACHE_S = 300, /* a renewed CA file counts after this */
};

/* --- what libcurl calls ------------------------------------------------------------------------*/

/* Left to itself, libcurl keeps a connection to which a request could not be written, and TLS then
 * takes the next request for the rest of that one, whose answer it gets (7.88: multi_done() in
 * lib/multi.c). So only what has answered is kept. */
static void set_answered(struct curl_transfer *transfer, bool answered)
{
	transfer->answered = answered;
	curl_easy_setopt(transfer->easy, CURLOPT_FORBID_REUSE, (long)!answered);
}

static size_t on_header_line(char *line, size_t size, size_t n, void *arg)
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
	transfer_count_attempt(&transfer->base);
	return CURL_PREREQFUNC_OK;
}

/* --- options -----------------------------------------------------------------------------------*/

/* The options below cannot fail but for memory; the failures are added up. */
#define SET(option, value) failed |= curl_easy_setopt(easy, (option), (value)) != CURLE_OK

static bool set_connection_options(CURL *easy, const struct config *config,
				   struct curl_sockets *sockets)
{
	bool failed = !curl_sockets_equip(sockets, easy);

	SET(CURLOPT_PROTOCOLS_STR, "http,https");
	SET(CURLOPT_URL, config->upstream_url);
	SET(CURLOPT_PROXY, "");
	SET(CURLOPT_NOSIGNAL, 1L);
	SET(CURLOPT_DNS_CACHE_TIMEOUT, -1L);
	SET(CURLOPT_CONNECTTIMEOUT_MS, (long)config->upstream_connect_timeout_ms);
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
	SET(CURLOPT_UPLOAD_BUFFERSIZE, (long)SEND_BUFFER_BYTES);
	SET(CURLOPT_HEADERFUNCTION, on_header_line);
	SET(CURLOPT_HEADERDATA, transfer);
	SET(CURLOPT_WRITEFUNCTION, on_body);
	SET(CURLOPT_WRITEDATA, transfer);
	SET(CURLOPT_PREREQFUNCTION, on_request);
	SET(CURLOPT_PREREQDATA, transfer);
	return !failed;
}

struct curl_transfer *curl_transfer_new(struct curl_engine *engine, const struct config *config,
					struct curl_sockets *sockets)
{
	struct curl_transfer *transfer = calloc(1, sizeof(*transfer));

	if (!transfer)
		return NULL;
	transfer->engine = engine;
	transfer->config = config;
	transfer->easy = curl_easy_init();
	if (transfer->easy && set_connection_options(transfer->easy, config, sockets) &&
	    set_request_options(transfer, transfer->easy))
		return transfer;
	curl_transfer_free(transfer);
	return NULL;
}

void curl_transfer_free(struct curl_transfer *transfer)
{
	curl_easy_cleanup(transfer->easy);
	free(transfer);
}

/* --- a call ------------------------------------------------------------------------------------*/

/* libcurl takes non-const text, and leaves it as it is. A header without a value is left out. */
static struct curl_slist *list_headers(struct curl_transfer *transfer)
{
	static char content_type[] = RELAY_CONTENT_TYPE,
		    no_accept[] = "Accept:", no_expect[] = "Expect:";
	const struct route *route = transfer->base.route;
	/* The list is built from its end. */
	char *fixed[CURL_HEADERS_MAX] = {route->key_line, route->tenant_line, no_expect, no_accept,
					 content_type};
	struct curl_slist *node = transfer->headers, *list = NULL;
	size_t i;

	route_print_forwarded(&transfer->forwarded, transfer->base.call);
	for (i = 0; i < CURL_HEADERS_MAX + transfer->forwarded.count; i++) {
		char *line = i < CURL_HEADERS_MAX ? fixed[i]
						  : transfer->forwarded.lines[i - CURL_HEADERS_MAX];

		if (!line)
			continue;
		*node = (struct curl_slist){.data = line, .next = list};
		list = node++;
	}
	return list;
}

/* "host:port:addr,[addr]", with the host as the URL has it, so without a dot at its end; what does
 * not fit is left out whole. */
static struct curl_slist *list_addresses(struct curl_transfer *transfer)
{
	const struct config *config = transfer->config;
	const struct resolver_addresses *addresses = &transfer->base.route->addresses;
	char *line = transfer->address_line;
	int used, n, host_len = (int)strlen(config->upstream_host);
	size_t i;

	if (addresses->numeric)
		return NULL;
	if (config->upstream_host[host_len - 1] == '.')
		host_len--;
	used = snprintf(line, CURL_ADDRESS_LINE_BYTES, "%.*s:%u", host_len, config->upstream_host,
			config->upstream_port);
	for (i = 0; i < addresses->count && used < CURL_ADDRESS_LINE_BYTES; i++) {
		const struct resolver_address *address = &addresses->list[i];

		n = snprintf(line + used, (size_t)(CURL_ADDRESS_LINE_BYTES - used),
			     address->family == AF_INET6 ? "%c[%s]" : "%c%s", i == 0 ? ':' : ',',
			     address->text);
		if (n >= CURL_ADDRESS_LINE_BYTES - used)
			line[used] = '\0';
		used += n;
	}
	transfer->addresses = (struct curl_slist){.data = line};
	return &transfer->addresses;
}

bool curl_transfer_prepare(struct curl_transfer *transfer, bool fresh, long lifetime_s)
{
	const struct relay_call *call = transfer->base.call;
	CURL *easy = transfer->easy;
	bool failed = false;

	transfer->reply_bytes = 0;
	set_answered(transfer, false);
	transfer->error[0] = '\0';
	SET(CURLOPT_HTTPHEADER, list_headers(transfer));
	SET(CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)call->body.len);
	/* NULL would make libcurl read the standard input. */
	SET(CURLOPT_POSTFIELDS, call->body.len > 0 ? call->body.ptr : "");
	SET(CURLOPT_FRESH_CONNECT, (long)fresh);
	SET(CURLOPT_MAXLIFETIME_CONN, lifetime_s);
	SET(CURLOPT_RESOLVE, list_addresses(transfer));
	return !failed;
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
	case CURLE_UNSUPPORTED_PROTOCOL:
		/* It is taken for HTTP/0.9. */
		return RELAY_NOT_HTTP;
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

void curl_transfer_read_answer(struct curl_transfer *transfer, CURLcode code)
{
	struct answer *answer = &transfer->base.answer;
	long status = 0;

	if (transfer->answered)
		curl_easy_getinfo(transfer->easy, CURLINFO_RESPONSE_CODE, &status);
	/* An interim reply is none. */
	if (status >= 200) {
		answer->status = (int)status;
		answer->retry_after = read_header(transfer->easy, "Retry-After");
		answer->session_status = read_header(transfer->easy, "X-Faro-Session-Status");
	} else {
		answer->failure = failure_of(code, transfer->base.attempts > 0);
		answer->reason = *transfer->error ? transfer->error : curl_easy_strerror(code);
	}
}
