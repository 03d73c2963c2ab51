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

/* A row whose name is NULL is a further series of the family above it. */
struct description {
	const char *name;
	const char *label; /* reason="empty", or NULL */
	enum kind kind;
	const char *help;
};

static const struct description descriptions[METRIC_COUNT] = {
	[METRIC_REJECTED_EMPTY] = {"rejected_total", "reason=\"empty\"", COUNTER,
				   "Requests answered with an error, by reason."},
	[METRIC_REJECTED_LENGTH] = {.label = "reason=\"length\""},
	[METRIC_REJECTED_BAD_ENCODING] = {.label = "reason=\"bad_encoding\""},
	[METRIC_REJECTED_BAD_JSON] = {.label = "reason=\"bad_json\""},
	[METRIC_REJECTED_AMBIGUOUS_KEY] = {.label = "reason=\"ambiguous_key\""},
	[METRIC_REJECTED_RESERVED_NAME] = {.label = "reason=\"reserved_name\""},
	[METRIC_REJECTED_CROSS_SITE] = {.label = "reason=\"cross_site\""},
	[METRIC_REJECTED_NOT_FOUND] = {.label = "reason=\"not_found\""},
	[METRIC_REJECTED_METHOD] = {.label = "reason=\"method\""},
	[METRIC_REJECTED_TOO_LARGE] = {.label = "reason=\"too_large\""},
	[METRIC_REJECTED_MEDIA_TYPE] = {.label = "reason=\"media_type\""},
	[METRIC_REJECTED_CONTENT_CODING] = {.label = "reason=\"content_coding\""},
	[METRIC_REJECTED_UPSTREAM_REJECTED] = {.label = "reason=\"upstream_rejected\""},
	[METRIC_REJECTED_UPSTREAM_MISCONFIGURED] = {.label = "reason=\"upstream_misconfigured\""},
	[METRIC_REJECTED_UPSTREAM_THROTTLED] = {.label = "reason=\"upstream_throttled\""},
	[METRIC_REJECTED_UPSTREAM_UNAVAILABLE] = {.label = "reason=\"upstream_unavailable\""},
	[METRIC_REJECTED_UPSTREAM_TIMEOUT] = {.label = "reason=\"upstream_timeout\""},
	[METRIC_REJECTED_OVERLOADED] = {.label = "reason=\"overloaded\""},

	[METRIC_ACCEPTED_RECEIVER] = {"accepted_total", "by=\"receiver\"", COUNTER,
				      "Beacons answered 202, by what the promise rests on."},
	[METRIC_ACCEPTED_SPOOL] = {.label = "by=\"spool\""},
	[METRIC_ACCEPTED_DUPLICATE] = {.label = "by=\"duplicate\""},

	[METRIC_ITEMS_LOG] = {"items_total", "kind=\"log\"", COUNTER,
			      "Items in the beacons that the receiver took, by kind."},
	[METRIC_ITEMS_EXCEPTION] = {.label = "kind=\"exception\""},
	[METRIC_ITEMS_EVENT] = {.label = "kind=\"event\""},
	[METRIC_ITEMS_MEASUREMENT] = {.label = "kind=\"measurement\""},
	[METRIC_ITEMS_SPAN] = {.label = "kind=\"span\""},

	[METRIC_RECEIVED_BYTES] = {"received_bytes_total", NULL, COUNTER,
				   "Body bytes as they came from browsers."},
	[METRIC_DECODED_BYTES] = {"decoded_bytes_total", NULL, COUNTER,
				  "Body bytes after inflating."},
	[METRIC_SPOOFED] = {"spoofed_total", NULL, COUNTER,
			    "Claims of browsers about labels that were replaced or removed."},

	[METRIC_UPSTREAM_OK] = {"upstream_requests_total", "outcome=\"ok\"", COUNTER,
				"Requests to the receiver, by outcome."},
	[METRIC_UPSTREAM_REJECTED] = {.label = "outcome=\"rejected\""},
	[METRIC_UPSTREAM_MISCONFIGURED] = {.label = "outcome=\"misconfigured\""},
	[METRIC_UPSTREAM_THROTTLED] = {.label = "outcome=\"throttled\""},
	[METRIC_UPSTREAM_UNAVAILABLE] = {.label = "outcome=\"unavailable\""},
	[METRIC_UPSTREAM_TIMEOUT] = {.label = "outcome=\"timeout\""},
	[METRIC_UPSTREAM_RESENDS] = {"upstream_resends_total", NULL, COUNTER,
				     "Requests sent again because a kept connection had died; each "
				     "may be a duplicate."},
	[METRIC_UPSTREAM_UNANSWERED] = {"upstream_unanswered_total", NULL, COUNTER,
					"Requests that were sent and not answered; the receiver "
					"may have taken them."},

	[METRIC_SPOOL_REPLAYED] = {"spool_replayed_total", NULL, COUNTER,
				   "Spooled beacons that the receiver took later."},
	[METRIC_SPOOL_DROPPED_AGE] = {"spool_dropped_total", "reason=\"age\"", COUNTER,
				      "Spooled beacons that were not delivered, by reason; "
				      "rejected and ambiguous ones are in quarantine."},
	[METRIC_SPOOL_DROPPED_DAMAGED] = {.label = "reason=\"damaged\""},
	[METRIC_SPOOL_DROPPED_REJECTED] = {.label = "reason=\"rejected\""},
	[METRIC_SPOOL_DROPPED_AMBIGUOUS] = {.label = "reason=\"ambiguous\""},
	[METRIC_SPOOL_MOVED_ASIDE] = {"spool_moved_aside_total", NULL, COUNTER,
				      "Databases of the spool that were damaged, foreign or newer, "
				      "and moved aside."},
	[METRIC_DUPLICATES] = {"duplicates_total", NULL, COUNTER,
			       "Beacons that came again with their Idempotency-Key and were not "
			       "relayed again."},

	[METRIC_INFLIGHT] = {"inflight", NULL, GAUGE, "Beacons being worked on."},
	[METRIC_INFLIGHT_BYTES] = {"inflight_bytes", NULL, GAUGE,
				   "Bytes held for beacons, of FARO_MAX_MEMORY_BYTES."},
	[METRIC_UPSTREAM_UP] = {"upstream_up", NULL, GAUGE,
				"1 if the receiver answered the last request to it, else 0."},
	[METRIC_UPSTREAM_REFUSES] = {"upstream_misconfigured", NULL, GAUGE,
				     "1 while the receiver refuses this relay (401, 403, 404, "
				     "certificate), else 0."},
	[METRIC_BREAKER_OPEN] = {"breaker_open", NULL, GAUGE,
				 "1 while the receiver is left alone after failures, else 0."},
	[METRIC_SPOOL_RECORDS] = {"spool_records", NULL, GAUGE,
				  "Beacons in the spool that wait for the receiver."},
	[METRIC_SPOOL_QUARANTINED] = {"spool_quarantined", NULL, GAUGE,
				      "Beacons in the spool's quarantine."},
	[METRIC_SPOOL_BYTES] = {"spool_bytes", NULL, GAUGE,
				"Bytes of the spool's database and log."},
	[METRIC_SPOOL_MAX_BYTES] = {"spool_max_bytes", NULL, GAUGE,
				    "FARO_SPOOL_MAX_BYTES; 0: there is no spool."},
	[METRIC_SPOOL_OLDEST_SECONDS] = {"spool_oldest_seconds", NULL, GAUGE,
					 "Age of the oldest beacon in the spool; 0: there is "
					 "none."},
};

/* Every status that a reply can have; the last row counts what is none of them. */
static const int reply_codes[] = {200, 202, 204, 400, 403, 404, 405,
				  413, 415, 422, 429, 502, 503, 504};
enum {
	REPLY_CODES = ARRAY_LEN(reply_codes)
};

/* Upper bounds in microseconds, shared by both histograms: from a beacon that waits for nobody to
 * the browser's own limit of 10 s. */
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

static enum buf_result print_values(struct buf *out)
{
	const char *family = NULL;
	enum buf_result result = BUF_OK;

	for (int i = 0; i < METRIC_COUNT && result == BUF_OK; i++) {
		const struct description *d = &descriptions[i];

		if (d->name) {
			family = d->name;
			result = print_family(out, family, d->kind == GAUGE ? "gauge" : "counter",
					      d->help);
			if (result != BUF_OK)
				return result;
		}
		result = buf_printf(out, PREFIX "%s%s%s%s %" PRId64 "\n", family,
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
