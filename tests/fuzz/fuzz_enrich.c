/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as a beacon: enrich must not crash, and what it accepts must pass every oracle, also with
 * everything left out that settings can leave out. The sum of the bytes chooses whether there are
 * attributes of the request, and which.
 *
 * Build with -fsanitize=fuzzer,address,undefined; run with -max_len=4000 (the oracles' buffers). */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "beacon/enrich_check.h"
#include "beacon/enrich_labels.h"
#include "beacon/json_avx2.h"

enum {
	WITHOUT,
	WITH_REQUEST,
	REQUEST_ALONE,
	VARIANTS
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct view redact[] = {VIEW_CONSTANT("secrets"), VIEW_CONSTANT("query"),
			       VIEW_CONSTANT("fragment"), VIEW_CONSTANT("userinfo"),
			       VIEW_CONSTANT("email")};
static struct view texts[] = {VIEW_CONSTANT("loop")};
static struct view fields[] = {
	VIEW_CONSTANT("meta.user"),
	VIEW_CONSTANT("meta.app.release"),
	VIEW_CONSTANT("meta.session.attributes.team"),
	VIEW_CONSTANT("logs[].context.a"),
	VIEW_CONSTANT("measurements[].values.x"),
	VIEW_CONSTANT("traces.resourceSpans[].scopeSpans[].spans[].events"),
};
static const struct privacy everything = {
	.redact = {redact, 5},
	.drop_extension_errors = SWITCH_ON,
	.drop_errors = {texts, 1},
	.drop_fields = {fields, 6},
};

/* With everything left out that can be, the labels are what they have to be. */
static void check_left_out(struct view in)
{
	static struct enricher *enricher;
	static struct buf out = {.max = (size_t)16 << 20};
	struct beacon_counts counts;
	char *body = malloc(in.len);
	const char *detail, *wrong = NULL;
	struct view text;
	size_t offset;

	if (!enricher)
		enricher = enricher_new(&test_labels, &everything);
	if (!enricher || (!body && in.len > 0))
		abort();
	if (in.len > 0)
		memcpy(body, in.ptr, in.len);
	buf_clear(&out);
	if (enrich(enricher, (struct view){body, in.len}, NULL, &out, &counts, &offset, &detail) ==
	    VERDICT_OK) {
		text = (struct view){out.data, out.len};
		if (oracle_can_read(text))
			wrong = oracle_trusted(text, &test_labels, NULL);
		else if (oracle_can_read(in))
			wrong = "no JSON any more";
	}
	free(body);
	if (wrong) {
		fprintf(stderr, "with all left out: %s\n%.*s\n", wrong, (int)out.len, out.data);
		abort();
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	/* Kept from beacon to beacon, as a worker does. */
	static struct enricher *enrichers[VARIANTS];
	static struct labels labels[VARIANTS];
	static struct buf out = {.max = (size_t)16 << 20};
	unsigned variant = 0;
	struct request_facts facts;
	struct checked checked;

	for (size_t i = 0; i < size; i++)
		variant += data[i];
	facts = test_facts(variant / VARIANTS % 3);
	variant %= VARIANTS;
	loops_use_avx2(size % 2 == 0);
	if (!enrichers[variant]) {
		labels[WITHOUT] = test_labels;
		labels[WITH_REQUEST] = test_labels_with_request();
		labels[REQUEST_ALONE] = test_labels_of_request_alone();
		enrichers[variant] = enricher_new(&labels[variant], NULL);
	}
	if (!enrichers[variant])
		return 0;
	checked = check_beacon_with(enrichers[variant], (struct view){(const char *)data, size},
				    &facts, &out);
	if (checked.wrong) {
		fprintf(stderr, "%s\n%.*s\n", checked.wrong, (int)out.len,
			out.data ? out.data : "");
		abort();
	}
	check_left_out((struct view){(const char *)data, size});
	return 0;
}
