// SPDX-License-Identifier: Apache-2.0
/*
 * A disk that fails now and then, and one that has lost something for good. disk_shim.c makes the calls below
 * SQLite fail, since SQLite itself takes some errors of a disk for damage: nothing that was answered 202 may be
 * missing for them. Of a database that is really damaged, what can be read is delivered, and the rest is kept.
 *
 * FARO_DISK_FULL=1: each of the first 100 calls instead of some. FARO_DISK_MIB: the size of the spool with which
 * a process must serve at once, 16 by default.
 */
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { cpSync, readFileSync, readdirSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";

import { counter, eventually, numbered, Sender, sendOne, status } from "../lib/beacons.mjs";
import { startIngest } from "../lib/faro.mjs";
import { compileShim, numbers } from "../lib/shim.mjs";
import { root, scenario } from "../lib/stage.mjs";

const FULL = process.env.FARO_DISK_FULL === "1";
const MIB = Number(process.env.FARO_DISK_MIB ?? 16);
const PAGE = 4096;
const BEACONS = 40;
const KINDS = { read: 1, write: 2, fsync: 3, open: 4 };
const NAMES = ["kind", "at", "times", "failed", "slowUs", "ready", "readBytes", "none", "reads", "writes", "syncs", "opens"];
const SOME = {
	read: [1, 2, 3, 5, 8, 12, 20, 33, 50, 70, 100],
	write: [1, 2, 3, 8, 20, 50],
	fsync: [1, 2, 3, 8, 20],
	open: [1, 2, 3, 4, 6],
};
const TIMES = [1, 2, 10];
const AT_ONCE = 12; // nearly always they wait
const FAILURES_SHOWN = 3;
const LONG = { timeout: FULL ? 7_200_000 : 600_000 };

const calls = (kind) => (FULL ? Array.from({ length: 100 }, (_, i) => i + 1) : SOME[kind]);
const ids = (prefix, n) => Array.from({ length: n }, (_, i) => `${prefix}${i}`);
const incompressible = (bytes) => randomBytes(bytes / 2).toString("hex");
const env = (directory, more = {}) => ({ FARO_SPOOL_DIR: directory, FARO_REPLAY_RATE: "5000", FARO_WORKERS: "1", ...more });

/* Of one process. */
async function disk(stage, library, directory, name) {
	const shared = await numbers(stage, `${name}.numbers`, NAMES);
	return {
		env: { LD_PRELOAD: library, PRELOADED_DISK: shared.path, PRELOADED_DISK_DIR: directory },
		get: (what) => shared.get(what),
		set: (values) => shared.set(values),
		/* The `at`th from now on. */
		arm: (kind, at, times) => {
			const before = shared.get({ read: "reads", write: "writes", fsync: "syncs", open: "opens" }[kind]);
			shared.set({ at: before + at, times, failed: 0 });
			shared.set({ kind: KINDS[kind] });
		},
		disarm: () => shared.set({ kind: 0 }),
	};
}

const buildShim = (stage) => compileShim(stage, join(root, "tests/system/faults/disk_shim.c"));

/* Into the spool, for nobody listens. → those that were promised */
async function store(socket, names, size = 8000) {
	const promised = [];
	const sender = new Sender(socket);
	for (const id of names) {
		const reply = await sender.send(numbered(id, incompressible(size)));
		assert.ok([202, 429, 503].includes(reply?.status), `${id} was answered ${reply?.status}`);
		if (reply.status === 202) promised.push(id);
	}
	sender.close();
	return promised;
}

/* A spool with beacons, whose process was killed (a log is left) or has ended. */
async function makeSpool(stage, receiver, name, { names = ids("spooled", BEACONS), size, signal = "SIGTERM", more } = {}) {
	const directory = stage.path(name);
	const { process, socket } = await startIngest(stage, receiver.url,
		{ socket: stage.path(`${name}.sock`), env: env(directory, { FARO_DRAIN_TIMEOUT_MS: "1", ...more }) });
	/* What it finds damaged is salvaged first, while it answers 503. */
	await eventually("spool that takes beacons", async () => (await sendOne(socket, numbered("first"))).status === 202);
	assert.deepEqual(await store(socket, names, size), names);
	await process.stop(signal);
	return { directory, names };
}

async function nobody(stage) {
	const receiver = await counter(stage);
	await receiver.stop();
	return receiver;
}

/* `each` of `work`, some at once, until too many have failed; what failed. */
async function inTurn(work, each) {
	const left = [...work];
	const failures = [];
	await Promise.all(Array.from({ length: AT_ONCE }, async () => {
		while (left.length && failures.length < FAILURES_SHOWN) {
			const item = left.shift();
			await each(item).catch((error) => failures.push(`${item.what}: ${error.message}`));
		}
	}));
	return failures;
}

const series = (kind) => calls(kind).flatMap((at) => TIMES.map((times) =>
	({ kind, at, times, what: `${kind} ${at} fails${times > 1 ? ` and ${times - 1} after it` : ""}` })));

async function assertDelivered(receiver, socket, promised) {
	await eventually("delivery", () => receiver.missing(promised).length === 0).catch(async () => {
		const page = await status(socket);
		const moved = page("spool_moved_aside_total");
		assert.fail(`${receiver.missing(promised).length} of ${promised.length} are missing, spool_moved_aside_total ${moved}`);
	});
}

for (const kind of Object.keys(KINDS))
	for (const [what, signal] of [["ended", "SIGTERM"], ["was killed", "SIGKILL"]])
		scenario(`errors of ${kind}, with a spool whose process ${what}: nothing promised is missing`, async (stage, t) => {
			const library = await buildShim(stage);
			const spool = await makeSpool(stage, await nobody(stage), "template", { signal });
			let reached = 0;
			const failures = await inTurn(series(kind), async ({ at, times }) => {
				const name = `${kind}-${at}-${times}`;
				const directory = stage.path(name);
				cpSync(spool.directory, directory, { recursive: true });
				const receiver = await counter(stage);
				const shim = await disk(stage, library, directory, name);
				shim.arm(kind, at, times);
				const { process, socket } = await startIngest(stage, receiver.url,
					{ socket: stage.path(`${name}.sock`), env: { ...env(directory), ...shim.env } });
				assert.equal(shim.get("ready"), 1, "the shim is loaded");
				await assertDelivered(receiver, socket, spool.names);
				reached += shim.get("failed") > 0;
				assert.equal((await process.stop("SIGTERM")).code, 0);
				await receiver.stop();
			});
			t.diagnostic(`${reached} of ${series(kind).length} were reached`);
			assert.deepEqual(failures, []);
			assert.ok(reached > 0, "the test itself: some call failed");
		}, LONG);

/* Files are opened at the start. */
for (const kind of ["read", "write", "fsync"])
	scenario(`errors of ${kind} while beacons are stored: nothing promised is missing`, async (stage, t) => {
		const library = await buildShim(stage);
		let reached = 0, promises = 0;
		const failures = await inTurn(series(kind), async ({ at, times }) => {
			const name = `${kind}-${at}-${times}`;
			const directory = stage.path(name);
			const receiver = await nobody(stage);
			const shim = await disk(stage, library, directory, name);
			const socket = stage.path(`${name}.sock`);
			let { process } = await startIngest(stage, receiver.url, { socket, env: { ...env(directory), ...shim.env } });
			const promised = await store(socket, ids("before", 10));
			assert.equal(promised.length, 10, "before anything fails");
			shim.arm(kind, at, times);
			promised.push(...await store(socket, ids("under", 30)));
			reached += shim.get("failed") > 0;
			promises += promised.length;
			/* With this process and with the next. */
			if (at % 2) {
				await process.stop("SIGKILL");
				({ process } = await startIngest(stage, receiver.url, { socket, env: env(directory) }));
			}
			await receiver.listen(receiver.port);
			await assertDelivered(receiver, socket, promised);
			assert.equal((await process.stop("SIGTERM")).code, 0);
			await receiver.stop();
		});
		t.diagnostic(`${reached} of ${series(kind).length} were reached, ${promises} promises`);
		assert.deepEqual(failures, []);
	}, LONG);

/* --- damage ---------------------------------------------------------------------------------------- */

/* Rows as text, as far as they can be read from this end. */
async function rows(stage, database, order) {
	const { stdout } = await stage.finish("sqlite3", "sqlite3", ["-quote", database,
		`PRAGMA writable_schema=ON; SELECT * FROM records ORDER BY id ${order}`]);
	return stdout.toString().split("\n").filter((line) => line !== "");
}

/* The ids of the beacons whose whole rows can still be read from one end or the other. */
async function readable(stage, healthy, damaged) {
	const whole = await rows(stage, healthy, "ASC");
	const { stdout } = await stage.finish("sqlite3", "sqlite3",
		[healthy, "SELECT sqlar_uncompress(body, size) FROM records ORDER BY id ASC"]);
	const names = [...stdout.toString().matchAll(/id=([^;]+);/g)].map((match) => match[1]);
	assert.equal(names.length, whole.length);
	const copy = `${damaged}.copy`;
	cpSync(damaged, copy);
	const left = new Set([...await rows(stage, copy, "ASC"), ...await rows(stage, copy, "DESC")]);
	return names.filter((_, i) => left.has(whole[i]));
}

/* Of the table's leaves, the one in the middle. */
function middleLeaf(bytes) {
	const leaves = [];
	for (let at = PAGE; at < bytes.length; at += PAGE) if (bytes[at] === 0x0d) leaves.push(at);
	return leaves[leaves.length >> 1];
}

/* The same ones each time. */
function flipBits(bytes, n) {
	let seed = 4711;
	for (let i = 0; i < n; i++) {
		seed = (seed * 1103515245 + 12345) % 2 ** 31;
		bytes[PAGE + (seed % (bytes.length - PAGE))] ^= 1 << i % 8;
	}
	return bytes;
}

const DAMAGES = {
	"cut at half of its pages": (bytes) => bytes.subarray(0, Math.floor(bytes.length / PAGE / 2) * PAGE),
	"cut within a page": (bytes) => bytes.subarray(0, Math.floor(bytes.length * 0.7) | 1),
	"with one page overwritten": (bytes) => bytes.fill(0xff, middleLeaf(bytes), middleLeaf(bytes) + PAGE),
	"with 12 bits flipped": (bytes) => flipBits(bytes, 12),
};

for (const [what, damage] of Object.entries(DAMAGES))
	scenario(`a database ${what}: what can be read is delivered, and new beacons are taken`, async (stage, t) => {
		const receiver = await nobody(stage);
		/* Some of a page's size, many of them small. */
		const { directory, names } = await makeSpool(stage, receiver, "spool", { names: ids("spooled", 200), size: 1500 });
		const file = join(directory, "spool.db");
		cpSync(file, stage.path("healthy.db"));
		writeFileSync(file, damage(readFileSync(file)));
		const expected = await readable(stage, stage.path("healthy.db"), file);
		t.diagnostic(`${expected.length} of ${names.length} can be read`);
		assert.ok(expected.length > 20 && expected.length < names.length, `the test itself: ${expected.length} can be read`);
		const { socket } = await startIngest(stage, receiver.url, { env: env(directory) });
		await eventually("spool that takes beacons", async () => (await sendOne(socket, numbered("new"))).status === 202);
		await receiver.listen(receiver.port);
		await assertDelivered(receiver, socket, [...expected, "new"]);
	}, LONG);

/* Nothing of it can be read any more. */
function destroyHeader(directory) {
	const file = join(directory, "spool.db");
	const bytes = readFileSync(file);
	const block = Buffer.from(bytes.subarray(10 * PAGE, 11 * PAGE));
	writeFileSync(file, bytes.fill(0, 0, PAGE));
	return block;
}

const files = (directory) => readdirSync(directory).map((name) => join(directory, name));
const isKept = (directory, block) => files(directory).some((file) => readFileSync(file).includes(block));

scenario("damaged again and again: moving aside destroys no earlier copy", async (stage) => {
	const receiver = await nobody(stage);
	const directory = stage.path("spool");
	const lost = [];
	for (let round = 0; round < 3; round++) {
		await makeSpool(stage, receiver, "spool", { names: ids(`r${round}-`, BEACONS) });
		lost.push(destroyHeader(directory));
	}
	const { socket } = await startIngest(stage, receiver.url, { env: env(directory) });
	await eventually("spool that takes beacons", async () => (await sendOne(socket, numbered("new"))).status === 202);
	assert.deepEqual(lost.map((block) => isKept(directory, block)), [true, true, true]);
});

scenario("damaged, and no room for another copy: nothing is moved or lost, and live beacons are relayed", async (stage) => {
	const limit = 1 << 20;
	const receiver = await nobody(stage);
	const directory = stage.path("spool");
	const more = { FARO_SPOOL_MAX_BYTES: String(limit) };
	const lost = [];
	let databases = 0;
	/* The limit was higher. */
	for (let round = 0; round < 2; round++) {
		await makeSpool(stage, receiver, "spool", { names: ids(`r${round}-`, 80), size: 12_000, more: { FARO_SPOOL_MAX_BYTES: "4MiB" } });
		lost.push(destroyHeader(directory));
		databases += statSync(join(directory, "spool.db")).size;
	}
	assert.ok(databases > limit, `the test itself: ${databases} bytes`);
	const { process, socket } = await startIngest(stage, receiver.url, { env: env(directory, more) });
	/* Not a promise that could not be kept. */
	const refused = await sendOne(socket, numbered("refused"));
	assert.ok([429, 503].includes(refused.status), `${refused.status}`);
	assert.match(process.stderr, /level=error event=spool_/);
	await receiver.listen(receiver.port);
	await eventually("live beacon", async () => (await sendOne(socket, numbered("live"))).status === 202 && receiver.taken.has("live"));
	assert.deepEqual(lost.map((block) => isKept(directory, block)), [true, true]);
	const copies = files(directory).filter((file) => /spool\.db\..*/.test(file) && !/-(wal|shm)$/.test(file));
	const bytes = copies.reduce((sum, file) => sum + statSync(file).size, 0);
	assert.ok(bytes <= limit, `${bytes} bytes of copies`);
});

/* --- a large spool ----------------------------------------------------------------------------------- */

/* By how much is read, each time 5 ms long: of 16 MiB that would be 20 s. */
for (const [what, damage] of [["", undefined], [" that is damaged", DAMAGES["with one page overwritten"]]])
	scenario(`a spool of ${MIB} MiB${what}: the first 202 waits for an eighth of it at most`, async (stage, t) => {
		const library = await buildShim(stage);
		const receiver = await nobody(stage);
		const more = { FARO_SPOOL_MAX_BYTES: "4GiB" };
		const { directory, names } = await makeSpool(stage, receiver, "spool",
			{ names: ids("spooled", 800), size: 2 * Math.floor(MIB * (1 << 20) / 800), more });
		const file = join(directory, "spool.db");
		const pages = statSync(file).size / PAGE;
		assert.ok(pages > MIB * 200, `the test itself: ${pages} pages`);
		if (damage) writeFileSync(file, damage(readFileSync(file)));
		await receiver.listen(receiver.port);
		const shim = await disk(stage, library, directory, "shim");
		shim.set({ slowUs: 5000 });
		const { socket } = await startIngest(stage, receiver.url, { env: { ...env(directory, more), ...shim.env } });
		assert.equal((await sendOne(socket, numbered("live"))).status, 202);
		t.diagnostic(`${shim.get("reads")} reads, ${shim.get("readBytes")} bytes of ${pages * PAGE}`);
		assert.ok(shim.get("reads") > 0, "the test itself: it reads");
		assert.ok(shim.get("reads") < pages / 8, `${shim.get("reads")} reads of ${pages} pages`);
		/* Also while it looks for damage. */
		if (damage) assert.equal((await sendOne(socket, numbered("live too"))).status, 202);
		assert.ok(shim.get("reads") < pages / 4, `${shim.get("reads")} reads of ${pages} pages`);
		shim.set({ slowUs: 0 });
		if (!damage) await eventually("delivery", () => receiver.missing(names).length === 0, 60 + MIB);
	}, { timeout: 300_000 + MIB * 1000 });
