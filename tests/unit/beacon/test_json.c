/* SPDX-License-Identifier: Apache-2.0 */
/* json: what it accepts, where it points when it does not, and Go's key folding. Run with each set of
 * loops: this is built a second time with -DJSON_PLAIN, and without it is run for AVX2 as well. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/text.h"
#include "beacon/json.h"
#include "beacon/json_avx2.h"

struct scan {
	enum json_error error;
	size_t offset;
};

/* The text is copied to the very end of an allocation, so that a sanitizer sees any read too far.
 */
static struct scan scan_exact(struct view text)
{
	char *copy = malloc(text.len ? text.len : 1);
	struct json json;
	struct scan result;

	assert_non_null(copy);
	if (text.len > 0)
		memcpy(copy, text.ptr, text.len);
	json_init(&json, (struct view){copy, text.len});
	json_skip(&json);
	json_finish(&json);
	result = (struct scan){json.error, json_offset(&json)};
	free(copy);
	return result;
}

static struct scan scan_between(const char *before, struct view text, const char *after)
{
	struct buf buf;
	struct scan result;

	buf_init(&buf, (size_t)64 << 20, NULL);
	assert_int_equal(buf_append(&buf, before, strlen(before)), BUF_OK);
	assert_int_equal(buf_append(&buf, text.ptr, text.len), BUF_OK);
	assert_int_equal(buf_append(&buf, after, strlen(after)), BUF_OK);
	result = scan_exact((struct view){buf.data, buf.len});
	buf_release(&buf);
	return result;
}

struct row {
	struct view text;
	enum json_error error;
	size_t offset; /* where the error is; for JSON_OK not looked at */
};

/* Every row at every position relative to the 16 bytes of a wide step, with much and with nothing
 * behind it. */
static void check_rows(const struct row *rows, size_t count)
{
	char pad[48], behind[2 * JSON_ROOM + 1];

	memset(behind, ' ', sizeof(behind));
	behind[sizeof(behind) - 1] = '\0';
	for (size_t i = 0; i < count; i++) {
		for (size_t n = 0; n < sizeof(pad); n++) {
			struct scan found;

			memset(pad, ' ', sizeof(pad));
			pad[n] = '\0';
			found = scan_between(pad, rows[i].text, "");
			if (found.error != rows[i].error ||
			    (rows[i].error != JSON_OK && found.offset != n + rows[i].offset))
				fail_msg("row %zu (%.*s), %zu before: error %d at %zu", i,
					 (int)rows[i].text.len, rows[i].text.ptr, n,
					 (int)found.error, found.offset);
			if (rows[i].error == JSON_TRUNCATED)
				continue;
			found = scan_between(pad, rows[i].text, behind);
			if (found.error != rows[i].error ||
			    (rows[i].error != JSON_OK && found.offset != n + rows[i].offset))
				fail_msg("row %zu, %zu before, space behind: error %d at %zu", i, n,
					 (int)found.error, found.offset);
		}
	}
}

#define ROW(text, error, offset)                  \
	{                                         \
		VIEW_LITERAL(text), error, offset \
	}
#define CHECK(rows) check_rows(rows, sizeof(rows) / sizeof((rows)[0]))

static void test_values__well_formed__accepted(void **state)
{
	static const struct row rows[] = {
		ROW("{}", JSON_OK, 0),
		ROW("[]", JSON_OK, 0),
		ROW("[[],{},[{}],{\"a\":[]}]", JSON_OK, 0),
		ROW("{ \"a\" : 1 , \"b\" : [ 1 , 2 ] }", JSON_OK, 0),
		ROW("\t\r\n {\n\t\"a\"\r\n:\n{}}", JSON_OK, 0),
		ROW("true", JSON_OK, 0),
		ROW("false", JSON_OK, 0),
		ROW("null", JSON_OK, 0),
		ROW("\"\"", JSON_OK, 0),
		ROW("{\"a\":1,\"a\":2}", JSON_OK, 0), /* repeats are not this module's concern */
		ROW("{\"\":0}", JSON_OK, 0),
	};

	(void)state;
	CHECK(rows);
}

static void test_values__malformed__rejected_at_the_byte(void **state)
{
	static const struct row rows[] = {
		ROW("", JSON_TRUNCATED, 0),         ROW("{", JSON_TRUNCATED, 1),
		ROW("{\"a\"", JSON_TRUNCATED, 4),   ROW("{\"a\":", JSON_TRUNCATED, 5),
		ROW("{\"a\":1", JSON_TRUNCATED, 6), ROW("{\"a\":1,", JSON_TRUNCATED, 7),
		ROW("[1", JSON_TRUNCATED, 2),       ROW("[1,", JSON_TRUNCATED, 3),
		ROW("[1,]", JSON_SYNTAX, 3),        ROW("[,1]", JSON_SYNTAX, 1),
		ROW("[1 2]", JSON_SYNTAX, 3),       ROW("[1}", JSON_SYNTAX, 2),
		ROW("{\"a\":1]", JSON_SYNTAX, 6),   ROW("{\"a\":1,}", JSON_SYNTAX, 7),
		ROW("{,\"a\":1}", JSON_SYNTAX, 1),  ROW("{\"a\" 1}", JSON_SYNTAX, 5),
		ROW("{\"a\"::1}", JSON_SYNTAX, 5),  ROW("{a:1}", JSON_SYNTAX, 1),
		ROW("{1:1}", JSON_SYNTAX, 1),       ROW("{'a':1}", JSON_SYNTAX, 1),
		ROW("{\"a\":}", JSON_SYNTAX, 5),    ROW("{\"a\":/**/1}", JSON_SYNTAX, 5),
		ROW("]", JSON_SYNTAX, 0),           ROW("tru", JSON_SYNTAX, 0),
		ROW("truE", JSON_SYNTAX, 0),        ROW("nul", JSON_SYNTAX, 0),
		ROW("NaN", JSON_SYNTAX, 0),         ROW("\v1", JSON_SYNTAX, 0),
		ROW("\0", JSON_SYNTAX, 0),          ROW("1 1", JSON_TRAILING, 2),
		ROW("{}{}", JSON_TRAILING, 2),      ROW("{}\0", JSON_TRAILING, 2),
		ROW("truex", JSON_TRAILING, 4),     ROW("{}]", JSON_TRAILING, 2),
	};

	(void)state;
	CHECK(rows);
}

static void test_bom__any_place__rejected(void **state)
{
	(void)state;
	assert_int_equal(scan_exact(VIEW_LITERAL("\xef\xbb\xbf{}")).error, JSON_BOM);
	assert_int_equal(scan_exact(VIEW_LITERAL("\xef\xbb\xbf")).error, JSON_BOM);
	assert_int_equal(scan_exact(VIEW_LITERAL(" \xef\xbb\xbf{}")).error, JSON_SYNTAX);
	assert_int_equal(scan_exact(VIEW_LITERAL("\xfe\xff\0{\0}")).error,
			 JSON_SYNTAX); /* UTF-16 */
	assert_int_equal(scan_exact(VIEW_LITERAL("{\0}\0")).error, JSON_SYNTAX);
}

static void test_nothing_at_all__is_truncated(void **state)
{
	struct json json;

	(void)state;
	json_init(&json, (struct view){NULL, 0});
	assert_false(json_skip(&json));
	assert_int_equal(json.error, JSON_TRUNCATED);
	assert_int_equal(json_offset(&json), 0);
}

static void test_numbers__as_the_rfc_has_them(void **state)
{
	static const struct row rows[] = {
		ROW("0", JSON_OK, 0),
		ROW("-0", JSON_OK, 0),
		ROW("10", JSON_OK, 0),
		ROW("-0.0e-0", JSON_OK, 0),
		ROW("1E+2", JSON_OK, 0),
		ROW("1e400", JSON_OK, 0),
		ROW("18446744073709551616000000000000000000000000", JSON_OK, 0),
		ROW("1234.0999999046326000000000000000000000001e12345678901234567890", JSON_OK, 0),
		ROW("-", JSON_TRUNCATED, 1),
		ROW("1.", JSON_TRUNCATED, 2),
		ROW("1e", JSON_TRUNCATED, 2),
		ROW("1e+", JSON_TRUNCATED, 3),
		ROW("[01]", JSON_BAD_NUMBER, 3),
		ROW("[-01]", JSON_BAD_NUMBER, 4),
		ROW("[-]", JSON_BAD_NUMBER, 2),
		ROW("[--1]", JSON_BAD_NUMBER, 2),
		ROW("[1.e1]", JSON_BAD_NUMBER, 3),
		ROW("[1e.1]", JSON_BAD_NUMBER, 3),
		ROW("[1e+-1]", JSON_BAD_NUMBER, 4),
		ROW("[+1]", JSON_SYNTAX, 1),
		ROW("[.1]", JSON_SYNTAX, 1),
		ROW("[0x1]", JSON_SYNTAX, 2),
		ROW("[1_000]", JSON_SYNTAX, 2),
		ROW("[1.2.3]", JSON_SYNTAX, 4),
		ROW("[-Infinity]", JSON_BAD_NUMBER, 2),
	};

	(void)state;
	CHECK(rows);
}

static void test_strings__escapes_and_controls(void **state)
{
	static const struct row rows[] = {
		ROW("\"\\\" \\\\ \\/ \\b \\f \\n \\r \\t \\u0041\"", JSON_OK, 0),
		ROW("\"\\u0000\"", JSON_OK, 0),
		ROW("\"\\ud800\"", JSON_OK, 0),        /* lone high surrogate */
		ROW("\"\\udc00\\ud800\"", JSON_OK, 0), /* in the wrong order */
		ROW("\"\\ud83d\\ude00\"", JSON_OK, 0),
		ROW("\"\x7f\"", JSON_OK, 0), /* DEL is no control character for JSON */
		ROW("\"", JSON_TRUNCATED, 1),
		ROW("\"abc", JSON_TRUNCATED, 4),
		ROW("\"abcdefghijklmnopqrstuvwxyz0123456789", JSON_TRUNCATED, 37),
		ROW("\"a\\", JSON_BAD_STRING, 2),
		ROW("\"a\\\"", JSON_TRUNCATED, 4),
		ROW("\"\\x\"", JSON_BAD_STRING, 1),
		ROW("\"\\U0041\"", JSON_BAD_STRING, 1),
		ROW("\"\\u004\"", JSON_BAD_STRING, 1),
		ROW("\"\\ug001\"", JSON_BAD_STRING, 1),
		ROW("\"\\u0g01\"", JSON_BAD_STRING, 1),
		ROW("\"\\u00g1\"", JSON_BAD_STRING, 1),
		ROW("\"\\u001g\"", JSON_BAD_STRING, 1),
		ROW("\"\\u004\xc3\xa9\"", JSON_BAD_STRING, 1),
		ROW("\"a\nb\"", JSON_BAD_STRING, 2),
		ROW("\"a\x1f\"", JSON_BAD_STRING, 2),
		ROW("\"a\0b\"", JSON_BAD_STRING, 2),
	};

	(void)state;
	CHECK(rows);
}

/* Table 3-7 of the Unicode standard, each row at its ends and one beyond them. The categories of
 * the JSON Parsing Test Suite that are not valid UTF-8 are all here. */
static void test_utf8__well_formed_only(void **state)
{
	static const struct row rows[] = {
		ROW("\"\xc2\x80\xdf\xbf\"", JSON_OK, 0),
		ROW("\"\xe0\xa0\x80\xe0\xbf\xbf\"", JSON_OK, 0),
		ROW("\"\xe1\x80\x80\xec\xbf\xbf\xed\x9f\xbf\xee\x80\x80\xef\xbf\xbf\"", JSON_OK, 0),
		ROW("\"\xf0\x90\x80\x80\xf1\x80\x80\x80\xf4\x8f\xbf\xbf\"", JSON_OK, 0),
		ROW("\"\xef\xbb\xbf\"", JSON_OK, 0), /* U+FEFF inside a string */
		ROW("\"\x80\"", JSON_BAD_UTF8, 1),   /* lone continuation */
		ROW("\"\xbf\"", JSON_BAD_UTF8, 1),
		ROW("\"\xc0\xaf\"", JSON_BAD_UTF8, 1), /* overlong, 2 bytes */
		ROW("\"\xc1\xbf\"", JSON_BAD_UTF8, 1),
		ROW("\"\xe0\x9f\xbf\"", JSON_BAD_UTF8, 1), /* overlong, 3 bytes */
		ROW("\"\xf0\x8f\xbf\xbf\"", JSON_BAD_UTF8, 1),
		ROW("\"\xed\xa0\x80\"", JSON_BAD_UTF8, 1), /* encoded surrogates */
		ROW("\"\xed\xbf\xbf\"", JSON_BAD_UTF8, 1),
		ROW("\"\xf4\x90\x80\x80\"", JSON_BAD_UTF8, 1), /* above U+10FFFF */
		ROW("\"\xf5\x80\x80\x80\"", JSON_BAD_UTF8, 1),
		ROW("\"\xf8\x88\x80\x80\x80\"", JSON_BAD_UTF8, 1), /* five and six bytes */
		ROW("\"\xfc\x83\xbf\xbf\xbf\xbf\"", JSON_BAD_UTF8, 1),
		ROW("\"\xff\"", JSON_BAD_UTF8, 1),
		ROW("\"\xe9\"", JSON_BAD_UTF8, 1), /* ISO Latin-1 */
		ROW("\"\xc3\"", JSON_BAD_UTF8, 1), /* cut by the quote */
		ROW("\"\xe2\x82\"", JSON_BAD_UTF8, 1),
		ROW("\"\xf0\x9f\x98\"", JSON_BAD_UTF8, 1),
		ROW("\"\xe2", JSON_BAD_UTF8, 1), /* cut by the end */
		ROW("\"\xf0\x9f\x98", JSON_BAD_UTF8, 1),
		ROW("\"\xc3\xa9\xe2\x82\xac\xc3\"", JSON_BAD_UTF8, 6), /* after good ones */
		ROW("[\xe9]", JSON_SYNTAX, 1),
		ROW("[1\xe5]", JSON_SYNTAX, 2),
		ROW("{\"x\":\"\xff\"}", JSON_BAD_UTF8, 6),
		ROW("{\"\xff\":1}", JSON_BAD_UTF8, 2),
		ROW("[\"\\\xe5\"]", JSON_BAD_STRING, 2),
		ROW("[\"\\u\xe5\"]", JSON_BAD_STRING, 2),
		ROW("[1e1\xe5]", JSON_SYNTAX, 4),
		ROW("[1e\xe5]", JSON_BAD_NUMBER, 3),
		ROW("[0\xe5]", JSON_SYNTAX, 2),
		ROW("\xe9", JSON_SYNTAX, 0), /* nothing but one letter in Latin-1 */
		ROW("{\"\xb9\":\"0\",}", JSON_BAD_UTF8, 2),
		ROW("\xef\xbb{}", JSON_SYNTAX, 0), /* two thirds of a byte order mark */
		ROW("\xff\xfe[\0\"\0\xe9\0\"\0]\0", JSON_SYNTAX, 0), /* UTF-16, little end first */
		ROW("[\0\"\0\xe9\0\"\0]\0", JSON_SYNTAX, 1),
		ROW("\0[\0\"\0\xe9\0\"\0]", JSON_SYNTAX, 0),
	};

	(void)state;
	CHECK(rows);
}

/* The reference is a plain reading of RFC 3629, all two- and three-byte combinations. */
static bool well_formed(unsigned a, unsigned b, unsigned c)
{
	if ((b & 0xc0) != 0x80 || (c & 0xc0) != 0x80 || (a & 0xf0) != 0xe0)
		return false;
	a = (a & 0x0f) << 12 | (b & 0x3f) << 6 | (c & 0x3f);
	return a >= 0x800 && !(a >= 0xd800 && a <= 0xdfff);
}

static void test_utf8__every_three_bytes__as_rfc_3629(void **state)
{
	(void)state;
	for (unsigned a = 0xe0; a < 0xf0; a++)
		for (unsigned b = 0x60; b < 0x100; b++)
			for (unsigned c = 0x7f; c < 0x100; c += c == 0x80 ? 0x3f : 1) {
				const char text[] = {'"', (char)a, (char)b, (char)c, '"'};
				struct json json;

				json_init(&json, (struct view){text, sizeof(text)});
				assert_int_equal(json_skip(&json), well_formed(a, b, c));
			}
}

static void nest(struct buf *buf, unsigned depth, const char *open, const char *close)
{
	buf_clear(buf);
	for (unsigned i = 0; i < depth; i++)
		buf_append(buf, open, strlen(open));
	buf_append(buf, "0", 1);
	for (unsigned i = 0; i < depth; i++)
		buf_append(buf, close, strlen(close));
}

static void test_depth__64_accepted_65_rejected(void **state)
{
	static const char *const kinds[][2] = {{"[", "]"}, {"{\"a\":", "}"}, {"[{\"a\":", "}]"}};
	struct buf buf;

	(void)state;
	buf_init(&buf, 1 << 20, NULL);
	for (size_t kind = 0; kind < 3; kind++) {
		unsigned at_once = kind == 2 ? 2 : 1;

		for (unsigned depth = 63; depth <= 66; depth++) {
			if (depth % at_once != 0)
				continue;
			nest(&buf, depth / at_once, kinds[kind][0], kinds[kind][1]);
			assert_int_equal(scan_exact((struct view){buf.data, buf.len}).error,
					 depth <= 64 ? JSON_OK : JSON_TOO_DEEP);
		}
	}
	/* The same for a caller that walks down by itself, and for both together. */
	nest(&buf, 65, "[", "]");
	for (unsigned entered = 0; entered <= 65; entered++) {
		struct json json;

		json_init(&json, (struct view){buf.data, buf.len});
		for (unsigned i = 0; i < entered; i++)
			if (json_enter(&json, JSON_ARRAY))
				json_element(&json);
		assert_false(json_skip(&json));
		assert_int_equal(json.error, JSON_TOO_DEEP);
		assert_int_equal(json_offset(&json), 64);
	}
	buf_release(&buf);
}

static void test_long_string__5_mib__accepted(void **state)
{
	size_t n = (size_t)5 << 20;
	char *text = malloc(n);
	struct json json;

	(void)state;
	assert_non_null(text);
	memset(text, 'x', n);
	text[0] = text[n - 1] = '"';
	json_init(&json, (struct view){text, n});
	assert_true(json_skip(&json) && json_finish(&json));
	text[n / 2] = '\x01';
	json_init(&json, (struct view){text, n});
	assert_false(json_skip(&json));
	assert_int_equal(json_offset(&json), n / 2);
	free(text);
}

static void test_cursor__walks_members_and_elements_with_offsets(void **state)
{
	struct json json;
	struct json_string key, value;

	(void)state;
	json_init(&json, VIEW_LITERAL(" {\"a\" : [1, {} ,\"x\\n\"], \"\\u0062\":null}"));
	assert_int_equal(json_peek(&json), JSON_OBJECT);
	assert_int_equal(json_offset(&json), 1);
	assert_true(json_enter(&json, JSON_OBJECT));
	assert_true(json_member(&json, &key));
	assert_int_equal(key.offset, 2);
	assert_true(key.plain && view_equals((struct view){key.ptr, key.len}, VIEW_LITERAL("a")));
	assert_true(json_enter(&json, JSON_ARRAY));
	assert_true(json_element(&json));
	assert_int_equal(json_peek(&json), JSON_NUMBER);
	assert_true(json_skip(&json));
	assert_true(json_element(&json));
	assert_int_equal(json.separator, 10);
	assert_int_equal(json_offset(&json), 12);
	assert_true(json_skip(&json));
	assert_true(json_element(&json));
	assert_true(json_read_string(&json, &value));
	assert_false(value.plain);
	assert_false(json_element(&json));
	assert_int_equal(json_offset(&json), 22);
	assert_true(json_member(&json, &key));
	assert_false(key.plain);
	assert_int_equal(json_peek(&json), JSON_NULL);
	assert_true(json_skip(&json));
	assert_false(json_member(&json, &key));
	assert_true(json_finish(&json));
}

static void test_cursor__peek_tells_the_type(void **state)
{
	static const struct {
		const char *text;
		enum json_type type;
	} rows[] = {
		{"{", JSON_OBJECT},    {"[", JSON_ARRAY}, {"\"", JSON_STRING}, {"7", JSON_NUMBER},
		{"-", JSON_NUMBER},    {"t", JSON_TRUE},  {"f", JSON_FALSE},   {"n", JSON_NULL},
		{" \n1", JSON_NUMBER}, {"x", JSON_NONE},  {":", JSON_NONE},    {"/", JSON_NONE},
		{"]", JSON_NONE},      {"", JSON_NONE},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct json json;

		json_init(&json, view_of(rows[i].text));
		assert_int_equal(json_peek(&json), rows[i].type);
		assert_false(json_failed(&json));
	}
}

static void test_cursor__first_error_sticks(void **state)
{
	struct json json;
	struct json_string key;

	(void)state;
	json_init(&json, VIEW_LITERAL("{\"a\":1 \"b\":2}"));
	assert_true(json_enter(&json, JSON_OBJECT));
	assert_true(json_member(&json, &key));
	assert_true(json_skip(&json));
	assert_false(json_member(&json, &key));
	assert_int_equal(json.error, JSON_SYNTAX);
	assert_int_equal(json_offset(&json), 7);
	assert_int_equal(json_peek(&json), JSON_NONE);
	assert_false(json_enter(&json, JSON_OBJECT));
	assert_false(json_element(&json));
	assert_false(json_skip(&json));
	assert_false(json_read_string(&json, &key));
	assert_false(json_finish(&json));
	json_stop(&json);
	assert_int_equal(json.error, JSON_SYNTAX);
	assert_int_equal(json_offset(&json), 7);
}

static void test_cursor__wrong_type__is_an_error(void **state)
{
	struct json json;
	struct json_string string;

	(void)state;
	json_init(&json, VIEW_LITERAL("[]"));
	assert_false(json_enter(&json, JSON_OBJECT));
	assert_int_equal(json.error, JSON_SYNTAX);
	json_init(&json, VIEW_LITERAL("1"));
	assert_false(json_read_string(&json, &string));
	assert_int_equal(json.error, JSON_SYNTAX);
	json_init(&json, VIEW_LITERAL("\"\x01\""));
	assert_false(json_read_string(&json, &string));
	assert_int_equal(json.error, JSON_BAD_STRING);
	json_init(&json, VIEW_LITERAL("[1,]"));
	assert_true(json_enter(&json, JSON_ARRAY) && json_element(&json) && json_skip(&json));
	assert_false(json_element(&json));
	assert_int_equal(json.error, JSON_SYNTAX);
}

static void test_empty_keys__only_where_asked__rejected(void **state)
{
	static const char *const texts[] = {"{\"\":1}", "{\"a\":1,\"\":1}", "[{\"a\":{\"\":{}}}]"};
	static const size_t offsets[] = {1, 7, 7};

	(void)state;
	for (size_t i = 0; i < 3; i++) {
		struct json json;

		json_init(&json, view_of(texts[i]));
		assert_true(json_skip(&json));
		json_init(&json, view_of(texts[i]));
		json.refuse_empty_keys = true;
		assert_false(json_skip(&json));
		assert_int_equal(json.error, JSON_EMPTY_KEY);
		assert_int_equal(json_offset(&json), offsets[i]);
	}
}

/* Reads a JSON string literal, so that `plain` is what the scanner says. */
static struct json_string string_in(struct view literal)
{
	struct json_string string;
	struct json json;

	json_init(&json, literal);
	assert_true(json_read_string(&json, &string));
	return string;
}

static void test_match__folds_as_go_does(void **state)
{
	static const struct {
		struct view literal;
		struct view name;
		enum json_match match;
	} rows[] = {
		{VIEW_LITERAL("\"meta\""), VIEW_LITERAL("meta"), JSON_SAME},
		{VIEW_LITERAL("\"META\""), VIEW_LITERAL("meta"), JSON_ALIKE},
		{VIEW_LITERAL("\"m\\u0065ta\""), VIEW_LITERAL("meta"), JSON_ALIKE},
		{VIEW_LITERAL("\"m\\u0045ta\""), VIEW_LITERAL("meta"), JSON_ALIKE},
		{VIEW_LITERAL("\"name\xc5\xbfpace\""), VIEW_LITERAL("namespace"), JSON_ALIKE},
		{VIEW_LITERAL("\"name\\u017fpace\""), VIEW_LITERAL("namespace"), JSON_ALIKE},
		{VIEW_LITERAL("\"\xe2\x84\xaa"
			      "ey\""),
		 VIEW_LITERAL("key"), JSON_ALIKE}, /* KELVIN SIGN */
		{VIEW_LITERAL("\"resourceSpans\""), VIEW_LITERAL("resourcespans"), JSON_ALIKE},
		{VIEW_LITERAL("\"met\""), VIEW_LITERAL("meta"), JSON_DIFFERENT},
		{VIEW_LITERAL("\"metas\""), VIEW_LITERAL("meta"), JSON_DIFFERENT},
		{VIEW_LITERAL("\"m\\u0065tas\""), VIEW_LITERAL("meta"), JSON_DIFFERENT},
		{VIEW_LITERAL("\"m\xc3\xa9ta\""), VIEW_LITERAL("meta"), JSON_DIFFERENT},
		{VIEW_LITERAL("\"meta\\u0000\""), VIEW_LITERAL("meta"), JSON_DIFFERENT},
		{VIEW_LITERAL("\"me\\u0074\""), VIEW_LITERAL("mett"), JSON_DIFFERENT},
		{VIEW_LITERAL("\"\""), VIEW_LITERAL("meta"), JSON_DIFFERENT},
		{VIEW_LITERAL("\"A-\\u00429\""), VIEW_LITERAL("a-b9"), JSON_ALIKE},
		{VIEW_LITERAL("\"a\\r\""), VIEW_LITERAL("a-"), JSON_DIFFERENT},
		/* Turkish dotless i does not fold in Go either; nor do [ and {, @ and `. */
		{VIEW_LITERAL("\"\xc4\xb1"
			      "d\""),
		 VIEW_LITERAL("id"), JSON_DIFFERENT},
		{VIEW_LITERAL("\"[\""), VIEW_LITERAL("{"), JSON_DIFFERENT},
		{VIEW_LITERAL("\"scope\\u005fspans\""), VIEW_LITERAL("scope_spans"), JSON_ALIKE},
		{VIEW_LITERAL("\"scope\x7fspans\""), VIEW_LITERAL("scope_spans"), JSON_DIFFERENT},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		if (json_string_match(string_in(rows[i].literal), rows[i].name) != rows[i].match)
			fail_msg("row %zu", i);
}

static void test_compare__after_decoding(void **state)
{
	static const struct {
		struct view literal, text;
		bool is;
	} rows[] = {
		{VIEW_LITERAL("\"shop\""), VIEW_LITERAL("shop"), true},
		{VIEW_LITERAL("\"s\\u0068op\""), VIEW_LITERAL("shop"), true},
		{VIEW_LITERAL("\"shops\""), VIEW_LITERAL("shop"), false},
		{VIEW_LITERAL("\"s\\u0068ops\""), VIEW_LITERAL("shop"), false},
		{VIEW_LITERAL("\"Shop\""), VIEW_LITERAL("shop"), false},
		{VIEW_LITERAL("\"sho\""), VIEW_LITERAL("shop"), false},
		{VIEW_LITERAL("\"\""), VIEW_LITERAL(""), true},
		{VIEW_LITERAL("\"a\\\"\\\\\\/\\b\\f\\n\\r\\t\""), VIEW_LITERAL("a\"\\/\b\f\n\r\t"),
		 true},
		{VIEW_LITERAL("\"\\ud83d\\ude00\""), VIEW_LITERAL("\xf0\x9f\x98\x80"), true},
		{VIEW_LITERAL("\"\xf0\x9f\x98\x80\""), VIEW_LITERAL("\xf0\x9f\x98\x80"), true},
		/* Lone surrogates are U+FFFD, one each. */
		{VIEW_LITERAL("\"\\ud800x\""), VIEW_LITERAL("\xef\xbf\xbdx"), true},
		{VIEW_LITERAL("\"\\ud800\\u0041\""),
		 VIEW_LITERAL("\xef\xbf\xbd"
			      "A"),
		 true},
		{VIEW_LITERAL("\"\\ud83dudc00x\""), VIEW_LITERAL("\xef\xbf\xbdudc00x"), true},
		{VIEW_LITERAL("\"\\ud83d\\tdc00\""), VIEW_LITERAL("\xef\xbf\xbd\tdc00"), true},
		{VIEW_LITERAL("\"\\ude00\\ud83d\""), VIEW_LITERAL("\xef\xbf\xbd\xef\xbf\xbd"),
		 true},
		{VIEW_LITERAL("\"\\ud83d\\ud83d\\ude00\""),
		 VIEW_LITERAL("\xef\xbf\xbd\xf0\x9f\x98\x80"), true},
		{VIEW_LITERAL("\"\\ud83d\\ue000\""), VIEW_LITERAL("\xef\xbf\xbd\xee\x80\x80"),
		 true},
		/* A backslash of the text is not an escape. */
		{VIEW_LITERAL("\"\\\\u0041\""), VIEW_LITERAL("\\u0041"), true},
		{VIEW_LITERAL("\"A\\n\""), VIEW_LITERAL("\\u0041\n"), false},
		{VIEW_LITERAL("\"\\u0000\""), VIEW_LITERAL("\0"), true},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct json_string string = string_in(rows[i].literal);
		char out[64];

		if (json_string_is(string, rows[i].text) != rows[i].is ||
		    view_equals(json_decode(string, out, sizeof(out)), rows[i].text) != rows[i].is)
			fail_msg("row %zu", i);
	}
}

static void test_decode__cut__is_longer_than_what_it_is_compared_with(void **state)
{
	static const struct view literals[] = {
		VIEW_LITERAL("\"sh\\u006fps\""),
		VIEW_LITERAL("\"sh\\u00f6p\""),
		VIEW_LITERAL("\"sh\\u20acp\""),
		VIEW_LITERAL("\"sh\\ud83d\\ude00p\""),
		VIEW_LITERAL("\"s\\u0068op and much more than that\""),
	};
	char out[8];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(literals); i++) {
		struct view text = json_decode(string_in(literals[i]), out, sizeof(out));

		assert_in_range(text.len, 5, 8);
		assert_memory_equal(text.ptr, "sh", 2);
	}
}

static void test_named_member__passes_the_others_and_checks_them(void **state)
{
	static const char text[] =
		"{\"kind\":{\"key\":[]},\"k\\u0065y\":1,\"\":2,\"KEY\":3, \"key\" : 4,"
		"\"keys\":5,\"a key that is longer than thirty-one bytes\":6,\"zey\":7}";
	static const char *const wanted[] = {"k\\u0065y", "KEY", "key"};
	struct json_names names = {{0}};
	struct json_string key;
	struct json json;
	size_t found = 0;

	(void)state;
	json_names_add(&names, VIEW_LITERAL("key"));
	json_init(&json, view_of(text));
	assert_true(json_enter(&json, JSON_OBJECT));
	for (; json_named_member(&json, &names, &key); found++) {
		assert_in_range(found, 0, ARRAY_LEN(wanted) - 1);
		assert_true(view_equals((struct view){key.ptr, key.len}, view_of(wanted[found])));
		assert_true(json_skip(&json));
	}
	assert_int_equal(found, ARRAY_LEN(wanted));
	assert_true(json_finish(&json));
	assert_false(json.was_empty);
}

static void test_named_member__malformed_among_the_others__rejected_at_the_byte(void **state)
{
	static const struct row rows[] = {
		ROW("{\"a\":1,}", JSON_SYNTAX, 7),
		ROW("{\"a\":01}", JSON_BAD_NUMBER, 7),
		ROW("{\"a\":1", JSON_TRUNCATED, 6),
		ROW("{\"a\" 1}", JSON_SYNTAX, 5),
		ROW("{\"a\":[1,]}", JSON_SYNTAX, 8),
		ROW("{\"a\":1 \"b\":2}", JSON_SYNTAX, 7),
		ROW("{\"\xff\":1}", JSON_BAD_UTF8, 2),
		ROW("{\"a\":\"\n\"}", JSON_BAD_STRING, 6),
		ROW("{\"a\":{\"\":1}}", JSON_EMPTY_KEY, 6),
		ROW("{\"\":1}", JSON_EMPTY_KEY, 1),
	};
	struct json_names names = {{0}};

	(void)state;
	json_names_add(&names, VIEW_LITERAL("key"));
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct json_string key;
		struct json json;

		json_init(&json, rows[i].text);
		json.refuse_empty_keys = true;
		assert_true(json_enter(&json, JSON_OBJECT));
		assert_false(json_named_member(&json, &names, &key));
		if (json.error != rows[i].error || json_offset(&json) != rows[i].offset)
			fail_msg("row %zu: error %d at %zu", i, (int)json.error,
				 json_offset(&json));
	}
}

static void test_names__joined__know_both_and_longer_keys(void **state)
{
	static const char longer[] = "a name that is longer than thirty-one bytes";
	static const struct {
		const char *key;
		bool plain, found;
	} rows[] = {
		{"key", true, true},
		{"KEY", true, true},
		{"a name of s", true, true}, /* it may be the longer one */
		{longer, true, true},
		{"b name that is longer than thirty-one bytes", true, false},
		{"kez.", true, false},
		{"kex", true, false},
		{"a key", true, false},
		{"\"", true, false},
		{"other", false, true},
	};
	struct json_names names = {{0}}, more = {{0}};

	(void)state;
	json_names_add(&names, VIEW_LITERAL("key"));
	json_names_add(&more, view_of(longer));
	json_names_join(&names, &more);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct json_string key = {
			.ptr = rows[i].key, .len = strlen(rows[i].key), .plain = rows[i].plain};

		if (json_names_may_have(&names, key) != rows[i].found)
			fail_msg("%s", rows[i].key);
	}
	assert_false(json_names_may_have(&names,
					 (struct json_string){.ptr = &"\"\""[1], .plain = true}));
}

static void test_separator__of_the_first_item__is_0(void **state)
{
	static const char text[] = "{\"a\":[1,2],\"b\":[[3,4]],\"c\":{}}";
	static const size_t wanted[] = {0, 10, 22};
	struct json_string key;
	struct json json;
	size_t found = 0;

	(void)state;
	json_init(&json, view_of(text));
	assert_true(json_enter(&json, JSON_OBJECT));
	for (; json_member(&json, &key); found++) {
		assert_int_equal(json.separator, wanted[found]);
		if (json_peek(&json) == JSON_OBJECT) {
			assert_true(json_skip(&json));
			continue;
		}
		assert_true(json_enter(&json, JSON_ARRAY));
		assert_true(json_element(&json));
		assert_int_equal(json.separator, 0);
		assert_true(json_skip(&json));
		while (json_element(&json))
			assert_true(json_skip(&json));
	}
	assert_int_equal(found, ARRAY_LEN(wanted));
	assert_true(json_finish(&json));
}

static void test_container__left__tells_whether_it_was_empty(void **state)
{
	static const struct {
		const char *text;
		bool was_empty;
	} rows[] = {{"{}", true}, {"{ }", true}, {"{\"a\":1}", false}, {"{\"a\":{}}", false}};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct json_string key;
		struct json json;

		json_init(&json, view_of(rows[i].text));
		assert_true(json_enter(&json, JSON_OBJECT));
		while (json_member(&json, &key))
			assert_true(json_skip(&json));
		assert_true(json_finish(&json));
		assert_int_equal(json.was_empty, rows[i].was_empty);
	}
}

/* True if `text`, copied to the very end of an allocation, is read as digits and nothing is left. */
static bool reads_hex(const char *text, size_t len, size_t digits, bool *is_zero)
{
	char *copy = malloc(len);
	struct json json;
	bool read;

	assert_non_null(copy);
	memcpy(copy, text, len);
	json_init(&json, (struct view){copy, len});
	read = json_read_hex(&json, digits, is_zero);
	assert_int_equal(json_offset(&json), read ? digits + 2 : 0);
	assert_false(json_failed(&json));
	free(copy);
	return read;
}

static void test_hex__any_byte_at_any_place__only_digits_are_read(void **state)
{
	(void)state;
	for (size_t place = 1; place <= 16; place++)
		for (int byte = 0; byte < 256; byte++) {
			char text[] = "\"0000000000000000\"";
			bool is_digit = byte && strchr("0123456789abcdefABCDEF", byte);
			bool is_zero = false;

			text[place] = (char)byte;
			assert_int_equal(reads_hex(text, 18, 16, &is_zero), is_digit);
			if (is_digit)
				assert_int_equal(is_zero, byte == '0');
		}
}

static void test_hex__another_length__not_read(void **state)
{
	static const char text[] = "\"0123456789abcdef0123456789abcdef\"";
	bool is_zero;

	(void)state;
	for (size_t len = 0; len < 34; len++)
		assert_false(reads_hex(text, len, 32, &is_zero));
	assert_true(reads_hex(text, 34, 32, &is_zero));
	assert_false(is_zero);
	assert_false(reads_hex(text, 34, 16, &is_zero));
	assert_false(reads_hex("x0123456789abcdef\"", 18, 16, &is_zero));
	assert_false(reads_hex("\"0123456789abcdefx", 18, 16, &is_zero));
}

/* What a walk over a text finds: all that a caller can see, as one number. */
static uint64_t walk_members(struct json *json, const struct json_names *names)
{
	struct json_string key;
	uint64_t sum = 0;

	if (json_peek(json) != JSON_OBJECT) {
		json_skip(json);
	} else {
		json_enter(json, JSON_OBJECT);
		while (json_named_member(json, names, &key)) {
			sum = sum * 31 + key.offset + key.len + key.plain + json->separator;
			sum = sum * 31 + json_offset(json) + walk_members(json, names);
		}
		sum = sum * 31 + json->was_empty;
	}
	return sum * 31 + json_offset(json) + json->error;
}

static uint64_t walk(struct view text, bool refuse_empty_keys)
{
	struct json_names names = {{0}};
	struct json json;
	uint64_t sum;

	json_names_add(&names, VIEW_LITERAL("ab"));
	json_names_add(&names, VIEW_LITERAL("name"));
	json_init(&json, text);
	json.refuse_empty_keys = refuse_empty_keys;
	sum = walk_members(&json, &names);
	return sum * 31 + json.error;
}

/* Changes a few bytes to such as matter to JSON. */
static size_t mutate(char *text, size_t len, unsigned *random)
{
	static const char bytes[] = "\"\"\"\\{}[]::,,,0019-.eE tfnuab\n\x1f\x7f\x80\xc3\xa9";

	for (unsigned n = rand_r(random) % 4; n > 0 && len > 1; n--) {
		size_t at = (size_t)rand_r(random) % len;

		if (rand_r(random) % 3 > 0) {
			text[at] = bytes[(size_t)rand_r(random) % (sizeof(bytes) - 1)];
		} else {
			memmove(text + at, text + at + 1, len - at - 1);
			len--;
		}
	}
	return len;
}

/* A short text is read with care, one with much behind it by the fast paths: they must agree. */
static void test_fast_paths__any_text__find_the_same(void **state)
{
	static const char *const seeds[] = {
		"{\"ab\":\"cd\",\"x\":[{\"name\":\"y\",\"n\":12},[],[1,\"2\"]],\"name\":0,\"z\":{\"q\":-1.5e3}}",
		"[[\"a\",\"b\"],[{\"k\":{\"l\":[0,10,4294967296]}}],{\"\":1},true,null,{},[[[]]]]",
		"{\"name\":\"0123456789012345678901234567890123456789\",\"ab\":{\"ab\":[\"\xc3\xa9\\n\"]}}",
		"{\"a\": 1, \"name\" :[\t{\"ab\":false}] ,\"s\":\"\\u00e9\",\"t\":[1.5,100,\"\"]}",
		"[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]]]]]]]]]",
	};
	unsigned random = 1;

	(void)state;
	for (int i = 0; i < 200000; i++) {
		const char *seed = seeds[i % (int)ARRAY_LEN(seeds)];
		char text[3 * JSON_ROOM];
		size_t len = strlen(seed);
		struct scan careful, fast;

		assert_true(len <= JSON_ROOM);
		memset(text, ' ', sizeof(text));
		memcpy(text, seed, len);
		len = mutate(text, len, &random);
		careful = scan_exact((struct view){text, len});
		memset(text + len, ' ', sizeof(text) - len);
		fast = scan_exact((struct view){text, sizeof(text)});
		if (careful.error == JSON_TRUNCATED)
			continue;
		if (careful.error != JSON_OK)
			assert_int_equal(fast.offset, careful.offset);
		if (fast.error != careful.error)
			fail_msg("%.*s: %d, not %d", (int)len, text, (int)fast.error,
				 (int)careful.error);
		assert_true(walk((struct view){text, len}, i & 1) ==
			    walk((struct view){text, sizeof(text)}, i & 1));
	}
}

#if defined(__x86_64__) && !defined(JSON_PLAIN)

static void test_loops__of_avx2__chosen_where_the_processor_has_it(void **state)
{
	char *line = NULL;
	size_t size = 0;
	bool knows = false, has_it = false;
	FILE *file = fopen("/proc/cpuinfo", "re");

	(void)state;
	assert_non_null(file);
	while (getline(&line, &size, file) >= 0) {
		bool is_flags = strncmp(line, "flags", 5) == 0;

		knows = knows || is_flags;
		has_it = has_it || (is_flags && strstr(line, " avx2 ") && strstr(line, " bmi1 ") &&
				    strstr(line, " bmi2 "));
	}
	free(line);
	fclose(file);
	if (!knows)
		skip(); /* emulated on another kind of processor, of which the file is */
	assert_int_equal(loops_avx2, has_it);
	assert_int_equal(loops_use_avx2(true), has_it);
}

static int use_baseline(void **state)
{
	(void)state;
	return loops_use_avx2(false) ? 0 : -1;
}

#endif

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_values__well_formed__accepted),
		cmocka_unit_test(test_values__malformed__rejected_at_the_byte),
		cmocka_unit_test(test_bom__any_place__rejected),
		cmocka_unit_test(test_nothing_at_all__is_truncated),
		cmocka_unit_test(test_numbers__as_the_rfc_has_them),
		cmocka_unit_test(test_strings__escapes_and_controls),
		cmocka_unit_test(test_utf8__well_formed_only),
		cmocka_unit_test(test_utf8__every_three_bytes__as_rfc_3629),
		cmocka_unit_test(test_depth__64_accepted_65_rejected),
		cmocka_unit_test(test_long_string__5_mib__accepted),
		cmocka_unit_test(test_cursor__walks_members_and_elements_with_offsets),
		cmocka_unit_test(test_cursor__peek_tells_the_type),
		cmocka_unit_test(test_cursor__first_error_sticks),
		cmocka_unit_test(test_cursor__wrong_type__is_an_error),
		cmocka_unit_test(test_empty_keys__only_where_asked__rejected),
		cmocka_unit_test(test_named_member__passes_the_others_and_checks_them),
		cmocka_unit_test(
			test_named_member__malformed_among_the_others__rejected_at_the_byte),
		cmocka_unit_test(test_names__joined__know_both_and_longer_keys),
		cmocka_unit_test(test_separator__of_the_first_item__is_0),
		cmocka_unit_test(test_container__left__tells_whether_it_was_empty),
		cmocka_unit_test(test_hex__any_byte_at_any_place__only_digits_are_read),
		cmocka_unit_test(test_hex__another_length__not_read),
		cmocka_unit_test(test_match__folds_as_go_does),
		cmocka_unit_test(test_compare__after_decoding),
		cmocka_unit_test(test_decode__cut__is_longer_than_what_it_is_compared_with),
		cmocka_unit_test(test_fast_paths__any_text__find_the_same),
	};
#if defined(__x86_64__) && !defined(JSON_PLAIN)
	const struct CMUnitTest choice[] = {
		cmocka_unit_test(test_loops__of_avx2__chosen_where_the_processor_has_it),
	};
	int failed = cmocka_run_group_tests(choice, NULL, NULL);

	if (loops_avx2)
		failed += cmocka_run_group_tests_name("AVX2", tests, NULL, NULL);
	return failed + cmocka_run_group_tests_name("SSE2", tests, use_baseline, NULL);
#else
	return cmocka_run_group_tests(tests, NULL, NULL);
#endif
}
