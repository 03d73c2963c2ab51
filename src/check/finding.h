/* SPDX-License-Identifier: Apache-2.0 */
/*
 * check_finding: the list of what --check can find, each with its meaning and remedy, and the
 * finding that follows from one exchange with the receiver. Private to check.
 */
#ifndef FARO_CHECK_FINDING_H
#define FARO_CHECK_FINDING_H

#include <stdbool.h>

/* Scripts match the names that are printed; do not change them. */
enum check_finding {
	FINDING_OK,
	FINDING_NAME_NOT_FOUND,
	FINDING_DNS_NO_ANSWER,
	FINDING_REFUSED,
	FINDING_UNREACHABLE,
	FINDING_CONNECT_TIMEOUT,
	FINDING_NO_ANSWER,
	FINDING_NOT_HTTP,
	FINDING_TLS_PORT,
	FINDING_PLAIN_PORT,
	FINDING_TLS_UNKNOWN_CA,
	FINDING_TLS_WRONG_NAME,
	FINDING_TLS_EXPIRED,
	FINDING_TLS_CA_FILE,
	FINDING_TLS,
	FINDING_NOT_FARO,
	FINDING_ALLOY_PORT,
	FINDING_WRONG_PATH,
	FINDING_API_KEY,
	FINDING_FORBIDDEN,
	FINDING_REDIRECT,
	FINDING_TOO_LARGE,
	FINDING_THROTTLED,
	FINDING_SERVER_ERROR,
	FINDING_ROUTE_NO_ANSWER,
	FINDING_ROUTE_NOT_FOUND,
	FINDING_ROUTE_OTHER_PATH,
	FINDING_ROUTE_REFUSED,
	FINDING_LOCAL,
	FINDING_COUNT
};

/* `remedy` is what to change; both are sentences. */
struct check_finding_text {
	const char *name, *meaning, *remedy;
};

extern const struct check_finding_text check_finding_texts[FINDING_COUNT];

/* One exchange as libcurl reports it. */
struct check_exchange {
	int code;        /* CURLcode */
	long os_errno;   /* of a connect() that failed */
	bool connected;  /* TCP */
	bool tls_ready;  /* the handshake is over */
	long verify;     /* CURLINFO_SSL_VERIFYRESULT */
	long status;     /* 0: no HTTP reply */
	const char *why; /* libcurl's sentence, never NULL */
};

/* FINDING_OK for any 2xx. For FINDING_NOT_HTTP, FINDING_NO_ANSWER, FINDING_TLS and FINDING_NOT_FARO
 * a further exchange may give a more exact finding. */
enum check_finding check_judge(const struct check_exchange *exchange);

#endif
