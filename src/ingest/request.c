#include "ingest/request.h"

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
	/* Without path_storage, the last member, which is always written before it is read. */
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

/* A path that is too long for FARO_PATH becomes the empty path, which is not found. */
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

/* nginx passes a variable without a value where the client did not send the header: it counts as
 * absent. */
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
