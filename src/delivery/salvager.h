/* SPDX-License-Identifier: Apache-2.0 */
/*
 * salvager: runs the salvage of a suspected store in a thread of its own, so that neither start nor
 * replay waits for a large database to be read. All functions are called in the spool's thread, or
 * before there is one.
 *
 *	salvager_init → (salvager_start → done())* → salvager_release
 */
#ifndef FARO_DELIVERY_SALVAGER_H
#define FARO_DELIVERY_SALVAGER_H

#include "base/mailbox.h"
#include "delivery/store_salvage.h"

struct salvager {
	struct message message;
	struct salvage salvage;
	struct store *store;
	struct mailbox *mailbox;
	void (*done)(struct salvager *salvager);
	pthread_t thread;
	bool is_running;
	int tries, sound; /* of late */
	int64_t next_us, ended_us;
};

/* done() is called in the loop of `mailbox` when the store may perhaps be opened again. */
void salvager_init(struct salvager *salvager, struct store *store, struct mailbox *mailbox,
		   void (*done)(struct salvager *salvager));
/* Begins, unless one is under way, or the last one was of no use a while ago. */
void salvager_start(struct salvager *salvager, int64_t now_us);
/* Ends one that is under way; nothing was changed by it. Also where init was not called. */
void salvager_release(struct salvager *salvager);

#endif
