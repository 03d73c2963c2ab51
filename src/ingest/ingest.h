/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ingest: the pipeline of one request, from what a front end has read to what it has to reply.
 *
 *	front end fills a request → ingest_begin() ─┬─ INGEST_REPLY: the reply is ready
 *	                                            └─ INGEST_RELAY: labelled body goes upstream,
 *	                                               then ingest_relayed()
 *	front end writes the reply → ingest_end()
 *
 * Each worker has one `struct ingest`, which holds what every beacon uses again.
 */
#ifndef FARO_INGEST_INGEST_H
#define FARO_INGEST_INGEST_H

#include "beacon/decode.h"
#include "beacon/enrich.h"
#include "config/config.h"
#include "ingest/request.h"
#include "upstream/relay.h"

struct ingest {
	const struct config *config;
	struct budget *memory;
	struct decoder decoder;
	struct enricher *enricher;
	struct buf body;    /* of the request that is being read */
	struct buf decoded; /* inflated; unused where the coding is identity */
	struct buf page;    /* of the status endpoints */
	struct request_parameters parameters;
	unsigned random; /* state of the jitter */
};

enum ingest_next {
	INGEST_REPLY,
	INGEST_RELAY
};

/* False without memory. */
bool ingest_init(struct ingest *ingest, const struct config *config, struct budget *memory);
void ingest_release(struct ingest *ingest);

/* Sets up a request whose buffers are this ingest's and within its limits. */
void ingest_init_request(struct ingest *ingest, struct request *request);

/* Frees the buffers, which the next beacon allocates again. Called when there is no traffic. */
void ingest_trim(struct ingest *ingest);

/* Empties the buffer of the body that was read. ingest_begin() does so too. */
void ingest_clear_body(struct ingest *ingest);

/* Checks, decodes and labels a request, or fills in a status page. */
enum ingest_next ingest_begin(struct ingest *ingest, struct request *request);
/* Only decodes and labels request->body, whoever sent it. False: the reply is ready, and says what
 * is wrong. */
bool ingest_label(struct ingest *ingest, struct request *request);
/* Fills in the reply after INGEST_RELAY. The call has the upstream's verdict, VERDICT_SPOOLED,
 * VERDICT_DUPLICATE or VERDICT_OVERLOADED. */
void ingest_relayed(struct ingest *ingest, struct request *request, const struct relay_call *call);
/* After the reply is written, or the peer is gone: counts and times the request. */
void ingest_end(struct request *request);

#endif
