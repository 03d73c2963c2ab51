/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as a string of a beacon, with any of the settings: redact must do what its oracle does, leave
 * valid JSON, and change nothing when it is run on its own result.
 *
 * The first byte chooses the settings and what the string is. Bytes that cannot stand in a string of
 * JSON are left out. Build with -fsanitize=fuzzer,address,undefined. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/text.h"
#include "beacon/json.h"
#include "beacon/json_avx2.h"
#include "beacon/oracle_redact.h"
#include "beacon/redact.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum {
	STRING_MAX = 2048,
	BODY_MAX = 10 * STRING_MAX
};

static const char *const forms[][2] = {
	{"{\"a\":\"", "\"}"},
	{"{\"url.query\":\"", "\"}"},
	{"{\"url\\u002efragment\" : \"", "\"}"},
	{"[{\"key\":\"http.target\", \"value\": {\"stringValue\":\"", "\"}}]"},
};

static void fail(const char *what, struct view in, struct view out, const char *wanted)
{
	fprintf(stderr, "%s\nof     %.*s\nbecame %.*s\n", what, (int)in.len, in.ptr, (int)out.len,
		out.ptr);
	if (wanted)
		fprintf(stderr, "not    %s\n", wanted);
	abort();
}

static bool is_valid(struct view text)
{
	struct json json;

	json_init(&json, text);
	return json_skip(&json) && json_finish(&json);
}

static struct view redact(const struct redactor *redactor, const char *in, char *out)
{
	size_t len = strlen(in), count = 0, size;
	struct redact_marks marks;
	char *body = malloc(len);
	char *end;

	if (!body)
		abort();
	memcpy(body, in, len);
	redact_body(redactor, (struct view){body, len}, NULL, 0, &marks);
	size = redact_size(&marks, (struct view){body, len}, &count);
	redact_rewind(&marks);
	end = redact_write(&marks, (struct view){body, len}, out);
	if ((size_t)(end - out) != size)
		fail("another size than was said", (struct view){in, len}, (struct view){out, size},
		     NULL);
	*end = '\0';
	free(body);
	return (struct view){out, size};
}

static struct redactor *make(unsigned kinds)
{
	static struct redactor *made[32];
	static struct view params[] = {VIEW_CONSTANT("otp")}, keep[] = {VIEW_CONSTANT("q")};
	static const struct view words[] = {VIEW_CONSTANT("secrets"), VIEW_CONSTANT("query"),
					    VIEW_CONSTANT("fragment"), VIEW_CONSTANT("userinfo"),
					    VIEW_CONSTANT("email")};
	struct view chosen[ARRAY_LEN(words)];
	struct privacy privacy = {
		.redact = {chosen, 0}, .redact_params = {params, 1}, .redact_keep = {keep, 1}};

	for (unsigned i = 0; i < ARRAY_LEN(words); i++)
		if (kinds >> i & 1)
			chosen[privacy.redact.count++] = words[i];
	if (!made[kinds])
		made[kinds] = redactor_new(&privacy);
	return made[kinds];
}

static size_t quotes_in(struct view text)
{
	size_t n = 0;

	for (size_t i = 0; i < text.len; i++)
		n += text.ptr[i] == '"';
	return n;
}

/* Without the bytes that cannot stand in a string. */
static size_t clean(const uint8_t *data, size_t size, char *string)
{
	size_t n = 0;

	for (size_t i = 0; i < size && n < STRING_MAX; i++)
		if (data[i] >= ' ')
			string[n++] = (char)data[i];
	string[n] = '\0';
	return n;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char *const params[] = {"otp", NULL}, *const keep[] = {"q", NULL};
	static char string[STRING_MAX + 1], body[BODY_MAX], out[BODY_MAX], again[BODY_MAX];
	static char expected[BODY_MAX], wanted[BODY_MAX];
	unsigned kinds = size > 0 ? data[0] & 31 : 0, form = size > 0 ? data[0] >> 5 & 3 : 0;
	const struct oracle_redact how = {.secrets = kinds & 1,
					  .query = kinds & 2,
					  .fragment = kinds & 4,
					  .userinfo = kinds & 8,
					  .email = kinds & 16,
					  .secret = params,
					  .kept = keep,
					  .as = "tqfp"[form]};
	struct view result;
	size_t n;

	if (size < 2)
		return 0;
	loops_use_avx2(size % 2 == 0);
	n = clean(data + 1, size - 1, string);
	snprintf(body, sizeof(body), "\"%s\"", string);
	if (!is_valid(view_of(body)))
		return 0;
	snprintf(body, sizeof(body), "%s%s%s", forms[form][0], string, forms[form][1]);
	result = redact(make(kinds), body, out);
	expected[oracle_redact(&how, (struct view){string, n}, expected)] = '\0';
	snprintf(wanted, sizeof(wanted), "%s%s%s", forms[form][0], expected, forms[form][1]);
	if (!view_equals(result, view_of(wanted)))
		fail("another result than the oracle's", view_of(body), result, wanted);
	if (!is_valid(result))
		fail("no valid JSON", view_of(body), result, NULL);
	/* Quotes tell how often what is behind them is escaped, so without one it may read otherwise. */
	if (quotes_in(result) == quotes_in(view_of(body)) &&
	    !view_equals(redact(make(kinds), out, again), result))
		fail("changed again", result, view_of(again), NULL);
	return 0;
}
