/* SPDX-License-Identifier: Apache-2.0 */
#include "base/metrics.h"

#include <inttypes.h>
#include <stdatomic.h>
#include <time.h>

#include "base/exemplar.h"
#include "base/text.h"
#include "build-config.h"

#define PREFIX "faro_ingest_"

enum type {
	TYPE_COUNTER,
	TYPE_GAUGE,
	TYPE_HISTOGRAM,
	TYPE_INFO
};

/* What the names of a type's samples end in, beyond the name of their family in OpenMetrics; in the
 * other format a family has the name of its samples, and there is no type for build_info. */
static const struct {
	const char *open_name, *ending, *text_name;
} types[] = {
	[TYPE_COUNTER] = {"counter", "_total", "counter"},
	[TYPE_GAUGE] = {"gauge", "", "gauge"},
	[TYPE_HISTOGRAM] = {"histogram", "", "histogram"},
	[TYPE_INFO] = {"info", "_info", "gauge"},
};

/* Series of one family stand together; the first of them brings the family's head. */
static const struct description {
	enum type type;
	const char *label; /* reason="empty", or NULL */
	const char *family;
	const char *help;
} descriptions[METRIC_COUNT] = {
#define METRIC_COUNTER(name, family, help) [METRIC_##name] = {TYPE_COUNTER, NULL, family, help},
#define METRIC_GAUGE(name, family, help)   [METRIC_##name] = {TYPE_GAUGE, NULL, family, help},
#define METRIC_SERIES(name, family, label) [METRIC_##name] = {TYPE_COUNTER, label, FAMILY_##family},
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
		struct exemplar_slot exemplars[BOUNDS + 1];
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

static int64_t wall_clock_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

void metrics_observe(enum histogram histogram, int64_t microseconds, struct trace_id trace)
{
	size_t i;

	for (i = 0; i < BOUNDS && microseconds > bounds_us[i]; i++)
		;
	atomic_fetch_add_explicit(&state.histograms[histogram].buckets[i], 1, memory_order_relaxed);
	atomic_fetch_add_explicit(&state.histograms[histogram].sum_us, microseconds,
				  memory_order_relaxed);
	if ((trace.high | trace.low) != 0)
		exemplar_set(&state.histograms[histogram].exemplars[i],
			     &(struct exemplar){trace, microseconds, wall_clock_ms()});
}

/* --- the page ------------------------------------------------------------------------ */

/* The unit that OpenMetrics wants to be told, and to be the end of the name; NULL: none. */
static const char *unit_of(struct view family)
{
	static const struct view units[] = {VIEW_CONSTANT("_seconds"), VIEW_CONSTANT("_bytes")};

	for (size_t i = 0; i < ARRAY_LEN(units); i++)
		if (family.len > units[i].len &&
		    memcmp(family.ptr + family.len - units[i].len, units[i].ptr, units[i].len) == 0)
			return units[i].ptr + 1;
	return NULL;
}

static enum buf_result print_family(struct buf *out, enum metrics_format format, const char *name,
				    enum type type, const char *help)
{
	struct view family = view_of(name);
	const char *unit;
	enum buf_result result;

	if (format == METRICS_TEXT)
		return buf_printf(out, "# HELP " PREFIX "%s %s\n# TYPE " PREFIX "%s %s\n", name,
				  help, name, types[type].text_name);
	family.len -= strlen(types[type].ending);
	unit = unit_of(family);
	result = buf_printf(out, "# HELP " PREFIX "%.*s %s\n# TYPE " PREFIX "%.*s %s\n",
			    (int)family.len, name, help, (int)family.len, name,
			    types[type].open_name);
	if (result == BUF_OK && unit)
		result = buf_printf(out, "# UNIT " PREFIX "%.*s %s\n", (int)family.len, name, unit);
	return result;
}

static bool begins_family(int metric)
{
	return metric == 0 ||
	       strcmp(descriptions[metric].family, descriptions[metric - 1].family) != 0;
}

static enum buf_result print_values(struct buf *out, enum metrics_format format)
{
	enum buf_result result = BUF_OK;

	for (int i = 0; i < METRIC_COUNT && result == BUF_OK; i++) {
		const struct description *d = &descriptions[i];

		if (begins_family(i))
			result = print_family(out, format, d->family, d->type, d->help);
		if (result == BUF_OK)
			result = buf_printf(out, PREFIX "%s%s%s%s %" PRId64 "\n", d->family,
					    d->label ? "{" : "", d->label ? d->label : "",
					    d->label ? "}" : "", metrics_get((enum metric)i));
	}
	return result;
}

static enum buf_result print_replies(struct buf *out, enum metrics_format format)
{
	enum buf_result result = print_family(out, format, "requests_total", TYPE_COUNTER,
					      "Replies to browsers, by status code.");

	for (size_t i = 0; i < REPLY_CODES && result == BUF_OK; i++)
		result = buf_printf(out, PREFIX "requests_total{code=\"%d\"} %" PRId64 "\n",
				    reply_codes[i], atomic_load(&state.replies[i]));
	if (result == BUF_OK)
		result = buf_printf(out, PREFIX "requests_total{code=\"other\"} %" PRId64 "\n",
				    atomic_load(&state.replies[REPLY_CODES]));
	return result;
}

static enum buf_result print_exemplar(struct buf *out, struct exemplar_slot *slot)
{
	struct exemplar exemplar;

	if (!exemplar_get(slot, &exemplar))
		return BUF_OK;
	return buf_printf(
		out, " # {trace_id=\"%016" PRIx64 "%016" PRIx64 "\"} %.6f %" PRId64 ".%03" PRId64,
		exemplar.trace.high, exemplar.trace.low, (double)exemplar.value_us / 1e6,
		exemplar.time_ms / 1000, exemplar.time_ms % 1000);
}

/* OpenMetrics writes a bound of a whole number of seconds as 1.0, so that everybody has the same
 * series; those of the other format have been without it from the beginning. */
static enum buf_result print_bucket(struct buf *out, enum metrics_format format,
				    enum histogram histogram, size_t bucket, int64_t count)
{
	const char *name = histogram_names[histogram].name;
	bool is_whole = bucket < BOUNDS && bounds_us[bucket] % 1000000 == 0;
	enum buf_result result;

	if (bucket == BOUNDS)
		result = buf_printf(out, PREFIX "%s_bucket{le=\"+Inf\"} %" PRId64, name, count);
	else
		result = buf_printf(out, PREFIX "%s_bucket{le=\"%g%s\"} %" PRId64, name,
				    (double)bounds_us[bucket] / 1e6,
				    is_whole && format == METRICS_OPENMETRICS ? ".0" : "", count);
	if (result == BUF_OK && format == METRICS_OPENMETRICS)
		result = print_exemplar(out, &state.histograms[histogram].exemplars[bucket]);
	return result == BUF_OK ? buf_printf(out, "\n") : result;
}

static enum buf_result print_histogram(struct buf *out, enum metrics_format format,
				       enum histogram histogram)
{
	const char *name = histogram_names[histogram].name;
	int64_t count = 0;
	enum buf_result result =
		print_family(out, format, name, TYPE_HISTOGRAM, histogram_names[histogram].help);

	for (size_t i = 0; i <= BOUNDS && result == BUF_OK; i++) {
		count += atomic_load(&state.histograms[histogram].buckets[i]);
		result = print_bucket(out, format, histogram, i, count);
	}
	if (result == BUF_OK)
		result = buf_printf(out, PREFIX "%s_sum %.6f\n" PREFIX "%s_count %" PRId64 "\n",
				    name,
				    (double)atomic_load(&state.histograms[histogram].sum_us) / 1e6,
				    name, count);
	return result;
}

static enum buf_result print_build_info(struct buf *out, enum metrics_format format)
{
	enum buf_result result = print_family(out, format, "build_info", TYPE_INFO,
					      "1, with the version of the program.");

	if (result == BUF_OK)
		result = buf_printf(out, PREFIX "build_info{version=\"%s\"} 1\n", PACKAGE_VERSION);
	return result;
}

const char *metrics_type(enum metrics_format format)
{
	return format == METRICS_OPENMETRICS
		       ? "application/openmetrics-text; version=1.0.0; charset=utf-8"
		       : "text/plain; version=0.0.4; charset=utf-8";
}

enum buf_result metrics_print(struct buf *out, enum metrics_format format)
{
	enum buf_result result = print_replies(out, format);

	if (result == BUF_OK)
		result = print_values(out, format);
	for (int i = 0; i < HISTOGRAM_COUNT && result == BUF_OK; i++)
		result = print_histogram(out, format, (enum histogram)i);
	if (result == BUF_OK)
		result = print_build_info(out, format);
	if (result == BUF_OK && format == METRICS_OPENMETRICS)
		result = buf_printf(out, "# EOF\n");
	return result;
}
