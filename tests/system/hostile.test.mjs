// SPDX-License-Identifier: Apache-2.0
/* Whatever else a request says, the receiver gets what it gets from a plain one. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { gzipSync } from "node:zlib";

import { post, raw } from "./lib/client.mjs";
import { FastcgiClient, beaconParams, requestBytes } from "./lib/fastcgi.mjs";
import { metrics, runCgi, smallBeacon, startIngest } from "./lib/faro.mjs";
import { nginx } from "./lib/nginx.mjs";
import { isSanitized } from "./lib/process.mjs";
import { receiver } from "./lib/receiver.mjs";
import { ingestBinary, scenario } from "./lib/stage.mjs";

async function start(stage, env) {
	const behind = await receiver(stage);
	const ingest = await startIngest(stage, behind.url, { env });
	return { behind, ingest, socket: ingest.socket, ...await nginx(stage, { socket: ingest.socket }) };
}

/* Header lines in their order and spelling, and the body. */
const wire = ({ method, url, rawHeaders, body }) => JSON.stringify([method, url, rawHeaders, body.toString("latin1")]);

const request = (lines, body) => Buffer.concat([
	Buffer.from(["POST /faro/collect HTTP/1.1", "Host: shop.example", "Connection: close",
		"Content-Type: application/json", `Content-Length: ${body.length}`, ...lines, "", ""].join("\r\n"), "latin1"),
	body,
]);

scenario("headers that mean something elsewhere do not change a byte at the receiver", async (stage) => {
	const server = await start(stage);
	assert.match(await raw(server.port, request([], smallBeacon), { end: false }), /^HTTP\/1.1 202 /);
	const plain = wire(server.behind.last);
	const hostile = [
		["Proxy: http://evil.example:1"], ["X-Scope-OrgID: other"], ["x-api-key: stolen"], ["Authorization: Bearer x"],
		["Cookie: a=b", `Cookie: ${"c".repeat(6000)}`], ["X-Forwarded-For: 127.0.0.1", "Forwarded: for=127.0.0.1"],
		["Expect: 100-continue"], ["TE: trailers", "Trailer: Host"], ["Upgrade: h2c"], ["X-HTTP-Method-Override: DELETE"],
		["FARO_ENDPOINT: metrics"], ["Faro-Endpoint: metrics"], ["HTTP_CONTENT_ENCODING: br"], ["Content_Length: 1"],
		["X-Faro-Session-Id: a b\tc"], ["X-Faro-Session-Id: \xff\xfe"], [`X-Faro-Session-Id: ${"s".repeat(4000)}`],
		["Idempotency-Key: a\x01b"], ["Idempotency-Key: \x7f"], ["Traceparent: no"], ["Traceparent: 00-x\x1b[31m-y-01"],
		["Accept-Encoding: br", "Accept: text/html", "User-Agent: \x1b]0;x\x07"], ["Referer: https://evil.example/\x01"],
		["Content-Encoding: "], ["Origin: "], ["Sec-Fetch-Site: "],
	];
	for (const lines of hostile) {
		const before = server.behind.requests.length;
		const answer = await raw(server.port, request(lines, smallBeacon), { end: false });
		/* nginx refuses some of them itself; what goes through is the same as a plain one. */
		if (!/^HTTP\/1.1 4/.test(answer)) {
			assert.match(answer, /HTTP\/1.1 202 /, lines[0]);
			assert.equal(wire(server.behind.last), plain, lines[0]);
		}
		assert.ok(server.behind.requests.length <= before + 1, lines[0]);
	}
	assert.ok(server.behind.requests.length > hostile.length / 2);
});

scenario("the three headers that are passed on reach the receiver as they came, and only once", async (stage) => {
	const server = await start(stage);
	const passed = {
		"x-faro-session-id": "Fededwvm4e", "idempotency-key": "0190c0de-1111-7222-8333-444455556666",
		traceparent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
	};
	assert.equal((await post(server.port, smallBeacon, passed)).status, 202);
	const { headers, rawHeaders } = server.behind.last;
	for (const [name, value] of Object.entries(passed)) {
		assert.equal(headers[name], value);
		assert.equal(rawHeaders.filter((text) => text.toLowerCase() === name).length, 1);
	}
});

scenario("a request of two readings is refused, or has one", async (stage) => {
	const server = await start(stage);
	const n = smallBeacon.length;
	const chunked = `${n.toString(16)}\r\n${smallBeacon}\r\n0\r\n\r\n`;
	const cases = [
		["Transfer-Encoding: chunked", "Content-Length: 5"], ["Transfer-Encoding: chunked", "Transfer-Encoding: chunked"],
		["Transfer-Encoding: gzip, chunked"], ["Transfer-Encoding: xchunked"], ["Transfer-Encoding : chunked"],
		["Content-Length: 0", `Content-Length: ${n}`],
	];
	for (const lines of cases) {
		const head = ["POST /faro/collect HTTP/1.1", "Host: shop.example", "Connection: close",
			"Content-Type: application/json", ...lines, "", ""].join("\r\n");
		const answer = await raw(server.port, head + chunked, { end: false });
		assert.match(answer, /^HTTP\/1.1 [45]\d\d /, lines.join(", "));
	}
	assert.equal(server.behind.requests.length, 0);
});

/* nginx before 1.23 hands on the first of several headers of a name, later ones join them. */
scenario("Content-Encoding twice is refused, or has one reading with the bytes of a plain request", async (stage) => {
	const server = await start(stage);
	assert.equal((await post(server.port, smallBeacon)).status, 202);
	const plain = wire(server.behind.last);
	for (const [first, second] of [["gzip", "identity"], ["identity", "gzip"], ["gzip", "gzip"]]) {
		const lines = [`Content-Encoding: ${first}`, `Content-Encoding: ${second}`];
		for (const body of [smallBeacon, gzipSync(smallBeacon)]) {
			const answer = await raw(server.port, request(lines, body), { end: false });
			assert.match(answer, /^HTTP\/1.1 (202|400|415) /, lines.join(", "));
			assert.equal(wire(server.behind.last), plain, lines.join(", "));
		}
	}
	const before = server.behind.requests.length;
	const twice = gzipSync(gzipSync(smallBeacon));
	assert.equal((await post(server.port, twice, { "Content-Encoding": "gzip" })).json.reason, "bad_json");
	assert.equal(server.behind.requests.length, before);
});

scenario("FastCGI variables with control bytes, of any length, or unknown to us change nothing", async (stage) => {
	const { behind, socket, ingest } = await start(stage);
	const client = await FastcgiClient.open(socket);
	stage.after(() => client.close());
	const ask = (more) => client.send(beaconParams(smallBeacon.length, more), smallBeacon);
	assert.equal((await ask({})).status, 202);
	const plain = wire(behind.last);
	for (const more of [
		{ HTTP_X_FARO_SESSION_ID: "a\r\nX-Scope-OrgID: other" }, { HTTP_IDEMPOTENCY_KEY: "k\nHost: evil" },
		{ HTTP_TRACEPARENT: "00-\r\n\r\nGET / HTTP/1.1" }, { HTTP_X_FARO_SESSION_ID: "x".repeat(100_000) },
		{ HTTP_COOKIE: "a=b", HTTP_AUTHORIZATION: "x", HTTP_PROXY: "http://evil", HTTP_X_SCOPE_ORGID: "o", HTTP_X_API_KEY: "k" },
		{ FARO_UPSTREAM_URL: "http://evil", OTEL_SERVICE_NAME: "evil", http_proxy: "http://evil" },
		Object.fromEntries(Array.from({ length: 2000 }, (_, i) => [`HTTP_X_${i}`, "v"])),
	]) {
		assert.equal((await ask(more)).status, 202, Object.keys(more)[0]);
		assert.equal(wire(behind.last), plain, Object.keys(more)[0]);
	}
	for (const more of [
		{ FARO_ENDPOINT: "shutdown" }, { SCRIPT_NAME: `/faro/${"a".repeat(100_000)}` }, { SCRIPT_NAME: "/faro\r\n/collect" },
		{ REQUEST_METHOD: "POST\r\nX: y" }, { HTTP_CONTENT_ENCODING: "gzip\0" }, { CONTENT_TYPE: "application/json\r\nX: y" },
		{ HTTP_ORIGIN: "https://evil.example\r\nX: y" },
	]) {
		const reply = await ask(more);
		assert.ok(reply.status >= 400 && reply.status < 500, `${JSON.stringify(more).slice(0, 80)}: ${reply.status}`);
		assert.doesNotMatch(JSON.stringify(reply.headers), /"x"/);
	}
	assert.doesNotMatch(ingest.process.stderr, /[\0-\x09\x0b-\x1f\x7f]/, "no control bytes in the log");
});

scenario("an allowed origin is written back as it was allowed, and no other bytes with it", async (stage) => {
	const server = await start(stage, { FARO_ALLOWED_ORIGINS: "https://a.example" });
	for (const origin of ["https://a.example\x01", "https://a.example, https://b", "https://a.example/", "https://a.example:443"]) {
		const answer = await raw(server.port, request([`Origin: ${origin}`], smallBeacon), { end: false });
		assert.doesNotMatch(answer, /Access-Control-Allow-Origin/i, origin);
	}
});

scenario("ten thousand paths, names and headers make no new series", async (stage) => {
	const { socket, statusPort } = await start(stage);
	const client = await FastcgiClient.open(socket);
	stage.after(() => client.close());
	const series = async () => (await metrics({ statusPort })).text.split("\n").filter((line) => line && line[0] !== "#").length;
	const before = await series();
	for (let i = 0; i < 10_000; i++) {
		const body = Buffer.from(`{"meta":{"app":{"name":"app${i}"}}}`);
		const more = i % 3 === 0 ? { SCRIPT_NAME: `/p${i}` } : i % 3 === 1 ? { REQUEST_METHOD: `M${i}` } : { CONTENT_TYPE: `a/${i}` };
		await client.send(beaconParams(body.length, more), body);
	}
	assert.equal(await series(), before);
});

/* The seconds here are the slow peer's: it is still connected when the other one has its answer. */
for (const [part, params, expected] of [["header"], ["parameters"], ["body", beaconParams(50_000), "length"]])
	scenario(`a peer that drips its request (${part}) has its connection ended, and holds up nobody`, async (stage) => {
		const { socket, ingest } = await start(stage, { FARO_WORKERS: "1" });
		const slow = await FastcgiClient.open(socket);
		stage.after(() => slow.close());
		let reply;
		slow.done = (it) => { reply = it; };
		if (part === "header") slow.socket.write("\x01\x01");
		else slow.begin(params);
		const drip = setInterval(() => slow.socket.write(part === "header" ? "" : "x"), 300);
		stage.after(() => clearInterval(drip));

		const other = await FastcgiClient.open(socket);
		stage.after(() => other.close());
		for (let i = 0; i < 100; i++)
			assert.equal((await other.send(beaconParams(smallBeacon.length), smallBeacon)).status, 202);
		assert.equal(slow.ended, undefined, "it has its time");
		await slow.closed;
		assert.equal(reply?.json.reason, expected);
		await ingest.process.line(/event=peer_too_slow/);
		assert.equal((await other.send(beaconParams(smallBeacon.length), smallBeacon)).status, 202);
	});

scenario("a peer that does not take its replies has its connection ended, and holds up nobody", async (stage) => {
	const { socket, ingest } = await start(stage, { FARO_WORKERS: "1" });
	const slow = await FastcgiClient.open(socket);
	stage.after(() => slow.close());
	slow.socket.pause();
	const replies = slow.sendAll(Array(300).fill([{ FARO_ENDPOINT: "metrics", REQUEST_METHOD: "GET" }, Buffer.alloc(0)]));
	const other = await FastcgiClient.open(socket);
	stage.after(() => other.close());
	const tooSlow = ingest.process.line(/event=peer_too_slow/);
	for (let i = 0; i < 100; i++)
		assert.equal((await other.send(beaconParams(smallBeacon.length), smallBeacon)).status, 202);
	await tooSlow;
	slow.socket.resume();
	assert.ok((await replies).length < 300, "what it had not taken is gone");
	assert.equal((await other.send(beaconParams(smallBeacon.length), smallBeacon)).status, 202);
});

scenario("requests that come all at once, and replies that are taken late: each is answered, in its order", async (stage) => {
	const { socket, behind } = await start(stage, { FARO_WORKERS: "1" });
	const client = await FastcgiClient.open(socket);
	stage.after(() => client.close());
	client.socket.pause();
	const page = [{ FARO_ENDPOINT: "metrics", REQUEST_METHOD: "GET" }, Buffer.alloc(0)];
	const kinds = [page, [beaconParams(smallBeacon.length), smallBeacon], page, [beaconParams(9), smallBeacon]];
	const replies = client.sendAll(Array.from({ length: 200 }, (_, i) => kinds[i % 4]));
	await behind.arrived(1);
	client.socket.resume();
	assert.deepEqual((await replies).map(({ status }) => status), Array.from({ length: 200 }, (_, i) => [200, 202, 200, 400][i % 4]));
	assert.equal(behind.requests.length, 50);
});

scenario("what comes behind a beacon that waits counts in the memory until it is served", async (stage) => {
	const { socket, statusPort, behind } = await start(stage, { FARO_WORKERS: "1" });
	const held = async () => (await metrics({ statusPort })).get("inflight_bytes");
	behind.status = null;
	const client = await FastcgiClient.open(socket);
	stage.after(() => client.close());
	const before = await held();
	/* Both fit into one read (20 KiB); the labelled beacon alone is 8 KiB. */
	const replies = client.sendAll([[beaconParams(smallBeacon.length), smallBeacon], [beaconParams(9), Buffer.alloc(16_000, "x")]]);
	const waiting = await behind.arrived(1);
	assert.ok(await held() >= before + 20_000, `${await held()} bytes held`);
	waiting.answer();
	assert.deepEqual((await replies).map(({ status }) => status), [202, 400]);
});

scenario("a thousand half bodies stay within the memory that is set, and give it back", async (stage) => {
	const MIB = 1 << 20, limit = 64 * MIB;
	const { socket, statusPort, behind, ingest } = await start(stage, { FARO_WORKERS: "1", FARO_MAX_MEMORY_BYTES: "64MiB" });
	const held = async () => (await metrics({ statusPort })).get("inflight_bytes");
	const resident = (what) => 1024 * Number(new RegExp(`^${what}:\\s+(\\d+)`, "m")
		.exec(readFileSync(`/proc/${ingest.process.child.pid}/status`, "utf8"))[1]);
	const before = resident("VmRSS");
	const half = requestBytes(beaconParams(5 * MIB), Buffer.alloc(2.5 * MIB, "x"), "stall");
	const clients = await Promise.all(Array.from({ length: 1000 }, () => FastcgiClient.open(socket)));
	stage.after(() => clients.forEach((client) => client.close()));
	let most = 0, done = false;
	const all = Promise.all(clients.map((client) => client.sendBytes(half))).finally(() => { done = true; });
	while (!done) most = Math.max(most, await held());
	const reasons = {};
	for (const reply of await all) reasons[reply?.json.reason] = (reasons[reply?.json.reason] ?? 0) + 1;
	assert.ok(most > limit / 2 && most <= limit, `${most} bytes held`);
	/* Those within the limit are cut when their time is over; one that still sends then sees no reply. */
	assert.ok(reasons.overloaded > 0 && reasons.length > 0, JSON.stringify(reasons));
	/* Allocator, connections, exchanges. */
	assert.ok(isSanitized(ingest.process.child.pid) || resident("VmHWM") - before < limit + 48 * MIB,
		`${resident("VmHWM") - before} bytes more than before`);
	while (await held() > 2 * MIB);
	const client = await FastcgiClient.open(socket);
	stage.after(() => client.close());
	assert.equal((await client.send(beaconParams(smallBeacon.length), smallBeacon)).status, 202);
	assert.equal(behind.requests.length, 1);
});

/* What a peer sent before its connection was ended stays behind in no buffer. */
scenario("a body that is too long to be drained ends its connection, and the next beacon has its own bytes alone", async (stage) => {
	const { socket, behind, ingest } = await start(stage, { FARO_WORKERS: "1" });
	const client = await FastcgiClient.open(socket);
	stage.after(() => client.close());
	const good = () => client.send(beaconParams(smallBeacon.length), smallBeacon);
	assert.equal((await good()).status, 202);
	const plain = wire(behind.last);
	const endless = await FastcgiClient.open(socket);
	stage.after(() => endless.close());
	assert.equal(await endless.send(beaconParams(), Buffer.alloc(65 << 20, "x")), undefined);
	await ingest.process.line(/event=connection_dropped/);
	assert.equal((await good()).status, 202);
	assert.equal(wire(behind.last), plain);
	assert.equal(behind.requests.length, 2);
});

for (const cut of ["abort", "close"])
	scenario(`half a body (${cut}) goes nowhere, and the next beacon has its own bytes alone`, async (stage) => {
		const { socket, behind } = await start(stage, { FARO_WORKERS: "1" });
		const client = await FastcgiClient.open(socket);
		stage.after(() => client.close());
		const good = () => client.send(beaconParams(smallBeacon.length), smallBeacon);
		assert.equal((await good()).status, 202);
		const plain = wire(behind.last);
		const half = await FastcgiClient.open(socket);
		stage.after(() => half.close());
		await half.send(beaconParams(smallBeacon.length), smallBeacon.subarray(0, 40), { cut });
		assert.equal((await good()).status, 202);
		assert.equal(wire(behind.last), plain);
		assert.equal(behind.requests.length, 2);
	});

scenario("connections that end between requests are no news; one that is not FastCGI is", async (stage) => {
	const { socket, ingest } = await start(stage);
	for (let i = 0; i < 3; i++) {
		const client = await FastcgiClient.open(socket);
		assert.equal((await client.send(beaconParams(smallBeacon.length), smallBeacon)).status, 202);
		client.close();
		await client.closed;
	}
	const client = await FastcgiClient.open(socket);
	assert.equal((await client.send(beaconParams(smallBeacon.length), smallBeacon)).status, 202);
	assert.doesNotMatch(ingest.process.stderr, /connection_dropped/);
	stage.after(() => client.close());
	client.socket.write("GET / HTTP/1.1\r\n\r\n");
	await ingest.process.line(/event=connection_dropped/);
});

/* Clock ticks of 10 ms that all threads of a process have had; its name has no spaces. */
function cpuTicks({ child }) {
	const fields = readFileSync(`/proc/${child.pid}/stat`, "utf8").split(" ");
	return Number(fields[13]) + Number(fields[14]);
}

scenario("a web server that hangs up while its beacon is with the receiver: it arrives, and nothing spins", async (stage) => {
	const { socket, behind, ingest, statusPort } = await start(stage);
	behind.status = null;
	const client = await FastcgiClient.open(socket);
	client.send(beaconParams(smallBeacon.length), smallBeacon);
	const held = await behind.arrived(1);
	client.close();
	await client.closed;
	const before = cpuTicks(ingest.process);
	/* Nothing is to happen, so there is no event: a loop that spins has a hundred ticks by then. */
	await new Promise((done) => setTimeout(done, 1000));
	assert.ok(cpuTicks(ingest.process) - before < 20, "it waits");
	held.answer();
	for (let taken = 0; taken < 1;) taken = (await metrics({ statusPort })).get("accepted_total", 'by="receiver"');
	assert.equal(behind.requests.length, 1);
});

scenario("a body that does not end is refused at its limit, also without a web server", async (stage) => {
	const { code, stderr } = await stage.finish("faro-ingest --print", "sh",
		["-c", '"$0" --print </dev/zero', ingestBinary], { env: { OTEL_SERVICE_NAME: "shop" } });
	assert.equal(code, 1);
	assert.match(stderr, /faro-ingest: too_large: /);
});

scenario("a CGI server that passes the query on as arguments does not hand over the settings", async (stage) => {
	const [wanted, evil] = [await receiver(stage), await receiver(stage)];
	const variables = { ...beaconParams(String(smallBeacon.length)), QUERY_STRING: "--upstream-url+evil" };
	for (const args of [["--upstream-url", evil.url], ["--print"], ["--listen", stage.path("x.sock")], ["--help"]]) {
		const { stdout } = await runCgi(stage, wanted.url, variables, smallBeacon, {}, args);
		assert.match(stdout.toString(), /^Status: 202 /, args[0]);
	}
	assert.equal(evil.requests.length, 0);
	assert.equal(wanted.requests.length, 4);
});
