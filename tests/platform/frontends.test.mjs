// SPDX-License-Identifier: Apache-2.0
/* The dashboard of the frontends and the links between logs and traces, on the lines and spans of the recorded
 * beacons: LogQL and TraceQL by Grafana's grammars of them (lib/logql.mjs). */
import assert from "node:assert/strict";
import { readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";

import { root, scenario } from "../system/lib/stage.mjs";
import { dashboards, interpolate, targets, text, yaml } from "./lib/examples.mjs";
import { labelSources, parseAlloy } from "./lib/alloy.mjs";
import { fields, linesOf, recorded } from "./lib/lines.mjs";
import { logql, parseLogql, parseTraceql, traceqlAttributes } from "./lib/logql.mjs";

const sources = Object.entries(labelSources(parseAlloy(text("alloy/config.alloy"))));
const labelsOf = (line) => Object.fromEntries(sources.map(([label, field]) => [label, line[field]]));

async function start(stage) {
	const all = (await linesOf(stage, recorded())).map((line) => ({ line, fields: fields(line) }));
	const isSpan = ({ fields: { kind } }) => kind === "span";
	const entries = all.filter((one) => !isSpan(one)).map((one) => ({ line: one.line, labels: labelsOf(one.fields) }));
	return {
		entries,
		spans: all.filter(isSpan).map((one) => one.fields),
		find: (query) => logql(query, entries),
	};
}

test("what is no LogQL and no TraceQL is refused", () => {
	for (const broken of ['sum(rate({kind="log"} | logfmt', '{kind="log"', "{kind=log}", '{kind="log"} | logfmt |', "",
		'sum bye (kind) (count_over_time({kind="log"} [5m]))', 'rate({kind="log"} [5 m])', 'counts({kind="log"} [5m])', '{kind="log"} x'])
		assert.throws(() => parseLogql(broken), SyntaxError, broken);
	for (const broken of ["{ status = error", "{ nonsense = 3 }", '{ resource.service.name =~ "a" &&& status = error }', "status", ""])
		assert.throws(() => parseTraceql(broken), SyntaxError, broken);
});

test("of a query the lines count that it means, and what is not evaluated here is an error", () => {
	const entries = [
		{ line: 'kind=log level=info message="a b" app.name=x', labels: { kind: "log" } },
		{ line: "kind=log level=warn n=5 message=c", labels: { kind: "log" } },
		{ line: "kind=event n=40 n2=x", labels: { kind: "event" } },
	];
	for (const [query, expected] of [
		['{kind="log"}', { '{kind="log"}': 2 }],
		['{kind=~".*o.*"}', { '{kind="log"}': 2 }],
		['{kind=~"o"}', {}],
		['{kind!="log"} |= "n2=x" != "n2=y"', { '{kind="event"}': 1 }],
		['{kind="log"} |~ "message=[c-d]"', { '{kind="log"}': 1 }],
		['sum by (level) (count_over_time({kind="log"} | logfmt [5m]))', { '{level="info"}': 1, '{level="warn"}': 1 }],
		['sum by (level) (count_over_time({kind="log"} [5m]))', { '{level=""}': 2 }],
		['topk(1, sum by (n) (count_over_time({kind=~".+"} | logfmt n, kind | n>=5 [5m])))', { '{n="5"}': 1, '{n="40"}': 1 }],
		['sum by (n) (count_over_time({kind=~".+"} | logfmt | n > 5 [5m]))', { '{n="40"}': 1 }],
		['max_over_time({kind=~".+"} | logfmt n2, n | unwrap n | __error__="" [5m]) by (n2)', { '{n2=""}': 1, '{n2="x"}': 1 }],
		['sum(count_over_time({kind=~".+"} | logfmt | unwrap n2 [5m]))', {}],
		/* A field that is a label as well does not take its place. */
		['sum by (kind_extracted, app_name) (count_over_time({kind="log"} | logfmt | level="info" [5m]))', { '{app_name="x", kind_extracted="log"}': 1 }],
	])
		assert.deepEqual(logql(query, entries), expected, query);
	for (const query of ['{kind="log"} | json', '{kind="log"} | logfmt | a="b" or c="d"', 'sum without (a) (rate({kind="log"} [5m]))',
		'rate({kind="log"} [5m]) / 2', '{kind="log"} | logfmt a="b"', '{kind="log"} | line_format "x"'])
		assert.throws(() => logql(query, entries), /not evaluated here/, query);
});

/* Code of these languages in the texts: a block of its own that says so, or a span that begins as one. In a table a | has
 * a backslash. */
function written(name) {
	const page = readFileSync(join(root, name), "utf8").replaceAll("\\|", "|");
	const blocks = [...page.matchAll(/^```(logql|traceql)\n([^]*?)\n```$/gm)].map(([, language, text]) => [language, text]);
	const spans = [...page.matchAll(/`(\{ ?[a-z_.]+ ?[=!~]+ ?"[^`]*)`/g)].map(([, text]) =>
		[/^\{ ?(resource|span)?\./.test(text) ? "traceql" : "logql", text]);
	return [...blocks, ...spans];
}

test("every LogQL and TraceQL expression in the texts parses", () => {
	const pages = ["README.md", ...["docs", "examples"].flatMap((folder) => readdirSync(join(root, folder), { recursive: true })
		.filter((name) => name.endsWith(".md")).map((name) => join(folder, name)))];
	const all = pages.flatMap(written);
	assert.ok(all.length >= 1, `${all.length} were found`);
	for (const [language, text] of all) language === "logql" ? parseLogql(text) : parseTraceql(text);
});

scenario("every Loki query of the dashboard finds something in the recorded lines, and has its labels", async (stage) => {
	const { find } = await start(stage);
	const panels = targets("loki");
	assert.ok(panels.length > 12);
	assert.deepEqual(find('count_over_time({kind="logs"} [5m])'), {}, "this test sees what is not there");
	for (const { where, expr, legend } of panels) {
		const series = find(interpolate(expr));
		assert.ok(Object.keys(series).length > 0, `${where} finds nothing`);
		for (const name of Object.keys(series)) {
			assert.doesNotMatch(name, /=""|__error__/, where);
			for (const [, label] of legend.matchAll(/\{\{(\w+)\}\}/g)) assert.match(name, new RegExp(`\\b${label}="[^"]`), where);
		}
	}
	/* Of the variables, too. */
	for (const { json } of dashboards())
		for (const { query, datasource } of json.templating.list)
			if (datasource?.type === "loki")
				assert.match(Object.keys(find(interpolate(query.stream)))[0], new RegExp(`\\b${query.label}="[^"]`));
});

scenario("the attributes of its Tempo queries are on every recorded span", async (stage) => {
	const { spans } = await start(stage);
	assert.ok(spans.length > 100);
	const panels = targets("tempo");
	assert.equal(panels.length, 2);
	for (const { where, target } of panels) {
		const names = traceqlAttributes(interpolate(target.query));
		assert.ok(names.length > 0, where);
		for (const name of names) {
			assert.match(name, /^resource\./, where);
			for (const span of spans) assert.ok(span[name.replace(".", "_")], `${where}: ${name}`);
		}
	}
});

scenario("from a line to its trace and back, by the data sources as they are provisioned", async (stage) => {
	const { entries, spans, find } = await start(stage);
	const { datasources } = yaml("grafana/datasources.yaml");
	const byUid = new Map(datasources.map((source) => [source.uid, source]));
	assert.equal(byUid.size, datasources.length);
	const traces = new Set(spans.map(({ trace_id }) => trace_id));
	const lokis = datasources.filter(({ type }) => type === "loki");
	assert.equal(lokis.length, 2);
	for (const loki of lokis) {
		const [field] = loki.jsonData.derivedFields;
		const linked = entries.map(({ line }) => new RegExp(field.matcherRegex).exec(line)?.[1]).filter(Boolean);
		assert.equal(linked.length, entries.filter(({ line }) => / traceID=/.test(line)).length);
		assert.ok(linked.filter((id) => traces.has(id)).length > 20, "their traces are among the recorded");
		assert.equal(field.url, "$${__value.raw}");

		const tempo = byUid.get(field.datasourceUid);
		assert.equal(tempo.type, "tempo");
		const back = tempo.jsonData.tracesToLogsV2;
		assert.equal(back.datasourceUid, loki.uid, "back to the Loki where it came from");
		const span = spans.find(({ trace_id }) => linked.includes(trace_id));
		const tags = back.tags.map(({ key, value }) => `${value}="${span[`resource_${key}`]}"`).join(", ");
		const query = back.query.replace("$${__tags}", tags).replace("$${__trace.traceId}", span.trace_id);
		assert.doesNotMatch(query, /\$|undefined/);
		assert.ok(Object.keys(find(query)).length > 0, `${query} finds the lines of the trace`);
	}
});
