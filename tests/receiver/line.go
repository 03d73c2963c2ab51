// SPDX-License-Identifier: Apache-2.0

package receiver

import (
	"fmt"
	"hash/fnv"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/go-logfmt/logfmt"
)

// line is one log line before it is encoded: pairs in the order in which their keys first came. To
// set a key again replaces its value in place, which is how one pair can hide another.
type line struct {
	keys   []string
	values []any
}

func (l *line) set(key string, value any) {
	if at := slices.Index(l.keys, key); at >= 0 {
		l.values[at] = value
		return
	}
	l.keys = append(l.keys, key)
	l.values = append(l.values, value)
}

// text leaves an empty value out altogether, as the receiver does: where a trusted value is empty,
// nothing of ours stands in the way of a forged pair with that key.
func (l *line) text(key, value string) {
	if value != "" {
		l.set(key, value)
	}
}

func (l *line) texts(prefix string, values map[string]string) {
	for _, key := range sortedKeys(values) {
		l.text(prefix+key, values[key])
	}
}

func (l *line) get(key string) (any, bool) {
	if at := slices.Index(l.keys, key); at >= 0 {
		return l.values[at], true
	}
	return nil, false
}

func (l *line) merge(other *line) {
	for i, key := range other.keys {
		l.set(key, other.values[i])
	}
}

func (l *line) encode() ([]byte, error) {
	pairs := make([]any, 0, 2*len(l.keys))
	for i, key := range l.keys {
		pairs = append(pairs, key, l.values[i])
	}
	return logfmt.MarshalKeyvals(pairs...)
}

func sortedKeys[V any](values map[string]V) []string {
	if len(values) == 0 {
		return nil
	}
	keys := make([]string, 0, len(values))
	for key := range values {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	return keys
}

func (m *meta) line() *line {
	l := &line{keys: make([]string, 0, 24), values: make([]any, 0, 24)}
	l.text("sdk_name", m.SDK.Name)
	l.text("sdk_version", m.SDK.Version)
	if len(m.SDK.Integrations) > 0 {
		names := make([]string, len(m.SDK.Integrations))
		for i, used := range m.SDK.Integrations {
			names[i] = used.Name + ":" + used.Version
		}
		l.text("sdk_integrations", strings.Join(names, ","))
	}
	l.text("app_name", m.App.Name)
	l.text("app_namespace", m.App.Namespace)
	l.text("app_release", m.App.Release)
	l.text("app_version", m.App.Version)
	l.text("app_environment", m.App.Environment)
	l.text("user_email", m.User.Email)
	l.text("user_id", m.User.ID)
	l.text("user_username", m.User.Username)
	l.texts("user_attr_", m.User.Attributes)
	l.text("session_id", m.Session.ID)
	l.texts("session_attr_", m.Session.Attributes)
	l.text("page_id", m.Page.ID)
	l.text("page_url", m.Page.URL)
	l.texts("page_attr_", m.Page.Attributes)
	l.text("browser_name", m.Browser.Name)
	l.text("browser_version", m.Browser.Version)
	l.text("browser_os", m.Browser.OS)
	l.text("browser_mobile", strconv.FormatBool(m.Browser.Mobile))
	l.text("browser_userAgent", m.Browser.UserAgent)
	l.text("browser_language", m.Browser.Language)
	l.text("browser_viewportWidth", m.Browser.ViewportWidth)
	l.text("browser_viewportHeight", m.Browser.ViewportHeight)
	l.text("view_name", m.View.Name)
	return l
}

func (t traceContext) addTo(l *line) {
	l.text("traceID", t.TraceID)
	l.text("spanID", t.SpanID)
}

func (e *logEntry) line() *line {
	l := new(line)
	l.text("timestamp", e.Timestamp.String())
	l.text("kind", "log")
	l.text("message", e.Message)
	l.text("level", e.Level)
	l.texts("context_", e.Context)
	e.Trace.addTo(l)
	return l
}

func (e *exception) line() *line {
	l := new(line)
	l.text("timestamp", e.Timestamp.String())
	l.text("kind", "exception")
	l.text("type", e.Type)
	l.text("value", e.Value)
	text := e.Type + ": " + e.Value
	if e.Stacktrace != nil {
		for _, f := range e.Stacktrace.Frames {
			module := ""
			if f.Module != "" {
				module = f.Module + "|"
			}
			text += fmt.Sprintf("\n  at %s (%s%s:%d:%d)", f.Function, module, f.Filename, f.Lineno, f.Colno)
		}
	}
	l.text("stacktrace", text)
	// The receiver uses another hash; only the presence of the key matters here.
	hash := fnv.New64a()
	hash.Write([]byte(e.Value))
	l.text("hash", strconv.FormatUint(hash.Sum64(), 10))
	l.texts("context_", e.Context)
	e.Trace.addTo(l)
	return l
}

func (e *measurement) line() *line {
	l := new(line)
	l.text("timestamp", e.Timestamp.String())
	l.text("kind", "measurement")
	l.text("type", e.Type)
	names := sortedKeys(e.Values)
	for _, name := range names {
		l.text(name, strconv.FormatFloat(e.Values[name], 'f', 6, 64))
	}
	e.Trace.addTo(l)
	l.texts("context_", e.Context)
	for _, name := range names {
		l.set("value_"+name, e.Values[name])
	}
	return l
}

func (e *event) line() *line {
	l := new(line)
	l.text("timestamp", e.Timestamp.String())
	l.text("kind", "event")
	l.text("event_name", e.Name)
	l.text("event_domain", e.Domain)
	l.texts("event_data_", e.Attributes)
	e.Trace.addTo(l)
	return l
}

// eachLine calls f with every line that the receiver would send to Loki, and its kind.
func (p *payload) eachLine(f func(kind string, l *line)) {
	about := p.Meta.line()
	send := func(kind string, l *line) {
		l.merge(about)
		f(kind, l)
	}
	for i := range p.Logs {
		send("log", p.Logs[i].line())
	}
	for i := range p.Exceptions {
		send("exception", p.Exceptions[i].line())
	}
	for i := range p.Measurements {
		send("measurement", p.Measurements[i].line())
	}
	for i := range p.Events {
		send("event", p.Events[i].line())
	}
}

// asWritten is a key as the logfmt encoder writes it: some characters are dropped without a word, so
// that two different keys become one. TestLogfmtKeys holds this against the encoder itself.
func asWritten(key string) string {
	return strings.Map(func(r rune) rune {
		if r <= ' ' || r == '=' || r == '"' || r == 0x7f || r == utf8.RuneError {
			return -1
		}
		return r
	}, key)
}

// asQueried is a line's key as LogQL shows it: without white space at its ends, and whatever a label
// may not have becomes _, so that still more keys become one.
func asQueried(key string) string { return asLabel(strings.TrimSpace(key)) }

func asLabel(key string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9', r == '_':
			return r
		}
		return '_'
	}, key)
}

// bothQueried are a key as `| logfmt` shows it, where lines are written as logfmt, and as `| json` does
// where they are JSON, which drops nothing.
func bothQueried(key string) []string {
	return []string{asQueried(asWritten(key)), asQueried(key)}
}
