// SPDX-License-Identifier: Apache-2.0
/* OpenMetrics: from a point of a histogram to the trace of a beacon, by a real Prometheus that stores exemplars. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";

import { eventually } from "../system/lib/beacons.mjs";
import { get, post } from "../system/lib/client.mjs";
import { beacon, startIngest, startSink } from "../system/lib/faro.mjs";
import { nginx } from "../system/lib/nginx.mjs";
import { scenario } from "../system/lib/stage.mjs";
import { targets, yaml } from "./lib/examples.mjs";
import { startPrometheus } from "./lib/prometheus.mjs";

const openMetrics = "application/openmetrics-text;version=1.0.0";
const trace = "4bf92f3577b34da6a3ce929d0e0e4736";
const histograms = ["faro_ingest_request_duration_seconds", "faro_ingest_upstream_duration_seconds"];

/* Debian's Python has the reference parser of OpenMetrics, which refuses what only looks like it. */
const parser = `
import json, sys
from prometheus_client.openmetrics.parser import text_string_to_metric_families
families = {}
for family in text_string_to_metric_families(sys.stdin.read()):
	samples = [[s.name, s.labels, s.value, s.exemplar and s.exemplar.labels] for s in family.samples]
	families[family.name] = {"type": family.type, "unit": family.unit, "samples": samples}
json.dump(families, sys.stdout)`;
const parse = (text) => JSON.parse(execFileSync("/usr/bin/python3", ["-c", parser], { input: text, encoding: "utf8", stdio: "pipe" }));

async function start(stage) {
	const sink = await startSink(stage);
	const ingest = await startIngest(stage, sink.url, {});
	return nginx(stage, { socket: ingest.socket });
}

const send = async (server, traceparent) => {
	const { status } = await post(server.port, beacon("errors-2.12.json"), traceparent ? { traceparent } : {});
	assert.equal(status, 202);
};

const page = async (server, accept) => {
	const { text, headers } = await get(server.statusPort, "/metrics", accept ? { Accept: accept } : {});
	return { text, type: headers["content-type"] };
};

scenario("who asks for OpenMetrics gets what its reference parser takes, and everybody else the text as before", async (stage) => {
	const server = await start(stage);
	await send(server, `00-${trace}-00f067aa0ba902b7-01`);
	const open = await page(server, openMetrics), plain = await page(server);
	assert.equal(open.type, "application/openmetrics-text; version=1.0.0; charset=utf-8");
	assert.equal(plain.type, "text/plain; version=0.0.4; charset=utf-8");
	assert.doesNotMatch(plain.text, /trace_id|# EOF|# UNIT/);
	assert.throws(() => parse(plain.text), /ValueError/, "this test does not see what is no OpenMetrics");

	const families = parse(open.text);
	assert.equal(families.faro_ingest_received_bytes.unit, "bytes");
	assert.equal(families.faro_ingest_build.type, "info");
	for (const name of histograms) assert.deepEqual([families[name].type, families[name].unit], ["histogram", "seconds"]);
	/* The same samples, but for how a whole bound is written. */
	const names = (text) => text.split("\n").filter((line) => line && line[0] !== "#")
		.map((line) => line.split(" ")[0].replace('.0"', '"')).sort();
	assert.deepEqual(names(open.text), names(plain.text));
	assert.deepEqual(Object.values(families).flatMap(({ samples }) => samples).filter(([, , , exemplar]) => exemplar)
		.map(([name, , , exemplar]) => [name, exemplar]), histograms.map((name) => [`${name}_bucket`, { trace_id: trace }]));
});

scenario("a header that is no trace, or of one that is not sampled, is on no page", async (stage) => {
	const server = await start(stage);
	for (const traceparent of [`00-${trace}-00f067aa0ba902b7-00`, `00-${trace}-0000000000000000-01`, `00-${"0".repeat(32)}-00f067aa0ba902b7-01`,
		`00-${trace.slice(2)}"}-00f067aa0ba902b7-01`, `00-${trace.toUpperCase()}-00f067aa0ba902b7-01`, `ff-${trace}-00f067aa0ba902b7-01`,
		`00-${trace}-00f067aa0ba902b7-01-`, trace, "\"} 1", undefined])
		await send(server, traceparent);
	assert.doesNotMatch((await page(server, openMetrics)).text, /trace_id/);
});

scenario("Prometheus finds the trace behind a point, and Grafana's data source names it so", async (stage) => {
	const server = await start(stage);
	const prometheus = await startPrometheus(stage, server.statusPort);
	await send(server, `00-${trace}-00f067aa0ba902b7-01`);
	for (const name of histograms) {
		const [{ seriesLabels, exemplars: [exemplar] }] = await eventually(`exemplar of ${name}`, async () => {
			const found = await prometheus.exemplars(`${name}_bucket`);
			return found.length && found;
		});
		assert.equal(seriesLabels.namespace, "retail");
		const [link] = yaml("grafana/datasources.yaml").datasources.find(({ type }) => type === "prometheus").jsonData.exemplarTraceIdDestinations;
		assert.deepEqual(exemplar.labels, { [link.name]: trace });
		assert.ok(Number(exemplar.value) <= Number(seriesLabels.le.replace("+Inf", "Infinity")), "it lies in its bucket");
		assert.ok(Math.abs(exemplar.timestamp - Date.now() / 1000) < 600, "it has the time of the wall clock");
	}
	const asks = targets("prometheus").filter(({ target }) => target.exemplar).map(({ expr }) => /faro_ingest_\w+_seconds/.exec(expr)[0]);
	assert.deepEqual(asks.sort(), histograms, "a panel of the dashboard shows them");
	/* The format breaks no scrape. */
	assert.equal(await prometheus.number("min_over_time(up[10m])"), 1);
}, { timeout: 120_000 });
