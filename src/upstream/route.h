/* SPDX-License-Identifier: Apache-2.0 */
/*
 * route: what a request to the upstream carries besides its body.
 *
 * A route is what all calls share and what may change while they run: the addresses and the API
 * key. It is replaced rather than changed, and has a reference count, since a transfer may read it
 * until it ends. The forwarded lines are those of one call.
 */
#ifndef FARO_UPSTREAM_ROUTE_H
#define FARO_UPSTREAM_ROUTE_H

#include <stdbool.h>
#include <stdint.h>

#include "build-config.h"
#include "config/config.h"
#include "upstream/relay.h"
#include "upstream/resolver.h"

enum {
	FORWARDED_LINES_MAX = 4,
	FORWARDED_LINE_BYTES = FORWARDED_MAX_BYTES + 32,
};

#define RELAY_USER_AGENT   "faro-ingest/" PACKAGE_VERSION
#define RELAY_CONTENT_TYPE "Content-Type: application/json"

struct route {
	unsigned references;
	unsigned generation; /* of the resolver; 0: there is no address */
	unsigned begun;      /* connections on it, so that each begins with another address */
	int64_t made_us;
	struct resolver_addresses addresses;
	char *tenant_line, *key_line; /* without their end; NULL: none */
	char *head;                   /* the request line and all header lines that calls share */
	size_t head_len;
};

/* With one reference. `key` may be empty. NULL without memory. */
struct route *route_new(struct resolver *resolver, const struct config *config, struct view key);
struct route *route_hold(struct route *route);
/* The last reference wipes the key. NULL is allowed. */
void route_drop(struct route *route);

struct forwarded_lines {
	size_t count;
	size_t lens[FORWARDED_LINES_MAX];
	char lines[FORWARDED_LINES_MAX]
		  [FORWARDED_LINE_BYTES]; /* NUL-terminated, without their end */
};

/* Prints the client's headers, and its address, that are well-formed. */
void route_print_forwarded(struct forwarded_lines *forwarded, const struct relay_call *call);

#endif
