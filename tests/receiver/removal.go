// SPDX-License-Identifier: Apache-2.0

package receiver

import (
	"regexp"
	"slices"
)

// This file has the rules that remove something and let the rest of the beacon go on. What is left
// of a body by them is compared with what the labeller makes of it.

// removed says what the rules took out of a body.
type removed struct {
	claims int // counted as spoofed
	spans  int
}

func (r *removed) add(o removed) {
	r.claims += o.claims
	r.spans += o.spans
}

// remove applies those rules to the tree of a body that is not ambiguous.
func (id *identity) remove(root *node) removed {
	gone := id.removeRest(root)
	gone.add(removeValues(root, id.isReserved))
	gone.add(removeSpans(root, isGoodSpan))
	return gone
}

// removeRest is all of it but the values of measurements, and spans.
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
		for _, f := range id.request {
			if key == asQueried("session_attr_"+f.onLog()) {
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

var spanLists = []string{"scopeSpans", "scope_spans", "deprecatedScopeSpans", "deprecated_scope_spans"}

// removeSpans takes the other spans out of every list.
func removeSpans(root *node, isGood func(span *node) bool) (gone removed) {
	for _, one := range root.at("traces").at("resourceSpans", "resource_spans").list() {
		for _, name := range spanLists {
			for _, scope := range one.at(name).list() {
				spans := scope.at("spans")
				if spans == nil {
					continue
				}
				before := len(spans.items)
				spans.items = slices.DeleteFunc(spans.items, func(span *node) bool { return !isGood(span) })
				gone.spans += before - len(spans.items)
			}
		}
	}
	return gone
}

// The collector reads an id as it stands between its quotes: no escape is decoded.
var (
	traceIDForm = regexp.MustCompile(`^"[0-9a-fA-F]{32}"$`)
	spanIDForm  = regexp.MustCompile(`^"[0-9a-fA-F]{16}"$`)
	zeroForm    = regexp.MustCompile(`^"0+"$`)
)

func hasForm(id *node, form *regexp.Regexp) bool {
	return id != nil && id.kind == '"' && form.Match(id.raw)
}

func isSet(id *node, form *regexp.Regexp) bool { return hasForm(id, form) && !zeroForm.Match(id.raw) }

// isGoodSpan tells spans that neither the collector's decoder nor Tempo refuses. Of a parent and of links
// they look at the form alone.
func isGoodSpan(span *node) bool {
	if !span.isObject() || !isSet(span.at("traceId", "trace_id"), traceIDForm) ||
		!isSet(span.at("spanId", "span_id"), spanIDForm) {
		return false
	}
	parent := span.at("parentSpanId", "parent_span_id")
	if parent != nil && string(parent.raw) != `""` && !hasForm(parent, spanIDForm) {
		return false
	}
	links := span.at("links")
	if links.isNull() {
		return true
	}
	return links.kind == '[' && !slices.ContainsFunc(links.items, func(link *node) bool { return !isGoodLink(link) })
}

func isGoodLink(link *node) bool {
	if link.isNull() {
		return true
	}
	traceID, spanID := link.at("traceId", "trace_id"), link.at("spanId", "span_id")
	return link.isObject() && (traceID == nil || hasForm(traceID, traceIDForm)) &&
		(spanID == nil || hasForm(spanID, spanIDForm))
}
