/* SPDX-License-Identifier: Apache-2.0 */
/*
 * engine_curl_transfer: one easy handle of libcurl. Its options are set once; each call gives it a
 * body, headers and addresses, and its end is read from it.
 *
 *	curl_transfer_new → (curl_transfer_prepare → libcurl → curl_transfer_read_answer)*
 *	→ curl_transfer_free
 */
#ifndef FARO_UPSTREAM_ENGINE_CURL_TRANSFER_H
#define FARO_UPSTREAM_ENGINE_CURL_TRANSFER_H

#include <curl/curl.h>

#include "base/list.h"
#include "upstream/engine.h"
#include "upstream/engine_curl_sockets.h"

enum {
	CURL_HEADERS_MAX = 5,          /* besides the forwarded ones */
	CURL_ADDRESS_LINE_BYTES = 1200 /* host, port, and RESOLVER_ADDRESSES_MAX addresses */
};

struct curl_engine;

struct curl_transfer {
	struct transfer base;
	struct curl_engine *engine;
	const struct config *config;
	CURL *easy;
	struct list flight; /* the engine's */
	bool lost;          /* the same */
	bool looked_at;     /* the same: past its deadline */
	size_t reply_bytes;
	bool answered; /* the reply's header is complete */
	struct forwarded_lines forwarded;
	struct curl_slist headers[CURL_HEADERS_MAX + FORWARDED_LINES_MAX];
	struct curl_slist addresses;
	char address_line[CURL_ADDRESS_LINE_BYTES];
	char error[CURL_ERROR_SIZE];
};

/* NULL without memory. */
struct curl_transfer *curl_transfer_new(struct curl_engine *engine, const struct config *config,
					struct curl_sockets *sockets);
void curl_transfer_free(struct curl_transfer *transfer);

/* For the call that it has been given. With `fresh` no kept connection is used, and none that is
 * older than `lifetime_s` in any case. False without memory. */
bool curl_transfer_prepare(struct curl_transfer *transfer, bool fresh, long lifetime_s);

/* Fills in the answer; `code` is libcurl's. */
void curl_transfer_read_answer(struct curl_transfer *transfer, CURLcode code);

#endif
