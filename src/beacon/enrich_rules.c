/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DESIGN. The rows of one level stand together, and there are few, so a level is searched row by
 * row. Most keys have no rule; their length, first and last letter tell (json_names).
 */
#include "beacon/enrich_rules.h"

#include <string.h>

#include "base/text.h"

#define NAME(text)                     \
	{                              \
		text, sizeof(text) - 1 \
	}
#define NONE            \
	{               \
		NULL, 0 \
	}

#define SPAN "traces.resourceSpans[].scopeSpans[].spans[]"

const struct enrich_rule enrich_rules[] = {
	{AT_TOP, "", NAME("meta"), NONE, JSON_OBJECT, DO_META, "created if missing or null"},
	{AT_TOP, "", NAME("logs"), NONE, JSON_ARRAY, DO_COUNT_LOGS, "counted"},
	{AT_TOP, "", NAME("exceptions"), NONE, JSON_ARRAY, DO_COUNT_EXCEPTIONS, "counted"},
	{AT_TOP, "", NAME("events"), NONE, JSON_ARRAY, DO_COUNT_EVENTS, "counted"},
	{AT_TOP, "", NAME("measurements"), NONE, JSON_ARRAY, DO_MEASUREMENTS, "counted"},
	{AT_TOP, "", NAME("traces"), NONE, JSON_OBJECT, DO_TRACES,
	 "searched; no empty key anywhere in it"},

	{AT_META, "meta", NAME("app"), NONE, JSON_OBJECT, DO_APP, "created if missing or null"},
	{AT_META, "meta", NAME("session"), NONE, JSON_OBJECT, DO_SESSION,
	 "created if missing or null, for the attributes stamped in it"},
	{AT_META, "meta", NAME("sdk"), NONE, JSON_NONE, DO_PASS, "relayed unchanged"},
	{AT_META, "meta", NAME("user"), NONE, JSON_NONE, DO_PASS, "relayed unchanged"},
	{AT_META, "meta", NAME("page"), NONE, JSON_NONE, DO_PASS, "relayed unchanged"},
	{AT_META, "meta", NAME("browser"), NONE, JSON_NONE, DO_PASS, "relayed unchanged"},
	{AT_META, "meta", NAME("view"), NONE, JSON_NONE, DO_PASS, "relayed unchanged"},
	{AT_META, "meta", NAME("geo"), NONE, JSON_NONE, DO_GEO, "removed"},

	{AT_APP, "meta.app", NAME("name"), NONE, JSON_NONE, DO_APP_NAME,
	 "kept if in FARO_APP_NAMES, else the first of them"},
	{AT_APP, "meta.app", NAME("namespace"), NONE, JSON_NONE, DO_APP_NAMESPACE,
	 "set to the namespace"},
	{AT_APP, "meta.app", NAME("environment"), NONE, JSON_NONE, DO_APP_ENVIRONMENT,
	 "set to deployment.environment.name"},
	{AT_APP, "meta.app", NAME("version"), NONE, JSON_NONE, DO_APP_VERSION,
	 "set to service.version if missing, null or empty"},
	{AT_APP, "meta.app", NAME("release"), NONE, JSON_NONE, DO_PASS, "relayed unchanged"},

	{AT_SESSION, "meta.session", NAME("attributes"), NONE, JSON_OBJECT, DO_SESSION_ATTRIBUTES,
	 "FARO_LABEL_ATTRIBUTES and attributes of the request set, dots written as _"},
	{AT_SESSION, "meta.session", NAME("id"), NONE, JSON_NONE, DO_PASS, "relayed unchanged"},
	{AT_SESSION, "meta.session", NAME("overrides"), NONE, JSON_NONE, DO_OVERRIDES, "searched"},

	{AT_OVERRIDES, "meta.session.overrides", NAME("serviceName"), NONE, JSON_NONE,
	 DO_SERVICE_NAME, "removed unless in FARO_APP_NAMES"},
	{AT_OVERRIDES, "meta.session.overrides", NAME("geoLocationTrackingEnabled"), NONE,
	 JSON_NONE, DO_LOCATION, "relayed unchanged; if false, no location or address is stamped"},

	{AT_MEASUREMENT, "measurements[]", NAME("values"), NONE, JSON_OBJECT, DO_VALUES,
	 "relayed, except those with the name of a label, which are removed"},

	{AT_TRACES, "traces", NAME("resourceSpans"), NAME("resource_spans"), JSON_ARRAY,
	 DO_RESOURCE_SPANS, "searched"},

	{AT_RESOURCE_SPANS, "traces.resourceSpans[]", NAME("resource"), NONE, JSON_OBJECT,
	 DO_RESOURCE, "created if missing or null"},
	{AT_RESOURCE_SPANS, "traces.resourceSpans[]", NAME("scopeSpans"), NAME("scope_spans"),
	 JSON_ARRAY, DO_SCOPE_SPANS, "spans counted"},
	{AT_RESOURCE_SPANS, "traces.resourceSpans[]", NAME("deprecatedScopeSpans"),
	 NAME("deprecated_scope_spans"), JSON_ARRAY, DO_DEPRECATED_SCOPE_SPANS,
	 "spans counted if scopeSpans has none"},

	{AT_SCOPE_SPANS, "traces.resourceSpans[].scopeSpans[]", NAME("spans"), NONE, JSON_ARRAY,
	 DO_SPANS, "counted; those with malformed ids are removed"},

	{AT_SPAN, SPAN, NAME("traceId"), NAME("trace_id"), JSON_NONE, DO_TRACE_ID,
	 "32 hexadecimal digits, not all 0, or the span is removed"},
	{AT_SPAN, SPAN, NAME("spanId"), NAME("span_id"), JSON_NONE, DO_SPAN_ID,
	 "16 hexadecimal digits, not all 0, or the span is removed"},
	{AT_SPAN, SPAN, NAME("parentSpanId"), NAME("parent_span_id"), JSON_NONE, DO_PARENT_SPAN_ID,
	 "missing, empty or 16 hexadecimal digits, or the span is removed"},
	{AT_SPAN, SPAN, NAME("links"), NONE, JSON_NONE, DO_LINKS,
	 "missing, null or an array of objects, or the span is removed"},

	{AT_LINK, SPAN ".links[]", NAME("traceId"), NAME("trace_id"), JSON_NONE, DO_TRACE_ID,
	 "missing or 32 hexadecimal digits, or the span is removed"},
	{AT_LINK, SPAN ".links[]", NAME("spanId"), NAME("span_id"), JSON_NONE, DO_SPAN_ID,
	 "missing or 16 hexadecimal digits, or the span is removed"},

	{AT_RESOURCE, "traces.resourceSpans[].resource", NAME("attributes"), NONE, JSON_ARRAY,
	 DO_ATTRIBUTES, "the labels set; what came under their keys or k8s.* removed"},

	{AT_ATTRIBUTE, "traces.resourceSpans[].resource.attributes[]", NAME("key"), NONE,
	 JSON_STRING, DO_KEY, "compared with the labels' keys"},
	{AT_ATTRIBUTE, "traces.resourceSpans[].resource.attributes[]", NAME("value"), NONE,
	 JSON_OBJECT, DO_VALUE, "relayed unchanged, or removed with its key"},
};

const size_t enrich_rule_count = ARRAY_LEN(enrich_rules);

void enrich_rule_sets_init(struct enrich_rule_set sets[ENRICH_LEVELS])
{
	memset(sets, 0, ENRICH_LEVELS * sizeof(*sets));
	for (size_t i = 0; i < enrich_rule_count; i++) {
		const struct enrich_rule *rule = &enrich_rules[i];
		struct enrich_rule_set *set = &sets[rule->level];

		if (set->count++ == 0)
			set->rules = rule;
		json_names_add(&set->names, rule->name);
		if (rule->also.ptr)
			json_names_add(&set->names, rule->also);
	}
}

void enrich_rule_sets_add(struct enrich_rule_set sets[ENRICH_LEVELS],
			  const struct json_names *names)
{
	for (size_t i = 0; i < ENRICH_LEVELS; i++)
		json_names_join(&sets[i].names, names);
}

static enum json_match match(const struct enrich_rule *rule, const struct json_string *key)
{
	enum json_match found, also = JSON_DIFFERENT;

	/* Fast path for most keys. */
	if (key->plain && key->len != rule->name.len && key->len != rule->also.len)
		return JSON_DIFFERENT;
	if (key->len == rule->name.len && memcmp(key->ptr, rule->name.ptr, key->len) == 0)
		return JSON_SAME;
	found = json_string_match(*key, rule->name);
	if (found != JSON_SAME && rule->also.ptr)
		also = json_string_match(*key, rule->also);
	return also > found ? also : found;
}

const struct enrich_rule *enrich_rule_find(const struct enrich_rule_set *set,
					   const struct json_string *key, uint32_t *seen,
					   enum enrich_key_fault *fault)
{
	for (unsigned i = 0; i < set->count; i++) {
		enum json_match found = match(&set->rules[i], key);

		if (found == JSON_DIFFERENT)
			continue;
		*fault = found != JSON_SAME         ? KEY_MISSPELLED
			 : *seen & (uint32_t)1 << i ? KEY_REPEATED
						    : KEY_GOOD;
		*seen |= (uint32_t)1 << i;
		return &set->rules[i];
	}
	return NULL;
}

const char *enrich_json_text(enum json_error error)
{
	switch (error) {
	case JSON_TRUNCATED:
		return "Rule 1 (strict JSON): the body ends inside a value; send it whole.";
	case JSON_BAD_STRING:
		return "Rule 1 (strict JSON): a string holds a bare control character or an "
		       "unknown escape; send what JSON.stringify() writes.";
	case JSON_BAD_UTF8:
		return "Rule 1 (strict JSON): a string is not valid UTF-8; encode the body as "
		       "UTF-8.";
	case JSON_BAD_NUMBER:
		return "Rule 1 (strict JSON): a number is not written as in RFC 8259; send "
		       "what JSON.stringify() writes.";
	case JSON_TOO_DEEP:
		return "Rule 1 (strict JSON): objects and arrays are nested more than 64 deep; "
		       "send flatter data.";
	case JSON_BOM:
		return "Rule 1 (strict JSON): the body begins with a byte order mark; leave it "
		       "out.";
	case JSON_TRAILING:
		return "Rule 1 (strict JSON): something follows the top-level object; send one "
		       "beacon a request.";
	case JSON_EMPTY_KEY:
		return "Rule 2 (ambiguous_key): an object inside traces has an empty key, at which "
		       "the receiver would stop reading the object; leave it out.";
	default:
		return "Rule 1 (strict JSON): a byte stands where RFC 8259 does not allow it; send "
		       "what JSON.stringify() writes.";
	}
}
