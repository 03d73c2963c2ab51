/* SPDX-License-Identifier: Apache-2.0 */
/*
 * id_set: a few ids of records, and whether one is among them. Its owner bounds how many there are.
 */
#ifndef FARO_DELIVERY_ID_SET_H
#define FARO_DELIVERY_ID_SET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "delivery/policy.h"

enum {
	ID_SET_MAX = FINISHED_MAX,
	ID_SET_TABLE = 2 * ID_SET_MAX, /* a power of two; half of it is always free */
};

/* All zeros is the empty set. No id is 0: records have times. */
struct id_set {
	int64_t table[ID_SET_TABLE];
};

/* At most ID_SET_MAX different ones. One that is there already changes nothing. */
void id_set_add(struct id_set *set, int64_t id);
/* One that is not there changes nothing. */
void id_set_remove(struct id_set *set, int64_t id);
bool id_set_has(const struct id_set *set, int64_t id);

#endif
