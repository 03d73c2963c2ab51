/* SPDX-License-Identifier: Apache-2.0 */
/*
 * verdict: what may become of a request. The modules below `ingest` return one of these; what each
 * of them means to the browser and to the operator is a row of base/verdict_list.h.
 *
 * VERDICT_OK is none of the ends: nothing is wrong so far, and the next stage follows.
 */
#ifndef FARO_BEACON_VERDICT_H
#define FARO_BEACON_VERDICT_H

enum verdict {
#define PLAIN_VERDICT(name, ...)    VERDICT_##name,
#define PROMISE_VERDICT(name, ...)  VERDICT_##name,
#define BROWSER_VERDICT(name, ...)  VERDICT_##name,
#define UPSTREAM_VERDICT(name, ...) VERDICT_UPSTREAM_##name,
#define OWN_VERDICT(name, ...)      VERDICT_##name,
#include "base/verdict_list.h"
	VERDICT_COUNT
};

#endif
