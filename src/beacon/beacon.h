/* SPDX-License-Identifier: Apache-2.0 */
/*
 * beacon: what is known of a beacon beside its bytes, from the front end to the upstream and the
 * spool.
 */
#ifndef FARO_BEACON_BEACON_H
#define FARO_BEACON_BEACON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"

enum {
	FORWARDED_MAX_BYTES = 128, /* of a value; a longer one is not forwarded */
};

/* What goes upstream of the client's headers, and its address; each is forwarded only if it is
 * well-formed (route.c). ptr NULL: there is none. */
struct forwarded_headers {
	struct view session_id, idempotency_key, traceparent;
	struct view client_address; /* as X-Forwarded-For; it is not the client's word */
};

/* How many items a beacon has, by kind, and what was changed in it. */
struct beacon_counts {
	uint32_t logs, exceptions, events, measurements, spans;
	uint32_t spoofed;   /* claims about labels that were replaced or removed */
	uint32_t bad_spans; /* removed for their ids; not among `spans` */
	bool no_location;   /* its page wants nobody to know where it is */

	/* What the operator's settings left out (config/privacy.h); no item of it is counted above.
	 */
	uint32_t extension_errors, dropped_errors, dropped_fields;
	size_t redactions;
	bool left_out; /* the last item, too: nothing is left to relay */
};

/* Counts the items of a beacon that the upstream took. */
void beacon_count_items(const struct beacon_counts *counts);

#endif
