/*
 * request: what an exchange is, whoever carried it.
 *
 * A carrier (fcgi, cgi) fills in the upper half, `ingest` reads it and fills in the reply; the
 * carrier then writes the reply in its own manner with request_print_reply(). Views point into the
 * carrier's memory and live until the carrier forgets the exchange. A request is reused: init once,
 * clear between exchanges, release at the end.
 */
#ifndef FARO_INGEST_REQUEST_H
#define FARO_INGEST_REQUEST_H

#include <stdint.h>

#include "base/buf.h"
#include "beacon/enrich.h"
#include "beacon/verdict.h"
#include "config/config.h"

/* Set by the FastCGI parameter FARO_ENDPOINT, which no client can reach: theirs begin with HTTP_.
 */
enum endpoint {
	ENDPOINT_COLLECT,
	ENDPOINT_METRICS,
	ENDPOINT_HEALTH,
	ENDPOINT_READY,
	ENDPOINT_UNKNOWN,
};

enum {
	LENGTH_ABSENT = -1,    /* no CONTENT_LENGTH, or an empty one */
	LENGTH_MALFORMED = -2, /* not a whole number, negative, or above INT64_MAX */
};

struct reply {
	int status;
	const char *reason;          /* the label of rejected_total; NULL on success */
	char detail[320];            /* what is wrong and what to do; empty on success */
	unsigned retry_after_s;      /* 0: no Retry-After */
	const char *allow;           /* Allow of a 405, else NULL */
	const char *accept_encoding; /* of a 415 about the coding, else NULL */
	char session_status[32];     /* X-Faro-Session-Status of the receiver; empty: none */
	struct view cors_origin;     /* Access-Control-Allow-Origin; ptr NULL: not allowed */
	bool vary_origin;            /* the answer would differ for another Origin */
	bool preflight;
	const struct buf *text_page; /* a status page's body instead of JSON, else NULL */
};

struct request {
	/* Filled in by the carrier; ptr NULL where a variable is not there. */
	enum endpoint endpoint;
	struct view method;
	struct view path; /* SCRIPT_NAME + PATH_INFO; absent: any path is meant */
	struct view host, origin, sec_fetch_site;
	struct view content_type, content_encoding;
	struct forwarded_headers forwarded;
	int64_t content_length;
	struct {
		struct view endpoint, script_name, path_info, content_length;
	} raw; /* what some of the above are made of */
	/* As received. It is ingest's, and this request's until ingest_begin(): a beacon that waits
	 * for the receiver holds its labelled body only. */
	struct buf *body;
	enum body_state {
		BODY_WHOLE,       /* up to its end, as far as the carrier could tell */
		BODY_BROKEN,      /* the peer aborted, or a read failed */
		BODY_TOO_LARGE,   /* more came than the buffer's maximum, and was thrown away */
		BODY_OVER_BUDGET, /* there was no memory for it */
	} body_state;

	/* Filled in by ingest. */
	struct buf labelled; /* what the receiver gets */
	struct beacon_counts counts;
	enum verdict verdict;
	struct reply reply;
	int64_t started_us; /* on loop_now_us()'s clock */

	char path_storage[CONFIG_PATH_MAX_BYTES];
};

/* `body` is ingest's; the labelled body may have labelled_max bytes and draws on `memory`. */
void request_init(struct request *request, struct buf *body, size_t labelled_max,
		  struct budget *memory);
/* Ready for the next exchange; the labelled body's capacity is kept, and so is which body it is. */
void request_clear(struct request *request);
void request_release(struct request *request);

/* Appends bytes to the body and keeps body_state; what comes after it is not BODY_WHOLE is dropped.
 */
void request_append_body(struct request *request, const void *bytes, size_t n);

/* Where the value of a CGI/1.1 variable (RFC 3875) goes; NULL: it is of no interest. A variable with
 * an empty value is an absent one. */
struct view *request_variable(struct request *request, struct view name);
/* After the last of them. */
void request_end_variables(struct request *request);

/* Both in one: takes what it knows from the CGI/1.1 variables that are given as NAME=value,
 * ended by NULL; the views point into them. */
void request_read_variables(struct request *request, char *const *variables);

/*
 * Appends the reply as CGI response: "Status: …" header lines, blank line, body. Errors are
 * application/problem+json (RFC 9457); everything has Cache-Control: no-store.
 */
enum buf_result request_print_reply(const struct request *request, struct buf *out);

#endif
