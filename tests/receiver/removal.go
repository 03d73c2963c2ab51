package receiver

import "slices"

// This file has the rules that remove something and let the rest of the beacon go on. What is left
// of a body by them is compared with what the labeller makes of it.

// removed says what the rules took out of a body.
type removed struct {
	claims int // counted as spoofed
}

func (r *removed) add(o removed) {
	r.claims += o.claims
}

// remove applies those rules to the tree of a body that is not ambiguous.
func (id *identity) remove(root *node) removed {
	gone := id.removeRest(root)
	gone.add(removeValues(root, id.isReserved))
	return gone
}

// removeRest is all of it but the values of measurements.
func (id *identity) removeRest(root *node) removed {
	return removed{claims: removeGeo(root) + id.removeServiceName(root)}
}

// removeMember takes the member of this name out of an object, if its value is not to stay. It returns 1
// where that was a claim: a value that says something.
func removeMember(n *node, name string, stays func(value *node) bool) (claims int) {
	if !n.isObject() {
		return 0
	}
	n.members = slices.DeleteFunc(n.members, func(m member) bool {
		if m.key != name || stays(m.value) {
			return false
		}
		if !m.value.isNull() && string(m.value.raw) != `""` {
			claims++
		}
		return true
	})
	return claims
}

func removeGeo(root *node) int {
	return removeMember(root.at("meta"), "geo", func(*node) bool { return false })
}

func (id *identity) removeServiceName(root *node) int {
	overrides := root.at("meta").at("session").at("overrides")
	return removeMember(overrides, "serviceName", func(value *node) bool {
		return value.kind == '"' && id.allows(value.text())
	})
}

// removeValues takes those values out of measurements whose names are reserved.
func removeValues(root *node, isReserved func(name string) bool) (gone removed) {
	for _, one := range root.at("measurements").list() {
		values := one.at("values")
		if !values.isObject() {
			continue
		}
		values.members = slices.DeleteFunc(values.members, func(m member) bool {
			if isReserved(m.key) {
				gone.claims++
				return true
			}
			return false
		})
	}
	return gone
}

// ownNames are keys of a measurement's line that its values must not have.
var ownNames = []string{"kind", "timestamp", "app_name", "app_namespace", "app_release", "app_version",
	"app_environment", "__error__", "__error_details__", "__preserve_error__"}

// isReserved tells names of measurement values that would be read as one of the receiver's own or as a
// label, also where the label has no value.
func (id *identity) isReserved(name string) bool {
	for _, key := range bothQueried(name) {
		if slices.Contains(ownNames, key) {
			return true
		}
		for _, a := range id.attributes {
			if key == asQueried("session_attr_"+a.onLog()) {
				return true
			}
		}
		for _, a := range id.unset {
			if key == asQueried("session_attr_"+attribute{key: a}.onLog()) {
				return true
			}
		}
	}
	return false
}
