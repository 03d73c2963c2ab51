/* SPDX-License-Identifier: Apache-2.0 */
/*
 * reply: from a verdict to the bytes that the browser gets.
 *
 * What belongs to a verdict is its row in base/verdict_list.h; reply_set() is the one place where
 * it becomes a reply, is counted and is logged. A stage that knows more (Allow, Accept-Encoding,
 * CORS) fills in those members before.
 */
#ifndef FARO_INGEST_REPLY_H
#define FARO_INGEST_REPLY_H

#include <stdbool.h>

#include "base/buf.h"
#include "beacon/verdict.h"
#include "upstream/relay.h"

struct config_list;

struct reply {
	int status;                  /* 0 until reply_set() */
	const char *reason;          /* the label of rejected_total; NULL on success */
	char detail[320];            /* what is wrong and what to do; empty on success */
	unsigned retry_after_s;      /* 0: no Retry-After */
	const char *allow;           /* Allow of a 405, else NULL */
	const char *accept_encoding; /* of a 415 about the coding, else NULL */
	char session_status[32];     /* X-Faro-Session-Status of the upstream; empty: none */
	struct view cors_origin;     /* Access-Control-Allow-Origin; ptr NULL: not allowed */
	struct view refused_origin;  /* of a page that may not send, for the log; NULL: none */
	bool vary_origin;            /* the answer would differ for another Origin */
	const struct config_list *preflight; /* of a preflight: headers to allow beside the SDK's */
	const struct buf *text_page;         /* a status page's body instead of JSON, else NULL */
	const char *text_page_type;
};

/* `detail` may be NULL: then it is the text of the verdict's row. `random` is the state of the
 * jitter of Retry-After. */
void reply_set(struct reply *reply, enum verdict verdict, const char *detail, unsigned *random);

/* The same for the outcome of a call, with what the browser may know of the upstream's answer. */
void reply_set_relayed(struct reply *reply, const struct relay_call *call, unsigned *random);

/*
 * Appends the reply as CGI response: "Status: …" header lines, blank line, body. Errors are
 * application/problem+json (RFC 9457); everything has Cache-Control: no-store.
 */
enum buf_result reply_print(const struct reply *reply, struct buf *out);

#endif
