/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DESIGN: a name lookup and up to six exchanges (check_client).
 *
 *	name     getaddrinfo(3), as the resolver calls it
 *	empty    a labelled beacon without items, which a receiver accepts and does not store; what
 *	         answers with a JSON object is OTLP/HTTP, or something else that is no receiver
 *	garbage  half a JSON value, to which a receiver answers 400; what answers 2xx is another
 *	         server, and would lose beacons
 *	largest  the empty beacon, padded with blanks to FARO_MAX_DECODED_BYTES and what labels add;
 *	         where that is too large, once more without what they add
 *	sent     with --send: one log and one span, which are stored
 *	through  with --through: a beacon without items, as a browser would send it to nginx
 *
 * The first failure ends the check. Where it can have several causes, one more exchange decides:
 * TLS on a plain port, HTTP on a TLS port, or GET /-/ready, to which a faro.receiver and Alloy's
 * own server give different answers.
 */
#include "check/check.h"

#include <netdb.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <time.h>

#include "base/log.h"
#include "base/text.h"
#include "beacon/enrich.h"
#include "check/client.h"

enum {
	BEACON_MAX_BYTES = 1024 * 1024,
	LINE_MAX_BYTES = 2048,
	TRACE_ID_BYTES = 16,
	SPAN_ID_BYTES = 8,
};

/* What a browser would send that has nothing to say. */
#define EMPTY VIEW_LITERAL("{}")

struct check {
	const struct config *config;
	struct check_client client;
	struct buf empty; /* the labelled beacon without items */
};

/* Output */

/* Prints "name      alloy is 10.0.0.7": the first word is for scripts; the rest may quote a reply,
 * so it is masked. */
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

/* Cuts the reply to its first line. */
static const char *first_line(struct check *check)
{
	check->client.reply[strcspn(check->client.reply, "\r\n")] = '\0';
	return check->client.reply;
}

static void say_exchange(struct check *check, const char *name, const char *meaning)
{
	const struct check_exchange *exchange = &check->client.exchange;
	const char *location = check_client_redirect(&check->client);
	long took_ms = check_client_took_ms(&check->client);

	if (exchange->status < 200)
		say(name, "%s", exchange->why);
	else if (location)
		say(name, "%ld, to %s", exchange->status, location);
	else if (exchange->status >= 300)
		say(name, "%ld in %ld ms: %s", exchange->status, took_ms, first_line(check));
	else
		say(name, "%ld in %ld ms: %s", exchange->status, took_ms, meaning);
}

/* A closer look at a failure */

/* What the server is that answers, if it is no receiver at this path. */
static enum check_finding identify_server(struct check *check)
{
	if (!check_client_get_ready(&check->client, check->config->upstream_tls ? "https" : "http"))
		return FINDING_NOT_FARO;
	say_exchange(check, "ready", first_line(check));
	if (check->client.exchange.status != 200)
		return FINDING_NOT_FARO;
	if (strcmp(check->client.reply, "ready") == 0)
		return FINDING_WRONG_PATH;
	return strncmp(check->client.reply, "Alloy is ready", 14) == 0 ? FINDING_ALLOY_PORT
								       : FINDING_NOT_FARO;
}

/* After the first exchange failed; `finding` is what that exchange alone shows. */
static enum check_finding look_closer(struct check *check, enum check_finding finding)
{
	bool tls = check->config->upstream_tls, ready = check->client.exchange.tls_ready;

	/* Some servers answer plain HTTP on a TLS port with a 400. */
	if (!tls && (finding == FINDING_NOT_HTTP || check->client.exchange.status == 400) &&
	    check_client_speaks_tls(&check->client))
		return FINDING_TLS_PORT;
	if (tls && !ready &&
	    (finding == FINDING_TLS || finding == FINDING_NO_ANSWER ||
	     finding == FINDING_NOT_HTTP)) {
		bool plain = check_client_get_ready(&check->client, "http");

		return plain ? FINDING_PLAIN_PORT : finding;
	}
	return finding == FINDING_NOT_FARO ? identify_server(check) : finding;
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
	char list[LINE_MAX_BYTES / 2] = "", address[NI_MAXHOST];
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

/* A Faro receiver answers 202 "ok", a collector's faroreceiver 200 or 202. OTLP/HTTP answers 200 to
 * any JSON, with an object that says how much of it was taken. */
static bool is_object(const char *reply)
{
	return reply[strspn(reply, " \t\r\n")] == '{';
}

/* After a good answer. */
static enum check_finding judge_reply(struct check *check)
{
	return is_object(check->client.reply) ? identify_server(check) : FINDING_OK;
}

static enum check_finding check_empty(struct check *check)
{
	struct check_body body = {.head = {check->empty.data, check->empty.len}};
	enum check_finding finding = check_client_post(&check->client, &body);

	say_exchange(check, "empty", "a labelled beacon without items; nothing is stored");
	return finding == FINDING_OK ? judge_reply(check) : look_closer(check, finding);
}

static enum check_finding check_garbage(struct check *check)
{
	struct check_body body = {.head = VIEW_LITERAL("{\"meta\":")};
	enum check_finding finding = check_client_post(&check->client, &body);

	if (check->client.exchange.status == 400) {
		say_exchange(check, "garbage", "");
		return FINDING_OK;
	}
	say_exchange(check, "garbage", "half a JSON value, which no receiver takes");
	return finding == FINDING_OK || finding == FINDING_NOT_FARO ? identify_server(check)
								    : finding;
}

static enum check_finding post_padded(struct check *check, size_t size, const char *meaning)
{
	struct check_body body = {.head = {check->empty.data, 1},
				  .tail = {check->empty.data + 1, check->empty.len - 1}};
	enum check_finding finding;

	if (size > check->empty.len)
		body.blanks = size - check->empty.len;
	finding = check_client_post(&check->client, &body);
	say_exchange(check, "largest", meaning);
	/* A collector's faroreceiver answers 400 to what is above its limit. That it takes beacons
	 * is known by now. */
	return check->client.exchange.status == 400 ? FINDING_TOO_LARGE : finding;
}

static enum check_finding check_largest(struct check *check)
{
	size_t size = check->config->max_decoded_bytes;
	size_t added = check->empty.len - EMPTY.len;
	enum check_finding finding = post_padded(
		check, size + added, "an empty beacon of FARO_MAX_DECODED_BYTES, with its labels");

	if (finding != FINDING_TOO_LARGE)
		return finding;
	finding = post_padded(check, size, "the same without its labels");
	if (finding == FINDING_OK)
		say("warning",
		    "%s: The largest beacon fits, but not with its labels, here %zu bytes and more "
		    "with traces; lower FARO_MAX_DECODED_BYTES by that much, or raise the receiver's "
		    "limit.",
		    check_finding_texts[FINDING_TOO_LARGE].name, added);
	return finding;
}

static void print_hex(char *out, const unsigned char *bytes, size_t n)
{
	for (size_t i = 0; i < n; i++)
		snprintf(out + 2 * i, 3, "%02x", bytes[i]);
}

static bool label(struct check *check, struct view beacon, struct buf *out)
{
	struct enricher *enricher = enricher_new(&check->config->labels, NULL);
	struct beacon_counts counts;
	const char *detail;
	size_t offset;
	bool good = enricher &&
		    enrich(enricher, beacon, NULL, out, &counts, &offset, &detail) == VERDICT_OK;

	enricher_free(enricher);
	return good;
}

/* One log and one span of one trace, whose id is also in the log's context, to be searched for. */
static bool write_test_beacon(struct buf *out, const char *trace, const char *span)
{
	char date[32];
	struct timespec now;
	struct tm parts;

	clock_gettime(CLOCK_REALTIME, &now);
	strftime(date, sizeof(date), "%Y-%m-%dT%H:%M:%S", gmtime_r(&now.tv_sec, &parts));
	return buf_printf(out,
			  "{\"logs\":[{\"message\":\"faro-ingest --check --send: a test\","
			  "\"level\":\"info\",\"timestamp\":\"%s.%03ldZ\","
			  "\"context\":{\"check\":\"%s\"},"
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
	finding = check_client_post(&check->client,
				    &(struct check_body){.head = {labelled.data, labelled.len}});
	say_exchange(check, "sent", "a log and a span; \"taken\", not yet \"stored\"");
	if (finding == FINDING_OK)
		say("look for", "context_check=%s in the logs, and that trace", trace);
done:
	buf_release(&beacon);
	buf_release(&labelled);
	return finding;
}

/* The whole route */

/* `reason` is that of a problem body, "" without one. */
static enum check_finding judge_route(const struct check_client *client, const char *reason)
{
	if (client->exchange.status < 200)
		return FINDING_ROUTE_NO_ANSWER;
	if (client->exchange.status == 202 && strcmp(client->reply, "ok") == 0)
		return FINDING_OK;
	if (strcmp(reason, "not_found") == 0)
		return FINDING_ROUTE_OTHER_PATH;
	return *reason ? FINDING_ROUTE_REFUSED : FINDING_ROUTE_NOT_FOUND;
}

/* Cut out of the beginning of a problem body of ours, or of nginx's in our words. */
static void read_reason(const char *reply, char *reason, size_t size)
{
	static const char before[] = "\"reason\":\"";
	const char *at = strstr(reply, before);
	size_t n = 0;

	if (at && is_object(reply)) {
		at += sizeof(before) - 1;
		n = strspn(at, "abcdefghijklmnopqrstuvwxyz_");
	}
	snprintf(reason, size, "%.*s", (int)n, at ? at : "");
}

static enum check_finding check_through(struct check *check)
{
	struct check_body body = {.head = EMPTY};
	const char *path = check->config->path;
	char reason[64], meaning[CONFIG_PATH_MAX_BYTES + 64];

	if (!check_client_post_through(&check->client, &body)) {
		say("through", "there is not enough memory");
		return FINDING_LOCAL;
	}
	read_reason(check->client.reply, reason, sizeof(reason));
	snprintf(meaning, sizeof(meaning), "a beacon to %s, through nginx and the responder", path);
	say_exchange(check, "through", meaning);
	return judge_route(&check->client, reason);
}

/* The whole check */

static enum check_finding run(struct check *check)
{
	const struct config *config = check->config;
	const struct {
		enum check_finding (*take)(struct check *check);
		bool wanted;
	} steps[] = {
		{check_name, true},
		{check_empty, true},
		{check_garbage, true},
		{check_largest, true},
		{check_send, config->check_send},
		{check_through, config->check_through != NULL},
	};
	enum check_finding finding = FINDING_OK;

	for (size_t i = 0; i < ARRAY_LEN(steps) && finding == FINDING_OK; i++)
		if (steps[i].wanted)
			finding = steps[i].take(check);
	return finding;
}

int check_receiver(const struct config *config)
{
	struct check check = {.config = config};
	const struct check_finding_text *text;
	enum check_finding finding = FINDING_LOCAL;

	signal(SIGPIPE, SIG_IGN);
	setvbuf(stdout, NULL, _IOLBF, 0); /* a pod's log shows each step at once */
	buf_init(&check.empty, BEACON_MAX_BYTES, NULL);
	say("receiver", "%s", config->upstream_url);
	if (check_client_init(&check.client, config) && label(&check, EMPTY, &check.empty))
		finding = run(&check);
	else
		say("local", "there is not enough memory");
	text = &check_finding_texts[finding];
	say("finding", "%s: %s", text->name, text->meaning);
	if (text->remedy)
		say("remedy", "%s", text->remedy);
	check_client_release(&check.client);
	buf_release(&check.empty);
	if (ferror(stdout)) {
		fputs("faro-ingest: what was found cannot be written to standard output\n", stderr);
		return EXIT_FAILURE;
	}
	return finding == FINDING_OK ? EXIT_SUCCESS : EXIT_FAILURE;
}
