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
static void resume(struct park *park, struct delay_slot *slot)
{
	if (slot->previous)
		slot->previous->next = slot->next;
	else
		park->first = slot->next;
	if (slot->next)
		slot->next->previous = slot->previous;
	else
		park->last = slot->previous;
	if (slot->fd >= 0)
		epoll_ctl(park->epoll_fd, EPOLL_CTL_DEL, slot->fd, NULL);
	MHD_resume_connection(slot->connection);
	free(slot);
}

/* With the lock held: resumes what is due; the time until the next is, -1 for never. */
static int resume_due(struct park *park)
{
	int64_t now = now_ms();

	while (park->first && (park->stopping || park->first->due_ms <= now))
		resume(park, park->first);
	if (!park->first || park->first->due_ms == INT64_MAX)
		return -1;
	return (int)(park->first->due_ms - now);
}

static void *run(void *arg)
{
	struct park *park = arg;
	struct epoll_event event;
	int timeout_ms = -1;

	for (;;) {
		int n = epoll_wait(park->epoll_fd, &event, 1, timeout_ms);
		bool stop;

		pthread_mutex_lock(&park->lock);
		if (n == 1 && event.data.ptr == park) {
			uint64_t count;
			ssize_t got = read(park->wake_fd, &count, sizeof(count));

			(void)got;
		} else if (n == 1) {
			resume(park, event.data.ptr);
		}
		timeout_ms = resume_due(park);
		stop = park->stopping;
		pthread_mutex_unlock(&park->lock);
		if (stop)
			return NULL;
	}
}

bool delay_start(struct park *park, int delay_ms)
{
	struct epoll_event event = {.events = EPOLLIN, .data.ptr = park};

	*park = (struct park){.delay_ms = delay_ms};
	pthread_mutex_init(&park->lock, NULL);
	park->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	park->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (park->epoll_fd < 0 || park->wake_fd < 0 ||
	    epoll_ctl(park->epoll_fd, EPOLL_CTL_ADD, park->wake_fd, &event) < 0)
		return false;
	return pthread_create(&park->thread, NULL, run, park) == 0;
}

static void wake(struct park *park)
{
	uint64_t one = 1;
	ssize_t put = write(park->wake_fd, &one, sizeof(one));

	(void)put; /* full means that a wake-up is due already */
}

/* The fd stays open while its connection is suspended, so it can be watched meanwhile. */
static bool watch(struct park *park, struct delay_slot *slot)
{
	struct epoll_event event = {.events = EPOLLRDHUP | EPOLLHUP, .data.ptr = slot};
	const union MHD_ConnectionInfo *info =
		MHD_get_connection_info(slot->connection, MHD_CONNECTION_INFO_CONNECTION_FD);

	if (!info)
		return false;
	slot->fd = info->connect_fd;
	return epoll_ctl(park->epoll_fd, EPOLL_CTL_ADD, slot->fd, &event) == 0;
}

bool delay_add(struct park *park, struct MHD_Connection *connection)
{
	struct delay_slot *slot = calloc(1, sizeof(*slot));
	bool ok = false;

	if (!slot)
		return false;
	slot->connection = connection;
	slot->fd = -1;
	pthread_mutex_lock(&park->lock);
	slot->due_ms = park->delay_ms < 0 ? INT64_MAX : now_ms() + park->delay_ms;
	ok = !park->stopping && (park->delay_ms >= 0 || watch(park, slot));
	if (ok) {
		/* Before the lock is let go: a resume must not overtake the suspend. */
		MHD_suspend_connection(connection);
		slot->previous = park->last;
		*(park->last ? &park->last->next : &park->first) = slot;
		park->last = slot;
	}
	if (ok && park->first == slot)
		wake(park);
	pthread_mutex_unlock(&park->lock);
	if (!ok)
		free(slot);
	return ok;
}

void delay_stop(struct park *park)
{
	pthread_mutex_lock(&park->lock);
	park->stopping = true;
	pthread_mutex_unlock(&park->lock);
	wake(park);
	pthread_join(park->thread, NULL);
}

void delay_release(struct park *park)
{
	pthread_mutex_destroy(&park->lock);
	close(park->epoll_fd);
	close(park->wake_fd);
}
