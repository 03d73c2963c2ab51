/* SPDX-License-Identifier: Apache-2.0 */
/*
 * resolver: keeps the upstream's addresses fresh, so that no loop ever resolves a name.
 *
 * One thread calls getaddrinfo(3) at once, then every few seconds (resolver.c states the period),
 * and sooner when resolver_refresh() says that a connection failed. After a failed lookup the last
 * addresses stay. A numeric host is checked once and needs no thread.
 */
#ifndef FARO_UPSTREAM_RESOLVER_H
#define FARO_UPSTREAM_RESOLVER_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* More addresses than this are cut off. */
enum {
	RESOLVER_ADDRESSES_MAX = 16
};

struct resolver_address {
	int family;                  /* AF_INET or AF_INET6 */
	char text[INET6_ADDRSTRLEN]; /* numeric, without brackets */
};

struct resolver_addresses {
	struct resolver_address list[RESOLVER_ADDRESSES_MAX];
	size_t count;
	size_t preferred; /* the first so many are of the family that getaddrinfo() puts first */
	bool numeric;     /* the host is an address itself */
};

struct resolver;

/* NULL without memory or thread (errno). `host` without brackets; copied. */
struct resolver *resolver_new(const char *host, uint16_t port);
/* Does not wait for a getaddrinfo() that is under way (it may block for long): the thread is left
 * to end by itself and frees what it holds. */
void resolver_free(struct resolver *resolver);

/* Waits until a first lookup ended, well or badly, at most timeout_ms. True: there are addresses.
 */
bool resolver_wait(struct resolver *resolver, int64_t timeout_ms);

/* Increases with every change of the addresses; 0: none are known yet. Cheap: one atomic load. */
unsigned resolver_generation(struct resolver *resolver);

/*
 * Copies the present addresses and returns the generation that they belong to; 0 where none are
 * known. Each reading begins with another one (of the family that is preferred), so that
 * connections made after different readings spread over them.
 */
unsigned resolver_read(struct resolver *resolver, struct resolver_addresses *addresses);

/* Why there are none: gai_strerror text of the last failed lookup, NULL after a good one. */
const char *resolver_error(struct resolver *resolver);

/* Asks for a lookup now, or a second after the last one began. Never blocks. */
void resolver_refresh(struct resolver *resolver);

#endif
