// SPDX-License-Identifier: Apache-2.0
/* Replay and a receiver that is down must not be felt by live traffic. */
import assert from "node:assert/strict";

import { counter, eventually, numbered, pause, Sender, sendOne, status } from "../lib/beacons.mjs";
import { startIngest } from "../lib/faro.mjs";
import { scenario } from "../lib/stage.mjs";

const downSeconds = Number(process.env.FARO_SOAK_DOWN_S ?? 4);
const perSecond = 200;

/* At a steady rate, whatever the answers take; → statuses and the times of the answers in ms. */
async function steady(socket, seconds, prefix) {
	const senders = [], times = [], codes = new Map(), under = [];
	const start = performance.now();
	for (let i = 0; i < seconds * perSecond; i++) {
		const wait = start + (i * 1000) / perSecond - performance.now();
		if (wait > 1) await pause(wait);
		const sender = senders.pop() ?? new Sender(socket);
		const began = performance.now();
		under.push(sender.send(numbered(`${prefix}${i}`), { HTTP_IDEMPOTENCY_KEY: `${prefix}${i}` }).then((reply) => {
			times.push(performance.now() - began);
			codes.set(reply?.status, (codes.get(reply?.status) ?? 0) + 1);
			senders.push(sender);
		}));
	}
	await Promise.all(under);
	for (const sender of senders) sender.close();
	times.sort((a, b) => a - b);
	return { codes, p99: times[Math.floor(times.length * 0.99)], n: times.length };
}

scenario(`receiver down ${downSeconds} s at ${perSecond} beacons/s: all 202, drained, live traffic hardly slower`, async (stage, t) => {
	const receiver = await counter(stage);
	const { socket } = await startIngest(stage, receiver.url,
		{ env: { FARO_SPOOL_DIR: stage.path("spool"), FARO_REPLAY_RATE: String(perSecond) } });
	await steady(socket, 1, "warm");
	const idle = await steady(socket, 4, "idle");
	await receiver.stop();
	const down = await steady(socket, downSeconds, "down");
	await receiver.listen(receiver.port);
	await eventually("replay", async () => (await status(socket))("spool_replayed_total") > 0, 40);
	const replay = await steady(socket, 4, "live");
	t.diagnostic(`p99 in ms: idle ${idle.p99.toFixed(1)}, receiver down ${down.p99.toFixed(1)}, ` +
		`during replay ${replay.p99.toFixed(1)}; spooled ${(await status(socket))("accepted_total", 'by="spool"')}`);
	for (const { codes, n } of [idle, down, replay]) assert.deepEqual([...codes], [[202, n]]);
	await eventually("empty spool", async () => (await status(socket))("spool_records") === 0, 20 + 10 * downSeconds);
	const sent = perSecond * (1 + 4 + downSeconds + 4);
	assert.equal(receiver.taken.size, sent);
	assert.equal(receiver.duplicates, 0);
}, { timeout: 3600_000 });

scenario("more than may be in flight: the rest goes to the spool", async (stage) => {
	let open;
	const gate = new Promise((done) => (open = done));
	const receiver = await counter(stage, async () => {
		await gate;
		return 202;
	});
	const { socket } = await startIngest(stage, receiver.url, { env: {
		FARO_SPOOL_DIR: stage.path("spool"), FARO_REPLAY_RATE: "1000", FARO_UPSTREAM_MAX_INFLIGHT: "4",
		FARO_UPSTREAM_TIMEOUT_MS: "20000",
	} });
	const replies = Array.from({ length: 20 }, (_, i) => sendOne(socket, numbered(`i${i}`)));
	await eventually("16 in the spool", async () => (await status(socket))("spool_records") === 16);
	assert.equal(receiver.requests, 4, "replay does not go before live traffic");
	open();
	for (const reply of await Promise.all(replies)) assert.equal(reply.status, 202);
	await eventually("empty spool", async () => (await status(socket))("spool_records") === 0);
	assert.equal(receiver.taken.size, 20);
});
