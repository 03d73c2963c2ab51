/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DESIGN. Everything that this file includes after the pragmas is compiled for AVX2 and the two sets of
 * instructions for bits that all such processors have. Each function that is not static is called only
 * where the processor has them.
 */
#include "beacon/json_avx2.h"

#if defined(__x86_64__) && !defined(JSON_PLAIN)

#include <immintrin.h>
#include <stdint.h>
#include <string.h>

#include "base/text.h"

bool loops_avx2;

static bool has_avx2(void)
{
	__builtin_cpu_init();
	return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("bmi") &&
	       __builtin_cpu_supports("bmi2");
}

bool loops_use_avx2(bool use)
{
	if (use && !has_avx2())
		return false;
	loops_avx2 = use;
	return true;
}

__attribute__((constructor)) static void choose(void)
{
	loops_use_avx2(true);
}

#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx2,bmi,bmi2"))), apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx2,bmi,bmi2")
#endif

#define LOOPS_FOR_AVX2
#include "beacon/json_pass.h"
#include "beacon/redact_find.h"

bool json_skip_avx2(struct json *json)
{
	return skip(json);
}

bool json_named_member_avx2(struct json *json, const struct json_names *names,
			    struct json_string *key)
{
	return named_member(json, names, key);
}

const char *redact_find_avx2(const char *at, const char *end)
{
	return find_redactable(at, end);
}

#if defined(__clang__)
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif

#endif
