// SPDX-License-Identifier: Apache-2.0
/*
 * What leaves the relay, as bytes on the wire: whatever a browser or a neighbour puts into a request, the
 * receiver is sent exactly what a plain request makes.
 */
import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer } from "node:net";
import { gzipSync } from "node:zlib";

import { raw } from "./lib/client.mjs";
import { FastcgiClient, beaconParams } from "./lib/fastcgi.mjs";
import { smallBeacon, startIngest } from "./lib/faro.mjs";
import { nginx } from "./lib/nginx.mjs";
import { scenario } from "./lib/stage.mjs";

/*
 * A receiver that keeps every byte and parses as little as it can: a request ends where its Content-Length
 * says, and is answered 202. What follows it is kept for the next look, so nothing can hide there.
 */
async function wiretap(stage) {
	const tap = { bytes: Buffer.alloc(0), answered: 0 };
	const sockets = new Set();
	const server = createServer((socket) => {
		let unanswered = Buffer.alloc(0);
		sockets.add(socket);
		socket.on("error", () => {});
		socket.on("data", (chunk) => {
			tap.bytes = Buffer.concat([tap.bytes, chunk]);
			unanswered = Buffer.concat([unanswered, chunk]);
			const end = unanswered.indexOf("\r\n\r\n");
			const length = Number(/\r\ncontent-length: *(\d+)\r\n/i.exec(unanswered.toString("latin1"))?.[1]);
			if (end < 0 || !(unanswered.length >= end + 4 + length)) return;
			unanswered = unanswered.subarray(end + 4 + length);
			tap.answered++;
			socket.write("HTTP/1.1 202 Accepted\r\nContent-Length: 2\r\n\r\nok");
		});
	});
	server.listen(0, "127.0.0.1");
	await once(server, "listening");
	stage.after(() => {
		server.close();
		for (const socket of sockets) socket.destroy();
	});
	tap.url = `http://127.0.0.1:${server.address().port}`;
	tap.take = () => {
		const { bytes } = tap;
		tap.bytes = Buffer.alloc(0);
		return bytes.toString("latin1");
	};
	return tap;
}

async function start(stage, env) {
	const tap = await wiretap(stage);
	return { tap, ...await startIngest(stage, tap.url, { env }) };
}

const requestBytes = (lines, body) => Buffer.concat([
	Buffer.from(["POST /faro/collect HTTP/1.1", "Host: shop.example", "Connection: close",
		"Content-Type: application/json", `Content-Length: ${body.length}`, ...lines, "", ""].join("\r\n"), "latin1"),
	body,
]);

/* Eight cookies of 8 KiB are more than nginx takes by default. */
const COOKIES = Array.from({ length: 8 }, (_, i) => `c${i}=${"x".repeat(8192)}`);
const roomForCookies = "large_client_header_buffers 16 16k;";

const CLIENT_HEADERS = [
	["64 KiB of cookies", COOKIES.map((text) => `Cookie: ${text}`)],
	["a control byte", ["X-Faro-Session-Id: a\x01b"]],
	["every control byte", Array.from({ length: 31 }, (_, i) => i + 1).filter((c) => c !== 10 && c !== 13)
		.map((c) => `X-C${c}: ${String.fromCharCode(c)}`)],
	["a bare CR in a value", ["X-Faro-Session-Id: a\rX-Scope-OrgID: other"]],
	["a bare LF in a value, which nginx takes for the end of a line", ["X-Other: a\nX-Scope-OrgID: other"]],
	["CR LF written as an escape", ["X-Faro-Session-Id: a%0d%0aX-Scope-OrgID:%20other"]],
	["CR LF in the key of idempotency, written as UTF-8 that folds to it", ["Idempotency-Key: a\xc4\x8d\xc4\x8ab"]],
	["a folded line", ["X-Faro-Session-Id: a", "\tX-Scope-OrgID: other"]],
	["a session id of 513 bytes", [`X-Faro-Session-Id: ${"s".repeat(513)}`]],
	["a tenant", ["X-Scope-OrgID: other"]], ["a key", ["x-api-key: stolen"]], ["a key with another spelling", ["X_API_KEY: stolen"]],
	["httpoxy", ["Proxy: http://evil.example:1"]],
	["credentials", ["Authorization: Bearer x", "Proxy-Authorization: Basic eDp5"]],
	["hop-by-hop headers", ["Keep-Alive: timeout=9999", "TE: trailers", "Trailer: X-Scope-OrgID", "Upgrade: h2c"]],
	["headers that Connection names", ["Connection: X-Faro-Session-Id, Content-Length"]],
	["another length", ["X-Content-Length: 1", "Content_Length: 1"]],
	["forwarding", ["X-Forwarded-For: 127.0.0.1", "X-Forwarded-Host: evil", "Forwarded: for=127.0.0.1", "Via: 1.1 evil"]],
	["another target", ["X-Original-URL: /admin", "X-Rewrite-URL: /admin", "X-HTTP-Method-Override: DELETE"]],
	["Expect", ["Expect: 100-continue"]],
	["bad trace context", ["Traceparent: 00-zz", "Tracestate: a=b", "Baggage: a=b"]],
	["Accept and User-Agent with escapes", ["Accept: */*\x1b[2J", "User-Agent: \x1b]0;x\x07"]],
	["names of our own parameters", ["FARO_ENDPOINT: metrics", "Faro-Endpoint: metrics", "SCRIPT-NAME: /x", "HTTP_HOST: evil"]],
];

scenario("hostile headers through nginx: the receiver's bytes are those of a plain request", async (stage) => {
	const { tap, socket } = await start(stage);
	const { port } = await nginx(stage, { socket, server: roomForCookies });
	assert.match(await raw(port, requestBytes([], smallBeacon), { end: false }), /^HTTP\/1.1 202 /);
	const plain = tap.take();
	let through = 0;
	for (const [what, lines] of CLIENT_HEADERS) {
		const answer = await raw(port, requestBytes(lines, smallBeacon), { end: false });
		const sent = tap.take();
		/* What nginx refuses by itself reaches nobody. */
		if (/^HTTP\/1.1 400 /.test(answer)) assert.equal(sent, "", what);
		else {
			assert.match(answer, /^(HTTP\/1.1 100 Continue\r\n\r\n)?HTTP\/1.1 202 /, what);
			assert.equal(sent, plain, what);
			through++;
		}
	}
	assert.ok(through >= CLIENT_HEADERS.length - 4, `${through} got through`);
});

scenario("Transfer-Encoding and Content-Encoding, once or twice: the bytes of a plain request, or none", async (stage) => {
	const { tap, socket } = await start(stage);
	const { port } = await nginx(stage, { socket });
	assert.match(await raw(port, requestBytes([], smallBeacon), { end: false }), /^HTTP\/1.1 202 /);
	const plain = tap.take();
	const chunked = (body) => Buffer.concat([Buffer.from(`${body.length.toString(16)}\r\n`), body, Buffer.from("\r\n0\r\n\r\n")]);
	const packed = gzipSync(smallBeacon);
	const head = ["POST /faro/collect HTTP/1.1", "Host: shop.example", "Connection: close", "Content-Type: application/json"];
	const ask = (lines, body) => raw(port, Buffer.concat([Buffer.from([...head, ...lines, "", ""].join("\r\n")), body]), { end: false });
	for (const [lines, body, mayPass] of [
		[["Transfer-Encoding: chunked"], chunked(smallBeacon), true],
		[["Transfer-Encoding: chunked", "Content-Encoding: gzip"], chunked(packed), true],
		[["Transfer-Encoding: chunked", "Content-Length: 5"], chunked(smallBeacon)],
		[["Transfer-Encoding: gzip, chunked"], chunked(packed)],
		[["Transfer-Encoding: identity", `Content-Length: ${smallBeacon.length}`], smallBeacon],
		[["Content-Encoding: gzip, gzip", `Content-Length: ${packed.length}`], packed],
		[["Content-Encoding: gzip", "Content-Encoding: gzip", `Content-Length: ${packed.length}`], packed, true],
		[["Content-Encoding: identity", "Content-Encoding: gzip", `Content-Length: ${smallBeacon.length}`], smallBeacon, true],
		[["Content-Encoding: x-gzip", `Content-Length: ${packed.length}`], packed],
		[["Content-Encoding: gzip;q=1", `Content-Length: ${packed.length}`], packed],
	]) {
		const answer = await ask(lines, body);
		assert.match(answer, mayPass ? /^HTTP\/1.1 (202|4\d\d) / : /^HTTP\/1.1 [45]\d\d /, lines.join(", "));
		assert.equal(tap.take(), / 202 /.test(answer.slice(0, 20)) ? plain : "", lines.join(", "));
	}
});

const PARAMETERS = [
	["a session id with CR LF", { HTTP_X_FARO_SESSION_ID: "a\r\nX-Scope-OrgID: other" }],
	["a session id that ends in CR", { HTTP_X_FARO_SESSION_ID: "a\r" }],
	["a session id with NUL", { HTTP_X_FARO_SESSION_ID: "a\0b" }],
	["a session id of high bytes", { HTTP_X_FARO_SESSION_ID: "\u00ff\u0100" }],
	["a key with LF", { HTTP_IDEMPOTENCY_KEY: "k\nHost: evil" }],
	["a key of 100000 bytes", { HTTP_IDEMPOTENCY_KEY: "k".repeat(100_000) }],
	["a trace context with a request in it", { HTTP_TRACEPARENT: "00-\r\n\r\nGET / HTTP/1.1\r\n\r\n" }],
	["64 KiB of cookies and every credential", {
		HTTP_COOKIE: COOKIES.join("; "), HTTP_AUTHORIZATION: "x", HTTP_PROXY: "http://evil", HTTP_X_SCOPE_ORGID: "o",
		HTTP_X_API_KEY: "k", HTTP_CONNECTION: "close", HTTP_TRANSFER_ENCODING: "chunked", HTTP_EXPECT: "100-continue",
		HTTP_UPGRADE: "h2c", HTTP_TE: "trailers", HTTP_CONTENT_LENGTH: "1",
	}],
	["our settings", { FARO_UPSTREAM_URL: "http://evil", FARO_UPSTREAM_TENANT: "evil", OTEL_SERVICE_NAME: "evil" }],
	["the environment of libcurl and the resolver", {
		http_proxy: "http://evil", ALL_PROXY: "http://evil", CURL_CA_BUNDLE: "/evil", RES_OPTIONS: "debug", LOCALDOMAIN: "evil",
	}],
	["another host", { HTTP_HOST: "evil\r\nX: y" }], ["another protocol", { SERVER_PROTOCOL: "HTTP/1.1\r\nX: y" }],
	["a query", { QUERY_STRING: "a=b\r\nX: y", REQUEST_URI: "/evil\r\nX: y", DOCUMENT_URI: "/evil" }],
	["an empty name", { "": "x" }],
];

scenario("hostile parameters over FastCGI: the receiver's bytes are those of a plain request, or none", async (stage) => {
	const { tap, socket } = await start(stage);
	const ask = async (more) => {
		const client = await FastcgiClient.open(socket);
		const reply = await client.send(beaconParams(smallBeacon.length, more), smallBeacon);
		client.close();
		return reply;
	};
	assert.equal((await ask({})).status, 202);
	const plain = tap.take();
	assert.match(plain, /^POST \/collect HTTP\/1.1\r\n/);
	for (const [what, more] of PARAMETERS) {
		const reply = await ask(more);
		assert.ok(!reply || reply.status === 202 || (reply.status >= 400 && reply.status < 500), `${what}: ${reply?.status}`);
		assert.equal(tap.take(), reply?.status === 202 ? plain : "", what);
	}
	assert.equal((await ask({})).status, 202);
	assert.equal(tap.take(), plain);
});

/* The three that are passed on are written by us, so that these bytes are all that can change. */
scenario("what is passed on changes its own line and no other byte", async (stage) => {
	const { tap, socket } = await start(stage, { FARO_UPSTREAM_TENANT: "ours" });
	const client = await FastcgiClient.open(socket);
	stage.after(() => client.close());
	const linesOf = async (more) => {
		assert.equal((await client.send(beaconParams(smallBeacon.length, more), smallBeacon)).status, 202);
		return tap.take().split("\r\n");
	};
	const plain = await linesOf({});
	assert.equal(plain.filter((line) => /^x-scope-orgid: ours$/i.test(line)).length, 1);
	for (const [name, value] of [
		["x-faro-session-id", "Fededwvm4e"], ["idempotency-key", "0190c0de-1111-7222-8333-444455556666"],
		["traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"],
	]) {
		const lines = await linesOf({ [`HTTP_${name.toUpperCase().replaceAll("-", "_")}`]: value });
		const added = lines.filter((line) => !plain.includes(line));
		assert.deepEqual(added.map((line) => line.toLowerCase()), [`${name}: ${value}`.toLowerCase()]);
		assert.deepEqual(lines.filter((line) => !added.includes(line)), plain);
	}
});
