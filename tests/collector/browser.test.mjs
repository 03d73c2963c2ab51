// SPDX-License-Identifier: Apache-2.0
/*
 * SDK 2.8 and the newest, plain and compressed, to a real Faro receiver and to the stand-in: the same labels. A page in
 * Chromium claims to be somebody else; between it and the receiver are the real nginx and faro-ingest.
 */
import assert from "node:assert/strict";
import { after, before } from "node:test";

import { launch } from "../browser/lib/chromium.mjs";
import { openPage, watchReplies } from "../browser/lib/page.mjs";
import { startStack } from "../browser/lib/stack.mjs";
import { scenario } from "../system/lib/stage.mjs";
import { startCollector } from "./lib/collector.mjs";
import { startSink } from "./lib/sink.mjs";

let browser;
before(async () => (browser = await launch()));
after(() => browser?.close());

const CLAIMS = "?app=payments&namespace=finance&environment=prod";
const BUTTONS = ["error", "log", "event", "measurement", "fetch"];

/* What the buttons and the SDK itself must have brought, each as some fields of a line. */
const EXPECTED = [
	{ kind: "exception", value: /thrown by a button/ },
	{ kind: "log", message: /a line of log/ },
	{ kind: "event", event_name: "button_clicked" },
	{ kind: "event", event_name: "session_start" },
	{ kind: "event", event_name: "faro.performance.navigation" },
	{ kind: "event", event_name: "faro.user.action" },
	{ kind: "event", event_name: "faro.tracing.fetch" },
	{ kind: "measurement", type: "demo" },
	{ kind: "measurement", type: "web-vitals" },
];

const matches = (fields, expected) => Object.entries(expected).every(([name, value]) =>
	value instanceof RegExp ? value.test(fields[name] ?? "") : fields[name] === value);
const isComplete = ({ lines, spans }) =>
	spans.length > 0 && EXPECTED.every((expected) => lines.some((fields) => matches(fields, expected)));

/* Of a line, and of a resource: the names differ, what they say must not. */
const ofLine = (fields) => ({
	name: fields.app_name, namespace: fields.app_namespace, environment: fields.app_environment, version: fields.app_version,
});
const ofResource = (resource) => ({
	name: resource["service.name"], namespace: resource["service.namespace"],
	environment: resource["deployment.environment"], version: resource["service.version"],
});

/* Each receiver as { url, look(), until(): what has come as lines and spans } */
const RECEIVERS = {
	async faroreceiver(stage) {
		const { url, stores } = await startCollector(stage);
		const look = () => ({
			lines: stores.records.map(({ fields }) => fields),
			resources: [...stores.records, ...stores.spans].map(({ resource }) => resource),
			spans: stores.spans.map(({ resource, span }) => ({ resource, traceId: span.traceId })),
			linked: stores.records.filter(({ record }) => record.traceId)
				.map(({ record, fields }) => [record.traceId, record.spanId, fields]),
		});
		return { url, look, until: () => stores.until(() => isComplete(look())) };
	},
	async "stand-in"(stage) {
		const sink = await startSink(stage);
		const resourceOf = (fields) => Object.fromEntries(Object.entries(fields)
			.filter(([name]) => name.startsWith("resource_")).map(([name, value]) => [name.slice("resource_".length), value]));
		const look = (all = sink.lines) => {
			const spans = all.filter(({ kind }) => kind === "span");
			const lines = all.filter(({ kind }) => kind !== "span");
			return {
				lines,
				resources: spans.map(resourceOf),
				spans: spans.map((fields) => ({ resource: resourceOf(fields), traceId: fields.trace_id })),
				linked: lines.filter(({ traceID }) => traceID).map((fields) => [fields.traceID, fields.spanID, fields]),
			};
		};
		return { url: sink.url, look, until: () => sink.until((lines) => isComplete(look(lines))) };
	},
};

async function visit(stage, sdk, gzip, url) {
	const { origin } = await startStack(stage, url, { sdk });
	const page = await openPage(stage, browser, "about:blank");
	const replies = watchReplies(page);
	const codings = new Set();
	page.on("request", (request) => {
		if (request.method() === "POST") codings.add(request.headers()["content-encoding"] ?? "none");
	});
	await page.goto(`${origin}/${CLAIMS}${gzip ? "&gzip" : ""}`);
	for (const button of BUTTONS) await page.click(`#${button}`);
	return { replies, codings, page };
}

const unique = (list) => [...new Map(list.map((one) => [JSON.stringify(one), one])).values()];

for (const sdk of ["2.8", "2.12"])
	for (const gzip of [false, true])
		for (const [name, start] of Object.entries(RECEIVERS))
			scenario(`SDK ${sdk}, ${gzip ? "compressed" : "plain"}, to ${name}: the labels are the service's own`, async (stage, t) => {
				const receiver = await start(stage);
				const { replies, codings, page } = await visit(stage, sdk, gzip, receiver.url);
				await receiver.until();
				await page.waitForSelector("#reply.good");

				assert.deepEqual([...codings], [gzip ? "gzip" : "none"]);
				assert.ok(replies.every(({ status }) => status === 202), JSON.stringify(replies));
				const { lines, resources, spans, linked } = receiver.look();
				const labels = { name: "shop", namespace: "retail", environment: "test", version: "3.1.4" };
				assert.deepEqual(unique(lines.map(ofLine)), [labels]);
				assert.deepEqual(unique(resources.map(ofResource)), [labels]);
				for (const { resource } of spans) assert.equal(resource["deployment.environment.name"], "test");

				/* What happened inside a span leads to it, by the same id in the line and in its record. */
				const traces = new Set(spans.map(({ traceId }) => traceId));
				const fetches = linked.filter(([, , { event_name }]) => event_name === "faro.tracing.fetch");
				assert.ok(fetches.length > 0);
				for (const [traceId, spanId, fields] of linked) assert.deepEqual([traceId, spanId], [fields.traceID, fields.spanID]);
				for (const [traceId] of fetches) assert.ok(traces.has(traceId), `${traceId} is among ${[...traces]}`);
				t.diagnostic(`SDK ${unique(lines.map(({ sdk_version }) => sdk_version))}, ${lines.length} lines, ${spans.length} spans`);
			});
