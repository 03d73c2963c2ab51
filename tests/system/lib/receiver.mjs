// SPDX-License-Identifier: Apache-2.0
/*
 * A receiver that does as the test says: answers at once, when told, or never. It is no Alloy: it looks
 * at nothing of what it gets. For the lines that Alloy would write there is faro-sink.
 */
import { once } from "node:events";
import { createServer } from "node:http";

class Receiver {
	constructor() {
		this.requests = []; // { headers, body, method, url, answer(status, headers, text), drop() }
		this.status = 202; // of the answer at once; null: only when told
		this.headers = {};
		this.text = "ok";
		this.waiting = [];
		this.sockets = new Set();
	}

	async listen(port = 0, host = "127.0.0.1") {
		this.server = createServer((request, response) => this.#take(request, response));
		this.server.on("connection", (socket) => {
			this.sockets.add(socket);
			socket.on("close", () => this.sockets.delete(socket));
		});
		this.server.keepAliveTimeout = 0;
		this.server.listen(port, host);
		await once(this.server, "listening");
		this.port = this.server.address().port;
		this.url = `http://${host}:${this.port}`;
	}

	#take(request, response) {
		const chunks = [];
		request.on("data", (chunk) => chunks.push(chunk));
		request.on("error", () => {});
		request.on("end", () => {
			const { method, url, headers, rawHeaders } = request;
			const got = { method, url, headers, rawHeaders, body: Buffer.concat(chunks) };
			got.answer = (status = 202, more = {}, text = "ok") => response.writeHead(status, more).end(text);
			got.drop = () => request.socket.destroy();
			this.requests.push(got);
			if (this.status !== null) got.answer(this.status, this.headers, this.text);
			this.waiting = this.waiting.filter(({ n, done }) => {
				if (this.requests.length < n) return true;
				done(this.requests[n - 1]);
				return false;
			});
		});
	}

	/* The nth request (from 1), as soon as it has arrived. */
	arrived(n) {
		if (this.requests.length >= n) return Promise.resolve(this.requests[n - 1]);
		return new Promise((done) => this.waiting.push({ n, done }));
	}

	get last() {
		return this.requests.at(-1);
	}

	/* As a process that is killed: nobody listens, and connections are reset. */
	async stop() {
		if (!this.server?.listening) return;
		this.server.close();
		for (const socket of this.sockets) socket.destroy();
		await once(this.server, "close");
	}
}

export async function receiver(stage, { port, host } = {}) {
	const made = new Receiver();
	await made.listen(port, host);
	stage.after(() => made.stop());
	return made;
}
