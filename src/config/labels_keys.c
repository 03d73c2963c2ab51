/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DESIGN: which keys FARO_LABEL_ATTRIBUTES may name. A key must arrive unchanged in the log line,
 * must describe the browser's service and not this process, and must not become the same as another
 * key on its way through the receiver's logfmt and Loki.
 */
#include <ctype.h>

#include "base/text.h"
#include "base/utf8.h"
#include "config/labels_build.h"

/* Attributes that OpenTelemetry defines for the process that sends, and where it runs. A name that
 * ends in a dot stands for all that begin with it. */
static const char *const own_attributes[] = {
	"k8s.pod.", "k8s.container.", "k8s.node.", "k8s.replicaset.",     "host.",
	"process.", "container.",     "os.",       "service.instance.id", "telemetry.",
};

#define KEY(key, member) key,
static const char *const always_stamped[] = {"service.name", LABELS_STAMPED_ON_SPANS(KEY)};
#undef KEY

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

bool labels_is_always_stamped(struct view key)
{
	for (size_t i = 0; i < ARRAY_LEN(always_stamped); i++) {
		if (view_equals(key, view_of(always_stamped[i])))
			return true;
	}
	return false;
}

/* The receiver's logfmt drops such characters from keys, and Loki white space from their ends, so
 * that two keys could become one there. */
static bool reaches_log_line(struct view key)
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
 * [A-Za-z0-9_] into an underscore (Loki, sanitizeLabelKey). */
static char next_queried(struct view *key)
{
	char c = key->ptr[0];
	size_t n = utf8_sequence(key->ptr, key->len);

	n = n > 0 ? n : 1;
	key->ptr += n;
	key->len -= n;
	return n == 1 && isalnum((unsigned char)c) ? c : '_';
}

bool labels_same_when_queried(struct view a, struct view b)
{
	while (a.len > 0 && b.len > 0)
		if (next_queried(&a) != next_queried(&b))
			return false;
	return a.len == b.len;
}

int labels_shown_len(struct view key)
{
	return (int)(key.len < LABELS_VALUE_MAX_BYTES ? key.len : LABELS_VALUE_MAX_BYTES);
}

bool labels_may_label(struct labels_build *build, struct view key)
{
	int n = labels_shown_len(key);

	if (!reaches_log_line(key))
		labels_complain(
			build, true, LABEL_ATTRIBUTES,
			"%.*s has a space, '=', '\"' or control character, is not UTF-8 or longer "
			"than 255 bytes: such a key does not reach the log line; remove it",
			n, key.ptr);
	else if (is_own_attribute(key))
		labels_complain(
			build, true, LABEL_ATTRIBUTES,
			"%.*s describes this pod, host or process, not the browser: remove it", n,
			key.ptr);
	else if (labels_is_always_stamped(key))
		labels_complain(build, false, LABEL_ATTRIBUTES,
				"%.*s is always stamped: no need to list it", n, key.ptr);
	else
		return true;
	return false;
}

bool labels_has_value(struct labels_build *build, struct view key)
{
	if (labels_attribute_value(build, key).len > 0)
		return true;
	labels_complain(build, false, LABEL_ATTRIBUTES,
			"%.*s is not stamped: it has no value in " RESOURCE_ATTRIBUTES,
			labels_shown_len(key), key.ptr);
	return false;
}
