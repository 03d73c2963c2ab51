/* SPDX-License-Identifier: Apache-2.0 */
/*
 * check_client: HTTP exchanges with the receiver, each on a connection of its own, with the headers
 * and timeouts of the relay. Private to check.
 *
 * Of a reply the first CHECK_REPLY_MAX_BYTES are kept, and the rest is not read. A body is made
 * while it is sent, so that memory does not depend on its length.
 */
#ifndef FARO_CHECK_CLIENT_H
#define FARO_CHECK_CLIENT_H

#include <curl/curl.h>

#include "check/finding.h"
#include "config/config.h"

enum {
	CHECK_REPLY_MAX_BYTES = 200 /* enough to print it and to recognise a server */
};

struct check_client {
	const struct config *config;
	CURL *curl;
	struct curl_slist *headers;
	const char *key; /* in `headers`; NULL: none */
	struct curl_slist *connect_to;

	/* Of the last exchange. */
	struct check_exchange exchange;
	char error[CURL_ERROR_SIZE];
	char reply[CHECK_REPLY_MAX_BYTES + 1]; /* NUL-terminated */
	size_t reply_len;
};

/* head, then as many blanks, then tail; `at` is for the client. */
struct check_body {
	struct view head, tail;
	size_t blanks, at;
};

/* False without memory. To be released in any case. */
bool check_client_init(struct check_client *client, const struct config *config);
void check_client_release(struct check_client *client);

/* To FARO_UPSTREAM_URL, with key and tenant. A reply that quotes the key is cut off there. */
enum check_finding check_client_post(struct check_client *client, struct check_body *body);
/* To FARO_PATH behind --through, as a browser would: without key and tenant, and with any
 * certificate, since nothing secret is sent. False without memory. */
bool check_client_post_through(struct check_client *client, struct check_body *body);
/* /-/ready of the same host and port. True if there was an HTTP reply. */
bool check_client_get_ready(struct check_client *client, const char *scheme);
/* Whether the port speaks TLS, with any certificate: nothing is sent on that connection. */
bool check_client_speaks_tls(struct check_client *client);

long check_client_took_ms(struct check_client *client);
/* The target of a redirect, NULL: there was none. Valid until the next exchange. */
const char *check_client_redirect(struct check_client *client);

#endif
