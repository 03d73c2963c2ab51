/* SPDX-License-Identifier: Apache-2.0 */
#include "base/text.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

bool view_next_item(struct view *list, struct view *item)
{
	while (list->len > 0) {
		const char *comma = memchr(list->ptr, ',', list->len);
		size_t n = comma ? (size_t)(comma - list->ptr) : list->len;
		size_t taken = comma ? n + 1 : n;

		*item = view_trim((struct view){list->ptr, n});
		list->ptr += taken;
		list->len -= taken;
		if (item->len > 0)
			return true;
	}
	return false;
}

size_t view_count_items(struct view list)
{
	struct view item;
	size_t n = 0;

	while (view_next_item(&list, &item))
		n++;
	return n;
}

static long read_all(int fd, char *out, size_t size)
{
	size_t len = 0;
	ssize_t n;

	while (len < size && (n = read(fd, out + len, size - len)) != 0) {
		if (n > 0)
			len += (size_t)n;
		else if (errno != EINTR)
			return -1;
	}
	return (long)len;
}

long read_small_file(const char *path, char *out, size_t size, struct stat *seen)
{
	int error, fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	struct stat status;
	long n = -1;

	if (fd < 0)
		return -1;
	if (!seen)
		seen = &status;
	if (fstat(fd, seen) == 0) {
		errno = EINVAL;
		if (S_ISREG(seen->st_mode))
			n = read_all(fd, out, size);
	}
	error = errno;
	close(fd);
	errno = error;
	return n;
}
