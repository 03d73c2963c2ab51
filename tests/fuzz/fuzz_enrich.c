/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as a beacon: enrich must not crash, and what it accepts must pass every oracle.
 *
 * Build with -fsanitize=fuzzer,address,undefined; run with -max_len=4000 (the oracles' buffers). */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "beacon/enrich_check.h"
#include "beacon/enrich_labels.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct enricher *enricher; /* kept from beacon to beacon, as a worker does */
	static struct buf out = {.max = (size_t)16 << 20};
	struct checked checked;

	if (!enricher)
		enricher = enricher_new(&test_labels, NULL);
	if (!enricher)
		return 0;
	checked = check_beacon(enricher, (struct view){(const char *)data, size}, &out);
	if (checked.wrong) {
		fprintf(stderr, "%s\n%.*s\n", checked.wrong, (int)out.len,
			out.data ? out.data : "");
		abort();
	}
	return 0;
}
