/* SPDX-License-Identifier: Apache-2.0 */
#include "base/spares.h"

void spares_init(struct spares *spares, size_t max, void (*free)(struct spare *spare))
{
	*spares = (struct spares){.max = max, .free = free};
}

struct spare *spares_take(struct spares *spares)
{
	struct spare *spare = spares->first;

	if (!spare)
		return NULL;
	spares->first = spare->next;
	spares->count--;
	return spare;
}

void spares_keep(struct spares *spares, struct spare *spare, int64_t now_us)
{
	if (spares->count >= spares->max) {
		spares->free(spare);
		return;
	}
	spare->kept_us = now_us;
	spare->next = spares->first;
	spares->first = spare;
	spares->count++;
}

void spares_trim(struct spares *spares, int64_t before_us)
{
	struct spare **link = &spares->first, *spare;

	while (*link && (*link)->kept_us > before_us)
		link = &(*link)->next;
	/* Those behind it have been kept for longer. */
	while ((spare = *link)) {
		*link = spare->next;
		spares->count--;
		spares->free(spare);
	}
}

void spares_release(struct spares *spares)
{
	spares_trim(spares, INT64_MAX);
}
