/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DESIGN: a body is there as a whole before it is inflated, so libdeflate does it in one call, from
 * buffer to buffer, in half of zlib's time (bench/RESULTS.md). It must be told how much room there
 * is. At the end of gzip stands how long the content is: that is a good first guess, and is not
 * trusted. For zlib and raw deflate the usual ratio of JSON is tried first. Where the room was too
 * small there is another try with more, up to the output's maximum; a bomb costs at most two times
 * that maximum and ends in VERDICT_TOO_LARGE. libdeflate compares checksum and length. Bytes that
 * are left of the input are an error of their own, and so is a second gzip member (a browser's
 * CompressionStream writes exactly one).
 */
#include "beacon/decode.h"

#include <libdeflate.h>
#include <stdint.h>

enum {
	USUAL_RATIO = 6,
	MORE_ROOM = 8,
	GZIP_MIN_BYTES = 18, /* header and trailer */
};

/* --- the codings --------------------------------------------------------------------- */

struct format {
	enum libdeflate_result (*inflate)(struct libdeflate_decompressor *inflater, const void *in,
					  size_t in_len, void *out, size_t out_len, size_t *used,
					  size_t *made);
	bool ends_with_length;
};

static const struct format gzip = {libdeflate_gzip_decompress_ex, true};
static const struct format zlib = {libdeflate_zlib_decompress_ex, false};
static const struct format raw = {libdeflate_deflate_decompress_ex, false};

static const struct format *find_gzip(struct view in)
{
	(void)in;
	return &gzip;
}

/* `deflate` is zlib's format by RFC 9110, but browsers and libraries have sent the raw one under
 * that name. The two bytes of zlib's header tell: method 8, and a multiple of 31. */
static const struct format *find_zlib_or_raw(struct view in)
{
	const unsigned char *p = (const unsigned char *)in.ptr;
	bool is_zlib = in.len >= 2 && (p[0] & 0x0f) == 8 && ((p[0] << 8) | p[1]) % 31 == 0;

	return is_zlib ? &zlib : &raw;
}

#define ROW(constant, name, find_format) [CODING_##constant] = {VIEW_CONSTANT(name), find_format},

#define NAME(constant, name, find_format)       name
#define COMMA_NAME(constant, name, find_format) ", " name
#define OR_NAME(constant, name, find_format)    " or " name

static const struct {
	struct view name;
	const struct format *(*find_format)(struct view in);
} codings[] = {[CODING_IDENTITY] = {VIEW_CONSTANT("identity"), NULL}, CODINGS(ROW, ROW)};

const char decode_accept_encoding[] = CODINGS(NAME, COMMA_NAME);
const char decode_advice[] =
	"Send Content-Encoding: " CODINGS(NAME, OR_NAME) ", one of them at most, or none.";

enum coding decode_coding(struct view content_encoding)
{
	struct view name = view_trim(content_encoding);
	size_t coding;

	if (name.len == 0)
		return CODING_IDENTITY;
	for (coding = 0; coding < CODING_UNKNOWN; coding++)
		if (view_equals_nocase(name, codings[coding].name))
			break;
	return (enum coding)coding;
}

/* --- inflating ----------------------------------------------------------------------- */

void decoder_init(struct decoder *decoder)
{
	decoder->inflater = NULL;
}

void decoder_release(struct decoder *decoder)
{
	libdeflate_free_decompressor(decoder->inflater);
	decoder->inflater = NULL;
}

static size_t times(size_t n, size_t factor, size_t max)
{
	return n < max / factor ? n * factor : max;
}

static size_t guess_room(const struct format *format, struct view in, size_t max)
{
	const unsigned char *end = (const unsigned char *)in.ptr + in.len;

	if (format->ends_with_length && in.len >= GZIP_MIN_BYTES)
		return (size_t)end[-4] | (size_t)end[-3] << 8 | (size_t)end[-2] << 16 |
		       (size_t)end[-1] << 24;
	return times(in.len, USUAL_RATIO, max);
}

static enum verdict inflate(struct decoder *decoder, const struct format *format, struct view in,
			    struct buf *out, const char **detail)
{
	enum libdeflate_result result;
	size_t room = guess_room(format, in, out->max), used = 0;

	do {
		buf_clear(out);
		/* An empty content needs a buffer too. */
		room = room < out->max ? room + 1 : out->max;
		if (buf_reserve(out, room) != BUF_OK)
			return VERDICT_OVERLOADED;
		result = format->inflate(decoder->inflater, in.ptr, in.len, out->data, out->cap,
					 &used, &out->len);
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
	verdict = inflate(decoder, codings[coding].find_format(in), in, out, detail);
	if (verdict != VERDICT_OK)
		buf_clear(out);
	return verdict;
}
