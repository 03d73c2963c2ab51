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
#include "ingest/request.h"

static const struct request without_parameters;
static char storage[4][CONFIG_PATH_MAX_BYTES + 64];
static char *variables[5];

/* From name, value, name, value, …, NULL; a NULL value leaves the variable out. */
static void read_pairs(struct request *request, const char *const *pairs)
{
	size_t n = 0;

	for (; *pairs; pairs += 2) {
		if (!pairs[1])
			continue;
		variables[n] = storage[n];
		snprintf(storage[n], sizeof(storage[n]), "%s=%s", pairs[0], pairs[1]);
		n++;
	}
	variables[n] = NULL;
	request_init(request, NULL, 100, NULL);
	request_read_variables(request, variables);
}

static void test_request__content_length(void **state)
{
	static const struct {
		const char *text;
		enum length_state expected;
		int64_t length;
	} rows[] = {
		{"0", LENGTH_GIVEN, 0},
		{"00012", LENGTH_GIVEN, 12},
		{"9223372036854775807", LENGTH_GIVEN, INT64_MAX},
		{"9223372036854775808", LENGTH_MALFORMED, 0}, /* one above */
		{"99999999999999999999999", LENGTH_MALFORMED, 0},
		{"00000000000000000000000000000012", LENGTH_GIVEN, 12},
		{"000000000000000000000000000000012", LENGTH_MALFORMED, 0}, /* too long */
		{"", LENGTH_ABSENT, 0}, /* as nginx passes it where the client sent none */
		{NULL, LENGTH_ABSENT, 0},
		{"-1", LENGTH_MALFORMED, 0},
		{"-2", LENGTH_MALFORMED, 0},
		{"+1", LENGTH_MALFORMED, 0},
		{" 1", LENGTH_MALFORMED, 0},
		{"1e3", LENGTH_MALFORMED, 0},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		const char *pairs[] = {"CONTENT_LENGTH", rows[i].text, NULL};
		struct request request;

		read_pairs(&request, pairs);
		assert_int_equal(request.length_state, rows[i].expected);
		if (rows[i].expected == LENGTH_GIVEN)
			assert_int_equal(request.content_length, rows[i].length);
	}
}

static void test_request__endpoint(void **state)
{
	static const struct {
		const char *text;
		enum endpoint expected;
	} rows[] = {
		{NULL, ENDPOINT_COLLECT},
		{"", ENDPOINT_COLLECT},
		{"collect", ENDPOINT_COLLECT},
		{"metrics", ENDPOINT_METRICS},
		{"health", ENDPOINT_HEALTH},
		{"ready", ENDPOINT_READY},
		{"Metrics", ENDPOINT_UNKNOWN},
		{"healthy", ENDPOINT_UNKNOWN},
		{"collectcollectcollect", ENDPOINT_UNKNOWN},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		const char *pairs[] = {"FARO_ENDPOINT", rows[i].text, NULL};
		struct request request;

		read_pairs(&request, pairs);
		assert_int_equal(request.endpoint, rows[i].expected);
	}
}

static void test_request__path__is_script_name_and_path_info(void **state)
{
	static char longest[CONFIG_PATH_MAX_BYTES + 2];
	const char *both[] = {"SCRIPT_NAME", "/faro", "PATH_INFO", "/collect", NULL};
	const char *none[] = {"NO_EQUALS_SIGN_BEHIND_IT", NULL, NULL};
	const char *at[] = {"SCRIPT_NAME", longest + 2, "PATH_INFO", "/", NULL};
	const char *above[] = {"SCRIPT_NAME", longest + 1, "PATH_INFO", "/", NULL};
	struct request request;

	(void)state;
	memset(longest, 'a', sizeof(longest) - 1);
	read_pairs(&request, both);
	assert_true(view_equals(request.path, VIEW_LITERAL("/faro/collect")));
	read_pairs(&request, none);
	assert_null(request.path.ptr);
	assert_false(request.path_too_long);
	read_pairs(&request, at);
	assert_int_equal(request.path.len, CONFIG_PATH_MAX_BYTES);
	assert_false(request.path_too_long);
	read_pairs(&request, above);
	assert_null(request.path.ptr);
	assert_true(request.path_too_long);
	above[1] = longest; /* too long by itself */
	above[2] = NULL;
	read_pairs(&request, above);
	assert_true(request.path_too_long);
}

static const struct request_variable *known_variable(const char *name)
{
	const struct request_variable *variable =
		request_find_variable(&without_parameters, view_of(name));

	assert_non_null(variable);
	return variable;
}

static void test_request__value_that_is_too_long__neither_absent_nor_a_value(void **state)
{
	static const char letters[FORWARDED_MAX_BYTES + 1];
	const struct request_variable *key = known_variable("HTTP_IDEMPOTENCY_KEY");
	struct request request;

	(void)state;
	request_init(&request, NULL, 100, NULL);
	request_set_variable(&request, key, (struct view){letters, FORWARDED_MAX_BYTES + 1});
	assert_true(request_refuses(&request, REQUEST_IDEMPOTENCY_KEY));
	assert_null(request.forwarded.idempotency_key.ptr);
	/* Of two the last one counts, but for an empty one, which counts as absent. */
	request_set_variable(&request, key, (struct view){letters, 0});
	assert_true(request_refuses(&request, REQUEST_IDEMPOTENCY_KEY));
	request_set_variable(&request, key, (struct view){letters, FORWARDED_MAX_BYTES});
	assert_false(request_refuses(&request, REQUEST_IDEMPOTENCY_KEY));
	assert_ptr_equal(request.forwarded.idempotency_key.ptr, letters);
	request_set_variable(&request, key, (struct view){letters, FORWARDED_MAX_BYTES + 1});
	assert_true(request_refuses(&request, REQUEST_IDEMPOTENCY_KEY));
	assert_null(request.forwarded.idempotency_key.ptr);
	assert_int_equal(request.refused, 1U << REQUEST_IDEMPOTENCY_KEY);
	request_clear(&request);
	assert_int_equal(request.refused, 0);
}

static void test_request__variables__have_rooms_that_do_not_overlap(void **state)
{
	static const char *const names[] = {
#define VARIABLE(id, name, member, max_bytes) [REQUEST_##id] = (name),
#include "ingest/variable_list.h"
	};
	bool taken[sizeof(struct request_values)] = {false};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		const struct request_variable *variable = known_variable(names[i]);

		assert_int_equal(variable->id, i);
		assert_true(variable->room + variable->room_bytes <= sizeof(taken));
		for (size_t at = 0; at < variable->room_bytes; at++) {
			assert_false(taken[variable->room + at]);
			taken[variable->room + at] = true;
		}
	}
	assert_null(request_find_variable(&without_parameters, VIEW_LITERAL("HTTP_COOKIE")));
	assert_null(request_find_variable(&without_parameters, VIEW_LITERAL("")));
}

static struct view attribute_names[] = {VIEW_CONSTANT("FARO_ATTR_A"), VIEW_CONSTANT("FARO_ATTR_B"),
					VIEW_CONSTANT("FARO_ATTR_CLIENT_ADDRESS")};

/* The last one is made of the address, and has no parameter. */
static void init_parameters(struct request_parameters *parameters)
{
	static struct labels_request_attribute attributes[3];
	const struct labels labels = {.request_attributes = attributes,
				      .request_attribute_count = 3,
				      .parameter_count = 2};

	for (size_t i = 0; i < ARRAY_LEN(attributes); i++)
		attributes[i].parameter = attribute_names[i];
	assert_true(request_parameters_init(parameters, &labels));
}

static void test_request__parameters__are_those_that_are_listed(void **state)
{
	struct request_parameters parameters;
	struct request request;
	const char *const pairs[] = {
		"FARO_ATTR_B",  "b",           "FARO_ATTR_C", "c", "FARO_ATTR_CLIENT_ADDRESS",
		"198.51.100.7", "REMOTE_ADDR", "192.0.2.1",   NULL};

	(void)state;
	init_parameters(&parameters);
	assert_int_equal(request_parameters_room(&parameters), 2 * 255);
	read_pairs(&request, pairs);
	assert_null(request.facts.values[1].ptr); /* it has none yet */
	assert_true(view_equals(request.remote_addr, VIEW_LITERAL("192.0.2.1")));
	request.parameters = &parameters;
	request_read_variables(&request, variables);
	assert_null(request.facts.values[0].ptr);
	assert_true(view_equals(request.facts.values[1], VIEW_LITERAL("b")));
	assert_null(request.facts.values[2].ptr);
	assert_null(request_find_variable(&request, VIEW_LITERAL("FARO_ATTR_")));
	assert_null(request_find_variable(&request, VIEW_LITERAL("FARO_ATTR_AB")));
	assert_null(request_find_variable(&request, VIEW_LITERAL("HTTP_FARO_ATTR_A")));
	request_clear(&request);
	assert_null(request.facts.values[1].ptr);
	assert_ptr_equal(request.parameters, &parameters);
	request_parameters_release(&parameters);
}

static void test_request__parameter_that_is_too_long__is_absent(void **state)
{
	static const char letters[256];
	struct request_parameters parameters;
	struct request request;
	const struct request_variable *a, *b;

	(void)state;
	init_parameters(&parameters);
	request_init(&request, NULL, 100, NULL);
	request.parameters = &parameters;
	a = request_find_variable(&request, attribute_names[0]);
	b = request_find_variable(&request, attribute_names[1]);
	assert_non_null(a);
	assert_non_null(b);
	assert_true(a->room + a->room_bytes <= b->room || b->room + b->room_bytes <= a->room);
	assert_true(b->room + b->room_bytes <= request_parameters_room(&parameters));
	request_set_variable(&request, a, (struct view){letters, 255});
	assert_int_equal(request.facts.values[0].len, 255);
	request_set_variable(&request, b, (struct view){letters, 256});
	assert_null(request.facts.values[1].ptr);
	assert_int_equal(request.facts.values[0].len, 255);
	request_set_variable(&request, a, (struct view){letters, 256});
	assert_null(request.facts.values[0].ptr);
	request_parameters_release(&parameters);
}

static void test_request__body_above_its_buffer__keeps_nothing_that_comes_later(void **state)
{
	struct request request;
	struct buf body;

	(void)state;
	buf_init(&body, 5, NULL);
	request_init(&request, &body, 100, NULL);
	request_append_body(&request, "abcd", 4);
	request_append_body(&request, "ef", 2);
	request_append_body(&request, "g", 1);
	assert_int_equal(request.body_state, BODY_TOO_LARGE);
	assert_int_equal(body.len, 4);
	buf_release(&body);
}

static void test_request__body_above_the_memory_of_all__keeps_nothing_that_comes_later(void **state)
{
	struct request request;
	struct budget memory;
	struct buf body;

	(void)state;
	budget_init(&memory, 1);
	buf_init(&body, 10000, &memory);
	request_init(&request, &body, 100, NULL);
	request_append_body(&request, "abcd", 4);
	assert_int_equal(request.body_state, BODY_OVER_BUDGET);
	budget_init(&memory, SIZE_MAX);
	request_append_body(&request, "e", 1);
	assert_int_equal(request.body_state, BODY_OVER_BUDGET);
	assert_int_equal(body.len, 0);
	buf_release(&body);
}

static void test_request__cleared__remembers_nothing(void **state)
{
	const char *pairs[] = {"REQUEST_METHOD", "POST", "CONTENT_LENGTH", "5", NULL};
	struct request request;

	(void)state;
	read_pairs(&request, pairs);
	request.reply.status = 400;
	assert_int_equal(buf_append(&request.labelled, "abc", 3), BUF_OK);
	request_clear(&request);
	assert_null(request.method.ptr);
	assert_int_equal(request.length_state, LENGTH_ABSENT);
	assert_int_equal(request.reply.status, 0);
	assert_int_equal(request.labelled.len, 0);
	assert_non_null(request.labelled.data); /* small enough to be kept */
	request_release(&request);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_request__content_length),
		cmocka_unit_test(test_request__endpoint),
		cmocka_unit_test(test_request__path__is_script_name_and_path_info),
		cmocka_unit_test(test_request__value_that_is_too_long__neither_absent_nor_a_value),
		cmocka_unit_test(test_request__variables__have_rooms_that_do_not_overlap),
		cmocka_unit_test(test_request__parameters__are_those_that_are_listed),
		cmocka_unit_test(test_request__parameter_that_is_too_long__is_absent),
		cmocka_unit_test(
			test_request__body_above_its_buffer__keeps_nothing_that_comes_later),
		cmocka_unit_test(
			test_request__body_above_the_memory_of_all__keeps_nothing_that_comes_later),
		cmocka_unit_test(test_request__cleared__remembers_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
