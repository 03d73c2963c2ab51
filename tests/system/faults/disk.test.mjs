// SPDX-License-Identifier: Apache-2.0
/* A spool whose disk is small, full, read-only or gone: honest answers, and it heals by itself. */
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { closeSync, mkdirSync, openSync, rmSync, statSync, unlinkSync, writeSync } from "node:fs";

import { counter, eventually, numbered, Sender, sendOne, status } from "../lib/beacons.mjs";
import { startIngest } from "../lib/faro.mjs";
import { scenario } from "../lib/stage.mjs";

/* Such a disk can only be had by mounting one. */
async function smallDisk(stage, size) {
	const path = stage.path("disk");
	mkdirSync(path);
	const { code, stderr } = await stage.finish("mount", "mount", ["-t", "tmpfs", "-o", `size=${size}`, "none", path]);
	assert.equal(code, 0, `run this as root: ${stderr}`);
	stage.after(() => stage.finish("umount", "umount", ["-l", path]));
	return path;
}

const incompressible = (bytes) => randomBytes(bytes / 2).toString("hex");

/* Until it is refused; → the ids that were promised, and the status of the refusal. */
async function fill(socket, prefix, seen = () => {}) {
	const sender = new Sender(socket);
	const promised = [];
	for (let i = 0; ; i++) {
		const id = `${prefix}${i}`;
		const { status: code } = await sender.send(numbered(id, incompressible(8000)));
		await seen(i);
		if (code !== 202) {
			sender.close();
			return { promised, refused: id, code };
		}
		promised.push(id);
		assert.ok(i < 20_000, "it is never full");
	}
}

/* Every byte of it, as somebody else's log would. */
function fillDisk(path) {
	const file = openSync(`${path}/filler`, "w");
	for (let size = 65536; size >= 1; size = size > 1 ? size >> 1 : 0) {
		try {
			for (;;) if (writeSync(file, Buffer.alloc(size)) === 0) break;
		} catch (error) {
			assert.equal(error.code, "ENOSPC");
		}
	}
	closeSync(file);
	return () => unlinkSync(`${path}/filler`);
}

const empty = async (socket) => (await status(socket))("spool_records") === 0;
const env = (directory, more = {}) => ({ FARO_SPOOL_DIR: directory, FARO_REPLAY_RATE: "5000", ...more });

scenario("a disk of 4 MiB: refused when it is full, everything promised arrives, and there is room again", async (stage) => {
	const disk = await smallDisk(stage, "4m");
	const receiver = await counter(stage);
	const { socket } = await startIngest(stage, receiver.url, { env: env(`${disk}/spool`) });
	await receiver.stop();
	const promised = [];
	for (let round = 0; round < 3; round++) {
		const filled = await fill(socket, `r${round}-`);
		assert.equal(filled.code, 429);
		assert.ok(filled.promised.length > 100, `${filled.promised.length} in round ${round}`);
		promised.push(...filled.promised);
		assert.equal((await status(socket))("rejected_total", 'reason="spool_full"'), round + 1);
		await receiver.listen(receiver.port);
		await eventually("empty spool", () => empty(socket));
		await receiver.stop();
	}
	assert.deepEqual(receiver.missing(promised), []);
	assert.equal(receiver.taken.size, promised.length, "what was refused is not delivered");
	assert.equal(receiver.duplicates, 0);
});

scenario("a disk that somebody else fills: nothing false, nothing sent for ever, healed within 5 s", async (stage) => {
	const disk = await smallDisk(stage, "16m");
	const receiver = await counter(stage);
	const { socket } = await startIngest(stage, receiver.url, { env: env(`${disk}/spool`) });
	await receiver.stop();
	for (let i = 0; i < 300; i++)
		assert.equal((await sendOne(socket, numbered(`b${i}`, incompressible(2000)))).status, 202);
	const free = fillDisk(disk);
	const refused = await sendOne(socket, numbered("refused"));
	assert.ok([429, 503].includes(refused.status), `${refused.status}`);
	await receiver.listen(receiver.port);
	await eventually("all of them", () => receiver.taken.size === 300);
	/* Longer than it would take to send them again. */
	await new Promise((done) => setTimeout(done, 1500));
	assert.equal(receiver.duplicates, 0);
	free();
	await eventually("empty spool", () => empty(socket), 5);
	assert.equal(receiver.duplicates, 0);
	await receiver.stop();
	await eventually("spool that takes again", async () => (await sendOne(socket, numbered("after"))).status === 202, 5);
	await receiver.listen(receiver.port);
	await eventually("empty spool", () => empty(socket));
	assert.ok(receiver.taken.has("after"));
	assert.ok(!receiver.taken.has("refused"));
});

scenario("the limit: database and log stay below it, but for one batch", async (stage) => {
	const receiver = await counter(stage);
	const directory = stage.path("spool");
	const { socket } = await startIngest(stage, receiver.url, { env: env(directory, { FARO_SPOOL_MAX_BYTES: "3MiB" }) });
	await receiver.stop();
	let most = 0;
	const { code } = await fill(socket, "l", () => {
		const size = ["spool.db", "spool.db-wal"].reduce((sum, name) => sum + statSync(`${directory}/${name}`).size, 0);
		most = Math.max(most, size);
	});
	assert.equal(code, 429);
	assert.ok(most > 2 << 20 && most <= 3 << 20, `${most} bytes`);
});

scenario("a directory that cannot be made, then can, then is removed: refused as without a spool, then taken", async (stage) => {
	const receiver = await counter(stage);
	const directory = stage.path("missing", "spool");
	const { process, socket } = await startIngest(stage, receiver.url, { env: env(directory) });
	await receiver.stop();
	assert.equal((await sendOne(socket, numbered("a"))).status, 503);
	assert.match(process.stderr, /event=spool_unusable/);
	mkdirSync(stage.path("missing"));
	await eventually("202", async () => (await sendOne(socket, numbered("b"))).status === 202, 5);
	rmSync(directory, { recursive: true });
	await eventually("new directory", async () => {
		const { status: code } = await sendOne(socket, numbered("c"));
		assert.ok([202, 503].includes(code));
		return code === 202 && statSync(`${directory}/spool.db`).isFile();
	}, 5);
});
