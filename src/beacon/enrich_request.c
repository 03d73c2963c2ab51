/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DESIGN. Only seven texts depend on the request: those of the session, of meta, which may have to
 * be made with one, and of resources. They are put together in one buffer, whose size is known
 * before, so that nothing moves. Where there is nothing to stamp in a session, its texts are empty,
 * and null stays null.
 */
#include "beacon/enrich_request.h"

#include "base/text.h"

static const struct view nothing = VIEW_CONSTANT("");

void enrich_request_init(struct enrich_request *request)
{
	buf_init(&request->text, SIZE_MAX, NULL);
}

void enrich_request_release(struct enrich_request *request)
{
	buf_release(&request->text);
}

/* The room is there. */
static void put(struct buf *text, struct view bytes)
{
	buf_append(text, bytes.ptr, bytes.len);
}

/* A value as the inside of a JSON string. It has no control character. */
static void put_escaped(struct buf *text, struct view value)
{
	size_t done = 0;

	for (size_t i = 0; i < value.len; i++) {
		if (value.ptr[i] != '"' && value.ptr[i] != '\\')
			continue;
		put(text, (struct view){value.ptr + done, i - done});
		buf_append(text, "\\", 1);
		done = i;
	}
	put(text, (struct view){value.ptr + done, value.len - done});
}

static struct view since(const struct buf *text, size_t from)
{
	return (struct view){text->data + from, text->len - from};
}

/* What is written around a value, in each of the two places where it is stamped. */
struct frame {
	struct view before, between, after;
};
static const struct frame session_frame = {VIEW_CONSTANT("\""), VIEW_CONSTANT("\":\""),
					   VIEW_CONSTANT("\"")};
static const struct frame resource_frame = {VIEW_CONSTANT("{\"key\":\""),
					    VIEW_CONSTANT("\",\"value\":{\"stringValue\":\""),
					    VIEW_CONSTANT("\"}}")};

enum {
	FRAME_BYTES = 64, /* no frame is longer, with a comma */
	KEYS_BYTES = 256, /* nor are the keys and brackets of all texts */
};

/* Appends a key and a value, with a comma if something stands before it. */
static void put_framed(struct buf *text, size_t from, const struct frame *frame, struct view key,
		       struct view value)
{
	if (text->len > from)
		buf_append(text, ",", 1);
	put(text, frame->before);
	put(text, key);
	put(text, frame->between);
	put_escaped(text, value);
	put(text, frame->after);
}

/* `constant` and what is stamped of the facts. */
static struct view put_all(struct buf *text, const struct labels *labels, struct view constant,
			   const struct frame *frame, const struct request_facts *stamped)
{
	size_t from = text->len;

	put(text, constant);
	for (size_t i = 0; i < labels->request_attribute_count; i++) {
		const struct labels_request_attribute *attribute = &labels->request_attributes[i];

		if (stamped->values[i].len > 0)
			put_framed(text, from, frame,
				   frame == &session_frame ? attribute->session_key
							   : attribute->key,
				   stamped->values[i]);
	}
	return since(text, from);
}

/* The text is its key, and a, b and c, behind one another. */
static void set_text(struct enrich_request *request, enum enrich_text which, struct view a,
		     struct view b, struct view c)
{
	size_t from = request->text.len;

	put(&request->text, enrich_fragment_key(which));
	put(&request->text, a);
	put(&request->text, b);
	put(&request->text, c);
	enrich_fragment_set(request->views, which, since(&request->text, from));
}

static void leave_out(struct enrich_request *request, enum enrich_text which)
{
	struct view *forms = &request->views[enrich_fragment_index(which, WITH_COMMA)];

	forms[WITH_COMMA] = forms[BARE] = nothing;
	forms[VALUE] = VIEW_LITERAL("null");
}

static const struct view *bare(const struct enrich_request *request, enum enrich_text which)
{
	return &request->views[enrich_fragment_index(which, BARE)];
}

static void set_session_texts(struct enrich_request *request, struct view members)
{
	const struct view open = VIEW_LITERAL("{"), close = VIEW_LITERAL("}");

	if (members.len > 0) {
		set_text(request, TEXT_SESSION_MEMBERS, members, nothing, nothing);
		set_text(request, TEXT_SESSION_ATTRIBUTES, open, members, close);
		set_text(request, TEXT_SESSION, open, *bare(request, TEXT_SESSION_ATTRIBUTES),
			 close);
	} else {
		leave_out(request, TEXT_SESSION_MEMBERS);
		leave_out(request, TEXT_SESSION_ATTRIBUTES);
		leave_out(request, TEXT_SESSION);
	}
}

static void set_meta_text(struct enrich_request *request)
{
	size_t from = request->text.len;
	const struct view parts[] = {
		enrich_fragment_key(TEXT_META), VIEW_LITERAL("{"), *bare(request, TEXT_APP),
		request->views[enrich_fragment_index(TEXT_SESSION, WITH_COMMA)], VIEW_LITERAL("}")};

	for (size_t i = 0; i < ARRAY_LEN(parts); i++)
		put(&request->text, parts[i]);
	enrich_fragment_set(request->views, TEXT_META, since(&request->text, from));
}

static void set_resource_texts(struct enrich_request *request, struct view items)
{
	set_text(request, TEXT_RESOURCE_ITEMS, items, nothing, nothing);
	set_text(request, TEXT_RESOURCE_ATTRIBUTES, VIEW_LITERAL("["), items, VIEW_LITERAL("]"));
	set_text(request, TEXT_RESOURCE, VIEW_LITERAL("{"),
		 *bare(request, TEXT_RESOURCE_ATTRIBUTES), VIEW_LITERAL("}"));
}

/* Leaves only what is stamped. */
static struct request_facts choose(const struct labels *labels, const struct request_facts *facts,
				   bool no_location)
{
	struct request_facts stamped = {.values = {{NULL, 0}}};

	for (size_t i = 0; facts && i < labels->request_attribute_count; i++)
		if (!(no_location && labels->request_attributes[i].is_location) &&
		    !labels_value_problem(facts->values[i]))
			stamped.values[i] = facts->values[i];
	return stamped;
}

/* At least as much as all texts need: members and items themselves, and three texts of either, and
 * the members once more in meta. */
static size_t room_for(const struct labels *labels, size_t app, struct view app_text,
		       const struct request_facts *stamped)
{
	size_t members = labels->session_members.len;
	size_t items = labels->apps[app].resource_attributes.len;

	for (size_t i = 0; i < labels->request_attribute_count; i++) {
		size_t bytes = FRAME_BYTES + labels->request_attributes[i].key.len +
			       2 * stamped->values[i].len;

		members += bytes;
		items += bytes;
	}
	return 5 * members + 4 * items + app_text.len + KEYS_BYTES;
}

const struct view *enrich_request_texts(struct enrich_request *request, const struct labels *labels,
					const struct enrich_fragments *texts, size_t app,
					const struct request_facts *facts, bool no_location)
{
	struct request_facts stamped = choose(labels, facts, no_location);
	struct buf *text = &request->text;

	memcpy(request->views, enrich_fragments_of(texts, app), sizeof(request->views));
	buf_clear(text);
	if (buf_reserve(text, room_for(labels, app, *bare(request, TEXT_APP), &stamped)) != BUF_OK)
		return NULL;
	set_session_texts(request,
			  put_all(text, labels, labels->session_members, &session_frame, &stamped));
	set_meta_text(request);
	set_resource_texts(request, put_all(text, labels, labels->apps[app].resource_attributes,
					    &resource_frame, &stamped));
	return request->views;
}
