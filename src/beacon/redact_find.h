/* SPDX-License-Identifier: Apache-2.0 */
/*
 * redact_find: the loop behind redact_find(). Internal to redact_text.c and json_avx2.c: each has a
 * copy, for its lanes (json_loops.h).
 */
#ifndef FARO_BEACON_REDACT_FIND_H
#define FARO_BEACON_REDACT_FIND_H

#include <string.h>

#include "beacon/json_loops.h"

/* What the wide loop finds, byte by byte. */
static inline bool is_redactable(const char *at, const char *end)
{
	switch (*at) {
	case '?':
	case '#':
	case '@':
		return true;
	case '\\':
	case '.':
		return end - at > 1 && strchr("fpqtu", at[1]) && at[1];
	default:
		return false;
	}
}

/* "Yes" for what is found; the byte behind the last one is read, too. */
static ALWAYS_INLINE lanes redactable_in(const char *at)
{
	lanes bytes = lanes_load(at), next = lanes_load(at + 1);
	/* @ is behind ? in ASCII. */
	lanes one = lanes_between(bytes, '?', '@') | lanes_equal(bytes, '#');
	lanes two = lanes_equal(bytes, '\\') | lanes_equal(bytes, '.');
	/* p, q, t and u differ in two bits. */
	lanes pqtu = lanes_equal(next & lanes_of(~5), 'p');

	return one | (two & (pqtu | lanes_equal(next, 'f')));
}

static inline const char *find_redactable(const char *at, const char *end)
{
	for (; LIKELY(end - at > 2 * LANES); at += 2 * LANES) {
		lanes low = redactable_in(at), high = redactable_in(at + LANES);
		lanes_bits mask;

		if (LIKELY(lanes_mask(low | high) == 0))
			continue;
		mask = lanes_mask(low);
		return mask != 0 ? at + lanes_first(mask)
				 : at + LANES + lanes_first(lanes_mask(high));
	}
	while (at < end && !is_redactable(at, end))
		at++;
	return at;
}

#endif
