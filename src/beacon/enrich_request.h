/* SPDX-License-Identifier: Apache-2.0 */
/*
 * enrich_request: the pieces of JSON for one beacon, where some of them have values of its request.
 *
 * They are made when the whole body was read, since a page may say at its end that its location is
 * not to be known. Edits refer to them by the indexes of enrich_fragments.h.
 */
#ifndef FARO_BEACON_ENRICH_REQUEST_H
#define FARO_BEACON_ENRICH_REQUEST_H

#include "beacon/enrich.h"
#include "beacon/enrich_fragments.h"

struct enrich_request {
	/* Kept from one beacon to the next. Values have a maximum, so it has one, too: less than
	 * 256 KiB. */
	struct buf text;
	struct view views[ENRICH_FRAGMENTS];
};

void enrich_request_init(struct enrich_request *request);
void enrich_request_release(struct enrich_request *request);

/* The texts of `app` with these facts, but those that are a location where `no_location` is set.
 * NULL without memory. They are valid until the next call. */
const struct view *enrich_request_texts(struct enrich_request *request, const struct labels *labels,
					const struct enrich_fragments *texts, size_t app,
					const struct request_facts *facts, bool no_location);

#endif
