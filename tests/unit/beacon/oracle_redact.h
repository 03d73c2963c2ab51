/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An oracle for redact: what becomes of one string, found in another way. It decodes the whole string
 * first, and then cuts it into URLs, queries and parameters, with no regard for time.
 */
#ifndef TEST_ORACLE_REDACT_H
#define TEST_ORACLE_REDACT_H

#include <stdbool.h>

#include "base/buf.h"

enum {
	ORACLE_REDACT_MAX = 4096 /* bytes of a string */
};

struct oracle_redact {
	bool secrets, query, fragment, userinfo, email;
	const char *const
		*secret; /* in any case; up to a NULL; beside those that are always there */
	const char *const *kept;
	char as; /* t, q, f or p: text, query, fragment, path with a query */
};

/* Writes the string, as it is in JSON, without its quotes. `out` has room for 8 times as much. */
size_t oracle_redact(const struct oracle_redact *how, struct view string, char *out);

#endif
