/* SPDX-License-Identifier: Apache-2.0 */
/*
 * origin: which pages may send, and what the browser of a page elsewhere is told about it.
 *
 * Only a browser can be held off this way. It says in Sec-Fetch-Site, else in Origin, where a page
 * is from; what says neither is no browser of today, and is let in.
 */
#ifndef FARO_INGEST_ORIGIN_H
#define FARO_INGEST_ORIGIN_H

#include "config/config.h"
#include "ingest/request.h"

/* True for the pages of FARO_ALLOWED_ORIGINS, for those of the request's own host, and for requests
 * that name no page. */
bool origin_may_send(const struct config *config, const struct request *request);

/* Sets what the reply says to a page of another origin (CORS), whatever the reply will be. */
void origin_set_cors(const struct config *config, struct request *request);

#endif
