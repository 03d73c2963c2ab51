/* SPDX-License-Identifier: Apache-2.0 */
#include "sink/gunzip.h"

#include <stdint.h>
#include <zlib.h>

enum {
	WINDOW_GZIP = 15 + 16
}; /* zlib's windowBits for gzip alone */

enum gunzip_result gunzip(struct view in, struct buf *out)
{
	gz_header header = {.done = 0};
	z_stream stream = {.next_in = (Bytef *)(uintptr_t)in.ptr, .avail_in = (uInt)in.len};
	enum gunzip_result result_if_gzip = GUNZIP_OK;
	int result = Z_OK;

	if (inflateInit2(&stream, WINDOW_GZIP) != Z_OK)
		return GUNZIP_TOO_LARGE;
	inflateGetHeader(&stream, &header);
	while (result == Z_OK) {
		if (buf_reserve(out, 1) != BUF_OK) {
			result_if_gzip = GUNZIP_TOO_LARGE;
			break;
		}
		stream.next_out = (Bytef *)out->data + out->len;
		stream.avail_out = (uInt)(out->cap - out->len);
		result = inflate(&stream, Z_NO_FLUSH);
		out->len = out->cap - stream.avail_out;
		if (result == Z_STREAM_END && stream.avail_in > 0)
			result = inflateReset(&stream);
	}
	inflateEnd(&stream);
	return header.done == 1 || out->len > 0 ? result_if_gzip : GUNZIP_NOT_GZIP;
}
