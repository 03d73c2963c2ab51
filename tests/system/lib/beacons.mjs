// SPDX-License-Identifier: Apache-2.0
/* Beacons that can be told apart, sent over FastCGI as nginx would, and found again at a receiver. */
import { createServer } from "node:http";
import { createServer as createTlsServer } from "node:https";
import { once } from "node:events";
import { randomUUID } from "node:crypto";

import { beaconParams, FastcgiClient } from "./fastcgi.mjs";

export const numbered = (id, message = "m") => Buffer.from(
	`{"meta":{"app":{"name":"shop"},"session":{"id":"s1"}},"logs":[{"message":"${message} id=${id};","level":"info"}]}`);

/* One connection at a time that is opened again when it is gone. */
export class Sender {
	constructor(socket) {
		this.socket = socket;
	}

	/* The reply; undefined where there was none, since nobody listens or the connection broke. */
	async send(body, headers = {}) {
		try {
			if (!this.client || this.client.ended) this.client = await FastcgiClient.open(this.socket);
		} catch {
			return undefined;
		}
		return this.client.send(beaconParams(body.length, headers), body);
	}

	close() {
		this.client?.close();
	}
}

export async function sendOne(socket, body, headers) {
	const sender = new Sender(socket);
	const reply = await sender.send(body, headers);
	sender.close();
	return reply;
}

/* What a status page says: value("spool_records"), value("spool_dropped_total", 'reason="age"'). */
export async function status(socket) {
	const sender = new Sender(socket);
	const reply = await sender.send(Buffer.alloc(0), { FARO_ENDPOINT: "metrics", REQUEST_METHOD: "GET" });
	sender.close();
	const text = reply?.text ?? "";
	return (name, label) => {
		const start = `faro_ingest_${name}${label ? `{${label}}` : ""} `;
		const line = text.split("\n").find((candidate) => candidate.startsWith(start));
		return line === undefined ? undefined : Number(line.slice(start.length));
	};
}

/* Looks again and again, since nothing else tells: until `look` gives something, or for `seconds`. */
export async function eventually(what, look, seconds = 20) {
	const end = Date.now() + seconds * 1000;
	for (;;) {
		const seen = await look();
		if (seen) return seen;
		if (Date.now() > end) throw new Error(`within ${seconds} s there was no ${what}`);
		await pause(50);
	}
}

export const pause = (ms) => new Promise((done) => setTimeout(done, ms));

/* Several senders that send as fast as they are answered; tells every answer to `seen`. */
export class Flood {
	constructor(socket, { senders = 8, gapMs = 0, withKey = true } = {}) {
		this.answered = new Map(); // id → status; what had no answer is not there
		this.sent = 0;
		this.running = true;
		this.tasks = Array.from({ length: senders }, () => this.#run(new Sender(socket), gapMs, withKey));
	}

	async #run(sender, gapMs, withKey) {
		while (this.running) {
			const id = randomUUID();
			this.sent++;
			const reply = await sender.send(numbered(id), withKey ? { HTTP_IDEMPOTENCY_KEY: id } : {});
			if (reply) this.answered.set(id, reply.status);
			if (!reply || gapMs) await pause(reply ? gapMs : 5);
		}
		sender.close();
	}

	async stop() {
		this.running = false;
		await Promise.all(this.tasks);
	}

	get promised() {
		return [...this.answered].filter(([, code]) => code === 202).map(([id]) => id);
	}

	statuses() {
		const counts = {};
		for (const code of this.answered.values()) counts[code] = (counts[code] ?? 0) + 1;
		return counts;
	}
}

/*
 * A receiver that counts what it took, by id. `behave(id, n)` → a status, "202, close", null for silence or
 * "drop" to break the connection; the beacon counts as taken where it answers 2xx, or where `takes` is set.
 */
export class Counter {
	/* With a certificate it speaks TLS. */
	constructor(behave = () => 202, certificate) {
		this.behave = behave;
		this.certificate = certificate;
		this.taken = new Map();
		this.requests = 0;
		this.sockets = new Set();
	}

	async listen(port = 0) {
		const serve = (request, response) => {
			const chunks = [];
			request.on("data", (chunk) => chunks.push(chunk));
			request.on("error", () => {});
			request.on("end", () => this.#answer(Buffer.concat(chunks).toString(), request, response));
		};
		this.server = this.certificate ? createTlsServer(this.certificate, serve) : createServer(serve);
		this.server.on("connection", (socket) => {
			this.sockets.add(socket);
			socket.on("close", () => this.sockets.delete(socket));
		});
		this.server.listen(port, "127.0.0.1");
		await once(this.server, "listening");
		this.port = this.server.address().port;
		this.url = `${this.certificate ? "https" : "http"}://127.0.0.1:${this.port}`;
	}

	async #answer(body, request, response) {
		const id = /id=([^;]+);/.exec(body)?.[1];
		const behaviour = await this.behave(id, ++this.requests);
		if (behaviour === null) return;
		if (behaviour === "drop") {
			request.socket.destroy();
			return;
		}
		const [code, close] = /^(\d+)(, close)?$/.exec(behaviour).slice(1);
		if (code >= 200 && code < 300) this.taken.set(id, (this.taken.get(id) ?? 0) + 1);
		response.writeHead(Number(code), close ? { Connection: "close" } : {}).end("ok");
	}

	async stop() {
		if (!this.server?.listening) return;
		this.server.close();
		for (const socket of this.sockets) socket.destroy();
		await once(this.server, "close");
	}

	get duplicates() {
		return [...this.taken.values()].reduce((sum, n) => sum + n - 1, 0);
	}

	missing(ids) {
		return ids.filter((id) => !this.taken.has(id));
	}
}

export async function counter(stage, behave, certificate) {
	const made = new Counter(behave, certificate);
	await made.listen();
	stage.after(() => made.stop());
	return made;
}
