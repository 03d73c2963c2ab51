/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <libdeflate.h>
#include <zlib.h>

#include "base/text.h"
#include "beacon/decode.h"
#include "fakes/sources.h"

/* zlib's deflater makes the input, as another implementation than ours.
 * --wrap=libdeflate_alloc_decompressor: fails where a test wants it to. */

enum {
	GZIP = 15 + 16,
	ZLIB = 15,
	RAW = -15,
	PLAIN_MAX = 1 << 20,
	PACKED_MAX = 1 << 21
};

static char plain[PLAIN_MAX];
static unsigned char packed[PACKED_MAX];

static size_t pack(int window_bits, size_t plain_len)
{
	z_stream stream = {.next_in = (unsigned char *)plain,
			   .avail_in = (uInt)plain_len,
			   .next_out = packed,
			   .avail_out = sizeof(packed)};

	assert_int_equal(deflateInit2(&stream, 6, Z_DEFLATED, window_bits, 8, Z_DEFAULT_STRATEGY),
			 Z_OK);
	assert_int_equal(deflate(&stream, Z_FINISH), Z_STREAM_END);
	assert_int_equal(deflateEnd(&stream), Z_OK);
	return stream.total_out;
}

static int fill_plain(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(plain); i++)
		plain[i] = "{\"message\": \"text\", \"n\": 123}\n"[(i * i / 7) % 29];
	return 0;
}

static const struct {
	enum coding coding;
	int window_bits;
} formats[] = {{CODING_GZIP, GZIP}, {CODING_DEFLATE, ZLIB}, {CODING_DEFLATE, RAW}};
enum {
	FORMATS = ARRAY_LEN(formats)
};

static enum verdict run(enum coding coding, size_t packed_len, size_t max, struct buf *out)
{
	struct decoder decoder;
	const char *detail = NULL;
	enum verdict verdict;

	buf_init(out, max, NULL);
	decoder_init(&decoder);
	verdict = decode(&decoder, coding, (struct view){(char *)packed, packed_len}, out, &detail);
	decoder_release(&decoder);
	if (verdict == VERDICT_BAD_ENCODING)
		assert_true(strlen(detail) > 20);
	if (verdict != VERDICT_OK)
		assert_int_equal(out->len, 0);
	return verdict;
}

static enum verdict run_and_release(enum coding coding, size_t packed_len, size_t max)
{
	struct buf out;
	enum verdict verdict = run(coding, packed_len, max, &out);

	buf_release(&out);
	return verdict;
}

static void test_decode__every_format_and_size__comes_back(void **state)
{
	static const size_t sizes[] = {0, 1, 2, 4095, 4096, 4097, 65536, PLAIN_MAX};

	(void)state;
	for (size_t f = 0; f < FORMATS; f++) {
		for (size_t s = 0; s < ARRAY_LEN(sizes); s++) {
			struct buf out;
			size_t n = pack(formats[f].window_bits, sizes[s]);

			assert_int_equal(run(formats[f].coding, n, PLAIN_MAX, &out), VERDICT_OK);
			assert_int_equal(out.len, sizes[s]);
			if (sizes[s] > 0)
				assert_memory_equal(out.data, plain, sizes[s]);
			buf_release(&out);
		}
	}
}

/* A stored block may have any bits before its length; with these it begins as zlib's format does,
 * all but the remainder. */
static void test_decode__raw_that_begins_like_zlib__comes_back(void **state)
{
	static const char raw[] = "\x08\2\0\xfd\xff{}" /* a stored block, not the last one */
				  "\3\0";              /* the last one, empty */
	struct buf out;

	(void)state;
	memcpy(packed, raw, sizeof(raw) - 1);
	assert_int_equal(run(CODING_DEFLATE, sizeof(raw) - 1, PLAIN_MAX, &out), VERDICT_OK);
	assert_int_equal(out.len, 2);
	assert_memory_equal(out.data, "{}", 2);
	buf_release(&out);
}

static void test_decode__cap__is_exact(void **state)
{
	(void)state;
	for (size_t f = 0; f < FORMATS; f++) {
		size_t n = pack(formats[f].window_bits, 50000);

		assert_int_equal(run_and_release(formats[f].coding, n, 49999), VERDICT_TOO_LARGE);
		assert_int_equal(run_and_release(formats[f].coding, n, 50000), VERDICT_OK);
		assert_int_equal(run_and_release(formats[f].coding, n, 50001), VERDICT_OK);
	}
}

/* The raw form has no checksum and no trailer, so its cuts are found by the missing final block. */
static void test_decode__cut_anywhere__rejected(void **state)
{
	(void)state;
	for (size_t f = 0; f < FORMATS; f++) {
		size_t n = pack(formats[f].window_bits, 3000);

		for (size_t cut = 0; cut < n; cut++)
			assert_int_equal(run_and_release(formats[f].coding, cut, PLAIN_MAX),
					 VERDICT_BAD_ENCODING);
	}
}

/* What is missing may look like more content, so either refusal is right. */
static void test_decode__cut_at_the_cap__rejected(void **state)
{
	size_t n;

	(void)state;
	n = pack(GZIP, 3000);
	for (size_t cut = 0; cut < n; cut++)
		assert_int_not_equal(run_and_release(CODING_GZIP, cut, 3000), VERDICT_OK);
	assert_int_equal(run_and_release(CODING_GZIP, n, 3000), VERDICT_OK);
}

static void test_decode__trailing_bytes__rejected(void **state)
{
	(void)state;
	for (size_t f = 0; f < FORMATS; f++) {
		size_t n = pack(formats[f].window_bits, 3000);

		packed[n] = 0;
		assert_int_equal(run_and_release(formats[f].coding, n + 1, PLAIN_MAX),
				 VERDICT_BAD_ENCODING);
	}
}

static void test_decode__second_gzip_member__rejected(void **state)
{
	size_t n;

	(void)state;
	n = pack(GZIP, 3000);
	memcpy(packed + n, packed, n);
	assert_int_equal(run_and_release(CODING_GZIP, 2 * n, PLAIN_MAX), VERDICT_BAD_ENCODING);
}

static void test_decode__bad_checksum_or_length__rejected(void **state)
{
	(void)state;
	for (size_t back = 1; back <= 8; back++) {
		size_t n = pack(GZIP, 3000);

		packed[n - back] ^= 1;
		assert_int_equal(run_and_release(CODING_GZIP, n, PLAIN_MAX), VERDICT_BAD_ENCODING);
	}
	for (size_t back = 1; back <= 4; back++) {
		size_t n = pack(ZLIB, 3000);

		packed[n - back] ^= 1;
		assert_int_equal(run_and_release(CODING_DEFLATE, n, PLAIN_MAX),
				 VERDICT_BAD_ENCODING);
	}
}

static void test_decode__not_compressed_at_all__rejected(void **state)
{
	(void)state;
	memcpy(packed, "{\"meta\":{}}", 11);
	assert_int_equal(run_and_release(CODING_GZIP, 11, PLAIN_MAX), VERDICT_BAD_ENCODING);
	assert_int_equal(run_and_release(CODING_DEFLATE, 11, PLAIN_MAX), VERDICT_BAD_ENCODING);
}

/* A megabyte of one letter packs to about a kilobyte: the output stops at its maximum. */
static void test_decode__bomb__stops_at_the_cap(void **state)
{
	struct budget budget;
	struct decoder decoder;
	const char *detail;
	struct buf out;
	size_t n;

	(void)state;
	memset(plain, 'a', sizeof(plain));
	n = pack(GZIP, sizeof(plain));
	assert_true(n < 2000);
	/* A length in the trailer that is far too small changes nothing. */
	packed[n - 2] = packed[n - 3] = 0;
	assert_int_equal(run_and_release(CODING_GZIP, n, 100000), VERDICT_TOO_LARGE);
	n = pack(GZIP, sizeof(plain));
	budget_init(&budget, SIZE_MAX);
	buf_init(&out, 100000, &budget);
	decoder_init(&decoder);
	assert_int_equal(
		decode(&decoder, CODING_GZIP, (struct view){(char *)packed, n}, &out, &detail),
		VERDICT_TOO_LARGE);
	assert_true(budget_used(&budget) <= 100000);

	/* The same inflater, and a budget that is too small instead of a maximum. */
	buf_release(&out);
	budget_init(&budget, 50000);
	buf_init(&out, 100000, &budget);
	assert_int_equal(
		decode(&decoder, CODING_GZIP, (struct view){(char *)packed, n}, &out, &detail),
		VERDICT_OVERLOADED);
	buf_release(&out);
	decoder_release(&decoder);
	fill_plain(NULL);
}

static void test_decode__after_a_failure__the_inflater_still_works(void **state)
{
	struct decoder decoder;
	const char *detail;
	struct buf out;

	(void)state;
	decoder_init(&decoder);
	for (size_t f = 0; f < FORMATS; f++) {
		size_t n = pack(formats[f].window_bits, 3000);

		buf_init(&out, PLAIN_MAX, NULL);
		assert_int_equal(decode(&decoder, formats[f].coding,
					(struct view){(char *)packed, n / 2}, &out, &detail),
				 VERDICT_BAD_ENCODING);
		assert_int_equal(decode(&decoder, formats[f].coding,
					(struct view){(char *)packed, n}, &out, &detail),
				 VERDICT_OK);
		assert_int_equal(out.len, 3000);
		buf_release(&out);
	}
	decoder_release(&decoder);
}

static bool no_inflater;
struct libdeflate_decompressor *__real_libdeflate_alloc_decompressor(void);
struct libdeflate_decompressor *__wrap_libdeflate_alloc_decompressor(void);

struct libdeflate_decompressor *__wrap_libdeflate_alloc_decompressor(void)
{
	return no_inflater ? NULL : __real_libdeflate_alloc_decompressor();
}

static void test_decode__no_memory_for_the_inflater__overloaded(void **state)
{
	size_t n = pack(GZIP, 100);

	(void)state;
	no_inflater = true;
	assert_int_equal(run_and_release(CODING_GZIP, n, PLAIN_MAX), VERDICT_OVERLOADED);
	no_inflater = false;
	assert_int_equal(run_and_release(CODING_GZIP, n, PLAIN_MAX), VERDICT_OK);
}

static void test_decode_coding__names(void **state)
{
	static const struct {
		const char *value;
		enum coding expected;
	} rows[] = {
		{NULL, CODING_IDENTITY},        {"", CODING_IDENTITY},
		{"identity", CODING_IDENTITY},  {"gzip", CODING_GZIP},
		{"GZip", CODING_GZIP},          {" gzip\t", CODING_GZIP},
		{"\tgzip ", CODING_GZIP},       {" \t ", CODING_IDENTITY},
		{"deflate", CODING_DEFLATE},    {"br", CODING_UNKNOWN},
		{"x-gzip", CODING_UNKNOWN},     {"gzi", CODING_UNKNOWN},
		{"gzip, gzip", CODING_UNKNOWN}, /* one coding at most */
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		assert_int_equal(decode_coding(view_of(rows[i].value)), rows[i].expected);
}

static void test_decode__what_a_browser_is_told__names_every_coding(void **state)
{
	static const struct {
		const char *name;
		enum coding coding;
	} rows[] = {
#define ROW(constant, name, find_format) {name, CODING_##constant},
		CODINGS(ROW, ROW)
#undef ROW
	};

	(void)state;
	assert_string_equal(decode_accept_encoding, "gzip, deflate");
	assert_string_equal(decode_advice, "Send Content-Encoding: gzip or deflate, one of them at "
					   "most, or none.");
	assert_int_equal(ARRAY_LEN(rows), CODING_UNKNOWN - 1); /* all but identity */
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		assert_int_equal(decode_coding(view_of(rows[i].name)), rows[i].coding);
		assert_non_null(strstr(decode_accept_encoding, rows[i].name));
		assert_non_null(strstr(decode_advice, rows[i].name));
	}
}

static bool file_says(const char *name, const char *text)
{
	static char content[1 << 18];

	return strstr(read_source(name, content, sizeof(content)), text) != NULL;
}

static void test_decode__manual_and_guide__name_every_coding(void **state)
{
	(void)state;
	assert_true(file_says("man/faro-ingest.8", decode_accept_encoding));
	assert_true(file_says("docs/REPLIES.md", decode_accept_encoding));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_decode__every_format_and_size__comes_back),
		cmocka_unit_test(test_decode__raw_that_begins_like_zlib__comes_back),
		cmocka_unit_test(test_decode__cap__is_exact),
		cmocka_unit_test(test_decode__cut_anywhere__rejected),
		cmocka_unit_test(test_decode__cut_at_the_cap__rejected),
		cmocka_unit_test(test_decode__trailing_bytes__rejected),
		cmocka_unit_test(test_decode__second_gzip_member__rejected),
		cmocka_unit_test(test_decode__bad_checksum_or_length__rejected),
		cmocka_unit_test(test_decode__not_compressed_at_all__rejected),
		cmocka_unit_test(test_decode__bomb__stops_at_the_cap),
		cmocka_unit_test(test_decode__after_a_failure__the_inflater_still_works),
		cmocka_unit_test(test_decode__no_memory_for_the_inflater__overloaded),
		cmocka_unit_test(test_decode_coding__names),
		cmocka_unit_test(test_decode__what_a_browser_is_told__names_every_coding),
		cmocka_unit_test(test_decode__manual_and_guide__name_every_coding),
	};

	return cmocka_run_group_tests(tests, fill_plain, NULL);
}
