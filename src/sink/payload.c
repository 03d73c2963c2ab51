/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DESIGN: cJSON reads the body; then one walk moves what the tables below name into a second tree,
 * in the order of the body, so that repeats act as they do on Go structs: a later scalar replaces,
 * an object merges, a list merges element by element, null empties lists, maps and pointers and
 * leaves anything else as it was. Anything of another type than the table says is an error, as in
 * Go.
 */
#include "sink/payload.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "sink/spans.h"

enum type {
	TYPE_STRING,
	TYPE_INT,
	TYPE_BOOL,
	TYPE_TIME,
	TYPE_OBJECT,
	/* null empties these */
	TYPE_POINTER, /* to an object */
	TYPE_LIST,    /* of objects */
	TYPE_STRINGS, /* map of strings */
	TYPE_FLOATS,  /* map of numbers */
	TYPE_TRACES,
};

struct field {
	const char *name; /* NULL ends a table */
	enum type type;
	const struct field *sub;
};

static const struct field trace_fields[] = {
	{"trace_id", TYPE_STRING, NULL}, {"span_id", TYPE_STRING, NULL}, {NULL, 0, NULL}};
static const struct field frame_fields[] = {
	{"function", TYPE_STRING, NULL}, {"module", TYPE_STRING, NULL},
	{"filename", TYPE_STRING, NULL}, {"lineno", TYPE_INT, NULL},
	{"colno", TYPE_INT, NULL},       {NULL, 0, NULL}};
static const struct field stacktrace_fields[] = {{"frames", TYPE_LIST, frame_fields},
						 {NULL, 0, NULL}};
static const struct field exception_fields[] = {{"type", TYPE_STRING, NULL},
						{"value", TYPE_STRING, NULL},
						{"stacktrace", TYPE_POINTER, stacktrace_fields},
						{"timestamp", TYPE_TIME, NULL},
						{"trace", TYPE_OBJECT, trace_fields},
						{"context", TYPE_STRINGS, NULL},
						{NULL, 0, NULL}};
static const struct field log_fields[] = {
	{"message", TYPE_STRING, NULL},       {"level", TYPE_STRING, NULL},
	{"context", TYPE_STRINGS, NULL},      {"timestamp", TYPE_TIME, NULL},
	{"trace", TYPE_OBJECT, trace_fields}, {NULL, 0, NULL}};
static const struct field measurement_fields[] = {
	{"type", TYPE_STRING, NULL},     {"values", TYPE_FLOATS, NULL},
	{"timestamp", TYPE_TIME, NULL},  {"trace", TYPE_OBJECT, trace_fields},
	{"context", TYPE_STRINGS, NULL}, {NULL, 0, NULL}};
static const struct field event_fields[] = {
	{"name", TYPE_STRING, NULL},          {"domain", TYPE_STRING, NULL},
	{"attributes", TYPE_STRINGS, NULL},   {"timestamp", TYPE_TIME, NULL},
	{"trace", TYPE_OBJECT, trace_fields}, {NULL, 0, NULL}};
static const struct field integration_fields[] = {
	{"name", TYPE_STRING, NULL}, {"version", TYPE_STRING, NULL}, {NULL, 0, NULL}};
static const struct field sdk_fields[] = {{"name", TYPE_STRING, NULL},
					  {"version", TYPE_STRING, NULL},
					  {"integrations", TYPE_LIST, integration_fields},
					  {NULL, 0, NULL}};
static const struct field app_fields[] = {
	{"name", TYPE_STRING, NULL},        {"namespace", TYPE_STRING, NULL},
	{"release", TYPE_STRING, NULL},     {"version", TYPE_STRING, NULL},
	{"environment", TYPE_STRING, NULL}, {NULL, 0, NULL}};
static const struct field user_fields[] = {{"email", TYPE_STRING, NULL},
					   {"id", TYPE_STRING, NULL},
					   {"username", TYPE_STRING, NULL},
					   {"attributes", TYPE_STRINGS, NULL},
					   {NULL, 0, NULL}};
static const struct field session_fields[] = {
	{"id", TYPE_STRING, NULL}, {"attributes", TYPE_STRINGS, NULL}, {NULL, 0, NULL}};
static const struct field page_fields[] = {{"id", TYPE_STRING, NULL},
					   {"url", TYPE_STRING, NULL},
					   {"attributes", TYPE_STRINGS, NULL},
					   {NULL, 0, NULL}};
static const struct field browser_fields[] = {{"name", TYPE_STRING, NULL},
					      {"version", TYPE_STRING, NULL},
					      {"os", TYPE_STRING, NULL},
					      {"mobile", TYPE_BOOL, NULL},
					      {"userAgent", TYPE_STRING, NULL},
					      {"language", TYPE_STRING, NULL},
					      {"viewportWidth", TYPE_STRING, NULL},
					      {"viewportHeight", TYPE_STRING, NULL},
					      {NULL, 0, NULL}};
static const struct field view_fields[] = {{"name", TYPE_STRING, NULL}, {NULL, 0, NULL}};
static const struct field meta_fields[] = {
	{"sdk", TYPE_OBJECT, sdk_fields},   {"app", TYPE_OBJECT, app_fields},
	{"user", TYPE_OBJECT, user_fields}, {"session", TYPE_OBJECT, session_fields},
	{"page", TYPE_OBJECT, page_fields}, {"browser", TYPE_OBJECT, browser_fields},
	{"view", TYPE_OBJECT, view_fields}, {NULL, 0, NULL}};
static const struct field payload_fields[] = {{"exceptions", TYPE_LIST, exception_fields},
					      {"logs", TYPE_LIST, log_fields},
					      {"measurements", TYPE_LIST, measurement_fields},
					      {"events", TYPE_LIST, event_fields},
					      {"meta", TYPE_OBJECT, meta_fields},
					      {"traces", TYPE_TRACES, NULL},
					      {NULL, 0, NULL}};

static char lower(char c)
{
	return c >= 'A' && c <= 'Z' ? (char)(c + ('a' - 'A')) : c;
}

/* ASCII letters fold, and so do the long s (U+017F) and the Kelvin sign (U+212A). */
static bool folds_to(const char *key, const char *name)
{
	for (; *name; name++) {
		if (strncmp(key, "\xc5\xbf", 2) == 0 && lower(*name) == 's')
			key += 2;
		else if (strncmp(key, "\xe2\x84\xaa", 3) == 0 && lower(*name) == 'k')
			key += 3;
		else if (lower(*key) == lower(*name))
			key++;
		else
			return false;
	}
	return *key == '\0';
}

static const struct field *find_field(const struct field *fields, const char *key)
{
	for (; fields->name; fields++) {
		if (folds_to(key, fields->name))
			return fields;
	}
	return NULL;
}

static int two_digits(const char *p)
{
	if (p[0] < '0' || p[0] > '9' || p[1] < '0' || p[1] > '9')
		return -1;
	return (p[0] - '0') * 10 + p[1] - '0';
}

static int days_in(int month, int year)
{
	static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
	bool leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);

	return month == 2 && leap ? 29 : days[month - 1];
}

static bool is_zone(const char *p)
{
	int hours, minutes;

	if (strcmp(p, "Z") == 0)
		return true;
	if (strlen(p) != 6 || (p[0] != '+' && p[0] != '-') || p[3] != ':')
		return false;
	hours = two_digits(p + 1);
	minutes = two_digits(p + 4);
	return hours >= 0 && hours <= 23 && minutes >= 0 && minutes <= 59;
}

/* RFC 3339 with its capitals and at least one digit after a point. */
static bool is_time(const char *s)
{
	int year, month, day;

	if (strlen(s) < sizeof("2006-01-02T15:04:05Z") - 1 || s[4] != '-' || s[7] != '-' ||
	    s[10] != 'T' || s[13] != ':' || s[16] != ':' || two_digits(s) < 0 ||
	    two_digits(s + 2) < 0)
		return false;
	year = two_digits(s) * 100 + two_digits(s + 2);
	month = two_digits(s + 5);
	day = two_digits(s + 8);
	if (month < 1 || month > 12 || day < 1 || day > days_in(month, year))
		return false;
	if (two_digits(s + 11) < 0 || two_digits(s + 11) > 23 || two_digits(s + 14) < 0 ||
	    two_digits(s + 14) > 59 || two_digits(s + 17) < 0 || two_digits(s + 17) > 59)
		return false;
	s += 19;
	if (s[0] == '.' && s[1] >= '0' && s[1] <= '9')
		s += 1 + strspn(s + 1, "0123456789");
	return is_zone(s);
}

/* The receiver's limit is an int64; beyond 2^53 a double cannot hold each number. */
static bool is_int(const cJSON *item)
{
	return cJSON_IsNumber(item) && item->valuedouble == trunc(item->valuedouble) &&
	       fabs(item->valuedouble) < 9.2e18;
}

static bool is_map(const cJSON *item, bool floats)
{
	const cJSON *value;

	if (!cJSON_IsObject(item))
		return false;
	cJSON_ArrayForEach(value, item)
	{
		if (cJSON_IsNull(value))
			continue;
		if (floats ? !cJSON_IsNumber(value) || !isfinite(value->valuedouble)
			   : !cJSON_IsString(value))
			return false;
	}
	return true;
}

static bool has_type(const cJSON *item, const struct field *field)
{
	switch (field->type) {
	case TYPE_STRING:
		return cJSON_IsString(item);
	case TYPE_INT:
		return is_int(item);
	case TYPE_BOOL:
		return cJSON_IsBool(item);
	case TYPE_TIME:
		return cJSON_IsString(item) && is_time(item->valuestring);
	case TYPE_OBJECT:
	case TYPE_POINTER:
		return cJSON_IsObject(item);
	case TYPE_LIST:
		return cJSON_IsArray(item);
	case TYPE_STRINGS:
	case TYPE_FLOATS:
		return is_map(item, field->type == TYPE_FLOATS);
	case TYPE_TRACES:
		return spans_check(item);
	}
	return false;
}

static bool take_object(cJSON *to, cJSON *from, const struct field *fields,
			char problem[PROBLEM_MAX]);

/* The field's own object or array, made where there is none yet. */
static cJSON *container(cJSON *to, cJSON *existing, const char *name, cJSON *(*create)(void))
{
	if (!existing) {
		existing = create();
		cJSON_AddItemToObjectCS(to, name, existing);
	}
	return existing;
}

/* Merges element by element with an earlier list of the same name; the later one's length wins. */
static bool take_list(cJSON *to, cJSON *from, const struct field *field, char problem[PROBLEM_MAX])
{
	cJSON *old = to->child, *item, *next;

	for (item = from->child; item; item = item->next) {
		cJSON *target = old;

		if (!old) {
			target = cJSON_CreateObject();
			if (!cJSON_AddItemToArray(to, target))
				return false;
		}
		old = old ? old->next : NULL;
		if (cJSON_IsNull(item))
			continue;
		if (!cJSON_IsObject(item)) {
			snprintf(problem, PROBLEM_MAX, "json: an element of %s is not an object",
				 field->name);
			return false;
		}
		if (!take_object(target, item, field->sub, problem))
			return false;
	}
	for (; old; old = next) {
		next = old->next;
		cJSON_Delete(cJSON_DetachItemViaPointer(to, old));
	}
	return true;
}

/* Appends to the pairs of an earlier map of the same name; of equal keys the reader takes the
 * last. */
static void take_map(cJSON *to, cJSON *from)
{
	cJSON *first = from->child, *last = to->child ? to->child->prev : NULL;

	if (!first)
		return;
	from->child = NULL;
	if (!last) {
		to->child = first;
		return;
	}
	to->child->prev = first->prev;
	first->prev = last;
	last->next = first;
}

static bool take_field(cJSON *to, cJSON *from, cJSON *item, const struct field *field,
		       char problem[PROBLEM_MAX])
{
	cJSON *existing = cJSON_GetObjectItemCaseSensitive(to, field->name);

	if (cJSON_IsNull(item)) {
		if (existing && field->type >= TYPE_POINTER)
			cJSON_Delete(cJSON_DetachItemViaPointer(to, existing));
		return true;
	}
	if (!has_type(item, field)) {
		snprintf(problem, PROBLEM_MAX, "json: %s has a value of the wrong type or form",
			 field->name);
		return false;
	}
	if (field->type == TYPE_OBJECT || field->type == TYPE_POINTER)
		return take_object(container(to, existing, field->name, cJSON_CreateObject), item,
				   field->sub, problem);
	if (field->type == TYPE_LIST)
		return take_list(container(to, existing, field->name, cJSON_CreateArray), item,
				 field, problem);
	if (field->type == TYPE_STRINGS || field->type == TYPE_FLOATS) {
		take_map(container(to, existing, field->name, cJSON_CreateObject), item);
		return true;
	}
	if (existing)
		cJSON_Delete(cJSON_DetachItemViaPointer(to, existing));
	return cJSON_AddItemToObjectCS(to, field->name, cJSON_DetachItemViaPointer(from, item));
}

static bool take_object(cJSON *to, cJSON *from, const struct field *fields,
			char problem[PROBLEM_MAX])
{
	cJSON *item, *next;

	for (item = from->child; item; item = next) {
		const struct field *field = find_field(fields, item->string);

		next = item->next;
		if (field && !take_field(to, from, item, field, problem))
			return false;
	}
	return true;
}

static size_t list_length(const cJSON *root, const char *name)
{
	return (size_t)cJSON_GetArraySize(cJSON_GetObjectItemCaseSensitive(root, name));
}

static void count_items(struct payload *payload)
{
	payload->counts[SINK_LOG] = list_length(payload->root, "logs");
	payload->counts[SINK_EXCEPTION] = list_length(payload->root, "exceptions");
	payload->counts[SINK_EVENT] = list_length(payload->root, "events");
	payload->counts[SINK_MEASUREMENT] = list_length(payload->root, "measurements");
	payload->counts[SINK_SPAN] =
		spans_count(cJSON_GetObjectItemCaseSensitive(payload->root, "traces"));
}

/* The value of the \\u escape that `p` begins with; -1: there is none. */
static int escape_at(const char *p, const char *end)
{
	char digits[5] = "";

	if (end - p < 6 || p[0] != '\\' || p[1] != 'u')
		return -1;
	memcpy(digits, p + 2, 4);
	if (strspn(digits, "0123456789abcdefABCDEF") != 4)
		return -1;
	return (int)strtol(digits, NULL, 16);
}

static bool is_surrogate(int unit, int first)
{
	return unit >= first && unit < first + 0x400;
}

/* Go reads half a surrogate pair as U+FFFD, and browsers do send such halves; cJSON refuses them,
 * and takes \u0000 for the end of the string. Both become \ufffd, which is as long. */
static void replace_escapes(char *text, size_t len)
{
	const char *end = text + len;

	for (char *p = text; p < end; p++) {
		int unit = escape_at(p, end);

		if (unit < 0) {
			if (*p == '\\')
				p++;
			continue;
		}
		if (is_surrogate(unit, 0xd800) && end - p > 6 &&
		    is_surrogate(escape_at(p + 6, end), 0xdc00))
			p += 6;
		else if (unit == 0 || is_surrogate(unit, 0xd800) || is_surrogate(unit, 0xdc00))
			memcpy(p + 2, "fffd", 4);
		p += 5;
	}
}

static cJSON *parse_text(struct view body)
{
	char *text = malloc(body.len);
	cJSON *json = NULL;

	if (!text)
		return NULL;
	memcpy(text, body.ptr, body.len);
	replace_escapes(text, body.len);
	json = cJSON_ParseWithLengthOpts(text, body.len, NULL, false);
	free(text);
	return json;
}

bool payload_parse(struct payload *payload, struct view body, char problem[PROBLEM_MAX])
{
	bool has_bom = body.len >= 3 && memcmp(body.ptr, "\xef\xbb\xbf", 3) == 0;
	cJSON *json = NULL;
	bool ok = false;

	*payload = (struct payload){.root = cJSON_CreateObject()};
	snprintf(problem, PROBLEM_MAX, "json: not a JSON object, or cut short");
	if (!has_bom && body.len > 0)
		json = parse_text(body);
	if (!json || !payload->root)
		goto cleanup;
	if (cJSON_IsObject(json))
		ok = take_object(payload->root, json, payload_fields, problem);
	else
		ok = cJSON_IsNull(json);
cleanup:
	cJSON_Delete(json);
	if (ok)
		count_items(payload);
	else
		payload_release(payload);
	return ok;
}

void payload_release(struct payload *payload)
{
	cJSON_Delete(payload->root);
	payload->root = NULL;
}
