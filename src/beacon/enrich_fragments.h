/* SPDX-License-Identifier: Apache-2.0 */
/*
 * enrich_fragments: every piece of JSON that enrich may insert into a beacon, made once at start.
 *
 * Each app has its own row of texts, since some of them have its name in them. Edits refer to the
 * texts by index.
 */
#ifndef FARO_BEACON_ENRICH_FRAGMENTS_H
#define FARO_BEACON_ENRICH_FRAGMENTS_H

#include "config/labels.h"

enum enrich_text {
	TEXT_NAME,
	TEXT_NAMESPACE,
	TEXT_ENVIRONMENT,
	TEXT_VERSION,
	TEXT_APP,
	TEXT_SESSION_MEMBERS,
	TEXT_SESSION_ATTRIBUTES,
	TEXT_SESSION,
	TEXT_META,
	TEXT_RESOURCE_ITEMS,
	TEXT_RESOURCE_ATTRIBUTES,
	TEXT_RESOURCE,
	TEXT_COUNT
};

/* The three forms of a text, such as ,"name":"shop" */
enum enrich_form {
	WITH_COMMA, /* all of it */
	BARE,       /* without the comma */
	VALUE,      /* only what follows the colon */
	FORM_COUNT
};

/* Index 0 is the empty text (edits.h). */
enum {
	ENRICH_FRAGMENTS = 1 + TEXT_COUNT * FORM_COUNT
};

static inline unsigned enrich_fragment_index(enum enrich_text text, enum enrich_form form)
{
	return 1 + (unsigned)text * FORM_COUNT + (unsigned)form;
}

struct enrich_fragments {
	struct view *views; /* ENRICH_FRAGMENTS for each app */
	size_t app_count;
};

/* False without memory; then nothing has to be released. */
bool enrich_fragments_init(struct enrich_fragments *texts, const struct labels *labels);
void enrich_fragments_release(struct enrich_fragments *texts);
/* The key with which a text begins, as in ,"name": */
struct view enrich_fragment_key(enum enrich_text text);
/* Sets the forms of a text. `whole` begins with its key. */
void enrich_fragment_set(struct view *views, enum enrich_text text, struct view whole);

const struct view *enrich_fragments_of(const struct enrich_fragments *texts, size_t app);

#endif
