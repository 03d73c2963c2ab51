/* The same Idempotency-Key with the same body is relayed once. */
import assert from "node:assert/strict";

import { counter, eventually, numbered, pause, sendOne, status } from "../lib/beacons.mjs";
import { startIngest } from "../lib/faro.mjs";
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
