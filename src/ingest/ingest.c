/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DESIGN: the pipeline of one request. Each stage returns a verdict, and the first that is not
 * VERDICT_OK becomes the reply (reply.c). The cheap checks come first, and the body is not looked
 * at before the rest of the request is right: endpoint, path, method, origin, type, coding, length,
 * inflating, labelling.
 */
#include "ingest/ingest.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/loop.h"
#include "base/metrics.h"
#include "base/text.h"
#include "ingest/accept.h"
#include "ingest/origin.h"

/* A buffer of up to this capacity is kept for the next beacon, since fresh pages cost more than the
 * labelling. It is freed when there is no traffic (ingest_trim). */
enum {
	KEEP_BYTES = 512 * 1024,
};

bool ingest_init(struct ingest *ingest, const struct config *config, struct budget *memory)
{
	*ingest = (struct ingest){.config = config, .memory = memory};
	ingest->enricher = enricher_new(&config->labels, &config->privacy);
	if (!ingest->enricher || !request_parameters_init(&ingest->parameters, &config->labels)) {
		enricher_free(ingest->enricher);
		return false;
	}
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
	request_parameters_release(&ingest->parameters);
	decoder_release(&ingest->decoder);
	buf_release(&ingest->body);
	buf_release(&ingest->decoded);
	buf_release(&ingest->page);
}

/* The labels are small, but each resource of a beacon gets them. Twice the body is enough for that,
 * and the budget of all bodies is a limit in any case. */
void ingest_init_request(struct ingest *ingest, struct request *request)
{
	const struct config *config = ingest->config;
	size_t largest = config->max_body_bytes > config->max_decoded_bytes
				 ? config->max_body_bytes
				 : config->max_decoded_bytes;

	request_init(request, &ingest->body, 2 * largest + 64 * 1024, ingest->memory);
	request->parameters = &ingest->parameters;
}

void ingest_trim(struct ingest *ingest)
{
	buf_release(&ingest->body);
	buf_release(&ingest->decoded);
	buf_release(&ingest->page);
}

/* --- the verdict becomes the reply --------------------------------------------------- */

static void reply_with(struct ingest *ingest, struct request *request, enum verdict verdict,
		       const char *detail)
{
	reply_set(&request->reply, verdict, detail, &ingest->random);
}

__attribute__((format(printf, 4, 5))) static void reply_with_text(struct ingest *ingest,
								  struct request *request,
								  enum verdict verdict,
								  const char *fmt, ...)
{
	char detail[sizeof(request->reply.detail)];
	va_list args;

	va_start(args, fmt);
	vsnprintf(detail, sizeof(detail), fmt, args);
	va_end(args);
	reply_with(ingest, request, verdict, detail);
}

/* --- everything but the body --------------------------------------------------------- */

/* Also with a slash at the end, which rules of a whole site add. */
static bool is_our_path(const struct config *config, const struct request *request)
{
	struct view path = request->path, prefix = view_of(config->path);
	struct view rest;

	if (request->path_too_long)
		return false;
	if (!path.ptr)
		return true;
	if (!view_starts_with(path, prefix))
		return false;
	rest = (struct view){path.ptr + prefix.len, path.len - prefix.len};
	if (rest.len > 0 && rest.ptr[rest.len - 1] == '/')
		rest.len--;
	return rest.len == 0 || view_equals(rest, VIEW_LITERAL("/collect"));
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

static enum coding coding_of(const struct request *request)
{
	return request_refuses(request, REQUEST_CONTENT_ENCODING)
		       ? CODING_UNKNOWN
		       : decode_coding(request->content_encoding);
}

static enum verdict reject_coding(struct request *request, const char **detail)
{
	request->reply.accept_encoding = decode_accept_encoding;
	*detail = decode_advice;
	return VERDICT_BAD_CODING;
}

/* A value that was too long to keep is one, too. */
static bool is_left_out(const struct request *request)
{
	return request_refuses(request, REQUEST_IGNORE) ||
	       (request->ignore.len > 0 && !view_equals(request->ignore, VIEW_LITERAL("0")));
}

static void count_left_out(struct view reason)
{
	static const struct {
		struct view word;
		enum metric metric;
	} rows[] = {
#define IGNORE_REASON(name, word) {VIEW_CONSTANT(word), METRIC_IGNORED_##name},
#include "base/ignore_list.h"
	};
	enum metric metric = METRIC_IGNORED_OTHER;

	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		if (view_equals(rows[i].word, reason))
			metric = rows[i].metric;
	metrics_add(metric, 1);
}

static enum verdict check_envelope(const struct config *config, struct request *request,
				   const char **detail)
{
	if (request->endpoint == ENDPOINT_UNKNOWN || !is_our_path(config, request))
		return VERDICT_NOT_FOUND;
	origin_set_cors(config, request);
	if (view_equals(request->method, VIEW_LITERAL("OPTIONS"))) {
		request->reply.preflight = &config->allowed_headers;
		return VERDICT_PREFLIGHT;
	}
	if (!view_equals(request->method, VIEW_LITERAL("POST"))) {
		request->reply.allow = "POST, OPTIONS";
		return VERDICT_BAD_METHOD;
	}
	if (!origin_may_send(config, request)) {
		request->reply.refused_origin =
			request->origin.ptr ? request->origin : VIEW_LITERAL("");
		return VERDICT_CROSS_SITE;
	}
	if (is_left_out(request)) {
		count_left_out(request->ignore);
		return VERDICT_POLICY;
	}
	if (!is_json_type(request->content_type))
		return VERDICT_BAD_TYPE;
	if (coding_of(request) == CODING_UNKNOWN)
		return reject_coding(request, detail);
	return VERDICT_OK;
}

/* --- the body ------------------------------------------------------------------------ */

static enum verdict check_body(const struct request *request)
{
	switch (request->body_state) {
	case BODY_TOO_LARGE:
		return VERDICT_TOO_LARGE;
	case BODY_OVER_BUDGET:
		return VERDICT_OVERLOADED;
	case BODY_BROKEN:
		return VERDICT_LENGTH;
	case BODY_STALLED:
		return VERDICT_STALLED;
	case BODY_WHOLE:
		break;
	}
	if (request->body->len == 0 && request->length_state != LENGTH_MALFORMED &&
	    request->content_length == 0)
		return VERDICT_EMPTY;
	if (request->length_state != LENGTH_GIVEN)
		return VERDICT_LENGTH;
	return request->content_length == (int64_t)request->body->len ? VERDICT_OK : VERDICT_LENGTH;
}

/* Points `plain` at the inflated body, or at the received one where it is not compressed. */
static enum verdict inflate_body(struct ingest *ingest, struct request *request, struct view *plain,
				 const char **detail)
{
	enum coding coding = coding_of(request);
	struct view body = {request->body->data, request->body->len};
	enum verdict verdict;

	*plain = body;
	if (coding == CODING_UNKNOWN)
		return reject_coding(request, detail);
	if (coding == CODING_IDENTITY)
		return body.len <= ingest->config->max_decoded_bytes ? VERDICT_OK
								     : VERDICT_TOO_LARGE;
	verdict = decode(&ingest->decoder, coding, body, &ingest->decoded, detail);
	*plain = (struct view){ingest->decoded.data, ingest->decoded.len};
	return verdict;
}

static bool reject_body(struct ingest *ingest, struct request *request, enum verdict verdict,
			const char *detail)
{
	if (verdict == VERDICT_TOO_LARGE && !detail)
		reply_with_text(ingest, request, verdict,
				"The body may have %zu bytes, and %zu after inflating; send "
				"smaller batches.",
				ingest->config->max_body_bytes, ingest->config->max_decoded_bytes);
	else
		reply_with(ingest, request, verdict, detail);
	return false;
}

/* A rule about the content was broken: the detail gets the place in the body. */
static bool reject_content(struct ingest *ingest, struct request *request, enum verdict verdict,
			   const char *detail, size_t offset)
{
	if (verdict == VERDICT_TOO_LARGE || verdict == VERDICT_OVERLOADED)
		return reject_body(ingest, request, verdict, detail);
	reply_with_text(ingest, request, verdict, "%s (at byte %zu of the body as inflated)",
			detail, offset);
	return false;
}

static void count_changes(const struct beacon_counts *counts)
{
	metrics_add(METRIC_SPOOFED, counts->spoofed);
	metrics_add(METRIC_DROPPED_BAD_SPAN, counts->bad_spans);
	metrics_add(METRIC_DROPPED_EXTENSION, counts->extension_errors);
	metrics_add(METRIC_DROPPED_ERROR, counts->dropped_errors);
	metrics_add(METRIC_DROPPED_FIELDS, counts->dropped_fields);
	metrics_add(METRIC_REDACTIONS, (int64_t)counts->redactions);
}

/* --- what the web server says ------------------------------------------------------ */

static struct view print_address(const struct config *config, enum client_address form,
				 struct view text, char out[CLIENT_ADDRESS_BYTES])
{
	const struct address_mask *mask =
		form == CLIENT_ADDRESS_MASKED ? &config->client_address_mask : NULL;
	size_t n = form == CLIENT_ADDRESS_OFF ? 0 : client_address_print(text, mask, out);

	return n > 0 ? (struct view){out, n} : (struct view){NULL, 0};
}

/* The address is stamped behind what comes as parameters. */
static void use_address(const struct config *config, struct request *request)
{
	request->facts.values[config->labels.parameter_count] = print_address(
		config, config->client_address, request->remote_addr, request->stamped_address);
	request->forwarded.client_address =
		print_address(config, config->forward_client_address, request->remote_addr,
			      request->forwarded_address);
}

bool ingest_label(struct ingest *ingest, struct request *request)
{
	const char *detail = NULL;
	struct view plain;
	size_t offset = 0;
	enum verdict verdict = check_body(request);

	if (verdict != VERDICT_OK)
		return reject_body(ingest, request, verdict, NULL);
	metrics_add(METRIC_RECEIVED_BYTES, (int64_t)request->body->len);
	verdict = inflate_body(ingest, request, &plain, &detail);
	if (verdict != VERDICT_OK)
		return reject_body(ingest, request, verdict, detail);
	metrics_add(METRIC_DECODED_BYTES, (int64_t)plain.len);
	use_address(ingest->config, request);
	/* As it was received: enrich() may overwrite it. */
	if (request->forwarded.idempotency_key.len > 0)
		request->hash = dedup_hash(request->forwarded.idempotency_key, plain);
	verdict = enrich(ingest->enricher, plain, &request->facts, &request->labelled,
			 &request->counts, &offset, &detail);
	if (verdict != VERDICT_OK)
		return reject_content(ingest, request, verdict, detail, offset);
	if (request->counts.no_location)
		request->forwarded.client_address = (struct view){NULL, 0};
	count_changes(&request->counts);
	return true;
}

/* --- status pages -------------------------------------------------------------------- */

/* Ready means that beacons can be taken. Whether the upstream takes them is not asked here: the
 * metric upstream_up has it. */
static enum verdict print_page(struct ingest *ingest, struct request *request)
{
	bool is_open = request->endpoint == ENDPOINT_METRICS &&
		       accept_prefers_openmetrics(request->accept);
	enum metrics_format format = is_open ? METRICS_OPENMETRICS : METRICS_TEXT;
	enum buf_result result;

	if (!view_equals(request->method, VIEW_LITERAL("GET")) &&
	    !view_equals(request->method, VIEW_LITERAL("HEAD"))) {
		request->reply.allow = "GET, HEAD";
		return VERDICT_BAD_METHOD;
	}
	buf_clear(&ingest->page);
	metrics_set(METRIC_INFLIGHT_BYTES, (int64_t)budget_used(ingest->memory));
	result = request->endpoint == ENDPOINT_METRICS ? metrics_print(&ingest->page, format)
						       : buf_printf(&ingest->page, "ok\n");
	if (result != BUF_OK)
		return VERDICT_OVERLOADED;
	request->reply.text_page = &ingest->page;
	request->reply.text_page_type = metrics_type(format);
	return VERDICT_STATUS_PAGE;
}

/* --- the pipeline -------------------------------------------------------------------- */

static enum ingest_next begin_beacon(struct ingest *ingest, struct request *request)
{
	const char *detail = NULL;
	enum verdict verdict = check_envelope(ingest->config, request, &detail);

	if (verdict != VERDICT_OK) {
		reply_with(ingest, request, verdict, detail);
		return INGEST_REPLY;
	}
	metrics_add(METRIC_INFLIGHT, 1);
	if (ingest_label(ingest, request)) {
		if (!request->counts.left_out)
			return INGEST_RELAY;
		reply_with(ingest, request, VERDICT_POLICY, NULL);
	}
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
		next = begin_beacon(ingest, request);
	else
		reply_with(ingest, request, print_page(ingest, request), NULL);
	/* The next beacon is read into the same buffers. */
	ingest_clear_body(ingest);
	buf_shrink(&ingest->decoded, KEEP_BYTES);
	return next;
}

void ingest_relayed(struct ingest *ingest, struct request *request, const struct relay_call *call)
{
	metrics_add(METRIC_INFLIGHT, -1);
	if (call->verdict == VERDICT_ACCEPTED)
		beacon_count_items(&request->counts);
	reply_set_relayed(&request->reply, call, &ingest->random);
}

void ingest_end(struct request *request)
{
	buf_shrink(&request->labelled, KEEP_BYTES);
	metrics_count_reply(request->reply.status);
	metrics_observe(HISTOGRAM_REQUEST_SECONDS, loop_now_us() - request->started_us,
			traceparent_sampled(request->forwarded.traceparent));
}
