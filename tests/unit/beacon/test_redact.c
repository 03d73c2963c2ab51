/* SPDX-License-Identifier: Apache-2.0 */
/* redact: strings with pinned results, each also compared with the oracle and redacted twice; keys, pairs
 * and what is spared; the time that hostile strings take, by counting. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/text.h"
#include "beacon/json_avx2.h"
#include "beacon/oracle_redact.h"
#include "beacon/redact.h"
#include "beacon/redact_text.h"

/* ---- characters that are read: linked with --wrap ---- */

struct redact_char __real_redact_char_at(const struct redact_text *text, const char *at);
struct redact_char __real_redact_char_before(const struct redact_text *text, const char *at);
struct redact_char __wrap_redact_char_at(const struct redact_text *text, const char *at);
struct redact_char __wrap_redact_char_before(const struct redact_text *text, const char *at);

static size_t chars_read;

struct redact_char __wrap_redact_char_at(const struct redact_text *text, const char *at)
{
	chars_read++;
	return __real_redact_char_at(text, at);
}

struct redact_char __wrap_redact_char_before(const struct redact_text *text, const char *at)
{
	chars_read++;
	return __real_redact_char_before(text, at);
}

static struct view params[] = {VIEW_CONSTANT("otp")}, keep[] = {VIEW_CONSTANT("page")};

/* `kinds` is a list with blanks. */
static struct redactor *make(const char *kinds)
{
	struct view words[8];
	struct privacy privacy = {
		.redact = {words, 0}, .redact_params = {params, 1}, .redact_keep = {keep, 1}};
	struct redactor *redactor;

	while (*kinds) {
		size_t n = strcspn(kinds, " ");

		words[privacy.redact.count++] = (struct view){kinds, n};
		kinds += n + (kinds[n] == ' ');
	}
	redactor = redactor_new(&privacy);
	assert_non_null(redactor);
	return redactor;
}

/* The body redacted, in memory of its own that ends with it. */
static char *redact(const struct redactor *redactor, const char *in, const struct view *spared,
		    size_t spared_count)
{
	size_t len = strlen(in), count = 0, size, made;
	struct redact_marks marks;
	char *body = malloc(len + 1), *out;
	struct view shifted[8], text;

	assert_non_null(body);
	memcpy(body, in, len);
	for (size_t i = 0; i < spared_count; i++)
		shifted[i] = (struct view){body + (spared[i].ptr - in), spared[i].len};
	text = (struct view){body, len};
	made = redact_body(redactor, text, shifted, spared_count, &marks);
	size = redact_size(&marks, text, &count);
	assert_true(count <= made && (count > 0) == (made > 0));
	out = malloc(size + 1);
	assert_non_null(out);
	redact_rewind(&marks);
	assert_ptr_equal(redact_write(&marks, text, out), out + size);
	out[size] = '\0';
	free(body);
	return out;
}

static void check_body(const char *kinds, const char *in, const char *expected)
{
	struct redactor *redactor = make(kinds);
	char *out = redact(redactor, in, NULL, 0), *again = redact(redactor, out, NULL, 0);

	if (strcmp(out, expected) != 0)
		fail_msg("%s: %s\nbecame %s\nnot    %s", kinds, in, out, expected);
	assert_string_equal(again, out);
	free(out);
	free(again);
	redactor_free(redactor);
}

static void check_oracle(const char *kinds, const char *in, const char *expected)
{
	static const char *const secret[] = {"otp", NULL}, *const kept[] = {"page", NULL};
	const struct oracle_redact how = {.secrets = strstr(kinds, "secrets"),
					  .query = strstr(kinds, "query"),
					  .fragment = strstr(kinds, "fragment"),
					  .userinfo = strstr(kinds, "userinfo"),
					  .email = strstr(kinds, "email"),
					  .secret = secret,
					  .kept = kept,
					  .as = 't'};
	char *out = calloc(1, 8 * ORACLE_REDACT_MAX);

	assert_non_null(out);
	oracle_redact(&how, view_of(in), out);
	assert_string_equal(out, expected);
	free(out);
}

struct row {
	const char *in, *out; /* `out` NULL: unchanged */
};

static void check_rows(const char *kinds, const struct row *rows, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		const char *out = rows[i].out ? rows[i].out : rows[i].in;
		char body[1024], expected[1024];

		snprintf(body, sizeof(body), "{\"a\":\"%s\"}", rows[i].in);
		snprintf(expected, sizeof(expected), "{\"a\":\"%s\"}", out);
		check_body(kinds, body, expected);
		check_oracle(kinds, rows[i].in, out);
	}
}

#define CHECK(kinds, rows) check_rows(kinds, rows, ARRAY_LEN(rows))
#define ALL                "secrets query fragment userinfo email"

static void test_secrets__their_parameters__and_no_others(void **state)
{
	static const struct row rows[] = {
		{"https://a.example/?token=x", "https://a.example/?token=REDACTED"},
		{"https://a.example/?a=1&access_token=x&b=2#c",
		 "https://a.example/?a=1&access_token=REDACTED&b=2#c"},
		{"/p?TOKEN=x&Api_Key=y&OTP=z", "/p?TOKEN=REDACTED&Api_Key=REDACTED&OTP=REDACTED"},
		{"/p?sig=x&Sig=y&Signature=z&signature=q",
		 "/p?sig=REDACTED&Sig=y&Signature=REDACTED&signature=q"},
		{"/p?X-Amz-Signature=x&x-amz-signature=y",
		 "/p?X-Amz-Signature=REDACTED&x-amz-signature=y"},
		{"/p#access_token=x&state=y&z=1", "/p#access_token=REDACTED&state=REDACTED&z=1"},
		{"/#/route?token=x", "/#/route?token=REDACTED"},
		{"/p?next=https://b/?token=x&c=d", "/p?next=https://b/?token=REDACTED&c=d"},
		{"/p?token=a?b=c#d", "/p?token=REDACTED#d"},
		{"/p?token=", NULL},
		{"/p?token", NULL},
		{"/p?tokens=x&mytoken=y&=z", NULL},
		{"/p?token=REDACTED&x=y", NULL},
		{"https://u:p@a.example/ joe@x.com /p#frag", NULL},
	};

	(void)state;
	CHECK("secrets", rows);
}

static void test_query__all_values__but_those_kept(void **state)
{
	static const struct row rows[] = {
		{"/p?a=1&page=2&b=", "/p?a=REDACTED&page=2&b="},
		{"/p?12345", "/p?REDACTED"},
		{"/p?a&b=c&&d", "/p?REDACTED&b=REDACTED&&REDACTED"},
		{"/p?page=x?y=z&a=b", "/p?page=x?y=z&a=REDACTED"},
		{"/p?PAGE=2#a=b", "/p?PAGE=REDACTED#a=b"},
		{"/p?a=https://u:p@b/?c#d", "/p?a=REDACTED#d"},
	};

	(void)state;
	CHECK("query", rows);
}

static void test_fragment_and_userinfo(void **state)
{
	static const struct row fragment[] = {
		{"https://a.example/?b=c#d=e#f", "https://a.example/?b=c#REDACTED"},
		{"/#", NULL},
		{"/p#a:1:2", "/p#REDACTED:1:2"},
		{"see #12 and a#b", NULL},
	};
	static const struct row userinfo[] = {
		{"https://joe@a.example/", "https://REDACTED:REDACTED@a.example/"},
		{"ftp://joe:pass:w@rd@a.example", "ftp://REDACTED:REDACTED@a.example"},
		{"https://@a.example/ user@ https://a.example/@b x//u@h", NULL},
		{"/p?to=https://u:p@b/&c=https://v@d",
		 "/p?to=https://REDACTED:REDACTED@b/&c=https://REDACTED:REDACTED@d"},
		{"(//u:p@cdn.example/x)", "(//REDACTED:REDACTED@cdn.example/x)"},
		{"=//u:p@cdn.example/x", "=//REDACTED:REDACTED@cdn.example/x"},
		{"https://a@b://c@d", "https://REDACTED:REDACTED@b://REDACTED:REDACTED@d"},
	};

	(void)state;
	CHECK("fragment", fragment);
	CHECK("userinfo", userinfo);
}

static void test_email__addresses__and_what_only_looks_like_one(void **state)
{
	static const struct row rows[] = {
		{"joe@x.com", "REDACTED"},
		{"to <joe.o'hara+x@mail.x-y.co.uk>, or", "to <REDACTED>, or"},
		{"mailto:joe@x.com?subject=hi", "mailto:REDACTED?subject=hi"},
		{"'joe@x.com'. joe@x.com. .joe@x.com-", "'REDACTED'. REDACTED. .REDACTED-"},
		{"m\xc3\xbcller@b\xc3\xbc"
		 "cher.example, \\u00fc@x.de",
		 "REDACTED, REDACTED"},
		{"joe@xn--bcher-kva.example", "REDACTED"},
		{"joe\\u0040x.com", "REDACTED"},
		{"/users/joe@x.com/a?b=joe@x.com", "/users/REDACTED/a?b=REDACTED"},
		{"joe@163.com", "REDACTED"},
		{"a@b.com@c.dd", "REDACTED"},
		{"a@b.com-@c.dd", "REDACTED"},
		{"https://joe@x.com/ user@ a@b @x.com joe@@x.com", NULL},
		{"logo@2x.png react@18.2.0 next@13.4.20-canary.ab vue@next.js", NULL},
		{"f@https://a.example/b.js:1:2", NULL},
		{"@media (a) #b @import", NULL},
	};

	(void)state;
	CHECK("email", rows);
}

static void test_text__only_looks_like_a_url__unchanged(void **state)
{
	static const struct row rows[] = {
		{"is a?b=c true?", NULL},
		{"3/4? a/b?c=d <b>/p?token=x", NULL},
		{"user@ a@b #1 a#b", NULL},
		{"data:text/html,https://x/?token=1", NULL},
		{"blob:https://x/1?token=1 url(data:a/b?c=d)", NULL},
		{"://x?token=1 a:/b?c=d", NULL},
		{"https://a.example/b.js:10:5", NULL},
	};

	(void)state;
	CHECK(ALL, rows);
}

static void test_url__its_end__in_text(void **state)
{
	static const struct row rows[] = {
		{"a /p?token=x b", "a /p?token=REDACTED b"},
		{"'/p?token=x'", "'/p?token=REDACTED'"},
		{"(/p?token=x), (https://a/?token=y)\\n",
		 "(/p?token=REDACTED), (https://a/?token=REDACTED)\\n"},
		{"<a href=/p?token=x>y</a>", "<a href=/p?token=REDACTED>y</a>"},
		{"at f (https://a.example/b.js?v=1&token=x:10:5)",
		 "at f (https://a.example/b.js?v=1&token=REDACTED:10:5)"},
		{"f@https://a/b.js?token=x:1:2\\ng@https://a/c.js?token=y:3:4",
		 "f@https://a/b.js?token=REDACTED:1:2\\ng@https://a/c.js?token=REDACTED:3:4"},
		{"https://a/O'Hara(x)?token=y", "https://a/O'Hara(x)?token=REDACTED"},
		{"https://b\xc3\xbc"
		 "cher.example/\xc3\xa4?token=\xc3\xb6&x=y",
		 "https://b\xc3\xbc"
		 "cher.example/\xc3\xa4?token=REDACTED&x=y"},
		{"/p?token=C:\\\\new&a=b", "/p?token=REDACTED&a=b"},
	};

	(void)state;
	CHECK("secrets", rows);
}

static void test_escapes__read_as_what_they_mean__on_every_level(void **state)
{
	static const struct row rows[] = {
		{"https:\\/\\/a\\/?token=x\\u0026b=c", "https:\\/\\/a\\/?token=REDACTED\\u0026b=c"},
		{"\\u002fp\\u003ftoke\\u006e\\u003dx\\u0020y",
		 "\\u002fp\\u003ftoke\\u006e\\u003dREDACTED\\u0020y"},
		{"{\\\"a\\\":\\\"/p?token=x\\\",\\\"b\\\":1}",
		 "{\\\"a\\\":\\\"/p?token=REDACTED\\\",\\\"b\\\":1}"},
		{"{\\\"a\\\":\\\"https:\\\\/\\\\/b\\\\/?c=1\\\\u0026token=x\\\\ny\\\"}",
		 "{\\\"a\\\":\\\"https:\\\\/\\\\/b\\\\/?c=1\\\\u0026token=REDACTED\\\\ny\\\"}"},
		{"\\\"\\\\\\\"/p?token=x\\\\\\\\ny\\\\\\\" \\\"",
		 "\\\"\\\\\\\"/p?token=REDACTED\\\\\\\\ny\\\\\\\" \\\""},
		{"/p?token=\\ud83d\\ude00\\ud83d&a", "/p?token=REDACTED&a"},
		{"/p?token=\\\\\\\\", "/p?token=REDACTED"},
		{"/p?token=a\\\\\\\"b", "/p?token=REDACTED\\\\\\\"b"},
	};

	(void)state;
	CHECK("secrets", rows);
}

static void test_keys__say_what_a_value_is(void **state)
{
	static const struct row rows[] = {
		{"{\"url.query\":\"a=1&token=x y\"}", "{\"url.query\":\"a=1&token=REDACTED\"}"},
		{"{\"url\\u002equery\" : \"?token=x\"}",
		 "{\"url\\u002equery\" : \"?token=REDACTED\"}"},
		{"{\"url.fragment\":\"token=x\"}", "{\"url.fragment\":\"token=REDACTED\"}"},
		{"{\"http.target\":\"/a?token=x\"}", "{\"http.target\":\"/a?token=REDACTED\"}"},
		{"[{\"key\":\"url.query\", \"value\":{\"stringValue\" :\"token=x\"}}]",
		 "[{\"key\":\"url.query\", \"value\":{\"stringValue\" :\"token=REDACTED\"}}]"},
		{"[{\"key\":\"url.query\",\"value\":{\"string_value\":\"token=x\"}}]",
		 "[{\"key\":\"url.query\",\"value\":{\"string_value\":\"token=REDACTED\"}}]"},
		{"{\"url.query\":[\"token=x\"],\"a\":\"url.query\",\"b\":\"token=x\"}", NULL},
		{"{\"url.querys\":\"token=x\",\"my.url.query\":\"token=x\",\"URL.query\":\"token=x\"}",
		 NULL},
		{"{\"/a?token=x\":1,\"key\":\"/a?token=x\"}", NULL},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		check_body("secrets", rows[i].in, rows[i].out ? rows[i].out : rows[i].in);
}

static void test_spared_values__stay(void **state)
{
	static const char in[] = "[\"/a?token=1\",\"/b?token=2\",\"/c?token=3\",\"/d?token=4\"]";
	const struct view spared[] = {{in + 1, 12}, {in + 27, 12}};
	struct redactor *redactor = make("secrets");
	char *out = redact(redactor, in, spared, ARRAY_LEN(spared));

	(void)state;
	assert_string_equal(out, "[\"/a?token=1\",\"/b?token=REDACTED\",\"/c?token=3\","
				 "\"/d?token=REDACTED\"]");
	free(out);
	redactor_free(redactor);
}

/* Pieces are copied one by one, and some are left out. */
static void test_marks__of_more_strings_than_are_listed__written_in_every_piece(void **state)
{
	static const char item[] = "\"/a?token=1\",\"/b?token=2\",\"/c?a\",",
			  as[] = "\"/a?token=REDACTED\",\"/b?token=REDACTED\",\"/c?a\",";
	enum {
		ITEMS = REDACT_STRINGS_MAX,
		LEN = sizeof(item) - 1,
		AS_LEN = sizeof(as) - 1
	};
	struct redactor *redactor = make("secrets");
	char *body = malloc(ITEMS * LEN + 2), out[AS_LEN];
	struct redact_marks marks;
	size_t count = 0;

	(void)state;
	assert_non_null(body);
	body[0] = '[';
	for (size_t i = 0; i < ITEMS; i++)
		memcpy(body + 1 + i * LEN, item, LEN);
	body[ITEMS * LEN] = ']';
	assert_int_equal(
		redact_body(redactor, (struct view){body, ITEMS * LEN + 1}, NULL, 0, &marks),
		2 * ITEMS);
	body[ITEMS * LEN] = ',';
	for (size_t i = 0; i < ITEMS; i += 1 + i % 3)
		assert_int_equal(
			redact_size(&marks, (struct view){body + 1 + i * LEN, LEN}, &count),
			AS_LEN);
	redact_rewind(&marks);
	for (size_t i = 0; i < ITEMS; i += 1 + i % 3, count -= 2) {
		struct view piece = {body + 1 + i * LEN, LEN};

		assert_ptr_equal(redact_write(&marks, piece, out), out + AS_LEN);
		assert_memory_equal(out, as, AS_LEN);
	}
	assert_int_equal(count, 0);
	free(body);
	redactor_free(redactor);
}

/* Each character is read a few times at most, whatever stands around it. */
static void test_hostile_strings__work__in_proportion_to_their_length(void **state)
{
	static const char *const pieces[] = {
		"?",
		"#",
		"@",
		"a@",
		"a@b.cc@",
		"a@b.cc-",
		"/?a",
		"?a=b&",
		"https://",
		"a:@//",
		"=/",
		"'",
		"\\\\",
		"\\\"?",
		"\\u0040",
		"\\\\n@",
		"\\\\\\\"/?a=b@",
		"data:?",
		"http://a@",
		"a.b.c.@",
		"@a.b.c.",
		"\\u0061?",
		"/?token=?#",
		") /?",
		"'a@b.cc",
		"%40",
		"\xc3\xa9@",
		":1:2",
		"a@1.2.",
		"blob:@",
	};
	enum {
		REPEATS = 5000
	};
	struct redactor *redactor = make(ALL);

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(pieces); i++) {
		size_t len = strlen(pieces[i]), n = 0;
		char *body = malloc(REPEATS * len + 3);

		assert_non_null(body);
		body[n++] = '"';
		for (size_t k = 0; k < REPEATS; k++, n += len)
			memcpy(body + n, pieces[i], len);
		body[n++] = '"';
		body[n] = '\0';
		chars_read = 0;
		free(redact(redactor, body, NULL, 0));
		if (chars_read > 10 * n)
			fail_msg("%s: %zu characters read of %zu", pieces[i], chars_read, n);
		free(body);
	}
	redactor_free(redactor);
}

static int use_baseline(void **state)
{
	(void)state;
	return loops_use_avx2(false) ? 0 : -1;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_secrets__their_parameters__and_no_others),
		cmocka_unit_test(test_query__all_values__but_those_kept),
		cmocka_unit_test(test_fragment_and_userinfo),
		cmocka_unit_test(test_email__addresses__and_what_only_looks_like_one),
		cmocka_unit_test(test_text__only_looks_like_a_url__unchanged),
		cmocka_unit_test(test_url__its_end__in_text),
		cmocka_unit_test(test_escapes__read_as_what_they_mean__on_every_level),
		cmocka_unit_test(test_keys__say_what_a_value_is),
		cmocka_unit_test(test_spared_values__stay),
		cmocka_unit_test(
			test_marks__of_more_strings_than_are_listed__written_in_every_piece),
		cmocka_unit_test(test_hostile_strings__work__in_proportion_to_their_length),
	};

	int failed = cmocka_run_group_tests(tests, NULL, NULL);

	return failed + cmocka_run_group_tests_name("baseline", tests, use_baseline, NULL);
}
