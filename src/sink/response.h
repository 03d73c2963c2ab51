/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sink_response: what both the routes and the collect requests need of libmicrohttpd to answer.
 */
#ifndef FARO_SINK_RESPONSE_H
#define FARO_SINK_RESPONSE_H

#include <microhttpd.h>
#include <stdbool.h>

/* Of the request; NULL: it has none. */
const char *request_header(struct MHD_Connection *connection, const char *name);
bool request_header_is(struct MHD_Connection *connection, const char *name, const char *value);

/* NULL without memory. An error's text gets what Go's http.Error adds. */
struct MHD_Response *response_of_text(unsigned status, const char *text);
/* Takes the response over; NULL counts as no memory. */
enum MHD_Result response_send(struct MHD_Connection *connection, unsigned status,
			      struct MHD_Response *response);
enum MHD_Result response_send_text(struct MHD_Connection *connection, unsigned status,
				   const char *text);
/* Answers a CORS preflight as with cors_allowed_origins = ["*"]. */
enum MHD_Result response_send_preflight(struct MHD_Connection *connection);

#endif
