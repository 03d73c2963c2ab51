// SPDX-License-Identifier: Apache-2.0
/*
 * faro-ingest --check: each thing that can be wrong with a receiver, produced for real, its name in
 * `finding` and what to change in `remedy`. Names and name servers are in dns.test.mjs.
 */
import assert from "node:assert/strict";
import { once } from "node:events";
import { readFileSync, writeFileSync } from "node:fs";
import { createServer as createHttp } from "node:http";
import { createServer as createHttps } from "node:https";
import { createServer } from "node:net";
import { test } from "node:test";
import { createServer as createTls } from "node:tls";

import { get } from "./lib/client.mjs";
import { ingestEnv, runIngest, startIngest, startSink } from "./lib/faro.mjs";
import { mainConfig, makeDirectory, nginx, startNginx } from "./lib/nginx.mjs";
import { receiver } from "./lib/receiver.mjs";
import { freePort, ingestBinary, root, scenario } from "./lib/stage.mjs";
import { makeCertificate } from "./lib/tls.mjs";

const counts = async ({ url }) => JSON.parse((await get(new URL(url).port, "/-/counts")).text);

/* What was said, a key a word: { exit, finding, remedy, empty, … }. */
async function check(stage, url, { env, args = [] } = {}) {
	const { code, stdout, stderr } = await runIngest(stage, ["--check", ...args], { env: ingestEnv(url, env) });
	const text = stdout.toString();
	const said = Object.fromEntries(text.split("\n").filter(Boolean).map((line) => /^(look for|\S+) +(.*)$/.exec(line).slice(1)));
	return { exit: code, text, stderr, ...said };
}

async function expectFinding(stage, url, finding, remedy, options) {
	const said = await check(stage, url, options);
	assert.equal(said.finding?.split(":")[0], finding, said.text);
	assert.equal(said.exit, finding === "ok" ? 0 : 1, said.text);
	if (remedy) assert.match(said.remedy, remedy);
	else assert.equal(said.remedy, undefined);
	return said;
}

/* A server of node:net, node:tls or node:https; its port. */
async function listen(stage, server, host = "127.0.0.1") {
	const open = new Set();
	for (const event of ["connection", "secureConnection"])
		server.on(event, (socket) => {
			open.add(socket);
			socket.on("error", () => {});
			socket.on("close", () => open.delete(socket));
		});
	server.on("tlsClientError", () => {});
	server.listen(0, host);
	await once(server, "listening");
	stage.after(() => {
		for (const socket of open) socket.destroy();
		server.close();
	});
	return server.address().port;
}

const ready = (text, more = (request, response) => response.writeHead(404).end()) => (request, response) => {
	request.resume();
	request.on("end", () => (request.url === "/-/ready" ? response.end(text) : more(request, response)));
};

/* What a faro.receiver does with what --check sends. */
const asReceiver = (request, response) => {
	let body = "";
	request.on("data", (bytes) => { body += bytes; });
	request.on("end", () => {
		try {
			JSON.parse(body);
			response.writeHead(202).end("ok");
		} catch {
			response.writeHead(400).end("unexpected EOF\n");
		}
	});
};

/* A receiver behind TLS; `certificate` as openssl's arguments have it. */
async function startTlsReceiver(stage, certificate, server = {}) {
	const { key, cert, ca } = await makeCertificate(stage, certificate);
	return { port: await listen(stage, createHttps({ key, cert, ...server }, asReceiver)), ca };
}

scenario("a receiver that is as it should be: ok, exit 0, and nothing is stored", async (stage) => {
	const sink = await startSink(stage);
	const said = await expectFinding(stage, sink.url, "ok", null, { env: { FARO_MAX_DECODED_BYTES: "4MiB" } });
	assert.match(said.receiver, /^http:\/\/127\.0\.0\.1:\d+\/collect$/);
	assert.equal(said.name, "127.0.0.1 is 127.0.0.1");
	assert.match(said.empty, /^202 in \d+ ms: /);
	assert.match(said.garbage, /^400 in \d+ ms: /);
	assert.match(said.largest, /^202 in \d+ ms: /);
	assert.equal(said.warning, undefined);
	assert.equal(said.sent, undefined);
	assert.equal(said.stderr, "");
	const counted = await counts(sink);
	for (const kind of ["logs", "exceptions", "events", "measurements", "spans"]) assert.equal(counted[kind], 0, kind);
	const bodies = sink.bodies();
	assert.equal(bodies.length, 3);
	assert.equal(bodies[2].length, 4 * 1024 * 1024 + bodies[0].length - "{}".length, "what labels add is part of it");
});

scenario("a limit that only labels exceed, as where both have 5MiB: a warning, and exit 0", async (stage) => {
	const sink = await startSink(stage);
	const said = await expectFinding(stage, sink.url, "ok");
	assert.match(said.warning, /^too_large: The largest beacon fits, but not with its labels, here \d+ bytes.*lower FARO_MAX_DECODED_BYTES/);
	assert.match(said.text, /^largest +413 in .*\nlargest +202 in .*\nwarning /m);
	/* So much less is right. */
	const [, added] = /here (\d+) bytes/.exec(said.warning);
	const exact = await expectFinding(stage, sink.url, "ok", null, { env: { FARO_MAX_DECODED_BYTES: String(5 * 1024 * 1024 - added) } });
	assert.equal(exact.warning, undefined);
});

scenario("--send: one log and one span, labelled as a page's, found by the id that it prints", async (stage) => {
	const sink = await startSink(stage);
	const said = await expectFinding(stage, sink.url, "ok", null, { args: ["--send"] });
	assert.match(said.sent, /^202 in \d+ ms: /);
	const [, id] = /^context_check=([0-9a-f]{32}) /.exec(said["look for"]);
	const counted = await counts(sink);
	assert.deepEqual([counted.logs, counted.spans, counted.events], [1, 1, 0]);
	const { meta, logs, traces } = JSON.parse(sink.bodies().at(-1));
	assert.deepEqual(meta.app, { name: "shop", namespace: "web", environment: "test", version: "1.2.3" });
	assert.equal(logs[0].context.check, id);
	assert.equal(traces.resourceSpans[0].scopeSpans[0].spans[0].traceId, id);
	const attributes = Object.fromEntries(
		traces.resourceSpans[0].resource.attributes.map(({ key, value }) => [key, value.stringValue]));
	assert.equal(attributes["service.name"], "shop");
	assert.equal(attributes["service.namespace"], "web");
});

scenario("key and tenant go along, and the key is never shown", async (stage) => {
	writeFileSync(stage.path("key"), "s3cret\n");
	const behind = await receiver(stage);
	await check(stage, behind.url, { env: { FARO_UPSTREAM_API_KEY_FILE: stage.path("key"), FARO_UPSTREAM_TENANT: "web" } });
	assert.equal(behind.requests[0].headers["x-api-key"], "s3cret");
	assert.equal(behind.requests[0].headers["x-scope-orgid"], "web");
	assert.equal(behind.requests[0].headers["content-type"], "application/json");
	const sink = await startSink(stage, ["--api-key", "s3cret"]);
	const said = await expectFinding(stage, sink.url, "ok", null, { env: { FARO_UPSTREAM_API_KEY_FILE: stage.path("key") } });
	assert.doesNotMatch(said.text + said.stderr, /s3cret/);
});

scenario("a server that answers with what it was sent: its words are shown, the key is not", async (stage) => {
	const key = "s3cret-of-the-operator";
	writeFileSync(stage.path("key"), `${key}\n`);
	const behind = await receiver(stage);
	behind.status = 404;
	/* Whole, and cut at the end of what is kept of a reply. */
	for (const before of ["you sent:", "x".repeat(195)]) {
		behind.text = `${before}${key}`;
		const { empty } = await check(stage, behind.url, { env: { FARO_UPSTREAM_API_KEY_FILE: stage.path("key") } });
		assert.equal(/ms: (.*)$/.exec(empty)[1], before);
	}
});

scenario("nothing listens: refused", async (stage) => {
	const said = await expectFinding(stage, `http://127.0.0.1:${await freePort()}`, "refused", /listen_address = "0\.0\.0\.0".*listen_port.*Service/);
	assert.match(said.empty, /refused|Failed to connect/);
});

/* The backlog of such a listener is full after one connection: the kernel drops further ones. */
scenario("nobody answers the attempt to connect: connect_timeout", async (stage) => {
	const holder = stage.run("a full backlog", "python3", ["-c", `
import socket, sys
s = socket.socket(); s.bind(("127.0.0.1", 0)); s.listen(0)
held = [socket.socket() for _ in range(4)]
for h in held: h.setblocking(False); h.connect_ex(s.getsockname())
print("port", s.getsockname()[1], flush=True); sys.stdin.read()`], { stdio: ["pipe", "pipe", "pipe"] });
	const [, port] = await holder.said(/port (\d+)/);
	await expectFinding(stage, `http://127.0.0.1:${port}`, "connect_timeout", /NetworkPolicy.*FARO_UPSTREAM_CONNECT_TIMEOUT_MS/,
		{ env: { FARO_UPSTREAM_CONNECT_TIMEOUT_MS: "300" } });
});

scenario("connected, and silent: no_answer", async (stage) => {
	const sink = await startSink(stage, ["--silent"]);
	await expectFinding(stage, sink.url, "no_answer", /FARO_UPSTREAM_TIMEOUT_MS/, { env: { FARO_UPSTREAM_TIMEOUT_MS: "300" } });
});

scenario("a port that does not speak HTTP: not_http", async (stage) => {
	const port = await listen(stage, createServer((socket) => socket.end("SSH-2.0-OpenSSH_9.2\r\n")));
	await expectFinding(stage, `http://127.0.0.1:${port}`, "not_http", /12347.*4317/);
	/* As gRPC: the settings of HTTP/2, then the end. */
	const grpc = await listen(stage, createServer((socket) => socket.end(Buffer.from("000006040000000000000500004000", "hex"))));
	await expectFinding(stage, `http://127.0.0.1:${grpc}`, "not_http", /12347.*4317/);
	const closing = await listen(stage, createServer((socket) => socket.once("data", () => socket.destroy())));
	await expectFinding(stage, `http://127.0.0.1:${closing}`, "not_http", /12347/);
});

scenario("http:// on a TLS port: tls_port, whether it answers with an alert or with a 400", async (stage) => {
	const { port } = await startTlsReceiver(stage);
	await expectFinding(stage, `http://localhost:${port}`, "tls_port", /https:\/\/.*FARO_UPSTREAM_CA_FILE/);
	const dir = makeDirectory(stage, "nginx");
	const server = await startNginx(stage, dir, ({ port }) => mainConfig({
		dir, port: 1, server: `ssl_certificate ${stage.path("cert.pem")};\nssl_certificate_key ${stage.path("key.pem")};`,
	}).replace(/listen \S+;/, `listen 127.0.0.1:${port} ssl;`));
	const said = await expectFinding(stage, `http://localhost:${server.port}`, "tls_port", /https:\/\//);
	assert.match(said.empty, /^400 /);
});

scenario("https:// on a plain port: plain_port", async (stage) => {
	const sink = await startSink(stage);
	await expectFinding(stage, sink.url.replace("http:", "https:"), "plain_port", /http:\/\//);
	const behind = await receiver(stage);
	await expectFinding(stage, behind.url.replace("http:", "https:"), "plain_port", /http:\/\//);
});

scenario("TLS with a trusted certificate: ok", async (stage) => {
	const { port, ca } = await startTlsReceiver(stage);
	await expectFinding(stage, `https://localhost:${port}`, "ok", null, { env: { FARO_UPSTREAM_CA_FILE: ca } });
});

scenario("an unknown authority: tls_unknown_ca", async (stage) => {
	const { port } = await startTlsReceiver(stage);
	await expectFinding(stage, `https://localhost:${port}`, "tls_unknown_ca", /FARO_UPSTREAM_CA_FILE/);
});

scenario("another name in the certificate: tls_wrong_name", async (stage) => {
	const { port, ca } = await startTlsReceiver(stage, ["-days", "2", "-addext", "subjectAltName=DNS:alloy.other"]);
	await expectFinding(stage, `https://localhost:${port}`, "tls_wrong_name", /FARO_UPSTREAM_URL/, { env: { FARO_UPSTREAM_CA_FILE: ca } });
	await expectFinding(stage, `https://127.0.0.1:${port}`, "tls_wrong_name", /FARO_UPSTREAM_URL/, { env: { FARO_UPSTREAM_CA_FILE: ca } });
});

scenario("a certificate that is over: tls_expired", async (stage) => {
	/* openssl req only counts days from now; x509 takes a negative number of them. */
	const [key, request, cert] = ["old.key", "old.csr", "old.pem"].map((name) => stage.path(name));
	for (const args of [
		["req", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=localhost", "-keyout", key, "-out", request],
		["x509", "-req", "-in", request, "-signkey", key, "-days", "-1", "-out", cert],
	]) assert.equal((await stage.finish("openssl", "openssl", args)).code, 0);
	const port = await listen(stage, createHttps({ key: readFileSync(key), cert: readFileSync(cert) }, asReceiver));
	await expectFinding(stage, `https://localhost:${port}`, "tls_expired", /[Rr]enew.*clock/, { env: { FARO_UPSTREAM_CA_FILE: cert } });
});

scenario("a file that holds no certificates: tls_ca_file", async (stage) => {
	const { port } = await startTlsReceiver(stage);
	writeFileSync(stage.path("no.pem"), "-----BEGIN CERTIFICATE-----\nno certificate\n-----END CERTIFICATE-----\n");
	await expectFinding(stage, `https://localhost:${port}`, "tls_ca_file", /PEM/, { env: { FARO_UPSTREAM_CA_FILE: stage.path("no.pem") } });
});

scenario("a server that demands a certificate of the client, or an old TLS: tls", async (stage) => {
	const { port, ca } = await startTlsReceiver(stage, undefined, { requestCert: true, rejectUnauthorized: true });
	await expectFinding(stage, `https://localhost:${port}`, "tls", /client certificate/, { env: { FARO_UPSTREAM_CA_FILE: ca } });
	const old = await listen(stage, createTls({
		key: readFileSync(stage.path("key.pem")), cert: readFileSync(stage.path("cert.pem")),
		minVersion: "TLSv1.1", maxVersion: "TLSv1.1", ciphers: "DEFAULT@SECLEVEL=0",
	}));
	await expectFinding(stage, `https://localhost:${old}`, "tls", /TLS 1\.2/, { env: { FARO_UPSTREAM_CA_FILE: ca } });
});

for (const [what, status] of [["404", 404], ["405", 405], ["400", 400], ["200", 200], ["202 to everything", 202], ["204", 204]])
	scenario(`a server that is no receiver and answers ${what}: not_faro`, async (stage) => {
		const behind = await receiver(stage);
		behind.status = status;
		behind.text = "";
		await expectFinding(stage, behind.url, "not_faro", /12347.*3100.*2xx/);
	});

/* As port 4318 answers; anything that is JSON is 200 there, and nothing of it is kept. */
for (const args of [[], ["--send"]])
	scenario(`OTLP over HTTP: not_faro ${args}`, async (stage) => {
		const port = await listen(stage, createHttp((request, response) => asReceiver(request, {
			writeHead: (status) => {
				response.writeHead(status === 202 ? 200 : status, { "Content-Type": "application/json" });
				return { end: () => response.end(status === 202 ? '{"partialSuccess":{}}' : '{"code":3,"message":"unexpected EOF"}') };
			},
		})));
		const said = await expectFinding(stage, `http://127.0.0.1:${port}/v1/logs`, "not_faro", /4318 OTLP/, { args });
		assert.match(said.empty, /^200 /);
		assert.equal(said.sent, undefined);
	});

scenario("a collector's faroreceiver, which answers 200: ok", async (stage) => {
	const port = await listen(stage, createHttp((request, response) => asReceiver(request, {
		writeHead: (status) => response.writeHead(status === 202 ? 200 : status),
	})));
	await expectFinding(stage, `http://127.0.0.1:${port}`, "ok", null, { args: ["--send"] });
});

/* nginx, with FARO_PATH /faro, before a responder. */
async function startRoute(stage, env) {
	const sink = await startSink(stage);
	const ingest = await startIngest(stage, sink.url, { env: { FARO_MAX_DECODED_BYTES: "1MiB", ...env } });
	const server = await nginx(stage, { socket: ingest.socket });
	const through = (finding, remedy, more) => expectFinding(stage, sink.url, finding, remedy, {
		args: ["--through", `http://127.0.0.1:${server.port}`], env: { FARO_MAX_DECODED_BYTES: "1MiB", ...more },
	});
	return { ingest, sink, server, through };
}

scenario("--through: nginx, responder and receiver take a beacon, of which nothing is stored", async (stage) => {
	writeFileSync(stage.path("key"), "s3cret\n");
	const { through, sink, server } = await startRoute(stage);
	const said = await through("ok", null, { FARO_UPSTREAM_API_KEY_FILE: stage.path("key") });
	assert.match(said.through, /^202 in \d+ ms: a beacon to \/faro,/);
	assert.equal((await counts(sink)).logs, 0);
	assert.equal(sink.bodies().length, 4);
	await expectFinding(stage, sink.url, "ok", null,
		{ args: [`--through=http://127.0.0.1:${server.port}/`], env: { FARO_MAX_DECODED_BYTES: "1MiB" } });
});

scenario("--through: nginx has another path than FARO_PATH: route_not_found", async (stage) => {
	const { through } = await startRoute(stage, { FARO_PATH: "/rum" });
	const said = await through("route_not_found", /nginx's path.*FARO_PATH/, { FARO_PATH: "/rum" });
	assert.match(said.through, /^404 /);
});

scenario("--through: the responder has another path than nginx and this check: route_other_path", async (stage) => {
	const { through } = await startRoute(stage, { FARO_PATH: "/rum" });
	const said = await through("route_other_path", /FARO_PATH that nginx has/);
	assert.match(said.through, /^404 .*"reason":"not_found"/);
});

scenario("--through: the responder is gone: route_refused", async (stage) => {
	const { through, ingest } = await startRoute(stage);
	await ingest.process.stop("SIGTERM");
	const said = await through("route_refused", /When telemetry stops/);
	assert.match(said.through, /^503 .*"reason":"responder_unavailable"/);
});

scenario("--through: nothing answers there, or a page: route_no_answer, route_not_found", async (stage) => {
	const sink = await startSink(stage);
	const env = { FARO_MAX_DECODED_BYTES: "1MiB" };
	const at = (port) => ["--through", `http://127.0.0.1:${port}`];
	await expectFinding(stage, sink.url, "route_no_answer", /nginx itself listens/, { env, args: at(await freePort()) });
	for (const [status, headers] of [[200, {}], [301, { Location: "https://shop.example/faro" }], [405, {}]]) {
		const page = await listen(stage, createHttp((request, response) => response.writeHead(status, headers).end("<!doctype html>")));
		await expectFinding(stage, sink.url, "route_not_found", /redirect/, { env, args: at(page) });
	}
});

scenario("Alloy's own port: alloy_port", async (stage) => {
	const port = await listen(stage, createHttp(ready("Alloy is ready.\n")));
	await expectFinding(stage, `http://127.0.0.1:${port}`, "alloy_port", /listen_port/);
});

scenario("another path of a receiver: wrong_path", async (stage) => {
	const sink = await startSink(stage);
	await expectFinding(stage, sink.url.replace("/collect", "/faro/collect"), "wrong_path", /\/collect/);
	await expectFinding(stage, sink.url.replace("/collect", "/-/ready"), "wrong_path", /\/collect/);
});

scenario("a key that is missing, or another: api_key", async (stage) => {
	const sink = await startSink(stage, ["--api-key", "right"]);
	const said = await expectFinding(stage, sink.url, "api_key", /FARO_UPSTREAM_API_KEY_FILE/);
	assert.match(said.empty, /^401 in \d+ ms: API key not provided or incorrect$/);
	writeFileSync(stage.path("key"), "wrong\n");
	await expectFinding(stage, sink.url, "api_key", /api_key/, { env: { FARO_UPSTREAM_API_KEY_FILE: stage.path("key") } });
});

for (const [status, finding, remedy] of [
	[403, "forbidden", /mesh.*FARO_UPSTREAM_TENANT/], [429, "throttled", /rate_limiting.*per_app.*FARO_SPOOL_DIR/],
	[500, "server_error", /logs/], [503, "server_error", /pods are ready/]])
	scenario(`a receiver that answers ${status}: ${finding}`, async (stage) => {
		const sink = await startSink(stage, ["--status", String(status)]);
		await expectFinding(stage, sink.url, finding, remedy);
	});

scenario("a limit of rate that is reached in the middle of the check: throttled", async (stage) => {
	const sink = await startSink(stage, ["--rate", "1"]);
	const said = await expectFinding(stage, sink.url, "throttled", /burst_size/, { args: ["--send"] });
	assert.match(said.empty, /^202/);
});

scenario("a redirect: where to", async (stage) => {
	const behind = await receiver(stage);
	behind.status = 308;
	behind.headers = { Location: "https://alloy.example/collect" };
	const said = await expectFinding(stage, behind.url, "redirect", /final address/);
	assert.equal(said.empty, "308, to https://alloy.example/collect");
	assert.equal(behind.requests.length, 1);
});

scenario("a proxy with a lower limit, and the receiver's own: too_large", async (stage) => {
	const sink = await startSink(stage);
	const dir = makeDirectory(stage, "nginx");
	const proxy = await startNginx(stage, dir, ({ port }) => mainConfig({
		dir, port, server: `client_max_body_size 1m;\nlocation / { proxy_pass ${new URL(sink.url).origin}; }`,
	}));
	const said = await expectFinding(stage, `http://127.0.0.1:${proxy.port}`, "too_large", /FARO_MAX_DECODED_BYTES.*max_allowed_payload_size/);
	assert.match(said.empty, /^202/);
	assert.match(said.largest, /^413/);
	await expectFinding(stage, sink.url, "too_large", /FARO_MAX_BODY_BYTES/, { env: { FARO_MAX_DECODED_BYTES: "6MiB" } });
	await expectFinding(stage, sink.url, "ok", null, { env: { FARO_MAX_BODY_BYTES: "1KiB", FARO_MAX_DECODED_BYTES: "1" } });
});

/* As the OpenTelemetry Collector's faroreceiver does it; tests/collector has the real one. */
scenario("a receiver that answers 400 above its limit: too_large, and not not_faro", async (stage) => {
	const limit = 1024 * 1024;
	const port = await listen(stage, createHttp(async (request, response) => {
		let text = "";
		for await (const chunk of request) text += chunk;
		const isTaken = text.endsWith("}") && text.length <= limit;
		response.writeHead(isTaken ? 202 : 400).end(isTaken ? "" : '{"message":"no"}');
	}));
	const url = `http://127.0.0.1:${port}`;
	const said = await expectFinding(stage, url, "too_large", /FARO_MAX_DECODED_BYTES.*max_request_body_size/);
	assert.match(said.largest, /^400/);
	const close = await expectFinding(stage, url, "ok", null, { env: { FARO_MAX_DECODED_BYTES: String(limit) } });
	assert.match(close.warning, /^too_large: /);
});

scenario("a hostile answer: one line, masked, and not more of it than a line", async (stage) => {
	const behind = await receiver(stage);
	behind.status = 500;
	behind.text = `\x1b[2J\x07${"x".repeat(1e6)}\nfinding   ok: forged`;
	const said = await expectFinding(stage, behind.url, "server_error", /logs/);
	assert.match(said.empty, /^500 in \d+ ms: \\x1b\[2J\\x07x{100,200}$/);
	assert.equal(said.text.split("\n").filter((line) => line.startsWith("finding")).length, 1);
});

scenario("bad settings exit 2; --send and --through go with --check only", async (stage) => {
	const bad = await check(stage, "ftp://alloy");
	assert.equal(bad.exit, 2);
	assert.match(bad.stderr, /FARO_UPSTREAM_URL/);
	const { code, stderr } = await runIngest(stage, ["--send"], { env: ingestEnv("http://alloy") });
	assert.equal(code, 2);
	assert.match(stderr, /--send: expected only together with --check/);
	const alone = await runIngest(stage, ["--through", "http://127.0.0.1"], { env: ingestEnv("http://alloy") });
	assert.equal(alone.code, 2);
	assert.match(alone.stderr, /--through: expected only together with --check/);
	for (const url of ["127.0.0.1:8080", "http://", "http://a/faro", "http://u@a", "ftp://a", "http://a b"]) {
		const wrong = await runIngest(stage, ["--check", "--through", url], { env: ingestEnv("http://alloy") });
		assert.equal(wrong.code, 2, url);
		assert.match(wrong.stderr, /--through expects nginx's address without a path/);
	}
});

scenario("what was found cannot be written: exit 1, and a word about it", async (stage) => {
	const sink = await startSink(stage);
	const { code, stderr } = await stage.finish("--check >/dev/full", "sh", ["-c", '"$0" --check >/dev/full', ingestBinary],
		{ env: ingestEnv(sink.url) });
	assert.equal(code, 1);
	assert.match(stderr, /cannot be written/);
});

scenario("an IPv6 address, in brackets", async (stage) => {
	const sink = await startSink(stage, ["--listen", "[::1]:0"]);
	const said = await expectFinding(stage, sink.url.replace("/collect", "/other"), "wrong_path", /\/collect/);
	assert.equal(said.name, "::1 is ::1");
});

scenario("beside a responder that serves: neither disturbs the other", async (stage) => {
	const sink = await startSink(stage);
	const ingest = await startIngest(stage, sink.url, { env: { FARO_SPOOL_DIR: stage.path("spool") } });
	await expectFinding(stage, sink.url, "ok", null, { env: { FARO_SPOOL_DIR: stage.path("spool") } });
	assert.equal(ingest.process.ended, undefined);
});

/* The manual has a row for each finding, and this file produces each. */
test("every finding is in the manual and in a test", () => {
	const table = readFileSync(`${root}/src/check/finding.c`, "utf8");
	const manual = readFileSync(`${root}/man/faro-ingest.8`, "utf8");
	const tests = readFileSync(new URL(import.meta.url), "utf8") + readFileSync(new URL("dns.test.mjs", import.meta.url), "utf8");
	const names = [...table.matchAll(/\[FINDING_\w+\] = \{\s*"(\w+)"/g)].map(([, name]) => name);
	assert.equal(names.length, 29);
	for (const name of names) {
		assert.match(manual, new RegExp(`^\\.It Cm ${name}$`, "m"));
		/* Of "local", memory that runs out, there is no more than the manual's row. */
		if (name !== "local") assert.ok(tests.includes(`"${name}"`), name);
	}
});
