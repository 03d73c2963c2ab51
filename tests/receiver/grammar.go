// SPDX-License-Identifier: Apache-2.0

package receiver

import (
	"strconv"
	"strings"
)

// What a beacon consists of; generate.go has the tricks that are played with it.

func (g *generator) someText() {
	if g.random.IntN(20) == 0 {
		g.text(g.longText())
		return
	}
	g.text(pick(g, "", "a", "hello world", "x=1 y=\"2\"", "line\nbreak", "null", "売店", "é", "😀",
		"https://shop.example/a?b=c", "TypeError", "kind=log app_name=evil"))
}

// longText has the odd character at any distance from the start, for code that reads many at once.
func (g *generator) longText() string {
	odd := pick(g, "\"", "\\", "\n", "é", "売", "😀", "\x00", "\x7f", "\u2028", "")
	return strings.Repeat("x", g.random.IntN(130)) + odd + strings.Repeat("y", g.random.IntN(70))
}

func (g *generator) time() {
	g.raw(pick(g, `"2026-08-01T10:00:00.123Z"`, `"2026-08-01T10:00:00Z"`, `"2026-08-01T12:00:00+02:00"`,
		`"2026-08-01T10:00:00.123456789Z"`))
}

func (g *generator) body() {
	var fields []field
	add := func(name string, value func()) { fields = append(fields, field{name, value}) }
	if g.often() {
		add("meta", g.meta)
	}
	for _, one := range []field{{"exceptions", g.exception}, {"logs", g.log}, {"measurements", g.measurement},
		{"events", g.event}} {
		if g.random.IntN(3) == 0 {
			add(one.name, func() { g.list(2, one.value) })
		}
	}
	if g.random.IntN(2) == 0 {
		add("traces", g.traces)
	}
	if g.seldom() {
		g.random.Shuffle(len(fields), func(i, j int) { fields[i], fields[j] = fields[j], fields[i] })
	}
	g.object(fields...)
}

func (g *generator) meta() {
	var fields []field
	add := func(name string, value func()) { fields = append(fields, field{name, value}) }
	if g.often() {
		add("app", g.app)
	}
	if g.random.IntN(2) == 0 {
		add("session", g.session)
	}
	if g.seldom() {
		add("sdk", func() {
			g.object(field{"name", g.someText}, field{"version", g.someText}, field{"integrations", func() {
				g.list(2, func() { g.object(field{"name", g.someText}, field{"version", g.someText}) })
			}})
		})
	}
	if g.seldom() {
		add("user", func() { g.object(field{"id", g.someText}, field{"attributes", g.strings}) })
	}
	if g.seldom() {
		add("page", func() { g.object(field{"url", g.someText}, field{"attributes", g.strings}) })
	}
	if g.seldom() {
		add("browser", func() {
			g.object(field{"name", g.someText}, field{"mobile", func() { g.raw(pick(g, "true", "false")) }},
				field{"userAgent", g.someText}, field{"brands", func() { g.anything(2) }})
		})
	}
	if g.seldom() {
		add("view", func() { g.object(field{"name", g.someText}) })
	}
	if g.random.IntN(12) == 0 {
		add("geo", func() { g.object(field{"countryIso", g.someText}) })
	}
	if g.seldom() {
		add("k8s", func() { g.object(field{"namespace", g.someText}) })
	}
	g.random.Shuffle(len(fields), func(i, j int) { fields[i], fields[j] = fields[j], fields[i] })
	g.object(fields...)
}

// claim writes the trusted value or somebody else's.
func (g *generator) claim(trusted string) {
	g.text(pick(g, trusted, trusted, "evil", "", g.id.apps[len(g.id.apps)-1], strings.ToUpper(trusted), trusted+" "))
}

func (g *generator) app() {
	var fields []field
	add := func(name, trusted string) {
		if g.random.IntN(3) > 0 {
			fields = append(fields, field{name, func() { g.claim(trusted) }})
		}
	}
	add("name", pick(g, g.id.apps...))
	add("namespace", g.id.namespace)
	add("release", "r1")
	add("version", g.id.version)
	add("environment", g.id.environment)
	if g.seldom() {
		add("bundleId", "b")
	}
	g.random.Shuffle(len(fields), func(i, j int) { fields[i], fields[j] = fields[j], fields[i] })
	g.object(fields...)
}

func (g *generator) session() {
	var fields []field
	if g.often() {
		fields = append(fields, field{"id", g.someText})
	}
	if g.often() {
		fields = append(fields, field{"attributes", g.sessionAttributes})
	}
	if g.seldom() {
		fields = append(fields, field{"overrides", g.overrides})
	}
	g.object(fields...)
}

func (g *generator) overrides() {
	var fields []field
	if g.often() {
		fields = append(fields, field{"serviceName", func() { g.claim(pick(g, g.id.apps...)) }})
	}
	if g.often() {
		fields = append(fields, field{"geoLocationTrackingEnabled", func() { g.raw(pick(g, "true", "false")) }})
	}
	g.random.Shuffle(len(fields), func(i, j int) { fields[i], fields[j] = fields[j], fields[i] })
	g.object(fields...)
}

// sessionAttributes has honest ones, and ones that end up under a label's key.
func (g *generator) sessionAttributes() {
	keys := []string{"previousSession", "isSampled", "", "app_name", "k8s_cluster_name"}
	for _, a := range g.id.attributes {
		key := strings.ReplaceAll(a.key, ".", "_")
		keys = append(keys, key, key, a.key, g.lookalike(key), g.lookalike(g.lookalike(key)))
	}
	for _, f := range g.id.request {
		key := strings.ReplaceAll(f.key, ".", "_")
		keys = append(keys, key, f.key, g.lookalike(key), g.lookalike(g.lookalike(key)))
	}
	for _, a := range g.id.unset {
		keys = append(keys, a, g.lookalike(strings.ReplaceAll(a, ".", "_")))
	}
	var fields []field
	for g.random.IntN(3) > 0 {
		fields = append(fields, field{pick(g, keys...), g.someText})
	}
	g.object(fields...)
}

func (g *generator) strings() {
	g.object(field{pick(g, "a", "app_name", "k8s.cluster.name", ""), g.someText}, field{"b", g.someText})
}

func (g *generator) traceContext() {
	g.object(field{"trace_id", func() { g.raw(`"0af7651916cd43dd8448eb211c80319c"`) }},
		field{"span_id", func() { g.raw(`"b7ad6b7169203331"`) }})
}

// item writes what an item has, then sometimes what all of them may have.
func (g *generator) item(fields ...field) {
	if g.often() {
		fields = append(fields, field{"timestamp", g.time})
	}
	if g.seldom() {
		fields = append(fields, field{"trace", g.traceContext})
	}
	g.object(fields...)
}

func (g *generator) log() {
	g.item(field{"message", g.someText}, field{"level", func() { g.raw(`"info"`) }}, field{"context", g.strings})
}

func (g *generator) event() {
	g.item(field{"name", g.someText}, field{"domain", g.someText}, field{"attributes", g.strings})
}

func (g *generator) exception() {
	number := func() { g.raw(strconv.Itoa(g.random.IntN(5000))) }
	g.item(field{"type", g.someText}, field{"value", g.someText}, field{"stacktrace", func() {
		g.object(field{"frames", func() {
			g.list(2, func() {
				g.object(field{"filename", g.someText}, field{"function", g.someText}, field{"lineno", number},
					field{"colno", number})
			})
		}})
	}})
}

func (g *generator) measurement() {
	g.item(field{"type", func() { g.raw(`"web-vitals"`) }}, field{"values", func() {
		var fields []field
		for g.random.IntN(3) > 0 {
			name := pick(g, "lcp", "ttfb", "cls", "fcp", "type", "app_load_ms")
			if g.trick() || g.random.IntN(50) == 0 {
				name = pick(g, "kind", "app_name", "app_namespace", "app_environment", "session_attr_team",
					"session_attr_k8s_cluster_name", "KIND", "app", "session_attr", "app-name", "timestamp",
					"app_load_ms", "app_release", "session_attr_cost_center", "session_attr_plan", "__error__",
					"session_attr_client_address", "session_attr_geo.country.iso_code", "client_address")
				if g.random.IntN(2) == 0 {
					name = g.lookalike(name)
				}
			}
			fields = append(fields, field{name, func() {
				g.raw(pick(g, "0", "1", "-0", "12.5", "1e3", "2500.000000001", "9007199254740993", "1e-400"))
			}})
		}
		g.object(fields...)
	}})
}

func (g *generator) traces() {
	name := pick(g, "resourceSpans", "resourceSpans", "resourceSpans", "resource_spans")
	g.object(field{name, func() { g.list(2, g.resourceSpans) }})
}

func (g *generator) resourceSpans() {
	var fields []field
	if g.often() {
		fields = append(fields, field{"resource", g.resource})
	}
	name := pick(g, "scopeSpans", "scopeSpans", "scopeSpans", "scope_spans", "deprecatedScopeSpans", "deprecated_scope_spans")
	fields = append(fields, field{name, func() { g.list(2, g.scopeSpans) }})
	if g.seldom() {
		fields = append(fields, field{pick(g, "deprecatedScopeSpans", "scopeSpans", "instrumentationLibrarySpans"),
			func() { g.list(2, g.scopeSpans) }})
	}
	if g.seldom() {
		fields = append(fields, field{"schemaUrl", g.someText})
	}
	if g.seldom() {
		g.random.Shuffle(len(fields), func(i, j int) { fields[i], fields[j] = fields[j], fields[i] })
	}
	g.object(fields...)
}

func (g *generator) resource() {
	var fields []field
	if g.often() {
		fields = append(fields, field{"attributes", func() { g.list(5, g.resourceAttribute) }})
	}
	if g.seldom() {
		fields = append(fields, field{"droppedAttributesCount", func() { g.raw(pick(g, "0", "1", `"2"`)) }})
	}
	if g.seldom() {
		fields = append(fields, field{pick(g, "entityRefs", "entity_refs"), func() {
			g.list(1, func() { g.object(field{"type", g.someText}, field{"idKeys", func() { g.list(1, g.someText) }}) })
		}})
	}
	g.object(fields...)
}

func (g *generator) resourceAttribute() {
	keys := []string{"service.name", "service.namespace", "service.version", "deployment.environment",
		"deployment.environment.name", "k8s.namespace.name", "k8s.pod.name", "k8s.", "k8s", "K8S.pod.name", "",
		"telemetry.sdk.name", "browser.platform", "process.pid"}
	for _, a := range g.id.attributes {
		keys = append(keys, a.key, strings.ReplaceAll(a.key, ".", "_"))
	}
	for _, f := range g.id.request {
		keys = append(keys, f.key, strings.ReplaceAll(f.key, ".", "_"), strings.ReplaceAll(f.key, ".", "-"))
	}
	keys = append(keys, g.id.unset...)
	key := pick(g, keys...)
	if g.trick() {
		key = g.lookalike(key)
	}
	fields := []field{{"key", func() { g.text(key) }}}
	if g.random.IntN(20) > 0 {
		fields = append(fields, field{"value", func() { g.anyValue(2) }})
	}
	if g.seldom() {
		g.random.Shuffle(len(fields), func(i, j int) { fields[i], fields[j] = fields[j], fields[i] })
	}
	g.object(fields...)
}

func (g *generator) anyValue(deep int) {
	kind := g.random.IntN(12)
	if deep == 0 {
		kind = min(kind, 9)
	}
	switch kind {
	case 6:
		g.object(field{"intValue", func() { g.raw(pick(g, "1", `"1"`, "9223372036854775807", `"9007199254740993"`)) }})
	case 7:
		g.object(field{"doubleValue", func() { g.raw(pick(g, "1.5", `"1.5"`, "1e300", "-0.0", `"NaN"`)) }})
	case 8:
		g.object(field{"boolValue", func() { g.raw(pick(g, "true", "false")) }})
	case 9:
		g.object(field{"bytesValue", func() { g.raw(`"AAEC"`) }})
	case 10:
		g.object(field{"arrayValue", func() {
			g.object(field{"values", func() { g.list(2, func() { g.anyValue(deep - 1) }) }})
		}})
	case 11:
		g.object(field{"kvlistValue", func() {
			g.object(field{"values", func() { g.list(2, func() { g.spanAttribute(deep - 1) }) }})
		}})
	default:
		g.object(field{"stringValue", func() { g.claim(g.id.apps[0]) }})
	}
}

func (g *generator) spanAttribute(deep int) {
	g.object(field{"key", func() { g.text(pick(g, "http.url", "service.name", "k8s.pod.name", "session.id")) }},
		field{"value", func() { g.anyValue(deep) }})
}

func (g *generator) scopeSpans() {
	fields := []field{{"spans", func() { g.list(2, g.span) }}}
	if g.often() {
		fields = append(fields, field{"scope", func() { g.object(field{"name", g.someText}, field{"version", g.someText}) }})
	}
	g.object(fields...)
}

// spanID writes an id of so many bytes, and now and then something that no decoder, or no store, takes.
func (g *generator) spanID(bytes int) func() {
	good := strings.Repeat("4f", bytes)
	return func() {
		if g.random.IntN(40) > 0 && !(g.trick() && g.seldom()) {
			g.raw(`"` + pick(g, good, good, strings.ToUpper(good)) + `"`)
			return
		}
		g.raw(pick(g, `""`, "null", "0", "[]", `"x"`, `"`+good+good+`"`, `"`+good[1:]+`"`, `"`+good[1:]+`g"`,
			`"`+strings.Repeat("00", bytes)+`"`, `"`+good[1:]+`\u0034"`, `"`+good[6:]+`\u0034"`, `{"x":`+`"`+good+`"}`,
			`"`+good[1:]+`\""`, `"`+strings.Repeat("00", bytes-1)+`01"`, `"`+good[2:]+`é"`))
	}
}

func (g *generator) links() {
	g.list(2, func() {
		g.object(field{pick(g, "traceId", "trace_id"), g.spanID(16)}, field{pick(g, "spanId", "span_id"), g.spanID(8)},
			field{"attributes", func() { g.list(1, func() { g.spanAttribute(1) }) }})
	})
}

func (g *generator) span() {
	nanos := func() {
		g.raw(pick(g, "1754042400123456789", `"1754042400123456789"`, "0", `"18446744073709551615"`, "9007199254740993"))
	}
	fields := []field{{pick(g, "traceId", "traceId", "trace_id"), g.spanID(16)},
		{pick(g, "spanId", "spanId", "span_id"), g.spanID(8)}, {"name", g.someText},
		{"startTimeUnixNano", nanos}, {"endTimeUnixNano", nanos}}
	if g.random.IntN(30) == 0 {
		fields = fields[1:]
	}
	if g.seldom() {
		fields = append(fields, field{pick(g, "parentSpanId", "parent_span_id"), g.spanID(8)})
	}
	if g.seldom() {
		fields = append(fields, field{"links", g.links})
	}
	if g.seldom() {
		g.random.Shuffle(len(fields), func(i, j int) { fields[i], fields[j] = fields[j], fields[i] })
	}
	if g.seldom() {
		fields = append(fields, field{"kind", func() { g.raw(pick(g, "1", "3", `"SPAN_KIND_CLIENT"`)) }})
	}
	if g.seldom() {
		fields = append(fields, field{"attributes", func() { g.list(2, func() { g.spanAttribute(1) }) }})
	}
	if g.seldom() {
		fields = append(fields, field{"events", func() {
			g.list(1, func() {
				g.object(field{"name", g.someText}, field{"timeUnixNano", nanos},
					field{"attributes", func() { g.list(1, func() { g.spanAttribute(1) }) }})
			})
		}})
	}
	if g.seldom() {
		fields = append(fields, field{"status", func() { g.object(field{"code", func() { g.raw("1") }}) }})
	}
	g.object(fields...)
}
