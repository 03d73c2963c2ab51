/* SPDX-License-Identifier: Apache-2.0 */
/*
 * scan: how fast json and enrich are, against cJSON parse + print in the same run.
 *
 *	bench-scan [FILE…]
 *
 * Without files it makes two bodies as a Faro SDK with all instrumentations sends them: stack
 * traces, web vitals, console logs, events, and spans with attributes; 18 KB and 229 KB; and one of
 * long strings, as images of a session replay are. Each line shows the best of several rounds, since
 * everything else on the machine only adds time. Where the processor has AVX2, each body is scanned
 * with the loops for it, and without.
 */
#include <cjson/cJSON.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "beacon/enrich.h"
#include "beacon/enrich_labels.h"
#include "beacon/json.h"
#include "beacon/json_avx2.h"

enum {
	ROUNDS = 60,
	ROUND_NS = 5 * 1000 * 1000,
	CALLS = 8, /* between two looks at the clock */
};

#define STAMP "\"timestamp\":\"2026-03-14T09:26:53.589Z\""
#define TRACE                                                                       \
	"\"trace\":{\"trace_id\":\"4bf92f3577b34da6a3ce929d0e0e4736\",\"span_id\":" \
	"\"00f067aa0ba902b7\"}"

static const char meta_json[] =
	"{\"meta\":{\"app\":{\"name\":\"shop-web\",\"version\":\"4.18.2\",\"environment\":"
	"\"production\",\"namespace\":\"shop\"},\"session\":{\"id\":\"pZ4nWx09QkRr\","
	"\"attributes\":{\"isSampled\":\"true\",\"previousSession\":\"k2LmN8vTqYxw\"}},"
	"\"sdk\":{\"name\":\"faro-core\",\"version\":\"2.10.0\",\"integrations\":[{\"name\":"
	"\"@grafana/faro-web-sdk:instrumentation-errors\",\"version\":\"2.10.0\"},{\"name\":"
	"\"@grafana/faro-web-sdk:instrumentation-web-vitals\",\"version\":\"2.10.0\"}]},"
	"\"page\":{\"url\":\"https://shop.example/cart?item=4711&currency=EUR\",\"id\":\"/cart\"},"
	"\"browser\":{\"name\":\"Chrome\",\"version\":\"139.0.0.0\",\"os\":\"Linux\","
	"\"userAgent\":\"Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) "
	"Chrome/139.0.0.0 Safari/537.36\",\"language\":\"en-GB\",\"mobile\":false,"
	"\"viewportWidth\":\"1512\",\"viewportHeight\":\"831\"},\"view\":{\"name\":\"cart\"}}";

static void add_exception(struct buf *body, int i)
{
	buf_printf(body,
		   "{" STAMP ",\"type\":\"TypeError\",\"value\":\"Cannot read properties of "
		   "undefined (reading 'price%d')\",\"stacktrace\":{\"frames\":[",
		   i);
	for (int frame = 0; frame < 8; frame++)
		buf_printf(body,
			   "%s{\"filename\":\"https://shop.example/assets/vendor-%d.4f1c9b7e.js\","
			   "\"function\":\"Object.render%dCartLine\",\"lineno\":%d,\"colno\":%d}",
			   frame ? "," : "", frame % 3, frame, 1 + frame * 17, 2048 + i * 31);
	buf_printf(body, "]}," TRACE ",\"context\":{\"component\":\"CartLine\",\"step\":\"%d\"}}",
		   i);
}

static void add_log(struct buf *body, int i)
{
	buf_printf(body,
		   "{\"message\":\"cart: line %d recalculated, \\\"express\\\" delivery kept\","
		   "\"level\":\"info\"," STAMP ",\"context\":{\"route\":\"/cart\"}," TRACE "}",
		   i);
}

static void add_measurement(struct buf *body, int i)
{
	buf_printf(body,
		   "{\"type\":\"web-vitals\",\"values\":{\"lcp\":%d.5999999642372,\"delta\":"
		   "1234.0999999046326,\"element_render_delay\":%d.30000001192093,"
		   "\"time_to_first_byte\":215},\"context\":{\"id\":\"v5-1741944413589-%d\","
		   "\"rating\":\"good\",\"navigation_type\":\"navigate\"}," STAMP "}",
		   900 + i, 80 + i, i);
}

static void add_event(struct buf *body, int i)
{
	buf_printf(
		body,
		"{\"name\":\"faro.performance.resource\",\"domain\":\"browser\",\"attributes\":"
		"{\"name\":\"https://shop.example/api/cart/%d\",\"duration\":\"83\",\"tcpTime\":"
		"\"0\",\"requestTime\":\"71\",\"responseTime\":\"2\",\"decodedBodySize\":\"4711\","
		"\"protocol\":\"h2\",\"initiatorType\":\"fetch\"}," STAMP "," TRACE "}",
		i);
}

static void add_span(struct buf *body, int i)
{
	buf_printf(
		body,
		"{\"traceId\":\"4bf92f3577b34da6a3ce929d0e0e4736\",\"spanId\":\"00f067aa0ba9%04x\","
		"\"name\":\"HTTP GET\",\"kind\":3,\"startTimeUnixNano\":\"1741944413589000000\","
		"\"endTimeUnixNano\":\"1741944413672500000\",\"attributes\":[{\"key\":"
		"\"http.method\",\"value\":{\"stringValue\":\"GET\"}},{\"key\":\"http.url\","
		"\"value\":{\"stringValue\":\"https://shop.example/api/cart/%d\"}},{\"key\":"
		"\"http.status_code\",\"value\":{\"intValue\":200}},{\"key\":\"session.id\","
		"\"value\":{\"stringValue\":\"pZ4nWx09QkRr\"}}],\"droppedAttributesCount\":0,"
		"\"events\":[{\"name\":\"fetchStart\",\"timeUnixNano\":\"1741944413589000000\","
		"\"attributes\":[],\"droppedAttributesCount\":0}],\"links\":[],\"status\":"
		"{\"code\":0}}",
		(unsigned)i & 0xffff, i);
}

static void add_items(struct buf *body, const char *before, int count,
		      void (*add)(struct buf *, int))
{
	buf_printf(body, "%s", before);
	for (int i = 0; i < count; i++) {
		if (i > 0)
			buf_append(body, ",", 1);
		add(body, i);
	}
}

static void make_body(struct buf *body, int scale)
{
	buf_printf(body, "%s", meta_json);
	add_items(body, ",\"exceptions\":[", 3 * scale, add_exception);
	add_items(body, "],\"logs\":[", 10 * scale, add_log);
	add_items(body, "],\"measurements\":[", 6 * scale, add_measurement);
	add_items(body, "],\"events\":[", 10 * scale, add_event);
	add_items(body,
		  "],\"traces\":{\"resourceSpans\":[{\"resource\":{\"attributes\":[{\"key\":"
		  "\"service.name\",\"value\":{\"stringValue\":\"shop-web\"}},{\"key\":"
		  "\"telemetry.sdk.language\",\"value\":{\"stringValue\":\"webjs\"}}],"
		  "\"droppedAttributesCount\":0},\"scopeSpans\":[{\"scope\":{\"name\":"
		  "\"@opentelemetry/instrumentation-fetch\"},\"spans\":[",
		  8 * scale, add_span);
	buf_printf(body, "]}]}]}}");
}

static void make_long_strings(struct buf *body)
{
	buf_printf(body, "%s,\"logs\":[", meta_json);
	for (int i = 0; i < 64; i++) {
		buf_printf(body, "%s{" STAMP ",\"message\":\"data:image/png;base64,", i ? "," : "");
		for (int n = 0; n < 4096; n += 16)
			buf_printf(body, "iVBORw0KGgo%05d", n);
		buf_printf(body, "\"}");
	}
	buf_printf(body, "]}");
}

/* Our own CPU time: what else runs on the machine does not count. */
static double now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

struct subject {
	struct view body;
	struct enricher *enricher;
	struct buf out;
};

static void run_skip(struct subject *subject)
{
	struct json json;

	json_init(&json, subject->body);
	if (!json_skip(&json) || !json_finish(&json))
		exit(1);
}

static void run_enrich(struct subject *subject)
{
	struct beacon_counts counts;
	const char *detail;
	size_t offset;

	buf_clear(&subject->out);
	if (enrich(subject->enricher, subject->body, NULL, &subject->out, &counts, &offset,
		   &detail) != VERDICT_OK) {
		fprintf(stderr, "refused at byte %zu: %s\n", offset, detail);
		exit(1);
	}
}

static void run_cjson(struct subject *subject)
{
	cJSON *tree = cJSON_ParseWithLength(subject->body.ptr, subject->body.len);
	char *text = cJSON_PrintUnformatted(tree);

	if (!text)
		exit(1);
	cJSON_free(text);
	cJSON_Delete(tree);
}

/* Nanoseconds a call over one round. */
static double measure(void (*run)(struct subject *), struct subject *subject)
{
	double start = now_ns(), spent;
	int calls = 0;

	do {
		for (int i = 0; i < CALLS; i++)
			run(subject);
		calls += CALLS;
		spent = now_ns() - start;
	} while (spent < ROUND_NS);
	return spent / calls;
}

/* The three take turns, so that a busy machine slows all of them down. */
static void report_loops(const char *name, struct view body, const char *loops)
{
	void (*const runs[])(struct subject *) = {run_skip, run_enrich, run_cjson};
	struct subject subject = {.body = body, .enricher = enricher_new(&test_labels, NULL)};
	double best[3] = {1e18, 1e18, 1e18};

	if (!subject.enricher)
		exit(1);
	buf_init(&subject.out, (size_t)1 << 30, NULL);
	for (int round = 0; round < 3 * ROUNDS; round++) {
		double ns = measure(runs[round % 3], &subject);

		if (ns < best[round % 3])
			best[round % 3] = ns;
	}
	printf("%s: %zu bytes, %s; json_skip %.2f GB/s; enrich %.1f us, %.2f GB/s; cJSON "
	       "parse+print %.1f us; enrich is %.1f times faster\n",
	       name, body.len, loops, (double)body.len / best[0], best[1] / 1e3,
	       (double)body.len / best[1], best[2] / 1e3, best[2] / best[1]);
	buf_release(&subject.out);
	enricher_free(subject.enricher);
}

static void report(const char *name, struct view body)
{
	if (loops_use_avx2(true))
		report_loops(name, body, "AVX2");
	loops_use_avx2(false);
	report_loops(name, body, "baseline");
}

static void report_file(const char *path)
{
	struct buf body;
	FILE *file = fopen(path, "rb");
	char chunk[65536];
	size_t n;

	if (!file) {
		perror(path);
		exit(1);
	}
	buf_init(&body, (size_t)1 << 30, NULL);
	while ((n = fread(chunk, 1, sizeof(chunk), file)) > 0)
		buf_append(&body, chunk, n);
	fclose(file);
	report(path, (struct view){body.data, body.len});
	buf_release(&body);
}

static void report_made(const char *name, int scale)
{
	struct buf body;

	buf_init(&body, (size_t)1 << 30, NULL);
	if (scale > 0)
		make_body(&body, scale);
	else
		make_long_strings(&body);
	report(name, (struct view){body.data, body.len});
	buf_release(&body);
}

int main(int argc, char **argv)
{
	if (argc == 1) {
		report_made("medium", 1);
		report_made("large", 14);
		report_made("long strings", 0);
	}
	for (int i = 1; i < argc; i++)
		report_file(argv[i]);
	return 0;
}
