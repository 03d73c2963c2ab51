/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sink_payload: a beacon's JSON as the receiver's Go structs would hold it.
 *
 * sink_http parses with it, sink_lines reads the result. Known names are folded as Go folds them,
 * unknown ones dropped, repeated objects merged, types checked; what is left is a cJSON tree whose
 * names are the canonical ones.
 */
#ifndef FARO_SINK_PAYLOAD_H
#define FARO_SINK_PAYLOAD_H

#include <cjson/cJSON.h>

#include "base/buf.h"

enum sink_kind {
	SINK_LOG,
	SINK_EXCEPTION,
	SINK_EVENT,
	SINK_MEASUREMENT,
	SINK_SPAN,
	SINK_KINDS
};

struct payload {
	cJSON *root; /* never NULL after a success */
	size_t counts[SINK_KINDS];
};

/* False with a text in `problem` (of PROBLEM_MAX bytes) where the receiver would answer 400; the
 * payload needs no release then. */
#define PROBLEM_MAX 128
bool payload_parse(struct payload *payload, struct view body, char problem[PROBLEM_MAX]);
void payload_release(struct payload *payload);

#endif
