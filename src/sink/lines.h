/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sink_lines: a beacon's items as the logfmt lines that the receiver would send to the log store.
 */
#ifndef FARO_SINK_LINES_H
#define FARO_SINK_LINES_H

#include "sink/payload.h"

/* Appends a line an item, in the receiver's order: logs, exceptions, measurements, events, then our
 * lines for the spans. False when `out` reached its maximum: it then holds the whole lines before.
 */
bool lines_write(struct buf *out, const struct payload *payload);

#endif
