/* SPDX-License-Identifier: Apache-2.0 */
#include "ingest/request.h"

#include <stdlib.h>

#include "base/text.h"

void request_init(struct request *request, struct buf *body, size_t labelled_max,
		  struct budget *memory)
{
	*request = (struct request){.body = body};
	buf_init(&request->labelled, labelled_max, memory);
}

void request_clear(struct request *request)
{
	const struct request_parameters *parameters = request->parameters;
	struct buf *body = request->body;
	struct buf labelled = request->labelled;

	buf_clear(&labelled);
	/* Without the last members, which are always written before they are read. */
	memset(request, 0, offsetof(struct request, path_storage));
	request->body = body;
	request->labelled = labelled;
	request->parameters = parameters;
}

void request_release(struct request *request)
{
	buf_release(&request->labelled);
}

bool request_parameters_init(struct request_parameters *parameters, const struct labels *labels)
{
	size_t count = labels->parameter_count;

	*parameters = (struct request_parameters){.count = count};
	if (count == 0)
		return true;
	parameters->rows = calloc(count, sizeof(*parameters->rows));
	for (size_t i = 0; parameters->rows && i < count; i++)
		parameters->rows[i] = (struct request_variable){
			.id = REQUEST_FACT,
			.name = labels->request_attributes[i].parameter,
			.member = offsetof(struct request, facts.values) + i * sizeof(struct view),
			.room = i * LABELS_VALUE_MAX_BYTES,
			.room_bytes = LABELS_VALUE_MAX_BYTES,
		};
	return parameters->rows;
}

void request_parameters_release(struct request_parameters *parameters)
{
	free(parameters->rows);
	*parameters = (struct request_parameters){.count = 0};
}

size_t request_parameters_room(const struct request_parameters *parameters)
{
	return parameters->count * LABELS_VALUE_MAX_BYTES;
}

size_t request_body_room(const struct request *request, void **place)
{
	const struct buf *body = request->body;

	if (request->body_state != BODY_WHOLE || body->len == body->cap)
		return 0;
	*place = body->data + body->len;
	return body->cap - body->len;
}

static enum buf_result append(struct buf *body, const char *bytes, size_t n)
{
	if (body->len == body->cap || bytes != body->data + body->len)
		return buf_append(body, bytes, n);
	body->len += n;
	return BUF_OK;
}

void request_append_body(struct request *request, const void *bytes, size_t n)
{
	if (request->body_state != BODY_WHOLE)
		return;
	switch (append(request->body, bytes, n)) {
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

static enum length_state parse_length(struct view text, int64_t *length)
{
	*length = 0;
	if (!text.ptr)
		return LENGTH_ABSENT;
	for (size_t i = 0; i < text.len; i++) {
		int digit = text.ptr[i] - '0';

		if (digit < 0 || digit > 9 || *length > (INT64_MAX - digit) / 10)
			return LENGTH_MALFORMED;
		*length = *length * 10 + digit;
	}
	return LENGTH_GIVEN;
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

static void join_path(struct request *request, struct view script, struct view info)
{
	request->path_too_long = request_refuses(request, REQUEST_SCRIPT_NAME) ||
				 request_refuses(request, REQUEST_PATH_INFO) ||
				 script.len + info.len > sizeof(request->path_storage);
	if (request->path_too_long || (!script.ptr && !info.ptr))
		return;
	if (script.len > 0)
		memcpy(request->path_storage, script.ptr, script.len);
	if (info.len > 0)
		memcpy(request->path_storage + script.len, info.ptr, info.len);
	request->path = (struct view){request->path_storage, script.len + info.len};
}

static const struct request_variable *find_parameter(const struct request *request,
						     struct view name)
{
	const struct request_parameters *parameters = request->parameters;

	if (!parameters || !view_starts_with(name, VIEW_LITERAL(LABELS_PARAMETER_PREFIX)))
		return NULL;
	for (size_t i = 0; i < parameters->count; i++)
		if (view_equals(parameters->rows[i].name, name))
			return &parameters->rows[i];
	return NULL;
}

const struct request_variable *request_find_variable(const struct request *request,
						     struct view name)
{
#define VARIABLE(id, name, member, max_bytes)                                 \
	{REQUEST_##id, VIEW_CONSTANT(name), offsetof(struct request, member), \
	 offsetof(struct request_values, id), max_bytes},
	static const struct request_variable variables[] = {
#include "ingest/variable_list.h"
	};

	for (size_t i = 0; i < ARRAY_LEN(variables); i++)
		if (view_equals(variables[i].name, name))
			return &variables[i];
	return find_parameter(request, name);
}

_Static_assert(REQUEST_VARIABLE_COUNT <= 32, "struct request has a bit for each");

void request_set_variable(struct request *request, const struct request_variable *variable,
			  struct view value)
{
	struct view *place = (struct view *)(void *)((char *)request + variable->member);
	unsigned bit = 1U << variable->id;

	if (value.len == 0)
		return;
	if (value.len > variable->room_bytes) {
		request->refused |= bit;
		*place = (struct view){NULL, 0};
	} else {
		request->refused &= ~bit;
		*place = value;
	}
}

void request_end_variables(struct request *request)
{
	request->endpoint = parse_endpoint(request->raw.endpoint);
	if (request_refuses(request, REQUEST_ENDPOINT))
		request->endpoint = ENDPOINT_UNKNOWN;
	request->length_state = parse_length(request->raw.content_length, &request->content_length);
	if (request_refuses(request, REQUEST_CONTENT_LENGTH))
		request->length_state = LENGTH_MALFORMED;
	join_path(request, request->raw.script_name, request->raw.path_info);
}

static void take_variable(struct request *request, const char *pair)
{
	const char *equals = strchr(pair, '=');
	const struct request_variable *variable;

	if (!equals)
		return;
	variable = request_find_variable(request, (struct view){pair, (size_t)(equals - pair)});
	if (variable)
		request_set_variable(request, variable, view_of(equals + 1));
}

void request_read_variables(struct request *request, char *const *variables)
{
	for (; *variables; variables++)
		take_variable(request, *variables);
	request_end_variables(request);
}
