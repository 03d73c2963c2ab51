/*
 * relay_headers: what a request to the receiver carries besides its body, in libcurl's own lists.
 *
 * A route is what all calls share and what may change while they run: the addresses and the API
 * key. It is made anew rather than changed, and counted, since a transfer may read it until it
 * ends. A forward is the part of one call; its list continues in the route's.
 */
#ifndef FARO_RELAY_HEADERS_H
#define FARO_RELAY_HEADERS_H

#include <curl/curl.h>
#include <stdbool.h>
#include <stdint.h>

#include "relay.h"
#include "resolver.h"

enum {
	ROUTE_HEADERS_MAX = 5,
	FORWARDS_MAX = 3,
	FORWARDED_MAX_BYTES = 128, /* of a value */
};

struct relay_route {
	unsigned holders;
	unsigned serial;     /* given by the maker */
	unsigned generation; /* of the resolver; 0: there is no address */
	int64_t made_us;
	struct curl_slist *headers;  /* for CURLOPT_HTTPHEADER; libcurl only reads it */
	struct curl_slist addresses; /* for CURLOPT_RESOLVE, if its text is not empty */

	struct curl_slist nodes[ROUTE_HEADERS_MAX];
	char *tenant_line, *key_line; /* NULL: none */
	char address_line[RESOLVER_LINE_BYTES];
};

/* Held once. `tenant` may be NULL, `key` empty. NULL without memory. */
struct relay_route *relay_route_new(struct resolver *resolver, const char *tenant, struct view key);
struct relay_route *relay_route_hold(struct relay_route *route);
/* The last one wipes the key; NULL is allowed. */
void relay_route_drop(struct relay_route *route);

struct relay_forward {
	struct curl_slist nodes[FORWARDS_MAX];
	char lines[FORWARDS_MAX][FORWARDED_MAX_BYTES + 32];
};

/* Prints the client's headers that are well-formed and returns the list that begins with them. */
struct curl_slist *relay_forward(struct relay_forward *forward, const struct relay_call *call,
				 struct curl_slist *rest);

#endif
