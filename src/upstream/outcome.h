/* SPDX-License-Identifier: Apache-2.0 */
/*
 * outcome: what the end of a transfer means: the verdict, what the upstream says about retries and
 * the session, metrics, and a log line.
 */
#ifndef FARO_UPSTREAM_OUTCOME_H
#define FARO_UPSTREAM_OUTCOME_H

#include "upstream/relay.h"

/* Why the upstream did not answer. */
enum relay_failure {
	RELAY_ANSWERED,
	RELAY_UNRESOLVED,  /* no address is known */
	RELAY_UNCONNECTED, /* refused, no route, not in time, no descriptor */
	RELAY_SILENT,      /* past the deadline */
	RELAY_UNTRUSTED,   /* the certificate */
	RELAY_NOT_HTTP,    /* what came is no HTTP/1.1 from its first line on */
	RELAY_BROKEN,      /* the connection died, or within the answer something is wrong */
};

/* What an engine reports of a transfer. The views are the engine's, valid until the call's
 * done(). */
struct answer {
	enum relay_failure failure;
	const char *reason; /* of a failure, for the log: a short sentence without a full stop */
	int status;         /* final; 0: none */
	struct view retry_after, session_status; /* as the upstream wrote them; empty: none */
};

struct outcome {
	const struct answer *answer;
	const char *url;   /* of the upstream, for the log */
	bool sent;         /* at least a part of the request was written to a connection */
	int64_t *failures; /* of this relay in a row, counted here */
};

/* Fills in the call's outcome, counts it, and logs a failure or the first success after
 * failures. */
void outcome_report(const struct outcome *outcome, struct relay_call *call);

#endif
