/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Allocations are counted and failed: ours by --wrap=malloc,--wrap=calloc,--wrap=free, those of
 * libcurl and libcjson by their hooks. The table of settings, row by row, is in test_setting.c.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <cJSON.h>
#include <curl/curl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/key_file.h"
#include "base/log.h"
#include "base/text.h"
#include "build-config.h"
#include "config/config.h"
#include "fakes/allocations.h"
#include "fakes/start_line.h"

static void *counted_realloc(void *pointer, size_t size)
{
	bool failing = allocation_fails();

	live -= pointer && !failing;
	return failing ? NULL : realloc(pointer, size);
}

static char *counted_strdup(const char *text)
{
	char *copy = __wrap_malloc(strlen(text) + 1);

	return copy ? strcpy(copy, text) : NULL;
}

enum {
	MAX_ARGUMENTS = 24
};

/* What config_init() wrote. */
static char errors[16384];

/* The arguments stand in one text, with a bar between them. */
static bool init(struct config *config, const char *arguments)
{
	static char text[8192];
	static char *argv[MAX_ARGUMENTS + 1];
	static char program[] = "faro-ingest";
	FILE *file = fmemopen(errors, sizeof(errors), "w");
	char *rest = text;
	int argc = 1;
	bool ok;

	assert_non_null(file);
	assert_true(strlen(arguments) < sizeof(text));
	strcpy(text, arguments);
	argv[0] = program;
	while (*arguments && rest && argc < MAX_ARGUMENTS)
		argv[argc++] = strsep(&rest, "|");
	memset(errors, 0, sizeof(errors));
	ok = config_init(config, argc, argv, file);
	fclose(file);
	return ok;
}

static char directory[] = "faro-config-XXXXXX";

static const char *in_directory(const char *name)
{
	static char path[256];

	snprintf(path, sizeof(path), "%s/%s", directory, name);
	return path;
}

/* Makes the folders on its way; `bytes` NULL: removes it. */
static void put_file(const char *name, const char *bytes)
{
	char path[256];
	FILE *file;

	snprintf(path, sizeof(path), "%s/%s", directory, name);
	if (!bytes) {
		unlink(path);
		return;
	}
	for (char *slash = strchr(path + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
		*slash = '\0';
		mkdir(path, 0700);
		*slash = '/';
	}
	file = fopen(path, "w");
	assert_non_null(file);
	fputs(bytes, file);
	fclose(file);
}

static int make_directory(void **state)
{
	(void)state;
	return mkdtemp(directory) ? 0 : -1;
}

static int remove_directory(void **state)
{
	char command[128];

	(void)state;
	snprintf(command, sizeof(command), "rm -r '%s'", directory);
	return system(command);
}

/* Each test begins with a root in which there is no pod and no limit, and two good settings. */
static int set_up(void **state)
{
	static char root[sizeof(directory) + 8];

	(void)state;
	clearenv();
	setenv("OTEL_SERVICE_NAME", "shop", 1);
	setenv("FARO_UPSTREAM_URL", "http://alloy:12347", 1);
	snprintf(root, sizeof(root), "%s/none", directory);
	config_file_root = root;
	return 0;
}

#define P "faro-ingest: "
#define BYTES_EXPECTED(max) \
	": expected a number of bytes from 1 to " max ", such as 65536, 512KiB or 5MiB\n"
#define URL_EXPECTED ": expected http://HOST[:PORT][/PATH] or https://HOST[:PORT][/PATH]: "
#define ORIGINS_EXPECTED \
	": expected origins such as https://shop.example or https://*.preview.example: "
#define ERRORS_EXPECTED ": expected at most 64 texts of at most 255 bytes: "
#define FIELDS_EXPECTED \
	": expected at most 64 paths, such as meta.user.email or logs[].context.token: "
#define MASK_EXPECTED                                                                          \
	": expected the bits to keep of IPv4, 0 to 32, a comma, and those of IPv6, 0 to 128, " \
	"such as 24,48\n"
#define HEADERS_EXPECTED ": expected at most 32 names of headers, such as baggage: "
#define PATH_EXPECTED    ": expected a path such as /faro: "

#define LONG_NAME "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
#define SIXTEEN   "a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,"

static void test_bad_values__each__says_what_was_expected(void **state)
{
	/* arguments, all that is written */
	static const struct {
		const char *arguments, *errors;
	} rows[] = {
		{"--spool-dir=spool", P "--spool-dir=spool: expected an absolute path, such as "
					"/var/spool/faro-ingest\n"},
		{"--spool-sync=off", P "--spool-sync=off: expected full or normal\n"},
		{"--spool-max-age-s=0",
		 P "--spool-max-age-s=0: expected a whole number of seconds from 1 to 31536000\n"},
		{"--replay-rate=0",
		 P "--replay-rate=0: expected a whole number from 1 to 100000\n"},
		{"--workers=0", P "--workers=0: expected a whole number from 1 to 64\n"},
		{"--workers=65", P "--workers=65: expected a whole number from 1 to 64\n"},
		{"--workers=+1", P "--workers=+1: expected a whole number from 1 to 64\n"},
		{"--workers= 1", P "--workers= 1: expected a whole number from 1 to 64\n"},
		{"--workers=1.5", P "--workers=1.5: expected a whole number from 1 to 64\n"},
		{"--workers=2KiB", P "--workers=2KiB: expected a whole number from 1 to 64\n"},
		/* 2^64 + 1 */
		{"--workers=18446744073709551617",
		 P "--workers=18446744073709551617: expected a whole number from 1 to 64\n"},
		{"--upstream-max-inflight=0",
		 P "--upstream-max-inflight=0: expected a whole number from 1 to 65536\n"},
		{"--upstream-timeout-ms=0",
		 P "--upstream-timeout-ms=0: expected a whole number of milliseconds from 1 to "
		   "60000\n"},
		{"--upstream-connect-timeout-ms=1s", P
		 "--upstream-connect-timeout-ms=1s: expected a whole number of milliseconds from 1 "
		 "to 60000\n"},
		{"--drain-timeout-ms=600001",
		 P "--drain-timeout-ms=600001: expected a whole number of milliseconds from 0 to "
		   "600000\n"},
		{"--max-body-bytes=0", P "--max-body-bytes=0" BYTES_EXPECTED("1GiB")},
		{"--max-body-bytes=5Mi", P "--max-body-bytes=5Mi" BYTES_EXPECTED("1GiB")},
		{"--max-body-bytes=5 MiB", P "--max-body-bytes=5 MiB" BYTES_EXPECTED("1GiB")},
		{"--max-body-bytes=-1", P "--max-body-bytes=-1" BYTES_EXPECTED("1GiB")},
		{"--max-decoded-bytes=1073741825",
		 P "--max-decoded-bytes=1073741825" BYTES_EXPECTED("1GiB")},
		/* 2^34 GiB is 2^64 */
		{"--max-decoded-bytes=17179869184GiB",
		 P "--max-decoded-bytes=17179869184GiB" BYTES_EXPECTED("1GiB")},
		{"--max-memory-bytes=3GiB", P "--max-memory-bytes=3GiB" BYTES_EXPECTED("2GiB")},
		{"--max-memory-bytes=15728639", P
		 "--max-memory-bytes=15728639: expected at least 15728640, which one beacon of the "
		 "largest size needs (FARO_MAX_BODY_BYTES and twice FARO_MAX_DECODED_BYTES); "
		 "or lower those two\n"},
		{"--client-address=on", P "--client-address=on: expected off, masked or full\n"},
		{"--client-address-mask=24", P "--client-address-mask=24" MASK_EXPECTED},
		{"--client-address-mask=33,48", P "--client-address-mask=33,48" MASK_EXPECTED},
		{"--client-address-mask=24,129", P "--client-address-mask=24,129" MASK_EXPECTED},
		{"--client-address-mask=24, 48", P "--client-address-mask=24, 48" MASK_EXPECTED},
		{"--client-address-mask=24,48,0", P "--client-address-mask=24,48,0" MASK_EXPECTED},
		{"--client-address-mask=-1,48", P "--client-address-mask=-1,48" MASK_EXPECTED},
		{"--request-attributes=k8s.pod.name",
		 P "FARO_REQUEST_ATTRIBUTES: k8s.pod.name is a label of the service and the "
		   "same for every request: remove it\n"},
		{"--log-format=xml", P "--log-format=xml: expected logfmt or json\n"},
		{"--log-level=INFO", P "--log-level=INFO: expected debug, info, warn or error\n"},
		{"--upstream-url=alloy:12347", P "--upstream-url=alloy:12347" URL_EXPECTED
						 "it does not begin with http:// or https://\n"},
		{"--upstream-url=ftp://alloy", P "--upstream-url=ftp://alloy" URL_EXPECTED
						 "it does not begin with http:// or https://\n"},
		{"--upstream-url=http://",
		 P "--upstream-url=http://" URL_EXPECTED "it has no host\n"},
		{"--upstream-url=http:///collect",
		 P "--upstream-url=http:///collect" URL_EXPECTED "it has no host\n"},
		{"--upstream-url=http://a?x",
		 P "--upstream-url=http://a?x" URL_EXPECTED "it has a query or fragment\n"},
		{"--upstream-url=http://a/#",
		 P "--upstream-url=http://a/#" URL_EXPECTED "it has a query or fragment\n"},
		{"--upstream-url=http://a b",
		 P "--upstream-url=http://a b" URL_EXPECTED
		   "it has a character that has to be percent-encoded\n"},
		{"--upstream-url=http://a:0",
		 P "--upstream-url=http://a:0" URL_EXPECTED "its host or port is not valid\n"},
		{"--upstream-url=http://a:65536",
		 P "--upstream-url=http://a:65536" URL_EXPECTED "its host or port is not valid\n"},
		{"--upstream-url=http://.",
		 P "--upstream-url=http://." URL_EXPECTED "its host or port is not valid\n"},
		{"--upstream-url=http://a..",
		 P "--upstream-url=http://a.." URL_EXPECTED "its host or port is not valid\n"},
		{"--upstream-url=http://[::1",
		 P "--upstream-url=http://[::1" URL_EXPECTED "its host or port is not valid\n"},
		{"--upstream-url=http://[::1%25eth0]",
		 P "--upstream-url=http://[::1%25eth0]" URL_EXPECTED
		   "its host or port is not valid\n"},
		/* the password is not shown */
		{"--upstream-url=http://user:secret@a",
		 P "--upstream-url" URL_EXPECTED "it has a user or password; a key goes into "
		   "FARO_UPSTREAM_API_KEY_FILE\n"},
		{"--upstream-ca-file=/nonexistent",
		 P "--upstream-ca-file=/nonexistent: expected a readable file with certificates in "
		   "PEM form: No such file or directory\n" P
		   "warning: FARO_UPSTREAM_CA_FILE has no effect: "
		   "FARO_UPSTREAM_URL does not begin with https://\n"},
		{"--upstream-api-key-file=/", P "--upstream-api-key-file=/: expected a readable "
						"file with the key in it: it is not a "
						"regular file\n"},
		/* bytes without end */
		{"--upstream-api-key-file=/dev/zero",
		 P "--upstream-api-key-file=/dev/zero: expected a readable file with the key in "
		   "it: it is "
		   "not a regular file\n"},
		{"--upstream-tenant=a\nb",
		 P "--upstream-tenant=a\\x0ab: expected at most 512 printable ASCII characters\n"},
		{"--path=faro", P "--path=faro" PATH_EXPECTED "it does not begin with /\n"},
		{"--path=/",
		 P "--path=/" PATH_EXPECTED "it would take every request of the site\n"},
		{"--path=//", P "--path=//" PATH_EXPECTED "it has an empty segment (//)\n"},
		{"--path=/a//b", P "--path=/a//b" PATH_EXPECTED "it has an empty segment (//)\n"},
		{"--path=/a/../b",
		 P "--path=/a/../b" PATH_EXPECTED
		   "it has a segment . or .., which nginx resolves before we see it\n"},
		{"--path=/.",
		 P "--path=/." PATH_EXPECTED
		   "it has a segment . or .., which nginx resolves before we see it\n"},
		{"--path=/a?b", P "--path=/a?b" PATH_EXPECTED
				  "it has a character other than letters, digits and /._~-\n"},
		{"--path=/a%20", P "--path=/a%20" PATH_EXPECTED
				   "it has a character other than letters, digits and /._~-\n"},
		{"--allowed-origins=*",
		 P "--allowed-origins=*" ORIGINS_EXPECTED "* would let every site write into your "
		   "logs; list the origins one by one\n"},
		{"--allowed-origins=NULL", P "--allowed-origins=null" ORIGINS_EXPECTED
					     "null is what any sandboxed page sends, "
					     "so it names nobody\n"},
		{"--allowed-origins=shop.example", P
		 "--allowed-origins=shop.example" ORIGINS_EXPECTED "it has no scheme (https://)\n"},
		{"--allowed-origins=https://",
		 P "--allowed-origins=https://" ORIGINS_EXPECTED "it has no host\n"},
		{"--allowed-origins=https://a/",
		 P "--allowed-origins=https://a/" ORIGINS_EXPECTED
		   "it has a path; leave out everything from the slash on\n"},
		{"--allowed-origins=https://a:0", P "--allowed-origins=https://a:0" ORIGINS_EXPECTED
						    "its port is not a number from 1 to 65535\n"},
		{"--allowed-origins=https://a:", P "--allowed-origins=https://a:" ORIGINS_EXPECTED
						   "its port is not a number from 1 to 65535\n"},
		{"--allowed-origins=https://*.a",
		 P "--allowed-origins=https://*.a" ORIGINS_EXPECTED
		   "* would stand for a whole top-level domain; write at least two labels\n"},
		{"--allowed-origins=https://*",
		 P "--allowed-origins=https://*" ORIGINS_EXPECTED
		   "* would stand for a whole top-level domain; write at least two labels\n"},
		{"--allowed-origins=https://a*", P "--allowed-origins=https://a*" ORIGINS_EXPECTED
						   "* stands alone in the first label, as in "
						   "https://*.preview.example\n"},
		{"--allowed-origins=https://*a.b.c",
		 P "--allowed-origins=https://*a.b.c" ORIGINS_EXPECTED
		   "* stands alone in the first label, as in https://*.preview.example\n"},
		{"--allowed-origins=https://*..a.b",
		 P "--allowed-origins=https://*..a.b" ORIGINS_EXPECTED "it has an empty label\n"},
		{"--allowed-origins=http://*.0.0.1",
		 P "--allowed-origins=http://*.0.0.1" ORIGINS_EXPECTED
		   "* cannot stand in an address\n"},
		{"--allowed-origins=capacitor://*.a.b",
		 P "--allowed-origins=capacitor://*.a.b" ORIGINS_EXPECTED
		   "* needs the scheme http or https\n"},
		{"--allowed-origins=https://a?", P "--allowed-origins=https://a?" ORIGINS_EXPECTED
						   "it has a character that no host has\n"},
		{"--allowed-headers=*,baggage,x-*",
		 P "--allowed-headers=*" HEADERS_EXPECTED
		   "* would allow every header; list them one by one\n" P
		   "--allowed-headers=x-*" HEADERS_EXPECTED
		   "* would allow every header; list them one by one\n"},
		{"--allowed-headers=a b,c:,\xc3\xa4,d",
		 P "--allowed-headers=a b" HEADERS_EXPECTED
		   "it has a character that no header's name has\n" P
		   "--allowed-headers=c:" HEADERS_EXPECTED
		   "it has a character that no header's name has\n" P
		   "--allowed-headers=\xc3\xa4" HEADERS_EXPECTED
		   "it has a character that no header's name has\n"},
		{"--allowed-headers=" LONG_NAME "," LONG_NAME "x",
		 P "--allowed-headers=" LONG_NAME "x" HEADERS_EXPECTED "it is too long\n"},
		{"--allowed-headers=" SIXTEEN SIXTEEN "a",
		 P "--allowed-headers" HEADERS_EXPECTED "it has 33\n"},
		{"--drop-errors=" SIXTEEN SIXTEEN SIXTEEN SIXTEEN "a",
		 P "--drop-errors" ERRORS_EXPECTED "it has 65\n"},
		{"--drop-fields=meta", P "--drop-fields=meta" FIELDS_EXPECTED
					 "labels are stamped, or a page opts out, there\n"},
		{"--drop-fields=META.App", P "--drop-fields=META.App" FIELDS_EXPECTED
					     "labels are stamped, or a page opts out, there\n"},
		{"--drop-fields=meta.app.name",
		 P "--drop-fields=meta.app.name" FIELDS_EXPECTED
		   "labels are stamped, or a page opts out, there\n"},
		{"--drop-fields=meta.app.version.x",
		 P "--drop-fields=meta.app.version.x" FIELDS_EXPECTED
		   "labels are stamped, or a page opts out, there\n"},
		{"--drop-fields=meta.session", P "--drop-fields=meta.session" FIELDS_EXPECTED
						 "labels are stamped, or a page opts out, there\n"},
		{"--drop-fields=meta.session.attributes",
		 P "--drop-fields=meta.session.attributes" FIELDS_EXPECTED
		   "labels are stamped, or a page opts out, there\n"},
		{"--drop-fields=meta.session.overrides",
		 P "--drop-fields=meta.session.overrides" FIELDS_EXPECTED
		   "labels are stamped, or a page opts out, there\n"},
		{"--drop-fields=meta.session.overrides.geoLocationTrackingEnabled",
		 P "--drop-fields=meta.session.overrides.geoLocationTrackingEnabled" FIELDS_EXPECTED
		   "labels are stamped, or a page opts out, there\n"},
		{"--drop-fields=traces.resource_spans[].resource",
		 P "--drop-fields=traces.resource_spans[].resource" FIELDS_EXPECTED
		   "labels are stamped, or a page opts out, there\n"},
		{"--drop-fields=traces.resourceSpans[].resource.attributes[].value", P
		 "--drop-fields=traces.resourceSpans[].resource.attributes[].value" FIELDS_EXPECTED
		 "labels are stamped, or a page opts out, there\n"},
		{"--drop-fields=logs.context",
		 P "--drop-fields=logs.context" FIELDS_EXPECTED
		   "[] belongs behind the name of an array, and only there\n"},
		{"--drop-fields=meta[].user",
		 P "--drop-fields=meta[].user" FIELDS_EXPECTED
		   "[] belongs behind the name of an array, and only there\n"},
		{"--drop-fields=logs[]",
		 P "--drop-fields=logs[]" FIELDS_EXPECTED
		   "it ends with []; name the array itself, or what is in its elements\n"},
		{"--drop-fields=log[].context", P
		 "--drop-fields=log[].context" FIELDS_EXPECTED
		 "it begins with none of meta, logs, exceptions, events, measurements and traces\n"},
		{"--drop-fields=logs[].a..b",
		 P "--drop-fields=logs[].a..b" FIELDS_EXPECTED
		   "a path has names with dots between them, and [] behind those of arrays\n"},
		{"--drop-fields=logs[]x",
		 P "--drop-fields=logs[]x" FIELDS_EXPECTED
		   "a path has names with dots between them, and [] behind those of arrays\n"},
		{"--drop-fields=logs[].a\\",
		 P "--drop-fields=logs[].a\\" FIELDS_EXPECTED
		   "a path has names with dots between them, and [] behind those of arrays\n"},
		{"--drop-fields=logs[0].a",
		 P "--drop-fields=logs[0].a" FIELDS_EXPECTED
		   "a path has names with dots between them, and [] behind those of arrays\n"},
		{"--redact=secret,query",
		 P "--redact=secret: expected some of secrets, query, fragment, userinfo and "
		   "email\n"},
		{"--redact-params=a=b",
		 P "--redact-params=a=b: expected at most 64 names of parameters, such as "
		   "session_key: it has a character that no name in a URL has\n"},
		{"--redact-keep=\"",
		 P "--redact-keep=\": expected at most 64 names of parameters, such as page: it "
		   "has a character that no name in a URL has\n"},
		{"--drop-extension-errors=yes",
		 P "--drop-extension-errors=yes: expected off or on\n"},
		{"--allowed-origins=https://[::1",
		 P "--allowed-origins=https://[::1" ORIGINS_EXPECTED
		   "its IPv6 address is not closed by ]\n"},
		/* each of several is named */
		{"--allowed-origins=*,https://ok,x,",
		 P "--allowed-origins=*" ORIGINS_EXPECTED
		   "* would let every site write into your logs; "
		   "list the origins one by one\n" P "--allowed-origins=x" ORIGINS_EXPECTED
		   "it has no scheme (https://)\n"},
		/* the command line itself */
		{"--listen-mode=0888",
		 P "0888: --listen-mode expects an octal number from 0 to 0777, "
		   "such as 0660; see --help\n"},
		{"--listen-mode=-1",
		 P "-1: --listen-mode expects an octal number from 0 to 0777, such "
		   "as 0660; see --help\n"},
		{"--listen=", P "listen: expected a value that is not empty; see --help\n"},
		{"--listen", P "--listen: expected a value after it; see --help\n"},
		{"--workers", P "--workers: expected a value after it; see --help\n"},
		{"--print=x", P "--print=x: this option takes no value; see --help\n"},
		{"--worker=1", P "--worker=1: unknown option; see --help\n"},
		{"--UPSTREAM_URL=x", P "--UPSTREAM_URL=x: unknown option; see --help\n"},
		{"-x", P "-x: unknown option; see --help\n"},
		{"--", P "--: unknown option; see --help\n"},
		{"-", P "-: unknown option; see --help\n"},
		{"\n\x1b", P "\\x0a\\x1b: unexpected argument; see --help\n"},
		{"-t|--print",
		 P "command line: expected only one of --test-config, --check, --print, --ping, "
		   "--version, --help; see --help\n"},
		{"--send", P "--send: expected only together with --check; see --help\n"},
		{"--print|--send", P "--send: expected only together with --check; see --help\n"},
		{"--send=1|--check", P "--send=1: this option takes no value; see --help\n"},
		/* the complaints of labels.c come through */
		{"--label-attributes=host.name,nothing", P
		 "FARO_LABEL_ATTRIBUTES: host.name describes this pod, host or process, not the "
		 "browser: remove it\n" P "warning: FARO_LABEL_ATTRIBUTES: nothing is not stamped: "
		 "it has no value in OTEL_RESOURCE_ATTRIBUTES\n"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct config config;

		assert_false(init(&config, rows[i].arguments));
		assert_string_equal(errors, rows[i].errors);
	}
}

static void test_bad_values__from_variables__all_at_once(void **state)
{
	struct config config;

	(void)state;
	clearenv();
	setenv("FARO_WORKERS", "x", 1);
	setenv("FARO_PATH", "/", 1);
	assert_false(init(&config, ""));
	assert_string_equal(
		errors,
		P "FARO_PATH=/" PATH_EXPECTED "it would take every request of the site\n" P
		  "FARO_WORKERS=x: expected a whole number from 1 to 64\n" P
		  "FARO_UPSTREAM_URL: expected the URL of the receiver, such as "
		  "http://alloy:12347/collect\n" P
		  "OTEL_SERVICE_NAME: expected the name of the service whose pages send the "
		  "beacons, here or as service.name in OTEL_RESOURCE_ATTRIBUTES\n");
}

static void test_nothing_but_the_required__defaults(void **state)
{
	struct config config;

	(void)state;
	assert_true(init(&config, ""));
	assert_string_equal(errors, "");
	assert_int_equal(config.mode, MODE_SERVE);
	assert_null(config.listen);
	assert_int_equal(config.listen_mode, 0660);
	assert_string_equal(config.upstream_url, "http://alloy:12347/collect");
	assert_null(config.upstream_ca_file);
	assert_null(config.upstream_api_key_file);
	assert_null(config.upstream_tenant);
	assert_int_equal(config.upstream_connect_timeout_ms, 1000);
	assert_int_equal(config.upstream_timeout_ms, 3000);
	assert_int_equal(config.upstream_max_inflight, 256);
	assert_string_equal(config.path, "/faro");
	assert_int_equal(config.max_body_bytes, 5 * 1024 * 1024);
	assert_int_equal(config.max_decoded_bytes, 5 * 1024 * 1024);
	assert_int_equal(config.max_memory_bytes, 128 * 1024 * 1024);
	assert_int_equal(config.drain_timeout_ms, 10000);
	assert_int_equal(config.workers, 1);
	assert_null(config.spool_dir);
	assert_int_equal(config.spool_max_bytes, 67108864);
	assert_int_equal(config.spool_max_age_s, 86400);
	assert_int_equal(config.spool_sync, SPOOL_SYNC_FULL);
	assert_int_equal(config.replay_rate, 20);
	assert_int_equal(config.allowed_origins.count, 0);
	assert_int_equal(config.client_address, CLIENT_ADDRESS_OFF);
	assert_int_equal(config.client_address_mask.ipv4_bits, 24);
	assert_int_equal(config.client_address_mask.ipv6_bits, 48);
	assert_int_equal(config.forward_client_address, CLIENT_ADDRESS_OFF);
	assert_int_equal(config.labels.request_attribute_count, 0);
	assert_int_equal(config.log_format, LOG_FORMAT_LOGFMT);
	assert_int_equal(config.log_level, LOG_INFO);
	config_release(&config);
}

static void test_sources__flag_over_variable_over_default(void **state)
{
	struct config config;

	(void)state;
	setenv("FARO_WORKERS", "2", 1);
	setenv("FARO_PATH", "", 1);
	setenv("FARO_LOG_LEVEL", "debug", 1);
	assert_true(init(&config, "--workers|3|--log-level=|--workers=4|--listen-mode=600"));
	assert_int_equal(config.workers, 4);
	assert_string_equal(config.path, "/faro");
	assert_int_equal(config.log_level, LOG_INFO);
	assert_int_equal(config.listen_mode, 0600);
	config_release(&config);
	assert_true(init(&config, ""));
	assert_int_equal(config.workers, 2);
	assert_int_equal(config.log_level, LOG_DEBUG);
	config_release(&config);
}

static void test_url__each_good_form__split(void **state)
{
	static const struct {
		const char *text, *url, *host;
		uint16_t port;
		bool tls;
	} rows[] = {
		{"http://a", "http://a/collect", "a", 80, false},
		{"HTTPS://a/", "https://a/collect", "a", 443, true},
		{"http://a:12347/collect", "http://a:12347/collect", "a", 12347, false},
		{"http://a/x/y/", "http://a/x/y/", "a", 80, false},
		{"http://[::1]:1", "http://[::1]:1/collect", "::1", 1, false},
		{"http://127.0.0.1:65535", "http://127.0.0.1:65535/collect", "127.0.0.1", 65535,
		 false},
		{"http://a/@", "http://a/@", "a", 80, false},
		/* An absolute name. */
		{"https://a.b.", "https://a.b/collect", "a.b.", 443, true},
		{"http://a.:12347/x", "http://a:12347/x", "a.", 12347, false},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct config config;

		setenv("FARO_UPSTREAM_URL", rows[i].text, 1);
		assert_true(init(&config, ""));
		assert_string_equal(config.upstream_url, rows[i].url);
		assert_string_equal(config.upstream_host, rows[i].host);
		assert_int_equal(config.upstream_port, rows[i].port);
		assert_int_equal(config.upstream_tls, rows[i].tls);
		config_release(&config);
	}
}

static void test_numbers__ends_of_their_range__taken(void **state)
{
	struct config config;

	(void)state;
	assert_true(init(&config, "--workers=64|--upstream-timeout-ms=60000|--drain-timeout-ms=0|"
				  "--upstream-connect-timeout-ms=1|--max-body-bytes=1|"
				  "--max-decoded-bytes=1|--max-memory-bytes=3|"
				  "--upstream-max-inflight=65536"));
	assert_int_equal(config.workers, 64);
	assert_int_equal(config.max_memory_bytes, 3);
	assert_int_equal(config.drain_timeout_ms, 0);
	config_release(&config);
	assert_true(init(&config, "--client-address-mask=32,0|--client-address=full|"
				  "--forward-client-address=masked"));
	assert_int_equal(config.client_address_mask.ipv4_bits, 32);
	assert_int_equal(config.client_address_mask.ipv6_bits, 0);
	assert_int_equal(config.client_address, CLIENT_ADDRESS_FULL);
	assert_int_equal(config.forward_client_address, CLIENT_ADDRESS_MASKED);
	assert_int_equal(config.labels.request_attribute_count, 1);
	config_release(&config);
	assert_true(init(&config, "--max-body-bytes=2KiB|--max-decoded-bytes=007|"
				  "--max-memory-bytes=2GiB"));
	assert_int_equal(config.max_body_bytes, 2048);
	assert_int_equal(config.max_decoded_bytes, 7);
	assert_int_equal(config.max_memory_bytes, (uint64_t)2 << 30);
	config_release(&config);
}

static void test_redact__lists_without_their_word__warned_of(void **state)
{
	struct config config;

	(void)state;
	assert_true(init(&config, "--redact=email|--redact-params=otp|--redact-keep=page"));
	assert_non_null(strstr(errors, "warning: FARO_REDACT_PARAMS has no effect"));
	assert_non_null(strstr(errors, "warning: FARO_REDACT_KEEP has no effect"));
	config_release(&config);
	assert_true(init(&config, "--redact=query,secrets|--redact-params=otp|--redact-keep=page"));
	assert_null(strstr(errors, "no effect"));
	config_release(&config);
}

static void test_drop_errors__length__limited(void **state)
{
	struct config config;
	char argument[300];

	(void)state;
	for (int n = 255; n <= 256; n++) {
		snprintf(argument, sizeof(argument), "--drop-errors=%0*d", n, 7);
		assert_int_equal(init(&config, argument), n == 255);
		if (n == 255)
			config_release(&config);
		else
			assert_non_null(strstr(errors, "one of them is too long"));
	}
}

static void test_path_and_origins__good_forms__normal_form(void **state)
{
	struct config config;
	static const char *const expected[] = {
		"https://a",          "http://b:8080",         "http://c",
		"https://[::1]:8443", "capacitor://localhost", "https://d:80",
		"https://*.a.b"};

	(void)state;
	assert_true(init(&config, "--path=/x/..y/|--allowed-origins=HTTPS://A:443, http://b:8080,,"
				  "http://c:80,https://[::1]:8443 ,capacitor://localhost,"
				  "https://d:80,https://*.A.B:443|"
				  "--allowed-headers=baggage, Sentry-Trace ,!#$%&'+-.^_`~9"));
	assert_string_equal(config.path, "/x/..y");
	assert_int_equal(config.allowed_origins.count, ARRAY_LEN(expected));
	for (size_t i = 0; i < ARRAY_LEN(expected); i++)
		assert_true(view_equals(config.allowed_origins.items[i], view_of(expected[i])));
	assert_int_equal(config.allowed_headers.count, 3);
	assert_true(view_equals(config.allowed_headers.items[1], VIEW_LITERAL("Sentry-Trace")));
	config_release(&config);
}

static void test_key_file__content__checked(void **state)
{
	char longest[KEY_FILE_MAX_BYTES + 2], argument[300], expected[600];
	struct {
		const char *content, *problem; /* NULL: good */
	} rows[] = {
		{"key\r\n", NULL},
		{"key \t\r\n", NULL},
		{"", "it is empty"},
		{"\n \n", "it is empty"},
		{"a\nb", "it has more than one line, or other than ASCII characters"},
		{"k\xc3\xa9y", "it has more than one line, or other than ASCII characters"},
		{longest + 1, NULL},
		{longest, "it is longer than 4096 bytes"},
	};

	(void)state;
	memset(longest, 'k', sizeof(longest) - 1);
	longest[sizeof(longest) - 1] = '\0';
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct config config;

		put_file("key", rows[i].content);
		snprintf(argument, sizeof(argument), "--upstream-api-key-file=%s",
			 in_directory("key"));
		assert_int_equal(init(&config, argument), rows[i].problem == NULL);
		snprintf(expected, sizeof(expected),
			 P "%s: expected a readable file with the key in it: %s\n", argument,
			 rows[i].problem ? rows[i].problem : "");
		assert_string_equal(errors, rows[i].problem ? expected : "");
		config_release(&config);
	}
}

/* Opening a pipe without a writer would wait for one. */
static void test_files__pipe__rejected_without_waiting(void **state)
{
	char argument[300];
	struct config config;

	(void)state;
	assert_int_equal(mkfifo(in_directory("pipe"), 0600), 0);
	snprintf(argument, sizeof(argument), "--upstream-ca-file=%s", in_directory("pipe"));
	assert_false(init(&config, argument));
	assert_non_null(strstr(errors, "PEM form: it is not a regular file\n"));
}

static void test_ca_file__no_certificate_in_it__rejected(void **state)
{
	char argument[300];
	struct config config;

	(void)state;
	snprintf(argument, sizeof(argument), "--upstream-ca-file=%s", in_directory("no.pem"));
	put_file("no.pem", "");
	assert_false(init(&config, argument));
	assert_non_null(strstr(errors, "PEM form: it is empty\n"));
	put_file("no.pem", "----BEGIN CERTIFICATE----\n");
	assert_false(init(&config, argument));
	assert_non_null(strstr(errors, "PEM form: it has no line that begins with -----BEGIN\n"));
}

static void test_variables__unknown__warned_about_unless_made_by_others(void **state)
{
	/* name, value, whether there is a warning */
	static const struct {
		const char *name, *value;
		bool warned;
	} rows[] = {
		{"FARO_WORKER", "1", true},
		{"FARO_UPSTREAM_PORT", "12347", true},
		{"FARO_LISTEN_MODE", "0666", true},
		{"FARO_workers", "1", true},
		{"FARO_PORT_80", "x", true},
		{"FARO_PORT_X_TCP", "x", true},
		{"FAROUT", "1", false},
		{"FARO_", "1", false},
		{"FARO_ENDPOINT", "metrics", false},
		{"FARO_ENDPOINTS", "metrics", true},
		{"FARO_IGNORE", "crawler", false},
		{"FARO_IGNORED", "crawler", true},
		{"FARO_ATTR_GEO_COUNTRY_ISO_CODE", "DE", false},
		{"FARO_ATTRIBUTE", "DE", true},
		{"FARO_SOCKET", "/run/faro.sock", false},
		{"FARO_SOCKETS", "/run/faro.sock", true},
		{"FARO_CONFIG_JS", "/tmp/config.js", false},
		{"FARO_COLLECTOR_URL", "https://faro.example/collect", false},
		{"FARO_SERVICE_HOST", "10.0.0.1", false},
		{"FARO_INGEST_SERVICE_PORT", "80", false},
		{"FARO_INGEST_SERVICE_PORT_HTTP", "80", false},
		{"FARO_PORT", "tcp://10.0.0.1:80", false},
		{"FARO_INGEST_PORT", "udp://10.0.0.1:80", false},
		{"FARO_INGEST_PORT_80_TCP", "tcp://10.0.0.1:80", false},
		{"FARO_PORT_80_TCP_PROTO", "tcp", false},
		{"FARO_PORT_80_UDP_PORT", "80", false},
		{"FARO_PORT_80_SCTP_ADDR", "10.0.0.1", false},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		char expected[256];
		struct config config;

		setenv(rows[i].name, rows[i].value, 1);
		assert_true(init(&config, ""));
		snprintf(expected, sizeof(expected),
			 P "warning: %s is not a setting of this version and has no effect; see "
			   "--help\n",
			 rows[i].name);
		assert_string_equal(errors, rows[i].warned ? expected : "");
		config_release(&config);
		unsetenv(rows[i].name);
	}
}

static void test_memory__default__a_third_of_the_smallest_limit(void **state)
{
	enum {
		MIB = 1024 * 1024
	};
	/* /proc/self/cgroup, a limit file, its text, another, its text, default */
	static const struct {
		const char *cgroup, *file, *limit, *other, *other_limit;
		uint64_t expected;
	} rows[] = {
		{"0::/\n", "memory.max", "max\n", NULL, NULL, 128 * MIB},
		{"0::/\n", "memory.max", "314572800\n", NULL, NULL, 100 * MIB},
		{"0::/pod/a\n", "pod/a/memory.max", "314572800\n", NULL, NULL, 100 * MIB},
		/* the parent's is lower; the own says max */
		{"0::/pod/a\n", "pod/a/memory.max", "max\n", "pod/memory.max", "94371840\n",
		 30 * MIB},
		/* the own one is lower than the parent's */
		{"0::/pod/a\n", "pod/a/memory.max", "94371840\n", "pod/memory.max", "314572800\n",
		 30 * MIB},
		/* the host's path is not there: the root of the mount counts */
		{"0::/../x\n", "memory.max", "94371840\n", NULL, NULL, 30 * MIB},
		/* version 1, its "none", and both */
		{"5:cpu:/\n4:memory:/\n0::/\n", "memory/memory.limit_in_bytes", "94371840\n", NULL,
		 NULL, 30 * MIB},
		{"4:memory:/k\n", "memory/k/memory.limit_in_bytes", "9223372036854771712\n", NULL,
		 NULL, 128 * MIB},
		{"4:memory:/k\n", "memory/k/memory.limit_in_bytes", "94371840\n",
		 "memory/memory.limit_in_bytes", "9223372036854771712\n", 30 * MIB},
		/* above what the setting may be */
		{"0::/\n", "memory.max", "1099511627776\n", NULL, NULL, (uint64_t)2048 * MIB},
		{"nonsense\n", "memory.max", "94371840\n", NULL, NULL, 128 * MIB},
	};

	(void)state;
	config_file_root = directory;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		char file[128], other[128];
		struct config config;

		snprintf(file, sizeof(file), "sys/fs/cgroup/%s", rows[i].file);
		snprintf(other, sizeof(other), "sys/fs/cgroup/%s",
			 rows[i].other ? rows[i].other : "-");
		put_file("proc/self/cgroup", rows[i].cgroup);
		put_file(file, rows[i].limit);
		put_file(other, rows[i].other_limit);
		assert_true(init(&config, ""));
		assert_string_equal(errors, "");
		assert_int_equal(config.max_memory_bytes, rows[i].expected);
		config_release(&config);
		put_file(file, NULL);
		put_file(other, NULL);
	}
}

static void test_memory__small_container__starts_with_a_warning(void **state)
{
	struct config config;

	(void)state;
	config_file_root = directory;
	put_file("proc/self/cgroup", "0::/\n");
	put_file("sys/fs/cgroup/memory.max", "33554432\n");
	assert_true(init(&config, ""));
	assert_string_equal(
		errors, P "warning: FARO_MAX_MEMORY_BYTES: 11184810 by default is less than the "
			  "15728640 that one beacon of the largest size needs; such beacons are "
			  "answered 429: lower FARO_MAX_BODY_BYTES and FARO_MAX_DECODED_BYTES, set "
			  "FARO_MAX_MEMORY_BYTES, or raise the memory limit of the container\n");
	config_release(&config);
	put_file("sys/fs/cgroup/memory.max", NULL);
}

static void test_authorities__not_named__those_of_the_system(void **state)
{
	/* put there one after another, so that each wins over those above */
	static const char *const places[] = {
		"etc/ssl/cert.pem",                  /* Alpine without its ca-certificates */
		"etc/ssl/ca-bundle.pem",             /* SUSE */
		"etc/pki/tls/certs/ca-bundle.crt",   /* Red Hat */
		"etc/ssl/certs/ca-certificates.crt", /* Debian, Alpine */
	};
	struct config config;

	(void)state;
	assert_true(init(&config, "--upstream-url=https://a"));
	assert_string_equal(
		errors,
		P "warning: FARO_UPSTREAM_CA_FILE: not set, and this system has "
		  "no certificate authorities (ca-certificates), so no receiver at https:// can be "
		  "trusted\n");
	assert_null(config.upstream_ca_file);
	config_release(&config);
	config_file_root = directory;
	put_file("mine.pem", "# mine\n-----BEGIN CERTIFICATE-----\n");
	for (size_t i = 0; i < ARRAY_LEN(places); i++) {
		char argument[512];

		put_file(places[i], "x");
		assert_true(init(&config, "--upstream-url=https://a"));
		assert_string_equal(errors, "");
		assert_string_equal(config.upstream_ca_file + 1, places[i]);
		config_release(&config);
		/* not where one is named, and not for http */
		snprintf(argument, sizeof(argument),
			 "--upstream-url=https://a|--upstream-ca-file=%s",
			 in_directory("mine.pem"));
		assert_true(init(&config, argument));
		assert_string_equal(config.upstream_ca_file, in_directory("mine.pem"));
		config_release(&config);
		assert_true(init(&config, ""));
		assert_null(config.upstream_ca_file);
		config_release(&config);
	}
	for (size_t i = 0; i < ARRAY_LEN(places); i++)
		put_file(places[i], NULL);
}

static void test_namespace__of_the_pod__found(void **state)
{
	struct config config;

	(void)state;
	config_file_root = directory;
	put_file("var/run/secrets/kubernetes.io/serviceaccount/namespace", "sales");
	assert_true(init(&config, ""));
	assert_true(view_equals(config.labels.namespace_, VIEW_LITERAL("sales")));
	config_release(&config);
	put_file("var/run/secrets/kubernetes.io/serviceaccount/namespace", NULL);
}

static void test_modes__each__and_what_it_needs(void **state)
{
	struct config config;

	(void)state;
	clearenv();
	setenv("FARO_WORKERS", "bad", 1);
	assert_true(init(&config, "--help"));
	assert_int_equal(config.mode, MODE_HELP);
	config_release(&config);
	assert_true(init(&config, "--version"));
	assert_int_equal(config.mode, MODE_VERSION);
	config_release(&config);
	assert_true(init(&config, "--ping|unix:/run/x"));
	assert_int_equal(config.mode, MODE_PING);
	assert_string_equal(config.ping_socket, "unix:/run/x");
	config_release(&config);
	clearenv();
	setenv("OTEL_SERVICE_NAME", "shop", 1);
	assert_true(init(&config, "--print"));
	assert_int_equal(config.mode, MODE_PRINT);
	assert_null(config.upstream_url);
	config_release(&config);
	assert_false(init(&config, "--test-config"));
	set_up(NULL);
	assert_true(init(&config, "-t|--listen=unix:/run/y"));
	assert_int_equal(config.mode, MODE_TEST_CONFIG);
	assert_string_equal(config.listen, "unix:/run/y");
	config_release(&config);
}

static const char *start_line_from_version(const struct config *config)
{
	const char *version = strstr(start_line(config), "version=");

	assert_non_null(version);
	return version;
}

static void test_start_line__everything__exact(void **state)
{
	struct config config;
	char expected[2048];

	(void)state;
	put_file("key", "secret");
	setenv("OTEL_RESOURCE_ATTRIBUTES", "service.namespace=n,team=t", 1);
	setenv("FARO_UPSTREAM_API_KEY_FILE", in_directory("key"), 1);
	assert_true(init(&config, "--app-names=a,b c|--label-attributes=team|--upstream-tenant=x|"
				  "--client-address=masked|--request-attributes=geo.x,a"));
	snprintf(expected, sizeof(expected),
		 "version=" PACKAGE_VERSION
		 " listen=\"fd 0\" service_name=shop service_namespace=n "
		 "k8s_namespace=\"\" environment=\"\" service_version=\"\" "
		 "upstream_url=http://alloy:12347/collect upstream_ca_file=\"\" "
		 "upstream_api_key_file=%s upstream_tenant=x upstream_connect_timeout_ms=1000 "
		 "upstream_timeout_ms=3000 upstream_max_inflight=256 client_address=masked "
		 "client_address_mask=24,48 forward_client_address=off path=/faro "
		 "max_body_bytes=5242880 max_decoded_bytes=5242880 "
		 "max_memory_bytes=134217728 drop_extension_errors=off spool_dir=\"\" "
		 "spool_max_bytes=67108864 spool_max_age_s=86400 spool_sync=full "
		 "replay_rate=20 workers=1 drain_delay_ms=0 drain_timeout_ms=10000 "
		 "log_format=logfmt log_level=info app_names=\"a,b c\" "
		 "label_attributes=team request_attributes=geo.x,a allowed_origins=\"\" "
		 "allowed_headers=\"\" redact=\"\" redact_params=\"\" redact_keep=\"\" "
		 "drop_errors=\"\" drop_fields=\"\"\n",
		 in_directory("key"));
	assert_string_equal(start_line_from_version(&config), expected);
	config_release(&config);
}

/* 256 names of 255 bytes: the line has all but the list. */
static void test_start_line__list_too_long_for_a_line__left_out(void **state)
{
	static char names[256 * 256 + 1];
	struct config config;
	const char *line;

	(void)state;
	for (size_t i = 0; i < 256; i++)
		snprintf(names + i * 256, 257, "%0255zu,", i);
	names[sizeof(names) - 2] = '\0'; /* the last comma */
	setenv("FARO_APP_NAMES", names, 1);
	assert_true(init(&config, "--allowed-origins=https://a"));
	line = start_line(&config);
	assert_null(strstr(line, "app_names"));
	assert_non_null(strstr(line,
			       " log_level=info label_attributes=\"\" request_attributes=\"\" "
			       "allowed_origins=https://a allowed_headers=\"\" redact=\"\" "
			       "redact_params=\"\" redact_keep=\"\" drop_errors=\"\" "
			       "drop_fields=\"\"\n"));
	config_release(&config);
	unsetenv("FARO_APP_NAMES");
}

static void test_memory__each_allocation_fails__no_crash_no_leak(void **state)
{
	cJSON_Hooks hooks = {__wrap_malloc, __wrap_free};
	bool ok = false;

	(void)state;
	curl_global_init_mem(CURL_GLOBAL_NOTHING, __wrap_malloc, __wrap_free, counted_realloc,
			     counted_strdup, __wrap_calloc);
	cJSON_InitHooks(&hooks);
	for (long n = 0; !ok; n++) {
		struct config config;
		long before = live;

		assert_true(n < 1000);
		allocations = 0;
		fail_at = n;
		ok = init(&config, "--allowed-origins=https://a|--upstream-url=https://[::1]:1");
		fail_at = -1;
		if (!ok)
			assert_non_null(strstr(errors, "memory"));
		else
			assert_true(n > 15);
		config_release(&config);
		assert_int_equal(live, before);
	}
	cJSON_InitHooks(NULL);
	curl_global_cleanup();
}

#define TEST(name) cmocka_unit_test_setup(name, set_up)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_bad_values__each__says_what_was_expected),
		TEST(test_bad_values__from_variables__all_at_once),
		TEST(test_nothing_but_the_required__defaults),
		TEST(test_sources__flag_over_variable_over_default),
		TEST(test_url__each_good_form__split),
		TEST(test_numbers__ends_of_their_range__taken),
		TEST(test_redact__lists_without_their_word__warned_of),
		TEST(test_drop_errors__length__limited),
		TEST(test_path_and_origins__good_forms__normal_form),
		TEST(test_key_file__content__checked),
		TEST(test_files__pipe__rejected_without_waiting),
		TEST(test_ca_file__no_certificate_in_it__rejected),
		TEST(test_variables__unknown__warned_about_unless_made_by_others),
		TEST(test_memory__default__a_third_of_the_smallest_limit),
		TEST(test_memory__small_container__starts_with_a_warning),
		TEST(test_authorities__not_named__those_of_the_system),
		TEST(test_namespace__of_the_pod__found),
		TEST(test_modes__each__and_what_it_needs),
		TEST(test_start_line__everything__exact),
		TEST(test_start_line__list_too_long_for_a_line__left_out),
		TEST(test_memory__each_allocation_fails__no_crash_no_leak),
	};

	return cmocka_run_group_tests(tests, make_directory, remove_directory);
}
