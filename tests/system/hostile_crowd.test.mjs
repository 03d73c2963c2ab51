// SPDX-License-Identifier: Apache-2.0
/*
 * Many who want much and give little: slow clients, more connections than there are descriptors, crowds.
 * Everybody else's beacons keep flowing.
 */
import assert from "node:assert/strict";

import { post } from "./lib/client.mjs";
import { pause } from "./lib/beacons.mjs";
import { FastcgiClient, beaconParams } from "./lib/fastcgi.mjs";
import { ingestEnv, metrics, smallBeacon, startIngest } from "./lib/faro.mjs";
import { nginx } from "./lib/nginx.mjs";
import { cpuMs, descriptorLimit, descriptors, highWaterBytes, isSanitized } from "./lib/process.mjs";
import { receiver } from "./lib/receiver.mjs";
import { ingestBinary, scenario } from "./lib/stage.mjs";

/* --- slowhttptest against the include ---------------------------------------------------------------- */

const SECONDS = 6, CONNECTIONS = 400;
const common = (url) => ["-c", String(CONNECTIONS), "-r", "400", "-i", "1", "-l", String(SECONDS), "-p", "3", "-u", url];
const ATTACKS = [
	["headers that do not end (Slowloris)", ["-H", "-t", "POST"]],
	["bodies that do not end (R-U-Dead-Yet)", ["-B", "-s", "4096", "-f", "application/json"]],
	["bodies of 5 MiB that do not end", ["-B", "-s", "5242880", "-f", "application/json"]],
	["answers that are not read", ["-X", "-t", "POST", "-w", "1", "-y", "8", "-n", "1", "-z", "1", "-k", "5"]],
];

for (const [what, options] of ATTACKS)
	scenario(`slowhttptest, ${what}: every other beacon is 202`, async (stage) => {
		const behind = await receiver(stage);
		const { process, socket } = await startIngest(stage, behind.url);
		const server = await nginx(stage, { socket });
		const attack = stage.run("slowhttptest", "slowhttptest",
			[...options, ...common(`http://127.0.0.1:${server.port}/faro/collect`)]);
		let beacons = 0;
		for (; !attack.ended; beacons++) {
			const reply = await post(server.port, smallBeacon);
			assert.equal(reply.status, 202, `beacon ${beacons}: ${reply.text}`);
			await pause(5);
		}
		/* The tool did what it is for, and got nowhere. */
		const said = attack.stdout.toString().replace(/\x1b\[[\d;]*m/g, "");
		const most = (name) => Math.max(0, ...[...said.matchAll(new RegExp(`${name}: +(\\d+)`, "g"))].map(([, n]) => Number(n)));
		assert.ok(most("connected") + most("closed") > CONNECTIONS / 2, said.slice(-2000));
		assert.match(said, /service available: +YES/);
		assert.doesNotMatch(said, /service available: +NO/);
		assert.ok(beacons > 50, `${beacons} beacons`);
		/* None of it came as far as the responder. */
		const page = await metrics(server);
		assert.equal(page.get("inflight"), 0);
		assert.equal(page.get("requests_total", 'code="202"'), beacons);
		assert.equal(page.get("requests_total", 'code="400"'), 0);
		assert.doesNotMatch(process.stderr, /event=(peer_too_slow|connection_dropped)/);
	});

/* --- descriptors ------------------------------------------------------------------------------------- */

async function startWithFew(stage, upstreamUrl, limit, env) {
	const socket = stage.path("few.sock");
	const process = stage.run("faro-ingest with few descriptors", "sh",
		["-c", `ulimit -n ${limit}; exec "$0" "$@"`, ingestBinary, "--listen", `unix:${socket}`],
		{ env: ingestEnv(upstreamUrl, env) });
	await process.line(/event=started/);
	return { process, socket, pid: process.child.pid };
}

const good = (client) => client.send(beaconParams(smallBeacon.length), smallBeacon);

/* Of 48 descriptors, 28 are for what is no connection, and each connection may want one to the receiver. */
const FEW = 48, PLACES = 10;

scenario("idle connections take no descriptor that a beacon needs: who asked last stays longest", async (stage) => {
	const behind = await receiver(stage);
	const { process, socket, pid } = await startWithFew(stage, behind.url, FEW, { FARO_WORKERS: "1" });
	const clients = [];
	stage.after(() => clients.forEach((client) => client.close()));
	clients.push(await FastcgiClient.open(socket));
	for (let n = 1; n < 8 * PLACES; n++) {
		clients.push(await FastcgiClient.open(socket));
		/* The first one is used all the while, so the others make room. */
		assert.equal((await good(clients[0]))?.status, 202, `beside ${n} others`);
	}
	const last = clients.slice(1 - PLACES);
	for (const client of last) assert.equal((await good(client))?.status, 202);
	assert.deepEqual(clients.filter((client) => !client.ended), [clients[0], ...last]);
	assert.ok(descriptors(pid) < FEW);
	assert.doesNotMatch(process.stderr, /accept_paused/);
});

scenario("two workers: none of them keeps a connection waiting that the other one has a place for", async (stage) => {
	const behind = await receiver(stage);
	const { process, socket } = await startWithFew(stage, behind.url, FEW, { FARO_WORKERS: "2" });
	/* Four descriptors more are a worker's. */
	const slow = await Promise.all(Array.from({ length: PLACES - 3 }, () => FastcgiClient.open(socket)));
	const clients = [...slow];
	stage.after(() => clients.forEach((client) => client.close()));
	for (const client of slow) client.begin();
	for (let n = 0; n < 3 * PLACES; n++) {
		clients.push(await FastcgiClient.open(socket));
		assert.equal((await good(clients.at(-1)))?.status, 202);
	}
	assert.doesNotMatch(process.stderr, /event=peer_too_slow/, "nobody's time was over yet");
});

scenario("every place taken by requests that do not end: it waits instead of spinning, says so, and serves who waits", async (stage) => {
	const behind = await receiver(stage);
	const { process, socket, pid } = await startWithFew(stage, behind.url, FEW, { FARO_WORKERS: "1" });
	const slow = await Promise.all(Array.from({ length: PLACES }, () => FastcgiClient.open(socket)));
	stage.after(() => slow.forEach((client) => client.close()));
	for (const client of slow) client.begin();
	const one = await FastcgiClient.open(socket);
	stage.after(() => one.close());
	const reply = good(one);
	await process.line(/event=accept_paused/);

	/* Nothing is to happen, so there is no event: a loop that spins has all of this second. */
	const before = cpuMs(pid);
	await pause(1000);
	assert.ok(cpuMs(pid) - before < 200, `${cpuMs(pid) - before} ms`);
	assert.equal((await reply)?.status, 202, "once the slow ones' time is over");
	assert.equal(behind.requests.length, 1);
	assert.match(process.stderr, /event=peer_too_slow/);
	assert.ok(process.stderr.match(/event=accept_paused/g).length < 10, "the log is not flooded");
});

scenario("no descriptor left at all: no 202 that is not true, and 202 again when there is one", async (stage) => {
	const behind = await receiver(stage);
	const { process, socket, pid } = await startWithFew(stage, behind.url, FEW, { FARO_WORKERS: "1" });
	const allow = async (limit) => {
		const { code, stderr } = await stage.finish("prlimit", "prlimit", ["--pid", String(pid), `--nofile=${limit}:${FEW}`]);
		assert.equal(code, 0, stderr);
	};
	/* Fewer than it counted on: one for a beacon, and none for the receiver. */
	await allow(descriptorLimit(pid, 1));
	const first = await FastcgiClient.open(socket);
	stage.after(() => first.close());
	const refused = await good(first);
	assert.equal(refused.status, 503, refused.text);
	assert.equal(behind.requests.length, 0);
	const second = await FastcgiClient.open(socket);
	stage.after(() => second.close());
	await process.line(/event=accept_paused/);
	await allow(FEW);
	assert.equal((await good(first))?.status, 202);
	assert.equal((await good(second))?.status, 202);
	assert.equal(behind.requests.length, 2);
});

/* --- crowds ------------------------------------------------------------------------------------------ */

scenario("3000 kept connections: each is served, again and again, and all of it is given back", async (stage) => {
	const behind = await receiver(stage);
	const { process, socket } = await startIngest(stage, behind.url, { env: { FARO_WORKERS: "2" } });
	const { pid } = process.child;
	const before = descriptors(pid);
	const clients = [];
	stage.after(() => clients.forEach((client) => client.close()));
	for (let n = 0; n < 3000; n += 500)
		clients.push(...await Promise.all(Array.from({ length: 500 }, () => FastcgiClient.open(socket))));
	let sent = 0;
	for (let round = 0; round < 2; round++)
		for (let at = 0; at < clients.length; at += 100) {
			const replies = await Promise.all(clients.slice(at, at + 100).map(good));
			for (const reply of replies) assert.equal(reply?.status, 202, reply?.text);
			sent += replies.length;
		}
	assert.equal(behind.requests.length, sent);
	for (const client of clients) client.close();
	const one = await FastcgiClient.open(socket);
	stage.after(() => one.close());
	assert.equal((await good(one)).status, 202);
	/* What stays are the kept connections to the receiver: of each worker, those in flight at a time. */
	while (descriptors(pid) > before + 2 * 100 + 1) await pause(50);
	assert.equal(process.ended, undefined);
});

scenario("4096 requests that stop half way: less than 32 MiB, and others wait for a place no longer than those may take", async (stage) => {
	const behind = await receiver(stage);
	const { process, socket } = await startIngest(stage, behind.url, { env: { FARO_WORKERS: "2" } });
	const { pid } = process.child;
	const one = await FastcgiClient.open(socket);
	assert.equal((await good(one)).status, 202);
	const before = highWaterBytes(pid);
	const clients = [one];
	stage.after(() => clients.forEach((client) => client.close()));
	for (let n = 0; n < 4096; n += 256) {
		clients.push(...await Promise.all(Array.from({ length: 256 }, () => FastcgiClient.open(socket))));
		for (const client of clients.slice(-256)) client.begin(beaconParams(50_000));
	}
	const last = await FastcgiClient.open(socket);
	clients.push(last);
	assert.equal((await good(last))?.status, 202);
	assert.ok(isSanitized(pid) || highWaterBytes(pid) - before < 32 * 2 ** 20, `${highWaterBytes(pid) - before} bytes`);
});

scenario("connections that come and go a thousand times leave nothing behind", async (stage) => {
	const behind = await receiver(stage);
	const { process, socket } = await startIngest(stage, behind.url);
	const { pid } = process.child;
	const one = await FastcgiClient.open(socket);
	stage.after(() => one.close());
	assert.equal((await good(one)).status, 202);
	const before = descriptors(pid);
	for (let n = 0; n < 1000; n++) {
		const client = await FastcgiClient.open(socket);
		if (n % 4 === 1) client.begin(beaconParams(50_000));
		if (n % 4 === 2) client.begin();
		if (n % 4 === 3) client.socket.write(Buffer.alloc(n, n));
		client.close();
	}
	while (descriptors(pid) > before) await pause(50);
	assert.equal((await good(one)).status, 202);
	assert.equal(behind.requests.length, 2);
});
