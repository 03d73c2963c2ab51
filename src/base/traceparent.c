/* SPDX-License-Identifier: Apache-2.0 */
#include "base/traceparent.h"

#include "base/text.h"

enum {
	INVALID_VERSION = 0xff,
	FLAG_SAMPLED = 1,
	WHOLE_BYTES = 55 /* 00-TRACE-PARENT-00 */
};

struct fields {
	uint64_t version, parent, flags;
	struct trace_id trace;
};

/* Capitals are invalid by the standard. */
static bool read_digits(const char *digits, size_t n, uint64_t *value)
{
	*value = 0;
	for (size_t i = 0; i < n; i++) {
		int digit = digits[i] >= 'A' && digits[i] <= 'F' ? -1 : hex_value(digits[i]);

		if (digit < 0)
			return false;
		*value = *value << 4 | (unsigned)digit;
	}
	return true;
}

/* Later versions may be longer, which no browser sends yet and the upstream does not read. */
static bool read_fields(struct view value, struct fields *fields)
{
	const char *p = value.ptr;

	return value.len == WHOLE_BYTES && p[2] == '-' && p[35] == '-' && p[52] == '-' &&
	       read_digits(p, 2, &fields->version) && fields->version != INVALID_VERSION &&
	       read_digits(p + 3, 16, &fields->trace.high) &&
	       read_digits(p + 19, 16, &fields->trace.low) &&
	       (fields->trace.high | fields->trace.low) != 0 &&
	       read_digits(p + 36, 16, &fields->parent) && fields->parent != 0 &&
	       read_digits(p + 53, 2, &fields->flags);
}

bool traceparent_is_valid(struct view value)
{
	struct fields fields;

	return read_fields(value, &fields);
}

struct trace_id traceparent_sampled(struct view value)
{
	struct fields fields;

	return read_fields(value, &fields) && (fields.flags & FLAG_SAMPLED) ? fields.trace
									    : (struct trace_id){0};
}
