// SPDX-License-Identifier: Apache-2.0
/* The dashboard of the frontends and the links between logs and traces, on the lines and spans of the recorded
 * beacons: LogQL by Loki's own parser and pipelines (logql/), TraceQL by the names of its attributes. */
import assert from "node:assert/strict";

import { scenario } from "../system/lib/stage.mjs";
import { dashboards, interpolate, targets, text, yaml } from "./lib/examples.mjs";
import { labelSources, parseAlloy } from "./lib/alloy.mjs";
import { fields, linesOf, recorded } from "./lib/lines.mjs";
import { buildLogql, patient } from "./lib/logql.mjs";

const sources = Object.entries(labelSources(parseAlloy(text("alloy/config.alloy"))));
const labelsOf = (line) => Object.fromEntries(sources.map(([label, field]) => [label, line[field]]));

async function start(stage) {
	const all = (await linesOf(stage, recorded())).map((line) => ({ line, fields: fields(line) }));
	const logql = await buildLogql(stage);
	const isSpan = ({ fields: { kind } }) => kind === "span";
	const entries = all.filter((one) => !isSpan(one)).map((one) => ({ line: one.line, labels: labelsOf(one.fields) }));
	return {
		entries,
		spans: all.filter(isSpan).map((one) => one.fields),
		logql: (queries) => logql(queries, entries),
	};
}

scenario("every Loki query of the dashboard parses, finds something in the recorded lines, and has its labels", async (stage) => {
	const { logql } = await start(stage);
	const wrong = ["sum(rate({kind=\"log\"} | logfmt", 'count_over_time({kind="logs"} [5m])',
		'sum by (colour) (count_over_time({kind="log"} | logfmt [5m]))'];
	const panels = targets("loki");
	assert.ok(panels.length > 12);
	const results = await logql([...wrong, ...panels.map(({ expr }) => interpolate(expr))]);

	const [unparsed, unknown, unlabelled] = results;
	assert.match(unparsed.error, /parse error/);
	assert.deepEqual(unknown, { series: {} });
	assert.match(Object.keys(unlabelled.series)[0], /^\{(colour="")?\}$/);

	panels.forEach(({ where, legend }, i) => {
		const { error, series } = results[wrong.length + i];
		assert.equal(error, undefined, where);
		assert.ok(Object.keys(series).length > 0, `${where} finds nothing`);
		for (const name of Object.keys(series)) {
			assert.doesNotMatch(name, /=""|__error__/, where);
			for (const [, label] of legend.matchAll(/\{\{(\w+)\}\}/g)) assert.match(name, new RegExp(`\\b${label}="[^"]`), where);
		}
	});
	/* Of the variables, too. */
	for (const { json } of dashboards())
		for (const { query, datasource } of json.templating.list)
			if (datasource?.type === "loki") {
				const [{ error, series }] = await logql([interpolate(query.stream)]);
				assert.equal(error, undefined);
				assert.match(Object.keys(series)[0], new RegExp(`\\b${query.label}="[^"]`));
			}
}, patient);

scenario("the attributes of its Tempo queries are on every recorded span", async (stage) => {
	const { spans } = await start(stage);
	assert.ok(spans.length > 100);
	const panels = targets("tempo");
	assert.equal(panels.length, 2);
	for (const { where, target } of panels) {
		const names = [...target.query.matchAll(/\bresource\.([\w.]+)/g)].map(([, name]) => name);
		assert.ok(names.length > 0, where);
		for (const name of names) for (const span of spans) assert.ok(span[`resource_${name}`], `${where}: ${name}`);
	}
}, patient);

scenario("from a line to its trace and back, by the data sources as they are provisioned", async (stage) => {
	const { entries, spans, logql } = await start(stage);
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
		const [{ error, series }] = await logql([query]);
		assert.equal(error, undefined);
		assert.ok(Object.keys(series).length > 0, `${query} finds the lines of the trace`);
	}
}, patient);
