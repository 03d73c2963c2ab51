// SPDX-License-Identifier: Apache-2.0
/*
 * A real OpenTelemetry Collector with examples/otelcol/config.yaml, and what stands behind it: a server that takes OTLP
 * as Loki and Tempo would. What that server does not do: store, or judge what it gets.
 */
import assert from "node:assert/strict";
import { EventEmitter, once } from "node:events";
import { createServer } from "node:http";
import { gunzipSync } from "node:zlib";

import { freePort, root } from "../../system/lib/stage.mjs";
import { fields } from "../../platform/lib/lines.mjs";

const binary = process.env.FARO_COLLECTOR ?? `${root}/.build/collector/otelcol`;
export const configFile = `${root}/examples/otelcol/config.yaml`;

const valueOf = (value) => value.stringValue ?? JSON.stringify(Object.values(value)[0]);

/* OTLP's list of pairs as an object; two of one key would be a label with two values. */
function attributesOf(list = []) {
	const pairs = list.map(({ key, value }) => [key, valueOf(value)]);
	assert.equal(new Set(pairs.map(([key]) => key)).size, pairs.length, `a key comes twice: ${JSON.stringify(pairs)}`);
	return Object.fromEntries(pairs);
}

function* recordsOf({ resourceLogs = [] }) {
	for (const { resource, scopeLogs } of resourceLogs)
		for (const { logRecords } of scopeLogs)
			for (const record of logRecords) {
				const line = record.body.stringValue;
				yield { resource: attributesOf(resource.attributes), attributes: attributesOf(record.attributes),
					line, fields: fields(line), record };
			}
}

function* spansOf({ resourceSpans = [] }) {
	for (const { resource, scopeSpans } of resourceSpans)
		for (const { spans } of scopeSpans)
			for (const span of spans) yield { resource: attributesOf(resource.attributes), span };
}

async function readJson(request) {
	const chunks = [];
	for await (const chunk of request) chunks.push(chunk);
	const body = Buffer.concat(chunks);
	return JSON.parse(request.headers["content-encoding"] === "gzip" ? gunzipSync(body) : body);
}

class Stores {
	constructor() {
		this.records = []; // as Loki gets them
		this.spans = []; // as Tempo gets them
		this.status = 200;
		this.news = new EventEmitter();
		this.server = createServer((request, response) => {
			this.#take(request, response).catch((error) => response.destroy(error));
		});
	}

	async #take(request, response) {
		const body = await readJson(request);
		if (this.status === 200 && request.url === "/loki/otlp/v1/logs") this.records.push(...recordsOf(body));
		else if (this.status === 200 && request.url === "/tempo/v1/traces") this.spans.push(...spansOf(body));
		const status = request.url.startsWith("/loki/otlp/") || request.url.startsWith("/tempo/") ? this.status : 404;
		response.writeHead(status, { "content-type": "application/json" }).end("{}");
		this.news.emit("post");
	}

	/* The first truthy value of look(this), which is asked again whenever something has come. */
	async until(look) {
		for (;;) {
			const found = look(this);
			if (found) return found;
			await once(this.news, "post");
		}
	}

	/* The first record and the first span, once both are there. */
	one() {
		return this.until(({ records: [record], spans: [span] }) => record && span && [record, span]);
	}

	clear() {
		this.records = [];
		this.spans = [];
	}
}

/*
 * What differs from the example: the port, OTLP as JSON so that it can be read here, and none of the collector's own
 * metrics, whose port others may have. more: further settings, as { "exporters.otlp_http/loki.…": value }.
 */
const settings = (port, more) => Object.entries({
	"receivers.faro.endpoint": `127.0.0.1:${port}`,
	"exporters.otlp_http/loki.encoding": "json",
	"exporters.otlp_http/tempo.encoding": "json",
	"service.telemetry.metrics.level": "none",
	...more,
}).flatMap(([name, value]) => ["--set", `${name}=${value}`]);

/* Returns { url, port, process, stores } once it takes beacons. */
export async function startCollector(stage, { more = {}, args = [] } = {}) {
	const stores = new Stores();
	stores.server.listen(0, "127.0.0.1");
	await once(stores.server, "listening");
	stage.after(() => {
		stores.server.closeAllConnections();
		stores.server.close();
	});
	const behind = `http://127.0.0.1:${stores.server.address().port}`;
	const env = { LOKI_OTLP_ENDPOINT: `${behind}/loki/otlp`, TEMPO_OTLP_ENDPOINT: `${behind}/tempo` };
	for (let attempt = 0; ; attempt++) {
		const port = await freePort();
		const process = stage.run("collector", binary, ["--config", configFile, ...settings(port, more), ...args], { env });
		try {
			await process.line(/Everything is ready/);
			return { url: `http://127.0.0.1:${port}`, port, process, stores };
		} catch (error) {
			if (attempt === 4 || !/address already in use/.test(process.stderr)) throw error;
		}
	}
}
