#include "ingest/ingest.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/log.h"
#include "base/loop.h"
#include "base/metrics.h"
#include "base/text.h"

/*
 * DESIGN: what can happen to a request is one row of `rows` below; everything else here decides
 * which row. The checks go from the cheap to the dear, and none looks at the body before the
 * request is one that we want at all: endpoint, path, method, origin, type, coding, length,
 * inflating, labelling.
 */

/* A buffer is kept for the next beacon up to this, since fresh pages cost more than the labelling, and
 * while there is traffic (ingest_trim). */
enum {
	KEEP_BYTES = 512 * 1024,
};

/* Retry-After where the receiver gave none: long enough to help, and spread, so that browsers that
 * were refused together do not come back together. */
enum {
	RETRY_MIN_S = 1,
	RETRY_MAX_S = 5
};

#define NO_METRIC METRIC_COUNT

static const struct row {
	int status;         /* 0: the receiver's own */
	const char *reason; /* NULL: no error */
	enum metric metric;
	const char *event; /* in the log, rate-limited; NULL: somebody else logs it, or nobody */
	bool retry_after;
	const char *detail; /* where the stage that decided has none of its own */
} rows[VERDICT_COUNT] = {
	[VERDICT_OK] = {202, NULL, NO_METRIC, NULL, false, ""},
	[VERDICT_ACCEPTED] = {202, NULL, METRIC_ACCEPTED_RECEIVER, NULL, false, ""},
	[VERDICT_SPOOLED] = {202, NULL, METRIC_ACCEPTED_SPOOL, NULL, false, ""},
	[VERDICT_DUPLICATE] = {202, NULL, METRIC_ACCEPTED_DUPLICATE, NULL, false, ""},
	[VERDICT_PREFLIGHT] = {204, NULL, NO_METRIC, NULL, false, ""},
	[VERDICT_STATUS_PAGE] = {200, NULL, NO_METRIC, NULL, false, ""},
	[VERDICT_EMPTY] = {400, "empty", METRIC_REJECTED_EMPTY, "rejected_empty", false,
			   "The request has no body; send one beacon as JSON."},
	[VERDICT_LENGTH] = {400, "length", METRIC_REJECTED_LENGTH, "rejected_length", false,
			    "The body does not have the length that was declared; send the request "
			    "again, whole."},
	[VERDICT_BAD_ENCODING] = {400, "bad_encoding", METRIC_REJECTED_BAD_ENCODING,
				  "rejected_bad_encoding", false, ""},
	[VERDICT_BAD_JSON] = {400, "bad_json", METRIC_REJECTED_BAD_JSON, "rejected_bad_json", false,
			      ""},
	[VERDICT_AMBIGUOUS_KEY] = {400, "ambiguous_key", METRIC_REJECTED_AMBIGUOUS_KEY,
				   "rejected_ambiguous_key", false, ""},
	[VERDICT_RESERVED_NAME] = {400, "reserved_name", METRIC_REJECTED_RESERVED_NAME,
				   "rejected_reserved_name", false, ""},
	[VERDICT_CROSS_SITE] =
		{403, "cross_site", METRIC_REJECTED_CROSS_SITE, "rejected_cross_site", false,
		 "Beacons are taken from pages of the same origin only; the operator can "
		 "add this page's origin to FARO_ALLOWED_ORIGINS."},
	[VERDICT_NOT_FOUND] = {404, "not_found", METRIC_REJECTED_NOT_FOUND, "rejected_not_found",
			       false,
			       "There is nothing under this path; post beacons to FARO_PATH or "
			       "FARO_PATH/collect."},
	[VERDICT_BAD_METHOD] = {405, "method", METRIC_REJECTED_METHOD, "rejected_method", false,
				"Use one of the methods in Allow."},
	[VERDICT_TOO_LARGE] = {413, "too_large", METRIC_REJECTED_TOO_LARGE, "rejected_too_large",
			       false, ""},
	[VERDICT_BAD_TYPE] = {415, "media_type", METRIC_REJECTED_MEDIA_TYPE, "rejected_media_type",
			      false, "Send Content-Type: application/json (or text/plain)."},
	[VERDICT_BAD_CODING] =
		{415, "content_coding", METRIC_REJECTED_CONTENT_CODING, "rejected_content_coding",
		 false, "Send Content-Encoding: gzip or deflate, one of them at most, or none."},
	[VERDICT_UPSTREAM_REJECTED] =
		{0, "upstream_rejected", METRIC_REJECTED_UPSTREAM_REJECTED, NULL, false,
		 "The receiver does not accept this beacon; check the SDK's version "
		 "and the receiver's limits. Sending it again does not help."},
	[VERDICT_UPSTREAM_MISCONFIGURED] =
		{502, "upstream_misconfigured", METRIC_REJECTED_UPSTREAM_MISCONFIGURED, NULL, false,
		 "The receiver takes nothing from this relay; the operator finds the "
		 "reason in the relay's log."},
	[VERDICT_UPSTREAM_THROTTLED] = {429, "upstream_throttled",
					METRIC_REJECTED_UPSTREAM_THROTTLED, NULL, true,
					"The receiver's rate limit is reached; send it again after "
					"Retry-After."},
	[VERDICT_UPSTREAM_UNAVAILABLE] =
		{503, "upstream_unavailable", METRIC_REJECTED_UPSTREAM_UNAVAILABLE, NULL, true,
		 "The receiver cannot be reached or is failing; send it again after "
		 "Retry-After."},
	[VERDICT_UPSTREAM_TIMEOUT] =
		{504, "upstream_timeout", METRIC_REJECTED_UPSTREAM_TIMEOUT, NULL, false,
		 "The receiver did not answer in time and may or may not have the "
		 "beacon; send it again later."},
	[VERDICT_OVERLOADED] = {429, "overloaded", METRIC_REJECTED_OVERLOADED, "overloaded", true,
				"Too many beacons are being worked on; send it again after "
				"Retry-After."},
};

bool ingest_init(struct ingest *ingest, const struct config *config, struct budget *memory)
{
	*ingest = (struct ingest){.config = config, .memory = memory};
	ingest->enricher = enricher_new(&config->labels);
	if (!ingest->enricher)
		return false;
	decoder_init(&ingest->decoder);
	buf_init(&ingest->body, config->max_body_bytes, memory);
	buf_init(&ingest->decoded, config->max_decoded_bytes, memory);
	buf_init(&ingest->page, SIZE_MAX, NULL);
	ingest->random = (unsigned)loop_now_us();
	return true;
}

void ingest_release(struct ingest *ingest)
{
	enricher_free(ingest->enricher);
	decoder_release(&ingest->decoder);
	buf_release(&ingest->body);
	buf_release(&ingest->decoded);
	buf_release(&ingest->page);
}

/* The labels are the operator's and small, but there may be many resources: twice the body is
 * plenty, and the budget holds in any case. */
void ingest_init_request(struct ingest *ingest, struct request *request)
{
	const struct config *config = ingest->config;
	size_t largest = config->max_body_bytes > config->max_decoded_bytes
				 ? config->max_body_bytes
				 : config->max_decoded_bytes;

	request_init(request, &ingest->body, 2 * largest + 64 * 1024, ingest->memory);
}

void ingest_trim(struct ingest *ingest)
{
	buf_release(&ingest->body);
	buf_release(&ingest->decoded);
	buf_release(&ingest->page);
}

static unsigned jittered_retry_s(struct ingest *ingest)
{
	return RETRY_MIN_S + (unsigned)rand_r(&ingest->random) % (RETRY_MAX_S - RETRY_MIN_S + 1);
}

static void count_and_log(const struct row *row, int status)
{
	if (row->metric != NO_METRIC)
		metrics_add(row->metric, 1);
	if (!row->event)
		return;
	if (row->metric == METRIC_REJECTED_OVERLOADED)
		log_limited(LOG_WARN, row->event,
			    "Beacons are refused for want of memory or of places in flight; raise "
			    "FARO_MAX_MEMORY_BYTES or FARO_UPSTREAM_MAX_INFLIGHT, or mend a slow "
			    "receiver.",
			    LOG_NUM("status", status));
	else
		log_limited(LOG_INFO, row->event, "A request was refused; its reply says why.",
			    LOG_NUM("status", status));
}

/* The one place where a verdict becomes a reply. `detail` may be NULL. */
static void settle(struct ingest *ingest, struct request *request, enum verdict verdict,
		   const char *detail)
{
	const struct row *row = &rows[verdict];
	struct reply *reply = &request->reply;

	request->verdict = verdict;
	if (reply->status == 0)
		reply->status = row->status;
	reply->reason = row->reason;
	snprintf(reply->detail, sizeof(reply->detail), "%s", detail ? detail : row->detail);
	if (row->retry_after && reply->retry_after_s == 0)
		reply->retry_after_s = jittered_retry_s(ingest);
	if (verdict == VERDICT_BAD_CODING)
		reply->accept_encoding = "gzip, deflate";
	count_and_log(row, reply->status);
}

__attribute__((format(printf, 4, 5))) static void settle_with(struct ingest *ingest,
							      struct request *request,
							      enum verdict verdict, const char *fmt,
							      ...)
{
	char detail[sizeof(request->reply.detail)];
	va_list args;

	va_start(args, fmt);
	vsnprintf(detail, sizeof(detail), fmt, args);
	va_end(args);
	settle(ingest, request, verdict, detail);
}

/* --- who asks, and for what ---------------------------------------------------------- */

static bool is_our_path(const struct config *config, struct view path)
{
	struct view prefix = view_of(config->path);
	struct view rest;

	if (!path.ptr)
		return true;
	if (!view_starts_with(path, prefix))
		return false;
	rest = (struct view){path.ptr + prefix.len, path.len - prefix.len};
	return rest.len == 0 || view_equals(rest, VIEW_LITERAL("/collect"));
}

static bool is_allowed_origin(const struct config *config, struct view origin)
{
	for (size_t i = 0; i < config->allowed_origins.count; i++)
		if (view_equals_nocase(config->allowed_origins.items[i], origin))
			return true;
	return false;
}

/* Splits host[:port]; a colon inside the brackets of an IPv6 address is none of the port's. */
static struct view take_port(struct view *host)
{
	for (size_t i = host->len; i > 0; i--) {
		char c = host->ptr[i - 1];

		if (c == ']')
			break;
		if (c == ':') {
			struct view port = {host->ptr + i, host->len - i};

			host->len = i - 1;
			return port;
		}
	}
	return (struct view){NULL, 0};
}

/* Host may have lost its port on the way (Debian's fastcgi_params passes it without): then only the
 * names are compared. Else the origin's default port is that of its scheme. */
static bool is_same_host(struct view origin, struct view host)
{
	struct view default_port, origin_port, host_port;

	if (view_starts_with(origin, VIEW_LITERAL("https://"))) {
		default_port = VIEW_LITERAL("443");
		origin = (struct view){origin.ptr + 8, origin.len - 8};
	} else if (view_starts_with(origin, VIEW_LITERAL("http://"))) {
		default_port = VIEW_LITERAL("80");
		origin = (struct view){origin.ptr + 7, origin.len - 7};
	} else {
		return false;
	}
	origin_port = take_port(&origin);
	host_port = take_port(&host);
	if (host.len == 0 || !view_equals_nocase(origin, host))
		return false;
	return !host_port.ptr ||
	       view_equals(origin_port.ptr ? origin_port : default_port, host_port);
}

static bool is_welcome(const struct config *config, const struct request *request)
{
	struct view site = request->sec_fetch_site;

	if (request->origin.ptr && is_allowed_origin(config, request->origin))
		return true;
	if (site.ptr)
		return view_equals(site, VIEW_LITERAL("same-origin")) ||
		       view_equals(site, VIEW_LITERAL("none"));
	return !request->origin.ptr || is_same_host(request->origin, request->host);
}

static void allow_cross_origin(const struct config *config, struct request *request)
{
	request->reply.vary_origin = config->allowed_origins.count > 0;
	if (request->origin.ptr && is_allowed_origin(config, request->origin))
		request->reply.cors_origin = request->origin;
}

static bool is_json_type(struct view type)
{
	size_t end = 0;

	while (end < type.len && type.ptr[end] != ';')
		end++;
	while (end > 0 && (type.ptr[end - 1] == ' ' || type.ptr[end - 1] == '\t'))
		end--;
	type.len = end;
	return view_equals_nocase(type, VIEW_LITERAL("application/json")) ||
	       view_equals_nocase(type, VIEW_LITERAL("text/plain"));
}

static enum verdict check_envelope(const struct config *config, struct request *request)
{
	if (request->endpoint == ENDPOINT_UNKNOWN || !is_our_path(config, request->path))
		return VERDICT_NOT_FOUND;
	allow_cross_origin(config, request);
	if (view_equals(request->method, VIEW_LITERAL("OPTIONS"))) {
		request->reply.preflight = true;
		return VERDICT_PREFLIGHT;
	}
	if (!view_equals(request->method, VIEW_LITERAL("POST"))) {
		request->reply.allow = "POST, OPTIONS";
		return VERDICT_BAD_METHOD;
	}
	if (!is_welcome(config, request))
		return VERDICT_CROSS_SITE;
	if (!is_json_type(request->content_type))
		return VERDICT_BAD_TYPE;
	if (decode_coding(request->content_encoding) == CODING_UNKNOWN)
		return VERDICT_BAD_CODING;
	return VERDICT_OK;
}

static enum verdict check_body(const struct request *request)
{
	switch (request->body_state) {
	case BODY_TOO_LARGE:
		return VERDICT_TOO_LARGE;
	case BODY_OVER_BUDGET:
		return VERDICT_OVERLOADED;
	case BODY_BROKEN:
		return VERDICT_LENGTH;
	case BODY_WHOLE:
		break;
	}
	if (request->body->len == 0 && request->content_length <= 0 &&
	    request->content_length != LENGTH_MALFORMED)
		return VERDICT_EMPTY;
	/* An absent length is none that the body could have. */
	return request->content_length == (int64_t)request->body->len ? VERDICT_OK : VERDICT_LENGTH;
}

/* --- the body ------------------------------------------------------------------------ */

/* Points `plain` at the inflated body, which is the received one where nothing is compressed. */
static enum verdict inflate_body(struct ingest *ingest, struct request *request, struct view *plain,
				 const char **detail)
{
	enum coding coding = decode_coding(request->content_encoding);
	struct view body = {request->body->data, request->body->len};
	enum verdict verdict;

	*plain = body;
	if (coding == CODING_UNKNOWN)
		return VERDICT_BAD_CODING;
	if (coding == CODING_IDENTITY)
		return body.len <= ingest->config->max_decoded_bytes ? VERDICT_OK
								     : VERDICT_TOO_LARGE;
	verdict = decode(&ingest->decoder, coding, body, &ingest->decoded, detail);
	*plain = (struct view){ingest->decoded.data, ingest->decoded.len};
	return verdict;
}

static void settle_too_large(struct ingest *ingest, struct request *request)
{
	settle_with(ingest, request, VERDICT_TOO_LARGE,
		    "The body may have %zu bytes, and %zu after inflating; send smaller batches.",
		    ingest->config->max_body_bytes, ingest->config->max_decoded_bytes);
}

static bool settle_failure(struct ingest *ingest, struct request *request, enum verdict verdict,
			   const char *detail)
{
	if (verdict == VERDICT_TOO_LARGE && !detail)
		settle_too_large(ingest, request);
	else
		settle(ingest, request, verdict, detail);
	return false;
}

/* The rules about content say where in the body they were broken. */
static bool settle_refusal(struct ingest *ingest, struct request *request, enum verdict verdict,
			   const char *detail, size_t offset)
{
	if (verdict == VERDICT_TOO_LARGE || verdict == VERDICT_OVERLOADED)
		return settle_failure(ingest, request, verdict, detail);
	settle_with(ingest, request, verdict, "%s (at byte %zu of the body as inflated)", detail,
		    offset);
	return false;
}

bool ingest_label(struct ingest *ingest, struct request *request)
{
	const char *detail = NULL;
	struct view plain;
	size_t offset = 0;
	enum verdict verdict = check_body(request);

	if (verdict != VERDICT_OK)
		return settle_failure(ingest, request, verdict, NULL);
	metrics_add(METRIC_RECEIVED_BYTES, (int64_t)request->body->len);
	verdict = inflate_body(ingest, request, &plain, &detail);
	if (verdict != VERDICT_OK)
		return settle_failure(ingest, request, verdict, detail);
	metrics_add(METRIC_DECODED_BYTES, (int64_t)plain.len);
	verdict = enrich(ingest->enricher, plain, &request->labelled, &request->counts, &offset,
			 &detail);
	if (verdict != VERDICT_OK)
		return settle_refusal(ingest, request, verdict, detail, offset);
	metrics_add(METRIC_SPOOFED, request->counts.spoofed);
	return true;
}

/* --- status pages -------------------------------------------------------------------- */

/* Ready means that beacons can be taken; whether the receiver takes them is upstream_up's to say.
 */
static enum verdict print_page(struct ingest *ingest, struct request *request)
{
	enum buf_result result;

	if (!view_equals(request->method, VIEW_LITERAL("GET")) &&
	    !view_equals(request->method, VIEW_LITERAL("HEAD"))) {
		request->reply.allow = "GET, HEAD";
		return VERDICT_BAD_METHOD;
	}
	buf_clear(&ingest->page);
	metrics_set(METRIC_INFLIGHT_BYTES, (int64_t)budget_used(ingest->memory));
	result = request->endpoint == ENDPOINT_METRICS ? metrics_print(&ingest->page)
						       : buf_printf(&ingest->page, "ok\n");
	if (result != BUF_OK)
		return VERDICT_OVERLOADED;
	request->reply.text_page = &ingest->page;
	return VERDICT_STATUS_PAGE;
}

/* --- the pipeline -------------------------------------------------------------------- */

static enum ingest_next collect(struct ingest *ingest, struct request *request)
{
	enum verdict verdict = check_envelope(ingest->config, request);

	if (verdict != VERDICT_OK) {
		settle(ingest, request, verdict, NULL);
		return INGEST_REPLY;
	}
	metrics_add(METRIC_INFLIGHT, 1);
	request->verdict = VERDICT_OK;
	if (ingest_label(ingest, request))
		return INGEST_RELAY;
	metrics_add(METRIC_INFLIGHT, -1);
	return INGEST_REPLY;
}

void ingest_clear_body(struct ingest *ingest)
{
	buf_shrink(&ingest->body, KEEP_BYTES);
}

enum ingest_next ingest_begin(struct ingest *ingest, struct request *request)
{
	enum ingest_next next = INGEST_REPLY;

	if (request->endpoint == ENDPOINT_COLLECT || request->endpoint == ENDPOINT_UNKNOWN)
		next = collect(ingest, request);
	else
		settle(ingest, request, print_page(ingest, request), NULL);
	/* The next beacon is read into the same buffers. */
	ingest_clear_body(ingest);
	buf_shrink(&ingest->decoded, KEEP_BYTES);
	return next;
}

void ingest_relayed(struct ingest *ingest, struct request *request, const struct relay_call *call)
{
	struct reply *reply = &request->reply;

	metrics_add(METRIC_INFLIGHT, -1);
	if (call->verdict == VERDICT_ACCEPTED)
		beacon_count_items(&request->counts);
	if (call->verdict == VERDICT_UPSTREAM_REJECTED)
		reply->status = call->status;
	if (rows[call->verdict].retry_after || call->verdict == VERDICT_ACCEPTED)
		reply->retry_after_s = call->retry_after_s;
	memcpy(reply->session_status, call->session_status, sizeof(reply->session_status));
	settle(ingest, request, call->verdict, NULL);
}

void ingest_end(struct request *request)
{
	buf_shrink(&request->labelled, KEEP_BYTES);
	metrics_count_reply(request->reply.status);
	metrics_observe(HISTOGRAM_REQUEST_SECONDS, loop_now_us() - request->started_us);
}
