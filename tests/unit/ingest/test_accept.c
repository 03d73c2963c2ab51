/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/text.h"
#include "ingest/accept.h"

#define OPEN "application/openmetrics-text"

static void test_accept__each_row__the_format_that_is_preferred(void **state)
{
	static const struct {
		struct view accept;
		bool open;
	} rows[] = {
		/* Prometheus 2.42 and 3.5. */
		{VIEW_CONSTANT(OPEN
			       ";version=1.0.0," OPEN
			       ";version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1"),
		 true},
		{VIEW_CONSTANT(OPEN ";version=1.0.0;escaping=allow-utf-8;q=0.5," OPEN
				    ";version=0.0.1;q=0.4,text/plain;version=1.0.0;"
				    "escaping=allow-utf-8;q=0.3,text/plain;version=0.0.4;q=0.2,"
				    "*/*;q=0.1"),
		 true},
		/* The same with its protocols the other way round. */
		{VIEW_CONSTANT("text/plain;version=0.0.4;q=0.5," OPEN ";version=1.0.0;q=0.4"),
		 false},
		{VIEW_CONSTANT(OPEN), true},
		{VIEW_CONSTANT("Application/OpenMetrics-Text ; Version=1.0.0 ; Q=1"), true},
		{VIEW_CONSTANT(OPEN ";q=0.5, text/plain;q=0.5"), true},
		{VIEW_CONSTANT(OPEN ";q=0.499, text/plain;q=0.5"), false},
		{VIEW_CONSTANT(OPEN ";q=0.5, text/plain"), false},
		{VIEW_CONSTANT(OPEN ";q=1.000, text/plain;q=0"), true},
		/* Versions that we do not speak. */
		{VIEW_CONSTANT(OPEN ";version=0.0.1"), false},
		{VIEW_CONSTANT(OPEN ";version=2.0.0"), false},
		/* It is not wanted at all. */
		{VIEW_CONSTANT(OPEN ";q=0"), false},
		{VIEW_CONSTANT(OPEN ";q=0.000"), false},
		{VIEW_CONSTANT(OPEN ";q="), false},
		{VIEW_CONSTANT(OPEN ";q=much"), false},
		{VIEW_CONSTANT(OPEN ";q=9999999999999999999"), false},
		{VIEW_CONSTANT(OPEN "x"), false},
		{VIEW_CONSTANT("x" OPEN), false},
		/* Browsers, curl, and those who say nothing. */
		{VIEW_CONSTANT("text/html,application/xhtml+xml,*/*;q=0.8"), false},
		{VIEW_CONSTANT("*/*"), false},
		{VIEW_CONSTANT("application/*"), false},
		{VIEW_CONSTANT(",;=,;;q=1;version"), false},
		{VIEW_CONSTANT(""), false},
		{{NULL, 0}, false},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		if (accept_prefers_openmetrics(rows[i].accept) != rows[i].open)
			fail_msg("%.*s", (int)rows[i].accept.len, rows[i].accept.ptr);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_accept__each_row__the_format_that_is_preferred),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
