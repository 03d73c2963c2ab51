// SPDX-License-Identifier: Apache-2.0
/*
 * The responder is killed again and again under load, the receiver too, which is slow and refuses at
 * random: of what was answered 202 nothing is missing at the end, and what came twice has an excuse.
 */
import assert from "node:assert/strict";

import { counter, eventually, Flood, pause, status } from "../lib/beacons.mjs";
import { startIngest } from "../lib/faro.mjs";
import { scenario } from "../lib/stage.mjs";

const kills = Number(process.env.FARO_SOAK_KILLS ?? 20);

/* An attempt that is cut off within this time of its being taken was not answered, or its record could
 * not be deleted any more. */
const WINDOW_MS = 500;

const random = (n) => Math.floor(Math.random() * n);

/* Remembers when each beacon was taken, and whether its answer came too late. */
class Ledger {
	constructor() {
		this.takes = new Map();
		this.cuts = [];
		this.wild = true;
	}

	take(id, late) {
		const takes = this.takes.get(id) ?? [];
		takes.push({ at: Date.now(), late });
		this.takes.set(id, takes);
		return 202;
	}

	cut() {
		this.cuts.push(Date.now());
	}

	excuses({ at, late }) {
		return late || this.cuts.some((cut) => cut >= at - 50 && cut <= at + WINDOW_MS);
	}

	/* Every take but the last needs an excuse for why it was not the last. */
	unexcused() {
		return [...this.takes].filter(([, takes]) => takes.slice(0, -1).some((take) => !this.excuses(take)));
	}

	async behave(id) {
		const dice = this.wild ? random(100) : 99;
		if (dice < 3) return 503;
		if (dice < 5) return 429;
		if (dice < 6) return "drop";
		if (dice < 8) {
			this.take(id, true);
			await pause(400); // beyond the upstream timeout, not beyond that of replay
			return 202;
		}
		if (dice < 20) await pause(random(100));
		return this.take(id, false);
	}
}

scenario(`${kills} kills: nothing that was promised is missing`, async (stage) => {
	const ledger = new Ledger();
	const receiver = await counter(stage, (id) => ledger.behave(id));
	const env = {
		FARO_SPOOL_DIR: stage.path("spool"), FARO_REPLAY_RATE: "2000", FARO_UPSTREAM_TIMEOUT_MS: "300",
		FARO_WORKERS: "2", FARO_LOG_LEVEL: "error",
	};
	const start = async () => {
		const { process, socket } = await startIngest(stage, receiver.url, { env: { ...env, FARO_LOG_LEVEL: "info" } });
		return { process, socket };
	};
	let { process: responder, socket } = await start();
	const flood = new Flood(socket, { senders: 12, gapMs: 5 });
	for (let kill = 0; kill < kills; kill++) {
		await pause(50 + random(400));
		if (random(4) === 0) {
			ledger.cut();
			await receiver.stop();
			ledger.cut();
			await pause(random(300));
			await receiver.listen(receiver.port);
		}
		ledger.cut();
		await responder.stop("SIGKILL");
		ledger.cut();
		({ process: responder } = await start());
	}
	await pause(200);
	await flood.stop();
	ledger.wild = false;
	await eventually("empty spool", async () => (await status(socket))("spool_records") === 0, 60);
	const promised = flood.promised;
	const missing = promised.filter((id) => !ledger.takes.has(id));
	const page = await status(socket);
	for (const reason of ["age", "damaged", "rejected", "refused", "ambiguous"])
		assert.equal(page("spool_dropped_total", `reason="${reason}"`), 0, reason);
	assert.ok(promised.length > 20 * kills, `${promised.length} promises, ${JSON.stringify(flood.statuses())}`);
	assert.deepEqual(missing, [], `${missing.length} of ${promised.length} are missing`);
	assert.deepEqual(ledger.unexcused(), []);
	assert.equal((await responder.stop("SIGTERM")).code, 0);
}, { timeout: 3600_000 });
