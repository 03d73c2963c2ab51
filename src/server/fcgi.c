/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DESIGN: a record is a header, content and padding, and each may end anywhere in a piece. Its
 * content is not collected: variables are parsed as their bytes come, and of them only the values
 * that mean something here are kept, each in room of its own; body bytes go to the request's body,
 * which has its own limit.
 *
 *	no request ──BEGIN──→ in params ──empty PARAMS──→ in body ──empty STDIN, ABORT──→ read
 *	     ↑                    └──ABORT──┐                                              │
 *	     └──────────────────────────────┴──────────────── fcgi_put_reply ──────────────┘
 *
 * Records of another request than the one under way are ignored, as the specification asks, up to a
 * limit; management records (request 0), and requests that can't be served, are answered
 * separately (an "aside"), up to a limit. What no web server sends (another version, a BEGIN of
 * another size, STDIN before the parameters ended) has no meaning, and breaks the stream: the
 * owner closes the connection and logs the problem.
 */
#include "server/fcgi.h"

#include <stdint.h>
#include <stdio.h>

#include "base/text.h"

void fcgi_init(struct fcgi_stream *stream)
{
	*stream = (struct fcgi_stream){.phase = FCGI_NO_REQUEST};
}

static enum fcgi_event break_stream(struct fcgi_stream *stream, const char *problem)
{
	stream->problem = problem;
	return FCGI_STREAM_BROKEN;
}

/* --- what is written ---------------------------------------------------------------------------*/

static enum buf_result put_record(struct buf *out, unsigned type, unsigned id, struct view content)
{
	const unsigned char header[FCGI_HEADER_BYTES] = {FCGI_VERSION,
							 (unsigned char)type,
							 (unsigned char)(id >> 8),
							 (unsigned char)id,
							 (unsigned char)(content.len >> 8),
							 (unsigned char)content.len};
	enum buf_result result = buf_reserve(out, sizeof(header) + content.len);

	if (result != BUF_OK)
		return result;
	buf_append(out, header, sizeof(header));
	return buf_append(out, content.ptr, content.len);
}

static enum buf_result put_end(struct buf *out, unsigned id, char status)
{
	const char content[8] = {0, 0, 0, 0, status};

	return put_record(out, FCGI_END_REQUEST, id, (struct view){content, sizeof(content)});
}

enum buf_result fcgi_put_reply(struct fcgi_stream *stream, struct view response,
			       struct buf *answers)
{
	enum buf_result result = BUF_OK;
	unsigned id = stream->id;

	stream->phase = FCGI_NO_REQUEST;
	stream->id = 0;
	stream->asides = 0;
	stream->ignored_bytes = 0;
	while (result == BUF_OK && response.len > 0)
		result = put_record(answers, FCGI_STDOUT, id,
				    view_take_front(&response, FCGI_CONTENT_MAX_BYTES));
	if (result == BUF_OK)
		result = put_record(answers, FCGI_STDOUT, id, VIEW_LITERAL(""));
	return result == BUF_OK ? put_end(answers, id, FCGI_REQUEST_COMPLETE) : result;
}

/* --- asides ------------------------------------------------------------------------------------*/

static enum fcgi_event end_aside(struct fcgi_stream *stream, enum buf_result put)
{
	if (put != BUF_OK)
		return break_stream(stream, "no memory is left for an answer");
	if (++stream->asides > FCGI_ASIDES_MAX)
		return break_stream(stream, "too many records that belong to no request");
	return FCGI_WANTS_MORE;
}

static const struct {
	struct view name;
	unsigned value;
} known_values[] = {
	{VIEW_CONSTANT("FCGI_MAX_CONNS"), FCGI_CONNECTIONS_MAX},
	{VIEW_CONSTANT("FCGI_MAX_REQS"), FCGI_CONNECTIONS_MAX},
	{VIEW_CONSTANT("FCGI_MPXS_CONNS"), 0},
};

/* Of FCGI_GET_VALUES, whose pairs have names alone. */
static const struct request_variable *note_question(struct fcgi_pairs *pairs,
						    struct fcgi_intake *intake, struct view name)
{
	struct fcgi_stream *stream = container_of(pairs, struct fcgi_stream, query);

	(void)intake;
	for (size_t i = 0; i < ARRAY_LEN(known_values); i++)
		if (view_equals(known_values[i].name, name))
			stream->asked |= 1U << i;
	return NULL;
}

static enum fcgi_event answer_values(struct fcgi_stream *stream, struct buf *answers)
{
	const size_t count = ARRAY_LEN(known_values);
	char content[128];
	size_t len = 0;

	if (!fcgi_pairs_are_whole(&stream->query))
		return break_stream(stream, "an incomplete FCGI_GET_VALUES");
	for (size_t i = 0; i < count; i++) {
		struct view name = known_values[i].name;
		char value[16];
		int n = snprintf(value, sizeof(value), "%u", known_values[i].value);

		if (!(stream->asked & 1U << i))
			continue;
		len += (size_t)snprintf(content + len, sizeof(content) - len, "%c%c%s%s",
					(int)name.len, n, name.ptr, value);
	}
	return end_aside(stream, put_record(answers, FCGI_GET_VALUES_RESULT, 0,
					    (struct view){content, len}));
}

static enum fcgi_event answer_unknown(struct fcgi_stream *stream, struct buf *answers)
{
	const char content[8] = {(char)stream->header[1]};

	return end_aside(stream, put_record(answers, FCGI_UNKNOWN_TYPE, 0,
					    (struct view){content, sizeof(content)}));
}

static enum fcgi_event refuse_request(struct fcgi_stream *stream, unsigned id, char status,
				      struct buf *answers)
{
	return end_aside(stream, put_end(answers, id, status));
}

/* --- records -----------------------------------------------------------------------------------*/

static unsigned record_id(const struct fcgi_stream *stream)
{
	return (unsigned)stream->header[2] << 8 | stream->header[3];
}

static enum fcgi_event ignore(struct fcgi_stream *stream, size_t bytes)
{
	stream->ignored_bytes += bytes;
	if (stream->ignored_bytes > FCGI_IGNORED_MAX_BYTES)
		return break_stream(stream, "too many bytes that belong to no request");
	return FCGI_WANTS_MORE;
}

/* Of the request under way. */
static enum fcgi_event begin_own_record(struct fcgi_stream *stream)
{
	switch (stream->header[1]) {
	case FCGI_PARAMS:
		if (stream->phase != FCGI_IN_PARAMS)
			return break_stream(stream, "parameters after their end");
		stream->content_for = FCGI_FOR_PARAMS;
		return FCGI_WANTS_MORE;
	case FCGI_STDIN:
		if (stream->phase != FCGI_IN_BODY)
			return break_stream(stream, "a body before the parameters ended");
		stream->content_for = FCGI_FOR_BODY;
		return FCGI_WANTS_MORE;
	default:
		return ignore(stream, FCGI_HEADER_BYTES);
	}
}

static enum fcgi_event begin_record(struct fcgi_stream *stream)
{
	const unsigned char *header = stream->header;
	unsigned id = record_id(stream);

	stream->content_left = (unsigned)header[4] << 8 | header[5];
	stream->padding_left = header[6];
	stream->content_for = FCGI_FOR_NOBODY;
	if (header[0] != FCGI_VERSION)
		return break_stream(stream, "a protocol other than FastCGI 1");
	if (id == 0) {
		if (header[1] == FCGI_GET_VALUES) {
			stream->content_for = FCGI_FOR_QUERY;
			stream->asked = 0;
		}
		return FCGI_WANTS_MORE;
	}
	if (header[1] == FCGI_BEGIN_REQUEST) {
		if (stream->content_left != sizeof(stream->begin) || id == stream->id)
			return break_stream(stream, "a malformed or second FCGI_BEGIN_REQUEST");
		stream->content_for = FCGI_FOR_BEGIN;
		return FCGI_WANTS_MORE;
	}
	if (id == stream->id)
		return begin_own_record(stream);
	return ignore(stream, FCGI_HEADER_BYTES);
}

static enum fcgi_event take_body(struct fcgi_stream *stream, struct request *request,
				 struct view piece)
{
	request_append_body(request, piece.ptr, piece.len);
	stream->body_bytes += piece.len;
	if (request->body_state != BODY_WHOLE && stream->body_bytes > FCGI_DRAIN_MAX_BYTES)
		return break_stream(stream, "a body without end");
	return FCGI_WANTS_MORE;
}

/* nginx gives a variable without a value where the client sent no such header. */
static const struct request_variable *variable_of_pair(struct fcgi_pairs *pairs,
						       struct fcgi_intake *intake, struct view name)
{
	return pairs->value_len > 0 ? request_find_variable(intake->request, name) : NULL;
}

static enum fcgi_event take_params(struct fcgi_stream *stream, struct fcgi_intake *intake,
				   struct view piece)
{
	stream->params_bytes += piece.len;
	if (stream->params_bytes > FCGI_PARAMS_MAX_BYTES ||
	    !fcgi_pairs_feed(&stream->params, piece, intake, variable_of_pair))
		return break_stream(stream, "parameters of more than 256 KiB");
	return FCGI_WANTS_MORE;
}

static enum fcgi_event take_content(struct fcgi_stream *stream, struct fcgi_intake *intake,
				    struct view piece)
{
	size_t left_before = stream->content_left;

	stream->content_left -= (unsigned)piece.len;
	switch (stream->content_for) {
	case FCGI_FOR_BEGIN:
		memcpy(stream->begin + sizeof(stream->begin) - left_before, piece.ptr, piece.len);
		return FCGI_WANTS_MORE;
	case FCGI_FOR_PARAMS:
		return take_params(stream, intake, piece);
	case FCGI_FOR_BODY:
		return take_body(stream, intake->request, piece);
	case FCGI_FOR_QUERY:
		if (!fcgi_pairs_feed(&stream->query, piece, intake, note_question))
			return break_stream(stream, "an incomplete FCGI_GET_VALUES");
		return FCGI_WANTS_MORE;
	case FCGI_FOR_NOBODY:
		break;
	}
	return ignore(stream, piece.len);
}

static enum fcgi_event begin_request(struct fcgi_stream *stream, struct buf *answers)
{
	unsigned id = record_id(stream);
	unsigned role = (unsigned)stream->begin[0] << 8 | stream->begin[1];
	bool keep = stream->begin[2] & FCGI_KEEP_CONN;

	if (stream->phase != FCGI_NO_REQUEST)
		return refuse_request(stream, id, FCGI_CANT_MPX_CONN, answers);
	if (role != FCGI_RESPONDER) {
		enum fcgi_event event = refuse_request(stream, id, FCGI_UNKNOWN_ROLE, answers);

		return keep ? event : break_stream(stream, "a role other than responder");
	}
	stream->phase = FCGI_IN_PARAMS;
	stream->id = id;
	stream->keep = keep;
	stream->params_bytes = 0;
	stream->body_bytes = 0;
	stream->params = (struct fcgi_pairs){.stage = PAIR_NAME_LENGTH};
	return FCGI_WANTS_MORE;
}

static enum fcgi_event end_params(struct fcgi_stream *stream, struct fcgi_intake *intake)
{
	if (!fcgi_pairs_are_whole(&stream->params))
		return break_stream(stream, "incomplete parameters");
	request_end_variables(intake->request);
	stream->phase = FCGI_IN_BODY;
	return FCGI_WANTS_MORE;
}

static enum fcgi_event abort_request(struct fcgi_stream *stream, struct fcgi_intake *intake,
				     struct buf *answers)
{
	int64_t started_us = intake->request->started_us;
	unsigned id = stream->id;
	enum fcgi_event event;

	if (fcgi_end_early(stream, intake))
		return FCGI_REQUEST_READ;
	stream->phase = FCGI_NO_REQUEST;
	stream->id = 0;
	request_clear(intake->request);
	intake->request->started_us = started_us;
	event = refuse_request(stream, id, FCGI_REQUEST_COMPLETE, answers);
	return stream->keep ? event : break_stream(stream, "an aborted request");
}

static enum fcgi_event end_record(struct fcgi_stream *stream, struct fcgi_intake *intake,
				  struct buf *answers)
{
	bool empty = stream->header[4] == 0 && stream->header[5] == 0;

	stream->header_have = 0;
	switch (stream->content_for) {
	case FCGI_FOR_QUERY:
		return answer_values(stream, answers);
	case FCGI_FOR_BEGIN:
		return begin_request(stream, answers);
	case FCGI_FOR_PARAMS:
		return empty ? end_params(stream, intake) : FCGI_WANTS_MORE;
	case FCGI_FOR_BODY:
		if (empty)
			stream->phase = FCGI_READ;
		return empty ? FCGI_REQUEST_READ : FCGI_WANTS_MORE;
	case FCGI_FOR_NOBODY:
		break;
	}
	if (record_id(stream) == 0)
		return answer_unknown(stream, answers);
	if (record_id(stream) == stream->id && stream->header[1] == FCGI_ABORT_REQUEST)
		return abort_request(stream, intake, answers);
	return FCGI_WANTS_MORE;
}

/* --- the stream --------------------------------------------------------------------------------*/

/* Takes the next part of a record: the rest of its header, of its content, or of its padding. */
static enum fcgi_event take_part(struct fcgi_stream *stream, struct fcgi_intake *intake,
				 struct view *bytes)
{
	struct view piece;

	if (stream->header_have < FCGI_HEADER_BYTES) {
		piece = view_take_front(bytes, FCGI_HEADER_BYTES - stream->header_have);
		memcpy(stream->header + stream->header_have, piece.ptr, piece.len);
		stream->header_have += (unsigned)piece.len;
		return stream->header_have == FCGI_HEADER_BYTES ? begin_record(stream)
								: FCGI_WANTS_MORE;
	}
	if (stream->content_left > 0)
		return take_content(stream, intake, view_take_front(bytes, stream->content_left));
	piece = view_take_front(bytes, stream->padding_left);
	stream->padding_left -= (unsigned)piece.len;
	return ignore(stream, piece.len);
}

enum fcgi_event fcgi_feed(struct fcgi_stream *stream, struct fcgi_intake *intake,
			  struct view *bytes, struct buf *answers)
{
	enum fcgi_event event = FCGI_WANTS_MORE;

	while (event == FCGI_WANTS_MORE && bytes->len > 0) {
		event = take_part(stream, intake, bytes);
		if (event == FCGI_WANTS_MORE && stream->header_have == FCGI_HEADER_BYTES &&
		    stream->content_left == 0 && stream->padding_left == 0)
			event = end_record(stream, intake, answers);
	}
	return event;
}

bool fcgi_end_early(struct fcgi_stream *stream, struct fcgi_intake *intake)
{
	if (stream->phase != FCGI_IN_BODY)
		return false;
	if (intake->request->body_state == BODY_WHOLE)
		intake->request->body_state = BODY_BROKEN;
	stream->phase = FCGI_READ;
	return true;
}

size_t fcgi_body_ahead(const struct fcgi_stream *stream)
{
	return stream->content_for == FCGI_FOR_BODY ? stream->content_left : 0;
}

bool fcgi_is_at_rest(const struct fcgi_stream *stream)
{
	return stream->phase == FCGI_NO_REQUEST && stream->header_have == 0;
}
