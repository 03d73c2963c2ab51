/* SPDX-License-Identifier: Apache-2.0 */
/* DESIGN: a hash table with linear probing and no tombstones. */
#include "delivery/id_set.h"

static size_t next_place(size_t place)
{
	return (place + 1) % ID_SET_TABLE;
}

/* Where it is, or the free place that it would get. */
static size_t find_place(const struct id_set *set, int64_t id)
{
	/* Ids are times or follow each other; the upper bits of the product depend on all. */
	size_t place = (size_t)((uint64_t)id * UINT64_C(0x9e3779b97f4a7c15) >> 32) % ID_SET_TABLE;

	while (set->table[place] != 0 && set->table[place] != id)
		place = next_place(place);
	return place;
}

void id_set_add(struct id_set *set, int64_t id)
{
	set->table[find_place(set, id)] = id;
}

void id_set_remove(struct id_set *set, int64_t id)
{
	size_t place = find_place(set, id);

	set->table[place] = 0;
	/* Those that follow it without a gap may be where they are because of it. */
	for (place = next_place(place); set->table[place] != 0; place = next_place(place)) {
		int64_t other = set->table[place];

		set->table[place] = 0;
		set->table[find_place(set, other)] = other;
	}
}

bool id_set_has(const struct id_set *set, int64_t id)
{
	return set->table[find_place(set, id)] == id && id != 0;
}
