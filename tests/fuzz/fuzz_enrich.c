/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as a beacon: enrich must not crash, and what it accepts must pass every oracle. The sum
 * of the bytes chooses whether there are attributes of the request, and which.
 *
 * Build with -fsanitize=fuzzer,address,undefined; run with -max_len=4000 (the oracles' buffers). */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "beacon/enrich_check.h"
#include "beacon/enrich_labels.h"

enum {
	WITHOUT,
	WITH_REQUEST,
	REQUEST_ALONE,
	VARIANTS
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

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
	return 0;
}
