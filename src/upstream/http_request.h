/* SPDX-License-Identifier: Apache-2.0 */
/*
 * http_request: the bytes of a call's request, in three parts that are not copied: the head that
 * all calls of a route share, the header lines of this call, its body.
 */
#ifndef FARO_UPSTREAM_HTTP_REQUEST_H
#define FARO_UPSTREAM_HTTP_REQUEST_H

#include <sys/uio.h>

#include "upstream/route.h"

enum {
	HTTP_REQUEST_PARTS = 3,
	/* Line ends, and a Content-Length beside the forwarded lines. */
	HTTP_REQUEST_LINES_BYTES = FORWARDED_LINES_MAX * (FORWARDED_LINE_BYTES + 2) + 48,
};

/* `route` and `call` must outlive it. */
struct http_request {
	const struct route *route;
	const struct relay_call *call;
	size_t written; /* the owner's to count up; 0 again: from its beginning */
	size_t lines_len;
	struct forwarded_lines forwarded;
	char lines[HTTP_REQUEST_LINES_BYTES];
};

void http_request_init(struct http_request *request, const struct route *route,
		       const struct relay_call *call);
bool http_request_is_written(const struct http_request *request);
/* What is still to be written; returns how many parts that are, at most HTTP_REQUEST_PARTS. */
size_t http_request_remaining(const struct http_request *request, struct iovec *parts);

#endif
