#include "relay_headers.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* libcurl takes non-const text, and leaves it as it is. A header without a value is left out. */
static char content_type[] = "Content-Type: application/json";
static char no_accept[] = "Accept:";
static char no_expect[] = "Expect:";

static void push(struct relay_route *route, size_t *count, char *line)
{
	struct curl_slist *node = &route->nodes[(*count)++];

	*node = (struct curl_slist){.data = line, .next = route->headers};
	route->headers = node;
}

struct relay_route *relay_route_new(struct resolver *resolver, const char *tenant, struct view key)
{
	struct relay_route *route = calloc(1, sizeof(*route));
	size_t count = 0;

	if (!route)
		return NULL;
	route->holders = 1;
	if (tenant && asprintf(&route->tenant_line, "X-Scope-OrgID: %s", tenant) < 0)
		route->tenant_line = NULL;
	if (key.len > 0 && asprintf(&route->key_line, "x-api-key: %.*s", (int)key.len, key.ptr) < 0)
		route->key_line = NULL;
	if ((tenant && !route->tenant_line) || (key.len > 0 && !route->key_line)) {
		relay_route_drop(route);
		return NULL;
	}
	if (route->key_line)
		push(route, &count, route->key_line);
	if (route->tenant_line)
		push(route, &count, route->tenant_line);
	push(route, &count, no_expect);
	push(route, &count, no_accept);
	push(route, &count, content_type);
	route->generation =
		resolver_read(resolver, route->address_line, sizeof(route->address_line));
	route->addresses.data = route->address_line;
	return route;
}

struct relay_route *relay_route_hold(struct relay_route *route)
{
	route->holders++;
	return route;
}

void relay_route_drop(struct relay_route *route)
{
	if (!route || --route->holders > 0)
		return;
	if (route->key_line)
		explicit_bzero(route->key_line, strlen(route->key_line));
	free(route->key_line);
	free(route->tenant_line);
	free(route);
}

/* The SDK's own ids are ten letters and digits, or a UUID; an application may bring its own. */
static bool is_id(struct view value)
{
	static const char allowed[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
				      "0123456789._~:-";
	size_t i;

	if (value.len < 1 || value.len > FORWARDED_MAX_BYTES)
		return false;
	for (i = 0; i < value.len; i++)
		if (!memchr(allowed, value.ptr[i], sizeof(allowed) - 1))
			return false;
	return true;
}

static bool is_hex(const char *text, size_t n)
{
	size_t i;

	for (i = 0; i < n; i++)
		if (!memchr("0123456789abcdef", text[i], 16))
			return false;
	return true;
}

static bool all_zero(const char *text, size_t n)
{
	while (n > 0 && text[n - 1] == '0')
		n--;
	return n == 0;
}

/* W3C Trace Context: version-trace-parent-flags. Version ff is invalid, and so are ids of zeros;
 * later versions may be longer, which no browser sends yet and the receiver does not read. */
static bool is_traceparent(struct view value)
{
	const char *p = value.ptr;

	return value.len == 55 && is_hex(p, 2) && memcmp(p, "ff", 2) != 0 && p[2] == '-' &&
	       is_hex(p + 3, 32) && !all_zero(p + 3, 32) && p[35] == '-' && is_hex(p + 36, 16) &&
	       !all_zero(p + 36, 16) && p[52] == '-' && is_hex(p + 53, 2);
}

struct curl_slist *relay_forward(struct relay_forward *forward, const struct relay_call *call,
				 struct curl_slist *rest)
{
	const struct {
		const char *name;
		struct view value;
		bool (*is_valid)(struct view value);
	} rows[FORWARDS_MAX] = {
		{"x-faro-session-id", call->session_id, is_id},
		{"Idempotency-Key", call->idempotency_key, is_id},
		{"traceparent", call->traceparent, is_traceparent},
	};
	size_t i;

	for (i = 0; i < FORWARDS_MAX; i++) {
		if (!rows[i].value.ptr || !rows[i].is_valid(rows[i].value))
			continue;
		snprintf(forward->lines[i], sizeof(forward->lines[i]), "%s: %.*s", rows[i].name,
			 (int)rows[i].value.len, rows[i].value.ptr);
		forward->nodes[i] = (struct curl_slist){.data = forward->lines[i], .next = rest};
		rest = &forward->nodes[i];
	}
	return rest;
}
