/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ping: is the responder behind this socket alive? The client half of FastCGI, for --ping and the
 * liveness probes that run it.
 */
#ifndef FARO_SERVER_PING_H
#define FARO_SERVER_PING_H

/* `path` is a unix socket, with or without unix: before it. Asks for the health page and waits at
 * most two seconds. Exit status: 0 with nothing said, else 1 with the reason on stderr. */
int ping(const char *path);

#endif
