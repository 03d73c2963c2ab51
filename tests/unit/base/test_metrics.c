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

static const struct trace_id no_trace;

static char *scrape_as(enum metrics_format format)
{
	struct buf out;

	buf_init(&out, SIZE_MAX, NULL);
	assert_int_equal(metrics_print(&out, format), BUF_OK);
	assert_int_equal(buf_append(&out, "", 1), BUF_OK);
	return out.data;
}

static char *scrape(void)
{
	return scrape_as(METRICS_TEXT);
}

static void assert_line_as(enum metrics_format format, const char *line)
{
	char *text = scrape_as(format);
	char whole[160];

	snprintf(whole, sizeof(whole), "\n%s\n", line);
	if (!strstr(text, whole))
		fail_msg("%s is not in\n%s", line, text);
	free(text);
}

static void assert_line(const char *line)
{
	assert_line_as(METRICS_TEXT, line);
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
		"dropped_fields_total counter",
		"redactions_total counter",
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
	metrics_observe(HISTOGRAM_REQUEST_SECONDS, 249, no_trace);
	metrics_observe(HISTOGRAM_REQUEST_SECONDS, 250, no_trace);
	metrics_observe(HISTOGRAM_REQUEST_SECONDS, 251, no_trace);
	metrics_observe(HISTOGRAM_REQUEST_SECONDS, 10000000, no_trace);
	metrics_observe(HISTOGRAM_REQUEST_SECONDS, 10000001, no_trace);
	assert_line("faro_ingest_request_duration_seconds_bucket{le=\"0.00025\"} 2");
	assert_line("faro_ingest_request_duration_seconds_bucket{le=\"0.0005\"} 3");
	assert_line("faro_ingest_request_duration_seconds_bucket{le=\"10\"} 4");
	assert_line("faro_ingest_request_duration_seconds_bucket{le=\"+Inf\"} 5");
	assert_line("faro_ingest_request_duration_seconds_count 5");
	assert_line("faro_ingest_request_duration_seconds_sum 20.000751");
}

/* A family there has no _total and no _info, a bound is always written with a point, and the page
 * has an end. */
static void test_metrics__openmetrics__has_its_own_names(void **state)
{
	char *text = scrape_as(METRICS_OPENMETRICS);

	(void)state;
	assert_line_as(METRICS_OPENMETRICS, "# TYPE faro_ingest_rejected counter");
	assert_line_as(METRICS_OPENMETRICS, "# TYPE faro_ingest_received_bytes counter\n"
					    "# UNIT faro_ingest_received_bytes bytes\n"
					    "faro_ingest_received_bytes_total 0");
	assert_line_as(METRICS_OPENMETRICS, "# TYPE faro_ingest_spool_oldest_seconds gauge\n"
					    "# UNIT faro_ingest_spool_oldest_seconds seconds\n"
					    "faro_ingest_spool_oldest_seconds 0");
	assert_line_as(METRICS_OPENMETRICS, "# TYPE faro_ingest_build info");
	assert_non_null(strstr(text, "_bucket{le=\"1.0\"} "));
	assert_non_null(strstr(text, "_bucket{le=\"10.0\"} "));
	assert_non_null(strstr(text, "_bucket{le=\"2.5\"} "));
	assert_non_null(strstr(text, "_bucket{le=\"0.00025\"} "));
	assert_string_equal(text + strlen(text) - 6, "# EOF\n");
	free(text);
}

/* The exemplar of a bucket: everything behind its count; NULL: none. The caller frees it. */
static char *exemplar_of(enum metrics_format format, const char *name, const char *le)
{
	char *text = scrape_as(format), *found, *exemplar;
	char start[128];

	snprintf(start, sizeof(start), "\nfaro_ingest_%s_bucket{le=\"%s\"} ", name, le);
	found = strstr(text, start);
	assert_non_null(found);
	found += strlen(start);
	found[strcspn(found, "\n")] = '\0';
	exemplar = strstr(found, " # ");
	exemplar = exemplar ? strdup(exemplar) : NULL;
	free(text);
	return exemplar;
}

static void assert_exemplar(const char *le, const char *expected)
{
	char *exemplar = exemplar_of(METRICS_OPENMETRICS, "upstream_duration_seconds", le);

	if (!expected)
		assert_null(exemplar);
	else
		assert_true(exemplar && strncmp(exemplar, expected, strlen(expected)) == 0);
	free(exemplar);
}

static void test_metrics__traced_observations__are_the_exemplars_of_their_buckets(void **state)
{
	struct trace_id first = {0x0af7651916cd43dd, 0x8448eb211c80319c}, second = {0, 0xf};
	char *exemplar;

	(void)state;
	metrics_observe(HISTOGRAM_UPSTREAM_SECONDS, 240, no_trace);
	assert_exemplar("0.00025", NULL);
	metrics_observe(HISTOGRAM_UPSTREAM_SECONDS, 240, first);
	metrics_observe(HISTOGRAM_UPSTREAM_SECONDS, 20000000, second);
	/* What has no trace does not take the place of what has one. */
	metrics_observe(HISTOGRAM_UPSTREAM_SECONDS, 241, no_trace);
	assert_exemplar("0.00025", " # {trace_id=\"0af7651916cd43dd8448eb211c80319c\"} 0.000240 1");
	assert_exemplar("0.0005", NULL);
	assert_exemplar("+Inf", " # {trace_id=\"0000000000000000000000000000000f\"} 20.000000 1");
	metrics_observe(HISTOGRAM_UPSTREAM_SECONDS, 242, second);
	assert_exemplar("0.00025", " # {trace_id=\"0000000000000000000000000000000f\"} 0.000242 1");
	exemplar = exemplar_of(METRICS_OPENMETRICS, "request_duration_seconds", "0.00025");
	assert_null(exemplar);
	/* The other format has no place for them. */
	exemplar = exemplar_of(METRICS_TEXT, "upstream_duration_seconds", "0.00025");
	assert_null(exemplar);
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
	char *text = scrape_as(METRICS_OPENMETRICS);
	size_t whole = strlen(text);

	(void)state;
	for (size_t max = 0; max < whole; max += 97) {
		struct buf out;

		buf_init(&out, max, NULL);
		assert_int_equal(metrics_print(&out, METRICS_OPENMETRICS), BUF_TOO_LARGE);
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
		cmocka_unit_test(test_metrics__openmetrics__has_its_own_names),
		cmocka_unit_test(
			test_metrics__traced_observations__are_the_exemplars_of_their_buckets),
		cmocka_unit_test(test_metrics__several_threads__lose_nothing),
		cmocka_unit_test(test_metrics__page_that_does_not_fit__says_so),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
