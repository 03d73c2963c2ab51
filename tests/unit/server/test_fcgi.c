/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/text.h"
#include "server/fcgi_transcript.h"

/* Links fcgi.c, request.c and buf.c. What a web server sends is put together in `wire`. */

enum {
	BODY_MAX = 100
};

static struct buf wire = {.max = SIZE_MAX};
static struct transcript seen;

static void put_padded(unsigned type, unsigned id, struct view content, unsigned padding)
{
	const unsigned char header[8] = {1,
					 (unsigned char)type,
					 (unsigned char)(id >> 8),
					 (unsigned char)id,
					 (unsigned char)(content.len >> 8),
					 (unsigned char)content.len,
					 (unsigned char)padding};
	static const char zeros[255];

	buf_append(&wire, header, sizeof(header));
	buf_append(&wire, content.ptr, content.len);
	buf_append(&wire, zeros, padding);
}

static void put(unsigned type, unsigned id, struct view content)
{
	put_padded(type, id, content, 0);
}

static void put_begin(unsigned id, char role, char flags)
{
	const char content[8] = {0, role, flags};

	put(FCGI_BEGIN_REQUEST, id, (struct view){content, sizeof(content)});
}

static void put_end_of(unsigned type, unsigned id)
{
	put(type, id, VIEW_LITERAL(""));
}

/* In the short form, which a literal has room for. */
#define PAIRS                              \
	VIEW_LITERAL("\16\4REQUEST_METHOD" \
		     "POST"                \
		     "\13\5SCRIPT_NAME"    \
		     "/faro"               \
		     "\11\10PATH_INFO"     \
		     "/collect"            \
		     "\16\1CONTENT_LENGTH" \
		     "5"                   \
		     "\14\14CONTENT_TYPE"  \
		     "text/plain;x"        \
		     "\13\0HTTP_ORIGIN")

static void put_post(unsigned id, struct view body)
{
	put_begin(id, FCGI_RESPONDER, FCGI_KEEP_CONN);
	put(FCGI_PARAMS, id, PAIRS);
	put_end_of(FCGI_PARAMS, id);
	if (body.len > 0)
		put(FCGI_STDIN, id, body);
	put_end_of(FCGI_STDIN, id);
}

static void put_length(size_t n, bool long_form)
{
	const unsigned char bytes[4] = {(unsigned char)(0x80 | n >> 24), (unsigned char)(n >> 16),
					(unsigned char)(n >> 8), (unsigned char)n};

	if (long_form)
		buf_append(&wire, bytes, 4);
	else
		buf_append(&wire, bytes + 3, 1);
}

/* Not a record: for put_stream(). */
static void put_pair(const char *name, const char *value, size_t value_len, bool long_form)
{
	put_length(strlen(name), long_form);
	put_length(value_len, long_form || value_len > 127);
	buf_append(&wire, name, strlen(name));
	buf_append(&wire, value, value_len);
}

/* What lies in the wire from `at` on becomes the content of records of `step` bytes. */
static void put_stream(unsigned type, unsigned id, size_t at, size_t step)
{
	struct buf content = {.max = SIZE_MAX};

	buf_append(&content, wire.data + at, wire.len - at);
	wire.len = at;
	for (size_t i = 0; i < content.len; i += step)
		put(type, id,
		    (struct view){content.data + i,
				  content.len - i < step ? content.len - i : step});
	buf_release(&content);
	put_end_of(type, id);
}

static void feed_in(size_t first, size_t others)
{
	const size_t sizes[] = {first, others};

	transcript_release(&seen);
	transcript_init(&seen, BODY_MAX, NULL);
	transcript_write(&seen, (struct view){wire.data, wire.len}, sizes, 2);
}

static void feed(void)
{
	feed_in(SIZE_MAX, SIZE_MAX);
}

static void expect_text(const char *text)
{
	if (!memmem(seen.text.data, seen.text.len, text, strlen(text)))
		fail_msg("there is no '%s' in: %.*s", text, (int)seen.text.len, seen.text.data);
}

static void expect_answers(struct view answers)
{
	assert_int_equal(seen.answers.len, answers.len);
	assert_memory_equal(seen.answers.data, answers.ptr, answers.len);
}

#define REPLY(id, number)                      \
	"\1\6\0" id "\0\7\0\0"                 \
	"reply " number "\1\6\0" id "\0\0\0\0" \
	"\1\3\0" id "\0\10\0\0"                \
	"\0\0\0\0\0\0\0\0"

static int set_up(void **state)
{
	(void)state;
	buf_clear(&wire);
	transcript_init(&seen, BODY_MAX, NULL);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	transcript_release(&seen);
	buf_release(&wire);
	return 0;
}

/* --- requests ----------------------------------------------------------------------------------*/

static void test_fcgi__a_request__is_read_and_answered(void **state)
{
	(void)state;
	put_post(1, VIEW_LITERAL("first"));
	feed();
	expect_text(
		"endpoint=0 length=5 body=0 keep=1 refused=0 method=POST path=/faro/collect host=- "
		"origin=- site=- type=text/plain;x coding=- session=- key=- trace=- "
		"content=first\n");
	expect_text("at rest: 1");
	expect_answers(VIEW_LITERAL(REPLY("\1", "1")));
}

static void test_fcgi__two_requests_in_one_read__are_both_whole(void **state)
{
	(void)state;
	put_post(1, VIEW_LITERAL("first"));
	put_post(2, VIEW_LITERAL("other"));
	feed();
	expect_text("content=first\n");
	expect_text("content=other\n");
	expect_answers(VIEW_LITERAL(REPLY("\1", "1") REPLY("\2", "2")));
}

static void test_fcgi__connection_not_to_be_kept__says_so(void **state)
{
	(void)state;
	put_begin(1, FCGI_RESPONDER, 0);
	put_end_of(FCGI_PARAMS, 1);
	put_end_of(FCGI_STDIN, 1);
	feed();
	expect_text("keep=0");
}

static void test_fcgi__other_flags_than_keep__mean_nothing(void **state)
{
	(void)state;
	put_begin(1, FCGI_RESPONDER, (char)0xfe);
	put_end_of(FCGI_PARAMS, 1);
	put_end_of(FCGI_STDIN, 1);
	feed();
	expect_text("keep=0");
}

static void put_with_padding(void)
{
	put_begin(300, FCGI_RESPONDER, FCGI_KEEP_CONN);
	put_padded(FCGI_PARAMS, 300, PAIRS, 255);
	put_padded(FCGI_PARAMS, 300, VIEW_LITERAL(""), 1);
	put_padded(FCGI_STDIN, 300, VIEW_LITERAL("fi"), 6);
	put_padded(FCGI_STDIN, 300, VIEW_LITERAL("rst"), 7);
	put_padded(FCGI_STDIN, 300, VIEW_LITERAL(""), 8);
}

static void put_small_records(void)
{
	size_t at;

	put_begin(1, FCGI_RESPONDER, FCGI_KEEP_CONN);
	at = wire.len;
	buf_append(&wire, PAIRS.ptr, PAIRS.len);
	put_stream(FCGI_PARAMS, 1, at, 3);
	at = wire.len;
	buf_append(&wire, "first", 5);
	put_stream(FCGI_STDIN, 1, at, 1);
}

static void put_long_lengths(void)
{
	size_t at;

	put_begin(1, FCGI_RESPONDER, FCGI_KEEP_CONN);
	at = wire.len;
	put_pair("HTTP_HOST", "shop", 4, true);
	put_pair("", "nameless", 8, true);
	put_pair("", "", 0, false);
	put_pair("HTTP_A_NAME_OF_MORE_THAN_32_BYTES_IS_NONE_OF_OURS", "x", 1, true);
	put_pair("HTTP_TRACEPARENT", "", 0, true);
	put_pair("HTTP_ORIGIN", "a\0b=c", 5, true);
	put_stream(FCGI_PARAMS, 1, at, 7);
	put_end_of(FCGI_STDIN, 1);
}

static void put_management(void)
{
	put_begin(1, FCGI_RESPONDER, FCGI_KEEP_CONN);
	put(FCGI_PARAMS, 1, VIEW_LITERAL("\16\4REQUEST_ME"));
	put(FCGI_GET_VALUES, 0, VIEW_LITERAL("\17\0FCGI_MPXS_CONNS\16\0FCGI_MAX_CONNS"));
	put(FCGI_PARAMS, 1, VIEW_LITERAL("THODPOST"));
	put(77, 0, VIEW_LITERAL("anything"));
	put_end_of(FCGI_PARAMS, 1);
	put_end_of(FCGI_STDIN, 1);
}

static void put_strangers(void)
{
	put(FCGI_STDIN, 9, VIEW_LITERAL("of no request"));
	put_end_of(FCGI_ABORT_REQUEST, 9);
	put_begin(1, FCGI_RESPONDER, FCGI_KEEP_CONN);
	put_begin(2, FCGI_RESPONDER, FCGI_KEEP_CONN);
	put(FCGI_PARAMS, 1, PAIRS);
	put(FCGI_PARAMS, 2, VIEW_LITERAL("\xff\xff\xff\xff"));
	put_end_of(FCGI_PARAMS, 1);
	put(8, 1, VIEW_LITERAL("FCGI_DATA"));
	put(FCGI_STDIN, 1, VIEW_LITERAL("first"));
	put_end_of(FCGI_STDIN, 2);
	put_end_of(FCGI_STDIN, 1);
	put_end_of(FCGI_STDIN, 1);
}

static void put_aborts(void)
{
	put_begin(1, FCGI_RESPONDER, FCGI_KEEP_CONN);
	put(FCGI_PARAMS, 1, VIEW_LITERAL("\11\4HTTP_HOSTevil"));
	put_end_of(FCGI_ABORT_REQUEST, 1);
	put_begin(2, FCGI_RESPONDER, FCGI_KEEP_CONN);
	put(FCGI_PARAMS, 2, PAIRS);
	put_end_of(FCGI_PARAMS, 2);
	put(FCGI_STDIN, 2, VIEW_LITERAL("fir"));
	put_end_of(FCGI_ABORT_REQUEST, 2);
	put_post(3, VIEW_LITERAL("third"));
}

static void put_roles(void)
{
	put_begin(1, 2, FCGI_KEEP_CONN);
	put(FCGI_PARAMS, 1, PAIRS);
	put_end_of(FCGI_PARAMS, 1);
	put_end_of(FCGI_STDIN, 1);
	put_post(2, VIEW_LITERAL("after"));
	put_begin(3, 3, 0);
}

static void put_half_a_body(void)
{
	put_post(1, VIEW_LITERAL("a body that does not come to its end"));
	wire.len -= 20;
}

static void put_half_a_header(void)
{
	put_post(1, VIEW_LITERAL("whole"));
	put_post(1, VIEW_LITERAL(""));
	wire.len -= 3 * 8 + 3 + 8 + PAIRS.len;
}

static void put_too_large_a_body(void)
{
	static const char body[BODY_MAX + 1];

	put_post(1, (struct view){body, sizeof(body)});
	put_post(1, (struct view){body, sizeof(body) - 1});
}

static void put_http(void)
{
	buf_append(&wire, "GET / HTTP/1.1\r\n\r\n", 18);
}

static void test_fcgi__wherever_it_is_split__the_same_comes_of_it(void **state)
{
	static const struct {
		void (*put)(void);
		const char *expected[4];
	} rows[] = {
		{put_with_padding, {"content=first\n", "at rest: 1"}},
		{put_small_records, {"type=text/plain;x", "content=first\n", "at rest: 1"}},
		{put_long_lengths, {"host=shop origin=a", "trace=- ", "at rest: 1"}},
		{put_management, {"method=POST", "at rest: 1"}},
		{put_strangers, {"method=POST", "content=first\n", "at rest: 1"}},
		{put_aborts,
		 {"length=5 body=1 keep=1 refused=0 method=POST path=/faro/collect host=- ",
		  "host=- ", "content=third\n", "at rest: 1"}},
		{put_roles, {"content=after\n", "broken: a role other than"}},
		{put_half_a_body, {"at rest: 0\nendpoint=0 length=5 body=1 "}},
		{put_half_a_header, {"content=whole\n", "at rest: 0\n"}},
		{put_too_large_a_body, {"body=2", "body=0", "at rest: 1"}},
		{put_http, {"broken: a protocol other"}},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct transcript whole;

		buf_clear(&wire);
		rows[i].put();
		feed();
		for (size_t e = 0; e < 4 && rows[i].expected[e]; e++)
			expect_text(rows[i].expected[e]);
		whole = seen;
		transcript_init(&seen, BODY_MAX, NULL);
		for (size_t at = 1; at < wire.len; at++) {
			feed_in(at, at == 1 ? 1 : SIZE_MAX);
			assert_int_equal(seen.text.len, whole.text.len);
			assert_memory_equal(seen.text.data, whole.text.data, whole.text.len);
			expect_answers((struct view){whole.answers.data, whole.answers.len});
		}
		transcript_release(&whole);
	}
}

/* --- answers without a request -----------------------------------------------------------------*/

static void test_fcgi__asides__are_answered_as_specified(void **state)
{
	static const struct {
		const char *what;
		void (*put)(void);
		struct view answers;
	} rows[] = {
		{"values that we know, in our order", put_management,
		 VIEW_CONSTANT("\1\12\0\0\0\46\0\0\16\4FCGI_MAX_CONNS"
			       "4096\17\1FCGI_MPXS_CONNS"
			       "0"
			       "\1\13\0\0\0\10\0\0M\0\0\0\0\0\0\0" REPLY("\1", "1"))},
		{"a second request at a time is refused, the first goes on", put_strangers,
		 VIEW_CONSTANT("\1\3\0\2\0\10\0\0\0\0\0\0\1\0\0\0" REPLY("\1", "1"))},
		{"an abort before the body ends the request without a reply", put_aborts,
		 VIEW_CONSTANT("\1\3\0\1\0\10\0\0\0\0\0\0\0\0\0\0" REPLY("\2", "1")
				       REPLY("\3", "2"))},
		{"other roles are refused", put_roles,
		 VIEW_CONSTANT("\1\3\0\1\0\10\0\0\0\0\0\0\3\0\0\0" REPLY(
			 "\2", "1") "\1\3\0\3\0\10\0\0\0\0\0\0\3\0\0\0")},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		buf_clear(&wire);
		rows[i].put();
		feed();
		expect_answers(rows[i].answers);
	}
}

static void test_fcgi__a_question_for_nothing_we_know__has_an_empty_answer(void **state)
{
	(void)state;
	put(FCGI_GET_VALUES, 0, VIEW_LITERAL("\17\0FCGI_MPXS_CONNS"));
	put(FCGI_GET_VALUES, 0, VIEW_LITERAL("\4\3NAMEval"));
	feed();
	expect_answers(VIEW_LITERAL("\1\12\0\0\0\22\0\0\17\1FCGI_MPXS_CONNS"
				    "0"
				    "\1\12\0\0\0\0\0\0"));
	expect_text("at rest: 1");
}

/* --- what breaks it ----------------------------------------------------------------------------*/

static void test_fcgi__nonsense__breaks_the_stream(void **state)
{
#define BEGIN  "\1\1\0\1\0\10\0\0\0\1\1\0\0\0\0\0"
#define PARAMS "\1\4\0\1\0"
	static const struct {
		const char *problem;
		struct view bytes;
	} rows[] = {
		{"a protocol other", VIEW_CONSTANT("\0\1\0\1\0\10\0\0")},
		{"a protocol other", VIEW_CONSTANT("\2\1\0\1\0\10\0\0")},
		{"a protocol other", VIEW_CONSTANT(BEGIN "\0\4\0\1\0\0\0\0")},
		{"a malformed or second FCGI_BEGIN", VIEW_CONSTANT("\1\1\0\1\0\7\0\0")},
		{"a malformed or second FCGI_BEGIN", VIEW_CONSTANT("\1\1\0\1\0\11\0\0")},
		{"a malformed or second FCGI_BEGIN", VIEW_CONSTANT("\1\1\0\1\xff\xff\0\0")},
		{"a malformed or second FCGI_BEGIN", VIEW_CONSTANT("\1\1\0\1\0\0\0\0")},
		{"a malformed or second FCGI_BEGIN",
		 VIEW_CONSTANT(BEGIN "\1\1\0\1\0\10\0\0")}, /* again */
		{"before the parameters", VIEW_CONSTANT(BEGIN "\1\5\0\1\0\0\0\0")},
		{"after their end", VIEW_CONSTANT(BEGIN PARAMS "\0\0\0" PARAMS "\0\0\0")},
		/* A pair that ends with the parameters: in its length, name, or value. */
		{"incomplete parameters", VIEW_CONSTANT(BEGIN PARAMS "\1\0\0\1" PARAMS "\0\0\0")},
		{"incomplete parameters",
		 VIEW_CONSTANT(BEGIN PARAMS "\3\0\0\200\0\0" PARAMS "\0\0\0")},
		{"incomplete parameters",
		 VIEW_CONSTANT(BEGIN PARAMS "\3\0\0\2\0a" PARAMS "\0\0\0")},
		{"incomplete parameters",
		 VIEW_CONSTANT(BEGIN PARAMS "\4\0\0\1\2ab" PARAMS "\0\0\0")},
		/* Lengths that no parameters have: each alone, and sums that wrap in 31 or 32
		 * bits. */
		{"256 KiB", VIEW_CONSTANT(BEGIN PARAMS "\5\0\0\xff\xff\xff\xff\0")},
		{"256 KiB", VIEW_CONSTANT(BEGIN PARAMS "\5\0\0\0\xff\xff\xff\xff")},
		{"256 KiB", VIEW_CONSTANT(BEGIN PARAMS "\10\0\0\xff\xff\xff\xff\xff\xff\xff\xff")},
		{"256 KiB", VIEW_CONSTANT(BEGIN PARAMS "\10\0\0\xc0\0\0\0\xef\x58\x88\x9d")},
		{"256 KiB", VIEW_CONSTANT(BEGIN PARAMS "\10\0\0\xc0\0\0\0\xc0\0\0\0")},
		{"256 KiB", VIEW_CONSTANT(BEGIN PARAMS "\10\0\0\x80\4\0\0\x80\0\0\1")},
		/* The same in a question, which has a record to itself. */
		{"an incomplete FCGI_GET_VALUES",
		 VIEW_CONSTANT("\1\11\0\0\0\10\0\0\xff\xff\xff\xff\xff\xff\xff\xff")},
		{"an incomplete FCGI_GET_VALUES", VIEW_CONSTANT("\1\11\0\0\0\1\0\0\3")},
		{"an incomplete FCGI_GET_VALUES", VIEW_CONSTANT("\1\11\0\0\0\3\0\0\3\0F")},
		{"an aborted", VIEW_CONSTANT("\1\1\0\1\0\10\0\0\0\1\0\0\0\0\0\0\1\2\0\1\0\0\0\0")},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		buf_clear(&wire);
		buf_append(&wire, rows[i].bytes.ptr, rows[i].bytes.len);
		feed();
		expect_text("broken: ");
		expect_text(rows[i].problem);
		assert_int_equal(seen.requests, 0);
	}
}

/* --- limits ------------------------------------------------------------------------------------*/

static void test_fcgi__parameters_have_a_limit(void **state)
{
	static const char filling[FCGI_PARAMS_MAX_BYTES];
	const size_t overhead = 1 + 4 + 1; /* of a pair with a long value and the name "X" */

	(void)state;
	for (int more = -1; more <= 1; more++) {
		size_t at;

		buf_clear(&wire);
		put_begin(1, FCGI_RESPONDER, FCGI_KEEP_CONN);
		at = wire.len;
		put_pair("X", filling, FCGI_PARAMS_MAX_BYTES - overhead - 8 + (size_t)more, false);
		put_pair("X", filling, 5, false);
		put_stream(FCGI_PARAMS, 1, at, FCGI_CONTENT_MAX_BYTES);
		put_end_of(FCGI_STDIN, 1);
		feed();
		expect_text(more <= 0 ? "endpoint=0" : "broken: parameters of more than 256 KiB");
	}
}

/* Every variable with a value of its most bytes, one less or one more, in an order that begins with
 * each of them. */
static void test_fcgi__values__each_has_room_of_its_own(void **state)
{
	static const struct {
		const char *name;
		size_t max;
	} variables[] = {
#define VARIABLE(id, name, member, max_bytes) {(name), (max_bytes)},
#include "ingest/variable_list.h"
	};
	const size_t count = ARRAY_LEN(variables);
	char filling[CONFIG_PATH_MAX_BYTES + 1];

	(void)state;
	for (size_t first = 0; first < 2 * count; first++) {
		for (int more = -1; more <= 1; more++) {
			size_t at;
			bool backwards = first >= count;

			buf_clear(&wire);
			put_begin(1, FCGI_RESPONDER, FCGI_KEEP_CONN);
			at = wire.len;
			for (size_t i = 0; i < count; i++) {
				size_t v = (first + (backwards ? count - i : i)) % count;

				memset(filling, 'a' + (int)v, sizeof(filling));
				put_pair(variables[v].name, filling,
					 variables[v].max + (size_t)more, false);
			}
			put_stream(FCGI_PARAMS, 1, at, 1000);
			transcript_release(&seen);
			transcript_init(&seen, BODY_MAX, NULL);
			assert_true(transcript_feed(&seen, (struct view){wire.data, wire.len}));
			for (size_t v = 0; v < count; v++) {
				const struct request_variable *variable = request_find_variable(
					&seen.request, view_of(variables[v].name));
				struct view value;

				memcpy(&value, (char *)&seen.request + variable->member,
				       sizeof(value));
				memset(filling, 'a' + (int)v, sizeof(filling));
				assert_int_equal(request_refuses(&seen.request, variable->id),
						 more > 0);
				assert_int_equal(value.len,
						 more > 0 ? 0 : variables[v].max + (size_t)more);
				if (more <= 0)
					assert_memory_equal(value.ptr, filling, value.len);
				else
					assert_null(value.ptr);
			}
		}
	}
}

/* Behind the longest headers that a client can send, in pieces of a few bytes. */
static void test_fcgi__facts_of_the_web_server__keep_their_room(void **state)
{
	static struct labels_request_attribute attributes[2] = {
		{.parameter = VIEW_CONSTANT("FARO_ATTR_USER_AGENT_SYNTHETIC_TYPE")},
		{.parameter = VIEW_CONSTANT(LABELS_PARAMETER_PREFIX
					    "K234567890123456789012345678901234567890"
					    "123456789012345678901234")},
	};
	const struct labels labels = {.request_attributes = attributes,
				      .request_attribute_count = 2,
				      .parameter_count = 2};
	static const char filling[FCGI_PARAMS_MAX_BYTES / 4];
	struct request_parameters parameters;
	char value[255], room[2 * 255];
	size_t at;

	(void)state;
	assert_int_equal(attributes[1].parameter.len, LABELS_PARAMETER_MAX_BYTES);
	assert_true(request_parameters_init(&parameters, &labels));
	assert_int_equal(request_parameters_room(&parameters), sizeof(room));
	memset(value, 'v', sizeof(value));
	put_begin(1, FCGI_RESPONDER, FCGI_KEEP_CONN);
	at = wire.len;
	put_pair("HTTP_X_UNKNOWN", filling, sizeof(filling), false);
	put_pair(attributes[0].parameter.ptr, "bot", 3, false);
	put_pair("HTTP_ORIGIN", filling, sizeof(filling), false);
	put_pair(attributes[1].parameter.ptr, value, sizeof(value), false);
	put_pair("FARO_ATTR_OF_ANOTHER", "x", 1, false);
	put_stream(FCGI_PARAMS, 1, at, 10);
	transcript_release(&seen);
	transcript_init(&seen, BODY_MAX, NULL);
	seen.request.parameters = &parameters;
	seen.intake.facts = room;
	assert_true(transcript_feed(&seen, (struct view){wire.data, wire.len}));
	assert_true(view_equals(seen.request.facts.values[0], VIEW_LITERAL("bot")));
	assert_true(view_equals(seen.request.facts.values[1], (struct view){value, sizeof(value)}));
	request_parameters_release(&parameters);
}

/* Absent would be another thing: an Origin that is not there is welcome. And what is the same for
 * all long values would make one of two keys. */
static void test_fcgi__values_that_are_too_long__are_refused_and_cost_no_other(void **state)
{
	static const char filling[FCGI_PARAMS_MAX_BYTES / 4];
	char refused[32];
	size_t at;

	(void)state;
	put_begin(1, FCGI_RESPONDER, FCGI_KEEP_CONN);
	at = wire.len;
	put_pair("HTTP_X_UNKNOWN", filling, sizeof(filling), false);
	put_pair("HTTP_ORIGIN", filling, sizeof(filling), false);
	put_pair("HTTP_IDEMPOTENCY_KEY", filling, sizeof(filling), false);
	put_pair("HTTP_HOST", "shop", 4, false);
	put_pair("REQUEST_METHOD", "POST", 4, false);
	put_pair("FARO_ENDPOINT", "ready", 5, false);
	put_stream(FCGI_PARAMS, 1, at, 5000);
	put_end_of(FCGI_STDIN, 1);
	feed();
	snprintf(refused, sizeof(refused), "refused=%x ",
		 1U << REQUEST_ORIGIN | 1U << REQUEST_IDEMPOTENCY_KEY);
	expect_text(refused);
	expect_text("endpoint=3");
	expect_text("method=POST");
	expect_text("host=shop origin=- ");
	expect_text("key=- ");
}

/* One byte too many, in a pair that comes whole or not: it would stand in the next one's room. */
static void test_fcgi__a_value_that_is_too_long_by_a_byte__leaves_the_next_one(void **state)
{
	static const size_t steps[] = {5000, 3};
	const struct request_variable *next;
	char filling[17];
	struct view value;
	size_t at;

	(void)state;
	memset(filling, 'x', sizeof(filling));
	for (size_t i = 0; i < ARRAY_LEN(steps); i++) {
		buf_clear(&wire);
		put_begin(1, FCGI_RESPONDER, FCGI_KEEP_CONN);
		at = wire.len;
		put_pair("FARO_IGNORE", "crawler", 7, false);
		put_pair("FARO_ENDPOINT", filling, sizeof(filling), false);
		put_stream(FCGI_PARAMS, 1, at, steps[i]);
		transcript_release(&seen);
		transcript_init(&seen, BODY_MAX, NULL);
		assert_true(transcript_feed(&seen, (struct view){wire.data, wire.len}));
		next = request_find_variable(&seen.request, VIEW_LITERAL("FARO_IGNORE"));
		assert_int_equal(next->room, sizeof(filling) - 1);
		assert_true(request_refuses(&seen.request, REQUEST_ENDPOINT));
		memcpy(&value, (char *)&seen.request + next->member, sizeof(value));
		assert_true(view_equals(value, VIEW_LITERAL("crawler")));
	}
}

static void test_fcgi__a_value_given_twice__the_last_one_counts(void **state)
{
	static const char filling[1000];
	size_t at;

	(void)state;
	put_begin(1, FCGI_RESPONDER, FCGI_KEEP_CONN);
	at = wire.len;
	put_pair("HTTP_HOST", "a-longer-one.example", 20, false);
	put_pair("HTTP_HOST", "shop", 4, false);
	put_pair("HTTP_HOST", "", 0, false);
	put_pair("HTTP_ORIGIN", filling, sizeof(filling), false);
	put_pair("HTTP_ORIGIN", "https://shop", 12, false);
	put_pair("HTTP_IDEMPOTENCY_KEY", "key", 3, false);
	put_pair("HTTP_IDEMPOTENCY_KEY", filling, sizeof(filling), false);
	put_pair("CONTENT_LENGTH", "5", 1, false);
	put_pair("CONTENT_LENGTH", filling, sizeof(filling), false);
	put_stream(FCGI_PARAMS, 1, at, 5000);
	put_end_of(FCGI_STDIN, 1);
	feed();
	expect_text("length=? ");
	expect_text("host=shop origin=https://shop ");
	expect_text("key=- ");
}

static void test_fcgi__asides_have_a_limit_between_two_replies(void **state)
{
	(void)state;
	for (int more = -1; more <= 1; more++) {
		buf_clear(&wire);
		for (int i = 0; i < FCGI_ASIDES_MAX; i++)
			put_end_of(FCGI_GET_VALUES, 0);
		put_post(1, VIEW_LITERAL("first"));
		for (int i = 0; i < FCGI_ASIDES_MAX + more; i++)
			put_end_of(99, 0);
		feed();
		expect_text("content=first");
		expect_text(more <= 0 ? "at rest: 1" : "broken: too many records");
	}
}

static void test_fcgi__what_is_ignored_has_a_limit_between_two_replies(void **state)
{
	static const char filling[1024 - 8];
	const struct view content = {filling, sizeof(filling)};

	(void)state;
	for (int more = -1; more <= 1; more++) {
		buf_clear(&wire);
		for (int i = 0; i < 1024; i++)
			put(FCGI_STDIN, 9, content);
		put_post(1, VIEW_LITERAL("first"));
		for (int i = 0; i < 1023; i++)
			put(FCGI_STDIN, 9, content);
		put_padded(FCGI_STDIN, 9, (struct view){filling, 1000 - 8 + (size_t)more}, 24);
		feed();
		expect_text("content=first");
		expect_text(more <= 0 ? "at rest: 1" : "broken: too many bytes");
	}
}

static void test_fcgi__a_body_that_is_dropped_has_a_limit(void **state)
{
	static const char filling[32768];

	(void)state;
	for (int more = -1; more <= 1; more++) {
		struct view start;
		bool goes_on = true;

		buf_clear(&wire);
		put_post(1, VIEW_LITERAL(""));
		start = (struct view){wire.data, wire.len - 8};
		transcript_release(&seen);
		transcript_init(&seen, BODY_MAX, NULL);
		assert_true(transcript_feed(&seen, start));
		buf_clear(&wire);
		put(FCGI_STDIN, 1, (struct view){filling, sizeof(filling)});
		for (int i = 0; i < FCGI_DRAIN_MAX_BYTES / 32768 - 1; i++)
			assert_true(transcript_feed(&seen, (struct view){wire.data, wire.len}));
		buf_clear(&wire);
		put(FCGI_STDIN, 1, (struct view){filling, sizeof(filling) - 1});
		if (more >= 0)
			put(FCGI_STDIN, 1, (struct view){filling, 1U + (unsigned)more});
		goes_on = transcript_feed(&seen, (struct view){wire.data, wire.len});
		assert_int_equal(goes_on, more <= 0);
	}
}

static void test_fcgi__a_body_that_is_kept__may_be_longer_than_what_is_dropped(void **state)
{
	static const char filling[32768];
	struct buf kept;

	(void)state;
	buf_init(&kept, (size_t)FCGI_DRAIN_MAX_BYTES * 2, NULL);
	put_post(1, VIEW_LITERAL(""));
	seen.request.body = &kept;
	assert_true(transcript_feed(&seen, (struct view){wire.data, wire.len - 8}));
	buf_clear(&wire);
	put(FCGI_STDIN, 1, (struct view){filling, sizeof(filling)});
	for (int i = 0; i < FCGI_DRAIN_MAX_BYTES / 32768 + 1; i++)
		assert_true(transcript_feed(&seen, (struct view){wire.data, wire.len}));
	assert_int_equal(kept.len, FCGI_DRAIN_MAX_BYTES + 32768);
	assert_int_equal(seen.request.body_state, BODY_WHOLE);
	buf_release(&kept);
}

static void test_fcgi__body_limits(void **state)
{
	static const char body[BODY_MAX + 1];
	static const struct {
		size_t size, budget;
		enum body_state state;
	} rows[] = {
		{BODY_MAX - 1, 1000, BODY_WHOLE},           {BODY_MAX, 1000, BODY_WHOLE},
		{BODY_MAX + 1, 1000, BODY_TOO_LARGE},       {BODY_MAX, BODY_MAX, BODY_WHOLE},
		{BODY_MAX, BODY_MAX - 1, BODY_OVER_BUDGET},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		char expected[32];
		struct budget budget;

		budget_init(&budget, rows[i].budget);
		buf_clear(&wire);
		put_post(1, (struct view){body, rows[i].size});
		transcript_release(&seen);
		transcript_init(&seen, BODY_MAX, &budget);
		transcript_feed(&seen, (struct view){wire.data, wire.len});
		snprintf(expected, sizeof(expected), "body=%d", rows[i].state);
		expect_text(expected);
		transcript_release(&seen);
		assert_int_equal(budget_used(&budget), 0);
		transcript_init(&seen, BODY_MAX, NULL);
	}
}

/* --- replies -----------------------------------------------------------------------------------*/

static void test_fcgi__a_reply_of_any_length__is_split_into_records(void **state)
{
	static const size_t sizes[] = {0, 1, 65534, 65535, 65536, 131070, 131071, 1 << 20};
	static unsigned char response[1 << 20];

	(void)state;
	for (size_t i = 0; i < sizeof(response); i++)
		response[i] = (unsigned char)(i * 7 >> 3);
	for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
		const unsigned char *at;
		size_t got = 0, len;

		buf_clear(&seen.answers);
		seen.stream.id = 258;
		assert_int_equal(fcgi_put_reply(&seen.stream,
						(struct view){(char *)response, sizes[i]},
						&seen.answers),
				 BUF_OK);
		at = (unsigned char *)seen.answers.data;
		do {
			assert_memory_equal(at, "\1\6\1\2", 4);
			assert_int_equal(at[6], 0);
			len = (size_t)at[4] << 8 | at[5];
			assert_memory_equal(at + 8, response + got, len);
			got += len;
			at += 8 + len;
		} while (len > 0);
		assert_int_equal(got, sizes[i]);
		assert_memory_equal(at, "\1\3\1\2\0\10\0\0\0\0\0\0\0\0\0\0", 16);
		assert_int_equal(at + 16 - (unsigned char *)seen.answers.data, seen.answers.len);
	}
}

static void test_fcgi__a_reply_without_memory__is_an_error(void **state)
{
	struct buf small = {.max = 50};

	(void)state;
	seen.stream.id = 1;
	assert_int_equal(fcgi_put_reply(&seen.stream, VIEW_LITERAL("0123456789012345678"), &small),
			 BUF_TOO_LARGE);
	buf_release(&small);
	put_end_of(FCGI_GET_VALUES, 0);
	seen.answers.max = 7;
	assert_false(transcript_feed(&seen, (struct view){wire.data, wire.len}));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)
		TEST(test_fcgi__a_request__is_read_and_answered),
		TEST(test_fcgi__two_requests_in_one_read__are_both_whole),
		TEST(test_fcgi__connection_not_to_be_kept__says_so),
		TEST(test_fcgi__other_flags_than_keep__mean_nothing),
		TEST(test_fcgi__wherever_it_is_split__the_same_comes_of_it),
		TEST(test_fcgi__asides__are_answered_as_specified),
		TEST(test_fcgi__a_question_for_nothing_we_know__has_an_empty_answer),
		TEST(test_fcgi__nonsense__breaks_the_stream),
		TEST(test_fcgi__parameters_have_a_limit),
		TEST(test_fcgi__facts_of_the_web_server__keep_their_room),
		TEST(test_fcgi__values__each_has_room_of_its_own),
		TEST(test_fcgi__values_that_are_too_long__are_refused_and_cost_no_other),
		TEST(test_fcgi__a_value_that_is_too_long_by_a_byte__leaves_the_next_one),
		TEST(test_fcgi__a_value_given_twice__the_last_one_counts),
		TEST(test_fcgi__asides_have_a_limit_between_two_replies),
		TEST(test_fcgi__what_is_ignored_has_a_limit_between_two_replies),
		TEST(test_fcgi__a_body_that_is_dropped_has_a_limit),
		TEST(test_fcgi__a_body_that_is_kept__may_be_longer_than_what_is_dropped),
		TEST(test_fcgi__body_limits),
		TEST(test_fcgi__a_reply_of_any_length__is_split_into_records),
		TEST(test_fcgi__a_reply_without_memory__is_an_error),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
