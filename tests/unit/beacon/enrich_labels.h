/* SPDX-License-Identifier: Apache-2.0 */
/* Labels made by hand, so that the drivers of enrich need neither the labels module nor an
 * environment. Two apps, two label attributes, and one that has no value; the same with attributes of
 * the request, and one app that has nothing but these. */
#ifndef TEST_ENRICH_LABELS_H
#define TEST_ENRICH_LABELS_H

#include "beacon/enrich.h"

#define ITEM(key, value) "{\"key\":\"" key "\",\"value\":{\"stringValue\":\"" value "\"}}"
#define ITEMS_OF(name)                                                                            \
	ITEM("service.name", name)                                                                \
	"," ITEM("service.namespace", "shop-ns") "," ITEM(                                        \
		"k8s.namespace.name",                                                             \
		"shop-k8s") "," ITEM("deployment.environment.name",                               \
				     "prod") "," ITEM("deployment.environment",                   \
						      "prod") "," ITEM("k8s.cluster.name",        \
								       "eu-1") "," ITEM("team",   \
											"tea "    \
											"\\\"m\\" \
											"\"")
#define SESSION_MEMBERS "\"k8s_cluster_name\":\"eu-1\",\"team\":\"tea \\\"m\\\"\""

static struct labels_app test_apps[] = {
	{VIEW_LITERAL("shop-web"), VIEW_LITERAL("\"shop-web\""),
	 VIEW_LITERAL(ITEMS_OF("shop-web"))},
	{VIEW_LITERAL("shop-admin"), VIEW_LITERAL("\"shop-admin\""),
	 VIEW_LITERAL(ITEMS_OF("shop-admin"))},
};

static struct labels_attribute test_attributes[] = {
	{VIEW_LITERAL("k8s.cluster.name"), VIEW_LITERAL("eu-1"), VIEW_LITERAL("k8s_cluster_name")},
	{VIEW_LITERAL("team"), VIEW_LITERAL("tea \"m\""), VIEW_LITERAL("team")},
};

static struct view test_unset[] = {VIEW_LITERAL("cost_center")};

static const struct labels test_labels = {
	.service_name = VIEW_LITERAL("shop-web"),
	.namespace_ = VIEW_LITERAL("shop-ns"),
	.k8s_namespace = VIEW_LITERAL("shop-k8s"),
	.environment = VIEW_LITERAL("prod"),
	.version = VIEW_LITERAL("1.2.3"),
	.apps = test_apps,
	.app_count = 2,
	.namespace_json = VIEW_LITERAL("\"shop-ns\""),
	.environment_json = VIEW_LITERAL("\"prod\""),
	.version_json = VIEW_LITERAL("\"1.2.3\""),
	.attributes = test_attributes,
	.attribute_count = 2,
	.unset_session_keys = test_unset,
	.unset_count = 1,
	.session_members = VIEW_LITERAL(SESSION_MEMBERS),
};

static struct labels_request_attribute test_request_attributes[] = {
	{VIEW_LITERAL("geo.country.iso_code"), VIEW_LITERAL("FARO_ATTR_GEO_COUNTRY_ISO_CODE"),
	 VIEW_LITERAL("geo_country_iso_code"), true},
	{VIEW_LITERAL("user_agent.synthetic.type"),
	 VIEW_LITERAL("FARO_ATTR_USER_AGENT_SYNTHETIC_TYPE"),
	 VIEW_LITERAL("user_agent_synthetic_type"), false},
	{VIEW_LITERAL("client.address"), VIEW_LITERAL("FARO_ATTR_CLIENT_ADDRESS"),
	 VIEW_LITERAL("client_address"), true},
};

enum {
	TEST_REQUEST_ATTRIBUTES =
		sizeof(test_request_attributes) / sizeof(test_request_attributes[0])
};

static inline struct labels test_labels_with_request(void)
{
	struct labels labels = test_labels;

	labels.request_attributes = test_request_attributes;
	labels.request_attribute_count = TEST_REQUEST_ATTRIBUTES;
	labels.parameter_count = TEST_REQUEST_ATTRIBUTES - 1;
	return labels;
}

#define NAME_ITEM ITEM("service.name", "shop-web")

static struct labels_app test_single_app[] = {
	{VIEW_LITERAL("shop-web"), VIEW_LITERAL("\"shop-web\""), VIEW_LITERAL(NAME_ITEM)},
};

static inline struct labels test_labels_of_request_alone(void)
{
	return (struct labels){
		.service_name = VIEW_LITERAL("shop-web"),
		.namespace_ = VIEW_LITERAL(""),
		.k8s_namespace = VIEW_LITERAL(""),
		.environment = VIEW_LITERAL(""),
		.version = VIEW_LITERAL(""),
		.apps = test_single_app,
		.app_count = 1,
		.namespace_json = VIEW_LITERAL("\"\""),
		.environment_json = VIEW_LITERAL("\"\""),
		.version_json = VIEW_LITERAL("\"\""),
		.session_members = VIEW_LITERAL(""),
		.request_attributes = test_request_attributes,
		.request_attribute_count = TEST_REQUEST_ATTRIBUTES,
		.parameter_count = TEST_REQUEST_ATTRIBUTES - 1,
	};
}

/* In three variants: all good, none good, and one that is. */
static inline struct request_facts test_facts(unsigned variant)
{
	static char long_value[256];
	struct request_facts facts = {.values = {{NULL, 0}}};

	if (variant == 0) {
		facts.values[0] = VIEW_LITERAL("DE");
		facts.values[1] = VIEW_LITERAL("b\"o\\t \xe2\x98\x83");
		facts.values[2] = VIEW_LITERAL("192.0.2.0");
	} else if (variant == 1) {
		facts.values[0] = VIEW_LITERAL("D\nE");
		facts.values[1] = VIEW_LITERAL("\xff");
		memset(long_value, 'x', sizeof(long_value));
		facts.values[2] = (struct view){long_value, sizeof(long_value)};
	} else {
		facts.values[1] = VIEW_LITERAL("test");
	}
	return facts;
}

#endif
