/* SPDX-License-Identifier: Apache-2.0 */
#include "server/fcgi_pairs.h"

#include "server/fcgi.h"

static char *room_of(struct fcgi_intake *intake, const struct request_variable *variable)
{
	char *room = variable->id == REQUEST_FACT ? intake->facts : (char *)&intake->values;

	return room + variable->room;
}

static void end_value(struct fcgi_pairs *pairs, struct fcgi_intake *intake)
{
	if (pairs->variable)
		request_set_variable(
			intake->request, pairs->variable,
			(struct view){room_of(intake, pairs->variable), pairs->value_len});
	pairs->stage = PAIR_NAME_LENGTH;
}

/* The name is known, and whose value follows. */
static void begin_value(struct fcgi_pairs *pairs, struct fcgi_intake *intake,
			fcgi_variable_of *variable_of)
{
	struct view name = {pairs->name, pairs->name_len};

	pairs->stage = PAIR_VALUE;
	pairs->have = 0;
	pairs->variable = name.len <= sizeof(pairs->name) ? variable_of(pairs, intake, name) : NULL;
	if (pairs->value_len == 0)
		end_value(pairs, intake);
}

/* One byte of a length; the first one says by its highest bit whether there are three more. */
static void take_length(struct fcgi_pairs *pairs, unsigned char byte, struct fcgi_intake *intake,
			fcgi_variable_of *variable_of)
{
	size_t *length = pairs->stage == PAIR_NAME_LENGTH ? &pairs->name_len : &pairs->value_len;

	if (pairs->length_bytes_left > 0) {
		*length = *length << 8 | byte;
		pairs->length_bytes_left--;
	} else {
		*length = byte & 0x7f;
		pairs->length_bytes_left = byte & 0x80 ? 3 : 0;
	}
	if (pairs->length_bytes_left > 0)
		return;
	if (pairs->stage == PAIR_NAME_LENGTH) {
		pairs->stage = PAIR_VALUE_LENGTH;
		return;
	}
	pairs->stage = PAIR_NAME;
	pairs->have = 0;
	if (pairs->name_len == 0)
		begin_value(pairs, intake, variable_of);
}

static void take_name(struct fcgi_pairs *pairs, struct view *bytes, struct fcgi_intake *intake,
		      fcgi_variable_of *variable_of)
{
	struct view piece = view_take_front(bytes, pairs->name_len - pairs->have);

	if (pairs->name_len <= sizeof(pairs->name))
		memcpy(pairs->name + pairs->have, piece.ptr, piece.len);
	pairs->have += piece.len;
	if (pairs->have == pairs->name_len)
		begin_value(pairs, intake, variable_of);
}

static void take_value(struct fcgi_pairs *pairs, struct view *bytes, struct fcgi_intake *intake)
{
	struct view piece = view_take_front(bytes, pairs->value_len - pairs->have);

	if (pairs->variable && pairs->value_len <= pairs->variable->room_bytes)
		memcpy(room_of(intake, pairs->variable) + pairs->have, piece.ptr, piece.len);
	pairs->have += piece.len;
	if (pairs->have == pairs->value_len)
		end_value(pairs, intake);
}

bool fcgi_pairs_are_whole(const struct fcgi_pairs *pairs)
{
	return pairs->stage == PAIR_NAME_LENGTH && pairs->length_bytes_left == 0;
}

/* Takes a pair that is there as a whole, with lengths of one byte, as nearly all are: nothing of it
 * has to be remembered. False: the next pair is another one. */
static bool take_whole_pair(struct fcgi_pairs *pairs, struct view *bytes,
			    struct fcgi_intake *intake, fcgi_variable_of *variable_of)
{
	const unsigned char *lengths = (const unsigned char *)bytes->ptr;
	const char *name = bytes->ptr + 2;
	size_t pair_len;

	if (bytes->len < 2 || ((lengths[0] | lengths[1]) & 0x80) != 0)
		return false;
	pair_len = 2U + lengths[0] + lengths[1];
	if (bytes->len < pair_len)
		return false;
	pairs->name_len = lengths[0];
	pairs->value_len = lengths[1];
	pairs->variable = variable_of(pairs, intake, (struct view){name, pairs->name_len});
	if (pairs->variable && pairs->value_len <= pairs->variable->room_bytes)
		memcpy(room_of(intake, pairs->variable), name + pairs->name_len, pairs->value_len);
	end_value(pairs, intake);
	bytes->ptr += pair_len;
	bytes->len -= pair_len;
	return true;
}

bool fcgi_pairs_feed(struct fcgi_pairs *pairs, struct view bytes, struct fcgi_intake *intake,
		     fcgi_variable_of *variable_of)
{
	while (bytes.len > 0) {
		if (fcgi_pairs_are_whole(pairs) &&
		    take_whole_pair(pairs, &bytes, intake, variable_of))
			continue;
		switch (pairs->stage) {
		case PAIR_NAME_LENGTH:
		case PAIR_VALUE_LENGTH:
			take_length(pairs, (unsigned char)*view_take_front(&bytes, 1).ptr, intake,
				    variable_of);
			if (pairs->stage >= PAIR_NAME &&
			    pairs->name_len + pairs->value_len > FCGI_PARAMS_MAX_BYTES)
				return false;
			break;
		case PAIR_NAME:
			take_name(pairs, &bytes, intake, variable_of);
			break;
		case PAIR_VALUE:
			take_value(pairs, &bytes, intake);
			break;
		}
	}
	return true;
}
