/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sink_spans: the beacon's `traces`, checked and printed.
 *
 * The receiver passes spans on as OTLP and prints none; the line is our own. Names are read as the
 * receiver's OTLP decoder does: exact case, camelCase and snake_case, repeats of lists appended.
 */
#ifndef FARO_SINK_SPANS_H
#define FARO_SINK_SPANS_H

#include <cjson/cJSON.h>

#include "base/buf.h"

/* False where a known field has a type that the decoder refuses. */
bool spans_check(const cJSON *traces);
/* `traces` may be NULL; it must have passed spans_check(). */
size_t spans_count(const cJSON *traces);
/* A line a span. False when the buffer cannot grow; whole lines only are left in it. */
bool spans_write(struct buf *out, const cJSON *traces);

#endif
