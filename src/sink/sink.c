/* SPDX-License-Identifier: Apache-2.0 */
/*
 * faro-sink: a stand-in for Alloy's faro.receiver, for development and tests. Not for production.
 *
 * It answers like the receiver and prints each log, exception, measurement and event as the logfmt
 * line that the receiver would send to the log store. Spans have a line too, but that line is our
 * own: the receiver passes spans on as OTLP and prints none.
 *
 * What it does not do, or does in another way:
 * - It stores and forwards nothing, has no TLS, no metrics and no log labels.
 * - Source maps are not applied to stack traces.
 * - The rate limit is global (no per_app strategy) and off unless asked for; Alloy's is 50 a
 *   second.
 * - CORS is as with cors_allowed_origins = ["*"]; Alloy's default is none.
 * - JSON is read by cJSON: at most 1000 levels deep (Go: 10000), numbers of at most 63 characters,
 *   and \u0000 in a string becomes U+FFFD (as half a surrogate pair does, also in Go). cJSON also
 *   takes some things that Go refuses: raw control characters in strings, numbers such as 01 or 1.,
 *   any control character as white space; and a lineno of 1.0.
 * - Timestamps must be as RFC 3339 has them; Go also lets an hour of one digit and a comma pass.
 * - Of `traces` only what the line shows is checked; deprecatedScopeSpans are not read.
 * - Time zones print as by a receiver that runs in UTC.
 * - A connection left idle, or in the middle of a request, is closed after two minutes.
 * - Error texts are our own, and Go's redirect of unclean paths is left out.
 * - Bodies above 32 MiB, or above 64 MiB inflated, are 413; the receiver looks at Content-Length
 *   alone.
 */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <netdb.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "build-config.h"
#include "sink/http.h"

enum {
	EXIT_USAGE = 2,
	BACKLOG = 4096,
	MAX_THREADS = 64
};

static const char usage[] =
	"Usage: faro-sink [OPTION]...\n"
	"A stand-in for Alloy's faro.receiver, for development and tests: answers as it does and\n"
	"prints each item as the logfmt line that it would write.\n\n"
	"  --listen [ADDRESS:]PORT  where to listen; port 0 picks a free one (127.0.0.1:12347)\n"
	"  --status N               answer every collect request with N\n"
	"  --delay-ms N             answer N milliseconds late\n"
	"  --silent                 accept and read, but never answer\n"
	"  --retry-after S          add Retry-After to answers other than 2xx\n"
	"  --session-status TEXT    add X-Faro-Session-Status to every answer\n"
	"  --api-key KEY            401 unless x-api-key is KEY\n"
	"  --rate N                 429 above N requests a second, after a burst of 2N\n"
	"  --save DIR               keep each decoded body and its request headers in DIR\n"
	"  --quiet                  print no items\n"
	"  --threads N              serve with N threads (1)\n"
	"  --help, --version        print this, or the version, and exit\n";

enum option_code {
	OPTION_LISTEN = 256,
	OPTION_STATUS,
	OPTION_DELAY,
	OPTION_SILENT,
	OPTION_RETRY_AFTER,
	OPTION_SESSION_STATUS,
	OPTION_API_KEY,
	OPTION_RATE,
	OPTION_SAVE,
	OPTION_QUIET,
	OPTION_THREADS,
	OPTION_HELP,
	OPTION_VERSION
};

static const struct option options_table[] = {
	{"listen", required_argument, NULL, OPTION_LISTEN},
	{"status", required_argument, NULL, OPTION_STATUS},
	{"delay-ms", required_argument, NULL, OPTION_DELAY},
	{"silent", no_argument, NULL, OPTION_SILENT},
	{"retry-after", required_argument, NULL, OPTION_RETRY_AFTER},
	{"session-status", required_argument, NULL, OPTION_SESSION_STATUS},
	{"api-key", required_argument, NULL, OPTION_API_KEY},
	{"rate", required_argument, NULL, OPTION_RATE},
	{"save", required_argument, NULL, OPTION_SAVE},
	{"quiet", no_argument, NULL, OPTION_QUIET},
	{"threads", required_argument, NULL, OPTION_THREADS},
	{"help", no_argument, NULL, OPTION_HELP},
	{"version", no_argument, NULL, OPTION_VERSION},
	{NULL, 0, NULL, 0}};

/* Digits alone, within the bounds; else the program ends with what was expected. */
static int number(const char *option, const char *text, int min, int max)
{
	char *end;
	long value;

	errno = 0;
	value = strtol(text, &end, 10);
	if (text[0] >= '0' && text[0] <= '9' && *end == '\0' && errno == 0 && value >= min &&
	    value <= max)
		return (int)value;
	fprintf(stderr, "faro-sink: --%s %s: expected a number from %d to %d\n", option, text, min,
		max);
	exit(EXIT_USAGE);
}

static void header_value(const char *option, const char *text)
{
	for (const char *p = text; *p; p++) {
		if ((unsigned char)*p < ' ' || *p == 0x7f) {
			fprintf(stderr, "faro-sink: --%s: control characters cannot be sent\n",
				option);
			exit(EXIT_USAGE);
		}
	}
}

static void parse_option(struct sink_options *options, int code)
{
	switch (code) {
	case OPTION_LISTEN:
		options->listen = optarg;
		break;
	case OPTION_STATUS:
		options->status = number("status", optarg, 200, 599);
		break;
	case OPTION_DELAY:
		options->delay_ms = number("delay-ms", optarg, 0, 3600 * 1000);
		break;
	case OPTION_SILENT:
		options->silent = true;
		break;
	case OPTION_RETRY_AFTER:
		options->retry_after = number("retry-after", optarg, 0, 86400);
		break;
	case OPTION_SESSION_STATUS:
		header_value("session-status", optarg);
		options->session_status = optarg;
		break;
	case OPTION_API_KEY:
		options->api_key = *optarg ? optarg : NULL;
		break;
	case OPTION_RATE:
		options->rate = number("rate", optarg, 1, 1000000);
		break;
	case OPTION_SAVE:
		options->save_dir = optarg;
		break;
	case OPTION_QUIET:
		options->quiet = true;
		break;
	case OPTION_THREADS:
		options->threads = number("threads", optarg, 1, MAX_THREADS);
		break;
	case OPTION_HELP:
		fputs(usage, stdout);
		exit(EXIT_SUCCESS);
	case OPTION_VERSION:
		puts("faro-sink " PACKAGE_VERSION);
		exit(EXIT_SUCCESS);
	default:
		fputs("Try `faro-sink --help'.\n", stderr);
		exit(EXIT_USAGE);
	}
}

static void parse_options(struct sink_options *options, int argc, char **argv)
{
	int code;

	*options =
		(struct sink_options){.listen = "127.0.0.1:12347", .retry_after = -1, .threads = 1};
	while ((code = getopt_long(argc, argv, "", options_table, NULL)) != -1)
		parse_option(options, code);
	if (optind < argc) {
		fprintf(stderr, "faro-sink: unexpected argument: %s\n", argv[optind]);
		exit(EXIT_USAGE);
	}
	if (options->save_dir && mkdir(options->save_dir, 0777) < 0 && errno != EEXIST) {
		fprintf(stderr, "faro-sink: --save %s: %s\n", options->save_dir, strerror(errno));
		exit(EXIT_USAGE);
	}
}

/* "PORT", "ADDRESS:PORT" or "[ADDRESS]:PORT" into its two halves. */
static bool split_listen(const char *listen, char host[64], const char **port)
{
	const char *colon = strrchr(listen, ':');
	size_t len;

	snprintf(host, 64, "127.0.0.1");
	*port = colon ? colon + 1 : listen;
	if (!colon)
		return true;
	len = (size_t)(colon - listen);
	if (len > 2 && listen[0] == '[' && listen[len - 1] == ']') {
		listen++;
		len -= 2;
	}
	return len > 0 && snprintf(host, 64, "%.*s", (int)len, listen) < 64;
}

static int try_listen(const struct addrinfo *info)
{
	int one = 1,
	    fd = socket(info->ai_family, info->ai_socktype | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd >= 0 && setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) == 0 &&
	    bind(fd, info->ai_addr, info->ai_addrlen) == 0 && listen(fd, BACKLOG) == 0)
		return fd;
	if (fd >= 0)
		close(fd);
	return -1;
}

/* -1 with a line on stderr. */
static int open_listener(const char *listen)
{
	struct addrinfo hints = {.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV | AI_PASSIVE,
				 .ai_socktype = SOCK_STREAM},
			*info = NULL;
	char host[64];
	const char *port;
	int fd;

	if (!split_listen(listen, host, &port) || !*port ||
	    strspn(port, "0123456789") != strlen(port) || strlen(port) > 5 || atoi(port) > 65535 ||
	    getaddrinfo(host, port, &hints, &info) != 0) {
		fprintf(stderr,
			"faro-sink: --listen %s: expected [ADDRESS:]PORT with a numeric address\n",
			listen);
		exit(EXIT_USAGE);
	}
	fd = try_listen(info);
	if (fd < 0)
		fprintf(stderr, "faro-sink: cannot listen on %s: %s\n", listen, strerror(errno));
	freeaddrinfo(info);
	return fd;
}

static void announce(int listen_fd)
{
	struct sockaddr_storage address;
	socklen_t len = sizeof(address);
	char host[64], port[8];

	if (getsockname(listen_fd, (struct sockaddr *)&address, &len) < 0 ||
	    getnameinfo((struct sockaddr *)&address, len, host, sizeof(host), port, sizeof(port),
			NI_NUMERICHOST | NI_NUMERICSERV) != 0)
		return;
	fprintf(stderr,
		address.ss_family == AF_INET6 ? "faro-sink: listening on http://[%s]:%s/collect\n"
					      : "faro-sink: listening on http://%s:%s/collect\n",
		host, port);
}

static void report(struct sink *sink)
{
	uint64_t items = 0;

	for (int i = 0; i < SINK_KINDS; i++)
		items += atomic_load(&sink->items[i]);
	fprintf(stderr, "faro-sink: %" PRIuFAST64 " beacons, %" PRIu64 " items\n",
		atomic_load(&sink->beacons), items);
}

int main(int argc, char **argv)
{
	static struct sink sink;
	struct sink_options options;
	sigset_t ends;
	int listen_fd, signal_number;

	parse_options(&options, argc, argv);
	listen_fd = open_listener(options.listen);
	if (listen_fd < 0)
		return EXIT_FAILURE;
	/* Blocked before any thread starts, so that all inherit it and main alone takes them. */
	sigemptyset(&ends);
	sigaddset(&ends, SIGTERM);
	sigaddset(&ends, SIGINT);
	pthread_sigmask(SIG_BLOCK, &ends, NULL);
	signal(SIGPIPE, SIG_IGN);
	/* A file of --save, or the log, that has reached the limit of bytes is an error of that
	 * write. */
	signal(SIGXFSZ, SIG_IGN);
	if (!sink_start(&sink, &options, listen_fd))
		return EXIT_FAILURE;
	announce(listen_fd);
	while (sigwait(&ends, &signal_number) != 0)
		continue;
	sink_stop(&sink);
	report(&sink);
	return EXIT_SUCCESS;
}
