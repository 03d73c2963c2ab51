/* SPDX-License-Identifier: Apache-2.0 */
/* The pauses and the command line. What supervise does with processes, tests/system shows. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/text.h"
#include "supervise.h"

/* As from waitpid(). */
#define EXITED(status) ((status) << 8)
#define KILLED(signal) (signal)

static void test_pause__deaths_in_a_row__doubles_up_to_its_limit(void **state)
{
	static const int64_t expected[] = {100,  200,  400,   800,   1600,
					   3200, 6400, 10000, 10000, 10000};
	int64_t pause_ms = 0;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(expected); i++)
		assert_int_equal(supervise_pause(&pause_ms, 0, KILLED(11)), expected[i]);
}

static void test_pause__how_it_ended__decides(void **state)
{
	static const struct {
		int64_t before_ms, lived_ms;
		int status;
		int64_t expected_ms, after_ms;
	} rows[] = {
		/* a good life is 30 s */
		{6400, 29999, KILLED(9), 10000, 10000},
		{6400, 30000, KILLED(9), 100, 100},
		{6400, 30001, KILLED(9), 100, 100},
		/* an exit is a death, also one with 0 */
		{0, 0, EXITED(0), 100, 100},
		{100, 0, EXITED(1), 200, 200},
		{100, 0, EXITED(127), 200, 200},
		/* settings are looked at again after a minute, however long it had lived */
		{0, 0, EXITED(2), 60000, 0},
		{10000, 0, EXITED(2), 60000, 0},
		{100, 30000, EXITED(2), 60000, 0},
		/* the signal of that number is no refusal */
		{100, 0, KILLED(2), 200, 200},
		/* next to the limit */
		{4999, 0, KILLED(9), 9998, 9998},
		{5000, 0, KILLED(9), 10000, 10000},
		{5001, 0, KILLED(9), 10000, 10000},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		int64_t pause_ms = rows[i].before_ms;

		assert_int_equal(supervise_pause(&pause_ms, rows[i].lived_ms, rows[i].status),
				 rows[i].expected_ms);
		assert_int_equal(pause_ms, rows[i].after_ms);
	}
}

enum {
	WORDS = 8
};

static void test_find__command_lines__where_the_command_begins(void **state)
{
	static const struct {
		const char *argv[WORDS];
		int expected;
	} rows[] = {
		{{"f", "--supervise", "--", "nginx"}, 3},
		{{"f", "--supervise", "--", "nginx", "-g", "daemon off;"}, 3},
		{{"f", "--supervise", "--workers", "2", "--", "nginx"}, 5},
		{{"f", "--workers=2", "--supervise", "--", "nginx"}, 4},
		/* the command's own words are none of ours */
		{{"f", "--supervise", "--", "sh", "--", "x"}, 3},
		{{"f", "--supervise", "--", "--"}, 3},
		{{"f", "--", "nginx", "--supervise"}, 0},
		/* no command, or no word that there is one */
		{{"f", "--supervise", "--"}, 0},
		{{"f", "--supervise", "nginx"}, 0},
		{{"f", "--supervise"}, 0},
		{{"f", "--", "nginx"}, 0},
		{{"f", "--supervised", "--", "nginx"}, 0},
		{{"--supervise", "--", "nginx"}, 0},
		{{"f"}, 0},
		{{NULL}, 0},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		char *argv[WORDS];
		int argc = 0;

		memcpy(argv, rows[i].argv, sizeof(argv));
		while (argc < WORDS && argv[argc])
			argc++;
		assert_int_equal(supervise_find(argc, argv), rows[i].expected);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_pause__deaths_in_a_row__doubles_up_to_its_limit),
		cmocka_unit_test(test_pause__how_it_ended__decides),
		cmocka_unit_test(test_find__command_lines__where_the_command_begins),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
