/* SPDX-License-Identifier: Apache-2.0 */
/* One beacon through enrich with all oracles; shared by the drivers and the fuzz target. */
#ifndef TEST_ENRICH_CHECK_H
#define TEST_ENRICH_CHECK_H

#include "beacon/enrich_walk.h"
#include "beacon/oracle_enrich.h"

struct checked {
	enum verdict verdict;
	struct beacon_counts counts;
	size_t offset;
	const char *detail;
	const char *wrong;  /* what an oracle found, or NULL */
	bool read_by_cjson; /* else only the bytes were compared */
};

/* `out` is cleared, then holds the output. */
static inline struct checked check_beacon(struct enricher *enricher, struct view in,
					  struct buf *out)
{
	const struct labels *labels = enricher->labels;
	struct checked checked = {.wrong = NULL};
	struct view text;

	buf_clear(out);
	checked.verdict =
		enrich(enricher, in, out, &checked.counts, &checked.offset, &checked.detail);
	if (checked.verdict != VERDICT_OK) {
		if (!checked.detail || checked.offset > in.len)
			checked.wrong = "a refusal without a sentence or outside the body";
		return checked;
	}
	text = (struct view){out->data, out->len};
	checked.read_by_cjson = oracle_can_read(in);
	for (size_t app = 0; app < labels->app_count; app++) {
		/* Which app was chosen is for the other oracles to say. */
		checked.wrong = oracle_bytes(in, text, &enricher->edits,
					     enrich_fragments_of(&enricher->texts, app));
		if (!checked.wrong)
			break;
	}
	if (!checked.wrong && checked.read_by_cjson)
		checked.wrong = oracle_structure(in, text, labels);
	if (!checked.wrong && checked.read_by_cjson)
		checked.wrong = oracle_trusted(text, labels);
	return checked;
}

#endif
