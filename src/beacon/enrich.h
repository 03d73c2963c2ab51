/*
 * enrich: label rules → a short list of edits → one output.
 *
 * Takes a whole decoded body, checks that it is strict JSON (json.h) in which no trusted name is
 * ambiguous to the receiver's Go decoders, and appends to `out` the same bytes with the labels of
 * `labels` in place. Every byte that is not part of an edit arrives as it came.
 */
#ifndef FARO_BEACON_ENRICH_H
#define FARO_BEACON_ENRICH_H

#include <stdint.h>

#include "base/buf.h"
#include "beacon/beacon.h"
#include "beacon/verdict.h"
#include "config/labels.h"

/* Works space that is kept from beacon to beacon (the edit list); one a thread. */
struct enricher;

struct enricher *enricher_new(const struct labels *labels); /* NULL without memory */
void enricher_free(struct enricher *enricher);

/*
 * VERDICT_OK with *counts filled in and `out` appended to; else VERDICT_BAD_JSON,
 * VERDICT_AMBIGUOUS_KEY or VERDICT_RESERVED_NAME with *offset at the byte of `in` and a sentence in
 * detail (names the rule and what to do; never quotes the body), VERDICT_TOO_LARGE or
 * VERDICT_OVERLOADED where `out` cannot grow, the former also where more than EDITS_MAX (edits.h)
 * places would have to be changed. On failure the content of `out` is unspecified.
 */
enum verdict enrich(struct enricher *enricher, struct view in, struct buf *out,
		    struct beacon_counts *counts, size_t *offset, const char **detail);

#endif
