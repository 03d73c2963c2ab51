// SPDX-License-Identifier: Apache-2.0
/* The time of day is set by others, and set wrong: no beacon is dropped for it. What has really waited too long is. */
import assert from "node:assert/strict";

import { counter, eventually, numbered, sendOne, status } from "../lib/beacons.mjs";
import { clock } from "../lib/clock.mjs";
import { startIngest } from "../lib/faro.mjs";
import { atOnce, scenario } from "../lib/stage.mjs";

atOnce(5, "clocks");

const DAY_S = 86_400; // FARO_SPOOL_MAX_AGE_S by default
const TO_1970_S = -Math.floor(Date.now() / 1000) + 60;
const BEACONS = 10;

/* A receiver that is down, a process whose clocks can be set, and what both are about. */
async function setUp(stage, set = {}) {
	const time = await clock(stage);
	const receiver = await counter(stage);
	await receiver.stop();
	const env = { FARO_SPOOL_DIR: stage.path("spool"), FARO_REPLAY_RATE: "1000", FARO_DRAIN_TIMEOUT_MS: "1", ...time.env };
	time.set(set);
	const world = {
		time, receiver, promised: [],
		async start() {
			({ process: world.process, socket: world.socket } = await startIngest(stage, receiver.url, { env }));
			time.assertLoaded();
		},
		async restart(change) {
			assert.equal((await world.process.stop("SIGTERM")).code, 0);
			change();
			await world.start();
		},
		async store() {
			for (let i = 0; i < BEACONS; i++) {
				const id = `beacon${world.promised.length}`;
				assert.equal((await sendOne(world.socket, numbered(id), { HTTP_IDEMPOTENCY_KEY: id })).status, 202);
				world.promised.push(id);
			}
		},
		dropped: async () => (await status(world.socket))("spool_dropped_total", 'reason="age"'),
		/* Housekeeping shows the age once a second: when it has changed twice, the clocks of now were looked at. */
		async lookedAtAges() {
			const seen = new Set();
			await eventually("two looks at the ages", async () => {
				const page = await status(world.socket);
				seen.add(page("spool_oldest_seconds"));
				return seen.size > 2 || page("spool_dropped_total", 'reason="age"') > 0;
			});
		},
		async assertKept() {
			await world.lookedAtAges();
			assert.equal(await world.dropped(), 0, "dropped for their age");
		},
		async assertDelivered() {
			await receiver.listen(receiver.port);
			await eventually("empty spool", async () => (await status(world.socket))("spool_records") === 0);
			assert.equal(await world.dropped(), 0, "dropped for their age");
			assert.deepEqual(receiver.missing(world.promised), []);
			assert.equal(receiver.duplicates, 0);
		},
		async assertExpired() {
			await eventually("expiry", async () => await world.dropped() === world.promised.length);
			await receiver.listen(receiver.port);
			await eventually("empty spool", async () => (await status(world.socket))("spool_records") === 0);
			assert.equal(receiver.taken.size, 0);
		},
	};
	await world.start();
	return world;
}

scenario("two days forward, then put right: all is delivered", async (stage) => {
	const world = await setUp(stage);
	await world.store();
	world.time.set({ wallS: 2 * DAY_S });
	await world.assertKept();
	await world.store();
	world.time.set({ wallS: 0 });
	await world.assertKept();
	await world.assertDelivered();
});

scenario("two days back, then put right: all is delivered, in its order", async (stage) => {
	const world = await setUp(stage);
	await world.store();
	world.time.set({ wallS: -2 * DAY_S });
	await world.store();
	world.time.set({ wallS: 0 });
	await world.store();
	await world.assertKept();
	await world.assertDelivered();
	assert.deepEqual([...world.receiver.taken.keys()].sort(), [...world.promised].sort());
});

scenario("1970, until NTP puts it right: all is delivered", async (stage) => {
	const world = await setUp(stage, { wallS: TO_1970_S });
	await world.store();
	world.time.set({ wallS: 0 });
	await world.assertKept();
	await world.assertDelivered();
});

scenario("1970, and right in the next process of the same boot: all is delivered", async (stage) => {
	const world = await setUp(stage, { wallS: TO_1970_S });
	await world.store();
	await world.restart(() => world.time.set({ wallS: 0 }));
	await world.assertKept();
	await world.assertDelivered();
});

scenario("two days forward in the next process, of another boot: all is delivered", async (stage) => {
	const world = await setUp(stage, { asleepS: 50 * DAY_S });
	await world.store();
	await world.restart(() => {
		world.time.setBoot(2);
		world.time.set({ wallS: 2 * DAY_S, asleepS: 0 });
	});
	await world.assertKept();
	await world.assertDelivered();
});

/* The next process knows of a beacon for as long, whatever the time of day. */
scenario("two days forward in the next process: a retry of what is in the spool is a duplicate", async (stage) => {
	const world = await setUp(stage);
	await world.store();
	await world.restart(() => world.time.set({ wallS: 2 * DAY_S }));
	const [id] = world.promised;
	assert.equal((await sendOne(world.socket, numbered(id), { HTTP_IDEMPOTENCY_KEY: id })).status, 202);
	assert.equal((await status(world.socket))("duplicates_total"), 1);
	await world.assertDelivered();
});

/* A machine that was suspended; its clock may be put back as well. */
for (const [what, wallS] of [["", DAY_S], [", and the time of day is put back", -DAY_S]])
	scenario(`a day really passes${what}: what has waited for it is dropped and counted`, async (stage) => {
		const world = await setUp(stage);
		await world.store();
		world.time.set({ wallS, asleepS: DAY_S });
		await world.assertExpired();
	});

scenario("a day really passes between two processes of one boot: dropped and counted", async (stage) => {
	const world = await setUp(stage);
	await world.store();
	await world.restart(() => world.time.set({ wallS: -DAY_S, asleepS: DAY_S }));
	await world.assertExpired();
});

scenario("a day really passes in the process after a reboot: dropped and counted", async (stage) => {
	const world = await setUp(stage, { asleepS: 50 * DAY_S });
	await world.store();
	await world.restart(() => {
		world.time.setBoot(2);
		world.time.set({ asleepS: 0 });
	});
	await world.assertKept();
	world.time.set({ asleepS: DAY_S });
	await world.assertExpired();
});
