/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mailbox: passes work to the thread of a loop.
 *
 * Any thread posts a message; the loop that owns the mailbox opens it in its next turn. Messages
 * are embedded in what they are about, so posting never allocates; it waits for another post at
 * most. The messages of one thread are opened in the order in which it posted them.
 */
#ifndef FARO_BASE_MAILBOX_H
#define FARO_BASE_MAILBOX_H

#include <pthread.h>

#include "base/loop.h"

/* In one mailbox at a time; from mailbox_post() to open() it is the mailbox's. */
struct message {
	struct message *next;
	/* Called in the loop's thread. It may post the message again, anywhere, and free it. */
	void (*open)(struct message *message);
};

struct mailbox {
	struct loop_watch watch; /* an eventfd; -1: not set up */
	struct loop *loop;
	pthread_mutex_t mutex;
	struct message *first, **end;
};

/* False with errno set. */
bool mailbox_init(struct mailbox *mailbox, struct loop *loop);
/* No thread may post any more; messages that were not opened are lost. Also after a failed init. */
void mailbox_release(struct mailbox *mailbox);
void mailbox_post(struct mailbox *mailbox, struct message *message);

#endif
