/* SPDX-License-Identifier: Apache-2.0 */
/*
 * accept: which format of the metrics a client wants.
 */
#ifndef FARO_INGEST_ACCEPT_H
#define FARO_INGEST_ACCEPT_H

#include <stdbool.h>

#include "base/buf.h"

/* Of a value of Accept (RFC 9110, 12.5.1): OpenMetrics 1.0.0 is named in it, and plain text is not
 * preferred to it. Wildcards ask for plain text, as everything did before. */
bool accept_prefers_openmetrics(struct view accept);

#endif
