// SPDX-License-Identifier: Apache-2.0
/*
 * Bodies of every size and state, by a FastCGI client of our own where nginx would never let them
 * through. After each, the same connection must serve the next beacon, or be closed.
 */
import assert from "node:assert/strict";

import { post, raw, send } from "./lib/client.mjs";
import { FastcgiClient, beaconParams } from "./lib/fastcgi.mjs";
import { beaconOfSize, codingHeaders, codings, metrics, smallBeacon, startIngest } from "./lib/faro.mjs";
import { nginx } from "./lib/nginx.mjs";
import { receiver } from "./lib/receiver.mjs";
import { scenario } from "./lib/stage.mjs";

const KIB = 1024;
const MIB = 1024 * KIB;

async function start(stage, env) {
	const behind = await receiver(stage);
	return { behind, ...await startIngest(stage, behind.url, { env }) };
}

async function connectTo(stage, socket) {
	const client = await FastcgiClient.open(socket);
	stage.after(() => client.close());
	return client;
}

function cgiCoding({ header }) {
	return header ? { HTTP_CONTENT_ENCODING: header } : {};
}

async function assertServed(client) {
	const reply = await client.send(beaconParams(smallBeacon.length), smallBeacon);
	assert.equal(reply?.status, 202, reply?.text ?? "the connection is closed");
}

scenario("a length that is not the body's is 400, and the kept connection serves the next beacon", async (stage) => {
	const { behind, socket } = await start(stage);
	const client = await connectTo(stage, socket);
	const n = smallBeacon.length;
	const empty = Buffer.alloc(0);
	const cases = [
		["longer than declared, by one byte", n - 1, smallBeacon, "length"],
		["longer than declared", 1, smallBeacon, "length"],
		["declared as none", 0, smallBeacon, "length"],
		["cut short by one byte", n + 1, smallBeacon, "length"],
		["cut short", 5 * MIB, smallBeacon, "length"],
		["declared, and nothing comes", n, empty, "length"],
		["negative", -1, smallBeacon, "length"],
		["absurd", "99999999999999999999", smallBeacon, "length"],
		["hexadecimal", "0x10", smallBeacon, "length"],
		["with a sign", `+${n}`, smallBeacon, "length"],
		["missing", undefined, smallBeacon, "length"],
		["nothing, and said so", 0, empty, "empty"],
		["nothing, and not said", undefined, empty, "empty"],
		["nothing, in an empty variable", "", empty, "empty"],
	];
	let served = 0;
	for (const [what, length, body, reason] of cases) {
		const reply = await client.send(beaconParams(length), body);
		assert.equal(reply?.status, 400, `${what}: ${reply?.text ?? "closed"}`);
		assert.equal(reply.json.reason, reason, what);
		await assertServed(client);
		assert.equal(behind.requests.length, ++served, `${what}: nothing of it reached the receiver`);
	}
});

for (const [packing, coding] of Object.entries(codings))
	scenario(`one byte under, at and over each limit: ${packing}`, async (stage) => {
		const limit = 64 * KIB;
		const { behind, socket } = await start(stage, {
			FARO_MAX_BODY_BYTES: String(limit), FARO_MAX_DECODED_BYTES: String(limit),
		});
		const client = await connectTo(stage, socket);
		const ask = (body, params = cgiCoding(coding)) => client.send(beaconParams(body.length, params), body);

		for (const [size, status] of [[limit - 1, 202], [limit, 202], [limit + 1, 413]]) {
			const before = behind.requests.length;
			const reply = await ask(coding.encode(beaconOfSize(size)));
			assert.equal(reply?.status, status, `${size} bytes inflated: ${reply?.text}`);
			if (status === 413) assert.equal(reply.json.reason, "too_large");
			assert.equal(behind.requests.length, before + (status === 202 ? 1 : 0));
			if (status === 202) assert.equal(JSON.parse(behind.last.body).logs[0].message.length > limit - 200, true);
			await assertServed(client);
		}
		/* As received: here the content does not matter, only whether its size is looked at. */
		for (const [size, reason] of [[limit - 1, undefined], [limit, undefined], [limit + 1, "too_large"], [limit * 3, "too_large"]]) {
			const reply = await ask(Buffer.alloc(size, "\xff", "latin1"));
			assert.ok(reply, `${size} bytes: the connection is closed`);
			assert.equal(reply.json.reason === "too_large" ? "too_large" : undefined, reason, `${size} bytes: ${reply.text}`);
			await assertServed(client);
		}
	});

for (const [packing, coding] of Object.entries(codings))
	scenario(`the default limits, through nginx: ${packing}`, async (stage) => {
		const { behind, socket } = await start(stage);
		const server = await nginx(stage, { socket });
		for (const [size, status] of [[5 * MIB - 1, 202], [5 * MIB, 202], [5 * MIB + 1, 413]]) {
			const reply = await post(server.port, coding.encode(beaconOfSize(size)), codingHeaders(coding));
			assert.equal(reply.status, status, `${size}: ${reply.text}`);
			if (status === 413) assert.equal(reply.json.reason, "too_large");
		}
		assert.equal(behind.requests.length, 2);
		assert.equal((await post(server.port, smallBeacon)).status, 202);
	});

scenario("inflating stops at the limit, however much is promised", async (stage) => {
	const { behind, socket, process } = await start(stage);
	const client = await connectTo(stage, socket);
	const zeros = Buffer.alloc(256 * MIB);
	for (const coding of [codings.gzip, codings.zlib, codings.raw]) {
		const bomb = coding.encode(zeros);
		const reply = await client.send(beaconParams(bomb.length, cgiCoding(coding)), bomb);
		assert.equal(reply.status, 413);
		await assertServed(client);
	}
	assert.equal(behind.requests.length, 3);
	assert.equal(process.ended, undefined);
});

scenario("a body that is cut never reaches the receiver, and others are served", async (stage) => {
	const { behind, socket } = await start(stage);
	const half = smallBeacon.subarray(0, 40);
	for (const [what, body, cut] of [
		["the peer aborts half way", half, "abort"],
		["the peer aborts after the last byte", smallBeacon, "abort"],
		["the connection ends half way", half, "close"],
		["the connection ends before the end of the stream", smallBeacon, "close"],
		["the connection ends with an empty body", Buffer.alloc(0), "close"],
	]) {
		const client = await connectTo(stage, socket);
		const before = behind.requests.length;
		const reply = await client.send(beaconParams(smallBeacon.length), body, { cut });
		assert.notEqual(reply?.status, 202, what);
		if (reply) assert.equal(reply.json.reason, "length", what);
		assert.equal(behind.requests.length, before, what);
		/* The same connection serves the next, or was closed; a new one serves in any case. */
		if (reply && cut === "abort") {
			const next = await client.send(beaconParams(smallBeacon.length), smallBeacon);
			assert.ok(next === undefined || next.status === 202, what);
		}
		await assertServed(await connectTo(stage, socket));
	}
});

scenario("bytes that are no FastCGI end that connection and nothing else", async (stage) => {
	const { socket, process } = await start(stage);
	for (const bytes of ["GET / HTTP/1.1\r\n\r\n", "\0".repeat(64), "\xff".repeat(64), "\x01\x01\0\x01\xff\xff\0\0"]) {
		const client = await connectTo(stage, socket);
		client.socket.end(Buffer.from(bytes, "latin1"));
		await client.closed;
		await assertServed(await connectTo(stage, socket));
	}
	assert.equal(process.ended, undefined);
});

scenario("a client that leaves in the middle of its body costs nothing, through nginx", async (stage) => {
	const { behind, socket } = await start(stage);
	const server = await nginx(stage, { socket });
	const head = (length) => "POST /faro/collect HTTP/1.1\r\nHost: shop.example\r\nConnection: close\r\n" +
		`Content-Type: application/json\r\nContent-Length: ${length}\r\n\r\n`;
	const cut = await raw(server.port, head(smallBeacon.length + 10) + smallBeacon);
	assert.doesNotMatch(cut, /^HTTP\/1.1 2/);
	assert.equal(behind.requests.length, 0);
	/* What is longer than declared is the beginning of another request, as HTTP has it. */
	const long = await raw(server.port, `${head(smallBeacon.length)}${smallBeacon}xxxxx`, { end: false });
	assert.match(long, /^HTTP\/1.1 202 /);
	assert.ok(behind.last.body.includes("hello"));
	for (const length of ["-1", "1x", "99999999999999999999"])
		assert.match(await raw(server.port, head(length), { end: false }), /^HTTP\/1.1 4/);
	assert.equal((await send(server.port, { headers: { "Content-Type": "application/json" } })).json.reason, "empty");
	assert.equal(behind.requests.length, 1);
	assert.equal((await metrics(server)).get("inflight"), 0);
});
