/* SPDX-License-Identifier: Apache-2.0 */
/*
 * For run.mjs: one line a text with what json and enrich say of it.
 *
 * Input: texts, each behind its length as four bytes, lowest first. Output per text: json's word on
 * it as a value of any type, then enrich's verdict on it as a beacon and the offset. With
 * --without-avx2, the loops for AVX2 are not used.
 */
#include <stdio.h>
#include <stdlib.h>

#include "beacon/enrich.h"
#include "beacon/enrich_labels.h"
#include "beacon/json.h"
#include "beacon/json_avx2.h"

static const char *scan_word(struct view text)
{
	static const char *const words[] = {
		[JSON_OK] = "ok",
		[JSON_TRUNCATED] = "truncated",
		[JSON_SYNTAX] = "syntax",
		[JSON_BAD_STRING] = "bad_string",
		[JSON_BAD_UTF8] = "bad_utf8",
		[JSON_BAD_NUMBER] = "bad_number",
		[JSON_TOO_DEEP] = "too_deep",
		[JSON_BOM] = "bom",
		[JSON_TRAILING] = "trailing",
	};
	struct json json;

	json_init(&json, text);
	json_skip(&json);
	json_finish(&json);
	return words[json.error];
}

static const char *verdict_word(enum verdict verdict)
{
	switch (verdict) {
	case VERDICT_OK:
		return "ok";
	case VERDICT_BAD_JSON:
		return "bad_json";
	case VERDICT_AMBIGUOUS_KEY:
		return "ambiguous_key";
	default:
		return "other";
	}
}

/* False at the end of the input. */
static bool read_text(struct buf *text)
{
	unsigned char head[4];
	size_t n;

	if (fread(head, 1, sizeof(head), stdin) != sizeof(head))
		return false;
	n = head[0] | (size_t)head[1] << 8 | (size_t)head[2] << 16 | (size_t)head[3] << 24;
	buf_clear(text);
	if (buf_reserve(text, n) != BUF_OK || fread(text->data, 1, n, stdin) != n)
		return false;
	text->len = n;
	return true;
}

int main(int argc, char **argv)
{
	struct enricher *enricher = enricher_new(&test_labels, NULL);
	struct buf text, out;

	if (argc > 1 && strcmp(argv[1], "--without-avx2") == 0)
		loops_use_avx2(false);
	if (!enricher)
		return 1;
	buf_init(&text, (size_t)64 << 20, NULL);
	buf_init(&out, (size_t)128 << 20, NULL);
	while (read_text(&text)) {
		struct view in = {text.data, text.len};
		struct beacon_counts counts;
		const char *detail;
		enum verdict verdict;
		size_t offset;

		buf_clear(&out);
		verdict = enrich(enricher, in, NULL, &out, &counts, &offset, &detail);
		printf("%s %s %zu\n", scan_word(in), verdict_word(verdict), offset);
	}
	buf_release(&text);
	buf_release(&out);
	enricher_free(enricher);
	return 0;
}
