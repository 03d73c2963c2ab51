/* SPDX-License-Identifier: Apache-2.0 */
#include "sink/response.h"

#include <stdio.h>
#include <string.h>

#include "base/text.h"
#include "sink/payload.h"

const char *request_header(struct MHD_Connection *connection, const char *name)
{
	return MHD_lookup_connection_value(connection, MHD_HEADER_KIND, name);
}

bool request_header_is(struct MHD_Connection *connection, const char *name, const char *value)
{
	const char *found = request_header(connection, name);

	return found && strcmp(found, value) == 0;
}

/* Go's http.Error ends its text with a newline and forbids sniffing. */
struct MHD_Response *response_of_text(unsigned status, const char *text)
{
	char line[PROBLEM_MAX + 1];
	bool is_error = status >= 400;
	int len = snprintf(line, sizeof(line), "%s%s", text, is_error ? "\n" : "");
	struct MHD_Response *response;

	response = MHD_create_response_from_buffer((size_t)len, line, MHD_RESPMEM_MUST_COPY);
	if (!response)
		return NULL;
	MHD_add_response_header(response, "Content-Type", "text/plain; charset=utf-8");
	if (is_error)
		MHD_add_response_header(response, "X-Content-Type-Options", "nosniff");
	return response;
}

enum MHD_Result response_send(struct MHD_Connection *connection, unsigned status,
			      struct MHD_Response *response)
{
	enum MHD_Result result;

	if (!response)
		return MHD_NO;
	result = MHD_queue_response(connection, status, response);
	MHD_destroy_response(response);
	return result;
}

enum MHD_Result response_send_text(struct MHD_Connection *connection, unsigned status,
				   const char *text)
{
	return response_send(connection, status, response_of_text(status, text));
}

/* Whether the receiver lets another origin send this header. */
static bool is_allowed_header(struct view name)
{
	static const char *const allowed[] = {"content-type", "content-encoding",  "traceparent",
					      "x-api-key",    "x-faro-session-id", "x-scope-orgid"};

	for (size_t i = 0; i < ARRAY_LEN(allowed); i++) {
		if (view_equals(name, view_of(allowed[i])))
			return true;
	}
	return name.len == 0;
}

static bool are_allowed_headers(const char *list)
{
	while (list && *list) {
		struct view name = {list + strspn(list, " ,"), 0};

		name.len = strcspn(name.ptr, " ,");
		if (!is_allowed_header(name))
			return false;
		list = name.ptr + name.len;
	}
	return true;
}

/* Always 204: it is the headers, or their absence, that permit or do not. */
enum MHD_Result response_send_preflight(struct MHD_Connection *connection)
{
	const char *method = request_header(connection, "Access-Control-Request-Method");
	const char *headers = request_header(connection, "Access-Control-Request-Headers");
	struct MHD_Response *response =
		MHD_create_response_from_buffer(0, NULL, MHD_RESPMEM_PERSISTENT);

	if (!response)
		return MHD_NO;
	MHD_add_response_header(response, "Vary",
				"Origin, Access-Control-Request-Method, "
				"Access-Control-Request-Headers");
	if (request_header(connection, "Origin") && are_allowed_headers(headers) &&
	    (strcmp(method, "POST") == 0 || strcmp(method, "GET") == 0 ||
	     strcmp(method, "HEAD") == 0)) {
		MHD_add_response_header(response, "Access-Control-Allow-Origin", "*");
		MHD_add_response_header(response, "Access-Control-Allow-Methods", method);
		if (headers && *headers)
			MHD_add_response_header(response, "Access-Control-Allow-Headers", headers);
	}
	return response_send(connection, MHD_HTTP_NO_CONTENT, response);
}
