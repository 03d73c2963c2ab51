/* SPDX-License-Identifier: Apache-2.0 */
#include "sink/logfmt.h"

#include <stdio.h>
#include <stdlib.h>

struct kv_pair {
	size_t key_at, key_len;
	size_t value_at, value_len;
	uint32_t hash;
	size_t slot;
};

enum {
	FIRST_SLOTS = 128
};

#define REPLACEMENT "\xef\xbf\xbd" /* U+FFFD in UTF-8 */

static bool is_continuation(struct view s, size_t at)
{
	return at < s.len && ((unsigned char)s.ptr[at] & 0xc0) == 0x80;
}

/* Length of the character at `at`, or 0 where the bytes are not UTF-8: Go then takes one byte for
 * U+FFFD. */
static size_t utf8_length(struct view s, size_t at)
{
	unsigned char lead = (unsigned char)s.ptr[at];
	unsigned char next = at + 1 < s.len ? (unsigned char)s.ptr[at + 1] : 0;
	size_t len;

	if (lead < 0x80)
		return 1;
	if (lead < 0xc2 || lead > 0xf4)
		return 0;
	if ((lead == 0xe0 && next < 0xa0) || (lead == 0xed && next > 0x9f) ||
	    (lead == 0xf0 && next < 0x90) || (lead == 0xf4 && next > 0x8f))
		return 0; /* overlong, a surrogate, beyond U+10FFFF */
	len = lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
	for (size_t i = 1; i < len; i++) {
		if (!is_continuation(s, at + i))
			return 0;
	}
	return len;
}

/* One character of a text: its bytes, and whether it is (or stands for) U+FFFD. */
struct character {
	struct view bytes;
	size_t taken;
	bool replacement;
};

static struct character next_character(struct view s, size_t at)
{
	size_t len = utf8_length(s, at);
	struct character c = {{s.ptr + at, len}, len, false};

	if (len == 0)
		c = (struct character){VIEW_LITERAL(REPLACEMENT), 1, true};
	else if (view_equals(c.bytes, VIEW_LITERAL(REPLACEMENT)))
		c.replacement = true;
	return c;
}

/* What a key drops and what makes a value need quotes is the same set. */
static bool is_special(const struct character *c)
{
	unsigned char first = (unsigned char)c->bytes.ptr[0];

	return c->replacement || first <= ' ' || first == '=' || first == '"' || first == 0x7f;
}

static bool append(struct buf *out, struct view bytes)
{
	return buf_append(out, bytes.ptr, bytes.len) == BUF_OK;
}

static bool append_key(struct buf *out, struct view key)
{
	struct character c;

	for (size_t at = 0; at < key.len; at += c.taken) {
		c = next_character(key, at);
		if (!is_special(&c) && !append(out, c.bytes))
			return false;
	}
	return true;
}

static bool append_escaped(struct buf *out, const struct character *c)
{
	unsigned char first = (unsigned char)c->bytes.ptr[0];

	if (c->replacement)
		return append(out, VIEW_LITERAL("\\ufffd"));
	switch (first) {
	case '\n':
		return append(out, VIEW_LITERAL("\\n"));
	case '\r':
		return append(out, VIEW_LITERAL("\\r"));
	case '\t':
		return append(out, VIEW_LITERAL("\\t"));
	case '"':
		return append(out, VIEW_LITERAL("\\\""));
	case '\\':
		return append(out, VIEW_LITERAL("\\\\"));
	default:
		break;
	}
	if (first < 0x20 || first == 0x7f)
		return buf_printf(out, "\\u00%02x", first) == BUF_OK;
	return append(out, c->bytes);
}

static bool needs_quotes(struct view value)
{
	struct character c;

	for (size_t at = 0; at < value.len; at += c.taken) {
		c = next_character(value, at);
		if (is_special(&c))
			return true;
	}
	return false;
}

static bool append_value(struct buf *out, struct view value)
{
	struct character c;

	if (view_equals(value, VIEW_LITERAL("null")))
		return append(out, VIEW_LITERAL("\"null\"")); /* a bare null is logfmt's nil */
	if (!needs_quotes(value))
		return append(out, value);
	if (!append(out, VIEW_LITERAL("\"")))
		return false;
	for (size_t at = 0; at < value.len; at += c.taken) {
		c = next_character(value, at);
		if (!append_escaped(out, &c))
			return false;
	}
	return append(out, VIEW_LITERAL("\""));
}

enum logfmt_result logfmt_field(struct buf *out, size_t line_start, struct view prefix,
				struct view key, struct view value)
{
	size_t key_start;

	if (out->len > line_start && !append(out, VIEW_LITERAL(" ")))
		return LOGFMT_FULL;
	key_start = out->len;
	if (!append_key(out, prefix) || !append_key(out, key))
		return LOGFMT_FULL;
	if (out->len == key_start)
		return LOGFMT_INVALID_KEY;
	return append(out, VIEW_LITERAL("=")) && append_value(out, value) ? LOGFMT_OK : LOGFMT_FULL;
}

/* Splits "-d.ddde±xx" into digits and exponent. */
static void shortest_digits(double value, char digits[32], int *exponent)
{
	char text[64];
	size_t n = 0;
	const char *e;

	for (int precision = 0; precision <= 17; precision++) {
		snprintf(text, sizeof(text), "%.*e", precision, value);
		if (strtod(text, NULL) == value)
			break;
	}
	e = strchr(text, 'e');
	for (const char *p = text; p < e; p++) {
		if (*p >= '0' && *p <= '9')
			digits[n++] = *p;
	}
	digits[n] = '\0';
	*exponent = atoi(e + 1);
}

void logfmt_float(char out[LOGFMT_FLOAT_MAX], double value)
{
	char digits[32];
	int exponent, len;
	const char *sign = value < 0 || (value == 0 && 1 / value < 0) ? "-" : "";

	shortest_digits(value, digits, &exponent);
	len = (int)strlen(digits);
	if (exponent < -4 || exponent >= 6)
		snprintf(out, LOGFMT_FLOAT_MAX, "%s%c%s%se%c%02d", sign, digits[0],
			 len > 1 ? "." : "", digits + 1, exponent < 0 ? '-' : '+', abs(exponent));
	else if (exponent < 0)
		snprintf(out, LOGFMT_FLOAT_MAX, "%s0.%.*s%s", sign, -exponent - 1, "000", digits);
	else if (len <= exponent + 1)
		snprintf(out, LOGFMT_FLOAT_MAX, "%s%s%.*s", sign, digits, exponent + 1 - len,
			 "00000");
	else
		snprintf(out, LOGFMT_FLOAT_MAX, "%s%.*s.%s", sign, exponent + 1, digits,
			 digits + exponent + 1);
}

void kv_init(struct kv *kv, size_t max_bytes)
{
	*kv = (struct kv){.failed = false};
	buf_init(&kv->text, max_bytes, NULL);
}

void kv_release(struct kv *kv)
{
	free(kv->pairs);
	free(kv->slots);
	buf_release(&kv->text);
	kv_init(kv, kv->text.max);
}

/* Only the slots in use are cleared: one large item must not make every later one expensive. */
void kv_clear(struct kv *kv)
{
	for (size_t i = 0; i < kv->len; i++)
		kv->slots[kv->pairs[i].slot] = 0;
	kv->len = 0;
	kv->failed = false;
	buf_clear(&kv->text);
}

static size_t free_slot(const uint32_t *slots, size_t count, uint32_t hash)
{
	size_t slot = hash & (count - 1);

	while (slots[slot] != 0)
		slot = (slot + 1) & (count - 1);
	return slot;
}

/* Doubles the table, which is kept at half load at most. */
static bool kv_grow(struct kv *kv)
{
	size_t count = kv->slot_count ? kv->slot_count * 2 : FIRST_SLOTS;
	uint32_t *slots = calloc(count, sizeof(*slots));
	struct kv_pair *pairs = realloc(kv->pairs, count / 2 * sizeof(*pairs));

	if (pairs)
		kv->pairs = pairs;
	if (!slots || !pairs) {
		free(slots);
		return false;
	}
	for (size_t i = 0; i < kv->len; i++) {
		pairs[i].slot = free_slot(slots, count, pairs[i].hash);
		slots[pairs[i].slot] = (uint32_t)i + 1;
	}
	free(kv->slots);
	kv->slots = slots;
	kv->slot_count = count;
	kv->cap = count / 2;
	return true;
}

static uint32_t hash_bytes(uint32_t hash, struct view bytes)
{
	for (size_t i = 0; i < bytes.len; i++)
		hash = (hash ^ (unsigned char)bytes.ptr[i]) * 16777619u; /* FNV-1a */
	return hash;
}

static struct view pair_key(const struct kv *kv, const struct kv_pair *pair)
{
	return (struct view){kv->text.data + pair->key_at, pair->key_len};
}

static struct view pair_value(const struct kv *kv, const struct kv_pair *pair)
{
	return (struct view){kv->text.data + pair->value_at, pair->value_len};
}

static struct kv_pair *find(const struct kv *kv, struct view key, uint32_t hash)
{
	size_t slot = hash & (kv->slot_count - 1);

	for (; kv->slots[slot] != 0; slot = (slot + 1) & (kv->slot_count - 1)) {
		struct kv_pair *pair = &kv->pairs[kv->slots[slot] - 1];

		if (pair->hash == hash && view_equals(pair_key(kv, pair), key))
			return pair;
	}
	return NULL;
}

void kv_set(struct kv *kv, struct view prefix, struct view key, struct view value)
{
	uint32_t hash = hash_bytes(hash_bytes(2166136261u, prefix), key);
	size_t key_at = kv->text.len;
	struct kv_pair *pair;

	if ((kv->len == kv->cap && !kv_grow(kv)) ||
	    buf_reserve(&kv->text, prefix.len + key.len + value.len + 1) != BUF_OK) {
		kv->failed = true;
		return;
	}
	append(&kv->text, prefix);
	append(&kv->text, key);
	pair = find(kv, (struct view){kv->text.data + key_at, kv->text.len - key_at}, hash);
	if (pair) {
		kv->text.len = key_at;
	} else {
		pair = &kv->pairs[kv->len++];
		pair->key_at = key_at;
		pair->key_len = kv->text.len - key_at;
		pair->hash = hash;
		pair->slot = free_slot(kv->slots, kv->slot_count, hash);
		kv->slots[pair->slot] = (uint32_t)kv->len;
	}
	pair->value_at = kv->text.len;
	pair->value_len = value.len;
	append(&kv->text, value);
}

void kv_add(struct kv *kv, const char *key, const char *value)
{
	if (*value)
		kv_set(kv, VIEW_LITERAL(""), view_of(key), view_of(value));
}

void kv_merge(struct kv *kv, const struct kv *from)
{
	for (size_t i = 0; i < from->len; i++)
		kv_set(kv, VIEW_LITERAL(""), pair_key(from, &from->pairs[i]),
		       pair_value(from, &from->pairs[i]));
	kv->failed |= from->failed;
}

enum logfmt_result kv_write(const struct kv *kv, struct buf *out)
{
	size_t start = out->len;
	enum logfmt_result result = kv->failed ? LOGFMT_FULL : LOGFMT_OK;

	for (size_t i = 0; i < kv->len && result == LOGFMT_OK; i++)
		result = logfmt_field(out, start, VIEW_LITERAL(""), pair_key(kv, &kv->pairs[i]),
				      pair_value(kv, &kv->pairs[i]));
	if (result == LOGFMT_OK && !append(out, VIEW_LITERAL("\n")))
		result = LOGFMT_FULL;
	if (result != LOGFMT_OK)
		out->len = start;
	return result;
}
