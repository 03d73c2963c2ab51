// SPDX-License-Identifier: Apache-2.0
/* What was answered 202 arrives, whatever the receiver does meanwhile. */
import assert from "node:assert/strict";
import { statSync } from "node:fs";

import { counter, eventually, Flood, numbered, pause, sendOne, status } from "../lib/beacons.mjs";
import { beaconOfSize, startIngest } from "../lib/faro.mjs";
import { atOnce, scenario } from "../lib/stage.mjs";

atOnce(4, "the promise");

/* ./dev soak has it refuse for a minute. */
const refusedSeconds = Number(process.env.FARO_SOAK_DOWN_S ?? 0);

const spoolEnv = (stage, more = {}) => ({
	FARO_SPOOL_DIR: stage.path("spool"), FARO_REPLAY_RATE: "5000", FARO_UPSTREAM_TIMEOUT_MS: "300",
	FARO_DRAIN_TIMEOUT_MS: "3000", ...more,
});

const drained = (socket) => eventually("empty spool", async () => (await status(socket))("spool_records") === 0);

scenario("receiver down: 202 from the spool, delivered when it is back", async (stage) => {
	const receiver = await counter(stage);
	const { socket } = await startIngest(stage, receiver.url, { env: spoolEnv(stage) });
	await receiver.stop();
	for (let i = 0; i < 20; i++) assert.equal((await sendOne(socket, numbered(`a${i}`))).status, 202);
	const down = await status(socket);
	assert.equal(down("spool_records"), 20);
	assert.equal(down("breaker_open"), 1);
	assert.equal(down("accepted_total", 'by="spool"'), 20);
	assert.equal(down("items_total", 'kind="log"'), 0, "the receiver took none yet");
	assert.ok(down("spool_bytes") > 4096);
	assert.ok(down("spool_max_bytes") > down("spool_bytes"));
	assert.equal(statSync(stage.path("spool")).mode & 0o777, 0o700);
	for (const file of ["spool.db", "spool.db-wal", "lock"])
		assert.equal(statSync(stage.path("spool", file)).mode & 0o777, 0o600, file);
	await receiver.listen(receiver.port);
	await drained(socket);
	assert.equal(receiver.taken.size, 20);
	assert.equal(receiver.duplicates, 0);
	const up = await status(socket);
	assert.equal(up("spool_replayed_total"), 20);
	assert.equal(up("items_total", 'kind="log"'), 20);
	assert.equal(up("breaker_open"), 0);
});

scenario("receiver down under load: every answer is 202, and all of it arrives", async (stage) => {
	const receiver = await counter(stage);
	/* On a busy machine an answer takes longer than these tests let it, and that beacon would come twice. */
	const { socket } = await startIngest(stage, receiver.url, { env: { ...spoolEnv(stage), FARO_UPSTREAM_TIMEOUT_MS: "5000" } });
	const flood = new Flood(socket, { senders: 8, gapMs: 20 });
	await pause(300);
	await receiver.stop();
	await pause(3000);
	await receiver.listen(receiver.port);
	await drained(socket);
	await flood.stop();
	await drained(socket);
	assert.deepEqual(Object.keys(flood.statuses()), ["202"]);
	assert.deepEqual(receiver.missing(flood.promised), []);
	assert.equal(receiver.duplicates, 0);
});

scenario("receiver refuses the relay: everything is kept until the operator has mended it", async (stage) => {
	let answer = 401;
	const receiver = await counter(stage, () => answer);
	const { process, socket } = await startIngest(stage, receiver.url, { env: spoolEnv(stage) });
	let sent = 0;
	for (const until = Date.now() + refusedSeconds * 1000; sent < 30 || Date.now() < until; sent++) {
		assert.equal((await sendOne(socket, numbered(`u${sent}`))).status, 202);
		await pause(20);
	}
	assert.equal((await status(socket))("upstream_misconfigured"), 1);
	assert.match(process.stderr, /event=upstream_misconfigured .*API_KEY_FILE/);
	answer = 202;
	await drained(socket);
	assert.equal(receiver.taken.size, sent);
	assert.equal((await status(socket))("upstream_misconfigured"), 0);
}, { timeout: 60_000 + 3 * refusedSeconds * 1000 });

for (const code of [400, 413, 422])
	scenario(`one beacon that the receiver answers ${code}: the others arrive, and it is kept while nobody else is taken`, async (stage) => {
		let up = false;
		const receiver = await counter(stage, (id) => (!up ? 503 : id === "w7" ? code : 202));
		const { socket } = await startIngest(stage, receiver.url, { env: spoolEnv(stage) });
		for (let i = 0; i < 1000; i++) assert.equal((await sendOne(socket, numbered(`w${i}`))).status, 202);
		up = true;
		await eventually("the others", async () => (await status(socket))("spool_records") === 1);
		const page = await status(socket);
		assert.equal(receiver.taken.size, 999);
		assert.equal(receiver.taken.has("w7"), false);
		assert.equal(page("spool_replayed_total"), 999);
		assert.equal(page("spool_quarantined"), 0);
	});

scenario("a beacon that is never answered: goes into quarantine after five attempts, others pass it", async (stage) => {
	let up = false;
	const receiver = await counter(stage, (id) => (!up ? 503 : id === "x0" ? "drop" : 202));
	const { socket } = await startIngest(stage, receiver.url, { env: spoolEnv(stage) });
	for (let i = 0; i < 5; i++) assert.equal((await sendOne(socket, numbered(`x${i}`))).status, 202);
	up = true;
	let n = 5;
	await eventually("quarantine", async () => {
		await sendOne(socket, numbered(`x${n++}`));
		await pause(200);
		return (await status(socket))("spool_quarantined") === 1;
	}, 60);
	assert.equal((await status(socket))("spool_dropped_total", 'reason="ambiguous"'), 1);
	await drained(socket);
	assert.deepEqual(receiver.missing(Array.from({ length: n - 1 }, (_, i) => `x${i + 1}`)), []);
});

scenario("SIGTERM with a silent receiver: what is in flight is in the spool, and comes with the next process", async (stage) => {
	let silent = true;
	const receiver = await counter(stage, () => (silent ? null : 202));
	const env = spoolEnv(stage, { FARO_UPSTREAM_TIMEOUT_MS: "60000", FARO_DRAIN_TIMEOUT_MS: "1000" });
	const { process, socket } = await startIngest(stage, receiver.url, { env });
	const replies = Array.from({ length: 10 }, (_, i) => sendOne(socket, numbered(`t${i}`)));
	await eventually("10 requests", () => receiver.requests === 10);
	const began = Date.now();
	const ended = process.stop("SIGTERM");
	for (const reply of await Promise.all(replies)) assert.equal(reply?.status, 202);
	assert.deepEqual(await ended, { code: 0, signal: null });
	assert.ok(Date.now() - began < 2500);
	assert.match(process.stderr, /event=spool_remaining .*records=10/);
	silent = false;
	const next = await startIngest(stage, receiver.url, { env });
	await drained(next.socket);
	assert.equal(receiver.taken.size, 10);
});

scenario("SIGTERM with a receiver that is back: the spool is emptied at full speed", async (stage) => {
	let up = false;
	const receiver = await counter(stage, () => (up ? 202 : 503));
	const { process, socket } = await startIngest(stage, receiver.url,
		{ env: spoolEnv(stage, { FARO_REPLAY_RATE: "1", FARO_DRAIN_TIMEOUT_MS: "20000" }) });
	for (let i = 0; i < 100; i++) assert.equal((await sendOne(socket, numbered(`f${i}`))).status, 202);
	up = true;
	assert.equal((await process.stop("SIGTERM")).code, 0);
	assert.match(process.stderr, /event=spool_remaining .*records=0/);
	assert.equal(receiver.taken.size, 100);
});

scenario("too old: dropped and counted", async (stage) => {
	const receiver = await counter(stage, () => 503);
	const { socket } = await startIngest(stage, receiver.url, { env: spoolEnv(stage, { FARO_SPOOL_MAX_AGE_S: "1" }) });
	for (let i = 0; i < 10; i++) assert.equal((await sendOne(socket, numbered(`o${i}`))).status, 202);
	await drained(socket);
	assert.equal((await status(socket))("spool_dropped_total", 'reason="age"'), 10);
});

for (const [what, less, larger] of [
	["memory", { FARO_MAX_BODY_BYTES: "1MiB", FARO_MAX_DECODED_BYTES: "1MiB", FARO_MAX_MEMORY_BYTES: "3MiB" }, false],
	["size", { FARO_MAX_BODY_BYTES: "256KiB", FARO_MAX_DECODED_BYTES: "256KiB" }, true],
])
	scenario(`less ${what} for the next process: what was promised by one that had more arrives`, async (stage) => {
		let up = false;
		const receiver = await counter(stage, () => (up ? 202 : 503));
		const env = spoolEnv(stage, { FARO_MAX_MEMORY_BYTES: "64MiB", FARO_DRAIN_TIMEOUT_MS: "500" });
		const first = await startIngest(stage, receiver.url, { env });
		assert.equal((await sendOne(first.socket, beaconOfSize(4_500_000, "id=large; "))).status, 202);
		for (let i = 0; i < 5; i++) assert.equal((await sendOne(first.socket, numbered(`l${i}`))).status, 202);
		assert.equal((await first.process.stop("SIGTERM")).code, 0);
		up = true;
		const second = await startIngest(stage, receiver.url, { env: { ...env, ...less } });
		await eventually("beacons", () => receiver.taken.size === (larger ? 6 : 5));
		if (!larger) {
			await second.process.line(/event=spool_record_too_large .*FARO_MAX_MEMORY_BYTES.* bytes=45\d{5}/);
			await eventually("one record", async () => (await status(second.socket))("spool_records") === 1);
		}
		await second.process.stop("SIGTERM");
		const third = await startIngest(stage, receiver.url, { env });
		await drained(third.socket);
		assert.equal(receiver.taken.size, 6);
		assert.equal(receiver.duplicates, 0);
	});
