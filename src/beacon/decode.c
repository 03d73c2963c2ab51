#include "beacon/decode.h"

#include <libdeflate.h>
#include <stdint.h>

/*
 * DESIGN: a body is there as a whole before it is inflated, so libdeflate does it in one call, from
 * buffer to buffer, in half of zlib's time (bench/RESULTS.md). It must be told how much room there
 * is: gzip says at its end how long the content is, which saves guessing and is not trusted; for
 * zlib and raw deflate the usual ratio of JSON is tried first. Where the room was too small there
 * is another try with more, up to the output's maximum; a bomb costs at most two times that maximum
 * and ends in VERDICT_TOO_LARGE. libdeflate compares checksum and length; what is left of the input
 * then is an error of its own, as a second gzip member would be (a browser's CompressionStream
 * writes exactly one).
 */
enum {
	USUAL_RATIO = 6,
	MORE_ROOM = 8,
	GZIP_MIN_BYTES = 18, /* header and trailer */
};

enum coding decode_coding(struct view content_encoding)
{
	struct view name = view_trim(content_encoding);

	if (name.len == 0 || view_equals_nocase(name, VIEW_LITERAL("identity")))
		return CODING_IDENTITY;
	if (view_equals_nocase(name, VIEW_LITERAL("gzip")))
		return CODING_GZIP;
	if (view_equals_nocase(name, VIEW_LITERAL("deflate")))
		return CODING_DEFLATE;
	return CODING_UNKNOWN;
}

void decoder_init(struct decoder *decoder)
{
	decoder->inflater = NULL;
}

void decoder_release(struct decoder *decoder)
{
	libdeflate_free_decompressor(decoder->inflater);
	decoder->inflater = NULL;
}

enum format {
	FORMAT_GZIP,
	FORMAT_ZLIB,
	FORMAT_RAW
};

/* `deflate` is zlib's format by RFC 9110, but browsers and libraries have sent the raw one under
 * that name. The two-byte zlib header tells: method 8, and a multiple of 31. */
static enum format find_format(enum coding coding, struct view in)
{
	const unsigned char *p = (const unsigned char *)in.ptr;

	if (coding == CODING_GZIP)
		return FORMAT_GZIP;
	if (in.len >= 2 && (p[0] & 0x0f) == 8 && ((p[0] << 8) | p[1]) % 31 == 0)
		return FORMAT_ZLIB;
	return FORMAT_RAW;
}

static size_t times(size_t n, size_t factor, size_t max)
{
	return n < max / factor ? n * factor : max;
}

static size_t guess_room(enum format format, struct view in, size_t max)
{
	const unsigned char *end = (const unsigned char *)in.ptr + in.len;

	if (format == FORMAT_GZIP && in.len >= GZIP_MIN_BYTES)
		return (size_t)end[-4] | (size_t)end[-3] << 8 | (size_t)end[-2] << 16 |
		       (size_t)end[-1] << 24;
	return times(in.len, USUAL_RATIO, max);
}

static enum libdeflate_result inflate_once(struct decoder *decoder, enum format format,
					   struct view in, size_t *used, struct buf *out)
{
	struct libdeflate_decompressor *d = decoder->inflater;

	if (format == FORMAT_GZIP)
		return libdeflate_gzip_decompress_ex(d, in.ptr, in.len, out->data, out->cap, used,
						     &out->len);
	if (format == FORMAT_ZLIB)
		return libdeflate_zlib_decompress_ex(d, in.ptr, in.len, out->data, out->cap, used,
						     &out->len);
	return libdeflate_deflate_decompress_ex(d, in.ptr, in.len, out->data, out->cap, used,
						&out->len);
}

static enum verdict inflate(struct decoder *decoder, enum format format, struct view in,
			    struct buf *out, const char **detail)
{
	enum libdeflate_result result;
	size_t room = guess_room(format, in, out->max), used = 0;

	do {
		buf_clear(out);
		room = room < out->max ? room + 1
				       : out->max; /* an empty content needs a buffer too */
		if (buf_reserve(out, room) != BUF_OK)
			return VERDICT_OVERLOADED;
		result = inflate_once(decoder, format, in, &used, out);
		room = times(out->cap, MORE_ROOM, out->max);
	} while (result == LIBDEFLATE_INSUFFICIENT_SPACE && out->cap < out->max);
	if (result == LIBDEFLATE_INSUFFICIENT_SPACE)
		return VERDICT_TOO_LARGE;
	if (result == LIBDEFLATE_SUCCESS && used == in.len)
		return VERDICT_OK;
	*detail =
		result == LIBDEFLATE_SUCCESS
			? "Bytes follow the end of the compressed body; send exactly one member."
			: "The compressed body is damaged or cut short; compress it again and send "
			  "it whole, or send it without Content-Encoding.";
	return VERDICT_BAD_ENCODING;
}

enum verdict decode(struct decoder *decoder, enum coding coding, struct view in, struct buf *out,
		    const char **detail)
{
	enum verdict verdict;

	*detail = NULL;
	if (!decoder->inflater)
		decoder->inflater = libdeflate_alloc_decompressor();
	if (!decoder->inflater)
		return VERDICT_OVERLOADED;
	verdict = inflate(decoder, find_format(coding, in), in, out, detail);
	if (verdict != VERDICT_OK)
		buf_clear(out);
	return verdict;
}
