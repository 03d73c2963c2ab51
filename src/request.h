/*
 * request: what an exchange is, whoever carried it.
 *
 * A carrier (fcgi, cgi) fills in the upper half, `ingest` reads it and fills in the reply; the
 * carrier then writes the reply in its own manner with request_print_reply(). Views point into the
 * carrier's memory and live until the carrier forgets the exchange. A request is reused: init once,
 * clear between exchanges, release at the end.
 */
#ifndef FARO_REQUEST_H
#define FARO_REQUEST_H

#include <stdint.h>

#include "buf.h"
#include "config.h"
#include "verdict.h"

enum endpoint { ENDPOINT_COLLECT, ENDPOINT_METRICS, ENDPOINT_HEALTH, ENDPOINT_READY };

enum {
	LENGTH_ABSENT = -1,    /* no CONTENT_LENGTH, or an empty one */
	LENGTH_MALFORMED = -2, /* not a whole number, negative, or above INT64_MAX */
};

struct reply {
	int status;
	char detail[320];	      /* what is wrong and what to do; empty on success */
	unsigned retry_after_s;	      /* 0: no Retry-After */
	const char *allow;	      /* Allow of a 405, else NULL */
	const char *accept_encoding;  /* of a 415 about the coding, else NULL */
	char session_status[32];      /* X-Faro-Session-Status of the receiver; empty: none */
	struct view cors_origin;      /* Access-Control-Allow-Origin; ptr NULL: not cross-origin */
	const struct buf *text_page;  /* a status page's body instead of JSON, else NULL */
};

struct request {
	/* Filled in by the carrier; ptr NULL where a variable is not there. */
	enum endpoint endpoint;
	struct view method;
	struct view path; /* SCRIPT_NAME + PATH_INFO; absent: any path is meant */
	struct view host, origin, sec_fetch_site;
	struct view content_type, content_encoding;
	struct view session_id, idempotency_key, traceparent;
	int64_t content_length;
	struct buf body;      /* as received */
	bool body_too_large;  /* more than max_body_bytes came; body holds the beginning or nothing */
	bool body_over_budget; /* there was no memory for it */
	bool body_broken;     /* the peer aborted, or a read failed: not all of it is there */

	/* Filled in by ingest. */
	struct buf decoded;  /* inflated; unused where the coding is identity */
	struct buf labelled; /* what the receiver gets */
	enum verdict verdict;
	struct reply reply;
	int64_t started_us; /* CLOCK_MONOTONIC */

	char path_storage[CONFIG_PATH_MAX_BYTES];
};

/* Limits are those of `config`, buffers draw on `memory`. */
void request_init(struct request *request, const struct config *config, struct budget *memory);
/* Ready for the next exchange. Buffers above a few typical beacons are freed. */
void request_clear(struct request *request);
void request_release(struct request *request);

/* Reads the CGI/1.1 variables (RFC 3875) that both carriers share, from a lookup by name. */
typedef const char *request_variable(void *arg, const char *name);
void request_read_variables(struct request *request, request_variable *get, void *arg);

/*
 * Appends the reply as CGI response: "Status: …" header lines, blank line, body. Errors are
 * application/problem+json (RFC 9457); everything has Cache-Control: no-store.
 */
enum buf_result request_print_reply(const struct request *request, struct buf *out);

/* The reason phrase of a status that ingest can answer with (RFC 9110). */
const char *request_status_text(int status);

#endif
