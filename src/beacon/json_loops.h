/* SPDX-License-Identifier: Apache-2.0 */
/*
 * json_loops: the three loops that see almost every byte of a text, 16 bytes at a time and in plain
 * C. Internal to json.c, whose DESIGN explains them.
 */
#ifndef FARO_BEACON_JSON_LOOPS_H
#define FARO_BEACON_JSON_LOOPS_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "base/text.h"

/* The words that these loops read are compared as they lie in memory, and no test runs on another kind. */
#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "faro-ingest is made for little-endian machines, such as amd64 and arm64"
#endif

#if defined(__SSE2__) && !defined(JSON_PLAIN)
#include <emmintrin.h>
#define JSON_WIDE 1
#else
#define JSON_WIDE 0
#endif

#define ALWAYS_INLINE inline __attribute__((always_inline))
#define LIKELY(x)     __builtin_expect(!!(x), 1)
#define UNLIKELY(x)   __builtin_expect(!!(x), 0)

static inline bool is_space(char c)
{
	return c == ' ' || c == '\n' || c == '\t' || c == '\r';
}

/* A byte that ends the plain part of a string. */
static inline bool is_stop(char c)
{
	return c == '"' || c == '\\' || (signed char)c < 0x20;
}

#if JSON_WIDE

/* One bit for each of the 16 bytes. Bytes above 0x7f are negative, so they are below 0x20 too. */
static inline unsigned stop_mask(const char *at)
{
	__m128i bytes = _mm_loadu_si128((const __m128i *)(const void *)at);
	__m128i quote = _mm_cmpeq_epi8(bytes, _mm_set1_epi8('"'));
	__m128i escape = _mm_cmpeq_epi8(bytes, _mm_set1_epi8('\\'));
	__m128i other = _mm_cmplt_epi8(bytes, _mm_set1_epi8(0x20));

	return (unsigned)_mm_movemask_epi8(_mm_or_si128(_mm_or_si128(quote, escape), other));
}

static inline unsigned not_space_mask(const char *at)
{
	__m128i bytes = _mm_loadu_si128((const __m128i *)(const void *)at);
	__m128i blank = _mm_or_si128(_mm_cmpeq_epi8(bytes, _mm_set1_epi8(' ')),
				     _mm_cmpeq_epi8(bytes, _mm_set1_epi8('\t')));
	__m128i line = _mm_or_si128(_mm_cmpeq_epi8(bytes, _mm_set1_epi8('\n')),
				    _mm_cmpeq_epi8(bytes, _mm_set1_epi8('\r')));

	return (unsigned)_mm_movemask_epi8(_mm_or_si128(blank, line)) ^ 0xffffu;
}

/* Moves '0' to '9' to the ten lowest signed bytes, so that one comparison finds them. */
static inline unsigned not_digit_mask(const char *at)
{
	__m128i bytes = _mm_loadu_si128((const __m128i *)(const void *)at);
	__m128i moved = _mm_add_epi8(bytes, _mm_set1_epi8((char)(0x80 - '0')));

	return (unsigned)_mm_movemask_epi8(_mm_cmpgt_epi8(moved, _mm_set1_epi8((char)(0x80 + 9))));
}

#define FIND_WIDE(at, end, mask_of)                        \
	while (LIKELY((end) - (at) >= 16)) {               \
		unsigned mask = mask_of(at);               \
		if (mask != 0)                             \
			return (at) + __builtin_ctz(mask); \
		(at) += 16;                                \
	}

#else

/* True if a byte of the word may end the plain part of a string. A false alarm only costs time. */
static inline bool word_has_stop(uint64_t word)
{
	const uint64_t ones = 0x0101010101010101u, tops = 0x8080808080808080u;
	uint64_t quote = word ^ (ones * '"'), escape = word ^ (ones * '\\');

	return ((word | (word - ones * 0x20) | (quote - ones) | (escape - ones)) & tops) != 0;
}

static inline const char *find_stop_by_word(const char *at, const char *end)
{
	uint64_t word;

	for (; end - at >= 8; at += 8) {
		memcpy(&word, at, sizeof(word));
		if (word_has_stop(word))
			break;
	}
	return at;
}

#endif

/* Are all eight bytes hexadecimal digits? In no step does one byte borrow from the next: the top
 * bit of each is set first, and then tells whether the byte was large enough. */
static inline bool are_hex_digits(uint64_t eight)
{
	const uint64_t ones = 0x0101010101010101u, tops = ones << 7;
	uint64_t plain = eight | tops, lower = plain | ones * 0x20;
	uint64_t digits = (plain - ones * '0') & ~(plain - ones * ('9' + 1));
	uint64_t letters = (lower - ones * 'a') & ~(lower - ones * ('f' + 1));

	return ((digits | letters) & ~eight & tops) == tops;
}

static inline const char *find_stop(const char *at, const char *end)
{
#if JSON_WIDE
	FIND_WIDE(at, end, stop_mask)
#else
	at = find_stop_by_word(at, end);
#endif
	while (at < end && !is_stop(*at))
		at++;
	return at;
}

static inline const char *find_not_space(const char *at, const char *end)
{
#if JSON_WIDE
	FIND_WIDE(at, end, not_space_mask)
#endif
	while (at < end && is_space(*at))
		at++;
	return at;
}

static inline const char *find_not_digit(const char *at, const char *end)
{
#if JSON_WIDE
	FIND_WIDE(at, end, not_digit_mask)
#endif
	while (at < end && is_digit(*at))
		at++;
	return at;
}

#endif
