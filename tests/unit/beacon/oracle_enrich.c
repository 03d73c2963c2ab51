/* SPDX-License-Identifier: Apache-2.0 */
#include "beacon/oracle_enrich.h"

#include <cjson/cJSON.h>
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

static cJSON *get(const cJSON *object, const char *name)
{
	return cJSON_GetObjectItemCaseSensitive(object, name);
}

static bool is_text(const cJSON *item, struct view text)
{
	return cJSON_IsString(item) && view_equals(view_of(item->valuestring), text);
}

static cJSON *new_text(struct view text)
{
	char bytes[512];

	snprintf(bytes, sizeof(bytes), "%.*s", (int)text.len, text.ptr ? text.ptr : "");
	return cJSON_CreateString(bytes);
}

static void put(cJSON *object, const char *name, cJSON *item)
{
	if (get(object, name))
		cJSON_ReplaceItemInObjectCaseSensitive(object, name, item);
	else
		cJSON_AddItemToObject(object, name, item);
}

static cJSON *child(cJSON *parent, const char *name, bool array)
{
	cJSON *item = get(parent, name);

	if (!item || cJSON_IsNull(item)) {
		item = array ? cJSON_CreateArray() : cJSON_CreateObject();
		put(parent, name, item);
	}
	return item;
}

/* Does an id begin at this quote that has escapes in it? In the tree it would look like one
 * without. */
static bool is_escaped_id(const char *at, const char *end)
{
	size_t digits = 0, escapes = 0;

	for (at++; at < end && *at != '"'; at++, digits++) {
		if (*at == '\\' && end - at > 6 && at[1] == 'u') {
			at += 5;
			escapes++;
		} else if (!isxdigit((unsigned char)*at)) {
			return false;
		}
	}
	return escapes > 0 && (digits == 16 || digits == 32);
}

bool oracle_can_read(struct view in)
{
	cJSON *tree = cJSON_ParseWithLength(in.ptr, in.len);
	bool readable = tree && !memmem(in.ptr, in.len, "\\u0000", 6);

	for (size_t i = 0; i < in.len && readable; i++)
		if (in.ptr[i] == '"' && is_escaped_id(in.ptr + i, in.ptr + in.len))
			readable = false;
	cJSON_Delete(tree);
	return readable;
}

/* ---- names ---- */

/* More than any key that a test or the fuzzer makes. */
enum {
	KEY_SIZE = 4096
};

/* The length of the first of these that the text begins with. */
static size_t begins_with(const char *text, const char *const *list)
{
	for (; *list; list++)
		if (strncmp(text, *list, strlen(*list)) == 0)
			return strlen(*list);
	return 0;
}

static const char *const spaces[] = {"\t",           "\n",
				     "\v",           "\f",
				     "\r",           " ",
				     "\xc2\x85",     "\xc2\xa0",
				     "\xe1\x9a\x80", "\xe2\x80\x80",
				     "\xe2\x80\x81", "\xe2\x80\x82",
				     "\xe2\x80\x83", "\xe2\x80\x84",
				     "\xe2\x80\x85", "\xe2\x80\x86",
				     "\xe2\x80\x87", "\xe2\x80\x88",
				     "\xe2\x80\x89", "\xe2\x80\x8a",
				     "\xe2\x80\xa8", "\xe2\x80\xa9",
				     "\xe2\x80\xaf", "\xe2\x81\x9f",
				     "\xe3\x80\x80", NULL};

/* The key as the receiver writes it into a line of logfmt or JSON. */
static void write_key(const char *prefix, const char *key, bool json, char *out)
{
	static const char *const dropped[] = {"=", "\"", "\x7f", "\xef\xbf\xbd", NULL};
	size_t n = strlen(prefix), len = strnlen(key, KEY_SIZE - 64);

	memcpy(out, prefix, n);
	for (size_t i = 0; i < len;) {
		size_t drop = (unsigned char)key[i] <= ' ' ? 1 : begins_with(key + i, dropped);

		if (drop > 0 && !json)
			i += drop;
		else
			out[n++] = key[i++];
	}
	out[n] = '\0';
}

/* Trimmed, in place, as Loki does it to a line's key. */
static char *trim(char *key)
{
	size_t n, end;

	while ((n = begins_with(key, spaces)) > 0)
		key += n;
	for (end = strlen(key); end > 0;) {
		for (n = 1; n <= 3 && n <= end && begins_with(key + end - n, spaces) != n; n++)
			;
		if (n > 3 || n > end)
			break;
		end -= n;
		key[end] = '\0';
	}
	return key;
}

/* What cannot stand in a label's name becomes _, in place. */
static char *as_label(char *key)
{
	char *to = key;

	for (const char *from = key; *from; from++)
		if (((unsigned char)*from & 0xc0) != 0x80)
			*to++ = (char)(isalnum((unsigned char)*from) ? *from : '_');
	*to = '\0';
	return key;
}

/* Is `key`, behind `prefix` in a log line, what a query takes for the session's label `ours`? */
static bool looks_like(const char *prefix, const char *key, struct view ours)
{
	char line[KEY_SIZE], wanted[KEY_SIZE], text[512];

	snprintf(text, sizeof(text), "%.*s", (int)ours.len, ours.ptr);
	write_key("session_attr_", text, true, wanted);
	as_label(wanted);
	for (int json = 0; json <= 1; json++) {
		write_key(prefix, key, json, line);
		if (strcmp(as_label(trim(line)), wanted) == 0)
			return true;
	}
	return false;
}

/* May no measurement have a value of that name? */
static bool is_reserved(const char *name, const struct labels *labels)
{
	static const char *const names[] = {"kind",
					    "timestamp",
					    "app_name",
					    "app_namespace",
					    "app_release",
					    "app_version",
					    "app_environment",
					    "__error__",
					    "__error_details__",
					    "__preserve_error__",
					    NULL};
	char line[KEY_SIZE];

	for (int json = 0; json <= 1; json++) {
		const char *key;

		write_key("", name, json, line);
		key = as_label(trim(line));
		for (size_t i = 0; names[i]; i++)
			if (strcmp(key, names[i]) == 0)
				return true;
	}
	for (size_t i = 0; i < labels->attribute_count; i++)
		if (looks_like("", name, labels->attributes[i].session_key))
			return true;
	for (size_t i = 0; i < labels->request_attribute_count; i++)
		if (looks_like("", name, labels->request_attributes[i].session_key))
			return true;
	for (size_t i = 0; i < labels->unset_count; i++)
		if (looks_like("", name, labels->unset_session_keys[i]))
			return true;
	return false;
}

/* Is the key of a resource's attribute one that comes with the request, or has no value, or what a label
 * would make of that? */
static bool is_kept_free(const char *key, const struct labels *labels)
{
	char theirs[KEY_SIZE], ours[512];

	snprintf(theirs, sizeof(theirs), "%s", key);
	as_label(theirs);
	for (size_t i = 0; i < labels->request_attribute_count; i++) {
		const struct view *name = &labels->request_attributes[i].key;

		snprintf(ours, sizeof(ours), "%.*s", (int)name->len, name->ptr);
		if (strcmp(as_label(ours), theirs) == 0)
			return true;
	}
	for (size_t i = 0; i < labels->unset_count; i++) {
		const struct view *name = &labels->unset_session_keys[i];

		snprintf(ours, sizeof(ours), "%.*s", (int)name->len, name->ptr);
		if (strcmp(as_label(ours), theirs) == 0)
			return true;
	}
	return false;
}

static bool is_ours(const char *key, const struct labels *labels)
{
	static const char *const names[] = {"service.name", "service.namespace",
					    "deployment.environment.name",
					    "deployment.environment"};

	for (size_t i = 0; i < 4; i++)
		if (strcmp(key, names[i]) == 0)
			return true;
	for (size_t i = 0; i < labels->attribute_count; i++)
		if (view_equals(view_of(key), labels->attributes[i].key))
			return true;
	return strncmp(key, "k8s.", 4) == 0 || is_kept_free(key, labels);
}

/* ---- what is stamped of the request ---- */

/* How many bytes the character has; 0: it is none, or a control. */
static size_t character(const unsigned char *at, size_t left)
{
	size_t n = *at < 0x80 ? 1 : *at < 0xc0 ? 0 : *at < 0xe0 ? 2 : *at < 0xf0 ? 3 : 4;
	uint32_t rune = n == 1 ? *at : *at & (0x7fu >> n);
	static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};

	if (n == 0 || n > left)
		return 0;
	for (size_t i = 1; i < n; i++) {
		if ((at[i] & 0xc0) != 0x80)
			return 0;
		rune = rune << 6 | (at[i] & 0x3f);
	}
	if (rune < ' ' || (rune >= 0x7f && rune < 0xa0) || rune < least[n] || rune > 0x10ffff ||
	    (rune >= 0xd800 && rune < 0xe000))
		return 0;
	return n;
}

/* The value that is to be stamped; ptr NULL: none. */
static struct view stamped(const cJSON *meta, const struct labels *labels,
			   const struct request_facts *facts, size_t i)
{
	const struct view none = {NULL, 0};
	struct view key = labels->request_attributes[i].key;
	const cJSON *tracked =
		get(get(get(meta, "session"), "overrides"), "geoLocationTrackingEnabled");
	struct view value = facts ? facts->values[i] : none;
	size_t at = 0, n;

	if (cJSON_IsFalse(tracked) &&
	    (strncmp(key.ptr, "geo.", 4) == 0 || view_equals(key, VIEW_LITERAL("client.address"))))
		return none;
	for (; at < value.len; at += n) {
		n = character((const unsigned char *)value.ptr + at, value.len - at);
		if (n == 0)
			return none;
	}
	return value.len > 0 && value.len <= 255 ? value : none;
}

/* Of a resource, in their order. */
static cJSON *our_items(const cJSON *meta, const struct labels *labels,
			const struct labels_app *app, const struct request_facts *facts)
{
	char text[4096];
	cJSON *items;

	snprintf(text, sizeof(text), "[%.*s]", (int)app->resource_attributes.len,
		 app->resource_attributes.ptr);
	items = cJSON_Parse(text);
	for (size_t i = 0; i < labels->request_attribute_count; i++) {
		struct view value = stamped(meta, labels, facts, i);
		cJSON *item = cJSON_CreateObject(), *any_value = cJSON_CreateObject();

		cJSON_AddItemToObject(item, "key", new_text(labels->request_attributes[i].key));
		cJSON_AddItemToObject(any_value, "stringValue", new_text(value));
		cJSON_AddItemToObject(item, "value", any_value);
		if (value.ptr)
			cJSON_AddItemToArray(items, item);
		else
			cJSON_Delete(item);
	}
	return items;
}

/* ---- structure ---- */

/* In the same order and with the same repeats, which cJSON_Compare() does not look at. */
static bool is_same(const cJSON *a, const cJSON *b)
{
	const cJSON *x = a->child, *y = b->child;

	if ((a->type & 0xff) != (b->type & 0xff) || !a->string != !b->string ||
	    (a->string && strcmp(a->string, b->string) != 0) ||
	    (cJSON_IsString(a) && strcmp(a->valuestring, b->valuestring) != 0) ||
	    (cJSON_IsNumber(a) && memcmp(&a->valuedouble, &b->valuedouble, sizeof(double)) != 0))
		return false;
	for (; x && y; x = x->next, y = y->next)
		if (!is_same(x, y))
			return false;
	return !x && !y;
}

static const struct labels_app *label_app(cJSON *meta, const struct labels *labels)
{
	cJSON *app = child(meta, "app", false), *name = get(app, "name");
	cJSON *version = get(app, "version");
	const struct labels_app *chosen = NULL;

	for (size_t i = 0; i < labels->app_count; i++)
		if (is_text(name, labels->apps[i].name))
			chosen = &labels->apps[i];
	if (!chosen) {
		chosen = &labels->apps[0];
		put(app, "name", new_text(chosen->name));
	}
	put(app, "namespace", new_text(labels->namespace_));
	put(app, "environment", new_text(labels->environment));
	if (labels->version.len > 0 &&
	    (!version || cJSON_IsNull(version) || is_text(version, VIEW_LITERAL(""))))
		put(app, "version", new_text(labels->version));
	return chosen;
}

static void add_text(cJSON *object, struct view key, struct view value)
{
	char name[512];

	snprintf(name, sizeof(name), "%.*s", (int)key.len, key.ptr);
	cJSON_AddItemToObject(object, name, new_text(value));
}

static void label_session(cJSON *meta, const struct labels *labels,
			  const struct request_facts *facts)
{
	size_t count = labels->attribute_count;
	cJSON *attributes, *item, *next;

	for (size_t i = 0; i < labels->request_attribute_count; i++)
		count += stamped(meta, labels, facts, i).ptr != NULL;
	attributes = count > 0 ? child(child(meta, "session", false), "attributes", false)
			       : get(get(meta, "session"), "attributes");
	if (!attributes)
		return;
	for (item = attributes->child; item; item = next) {
		bool forged = false;

		next = item->next;
		for (size_t i = 0; i < labels->attribute_count; i++)
			forged |= looks_like("session_attr_", item->string,
					     labels->attributes[i].session_key);
		for (size_t i = 0; i < labels->request_attribute_count; i++)
			forged |= looks_like("session_attr_", item->string,
					     labels->request_attributes[i].session_key);
		for (size_t i = 0; i < labels->unset_count; i++)
			forged |= looks_like("session_attr_", item->string,
					     labels->unset_session_keys[i]);
		if (forged)
			cJSON_Delete(cJSON_DetachItemViaPointer(attributes, item));
	}
	for (size_t i = 0; i < labels->attribute_count; i++)
		add_text(attributes, labels->attributes[i].session_key,
			 labels->attributes[i].value);
	for (size_t i = 0; i < labels->request_attribute_count; i++)
		if (stamped(meta, labels, facts, i).ptr)
			add_text(attributes, labels->request_attributes[i].session_key,
				 stamped(meta, labels, facts, i));
}

static void label_resource(cJSON *resource_spans, const struct labels *labels, cJSON *ours)
{
	cJSON *list = child(child(resource_spans, "resource", false), "attributes", true);
	cJSON *item, *next;

	for (item = list->child; item; item = next) {
		cJSON *key = get(item, "key");

		next = item->next;
		if (cJSON_IsString(key) && is_ours(key->valuestring, labels))
			cJSON_Delete(cJSON_DetachItemViaPointer(list, item));
	}
	while (ours->child)
		cJSON_AddItemToArray(list, cJSON_DetachItemFromArray(ours, 0));
	cJSON_Delete(ours);
}

static bool is_in_apps(const cJSON *name, const struct labels *labels)
{
	for (size_t i = 0; i < labels->app_count; i++)
		if (is_text(name, labels->apps[i].name))
			return true;
	return false;
}

static void remove_meta(cJSON *meta, const struct labels *labels)
{
	cJSON *overrides = get(get(meta, "session"), "overrides");

	cJSON_DeleteItemFromObjectCaseSensitive(meta, "geo");
	if (cJSON_IsObject(overrides) && !is_in_apps(get(overrides, "serviceName"), labels))
		cJSON_DeleteItemFromObjectCaseSensitive(overrides, "serviceName");
}

static void remove_values(cJSON *body, const struct labels *labels)
{
	cJSON *measurement, *value, *next;

	cJSON_ArrayForEach(measurement, get(body, "measurements"))
	{
		cJSON *values = get(measurement, "values");

		for (value = values ? values->child : NULL; value; value = next) {
			next = value->next;
			if (is_reserved(value->string, labels))
				cJSON_Delete(cJSON_DetachItemViaPointer(values, value));
		}
	}
}

static cJSON *either(const cJSON *object, const char *name, const char *also)
{
	cJSON *item = get(object, name);

	return item ? item : get(object, also);
}

static bool is_hex(const cJSON *id, size_t digits)
{
	return cJSON_IsString(id) && strlen(id->valuestring) == digits &&
	       strspn(id->valuestring, "0123456789abcdefABCDEF") == digits;
}

static bool is_set(const cJSON *id, size_t digits)
{
	return is_hex(id, digits) && strspn(id->valuestring, "0") < digits;
}

static bool is_good_link(const cJSON *link)
{
	cJSON *trace_id = either(link, "traceId", "trace_id");
	cJSON *span_id = either(link, "spanId", "span_id");

	return cJSON_IsNull(link) || (cJSON_IsObject(link) && (!trace_id || is_hex(trace_id, 32)) &&
				      (!span_id || is_hex(span_id, 16)));
}

static bool is_good_span(const cJSON *span)
{
	cJSON *parent = either(span, "parentSpanId", "parent_span_id");
	cJSON *links = get(span, "links"), *link;

	if (!cJSON_IsObject(span) || !is_set(either(span, "traceId", "trace_id"), 32) ||
	    !is_set(either(span, "spanId", "span_id"), 16) ||
	    (parent && !is_text(parent, VIEW_LITERAL("")) && !is_hex(parent, 16)) ||
	    (links && !cJSON_IsNull(links) && !cJSON_IsArray(links)))
		return false;
	cJSON_ArrayForEach(link, links)
	{
		if (!is_good_link(link))
			return false;
	}
	return true;
}

static void remove_spans_of(cJSON *scopes)
{
	cJSON *scope, *span, *next;

	cJSON_ArrayForEach(scope, scopes)
	{
		cJSON *spans = get(scope, "spans");

		for (span = spans ? spans->child : NULL; span; span = next) {
			next = span->next;
			if (!is_good_span(span))
				cJSON_Delete(cJSON_DetachItemViaPointer(spans, span));
		}
	}
}

static void remove_spans(cJSON *resource_spans)
{
	remove_spans_of(either(resource_spans, "scopeSpans", "scope_spans"));
	remove_spans_of(either(resource_spans, "deprecatedScopeSpans", "deprecated_scope_spans"));
}

static cJSON *resource_spans_of(const cJSON *body)
{
	return either(get(body, "traces"), "resourceSpans", "resource_spans");
}

const char *oracle_structure(struct view in, struct view out, const struct labels *labels,
			     const struct request_facts *facts)
{
	cJSON *expected = cJSON_ParseWithLength(in.ptr, in.len);
	cJSON *found = cJSON_ParseWithLength(out.ptr, out.len), *item;
	const struct labels_app *app;
	const char *wrong = NULL;
	cJSON *meta;

	if (!expected || !found) {
		wrong = "the output is not JSON for cJSON";
		goto out;
	}
	meta = child(expected, "meta", false);
	app = label_app(meta, labels);
	label_session(meta, labels, facts);
	remove_meta(meta, labels);
	remove_values(expected, labels);
	cJSON_ArrayForEach(item, resource_spans_of(expected))
	{
		if (cJSON_IsObject(item))
			label_resource(item, labels, our_items(meta, labels, app, facts));
		remove_spans(item);
	}
	if (!is_same(expected, found))
		wrong = "the output is not the input with the labels applied";
out:
	cJSON_Delete(expected);
	cJSON_Delete(found);
	return wrong;
}

/* ---- trust ---- */

/* The one member whose name Go would take for `name`; NULL for none, or for several. */
static cJSON *only(const cJSON *object, const char *name)
{
	cJSON *item, *found = NULL;

	cJSON_ArrayForEach(item, object)
	{
		char folded[4096];
		size_t n = 0;

		for (const char *p = item->string; p && *p && n < 4090; p++) {
			if (strncmp(p, "\xc5\xbf", 2) == 0)
				folded[n++] = 's', p++;
			else if (strncmp(p, "\xe2\x84\xaa", 3) == 0)
				folded[n++] = 'k', p += 2;
			else
				folded[n++] = *p;
		}
		folded[n] = '\0';
		if (strcasecmp(folded, name) != 0)
			continue;
		if (found)
			return NULL;
		found = item;
	}
	return found;
}

/* Is this one there once with our value, or, where that is none, not at all? */
static const char *trusted_attribute(const cJSON *attributes, struct view key, struct view value)
{
	const cJSON *item;
	int count = 0;

	cJSON_ArrayForEach(item, attributes)
	{
		if (!looks_like("session_attr_", item->string, key))
			continue;
		if (!value.ptr || !is_text(item, value))
			return "a session attribute of the browser passes for a label";
		count++;
	}
	return count == (value.ptr ? 1 : 0) ? NULL
					    : "a session attribute is not there exactly once";
}

static const char *trusted_session(const cJSON *meta, const struct labels *labels,
				   const struct request_facts *facts)
{
	cJSON *attributes = only(only(meta, "session"), "attributes");
	const char *wrong = NULL;

	for (size_t i = 0; !wrong && i < labels->attribute_count; i++)
		wrong = trusted_attribute(attributes, labels->attributes[i].session_key,
					  labels->attributes[i].value);
	for (size_t i = 0; !wrong && i < labels->request_attribute_count; i++)
		wrong = trusted_attribute(attributes, labels->request_attributes[i].session_key,
					  stamped(meta, labels, facts, i));
	return wrong;
}

/* Our own attributes, in their order, once each, and no other under such a key. */
static const char *trusted_resource(const cJSON *resource_spans, const struct labels *labels,
				    cJSON *ours)
{
	cJSON *list = only(only(resource_spans, "resource"), "attributes"), *item;
	const char *wrong = NULL;
	int next = 0;

	cJSON_ArrayForEach(item, list)
	{
		cJSON *key = only(item, "key");

		if (!cJSON_IsString(key) || !is_ours(key->valuestring, labels))
			continue;
		if (!cJSON_Compare(item, cJSON_GetArrayItem(ours, next++), true))
			wrong = "a resource attribute of the browser passes for a label";
	}
	if (next != cJSON_GetArraySize(ours))
		wrong = "a resource attribute is missing or comes twice";
	cJSON_Delete(ours);
	return wrong;
}

static const char *trusted_values(const cJSON *body, const struct labels *labels)
{
	cJSON *item, *value;

	cJSON_ArrayForEach(item, only(body, "measurements"))
	{
		cJSON_ArrayForEach(value, only(item, "values"))
		{
			if (is_reserved(value->string, labels))
				return "a measurement's value has the name of a label";
		}
	}
	return NULL;
}

/* For a reader that folds names, as Grafana Cloud's receiver may. */
static const char *trusted_meta(const cJSON *meta, const struct labels *labels)
{
	const cJSON *overrides, *item;

	cJSON_ArrayForEach(item, meta)
	{
		if (strcasecmp(item->string, "geo") == 0)
			return "the browser says where it is";
	}
	overrides = only(only(meta, "session"), "overrides");
	if (!cJSON_IsObject(overrides))
		return NULL;
	cJSON_ArrayForEach(item, overrides)
	{
		if (strcasecmp(item->string, "serviceName") == 0 && !is_in_apps(item, labels))
			return "the browser renames the service";
	}
	return NULL;
}

const char *oracle_trusted(struct view out, const struct labels *labels,
			   const struct request_facts *facts)
{
	cJSON *body = cJSON_ParseWithLength(out.ptr, out.len), *meta = only(body, "meta");
	cJSON *app = only(meta, "app"), *item, *list;
	const struct labels_app *chosen = NULL;
	const char *wrong;

	for (size_t i = 0; i < labels->app_count; i++)
		if (is_text(only(app, "name"), labels->apps[i].name))
			chosen = &labels->apps[i];
	if (!chosen || !is_text(only(app, "namespace"), labels->namespace_) ||
	    !is_text(only(app, "environment"), labels->environment)) {
		cJSON_Delete(body);
		return "meta.app is not what was set";
	}
	wrong = trusted_session(meta, labels, facts);
	if (!wrong)
		wrong = trusted_meta(meta, labels);
	if (!wrong)
		wrong = trusted_values(body, labels);
	list = only(only(body, "traces"), "resourceSpans");
	if (!list)
		list = only(only(body, "traces"), "resource_spans");
	cJSON_ArrayForEach(item, list)
	{
		if (!wrong && cJSON_IsObject(item))
			wrong = trusted_resource(item, labels,
						 our_items(meta, labels, chosen, facts));
	}
	cJSON_Delete(body);
	return wrong;
}

/* ---- bytes ---- */

const char *oracle_bytes(struct view in, struct view out, const struct edits *edits,
			 const struct view *texts)
{
	size_t at_in = 0, at_out = 0;

	for (size_t i = 0; i <= edits->count; i++) {
		bool last = i == edits->count;
		size_t until = last ? in.len : edits->list[i].offset, n = until - at_in;
		struct view text = last ? VIEW_LITERAL("") : texts[edits->list[i].text];

		if (until < at_in || until > in.len)
			return "the edits are not in order, or overlap";
		if (out.len - at_out < n + text.len ||
		    memcmp(in.ptr + at_in, out.ptr + at_out, n) != 0)
			return "a byte outside the edits has changed";
		at_out += n;
		if (text.len > 0 && memcmp(text.ptr, out.ptr + at_out, text.len) != 0)
			return "an edit's text is not where it belongs";
		at_out += text.len;
		at_in = last ? until : until + edits->list[i].removed;
	}
	return at_out == out.len ? NULL : "there is more than the input and the edits";
}
