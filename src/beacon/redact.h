/* SPDX-License-Identifier: Apache-2.0 */
/*
 * redact: takes away what FARO_REDACT names from the strings of a beacon: values of parameters,
 * fragments and credentials of URLs, and e-mail addresses.
 *
 * The result may be longer than what it replaces, so nothing moves at once. What is to go is marked
 * where it stands, with bytes that no JSON has, and is written out when the beacon is copied:
 *
 *	redactor = redactor_new(&privacy);
 *	if (redact_body(redactor, body, spared, count, &marks) > 0) {
 *		redact_rewind(), redact_size() for each piece that is copied
 *		redact_rewind(), redact_write() for each of them
 *	}
 *
 * That costs no more memory, however much there is to redact, and time in proportion to the body's length.
 * The result does not change when it is redacted again.
 */
#ifndef FARO_BEACON_REDACT_H
#define FARO_BEACON_REDACT_H

#include "base/buf.h"
#include "config/privacy.h"

#define REDACTED "REDACTED"

struct redactor;

/* NULL without memory. `privacy` must outlive it. */
struct redactor *redactor_new(const struct privacy *privacy);
void redactor_free(struct redactor *redactor);

enum {
	REDACT_STRINGS_MAX = 512
};

/* The strings with marks, so that nothing else is searched for them. If there are more than this list
 * can hold, its last item reaches from one to the end of them all. */
struct redact_marks {
	struct view strings[REDACT_STRINGS_MAX];
	size_t count;
	size_t next; /* the first that may have marks in the pieces to come */
};

/* Marks what is to go from the values of a text that is valid JSON, but from those that are spared:
 * pieces of it, in their order. Its bytes must be writable. Fills in *marks, and returns how many
 * places that is. */
size_t redact_body(const struct redactor *redactor, struct view body, const struct view *spared,
		   size_t spared_count, struct redact_marks *marks);

/* The pieces come in the order of the beacon, and the next one is the first again. No piece begins or
 * ends inside of a string. */
void redact_rewind(struct redact_marks *marks);
/* How long the next piece is once its marks are written out. Adds their number to *count. */
size_t redact_size(struct redact_marks *marks, struct view piece, size_t *count);
/* Writes it to `out`, which has room for that many bytes, and returns the end. */
char *redact_write(struct redact_marks *marks, struct view piece, char *out);

#endif
