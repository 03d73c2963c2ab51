/* SPDX-License-Identifier: Apache-2.0 */
/*
 * program: the input of a fuzz target as operations and their operands. Where it ends, zeros
 * follow.
 */
#ifndef FARO_FUZZ_PROGRAM_H
#define FARO_FUZZ_PROGRAM_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/buf.h"

static inline void check(bool holds, const char *what)
{
	if (holds)
		return;
	fprintf(stderr, "%s\n", what);
	abort();
}

struct program {
	const uint8_t *at, *end;
};

static inline uint8_t next_byte(struct program *program)
{
	return program->at < program->end ? *program->at++ : 0;
}

static inline struct view next_bytes(struct program *program, size_t n)
{
	size_t left = (size_t)(program->end - program->at);
	struct view bytes = {(const char *)program->at, n < left ? n : left};

	program->at += bytes.len;
	return bytes;
}

#endif
