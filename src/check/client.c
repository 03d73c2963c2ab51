/* SPDX-License-Identifier: Apache-2.0 */
#include "check/client.h"

#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/key_file.h"
#include "base/loop.h"
#include "build-config.h"

enum {
	HEADER_LINE_MAX_BYTES = KEY_FILE_MAX_BYTES + 64,
	THROUGH_EXTRA_MS = 5000, /* for nginx and the responder, beside the receiver's deadline */
	KEY_PREFIX_BYTES = 8,    /* by which a quoted key is recognised */
};

static size_t copy_part(char *out, size_t size, struct view part, size_t at)
{
	size_t n = at < part.len ? part.len - at : 0;

	n = n < size ? n : size;
	memcpy(out, part.ptr + at, n);
	return n;
}

static size_t read_body(char *out, size_t size, size_t count, void *arg)
{
	struct check_body *body = arg;
	size_t space = size * count, tail_at = body->head.len + body->blanks, n;

	if (body->at < body->head.len) {
		n = copy_part(out, space, body->head, body->at);
	} else if (body->at < tail_at) {
		n = tail_at - body->at < space ? tail_at - body->at : space;
		memset(out, ' ', n);
	} else {
		n = copy_part(out, space, body->tail, body->at - tail_at);
	}
	body->at += n;
	return n;
}

static size_t keep_reply(char *bytes, size_t size, size_t count, void *arg)
{
	struct check_client *client = arg;
	size_t n = size * count, space = CHECK_REPLY_MAX_BYTES - client->reply_len;
	size_t kept = n < space ? n : space;

	memcpy(client->reply + client->reply_len, bytes, kept);
	client->reply_len += kept;
	return client->reply_len < CHECK_REPLY_MAX_BYTES ? n : CURL_WRITEFUNC_ERROR;
}

/* The options of the relay's transfers, but for those that belong to its event loop. */
static void set_connection(struct check_client *client, const char *url)
{
	const struct config *config = client->config;
	CURL *curl = client->curl;

	curl_easy_reset(curl);
	curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
	curl_easy_setopt(curl, CURLOPT_URL, url);
	curl_easy_setopt(curl, CURLOPT_CONNECT_TO, client->connect_to);
	curl_easy_setopt(curl, CURLOPT_PROXY, "");
	curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT_MS,
			 (long)config->upstream_connect_timeout_ms);
	curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, (long)config->upstream_timeout_ms);
	curl_easy_setopt(curl, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
	curl_easy_setopt(curl, CURLOPT_FRESH_CONNECT, 1L);
	curl_easy_setopt(curl, CURLOPT_FORBID_REUSE, 1L);
	curl_easy_setopt(curl, CURLOPT_USERAGENT, "faro-ingest/" PACKAGE_VERSION " check");
	curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, client->error);
	curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, keep_reply);
	curl_easy_setopt(curl, CURLOPT_WRITEDATA, client);
	curl_easy_setopt(curl, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
	if (config->upstream_ca_file) {
		curl_easy_setopt(curl, CURLOPT_CAINFO, config->upstream_ca_file);
		curl_easy_setopt(curl, CURLOPT_CAPATH, NULL);
	}
}

static enum check_finding perform(struct check_client *client)
{
	struct check_exchange *exchange = &client->exchange;
	curl_off_t connect_us = 0, tls_us = 0;
	CURLcode code;

	*exchange = (struct check_exchange){0};
	client->error[0] = '\0';
	client->reply_len = 0;
	code = curl_easy_perform(client->curl);
	client->reply[client->reply_len] = '\0';
	curl_easy_getinfo(client->curl, CURLINFO_RESPONSE_CODE, &exchange->status);
	curl_easy_getinfo(client->curl, CURLINFO_OS_ERRNO, &exchange->os_errno);
	curl_easy_getinfo(client->curl, CURLINFO_SSL_VERIFYRESULT, &exchange->verify);
	curl_easy_getinfo(client->curl, CURLINFO_CONNECT_TIME_T, &connect_us);
	curl_easy_getinfo(client->curl, CURLINFO_APPCONNECT_TIME_T, &tls_us);
	exchange->code = (int)code;
	exchange->connected = connect_us > 0;
	exchange->tls_ready = tls_us > 0;
	exchange->why = client->error[0] ? client->error : curl_easy_strerror(code);
	return check_judge(exchange);
}

/* Some servers echo the request, and the reply is printed: it is cut where the key begins. At the
 * end of a reply that was cut, a shorter beginning of the key counts. */
static void hide_key(struct check_client *client)
{
	size_t prefix_len = client->key ? strnlen(client->key, KEY_PREFIX_BYTES) : 0;

	for (char *p = client->reply; prefix_len > 0 && *p; p++) {
		if (memcmp(p, client->key, strnlen(p, prefix_len)) == 0) {
			*p = '\0';
			return;
		}
	}
}

static void set_post(struct check_client *client, struct check_body *body,
		     struct curl_slist *headers)
{
	size_t size = body->head.len + body->blanks + body->tail.len;

	body->at = 0;
	curl_easy_setopt(client->curl, CURLOPT_POST, 1L);
	curl_easy_setopt(client->curl, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)size);
	curl_easy_setopt(client->curl, CURLOPT_READFUNCTION, read_body);
	curl_easy_setopt(client->curl, CURLOPT_READDATA, body);
	curl_easy_setopt(client->curl, CURLOPT_HTTPHEADER, headers);
}

enum check_finding check_client_post(struct check_client *client, struct check_body *body)
{
	enum check_finding finding;

	set_connection(client, client->config->upstream_url);
	set_post(client, body, client->headers);
	finding = perform(client);
	hide_key(client);
	return finding;
}

bool check_client_post_through(struct check_client *client, struct check_body *body)
{
	static char no_expect[] = "Expect:", json[] = "Content-Type: application/json";
	struct curl_slist expect = {.data = no_expect}, headers = {.data = json, .next = &expect};
	const struct config *config = client->config;
	char *url;

	if (asprintf(&url, "%s%s", config->check_through, config->path) < 0)
		return false;
	set_connection(client, url);
	set_post(client, body, &headers);
	curl_easy_setopt(client->curl, CURLOPT_CONNECT_TO, NULL);
	curl_easy_setopt(client->curl, CURLOPT_SSL_VERIFYPEER, 0L);
	curl_easy_setopt(client->curl, CURLOPT_SSL_VERIFYHOST, 0L);
	curl_easy_setopt(client->curl, CURLOPT_TIMEOUT_MS,
			 (long)config->upstream_timeout_ms + THROUGH_EXTRA_MS);
	perform(client);
	free(url);
	return true;
}

/* The receiver's host and port with another scheme, and /-/ready. To be freed by curl_free(). */
static char *ready_url(const struct config *config, const char *scheme)
{
	char port[8], *text = NULL;
	CURLU *url = curl_url();

	snprintf(port, sizeof(port), "%u", config->upstream_port);
	if (!url || curl_url_set(url, CURLUPART_URL, config->upstream_url, 0) != CURLUE_OK ||
	    curl_url_set(url, CURLUPART_SCHEME, scheme, 0) != CURLUE_OK ||
	    curl_url_set(url, CURLUPART_PORT, port, 0) != CURLUE_OK ||
	    curl_url_set(url, CURLUPART_PATH, "/-/ready", 0) != CURLUE_OK ||
	    curl_url_get(url, CURLUPART_URL, &text, 0) != CURLUE_OK)
		text = NULL;
	curl_url_cleanup(url);
	return text;
}

bool check_client_get_ready(struct check_client *client, const char *scheme)
{
	char *url = ready_url(client->config, scheme);

	if (!url)
		return false;
	set_connection(client, url);
	perform(client);
	curl_free(url);
	return client->exchange.status >= 200;
}

bool check_client_speaks_tls(struct check_client *client)
{
	char *url = ready_url(client->config, "https");

	if (!url)
		return false;
	set_connection(client, url);
	curl_easy_setopt(client->curl, CURLOPT_CONNECT_ONLY, 1L);
	curl_easy_setopt(client->curl, CURLOPT_SSL_VERIFYPEER, 0L);
	curl_easy_setopt(client->curl, CURLOPT_SSL_VERIFYHOST, 0L);
	perform(client);
	curl_free(url);
	return client->exchange.code == CURLE_OK;
}

long check_client_took_ms(struct check_client *client)
{
	curl_off_t took_us = 0;

	curl_easy_getinfo(client->curl, CURLINFO_TOTAL_TIME_T, &took_us);
	return (long)(took_us / 1000);
}

const char *check_client_redirect(struct check_client *client)
{
	char *location = NULL;

	curl_easy_getinfo(client->curl, CURLINFO_REDIRECT_URL, &location);
	return location;
}

static bool add_header(struct check_client *client, const char *name, struct view value)
{
	char line[HEADER_LINE_MAX_BYTES];
	struct curl_slist *longer;

	snprintf(line, sizeof(line), "%s:%s%.*s", name, value.len > 0 ? " " : "", (int)value.len,
		 value.ptr);
	longer = curl_slist_append(client->headers, line);
	explicit_bzero(line, sizeof(line));
	if (longer)
		client->headers = longer;
	return longer;
}

static const char *last_header(const struct check_client *client)
{
	const struct curl_slist *header = client->headers;

	while (header->next)
		header = header->next;
	return header->data;
}

static bool add_key(struct check_client *client)
{
	struct key_file key;
	bool added = true;

	if (!client->config->upstream_api_key_file)
		return true;
	key_file_init(&key, client->config->upstream_api_key_file);
	key_file_refresh(&key, loop_now_us());
	if (key_file_value(&key).len > 0)
		added = add_header(client, "x-api-key", key_file_value(&key));
	if (key_file_value(&key).len > 0 && added)
		client->key = last_header(client) + strlen("x-api-key: ");
	key_file_release(&key);
	return added;
}

/* The URL has the name without the dot at its end, with which it is looked up. */
static bool add_lookup_name(struct check_client *client)
{
	const char *host = client->config->upstream_host;
	char line[NI_MAXHOST + 4];

	if (host[strlen(host) - 1] != '.')
		return true;
	snprintf(line, sizeof(line), "::%s:", host);
	client->connect_to = curl_slist_append(NULL, line);
	return client->connect_to;
}

bool check_client_init(struct check_client *client, const struct config *config)
{
	const char *tenant = config->upstream_tenant;
	const struct view none = VIEW_LITERAL("");

	*client = (struct check_client){.config = config};
	return curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK &&
	       (client->curl = curl_easy_init()) &&
	       add_header(client, "Content-Type", VIEW_LITERAL("application/json")) &&
	       add_header(client, "Accept", none) && add_header(client, "Expect", none) &&
	       (!tenant || add_header(client, "X-Scope-OrgID", view_of(tenant))) &&
	       add_key(client) && add_lookup_name(client);
}

void check_client_release(struct check_client *client)
{
	curl_slist_free_all(client->headers);
	curl_slist_free_all(client->connect_to);
	curl_easy_cleanup(client->curl);
}
