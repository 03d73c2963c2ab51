/* SPDX-License-Identifier: Apache-2.0 */
/* The manual's table of labels is the table in enrich_rules.c, row by row. With --print it shows
 * the rows, to be put between the two comment lines in man/faro-ingest.8. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "beacon/enrich_rules.h"
#include "fakes/sources.h"

#define FIRST_LINE ".\\\" The rows of enrich_rules.c; test_manual compares them.\n"
#define LAST_LINE  ".\\\" End of the rows of enrich_rules.c.\n"

/* Two lines: where the name is known, what is done. */
static void print_row(char *out, size_t size, const struct enrich_rule *rule)
{
	snprintf(out, size, ".It Cm %s%s%s%s%s\n%s\n", rule->path, *rule->path ? "." : "",
		 rule->name.ptr, rule->also.ptr ? " , " : "", rule->also.ptr ? rule->also.ptr : "",
		 rule->done);
}

/* Returns where the page goes on. */
static const char *expect(const char *page, const char *text)
{
	if (strncmp(page, text, strlen(text)) != 0)
		fail_msg("man/faro-ingest.8 lacks:\n%s\nIn its place it has:\n%.200s", text, page);
	return page + strlen(text);
}

static void test_labels_table__manual__equals_the_source(void **state)
{
	static char page[1 << 18];
	const char *at;
	char row[1024];

	(void)state;
	at = strstr(read_source("man/faro-ingest.8", page, sizeof(page)), FIRST_LINE);
	if (!at)
		fail_msg("man/faro-ingest.8 has no line %s", FIRST_LINE);
	at = expect(at, FIRST_LINE);
	for (size_t i = 0; i < enrich_rule_count; i++) {
		print_row(row, sizeof(row), &enrich_rules[i]);
		at = expect(at, row);
	}
	expect(at, LAST_LINE);
}

static void print_rows(void)
{
	char row[1024];

	fputs(FIRST_LINE, stdout);
	for (size_t i = 0; i < enrich_rule_count; i++) {
		print_row(row, sizeof(row), &enrich_rules[i]);
		fputs(row, stdout);
	}
	fputs(LAST_LINE, stdout);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_labels_table__manual__equals_the_source),
	};

	if (argc > 1 && strcmp(argv[1], "--print") == 0) {
		print_rows();
		return 0;
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
