// SPDX-License-Identifier: Apache-2.0
/* faro-ingest and faro-sink as processes, and what they tell about themselves. */
import { readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { deflateRawSync, deflateSync, gzipSync } from "node:zlib";

import { get } from "./client.mjs";
import { ingestBinary, root, sinkBinary } from "./stage.mjs";

/* Sanitizers are told by variables of their own. */
const inherited = Object.fromEntries(
	Object.entries(process.env).filter(([name]) => /^(ASAN|UBSAN|TSAN|LSAN)_OPTIONS$/.test(name)));

export function ingestEnv(upstreamUrl, more = {}) {
	const env = {
		...inherited,
		OTEL_SERVICE_NAME: "shop",
		OTEL_RESOURCE_ATTRIBUTES: "service.namespace=web,deployment.environment.name=test,service.version=1.2.3",
		...more,
	};
	if (upstreamUrl) env.FARO_UPSTREAM_URL = upstreamUrl;
	return env;
}

/* With its own listener, serving when this returns. */
export async function startIngest(stage, upstreamUrl, { env, socket = stage.path("faro.sock"), args = [] } = {}) {
	const process = stage.run("faro-ingest", ingestBinary,
		["--listen", `unix:${socket}`, "--listen-mode", "0666", ...args], { env: ingestEnv(upstreamUrl, env) });
	await process.line(/event=started/);
	return { process, socket };
}

export async function startSpawned(stage, upstreamUrl, { env, socket = stage.path("spawned.sock") } = {}) {
	const process = stage.run("spawn-fcgi faro-ingest", "spawn-fcgi",
		["-n", "-M", "0666", "-s", socket, "--", ingestBinary], { env: ingestEnv(upstreamUrl, env) });
	await process.line(/event=started/);
	return { process, socket };
}

/* To its end, as a CGI server would call it. */
export function runCgi(stage, upstreamUrl, variables, body, env, args = []) {
	return stage.finish("faro-ingest as CGI", ingestBinary, args,
		{ env: { ...ingestEnv(upstreamUrl, env), ...variables }, stdin: body });
}

export function runIngest(stage, args, { env = {}, stdin } = {}) {
	return stage.finish(`faro-ingest ${args.join(" ")}`, ingestBinary, args, { env: { ...inherited, ...env }, stdin });
}

export async function startSink(stage, args = []) {
	const saved = stage.path(`saved-${stage.processes.length}`);
	const process = stage.run("faro-sink", sinkBinary,
		["--listen", "127.0.0.1:0", "--save", saved, "--quiet", ...args], { env: inherited });
	const [, url] = await process.line(/listening on (http:\S+)/);
	return {
		process, url,
		/* The bodies as they came, in their order. */
		bodies: () => readdirSync(saved).filter((name) => name.endsWith(".json")).sort()
			.map((name) => readFileSync(join(saved, name))),
	};
}

/* The status port's numbers by name and labels: metric("rejected_total", "empty"). */
export async function metrics(server) {
	const { status, text } = await get(server.statusPort, "/metrics");
	if (status !== 200) throw new Error(`/metrics answered ${status}: ${text}`);
	const values = new Map();
	for (const line of text.split("\n")) {
		const match = /^faro_ingest_(\w+)(?:\{(.*)\})? (\S+)$/.exec(line);
		if (match) values.set(match[2] ? `${match[1]}{${match[2]}}` : match[1], Number(match[3]));
	}
	return { text, get: (name, label) => values.get(label ? `${name}{${label}}` : name) };
}

export const beacon = (name) => readFileSync(join(root, "examples/beacons", name));

/* A valid beacon of exactly `size` bytes, filled up with text that does or does not compress. */
export function beaconOfSize(size, fill = "x") {
	const head = '{"meta":{"app":{"name":"shop"}},"logs":[{"message":"';
	const tail = '","level":"info","timestamp":"2026-01-02T03:04:05.678Z"}]}';
	return Buffer.from(head + fill.repeat(size).slice(0, size - head.length - tail.length) + tail);
}

export const smallBeacon = Buffer.from(
	'{"meta":{"app":{"name":"shop","version":"9"},"session":{"id":"s1"}},' +
	'"logs":[{"message":"hello","level":"info","timestamp":"2026-01-02T03:04:05.678Z"}]}');

/* Every coding a browser may send; the header, and the bytes. */
export const codings = {
	plain: { header: undefined, encode: (bytes) => bytes },
	gzip: { header: "gzip", encode: (bytes) => gzipSync(bytes) },
	zlib: { header: "deflate", encode: (bytes) => deflateSync(bytes) },
	raw: { header: "deflate", encode: (bytes) => deflateRawSync(bytes) },
};

export const codingHeaders = ({ header }) => (header ? { "Content-Encoding": header } : {});
