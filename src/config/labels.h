/* SPDX-License-Identifier: Apache-2.0 */
/*
 * labels: the identity of this service, as the operator set it, in the form that enrich stamps.
 *
 * Built once at start from the standard OTEL_* variables; read-only afterwards and shared by all
 * threads. The JSON fragments are made by cJSON here, so that the request path copies bytes only.
 *
 * Sources: OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES as in the OpenTelemetry specification
 * ("Resource SDK", "Specifying resource information via an environment variable"): a comma list of
 * key=value, percent-decoded; any error in it discards all of it, with a warning. Of a key that
 * comes twice the last value counts, as in the SDKs for Go, Java and JavaScript. An empty value
 * counts as not set. Every value that is stamped must be UTF-8 without control characters.
 */
#ifndef FARO_CONFIG_LABELS_H
#define FARO_CONFIG_LABELS_H

#include "base/arena.h"

/* What stays constant for one of the frontends behind this nginx. */
struct labels_app {
	struct view name; /* as in FARO_APP_NAMES, UTF-8 */
	struct view json; /* the same as a JSON string with its quotes */
	/* The attributes that every resource of this app's spans gets, as
	 * {"key":"service.name","value":{"stringValue":"…"}},{…} - joined by commas, never empty.
	 */
	struct view resource_attributes;
};

/* A further attribute (FARO_LABEL_ATTRIBUTES) in the two forms in which it is stamped. */
struct labels_attribute {
	struct view key; /* k8s.cluster.name */
	struct view value;
	struct view session_key; /* k8s_cluster_name */
};

/* An attribute whose value comes with each request, in the forms in which it is known. */
struct labels_request_attribute {
	struct view key;         /* geo.country.iso_code */
	struct view parameter;   /* FARO_ATTR_GEO_COUNTRY_ISO_CODE */
	struct view session_key; /* geo_country_iso_code */
	bool is_location;        /* not for pages that have opted out of location */
};

/* What every resource of spans gets beside service.name, whose value depends on the app: the key, and
 * where its value is in struct labels. A key without a value is still nobody else's to set. */
#define LABELS_STAMPED_ON_SPANS(ROW)                    \
	ROW("service.namespace", namespace_)            \
	ROW("k8s.namespace.name", k8s_namespace)        \
	ROW("deployment.environment.name", environment) \
	ROW("deployment.environment", environment)

struct labels {
	struct view service_name;  /* never empty */
	struct view namespace_;    /* may be empty: nothing is known */
	struct view k8s_namespace; /* likewise */
	struct view environment;   /* deployment.environment.name, may be empty */
	struct view version;       /* service.version, may be empty */

	struct labels_app *apps; /* the first is the default */
	size_t app_count;        /* at least 1 */

	/* JSON strings with their quotes; `""` where the value is empty. */
	struct view namespace_json;
	struct view environment_json;
	struct view version_json;

	struct labels_attribute *attributes; /* FARO_LABEL_ATTRIBUTES, in their order */
	size_t attribute_count;
	/* Session keys of those in FARO_LABEL_ATTRIBUTES that have no value and are not stamped. */
	struct view *unset_session_keys;
	size_t unset_count;
	/* FARO_REQUEST_ATTRIBUTES, in their order, and then client.address, if that is stamped. */
	struct labels_request_attribute *request_attributes;
	size_t request_attribute_count;
	size_t parameter_count; /* of those that come as parameters: all but client.address */
	/* "k8s_cluster_name":"…","…":"…" - members for meta.session.attributes; empty if none. */
	struct view session_members;

	struct arena storage; /* every view above points in here */
};

/* Of the parameters that have the values of FARO_REQUEST_ATTRIBUTES. */
#define LABELS_PARAMETER_PREFIX "FARO_ATTR_"

enum {
	LABELS_VALUE_MAX_BYTES = 255, /* of a label, as in OpenTelemetry's SDKs */
	LABELS_LIST_MAX = 256,        /* names in FARO_APP_NAMES, keys in FARO_LABEL_ATTRIBUTES */
	LABELS_REQUEST_MAX = 32,      /* keys in FARO_REQUEST_ATTRIBUTES */
	LABELS_REQUEST_KEY_MAX_BYTES = 64,
	LABELS_PARAMETER_MAX_BYTES =
		LABELS_REQUEST_KEY_MAX_BYTES + sizeof(LABELS_PARAMETER_PREFIX) - 1,
};

/* Where the values come from; pointers are NULL where a variable is not set. */
struct labels_source {
	const char *service_name;        /* OTEL_SERVICE_NAME */
	const char *resource_attributes; /* OTEL_RESOURCE_ATTRIBUTES */
	const char *app_names;           /* FARO_APP_NAMES */
	const char *label_attributes;    /* FARO_LABEL_ATTRIBUTES */
	const char *request_attributes;  /* FARO_REQUEST_ATTRIBUTES */
	bool stamps_client_address;      /* FARO_CLIENT_ADDRESS is not off */
	const char *namespace_file;      /* the service account's; NULL or unreadable: none */
};

/* NULL, or what is wrong with a value that is to be stamped, as in "VALUE is not valid UTF-8: …". */
const char *labels_value_problem(struct view value);

/* Called once for each thing that is wrong: `setting` is the variable's name (NULL: memory ran
 * out), `problem` a sentence that says what was expected, and may quote the setting as it is.
 * `fatal` is false for a warning. */
typedef void labels_complaint(void *arg, const char *setting, const char *problem, bool fatal);

/* False after at least one fatal complaint; `labels` then holds nothing. */
bool labels_init(struct labels *labels, const struct labels_source *source,
		 labels_complaint *complain, void *arg);
void labels_release(struct labels *labels);

#endif
