/* SPDX-License-Identifier: Apache-2.0 */
#include "sink/save.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <unistd.h>

static bool write_all(int fd, struct view bytes)
{
	while (bytes.len > 0) {
		ssize_t n = write(fd, bytes.ptr, bytes.len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return false;
		bytes.ptr += n;
		bytes.len -= (size_t)n;
	}
	return true;
}

static bool save_file(const char *dir, unsigned number, const char *suffix, struct view bytes)
{
	char path[PATH_MAX], temporary[PATH_MAX];
	bool ok;
	int fd;

	if (snprintf(path, sizeof(path), "%s/%06u.%s", dir, number, suffix) >= (int)sizeof(path) ||
	    snprintf(temporary, sizeof(temporary), "%s/.%06u.%s", dir, number, suffix) >=
		    (int)sizeof(temporary)) {
		errno = ENAMETOOLONG;
		return false;
	}
	fd = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
	if (fd < 0)
		return false;
	ok = write_all(fd, bytes);
	ok = close(fd) == 0 && ok;
	ok = ok && rename(temporary, path) == 0;
	if (!ok)
		unlink(temporary);
	return ok;
}

bool save_beacon(const char *dir, unsigned number, struct view headers, struct view body)
{
	if (save_file(dir, number, "headers", headers) && save_file(dir, number, "json", body))
		return true;
	fprintf(stderr, "faro-sink: cannot save beacon %06u in %s: %s\n", number, dir,
		strerror(errno));
	return false;
}
