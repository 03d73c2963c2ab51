/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fcgi_pairs: the name-value pairs of FastCGI, which may come in pieces of any size; for fcgi.c.
 *
 * Nothing is collected but names of a length that can be known, and the values that somebody wants.
 */
#ifndef FARO_SERVER_FCGI_PAIRS_H
#define FARO_SERVER_FCGI_PAIRS_H

#include "base/buf.h"
#include "config/labels.h"

struct fcgi_intake;
struct request_variable;

/* All zero: before the first pair. */
struct fcgi_pairs {
	enum {
		PAIR_NAME_LENGTH,
		PAIR_VALUE_LENGTH,
		PAIR_NAME,
		PAIR_VALUE
	} stage;
	unsigned length_bytes_left; /* of a length of four bytes */
	size_t name_len, value_len;
	size_t have;                             /* bytes of the name, or of the value */
	const struct request_variable *variable; /* NULL: nobody wants the value */
	char name[LABELS_PARAMETER_MAX_BYTES];   /* longer ones are none of ours */
};

/* Says which variable a pair gives, whose lengths are known; NULL: none of ours. */
typedef const struct request_variable *
fcgi_variable_of(struct fcgi_pairs *pairs, struct fcgi_intake *intake, struct view name);

/* Values are kept in the intake's room for them. False: lengths that there is no room for in what
 * may come. */
bool fcgi_pairs_feed(struct fcgi_pairs *pairs, struct view bytes, struct fcgi_intake *intake,
		     fcgi_variable_of *variable_of);
/* No pair is half there. */
bool fcgi_pairs_are_whole(const struct fcgi_pairs *pairs);

/* Takes at most `max` bytes off the front. */
static inline struct view view_take_front(struct view *bytes, size_t max)
{
	struct view front = {bytes->ptr, bytes->len < max ? bytes->len : max};

	bytes->ptr += front.len;
	bytes->len -= front.len;
	return front;
}

#endif
