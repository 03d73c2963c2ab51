/* SPDX-License-Identifier: Apache-2.0 */
/*
 * epoll: counts the epoll_ctl(2) of a driver with --wrap=epoll_ctl, and fails the one that a test
 * wants failed.
 */
#ifndef FARO_FAKE_EPOLL_H
#define FARO_FAKE_EPOLL_H

#include <sys/epoll.h>

extern struct fake_epoll {
	unsigned calls; /* of epoll_ctl(2) */
	long changes;   /* those of them that add or modify; the others never fail */
	long fail_at;   /* the number of the change that fails with ENOMEM; -1: none */
} fake_epoll;

int __wrap_epoll_ctl(int epoll, int operation, int fd, struct epoll_event *event);

#endif
