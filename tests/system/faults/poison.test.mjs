// SPDX-License-Identifier: Apache-2.0
/*
 * One beacon that the receiver always answers with an error must not cost another one anything, be it one in
 * the spool, one that comes now, or a thousand by one attacker. A receiver that so answers everything is another
 * matter: there it is no beacon's fault, and all of them are kept for when it is mended.
 */
import assert from "node:assert/strict";

import { counter, eventually, numbered, pause, Sender, status } from "../lib/beacons.mjs";
import { clock } from "../lib/clock.mjs";
import { startIngest } from "../lib/faro.mjs";
import { atOnce, scenario } from "../lib/stage.mjs";

atOnce(6, "poison");

const DELIVERED_S = 30; // the time in which a beacon of others is delivered
const BACK_S = 5; // the time to the first delivery after the receiver's return
const ANSWERS_MAX = 20; // to one beacon, before it is in quarantine, while others are taken
const BAD_DEPLOY_MS = 10_000;
const DAY_S = 86_400; // FARO_SPOOL_MAX_AGE_S by default

/* An hour in ten seconds; all waits have grown to their longest by then. */
const HOUR = { rate: 360, ms: 10_000 };

const POISONED = [500, 403, 404, 408];

const isPoison = (id) => id.startsWith("poison");
const ids = (prefix, n) => Array.from({ length: n }, (_, i) => `${prefix}${i}`);

const spoolEnv = (stage, more = {}) => ({
	FARO_SPOOL_DIR: stage.path("spool"), FARO_REPLAY_RATE: "1000", FARO_UPSTREAM_TIMEOUT_MS: "1000", ...more,
});

async function sendAll(socket, names) {
	const sender = new Sender(socket);
	for (const id of names) assert.equal((await sender.send(numbered(id)))?.status, 202, id);
	sender.close();
}

const allDelivered = (receiver, names, what) => eventually(`delivery of all ${what}`,
	() => receiver.missing(names).length === 0, DELIVERED_S).catch(({ message }) => {
	assert.fail(`${message}: ${receiver.missing(names).length} of ${names.length} are missing`);
});

/* One user, on and on, who must be answered 202 each time. */
class User {
	constructor(socket, prefix, gapMs) {
		this.promised = [];
		this.running = true;
		this.task = this.#run(new Sender(socket), prefix, gapMs);
		this.task.catch(() => {}); // stop() tells
	}

	async #run(sender, prefix, gapMs) {
		for (let i = 0; this.running; i++) {
			const id = `${prefix}${i}`;
			const reply = await sender.send(numbered(id), { HTTP_IDEMPOTENCY_KEY: id });
			assert.equal(reply?.status, 202, id);
			this.promised.push(id);
			await pause(gapMs);
		}
		sender.close();
	}

	async stop() {
		this.running = false;
		await this.task;
		return this.promised;
	}
}

/* How often each was asked about; a marked one is answered `code`, the others 202. */
function poisoned(code) {
	const asked = new Map();
	const behave = (id) => {
		asked.set(id, (asked.get(id) ?? 0) + 1);
		return isPoison(id) ? code : 202;
	};
	return { behave, asked: (id) => asked.get(id) ?? 0 };
}

/* While others are taken, which is what tells the beacon's fault from the receiver's; ten times as fast. Answers
 * count after the first `before`, while nobody else was there. */
async function assertQuarantined(stage, { socket, time, poison }, reason, before = 0) {
	const user = new User(socket, "meanwhile", 200);
	time.set({ rate: 10 });
	await eventually("quarantine", async () => (await status(socket))("spool_quarantined") === 1, 120);
	time.set({ rate: 1 });
	await user.stop();
	const answers = poison.asked("poison");
	assert.ok(answers - before <= ANSWERS_MAX, `${answers - before} answers before it was in quarantine`);
	await eventually("empty spool", async () => (await status(socket))("spool_records") === 0);
	assert.equal((await status(socket))("spool_dropped_total", `reason="${reason}"`), 1);
	const inQuarantine = async () => (await stage.finish("sqlite3", "sqlite3", ["-readonly", stage.path("spool/spool.db"),
		"SELECT reason, sqlar_uncompress(body, size) FROM quarantine"])).stdout.toString();
	assert.match(await inQuarantine(), new RegExp(`^${reason}\\|\\{"meta":.*id=poison;`));
	await sendAll(socket, ["afterwards"]);
	assert.equal(poison.asked("poison"), answers, "what is in quarantine is not sent");
	time.set({ asleepS: DAY_S });
	await eventually("expiry in quarantine", async () => (await status(socket))("spool_quarantined") === 0);
	assert.equal(await inQuarantine(), "");
}

async function poisonedReceiver(stage, code) {
	const time = await clock(stage);
	const poison = poisoned(code);
	const receiver = await counter(stage, poison.behave);
	const { socket } = await startIngest(stage, receiver.url,
		{ env: { ...spoolEnv(stage, { FARO_UPSTREAM_TIMEOUT_MS: "20000" }), ...time.env } });
	time.assertLoaded();
	return { time, poison, receiver, socket };
}

/* 400 and 413 blame the beacon, which a live one's sender is told at once. The way to quarantine takes minutes, so
 * that not every status goes it. */
for (const [code, reason] of [[500], [403, "refused"], [404], [408], [413], [400, "rejected"]])
	scenario(`one beacon is answered ${code}, after an outage: the 20 behind it, and live ones, are delivered`, async (stage) => {
		const set = await poisonedReceiver(stage, code);
		const { receiver, socket } = set;
		await receiver.stop();
		const spooled = ids("spooled", 20);
		await sendAll(socket, ["poison", ...spooled]);
		await receiver.listen(receiver.port);
		const user = new User(socket, "live", 250);
		await allDelivered(receiver, spooled, "that were in the spool");
		await allDelivered(receiver, await user.stop(), "live ones");
		if (reason) await assertQuarantined(stage, set, reason);
		assert.equal(receiver.duplicates, 0);
	}, { timeout: 240_000 });

for (const code of POISONED)
	scenario(`one beacon is answered ${code} by a healthy receiver for a quiet hour: 22 live ones are delivered`, async (stage) => {
		const set = await poisonedReceiver(stage, code);
		const { time, poison, receiver, socket } = set;
		await sendAll(socket, ["poison"]);
		time.set({ rate: HOUR.rate });
		await pause(HOUR.ms);
		time.set({ rate: 1 });
		const before = poison.asked("poison");
		const live = ids("live", 22);
		for (const id of live) {
			await sendAll(socket, [id]);
			await pause(100);
		}
		await allDelivered(receiver, live, "live ones");
		if (code === 500) await assertQuarantined(stage, set, "refused", before);
		assert.equal(receiver.duplicates, 0);
	}, { timeout: 240_000 });

/* An attacker sends steadily, whatever becomes of it. */
async function attack(socket, seconds, perSecond) {
	const senders = [];
	const under = [];
	const start = performance.now();
	for (let i = 0; i < seconds * perSecond; i++) {
		await pause(Math.max(0, start + (i * 1000) / perSecond - performance.now()));
		const sender = senders.pop() ?? new Sender(socket);
		under.push(sender.send(numbered(`poison${i}`)).then(() => senders.push(sender)));
	}
	await Promise.all(under);
	for (const sender of senders) sender.close();
}

for (const [what, outage, more] of [
	["", false, { FARO_REPLAY_RATE: "20" }],
	[", with an outage meanwhile", true, {}],
])
	scenario(`a flood of beacons that are answered 500${what}: those of others are delivered`, async (stage) => {
		const poison = poisoned(500);
		const receiver = await counter(stage, poison.behave);
		const { socket } = await startIngest(stage, receiver.url, { env: spoolEnv(stage, more) });
		const user = new User(socket, "other", 200);
		const flood = attack(socket, 20, 50);
		if (outage) {
			await pause(8000);
			await receiver.stop();
			await pause(3000);
			await receiver.listen(receiver.port);
		}
		await flood;
		await allDelivered(receiver, await user.stop(), "of others");
		assert.equal(receiver.duplicates, 0);
	}, { timeout: 120_000 });

for (const code of [400, 413, 500, 403])
	scenario(`everything is answered ${code} for 10 s: nothing goes into quarantine, and then all is delivered`, async (stage) => {
		let answer = code;
		const receiver = await counter(stage, () => answer);
		const { socket } = await startIngest(stage, receiver.url, { env: spoolEnv(stage) });
		await receiver.stop();
		const spooled = ids("spooled", 20);
		await sendAll(socket, spooled);
		await receiver.listen(receiver.port);
		/* Live ones may get the receiver's answer, since nothing was promised to them yet. */
		const sender = new Sender(socket);
		const promised = [...spooled];
		for (const [end, n] = [Date.now() + BAD_DEPLOY_MS, { i: 0 }]; Date.now() < end; n.i++) {
			const id = `live${n.i}`;
			if ((await sender.send(numbered(id)))?.status === 202) promised.push(id);
			await pause(100);
		}
		sender.close();
		assert.ok(receiver.requests > 0, "the test itself: it was asked");
		assert.equal((await status(socket))("spool_quarantined"), 0, "while it refused all");
		answer = 202;
		await allDelivered(receiver, promised, "that were promised");
		assert.equal((await status(socket))("spool_quarantined"), 0);
		assert.equal(receiver.duplicates, 0);
	}, { timeout: 120_000 });

for (const [what, down] of [["refused connections", "stop"], ["answered 503", 503], ["was silent", null]])
	scenario(`the receiver ${what} for an hour: the first beacon is delivered 5 s after its return`, async (stage) => {
		let answer = 202;
		const time = await clock(stage);
		const receiver = await counter(stage, () => answer);
		const { socket } = await startIngest(stage, receiver.url, { env: { ...spoolEnv(stage), ...time.env } });
		time.assertLoaded();
		if (down === "stop") await receiver.stop();
		else answer = down;
		const spooled = ids("spooled", 20);
		await sendAll(socket, spooled);
		time.set({ rate: HOUR.rate });
		await pause(HOUR.ms);
		time.set({ rate: 1 });
		answer = 202;
		if (down === "stop") await receiver.listen(receiver.port);
		await eventually("first delivery", () => receiver.taken.size > 0, BACK_S);
		await allDelivered(receiver, spooled, "that were in the spool");
	}, { timeout: 120_000 });
