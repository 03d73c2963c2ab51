/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DESIGN: of SQLite's file format no more than a leaf of a table: its first byte is LEAF, two bytes at
 * 3 say how many cells it has, and from 8 on two bytes each say where they are. A cell begins with two
 * varints, the length of the row and its id. A log has a header, and one before each page.
 */
#include "delivery/store_pages.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <unistd.h>

#include "delivery/store_schema.h"

enum {
	LEAF = 13,
	CELL_POINTERS_AT = 8,
	LOG_HEADER_BYTES = 32,
	FRAME_HEADER_BYTES = 24,
	VARINT_MAX_BYTES = 9,
	PAGE = STORE_PAGE_BYTES,
};

static unsigned read_u16(const unsigned char *page, size_t at)
{
	return (unsigned)page[at] << 8 | page[at + 1];
}

/* Seven bits of each byte, whose eighth says whether there is a next; all of the ninth. */
static size_t skip_varint(const unsigned char *page, size_t at, uint64_t *value)
{
	*value = 0;
	for (int n = 1; at < PAGE; n++) {
		unsigned char byte = page[at++];

		if (n == VARINT_MAX_BYTES) {
			*value = *value << 8 | byte;
			break;
		}
		*value = *value << 7 | (byte & 0x7f);
		if (byte < 0x80)
			break;
	}
	return at;
}

static bool read_page(const unsigned char *page, bool (*found)(void *context, int64_t id),
		      void *context)
{
	size_t cells = page[0] == LEAF ? read_u16(page, 3) : 0;

	for (size_t i = 0; i < cells && CELL_POINTERS_AT + 2 * i + 1 < PAGE; i++) {
		uint64_t len, id;
		size_t at = skip_varint(page, read_u16(page, CELL_POINTERS_AT + 2 * i), &len);

		if (at >= PAGE)
			continue;
		skip_varint(page, at, &id);
		if (!found(context, (int64_t)id))
			return false;
	}
	return true;
}

bool store_pages_read(const char *path, bool is_log, bool (*found)(void *context, int64_t id),
		      void *context)
{
	unsigned char page[PAGE];
	off_t at = is_log ? LOG_HEADER_BYTES + FRAME_HEADER_BYTES : 0;
	int error, fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	ssize_t n;

	if (fd < 0)
		return errno == ENOENT;
	while ((n = pread(fd, page, sizeof(page), at)) == PAGE && read_page(page, found, context))
		at += is_log ? FRAME_HEADER_BYTES + PAGE : PAGE;
	error = errno;
	close(fd);
	errno = error;
	return n >= 0;
}
