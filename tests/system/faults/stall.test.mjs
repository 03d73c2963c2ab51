// SPDX-License-Identifier: Apache-2.0
/*
 * The process is stopped for a while, as a paused machine or a frozen cgroup does it, and goes on: what has
 * arrived meanwhile is read before any deadline is judged, so that nobody else is blamed for our own stall.
 *
 * FARO_STALL_LONG=1: also stalls of 20 s.
 */
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { Agent } from "node:http";

import { counter, eventually, numbered, pause, Sender, sendOne, status } from "../lib/beacons.mjs";
import { post } from "../lib/client.mjs";
import { beaconParams, FastcgiClient, requestBytes } from "../lib/fastcgi.mjs";
import { startIngest } from "../lib/faro.mjs";
import { nginx, replace } from "../lib/nginx.mjs";
import { suspend } from "../lib/process.mjs";
import { scenario } from "../lib/stage.mjs";
import { makeCertificate } from "../lib/tls.mjs";

const STALLS_S = process.env.FARO_STALL_LONG === "1" ? [1, 4, 6, 20] : [1, 4, 6];
const PEER_MS = 5500; // more than a peer may take for its request
const UPSTREAM_TIMEOUT_MS = 2000; // more than a busy machine needs

/* Stopped for as long as `meanwhile` takes. */
async function stall({ child }, meanwhile) {
	await suspend(child.pid);
	const result = await meanwhile();
	child.kill("SIGCONT");
	return result;
}

/* As a browser behind nginx: the same as Sender. */
class Browser {
	constructor(port) {
		this.port = port;
		this.agent = new Agent({ keepAlive: true, maxSockets: 1 });
	}

	send(body, { HTTP_IDEMPOTENCY_KEY: key }) {
		return post(this.port, body, { "Idempotency-Key": key }, { agent: this.agent }).catch(() => undefined);
	}

	close() {
		this.agent.destroy();
	}
}

/* Several who send as fast as they are answered; each answer is kept. */
class Load {
	constructor(open, senders = 12) {
		this.replies = new Map();
		this.running = true;
		this.tasks = Array.from({ length: senders }, () => this.#run(open()));
	}

	async #run(sender) {
		while (this.running) {
			const id = randomUUID();
			this.replies.set(id, await sender.send(numbered(id, "m".repeat(2000)), { HTTP_IDEMPOTENCY_KEY: id }));
			await pause(5);
		}
		sender.close();
	}

	async stop() {
		this.running = false;
		await Promise.all(this.tasks);
	}

	get promised() {
		return [...this.replies].filter(([, reply]) => reply?.status === 202).map(([id]) => id);
	}

	/* How often each answer was given that may not be. */
	wrong() {
		const counts = {};
		for (const reply of this.replies.values()) {
			const what = reply ? `${reply.status} ${reply.json?.reason ?? ""}`.trim() : "no answer";
			if (what !== "202" && what !== "503 stalled") counts[what] = (counts[what] ?? 0) + 1;
		}
		return counts;
	}
}

/* Patient enough for a stall of 20 s. */
const patient = (name, text) => (name === "faro-location.conf"
	? replace(replace(text, "fastcgi_read_timeout 15s", "fastcgi_read_timeout 60s"), "fastcgi_send_timeout 15s", "fastcgi_send_timeout 60s")
	: text);

async function setUp(stage, { scheme = "http", spool = true, behave, env: more } = {}) {
	const certificate = scheme === "https" ? await makeCertificate(stage) : undefined;
	const receiver = await counter(stage, behave, certificate);
	const env = { FARO_UPSTREAM_TIMEOUT_MS: String(UPSTREAM_TIMEOUT_MS), FARO_WORKERS: "2", ...more };
	if (spool) Object.assign(env, { FARO_SPOOL_DIR: stage.path("spool"), FARO_REPLAY_RATE: "5000" });
	if (certificate) env.FARO_UPSTREAM_CA_FILE = certificate.ca;
	return { receiver, ...await startIngest(stage, receiver.url, { env }) };
}

for (const [what, scheme, front] of [["http", "http"], ["https", "https"], ["nginx and http", "http", "nginx"]])
	for (const spool of [true, false])
		scenario(`stopped at random under load, over ${what}, ${spool ? "with" : "without"} a spool: nobody is blamed`, async (stage, t) => {
			/* Slow enough that some wait for it whenever it stops. */
			const behave = () => pause(20).then(() => "202");
			const { receiver, process, socket } = await setUp(stage, { scheme, spool, behave });
			const server = front && await nginx(stage, { socket, edit: patient });
			const load = new Load(() => (front ? new Browser(server.port) : new Sender(socket)));
			for (const seconds of STALLS_S) {
				await pause(300 + Math.random() * 500);
				await stall(process, () => pause(seconds * 1000));
			}
			await pause(500);
			await load.stop();
			if (spool) await eventually("empty spool", async () => (await status(socket))("spool_records") === 0);
			t.diagnostic(`${load.replies.size} beacons, ${load.promised.length} promised, ${receiver.duplicates} came twice`);
			assert.deepEqual(load.wrong(), {});
			assert.deepEqual(receiver.missing(load.promised), []);
			/* The receiver has answered everything, and at once. */
			assert.equal(receiver.duplicates, 0);
			assert.equal((await status(socket))("upstream_unanswered_total") ?? 0, 0);
		}, { timeout: 180_000 });

/* A request in two parts; where the second one begins is in the middle of its body. */
function halves(id) {
	const body = numbered(id, "m".repeat(2000));
	const bytes = requestBytes(beaconParams(body.length, { HTTP_IDEMPOTENCY_KEY: id }), body);
	return [bytes.subarray(0, bytes.length - 1000), bytes.subarray(bytes.length - 1000)];
}

async function openHalf(stage, socket, n, prefix) {
	const all = [];
	for (let i = 0; i < n; i++) {
		const [first, rest] = halves(`${prefix}${i}`);
		const client = await FastcgiClient.open(socket);
		stage.after(() => client.close());
		all.push({ client, rest, reply: client.sendBytes(first) });
	}
	/* Sent after them to the one worker: when this is answered, they have been read. */
	assert.equal((await sendOne(socket, numbered(`${prefix} are read`))).status, 202);
	return all;
}

function kinds(replies) {
	const counts = {};
	for (const reply of replies) {
		const what = reply ? `${reply.status} ${reply.json?.reason ?? ""}`.trim() : "no answer";
		counts[what] = (counts[what] ?? 0) + 1;
	}
	return counts;
}

scenario("200 half-read requests, whose rest has come during the stall: all are taken", async (stage) => {
	const { receiver, process, socket } = await setUp(stage, { env: { FARO_WORKERS: "1" } });
	const all = await openHalf(stage, socket, 200, "half");
	await stall(process, async () => {
		for (const { client, rest } of all) client.socket.write(rest);
		await pause(PEER_MS);
	});
	const replies = await Promise.all(all.map(({ reply }) => reply));
	assert.deepEqual(kinds(replies), { 202: 200 });
	assert.deepEqual(receiver.missing(Array.from({ length: 200 }, (_, i) => `half${i}`)), []);
	assert.equal(receiver.duplicates, 0);
});

scenario("50 half-read requests, whose rest comes after the stall: taken, or 503 stalled, but no 4xx", async (stage) => {
	const { receiver, process, socket } = await setUp(stage, { env: { FARO_WORKERS: "1" } });
	const all = await openHalf(stage, socket, 50, "late");
	await stall(process, () => pause(PEER_MS));
	/* It goes on: it answers others before the rest is sent. */
	await sendOne(socket, numbered("it goes on"));
	for (const { client, rest } of all) if (!client.ended) client.socket.write(rest);
	const replies = await Promise.all(all.map(({ reply }) => reply));
	const { 202: taken = 0, "503 stalled": stalled = 0, ...wrong } = kinds(replies);
	assert.deepEqual(wrong, {});
	assert.equal(taken + stalled, 50);
	for (const reply of replies)
		if (reply.status === 503) assert.match(reply.headers["retry-after"], /^[1-5]$/);
	const promised = replies.flatMap((reply, i) => (reply.status === 202 ? [`late${i}`] : []));
	assert.deepEqual(receiver.missing(promised), []);
});

for (const scheme of ["http", "https"])
	for (const spool of [true, false])
		scenario(`50 answers that came during the stall, over ${scheme}, ${spool ? "with" : "without"} a spool: all count`, async (stage) => {
			let open;
			const gate = new Promise((done) => (open = done));
			const { receiver, process, socket } = await setUp(stage, { scheme, spool, behave: () => gate, env: { FARO_WORKERS: "1" } });
			const replies = Array.from({ length: 50 }, (_, i) => sendOne(socket, numbered(`held${i}`)));
			await eventually("50 requests", () => receiver.requests === 50);
			await stall(process, async () => {
				open("202");
				await eventually("50 answers", () => receiver.taken.size === 50);
				await pause(UPSTREAM_TIMEOUT_MS + 1000);
			});
			assert.deepEqual(kinds(await Promise.all(replies)), { 202: 50 });
			const page = await status(socket);
			assert.equal(page("accepted_total", 'by="receiver"'), 50);
			assert.equal(page("upstream_unanswered_total") ?? 0, 0);
			if (spool) await eventually("empty spool", async () => (await status(socket))("spool_records") === 0);
			assert.equal(receiver.duplicates, 0);
		});

/* As a kubelet's probe and Prometheus do it. */
scenario("idle connections that a stall has passed over: none is ended for it", async (stage) => {
	const { process, socket } = await setUp(stage);
	const clients = await Promise.all(Array.from({ length: 20 }, () => FastcgiClient.open(socket)));
	stage.after(() => clients.forEach((client) => client.close()));
	const ask = (client, id) => client.send(beaconParams(numbered(id).length), numbered(id));
	for (const [i, client] of clients.entries()) assert.equal((await ask(client, `before${i}`)).status, 202);
	await stall(process, () => pause(PEER_MS));
	for (const [i, client] of clients.entries()) assert.equal((await ask(client, `after${i}`))?.status, 202);
});

/* It is told to end while it cannot hear; who came in that time finds it ending, but not quiet. */
scenario("20 requests and a SIGTERM that came during the stall: all are answered before it ends", async (stage) => {
	const { receiver, process, socket } = await setUp(stage);
	const replies = await stall(process, async () => {
		const sent = Array.from({ length: 20 }, (_, i) => sendOne(socket, numbered(`end${i}`)));
		process.signal("SIGTERM");
		await pause(2000);
		return sent;
	});
	assert.deepEqual(kinds(await Promise.all(replies)), { 202: 20 });
	assert.deepEqual(await process.closed, { code: 0, signal: null });
	assert.equal(receiver.taken.size, 20);
});
