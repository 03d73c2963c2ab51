/* SPDX-License-Identifier: Apache-2.0 */
/*
 * json_avx2: the copy of the loops for AVX2 (json_loops.h), and the choice of it. Internal to json*.c
 * and redact*.c.
 *
 * The choice is made once, before main(), by what the processor and the kernel have. Where there is no
 * such copy, as on other processors and with -DJSON_PLAIN, it is false at compile time.
 */
#ifndef FARO_BEACON_JSON_AVX2_H
#define FARO_BEACON_JSON_AVX2_H

#include "beacon/json.h"

#if defined(__x86_64__) && !defined(JSON_PLAIN)

extern bool loops_avx2;
/* Where the processor has AVX2: uses the loops for it, or not. False where it has not. For tests. */
bool loops_use_avx2(bool use);

#else

enum {
	loops_avx2 = false
};

static inline bool loops_use_avx2(bool use)
{
	return !use;
}

#endif

/* Lanes for stops_in(). They are ready in memory, in a file where gcc does not see them: it would make
 * each of them anew, by three instructions, for every string. */
extern const struct loops_of_stops {
	char flip[32], first_other[32], backslash[32];
} loops_of_stops;

/* Only where loops_avx2 is set. As json.h has them, */
bool json_skip_avx2(struct json *json);
bool json_named_member_avx2(struct json *json, const struct json_names *names,
			    struct json_string *key);
/* and as redact_text.h has it. */
const char *redact_find_avx2(const char *at, const char *end);

#endif
