/* SPDX-License-Identifier: Apache-2.0 */
/*
 * json_loops: the loops that see almost every byte of a text, many bytes at a time. Internal to
 * json*.c and redact*.c.
 *
 * Each loop is written once, over `lanes`: as many bytes as one instruction compares. What lanes are
 * depends on what a file is compiled for, so there is one copy of the loops for each of
 *
 *	plain C   8 bytes in a word; with -DJSON_PLAIN, and where none of the others is known
 *	SSE2     16 bytes; every amd64 processor has it
 *	NEON     16 bytes; every arm64 processor has it
 *	AVX2     32 bytes; only json_avx2.c is compiled for it, and it is chosen at run time
 *
 * All but plain C are compiled from the vectors that gcc and clang know. A comparison gives lanes
 * with all bits set for "yes", and lanes_mask() makes a word of them, in which lanes_first() finds
 * the first "yes".
 */
#ifndef FARO_BEACON_JSON_LOOPS_H
#define FARO_BEACON_JSON_LOOPS_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "base/text.h"
#include "beacon/json_avx2.h"

#if defined(JSON_PLAIN)
#define LANES 8
#elif defined(LOOPS_FOR_AVX2)
#include <immintrin.h>
#define LANES 32
#elif defined(__SSE2__)
#include <emmintrin.h>
#define LANES 16
#elif defined(__ARM_NEON) && defined(__aarch64__)
#include <arm_neon.h>
#define LANES 16
#else
#define LANES 8
#endif

/* The words that these loops read are compared as they lie in memory, and no test runs on another kind. */
#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "faro-ingest is made for little-endian machines, such as amd64 and arm64"
#endif

#define ALWAYS_INLINE inline __attribute__((always_inline))
#define NOINLINE      __attribute__((noinline))
#define LIKELY(x)     __builtin_expect(!!(x), 1)
#define UNLIKELY(x)   __builtin_expect(!!(x), 0)

/* ---- lanes ---- */

#if LANES == 8

typedef uint64_t lanes;

#define LANES_ONES 0x0101010101010101u
#define LANES_TOPS 0x8080808080808080u
#define LANES_ALL  LANES_TOPS

/* In these, only the top bit of a byte counts, and none borrows from its neighbour. */
static ALWAYS_INLINE lanes lanes_equal(lanes bytes, char c)
{
	lanes other = bytes ^ LANES_ONES * (unsigned char)c;

	return ~(((other & ~LANES_TOPS) + ~LANES_TOPS) | other);
}

/* As signed bytes, so those above 0x7f are below everything; c is in ASCII. */
static ALWAYS_INLINE lanes lanes_below(lanes bytes, char c)
{
	return bytes | ~((bytes & ~LANES_TOPS) + LANES_ONES * (0x80u - (unsigned char)c));
}

static ALWAYS_INLINE lanes lanes_above(lanes bytes, char c)
{
	return ~lanes_below(bytes, (char)(c + 1));
}

static ALWAYS_INLINE lanes lanes_between(lanes bytes, char first, char last)
{
	return lanes_above(bytes, (char)(first - 1)) & lanes_below(bytes, (char)(last + 1));
}

static ALWAYS_INLINE lanes lanes_of(char c)
{
	return LANES_ONES * (unsigned char)c;
}

static ALWAYS_INLINE uint64_t lanes_mask(lanes yes)
{
	return yes & LANES_TOPS;
}

static ALWAYS_INLINE size_t lanes_first(uint64_t mask)
{
	return (size_t)__builtin_ctzll(mask) / 8;
}

#else

typedef signed char lanes __attribute__((vector_size(LANES)));

static ALWAYS_INLINE lanes lanes_of(char c)
{
	return (lanes){0} + (signed char)c;
}

static ALWAYS_INLINE lanes lanes_equal(lanes bytes, char c)
{
	return (lanes)(bytes == lanes_of(c));
}

/* As signed bytes, so those above 0x7f are below everything. */
static ALWAYS_INLINE lanes lanes_below(lanes bytes, char c)
{
	return (lanes)(bytes < lanes_of(c));
}

static ALWAYS_INLINE lanes lanes_above(lanes bytes, char c)
{
	return (lanes)(bytes > lanes_of(c));
}

/* Moves them to the top of the signed bytes, so that one comparison finds them. */
static ALWAYS_INLINE lanes lanes_between(lanes bytes, char first, char last)
{
	typedef unsigned char moved __attribute__((vector_size(LANES)));
	lanes top = (lanes)((moved)bytes + (moved)lanes_of((char)(0x7f - last)));

	return (lanes)(top > lanes_of((char)(0x7f - last + first - 1)));
}

#if LANES == 32

#define LANES_ALL 0xffffffffu
static ALWAYS_INLINE uint32_t lanes_mask(lanes yes)
{
	return (uint32_t)_mm256_movemask_epi8((__m256i)yes);
}

#elif defined(__SSE2__)

#define LANES_ALL 0xffffu
static ALWAYS_INLINE uint32_t lanes_mask(lanes yes)
{
	return (uint32_t)_mm_movemask_epi8((__m128i)yes);
}

#else

#define LANES_ALL UINT64_MAX
/* NEON has no such instruction; narrowing leaves four bits of each byte. */
static ALWAYS_INLINE uint64_t lanes_mask(lanes yes)
{
	uint8x8_t four_bits_each = vshrn_n_u16((uint16x8_t)yes, 4);

	return vget_lane_u64(vreinterpret_u64_u8(four_bits_each), 0);
}

#endif

#if LANES == 32 || defined(__SSE2__)
static ALWAYS_INLINE size_t lanes_first(uint32_t mask)
{
	return (size_t)__builtin_ctz(mask);
}
#else
static ALWAYS_INLINE size_t lanes_first(uint64_t mask)
{
	return (size_t)__builtin_ctzll(mask) / 4;
}
#endif

#endif

typedef __typeof__(lanes_mask((lanes){0})) lanes_bits;

static ALWAYS_INLINE lanes lanes_load(const char *at)
{
	lanes bytes;

	memcpy(&bytes, at, sizeof(bytes));
	return bytes;
}

/* ---- what is looked for ---- */

static inline bool is_space(char c)
{
	return c == ' ' || c == '\n' || c == '\t' || c == '\r';
}

/* A byte that ends the plain part of a string. */
static inline bool is_stop(char c)
{
	return c == '"' || c == '\\' || (signed char)c < 0x20;
}

/* Turning over one bit puts the quote at 0x20, next to the control characters, and what stood between
 * them behind it: two comparisons find all stops. */
#if LANES == 32

static ALWAYS_INLINE lanes_bits stops_in(const char *at)
{
	lanes bytes = lanes_load(at);
	lanes flipped = bytes ^ lanes_load(loops_of_stops.flip);

	return lanes_mask((lanes)(lanes_load(loops_of_stops.first_other) > flipped) |
			  (lanes)(bytes == lanes_load(loops_of_stops.backslash)));
}

#else

static ALWAYS_INLINE lanes_bits stops_in(const char *at)
{
	lanes bytes = lanes_load(at);

	return lanes_mask(lanes_below(bytes ^ lanes_of(2), 0x21) | lanes_equal(bytes, '\\'));
}

#endif

static ALWAYS_INLINE lanes_bits not_spaces_in(const char *at)
{
	lanes bytes = lanes_load(at);
	lanes blank = lanes_equal(bytes, ' ') | lanes_equal(bytes, '\t');

	return lanes_mask(blank | lanes_equal(bytes, '\n') | lanes_equal(bytes, '\r')) ^ LANES_ALL;
}

static ALWAYS_INLINE lanes_bits not_digits_in(const char *at)
{
	lanes bytes = lanes_load(at);

	return lanes_mask(lanes_between(bytes, '0', '9')) ^ LANES_ALL;
}

static ALWAYS_INLINE lanes_bits not_hex_in(const char *at)
{
	lanes bytes = lanes_load(at), lower = bytes | lanes_of(0x20);
	lanes digit = lanes_between(bytes, '0', '9'), letter = lanes_between(lower, 'a', 'f');

	return lanes_mask(digit | letter) ^ LANES_ALL;
}

/* ---- loops ---- */

/* The first byte of a kind from `at` on, or the end. The last few bytes are read one by one, so no
 * load reaches beyond the input. */
#define FIND(at, end, mask_of, is_it)                    \
	while (LIKELY((end) - (at) >= LANES)) {          \
		lanes_bits mask = mask_of(at);           \
		if (mask != 0)                           \
			return (at) + lanes_first(mask); \
		(at) += LANES;                           \
	}                                                \
	while ((at) < (end) && !(is_it))                 \
		(at)++;                                  \
	return at

static inline const char *find_stop(const char *at, const char *end)
{
	FIND(at, end, stops_in, is_stop(*at));
}

static inline const char *find_not_space(const char *at, const char *end)
{
	FIND(at, end, not_spaces_in, !is_space(*at));
}

static inline const char *find_not_digit(const char *at, const char *end)
{
	FIND(at, end, not_digits_in, !is_digit(*at));
}

#endif
