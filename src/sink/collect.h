/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sink_collect: one POST (or OPTIONS) to /collect, from its first byte to the answer.
 *
 *	collect_request_new() → collect_take()* → collect_answer(), and once more after a delay
 *	→ collect_request_free()
 */
#ifndef FARO_SINK_COLLECT_H
#define FARO_SINK_COLLECT_H

#include "sink/http.h"

struct collect_request;

/* NULL without memory. */
struct collect_request *collect_request_new(void);
/* `request` may be NULL. */
void collect_request_free(struct sink *sink, struct collect_request *request);

/* A part of the body. */
void collect_take(struct collect_request *request, const char *bytes, size_t n);
/* To be called at the end of the body, and again when the answer was delayed. */
enum MHD_Result collect_answer(struct sink *sink, struct MHD_Connection *connection,
			       struct collect_request *request);

#endif
