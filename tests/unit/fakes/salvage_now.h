/* SPDX-License-Identifier: Apache-2.0 */
/*
 * For a driver of the store: what the spool has a thread for, in the test's own. To be included once a
 * driver.
 */
#ifndef FARO_SALVAGE_NOW_H
#define FARO_SALVAGE_NOW_H

#include "delivery/store_salvage.h"

/* Of the salvage that salvage_now() ran last. */
static struct salvage salvaged;

/* Salvages a suspected store, which may then be opened unless the result says otherwise. */
static enum salvage_result salvage_now(struct store *store)
{
	salvage_init(&salvaged, store, false);
	salvage_run(&salvaged);
	store_end_salvage(store, &salvaged);
	salvage_release(&salvaged);
	return salvaged.result;
}

/* Opens it, salvaged if need be. */
static enum store_result open_or_salvage(struct store *store)
{
	enum store_result result = store_open(store);

	if (result == STORE_OK || !store_is_suspected(store))
		return result;
	salvage_now(store);
	return store_open(store);
}

#endif
