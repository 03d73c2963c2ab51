/* SPDX-License-Identifier: Apache-2.0 */
/*
 * enrich: applies the label rules to one beacon.
 *
 * It takes a whole decoded body and checks that it is strict JSON (json.h), and that the Go
 * decoders of the Faro receiver can read every trusted name in one way only. It then writes the
 * same bytes with the labels in place. Every byte that no rule speaks of arrives as it came.
 */
#ifndef FARO_BEACON_ENRICH_H
#define FARO_BEACON_ENRICH_H

#include <stdint.h>

#include "base/buf.h"
#include "beacon/beacon.h"
#include "beacon/verdict.h"
#include "config/labels.h"
#include "config/privacy.h"

/* What the web server says about the request of one beacon: the values of labels->request_attributes,
 * in their order. One that is absent, empty, or no good (labels_value_problem) is not stamped. */
struct request_facts {
	struct view values[LABELS_REQUEST_MAX + 1];
};

/* What is kept from one beacon to the next, such as the list of edits. Each thread has one. */
struct enricher;

/* NULL without memory. `labels` and `privacy` must outlive the enricher; `privacy` may be NULL:
 * nothing is left out. */
struct enricher *enricher_new(const struct labels *labels, const struct privacy *privacy);
void enricher_free(struct enricher *enricher);

/*
 * `in` is overwritten where FARO_REDACT takes something away (redact.h): its bytes must be writable
 * then, and are of no use afterwards.
 *
 * `facts` may be NULL: there are none. Appends the labelled body to `out` and fills in *counts. Returns
 *
 *	VERDICT_OK
 *	VERDICT_BAD_JSON, VERDICT_AMBIGUOUS_KEY   a rule is broken at *offset
 *	VERDICT_TOO_LARGE    `out` would exceed its maximum, or there are more than EDITS_MAX edits;
 *	                     what follows the first one too many is not looked at
 *	VERDICT_OVERLOADED   there is no memory
 *
 * With any verdict but VERDICT_OK, *detail is a sentence that names the rule and what to do, and
 * never quotes the body; the content of `out` is then unspecified.
 */
enum verdict enrich(struct enricher *enricher, struct view in, const struct request_facts *facts,
		    struct buf *out, struct beacon_counts *counts, size_t *offset,
		    const char **detail);

#endif
