// SPDX-License-Identifier: Apache-2.0
/* The same Idempotency-Key with the same body is relayed once. */
import assert from "node:assert/strict";

import { counter, eventually, numbered, pause, sendOne, status } from "../lib/beacons.mjs";
import { post } from "../lib/client.mjs";
import { beaconParams, FastcgiClient } from "../lib/fastcgi.mjs";
import { startIngest } from "../lib/faro.mjs";
import { nginx } from "../lib/nginx.mjs";
import { scenario } from "../lib/stage.mjs";

const withKey = (key) => ({ HTTP_IDEMPOTENCY_KEY: key });
const spoolEnv = (stage) => ({ FARO_SPOOL_DIR: stage.path("spool"), FARO_REPLAY_RATE: "1000" });

scenario("a retry after 503, as SDK 2.12 does it: arrives once, and is 202 from then on", async (stage) => {
	let answer = 503;
	const receiver = await counter(stage, () => answer);
	const { socket } = await startIngest(stage, receiver.url);
	assert.equal((await sendOne(socket, numbered("a"), withKey("k"))).status, 503);
	answer = 202;
	for (let i = 0; i < 3; i++) {
		const reply = await sendOne(socket, numbered("a"), withKey("k"));
		assert.equal(reply.status, 202);
		assert.equal(reply.text, "ok");
	}
	assert.equal(receiver.taken.get("a"), 1);
	assert.equal((await status(socket))("duplicates_total"), 2);
	assert.equal((await status(socket))("accepted_total", 'by="duplicate"'), 2);
});

scenario("another key, another body, or no key: a beacon of its own", async (stage) => {
	const receiver = await counter(stage);
	const { socket } = await startIngest(stage, receiver.url);
	await sendOne(socket, numbered("a"), withKey("k"));
	await sendOne(socket, numbered("a"), withKey("k2"));
	await sendOne(socket, numbered("a"));
	await sendOne(socket, numbered("a"));
	await sendOne(socket, numbered("b"), withKey("k"));
	assert.equal(receiver.taken.get("a"), 4);
	assert.equal(receiver.taken.get("b"), 1);
});

scenario("a second one while the first is in flight, on any worker: waits for it, and shares its answer", async (stage) => {
	let release;
	let answer = 202;
	const held = () => new Promise((done) => (release = done));
	let gate = held();
	const receiver = await counter(stage, async () => {
		await gate;
		return answer;
	});
	const { socket } = await startIngest(stage, receiver.url,
		{ env: { FARO_WORKERS: "4", FARO_UPSTREAM_TIMEOUT_MS: "20000" } });
	for (const code of [202, 503, 400]) {
		answer = code;
		const before = receiver.requests;
		const replies = Array.from({ length: 12 }, () => sendOne(socket, numbered(`c${code}`), withKey("k")));
		await eventually("request", () => receiver.requests > before);
		await pause(200);
		assert.equal(receiver.requests, before + 1);
		release();
		for (const reply of await Promise.all(replies)) assert.equal(reply.status, code);
		assert.equal(receiver.requests, before + 1);
		gate = held();
	}
	assert.equal((await status(socket))("duplicates_total"), 11);
});

scenario("what is in the spool is known to the next process", async (stage) => {
	const receiver = await counter(stage, () => 503);
	const first = await startIngest(stage, receiver.url, { env: spoolEnv(stage) });
	assert.equal((await sendOne(first.socket, numbered("s"), withKey("k"))).status, 202);
	await first.process.stop("SIGKILL");
	const { socket } = await startIngest(stage, receiver.url, { env: spoolEnv(stage) });
	assert.equal((await sendOne(socket, numbered("s"), withKey("k"))).status, 202);
	assert.equal((await status(socket))("spool_records"), 1);
	receiver.behave = () => 202;
	await eventually("empty spool", async () => (await status(socket))("spool_records") === 0);
	assert.equal(receiver.taken.get("s"), 1);
});

/* What the program keeps of the values of all headers is limited, and so is what it forwards of a key. */
const long = (start, length) => start + "k".repeat(length - start.length);

for (const [what, one, other] of [
	["longer than one that is forwarded", long("1", 129), long("2", 129)],
	["longer than all that is kept of headers", long("1", 4097), long("2", 4097)],
	["much longer, and of two lengths", long("1", 20_000), long("2", 30_000)],
	["too long and in a second header's room", long("1", 4000), long("2", 4097)],
	["too long and the byte 127", long("1", 4097), "\x7f"],
	["too long and empty", long("1", 4097), ""],
])
	scenario(`two keys, ${what}, with one body: two beacons, and both arrive`, async (stage) => {
		const receiver = await counter(stage);
		const { socket } = await startIngest(stage, receiver.url);
		for (const key of [one, other]) assert.equal((await sendOne(socket, numbered("a"), withKey(key))).status, 202);
		assert.equal(receiver.taken.get("a"), 2);
		assert.equal((await status(socket))("duplicates_total"), 0);
	});

/* Other headers of the client come first here. */
async function sendBehind(socket, headers, body, more) {
	const client = await FastcgiClient.open(socket);
	const reply = await client.send({ ...headers, ...beaconParams(body.length, more) }, body);
	client.close();
	return reply;
}

for (const [header, value] of [["HTTP_X_FARO_SESSION_ID", "s".repeat(4090)], ["HTTP_TRACEPARENT", "t".repeat(4096)]])
	scenario(`${header} of ${value.length} bytes before two other keys: two beacons, and what nginx says counts`, async (stage) => {
		const receiver = await counter(stage);
		const { socket } = await startIngest(stage, receiver.url);
		for (const key of ["key 1", "key 2"]) {
			const reply = await sendBehind(socket, { [header]: value }, numbered("a"), withKey(key));
			assert.equal(reply.status, 202, reply.text);
		}
		assert.equal(receiver.taken.get("a"), 2);
		/* The same key, which is short, is the same. */
		assert.equal((await sendBehind(socket, { [header]: value }, numbered("a"), withKey("key 1"))).status, 202);
		assert.equal(receiver.taken.get("a"), 2);
	});

scenario("through nginx, two keys of 5000 bytes with one body: two beacons, and neither key is forwarded", async (stage) => {
	const receiver = await counter(stage);
	const { socket } = await startIngest(stage, receiver.url);
	const { port } = await nginx(stage, { socket });
	const others = { Traceparent: "t".repeat(5000), "X-Faro-Session-Id": "s".repeat(5000) };
	for (const start of ["1", "2"])
		assert.equal((await post(port, numbered("a"), { "Idempotency-Key": long(start, 5000), ...others })).status, 202);
	assert.equal(receiver.taken.get("a"), 2);
	/* One that is forwarded still tells the same beacon. */
	for (let i = 0; i < 2; i++)
		assert.equal((await post(port, numbered("b"), { ...others, "Idempotency-Key": long("3", 128) })).status, 202);
	assert.equal(receiver.taken.get("b"), 1);
	assert.equal((await status(socket))("duplicates_total"), 1);
});
