#include "ingest/request.h"

#include <cJSON.h>
#include <stdlib.h>

#include "base/text.h"

void request_init(struct request *request, struct buf *body, size_t labelled_max,
		  struct budget *memory)
{
	*request = (struct request){.body = body, .content_length = LENGTH_ABSENT};
	buf_init(&request->labelled, labelled_max, memory);
}

void request_clear(struct request *request)
{
	struct buf *body = request->body;
	struct buf labelled = request->labelled;

	buf_clear(&labelled);
	/* Everything before path_storage, which is written before it is read. */
	memset(request, 0, offsetof(struct request, path_storage));
	request->body = body;
	request->labelled = labelled;
	request->content_length = LENGTH_ABSENT;
}

void request_release(struct request *request)
{
	buf_release(&request->labelled);
}

void request_append_body(struct request *request, const void *bytes, size_t n)
{
	if (request->body_state != BODY_WHOLE)
		return;
	switch (buf_append(request->body, bytes, n)) {
	case BUF_OK:
		break;
	case BUF_TOO_LARGE:
		request->body_state = BODY_TOO_LARGE;
		break;
	case BUF_OVER_BUDGET:
		request->body_state = BODY_OVER_BUDGET;
		break;
	}
}

static int64_t parse_length(struct view text)
{
	int64_t length = 0;

	if (!text.ptr)
		return LENGTH_ABSENT;
	for (size_t i = 0; i < text.len; i++) {
		int digit = text.ptr[i] - '0';

		if (digit < 0 || digit > 9 || length > (INT64_MAX - digit) / 10)
			return LENGTH_MALFORMED;
		length = length * 10 + digit;
	}
	return length;
}

static enum endpoint parse_endpoint(struct view name)
{
	static const struct {
		struct view name;
		enum endpoint endpoint;
	} names[] = {
		{VIEW_CONSTANT("collect"), ENDPOINT_COLLECT},
		{VIEW_CONSTANT("metrics"), ENDPOINT_METRICS},
		{VIEW_CONSTANT("health"), ENDPOINT_HEALTH},
		{VIEW_CONSTANT("ready"), ENDPOINT_READY},
	};

	if (!name.ptr)
		return ENDPOINT_COLLECT;
	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		if (view_equals(name, names[i].name))
			return names[i].endpoint;
	return ENDPOINT_UNKNOWN;
}

/* A path that does not fit is none that anybody set: it becomes the empty one, which is not found.
 */
static void join_path(struct request *request, struct view script, struct view info)
{
	if (!script.ptr && !info.ptr)
		return;
	request->path = (struct view){request->path_storage, 0};
	if (script.len > sizeof(request->path_storage) ||
	    info.len > sizeof(request->path_storage) - script.len)
		return;
	if (script.len > 0)
		memcpy(request->path_storage, script.ptr, script.len);
	if (info.len > 0)
		memcpy(request->path_storage + script.len, info.ptr, info.len);
	request->path.len = script.len + info.len;
}

struct view *request_variable(struct request *request, struct view name)
{
#define VARIABLE(variable, member)                                        \
	{                                                                 \
		VIEW_CONSTANT(variable), offsetof(struct request, member) \
	}
	static const struct {
		struct view name;
		size_t offset;
	} variables[] = {
		VARIABLE("FARO_ENDPOINT", raw.endpoint),
		VARIABLE("REQUEST_METHOD", method),
		VARIABLE("SCRIPT_NAME", raw.script_name),
		VARIABLE("PATH_INFO", raw.path_info),
		VARIABLE("CONTENT_LENGTH", raw.content_length),
		VARIABLE("CONTENT_TYPE", content_type),
		VARIABLE("HTTP_CONTENT_ENCODING", content_encoding),
		VARIABLE("HTTP_HOST", host),
		VARIABLE("HTTP_ORIGIN", origin),
		VARIABLE("HTTP_SEC_FETCH_SITE", sec_fetch_site),
		VARIABLE("HTTP_X_FARO_SESSION_ID", forwarded.session_id),
		VARIABLE("HTTP_IDEMPOTENCY_KEY", forwarded.idempotency_key),
		VARIABLE("HTTP_TRACEPARENT", forwarded.traceparent),
	};
#undef VARIABLE

	for (size_t i = 0; i < ARRAY_LEN(variables); i++)
		if (view_equals(variables[i].name, name))
			return (struct view *)(void *)((char *)request + variables[i].offset);
	return NULL;
}

void request_end_variables(struct request *request)
{
	request->endpoint = parse_endpoint(request->raw.endpoint);
	request->content_length = parse_length(request->raw.content_length);
	join_path(request, request->raw.script_name, request->raw.path_info);
}

/* A variable without a value is an absent one, as nginx gives it where the client sent no such
 * header. */
static void take_variable(struct request *request, const char *pair)
{
	const char *equals = strchr(pair, '=');
	struct view *place;

	if (!equals || equals[1] == '\0')
		return;
	place = request_variable(request, (struct view){pair, (size_t)(equals - pair)});
	if (place)
		*place = view_of(equals + 1);
}

void request_read_variables(struct request *request, char *const *variables)
{
	for (; *variables; variables++)
		take_variable(request, *variables);
	request_end_variables(request);
}

/* The reason phrases (RFC 9110) of what ingest can answer with. */
static const char *status_text(int status)
{
	switch (status) {
	case 200:
		return "OK";
	case 202:
		return "Accepted";
	case 204:
		return "No Content";
	case 400:
		return "Bad Request";
	case 403:
		return "Forbidden";
	case 404:
		return "Not Found";
	case 405:
		return "Method Not Allowed";
	case 413:
		return "Content Too Large";
	case 415:
		return "Unsupported Media Type";
	case 422:
		return "Unprocessable Content";
	case 429:
		return "Too Many Requests";
	case 502:
		return "Bad Gateway";
	case 503:
		return "Service Unavailable";
	case 504:
		return "Gateway Timeout";
	default:
		return "Internal Server Error";
	}
}

/* The problem details of RFC 9457 as text that free() takes back; NULL without memory. */
static char *problem_text(const struct reply *reply)
{
	cJSON *problem = cJSON_CreateObject();
	char *text = NULL;

	if (cJSON_AddStringToObject(problem, "type", "about:blank") &&
	    cJSON_AddStringToObject(problem, "title", status_text(reply->status)) &&
	    cJSON_AddNumberToObject(problem, "status", reply->status) &&
	    cJSON_AddStringToObject(problem, "reason", reply->reason) &&
	    cJSON_AddStringToObject(problem, "detail", reply->detail))
		text = cJSON_PrintUnformatted(problem);
	cJSON_Delete(problem);
	return text;
}

static enum buf_result print_cors(const struct reply *reply, struct buf *out)
{
	enum buf_result result = BUF_OK;

	if (reply->vary_origin)
		result = buf_printf(out, "Vary: Origin\r\n");
	if (result != BUF_OK || !reply->cors_origin.ptr)
		return result;
	result = buf_printf(out,
			    "Access-Control-Allow-Origin: %.*s\r\n"
			    "Access-Control-Expose-Headers: Retry-After, X-Faro-Session-Status\r\n",
			    (int)reply->cors_origin.len, reply->cors_origin.ptr);
	if (result == BUF_OK && reply->preflight)
		result = buf_printf(out, "Access-Control-Allow-Methods: POST\r\n"
					 "Access-Control-Allow-Headers: Content-Type, "
					 "Content-Encoding, Idempotency-Key, Traceparent, "
					 "X-Api-Key, X-Faro-Session-Id\r\n"
					 "Access-Control-Max-Age: 7200\r\n");
	return result;
}

static enum buf_result print_headers(const struct reply *reply, struct buf *out)
{
	enum buf_result result = buf_printf(out, "Status: %d %s\r\nCache-Control: no-store\r\n",
					    reply->status, status_text(reply->status));

	if (result == BUF_OK && reply->retry_after_s > 0)
		result = buf_printf(out, "Retry-After: %u\r\n", reply->retry_after_s);
	if (result == BUF_OK && reply->allow)
		result = buf_printf(out, "Allow: %s\r\n", reply->allow);
	if (result == BUF_OK && reply->accept_encoding)
		result = buf_printf(out, "Accept-Encoding: %s\r\n", reply->accept_encoding);
	if (result == BUF_OK && reply->session_status[0])
		result = buf_printf(out, "X-Faro-Session-Status: %s\r\n", reply->session_status);
	return result == BUF_OK ? print_cors(reply, out) : result;
}

static enum buf_result print_body(const char *type, struct view body, struct buf *out)
{
	enum buf_result result =
		buf_printf(out, "Content-Type: %s\r\nContent-Length: %zu\r\n\r\n", type, body.len);

	return result == BUF_OK ? buf_append(out, body.ptr, body.len) : result;
}

/* What nearly every beacon gets, printed beforehand. */
static bool is_plain_success(const struct reply *reply)
{
	return reply->status == 202 && !reply->vary_origin && !reply->cors_origin.ptr &&
	       reply->retry_after_s == 0 && !reply->session_status[0];
}

enum buf_result request_print_reply(const struct request *request, struct buf *out)
{
	static const struct view plain_success =
		VIEW_CONSTANT("Status: 202 Accepted\r\nCache-Control: no-store\r\n"
			      "Content-Type: text/plain\r\nContent-Length: 2\r\n\r\nok");
	const struct reply *reply = &request->reply;
	enum buf_result result;
	char *problem;

	if (is_plain_success(reply))
		return buf_append(out, plain_success.ptr, plain_success.len);
	result = print_headers(reply, out);
	if (result != BUF_OK)
		return result;
	if (reply->text_page)
		return print_body("text/plain; version=0.0.4; charset=utf-8",
				  (struct view){reply->text_page->data, reply->text_page->len},
				  out);
	if (reply->status == 204)
		return buf_printf(out, "\r\n");
	if (!reply->reason)
		return print_body("text/plain", VIEW_LITERAL("ok"), out);
	problem = problem_text(reply);
	if (!problem)
		return BUF_OVER_BUDGET;
	result = print_body("application/problem+json", view_of(problem), out);
	cJSON_free(problem);
	return result;
}
