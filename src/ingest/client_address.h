/* SPDX-License-Identifier: Apache-2.0 */
/*
 * client_address: the address of a client as nginx tells it, written in one form (RFC 5952), in full
 * or masked.
 *
 * Masked means that only the first bits are left. It says less, and is still an address of somebody:
 * it is never called anonymous. An IPv4 address that is mapped into IPv6 counts, and is written, as
 * IPv4; of one that is inside an address of 6to4 or NAT64, no more bits stay than of any IPv4 address.
 */
#ifndef FARO_INGEST_CLIENT_ADDRESS_H
#define FARO_INGEST_CLIENT_ADDRESS_H

#include "base/buf.h"
#include "config/config.h"

enum {
	CLIENT_ADDRESS_BYTES = 40 /* of the longest, with a NUL */
};

/* Writes the address that `text` is, and a NUL, and returns its length; 0: it is no address. `mask`
 * may be NULL: in full. */
size_t client_address_print(struct view text, const struct address_mask *mask,
			    char out[CLIENT_ADDRESS_BYTES]);

#endif
