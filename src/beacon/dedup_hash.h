/* SPDX-License-Identifier: Apache-2.0 */
/*
 * dedup_hash: by what the same beacon is known when it comes again (delivery/dedup.h).
 *
 * It is made of the Idempotency-Key and of the body as it was received, without its coding: what is
 * stamped depends on the request, and a retry may come from another address.
 */
#ifndef FARO_BEACON_DEDUP_HASH_H
#define FARO_BEACON_DEDUP_HASH_H

#include "base/buf.h"

enum {
	DEDUP_HASH_BYTES = 16,
};

/* All zero: the beacon has no key. */
struct dedup_hash {
	unsigned char bytes[DEDUP_HASH_BYTES];
};

/* The same in every process of this version, since the spool keeps it. */
struct dedup_hash dedup_hash(struct view key, struct view body);
bool dedup_hash_is_empty(const struct dedup_hash *hash);

#endif
