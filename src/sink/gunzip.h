/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sink_gunzip: a gzip body as Go's reader hands it to a JSON decoder.
 *
 * An error after the stream's header ends the output there (the JSON may be complete by then), and
 * further members are appended. The responder's own decoder is strict; this one must not be.
 */
#ifndef FARO_SINK_GUNZIP_H
#define FARO_SINK_GUNZIP_H

#include "base/buf.h"

enum gunzip_result {
	GUNZIP_OK,
	GUNZIP_NOT_GZIP,  /* not even a header */
	GUNZIP_TOO_LARGE, /* `out` reached its maximum, or no memory */
};

enum gunzip_result gunzip(struct view in, struct buf *out);

#endif
