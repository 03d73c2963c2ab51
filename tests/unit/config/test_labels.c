/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Allocations are counted and failed: ours by --wrap=malloc,--wrap=calloc,--wrap=free, those of
 * libcjson by its own hooks.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <cJSON.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/text.h"
#include "config/labels.h"
#include "fakes/allocations.h"

/* The complaints of the last labels_init(), one a line. */
static char complaints[65536];

static void complain(void *arg, const char *setting, const char *problem, bool fatal)
{
	size_t n = strlen(complaints);

	assert_null(arg);
	snprintf(complaints + n, sizeof(complaints) - n, "%s%s: %s\n",
		 fatal ? "" : "warning: ", setting ? setting : "-", problem);
}

static bool init(struct labels *labels, const struct labels_source *source)
{
	bool ok;

	complaints[0] = '\0';
	ok = labels_init(labels, source, complain, NULL);
	if (!ok)
		assert_null(labels->storage.blocks);
	return ok;
}

static void assert_view(struct view view, const char *expected)
{
	char text[4096];

	assert_true(view.len < sizeof(text));
	assert_non_null(view.ptr);
	memcpy(text, view.ptr, view.len);
	text[view.len] = '\0';
	assert_int_equal(strlen(text), view.len);
	assert_string_equal(text, expected);
}

#define DISCARDED                                                                              \
	"; expected key=value pairs, percent-encoded, with commas between them; all of it is " \
	"ignored, as OpenTelemetry asks\n"
#define NO_NAME                                                                                   \
	"OTEL_SERVICE_NAME: expected the name of the service whose pages send the beacons, here " \
	"or as service.name in OTEL_RESOURCE_ATTRIBUTES\n"
#define BAD_PERCENT \
	"has a '%' that two hexadecimal digits do not follow (write %25 for a percent sign)"

static void test_service_name__each_source__precedence_of_opentelemetry(void **state)
{
	/* OTEL_SERVICE_NAME, OTEL_RESOURCE_ATTRIBUTES, name or NULL, complaints */
	static const struct {
		const char *name, *attributes, *expected, *complaints;
	} rows[] = {
		{"shop", NULL, "shop", ""},
		{"shop", "service.name=other", "shop", ""},
		{NULL, "service.name=other", "other", ""},
		/* Empty counts as not set; so does white space. */
		{"", "service.name=other", "other", ""},
		{" \t", "service.name=other", "other", ""},
		{" shop ", NULL, "shop", ""},
		/* OTEL_SERVICE_NAME is not percent-decoded. */
		{"a%20b", NULL, "a%20b", ""},
		{NULL, "service.name=a%20b", "a b", ""},
		{NULL, " service.name = a b ", "a b", ""},
		/* Keys are decoded too; hexadecimal digits of either case. */
		{NULL, "service%2Ename=%c3%A9", "\xc3\xa9", ""},
		/* White space that was encoded is meant. */
		{NULL, "service.name=%20a", " a", ""},
		/* The last of two counts. */
		{NULL, "service.name=a,service.name=b", "b", ""},
		/* Further equals signs belong to the value; empty items are nothing. */
		{NULL, ",service.name=a=b,,", "a=b", ""},
		{NULL, NULL, NULL, NO_NAME},
		{"", "", NULL, NO_NAME},
		{NULL, "service.name=", NULL, NO_NAME},
		/* One error discards all of it. */
		{NULL, "service.name=a,b", NULL,
		 "warning: OTEL_RESOURCE_ATTRIBUTES: item 2 has no '='" DISCARDED NO_NAME},
		{"shop", "a=%2", "shop",
		 "warning: OTEL_RESOURCE_ATTRIBUTES: item 1 " BAD_PERCENT DISCARDED},
		{"shop", "a=%", "shop",
		 "warning: OTEL_RESOURCE_ATTRIBUTES: item 1 " BAD_PERCENT DISCARDED},
		{"shop", "a=1,%zz=%20", "shop",
		 "warning: OTEL_RESOURCE_ATTRIBUTES: item 2 " BAD_PERCENT DISCARDED},
		{"shop", "=1", "shop",
		 "warning: OTEL_RESOURCE_ATTRIBUTES: item 1 has no key before '='" DISCARDED},
		/* What cannot be stamped. */
		{"a\nb", NULL, NULL,
		 "OTEL_SERVICE_NAME: the name has a control character (a line end?): remove it\n"},
		{NULL, "service.name=%00", NULL,
		 "OTEL_RESOURCE_ATTRIBUTES: service.name has a control character (a line end?): "
		 "remove it\n"},
		{NULL, "service.name=%c2%85", NULL,
		 "OTEL_RESOURCE_ATTRIBUTES: service.name has a control character (a line end?): "
		 "remove it\n"},
		{"\xff", NULL, NULL,
		 "OTEL_SERVICE_NAME: the name is not valid UTF-8: encode it as UTF-8\n"},
		{"shop", "service.version=%ed%a0%80", NULL,
		 "OTEL_RESOURCE_ATTRIBUTES: service.version is not valid UTF-8: encode it as "
		 "UTF-8\n"},
		/* An attribute that is stamped nowhere is nobody's business. */
		{"shop", "other=%ff", "shop", ""},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		const struct labels_source source = {.service_name = rows[i].name,
						     .resource_attributes = rows[i].attributes};
		struct labels labels;

		assert_int_equal(init(&labels, &source), rows[i].expected != NULL);
		assert_string_equal(complaints, rows[i].complaints);
		if (rows[i].expected)
			assert_view(labels.service_name, rows[i].expected);
		labels_release(&labels);
	}
}

static void test_namespace__each_source__precedence(void **state)
{
	char path[] = "faro-namespace-XXXXXX";
	int fd = mkstemp(path);
	/* attributes, whether there is a file, service.namespace, k8s.namespace.name */
	static const struct {
		const char *attributes;
		bool file;
		const char *service, *k8s;
	} rows[] = {
		{"", false, "", ""},
		{"", true, "pod", "pod"},
		{"k8s.namespace.name=k", true, "k", "k"},
		{"service.namespace=s", true, "s", "pod"},
		{"service.namespace=s,k8s.namespace.name=k", true, "s", "k"},
		{"service.namespace=s", false, "s", ""},
		{"service.namespace=,k8s.namespace.name=", true, "pod", "pod"},
	};

	(void)state;
	assert_true(fd >= 0);
	assert_int_equal(write(fd, "pod\n", 4), 4);
	close(fd);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		const struct labels_source source = {
			.service_name = "shop",
			.resource_attributes = rows[i].attributes,
			.namespace_file = rows[i].file ? path : "/nonexistent/namespace"};
		struct labels labels;

		assert_true(init(&labels, &source));
		assert_string_equal(complaints, "");
		assert_view(labels.namespace_, rows[i].service);
		assert_view(labels.k8s_namespace, rows[i].k8s);
		labels_release(&labels);
	}
	unlink(path);
}

static void test_apps__list__trimmed_and_once(void **state)
{
	/* FARO_APP_NAMES, the apps with a bar between them */
	static const struct {
		const char *names, *expected;
	} rows[] = {
		{NULL, "shop"},       {"", "shop"},     {" , ,", "shop"}, {"a", "a"},
		{" a ,\tb,,", "a|b"}, {"b,a,b", "b|a"}, {"A,a", "A|a"},   {"a b", "a b"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		const struct labels_source source = {.service_name = "shop",
						     .app_names = rows[i].names};
		struct labels labels;
		char joined[256] = "";

		assert_true(init(&labels, &source));
		for (size_t j = 0; j < labels.app_count; j++) {
			strcat(joined, j ? "|" : "");
			strncat(joined, labels.apps[j].name.ptr, labels.apps[j].name.len);
		}
		assert_string_equal(joined, rows[i].expected);
		labels_release(&labels);
	}
}

static void test_lists__at_and_over_their_limit(void **state)
{
	(void)state;
	for (int n = LABELS_LIST_MAX - 1; n <= LABELS_LIST_MAX + 1; n++) {
		char names[4 * (LABELS_LIST_MAX + 2)] = "", attributes[6 * (LABELS_LIST_MAX + 2)];
		const struct labels_source apps = {.service_name = "s", .app_names = names};
		const struct labels_source attributed = {.service_name = "s",
							 .resource_attributes = attributes,
							 .label_attributes = names};
		struct labels labels;
		size_t a = 0, b = 0;

		for (int i = 0; i < n; i++) {
			a += (size_t)sprintf(names + a, "%x,", 0x100 + i);
			b += (size_t)sprintf(attributes + b, "%x=1,", 0x100 + i);
		}
		assert_int_equal(init(&labels, &apps), n <= LABELS_LIST_MAX);
		assert_string_equal(
			complaints,
			n <= LABELS_LIST_MAX
				? ""
				: "FARO_APP_NAMES: has 257 names; at most 256 are possible\n");
		labels_release(&labels);
		assert_int_equal(init(&labels, &attributed), n <= LABELS_LIST_MAX);
		assert_string_equal(complaints, n <= LABELS_LIST_MAX
							? ""
							: "FARO_LABEL_ATTRIBUTES: has 257 keys; at "
							  "most 256 are possible\n");
		labels_release(&labels);
	}
}

static void test_values__length__255_bytes_at_most(void **state)
{
	char text[LABELS_VALUE_MAX_BYTES + 2];

	(void)state;
	for (size_t n = LABELS_VALUE_MAX_BYTES - 1; n <= LABELS_VALUE_MAX_BYTES + 1; n++) {
		const struct labels_source source = {.service_name = "s", .app_names = text};
		struct labels labels;

		memset(text, 'x', n);
		text[n] = '\0';
		assert_int_equal(init(&labels, &source), n <= LABELS_VALUE_MAX_BYTES);
		assert_string_equal(complaints,
				    n <= LABELS_VALUE_MAX_BYTES
					    ? ""
					    : "FARO_APP_NAMES: one of the names is longer than 255 "
					      "bytes: choose a shorter one\n");
		labels_release(&labels);
	}
}

#define LABELS   "FARO_LABEL_ATTRIBUTES: "
#define OWN(key) LABELS key " describes this pod, host or process, not the browser: remove it\n"
#define LOST(key)                                                                               \
	LABELS key " has a space, '=', '\"' or control character, is not UTF-8 or longer than " \
		   "255 bytes: such a key does not reach the log line; remove it\n"
#define NO_VALUE(key) \
	"warning: " LABELS key " is not stamped: it has no value in OTEL_RESOURCE_ATTRIBUTES\n"
#define ALWAYS(key) "warning: " LABELS key " is always stamped: no need to list it\n"

static void test_labels__each_kind_of_key(void **state)
{
	/* FARO_LABEL_ATTRIBUTES, session members or NULL where it fails, complaints */
	static const struct {
		const char *keys, *members, *complaints;
	} rows[] = {
		{NULL, "", ""},
		{" , ", "", ""},
		{"k8s.cluster.name", "\"k8s_cluster_name\":\"c1\"", ""},
		{"team, k8s.cluster.name,team", "\"team\":\"q\\\"\",\"k8s_cluster_name\":\"c1\"",
		 ""},
		{"service.version", "\"service_version\":\"1\"", ""},
		{"nothing", "", NO_VALUE("nothing")},
		{"empty,team", "\"team\":\"q\\\"\"", NO_VALUE("empty")},
		/* stamped anyway */
		{"service.name,service.namespace", "",
		 ALWAYS("service.name") ALWAYS("service.namespace")},
		{"k8s.namespace.name", "", ALWAYS("k8s.namespace.name")},
		{"deployment.environment,deployment.environment.name", "",
		 ALWAYS("deployment.environment") ALWAYS("deployment.environment.name")},
		/* about ourselves; whether they have a value or not */
		{"k8s.pod.name", NULL, OWN("k8s.pod.name")},
		{"k8s.pod.uid,k8s.node.name", NULL, OWN("k8s.pod.uid") OWN("k8s.node.name")},
		{"k8s.container.name,k8s.replicaset.uid", NULL,
		 OWN("k8s.container.name") OWN("k8s.replicaset.uid")},
		{"host.name,process.pid", NULL, OWN("host.name") OWN("process.pid")},
		{"container.id,os.type", NULL, OWN("container.id") OWN("os.type")},
		{"service.instance.id", NULL, OWN("service.instance.id")},
		{"telemetry.sdk.name", NULL, OWN("telemetry.sdk.name")},
		/* only look like it */
		{"hostile,service.instance.idx,k8s.podium", "",
		 NO_VALUE("hostile") NO_VALUE("service.instance.idx") NO_VALUE("k8s.podium")},
		/* Loki would take it away */
		{"team\xc2\xa0", NULL, LOST("team\xc2\xa0")},
		/* would be one key in the log line */
		{"a.b,a_b", NULL, LABELS "a query cannot tell a.b from a_b: remove one of them\n"},
		{"a.b,a-b", NULL, LABELS "a query cannot tell a.b from a-b: remove one of them\n"},
		{"a b", NULL, LOST("a b")},
		{"a=b", NULL, LOST("a=b")},
		{"a\"b", NULL, LOST("a\"b")},
		{"a\x01", NULL, LOST("a\x01")},
		{"a\xff", NULL, LOST("a\xff")},
		{"a\xef\xbf\xbd", NULL, LOST("a\xef\xbf\xbd")},
		/* a value that cannot be stamped */
		{"bad", NULL,
		 "OTEL_RESOURCE_ATTRIBUTES: bad has a control character (a line end?): remove "
		 "it\n"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		const struct labels_source source = {
			.service_name = "shop",
			.resource_attributes = "k8s.cluster.name=c1,team=q%22,empty=,service."
					       "version=1,a.b=1,a_b=2,a-b=3,"
					       "k8s.pod.name=p,bad=%0a,service.namespace=n",
			.label_attributes = rows[i].keys};
		struct labels labels;

		assert_int_equal(init(&labels, &source), rows[i].members != NULL);
		assert_string_equal(complaints, rows[i].complaints);
		if (rows[i].members)
			assert_view(labels.session_members, rows[i].members);
		labels_release(&labels);
	}
}

#define REQUEST "FARO_REQUEST_ATTRIBUTES: "
#define NO_KEY(key)                                                                          \
	REQUEST key " is not a valid key: write at most 64 letters, digits and ._- such as " \
		    "geo.country.iso_code\n"
#define OURS(key) \
	REQUEST key " is a label of the service and the same for every request: remove it\n"
#define K64 "k234567890123456789012345678901234567890123456789012345678901234"

static void test_request_attributes__what_may_be_listed(void **state)
{
	/* the list, whether the address is stamped, the complaints */
	static const struct {
		const char *keys;
		bool client_address;
		const char *complaints;
	} rows[] = {
		{"geo.country.iso_code, user_agent.synthetic.type", true, ""},
		{"client.address", false, ""},
		{"geo.country.iso_code,geo.country.iso_code", false, ""},
		{"", true, ""},
		{K64, false, ""},
		{K64 "5", false, NO_KEY(K64 "5")},
		{"geo country", false, NO_KEY("geo country")},
		{"a\"b", false, NO_KEY("a\"b")},
		{"a\\b", false, NO_KEY("a\\b")},
		{"\xc3\xa9", false, NO_KEY("\xc3\xa9")},
		/* the service's own */
		{"service.name", false, OURS("service.name")},
		{"service.namespace", false, OURS("service.namespace")},
		{"deployment.environment", false, OURS("deployment.environment")},
		{"deployment.environment.name", false, OURS("deployment.environment.name")},
		{"k8s.namespace.name", false, OURS("k8s.namespace.name")},
		{"k8s.pod.name", false, OURS("k8s.pod.name")},
		/* arrays */
		{"http.request.header.accept", false,
		 REQUEST "http.request.header.accept is an array in OpenTelemetry's conventions, "
			 "and faro-ingest stamps single values: choose another key\n"},
		/* one parameter */
		{"a.b,a_b", false,
		 REQUEST
		 "a.b and a_b have the same parameter, FARO_ATTR_A_B: remove one of them\n"},
		{"a.b,A.b", false,
		 REQUEST
		 "a.b and A.b have the same parameter, FARO_ATTR_A_B: remove one of them\n"},
		{"a-b,a.B", false,
		 REQUEST
		 "a-b and a.B have the same parameter, FARO_ATTR_A_B: remove one of them\n"},
		/* labels, with and without a value */
		{"team", false,
		 REQUEST "a query cannot tell team from team in FARO_LABEL_ATTRIBUTES: remove "
			 "one of them\n"},
		{"cost_center", false,
		 REQUEST
		 "a query cannot tell cost_center from cost_center in FARO_LABEL_ATTRIBUTES: "
		 "remove one of them\n"},
		{"k8s_cluster-name", false,
		 REQUEST "a query cannot tell k8s_cluster-name from k8s.cluster.name in "
			 "FARO_LABEL_ATTRIBUTES: remove one of them\n"},
		/* the address */
		{"client.address", true,
		 REQUEST
		 "FARO_CLIENT_ADDRESS stamps client.address already: remove it here, or set "
		 "FARO_CLIENT_ADDRESS to off\n"},
		{"client_address", true,
		 REQUEST
		 "FARO_CLIENT_ADDRESS stamps client_address already: remove it here, or set "
		 "FARO_CLIENT_ADDRESS to off\n"},
		/* all of them are told */
		{"a b,k8s.x", false, NO_KEY("a b") OURS("k8s.x")},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		const struct labels_source source = {
			.service_name = "shop",
			.resource_attributes = "k8s.cluster.name=c,team=t",
			.label_attributes = "team,k8s.cluster.name,cost.center",
			.request_attributes = rows[i].keys,
			.stamps_client_address = rows[i].client_address};
		struct labels labels;
		const char *found;

		assert_int_equal(init(&labels, &source), rows[i].complaints[0] == '\0');
		/* Of cost.center, which has no value, there is a warning each time. */
		found = strchr(complaints, '\n') + 1;
		assert_string_equal(found, rows[i].complaints);
		labels_release(&labels);
	}
}

static void test_request_attributes__address_of_a_label__rejected(void **state)
{
	const struct labels_source source = {.service_name = "shop",
					     .resource_attributes = "client.address=x",
					     .label_attributes = "client.address",
					     .stamps_client_address = true};
	struct labels labels;

	(void)state;
	assert_false(init(&labels, &source));
	assert_string_equal(complaints,
			    "FARO_CLIENT_ADDRESS: a query cannot tell client.address from "
			    "client.address in FARO_LABEL_ATTRIBUTES: remove one of them\n");
}

static void test_request_attributes__32__33_rejected(void **state)
{
	char keys[33 * 4 + 1] = "";
	const struct labels_source source = {
		.service_name = "shop", .request_attributes = keys, .stamps_client_address = true};
	struct labels labels;

	(void)state;
	for (int i = 0; i < 32; i++)
		sprintf(keys + strlen(keys), "%sk%02d", i > 0 ? "," : "", i);
	assert_true(init(&labels, &source));
	assert_int_equal(labels.parameter_count, 32);
	assert_int_equal(labels.request_attribute_count, 33);
	labels_release(&labels);
	strcat(keys, ",k");
	assert_false(init(&labels, &source));
	assert_string_equal(complaints, REQUEST "has 33 keys; at most 32 are possible\n");
}

static void test_request_attributes__names__exact(void **state)
{
	const struct labels_source source = {
		.service_name = "shop",
		.request_attributes = "geo.country.iso_code,a-2.Bc,geo_x,geox,client.port",
		.stamps_client_address = true};
	static const struct {
		const char *key, *parameter, *session_key;
		bool is_location;
	} expected[] = {
		{"geo.country.iso_code", "FARO_ATTR_GEO_COUNTRY_ISO_CODE", "geo_country_iso_code",
		 true},
		{"a-2.Bc", "FARO_ATTR_A_2_BC", "a-2_Bc", false},
		{"geo_x", "FARO_ATTR_GEO_X", "geo_x", true},
		{"geox", "FARO_ATTR_GEOX", "geox", false},
		{"client.port", "FARO_ATTR_CLIENT_PORT", "client_port", false},
		{"client.address", "FARO_ATTR_CLIENT_ADDRESS", "client_address", true},
	};
	struct labels labels;

	(void)state;
	assert_true(init(&labels, &source));
	assert_int_equal(labels.request_attribute_count, ARRAY_LEN(expected));
	assert_int_equal(labels.parameter_count, ARRAY_LEN(expected) - 1);
	for (size_t i = 0; i < ARRAY_LEN(expected); i++) {
		const struct labels_request_attribute *found = &labels.request_attributes[i];

		assert_view(found->key, expected[i].key);
		assert_view(found->parameter, expected[i].parameter);
		assert_view(found->session_key, expected[i].session_key);
		assert_int_equal(found->is_location, expected[i].is_location);
	}
	labels_release(&labels);
}

#define ATTRIBUTE(key, value) "{\"key\":\"" key "\",\"value\":{\"stringValue\":\"" value "\"}}"
#define MORE(key, value)      "," ATTRIBUTE(key, value)

static const struct labels_source full = {
	.service_name = "shop",
	.resource_attributes = "service.namespace=sales,k8s.namespace.name=sales-eu,"
			       "deployment.environment=old,deployment.environment.name=prod,"
			       "service.version=1.2,k8s.cluster.name=c%5C1,team=t",
	.app_names = "web,adm\"in",
	.label_attributes = "team,k8s.cluster.name",
	.request_attributes = "geo.country.iso_code",
	.stamps_client_address = true};

static void test_fragments__everything_set__exact_bytes(void **state)
{
	struct labels labels;

	(void)state;
	assert_true(init(&labels, &full));
	assert_view(labels.apps[1].json, "\"adm\\\"in\"");
	assert_view(labels.apps[1].resource_attributes,
		    ATTRIBUTE("service.name", "adm\\\"in") MORE("service.namespace", "sales")
			    MORE("k8s.namespace.name", "sales-eu")
				    MORE("deployment.environment.name", "prod")
					    MORE("deployment.environment", "prod") MORE("team", "t")
						    MORE("k8s.cluster.name", "c\\\\1"));
	assert_view(labels.namespace_json, "\"sales\"");
	assert_view(labels.environment_json, "\"prod\"");
	assert_view(labels.version_json, "\"1.2\"");
	assert_view(labels.session_members, "\"team\":\"t\",\"k8s_cluster_name\":\"c\\\\1\"");
	assert_int_equal(labels.attribute_count, 2);
	assert_view(labels.attributes[1].key, "k8s.cluster.name");
	assert_view(labels.attributes[1].value, "c\\1");
	assert_view(labels.attributes[1].session_key, "k8s_cluster_name");
	labels_release(&labels);
}

/* Nothing is stamped for them, but a browser may not use their names. */
static void test_labels__without_a_value__are_known_by_their_session_key(void **state)
{
	const struct labels_source source = {.service_name = "shop",
					     .resource_attributes = "team=t",
					     .label_attributes = "cost.center,team,zone"};
	struct labels labels;

	(void)state;
	assert_true(init(&labels, &source));
	assert_int_equal(labels.attribute_count, 1);
	assert_int_equal(labels.unset_count, 2);
	assert_view(labels.unset_session_keys[0], "cost_center");
	assert_view(labels.unset_session_keys[1], "zone");
	labels_release(&labels);
}

static void test_fragments__only_a_name__no_empty_attributes(void **state)
{
	const struct labels_source source = {.service_name = "shop"};
	struct labels labels;

	(void)state;
	assert_true(init(&labels, &source));
	assert_view(labels.apps[0].resource_attributes, ATTRIBUTE("service.name", "shop"));
	assert_view(labels.namespace_json, "\"\"");
	assert_view(labels.environment_json, "\"\"");
	assert_view(labels.version_json, "\"\"");
	assert_view(labels.session_members, "");
	labels_release(&labels);
}

static void test_environment__old_name_alone__counts(void **state)
{
	const struct labels_source source = {.service_name = "shop",
					     .resource_attributes = "deployment.environment=old"};
	struct labels labels;

	(void)state;
	assert_true(init(&labels, &source));
	assert_view(labels.environment, "old");
	assert_view(labels.environment_json, "\"old\"");
	labels_release(&labels);
}

static size_t encode(unsigned c, char *out)
{
	size_t n = c < 0x80 ? 1 : c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
	static const unsigned char first[] = {0, 0, 0xc0, 0xe0, 0xf0};

	for (size_t i = n; i-- > 1; c >>= 6)
		out[i] = (char)(0x80 | (c & 0x3f));
	out[0] = (char)(n == 1 ? c : first[n] | c);
	return n;
}

/* All of Unicode but controls and surrogates, 60 a name: as it came, but for `"` and `\`. */
static void test_json__every_character__exact(void **state)
{
	char name[512], expected[1024];
	unsigned c = 0x21;

	(void)state;
	while (c < 0x110000) {
		const struct labels_source source = {.service_name = name};
		struct labels labels;
		size_t n = 0, m = 1;

		expected[0] = '"';
		/* The x at both ends keeps spaces from being trimmed. */
		name[n++] = expected[m++] = 'x';
		for (int i = 0; i < 60 && c < 0x110000; c++) {
			if ((c >= 0x7f && c < 0xa0) || (c >= 0xd800 && c < 0xe000))
				continue;
			if (c == '"' || c == '\\')
				expected[m++] = '\\';
			m += encode(c, expected + m);
			n += encode(c, name + n);
			i++;
		}
		memcpy(name + n, "x", 2);
		memcpy(expected + m, "x\"", 3);
		assert_true(init(&labels, &source));
		assert_view(labels.apps[0].json, expected);
		labels_release(&labels);
	}
}

static void test_memory__each_allocation_fails__complaint_and_no_leak(void **state)
{
	cJSON_Hooks hooks = {__wrap_malloc, __wrap_free};

	(void)state;
	cJSON_InitHooks(&hooks);
	for (int on = 0; on < 2; on++) {
		bool ok = false;

		fail_on = on;
		for (long n = 0; !ok; n++) {
			struct labels labels;
			long before = live;

			assert_true(n < 1000);
			allocations = 0;
			fail_at = n;
			ok = init(&labels, &full);
			fail_at = -1;
			if (!ok)
				assert_string_equal(complaints, "-: memory ran out while the "
								"labels were made\n");
			else
				assert_true(n > 50);
			labels_release(&labels);
			assert_int_equal(live, before);
		}
	}
	cJSON_InitHooks(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_service_name__each_source__precedence_of_opentelemetry),
		cmocka_unit_test(test_namespace__each_source__precedence),
		cmocka_unit_test(test_apps__list__trimmed_and_once),
		cmocka_unit_test(test_lists__at_and_over_their_limit),
		cmocka_unit_test(test_values__length__255_bytes_at_most),
		cmocka_unit_test(test_labels__each_kind_of_key),
		cmocka_unit_test(test_request_attributes__what_may_be_listed),
		cmocka_unit_test(test_request_attributes__address_of_a_label__rejected),
		cmocka_unit_test(test_request_attributes__32__33_rejected),
		cmocka_unit_test(test_request_attributes__names__exact),
		cmocka_unit_test(test_fragments__everything_set__exact_bytes),
		cmocka_unit_test(test_labels__without_a_value__are_known_by_their_session_key),
		cmocka_unit_test(test_fragments__only_a_name__no_empty_attributes),
		cmocka_unit_test(test_environment__old_name_alone__counts),
		cmocka_unit_test(test_json__every_character__exact),
		cmocka_unit_test(test_memory__each_allocation_fails__complaint_and_no_leak),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
