/* SPDX-License-Identifier: Apache-2.0 */
/*
 * engine_curl_sockets: libcurl's sockets in our loop, without an epoll_ctl(2) for each request.
 *
 * libcurl asks for a socket to be watched when a request begins on it and to be forgotten when it
 * ends. A kept connection would so cost two system calls a beacon; here it stays in the set, for
 * reading, as long as it lives.
 *
 *	curl_sockets_init → curl_sockets_attach (multi), curl_sockets_equip (each easy handle)
 *	→ curl_multi_cleanup() → curl_sockets_release
 */
#ifndef FARO_UPSTREAM_ENGINE_CURL_SOCKETS_H
#define FARO_UPSTREAM_ENGINE_CURL_SOCKETS_H

#include <curl/curl.h>
#include <stddef.h>

#include "base/loop.h"

struct curl_socket;

struct curl_sockets {
	struct loop *loop;
	unsigned user_timeout_ms; /* TCP_USER_TIMEOUT of each connection */
	/* Something for curl_multi_socket_action(); `events` is its CURL_CSELECT_* mask. */
	void (*ready)(struct curl_sockets *sockets, curl_socket_t fd, int events);
	struct curl_socket **by_fd;
	size_t count;
};

void curl_sockets_init(struct curl_sockets *sockets, struct loop *loop, unsigned user_timeout_ms,
		       void (*ready)(struct curl_sockets *, curl_socket_t, int));
void curl_sockets_release(struct curl_sockets *sockets);

void curl_sockets_attach(struct curl_sockets *sockets, CURLM *multi);
/* False if libcurl has no memory. */
bool curl_sockets_equip(struct curl_sockets *sockets, CURL *easy);
/* The socket on which libcurl waits for this transfer, or CURL_SOCKET_BAD. Looks through all. */
curl_socket_t curl_sockets_find(const struct curl_sockets *sockets, CURL *easy);

#endif
