/* SPDX-License-Identifier: Apache-2.0 */
#include "upstream/route.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "base/traceparent.h"

/* As one text; NULL without memory. Not by printf(3), which leaves copies of what it prints in
 * memory that nobody wipes. */
static char *join_texts(struct view a, struct view b, struct view c)
{
	char *text = malloc(a.len + b.len + c.len + 1), *end;

	if (!text)
		return NULL;
	end = mempcpy(text, a.ptr, a.len);
	end = mempcpy(end, b.ptr, b.len);
	end = mempcpy(end, c.ptr, c.len);
	*end = '\0';
	return text;
}

/* The URL is the parsed and printed one: scheme://authority/path. The default port is left out, as
 * every client does. */
static char *print_head(const struct config *config, const struct route *route)
{
	const char *authority = strstr(config->upstream_url, "://") + 3;
	const char *path = strchr(authority, '/');
	int host_len = (int)(path - authority);
	char *most, *head;

	if (!config->upstream_tls && host_len > 3 && memcmp(path - 3, ":80", 3) == 0)
		host_len -= 3;
	if (asprintf(&most,
		     "POST %s HTTP/1.1\r\nHost: %.*s\r\nUser-Agent: " RELAY_USER_AGENT
		     "\r\n" RELAY_CONTENT_TYPE "\r\n%s%s",
		     path, host_len, authority, route->tenant_line ? route->tenant_line : "",
		     route->tenant_line ? "\r\n" : "") < 0)
		return NULL;
	head = join_texts(view_of(most), view_of(route->key_line ? route->key_line : ""),
			  view_of(route->key_line ? "\r\n" : ""));
	free(most);
	return head;
}

static void wipe_and_free_text(char *text)
{
	if (text)
		explicit_bzero(text, strlen(text));
	free(text);
}

struct route *route_new(struct resolver *resolver, const struct config *config, struct view key)
{
	struct route *route = calloc(1, sizeof(*route));
	const char *tenant = config->upstream_tenant;

	if (!route)
		return NULL;
	route->references = 1;
	if (tenant)
		route->tenant_line = join_texts(VIEW_LITERAL("X-Scope-OrgID: "), view_of(tenant),
						VIEW_LITERAL(""));
	if (key.len > 0)
		route->key_line = join_texts(VIEW_LITERAL("x-api-key: "), key, VIEW_LITERAL(""));
	route->head = print_head(config, route);
	if ((tenant && !route->tenant_line) || (key.len > 0 && !route->key_line) || !route->head) {
		route_drop(route);
		return NULL;
	}
	route->head_len = strlen(route->head);
	route->generation = resolver_read(resolver, &route->addresses);
	return route;
}

struct route *route_hold(struct route *route)
{
	route->references++;
	return route;
}

void route_drop(struct route *route)
{
	if (!route || --route->references > 0)
		return;
	wipe_and_free_text(route->key_line);
	wipe_and_free_text(route->head);
	free(route->tenant_line);
	free(route);
}

/* The SDK's own ids are ten letters and digits, or a UUID; an application may bring its own. */
static bool is_id(struct view value)
{
	size_t i;

	if (value.len < 1 || value.len > FORWARDED_MAX_BYTES)
		return false;
	for (i = 0; i < value.len; i++) {
		char c = value.ptr[i], letter = (char)(c | 0x20);

		if (!(letter >= 'a' && letter <= 'z') && !is_digit(c) && !memchr("._~:-", c, 5))
			return false;
	}
	return true;
}

/* Of an address as client_address.c writes it; no more is needed to keep the line one line. */
static bool is_address(struct view value)
{
	for (size_t i = 0; i < value.len; i++)
		if (hex_value(value.ptr[i]) < 0 && value.ptr[i] != '.' && value.ptr[i] != ':')
			return false;
	return value.len > 0 && value.len <= FORWARDED_MAX_BYTES;
}

void route_print_forwarded(struct forwarded_lines *forwarded, const struct relay_call *call)
{
	const struct {
		struct view start, value;
		bool (*is_valid)(struct view value);
	} rows[FORWARDED_LINES_MAX] = {
		{VIEW_LITERAL("x-faro-session-id: "), call->forwarded.session_id, is_id},
		{VIEW_LITERAL("Idempotency-Key: "), call->forwarded.idempotency_key, is_id},
		{VIEW_LITERAL("traceparent: "), call->forwarded.traceparent, traceparent_is_valid},
		{VIEW_LITERAL("X-Forwarded-For: "), call->forwarded.client_address, is_address},
	};
	size_t i;

	forwarded->count = 0;
	for (i = 0; i < FORWARDED_LINES_MAX; i++) {
		struct view start = rows[i].start, value = rows[i].value;
		char *line = forwarded->lines[forwarded->count];

		if (!value.ptr || !rows[i].is_valid(value))
			continue;
		memcpy(line, start.ptr, start.len);
		memcpy(line + start.len, value.ptr, value.len);
		line[start.len + value.len] = '\0';
		forwarded->lens[forwarded->count++] = start.len + value.len;
	}
}
