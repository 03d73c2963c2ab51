/* SPDX-License-Identifier: Apache-2.0 */
#include "sink/spans.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

#include "sink/logfmt.h"

static bool is_named(const cJSON *item, const char *camel, const char *snake)
{
	return strcmp(item->string, camel) == 0 || strcmp(item->string, snake) == 0;
}

/* The last of that name: a later scalar replaces an earlier one. NULL for none, or null. */
static const cJSON *last_named(const cJSON *object, const char *camel, const char *snake)
{
	const cJSON *item, *found = NULL;

	cJSON_ArrayForEach(item, object)
	{
		if (is_named(item, camel, snake) && !cJSON_IsNull(item))
			found = item;
	}
	return found;
}

static const char *text_of(const cJSON *object, const char *camel, const char *snake)
{
	const cJSON *item = last_named(object, camel, snake);

	return item && cJSON_IsString(item) ? item->valuestring : "";
}

static bool is_hex(const cJSON *item, size_t digits)
{
	size_t len;

	if (!cJSON_IsString(item))
		return false;
	len = strlen(item->valuestring);
	return strspn(item->valuestring, "0123456789abcdefABCDEF") == len &&
	       (len == 0 || len == digits);
}

/* A uint64 comes as a number or as its digits in a string. */
static bool read_uint64(const cJSON *item, uint64_t *value)
{
	char *end;

	if (cJSON_IsNumber(item) && item->valuedouble >= 0 && item->valuedouble < 1.8e19) {
		*value = (uint64_t)item->valuedouble;
		return true;
	}
	if (!cJSON_IsString(item) || item->valuestring[0] < '0' || item->valuestring[0] > '9')
		return false;
	errno = 0;
	*value = strtoull(item->valuestring, &end, 10);
	return errno == 0 && *end == '\0';
}

/* A table row: which names, and what must hold for them. */
struct rule {
	const char *camel, *snake;
	bool (*check)(const cJSON *item);
	const struct rule *sub; /* for the elements of a list, or for the object itself */
};

static bool check_object(const cJSON *object, const struct rule *rules);

static bool is_string(const cJSON *item)
{
	return cJSON_IsString(item);
}

static bool is_list(const cJSON *item)
{
	return cJSON_IsArray(item);
}

static bool is_object(const cJSON *item)
{
	return cJSON_IsObject(item);
}

static bool is_trace_id(const cJSON *item)
{
	return is_hex(item, 32);
}

static bool is_span_id(const cJSON *item)
{
	return is_hex(item, 16);
}

static bool is_uint64(const cJSON *item)
{
	uint64_t value;

	return read_uint64(item, &value);
}

static const struct rule attribute_rules[] = {{"key", "key", is_string, NULL},
					      {"value", "value", is_object, NULL},
					      {NULL, NULL, NULL, NULL}};
static const struct rule span_rules[] = {
	{"traceId", "trace_id", is_trace_id, NULL},
	{"spanId", "span_id", is_span_id, NULL},
	{"name", "name", is_string, NULL},
	{"startTimeUnixNano", "start_time_unix_nano", is_uint64, NULL},
	{"endTimeUnixNano", "end_time_unix_nano", is_uint64, NULL},
	{"attributes", "attributes", is_list, attribute_rules},
	{NULL, NULL, NULL, NULL}};
static const struct rule scope_rules[] = {{"name", "name", is_string, NULL},
					  {NULL, NULL, NULL, NULL}};
static const struct rule scope_spans_rules[] = {{"scope", "scope", is_object, scope_rules},
						{"spans", "spans", is_list, span_rules},
						{NULL, NULL, NULL, NULL}};
static const struct rule resource_rules[] = {{"attributes", "attributes", is_list, attribute_rules},
					     {NULL, NULL, NULL, NULL}};
static const struct rule resource_spans_rules[] = {
	{"resource", "resource", is_object, resource_rules},
	{"scopeSpans", "scope_spans", is_list, scope_spans_rules},
	{NULL, NULL, NULL, NULL}};
static const struct rule traces_rules[] = {
	{"resourceSpans", "resource_spans", is_list, resource_spans_rules},
	{NULL, NULL, NULL, NULL}};

static bool check_item(const cJSON *item, const struct rule *rule)
{
	const cJSON *element;

	if (cJSON_IsNull(item))
		return true;
	if (!rule->check(item))
		return false;
	if (!rule->sub)
		return true;
	if (cJSON_IsObject(item))
		return check_object(item, rule->sub);
	cJSON_ArrayForEach(element, item)
	{
		if (!cJSON_IsNull(element) &&
		    (!cJSON_IsObject(element) || !check_object(element, rule->sub)))
			return false;
	}
	return true;
}

static bool check_object(const cJSON *object, const struct rule *rules)
{
	const cJSON *item;

	cJSON_ArrayForEach(item, object)
	{
		for (const struct rule *rule = rules; rule->camel; rule++) {
			if (is_named(item, rule->camel, rule->snake) && !check_item(item, rule))
				return false;
		}
	}
	return true;
}

bool spans_check(const cJSON *traces)
{
	return cJSON_IsObject(traces) && check_object(traces, traces_rules);
}

/* A string is written as it is, any other value as its JSON. */
static bool write_attribute(struct buf *out, size_t line, const cJSON *attribute)
{
	const cJSON *any = last_named(attribute, "value", "value");
	const cJSON *value = any ? any->child : NULL;
	char *json = NULL;
	bool ok;

	if (value && !cJSON_IsString(value))
		json = cJSON_PrintUnformatted(value);
	ok = LOGFMT_OK == logfmt_field(out, line, VIEW_LITERAL("resource_"),
				       view_of(text_of(attribute, "key", "key")),
				       view_of(json                             ? json
					       : value && cJSON_IsString(value) ? value->valuestring
										: ""));
	cJSON_free(json);
	return ok;
}

/* In their order and with all repeats, since that is what reaches the trace store. */
static bool write_resource(struct buf *out, size_t line, const cJSON *resource_spans)
{
	const cJSON *resource, *list, *attribute;

	cJSON_ArrayForEach(resource, resource_spans)
	{
		if (strcmp(resource->string, "resource") != 0)
			continue;
		cJSON_ArrayForEach(list, resource)
		{
			if (strcmp(list->string, "attributes") != 0)
				continue;
			cJSON_ArrayForEach(attribute, list)
			{
				if (!write_attribute(out, line, attribute))
					return false;
			}
		}
	}
	return true;
}

static bool field(struct buf *out, size_t line, const char *key, const char *value)
{
	return *value == '\0' ||
	       logfmt_field(out, line, VIEW_LITERAL(""), view_of(key), view_of(value)) == LOGFMT_OK;
}

/* Milliseconds, to the microsecond. */
static bool write_duration(struct buf *out, const cJSON *span)
{
	const cJSON *start = last_named(span, "startTimeUnixNano", "start_time_unix_nano");
	const cJSON *end = last_named(span, "endTimeUnixNano", "end_time_unix_nano");
	uint64_t from, to;

	if (!start || !end || !read_uint64(start, &from) || !read_uint64(end, &to) || to < from)
		return true;
	return buf_printf(out, " duration=%.3fms", (double)(to - from) / 1e6) == BUF_OK;
}

static bool write_span(struct buf *out, const cJSON *resource_spans, const cJSON *scope_spans,
		       const cJSON *span)
{
	const cJSON *scope = last_named(scope_spans, "scope", "scope");
	size_t line = out->len;

	if (field(out, line, "kind", "span") &&
	    field(out, line, "trace_id", text_of(span, "traceId", "trace_id")) &&
	    field(out, line, "span_id", text_of(span, "spanId", "span_id")) &&
	    field(out, line, "name", text_of(span, "name", "name")) &&
	    write_resource(out, line, resource_spans) &&
	    field(out, line, "scope", text_of(scope, "name", "name")) &&
	    write_duration(out, span) && buf_append(out, "\n", 1) == BUF_OK)
		return true;
	out->len = line;
	return false;
}

/* Visits each span; without `out` it only counts. */
static bool write_scope_spans(struct buf *out, const cJSON *resource_spans,
			      const cJSON *scope_spans, size_t *count)
{
	const cJSON *list, *span;

	cJSON_ArrayForEach(list, scope_spans)
	{
		if (strcmp(list->string, "spans") != 0)
			continue;
		cJSON_ArrayForEach(span, list)
		{
			++*count;
			if (out && !write_span(out, resource_spans, scope_spans, span))
				return false;
		}
	}
	return true;
}

static bool write_resource_spans(struct buf *out, const cJSON *resource_spans, size_t *count)
{
	const cJSON *list, *scope_spans;

	cJSON_ArrayForEach(list, resource_spans)
	{
		if (!is_named(list, "scopeSpans", "scope_spans"))
			continue;
		cJSON_ArrayForEach(scope_spans, list)
		{
			if (!write_scope_spans(out, resource_spans, scope_spans, count))
				return false;
		}
	}
	return true;
}

static bool walk(struct buf *out, const cJSON *traces, size_t *count)
{
	const cJSON *list, *resource_spans;

	cJSON_ArrayForEach(list, traces)
	{
		if (!is_named(list, "resourceSpans", "resource_spans"))
			continue;
		cJSON_ArrayForEach(resource_spans, list)
		{
			if (!write_resource_spans(out, resource_spans, count))
				return false;
		}
	}
	return true;
}

size_t spans_count(const cJSON *traces)
{
	size_t count = 0;

	walk(NULL, traces, &count);
	return count;
}

bool spans_write(struct buf *out, const cJSON *traces)
{
	size_t count = 0;

	return walk(out, traces, &count);
}
