/* SPDX-License-Identifier: Apache-2.0 */
/*
 * listener: the socket that nginx connects to, opened by us (--listen) or inherited as fd 0.
 *
 * Called by main while the process has one thread (it sets the umask for a moment).
 */
#ifndef FARO_SERVER_LISTENER_H
#define FARO_SERVER_LISTENER_H

#include <stdbool.h>
#include <stdio.h>
#include <sys/types.h>

struct listener {
	int fd;           /* non-blocking; -1: closed */
	const char *path; /* of a unix socket that we made, else NULL */
	dev_t device;     /* and which file that was */
	ino_t inode;
};

/*
 * Opens unix:PATH, a path that begins with '/', PORT, or ADDRESS:PORT. A unix socket gets `mode`,
 * and one that nobody listens on any more is removed first; one that is in use is not. An address
 * other than a loopback one is refused, since FastCGI has no notion of who may speak it. False
 * after one line on `errors` that says what to do. `spec` must live as long as the listener.
 */
bool listener_open(struct listener *listener, const char *spec, mode_t mode, FILE *errors);

/* True if `fd` is a listening socket, as spawn-fcgi leaves it on fd 0. */
bool listener_is_listening(int fd);
/* Takes over a listening socket, under the same rule for addresses. */
bool listener_adopt(struct listener *listener, int fd, FILE *errors);

/* Stops listening; removes the unix socket if it is still the one that we made. */
void listener_close(struct listener *listener);

#endif
