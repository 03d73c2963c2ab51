// SPDX-License-Identifier: Apache-2.0
/* SIGTERM at any moment, under load, whatever the receiver does and however little time or memory there is. */
import assert from "node:assert/strict";

import { counter, eventually, Flood, pause, status } from "../lib/beacons.mjs";
import { startIngest } from "../lib/faro.mjs";
import { scenario } from "../lib/stage.mjs";

const ROUNDS = 12;
const one = (list) => list[Math.floor(Math.random() * list.length)];

for (const spool of [true, false])
	scenario(`SIGTERM at any moment, ${spool ? "with" : "without"} a spool: exit 0, and what was promised is there`, async (stage) => {
		let now;
		const behind = await counter(stage, () => (now === "mixed" ? one([202, 202, 503, 429, null, "drop"]) : now));
		const kept = spool ? { FARO_SPOOL_DIR: stage.path("spool"), FARO_REPLAY_RATE: "100000" } : {};
		let promised = [];
		for (let round = 0; round < ROUNDS; round++) {
			now = one([202, "mixed", "mixed", null, 503]);
			const { process, socket } = await startIngest(stage, behind.url, { socket: stage.path(`${round}.sock`), env: {
				...kept, FARO_WORKERS: one(["1", "4"]), FARO_UPSTREAM_TIMEOUT_MS: one(["200", "5000"]),
				FARO_DRAIN_TIMEOUT_MS: one(["1", "100", "1200"]), FARO_UPSTREAM_MAX_INFLIGHT: one(["2", "64"]),
				FARO_MAX_MEMORY_BYTES: one(["15MiB", "64MiB"]),
			} });
			const floods = [new Flood(socket, { senders: 6 }), new Flood(socket, { senders: 40, gapMs: 1 })];
			await pause(Math.random() * 600);
			const ended = process.stop("SIGTERM");
			if (one([true, false])) now = one([202, "mixed"]);
			assert.deepEqual(await ended, { code: 0, signal: null });
			for (const flood of floods) {
				await flood.stop();
				promised = promised.concat(flood.promised);
			}
		}
		now = 202;
		const { socket } = await startIngest(stage, behind.url, { env: kept });
		if (spool) await eventually("empty spool", async () => (await status(socket))("spool_records") === 0, 120);
		assert.ok(promised.length > 0);
		assert.deepEqual(behind.missing(promised), []);
	}, { timeout: 600_000 });
