/* SPDX-License-Identifier: Apache-2.0 */
#include "server/listener.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

/* A full backlog is an instant 502 at nginx, so it is as long as the kernel allows (somaxconn). */
enum {
	BACKLOG = 4096
};

static int complain(FILE *errors, const char *spec, const char *problem)
{
	fprintf(errors, "faro-ingest: --listen=%s: %s\n", spec, problem);
	return -1;
}

static int complain_errno(FILE *errors, const char *spec, const char *what)
{
	fprintf(errors, "faro-ingest: --listen=%s: %s: %s\n", spec, what, strerror(errno));
	return -1;
}

/* A socket file outlives its process; then nobody accepts connections there. (Connecting to any
 * other kind of file is refused too, and that file is not ours to remove.) */
static bool is_stale(const struct sockaddr_un *address)
{
	struct stat present;
	bool refused;
	int fd;

	if (lstat(address->sun_path, &present) != 0 || !S_ISSOCK(present.st_mode))
		return false;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return false;
	refused = connect(fd, (const struct sockaddr *)address, sizeof(*address)) != 0 &&
		  errno == ECONNREFUSED;
	close(fd);
	return refused;
}

/* The umask makes the socket appear with its mode already, not with a wider one for a moment. */
static int bind_with_mode(int fd, const struct sockaddr_un *address, mode_t mode)
{
	mode_t before = umask(~mode & 0777);
	int result = bind(fd, (const struct sockaddr *)address, sizeof(*address));
	int error = errno;

	umask(before);
	errno = error;
	return result;
}

static int bind_unix(int fd, const struct sockaddr_un *address, mode_t mode, const char *spec,
		     FILE *errors)
{
	if (bind_with_mode(fd, address, mode) == 0)
		return 0;
	if (errno != EADDRINUSE)
		return complain_errno(errors, spec, "cannot create the socket");
	if (!is_stale(address))
		return complain(errors, spec,
				"something already listens there, or it is not a socket; stop that "
				"process or choose another path");
	if (unlink(address->sun_path) != 0 || bind_with_mode(fd, address, mode) != 0)
		return complain_errno(errors, spec, "cannot replace the socket left behind there");
	return 0;
}

static int open_unix(struct listener *listener, const char *spec, const char *path, mode_t mode,
		     FILE *errors)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	struct stat made;
	int fd;

	if (path[0] == '\0' || strlen(path) >= sizeof(address.sun_path))
		return complain(errors, spec,
				"expected the path of a unix socket, up to 107 bytes");
	strcpy(address.sun_path, path);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return complain_errno(errors, spec, "cannot make a socket");
	if (bind_unix(fd, &address, mode, spec, errors) != 0) {
		close(fd);
		return -1;
	}
	if (stat(path, &made) == 0) {
		listener->path = path;
		listener->device = made.st_dev;
		listener->inode = made.st_ino;
	}
	return fd;
}

static bool is_loopback(const struct sockaddr *address)
{
	if (address->sa_family == AF_INET) {
		const struct sockaddr_in *v4 = (const struct sockaddr_in *)(const void *)address;

		return ntohl(v4->sin_addr.s_addr) >> 24 == IN_LOOPBACKNET;
	}
	if (address->sa_family == AF_INET6) {
		const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)(const void *)address;

		return IN6_IS_ADDR_LOOPBACK(&v6->sin6_addr);
	}
	return false;
}

static int bind_tcp(const struct addrinfo *found, const char *spec, FILE *errors)
{
	const int on = 1;
	int fd;

	if (!is_loopback(found->ai_addr))
		return complain(errors, spec,
				"only a loopback address is allowed, because FastCGI has no "
				"authentication; use 127.0.0.1, [::1] or a unix socket");
	fd = socket(found->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return complain_errno(errors, spec, "cannot make a socket");
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (bind(fd, found->ai_addr, found->ai_addrlen) != 0) {
		close(fd);
		return complain_errno(errors, spec, "cannot bind");
	}
	return fd;
}

/* PORT, ADDRESS:PORT or [ADDRESS]:PORT. */
static int open_tcp(const char *spec, FILE *errors)
{
	const struct addrinfo hints = {.ai_socktype = SOCK_STREAM,
				       .ai_flags = AI_NUMERICHOST | AI_NUMERICSERV};
	const char *colon = strrchr(spec, ':');
	const char *port = colon ? colon + 1 : spec;
	char address[64] = "127.0.0.1";
	struct addrinfo *found;
	int fd;

	if (colon) {
		bool brackets = spec[0] == '[' && colon[-1] == ']';
		size_t len = (size_t)(colon - spec) - (brackets ? 2 : 0);

		if (len == 0 || len >= sizeof(address))
			return complain(errors, spec, "expected unix:PATH, PORT or ADDRESS:PORT");
		memcpy(address, spec + (brackets ? 1 : 0), len);
		address[len] = '\0';
	}
	/* getaddrinfo() takes numbers above 65535 and cuts them. */
	if (strspn(port, "0123456789") != strlen(port) || strtoul(port, NULL, 10) > UINT16_MAX ||
	    port[0] == '\0' || getaddrinfo(address, port, &hints, &found) != 0)
		return complain(errors, spec, "expected unix:PATH, PORT or ADDRESS:PORT");
	fd = bind_tcp(found, spec, errors);
	freeaddrinfo(found);
	return fd;
}

bool listener_open(struct listener *listener, const char *spec, mode_t mode, FILE *errors)
{
	*listener = (struct listener){.fd = -1};
	if (strncmp(spec, "unix:", 5) == 0)
		listener->fd = open_unix(listener, spec, spec + 5, mode, errors);
	else if (spec[0] == '/')
		listener->fd = open_unix(listener, spec, spec, mode, errors);
	else
		listener->fd = open_tcp(spec, errors);
	if (listener->fd < 0)
		return false;
	if (listen(listener->fd, BACKLOG) != 0) {
		complain_errno(errors, spec, "cannot listen");
		listener_close(listener);
		return false;
	}
	return true;
}

bool listener_is_listening(int fd)
{
	int listening = 0;
	socklen_t size = sizeof(listening);

	return getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listening, &size) == 0 && listening;
}

bool listener_adopt(struct listener *listener, int fd, FILE *errors)
{
	struct sockaddr_storage address = {0};
	socklen_t size = sizeof(address);
	int flags = fcntl(fd, F_GETFL);

	*listener = (struct listener){.fd = -1};
	if (getsockname(fd, (struct sockaddr *)&address, &size) == 0 &&
	    address.ss_family != AF_UNIX && !is_loopback((struct sockaddr *)&address)) {
		fputs("faro-ingest: the inherited socket is open to other machines, and FastCGI "
		      "has no authentication; give spawn-fcgi -s PATH, or -a 127.0.0.1 with -p\n",
		      errors);
		return false;
	}
	/* A spawner's backlog may be short; listening again lengthens it. */
	if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) != 0 || listen(fd, BACKLOG) != 0) {
		fprintf(errors, "faro-ingest: cannot use the inherited socket: %s\n",
			strerror(errno));
		return false;
	}
	listener->fd = fd;
	return true;
}

void listener_close(struct listener *listener)
{
	struct stat present;

	if (listener->fd < 0)
		return;
	if (listener->path && lstat(listener->path, &present) == 0 &&
	    present.st_dev == listener->device && present.st_ino == listener->inode)
		unlink(listener->path);
	close(listener->fd);
	listener->fd = -1;
}
