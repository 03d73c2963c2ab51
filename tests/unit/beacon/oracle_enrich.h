/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Oracles for enrich: each looks at the input and the output with its own eyes (cJSON's tree, or
 * the bytes) and knows nothing of how enrich works. NULL means that all is well; otherwise a few
 * words on what is not.
 */
#ifndef TEST_ORACLE_ENRICH_H
#define TEST_ORACLE_ENRICH_H

#include "beacon/edits.h"
#include "beacon/enrich.h"

/* cJSON refuses lone surrogates, ends strings at \u0000, and does not tell whether an id was
 * written with escapes: for such bodies there is only oracle_bytes(). */
bool oracle_can_read(struct view in);

/* parse(out) equals the labels, and what is good of the facts (NULL: none), applied to parse(in). */
const char *oracle_structure(struct view in, struct view out, const struct labels *labels,
			     const struct request_facts *facts);

/* A reader like Go's, which takes a name in any case, finds the trusted labels in `out` once each
 * and nothing that looks like them. */
const char *oracle_trusted(struct view out, const struct labels *labels,
			   const struct request_facts *facts);

/* Without the edits' texts, `out` is `in` without the edited spans. */
const char *oracle_bytes(struct view in, struct view out, const struct edits *edits,
			 const struct view *texts);

#endif
