/* SPDX-License-Identifier: Apache-2.0 */
#include "base/mailbox.h"

#include <sys/eventfd.h>
#include <unistd.h>

#include "base/text.h"

static struct message *take_all(struct mailbox *mailbox)
{
	struct message *first;

	pthread_mutex_lock(&mailbox->mutex);
	first = mailbox->first;
	mailbox->first = NULL;
	mailbox->end = &mailbox->first;
	pthread_mutex_unlock(&mailbox->mutex);
	return first;
}

static void open_messages(struct loop_watch *watch, uint32_t events)
{
	struct mailbox *mailbox = container_of(watch, struct mailbox, watch);
	struct message *message, *next;
	uint64_t count;

	(void)events;
	/* Before the messages are taken, so that one that is posted in between wakes the loop
	 * again. */
	if (read(watch->fd, &count, sizeof(count)) < 0)
		return;
	for (message = take_all(mailbox); message; message = next) {
		next = message->next;
		message->open(message);
	}
}

bool mailbox_init(struct mailbox *mailbox, struct loop *loop)
{
	*mailbox = (struct mailbox){.loop = loop};
	mailbox->end = &mailbox->first;
	pthread_mutex_init(&mailbox->mutex, NULL);
	mailbox->watch.ready = open_messages;
	mailbox->watch.fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	return mailbox->watch.fd >= 0 && loop_watch_set(loop, &mailbox->watch, EPOLLIN);
}

void mailbox_release(struct mailbox *mailbox)
{
	if (mailbox->watch.fd >= 0) {
		loop_watch_set(mailbox->loop, &mailbox->watch, 0);
		close(mailbox->watch.fd);
	}
	mailbox->watch.fd = -1;
	pthread_mutex_destroy(&mailbox->mutex);
}

void mailbox_post(struct mailbox *mailbox, struct message *message)
{
	const uint64_t one = 1;
	bool was_empty;

	message->next = NULL;
	pthread_mutex_lock(&mailbox->mutex);
	was_empty = !mailbox->first;
	*mailbox->end = message;
	mailbox->end = &message->next;
	/* Within the lock, so that who gets the message cannot release the mailbox before the
	 * write. An eventfd that is full wakes the loop, too. */
	if (was_empty && write(mailbox->watch.fd, &one, sizeof(one)) < 0) {
		/* It is full. */
	}
	pthread_mutex_unlock(&mailbox->mutex);
}
