/* SPDX-License-Identifier: Apache-2.0 */
#include "sink/delay.h"

#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

struct delay_slot {
	struct delay_slot *previous, *next;
	struct MHD_Connection *connection;
	int64_t due_ms; /* INT64_MAX: never */
	int fd;         /* watched for a hang-up, or -1 */
};

static int64_t now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* With the lock held. */
static void resume(struct delay *delay, struct delay_slot *slot)
{
	if (slot->previous)
		slot->previous->next = slot->next;
	else
		delay->first = slot->next;
	if (slot->next)
		slot->next->previous = slot->previous;
	else
		delay->last = slot->previous;
	if (slot->fd >= 0)
		epoll_ctl(delay->epoll_fd, EPOLL_CTL_DEL, slot->fd, NULL);
	MHD_resume_connection(slot->connection);
	free(slot);
}

/* With the lock held: resumes what is due; the time until the next is, -1 for never. */
static int resume_due(struct delay *delay)
{
	int64_t now = now_ms();

	while (delay->first && (delay->stopping || delay->first->due_ms <= now))
		resume(delay, delay->first);
	if (!delay->first || delay->first->due_ms == INT64_MAX)
		return -1;
	return (int)(delay->first->due_ms - now);
}

static void *run(void *arg)
{
	struct delay *delay = arg;
	struct epoll_event event;
	int timeout_ms = -1;

	for (;;) {
		int n = epoll_wait(delay->epoll_fd, &event, 1, timeout_ms);
		bool stop;

		pthread_mutex_lock(&delay->lock);
		if (n == 1 && event.data.ptr == delay) {
			uint64_t count;
			ssize_t got = read(delay->wake_fd, &count, sizeof(count));

			(void)got;
		} else if (n == 1) {
			resume(delay, event.data.ptr);
		}
		timeout_ms = resume_due(delay);
		stop = delay->stopping;
		pthread_mutex_unlock(&delay->lock);
		if (stop)
			return NULL;
	}
}

bool delay_start(struct delay *delay, int delay_ms)
{
	struct epoll_event event = {.events = EPOLLIN, .data.ptr = delay};

	*delay = (struct delay){.delay_ms = delay_ms};
	pthread_mutex_init(&delay->lock, NULL);
	delay->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	delay->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (delay->epoll_fd < 0 || delay->wake_fd < 0 ||
	    epoll_ctl(delay->epoll_fd, EPOLL_CTL_ADD, delay->wake_fd, &event) < 0)
		return false;
	return pthread_create(&delay->thread, NULL, run, delay) == 0;
}

static void wake(struct delay *delay)
{
	uint64_t one = 1;
	ssize_t put = write(delay->wake_fd, &one, sizeof(one));

	(void)put; /* full means that a wake-up is due already */
}

/* The fd stays open while its connection is suspended, so it can be watched meanwhile. */
static bool watch(struct delay *delay, struct delay_slot *slot)
{
	struct epoll_event event = {.events = EPOLLRDHUP | EPOLLHUP, .data.ptr = slot};
	const union MHD_ConnectionInfo *info =
		MHD_get_connection_info(slot->connection, MHD_CONNECTION_INFO_CONNECTION_FD);

	if (!info)
		return false;
	slot->fd = info->connect_fd;
	return epoll_ctl(delay->epoll_fd, EPOLL_CTL_ADD, slot->fd, &event) == 0;
}

bool delay_add(struct delay *delay, struct MHD_Connection *connection)
{
	struct delay_slot *slot = calloc(1, sizeof(*slot));
	bool ok = false;

	if (!slot)
		return false;
	slot->connection = connection;
	slot->fd = -1;
	pthread_mutex_lock(&delay->lock);
	slot->due_ms = delay->delay_ms < 0 ? INT64_MAX : now_ms() + delay->delay_ms;
	ok = !delay->stopping && (delay->delay_ms >= 0 || watch(delay, slot));
	if (ok) {
		/* Before the lock is let go: a resume must not overtake the suspend. */
		MHD_suspend_connection(connection);
		slot->previous = delay->last;
		*(delay->last ? &delay->last->next : &delay->first) = slot;
		delay->last = slot;
	}
	if (ok && delay->first == slot)
		wake(delay);
	pthread_mutex_unlock(&delay->lock);
	if (!ok)
		free(slot);
	return ok;
}

void delay_stop(struct delay *delay)
{
	pthread_mutex_lock(&delay->lock);
	delay->stopping = true;
	pthread_mutex_unlock(&delay->lock);
	wake(delay);
	pthread_join(delay->thread, NULL);
}

void delay_release(struct delay *delay)
{
	pthread_mutex_destroy(&delay->lock);
	close(delay->epoll_fd);
	close(delay->wake_fd);
}
