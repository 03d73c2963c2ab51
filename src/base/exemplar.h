/* SPDX-License-Identifier: Apache-2.0 */
/*
 * exemplar: the last observation of a histogram's bucket that belongs to a trace.
 *
 * Any thread may write and read. Nobody waits: where two write at once, one of them is left out,
 * and a reader that meets a writer has no exemplar this time. A slot of zeros is empty.
 */
#ifndef FARO_BASE_EXEMPLAR_H
#define FARO_BASE_EXEMPLAR_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/traceparent.h"

struct exemplar {
	struct trace_id trace;
	int64_t value_us;
	int64_t time_ms; /* of the wall clock */
};

struct exemplar_slot {
	_Atomic uint64_t version; /* odd while somebody writes */
	_Atomic uint64_t high, low;
	_Atomic int64_t value_us, time_ms;
};

void exemplar_set(struct exemplar_slot *slot, const struct exemplar *exemplar);
/* False: there is none, or it is being written. */
bool exemplar_get(struct exemplar_slot *slot, struct exemplar *exemplar);

#endif
