// SPDX-License-Identifier: Apache-2.0
/* Every row of the table of replies, as a browser sees it through nginx, and what the metrics say of it. */
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { gzipSync } from "node:zlib";

import { numbered } from "./lib/beacons.mjs";
import { post, send } from "./lib/client.mjs";
import { beaconOfSize, metrics, smallBeacon, startIngest } from "./lib/faro.mjs";
import { beaconParams, FastcgiClient } from "./lib/fastcgi.mjs";
import { nginx } from "./lib/nginx.mjs";
import { receiver } from "./lib/receiver.mjs";
import { freePort, scenario } from "./lib/stage.mjs";

/* What a detail must tell, beside what is wrong: something to do. */
const advice = /\b(send|use|check|post|add|remove|raise|lower|wait|set|finds?|write|give|rename|compress|encode|keep|leave)\b/i;

/* nginx, faro-ingest and a receiver. */
async function start(stage, env = {}, { upstream } = {}) {
	const behind = await receiver(stage);
	const ingest = await startIngest(stage, upstream ?? behind.url, { env });
	const server = await nginx(stage, { socket: ingest.socket });
	return { ...server, ingest, behind };
}

const rejected = async (server, reason) => (await metrics(server)).get("rejected_total", `reason="${reason}"`);
const answered = async (server, code) => (await metrics(server)).get("requests_total", `code="${code}"`) ?? 0;

function assertProblem(reply, status, reason) {
	assert.equal(reply.status, status, reply.text);
	assert.equal(reply.headers["content-type"], "application/problem+json");
	assert.equal(reply.headers["cache-control"], "no-store");
	assert.equal(reply.json.status, status);
	assert.equal(reply.json.reason, reason);
	assert.ok(reply.json.type);
	assert.ok(reply.json.title);
	assert.match(reply.json.detail, advice);
}

/* A refusal is of the right form, is counted once under its reason and its code. */
async function assertRefused(server, reply, status, reason) {
	const [before, code] = [await rejected(server, reason), await answered(server, status)];
	const got = await reply();
	assertProblem(got, status, reason);
	assert.equal(await rejected(server, reason), before + 1, `rejected_total{reason="${reason}"}`);
	assert.equal(await answered(server, status), code + 1, `requests_total{code="${status}"}`);
	return got;
}

function assertRetryAfter(reply, pattern = /^[1-5]$/) {
	assert.match(reply.headers["retry-after"] ?? "", pattern);
}

scenario("202: the receiver took it", async (stage) => {
	const server = await start(stage);
	const reply = await post(server.port, smallBeacon);
	assert.equal(reply.status, 202);
	assert.equal(reply.text, "ok");
	assert.equal(reply.headers["content-type"], "text/plain");
	assert.equal(reply.headers["cache-control"], "no-store");
	assert.equal(server.behind.last.url, "/collect");
	assert.equal(JSON.parse(server.behind.last.body).meta.app.namespace, "web");
	for (const status of [200, 201, 204]) {
		server.behind.status = status;
		assert.equal((await post(server.port, smallBeacon)).status, 202, `of a receiver's ${status}`);
	}
	const seen = await metrics(server);
	assert.equal(seen.get("requests_total", 'code="202"'), 4);
	assert.equal(seen.get("items_total", 'kind="log"'), 4);
	assert.equal(seen.get("received_bytes_total"), 4 * smallBeacon.length);
});

scenario("202 with the receiver's session status, so that the SDK renews the session", async (stage) => {
	const server = await start(stage);
	server.behind.headers = { "X-Faro-Session-Status": "invalid" };
	assert.equal((await post(server.port, smallBeacon)).headers["x-faro-session-status"], "invalid");
	for (const forged of ["in valid", "a=b", "x".repeat(100)]) {
		server.behind.headers = { "X-Faro-Session-Status": forged };
		const reply = await post(server.port, smallBeacon);
		assert.equal(reply.status, 202);
		assert.equal(reply.headers["x-faro-session-status"], undefined, forged);
	}
});

scenario("the path is a setting; both forms collect", async (stage) => {
	const server = await start(stage);
	for (const path of ["/faro", "/faro/collect", "/faro/collect?app=1"])
		assert.equal((await post(server.port, smallBeacon, {}, { path })).status, 202, path);
});

scenario("content types and codings are taken in any case, with parameters", async (stage) => {
	const server = await start(stage);
	for (const type of ["application/json", "Application/JSON; charset=utf-8", "text/plain", "text/plain;charset=UTF-8"])
		assert.equal((await post(server.port, smallBeacon, { "Content-Type": type })).status, 202, type);
	for (const coding of ["gzip", "GZIP", " gzip "])
		assert.equal((await post(server.port, gzipSync(smallBeacon), { "Content-Encoding": coding })).status, 202, coding);
	assert.equal((await post(server.port, smallBeacon, { "Content-Encoding": "identity" })).status, 202);
});

const good = smallBeacon.toString();
for (const [reason, cases] of Object.entries({
	empty: { "no body": [""] },
	bad_encoding: {
		"not gzip at all": [good, "gzip"],
		"a checksum that is wrong": [withByte(gzipSync(good), -5), "gzip"],
		"a trailer that is cut": [gzipSync(good).subarray(0, -3), "gzip"],
		"bytes after the end": [Buffer.concat([gzipSync(good), Buffer.from("x")]), "gzip"],
		"not deflate at all": [good, "deflate"],
	},
	bad_json: {
		"not JSON": ["hello"], "an array": ["[]"], "null": ["null"], "cut": ['{"meta":{}'], "bytes after the end": ['{"meta":{}}x'],
		"a BOM": ["\ufeff{}"], "invalid UTF-8": [Buffer.from('{"meta":{"app":{"name":"\xff"}}}', "latin1")],
		"65 levels": [`{"x":${"[".repeat(65)}${"]".repeat(65)}}`],
	},
	ambiguous_key: {
		"a name twice": ['{"meta":{},"meta":{}}'], "another case": ['{"META":{}}'], "an escaped name": ['{"m\\u0065ta":{}}'],
		"a long s": ['{"logſ":[]}'], "a repeat in meta.app": ['{"meta":{"app":{"name":"a","Name":"b"}}}'],
		"an empty key in traces": ['{"traces":{"":1}}'],
		"both spellings in traces": ['{"traces":{"resourceSpans":[],"resource_spans":[]}}'],
	},
}))
	scenario(`400 ${reason}, and nothing reaches the receiver`, async (stage) => {
		const server = await start(stage);
		for (const [what, [body, coding]] of Object.entries(cases)) {
			const headers = coding ? { "Content-Encoding": coding } : {};
			await assertRefused(server, () => post(server.port, body, headers), 400, reason).catch((error) => {
				error.message = `${what}: ${error.message}`;
				throw error;
			});
		}
		assert.equal(server.behind.requests.length, 0);
	});

function withByte(bytes, at) {
	const copy = Buffer.from(bytes);
	copy[copy.length + at] ^= 0x55;
	return copy;
}

scenario("400 bad_json tells the byte", async (stage) => {
	const server = await start(stage);
	assert.match((await post(server.port, '{"meta":{"app":nul}}')).json.detail, /\bbyte 1[5-8]\b/);
});

/* Sec-Fetch-Site counts first; Origin is looked at where there is none. */
const origins = [
	/* site, origin, host → taken? */
	[undefined, undefined, "shop.example", true],
	["same-origin", "https://shop.example", "shop.example", true],
	["same-origin", "https://elsewhere.example", "shop.example", true], // a host rewritten on the way
	["none", undefined, "shop.example", true],
	["cross-site", undefined, "shop.example", false],
	["cross-site", "https://shop.example", "shop.example", false],
	["same-site", "https://other.shop.example", "shop.example", false],
	["nonsense", undefined, "shop.example", false],
	[undefined, "https://shop.example", "shop.example", true],
	[undefined, "http://shop.example", "shop.example", true],
	[undefined, "https://SHOP.example", "shop.example", true],
	[undefined, "https://shop.example:8443", "shop.example:8443", true],
	[undefined, "https://shop.example:8443", "shop.example:9443", false],
	[undefined, "https://shop.example", "shop.example:443", true],
	[undefined, "http://[::1]:8080", "[::1]:8080", true],
	[undefined, "https://evil.example", "shop.example", false],
	[undefined, "https://shop.example.evil", "shop.example", false],
	[undefined, "null", "shop.example", false],
	[undefined, "ftp://shop.example", "shop.example", false],
];

scenario("403 for pages of another origin, by Sec-Fetch-Site, else by Origin and Host", async (stage) => {
	const server = await start(stage);
	for (const [site, origin, host, taken] of origins) {
		const headers = { Host: host };
		if (site) headers["Sec-Fetch-Site"] = site;
		if (origin) headers.Origin = origin;
		const what = JSON.stringify(headers);
		if (taken) {
			assert.equal((await post(server.port, smallBeacon, headers)).status, 202, what);
			continue;
		}
		const reply = await assertRefused(server, () => post(server.port, smallBeacon, headers), 403, "cross_site");
		assert.equal(reply.headers["access-control-allow-origin"], undefined, what);
	}
});

scenario("a page that may not send is named in the log, masked, once a minute", async (stage) => {
	const server = await start(stage);
	const client = await FastcgiClient.open(server.ingest.socket);
	stage.after(() => client.close());
	const refused = async (origin) => {
		const more = { HTTP_SEC_FETCH_SITE: "cross-site", HTTP_ORIGIN: origin };
		const { status } = await client.send(beaconParams(smallBeacon.length, more), smallBeacon);
		assert.equal(status, 403);
	};
	await refused(`https://evil.example\n${"x".repeat(280)} level=error`);
	for (let i = 0; i < 20; i++) await refused("https://other.example");
	const lines = server.ingest.process.stderr.split("\n").filter((line) => line.includes("event=rejected_cross_site"));
	assert.equal(lines.length, 1, lines.join("\n"));
	assert.match(lines[0], /status=403 origin="?https:\/\/evil\.example\\{1,2}x0ax{249}"?$/);
});

scenario("CORS for exactly the origins in FARO_ALLOWED_ORIGINS, on every answer", async (stage) => {
	const server = await start(stage, { FARO_ALLOWED_ORIGINS: "https://a.example,https://b.example:8443" });
	for (const Origin of ["https://a.example", "https://b.example:8443"]) {
		const headers = { Origin, "Sec-Fetch-Site": "cross-site", Host: "shop.example" };
		for (const [body, status] of [[smallBeacon, 202], ["", 400]]) {
			const reply = await post(server.port, body, headers);
			assert.equal(reply.status, status);
			assert.equal(reply.headers["access-control-allow-origin"], Origin);
			assert.match(reply.headers["access-control-expose-headers"], /retry-after.*x-faro-session-status/i);
			assert.match(reply.headers.vary, /Origin/);
		}
		const preflight = await send(server.port, {
			method: "OPTIONS",
			headers: { ...headers, "Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "content-type" },
		});
		assert.equal(preflight.status, 204);
		assert.equal(preflight.headers["access-control-allow-origin"], Origin);
		assert.match(preflight.headers["access-control-allow-methods"], /POST/);
		for (const name of ["content-type", "content-encoding", "x-faro-session-id", "idempotency-key", "traceparent"])
			assert.match(preflight.headers["access-control-allow-headers"], new RegExp(name, "i"));
	}
	const headers = { Origin: "https://c.example", "Sec-Fetch-Site": "cross-site" };
	const refused = await assertRefused(server, () => post(server.port, smallBeacon, headers), 403, "cross_site");
	assert.equal(refused.headers["access-control-allow-origin"], undefined);
	assert.match(refused.headers.vary, /Origin/);
	const preflight = await send(server.port, { method: "OPTIONS", headers });
	assert.equal(preflight.status, 204);
	assert.equal(preflight.headers["access-control-allow-origin"], undefined);
});

scenario("pages below a domain of FARO_ALLOWED_ORIGINS send, with the headers of FARO_ALLOWED_HEADERS beside the SDK's", async (stage) => {
	const server = await start(stage, {
		FARO_ALLOWED_ORIGINS: "https://*.preview.example", FARO_ALLOWED_HEADERS: "baggage, Sentry-Trace",
	});
	const headers = { Origin: "https://a.b.preview.example", "Sec-Fetch-Site": "cross-site", Host: "shop.example" };
	const asking = { ...headers, "Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "baggage,content-type" };
	const preflight = await send(server.port, { method: "OPTIONS", headers: asking });
	assert.equal(preflight.status, 204);
	assert.equal(preflight.headers["access-control-allow-origin"], headers.Origin);
	assert.equal(preflight.headers["access-control-allow-headers"],
		"Content-Type, Content-Encoding, Idempotency-Key, Traceparent, X-Api-Key, X-Faro-Session-Id, baggage, Sentry-Trace");
	const reply = await post(server.port, smallBeacon, { ...headers, Baggage: "a=b", "Sentry-Trace": "1" });
	assert.equal(reply.status, 202);
	assert.equal(reply.headers["access-control-allow-origin"], headers.Origin);
	assert.equal(server.behind.requests[0].headers.baggage, undefined);

	for (const Origin of ["https://preview.example", "https://evilpreview.example", "http://a.preview.example"]) {
		const refused = await assertRefused(server, () => post(server.port, smallBeacon, { ...headers, Origin }), 403, "cross_site");
		assert.equal(refused.headers["access-control-allow-origin"], undefined);
	}
});

scenario("204 for OPTIONS", async (stage) => {
	const server = await start(stage);
	const reply = await send(server.port, { method: "OPTIONS" });
	assert.equal(reply.status, 204);
	assert.equal(reply.text, "");
	assert.equal(reply.headers["cache-control"], "no-store");
	assert.equal(await answered(server, 204), 1);
});

scenario("a slash at the end of both paths, as rules of a whole site add it, is taken as without it", async (stage) => {
	const server = await start(stage);
	const paths = ["/faro", "/faro/", "/faro/collect", "/faro/collect/"];
	for (const path of paths) assert.equal((await post(server.port, smallBeacon, {}, { path })).status, 202, path);
	assert.equal((await send(server.port, { method: "OPTIONS", path: "/faro/" })).status, 204);
	assert.equal(server.behind.requests.length, paths.length);
});

scenario("404 for other paths, 405 with Allow for other methods", async (stage) => {
	const server = await start(stage);
	for (const path of ["/faro/x", "/faro/collect/x", "/faro/metrics", "/faro/collectx", "/faro/%2e%2e%2ffaro/x", `/faro/${"a".repeat(2000)}`])
		await assertRefused(server, () => post(server.port, smallBeacon, {}, { path }), 404, "not_found");
	for (const method of ["GET", "PUT", "DELETE", "PATCH"]) {
		const reply = await assertRefused(server, () => send(server.port, { method }), 405, "method");
		assert.match(reply.headers.allow, /POST/);
		assert.match(reply.headers.allow, /OPTIONS/);
	}
	assert.equal((await send(server.port, { method: "HEAD" })).status, 405);
	assert.equal(server.behind.requests.length, 0);
});

scenario("413 before inflating and after", async (stage) => {
	const server = await start(stage, { FARO_MAX_BODY_BYTES: "10KiB", FARO_MAX_DECODED_BYTES: "64KiB" });
	const plain = beaconOfSize(10 * 1024 + 1);
	await assertRefused(server, () => post(server.port, plain), 413, "too_large");
	const bomb = gzipSync(beaconOfSize(64 * 1024 + 1));
	assert.ok(bomb.length < 10 * 1024);
	await assertRefused(server, () => post(server.port, bomb, { "Content-Encoding": "gzip" }), 413, "too_large");
	assert.equal(server.behind.requests.length, 0);
});

scenario("415 for other content types, and for other codings with Accept-Encoding", async (stage) => {
	const server = await start(stage);
	for (const type of ["text/html", "application/x-www-form-urlencoded", "application/jsonx", "json", "multipart/form-data; boundary=x"])
		await assertRefused(server, () => post(server.port, smallBeacon, { "Content-Type": type }), 415, "media_type");
	await assertRefused(server, () => send(server.port, { body: smallBeacon }), 415, "media_type");
	for (const coding of ["br", "zstd", "gzip, gzip", "gzip, deflate", "compress", "gzipx"]) {
		const reply = await assertRefused(server,
			() => post(server.port, smallBeacon, { "Content-Encoding": coding }), 415, "content_coding");
		assert.match(reply.headers["accept-encoding"], /^gzip, deflate/);
	}
});

scenario("the receiver's 400, 413 and 422 come back with our own text", async (stage) => {
	const server = await start(stage);
	server.behind.text = "secret <b>echo</b>";
	for (const status of [400, 413, 422]) {
		server.behind.status = status;
		const reply = await assertRefused(server, () => post(server.port, smallBeacon), status, "upstream_rejected");
		assert.doesNotMatch(reply.text, /secret/);
	}
});

scenario("the receiver's 401, 403 and 404 are the operator's mistake: 502", async (stage) => {
	const server = await start(stage);
	for (server.behind.status of [401, 403, 404])
		await assertRefused(server, () => post(server.port, smallBeacon), 502, "upstream_misconfigured");
	assert.match(server.ingest.process.stderr, /level=(warn|error) event=upstream_misconfigured/);
});

scenario("the receiver's 429 comes back with its Retry-After, or one of ours", async (stage) => {
	const server = await start(stage);
	server.behind.status = 429;
	assertRetryAfter(await assertRefused(server, () => post(server.port, smallBeacon), 429, "upstream_throttled"));
	server.behind.headers = { "Retry-After": "7" };
	assertRetryAfter(await post(server.port, smallBeacon), /^7$/);
	server.behind.headers = { "Retry-After": "3600" };
	assertRetryAfter(await post(server.port, smallBeacon), /^30$/);
	server.behind.headers = { "Retry-After": "soon" };
	assertRetryAfter(await post(server.port, smallBeacon));
});

scenario("the receiver's 5xx, a refused or lost connection, and an unknown name are 503 with Retry-After", async (stage) => {
	const server = await start(stage);
	const unavailable = async () =>
		assertRetryAfter(await assertRefused(server, () => post(server.port, smallBeacon), 503, "upstream_unavailable"));
	for (server.behind.status of [500, 502, 503]) await unavailable();
	assert.equal((await metrics(server)).get("upstream_up"), 1, "it answers");

	server.behind.status = null;
	const lost = post(server.port, smallBeacon);
	(await server.behind.arrived(4)).drop();
	/* It is sent once more where a connection that was used before dies without an answer. */
	(await server.behind.arrived(5)).drop();
	assertProblem(await lost, 503, "upstream_unavailable");
	assert.equal((await metrics(server)).get("upstream_resends_total"), 1);

	await server.behind.stop();
	await unavailable();
	assert.equal((await metrics(server)).get("upstream_up"), 0);
	assert.match(server.ingest.process.stderr, /event=upstream_unavailable/);
});

scenario("a receiver's name that does not exist is 503 with Retry-After", async (stage) => {
	const server = await start(stage, {}, { upstream: `http://no-such-receiver.invalid:${await freePort()}` });
	assertRetryAfter(await assertRefused(server, () => post(server.port, smallBeacon), 503, "upstream_unavailable"));
});

scenario("a receiver that is silent past the deadline is 504", async (stage) => {
	const server = await start(stage, { FARO_UPSTREAM_TIMEOUT_MS: "300" });
	server.behind.status = null;
	await assertRefused(server, () => post(server.port, smallBeacon), 504, "upstream_timeout");
	server.behind.status = 202;
	assert.equal((await post(server.port, smallBeacon)).status, 202);
});

scenario("429 with Retry-After beyond the limit of beacons in flight", async (stage) => {
	const server = await start(stage, { FARO_UPSTREAM_MAX_INFLIGHT: "2" });
	server.behind.status = null;
	const held = [post(server.port, smallBeacon), post(server.port, smallBeacon)];
	const waiting = [await server.behind.arrived(1), await server.behind.arrived(2)];
	assert.equal((await metrics(server)).get("inflight"), 2);
	assertRetryAfter(await assertRefused(server, () => post(server.port, smallBeacon), 429, "overloaded"));
	for (const request of waiting) request.answer();
	assert.deepEqual((await Promise.all(held)).map(({ status }) => status), [202, 202]);
	server.behind.status = 202;
	assert.equal((await post(server.port, smallBeacon)).status, 202, "there is room again");
});

scenario("429 with Retry-After beyond the limit of memory", async (stage) => {
	const server = await start(stage, { FARO_MAX_MEMORY_BYTES: "16MiB" });
	server.behind.status = null;
	const large = beaconOfSize(4 * 1024 * 1024);
	const held = [];
	/* Each waits with its labelled body; sooner or later one finds no room. */
	for (let n = 1; ; n++) {
		assert.ok(n < 10, "16 MiB cannot hold ten beacons of 4 MiB");
		const reply = post(server.port, large);
		const first = await Promise.race([reply, server.behind.arrived(n)]);
		if (first.status === undefined) {
			held.push(reply);
			continue;
		}
		assertProblem(first, 429, "overloaded");
		assertRetryAfter(first);
		break;
	}
	assert.ok(held.length > 0);
	for (const request of server.behind.requests) request.answer();
	for (const reply of await Promise.all(held)) assert.equal(reply.status, 202);
	server.behind.status = 202;
	assert.equal((await post(server.port, large)).status, 202, "there is room again");
	assert.ok(await rejected(server, "overloaded") >= 1);
});

/* More memory would not help, so nothing says so. */
scenario("429 with Retry-After and a reason of its own where the spool is full", async (stage) => {
	const server = await start(stage, { FARO_SPOOL_DIR: stage.path("spool"), FARO_SPOOL_MAX_BYTES: "1MiB" });
	await server.behind.stop();
	const large = numbered("x", randomBytes(225 * 1024).toString("base64")); // what does not deflate
	for (let n = 0; (await post(server.port, large)).status === 202; n++) assert.ok(n < 6, "1 MiB cannot hold six beacons of 300 KiB");
	const reply = await assertRefused(server, () => post(server.port, large), 429, "spool_full");
	assertRetryAfter(reply);
	assert.doesNotMatch(reply.json.detail, /memory/);
	assert.match(server.ingest.process.stderr, /level=warn event=spool_full msg="[^"]*FARO_SPOOL_MAX_BYTES[^"]*" bytes=\d+/);
	assert.doesNotMatch(server.ingest.process.stderr, /event=overloaded|FARO_MAX_MEMORY_BYTES/);
});

scenario("metrics of one beacon: its bytes before and after inflating, its time, and the claims that were changed", async (stage) => {
	const server = await start(stage);
	const read = async () => {
		const page = await metrics(server);
		return ["received_bytes_total", "decoded_bytes_total", "spoofed_total", "request_duration_seconds_count"]
			.map((name) => page.get(name));
	};
	const rise = async (body, headers) => {
		const before = await read();
		assert.equal((await post(server.port, body, headers)).status, 202);
		const after = await read();
		return after.map((value, i) => value - before[i]);
	};
	/* Of the three claims, the name is what it is here anyway. The requests are two with reading the page. */
	const spoofed = Buffer.from('{"meta":{"app":{"name":"shop","namespace":"evil","environment":"evil"}}}');
	const honest = Buffer.from('{"meta":{"app":{"name":"shop"}}}');
	const packed = gzipSync(spoofed);
	assert.deepEqual(await rise(spoofed), [spoofed.length, spoofed.length, 2, 2]);
	assert.deepEqual(await rise(packed, { "Content-Encoding": "gzip" }), [packed.length, spoofed.length, 2, 2]);
	assert.deepEqual(await rise(honest), [honest.length, honest.length, 0, 2]);
});

scenario("a value named like a label is removed, and what stands beside it arrives", async (stage) => {
	const server = await start(stage);
	const spoofed = async () => (await metrics(server)).get("spoofed_total");
	const body = (values) => JSON.stringify({
		measurements: [{ type: "x", values }], exceptions: [{ type: "Error", value: "beside it" }],
	});
	for (const [sent, left, claims] of [
		[{ kind: 1, lcp: 2 }, { lcp: 2 }, 1],
		[{ app_namespace: 1, "app.name": 2, timestamp: 3 }, {}, 3],
		[{ app_load_ms: 1, session_attr_plan: 2 }, { app_load_ms: 1, session_attr_plan: 2 }, 0],
	]) {
		const before = await spoofed();
		assert.equal((await post(server.port, body(sent))).status, 202);
		const arrived = JSON.parse(server.behind.requests.at(-1).body);
		assert.deepEqual(arrived.measurements, [{ type: "x", values: left }]);
		assert.deepEqual(arrived.exceptions, JSON.parse(body({})).exceptions);
		assert.equal(await spoofed() - before, claims);
	}
});

scenario("a span with bad ids is removed, and what stands beside it arrives", async (stage) => {
	const server = await start(stage);
	const dropped = async () => (await metrics(server)).get("dropped_items_total", 'reason="bad_span"');
	const items = async () => (await metrics(server)).get("items_total", 'kind="span"');
	const good = { traceId: "0af7651916cd43dd8448eb211c80319c", spanId: "b7ad6b7169203331" };
	const bad = [
		null, {}, { ...good, traceId: "nothex" }, { ...good, spanId: "0000000000000000" }, { ...good, parentSpanId: "7" },
		{ ...good, links: [good, { ...good, spanId: 7 }] },
	];
	const body = (list, spans) => JSON.stringify({
		exceptions: [{ type: "Error", value: "beside it" }],
		traces: { resourceSpans: [{ [list]: [{ spans }, { spans: [good] }] }] },
	});
	for (const list of ["scopeSpans", "deprecatedScopeSpans"])
		for (const [spans, left] of [
			[[...bad, good, ...bad], [good]],
			[bad, []],
			[[good, { ...good, parentSpanId: "", links: null }], [good, { ...good, parentSpanId: "", links: null }]],
		]) {
			const before = [await dropped(), await items()];
			assert.equal((await post(server.port, body(list, spans))).status, 202);
			const arrived = JSON.parse(server.behind.requests.at(-1).body);
			const sent = JSON.parse(body(list, spans));
			assert.deepEqual(arrived.exceptions, sent.exceptions);
			assert.deepEqual(arrived.traces.resourceSpans[0][list], [{ spans: left }, { spans: [good] }]);
			assert.equal(await dropped() - before[0], spans.length - left.length);
			assert.equal(await items() - before[1], left.length + 1);
		}
});

scenario("status pages: metrics, health, ready; other methods 405", async (stage) => {
	const server = await start(stage);
	await server.behind.stop();
	for (const path of ["/metrics", "/health", "/ready"]) {
		const reply = await send(server.statusPort, { method: "GET", path });
		assert.equal(reply.status, 200, `${path} does not ask the receiver`);
		assert.equal(reply.headers["cache-control"], "no-store");
		assert.match(reply.headers["content-type"], /^text\/plain/);
		assert.equal((await send(server.statusPort, { method: "HEAD", path })).status, 200);
		const wrong = await send(server.statusPort, { method: "POST", path, body: "x" });
		assertProblem(wrong, 405, "method");
		assert.match(wrong.headers.allow, /GET/);
	}
	const { text } = await metrics(server);
	assert.match(text, /^# TYPE faro_ingest_requests_total counter$/m);
	assert.match(text, /^faro_ingest_build_info\{version="[^"]+"\} 1$/m);
});
