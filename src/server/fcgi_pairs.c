#include "server/fcgi_pairs.h"

#include "server/fcgi.h"

/* A value that did not fit: nothing that anybody accepts anywhere, and not absent either. */
static const struct view too_long = VIEW_CONSTANT("\x7f");

static void end_value(struct fcgi_pairs *pairs, const struct fcgi_intake *intake)
{
	if (pairs->target && pairs->value_at < sizeof(intake->values))
		*pairs->target = (struct view){intake->values + pairs->value_at, pairs->value_len};
	else if (pairs->target)
		*pairs->target = too_long;
	pairs->stage = PAIR_NAME_LENGTH;
}

/* The name is known, and where its value goes. */
static void begin_value(struct fcgi_pairs *pairs, struct fcgi_intake *intake,
			fcgi_target_of *target_of)
{
	struct view name = {pairs->name, pairs->name_len};

	pairs->stage = PAIR_VALUE;
	pairs->have = 0;
	pairs->target = name.len <= sizeof(pairs->name) ? target_of(pairs, intake, name) : NULL;
	pairs->value_at = sizeof(intake->values);
	if (pairs->target && pairs->value_len <= sizeof(intake->values) - intake->used) {
		pairs->value_at = intake->used;
		intake->used += pairs->value_len;
	}
	if (pairs->value_len == 0)
		end_value(pairs, intake);
}

/* One byte of a length; the first one says by its highest bit whether there are three more. */
static void take_length(struct fcgi_pairs *pairs, unsigned char byte, struct fcgi_intake *intake,
			fcgi_target_of *target_of)
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
		begin_value(pairs, intake, target_of);
}

static void take_name(struct fcgi_pairs *pairs, struct view *bytes, struct fcgi_intake *intake,
		      fcgi_target_of *target_of)
{
	struct view piece = view_take_front(bytes, pairs->name_len - pairs->have);

	if (pairs->name_len <= sizeof(pairs->name))
		memcpy(pairs->name + pairs->have, piece.ptr, piece.len);
	pairs->have += piece.len;
	if (pairs->have == pairs->name_len)
		begin_value(pairs, intake, target_of);
}

static void take_value(struct fcgi_pairs *pairs, struct view *bytes, struct fcgi_intake *intake)
{
	struct view piece = view_take_front(bytes, pairs->value_len - pairs->have);

	if (pairs->value_at < sizeof(intake->values))
		memcpy(intake->values + pairs->value_at + pairs->have, piece.ptr, piece.len);
	pairs->have += piece.len;
	if (pairs->have == pairs->value_len)
		end_value(pairs, intake);
}

bool fcgi_pairs_feed(struct fcgi_pairs *pairs, struct view bytes, struct fcgi_intake *intake,
		     fcgi_target_of *target_of)
{
	while (bytes.len > 0) {
		switch (pairs->stage) {
		case PAIR_NAME_LENGTH:
		case PAIR_VALUE_LENGTH:
			take_length(pairs, (unsigned char)*view_take_front(&bytes, 1).ptr, intake,
				    target_of);
			if (pairs->stage >= PAIR_NAME &&
			    pairs->name_len + pairs->value_len > FCGI_PARAMS_MAX_BYTES)
				return false;
			break;
		case PAIR_NAME:
			take_name(pairs, &bytes, intake, target_of);
			break;
		case PAIR_VALUE:
			take_value(pairs, &bytes, intake);
			break;
		}
	}
	return true;
}

bool fcgi_pairs_are_whole(const struct fcgi_pairs *pairs)
{
	return pairs->stage == PAIR_NAME_LENGTH && pairs->length_bytes_left == 0;
}
