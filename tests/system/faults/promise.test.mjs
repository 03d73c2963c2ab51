/* What was answered 202 arrives, whatever the receiver does meanwhile. */
import assert from "node:assert/strict";
import { statSync } from "node:fs";

import { counter, eventually, Flood, numbered, pause, sendOne, status } from "../lib/beacons.mjs";
import { startIngest } from "../lib/faro.mjs";
import { scenario } from "../lib/stage.mjs";

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
	assert.equal(down("accepted_total", 'reason="spooled"'), 20);
	assert.equal(down("items_total", 'kind="log"'), 0, "the receiver took none yet");
	assert.ok(down("spool_bytes") > 4096);
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
