/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DESIGN. Exceptions that the operator calls noise are removed as items. Whether one is noise is
 * found out by a cursor that runs ahead, over this exception alone, so that it is judged by what the
 * browser sent, before anything in it is changed. Names count in every spelling in which the Faro
 * receiver takes them.
 */
#include "base/text.h"
#include "beacon/enrich_walk.h"

enum {
	/* What is looked at of a value, decoded: messages are short, and each text is looked for. */
	VALUE_BYTES = 16384,
	FILENAME_BYTES = 64, /* longer than what it is compared with */
};

static const struct view no_files[] = {
	VIEW_CONSTANT("<anonymous>"),
	VIEW_CONSTANT("[native code]"),
};

static const struct view extension_schemes[] = {
	VIEW_CONSTANT("chrome-extension:"),  VIEW_CONSTANT("moz-extension:"),
	VIEW_CONSTANT("safari-extension:"),  VIEW_CONSTANT("safari-web-extension:"),
	VIEW_CONSTANT("webkit-masked-url:"),
};

enum noise {
	NOISE_NONE,
	NOISE_EXTENSION,
	NOISE_TEXT
};

static bool is_named(struct json_string key, struct view name)
{
	return json_string_match(key, name) != JSON_DIFFERENT;
}

/* True at an object's or array's opening; what is neither is skipped. */
static bool enter_if(struct json *json, enum json_type type)
{
	if (json_peek(json) == type)
		return json_enter(json, type);
	json_skip(json);
	return false;
}

/* The decoded text of the next value, cut to `size`; empty if it is no string. */
static struct view read_text(struct json *json, char *out, size_t size)
{
	struct json_string string;

	if (json_peek(json) != JSON_STRING) {
		json_skip(json);
		return VIEW_LITERAL("");
	}
	if (!json_read_string(json, &string))
		return VIEW_LITERAL("");
	return json_decode(string, out, size);
}

/* The filename of the next frame. */
static struct view read_frame(const struct enrich_noise *noise, struct json *json, char *out)
{
	struct view filename = VIEW_LITERAL("");
	struct json_string key;

	if (!enter_if(json, JSON_OBJECT))
		return filename;
	while (json_named_member(json, &noise->of_frame, &key)) {
		if (is_named(key, VIEW_LITERAL("filename")))
			filename = read_text(json, out, FILENAME_BYTES);
		else
			json_skip(json);
	}
	return filename;
}

static bool is_one_of(struct view text, const struct view *list, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (view_equals(text, list[i]))
			return true;
	return false;
}

static bool is_of_extension(struct view filename)
{
	for (size_t i = 0; i < ARRAY_LEN(extension_schemes); i++)
		if (view_starts_with(filename, extension_schemes[i]))
			return true;
	return false;
}

/* Frames begin where the error was thrown: the first that names a file decides. */
static bool throws_in_extension(const struct enrich_noise *noise, struct json frames)
{
	char decoded[FILENAME_BYTES];

	if (!enter_if(&frames, JSON_ARRAY))
		return false;
	while (json_element(&frames)) {
		struct view filename = read_frame(noise, &frames, decoded);

		if (filename.len > 0 && !is_one_of(filename, no_files, ARRAY_LEN(no_files)))
			return is_of_extension(filename);
	}
	return false;
}

/* All at once is the fastest way to pass over many frames; few of them are read before. */
static bool read_frames(const struct enrich_noise *noise, struct json *json)
{
	bool found = throws_in_extension(noise, *json);

	json_skip(json);
	return found;
}

static bool read_stacktrace(const struct enrich_noise *noise, struct json *json)
{
	struct json_string key;
	bool found = false;

	if (!enter_if(json, JSON_OBJECT))
		return false;
	while (json_named_member(json, &noise->of_stacktrace, &key)) {
		if (is_named(key, VIEW_LITERAL("frames")))
			found = read_frames(noise, json) || found;
		else
			json_skip(json);
	}
	return found;
}

static bool read_value(struct json *json, const struct config_list *texts)
{
	char decoded[VALUE_BYTES];
	struct view value = read_text(json, decoded, sizeof(decoded));

	if (value.len > VALUE_BYTES)
		value.len = VALUE_BYTES;
	for (size_t i = 0; i < texts->count; i++)
		if (memmem(value.ptr, value.len, texts->items[i].ptr, texts->items[i].len))
			return true;
	return false;
}

/* `ahead` is a copy of the walk's cursor, at an exception, which it passes over. */
static enum noise noise_of(const struct enrich_noise *noise, struct json *ahead)
{
	bool extension = false, text = false;
	struct json_string key;

	if (!enter_if(ahead, JSON_OBJECT))
		return NOISE_NONE;
	while (json_named_member(ahead, &noise->of_exception, &key)) {
		if (noise->extensions && is_named(key, VIEW_LITERAL("stacktrace")))
			extension = read_stacktrace(noise, ahead) || extension;
		else if (noise->texts && is_named(key, VIEW_LITERAL("value")))
			text = read_value(ahead, noise->texts) || text;
		else
			json_skip(ahead);
	}
	return extension ? NOISE_EXTENSION : text ? NOISE_TEXT : NOISE_NONE;
}

static void remove_exception(struct walk *walk, struct edits_items *items, size_t from,
			     enum noise noise)
{
	walk_remove_item(walk, items, from);
	walk->lost_items = true;
	if (noise == NOISE_EXTENSION)
		walk->counts->extension_errors++;
	else
		walk->counts->dropped_errors++;
}

static void walk_noisy(struct walk *walk)
{
	const struct drop_node *array = walk->node;
	struct edits_items items = {0};

	if (!walk_enter_array(walk))
		return;
	while (walk_next_element(walk, array)) {
		struct json ahead = walk->json;
		enum noise noise = noise_of(&walk->enricher->noise, &ahead);
		size_t from = json_offset(&walk->json);

		walk_next_item(walk, &items);
		if (json_failed(&ahead) || (noise == NOISE_NONE && walk->node))
			walk_pass(walk);
		else
			walk->json = ahead;
		if (noise != NOISE_NONE)
			remove_exception(walk, &items, from, noise);
		else
			walk->counts->exceptions++;
	}
	walk_close(walk, &items, false);
}

void walk_exceptions(struct walk *walk)
{
	if (walk->enricher->noise.any)
		walk_noisy(walk);
	else
		walk->counts->exceptions = walk_count_items(walk);
}

void enrich_noise_init(struct enrich_noise *noise, const struct privacy *privacy)
{
	noise->extensions = privacy->drop_extension_errors == SWITCH_ON;
	if (privacy->drop_errors.count > 0)
		noise->texts = &privacy->drop_errors;
	noise->any = noise->extensions || noise->texts;
	json_names_add(&noise->of_exception, VIEW_LITERAL("stacktrace"));
	json_names_add(&noise->of_exception, VIEW_LITERAL("value"));
	json_names_add(&noise->of_stacktrace, VIEW_LITERAL("frames"));
	json_names_add(&noise->of_frame, VIEW_LITERAL("filename"));
}
