/*
 * verdict: what may become of a request. Rooms below `ingest` return one of these; `ingest` holds
 * the one table that turns it into a status, a reason label and a text (ingest.c).
 */
#ifndef FARO_BEACON_VERDICT_H
#define FARO_BEACON_VERDICT_H

enum verdict {
	VERDICT_OK,        /* nothing wrong so far: go on with the next stage */
	VERDICT_ACCEPTED,  /* the receiver answered 2xx */
	VERDICT_SPOOLED,   /* the beacon is committed to the spool */
	VERDICT_DUPLICATE, /* the same beacon was answered 202 before */
	VERDICT_PREFLIGHT,
	VERDICT_STATUS_PAGE, /* metrics, health, ready */

	/* The browser's fault. */
	VERDICT_EMPTY,
	VERDICT_LENGTH,
	VERDICT_BAD_ENCODING,
	VERDICT_BAD_JSON,
	VERDICT_AMBIGUOUS_KEY,
	VERDICT_RESERVED_NAME,
	VERDICT_CROSS_SITE,
	VERDICT_NOT_FOUND,
	VERDICT_BAD_METHOD,
	VERDICT_TOO_LARGE,
	VERDICT_BAD_TYPE,   /* Content-Type */
	VERDICT_BAD_CODING, /* Content-Encoding */

	/* The receiver's word, or its silence. */
	VERDICT_UPSTREAM_REJECTED, /* 400, 413, 422 */
	VERDICT_UPSTREAM_MISCONFIGURED,
	VERDICT_UPSTREAM_THROTTLED,
	VERDICT_UPSTREAM_UNAVAILABLE,
	VERDICT_UPSTREAM_TIMEOUT,

	/* Ours. */
	VERDICT_OVERLOADED,
	VERDICT_COUNT
};

#endif
