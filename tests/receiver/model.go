// SPDX-License-Identifier: Apache-2.0

package receiver

import "strings"

// This file says which refusals the rules allow. It errs on the side of allowing: what must not
// be let through is found by oracle.go in what the receiver reads, whatever stands here.

// known lists the names whose repetition or odd spelling may be refused, level by level. A name may
// have two spellings (OTLP's camelCase and snake_case); they stand for one name.
type known [][]string

var (
	knownTop       = known{{"meta"}, {"logs"}, {"exceptions"}, {"events"}, {"measurements"}, {"traces"}}
	knownMeta      = known{{"sdk"}, {"app"}, {"user"}, {"session"}, {"page"}, {"browser"}, {"view"}, {"geo"}}
	knownApp       = known{{"name"}, {"namespace"}, {"release"}, {"version"}, {"environment"}}
	knownSession   = known{{"id"}, {"attributes"}, {"overrides"}}
	knownOverrides = known{{"serviceName"}, {"geoLocationTrackingEnabled"}}
	// Values that are merged could split a reserved name from the check of it.
	knownMeasurement = known{{"type"}, {"values"}, {"timestamp"}, {"trace"}, {"context"}}

	knownTraces        = known{{"resourceSpans", "resource_spans"}}
	knownResourceSpans = known{{"resource"}, {"scopeSpans", "scope_spans"},
		{"deprecatedScopeSpans", "deprecated_scope_spans"}, {"schemaUrl", "schema_url"}}
	knownResource = known{{"attributes"}, {"droppedAttributesCount", "dropped_attributes_count"},
		{"entityRefs", "entity_refs"}}
	knownAttribute  = known{{"key"}, {"value"}, {"keyStrindex", "key_strindex"}}
	knownScopeSpans = known{{"scope"}, {"spans"}, {"schemaUrl", "schema_url"}}
	knownSpan       = known{{"traceId", "trace_id"}, {"spanId", "span_id"}, {"parentSpanId", "parent_span_id"}, {"links"}}
	knownLink       = known{{"traceId", "trace_id"}, {"spanId", "span_id"}}
)

// reader is a notion of when a key is a name. The rules ask for the receiver's; the tests of the
// oracle put worse ones in here, as a careless labeller would have them.
type reader struct {
	isName     func(m member, name string) bool
	repeatable bool // repeats are not looked for
}

func isNameToGo(m member, name string) bool { return strings.EqualFold(m.key, name) }

// isAmbiguous is true when one of the names comes twice in the object, or not as it should be written.
func (r *reader) isAmbiguous(names known, n *node) bool {
	for _, spellings := range names {
		seen := 0
		for _, m := range n.members {
			for _, spelling := range spellings {
				if !r.isName(m, spelling) {
					continue
				}
				seen++
				if string(m.raw) != `"`+spelling+`"` {
					return true
				}
			}
		}
		if seen > 1 && !r.repeatable {
			return true
		}
	}
	return false
}

// level is a place in the body and what may be ambiguous there.
type level struct {
	names  known
	list   bool // the value is an array of such objects
	deeper map[string]*level
}

var (
	levelSpans      = &level{names: knownSpan, list: true, deeper: map[string]*level{"links": {names: knownLink, list: true}}}
	levelScopeSpans = &level{names: knownScopeSpans, list: true, deeper: map[string]*level{"spans": levelSpans}}
	levelBody       = &level{names: knownTop, deeper: map[string]*level{
		"meta": {names: knownMeta, deeper: map[string]*level{
			"app":     {names: knownApp},
			"session": {names: knownSession, deeper: map[string]*level{"overrides": {names: knownOverrides}}},
		}},
		"measurements": {names: knownMeasurement, list: true},
		"traces": {names: knownTraces, deeper: map[string]*level{
			"resourceSpans": levelResourceSpans, "resource_spans": levelResourceSpans,
		}},
	}}
	levelResourceSpans = &level{names: knownResourceSpans, list: true, deeper: map[string]*level{
		"resource": {names: knownResource, deeper: map[string]*level{
			"attributes": {names: knownAttribute, list: true},
		}},
		"scopeSpans": levelScopeSpans, "scope_spans": levelScopeSpans,
		"deprecatedScopeSpans": levelScopeSpans, "deprecated_scope_spans": levelScopeSpans,
	}}
)

func (l *level) isAmbiguous(n *node, r *reader) bool {
	if l.list {
		one := *l
		one.list = false
		for _, item := range n.items {
			if one.isAmbiguous(item, r) {
				return true
			}
		}
		return false
	}
	if r.isAmbiguous(l.names, n) {
		return true
	}
	for _, m := range n.members {
		if deeper := l.deeper[m.key]; deeper != nil && deeper.isAmbiguous(m.value, r) {
			return true
		}
	}
	return false
}

func hasEmptyKey(n *node) bool {
	for _, m := range n.members {
		if m.key == "" || hasEmptyKey(m.value) {
			return true
		}
	}
	for _, item := range n.items {
		if hasEmptyKey(item) {
			return true
		}
	}
	return false
}

// mayBeAmbiguous allows the refusal ambiguous_key.
func mayBeAmbiguous(body *node) bool {
	if levelBody.isAmbiguous(body, &reader{isName: isNameToGo}) {
		return true
	}
	empty := false
	body.each("traces", func(traces *node) { empty = empty || hasEmptyKey(traces) })
	return empty
}
