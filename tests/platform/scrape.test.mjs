// SPDX-License-Identifier: Apache-2.0
/* A real Prometheus that scrapes the responder through nginx's status port: what it sees is true, and every
 * query of the dashboards and alerts has something to see. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { Agent } from "node:http";
import { gzipSync } from "node:zlib";

import { eventually, numbered } from "../system/lib/beacons.mjs";
import { get, post } from "../system/lib/client.mjs";
import { beacon, startIngest, startSink } from "../system/lib/faro.mjs";
import { FastcgiClient, beaconParams } from "../system/lib/fastcgi.mjs";
import { nginx } from "../system/lib/nginx.mjs";
import { receiver } from "../system/lib/receiver.mjs";
import { scenario } from "../system/lib/stage.mjs";
import { dashboards, example, interpolate, rules, targets } from "./lib/examples.mjs";
import { startPrometheus } from "./lib/prometheus.mjs";

const patient = { timeout: 180_000 };

async function startBefore(stage, url, env) {
	const ingest = await startIngest(stage, url, { env: { FARO_WORKERS: "4", ...env } });
	const server = await nginx(stage, { socket: ingest.socket });
	const prometheus = await startPrometheus(stage, server.statusPort,
		{ ruleFiles: [example("prometheus/faro-ingest.rules.yaml")] });
	return { ingest, socket: ingest.socket, prometheus, ...server };
}

async function start(stage, env = {}) {
	const sink = await startSink(stage);
	return { sink, ...await startBefore(stage, sink.url, env) };
}

/* All of `jobs`, each a function, over as many hands; the results in no order. */
async function together(hands, jobs) {
	const results = [];
	await Promise.all(Array.from({ length: hands }, async () => {
		for (let job; (job = jobs.pop());) results.push(await job());
	}));
	return results;
}

scenario("promtool has nothing to say about /metrics, before the first beacon and after many", async (stage) => {
	const server = await start(stage);
	for (const n of [0, 50]) {
		await together(4, Array.from({ length: n }, () => () => post(server.port, beacon("mixed-with-traces-2.12.json"))));
		const { text } = await get(server.statusPort, "/metrics");
		const said = execFileSync("promtool", ["check", "metrics"], { input: text, encoding: "utf8" });
		assert.equal(said, "");
	}
});

scenario("what many connections did at once adds up exactly, and every scrape under load succeeds", async (stage) => {
	const server = await start(stage, { FARO_SPOOL_DIR: stage.path("spool") });
	const agent = new Agent({ keepAlive: true, maxSockets: 32 });
	stage.after(() => agent.destroy());
	/* Of each: one log, one exception, two events, three measurements, four spans. */
	const item = '{"timestamp":"2026-01-02T03:04:05.678Z"';
	const span = '{"traceId":"0af7651916cd43dd8448eb211c80319c","spanId":"b7ad6b7169203331","name":"x"}';
	const body = Buffer.from(`{"meta":{"app":{"name":"shop"}},"logs":[${item},"message":"m","level":"info"}],` +
		`"exceptions":[${item},"type":"E","value":"v"}],"events":[${item},"name":"a"},${item},"name":"b"}],` +
		`"measurements":[${Array(3).fill(`${item},"type":"t","values":{"v":1}}`)}],` +
		`"traces":{"resourceSpans":[{"scopeSpans":[{"spans":[${Array(4).fill(span)}]}]}]}}`);
	const packed = gzipSync(body);
	const N = 1500, WRONG = 300;
	const jobs = [
		...Array.from({ length: N }, (_, i) => () => i % 2
			? post(server.port, packed, { "Content-Encoding": "gzip" }, { agent })
			: post(server.port, body, {}, { agent })),
		...Array.from({ length: WRONG }, () => () => post(server.port, "{", {}, { agent })),
	].sort((a, b) => String(a).length - String(b).length || Math.random() - 0.5);
	const replies = await together(32, jobs);
	assert.equal(replies.filter(({ status }) => status === 202).length, N);
	assert.equal(server.sink.bodies().length, N);

	const { prometheus } = server;
	const value = (selector) => prometheus.number(`sum(faro_ingest_${selector})`);
	await eventually("scrape of the last beacon", async () => await value("requests_total{code=~\"202|400\"}") === N + WRONG);
	const expected = {
		'accepted_total{by="receiver"}': N, "accepted_total": N,
		'rejected_total{reason="bad_json"}': WRONG, "rejected_total": WRONG,
		'requests_total{code="202"}': N, 'requests_total{code="400"}': WRONG,
		'items_total{kind="log"}': N, 'items_total{kind="exception"}': N, 'items_total{kind="event"}': 2 * N,
		'items_total{kind="measurement"}': 3 * N, 'items_total{kind="span"}': 4 * N,
		received_bytes_total: (N / 2) * (body.length + packed.length) + WRONG, decoded_bytes_total: N * body.length + WRONG,
		'upstream_requests_total{outcome="ok"}': N, upstream_requests_total: N,
		upstream_duration_seconds_count: N, 'upstream_duration_seconds_bucket{le="+Inf"}': N,
		inflight: 0, upstream_up: 1, spool_records: 0, spoofed_total: 0, duplicates_total: 0,
	};
	const seen = {};
	for (const selector of Object.keys(expected)) seen[selector] = await value(selector);
	assert.deepEqual(seen, expected);

	/* None failed, and none had another number of series. */
	assert.equal(await prometheus.number("min_over_time(up[10m])"), 1);
	assert.equal(await prometheus.number("stdvar_over_time(scrape_samples_scraped[10m])"), 0);
}, patient);

scenario("twenty thousand names, paths and headers make no series", async (stage) => {
	const { prometheus, socket } = await start(stage);
	const count = () => prometheus.number('count({__name__=~"faro_ingest_.+"})');
	await eventually("first scrape", count);
	const before = await count();
	const N = 20_000;
	const clients = await Promise.all(Array.from({ length: 8 }, () => FastcgiClient.open(socket)));
	await Promise.all(clients.map(async (client, k) => {
		stage.after(() => client.close());
		for (let i = k; i < N; i += clients.length) {
			const body = Buffer.from(`{"meta":{"app":{"name":"app${i}","namespace":"n${i}","environment":"e${i}"}}}`);
			await client.send(beaconParams(body.length, {
				HTTP_X_FARO_SESSION_ID: `s${i}`, HTTP_IDEMPOTENCY_KEY: `k${i}`, HTTP_ORIGIN: i % 5 ? "" : `https://o${i}.example`,
				...[{}, { SCRIPT_NAME: `/p${i}` }, { REQUEST_METHOD: `M${i}` }, { CONTENT_TYPE: `a/${i}` }, { HTTP_CONTENT_ENCODING: `c${i}` }][i % 5],
			}), body);
		}
	}));
	await eventually("scrape of them", async () => await prometheus.number('sum(faro_ingest_requests_total{code!="200"})') === N);
	assert.equal(await count(), before);
}, patient);

/* --- the queries ------------------------------------------------------------------------------------- */

const selectorsOf = (query) => query.match(/faro_ingest_\w+(?:\{[^}]*\})?/g) ?? [];

/* [label, operator, value] of a selector; a regular expression gives one for each of its alternatives, since
 * one that exists hides the others that do not. */
const matchersOf = (selector) => [...selector.matchAll(/(\w+)\s*(=~|!~|!=|=)\s*"([^"]*)"/g)].flatMap(
	([, label, operator, value]) => (operator.includes("~") ? value.split("|") : [value]).map((one) => [label, operator, one]));

/* What is wrong with a query on this Prometheus; "" for nothing. */
async function faultOf(prometheus, query, legend = "") {
	const labels = new Set();
	await prometheus.query(query);
	for (const selector of selectorsOf(query)) {
		const name = selector.replace(/\{.*/, "");
		if (!(await prometheus.series(selector)).length) return `${selector} has no series`;
		for (const [label, operator, value] of matchersOf(selector)) {
			const one = `${name}{${label}${operator.includes("~") ? "=~" : "="}"${value}"}`;
			if (!(await prometheus.series(one)).length) return `${one} has no series`;
		}
		for (const set of await prometheus.series(name)) Object.keys(set).forEach((label) => labels.add(label));
	}
	for (const [, list] of query.matchAll(/\bby \(([^)]*)\)/g))
		for (const label of list.split(/,\s*/)) if (!labels.has(label)) return `no series has the label ${label}`;
	for (const [, label] of legend.matchAll(/\{\{(\w+)\}\}/g))
		if (!labels.has(label)) return `no series has the label ${label} of the legend`;
	return "";
}

scenario("every metric and label of the dashboards and alerts exists from the start, and every panel has data", async (stage) => {
	const { prometheus } = await start(stage, { FARO_SPOOL_DIR: stage.path("spool") });
	/* Two samples, for rate(). */
	await eventually("second scrape", async () => await prometheus.number("count_over_time(up[1m])") >= 2);

	for (const query of ["faro_ingest_nothing", 'faro_ingest_rejected_total{reason=~"overloaded|overladen"}',
		"sum by (colour) (faro_ingest_inflight)"])
		assert.notEqual(await faultOf(prometheus, query), "", `this test does not see what is wrong with ${query}`);

	const panels = targets("prometheus");
	assert.ok(panels.length > 30);
	for (const { where, expr, legend } of panels) {
		const query = interpolate(expr);
		assert.equal(await faultOf(prometheus, query, legend), "", where);
		assert.ok((await prometheus.query(query)).length > 0, `${where} is empty`);
	}
	for (const { alert, expr } of rules()) assert.equal(await faultOf(prometheus, expr), "", alert);
	for (const { name, json } of dashboards())
		for (const { query, datasource } of json.templating.list)
			if (datasource?.type === "prometheus") {
				const [, metric, label] = /^label_values\((.*), (\w+)\)$/.exec(interpolate(query.query));
				const values = new Set((await prometheus.series(metric)).map((set) => set[label]));
				assert.deepEqual([...values], [label === "job" ? "shop" : "retail"], `${name}: ${query.query}`);
			}

	/* Prometheus has loaded the rules and can evaluate them; nothing is wrong, so none fires. */
	await eventually("evaluation of every rule", async () => {
		const { groups } = await prometheus.api("rules", {});
		return groups[0].rules.every(({ health }) => health === "ok");
	});
	assert.deepEqual((await prometheus.api("alerts", {})).alerts, []);
}, patient);

/* --- the alerts' conditions, produced for real; how long they must hold is for rules.test.yaml ----------- *
 *
 * Not among them are FaroIngestReplayStuck, since a spool that delivers nothing to a receiver that answers would be a
 * bug, and we know of none to show; and FaroIngestSilent, which takes a week. */

const condition = (name) => rules().find(({ alert }) => alert === name).expr.replaceAll(/\[\d+[mh]\]/g, "[2s]");

const happenings = {
	FaroIngestGone: { ingest: (process) => process.stop("SIGKILL") },
	FaroIngestScrapeFails: { ingest: (process) => process.stop("SIGKILL") },
	FaroIngestOnlyNotFound: { path: "/faro/another" },
	FaroIngestReceiverUnreachable: { receiver: (behind) => behind.stop() },
	FaroIngestBeaconsNotTaken: { receiver: (behind) => behind.stop() },
	FaroIngestReceiverRefuses: { receiver: (behind) => (behind.status = 401) },
	FaroIngestRefusalsRising: { body: () => "{" },
	FaroIngestSpoolFilling: {
		receiver: (behind) => behind.stop(), env: { FARO_SPOOL_MAX_BYTES: "1MiB" },
		body: () => numbered(Math.random(), Array.from({ length: 3000 }, () => Math.random().toString(36)).join("")),
	},
	FaroIngestSpoolDropped: { receiver: (behind) => (behind.status = 503), env: { FARO_SPOOL_MAX_AGE_S: "1" } },
};

for (const [alert, { receiver: does, ingest: suffers, env, path, body = () => numbered(Math.random()) }] of Object.entries(happenings))
	scenario(`${alert} sees what it is for, and nothing before`, async (stage) => {
		const behind = await receiver(stage);
		const server = await startBefore(stage, behind.url, env && { FARO_SPOOL_DIR: stage.path("spool"), ...env });
		const holds = () => server.prometheus.query(condition(alert));
		assert.equal((await post(server.port, numbered("first"))).status, 202);
		await eventually("second scrape", async () => await server.prometheus.number("count_over_time(up[1m])") >= 2);
		assert.deepEqual(await holds(), []);

		await does?.(behind);
		await suffers?.(server.ingest.process);
		const [{ metric }] = await eventually(alert, async () => {
			for (let i = 0; i < 20; i++) await post(server.port, body(), {}, { path });
			const found = await holds();
			return found.length && found;
		}, 60);
		assert.deepEqual(metric, { namespace: "retail", job: "shop" });
	}, patient);
