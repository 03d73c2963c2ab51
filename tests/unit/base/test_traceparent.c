/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/text.h"
#include "base/traceparent.h"

#define TRACE  "0af7651916cd43dd8448eb211c80319c"
#define PARENT "b7ad6b7169203331"

static void test_traceparent__each_row__valid_or_not(void **state)
{
	static const struct {
		struct view value;
		bool valid;
	} rows[] = {
		{VIEW_CONSTANT("00-" TRACE "-" PARENT "-01"), true},
		{VIEW_CONSTANT("00-" TRACE "-" PARENT "-00"), true},
		{VIEW_CONSTANT("cc-" TRACE "-" PARENT "-09"), true}, /* a later version */
		{VIEW_CONSTANT("ff-" TRACE "-" PARENT "-01"), false},
		{VIEW_CONSTANT("00-" TRACE "-" PARENT "-1"), false},
		{VIEW_CONSTANT("00-" TRACE "-" PARENT "-011"), false},
		{VIEW_CONSTANT("00-" TRACE "_" PARENT "-01"), false},
		{VIEW_CONSTANT("00-" TRACE "-" PARENT "+01"), false},
		{VIEW_CONSTANT("00+" TRACE "-" PARENT "-01"), false},
		{VIEW_CONSTANT("0g-" TRACE "-" PARENT "-01"), false},
		{VIEW_CONSTANT("00-" TRACE "-" PARENT "-0 "), false},
		{VIEW_CONSTANT("00-0AF7651916cd43dd8448eb211c80319c-" PARENT "-01"), false},
		{VIEW_CONSTANT("00-0af7651916cd43dd8448eb211c8031\"}-" PARENT "-01"), false},
		{VIEW_CONSTANT("00-00000000000000000000000000000000-" PARENT "-01"), false},
		{VIEW_CONSTANT("00-" TRACE "-0000000000000000-01"), false},
		{VIEW_CONSTANT("00-00000000000000000000000000000001-" PARENT "-01"), true},
		{VIEW_CONSTANT("00-10000000000000000000000000000000-" PARENT "-01"), true},
		{VIEW_CONSTANT(""), false},
		{{NULL, 0}, false},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		if (traceparent_is_valid(rows[i].value) != rows[i].valid)
			fail_msg("%.*s", (int)rows[i].value.len, rows[i].value.ptr);
}

static void test_traceparent__sampled__its_trace_else_none(void **state)
{
	struct trace_id id = traceparent_sampled(VIEW_LITERAL("00-" TRACE "-" PARENT "-01"));

	(void)state;
	assert_true(id.high == 0x0af7651916cd43dd && id.low == 0x8448eb211c80319c);
	/* Other flags, of later versions, beside it. */
	id = traceparent_sampled(VIEW_LITERAL("00-" TRACE "-" PARENT "-ff"));
	assert_true(id.high == 0x0af7651916cd43dd && id.low == 0x8448eb211c80319c);
	id = traceparent_sampled(VIEW_LITERAL("00-" TRACE "-" PARENT "-02"));
	assert_true((id.high | id.low) == 0);
	id = traceparent_sampled(VIEW_LITERAL("00-" TRACE "-" PARENT "-0x"));
	assert_true((id.high | id.low) == 0);
	id = traceparent_sampled((struct view){NULL, 0});
	assert_true((id.high | id.low) == 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_traceparent__each_row__valid_or_not),
		cmocka_unit_test(test_traceparent__sampled__its_trace_else_none),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
