// SPDX-License-Identifier: Apache-2.0

package receiver

import (
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// fake is a labeller that builds a tree and writes it anew: slow, and right. The tests of the oracle
// run it as it is, which must pass, and with one fault each, which must be found.
type fake struct {
	id    *identity
	names reader

	keepEmptyKeys, keepReserved, keepReservedLookalikes       bool
	keepUnset, removeAllApp, removeMeasurement                bool
	keepGeo, keepServiceName, removeOverrides                 bool
	isGoodSpan                                                func(span *node) bool
	forgetDeprecated, forgetBadSpans                          bool
	forgetSpans, onlyFirstResource, keepForged, keepOtherK8s  bool
	keepSessionLookalikes, forgetSession                      bool
	trustApp, overwriteVersion, keepEnvironment               bool
	loseLog, roundNumbers, miscount, forgetSpoofs, refuseUser bool
	unescape, isLax, forgetSnakeCase                          bool
	forgetFacts, ignoreOptOut, keepUnstamped, keepDotless     bool
}

func newFake(id *identity) *fake { return &fake{id: id, names: reader{isName: isNameToGo}} }

func (f *fake) label(body []byte) outcome {
	if !isStrict(body) && !(f.isLax && json.Valid(body) && body[0] == '{') {
		return outcome{refusal: "bad_json", detail: "not strict JSON"}
	}
	root := parse(body)
	if levelBody.isAmbiguous(root, &f.names) || !f.keepEmptyKeys && hasEmptyKey(root) && mayBeAmbiguous(root) {
		return outcome{refusal: "ambiguous_key", detail: "two meanings"}
	}
	if f.refuseUser && strings.Contains(string(body), `"user":`) {
		return outcome{refusal: "ambiguous_key", detail: "no"}
	}
	f = f.of(root)
	gone := f.remove(root)
	came, err := receive(root.bytes())
	did := outcome{counts: came.counts(), spoofed: gone.claims + 1, badSpans: gone.spans}
	if verifySpoofs(f.id, came, 1) != nil {
		did.spoofed--
	}
	if f.forgetSpoofs {
		did.spoofed = 0
	}
	if f.forgetBadSpans {
		did.badSpans = 0
	}
	f.change(root, came.Meta.App.Name)
	if f.miscount {
		did.counts.Spans = strings.Count(string(body), "spanId")
	}
	did.output = root.bytes()
	if err != nil { // the part that was at fault may have been removed
		went, _ := receive(did.output)
		did.counts = went.counts()
	}
	return did
}

// of is the labeller for one beacon.
func (f *fake) of(root *node) *fake {
	one := *f
	said := root.at("meta").at("session").at("overrides").at("geoLocationTrackingEnabled").raws()
	one.id = f.id.of(string(said) == "false" && !f.ignoreOptOut)
	if f.forgetFacts || f.keepUnstamped {
		id := *one.id
		if f.forgetFacts {
			id.attributes = f.id.attributes
		}
		if f.keepUnstamped {
			id.request = slices.DeleteFunc(slices.Clone(id.request), func(f fact) bool { return !id.stamps(f) })
		}
		one.id = &id
	}
	return &one
}

func (n *node) raws() []byte {
	if n == nil {
		return nil
	}
	return n.raw
}

// need is the member, made (in front) where it is missing or null; nil where it is something else.
func (n *node) need(name string, kind byte) *node {
	value := n.at(name)
	if value == nil {
		value = &node{kind: kind}
		n.members = append([]member{{[]byte(strconv.Quote(name)), name, value}}, n.members...)
	} else if value.isNull() {
		*value = node{kind: kind}
	}
	if value.kind != kind {
		return nil
	}
	return value
}

func (n *node) put(name, value string) {
	text := quotedNode(value)
	if old := n.at(name); old != nil {
		*old = *text
		return
	}
	n.members = append([]member{{quotedNode(name).raw, name, text}}, n.members...)
}

func quotedNode(text string) *node {
	raw, _ := json.Marshal(text)
	return &node{kind: '"', raw: raw}
}

// remove does what identity.remove does, with the faults.
func (f *fake) remove(root *node) removed {
	id := *f.id
	if f.keepUnset {
		id.unset = nil
	}
	if f.isGoodSpan != nil {
		gone := id.removeRest(root)
		gone.add(removeValues(root, id.isReserved))
		gone.add(removeSpans(root, f.isGoodSpan))
		return gone
	}
	if f.forgetDeprecated {
		defer func(all []string) { spanLists = all }(spanLists)
		spanLists = spanLists[:2]
	}
	if about := root.at("meta"); f.keepGeo && about.isObject() {
		kept := slices.Clone(about.members)
		gone := id.remove(root)
		about.members = kept
		return gone
	}
	if overrides := root.at("meta").at("session").at("overrides"); f.keepServiceName && overrides.isObject() {
		kept := slices.Clone(overrides.members)
		gone := id.remove(root)
		overrides.members = kept
		return gone
	}
	if overrides := root.at("meta").at("session").at("overrides"); f.removeOverrides && overrides.isObject() {
		overrides.members = nil
		return id.remove(root)
	}
	switch {
	case f.keepReserved:
		gone := id.removeRest(root)
		gone.add(removeSpans(root, isGoodSpan))
		return gone
	case f.keepReservedLookalikes || f.removeAllApp:
		gone := id.removeRest(root)
		gone.add(removeSpans(root, isGoodSpan))
		gone.add(removeValues(root, func(name string) bool {
			if f.removeAllApp {
				return id.isReserved(name) || strings.HasPrefix(name, "app_")
			}
			return id.isReserved(name) && asQueried(asWritten(name)) == name
		}))
		return gone
	case f.removeMeasurement:
		gone := id.remove(root)
		if list := root.at("measurements"); gone.claims > 0 && list != nil {
			list.items = nil
		}
		return gone
	}
	return id.remove(root)
}

func (f *fake) change(root *node, claimed string) {
	app := f.id.appFor(claimed)
	if f.trustApp && claimed != "" {
		app = claimed
	}
	if about := root.need("meta", '{'); about != nil {
		f.changeMeta(about, app)
	}
	traces := root.at("traces")
	names := []string{"resourceSpans", "resource_spans"}
	if f.forgetSnakeCase {
		names = names[:1]
	}
	for i, resource := range traces.at(names...).list() {
		if !f.forgetSpans && !(f.onlyFirstResource && i > 0) {
			f.changeResource(resource, app)
		}
	}
	if logs := root.at("logs"); f.loseLog && len(logs.list()) > 1 {
		logs.items = logs.items[1:]
	}
	f.spoilNumbers(root)
}

func (f *fake) changeMeta(about *node, app string) {
	if a := about.need("app", '{'); a != nil {
		a.put("name", app)
		a.put("namespace", f.id.namespace)
		if !f.keepEnvironment {
			a.put("environment", f.id.environment)
		}
		if old := a.at("version"); f.overwriteVersion || old.isNull() || old.kind == '"' && old.text() == "" {
			a.put("version", f.id.version)
		}
	}
	if f.forgetSession {
		return
	}
	attributes := about.at("session").at("attributes")
	if len(f.id.attributes) > 0 {
		s := about.need("session", '{')
		if s == nil {
			return
		}
		attributes = s.need("attributes", '{')
	}
	if !attributes.isObject() {
		return
	}
	var kept []member
	for _, a := range f.id.attributes {
		kept = append(kept, member{quotedNode(a.onLog()).raw, a.onLog(), quotedNode(a.value)})
	}
	for _, m := range attributes.members {
		mine := f.id.claimsSession(m.key)
		if f.keepSessionLookalikes {
			mine = mine && asWritten(m.key) == m.key
		}
		if !mine {
			kept = append(kept, m)
		}
	}
	attributes.members = kept
}

func (f *fake) changeResource(one *node, app string) {
	if one.isNull() {
		*one = node{kind: '{'}
	}
	if one.kind != '{' {
		return
	}
	resource := one.need("resource", '{')
	if resource == nil {
		return
	}
	attributes := resource.need("attributes", '[')
	if attributes == nil {
		return
	}
	var kept []*node
	for _, a := range attributes.items {
		key := a.at("key").text()
		mine := f.id.claimsResource(key)
		if f.keepOtherK8s {
			mine = mine && (key == "k8s.namespace.name" || !strings.HasPrefix(key, "k8s."))
		}
		if f.keepDotless {
			mine = mine && strings.Contains(key, ".")
		}
		if !mine || f.keepForged {
			kept = append(kept, a)
		}
	}
	for _, a := range f.id.onResource(app) {
		key, value := quotedNode(a.key).raw, quotedNode(a.value).raw
		kept = append(kept, parse([]byte(`{"key":`+string(key)+`,"value":{"stringValue":`+string(value)+`}}`)))
	}
	attributes.items = kept
}

// spoilNumbers does to scalars what a tree library would.
func (f *fake) spoilNumbers(n *node) {
	for _, m := range n.members {
		f.spoilNumbers(m.value)
	}
	for _, item := range n.items {
		f.spoilNumbers(item)
	}
	if n.kind == '"' && f.unescape {
		n.raw = []byte(strings.ReplaceAll(string(n.raw), `\u`, `u`))
	}
	if value, err := strconv.ParseFloat(string(n.raw), 64); n.kind == 0 && f.roundNumbers && err == nil {
		n.raw = []byte(strconv.FormatFloat(value, 'f', -1, 64))
	}
}

const oracleRuns = 20000

// forEachGenerated tries generated bodies with all identities until f is false.
func forEachGenerated(runs int, f func(id *identity, body []byte) bool) {
	var generators []*generator
	for i, id := range identities {
		generators = append(generators, newGenerator(uint64(i), id))
	}
	for i := 0; i < runs; i++ {
		g := generators[i%len(generators)]
		if !f(g.id, g.next()) {
			return
		}
	}
}

func TestOracle_RightLabeller_Passes(t *testing.T) {
	var sum tally
	forEachGenerated(oracleRuns, func(id *identity, body []byte) bool {
		by := newFake(id)
		if err := verify(id, by, body, &sum); err != nil {
			small := shrink(body, func(b []byte) bool { return verify(id, by, b, new(tally)) != nil })
			t.Errorf("identity %q: %v\n%s\nsmall: %v\n%q", id.name, err, body, verify(id, by, small, new(tally)), small)
			return false
		}
		return true
	})
	t.Log(&sum)
	// The oracle is worth what it gets to see.
	if sum.labelled*2 < sum.bodies || sum.lines < sum.bodies/4 || sum.spans < sum.bodies/4 || sum.fair < sum.bodies/20 {
		t.Errorf("too little of what is generated reaches the assertions: %v", &sum)
	}
}

func TestOracle_WrongLabeller_IsFound(t *testing.T) {
	foldsNothing := func(m member, name string) bool { return m.key == name }
	foldsASCII := func(m member, name string) bool {
		return len(m.key) == len(name) && strings.EqualFold(m.key, name)
	}
	foldsRaw := func(m member, name string) bool {
		return strings.EqualFold(string(m.raw), `"`+name+`"`)
	}
	spanRule := func(isGood func(span *node) bool) func(f *fake) {
		return func(f *fake) { f.isGoodSpan = isGood }
	}
	but := func(name string) func(f *fake) { // without looking at this member of a span
		return spanRule(func(span *node) bool {
			if !span.isObject() {
				return isGoodSpan(span)
			}
			seen := *span
			seen.members = slices.DeleteFunc(slices.Clone(span.members), func(m member) bool { return m.key == name })
			return isGoodSpan(&seen)
		})
	}
	for fault, inject := range map[string]func(f *fake){
		"keeps every span":                        spanRule(func(*node) bool { return true }),
		"removes every span":                      spanRule(func(*node) bool { return false }),
		"keeps what is no object among the spans": spanRule(func(span *node) bool { return !span.isObject() || isGoodSpan(span) }),
		"keeps ids of zeros": spanRule(func(span *node) bool {
			return isGoodSpan(span) || zeroForm.Match(span.at("traceId").raws()) || zeroForm.Match(span.at("spanId").raws())
		}),
		"looks at no parent":                      but("parentSpanId"),
		"looks at no links":                       but("links"),
		"does not know trace_id":                  but("trace_id"),
		"does not know parent_span_id":            but("parent_span_id"),
		"forgets deprecatedScopeSpans":            func(f *fake) { f.forgetDeprecated = true },
		"counts no bad spans":                     func(f *fake) { f.forgetBadSpans = true },
		"forgets spans":                           func(f *fake) { f.forgetSpans = true },
		"labels the first resource only":          func(f *fake) { f.onlyFirstResource = true },
		"does not know resource_spans":            func(f *fake) { f.forgetSnakeCase = true },
		"keeps the browser's resource labels":     func(f *fake) { f.keepForged = true },
		"keeps the browser's k8s.pod.name":        func(f *fake) { f.keepOtherK8s = true },
		"folds no case":                           func(f *fake) { f.names.isName = foldsNothing },
		"folds ASCII only":                        func(f *fake) { f.names.isName = foldsASCII },
		"compares keys with their escapes":        func(f *fake) { f.names.isName = foldsRaw },
		"keeps duplicates":                        func(f *fake) { f.names.repeatable = true },
		"keeps empty keys":                        func(f *fake) { f.keepEmptyKeys = true },
		"keeps reserved names":                    func(f *fake) { f.keepReserved = true },
		"keeps lookalikes of reserved names":      func(f *fake) { f.keepReservedLookalikes = true },
		"keeps the name of a label without value": func(f *fake) { f.keepUnset = true },
		"removes every value named app_":          func(f *fake) { f.removeAllApp = true },
		"keeps meta.geo":                          func(f *fake) { f.keepGeo = true },
		"lets the browser rename the service":     func(f *fake) { f.keepServiceName = true },
		"removes all overrides":                   func(f *fake) { f.removeOverrides = true },
		"loses the measurement with a value":      func(f *fake) { f.removeMeasurement = true },
		"keeps lookalikes among the session's":    func(f *fake) { f.keepSessionLookalikes = true },
		"forgets the session":                     func(f *fake) { f.forgetSession = true },
		"lets the browser choose any name":        func(f *fake) { f.trustApp = true },
		"keeps the browser's environment":         func(f *fake) { f.keepEnvironment = true },
		"overwrites the version":                  func(f *fake) { f.overwriteVersion = true },
		"loses a log":                             func(f *fake) { f.loseLog = true },
		"rounds numbers":                          func(f *fake) { f.roundNumbers = true },
		"changes escapes":                         func(f *fake) { f.unescape = true },
		"counts by what the text looks like":      func(f *fake) { f.miscount = true },
		"counts no spoofs":                        func(f *fake) { f.forgetSpoofs = true },
		"refuses what is fine":                    func(f *fake) { f.refuseUser = true },
		"takes invalid UTF-8":                     func(f *fake) { f.isLax = true },
		"stamps nothing of the request":           func(f *fake) { f.forgetFacts = true },
		"stamps in spite of the opt-out":          func(f *fake) { f.ignoreOptOut = true },
		"keeps the names of what is not stamped":  func(f *fake) { f.keepUnstamped = true },
		"keeps a resource's client_address":       func(f *fake) { f.keepDotless = true },
	} {
		t.Run(strings.ReplaceAll(fault, " ", "_"), func(t *testing.T) {
			found, after := error(nil), 0
			forEachGenerated(10*oracleRuns, func(id *identity, body []byte) bool {
				after++
				wrong := newFake(id)
				inject(wrong)
				found = verify(id, wrong, body, new(tally))
				return found == nil
			})
			if found == nil {
				t.Fatalf("not found in %d bodies", after)
			}
			t.Logf("after %d bodies: %v", after, found)
		})
	}
}
