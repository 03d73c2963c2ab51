/*
 * decode: gzip (RFC 1952) and deflate (RFC 1950 zlib or RFC 1951 raw) under a cap.
 *
 * Stricter than Go's reader: a bad checksum, a cut trailer or anything after the (one) member is an
 * error. Inflating stops at the output buffer's maximum, whatever the input promises.
 */
#ifndef FARO_BEACON_DECODE_H
#define FARO_BEACON_DECODE_H

#include "base/buf.h"
#include "beacon/verdict.h"

enum coding {
	CODING_IDENTITY,
	CODING_GZIP,
	CODING_DEFLATE,
	CODING_UNKNOWN
};

/* The value of Content-Encoding, any case, optional white space around; absent or empty is
 * identity. A list of codings is unknown: no browser sends one. */
enum coding decode_coding(struct view content_encoding);

/* One inflater, reused by one thread. No allocation before the first use. */
struct decoder {
	struct libdeflate_decompressor *inflater;
};

void decoder_init(struct decoder *decoder);
void decoder_release(struct decoder *decoder);

/*
 * Puts the inflated bytes of `in` into `out`, which is empty; the coding is gzip or deflate.
 * VERDICT_OK; VERDICT_BAD_ENCODING with a sentence in *detail (static, else NULL);
 * VERDICT_TOO_LARGE at out's maximum; VERDICT_OVERLOADED without memory. After a failure `out` is empty and the decoder is
 * still usable.
 */
enum verdict decode(struct decoder *decoder, enum coding coding, struct view in, struct buf *out,
		    const char **detail);

#endif
