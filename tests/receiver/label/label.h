/* SPDX-License-Identifier: Apache-2.0 */
/*
 * label: the labeller (src/beacon/enrich.h) behind three functions of plain C types, for tests that load
 * it as a shared library. One struct label serves one thread.
 *
 * A body is run from memory that ends where the body ends and is followed by an unreadable page, so
 * that reading a single byte too far stops the test.
 */
#ifndef FARO_LABEL_H
#define FARO_LABEL_H

#include <stddef.h>
#include <stdint.h>

struct label;

enum {
	LABEL_FACTS_MAX = 33
};

/* The environment variables of the same names; NULL or empty where not set. */
struct label_settings {
	const char *service_name;
	const char *resource_attributes;
	const char *app_names;
	const char *label_attributes;
	const char *request_attributes;
	int stamps_client_address; /* FARO_CLIENT_ADDRESS */
	/* What the web server says with each request, in the order of request_attributes, and then the
	 * address; NULL: nothing. Copied. */
	const char *facts[LABEL_FACTS_MAX];
	int leaves_out; /* not 0: everything that settings can leave out of beacons is */
};

struct label_result {
	const char *refusal; /* NULL when accepted, else the reason label */
	const char *detail;
	size_t offset;
	const char *out; /* until the next label_run() or label_free() */
	size_t out_len;
	uint32_t logs, exceptions, events, measurements, spans, spoofed, bad_spans;
};

/* NULL when the settings are not valid or memory is short; the complaints are on stderr. */
struct label *label_new(const struct label_settings *settings);
void label_run(struct label *label, const char *in, size_t len, struct label_result *result);
void label_free(struct label *label);

#endif
