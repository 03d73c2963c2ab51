// SPDX-License-Identifier: Apache-2.0
/*
 * What a real faroreceiver answers, and what a browser behind faro-ingest gets then: the statements of
 * docs/RECEIVERS.md and of examples/otelcol/config.yaml about it.
 */
import assert from "node:assert/strict";
import { Agent } from "node:http";
import { gzipSync } from "node:zlib";

import { post, send } from "../system/lib/client.mjs";
import { ingestEnv, runIngest, startIngest } from "../system/lib/faro.mjs";
import { nginx } from "../system/lib/nginx.mjs";
import { scenario } from "../system/lib/stage.mjs";
import { startCollector } from "./lib/collector.mjs";

const timestamp = "2026-01-02T03:04:05.678Z";
const log = (more = {}) => ({ message: "m", timestamp, ...more });
const span = { traceId: "0123456789abcdef0123456789abcdef", spanId: "0123456789abcdef", name: "n" };
const tracesOf = (...spans) => ({ resourceSpans: [{ scopeSpans: [{ spans }] }] });
const traces = tracesOf(span);
const notHex = log({ trace: { trace_id: "nothex", span_id: "" } });
const json = (value) => JSON.stringify(value);
const gzip = { "Content-Encoding": "gzip" };
const collect = { path: "/collect" };

/* The responder behind nginx; the collector is its upstream. */
async function startRoute(stage, collector, env) {
	const { socket } = await startIngest(stage, collector.url, { env });
	return nginx(stage, { socket });
}

scenario("its answers to a beacon, and to what is none", async (stage) => {
	const { port, stores } = await startCollector(stage);
	const table = [
		// what, body, headers, status, text
		["a beacon", json({ logs: [log()] }), {}, 202, /^$/],
		["gzip", gzipSync(json({ logs: [log()] })), gzip, 202, /^$/],
		["no items", "{}", {}, 202, /^$/],
		["a parameter behind the type", "{}", { "Content-Type": "application/json; charset=utf-8" }, 415, /Content-Type/],
		["half a value", '{"meta":', {}, 400, /unexpected end/],
		["no body", "", {}, 400, /unexpected end/],
		["something behind the value", "{} x", {}, 400, /after top-level value/],
		["a wrong type", json({ logs: {} }), {}, 400, /cannot unmarshal/],
		["a malformed id of a span", json({ traces: tracesOf({ traceId: "zz" }) }), {}, 400, /length mismatch/],
		["a log whose trace id is not hexadecimal", json({ logs: [notHex] }), {}, 500, /traceID=nothex/],
		["a measurement named =", json({ measurements: [{ values: { "=": 1 }, timestamp }] }), {}, 500, /invalid key/],
	];
	for (const [what, body, headers, status, text] of table) {
		const reply = await post(port, body, headers, collect);
		assert.equal(reply.status, status, `${what}: ${reply.text}`);
		assert.match(reply.text, text, what);
	}
	assert.equal((await send(port, { method: "OPTIONS", ...collect })).status, 200);
	assert.equal((await send(port, { method: "GET", ...collect })).status, 405);
	assert.equal((await post(port, json({ logs: [log()] }), {}, { path: "/any/path" })).status, 202);
	await stores.until(({ records }) => records.length === 3);
});

scenario("its 500 for one beacon is 503 to that browser, and its spans were passed on by then", async (stage) => {
	const collector = await startCollector(stage);
	const { port } = await startRoute(stage, collector);
	const reply = await post(port, json({ logs: [notHex], traces }));
	assert.equal(reply.status, 503, reply.text);
	assert.equal(reply.json.reason, "upstream_unavailable");
	assert.ok(Number(reply.headers["retry-after"]) > 0);
	await collector.stores.until(({ spans }) => spans.length === 1);

	/* The next one is none the worse for it. */
	assert.equal((await post(port, json({ logs: [log({ message: "next" })] }))).status, 202);
	const [next] = await collector.stores.until(({ records }) => records.length > 0 && records);
	assert.equal(next.fields.message, "next");
});

scenario("a limit below FARO_MAX_DECODED_BYTES is 400 and not 413, to the browser as well, and --check names it", async (stage) => {
	const collector = await startCollector(stage, { more: { "receivers.faro.max_request_body_size": 10000 } });
	const { port } = await startRoute(stage, collector);
	const large = json({ logs: [log({ message: "x".repeat(20000) })] });
	for (const [body, headers] of [[large, {}], [gzipSync(large), gzip]]) {
		const direct = await post(collector.port, body, headers, collect);
		assert.deepEqual([direct.status, /too large/.test(direct.text)], [400, true]);
		const reply = await post(port, body, headers);
		assert.deepEqual([reply.status, reply.json.reason], [400, "upstream_rejected"]);
	}
	const env = ingestEnv(collector.url, { FARO_MAX_DECODED_BYTES: "20000" });
	const { code, stdout } = await runIngest(stage, ["--check"], { env });
	assert.equal(code, 1);
	assert.match(stdout.toString(), /^finding +too_large: [^]*max_request_body_size/m);
});

scenario("--check --send takes it for a Faro receiver, and its log and span arrive, labelled", async (stage) => {
	const { url, stores } = await startCollector(stage);
	const { code, stdout, stderr } = await runIngest(stage, ["--check", "--send"], { env: ingestEnv(url) });
	assert.equal(code, 0, `${stdout}${stderr}`);
	assert.doesNotMatch(stdout.toString(), /^warning/m, "the example's limit is above ours");
	const [record, sent] = await stores.one();
	assert.equal(record.fields.context_check, sent.span.traceId);
	assert.equal(record.record.traceId, sent.span.traceId);
	for (const { resource } of [record, sent]) {
		assert.equal(resource["service.name"], "shop");
		assert.equal(resource["service.namespace"], "web");
		assert.equal(resource["deployment.environment"], "test");
	}
});

scenario("what is stamped where: labels of the operator, on lines and on spans", async (stage) => {
	const collector = await startCollector(stage);
	const { port } = await startRoute(stage, collector, {
		OTEL_RESOURCE_ATTRIBUTES:
			"service.namespace=web,k8s.namespace.name=web-1,service.version=1.2.3,k8s.cluster.name=eu-1",
		FARO_LABEL_ATTRIBUTES: "k8s.cluster.name",
	});
	assert.equal((await post(port, json({ logs: [log()], traces }))).status, 202);
	const [record, sent] = await collector.stores.one();
	/* Without an environment the collector's attribute is there, and empty. */
	assert.deepEqual(record.resource, {
		"service.name": "shop", "service.namespace": "web", "service.version": "1.2.3", "deployment.environment": "",
	});
	assert.equal(record.fields.session_attr_k8s_cluster_name, "eu-1");
	assert.deepEqual(sent.resource, {
		...record.resource, "k8s.namespace.name": "web-1", "k8s.cluster.name": "eu-1",
	});
});

scenario("what a browser claims is not in the labels of its lines, nor of its spans", async (stage) => {
	const collector = await startCollector(stage);
	const { port } = await startRoute(stage, collector);
	const claimed = "forged";
	const values = Object.fromEntries(
		["kind", "timestamp", "app_name", "app_namespace", "app_environment"].map((name) => [name, 666]));
	const keys = ["service.name", "service.namespace", "deployment.environment", "deployment.environment.name", "k8s.pod.name"];
	const attribute = (key) => ({ key, value: { stringValue: claimed } });
	const body = json({
		meta: {
			app: { name: claimed, namespace: claimed, environment: claimed, bundleId: "a page's own" },
			session: { id: "s", overrides: { serviceName: claimed } },
			geo: { country_iso: claimed },
		},
		measurements: [{ type: "x", timestamp, values: { ...values, mine: 1 } }],
		traces: { resourceSpans: [{
			resource: { attributes: keys.map(attribute) },
			scopeSpans: [{ spans: [span] }],
		}] },
	});
	assert.equal((await post(port, body)).status, 202);
	const [record, sent] = await collector.stores.one();
	assert.doesNotMatch(json([record, sent]), /forged|666/);
	assert.equal(record.resource.app_bundle_id, "a page's own");
	assert.deepEqual(Object.keys(record.resource).sort(), [
		"app_bundle_id", "deployment.environment", "service.name", "service.namespace", "service.version",
	]);
	assert.equal(record.fields.mine, "1.000000");
	assert.equal(record.attributes.kind, "measurement");
});

scenario("a queue that is full is 500, and 503 to the browser", async (stage) => {
	const queue = "exporters.otlp_http/loki.sending_queue";
	const collector = await startCollector(stage, {
		more: { [`${queue}.queue_size`]: 1, [`${queue}.num_consumers`]: 1, [`${queue}.batch.min_size`]: 1 },
	});
	collector.stores.status = 503; // is retried, so that the queue stays full
	const { port } = await startRoute(stage, collector);
	const statuses = new Set();
	for (let i = 0; i < 100 && !statuses.has(503); i++) statuses.add((await post(port, json({ logs: [log()] }))).status);
	assert.deepEqual([...statuses], [202, 503]);
	await collector.process.line(/sending queue is full/);
});

scenario("short of memory it is 500, and 503 to the browser", async (stage) => {
	const limiter = "processors.memory_limiter";
	const collector = await startCollector(stage, {
		more: { [`${limiter}.limit_mib`]: 2, [`${limiter}.spike_limit_mib`]: 1, [`${limiter}.check_interval`]: "10ms" },
	});
	const { port } = await startRoute(stage, collector);
	await collector.process.line(/Memory usage is above soft limit/);
	assert.equal((await post(collector.port, json({ logs: [log()] }), {}, collect)).status, 500);
	assert.equal((await post(port, json({ logs: [log()] }))).status, 503);
});

scenario("a connection is kept with the example, and closed after each beacon where keep_alives_enabled is false", async (stage) => {
	for (const [more, connection] of [[{}, undefined], [{ "receivers.faro.keep_alives_enabled": false }, "close"]]) {
		const { port } = await startCollector(stage, { more });
		const agent = new Agent({ keepAlive: true });
		stage.after(() => agent.destroy());
		const { status, headers } = await post(port, json({ logs: [log()] }), {}, { agent, ...collect });
		assert.deepEqual([status, headers.connection], [202, connection]);
	}
});
