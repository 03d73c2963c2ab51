/* SPDX-License-Identifier: Apache-2.0 */
#include "beacon/dedup_hash.h"

#include "build-config.h"

/* The same functions, chosen at run time by what the processor has, and the same hash. */
#ifdef HAVE_XXHASH_DISPATCH
#include <xxh_x86dispatch.h>
#else
#include <xxhash.h>
#endif

struct dedup_hash dedup_hash(struct view key, struct view body)
{
	struct dedup_hash hash;
	XXH128_canonical_t canonical;

	XXH128_canonicalFromHash(&canonical, XXH3_128bits_withSeed(body.ptr, body.len,
								   XXH3_64bits(key.ptr, key.len)));
	memcpy(hash.bytes, canonical.digest, sizeof(hash.bytes));
	return hash;
}

bool dedup_hash_is_empty(const struct dedup_hash *hash)
{
	static const struct dedup_hash empty;

	return memcmp(hash, &empty, sizeof(empty)) == 0;
}
