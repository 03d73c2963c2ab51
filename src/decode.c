#include "decode.h"

#include <limits.h>
#include <stdint.h>
#include <string.h>

/*
 * DESIGN: the inflater writes straight into the output buffer, which grows as needed up to its own
 * maximum; a bomb therefore costs at most that maximum and the time to fill it, and ends in
 * VERDICT_TOO_LARGE. zlib checks the checksum and the length when it reports the end of the stream;
 * what is left of the input then is an error of its own, as a second gzip member would be (a
 * browser's CompressionStream writes exactly one).
 */

/* windowBits as in zlib's manual: 15 for zlib, 15 + 16 for gzip, -15 for raw deflate. */
enum {
	WINDOW_ZLIB = 15,
	WINDOW_GZIP = 15 + 16,
	WINDOW_RAW = -15
};

/* The output is first sized for the usual ratio of JSON, so that it seldom grows. */
enum {
	USUAL_RATIO = 4,
	STEP_BYTES = 16384
};

static struct view trim(struct view v)
{
	while (v.len > 0 && (v.ptr[0] == ' ' || v.ptr[0] == '\t')) {
		v.ptr++;
		v.len--;
	}
	while (v.len > 0 && (v.ptr[v.len - 1] == ' ' || v.ptr[v.len - 1] == '\t'))
		v.len--;
	return v;
}

enum coding decode_coding(struct view content_encoding)
{
	struct view name = trim(content_encoding);

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
	*decoder = (struct decoder){.ready = false};
}

void decoder_release(struct decoder *decoder)
{
	if (decoder->ready)
		inflateEnd(&decoder->stream);
	decoder->ready = false;
}

/* `deflate` is zlib's format by RFC 9110, but browsers and libraries have sent the raw one under
 * that name. The two-byte zlib header tells: method 8, and a multiple of 31. */
static int window_bits(enum coding coding, struct view in)
{
	const unsigned char *p = (const unsigned char *)in.ptr;

	if (coding == CODING_GZIP)
		return WINDOW_GZIP;
	if (in.len >= 2 && (p[0] & 0x0f) == 8 && ((p[0] << 8) | p[1]) % 31 == 0)
		return WINDOW_ZLIB;
	return WINDOW_RAW;
}

static bool prepare(struct decoder *decoder, int bits)
{
	if (decoder->ready)
		return inflateReset2(&decoder->stream, bits) == Z_OK;
	memset(&decoder->stream, 0, sizeof(decoder->stream));
	decoder->ready = inflateInit2(&decoder->stream, bits) == Z_OK;
	return decoder->ready;
}

/* Room for the next step: what the input promises at first, then STEP_BYTES or what is left. */
static enum verdict make_room(struct buf *out, size_t wanted)
{
	size_t left = out->max - out->len;

	if (out->cap > out->len)
		return VERDICT_OK;
	if (left == 0)
		return VERDICT_TOO_LARGE;
	return buf_reserve(out, wanted < left ? wanted : left) == BUF_OK ? VERDICT_OK
									 : VERDICT_OVERLOADED;
}

/* A whole stream that fills the buffer to the last byte is not too large: the inflater gets one
 * byte of its own to show whether more would come. */
static int inflate_at_the_cap(z_stream *stream)
{
	unsigned char beyond;
	int status;

	stream->next_out = &beyond;
	stream->avail_out = 1;
	status = inflate(stream, Z_NO_FLUSH);
	if (status == Z_STREAM_END && stream->avail_out == 1)
		return Z_STREAM_END;
	return stream->avail_out == 0 ? Z_BUF_ERROR : status;
}

static enum verdict judge_end(const z_stream *stream, int status, const char **detail)
{
	if (status == Z_STREAM_END && stream->avail_in == 0)
		return VERDICT_OK;
	if (status == Z_MEM_ERROR)
		return VERDICT_OVERLOADED;
	if (status == Z_STREAM_END)
		*detail = "Bytes follow the end of the compressed body; send exactly one member.";
	else if (status == Z_BUF_ERROR || status == Z_OK)
		*detail = "The compressed body ends early; send it whole, with its trailer.";
	else
		*detail = "The body does not inflate; compress it again, or send it without "
			  "Content-Encoding.";
	return VERDICT_BAD_ENCODING;
}

static enum verdict inflate_all(z_stream *stream, struct buf *out, const char **detail)
{
	size_t wanted = (size_t)stream->avail_in * USUAL_RATIO;
	int status = Z_OK;

	while (status == Z_OK) {
		enum verdict room = make_room(out, wanted > STEP_BYTES ? wanted : STEP_BYTES);
		uInt avail;

		if (room == VERDICT_TOO_LARGE) {
			status = inflate_at_the_cap(stream);
			if (stream->avail_out == 0)
				return VERDICT_TOO_LARGE;
			break;
		}
		if (room != VERDICT_OK)
			return room;
		avail = out->cap - out->len < UINT_MAX ? (uInt)(out->cap - out->len) : UINT_MAX;
		stream->next_out = (unsigned char *)out->data + out->len;
		stream->avail_out = avail;
		status = inflate(stream, Z_NO_FLUSH);
		out->len += avail - stream->avail_out;
		if (status == Z_OK && stream->avail_in == 0 && stream->avail_out > 0)
			break;
		wanted = out->len / 2;
	}
	return judge_end(stream, status, detail);
}

enum verdict decode(struct decoder *decoder, enum coding coding, struct view in, struct buf *out,
		    const char **detail)
{
	*detail = "";
	if (in.len > UINT_MAX)
		return VERDICT_TOO_LARGE;
	if (!prepare(decoder, window_bits(coding, in)))
		return VERDICT_OVERLOADED;
	/* zlib's interface is older than const. */
	decoder->stream.next_in = (unsigned char *)(uintptr_t)in.ptr;
	decoder->stream.avail_in = (uInt)in.len;
	return inflate_all(&decoder->stream, out, detail);
}
