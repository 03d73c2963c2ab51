/* SPDX-License-Identifier: Apache-2.0 */
#include "fakes/epoll.h"

#include <errno.h>

struct fake_epoll fake_epoll = {.fail_at = -1};

int __real_epoll_ctl(int epoll, int operation, int fd, struct epoll_event *event);

int __wrap_epoll_ctl(int epoll, int operation, int fd, struct epoll_event *event)
{
	fake_epoll.calls++;
	if (operation != EPOLL_CTL_DEL && fake_epoll.changes++ == fake_epoll.fail_at) {
		errno = ENOMEM;
		return -1;
	}
	return __real_epoll_ctl(epoll, operation, fd, event);
}
