/*
 * DESIGN: four exchanges, each on a connection of its own, with the headers and timeouts of the relay.
 *
 *	name     getaddrinfo(3), as the resolver calls it
 *	empty    a labelled beacon without items: passes every check of a receiver, and nothing is stored
 *	garbage  half a JSON value: a receiver says 400; what says 2xx is none, and would lose beacons
 *	largest  the empty beacon, blown up with blanks to FARO_MAX_DECODED_BYTES
 *	sent     with --send: one log and one span, which are stored
 *
 * The first that goes wrong ends the check. Where its answer could mean several things, one more
 * exchange tells them apart: TLS tried on a plain port, HTTP on a TLS port, and GET /-/ready, which a
 * faro.receiver and Alloy's own server answer each in its own words.
 *
 * A receiver is read up to REPLY_MAX_BYTES, whatever it sends; the rest is thrown away. The body is
 * made while it is sent, so that memory does not depend on FARO_MAX_DECODED_BYTES.
 */
#include "check.h"

#include <curl/curl.h>
#include <netdb.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <time.h>

#include "build-config.h"
#include "check_finding.h"
#include "enrich.h"
#include "log.h"
#include "loop.h"
#include "secret.h"

enum {
	REPLY_MAX_BYTES = 200, /* what is kept of a reply, to show it and to know it */
	BEACON_MAX_BYTES = 1024 * 1024,
	LINE_MAX_BYTES = 2048,
	HEADER_LINE_MAX_BYTES = CONFIG_SECRET_MAX_BYTES + 64,
	TRACE_ID_BYTES = 16,
	SPAN_ID_BYTES = 8,
};

struct check {
	const struct config *config;
	CURL *curl;
	struct curl_slist *headers;
	struct buf empty; /* the labelled beacon without items */

	/* Of the last exchange. */
	struct check_exchange exchange;
	char error[CURL_ERROR_SIZE];
	char reply[REPLY_MAX_BYTES + 1];
	size_t reply_len;
};

/* head, then blanks, then tail. */
struct body {
	struct view head, tail;
	size_t blanks, at;
};

/* What is said */

/* "name      alloy is 10.0.0.7": the first word is for scripts, what follows may quote a stranger. */
static void say(const char *name, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static void say(const char *name, const char *fmt, ...)
{
	char text[LINE_MAX_BYTES], bytes[4 * LINE_MAX_BYTES];
	struct buf line = {.data = bytes, .cap = sizeof(bytes), .max = sizeof(bytes)};
	va_list args;

	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	log_mask(&line, view_of(text));
	printf("%-9s %.*s\n", name, (int)line.len, line.data);
}

/* The first line of what was answered. */
static const char *first_line(struct check *check)
{
	check->reply[strcspn(check->reply, "\r\n")] = '\0';
	return check->reply;
}

static void say_exchange(struct check *check, const char *name, const char *meaning)
{
	const struct check_exchange *exchange = &check->exchange;
	char *location = NULL;
	curl_off_t took_us = 0;

	curl_easy_getinfo(check->curl, CURLINFO_REDIRECT_URL, &location);
	curl_easy_getinfo(check->curl, CURLINFO_TOTAL_TIME_T, &took_us);
	if (exchange->status < 200)
		say(name, "%s", exchange->why);
	else if (location)
		say(name, "%ld, to %s", exchange->status, location);
	else if (exchange->status >= 300)
		say(name, "%ld in %ld ms: %s", exchange->status, (long)(took_us / 1000),
		    first_line(check));
	else
		say(name, "%ld in %ld ms: %s", exchange->status, (long)(took_us / 1000), meaning);
}

/* One exchange */

static size_t copy_part(char *out, size_t room, struct view part, size_t at)
{
	size_t n = at < part.len ? part.len - at : 0;

	n = n < room ? n : room;
	memcpy(out, part.ptr + at, n);
	return n;
}

static size_t read_body(char *out, size_t size, size_t count, void *arg)
{
	struct body *body = arg;
	size_t room = size * count, tail_at = body->head.len + body->blanks, n;

	if (body->at < body->head.len) {
		n = copy_part(out, room, body->head, body->at);
	} else if (body->at < tail_at) {
		n = tail_at - body->at < room ? tail_at - body->at : room;
		memset(out, ' ', n);
	} else {
		n = copy_part(out, room, body->tail, body->at - tail_at);
	}
	body->at += n;
	return n;
}

static size_t keep_reply(char *bytes, size_t size, size_t count, void *arg)
{
	struct check *check = arg;
	size_t n = size * count, room = REPLY_MAX_BYTES - check->reply_len;

	memcpy(check->reply + check->reply_len, bytes, n < room ? n : room);
	check->reply_len += n < room ? n : room;
	return check->reply_len < REPLY_MAX_BYTES ? n : CURL_WRITEFUNC_ERROR;
}

/* As the relay's, but for what a loop needs. */
static void set_connection(struct check *check, const char *url)
{
	const struct config *config = check->config;
	CURL *curl = check->curl;

	curl_easy_reset(curl);
	curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
	curl_easy_setopt(curl, CURLOPT_URL, url);
	curl_easy_setopt(curl, CURLOPT_PROXY, "");
	curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT_MS,
			 (long)config->upstream_connect_timeout_ms);
	curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, (long)config->upstream_timeout_ms);
	curl_easy_setopt(curl, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
	curl_easy_setopt(curl, CURLOPT_FRESH_CONNECT, 1L);
	curl_easy_setopt(curl, CURLOPT_FORBID_REUSE, 1L);
	curl_easy_setopt(curl, CURLOPT_USERAGENT, "faro-ingest/" PACKAGE_VERSION " check");
	curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, check->error);
	curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, keep_reply);
	curl_easy_setopt(curl, CURLOPT_WRITEDATA, check);
	curl_easy_setopt(curl, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
	if (config->upstream_ca_file) {
		curl_easy_setopt(curl, CURLOPT_CAINFO, config->upstream_ca_file);
		curl_easy_setopt(curl, CURLOPT_CAPATH, NULL);
	}
}

static enum check_finding perform(struct check *check)
{
	struct check_exchange *exchange = &check->exchange;
	curl_off_t connect_us = 0, tls_us = 0;
	CURLcode code;

	*exchange = (struct check_exchange){0};
	check->error[0] = '\0';
	check->reply_len = 0;
	code = curl_easy_perform(check->curl);
	check->reply[check->reply_len] = '\0';
	curl_easy_getinfo(check->curl, CURLINFO_RESPONSE_CODE, &exchange->status);
	curl_easy_getinfo(check->curl, CURLINFO_OS_ERRNO, &exchange->os_errno);
	curl_easy_getinfo(check->curl, CURLINFO_SSL_VERIFYRESULT, &exchange->verify);
	curl_easy_getinfo(check->curl, CURLINFO_CONNECT_TIME_T, &connect_us);
	curl_easy_getinfo(check->curl, CURLINFO_APPCONNECT_TIME_T, &tls_us);
	exchange->code = (int)code;
	exchange->connected = connect_us > 0;
	exchange->tls_ready = tls_us > 0;
	exchange->why = check->error[0] ? check->error : curl_easy_strerror(code);
	return check_judge(exchange);
}

static enum check_finding post(struct check *check, struct body *body)
{
	size_t size = body->head.len + body->blanks + body->tail.len;

	body->at = 0;
	set_connection(check, check->config->upstream_url);
	curl_easy_setopt(check->curl, CURLOPT_POST, 1L);
	curl_easy_setopt(check->curl, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)size);
	curl_easy_setopt(check->curl, CURLOPT_READFUNCTION, read_body);
	curl_easy_setopt(check->curl, CURLOPT_READDATA, body);
	curl_easy_setopt(check->curl, CURLOPT_HTTPHEADER, check->headers);
	return perform(check);
}

/* Telling apart */

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

static bool get_ready(struct check *check, const char *scheme)
{
	char *url = ready_url(check->config, scheme);

	if (!url)
		return false;
	set_connection(check, url);
	perform(check);
	curl_free(url);
	return check->exchange.status >= 200;
}

/* Whoever it is: this is not the connection that carries beacons. */
static bool speaks_tls(struct check *check)
{
	char *url = ready_url(check->config, "https");

	if (!url)
		return false;
	set_connection(check, url);
	curl_easy_setopt(check->curl, CURLOPT_CONNECT_ONLY, 1L);
	curl_easy_setopt(check->curl, CURLOPT_SSL_VERIFYPEER, 0L);
	curl_easy_setopt(check->curl, CURLOPT_SSL_VERIFYHOST, 0L);
	perform(check);
	curl_free(url);
	return check->exchange.code == CURLE_OK;
}

/* Who answers there, if it is no receiver at this path. */
static enum check_finding ask_who(struct check *check)
{
	if (!get_ready(check, check->config->upstream_tls ? "https" : "http"))
		return FINDING_NOT_FARO;
	say_exchange(check, "ready", first_line(check));
	if (check->exchange.status != 200)
		return FINDING_NOT_FARO;
	if (strcmp(check->reply, "ready") == 0)
		return FINDING_WRONG_PATH;
	return strncmp(check->reply, "Alloy is ready", 14) == 0 ? FINDING_ALLOY_PORT
								: FINDING_NOT_FARO;
}

/* After the first exchange went wrong: `finding` is what it alone tells. */
static enum check_finding look_closer(struct check *check, enum check_finding finding)
{
	bool tls = check->config->upstream_tls, ready = check->exchange.tls_ready;

	/* Some servers answer plain HTTP on a TLS port with a 400. */
	if (!tls && (finding == FINDING_NOT_HTTP || check->exchange.status == 400) &&
	    speaks_tls(check))
		return FINDING_TLS_PORT;
	if (tls && !ready &&
	    (finding == FINDING_TLS || finding == FINDING_NO_ANSWER ||
	     finding == FINDING_NOT_HTTP)) {
		bool plain = get_ready(check, "http");

		return plain ? FINDING_PLAIN_PORT : finding;
	}
	return finding == FINDING_NOT_FARO ? ask_who(check) : finding;
}

/* The steps */

static enum check_finding judge_lookup(int code)
{
	switch (code) {
	case EAI_NONAME:
#ifdef EAI_NODATA
	case EAI_NODATA:
#endif
		return FINDING_NAME_NOT_FOUND;
	case EAI_AGAIN:
	case EAI_FAIL:
		return FINDING_DNS_NO_ANSWER;
	default:
		return FINDING_LOCAL;
	}
}

static enum check_finding check_name(struct check *check)
{
	const struct addrinfo hints = {.ai_socktype = SOCK_STREAM};
	const char *host = check->config->upstream_host;
	char list[LINE_MAX_BYTES / 2], address[NI_MAXHOST];
	struct addrinfo *found = NULL;
	size_t len = 0;
	int code = getaddrinfo(host, NULL, &hints, &found);

	if (code != 0) {
		say("name", "%s: %s", host, gai_strerror(code));
		return judge_lookup(code);
	}
	for (struct addrinfo *one = found; one && len < sizeof(list); one = one->ai_next) {
		if (getnameinfo(one->ai_addr, one->ai_addrlen, address, sizeof(address), NULL, 0,
				NI_NUMERICHOST) == 0)
			len += (size_t)snprintf(list + len, sizeof(list) - len, "%s%s",
						len > 0 ? ", " : "", address);
	}
	freeaddrinfo(found);
	say("name", "%s is %s", host, list);
	return FINDING_OK;
}

static enum check_finding check_empty(struct check *check)
{
	struct body body = {.head = {check->empty.data, check->empty.len}};
	enum check_finding finding = post(check, &body);

	say_exchange(check, "empty", "a labelled beacon without items; nothing is stored");
	return finding == FINDING_OK ? finding : look_closer(check, finding);
}

static enum check_finding check_garbage(struct check *check)
{
	struct body body = {.head = VIEW_LITERAL("{\"meta\":")};
	enum check_finding finding = post(check, &body);

	if (check->exchange.status == 400) {
		say_exchange(check, "garbage", "");
		return FINDING_OK;
	}
	say_exchange(check, "garbage", "half a JSON value, which no receiver takes");
	return finding == FINDING_OK || finding == FINDING_NOT_FARO ? ask_who(check) : finding;
}

static enum check_finding check_largest(struct check *check)
{
	size_t size = check->config->max_decoded_bytes;
	struct body body = {.head = {check->empty.data, 1},
			    .tail = {check->empty.data + 1, check->empty.len - 1}};
	enum check_finding finding;

	if (size > check->empty.len)
		body.blanks = size - check->empty.len;
	finding = post(check, &body);
	say_exchange(check, "largest", "an empty beacon of FARO_MAX_DECODED_BYTES");
	return finding;
}

static void print_hex(char *out, const unsigned char *bytes, size_t n)
{
	for (size_t i = 0; i < n; i++)
		snprintf(out + 2 * i, 3, "%02x", bytes[i]);
}

static bool label(struct check *check, struct view beacon, struct buf *out)
{
	struct enricher *enricher = enricher_new(&check->config->identity);
	struct enrich_counts counts;
	const char *detail;
	size_t offset;
	bool good =
		enricher && enrich(enricher, beacon, out, &counts, &offset, &detail) == VERDICT_OK;

	enricher_free(enricher);
	return good;
}

/* One log and one span, of one trace, with the id by which they are found again. */
static bool write_test_beacon(struct buf *out, const char *trace, const char *span)
{
	char date[32];
	struct timespec now;
	struct tm parts;

	clock_gettime(CLOCK_REALTIME, &now);
	strftime(date, sizeof(date), "%Y-%m-%dT%H:%M:%S", gmtime_r(&now.tv_sec, &parts));
	return buf_printf(
		       out,
		       "{\"logs\":[{\"message\":\"faro-ingest --check --send: a test\","
		       "\"level\":\"info\",\"timestamp\":\"%s.%03ldZ\",\"context\":{\"check\":\"%s\"},"
		       "\"trace\":{\"trace_id\":\"%s\",\"span_id\":\"%s\"}}],"
		       "\"traces\":{\"resourceSpans\":[{\"scopeSpans\":[{\"scope\":{\"name\":"
		       "\"faro-ingest\"},\"spans\":[{\"traceId\":\"%s\",\"spanId\":\"%s\","
		       "\"name\":\"faro-ingest --check --send\",\"kind\":1,"
		       "\"startTimeUnixNano\":\"%lld%09ld\",\"endTimeUnixNano\":\"%lld%09ld\","
		       "\"status\":{}}]}]}]}}",
		       date, now.tv_nsec / 1000000, trace, trace, span, trace, span,
		       (long long)now.tv_sec, now.tv_nsec, (long long)now.tv_sec,
		       now.tv_nsec) == BUF_OK;
}

static enum check_finding check_send(struct check *check)
{
	unsigned char random[TRACE_ID_BYTES + SPAN_ID_BYTES];
	char trace[2 * TRACE_ID_BYTES + 1], span[2 * SPAN_ID_BYTES + 1];
	enum check_finding finding = FINDING_LOCAL;
	struct buf beacon, labelled;

	buf_init(&beacon, BEACON_MAX_BYTES, NULL);
	buf_init(&labelled, BEACON_MAX_BYTES, NULL);
	if (getrandom(random, sizeof(random), 0) != (ssize_t)sizeof(random)) {
		say("sent", "there is no randomness for an id");
		goto done;
	}
	print_hex(trace, random, TRACE_ID_BYTES);
	print_hex(span, random + TRACE_ID_BYTES, SPAN_ID_BYTES);
	if (!write_test_beacon(&beacon, trace, span) ||
	    !label(check, (struct view){beacon.data, beacon.len}, &labelled)) {
		say("sent", "there is not enough memory");
		goto done;
	}
	finding = post(check, &(struct body){.head = {labelled.data, labelled.len}});
	say_exchange(check, "sent", "a log and a span; \"taken\", not yet \"stored\"");
	if (finding == FINDING_OK)
		say("look for", "context_check=%s in the logs, and that trace", trace);
done:
	buf_release(&beacon);
	buf_release(&labelled);
	return finding;
}

/* Around them */

static bool add_header(struct check *check, const char *name, struct view value)
{
	char line[HEADER_LINE_MAX_BYTES];
	struct curl_slist *longer;

	snprintf(line, sizeof(line), "%s:%s%.*s", name, value.len > 0 ? " " : "", (int)value.len,
		 value.ptr);
	longer = curl_slist_append(check->headers, line);
	explicit_bzero(line, sizeof(line));
	if (longer)
		check->headers = longer;
	return longer;
}

static bool add_key(struct check *check)
{
	struct secret key;
	bool added = true;

	if (!check->config->upstream_api_key_file)
		return true;
	secret_init(&key, check->config->upstream_api_key_file);
	secret_refresh(&key, loop_now_us());
	if (secret_value(&key).len > 0)
		added = add_header(check, "x-api-key", secret_value(&key));
	secret_release(&key);
	return added;
}

/* False without memory. */
static bool set_up(struct check *check)
{
	const char *tenant = check->config->upstream_tenant;
	const struct view none = VIEW_LITERAL("");

	return curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK &&
	       (check->curl = curl_easy_init()) &&
	       add_header(check, "Content-Type", VIEW_LITERAL("application/json")) &&
	       add_header(check, "Accept", none) && add_header(check, "Expect", none) &&
	       (!tenant || add_header(check, "X-Scope-OrgID", view_of(tenant))) && add_key(check) &&
	       label(check, VIEW_LITERAL("{}"), &check->empty);
}

static enum check_finding run(struct check *check)
{
	static enum check_finding (*const steps[])(struct check *) = {
		check_name, check_empty, check_garbage, check_largest, check_send};
	size_t count = sizeof(steps) / sizeof(steps[0]) - (check->config->check_send ? 0 : 1);
	enum check_finding finding = FINDING_OK;

	for (size_t i = 0; i < count && finding == FINDING_OK; i++)
		finding = steps[i](check);
	return finding;
}

int check_receiver(const struct config *config)
{
	struct check check = {.config = config};
	const struct check_finding_text *text;
	enum check_finding finding = FINDING_LOCAL;

	signal(SIGPIPE, SIG_IGN);
	setvbuf(stdout, NULL, _IOLBF, 0); /* a pod's log shows how far it came */
	buf_init(&check.empty, BEACON_MAX_BYTES, NULL);
	say("receiver", "%s", config->upstream_url);
	if (set_up(&check))
		finding = run(&check);
	else
		say("local", "there is not enough memory");
	text = &check_finding_texts[finding];
	say("finding", "%s: %s", text->name, text->meaning);
	if (text->remedy)
		say("remedy", "%s", text->remedy);
	curl_slist_free_all(check.headers);
	curl_easy_cleanup(check.curl);
	buf_release(&check.empty);
	if (ferror(stdout)) {
		fputs("faro-ingest: what was found cannot be written to standard output\n", stderr);
		return EXIT_FAILURE;
	}
	return finding == FINDING_OK ? EXIT_SUCCESS : EXIT_FAILURE;
}
