/*
 * sink_hash: XXH3 (64 bits, no seed), which the receiver prints of an exception's value.
 */
#ifndef FARO_SINK_HASH_H
#define FARO_SINK_HASH_H

#include <stdint.h>

#include "buf.h"

uint64_t sink_hash(struct view bytes);

#endif
