/* SPDX-License-Identifier: Apache-2.0 */
/*
 * config: the environment and the command line → one read-only `struct config`.
 *
 * One table (setting.c) has a row for each setting. The variable, the option, --help and the log
 * line "started" come from it, so nothing can be set that is not documented. Each bad value is
 * reported with what was expected; all of them are reported, not only the first.
 *
 * An option is the variable's name without FARO_, in lower case and with dashes:
 * FARO_MAX_BODY_BYTES is --max-body-bytes=5MiB or --max-body-bytes 5MiB. It wins over the variable.
 */
#ifndef FARO_CONFIG_CONFIG_H
#define FARO_CONFIG_CONFIG_H

#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>

#include "base/arena.h"
#include "base/log.h"
#include "config/labels.h"
#include "config/privacy.h"

/* Byte limits that are not settings (that of a forwarded header is in upstream/route.h). */
enum {
	CONFIG_PATH_MAX_BYTES = 1024,            /* FARO_PATH and what it is compared with */
	CONFIG_HEADER_MAX_BYTES = 512,           /* FARO_UPSTREAM_TENANT */
	CONFIG_HEADER_NAME_MAX_BYTES = 64,       /* each of FARO_ALLOWED_HEADERS */
	CONFIG_UPSTREAM_REPLY_MAX_BYTES = 65536, /* a longer reply ends the connection */
};

/* The exit status of a process whose arguments or settings are wrong. */
enum {
	EXIT_BAD_CONFIG = 2
};

enum config_mode {
	MODE_SERVE, /* FastCGI or CGI, as --listen, fd 0 and GATEWAY_INTERFACE say */
	MODE_PRINT,
	MODE_TEST_CONFIG,
	MODE_CHECK,
	MODE_PING,
	MODE_SUPERVISE, /* in no config: it is an error where no command follows */
	MODE_VERSION,
	MODE_HELP,
};

enum spool_sync {
	SPOOL_SYNC_FULL,
	SPOOL_SYNC_NORMAL,
};

/* Which form of the client's address is used. */
enum client_address {
	CLIENT_ADDRESS_OFF,
	CLIENT_ADDRESS_MASKED,
	CLIENT_ADDRESS_FULL,
};

/* How many bits of an address stay. */
struct address_mask {
	unsigned ipv4_bits, ipv6_bits;
};

/* What a row of setting.c stores here, or in `privacy`, has the setting's name, without FARO_ and in
 * lower case. */
struct config {
	enum config_mode mode;
	const char *listen;      /* --listen, NULL if not given: unix:PATH or [ADDRESS:]PORT */
	mode_t listen_mode;      /* --listen-mode, octal, default 0660 */
	const char *ping_socket; /* --ping */
	bool check_send;         /* --send */
	char *check_through;     /* --through, NULL if not given: scheme://host[:port] */

	/* FARO_UPSTREAM_URL, split; NULL only where MODE_PRINT went without. url has the path
	 * filled in (/collect) and is NUL-terminated. */
	char *upstream_url;
	char *upstream_host; /* to look up: without brackets, with the dot that url is without */
	uint16_t upstream_port;
	bool upstream_tls;
	const char *upstream_ca_file;      /* the system's unless set; NULL: none, or no https */
	const char *upstream_api_key_file; /* NULL: none */
	const char *upstream_tenant;       /* NULL: none */
	int64_t upstream_connect_timeout_ms;
	int64_t upstream_timeout_ms;
	size_t upstream_max_inflight;

	const char *path; /* FARO_PATH, begins with '/', does not end with one */
	size_t max_body_bytes;
	size_t max_decoded_bytes;
	size_t max_memory_bytes;
	int64_t drain_delay_ms, drain_timeout_ms;
	size_t workers;

	const char *spool_dir; /* NULL: no spool */
	size_t spool_max_bytes;
	int64_t spool_max_age_s;
	enum spool_sync spool_sync;
	size_t replay_rate; /* records a second, at most */

	struct config_list allowed_origins; /* each scheme://[*.]host[:port], lower case */
	struct config_list allowed_headers; /* their names */

	struct privacy privacy;
	enum client_address client_address, forward_client_address;
	struct address_mask client_address_mask;

	enum log_format log_format;
	enum log_level log_level;

	/* As they were set; NULL: not. For labels. */
	const char *app_names, *label_attributes, *request_attributes;
	struct labels labels;

	struct arena storage; /* for config.c */
};

/* Where a pod finds the name of its namespace. */
#ifndef CONFIG_NAMESPACE_FILE
#define CONFIG_NAMESPACE_FILE "/var/run/secrets/kubernetes.io/serviceaccount/namespace"
#endif

/* Put before the paths under /proc, /sys and /var/run that are read; "" but in tests. */
extern const char *config_file_root;

/*
 * Reads the command line and the environment (getenv). Problems are written to `errors`, one a
 * line: "faro-ingest: FARO_WORKERS=x: expected a whole number from 1 to 64". Warnings too; they do
 * not make it fail. Returns false after at least one problem: the caller exits with
 * EXIT_BAD_CONFIG. MODE_HELP, MODE_VERSION and MODE_PING read no setting; MODE_PRINT does not need
 * FARO_UPSTREAM_URL. An empty value counts as not set. FARO_ variables that are no setting get a
 * warning, except FARO_ENDPOINT, FARO_IGNORE, FARO_ATTR_* and what Kubernetes sets for a Service whose name begins with
 * "faro". The config keeps pointers into argv and the environment.
 */
bool config_init(struct config *config, int argc, char **argv, FILE *errors);
void config_release(struct config *config);

void config_print_help(FILE *out);
/* The log line "started", with a key for each setting as it is in effect. A file with a secret is
 * named; its content is not read. */
void config_log_start(const struct config *config);

#endif
