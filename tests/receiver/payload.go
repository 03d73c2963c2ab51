// SPDX-License-Identifier: Apache-2.0

// Package receiver is the oracle of the label rules: it reads what faro-ingest wrote the way
// Grafana Alloy's faro.receiver would, and says where a browser got past the labels or where a
// byte that is nobody's business was changed.
//
// It is written from DESIGN's rules and from how the receiver behaves, not from src/beacon/enrich.c.
//
//	payload.go   the receiver's structs (encoding/json) and traces (the collector's own decoder)
//	line.go      the log lines it writes from them (the logfmt encoder it uses)
//	identity.go  what the operator set, as the tests know it
//	oracle.go    the assertions
//	model.go     which refusals the rules allow
//	generate.go  bodies by grammar;  shrink.go  makes a failing one small
//	label.go     runs the C labeller
//
// How to run it (a C compiler, pkg-config and cJSON are needed; $CC is heeded):
//
//	go test -count=1 ./...                                   some 200 000 bodies; part of check
//	go test -count=1 -run TestGenerated -args -n 10000000    as many as there is time for
//	go test -run - -fuzz FuzzReceiver -fuzzminimizetime 1x   bytes of any kind
//
// Always with -count=1: Go does not know that the C sources are an input, and would repeat an old
// result. Without -fuzzminimizetime the fuzzer spends its time on making inputs small that are only new.
package receiver

import (
	"bytes"
	"encoding/json"
	"time"

	"go.opentelemetry.io/collector/pdata/ptrace"
)

// The field names and Go types below decide what the receiver accepts and how it merges, so they are
// those of Alloy's internal/component/faro/receiver/internal/payload. Fields that the receiver has
// but that can never be part of a trusted label are here too: they must come out unchanged.

type payload struct {
	Exceptions   []exception   `json:"exceptions"`
	Logs         []logEntry    `json:"logs"`
	Measurements []measurement `json:"measurements"`
	Events       []event       `json:"events"`
	Meta         meta          `json:"meta"`
	Traces       *traces       `json:"traces"`
}

type meta struct {
	SDK     sdk     `json:"sdk"`
	App     app     `json:"app"`
	User    user    `json:"user"`
	Session session `json:"session"`
	Page    page    `json:"page"`
	Browser browser `json:"browser"`
	View    view    `json:"view"`

	// Alloy does not know it; receivers that do may show it as where the client is.
	Geo any `json:"geo"`
}

type app struct {
	Name        string `json:"name"`
	Namespace   string `json:"namespace"`
	Release     string `json:"release"`
	Version     string `json:"version"`
	Environment string `json:"environment"`
}

type session struct {
	ID         string            `json:"id"`
	Attributes map[string]string `json:"attributes"`

	Overrides overrides `json:"overrides"`
}

// overrides are unknown to Alloy, and are any value to it. Grafana Cloud's receiver takes serviceName for
// the service's name, and locates no client of a page that has opted out.
type overrides struct {
	ServiceName any
	optedOut    bool
	all         string
}

func (o *overrides) UnmarshalJSON(body []byte) error {
	var known struct {
		ServiceName any `json:"serviceName"`
		Located     any `json:"geoLocationTrackingEnabled"`
	}
	var compact bytes.Buffer
	if json.Unmarshal(body, &known) == nil {
		o.ServiceName = known.ServiceName
		o.optedOut = known.Located == false
	}
	err := json.Compact(&compact, body)
	o.all = compact.String()
	return err
}

type sdk struct {
	Name         string        `json:"name"`
	Version      string        `json:"version"`
	Integrations []integration `json:"integrations"`
}

type integration struct {
	Name    string `json:"name"`
	Version string `json:"version"`
}

type user struct {
	Email      string            `json:"email"`
	ID         string            `json:"id"`
	Username   string            `json:"username"`
	Attributes map[string]string `json:"attributes"`
}

type page struct {
	ID         string            `json:"id"`
	URL        string            `json:"url"`
	Attributes map[string]string `json:"attributes"`
}

type browser struct {
	Name           string `json:"name"`
	Version        string `json:"version"`
	OS             string `json:"os"`
	Mobile         bool   `json:"mobile"`
	UserAgent      string `json:"userAgent"`
	Language       string `json:"language"`
	ViewportWidth  string `json:"viewportWidth"`
	ViewportHeight string `json:"viewportHeight"`
}

type view struct {
	Name string `json:"name"`
}

type traceContext struct {
	TraceID string `json:"trace_id"`
	SpanID  string `json:"span_id"`
}

type exception struct {
	Type       string            `json:"type"`
	Value      string            `json:"value"`
	Stacktrace *stacktrace       `json:"stacktrace"`
	Timestamp  time.Time         `json:"timestamp"`
	Trace      traceContext      `json:"trace"`
	Context    map[string]string `json:"context"`
}

type stacktrace struct {
	Frames []frame `json:"frames"`
}

type frame struct {
	Function string `json:"function"`
	Module   string `json:"module"`
	Filename string `json:"filename"`
	Lineno   int    `json:"lineno"`
	Colno    int    `json:"colno"`
}

type logEntry struct {
	Message   string            `json:"message"`
	Level     string            `json:"level"`
	Context   map[string]string `json:"context"`
	Timestamp time.Time         `json:"timestamp"`
	Trace     traceContext      `json:"trace"`
}

type measurement struct {
	Type      string             `json:"type"`
	Values    map[string]float64 `json:"values"`
	Timestamp time.Time          `json:"timestamp"`
	Trace     traceContext       `json:"trace"`
	Context   map[string]string  `json:"context"`
}

type event struct {
	Name       string            `json:"name"`
	Domain     string            `json:"domain"`
	Attributes map[string]string `json:"attributes"`
	Timestamp  time.Time         `json:"timestamp"`
	Trace      traceContext      `json:"trace"`
}

// traces hands its part of the body to the collector's decoder, which is not encoding/json and
// has other habits (exact case, two spellings, repeats appended).
type traces struct {
	spans ptrace.Traces
}

func (t *traces) UnmarshalJSON(body []byte) error {
	decoder := ptrace.JSONUnmarshaler{}
	decoded, err := decoder.UnmarshalTraces(body)
	if err == nil {
		t.spans = decoded
	}
	return err
}

// receive is the receiver's decoding of one request body. It reads through a json.Decoder, as the
// receiver does, and so ignores what comes after the first value.
func receive(body []byte) (*payload, error) {
	decoded := new(payload)
	err := json.NewDecoder(bytes.NewReader(body)).Decode(decoded)
	if err != nil {
		decoded.Traces = nil // may be half done
	}
	return decoded, err
}

// counts are the receiver's items by kind; the labeller reports the same ones.
type counts struct {
	Logs, Exceptions, Events, Measurements, Spans int
}

func (p *payload) counts() counts {
	c := counts{
		Logs:         len(p.Logs),
		Exceptions:   len(p.Exceptions),
		Events:       len(p.Events),
		Measurements: len(p.Measurements),
	}
	if p.Traces != nil {
		c.Spans = p.Traces.spans.SpanCount()
	}
	return c
}
