/*
 * DESIGN: all of it happens once, at start. Values are taken apart into views over copies that live
 * in a chain of chunks (one a copy, there are few), checked where they are chosen, and turned into
 * JSON by cJSON, whose output is exact for what the checks let through: it escapes the quotation
 * mark and the backslash and passes every other character from U+0020 on as it is. What is not
 * UTF-8, holds a control character or is longer than LABELS_VALUE_MAX_BYTES never gets that far:
 * it is a fatal complaint.
 */
#include "config/labels.h"

#include <cJSON.h>
#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/text.h"
#include "base/utf8.h"

#define SERVICE_NAME        "OTEL_SERVICE_NAME"
#define RESOURCE_ATTRIBUTES "OTEL_RESOURCE_ATTRIBUTES"
#define APP_NAMES           "FARO_APP_NAMES"
#define LABEL_ATTRIBUTES    "FARO_LABEL_ATTRIBUTES"
#define DEPLOYMENT_OLD      "deployment.environment"
#define DEPLOYMENT          "deployment.environment.name"

struct labels_chunk {
	struct labels_chunk *next;
	_Alignas(max_align_t) char bytes[];
};

/* One decoded member of OTEL_RESOURCE_ATTRIBUTES. */
struct attribute {
	struct view key, value;
};

struct build {
	struct labels *labels;
	const struct labels_source *source;
	labels_complaint *complain;
	void *arg;
	struct attribute *attributes; /* in their order; a later one with the same key counts */
	size_t attribute_count;
	struct view file_namespace;
	bool failed;
	bool out_of_memory;
};

static void complain(struct build *build, bool fatal, const char *setting, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));

static void complain(struct build *build, bool fatal, const char *setting, const char *fmt, ...)
{
	char problem[1024];
	va_list args;

	va_start(args, fmt);
	vsnprintf(problem, sizeof(problem), fmt, args);
	va_end(args);
	build->failed |= fatal;
	build->complain(build->arg, setting, problem, fatal);
}

/* Zeroed; NULL without memory, which is then complained about at the end, once. */
static void *allocate(struct build *build, size_t size)
{
	struct labels_chunk *chunk = calloc(1, sizeof(*chunk) + size);

	if (!chunk) {
		build->out_of_memory = true;
		return NULL;
	}
	chunk->next = build->labels->storage;
	build->labels->storage = chunk;
	return chunk->bytes;
}

/* With a NUL behind it. NULL without memory. */
static char *duplicate(struct build *build, struct view text)
{
	char *bytes = allocate(build, text.len + 1);

	if (bytes && text.len > 0)
		memcpy(bytes, text.ptr, text.len);
	return bytes;
}

static struct view copy(struct build *build, struct view text)
{
	const char *bytes = duplicate(build, text);

	return (struct view){bytes, bytes ? text.len : 0};
}

/* Takes the next trimmed item that is not empty off a comma list. False at its end. */
static bool next_item(struct view *list, struct view *item)
{
	while (list->len > 0) {
		const char *comma = memchr(list->ptr, ',', list->len);
		size_t n = comma ? (size_t)(comma - list->ptr) : list->len;
		size_t taken = comma ? n + 1 : n;

		*item = view_trim((struct view){list->ptr, n});
		list->ptr += taken;
		list->len -= taken;
		if (item->len > 0)
			return true;
	}
	return false;
}

static size_t count_items(struct view list)
{
	struct view item;
	size_t n = 0;

	while (next_item(&list, &item))
		n++;
	return n;
}

/* Replaces *text by its trimmed, percent-decoded copy. False at a percent sign without two
 * hexadecimal digits, or without memory. */
static bool decode(struct build *build, struct view *text)
{
	struct view raw = view_trim(*text);
	char *bytes = duplicate(build, raw);
	size_t out = 0;

	for (size_t i = 0; bytes && i < raw.len; i++) {
		int high, low;

		bytes[out++] = raw.ptr[i];
		if (raw.ptr[i] != '%')
			continue;
		high = i + 1 < raw.len ? hex_value(raw.ptr[i + 1]) : -1;
		low = i + 2 < raw.len ? hex_value(raw.ptr[i + 2]) : -1;
		if (high < 0 || low < 0)
			return false;
		bytes[out - 1] = (char)(high << 4 | low);
		i += 2;
	}
	if (bytes)
		bytes[out] = '\0';
	*text = (struct view){bytes, out};
	return bytes;
}

/* NULL, or what is wrong with it. */
static const char *parse_attribute(struct build *build, struct view item,
				   struct attribute *attribute)
{
	const char *equals = memchr(item.ptr, '=', item.len);
	size_t n = equals ? (size_t)(equals - item.ptr) : 0;

	if (!equals)
		return "has no '='";
	attribute->key = (struct view){item.ptr, n};
	attribute->value = (struct view){item.ptr + n + 1, item.len - n - 1};
	if (!decode(build, &attribute->key) || !decode(build, &attribute->value))
		return "has a '%' that two hexadecimal digits do not follow (write %25 for a "
		       "percent sign)";
	if (attribute->key.len == 0)
		return "has no key before '='";
	return NULL;
}

static void parse_attributes(struct build *build)
{
	struct view list = view_of(build->source->resource_attributes), item;
	const char *problem = NULL;
	size_t n = 0;

	build->attributes = allocate(build, count_items(list) * sizeof(*build->attributes));
	while (build->attributes && !problem && next_item(&list, &item))
		problem = parse_attribute(build, item, &build->attributes[n++]);
	if (build->out_of_memory)
		return;
	if (problem)
		complain(build, false, RESOURCE_ATTRIBUTES,
			 "item %zu %s; expected key=value pairs, percent-encoded, with commas "
			 "between them; all of it is ignored, as OpenTelemetry asks",
			 n, problem);
	else
		build->attribute_count = n;
}

/* Empty where it is not set or set to nothing. */
static struct view attribute_value(const struct build *build, struct view key)
{
	for (size_t i = build->attribute_count; i-- > 0;) {
		if (view_equals(build->attributes[i].key, key))
			return build->attributes[i].value;
	}
	return VIEW_LITERAL("");
}

static const char *value_problem(struct view value)
{
	size_t n;

	if (value.len > LABELS_VALUE_MAX_BYTES)
		return "is longer than 255 bytes: choose a shorter one";
	for (size_t i = 0; i < value.len; i += n) {
		n = utf8_sequence(value.ptr + i, value.len - i);
		if (n == 0)
			return "is not valid UTF-8: encode it as UTF-8";
		if (utf8_is_control(value.ptr + i))
			return "has a control character (a line end?): remove it";
	}
	return NULL;
}

static struct view checked(struct build *build, const char *setting, const char *what,
			   struct view value)
{
	const char *problem = value_problem(value);

	if (problem)
		complain(build, true, setting, "%s %s", what, problem);
	return value;
}

static struct view checked_attribute(struct build *build, const char *key)
{
	return checked(build, RESOURCE_ATTRIBUTES, key, attribute_value(build, view_of(key)));
}

/* One read is enough for a name; what is longer fails the check for length. */
static void read_namespace_file(struct build *build)
{
	const char *path = build->source->namespace_file;
	char bytes[LABELS_VALUE_MAX_BYTES + 2];
	long n = path ? read_small_file(path, bytes, sizeof(bytes), NULL) : 0;

	build->file_namespace = VIEW_LITERAL("");
	if (n <= 0)
		return;
	if (bytes[n - 1] == '\n')
		n--;
	build->file_namespace = copy(build, view_trim((struct view){bytes, (size_t)n}));
}

static void choose_service_name(struct build *build)
{
	struct labels *labels = build->labels;
	struct view name = view_trim(view_of(build->source->service_name));

	if (name.len > 0)
		labels->service_name = checked(build, SERVICE_NAME, "the name", copy(build, name));
	else
		labels->service_name = checked_attribute(build, "service.name");
	if (labels->service_name.len == 0 && !build->out_of_memory)
		complain(
			build, true, SERVICE_NAME,
			"expected the name of the service whose pages send the beacons, here or as "
			"service.name in " RESOURCE_ATTRIBUTES);
}

static struct view first_of(struct view a, struct view b)
{
	return a.len > 0 ? a : b;
}

static void choose_values(struct build *build)
{
	struct labels *labels = build->labels;

	choose_service_name(build);
	labels->k8s_namespace = checked_attribute(build, "k8s.namespace.name");
	if (labels->k8s_namespace.len == 0) {
		labels->k8s_namespace = checked(build, build->source->namespace_file,
						"the pod's namespace", build->file_namespace);
	}
	labels->namespace_ =
		first_of(checked_attribute(build, "service.namespace"), labels->k8s_namespace);
	labels->environment = first_of(checked_attribute(build, DEPLOYMENT),
				       checked_attribute(build, DEPLOYMENT_OLD));
	labels->version = checked_attribute(build, "service.version");
}

static bool has_app(const struct labels *labels, struct view name)
{
	for (size_t i = 0; i < labels->app_count; i++) {
		if (view_equals(labels->apps[i].name, name))
			return true;
	}
	return false;
}

static void choose_apps(struct build *build)
{
	struct labels *labels = build->labels;
	struct view list = view_of(build->source->app_names), item;
	size_t n = count_items(list);

	if (n > LABELS_LIST_MAX) {
		complain(build, true, APP_NAMES, "has %zu names; at most %d are possible", n,
			 LABELS_LIST_MAX);
		return;
	}
	labels->apps = allocate(build, (n ? n : 1) * sizeof(*labels->apps));
	if (!labels->apps)
		return;
	while (next_item(&list, &item)) {
		if (!has_app(labels, item))
			labels->apps[labels->app_count++].name =
				checked(build, APP_NAMES, "one of the names", copy(build, item));
	}
	if (labels->app_count == 0)
		labels->apps[labels->app_count++].name = labels->service_name;
}

/* Attributes that OpenTelemetry defines for the process that sends, and where it runs. A name that
 * ends in a dot stands for all that begin with it. */
static const char *const own_attributes[] = {
	"k8s.pod.", "k8s.container.", "k8s.node.", "k8s.replicaset.",     "host.",
	"process.", "container.",     "os.",       "service.instance.id", "telemetry.",
};

static const char *const always_stamped[] = {
	"service.name", "service.namespace", "k8s.namespace.name", DEPLOYMENT, DEPLOYMENT_OLD,
};

static bool is_own_attribute(struct view key)
{
	for (size_t i = 0; i < ARRAY_LEN(own_attributes); i++) {
		struct view own = view_of(own_attributes[i]);
		bool family = own.ptr[own.len - 1] == '.';

		if ((family ? key.len > own.len : key.len == own.len) &&
		    memcmp(key.ptr, own.ptr, own.len) == 0)
			return true;
	}
	return false;
}

static bool is_always_stamped(struct view key)
{
	for (size_t i = 0; i < ARRAY_LEN(always_stamped); i++) {
		if (view_equals(key, view_of(always_stamped[i])))
			return true;
	}
	return false;
}

/* The receiver's logfmt drops such characters from keys, and Loki white space from their ends, so
 * that two keys could become one there. */
static bool key_survives(struct view key)
{
	size_t n;

	for (size_t i = 0; i < key.len; i += n) {
		uint32_t rune;

		n = utf8_sequence(key.ptr + i, key.len - i);
		if (n == 0 || utf8_is_control(key.ptr + i))
			return false;
		rune = utf8_rune(key.ptr + i, n);
		if (utf8_is_space(rune) || rune == '=' || rune == '"' || rune == 0xfffd)
			return false;
	}
	return key.len <= LABELS_VALUE_MAX_BYTES;
}

/* The next character of a key as a LogQL query shows it: `| logfmt` turns every one outside of
 * [A-Za-z0-9_] into a low line (Loki, sanitizeLabelKey). */
static char next_queried(struct view *key)
{
	char c = key->ptr[0];
	size_t n = utf8_sequence(key->ptr, key->len);

	n = n > 0 ? n : 1;
	key->ptr += n;
	key->len -= n;
	return n == 1 && isalnum((unsigned char)c) ? c : '_';
}

static bool same_when_queried(struct view a, struct view b)
{
	while (a.len > 0 && b.len > 0)
		if (next_queried(&a) != next_queried(&b))
			return false;
	return a.len == b.len;
}

static const struct labels_attribute *find_label(const struct labels *labels, struct view key)
{
	for (size_t i = 0; i < labels->attribute_count; i++)
		if (same_when_queried(labels->attributes[i].key, key))
			return &labels->attributes[i];
	return NULL;
}

/* False, with a complaint, for a key that is not to be stamped. */
static bool may_label(struct build *build, struct view key)
{
	int n = (int)(key.len < LABELS_VALUE_MAX_BYTES ? key.len : LABELS_VALUE_MAX_BYTES);

	if (!key_survives(key))
		complain(build, true, LABEL_ATTRIBUTES,
			 "%.*s has a space, '=', '\"' or control character, is not UTF-8 or longer "
			 "than 255 bytes: such a key does not reach the log line; remove it",
			 n, key.ptr);
	else if (is_own_attribute(key))
		complain(build, true, LABEL_ATTRIBUTES,
			 "%.*s describes this pod, host or process, not the browser: remove it", n,
			 key.ptr);
	else if (is_always_stamped(key))
		complain(build, false, LABEL_ATTRIBUTES,
			 "%.*s is always stamped: no need to list it", n, key.ptr);
	else if (attribute_value(build, key).len == 0)
		complain(build, false, LABEL_ATTRIBUTES,
			 "%.*s is not stamped: it has no value in " RESOURCE_ATTRIBUTES, n,
			 key.ptr);
	else
		return true;
	return false;
}

static struct view session_key_of(struct build *build, struct view key)
{
	char *bytes = duplicate(build, key);

	for (size_t i = 0; bytes && i < key.len; i++) {
		if (bytes[i] == '.')
			bytes[i] = '_';
	}
	return (struct view){bytes, bytes ? key.len : 0};
}

static void add_label(struct build *build, struct view key)
{
	struct labels *labels = build->labels;
	struct view own_key = copy(build, key), session_key = session_key_of(build, key);
	const struct labels_attribute *same;

	if (!own_key.ptr || !session_key.ptr)
		return;
	same = find_label(labels, own_key);
	if (!same)
		labels->attributes[labels->attribute_count++] =
			(struct labels_attribute){.key = own_key,
						  .value = checked_attribute(build, own_key.ptr),
						  .session_key = session_key};
	else if (!view_equals(same->key, own_key))
		complain(build, true, LABEL_ATTRIBUTES,
			 "%s and %s are the same session attribute to a query: remove one of them",
			 same->key.ptr, own_key.ptr);
}

static void choose_labels(struct build *build)
{
	struct labels *labels = build->labels;
	struct view list = view_of(build->source->label_attributes), item;
	size_t n = count_items(list);

	if (n > LABELS_LIST_MAX) {
		complain(build, true, LABEL_ATTRIBUTES, "has %zu keys; at most %d are possible", n,
			 LABELS_LIST_MAX);
		return;
	}
	labels->attributes = allocate(build, n * sizeof(*labels->attributes));
	while (labels->attributes && next_item(&list, &item)) {
		if (may_label(build, item))
			add_label(build, item);
	}
}

/* Prints and deletes `item` (NULL: memory ran out while it was made), then cuts `strip` bytes off
 * either end: the brackets or braces, where the members alone are wanted. */
static struct view print_json(struct build *build, cJSON *item, size_t strip)
{
	char *text = item ? cJSON_PrintUnformatted(item) : NULL;
	struct view result = {NULL, 0};

	cJSON_Delete(item);
	if (text)
		result = copy(build, (struct view){text + strip, strlen(text) - 2 * strip});
	else
		build->out_of_memory = true;
	cJSON_free(text);
	return result;
}

static struct view string_json(struct build *build, struct view text)
{
	return print_json(build, cJSON_CreateString(text.ptr), 0);
}

/* {"key":K,"value":{"stringValue":V}} at the end of the array, unless V is empty. */
static bool add_resource_attribute(cJSON *array, const char *key, struct view value)
{
	cJSON *item, *any_value;

	if (value.len == 0)
		return true;
	item = cJSON_CreateObject();
	if (!cJSON_AddItemToArray(array, item)) {
		cJSON_Delete(item);
		return false;
	}
	if (!cJSON_AddStringToObject(item, "key", key))
		return false;
	any_value = cJSON_AddObjectToObject(item, "value");
	return any_value && cJSON_AddStringToObject(any_value, "stringValue", value.ptr);
}

static struct view resource_attributes_json(struct build *build, struct view app)
{
	const struct labels *labels = build->labels;
	cJSON *array = cJSON_CreateArray();
	bool ok = add_resource_attribute(array, "service.name", app) &&
		  add_resource_attribute(array, "service.namespace", labels->namespace_) &&
		  add_resource_attribute(array, "k8s.namespace.name", labels->k8s_namespace) &&
		  add_resource_attribute(array, DEPLOYMENT, labels->environment) &&
		  add_resource_attribute(array, DEPLOYMENT_OLD, labels->environment);

	for (size_t i = 0; i < labels->attribute_count && ok; i++)
		ok = add_resource_attribute(array, labels->attributes[i].key.ptr,
					    labels->attributes[i].value);
	if (!ok) {
		cJSON_Delete(array);
		array = NULL;
	}
	return print_json(build, array, 1);
}

static struct view session_members_json(struct build *build)
{
	const struct labels *labels = build->labels;
	cJSON *object = cJSON_CreateObject();
	bool ok = object;

	for (size_t i = 0; i < labels->attribute_count && ok; i++)
		ok = cJSON_AddStringToObject(object, labels->attributes[i].session_key.ptr,
					     labels->attributes[i].value.ptr);
	if (!ok) {
		cJSON_Delete(object);
		object = NULL;
	}
	return print_json(build, object, 1);
}

static void make_fragments(struct build *build)
{
	struct labels *labels = build->labels;

	labels->namespace_json = string_json(build, labels->namespace_);
	labels->environment_json = string_json(build, labels->environment);
	labels->version_json = string_json(build, labels->version);
	labels->session_members = session_members_json(build);
	for (size_t i = 0; i < labels->app_count; i++) {
		struct labels_app *app = &labels->apps[i];

		app->json = string_json(build, app->name);
		app->resource_attributes = resource_attributes_json(build, app->name);
	}
}

/* In this order; each goes on only where the one before had memory. */
static void (*const steps[])(struct build *build) = {
	parse_attributes, read_namespace_file, choose_values, choose_apps, choose_labels,
};

bool labels_init(struct labels *labels, const struct labels_source *source,
		 labels_complaint *report, void *arg)
{
	struct build build = {.labels = labels, .source = source, .complain = report, .arg = arg};

	*labels = (struct labels){.storage = NULL};
	for (size_t i = 0; i < ARRAY_LEN(steps) && !build.out_of_memory; i++)
		steps[i](&build);
	if (!build.failed && !build.out_of_memory)
		make_fragments(&build);
	if (build.out_of_memory)
		complain(&build, true, NULL, "memory ran out while the labels were made");
	if (build.failed)
		labels_release(labels);
	return !build.failed;
}

void labels_release(struct labels *labels)
{
	while (labels->storage) {
		struct labels_chunk *chunk = labels->storage;

		labels->storage = chunk->next;
		free(chunk);
	}
	*labels = (struct labels){.storage = NULL};
}
