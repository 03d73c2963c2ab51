/* SPDX-License-Identifier: Apache-2.0 */
/*
 * request: what a browser sent, whichever front end read it, and the reply to it.
 *
 * A front end (fcgi, cgi) fills in the upper half; `ingest` reads it and fills in the rest; the
 * front end then writes the reply (reply_print). Views point into the front end's memory and live
 * until it clears the request. A request is reused: init once, clear between two, release at the
 * end.
 */
#ifndef FARO_INGEST_REQUEST_H
#define FARO_INGEST_REQUEST_H

#include <stdint.h>

#include "base/buf.h"
#include "beacon/dedup_hash.h"
#include "beacon/enrich.h"
#include "config/config.h"
#include "ingest/client_address.h"
#include "ingest/reply.h"

/* Set by the FastCGI parameter FARO_ENDPOINT. No client can set it: the headers of clients begin
 * with HTTP_. */
enum endpoint {
	ENDPOINT_COLLECT,
	ENDPOINT_METRICS,
	ENDPOINT_HEALTH,
	ENDPOINT_READY,
	ENDPOINT_UNKNOWN,
};

enum length_state {
	LENGTH_ABSENT, /* no CONTENT_LENGTH, or an empty one */
	LENGTH_GIVEN,
	LENGTH_MALFORMED, /* not a whole number, negative, or above INT64_MAX */
};

enum request_variable_id {
#define VARIABLE(id, name, member, max_bytes) REQUEST_##id,
#include "ingest/variable_list.h"
	REQUEST_FACT, /* all of FARO_REQUEST_ATTRIBUTES; each has a row of its own */
	REQUEST_VARIABLE_COUNT
};

/* Room for every value that a front end has to keep. */
struct request_values {
#define VARIABLE(id, name, member, max_bytes) char id[max_bytes];
#include "ingest/variable_list.h"
};

struct request_variable {
	enum request_variable_id id;
	struct view name;
	size_t member; /* where the view is in struct request */
	/* In struct request_values, or of REQUEST_FACT in the room for them; longer values are
	 * refused. */
	size_t room, room_bytes;
};

/* The parameters that have the values of FARO_REQUEST_ATTRIBUTES; the same for all requests. */
struct request_parameters {
	struct request_variable *rows;
	size_t count;
};

struct request {
	/* Filled in by the front end; ptr NULL where a variable is not there, or is refused. */
	enum endpoint endpoint;
	struct view method;
	struct view path;   /* SCRIPT_NAME + PATH_INFO; absent: any path is meant */
	bool path_too_long; /* it is none of ours */
	struct view host, origin, sec_fetch_site;
	struct view content_type, content_encoding;
	struct view ignore; /* why the operator leaves this request out */
	struct view accept; /* of who asks for metrics */
	struct view remote_addr;
	struct request_facts facts; /* those of request_parameters */
	struct forwarded_headers forwarded;
	enum length_state length_state;
	int64_t content_length; /* of LENGTH_GIVEN */
	unsigned refused;       /* a bit for each variable: request_refuses() */
	struct {
		struct view endpoint, script_name, path_info, content_length;
	} raw; /* what some of the above are made of */
	/* As received. The buffer is ingest's, and this request has it until ingest_begin()
	 * returns: a beacon that waits for the upstream holds its labelled body only. */
	struct buf *body;
	enum body_state {
		BODY_WHOLE,       /* up to its end, as far as the front end could tell */
		BODY_BROKEN,      /* the peer aborted, or a read failed */
		BODY_TOO_LARGE,   /* more came than the buffer's maximum, and was discarded */
		BODY_OVER_BUDGET, /* there was no memory for it */
		BODY_STALLED,     /* as BODY_BROKEN, and this process stood still meanwhile */
	} body_state;

	/* Filled in by ingest. */
	struct buf labelled; /* what the upstream gets */
	struct beacon_counts counts;
	struct dedup_hash hash; /* empty without an Idempotency-Key */
	struct reply reply;
	int64_t started_us; /* on loop_now_us()'s clock */

	const struct request_parameters *parameters; /* NULL: none */

	char path_storage[CONFIG_PATH_MAX_BYTES];
	char stamped_address[CLIENT_ADDRESS_BYTES], forwarded_address[CLIENT_ADDRESS_BYTES];
};

/* False without memory. `labels` must outlive them. */
bool request_parameters_init(struct request_parameters *parameters, const struct labels *labels);
void request_parameters_release(struct request_parameters *parameters);
/* How much room a front end needs for their values, beside struct request_values. */
size_t request_parameters_room(const struct request_parameters *parameters);

/* `body` is ingest's. The labelled body may have labelled_max bytes, of the budget `memory`. Whoever
 * has parameters sets them behind this. */
void request_init(struct request *request, struct buf *body, size_t labelled_max,
		  struct budget *memory);
/* Makes it ready for the next request. The labelled body keeps its capacity; `body` and
 * `parameters` stay. */
void request_clear(struct request *request);
void request_release(struct request *request);

/* Appends bytes to the body and updates body_state. While that is not BODY_WHOLE, bytes are
 * dropped. Those that stand in the body's room already are not copied. */
void request_append_body(struct request *request, const void *bytes, size_t n);
/* Where the next bytes of the body can be written before they are appended; returns for how many
 * there is room now. Nothing is allocated for it, so a peer has no more memory than it filled. */
size_t request_body_room(const struct request *request, void **place);

/* NULL: it means nothing here. */
const struct request_variable *request_find_variable(const struct request *request,
						     struct view name);
/* Of two values the last one counts. An empty one counts as absent, and changes nothing. */
void request_set_variable(struct request *request, const struct request_variable *variable,
			  struct view value);
/* To be called after the last of them. */
void request_end_variables(struct request *request);

/* Both in one, for variables given as NAME=value and ended by NULL; the views point into them. */
void request_read_variables(struct request *request, char *const *variables);

/* The variable is there with a value that is too long. That is neither absent nor equal to anything
 * that is accepted, and it is not forwarded, compared or hashed. */
static inline bool request_refuses(const struct request *request, enum request_variable_id id)
{
	return (request->refused >> id & 1) != 0;
}

#endif
