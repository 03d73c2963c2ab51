/*
 * resolver: keeps the upstream's addresses fresh, so that no loop ever resolves a name.
 *
 * One thread calls getaddrinfo(3) at once, then every few seconds (resolver.c states the period),
 * and sooner when resolver_hurry() says that a connection failed. What it finds is published as one
 * immutable text; after a failed lookup the last addresses stay. A numeric host is checked once and
 * needs no thread.
 */
#ifndef FARO_RESOLVER_H
#define FARO_RESOLVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* More addresses than this are cut off; a line of RESOLVER_LINE_BYTES holds all of them. */
enum {
	RESOLVER_ADDRESSES_MAX = 16,
	RESOLVER_LINE_BYTES = 1200
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

/* Counts up with every change of the addresses; 0: none are known yet. Cheap: one atomic load. */
unsigned resolver_generation(struct resolver *resolver);

/*
 * Copies the present "host:port:addr,[addr]" line for CURLOPT_RESOLVE, NUL-terminated, and returns
 * the generation that it belongs to; 0 and "" where none are known. Each reading begins with
 * another of the addresses (of the family that getaddrinfo() prefers), so that connections made
 * after different readings spread over them. A numeric host's line is "": there is nothing to look
 * up.
 */
unsigned resolver_read(struct resolver *resolver, char *line, size_t size);

/* Why there are none: gai_strerror text of the last failed lookup, NULL after a good one. */
const char *resolver_error(struct resolver *resolver);

/* Asks for a lookup now, or a second after the last one began. Never blocks. */
void resolver_hurry(struct resolver *resolver);

#endif
