/*
 * relay_sockets: libcurl's sockets in our loop, without an epoll_ctl(2) for each request.
 *
 * libcurl asks for a socket to be watched when a request begins on it and to be forgotten when it
 * ends. A kept connection would so cost two system calls a beacon; here it stays in the set, for
 * reading, as long as it lives.
 *
 *	relay_sockets_init → relay_sockets_attach (multi), relay_sockets_equip (each easy handle)
 *	→ curl_multi_cleanup() → relay_sockets_release
 */
#ifndef FARO_RELAY_SOCKETS_H
#define FARO_RELAY_SOCKETS_H

#include <curl/curl.h>
#include <stddef.h>

#include "loop.h"

struct relay_socket;

struct relay_sockets {
	struct loop *loop;
	unsigned user_timeout_ms; /* TCP_USER_TIMEOUT of each connection */
	/* Something for curl_multi_socket_action(); `events` is its CURL_CSELECT_* mask. */
	void (*ready)(struct relay_sockets *sockets, curl_socket_t fd, int events);
	struct relay_socket **by_fd;
	size_t count;
};

void relay_sockets_init(struct relay_sockets *sockets, struct loop *loop, unsigned user_timeout_ms,
			void (*ready)(struct relay_sockets *, curl_socket_t, int));
void relay_sockets_release(struct relay_sockets *sockets);

void relay_sockets_attach(struct relay_sockets *sockets, CURLM *multi);
/* False if libcurl has no memory. */
bool relay_sockets_equip(struct relay_sockets *sockets, CURL *easy);

#endif
