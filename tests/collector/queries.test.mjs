// SPDX-License-Identifier: Apache-2.0
/*
 * The dashboard of the frontends and the data sources, as examples/otelcol/otlp.sed turns them for a Loki that gets its
 * lines by OTLP: each query finds something in the records that a real collector made of the recorded beacons.
 *
 * DESIGN: a record is looked at as Loki would keep it: three resource attributes as stream labels, the record's
 * attributes as structured metadata, the line. A query is read as far as it selects: the selector, the filter of kind,
 * the fields that logfmt names, equalities and a last unwrap. What is not done: evaluating it.
 */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { readFileSync, readdirSync } from "node:fs";
import { test } from "node:test";

import { post } from "../system/lib/client.mjs";
import { beacon, startIngest } from "../system/lib/faro.mjs";
import { nginx } from "../system/lib/nginx.mjs";
import { root, scenario } from "../system/lib/stage.mjs";
import { startCollector } from "./lib/collector.mjs";

const turned = (file) => execFileSync("sed", ["-f", `${root}/examples/otelcol/otlp.sed`, `${root}/examples/grafana/${file}`],
	{ encoding: "utf8" });
const original = JSON.parse(readFileSync(`${root}/examples/grafana/dashboards/frontends.json`));
const dashboard = JSON.parse(turned("dashboards/frontends.json"));
const lokiTargets = dashboard.panels.flatMap(({ title, datasource, targets = [] }) =>
	datasource?.type === "loki" ? targets.map((target) => ({ title, ...target })) : []);

/* Of Loki's default_resource_attributes_as_index_labels, those that a record has. */
const LABELS = { "service.name": "service_name", "service.namespace": "service_namespace",
	"deployment.environment": "deployment_environment" };
const INDEX = Object.values(LABELS);

function asLokiKeeps({ resource, attributes, fields, record }) {
	const all = Object.entries(resource);
	return {
		labels: Object.fromEntries(all.filter(([key]) => LABELS[key]).map(([key, value]) => [LABELS[key], value])),
		metadata: { ...attributes, trace_id: record.traceId },
		fields: Object.fromEntries(Object.entries(fields).map(([name, value]) => [name.replace(/\W/g, "_"), value])),
	};
}

/* { labels: names, kind, named: of logfmt and unwrap, equal: { field: value } } */
function read(expr) {
	const [, selector, rest] = /\{([^{}]*)\}(.*)$/s.exec(expr);
	const pipeline = rest.replace(/\[[^\]]*\].*$/s, "");
	const named = [...pipeline.matchAll(/\| (?:logfmt|unwrap) ([\w, ]+)/g)].flatMap(([, names]) => names.trim().split(/, */));
	return {
		labels: [...selector.matchAll(/(\w+) *(?:=~?|!=|!~)/g)].map(([, name]) => name),
		kind: /^ *\| kind="(\w+)"/.exec(pipeline)?.[1],
		named,
		equal: Object.fromEntries([...pipeline.matchAll(/\| (?!kind)(\w+)="([^"]+)"/g)].map(([, name, value]) => [name, value])),
		by: [...expr.matchAll(/by \(([^)]*)\)/g)].flatMap(([, names]) => names.split(/, */)),
	};
}

const has = (entry, name) => [entry.labels, entry.metadata, entry.fields].some((part) => part[name]);

function finds(query, entries) {
	return entries.filter((entry) => (!query.kind || entry.metadata.kind === query.kind) &&
		query.labels.every((name) => entry.labels[name]) &&
		query.named.every((name) => entry.fields[name]) && query.by.every((name) => has(entry, name)) &&
		Object.entries(query.equal).every(([name, value]) => entry.fields[name] === value));
}

test("it is a dashboard of its own, and no query is left that only fits Alloy's lines", () => {
	assert.notEqual(dashboard.uid, original.uid);
	assert.notEqual(dashboard.title, original.title);
	for (const text of [turned("dashboards/frontends.json"), turned("datasources.yaml")]) {
		assert.doesNotMatch(text, /app_(name|namespace|environment)/);
		assert.doesNotMatch(text, /\{[^{}]*\bkind *[=!]/);
	}
	/* Whatever else a query looks for stays. */
	assert.equal(lokiTargets.length, original.panels.flatMap(({ datasource, targets = [] }) =>
		datasource?.type === "loki" ? targets : []).length);
	assert.match(lokiTargets.map(({ expr }) => expr).join("\n"), /\| kind="exception"/);
});

scenario("each query of the dashboard finds something, and lines lead to their traces and back", async (stage) => {
	const { url, stores } = await startCollector(stage);
	const { socket } = await startIngest(stage, url);
	const { port } = await nginx(stage, { socket });
	let [items, spans] = [0, 0];
	for (const name of readdirSync(`${root}/examples/beacons`).filter((one) => /^(?!headers).*\.json$/.test(one))) {
		const given = JSON.parse(beacon(name));
		for (const kind of ["logs", "exceptions", "measurements", "events"]) items += given[kind]?.length ?? 0;
		for (const { scopeSpans } of given.traces?.resourceSpans ?? []) for (const scope of scopeSpans) spans += scope.spans.length;
		assert.equal((await post(port, beacon(name))).status, 202, name);
	}
	await stores.until(() => stores.records.length === items && stores.spans.length === spans);
	const entries = stores.records.map(asLokiKeeps);

	assert.deepEqual(finds(read('sum(count_over_time({colour="red"} | kind="log" [5m]))'), entries), []);
	assert.deepEqual(finds(read('{service_name="shop"} | kind="log" | logfmt nothing'), entries), []);
	for (const { title, expr } of lokiTargets) {
		const query = read(expr);
		assert.ok(query.labels.length > 0 && query.labels.every((name) => INDEX.includes(name)), `${title}: ${query.labels}`);
		assert.ok(finds(query, entries).length > 0, `${title} finds nothing: ${expr}`);
	}
	for (const { query, datasource } of dashboard.templating.list)
		if (datasource?.type === "loki") for (const name of [query.label, ...read(query.stream).labels]) assert.ok(INDEX.includes(name), name);

	/* The data sources: from the line by its text, from the span by the same text and two labels. */
	const text = turned("datasources.yaml");
	const matcher = new RegExp(/matcherRegex: '([^']+)'/.exec(text)[1]);
	const traces = new Set(stores.spans.map(({ span }) => span.traceId));
	const linked = stores.records.map(({ line, record }) => [matcher.exec(line)?.[1], record.traceId || undefined]);
	for (const [inLine, ofRecord] of linked) assert.equal(inLine, ofRecord);
	assert.ok(linked.filter(([id]) => traces.has(id)).length > 20);
	const tags = [...text.matchAll(/\{key: ([\w.]+), value: (\w+)\}/g)];
	assert.ok(tags.length > 0);
	for (const [, key, value] of tags) {
		assert.equal(LABELS[key], value);
		for (const { resource } of stores.spans) assert.ok(resource[key]);
	}
	assert.match(text, /\|= "traceID=\$\$\{__trace\.traceId\}"/);
});
