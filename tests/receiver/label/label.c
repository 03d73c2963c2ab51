/* SPDX-License-Identifier: Apache-2.0 */
#include "label.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "beacon/enrich.h"

enum {
	LABEL_ROOM = 8 << 20, /* the largest body; a multiple of the page size */
	LABEL_OUT_MAX = 64 << 20,
};

struct label {
	struct labels labels;
	struct request_facts facts;
	char *fact_texts[LABEL_FACTS_MAX];
	struct enricher *enricher;
	struct buf out;
	char *room; /* LABEL_ROOM bytes and the unreadable page */
	size_t room_len;
};

static struct view redact[] = {VIEW_CONSTANT("secrets"), VIEW_CONSTANT("query"),
			       VIEW_CONSTANT("fragment"), VIEW_CONSTANT("userinfo"),
			       VIEW_CONSTANT("email")};
static struct view texts[] = {VIEW_CONSTANT("e"), VIEW_CONSTANT("loop")};
static struct view fields[] = {
	VIEW_CONSTANT("meta.user"),
	VIEW_CONSTANT("meta.app.release"),
	VIEW_CONSTANT("meta.session.id"),
	VIEW_CONSTANT("meta.session.attributes.team"),
	VIEW_CONSTANT("logs[].context"),
	VIEW_CONSTANT("measurements[].values.x"),
	VIEW_CONSTANT("traces.resourceSpans[].schemaUrl"),
	VIEW_CONSTANT("traces.resourceSpans[].scopeSpans[].scope"),
	VIEW_CONSTANT("traces.resourceSpans[].scopeSpans[].spans[].events"),
	VIEW_CONSTANT("traces.resourceSpans[].scopeSpans[].spans[].attributes"),
};
static const struct privacy everything = {
	.redact = {redact, 5},
	.drop_extension_errors = SWITCH_ON,
	.drop_errors = {texts, 2},
	.drop_fields = {fields, 10},
};

static const char *set_or_null(const char *value)
{
	return value && *value ? value : NULL;
}

static void complain(void *arg, const char *setting, const char *problem, bool fatal)
{
	(void)arg;
	fprintf(stderr, "%s: %s%s\n", setting, problem, fatal ? "" : " (a warning)");
}

static void take_facts(struct label *label, const struct label_settings *settings)
{
	for (size_t i = 0; i < LABEL_FACTS_MAX; i++) {
		label->fact_texts[i] = settings->facts[i] ? strdup(settings->facts[i]) : NULL;
		label->facts.values[i] = view_of(label->fact_texts[i]);
	}
}

static bool label_map(struct label *label)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	void *room = mmap(NULL, LABEL_ROOM + page, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (room == MAP_FAILED)
		return false;
	label->room = room;
	label->room_len = LABEL_ROOM + page;
	return mprotect(label->room + LABEL_ROOM, page, PROT_NONE) == 0;
}

struct label *label_new(const struct label_settings *settings)
{
	const struct labels_source source = {
		.service_name = set_or_null(settings->service_name),
		.resource_attributes = set_or_null(settings->resource_attributes),
		.app_names = set_or_null(settings->app_names),
		.label_attributes = set_or_null(settings->label_attributes),
		.request_attributes = set_or_null(settings->request_attributes),
		.stamps_client_address = settings->stamps_client_address != 0,
	};
	struct label *label = calloc(1, sizeof(*label));

	if (!label)
		return NULL;
	buf_init(&label->out, LABEL_OUT_MAX, NULL);
	if (!labels_init(&label->labels, &source, complain, NULL)) {
		free(label);
		return NULL;
	}
	take_facts(label, settings);
	label->enricher = enricher_new(&label->labels, settings->leaves_out ? &everything : NULL);
	if (!label->enricher || !label_map(label)) {
		label_free(label);
		return NULL;
	}
	return label;
}

void label_free(struct label *label)
{
	if (!label)
		return;
	if (label->room)
		munmap(label->room, label->room_len);
	enricher_free(label->enricher);
	for (size_t i = 0; i < LABEL_FACTS_MAX; i++)
		free(label->fact_texts[i]);
	labels_release(&label->labels);
	buf_release(&label->out);
	free(label);
}

static const char *refusal_name(enum verdict verdict)
{
	switch (verdict) {
	case VERDICT_OK:
		return NULL;
	case VERDICT_BAD_JSON:
		return "bad_json";
	case VERDICT_AMBIGUOUS_KEY:
		return "ambiguous_key";
	case VERDICT_TOO_LARGE:
		return "too_large";
	case VERDICT_OVERLOADED:
		return "overloaded";
	default:
		return "a verdict that enrich() does not have";
	}
}

void label_run(struct label *label, const char *in, size_t len, struct label_result *result)
{
	struct beacon_counts counts = {0};
	struct view body;
	size_t offset = SIZE_MAX;
	const char *detail = "";
	enum verdict verdict;

	memset(result, 0, sizeof(*result));
	if (len > LABEL_ROOM) {
		result->refusal = "larger than the harness allows";
		return;
	}
	body = (struct view){label->room + LABEL_ROOM - len, len};
	if (len > 0)
		memcpy(label->room + LABEL_ROOM - len, in, len);
	buf_clear(&label->out);
	verdict = enrich(label->enricher, body, &label->facts, &label->out, &counts, &offset,
			 &detail);
	result->refusal = refusal_name(verdict);
	result->detail = detail;
	result->offset = offset;
	result->out = label->out.data;
	result->out_len = label->out.len;
	result->logs = counts.logs;
	result->exceptions = counts.exceptions;
	result->events = counts.events;
	result->measurements = counts.measurements;
	result->spans = counts.spans;
	result->spoofed = counts.spoofed;
	result->bad_spans = counts.bad_spans;
}
