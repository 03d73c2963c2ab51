/* SPDX-License-Identifier: Apache-2.0 */
#include "ingest/origin.h"

#include "base/text.h"

/* scheme://name:port, where a name has at most 253 characters. What is longer is no origin, and
 * nginx's map has the same limit. */
enum {
	ORIGIN_MAX_BYTES = 270
};

static bool is_label_character(char c)
{
	return is_digit(c) || c == '_' || c == '-' || ((c | 0x20) >= 'a' && (c | 0x20) <= 'z');
}

/* Labels with a dot between each two. */
static bool is_name(struct view text)
{
	char before = '.';

	for (size_t i = 0; i < text.len; i++) {
		if (text.ptr[i] == '.' ? before == '.' : !is_label_character(text.ptr[i]))
			return false;
		before = text.ptr[i];
	}
	return before != '.';
}

/* `allowed` may have an asterisk, which stands for one or more labels. */
static bool matches(struct view allowed, struct view origin)
{
	const char *asterisk = memchr(allowed.ptr, '*', allowed.len);
	size_t before, behind;

	if (!asterisk)
		return view_equals_nocase(allowed, origin);
	before = (size_t)(asterisk - allowed.ptr);
	behind = allowed.len - before - 1;
	if (origin.len < allowed.len || origin.len > ORIGIN_MAX_BYTES)
		return false;
	return view_equals_nocase((struct view){allowed.ptr, before},
				  (struct view){origin.ptr, before}) &&
	       view_equals_nocase((struct view){asterisk + 1, behind},
				  (struct view){origin.ptr + origin.len - behind, behind}) &&
	       is_name((struct view){origin.ptr + before, origin.len - before - behind});
}

static bool is_allowed(const struct config *config, struct view origin)
{
	for (size_t i = 0; i < config->allowed_origins.count; i++)
		if (matches(config->allowed_origins.items[i], origin))
			return true;
	return false;
}

/* Cuts the port off host[:port] and returns it. The colons of an IPv6 address, which stands in
 * brackets, are not the port's. */
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

/* The port of Host may have been lost on the way, as with Debian's fastcgi_params: then only the
 * names are compared. An origin without a port has the default port of its scheme. */
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

bool origin_may_send(const struct config *config, const struct request *request)
{
	struct view site = request->sec_fetch_site;

	if (request->origin.ptr && is_allowed(config, request->origin))
		return true;
	if (request_refuses(request, REQUEST_SEC_FETCH_SITE))
		return false;
	if (site.ptr)
		return view_equals(site, VIEW_LITERAL("same-origin")) ||
		       view_equals(site, VIEW_LITERAL("none"));
	if (request_refuses(request, REQUEST_ORIGIN))
		return false;
	return !request->origin.ptr || is_same_host(request->origin, request->host);
}

void origin_set_cors(const struct config *config, struct request *request)
{
	request->reply.vary_origin = config->allowed_origins.count > 0;
	if (request->origin.ptr && is_allowed(config, request->origin))
		request->reply.cors_origin = request->origin;
}
