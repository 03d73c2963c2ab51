/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DESIGN: a kind of value is one struct setting_type: how it is parsed, how its range is written
 * and how it is logged. A parser stores by the row's offset; the macros in setting.c make sure that
 * the member has the C type that is stored here.
 */
#include <stdio.h>
#include <strings.h>

#include "base/text.h"
#include "config/reading.h"

static void *member(struct config *config, const struct setting *setting)
{
	return (char *)config + setting->offset;
}

static const void *member_of(const struct config *config, const struct setting *setting)
{
	return (const char *)config + setting->offset;
}

/* Numbers */

bool setting_parse_whole(const char *text, uint64_t *value, const char **rest)
{
	*value = 0;
	if (!is_digit(*text))
		return false;
	for (; is_digit(*text); text++) {
		if (__builtin_mul_overflow(*value, 10, value) ||
		    __builtin_add_overflow(*value, (uint64_t)(*text - '0'), value))
			return false;
	}
	*rest = text;
	return true;
}

static void print_number(char *out, size_t size, uint64_t value)
{
	snprintf(out, size, "%llu", (unsigned long long)value);
}

static const struct {
	const char *name;
	uint64_t bytes;
} units[] = {{"", 1}, {"KiB", 1 << 10}, {"MiB", 1 << 20}, {"GiB", 1 << 30}};

/* 5242880 as 5MiB, 1000 as 1000. */
static void print_bytes(char *out, size_t size, uint64_t value)
{
	size_t i = ARRAY_LEN(units) - 1;

	while (i > 0 && (value == 0 || value % units[i].bytes != 0))
		i--;
	snprintf(out, size, "%llu%s", (unsigned long long)(value / units[i].bytes), units[i].name);
}

static bool parse_unit(const char *text, uint64_t *value)
{
	const char *rest;

	if (!setting_parse_whole(text, value, &rest))
		return false;
	for (size_t i = 0; i < ARRAY_LEN(units); i++) {
		if (strcmp(rest, units[i].name) == 0)
			return !__builtin_mul_overflow(*value, units[i].bytes, value);
	}
	return false;
}

static bool in_range(const struct setting *setting, uint64_t value)
{
	return value >= setting->min && value <= setting->max;
}

static void parse_bytes(struct reading *reading, const struct setting *setting, const char *text)
{
	char min[32], max[32];
	uint64_t value;

	if (parse_unit(text, &value) && in_range(setting, value)) {
		*(size_t *)member(reading->config, setting) = (size_t)value;
		return;
	}
	print_bytes(min, sizeof(min), setting->min);
	print_bytes(max, sizeof(max), setting->max);
	reading_problem(reading, setting, text,
			"expected a number of bytes from %s to %s, such as 65536, 512KiB or 5MiB",
			min, max);
}

static bool parse_number(struct reading *reading, const struct setting *setting, const char *text,
			 const char *what, uint64_t *value)
{
	const char *rest;

	if (setting_parse_whole(text, value, &rest) && *rest == '\0' && in_range(setting, *value))
		return true;
	reading_problem(reading, setting, text, "expected a whole number%s from %llu to %llu", what,
			(unsigned long long)setting->min, (unsigned long long)setting->max);
	return false;
}

static void parse_count(struct reading *reading, const struct setting *setting, const char *text)
{
	uint64_t value;

	if (parse_number(reading, setting, text, "", &value))
		*(size_t *)member(reading->config, setting) = (size_t)value;
}

static void parse_duration(struct reading *reading, const struct setting *setting, const char *text)
{
	bool is_ms = setting->type == &setting_type_ms;
	uint64_t value;

	if (parse_number(reading, setting, text, is_ms ? " of milliseconds" : " of seconds",
			 &value))
		*(int64_t *)member(reading->config, setting) = (int64_t)value;
}

static void log_size(const struct config *config, const struct setting *setting,
		     struct log_field *field, struct buf *text)
{
	(void)text;
	field->number = (int64_t) * (const size_t *)member_of(config, setting);
}

static void log_duration(const struct config *config, const struct setting *setting,
			 struct log_field *field, struct buf *text)
{
	(void)text;
	field->number = *(const int64_t *)member_of(config, setting);
}

void setting_print_range(char *out, size_t size, const struct setting *setting)
{
	char min[32], max[32];

	out[0] = '\0';
	if (!setting->type->print)
		return;
	setting->type->print(min, sizeof(min), setting->min);
	setting->type->print(max, sizeof(max), setting->max);
	snprintf(out, size, " %s to %s", min, max);
}

/* Words */

/* "a, b or c" */
static void print_words(char *out, size_t size, const char *const *words)
{
	size_t n = 0;

	out[0] = '\0';
	for (size_t i = 0; words[i] && n < size; i++)
		n += (size_t)snprintf(out + n, size - n, "%s%s",
				      i == 0         ? ""
				      : words[i + 1] ? ", "
						     : " or ",
				      words[i]);
}

static void parse_word(struct reading *reading, const struct setting *setting, const char *text)
{
	char expected[256];

	for (unsigned i = 0; setting->words[i]; i++) {
		if (strcmp(text, setting->words[i]) == 0) {
			*(unsigned *)member(reading->config, setting) = i;
			return;
		}
	}
	print_words(expected, sizeof(expected), setting->words);
	reading_problem(reading, setting, text, "expected %s", expected);
}

static void log_word(const struct config *config, const struct setting *setting,
		     struct log_field *field, struct buf *text)
{
	(void)text;
	field->text = view_of(setting->words[*(const unsigned *)member_of(config, setting)]);
}

/* Masks */

static void parse_address_mask(struct reading *reading, const struct setting *setting,
			       const char *text)
{
	struct address_mask *mask = member(reading->config, setting);
	uint64_t ipv4, ipv6;
	const char *rest;

	if (setting_parse_whole(text, &ipv4, &rest) && ipv4 <= 32 && *rest == ',' &&
	    setting_parse_whole(rest + 1, &ipv6, &rest) && ipv6 <= 128 && *rest == '\0')
		*mask = (struct address_mask){(unsigned)ipv4, (unsigned)ipv6};
	else
		reading_problem(reading, setting, text,
				"expected the bits to keep of IPv4, 0 to 32, a comma, and those of "
				"IPv6, 0 to 128, such as 24,48");
}

static void log_address_mask(const struct config *config, const struct setting *setting,
			     struct log_field *field, struct buf *text)
{
	const struct address_mask *mask = member_of(config, setting);

	buf_printf(text, "%u,%u", mask->ipv4_bits, mask->ipv6_bits);
	field->text = (struct view){text->data ? text->data : "", text->len};
}

/* Text */

/* True for a value that is good; *text may have been put into another form. */
static bool is_good(struct reading *reading, const struct setting *setting, char *text)
{
	const char *wrong = setting->check ? setting->check(text) : NULL;

	if (wrong)
		reading_problem(reading, setting, text, "expected %s%s%s", setting->expected,
				*wrong ? ": " : "", wrong);
	return !wrong;
}

static void parse_text(struct reading *reading, const struct setting *setting, const char *text)
{
	char *copy = arena_copy(&reading->config->storage, view_of(text));

	if (!copy) {
		reading_out_of_memory(reading);
		return;
	}
	is_good(reading, setting, copy);
	/* Also a wrong one, so that defaults.c does not take it for one that is not set. */
	*(const char **)member(reading->config, setting) = copy;
}

static void log_text(const struct config *config, const struct setting *setting,
		     struct log_field *field, struct buf *text)
{
	const char *value = *(char *const *)member_of(config, setting);

	(void)text;
	field->text = view_of(value ? value : "");
}

/* Lists */

static void parse_list(struct reading *reading, const struct setting *setting, const char *text)
{
	struct arena *storage = &reading->config->storage;
	struct config_list *list = member(reading->config, setting);
	struct view rest = view_of(text), item;
	size_t count = view_count_items(rest);

	if (setting->max > 0 && count > setting->max) {
		reading_problem(reading, setting, NULL, "expected %s: it has %zu",
				setting->expected, count);
		return;
	}
	list->items = arena_alloc(storage, count * sizeof(*list->items));
	while (list->items && view_next_item(&rest, &item)) {
		char *copy = arena_copy(storage, item);

		if (!copy)
			list->items = NULL;
		else if (is_good(reading, setting, copy))
			list->items[list->count++] = view_of(copy);
	}
	if (!list->items)
		reading_out_of_memory(reading);
}

static void append_item(struct buf *out, size_t i, struct view item)
{
	if (i > 0)
		buf_append(out, ",", 1);
	buf_append(out, item.ptr, item.len);
}

/* Of a buffer that may never have been written to. */
static struct view content(const struct buf *buf)
{
	return (struct view){buf->data ? buf->data : "", buf->len};
}

static void log_list(const struct config *config, const struct setting *setting,
		     struct log_field *field, struct buf *text)
{
	const struct config_list *list = member_of(config, setting);

	for (size_t i = 0; i < list->count; i++)
		append_item(text, i, list->items[i]);
	field->text = content(text);
}

/* Lists that labels.c reads: the log shows what it made of them. */

static void log_app_names(const struct config *config, const struct setting *setting,
			  struct log_field *field, struct buf *text)
{
	(void)setting;
	for (size_t i = 0; i < config->labels.app_count; i++)
		append_item(text, i, config->labels.apps[i].name);
	field->text = content(text);
}

static void log_label_attributes(const struct config *config, const struct setting *setting,
				 struct log_field *field, struct buf *text)
{
	(void)setting;
	for (size_t i = 0; i < config->labels.attribute_count; i++)
		append_item(text, i, config->labels.attributes[i].key);
	field->text = content(text);
}

static void log_request_attributes(const struct config *config, const struct setting *setting,
				   struct log_field *field, struct buf *text)
{
	(void)setting;
	for (size_t i = 0; i < config->labels.parameter_count; i++)
		append_item(text, i, config->labels.request_attributes[i].key);
	field->text = content(text);
}

const struct setting_type setting_type_count = {"COUNT", parse_count, log_size, print_number,
						false};
const struct setting_type setting_type_bytes = {"BYTES", parse_bytes, log_size, print_bytes, false};
const struct setting_type setting_type_ms = {"MS", parse_duration, log_duration, print_number,
					     false};
const struct setting_type setting_type_seconds = {"SECONDS", parse_duration, log_duration,
						  print_number, false};
const struct setting_type setting_type_word = {"WORD", parse_word, log_word, NULL, false};
const struct setting_type setting_type_text = {"TEXT", parse_text, log_text, NULL, false};
const struct setting_type setting_type_file = {"FILE", parse_text, log_text, NULL, false};
const struct setting_type setting_type_directory = {"DIRECTORY", parse_text, log_text, NULL, false};
const struct setting_type setting_type_path = {"PATH", parse_text, log_text, NULL, false};
const struct setting_type setting_type_url = {"URL", setting_parse_url, log_text, NULL, false};
const struct setting_type setting_type_list = {"LIST", parse_list, log_list, NULL, true};
const struct setting_type setting_type_app_names = {"LIST", parse_text, log_app_names, NULL, true};
const struct setting_type setting_type_label_attributes = {"LIST", parse_text, log_label_attributes,
							   NULL, true};
const struct setting_type setting_type_request_attributes = {"LIST", parse_text,
							     log_request_attributes, NULL, true};
const struct setting_type setting_type_mask = {"BITS,BITS", parse_address_mask, log_address_mask,
					       NULL, false};
