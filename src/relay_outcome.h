/*
 * relay_outcome: what a transfer's end means: verdict, the receiver's hints, metrics and a log
 * line.
 */
#ifndef FARO_RELAY_OUTCOME_H
#define FARO_RELAY_OUTCOME_H

#include <curl/curl.h>

#include "relay.h"

struct relay_outcome {
	CURLcode code;
	CURL *easy;
	const char *error; /* libcurl's or the resolver's sentence; NULL or empty: none */
	bool answered;     /* the reply's header is complete */
	bool sent;         /* there was a connection, and the request was begun to be written */
	int64_t *failures; /* of this relay in a row, counted here */
};

/* Fills in the call's outcome, counts it, and logs it where it is a failure, or the end of some. */
void relay_outcome_tell(const struct relay_outcome *outcome, struct relay_call *call);

#endif
