/* SPDX-License-Identifier: Apache-2.0 */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/metrics.h"
#include "base/text.h"

static char *scrape(void)
{
	struct buf out;

	buf_init(&out, SIZE_MAX, NULL);
	assert_int_equal(metrics_print(&out), BUF_OK);
	assert_int_equal(buf_append(&out, "", 1), BUF_OK);
	return out.data;
}

static void assert_line(const char *line)
{
	char *text = scrape();
	char whole[160];

	snprintf(whole, sizeof(whole), "\n%s\n", line);
	if (!strstr(text, whole))
		fail_msg("%s is not in\n%s", line, text);
	free(text);
}

/* The names that dashboards, alerts and other people's tests rely on. */
static void test_metrics__names_of_the_contract__are_all_there(void **state)
{
	static const char *const families[] = {
		"requests_total counter",
		"rejected_total counter",
		"items_total counter",
		"received_bytes_total counter",
		"decoded_bytes_total counter",
		"spoofed_total counter",
		"dropped_items_total counter",
		"inflight gauge",
		"inflight_bytes gauge",
		"request_duration_seconds histogram",
		"upstream_requests_total counter",
		"upstream_resends_total counter",
		"upstream_duration_seconds histogram",
		"upstream_up gauge",
		"upstream_unanswered_total counter",
		"upstream_misconfigured gauge",
		"accepted_total counter",
		"ignored_total counter",
		"breaker_open gauge",
		"spool_records gauge",
		"spool_quarantined gauge",
		"spool_bytes gauge",
		"spool_max_bytes gauge",
		"spool_oldest_seconds gauge",
		"spool_replayed_total counter",
		"spool_dropped_total counter",
		"spool_moved_aside_total counter",
		"duplicates_total counter",
		"build_info gauge",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(families); i++) {
		char line[128];

		snprintf(line, sizeof(line), "# TYPE faro_ingest_%s", families[i]);
		assert_line(line);
	}
}

static void test_metrics__counters_and_gauges__show_what_was_added(void **state)
{
	(void)state;
	assert_line("faro_ingest_upstream_up 1"); /* nothing is known to be wrong yet */
	metrics_add(METRIC_REJECTED_BAD_JSON, 1);
	metrics_add(METRIC_REJECTED_BAD_JSON, 2);
	metrics_add(METRIC_ITEMS_SPAN, 50);
	metrics_add(METRIC_INFLIGHT, 2);
	metrics_add(METRIC_INFLIGHT, -1);
	metrics_set(METRIC_UPSTREAM_UP, 0);
	assert_line("faro_ingest_rejected_total{reason=\"bad_json\"} 3");
	assert_line("faro_ingest_items_total{kind=\"span\"} 50");
	assert_line("faro_ingest_inflight 1");
	assert_line("faro_ingest_upstream_up 0");
	assert_int_equal(metrics_get(METRIC_REJECTED_BAD_JSON), 3);
}

/* A series belongs to the head above it, and each family has one head. */
static void test_metrics__families__have_one_head_and_stand_together(void **state)
{
	char *text = scrape(), *rest = NULL, head[128] = "";

	(void)state;
	for (char *line = strtok_r(text, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) {
		size_t len = strcspn(line, "{ ");

		if (strncmp(line, "# HELP ", 7) == 0)
			continue;
		if (strncmp(line, "# TYPE ", 7) == 0) {
			snprintf(head, sizeof(head), "%.*s", (int)strcspn(line + 7, " "), line + 7);
			if (strstr(rest, line))
				fail_msg("%s comes twice", line);
		} else if (len < strlen(head) || strncmp(line, head, strlen(head)) != 0) {
			fail_msg("%s stands under %s", line, head);
		}
	}
	free(text);
}

static size_t count_lines(void)
{
	char *text = scrape();
	size_t lines = 0;

	for (const char *p = text; *p; p++)
		lines += *p == '\n';
	free(text);
	return lines;
}

static void test_metrics__replies__unknown_codes_make_no_series(void **state)
{
	size_t lines = count_lines();

	(void)state;
	metrics_count_reply(202);
	for (int code = 600; code < 700; code++)
		metrics_count_reply(code);
	assert_line("faro_ingest_requests_total{code=\"202\"} 1");
	assert_line("faro_ingest_requests_total{code=\"other\"} 100");
	assert_int_equal(count_lines(), lines);
}

static void test_metrics__histogram__buckets_are_inclusive_and_cumulative(void **state)
{
	(void)state;
	metrics_observe(HISTOGRAM_REQUEST_SECONDS, 249);
	metrics_observe(HISTOGRAM_REQUEST_SECONDS, 250);
	metrics_observe(HISTOGRAM_REQUEST_SECONDS, 251);
	metrics_observe(HISTOGRAM_REQUEST_SECONDS, 10000000);
	metrics_observe(HISTOGRAM_REQUEST_SECONDS, 10000001);
	assert_line("faro_ingest_request_duration_seconds_bucket{le=\"0.00025\"} 2");
	assert_line("faro_ingest_request_duration_seconds_bucket{le=\"0.0005\"} 3");
	assert_line("faro_ingest_request_duration_seconds_bucket{le=\"10\"} 4");
	assert_line("faro_ingest_request_duration_seconds_bucket{le=\"+Inf\"} 5");
	assert_line("faro_ingest_request_duration_seconds_count 5");
	assert_line("faro_ingest_request_duration_seconds_sum 20.000751");
}

static void *add_many(void *arg)
{
	for (int i = 0; i < 100000; i++)
		metrics_add(METRIC_SPOOFED, 1);
	return arg;
}

static void test_metrics__several_threads__lose_nothing(void **state)
{
	pthread_t threads[4];

	(void)state;
	for (int i = 0; i < 4; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, add_many, NULL), 0);
	for (int i = 0; i < 4; i++)
		pthread_join(threads[i], NULL);
	assert_int_equal(metrics_get(METRIC_SPOOFED), 400000);
}

static void test_metrics__page_that_does_not_fit__says_so(void **state)
{
	char *text = scrape();
	size_t whole = strlen(text);

	(void)state;
	for (size_t max = 0; max < whole; max += 97) {
		struct buf out;

		buf_init(&out, max, NULL);
		assert_int_equal(metrics_print(&out), BUF_TOO_LARGE);
		buf_release(&out);
	}
	free(text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_metrics__names_of_the_contract__are_all_there),
		cmocka_unit_test(test_metrics__counters_and_gauges__show_what_was_added),
		cmocka_unit_test(test_metrics__families__have_one_head_and_stand_together),
		cmocka_unit_test(test_metrics__replies__unknown_codes_make_no_series),
		cmocka_unit_test(test_metrics__histogram__buckets_are_inclusive_and_cumulative),
		cmocka_unit_test(test_metrics__several_threads__lose_nothing),
		cmocka_unit_test(test_metrics__page_that_does_not_fit__says_so),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
