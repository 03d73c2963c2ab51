/* SPDX-License-Identifier: Apache-2.0 */
#include "base/metrics.h"

#include <inttypes.h>
#include <stdatomic.h>

#include "base/text.h"
#include "build-config.h"

#define PREFIX "faro_ingest_"

enum kind {
	COUNTER,
	GAUGE
};

/* Series of one family stand together; the first of them brings the family's head. */
static const struct description {
	enum kind kind;
	const char *label; /* reason="empty", or NULL */
	const char *family;
	const char *help;
} descriptions[METRIC_COUNT] = {
#define METRIC_COUNTER(name, family, help) [METRIC_##name] = {COUNTER, NULL, family, help},
#define METRIC_GAUGE(name, family, help)   [METRIC_##name] = {GAUGE, NULL, family, help},
#define METRIC_SERIES(name, family, label) [METRIC_##name] = {COUNTER, label, FAMILY_##family},
#include "base/metric_list.h"
};

/* requests_total has one more series, for what is none of these. */
static const int reply_codes[] = {
#define REPLY_STATUS(code, phrase) code,
#include "base/verdict_list.h"
};
enum {
	REPLY_CODES = ARRAY_LEN(reply_codes)
};

/* Upper bounds in microseconds, the same for both histograms: from a beacon that waits for nothing
 * to the browser's own limit of 10 s. */
static const int64_t bounds_us[] = {250,    500,     1000,    2500,    5000,
				    10000,  25000,   50000,   100000,  250000,
				    500000, 1000000, 2500000, 5000000, 10000000};
enum {
	BOUNDS = ARRAY_LEN(bounds_us)
};

static const struct {
	const char *name;
	const char *help;
} histogram_names[HISTOGRAM_COUNT] = {
	[HISTOGRAM_REQUEST_SECONDS] = {"request_duration_seconds",
				       "From a request's first byte to its reply, in seconds."},
	[HISTOGRAM_UPSTREAM_SECONDS] = {"upstream_duration_seconds",
					"From sending a beacon to the receiver's answer, in "
					"seconds."},
};

static struct {
	_Atomic int64_t values[METRIC_COUNT];
	_Atomic int64_t replies[REPLY_CODES + 1];
	struct {
		_Atomic int64_t buckets[BOUNDS + 1];
		_Atomic int64_t sum_us;
	} histograms[HISTOGRAM_COUNT];
} state = {.values[METRIC_UPSTREAM_UP] = 1};

void metrics_add(enum metric metric, int64_t amount)
{
	atomic_fetch_add_explicit(&state.values[metric], amount, memory_order_relaxed);
}

void metrics_set(enum metric metric, int64_t value)
{
	atomic_store_explicit(&state.values[metric], value, memory_order_relaxed);
}

int64_t metrics_get(enum metric metric)
{
	return atomic_load_explicit(&state.values[metric], memory_order_relaxed);
}

void metrics_count_reply(int status)
{
	size_t i;

	for (i = 0; i < REPLY_CODES && reply_codes[i] != status; i++)
		;
	atomic_fetch_add_explicit(&state.replies[i], 1, memory_order_relaxed);
}

void metrics_observe(enum histogram histogram, int64_t microseconds)
{
	size_t i;

	for (i = 0; i < BOUNDS && microseconds > bounds_us[i]; i++)
		;
	atomic_fetch_add_explicit(&state.histograms[histogram].buckets[i], 1, memory_order_relaxed);
	atomic_fetch_add_explicit(&state.histograms[histogram].sum_us, microseconds,
				  memory_order_relaxed);
}

static enum buf_result print_family(struct buf *out, const char *name, const char *type,
				    const char *help)
{
	return buf_printf(out, "# HELP " PREFIX "%s %s\n# TYPE " PREFIX "%s %s\n", name, help, name,
			  type);
}

static bool begins_family(int metric)
{
	return metric == 0 ||
	       strcmp(descriptions[metric].family, descriptions[metric - 1].family) != 0;
}

static enum buf_result print_values(struct buf *out)
{
	enum buf_result result = BUF_OK;

	for (int i = 0; i < METRIC_COUNT && result == BUF_OK; i++) {
		const struct description *d = &descriptions[i];

		if (begins_family(i))
			result = print_family(out, d->family,
					      d->kind == GAUGE ? "gauge" : "counter", d->help);
		if (result == BUF_OK)
			result = buf_printf(out, PREFIX "%s%s%s%s %" PRId64 "\n", d->family,
					    d->label ? "{" : "", d->label ? d->label : "",
					    d->label ? "}" : "", metrics_get((enum metric)i));
	}
	return result;
}

static enum buf_result print_replies(struct buf *out)
{
	enum buf_result result = print_family(out, "requests_total", "counter",
					      "Replies to browsers, by status code.");

	for (size_t i = 0; i < REPLY_CODES && result == BUF_OK; i++)
		result = buf_printf(out, PREFIX "requests_total{code=\"%d\"} %" PRId64 "\n",
				    reply_codes[i], atomic_load(&state.replies[i]));
	if (result == BUF_OK)
		result = buf_printf(out, PREFIX "requests_total{code=\"other\"} %" PRId64 "\n",
				    atomic_load(&state.replies[REPLY_CODES]));
	return result;
}

static enum buf_result print_histogram(struct buf *out, enum histogram histogram)
{
	const char *name = histogram_names[histogram].name;
	int64_t count = 0;
	enum buf_result result =
		print_family(out, name, "histogram", histogram_names[histogram].help);

	for (size_t i = 0; i < BOUNDS && result == BUF_OK; i++) {
		count += atomic_load(&state.histograms[histogram].buckets[i]);
		result = buf_printf(out, PREFIX "%s_bucket{le=\"%g\"} %" PRId64 "\n", name,
				    (double)bounds_us[i] / 1e6, count);
	}
	count += atomic_load(&state.histograms[histogram].buckets[BOUNDS]);
	if (result == BUF_OK)
		result = buf_printf(out,
				    PREFIX "%s_bucket{le=\"+Inf\"} %" PRId64 "\n" PREFIX
					   "%s_sum %.6f\n" PREFIX "%s_count %" PRId64 "\n",
				    name, count, name,
				    (double)atomic_load(&state.histograms[histogram].sum_us) / 1e6,
				    name, count);
	return result;
}

enum buf_result metrics_print(struct buf *out)
{
	enum buf_result result = print_replies(out);

	if (result == BUF_OK)
		result = print_values(out);
	for (int i = 0; i < HISTOGRAM_COUNT && result == BUF_OK; i++)
		result = print_histogram(out, (enum histogram)i);
	if (result == BUF_OK)
		result = print_family(out, "build_info", "gauge",
				      "1, with the version of the program.");
	if (result == BUF_OK)
		result = buf_printf(out, PREFIX "build_info{version=\"%s\"} 1\n", PACKAGE_VERSION);
	return result;
}
