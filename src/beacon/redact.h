/* SPDX-License-Identifier: Apache-2.0 */
/*
 * redact: takes away what FARO_REDACT names from the strings of a beacon: values of parameters,
 * fragments and credentials of URLs, and e-mail addresses.
 *
 * The result may be longer than what it replaces, so nothing moves at once. What is to go is marked
 * where it stands, with bytes that no JSON has, and is written out when the beacon is copied:
 *
 *	redactor = redactor_new(&privacy);
 *	if (redact_body(redactor, body, spared, count) > 0)
 *		redact_size(), redact_write() for each piece that is copied
 *
 * That costs no memory, however much there is to redact, and time in proportion to the body's length.
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

/* Marks what is to go from the values of a text that is valid JSON, but from those that are spared:
 * pieces of it, in their order. Its bytes must be writable. Returns how many places that is. */
size_t redact_body(const struct redactor *redactor, struct view body, const struct view *spared,
		   size_t spared_count);

/* How long a piece of the beacon is once its marks are written out. Adds their number to *count. No
 * piece may begin or end inside of a string. */
size_t redact_size(struct view marked, size_t *count);
/* Writes it to `out`, which has room for that many bytes, and returns the end. */
char *redact_write(struct view marked, char *out);

#endif
