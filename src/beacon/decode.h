/* SPDX-License-Identifier: Apache-2.0 */
/*
 * decode: a compressed body, inflated up to a maximum. What the codings are: CODINGS.
 *
 * Stricter than Go's reader: a bad checksum, a cut trailer or anything after the one member is an
 * error. Inflating stops at the output buffer's maximum, whatever the input promises.
 */
#ifndef FARO_BEACON_DECODE_H
#define FARO_BEACON_DECODE_H

#include "base/buf.h"
#include "beacon/verdict.h"

/* Every coding but identity: the end of its constant's name, its name in Content-Encoding, and the
 * function of decode.c that finds the format of a body. Accept-Encoding has them in this order, and
 * the first is apart because no separator stands before it. */
#define CODINGS(FIRST, NEXT)           \
	FIRST(GZIP, "gzip", find_gzip) \
	NEXT(DEFLATE, "deflate", find_zlib_or_raw)

enum coding {
	CODING_IDENTITY,
#define CODING_CONSTANT(constant, name, find_format) CODING_##constant,
	CODINGS(CODING_CONSTANT, CODING_CONSTANT)
#undef CODING_CONSTANT
	CODING_UNKNOWN
};

/* The value of Content-Encoding, in any case and with white space around it. Absent or empty is
 * identity. A list of codings is unknown: no browser sends one. */
enum coding decode_coding(struct view content_encoding);

/* What a browser with an unknown coding is told: the value of Accept-Encoding, and a sentence. */
extern const char decode_accept_encoding[];
extern const char decode_advice[];

/* One inflater, which one thread uses again and again. It is allocated at its first use. */
struct decoder {
	struct libdeflate_decompressor *inflater;
};

void decoder_init(struct decoder *decoder);
void decoder_release(struct decoder *decoder);

/*
 * Puts the inflated bytes of `in` into `out`, which is empty; the coding is one of CODINGS.
 * VERDICT_OK; VERDICT_BAD_ENCODING with a sentence in *detail (static, else NULL);
 * VERDICT_TOO_LARGE at out's maximum; VERDICT_OVERLOADED without memory. After a failure `out` is
 * empty, and the decoder is still usable.
 */
enum verdict decode(struct decoder *decoder, enum coding coding, struct view in, struct buf *out,
		    const char **detail);

#endif
