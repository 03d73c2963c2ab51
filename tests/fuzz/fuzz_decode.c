/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Any bytes as a compressed body: decode() must take exactly what zlib takes as one whole member,
 * give the same bytes, and stop at its maximum. The first byte says what is done with the rest.
 *
 * Not held against it: libdeflate's own reading of a damaged Huffman code. It takes codes that zlib
 * refuses, such as one of more symbols than RFC 1951 allows; where only it accepts, the body is
 * checked to be within the limit, and no more.
 *
 * Build with -fsanitize=fuzzer,address,undefined.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <zlib.h>

#include "base/text.h"
#include "beacon/decode.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum {
	ORACLE_MAX_BYTES = 1 << 20, /* what it looks at; beyond that it is just too large */
	PACKED_MAX_BYTES = 1 << 17,
	GZIP_HEADER_BYTES = 10,
	ZLIB_HEADER_BYTES = 2,
};

/* What the first byte says: bits 0-1 how the body is made, bit 2 the coding, bits 3-7 details. */
enum making {
	MAKE_AS_IT_IS,
	MAKE_WRAPPED, /* the rest is raw deflate: with the header and the true trailer of its coding */
	MAKE_COMPRESSED, /* the rest is the content */
	MAKE_DAMAGED,    /* the same, with a bit changed, cut, or with a byte behind it */
};

static unsigned char plain[ORACLE_MAX_BYTES + 1];
static unsigned char packed[PACKED_MAX_BYTES + 64];

static void fail(const char *what, size_t a, size_t b)
{
	fprintf(stderr, "%s: %zu, %zu\n", what, a, b);
	abort();
}

struct expected {
	bool whole; /* one member, and nothing behind it */
	size_t len; /* of the content, ORACLE_MAX_BYTES + 1 where it is longer */
};

static struct expected ask_zlib(int window_bits, const unsigned char *in, size_t len)
{
	z_stream stream = {.next_in = (unsigned char *)(uintptr_t)in,
			   .avail_in = (uInt)len,
			   .next_out = plain,
			   .avail_out = sizeof(plain)};
	struct expected expected;
	int result;

	if (inflateInit2(&stream, window_bits) != Z_OK)
		abort();
	result = inflate(&stream, Z_FINISH);
	expected.whole = result == Z_STREAM_END && stream.avail_in == 0;
	expected.len = stream.total_out;
	inflateEnd(&stream);
	return expected;
}

/* RFC 1950's header, as decode() has it; one that is none makes the body raw. */
static int window_bits(enum coding coding, const unsigned char *in, size_t len)
{
	if (coding == CODING_GZIP)
		return 15 + 16;
	return len >= 2 && (in[0] & 15) == 8 && (in[0] << 8 | in[1]) % 31 == 0 ? 15 : -15;
}

static void check(enum coding coding, size_t len, size_t max, struct expected expected)
{
	static struct decoder decoder; /* kept from body to body, as a worker does */
	const char *detail;
	struct buf out;
	enum verdict verdict;

	buf_init(&out, max, NULL);
	verdict = decode(&decoder, coding, (struct view){(char *)packed, len}, &out, &detail);
	if (out.len > max || out.cap > max)
		fail("more than the maximum", out.cap, max);
	if (verdict != VERDICT_OK && out.len != 0)
		fail("refused, and something left", (size_t)verdict, out.len);
	if (verdict == VERDICT_BAD_ENCODING && !detail)
		fail("refused without a word", len, max);
	if (expected.whole && expected.len <= max) {
		if (verdict != VERDICT_OK || out.len != expected.len ||
		    memcmp(out.data, plain, out.len) != 0)
			fail("zlib takes it", (size_t)verdict, out.len);
	} else if (expected.whole && verdict != VERDICT_TOO_LARGE) {
		fail("it is too large", (size_t)verdict, max);
	} else if (verdict != VERDICT_OK && verdict != VERDICT_BAD_ENCODING &&
		   verdict != VERDICT_TOO_LARGE) {
		fail("no such verdict", (size_t)verdict, max);
	}
	buf_release(&out);
}

static void put_u32(unsigned char *out, uLong value, bool big_endian)
{
	for (int i = 0; i < 4; i++)
		out[big_endian ? 3 - i : i] = (unsigned char)(value >> (8 * i));
}

static size_t wrap(enum coding coding, const uint8_t *data, size_t size)
{
	static const unsigned char gzip[GZIP_HEADER_BYTES] = {0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3};
	static const unsigned char zlib[ZLIB_HEADER_BYTES] = {0x78, 0x9c};
	bool is_gzip = coding == CODING_GZIP;
	size_t n = is_gzip ? sizeof(gzip) : sizeof(zlib);
	struct expected content = ask_zlib(-15, data, size);

	memcpy(packed, is_gzip ? gzip : zlib, n);
	memcpy(packed + n, data, size);
	n += size;
	if (is_gzip) {
		put_u32(packed + n, crc32(0, plain, (uInt)content.len), false);
		put_u32(packed + n + 4, content.len, false);
		return n + 8;
	}
	put_u32(packed + n, adler32(1, plain, (uInt)content.len), true);
	return n + 4;
}

static size_t compress_all(enum coding coding, unsigned details, const uint8_t *data, size_t size)
{
	static const int levels[] = {0, 1, 6, 9};
	int bits = coding == CODING_GZIP ? 15 + 16 : details & 4 ? 15 : -15;
	z_stream stream = {.next_in = (unsigned char *)(uintptr_t)data,
			   .avail_in = (uInt)size,
			   .next_out = packed,
			   .avail_out = PACKED_MAX_BYTES};

	if (deflateInit2(&stream, levels[details & 3], Z_DEFLATED, bits, 8,
			 details & 8 ? Z_FIXED : Z_DEFAULT_STRATEGY) != Z_OK ||
	    deflate(&stream, Z_FINISH) != Z_STREAM_END)
		abort();
	deflateEnd(&stream);
	return stream.total_out;
}

static size_t make_body(enum making making, enum coding coding, unsigned details,
			const uint8_t *data, size_t size)
{
	size_t n;

	if (making == MAKE_AS_IT_IS) {
		memcpy(packed, data, size);
		return size;
	}
	if (making == MAKE_WRAPPED)
		return wrap(coding, data, size);
	if (making == MAKE_COMPRESSED || size < 3)
		return compress_all(coding, details, data, size);
	n = compress_all(coding, details, data + 2, size - 2);
	if (data[0] & 1)
		packed[(size_t)data[1] * n / 256] ^= (unsigned char)(1 << (data[0] >> 1 & 7));
	else if (data[0] & 2)
		n = (size_t)data[1] * n / 256;
	else
		packed[n++] = data[1];
	return n;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const size_t limits[] = {1, 64, 4095, 4096, 4097, ORACLE_MAX_BYTES};
	enum coding coding;
	struct expected expected;
	size_t len;

	if (size < 1 || size > PACKED_MAX_BYTES / 2)
		return 0;
	coding = data[0] & 4 ? CODING_DEFLATE : CODING_GZIP;
	len = make_body((enum making)(data[0] & 3), coding, data[0] >> 3, data + 1, size - 1);
	expected = ask_zlib(window_bits(coding, packed, len), packed, len);
	for (size_t i = 0; i < ARRAY_LEN(limits); i++)
		check(coding, len, limits[i], expected);
	if (expected.len > 1)
		check(coding, len, expected.len - 1, expected);
	if (expected.len > 0 && expected.len <= ORACLE_MAX_BYTES)
		check(coding, len, expected.len, expected);
	return 0;
}
