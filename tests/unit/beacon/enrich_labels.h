/* SPDX-License-Identifier: Apache-2.0 */
/* Labels made by hand, so that the drivers of enrich need neither the labels module nor an
 * environment. Two apps, two label attributes, and one that has no value. */
#ifndef TEST_ENRICH_LABELS_H
#define TEST_ENRICH_LABELS_H

#include "config/labels.h"

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

#endif
