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

static inline const char *check_bytes(struct enricher *enricher, struct view in, struct view text)
{
	const char *wrong = NULL;

	if (enricher->labels->request_attribute_count > 0)
		return oracle_bytes(in, text, &enricher->edits, enricher->request.views);
	for (size_t app = 0; app < enricher->labels->app_count; app++) {
		/* Which app was chosen is for the other oracles to say. */
		wrong = oracle_bytes(in, text, &enricher->edits,
				     enrich_fragments_of(&enricher->texts, app));
		if (!wrong)
			break;
	}
	return wrong;
}

/* `out` is cleared, then holds the output. `facts` may be NULL. */
static inline struct checked check_beacon_with(struct enricher *enricher, struct view in,
					       const struct request_facts *facts, struct buf *out)
{
	const struct labels *labels = enricher->labels;
	struct checked checked = {.wrong = NULL};
	struct view text;

	buf_clear(out);
	checked.verdict =
		enrich(enricher, in, facts, out, &checked.counts, &checked.offset, &checked.detail);
	if (checked.verdict != VERDICT_OK) {
		if (!checked.detail || checked.offset > in.len)
			checked.wrong = "a refusal without a sentence or outside the body";
		return checked;
	}
	text = (struct view){out->data, out->len};
	checked.read_by_cjson = oracle_can_read(in);
	checked.wrong = check_bytes(enricher, in, text);
	if (!checked.wrong && checked.read_by_cjson)
		checked.wrong = oracle_structure(in, text, labels, facts);
	if (!checked.wrong && checked.read_by_cjson)
		checked.wrong = oracle_trusted(text, labels, facts);
	return checked;
}

static inline struct checked check_beacon(struct enricher *enricher, struct view in,
					  struct buf *out)
{
	return check_beacon_with(enricher, in, NULL, out);
}

#endif
