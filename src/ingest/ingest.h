/*
 * ingest: the pipeline of one request, and the one table verdict → status → reason → metric.
 *
 *	carrier fills a request → ingest_begin() ─┬─ INGEST_REPLY: the reply is ready
 *	                                          └─ INGEST_RELAY: labelled body goes upstream,
 *	                                             then ingest_relayed()
 *	carrier writes the reply → ingest_end()
 *
 * Each worker has one `struct ingest`; it holds what is reused from beacon to beacon.
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
	unsigned random;    /* state of the jitter */
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

/* Frees the buffers until the next beacon; for when there is nothing to do. */
void ingest_trim(struct ingest *ingest);

/* Forgets what was read; ingest_begin() does so by itself. */
void ingest_clear_body(struct ingest *ingest);

enum ingest_next ingest_begin(struct ingest *ingest, struct request *request);
/* The same without asking who sent it: decodes and labels request->body. False: the reply is ready,
 * and says why not. */
bool ingest_label(struct ingest *ingest, struct request *request);
/* What became of what INGEST_RELAY sent: the receiver's word, VERDICT_SPOOLED, VERDICT_DUPLICATE, or
 * VERDICT_OVERLOADED. */
void ingest_relayed(struct ingest *ingest, struct request *request, const struct relay_call *call);
/* After the reply is written, or the peer is gone: counts and times the exchange. */
void ingest_end(struct request *request);

#endif
