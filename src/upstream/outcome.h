/*
 * outcome: what a transfer's end means: verdict, the receiver's hints, metrics and a log
 * line.
 */
#ifndef FARO_UPSTREAM_OUTCOME_H
#define FARO_UPSTREAM_OUTCOME_H

#include "upstream/relay.h"

/* Why there is no answer. */
enum relay_failure {
	RELAY_ANSWERED,
	RELAY_UNRESOLVED,  /* no address is known */
	RELAY_UNCONNECTED, /* refused, no route, not in time, no descriptor */
	RELAY_SILENT,      /* past the deadline */
	RELAY_UNTRUSTED,   /* the certificate */
	RELAY_BROKEN,      /* the connection died, or what came is no answer */
};

/* How an engine says what came of a transfer. The views are its own, valid until the call's done().
 */
struct answer {
	enum relay_failure failure;
	const char *reason; /* of a failure: a short sentence without its stop */
	int status;         /* final; 0: none */
	struct view retry_after, session_status; /* as the receiver wrote them; empty: none */
};

struct outcome {
	const struct answer *answer;
	const char *url;   /* the receiver's, for the log */
	bool sent;         /* there was a connection, and the request was begun to be written */
	int64_t *failures; /* of this relay in a row, counted here */
};

/* Fills in the call's outcome, counts it, and logs it where it is a failure, or the end of some. */
void outcome_report(const struct outcome *outcome, struct relay_call *call);

#endif
