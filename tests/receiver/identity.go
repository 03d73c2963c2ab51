// SPDX-License-Identifier: Apache-2.0

package receiver

import (
	"slices"
	"strings"
)

// attribute is one of FARO_LABEL_ATTRIBUTES.
type attribute struct{ key, value string }

// onLog is the key under which the attribute reaches a log line's session_attr_.
func (a attribute) onLog() string {
	return asWritten(strings.ReplaceAll(a.key, ".", "_"))
}

// identity is what the operator set. The C side gets it as the environment variables of `env`, and
// the expectations below are written down by hand: nothing here parses OTEL_*.
type identity struct {
	name string
	env  environment

	apps         []string // the first is the default
	namespace    string
	k8sNamespace string
	environment  string
	version      string
	attributes   []attribute
	unset        []string // in FARO_LABEL_ATTRIBUTES, but without a value

	// What comes with each request, and is stamped unless it is no good, or a location that the page has
	// opted out of. The browser may use none of these keys in any case.
	request []fact
}

// fact is one of FARO_REQUEST_ATTRIBUTES, or the client's address; value is empty where it is no good.
type fact struct {
	attribute
	isLocation bool
}

type environment struct {
	serviceName, resourceAttributes, appNames, labelAttributes, requestAttributes string
	clientAddress                                                                 bool
	facts                                                                         []string
}

// of is the identity as it is for one beacon: its attributes are those that are stamped.
func (id *identity) of(optedOut bool) *identity {
	if len(id.request) == 0 {
		return id
	}
	one := *id
	one.attributes = slices.Clone(id.attributes)
	for _, f := range id.request {
		if f.value != "" && !(optedOut && f.isLocation) {
			one.attributes = append(one.attributes, f.attribute)
		}
	}
	return &one
}

// stamps tells which of the facts are among the attributes.
func (id *identity) stamps(f fact) bool { return slices.Contains(id.attributes, f.attribute) }

// identities are the set-ups that each body is tried with, from everything set to nothing known.
var identities = []*identity{
	{
		name: "everything",
		env: environment{
			serviceName: "shop",
			resourceAttributes: "service.namespace=retail,k8s.namespace.name=retail-prod," +
				"deployment.environment.name=production,service.version=4.2.0," +
				"k8s.cluster.name=eu-1,team=web%20shop,k8s.pod.name=shop-0",
			appNames:        "shop,shop-admin",
			labelAttributes: "k8s.cluster.name,team,cost.center",
		},
		apps:      []string{"shop", "shop-admin"},
		namespace: "retail", k8sNamespace: "retail-prod",
		environment: "production", version: "4.2.0",
		attributes: []attribute{{"k8s.cluster.name", "eu-1"}, {"team", "web shop"}},
		unset:      []string{"cost.center"},
	},
	{
		name: "nothing known",
		env:  environment{serviceName: "shop"},
		apps: []string{"shop"},
	},
	{
		name: "namespace of the pod, odd characters",
		env: environment{
			serviceName: `café "kasse"\ 売店`,
			resourceAttributes: "k8s.namespace.name=kasse,service.version=1%2C0%3Db," +
				"cost.center=%22%5C%20%3D%E2%98%83,k8s.cluster.zone=p%C3%A4",
			labelAttributes: "k8s.cluster.zone,cost.center",
		},
		apps:      []string{`café "kasse"\ 売店`},
		namespace: "kasse", k8sNamespace: "kasse", version: "1,0=b",
		attributes: []attribute{{"k8s.cluster.zone", "pä"}, {"cost.center", "\"\\ =☃"}},
	},
	{
		name: "environment only, two frontends",
		env: environment{
			serviceName:        "kiosk",
			resourceAttributes: "deployment.environment.name=test",
			appNames:           "Kiosk,sessions,k",
		},
		apps:        []string{"Kiosk", "sessions", "k"},
		environment: "test",
	},
	{
		name: "facts of the request beside labels",
		env: environment{
			serviceName: "shop", resourceAttributes: "team=web%20shop", labelAttributes: "team,cost.center",
			requestAttributes: "geo.country.iso_code,user_agent.synthetic.type", clientAddress: true,
			facts: []string{"DE", "b\"o\\t ☃", "192.0.2.0"},
		},
		apps:       []string{"shop"},
		attributes: []attribute{{"team", "web shop"}},
		unset:      []string{"cost.center"},
		request: []fact{{attribute{"geo.country.iso_code", "DE"}, true},
			{attribute{"user_agent.synthetic.type", "b\"o\\t ☃"}, false}, {attribute{"client.address", "192.0.2.0"}, true}},
	},
	{
		name: "facts of the request alone, one no good",
		env: environment{
			serviceName: "shop", requestAttributes: "geo.country.iso_code,a-b", clientAddress: true,
			facts: []string{"D\nE", "", "2001:db8::"},
		},
		apps: []string{"shop"},
		request: []fact{{attribute{"geo.country.iso_code", ""}, true}, {attribute{"a-b", ""}, false},
			{attribute{"client.address", "2001:db8::"}, true}},
	},
}

func (id *identity) allows(name string) bool {
	for _, allowed := range id.apps {
		if name == allowed {
			return true
		}
	}
	return false
}

// appFor is the name that goes on everything when the browser says it is `claimed`.
func (id *identity) appFor(claimed string) string {
	if id.allows(claimed) {
		return claimed
	}
	return id.apps[0]
}

// onResource are the attributes that every resource of the app's spans carries.
func (id *identity) onResource(app string) []attribute {
	return append([]attribute{
		{"service.name", app},
		{"service.namespace", id.namespace},
		{"k8s.namespace.name", id.k8sNamespace},
		{"deployment.environment.name", id.environment},
		{"deployment.environment", id.environment},
	}, id.attributes...)
}

// claimsResource tells keys that a browser may not choose on a resource.
func (id *identity) claimsResource(key string) bool {
	switch key {
	case "service.name", "service.namespace", "deployment.environment.name", "deployment.environment":
		return true
	}
	if strings.HasPrefix(key, "k8s.") {
		return true
	}
	for _, a := range id.attributes {
		if a.key == key {
			return true
		}
	}
	for _, f := range id.request {
		if asLabel(f.key) == asLabel(key) {
			return true
		}
	}
	for _, a := range id.unset {
		if asLabel(a) == asLabel(key) {
			return true
		}
	}
	return false
}

// claimsSession tells session attributes that would be shown under the key of a label.
func (id *identity) claimsSession(key string) bool {
	for _, a := range id.attributes {
		if a.isShownAs(key) {
			return true
		}
	}
	for _, f := range id.request {
		if f.isShownAs(key) {
			return true
		}
	}
	for _, a := range id.unset {
		if (attribute{key: a}).isShownAs(key) {
			return true
		}
	}
	return false
}

// isShownAs tells session attributes that a query takes for this one.
func (a attribute) isShownAs(key string) bool {
	ours := asQueried("session_attr_" + a.onLog())
	return slices.Contains(bothQueried("session_attr_"+key), ours)
}
