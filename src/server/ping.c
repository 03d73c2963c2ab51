/* SPDX-License-Identifier: Apache-2.0 */
#include "server/ping.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "server/fcgi.h"

enum {
	TIMEOUT_S = 2,
	REPLY_MAX_BYTES = 4096
};

/* One request, as the FastCGI 1.0 specification lays it out. Lengths are those of the literals. */
static const char request[] = "\1\1\0\1\0\10\0\0" /* FCGI_BEGIN_REQUEST, id 1, 8 bytes */
			      "\0\1\0\0\0\0\0\0"  /* FCGI_RESPONDER, connection not kept */
			      "\1\4\0\1\0\50\0\0" /* FCGI_PARAMS, 40 bytes */
			      "\15\6FARO_ENDPOINThealth"
			      "\16\3REQUEST_METHODGET"
			      "\1\4\0\1\0\0\0\0"  /* end of FCGI_PARAMS */
			      "\1\5\0\1\0\0\0\0"; /* end of FCGI_STDIN */

static int report_failure(const char *path, const char *problem)
{
	fprintf(stderr, "faro-ingest: --ping %s: %s\n", path, problem);
	return EXIT_FAILURE;
}

static int connect_to(const char *path)
{
	const struct timeval timeout = {.tv_sec = TIMEOUT_S};
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd;

	if (strlen(path) >= sizeof(address.sun_path)) {
		errno = ENAMETOOLONG;
		return -1;
	}
	strcpy(address.sun_path, path);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -1;
	if (setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout)) == 0 &&
	    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof(timeout)) == 0 &&
	    connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0)
		return fd;
	close(fd);
	return -1;
}

/* The first record of the answer carries its status line behind eight bytes of header. */
static bool answers(int fd)
{
	static const char expected[] = "Status: 200";
	char reply[REPLY_MAX_BYTES];
	size_t have = 0;

	while (have < FCGI_HEADER_BYTES + sizeof(expected) - 1) {
		ssize_t n = recv(fd, reply + have, sizeof(reply) - have, 0);

		if (n <= 0)
			return false;
		have += (size_t)n;
	}
	return reply[1] == FCGI_STDOUT &&
	       memcmp(reply + FCGI_HEADER_BYTES, expected, sizeof(expected) - 1) == 0;
}

int ping(const char *path)
{
	const char *file = strncmp(path, "unix:", 5) == 0 ? path + 5 : path;
	int fd = connect_to(file);
	int status = EXIT_SUCCESS;

	if (fd < 0)
		return report_failure(path, strerror(errno));
	if (send(fd, request, sizeof(request) - 1, MSG_NOSIGNAL) != (ssize_t)sizeof(request) - 1 ||
	    !answers(fd))
		status = report_failure(path,
					"connected, but there was no healthy answer within 2 s");
	close(fd);
	return status;
}
