/* SPDX-License-Identifier: Apache-2.0 */
#include "upstream/http_request.h"

#include <string.h>

#include "base/text.h"

static char *print_number(char *at, size_t number)
{
	char digits[20];
	size_t n = 0;

	do {
		digits[n++] = (char)('0' + number % 10);
		number /= 10;
	} while (number > 0);
	while (n > 0)
		*at++ = digits[--n];
	return at;
}

void http_request_init(struct http_request *request, const struct route *route,
		       const struct relay_call *call)
{
	char *at = request->lines;

	request->route = route;
	request->call = call;
	request->written = 0;
	route_print_forwarded(&request->forwarded, call);
	for (size_t i = 0; i < request->forwarded.count; i++) {
		at = mempcpy(at, request->forwarded.lines[i], request->forwarded.lens[i]);
		at = mempcpy(at, "\r\n", 2);
	}
	at = mempcpy(at, "Content-Length: ", 16);
	at = print_number(at, call->body.len);
	at = mempcpy(at, "\r\n\r\n", 4);
	request->lines_len = (size_t)(at - request->lines);
}

bool http_request_is_written(const struct http_request *request)
{
	return request->written ==
	       request->route->head_len + request->lines_len + request->call->body.len;
}

size_t http_request_remaining(const struct http_request *request, struct iovec *parts)
{
	const struct view all[HTTP_REQUEST_PARTS] = {
		{request->route->head, request->route->head_len},
		{request->lines, request->lines_len},
		request->call->body,
	};
	size_t skip = request->written, count = 0;

	for (size_t i = 0; i < ARRAY_LEN(all); i++) {
		if (skip >= all[i].len) {
			skip -= all[i].len;
			continue;
		}
		/* sendmsg(2) takes non-const text, and leaves it as it is. */
		parts[count++] =
			(struct iovec){(char *)(uintptr_t)all[i].ptr + skip, all[i].len - skip};
		skip = 0;
	}
	return count;
}
