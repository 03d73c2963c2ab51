/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DESIGN: an item's own fields go into an ordered map, the beacon's meta fields are set on top, and
 * the map becomes a line: the order of the keys, and which of two equal ones wins, follow from that
 * as they do in the receiver. All text of a line is bounded by `MAX_LINE_BYTES`; an item beyond it
 * ends the output of its beacon (lines_write() returns false).
 */
#include "sink/lines.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <xxhash.h>

#include "base/text.h"
#include "sink/logfmt.h"
#include "sink/spans.h"

enum {
	MAX_LINE_BYTES = 64 * 1024 * 1024
};

static const cJSON *get(const cJSON *object, const char *name)
{
	return cJSON_GetObjectItemCaseSensitive(object, name);
}

static const char *text(const cJSON *object, const char *name)
{
	const cJSON *item = get(object, name);

	return item ? item->valuestring : "";
}

static long long integer(const cJSON *object, const char *name)
{
	const cJSON *item = get(object, name);

	return item ? (long long)item->valuedouble : 0;
}

struct map_entry {
	const cJSON *item;
	size_t at;
};

static int compare_entries(const void *a, const void *b)
{
	const struct map_entry *x = a, *y = b;
	int order = strcmp(x->item->string, y->item->string);

	return order ? order : x->at < y->at ? -1 : 1;
}

/* The map's entries by key, of equal keys the last one. NULL when empty or out of memory. */
static struct map_entry *sorted(const cJSON *map, size_t *count)
{
	struct map_entry *entries;
	size_t n = 0, kept = 0;
	const cJSON *item;

	cJSON_ArrayForEach(item, map) n++;
	*count = 0;
	entries = n ? malloc(n * sizeof(*entries)) : NULL;
	if (!entries)
		return NULL;
	n = 0;
	cJSON_ArrayForEach(item, map)
	{
		entries[n] = (struct map_entry){item, n};
		n++;
	}
	qsort(entries, n, sizeof(*entries), compare_entries);
	for (size_t i = 0; i < n; i++) {
		if (i + 1 == n || strcmp(entries[i].item->string, entries[i + 1].item->string) != 0)
			entries[kept++] = entries[i];
	}
	*count = kept;
	return entries;
}

static void set_strings(struct kv *kv, const char *prefix, const cJSON *map)
{
	size_t count;
	struct map_entry *entries = sorted(map, &count);

	for (size_t i = 0; i < count; i++) {
		const cJSON *item = entries[i].item;

		if (cJSON_IsString(item) && item->valuestring[0])
			kv_set(kv, view_of(prefix), view_of(item->string),
			       view_of(item->valuestring));
	}
	free(entries);
}

/* Twice in a line: %f under the bare name, %v under value_<name>. */
static void set_floats(struct kv *kv, const char *prefix, const cJSON *map)
{
	size_t count;
	struct map_entry *entries = sorted(map, &count);
	char number[LOGFMT_FLOAT_MAX];

	for (size_t i = 0; i < count; i++) {
		const cJSON *item = entries[i].item;
		double value = cJSON_IsNumber(item) ? item->valuedouble : 0; /* null is zero */

		if (*prefix)
			logfmt_float(number, value);
		else
			snprintf(number, sizeof(number), "%f", value);
		kv_set(kv, view_of(prefix), view_of(item->string), view_of(number));
	}
	free(entries);
}

/* Go's time.Time.String(): 2006-01-02 15:04:05.999999999 -0700 MST, where a zone that has no name
 * shows its offset twice. A receiver that runs in UTC is assumed, as in containers. */
static void set_timestamp(struct kv *kv, const cJSON *item)
{
	const char *t = text(item, "timestamp");
	const char *zone;
	char out[64];
	int fraction = 0;

	if (!*t)
		t = "0001-01-01T00:00:00Z";
	zone = t + 19;
	if (*zone == '.') {
		fraction = (int)strspn(zone + 1, "0123456789");
		zone += 1 + fraction;
		fraction = fraction > 9 ? 9 : fraction;
		while (fraction > 0 && t[19 + fraction] == '0')
			fraction--;
	}
	if (zone[0] == 'Z' || strcmp(zone + 1, "00:00") == 0)
		snprintf(out, sizeof(out), "%.10s %.8s%.*s +0000 UTC", t, t + 11,
			 fraction ? fraction + 1 : 0, t + 19);
	else
		snprintf(out, sizeof(out), "%.10s %.8s%.*s %.3s%.2s %.3s%.2s", t, t + 11,
			 fraction ? fraction + 1 : 0, t + 19, zone, zone + 4, zone, zone + 4);
	kv_add(kv, "timestamp", out);
}

static void set_trace(struct kv *kv, const cJSON *item)
{
	const cJSON *trace = get(item, "trace");

	kv_add(kv, "traceID", text(trace, "trace_id"));
	kv_add(kv, "spanID", text(trace, "span_id"));
}

static void set_log(struct kv *kv, const cJSON *item)
{
	set_timestamp(kv, item);
	kv_add(kv, "kind", "log");
	kv_add(kv, "message", text(item, "message"));
	kv_add(kv, "level", text(item, "level"));
	set_strings(kv, "context_", get(item, "context"));
	set_trace(kv, item);
}

static void set_stacktrace(struct kv *kv, const cJSON *item)
{
	const cJSON *frame, *frames = get(get(item, "stacktrace"), "frames");
	struct buf out;

	buf_init(&out, MAX_LINE_BYTES, NULL);
	kv->failed |= buf_printf(&out, "%s: %s", text(item, "type"), text(item, "value")) != BUF_OK;
	cJSON_ArrayForEach(frame, frames)
	{
		const char *module = text(frame, "module");

		kv->failed |=
			buf_printf(&out, "\n  at %s (%s%s%s:%lld:%lld)", text(frame, "function"),
				   module, *module ? "|" : "", text(frame, "filename"),
				   integer(frame, "lineno"), integer(frame, "colno")) != BUF_OK;
	}
	kv_set(kv, VIEW_LITERAL(""), VIEW_LITERAL("stacktrace"), (struct view){out.data, out.len});
	buf_release(&out);
}

static void set_exception(struct kv *kv, const cJSON *item)
{
	struct view value = view_of(text(item, "value"));
	char hash[24];

	set_timestamp(kv, item);
	kv_add(kv, "kind", "exception");
	kv_add(kv, "type", text(item, "type"));
	kv_add(kv, "value", value.ptr);
	set_stacktrace(kv, item);
	snprintf(hash, sizeof(hash), "%" PRIu64, (uint64_t)XXH3_64bits(value.ptr, value.len));
	kv_add(kv, "hash", hash);
	set_strings(kv, "context_", get(item, "context"));
	set_trace(kv, item);
}

static void set_measurement(struct kv *kv, const cJSON *item)
{
	set_timestamp(kv, item);
	kv_add(kv, "kind", "measurement");
	kv_add(kv, "type", text(item, "type"));
	set_floats(kv, "", get(item, "values"));
	set_trace(kv, item);
	set_strings(kv, "context_", get(item, "context"));
	set_floats(kv, "value_", get(item, "values"));
}

static void set_event(struct kv *kv, const cJSON *item)
{
	set_timestamp(kv, item);
	kv_add(kv, "kind", "event");
	kv_add(kv, "event_name", text(item, "name"));
	kv_add(kv, "event_domain", text(item, "domain"));
	set_strings(kv, "event_data_", get(item, "attributes"));
	set_trace(kv, item);
}

static void set_sdk_integrations(struct kv *kv, const cJSON *sdk)
{
	const cJSON *integration, *list = get(sdk, "integrations");
	struct buf out;

	buf_init(&out, MAX_LINE_BYTES, NULL);
	cJSON_ArrayForEach(integration, list)
	{
		kv->failed |=
			buf_printf(&out, "%s%s:%s", out.len ? "," : "", text(integration, "name"),
				   text(integration, "version")) != BUF_OK;
	}
	if (out.len > 0)
		kv_set(kv, VIEW_LITERAL(""), VIEW_LITERAL("sdk_integrations"),
		       (struct view){out.data, out.len});
	buf_release(&out);
}

enum meta_form {
	META_TEXT,
	META_BOOL,
	META_MAP,
	META_INTEGRATIONS
};

static const struct meta_field {
	const char *object, *name, *key;
	enum meta_form form;
} meta_fields[] = {
	{"sdk", "name", "sdk_name", META_TEXT},
	{"sdk", "version", "sdk_version", META_TEXT},
	{"sdk", "integrations", "sdk_integrations", META_INTEGRATIONS},
	{"app", "name", "app_name", META_TEXT},
	{"app", "namespace", "app_namespace", META_TEXT},
	{"app", "release", "app_release", META_TEXT},
	{"app", "version", "app_version", META_TEXT},
	{"app", "environment", "app_environment", META_TEXT},
	{"user", "email", "user_email", META_TEXT},
	{"user", "id", "user_id", META_TEXT},
	{"user", "username", "user_username", META_TEXT},
	{"user", "attributes", "user_attr_", META_MAP},
	{"session", "id", "session_id", META_TEXT},
	{"session", "attributes", "session_attr_", META_MAP},
	{"page", "id", "page_id", META_TEXT},
	{"page", "url", "page_url", META_TEXT},
	{"page", "attributes", "page_attr_", META_MAP},
	{"browser", "name", "browser_name", META_TEXT},
	{"browser", "version", "browser_version", META_TEXT},
	{"browser", "os", "browser_os", META_TEXT},
	{"browser", "mobile", "browser_mobile", META_BOOL},
	{"browser", "userAgent", "browser_userAgent", META_TEXT},
	{"browser", "language", "browser_language", META_TEXT},
	{"browser", "viewportWidth", "browser_viewportWidth", META_TEXT},
	{"browser", "viewportHeight", "browser_viewportHeight", META_TEXT},
	{"view", "name", "view_name", META_TEXT},
};

static void set_meta(struct kv *kv, const cJSON *meta)
{
	for (size_t i = 0; i < ARRAY_LEN(meta_fields); i++) {
		const struct meta_field *field = &meta_fields[i];
		const cJSON *object = get(meta, field->object);

		switch (field->form) {
		case META_TEXT:
			kv_add(kv, field->key, text(object, field->name));
			break;
		case META_BOOL:
			kv_add(kv, field->key,
			       cJSON_IsTrue(get(object, field->name)) ? "true" : "false");
			break;
		case META_MAP:
			set_strings(kv, field->key, get(object, field->name));
			break;
		case META_INTEGRATIONS:
			set_sdk_integrations(kv, object);
			break;
		}
	}
}

static bool write_items(struct buf *out, const cJSON *items, const struct kv *meta, struct kv *line,
			void (*set_item)(struct kv *, const cJSON *))
{
	const cJSON *item;

	cJSON_ArrayForEach(item, items)
	{
		kv_clear(line);
		set_item(line, item);
		kv_merge(line, meta);
		/* A key without a character that can be written drops the line, as in the
		 * receiver. */
		if (kv_write(line, out) == LOGFMT_FULL)
			return false;
	}
	return true;
}

bool lines_write(struct buf *out, const struct payload *payload)
{
	static const struct {
		const char *name;
		void (*set_item)(struct kv *, const cJSON *);
	} lists[] = {{"logs", set_log},
		     {"exceptions", set_exception},
		     {"measurements", set_measurement},
		     {"events", set_event}};
	struct kv meta, line;
	bool ok = true;

	kv_init(&meta, MAX_LINE_BYTES);
	kv_init(&line, MAX_LINE_BYTES);
	set_meta(&meta, get(payload->root, "meta"));
	for (size_t i = 0; ok && i < ARRAY_LEN(lists); i++)
		ok = write_items(out, get(payload->root, lists[i].name), &meta, &line,
				 lists[i].set_item);
	ok = ok && spans_write(out, get(payload->root, "traces"));
	kv_release(&line);
	kv_release(&meta);
	return ok;
}
