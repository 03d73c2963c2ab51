// SPDX-License-Identifier: Apache-2.0

package receiver

import (
	"bytes"
	"fmt"
	"reflect"

	"github.com/go-logfmt/logfmt"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/ptrace"
)

// outcome is what a labeller made of a body.
type outcome struct {
	refusal string // "" for accepted, else the reason label: bad_json, ambiguous_key
	offset  int
	detail  string

	output   []byte
	counts   counts
	spoofed  int
	badSpans int
}

// labeller is the C code, or a test's stand-in for it.
type labeller interface {
	label(body []byte) outcome
}

// tally says how much of what was tried reached the assertions that matter.
type tally struct {
	bodies, received, labelled int // all; accepted by the receiver as they came; by the labeller
	healed                     int // refused as they came, accepted as labelled
	lines, spans               int // looked at in what was labelled
	badJSON, ambiguous, fair   int // refusals; of those, bodies that the receiver would take
	removed, badSpans          int // claims and spans that were taken out
}

func (t *tally) add(o *tally) {
	t.bodies += o.bodies
	t.received += o.received
	t.labelled += o.labelled
	t.healed += o.healed
	t.lines += o.lines
	t.spans += o.spans
	t.badJSON += o.badJSON
	t.ambiguous += o.ambiguous
	t.removed += o.removed
	t.badSpans += o.badSpans
	t.fair += o.fair
}

func (t *tally) String() string {
	return fmt.Sprintf("%d bodies: the receiver takes %d as they came, %d were labelled (%d only thanks to"+
		" that), %d claims and %d spans removed, %d log lines and %d spans looked at; refused: %d bad_json, %d"+
		" ambiguous_key, of which the receiver would have taken %d",
		t.bodies, t.received, t.labelled, t.healed, t.removed, t.badSpans, t.lines, t.spans, t.badJSON, t.ambiguous, t.fair)
}

// verify runs one body through the labeller and returns the rule that was broken, or nil.
func verify(id *identity, by labeller, body []byte, t *tally) error {
	did := by.label(body)
	came, comeErr := receive(body)
	t.bodies++
	if comeErr == nil {
		t.received++
	}
	if did.refusal != "" {
		if comeErr == nil {
			t.fair++
		}
		return verifyRefusal(body, &did, comeErr == nil, t)
	}
	t.labelled++
	if !isStrict(body) {
		return fmt.Errorf("accepted, but it is not one strict JSON object")
	}
	if !isStrict(did.output) {
		return fmt.Errorf("the output is not strict JSON")
	}
	// From here on, what came is what came without the parts that the rules remove.
	rest := parse(body)
	gone := id.remove(rest)
	t.removed += gone.claims
	t.badSpans += gone.spans
	came, comeErr = receive(rest.bytes())
	went, err := receive(did.output)
	if err != nil {
		if comeErr == nil {
			return fmt.Errorf("the receiver takes the body but not the output: %w", err)
		}
		return nil
	}
	claim := came.Meta.App.Name
	if comeErr != nil {
		// The decoder may have stopped before the name: any allowed one will do.
		t.healed++
		claim = went.Meta.App.Name
	}
	if did.badSpans != gone.spans {
		return fmt.Errorf("%d bad spans counted, not %d", did.badSpans, gone.spans)
	}
	if did.counts != went.counts() {
		return fmt.Errorf("the labeller counts %+v, the receiver %+v", did.counts, went.counts())
	}
	id = id.of(went.Meta.Session.Overrides.optedOut)
	app := id.appFor(claim)
	if went.Meta.Geo != nil {
		return fmt.Errorf("the browser says where it is: %v", went.Meta.Geo)
	}
	if name := went.Meta.Session.Overrides.ServiceName; name != nil {
		if text, ok := name.(string); !ok || !id.allows(text) {
			return fmt.Errorf("the browser renames the service to %v", name)
		}
	}
	if err := verifyLines(id, app, went, t); err != nil {
		return err
	}
	if err := verifyResources(id, app, went, t); err != nil {
		return err
	}
	if did.spoofed < gone.claims {
		return fmt.Errorf("%d claims counted, and %d were removed", did.spoofed, gone.claims)
	}
	if err := verifySpoofs(id, came, did.spoofed-gone.claims); err != nil && comeErr == nil {
		return err
	}
	if comeErr != nil {
		return nil // there is no reading of the body to compare with
	}
	return verifyRest(id, came, went)
}

// verifyLeftOut looks at the labels alone, of a body of which the settings left something out: what that was
// must not bring a forged one back.
func verifyLeftOut(id *identity, by labeller, body []byte, t *tally) error {
	did := by.label(body)
	t.bodies++
	if did.refusal != "" {
		return nil // verify() has an opinion on that
	}
	t.labelled++
	if !isStrict(did.output) {
		return fmt.Errorf("the output is not strict JSON")
	}
	went, err := receive(did.output)
	if err != nil {
		if _, comeErr := receive(body); comeErr == nil {
			return fmt.Errorf("the receiver takes the body but not the output: %w", err)
		}
		return nil
	}
	id = id.of(went.Meta.Session.Overrides.optedOut)
	if !id.allows(went.Meta.App.Name) {
		return fmt.Errorf("the app is %q", went.Meta.App.Name)
	}
	if went.Meta.Geo != nil {
		return fmt.Errorf("the browser says where it is: %v", went.Meta.Geo)
	}
	if err := verifyLines(id, went.Meta.App.Name, went, t); err != nil {
		return err
	}
	return verifyResources(id, went.Meta.App.Name, went, t)
}

// verifyRefusal holds a refusal of what the receiver would take against the rules.
func verifyRefusal(body []byte, did *outcome, received bool, t *tally) error {
	if did.offset < 0 || did.offset > len(body) {
		return fmt.Errorf("refused at byte %d of %d", did.offset, len(body))
	}
	if did.detail == "" {
		return fmt.Errorf("refused without a word")
	}
	strict := isStrict(body)
	allowed := false
	switch did.refusal {
	case "bad_json":
		t.badJSON++
		allowed = !strict
	case "ambiguous_key":
		t.ambiguous++
		allowed = !strict || mayBeAmbiguous(parse(body))
	default:
		return fmt.Errorf("refused for a reason outside of the rules: %s", did.refusal)
	}
	if received && !allowed {
		return fmt.Errorf("refused as %s at byte %d (%s), which no rule asks for", did.refusal, did.offset, did.detail)
	}
	return nil
}

// wanted is a key that may stand once at most in a log line, and what it must say there.
type wanted struct {
	key, value string
	shown      string // the key as a query has it
	seen       int
}

func (w *wanted) verify(kind string) error {
	if w.seen > 1 {
		return fmt.Errorf("%s line: %s comes %d times", kind, w.key, w.seen)
	}
	if w.seen == 0 && w.value != "" {
		return fmt.Errorf("%s line: no %s", kind, w.key)
	}
	return nil
}

// verifyLines reads each log line back with the logfmt decoder.
func verifyLines(id *identity, app string, p *payload, t *tally) (failed error) {
	keys := []wanted{
		{key: "kind"}, {key: "app_name", value: app}, {key: "app_namespace", value: id.namespace},
		{key: "app_environment", value: id.environment},
	}
	for _, a := range id.attributes {
		keys = append(keys, wanted{key: "session_attr_" + a.onLog(), value: a.value})
	}
	for _, f := range id.request {
		if !id.stamps(f) {
			keys = append(keys, wanted{key: "session_attr_" + f.onLog()})
		}
	}
	for i := range keys {
		keys[i].shown = asQueried(keys[i].key)
	}
	for _, m := range p.Measurements {
		for name := range m.Values {
			if id.isReserved(name) {
				return fmt.Errorf("a measurement has a value called %q", name)
			}
		}
	}
	p.eachLine(func(kind string, l *line) {
		t.lines++
		if failed == nil {
			keys[0].value = kind
			failed = verifyLine(kind, keys, l)
		}
	})
	return failed
}

func verifyLine(kind string, keys []wanted, l *line) error {
	for i := range keys {
		keys[i].seen = 0
		// What extra_log_labels would take as the Loki label of the same name.
		if label, _ := l.get(keys[i].key); keys[i].value != "" && label != keys[i].value {
			return fmt.Errorf("%s line: the label %s would be %v", kind, keys[i].key, label)
		}
	}
	// A line of JSON has the keys as they are.
	for at, key := range l.keys {
		shown := asQueried(key)
		for i := range keys {
			if shown == keys[i].shown && l.values[at] != keys[i].value {
				return fmt.Errorf("%s line: in JSON %q=%v, not %q", kind, key, l.values[at], keys[i].value)
			}
		}
	}
	text, err := l.encode()
	if err != nil {
		return nil // the receiver drops the line: a value's name consists of dropped characters only
	}
	decoder := logfmt.NewDecoderSize(bytes.NewReader(text), len(text)+2)
	for decoder.ScanRecord() {
		for decoder.ScanKeyval() {
			key := decoder.Key()
			shown := asQueried(string(key))
			for i := range keys {
				if shown != keys[i].shown {
					continue
				}
				keys[i].seen++
				if string(decoder.Value()) != keys[i].value {
					return fmt.Errorf("%s line: %s=%q, not %q", kind, key, decoder.Value(), keys[i].value)
				}
			}
		}
	}
	if decoder.Err() != nil {
		return fmt.Errorf("%s line cannot be read back: %w", kind, decoder.Err())
	}
	for i := range keys {
		if err := keys[i].verify(kind); err != nil {
			return err
		}
	}
	return nil
}

// verifyResources looks at every resource that has spans, and at those without that say anything.
func verifyResources(id *identity, app string, p *payload, t *tally) error {
	if p.Traces == nil {
		return nil
	}
	want := id.onResource(app)
	all := p.Traces.spans.ResourceSpans()
	for i := 0; i < all.Len(); i++ {
		spans := spansOf(all.At(i))
		t.spans += spans
		attributes := all.At(i).Resource().Attributes()
		if spans == 0 && attributes.Len() == 0 {
			continue // nothing will ever be stored under it
		}
		if err := verifyResource(id, want, attributes); err != nil {
			return fmt.Errorf("resource %d: %w", i, err)
		}
		if err := verifyIDs(all.At(i)); err != nil {
			return fmt.Errorf("resource %d: %w", i, err)
		}
	}
	return nil
}

// verifyIDs looks for what makes Tempo refuse a whole push.
func verifyIDs(resource ptrace.ResourceSpans) error {
	for i := 0; i < resource.ScopeSpans().Len(); i++ {
		spans := resource.ScopeSpans().At(i).Spans()
		for k := 0; k < spans.Len(); k++ {
			if spans.At(k).TraceID().IsEmpty() || spans.At(k).SpanID().IsEmpty() {
				return fmt.Errorf("a span has the ids %s and %s", spans.At(k).TraceID(), spans.At(k).SpanID())
			}
		}
	}
	return nil
}

func spansOf(resource ptrace.ResourceSpans) int {
	n := 0
	for i := 0; i < resource.ScopeSpans().Len(); i++ {
		n += resource.ScopeSpans().At(i).Spans().Len()
	}
	return n
}

func verifyResource(id *identity, want []attribute, attributes pcommon.Map) error {
	seen := make([]int, len(want))
	for key, value := range attributes.All() {
		if !id.claimsResource(key) {
			continue
		}
		known := false
		for i := range want {
			if want[i].key != key {
				continue
			}
			known = true
			seen[i]++
			if value.Type() != pcommon.ValueTypeStr || value.Str() != want[i].value {
				return fmt.Errorf("%s is %s %q, not %q", key, value.Type(), value.AsString(), want[i].value)
			}
		}
		if !known {
			return fmt.Errorf("the browser's %s is still there", key)
		}
	}
	for i := range want {
		if seen[i] > 1 || seen[i] == 0 && want[i].value != "" {
			return fmt.Errorf("%s comes %d times", want[i].key, seen[i])
		}
	}
	return nil
}

// verifySpoofs holds the count of changed claims against what can be said without its exact rule:
// somebody else's name is to be counted, and where nothing had to change there is nothing to count.
func verifySpoofs(id *identity, came *payload, counted int) error {
	forged := false // for certain
	honest := true  // for certain
	note := func(value, trusted string) {
		forged = forged || value != "" && value != trusted
		honest = honest && (value == "" || value == trusted)
	}
	note(came.Meta.App.Name, id.appFor(came.Meta.App.Name))
	note(came.Meta.App.Namespace, id.namespace)
	note(came.Meta.App.Environment, id.environment)
	for key := range came.Meta.Session.Attributes {
		honest = honest && !id.claimsSession(key)
	}
	if came.Traces != nil {
		all := came.Traces.spans.ResourceSpans()
		want := id.onResource(id.appFor(came.Meta.App.Name))
		for i := 0; i < all.Len(); i++ {
			for key, value := range all.At(i).Resource().Attributes().All() {
				if !id.claimsResource(key) {
					continue
				}
				honest = false // the same value in an odd form counts too
				for _, a := range want {
					if a.key == key && value.Type() == pcommon.ValueTypeStr {
						note(value.Str(), a.value)
					}
				}
			}
		}
	}
	if forged && counted == 0 {
		return fmt.Errorf("a forged claim was not counted")
	}
	if honest && counted > 0 {
		return fmt.Errorf("%d spoofs counted where nothing had to change", counted)
	}
	return nil
}

// verifyRest compares two readings in all but the labels.
func verifyRest(id *identity, came, went *payload) error {
	version := came.Meta.App.Version
	if version == "" {
		version = id.version
	}
	if went.Meta.App.Version != version {
		return fmt.Errorf("app version %q, not %q", went.Meta.App.Version, version)
	}
	if (came.Traces == nil) != (went.Traces == nil) {
		return fmt.Errorf("traces came or went")
	}
	if came.Traces != nil {
		before, after := id.withoutLabels(came.Traces.spans), id.withoutLabels(went.Traces.spans)
		if !bytes.Equal(before, after) {
			return fmt.Errorf("traces differ in more than the labels")
		}
	}
	for _, p := range []*payload{came, went} {
		p.Traces = nil
		p.Meta.App.Name, p.Meta.App.Namespace, p.Meta.App.Environment, p.Meta.App.Version = "", "", "", ""
		for key := range p.Meta.Session.Attributes {
			if id.claimsSession(key) {
				delete(p.Meta.Session.Attributes, key)
			}
		}
		if len(p.Meta.Session.Attributes) == 0 {
			p.Meta.Session.Attributes = nil // {} and nothing at all are one to the receiver
		}
	}
	if !reflect.DeepEqual(came, went) {
		return fmt.Errorf("more than the labels differs: %s", firstDifference(came, went))
	}
	return nil
}

// withoutLabels takes the labels out and writes the rest as protobuf, the form in which Alloy passes
// it on; two traces without labels are the same when these bytes are.
func (id *identity) withoutLabels(spans ptrace.Traces) []byte {
	all := spans.ResourceSpans()
	for i := 0; i < all.Len(); i++ {
		all.At(i).Resource().Attributes().RemoveIf(func(key string, _ pcommon.Value) bool {
			return id.claimsResource(key)
		})
	}
	encoder := ptrace.ProtoMarshaler{}
	out, err := encoder.MarshalTraces(spans)
	if err != nil {
		panic(err)
	}
	return out
}

func firstDifference(came, went *payload) string {
	a, b := reflect.ValueOf(*came), reflect.ValueOf(*went)
	for i := 0; i < a.NumField(); i++ {
		if x, y := a.Field(i).Interface(), b.Field(i).Interface(); !reflect.DeepEqual(x, y) {
			return fmt.Sprintf("%+v became %+v", x, y)
		}
	}
	return "nothing"
}
