// SPDX-License-Identifier: Apache-2.0
/*
 * Beacons, hostile clients and a receiver that fails at random: a first part, and then others for
 * FARO_SOAK_MINUTES. After each it is quiet and the spool is empty, and what the process owns after the last is
 * what it owned after the first. That one brings it to what it needs at all: it ends when the memory of duplicates
 * is full, which is resident as far as it was ever used, and each thread has been where it can get to.
 *
 * What is resident and no file's creeps by some pages a part: glibc keeps freed blocks of each size for each
 * thread, some 250 here, and more and more of them have a page to themselves.
 */
import assert from "node:assert/strict";
import { deflateRawSync, gzipSync } from "node:zlib";

import { Flood, Sender, counter, eventually, pause, status } from "../lib/beacons.mjs";
import { FastcgiClient, beaconParams } from "../lib/fastcgi.mjs";
import { beaconOfSize, startIngest } from "../lib/faro.mjs";
import { anonymousKb, descriptors, residentKb } from "../lib/process.mjs";
import { scenario } from "../lib/stage.mjs";

const MINUTES = Number(process.env.FARO_SOAK_MINUTES ?? 0.25);
const WARM_BEACONS = 65536 + 4096; // some do not reach the process
const FULL_KB = 3000; // of the memory of duplicates
/* A short run ends before memory is level. */
const IS_LONG = MINUTES >= 10;
const PARTS = IS_LONG ? 6 : 1; // besides the first
const PART_MINUTES = IS_LONG ? MINUTES / PARTS : MINUTES / 2;
const most = (kb) => (IS_LONG ? kb * 1.01 : kb * 1.2 + FULL_KB);

const one = (list) => list[Math.floor(Math.random() * list.length)];

/* Mostly well; a bad spell is one of these for a second or two. */
const SPELLS = [503, 429, 500, 404, 401, 400, null, "drop", "gone", "mixed"];

class Weather {
	constructor(behind) {
		this.behind = behind;
		this.now = 202;
		behind.behave = () => (this.now === "mixed" ? one([202, 202, 503, 429, "drop"]) : this.now);
	}

	async run(until) {
		while (Date.now() < until) {
			this.now = 202;
			await pause(500 + Math.random() * 2500);
			const spell = one(SPELLS);
			if (spell === "gone") {
				const { port } = this.behind;
				await this.behind.stop();
				await pause(1000);
				await this.behind.listen(port);
			} else {
				this.now = spell;
				await pause(500 + Math.random() * 1500);
			}
		}
		this.now = 202;
	}
}

const bomb = gzipSync(Buffer.alloc(20 << 20));
const HOSTILE = [
	async (client) => client.begin(beaconParams(50_000)),
	async (client) => client.begin(),
	async (client) => client.socket.write("GET / HTTP/1.1\r\n\r\n"),
	async (client) => client.send(beaconParams(100), Buffer.alloc(40), { cut: one(["abort", "close"]) }),
	async (client) => client.send(beaconParams(bomb.length, { HTTP_CONTENT_ENCODING: "gzip" }), bomb),
	async (client) => client.send(beaconParams(5, { HTTP_CONTENT_ENCODING: "gzip" }), Buffer.from("xxxxx")),
	async (client) => client.send(beaconParams(20), Buffer.alloc(20, "{")),
	async (client) => client.send(beaconParams(10, { HTTP_COOKIE: "x".repeat(65_000) }), Buffer.alloc(10)),
	async (client) => {
		const body = deflateRawSync(beaconOfSize(Math.floor(Math.random() * 2_000_000)));
		await client.send(beaconParams(body.length, { HTTP_CONTENT_ENCODING: "deflate" }), body);
	},
];

async function attack(socket, until) {
	while (Date.now() < until) {
		const client = await FastcgiClient.open(socket);
		await Promise.race([one(HOSTILE)(client), pause(200)]);
		client.close();
		await pause(20);
	}
}

async function part(behind, weather, socket, minutes, fewest) {
	const until = Date.now() + minutes * 60_000;
	const flood = new Flood(socket, { senders: 6, gapMs: 5 });
	await Promise.all([weather.run(until), attack(socket, until), attack(socket, until)]);
	await eventually(`${fewest} beacons`, () => flood.answered.size >= fewest, 1200);
	await flood.stop();
	return flood;
}

/* Nothing under way, nothing stored, no connection to the receiver. */
async function calm(behind, { process, socket }, fewest) {
	const { pid } = process.child;
	await eventually("empty spool", async () => {
		await new Promise((done) => setTimeout(done, 500));
		return (await status(socket))("spool_records") === 0;
	}, 1200);
	const { port } = behind;
	await behind.stop();
	await pause(3000); // memory is given back after a second without a beacon
	await eventually("closed descriptors", () => descriptors(pid) <= fewest, 30).catch(() => {});
	const owns = { kb: residentKb(pid), descriptors: descriptors(pid), anonymousKb: anonymousKb(pid) };
	await behind.listen(port);
	return owns;
}

scenario(`${MINUTES} minutes of random faults: memory and descriptors at the end are as at the start`, async (stage, t) => {
	const behind = await counter(stage);
	const ingest = await startIngest(stage, behind.url, { env: {
		FARO_WORKERS: "2", FARO_SPOOL_DIR: stage.path("spool"), FARO_REPLAY_RATE: "100000", FARO_UPSTREAM_TIMEOUT_MS: "500",
		FARO_MAX_MEMORY_BYTES: "64MiB",
	} });
	const before = descriptors(ingest.process.child.pid);
	const weather = new Weather(behind);
	const owned = [];
	let promised = [];
	for (let n = 0; n <= PARTS; n++) {
		const flood = await part(behind, weather, ingest.socket, PART_MINUTES, IS_LONG && n === 0 ? WARM_BEACONS : 0);
		promised = promised.concat(flood.promised);
		owned.push(await calm(behind, ingest, before));
		t.diagnostic(`${flood.sent} beacons, answers ${JSON.stringify(flood.statuses())}, owns ${JSON.stringify(owned[n])}`);
	}
	const start = owned[0], end = owned.at(-1);
	assert.equal(ingest.process.ended, undefined);
	assert.ok(end.kb <= most(start.kb), `memory: ${start.kb} kB at the start, ${end.kb} kB at the end`);
	assert.ok(end.descriptors <= start.descriptors, `descriptors: ${start.descriptors} at the start, ${end.descriptors} at the end`);
	/* What the receiver refused again and again is in quarantine; the rest is there. */
	const dropped = await status(ingest.socket);
	const refused = ["rejected", "refused", "ambiguous"].reduce((sum, reason) => sum + dropped("spool_dropped_total", `reason="${reason}"`), 0);
	const missing = behind.missing(promised);
	t.diagnostic(`${promised.length} promised, ${missing.length} of them refused by the receiver, ${refused} by its replies to replay`);
	assert.ok(missing.length <= refused, `${missing.length - refused} promises were broken: ${missing.slice(0, 5)}`);
	assert.equal((await ingest.process.stop("SIGTERM")).code, 0);
}, { timeout: (1 + PARTS) * (PART_MINUTES * 60_000 + 1_300_000) });
