#include "sink_hash.h"

#include <endian.h>

/*
 * DESIGN: written from the XXH3 specification (doc/xxhash_spec.md of the xxHash project), in plain
 * portable form: the speed that the algorithm is known for is not needed for one text an exception.
 * The length picks one of six ways; the names below follow the specification.
 */

#define PRIME32_1 UINT64_C(0x9e3779b1)
#define PRIME32_2 UINT64_C(0x85ebca77)
#define PRIME32_3 UINT64_C(0xc2b2ae3d)
#define PRIME64_1 UINT64_C(0x9e3779b185ebca87)
#define PRIME64_2 UINT64_C(0xc2b2ae3d27d4eb4f)
#define PRIME64_3 UINT64_C(0x165667b19e3779f9)
#define PRIME64_4 UINT64_C(0x85ebca77c2b2ae63)
#define PRIME64_5 UINT64_C(0x27d4eb2f165667c5)
#define PRIME_MX1 UINT64_C(0x165667919e3779f9)
#define PRIME_MX2 UINT64_C(0x9fb21c651e98df25)

enum {
	SECRET_BYTES = 192,
	STRIPE_BYTES = 64,
	STRIPES_PER_BLOCK = 16
};

/* The specification's default secret. */
static const unsigned char secret[SECRET_BYTES] = {
	/* clang-format off */
	0xb8, 0xfe, 0x6c, 0x39, 0x23, 0xa4, 0x4b, 0xbe, 0x7c, 0x01, 0x81, 0x2c, 0xf7, 0x21, 0xad, 0x1c,
	0xde, 0xd4, 0x6d, 0xe9, 0x83, 0x90, 0x97, 0xdb, 0x72, 0x40, 0xa4, 0xa4, 0xb7, 0xb3, 0x67, 0x1f,
	0xcb, 0x79, 0xe6, 0x4e, 0xcc, 0xc0, 0xe5, 0x78, 0x82, 0x5a, 0xd0, 0x7d, 0xcc, 0xff, 0x72, 0x21,
	0xb8, 0x08, 0x46, 0x74, 0xf7, 0x43, 0x24, 0x8e, 0xe0, 0x35, 0x90, 0xe6, 0x81, 0x3a, 0x26, 0x4c,
	0x3c, 0x28, 0x52, 0xbb, 0x91, 0xc3, 0x00, 0xcb, 0x88, 0xd0, 0x65, 0x8b, 0x1b, 0x53, 0x2e, 0xa3,
	0x71, 0x64, 0x48, 0x97, 0xa2, 0x0d, 0xf9, 0x4e, 0x38, 0x19, 0xef, 0x46, 0xa9, 0xde, 0xac, 0xd8,
	0xa8, 0xfa, 0x76, 0x3f, 0xe3, 0x9c, 0x34, 0x3f, 0xf9, 0xdc, 0xbb, 0xc7, 0xc7, 0x0b, 0x4f, 0x1d,
	0x8a, 0x51, 0xe0, 0x4b, 0xcd, 0xb4, 0x59, 0x31, 0xc8, 0x9f, 0x7e, 0xc9, 0xd9, 0x78, 0x73, 0x64,
	0xea, 0xc5, 0xac, 0x83, 0x34, 0xd3, 0xeb, 0xc3, 0xc5, 0x81, 0xa0, 0xff, 0xfa, 0x13, 0x63, 0xeb,
	0x17, 0x0d, 0xdd, 0x51, 0xb7, 0xf0, 0xda, 0x49, 0xd3, 0x16, 0x55, 0x26, 0x29, 0xd4, 0x68, 0x9e,
	0x2b, 0x16, 0xbe, 0x58, 0x7d, 0x47, 0xa1, 0xfc, 0x8f, 0xf8, 0xb8, 0xd1, 0x7a, 0xd0, 0x31, 0xce,
	0x45, 0xcb, 0x3a, 0x8f, 0x95, 0x16, 0x04, 0x28, 0xaf, 0xd7, 0xfb, 0xca, 0xbb, 0x4b, 0x40, 0x7e,
	/* clang-format on */
};

static uint64_t read32(const void *p)
{
	uint32_t v;

	memcpy(&v, p, sizeof(v));
	return le32toh(v);
}

static uint64_t read64(const void *p)
{
	uint64_t v;

	memcpy(&v, p, sizeof(v));
	return le64toh(v);
}

static uint64_t rotate_left(uint64_t v, int bits)
{
	return v << bits | v >> (64 - bits);
}

/* The 128-bit product, its halves combined. */
static uint64_t multiply_fold(uint64_t a, uint64_t b)
{
	uint64_t low = (a & UINT32_MAX) * (b & UINT32_MAX);
	uint64_t middle = (a >> 32) * (b & UINT32_MAX) + (low >> 32);
	uint64_t other = (a & UINT32_MAX) * (b >> 32) + (middle & UINT32_MAX);

	return (((a >> 32) * (b >> 32)) + (middle >> 32) + (other >> 32)) ^
	       (other << 32 | (low & UINT32_MAX));
}

static uint64_t avalanche(uint64_t h)
{
	h = (h ^ h >> 37) * PRIME_MX1;
	return h ^ h >> 32;
}

static uint64_t avalanche_xxh64(uint64_t h)
{
	h = (h ^ h >> 33) * PRIME64_2;
	h = (h ^ h >> 29) * PRIME64_3;
	return h ^ h >> 32;
}

static uint64_t hash_up_to_3(const unsigned char *in, size_t len)
{
	uint64_t combined = (uint64_t)in[0] << 16 | (uint64_t)in[len >> 1] << 24 | in[len - 1] |
			    (uint64_t)len << 8;

	return avalanche_xxh64(combined ^ read32(secret) ^ read32(secret + 4));
}

static uint64_t hash_4_to_8(const unsigned char *in, size_t len)
{
	uint64_t h = read32(in + len - 4) + (read32(in) << 32);

	h ^= read64(secret + 8) ^ read64(secret + 16);
	h = (h ^ rotate_left(h, 49) ^ rotate_left(h, 24)) * PRIME_MX2;
	h = (h ^ ((h >> 35) + len)) * PRIME_MX2;
	return h ^ h >> 28;
}

static uint64_t hash_9_to_16(const unsigned char *in, size_t len)
{
	uint64_t low = read64(in) ^ read64(secret + 24) ^ read64(secret + 32);
	uint64_t high = read64(in + len - 8) ^ read64(secret + 40) ^ read64(secret + 48);

	return avalanche(len + __builtin_bswap64(low) + high + multiply_fold(low, high));
}

static uint64_t mix_16(const unsigned char *in, const unsigned char *key)
{
	return multiply_fold(read64(in) ^ read64(key), read64(in + 8) ^ read64(key + 8));
}

/* Pairs of 16 bytes from both ends towards the middle. */
static uint64_t hash_17_to_128(const unsigned char *in, size_t len)
{
	uint64_t h = len * PRIME64_1;

	for (size_t i = (len - 1) / 32 + 1; i-- > 0;) {
		h += mix_16(in + 16 * i, secret + 32 * i);
		h += mix_16(in + len - 16 * (i + 1), secret + 32 * i + 16);
	}
	return avalanche(h);
}

static uint64_t hash_129_to_240(const unsigned char *in, size_t len)
{
	uint64_t h = len * PRIME64_1;

	for (size_t i = 0; i < 8; i++)
		h += mix_16(in + 16 * i, secret + 16 * i);
	h = avalanche(h);
	for (size_t i = 8; i < len / 16; i++)
		h += mix_16(in + 16 * i, secret + 16 * (i - 8) + 3);
	return avalanche(h + mix_16(in + len - 16, secret + 136 - 17));
}

static void accumulate(uint64_t acc[8], const unsigned char *in, const unsigned char *key)
{
	for (size_t i = 0; i < 8; i++) {
		uint64_t value = read64(in + 8 * i);
		uint64_t keyed = value ^ read64(key + 8 * i);

		acc[i ^ 1] += value;
		acc[i] += (keyed & UINT32_MAX) * (keyed >> 32);
	}
}

static void scramble(uint64_t acc[8])
{
	for (size_t i = 0; i < 8; i++)
		acc[i] = (acc[i] ^ acc[i] >> 47 ^
			  read64(secret + SECRET_BYTES - STRIPE_BYTES + 8 * i)) *
			 PRIME32_1;
}

static uint64_t hash_long(const unsigned char *in, size_t len)
{
	uint64_t acc[8] = {PRIME32_3, PRIME64_1, PRIME64_2, PRIME64_3,
			   PRIME64_4, PRIME32_2, PRIME64_5, PRIME32_1};
	uint64_t h = len * PRIME64_1;
	size_t stripes = (len - 1) / STRIPE_BYTES;

	for (size_t i = 0; i < stripes; i++) {
		accumulate(acc, in + i * STRIPE_BYTES, secret + 8 * (i % STRIPES_PER_BLOCK));
		if (i % STRIPES_PER_BLOCK == STRIPES_PER_BLOCK - 1)
			scramble(acc);
	}
	accumulate(acc, in + len - STRIPE_BYTES, secret + SECRET_BYTES - STRIPE_BYTES - 7);
	for (size_t i = 0; i < 4; i++)
		h += multiply_fold(acc[2 * i] ^ read64(secret + 11 + 16 * i),
				   acc[2 * i + 1] ^ read64(secret + 11 + 16 * i + 8));
	return avalanche(h);
}

uint64_t sink_hash(struct view bytes)
{
	const unsigned char *in = (const unsigned char *)bytes.ptr;

	if (bytes.len == 0)
		return avalanche_xxh64(read64(secret + 56) ^ read64(secret + 64));
	if (bytes.len <= 3)
		return hash_up_to_3(in, bytes.len);
	if (bytes.len <= 8)
		return hash_4_to_8(in, bytes.len);
	if (bytes.len <= 16)
		return hash_9_to_16(in, bytes.len);
	if (bytes.len <= 128)
		return hash_17_to_128(in, bytes.len);
	if (bytes.len <= 240)
		return hash_129_to_240(in, bytes.len);
	return hash_long(in, bytes.len);
}
