/* SPDX-License-Identifier: Apache-2.0 */
/*
 * traceparent: the header of W3C Trace Context that says which trace a request belongs to.
 */
#ifndef FARO_BASE_TRACEPARENT_H
#define FARO_BASE_TRACEPARENT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"

/* As numbers, so that nothing but 32 hexadecimal digits can ever be printed for it. Both 0: there
 * is no trace. */
struct trace_id {
	uint64_t high, low;
};

bool traceparent_is_valid(struct view value);
/* The trace, if the header is valid and says that the trace is sampled: of any other one there is
 * nothing to look at. */
struct trace_id traceparent_sampled(struct view value);

#endif
