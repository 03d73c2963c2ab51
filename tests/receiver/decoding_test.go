// SPDX-License-Identifier: Apache-2.0

package receiver

import (
	"fmt"
	"strings"
	"testing"

	"github.com/go-logfmt/logfmt"
)

// The habits of the real decoders that the label rules answer to. When a version of the collector's
// decoder, of the logfmt encoder or of Go moves, this says which rule to look at again.

// seen is a reading in short: what a case looks at, as one text.
type seen func(p *payload) string

func meaning(f func(m *meta) string) seen { return func(p *payload) string { return f(&p.Meta) } }

var (
	appOf  = meaning(func(m *meta) string { return fmt.Sprintf("%s/%s", m.App.Name, m.App.Namespace) })
	logsOf = seen(func(p *payload) string {
		var all []string
		for _, l := range p.Logs {
			all = append(all, l.Message+"/"+l.Level)
		}
		return strings.Join(all, " ")
	})
	spansOfAll = seen(func(p *payload) string {
		if p.Traces == nil {
			return "none"
		}
		var all []string
		list := p.Traces.spans.ResourceSpans()
		for i := 0; i < list.Len(); i++ {
			text := ""
			for key, value := range list.At(i).Resource().Attributes().All() {
				text += key + "=" + value.AsString() + " "
			}
			all = append(all, fmt.Sprintf("%s%d", text, spansOf(list.At(i))))
		}
		return strings.Join(all, "; ")
	})
)

func deep(levels int) string {
	return `{"x":` + strings.Repeat("[", levels-1) + strings.Repeat("]", levels-1) + `}`
}

const (
	rsA       = `{"resource":{"attributes":[{"key":"service.name","value":{"stringValue":"a"}}]},"scopeSpans":[{"spans":[{}]}]}`
	rsB       = `{"resource":{"attributes":[{"key":"service.name","value":{"stringValue":"b"}}]},"scopeSpans":[{"spans":[{},{}]}]}`
	attrB     = `{"attributes":[{"key":"service.name","value":{"stringValue":"b"}}]}`
	refused   = "\x00refused"
	someSpans = `"scopeSpans":[{"spans":[{}]}]`
)

func TestDecoding(t *testing.T) {
	for _, c := range []struct {
		why, body string
		look      seen
		want      string
	}{
		// Names fold case, and the last one wins.
		{"ASCII case", `{"meta":{"app":{"name":"a"}},"META":{"App":{"NAME":"b"}}}`, appOf, "b/"},
		{"an escape", `{"m\u0065ta":{"app":{"n\u0061me":"b"}}}`, appOf, "b/"},
		{"U+017F is s", "{\"meta\":{\"app\":{\"namespace\":\"a\",\"name\u017fpace\":\"b\"}}}", appOf, "/b"},
		{"U+017F, escaped", `{"meta":{"app":{"name\u017fpace":"b"}}}`, appOf, "/b"},
		{"U+212A is k", "{\"meta\":{\"app\":{\"name\":\"a\"}},\"logs\":[{\"message\":\"m\",\"\u212aind\":1}]}", logsOf, "m/"},
		{"a first spelling does not win", `{"META":{"app":{"name":"b"}},"meta":{"app":{"name":"a"}}}`, appOf, "a/"},
		{"session attributes do not fold", `{"meta":{"session":{"attributes":{"Team":"b","team":"a"}}}}`,
			meaning(func(m *meta) string { return fmt.Sprint(m.Session.Attributes) }), "map[Team:b team:a]"},
		// Repeats.
		{"meta twice is merged", `{"meta":{"app":{"name":"a"}},"meta":{"app":{"namespace":"n"}}}`, appOf, "a/n"},
		{"logs twice are merged by index", `{"logs":[{"message":"a"},{"message":"b"}],"logs":[{"level":"x"}]}`, logsOf, "a/x"},
		{"traces twice: replaced", `{"traces":{"resourceSpans":[` + rsA + `]},"traces":{"resourceSpans":[` + rsB + `]}}`,
			spansOfAll, "service.name=b 2"},
		{"a repeated key in a map", `{"meta":{"session":{"attributes":{"a":"1","a":"2"}}}}`,
			meaning(func(m *meta) string { return m.Session.Attributes["a"] }), "2"},
		// null.
		{"null app", `{"meta":{"app":{"name":"a"},"app":null}}`, appOf, "a/"},
		{"null name", `{"meta":{"app":{"name":"a","name":null}}}`, appOf, "a/"},
		{"null traces", `{"traces":null}`, spansOfAll, "none"},
		{"null in a list is an item", `{"logs":[null]}`, logsOf, "/"},
		// Around the one value.
		{"a second value", `{"meta":{"app":{"name":"a"}}}{"meta":{"app":{"name":"b"}}}`, appOf, "a/"},
		{"garbage after it", `{"meta":{"app":{"name":"a"}}}]]`, appOf, "a/"},
		{"a byte order mark", "\xef\xbb\xbf{}", appOf, refused},
		{"an array", `[]`, appOf, refused},
		{"nothing", ``, appOf, refused},
		{"null is an empty body", `null`, appOf, "/"},
		{"depth 10000", deep(10000), appOf, "/"},
		{"depth 10001", deep(10001), appOf, refused},
		// Strings.
		{"invalid UTF-8", "{\"meta\":{\"app\":{\"name\":\"a\xffb\"}}}", appOf, "a\ufffdb/"},
		{"a lone surrogate", `{"meta":{"app":{"name":"a\ud800b"}}}`, appOf, "a\ufffdb/"},
		{"a NUL", `{"meta":{"app":{"name":"a\u0000b"}}}`, appOf, "a\x00b/"},
		// Types.
		{"an unknown field", `{"meta":{"k8s":{"namespace":1}},"x":[]}`, appOf, "/"},
		{"a number for a string", `{"meta":{"app":{"name":1}}}`, appOf, refused},
		{"a nested session attribute", `{"meta":{"session":{"attributes":{"a":{}}}}}`, appOf, refused},
		{"a null session attribute", `{"meta":{"session":{"attributes":{"a":null}}}}`, appOf, "/"},
		{"lineno 1", `{"exceptions":[{"stacktrace":{"frames":[{"lineno":1}]}}]}`, appOf, "/"},
		{"lineno 1.0", `{"exceptions":[{"stacktrace":{"frames":[{"lineno":1.0}]}}]}`, appOf, refused},
		{`lineno "1"`, `{"exceptions":[{"stacktrace":{"frames":[{"lineno":"1"}]}}]}`, appOf, refused},
		{"a context that is not text", `{"logs":[{"context":{"a":1}}]}`, appOf, refused},
		{"1e400", `{"measurements":[{"values":{"a":1e400}}]}`, appOf, refused},
		// Traces: exact case, two spellings, repeats appended.
		{"case does not fold", `{"traces":{"ResourceSpans":[` + rsA + `]}}`, spansOfAll, ""},
		{"both spellings", `{"traces":{"resourceSpans":[` + rsA + `],"resource_spans":[` + rsB + `]}}`, spansOfAll,
			"service.name=a 1; service.name=b 2"},
		{"resourceSpans twice", `{"traces":{"resourceSpans":[` + rsA + `],"resourceSpans":[` + rsB + `]}}`, spansOfAll,
			"service.name=a 1; service.name=b 2"},
		{"resource twice", `{"traces":{"resourceSpans":[` + strings.TrimSuffix(rsA, "}") + `,"resource":` + attrB + `}]}}`,
			spansOfAll, "service.name=a service.name=b 1"},
		{"an escape in a key", `{"traces":{"resource\u0053pans":[` + rsA + `]}}`, spansOfAll, "service.name=a 1"},
		{"an escape in an attribute's key", `{"traces":{"resourceSpans":[{"resource":{"attributes":[{"key":"service\u002ename"}]}}]}}`,
			spansOfAll, "service.name= 0"},
		{"the key of an attribute twice", `{"traces":{"resourceSpans":[{"resource":{"attributes":[{"key":"x","key":"service.name"}]}}]}}`,
			spansOfAll, "service.name= 0"},
		{"null at every level", `{"traces":{"resourceSpans":[null,{"resource":null,"scopeSpans":null},{"resource":{"attributes":null}},` +
			`{"resource":{"attributes":[null]}}]}}`, spansOfAll, "0; 0; 0; = 0"},
		{"an empty key ends an object", `{"traces":{"resourceSpans":[{"":0,"resource":` + attrB + `,` + someSpans + `}]}}`,
			spansOfAll, refused},
		{"an empty key loses what follows", `{"traces":{"":{},"resourceSpans":[` + rsA + `]}}`, spansOfAll, ""},
		{"an empty key hides what follows it", `{"traces":{"resourceSpans":[{"":[],` + someSpans + `}]}}`, spansOfAll, "0"},
		{"deprecatedScopeSpans alone", `{"traces":{"resourceSpans":[{"deprecatedScopeSpans":[{"spans":[{},{}]}]}]}}`, spansOfAll, "2"},
		{"deprecatedScopeSpans beside an empty list", `{"traces":{"resourceSpans":[{"scopeSpans":[],"deprecated_scope_spans":[{"spans":[{}]}]}]}}`, spansOfAll, "1"},
		{"deprecatedScopeSpans beside others", `{"traces":{"resourceSpans":[{"deprecatedScopeSpans":[{"spans":[{},{}]}],` + someSpans + `}]}}`, spansOfAll, "1"},
		{"instrumentationLibrarySpans are unknown", `{"traces":{"resourceSpans":[{"instrumentationLibrarySpans":[{"spans":[{}]}]}]}}`, spansOfAll, "0"},
		{"intValue as text and number", `{"traces":{"resourceSpans":[{"resource":{"attributes":[{"key":"a","value":{"intValue":"1"}},` +
			`{"key":"b","value":{"int_value":1}}]}}]}}`, spansOfAll, "a=1 b=1 0"},
	} {
		p, err := receive([]byte(c.body))
		got := refused
		if err == nil {
			got = c.look(p)
		}
		if got != c.want {
			t.Errorf("%s: %q, not %q (%v)\n%.300s", c.why, got, c.want, err, c.body)
		}
	}
}

// Which bytes of a key reach the line, and that two keys can become one.
func TestLogfmtKeys(t *testing.T) {
	for r := rune(0); r < 0x3000; r++ {
		key := "a" + string(r) + "b"
		text, err := logfmt.MarshalKeyvals(key, "v")
		if err != nil {
			t.Fatalf("%q: %v", key, err)
		}
		if want := asWritten(key) + "=v"; string(text) != want {
			t.Errorf("%q is written %q, not %q", key, text, want)
		}
	}
	if got := asWritten("a\x00 =\"\x7f\ufffd\u0085\u00a0b"); got != "a\u0085\u00a0b" {
		t.Errorf("%q", got)
	}
	if _, err := logfmt.MarshalKeyvals(" =", "v"); err == nil {
		t.Error("a key of dropped characters only is written")
	}
}

func lineOf(t *testing.T, body string) string {
	t.Helper()
	p, err := receive([]byte(body))
	if err != nil {
		t.Fatal(err)
	}
	var text []byte
	p.eachLine(func(_ string, l *line) {
		if text, err = l.encode(); err != nil {
			t.Fatal(err)
		}
	})
	return string(text)
}

// What makes a measurement's values dangerous: their names stand in the line as they are.
func TestLine_MeasurementValues_Overwrite(t *testing.T) {
	for _, c := range []struct{ why, body, part string }{
		{"kind", `{"measurements":[{"values":{"kind":1}}]}`, " kind=1.000000 "},
		{"a trusted value that is set wins", `{"measurements":[{"values":{"app_name":1}}],"meta":{"app":{"name":"shop"}}}`, " app_name=shop "},
		{"one that is empty does not", `{"measurements":[{"values":{"app_namespace":1}}],"meta":{"app":{"name":"shop"}}}`, " app_namespace=1.000000 "},
		{"a lookalike stands beside it", `{"measurements":[{"values":{"app_ name":1}}],"meta":{"app":{"name":"shop"}}}`, " app_name=1.000000 "},
		{"and once more with its prefix", `{"measurements":[{"values":{"kind":1}}]}`, " value_kind=1 "},
		{"session attributes", `{"events":[{"name":"x"}],"meta":{"session":{"attributes":{"te am":"b"}}}}`, " session_attr_team=b "},
	} {
		if got := lineOf(t, c.body); !strings.Contains(got+" ", c.part) {
			t.Errorf("%s: no %q in %s", c.why, c.part, got)
		}
	}
}
