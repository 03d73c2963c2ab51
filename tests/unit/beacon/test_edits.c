/* SPDX-License-Identifier: Apache-2.0 */
/* edits: removing items of a container, in all combinations; edits at the same place; limits. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/text.h"
#include "beacon/edits.h"
#include "beacon/json.h"

/* The texts that edits refer to. */
enum {
	NOTHING,
	APPENDED,
	APPENDED_WITH_COMMA,
	INSIDE
};
static const struct view texts[] = {
	[NOTHING] = VIEW_LITERAL(""),
	[APPENDED] = VIEW_LITERAL("\"new\":0"),
	[APPENDED_WITH_COMMA] = VIEW_LITERAL(",\"new\":0"),
	[INSIDE] = VIEW_LITERAL("!"),
};

struct plan {
	unsigned removed; /* a bit for each item */
	bool appends;
	bool edits_inside; /* of every item, removed or not, at both of its ends */
	bool passes_over;  /* items that stay, where that is allowed */
};

struct fixture {
	struct edits edits;
	struct buf out;
};

static void fixture_init(struct fixture *fixture)
{
	edits_init(&fixture->edits);
	buf_init(&fixture->out, (size_t)16 << 20, NULL);
}

static void fixture_release(struct fixture *fixture)
{
	edits_release(&fixture->edits);
	buf_release(&fixture->out);
}

static struct view edited(struct fixture *fixture, struct view in)
{
	buf_clear(&fixture->out);
	assert_int_equal(fixture->edits.error, EDITS_OK);
	assert_int_equal(edits_apply(&fixture->edits, in, texts, &fixture->out), BUF_OK);
	return (struct view){fixture->out.data, fixture->out.len};
}

/* Inserts a text before the value and replaces its last byte. */
static void edit_inside(struct edits *edits, size_t from, size_t to)
{
	edits_add(edits, from, 0, INSIDE);
	edits_add(edits, to - 1, 1, INSIDE);
}

/* Walks over one object and carries out the plan. */
static struct view run_plan(struct fixture *fixture, struct view in, const struct plan *plan)
{
	struct edits_items items = {0};
	struct json_string key;
	struct json json;
	unsigned bit = 1;
	bool comma;

	edits_clear(&fixture->edits);
	json_init(&json, in);
	assert_true(json_enter(&json, JSON_OBJECT));
	for (; json_member(&json, &key); bit <<= 1) {
		if (!plan->passes_over || items.pending || plan->removed & bit)
			edits_next_item(&fixture->edits, &items, json.separator);
		assert_true(json_skip(&json));
		if (plan->edits_inside)
			edit_inside(&fixture->edits, key.offset, json_offset(&json));
		if (plan->removed & bit)
			edits_remove_item(&fixture->edits, &items, key.offset, json_offset(&json));
	}
	assert_true(json_finish(&json));
	items.any = !json.was_empty;
	comma = edits_end_items(&fixture->edits, &items, plan->appends);
	if (plan->appends)
		edits_add(&fixture->edits, json_offset(&json) - 1, 0,
			  comma ? APPENDED_WITH_COMMA : APPENDED);
	return edited(fixture, in);
}

static const char *const members[] = {"\"a\":1", "\"b\":[2,3]", "\"c\":{}", "\"d\":\"4\""};

/* The object with `count` members, or what the plan leaves of it, written anew. */
static void print_object(struct buf *out, const char *space, size_t count, const struct plan *plan)
{
	const char *comma = "";

	buf_clear(out);
	buf_printf(out, "{%s", space);
	for (size_t i = 0; i < count; i++) {
		const char *member = members[i];

		if (plan && plan->removed >> i & 1)
			continue;
		if (plan && plan->edits_inside)
			buf_printf(out, "%s!%.*s!", comma, (int)strlen(member) - 1, member);
		else
			buf_printf(out, "%s%s%s", comma, member, space);
		comma = plan ? "," : space[0] ? ", " : ",";
	}
	if (plan && plan->appends)
		buf_printf(out, "%s\"new\":0", comma);
	buf_printf(out, "}");
}

static size_t without_spaces(char *text, size_t len)
{
	size_t n = 0;

	for (size_t i = 0; i < len; i++)
		if (text[i] != ' ')
			text[n++] = text[i];
	return n;
}

static void check_plan(struct fixture *fixture, size_t count, const char *space,
		       const struct plan *plan)
{
	struct buf in, wanted;
	struct view out;

	buf_init(&in, 1 << 10, NULL);
	buf_init(&wanted, 1 << 10, NULL);
	print_object(&in, space, count, NULL);
	print_object(&wanted, "", count, plan);
	out = run_plan(fixture, (struct view){in.data, in.len}, plan);
	out.len = without_spaces(fixture->out.data, out.len);
	if (!view_equals(out, (struct view){wanted.data, wanted.len}))
		fail_msg("%.*s without %#x%s: %.*s, not %.*s", (int)in.len, in.data, plan->removed,
			 plan->appends ? " and appended to" : "", (int)out.len, out.ptr,
			 (int)wanted.len, wanted.data);
	buf_release(&in);
	buf_release(&wanted);
}

static void test_items__every_set_removed__the_rest_is_whole(void **state)
{
	struct fixture fixture;
	unsigned checked = 0;

	(void)state;
	fixture_init(&fixture);
	for (size_t count = 0; count <= ARRAY_LEN(members); count++)
		for (unsigned i = 0; i < 16u << count; i++) {
			struct plan plan = {i >> 4, i & 1, i & 2, i & 8};

			check_plan(&fixture, count, i & 4 ? " " : "", &plan);
			checked++;
		}
	assert_int_equal(checked, 16 * (1 + 2 + 4 + 8 + 16));
	fixture_release(&fixture);
}

static void test_items__white_space__stays_where_no_comma_goes(void **state)
{
	static const struct {
		const char *in;
		struct plan plan;
		const char *out;
	} rows[] = {
		{"{ \"a\" : 1 , \"b\" : 2 }", {.removed = 1}, "{  \"b\" : 2 }"},
		{"{ \"a\" : 1 , \"b\" : 2 }", {.removed = 2}, "{ \"a\" : 1  }"},
		{"{ \"a\" : 1 , \"b\" : 2 }", {.removed = 3}, "{   }"},
		{"{ \"a\" : 1 , \"b\" : 2 }",
		 {.removed = 2, .appends = true},
		 "{ \"a\" : 1 ,  \"new\":0}"},
		{"{ \"a\" : 1 , \"b\" : 2 , \"c\" : 3 }", {.removed = 6}, "{ \"a\" : 1  }"},
		{"{ \"a\" : 1 , \"b\" : 2 , \"c\" : 3 }",
		 {.removed = 6, .appends = true},
		 "{ \"a\" : 1 ,   \"new\":0}"},
	};
	struct fixture fixture;

	(void)state;
	fixture_init(&fixture);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct view out = run_plan(&fixture, view_of(rows[i].in), &rows[i].plan);

		if (!view_equals(out, view_of(rows[i].out)))
			fail_msg("%s: %.*s, not %s", rows[i].in, (int)out.len, out.ptr,
				 rows[i].out);
	}
	fixture_release(&fixture);
}

/* So a beacon full of forged names costs no more than one with a single one. */
static void test_items__a_run_removed__one_edit(void **state)
{
	static const char text[] = "{\"a\":1,\"b\":2,\"c\":3,\"d\":4,\"e\":5}";
	static const struct plan plans[] = {
		{.removed = 7},
		{.removed = 14},
		{.removed = 28},
		{.removed = 31},
		{.removed = 28, .appends = true},
		{.removed = 31, .appends = true},
	};
	struct fixture fixture;

	(void)state;
	fixture_init(&fixture);
	for (size_t i = 0; i < ARRAY_LEN(plans); i++) {
		run_plan(&fixture, view_of(text), &plans[i]);
		assert_int_equal(fixture.edits.count, 1);
	}
	fixture_release(&fixture);
}

/* A removal, then an edit that begins where it ends: the text comes in its place. */
static void test_edits__at_the_same_place__become_one(void **state)
{
	struct fixture fixture;

	(void)state;
	fixture_init(&fixture);
	edits_add(&fixture.edits, 1, 2, EDIT_REMOVES);
	edits_add(&fixture.edits, 3, 1, EDIT_REMOVES);
	edits_add(&fixture.edits, 4, 0, INSIDE);
	assert_int_equal(fixture.edits.count, 1);
	edits_add(&fixture.edits, 4, 0, INSIDE);
	assert_true(view_equals(edited(&fixture, VIEW_LITERAL("abcdef")), VIEW_LITERAL("a!!ef")));
	fixture_release(&fixture);
}

static void test_edits__one_more_than_edits_max__full(void **state)
{
	struct fixture fixture;

	(void)state;
	fixture_init(&fixture);
	for (size_t i = 0; i < EDITS_MAX; i++)
		edits_add(&fixture.edits, i, 0, INSIDE);
	assert_int_equal(fixture.edits.error, EDITS_OK);
	edits_add(&fixture.edits, EDITS_MAX, 0, INSIDE);
	assert_int_equal(fixture.edits.error, EDITS_FULL);
	assert_int_equal(fixture.edits.count, EDITS_MAX);
	edits_clear(&fixture.edits);
	assert_true(view_equals(edited(&fixture, VIEW_LITERAL("ab")), VIEW_LITERAL("ab")));
	fixture_release(&fixture);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_items__every_set_removed__the_rest_is_whole),
		cmocka_unit_test(test_items__white_space__stays_where_no_comma_goes),
		cmocka_unit_test(test_items__a_run_removed__one_edit),
		cmocka_unit_test(test_edits__at_the_same_place__become_one),
		cmocka_unit_test(test_edits__one_more_than_edits_max__full),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
