// SPDX-License-Identifier: Apache-2.0
/*
 * Every recorded beacon, plain and compressed, through nginx and faro-ingest to a real Faro receiver and to the stand-in:
 * what comes out of the two is the same, field by field, but for what faro-sink(1) lists.
 *
 * DESIGN: a line of either is turned into fields, and those that the list names are taken away or put into one form;
 * the rest must be equal. Each row of the list must have been of use, so that the manual lists no difference that is
 * none. What is not compared: the order of fields, which means nothing in logfmt.
 */
import assert from "node:assert/strict";
import { readFileSync, readdirSync } from "node:fs";
import { test } from "node:test";
import { gunzipSync } from "node:zlib";

import { startStack } from "../browser/lib/stack.mjs";
import { post } from "../system/lib/client.mjs";
import { beacon } from "../system/lib/faro.mjs";
import { root, scenario } from "../system/lib/stage.mjs";
import { startCollector } from "./lib/collector.mjs";
import { startSink } from "./lib/sink.mjs";

const headersOf = JSON.parse(beacon("headers.json"));
const files = readdirSync(`${root}/examples/beacons`, { recursive: true })
	.filter((name) => /\.json(\.gz)?$/.test(name) && !name.endsWith("headers.json")).sort();

/* --- what differs: faro-sink(1), COMPARED WITH A COLLECTOR ------------------------------------------ */

/* "2026-01-02 03:04:05.6789 +0200 +0200" of Alloy is "2026-01-02T03:04:05.678Z" of the collector, whatever the zone. */
const asCollectorWrites = (text) =>
	text.replace(/^(\S+) ([\d:]+)(\.\d{1,3})?\d* [+-]\d{4} \S+$/, (_, date, time, fraction = "") =>
		`${date}T${time}${fraction.replace(/\.?0+$/, "")}Z`);

const removeAll = (fields, pattern) =>
	Object.keys(fields).filter((name) => pattern.test(name) && delete fields[name]).length > 0;

/* Each row: what it is about, and what it does to the two sets of fields; true where it changed something. */
const DIFFERENCES = {
	timestamp: (collector, sink) => {
		const before = sink.timestamp;
		sink.timestamp = asCollectorWrites(before);
		return sink.timestamp !== before;
	},
	level: (collector, sink) => {
		if (sink.level) return false;
		assert.equal(collector.level, sink.kind === "exception" ? "error" : "info");
		return delete collector.level;
	},
	hash: (collector, sink) => {
		if (!sink.hash) return false;
		assert.match(sink.hash, /^\d+$/);
		return delete sink.hash;
	},
	fatal: (collector) => removeAll(collector, /^fatal$/),
	action: (collector) => removeAll(collector, /^action_(id|name|parent_id)$/),
	brands: (collector) => removeAll(collector, /^browser_(brands|brand_\d+_(brand|version))$/),
	os: (collector) => removeAll(collector, /^os_(name|version|build_id|detail)$/),
	device: (collector) => removeAll(collector, /^device_(manufacturer|model_identifier|model_name|brand|is_physical|type)$/),
	k6: (collector) => removeAll(collector, /^k6_(isK6Browser|testRunId)$/),
	"U+0000": (collector) => {
		const with0 = Object.keys(collector).filter((name) => collector[name].includes("\0"));
		for (const name of with0) collector[name] = collector[name].replaceAll("\0", "\ufffd");
		return with0.length > 0;
	},
	app_installation_id: (collector) => removeAll(collector, /^app_installation_id$/),
};

/* By hand, for what no recorded page has sent. */
const ALL_FIELDS = JSON.stringify({
	meta: {
		app: { name: "shop", installationId: "i-1", bundleId: "example.shop" },
		browser: { name: "Chrome", brands: "one text" },
		device: { manufacturer: "Fairphone", model_identifier: "FP5", model_name: "5", brand: "FP", is_physical: true, type: "mobile" },
		os: { name: "Android", version: "15", build_id: "AP3A", detail: "Android 15" },
		k6: { isK6Browser: true, testRunId: "7" },
	},
	logs: [{ message: "without a level", timestamp: "2026-01-02T03:04:05.6789+02:00" }],
	exceptions: [{ type: "Error", value: "v", fatal: true, timestamp: "2026-01-02T03:04:05Z",
		action: { id: "a", name: "click", parentId: "b" } }],
});

/* Of spans: what faro-ingest stamped, and what the collector adds of meta.app. */
function compareResources(collector, sink, { version = "3.1.4" }) {
	assert.deepEqual(collector, { ...sink, "service.version": version });
}

/* --- the beacons ------------------------------------------------------------------------------------- */

function resourceOf(fields) {
	return Object.fromEntries(Object.entries(fields).filter(([name]) => name.startsWith("resource_"))
		.map(([name, value]) => [name.slice("resource_".length), value]));
}

function countsOf(given) {
	const items = ["logs", "exceptions", "measurements", "events"].reduce((sum, kind) => sum + (given[kind]?.length ?? 0), 0);
	const spans = (given.traces?.resourceSpans ?? []).flatMap(({ scopeSpans }) => scopeSpans.flatMap((scope) => scope.spans));
	return { items, spans: spans.length };
}

function bodyOf(name) {
	const body = beacon(name);
	const isGzip = name.endsWith(".gz");
	const headers = { ...(isGzip && { "content-encoding": "gzip" }), ...headersOf[name], "content-length": body.length };
	return { name, given: JSON.parse(isGzip ? gunzipSync(body) : body), body, headers };
}

const bodies = [...files.map(bodyOf), { name: "by hand", given: JSON.parse(ALL_FIELDS), body: ALL_FIELDS }];

function compareSpans(records, lines, app) {
	assert.equal(records.length, lines.length);
	const byId = new Map(lines.map((fields) => [fields.span_id, fields]));
	for (const { resource, span } of records) {
		const fields = byId.get(span.spanId);
		assert.equal(fields.trace_id, span.traceId);
		assert.equal(fields.name, span.name);
		compareResources(resource, resourceOf(fields), app);
	}
}

/* The labels of a record's resource are those in its line, and its ids are those in its line. */
function checkRecord({ resource, attributes, record, fields }, { bundleId }) {
	assert.deepEqual(resource, {
		"service.name": "shop", "service.namespace": "retail", "deployment.environment": "test",
		"service.version": fields.app_version, ...(bundleId && { app_bundle_id: bundleId }),
	});
	assert.deepEqual([fields.app_name, fields.app_namespace, fields.app_environment], ["shop", "retail", "test"]);
	assert.equal(attributes.kind, fields.kind);
	if (fields.kind === "exception") assert.match(attributes.hash, /^\d+$/);
	assert.deepEqual([record.traceId || undefined, record.spanId || undefined], [fields.traceID, fields.spanID]);
	assert.equal(record.timeUnixNano, undefined, "Loki takes the time of receipt");
}

test("faro-sink(1) lists these differences, and no others", () => {
	const manual = readFileSync(`${root}/man/faro-sink.1`, "utf8");
	const section = /\n\.Sh COMPARED WITH A COLLECTOR\n(.*?)\n\.Sh /s.exec(manual)[1];
	assert.deepEqual([...section.matchAll(/^\.It Cm (.+)$/gm)].map(([, name]) => name).sort(), Object.keys(DIFFERENCES).sort());
});

scenario("every recorded beacon, plain and compressed, is in both receivers the same lines and spans", async (stage, t) => {
	const flush = "sending_queue.batch.flush_timeout"; // each beacon is waited for
	const { url, stores } = await startCollector(stage, {
		more: { [`exporters.otlp_http/loki.${flush}`]: "5ms", [`exporters.otlp_http/tempo.${flush}`]: "5ms" },
	});
	const sink = await startSink(stage);
	const [toCollector, toSink] = [
		await startStack(stage, url, { name: "nginx-collector" }),
		await startStack(stage, sink.url, { name: "nginx-sink" }),
	];
	const used = new Set();
	let [lines, spans, seen] = [0, 0, 0];

	for (const { name, given, body, headers } of bodies) {
		const expected = countsOf(given);
		stores.clear();
		for (const { port } of [toCollector, toSink]) {
			const { status, text } = await post(port, body, headers).catch((error) => assert.fail(`${name}: ${error}`));
			assert.equal(status, 202, `${name}: ${text}`);
		}
		await stores.until(() => stores.records.length >= expected.items && stores.spans.length >= expected.spans);
		assert.deepEqual({ items: stores.records.length, spans: stores.spans.length }, expected, name);
		const all = await sink.until((list) => list.length >= seen + expected.items + expected.spans && list.slice(seen));
		seen += all.length;
		const printed = all.filter(({ kind }) => kind !== "span");
		assert.equal(printed.length, expected.items, name);

		stores.records.forEach((record, i) => {
			checkRecord(record, given.meta.app);
			const [ours, theirs] = [{ ...record.fields }, { ...printed[i] }];
			for (const [what, apply] of Object.entries(DIFFERENCES)) if (apply(ours, theirs)) used.add(what);
			assert.deepEqual(ours, theirs, `${name}, line ${i}`);
		});
		compareSpans(stores.spans, all.filter(({ kind }) => kind === "span"), given.meta.app);
		lines += expected.items;
		spans += expected.spans;
	}
	assert.deepEqual([...used].sort(), Object.keys(DIFFERENCES).sort(), "each difference was met");
	t.diagnostic(`${lines} lines and ${spans} spans of ${bodies.length} bodies`);
});
