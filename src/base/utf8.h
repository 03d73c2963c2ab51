/* SPDX-License-Identifier: Apache-2.0 */
/*
 * utf8: which bytes are one valid character (RFC 3629), and which characters are controls or space.
 *
 * For what the operator sets and what goes into our own log lines; json.h decodes bodies.
 */
#ifndef FARO_BASE_UTF8_H
#define FARO_BASE_UTF8_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The length of the valid sequence that `s` begins with; 0 where there is none. */
static inline size_t utf8_sequence(const char *s, size_t len)
{
	const unsigned char *u = (const unsigned char *)s;
	/* The second byte excludes overlong forms, surrogates and what lies above U+10FFFF. */
	unsigned char low = 0x80, high = 0xbf;
	size_t n;

	if (len == 0)
		return 0;
	if (u[0] < 0x80)
		return 1;
	if (u[0] < 0xc2 || u[0] > 0xf4)
		return 0;
	n = u[0] < 0xe0 ? 2 : u[0] < 0xf0 ? 3 : 4;
	if (len < n)
		return 0;
	if (u[0] == 0xe0)
		low = 0xa0;
	else if (u[0] == 0xf0)
		low = 0x90;
	else if (u[0] == 0xed)
		high = 0x9f;
	else if (u[0] == 0xf4)
		high = 0x8f;
	if (u[1] < low || u[1] > high)
		return 0;
	for (size_t i = 2; i < n; i++) {
		if ((u[i] & 0xc0) != 0x80)
			return 0;
	}
	return n;
}

/* The character that a valid sequence of `n` bytes stands for. */
static inline uint32_t utf8_rune(const char *s, size_t n)
{
	const unsigned char *u = (const unsigned char *)s;
	uint32_t rune = n == 1 ? u[0] : u[0] & (0xffu >> (n + 1));

	for (size_t i = 1; i < n; i++)
		rune = rune << 6 | (u[i] & 0x3fu);
	return rune;
}

/* C0, DEL or C1; `s` begins with a valid sequence. */
static inline bool utf8_is_control(const char *s)
{
	const unsigned char *u = (const unsigned char *)s;

	return u[0] < 0x20 || u[0] == 0x7f || (u[0] == 0xc2 && u[1] < 0xa0);
}

/* Unicode's White_Space, which Go's strings.TrimSpace() takes from both ends of a text. */
static inline bool utf8_is_space(uint32_t rune)
{
	return (rune >= '\t' && rune <= '\r') || rune == ' ' || rune == 0x85 || rune == 0xa0 ||
	       rune == 0x1680 || (rune >= 0x2000 && rune <= 0x200a) || rune == 0x2028 ||
	       rune == 0x2029 || rune == 0x202f || rune == 0x205f || rune == 0x3000;
}

#endif
