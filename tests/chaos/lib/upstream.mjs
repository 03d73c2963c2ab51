// SPDX-License-Identifier: Apache-2.0
/*
 * A Faro receiver that cannot be relied on, over http and https. Which beacons it took, that is answered
 * with a whole head of a 2xx, the ledger is told before the first byte of the answer leaves.
 */
import { once } from "node:events";
import { createServer } from "node:http";
import { createServer as createTlsServer } from "node:https";

import { pause } from "../../system/lib/beacons.mjs";

const ERRORS = [400, 403, 404, 408, 413, 429, 500, 503];
/* Of a flaky one, a hundred. */
const FLAKY = {
	accept: 45, chunked: 5, dribble: 4, late: 3, lost: 3, interim: 2,
	error: 24, silence: 2, reset: 4, half: 3, garbage: 3,
};

/* Answers that are no HTTP, or begin like a good one. None of them accepts a beacon. */
const HALVES = ["HTTP/1.1 20", "HTTP/1.1 202 Accepted\r\n", "HTTP/1.1 202 Accepted\r\nContent-Length: 2\r\n", "H"];
const GARBAGE = [
	"\0\xff\xfe\r\n\r\n", "HTTP/9.9 202 OK\r\n\r\n", "202 OK\r\n\r\n", `${"x".repeat(70_000)}\r\n\r\n`,
	"HTTP/1.1 2022 OK\r\n\r\n", "HTTP/1.1 -02 OK\r\n\r\n", "<html>202</html>",
];

/* Node resets plain sockets only. */
function reset(socket) {
	if (socket.encrypted || !socket.resetAndDestroy) socket.destroy();
	else socket.resetAndDestroy();
}

export class Upstream {
	constructor(ledger, dice) {
		this.ledger = ledger;
		this.dice = dice;
		this.mood = { name: "well" };
		this.sockets = new Set();
		this.ports = {};
	}

	async listen(certificate) {
		const serve = (request, response) => this.#take(request, response);
		this.make = {
			http: () => createServer(serve),
			https: () => createTlsServer(certificate, serve),
		};
		await this.#up();
		this.urls = Object.fromEntries(
			Object.entries(this.ports).map(([scheme, port]) => [scheme, `${scheme}://127.0.0.1:${port}`]));
	}

	async #up() {
		this.servers = {};
		for (const [scheme, make] of Object.entries(this.make)) {
			const server = make();
			server.on("connection", (socket) => {
				this.sockets.add(socket);
				socket.on("error", () => {});
				socket.on("close", () => this.sockets.delete(socket));
			});
			server.on("clientError", (_, socket) => socket.destroy());
			server.on("tlsClientError", () => {});
			server.listen(this.ports[scheme] ?? 0, "127.0.0.1");
			await once(server, "listening");
			this.ports[scheme] = server.address().port;
			this.servers[scheme] = server;
		}
	}

	/* As a process that is killed: nobody listens, and connections are reset. */
	async stop() {
		const servers = Object.values(this.servers ?? {});
		this.servers = undefined;
		const closed = servers.map((server) => once(server, "close"));
		for (const server of servers) server.close();
		for (const socket of this.sockets) reset(socket);
		await Promise.all(closed);
	}

	async feel(mood) {
		this.mood = mood;
		if (mood.name === "down" && this.servers) await this.stop();
		if (mood.name !== "down" && !this.servers) await this.#up();
	}

	#behaviour(text) {
		const poison = /poison=(\d+);/.exec(text);
		if (poison) return { how: "error", code: Number(poison[1]) };
		switch (this.mood.name) {
		case "flaky": return { how: this.dice.weighted(FLAKY), code: this.dice.one(ERRORS) };
		case "refusing": return { how: "error", code: this.mood.status };
		case "silent": return { how: "silence" };
		case "slow": return { how: "late" };
		default: return { how: "accept" };
		}
	}

	#take(request, response) {
		const chunks = [];
		request.on("error", () => {});
		response.on("error", () => {});
		if (this.mood.name === "flaky" && this.dice.chance(2)) {
			/* It has read nothing but the head. */
			this.#count("early");
			request.socket.end("HTTP/1.1 413 Too Large\r\nConnection: close\r\nContent-Length: 0\r\n\r\n");
			return;
		}
		request.on("data", (chunk) => chunks.push(chunk));
		request.on("end", async () => {
			const text = Buffer.concat(chunks).toString("latin1");
			const n = this.ledger.find(text);
			const { how, code } = this.#behaviour(text);
			this.#count(how === "error" ? code : how);
			this.ledger.note(n, `receiver: ${how === "error" ? code : how}`);
			await this[`_${how}`](n, response, request.socket, code);
		});
	}

	#count(what) {
		this.ledger.answers[what] = (this.ledger.answers[what] ?? 0) + 1;
	}

	_accept(n, response) {
		this.ledger.take(n);
		response.writeHead(this.dice.one([200, 202, 202, 204]), {}).end();
	}

	_chunked(n, response) {
		this.ledger.take(n);
		response.writeHead(202, { Trailer: "X-End" });
		response.write("o");
		response.write("k");
		response.addTrailers({ "X-End": "1" });
		response.end();
	}

	async _dribble(n, response, socket) {
		this.ledger.take(n);
		for (const byte of "HTTP/1.1 202 Accepted\r\nContent-Length: 2\r\n\r\nok") {
			socket.write(byte);
			await pause(3);
		}
	}

	/* Sometimes beyond the deadline. */
	async _late(n, response) {
		await pause(this.dice.between(100, 1500));
		this._accept(n, response);
	}

	/* It took the beacon, and the answer is lost. */
	_lost(n, response, socket) {
		this.ledger.take(n);
		socket.destroy();
	}

	_interim(n, response, socket) {
		this.ledger.take(n);
		socket.write("HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\nHTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n");
	}

	_error(n, response, socket, code) {
		const headers = this.dice.chance(10) ? { Connection: "close" } : {};
		if (code === 429 || (code === 503 && this.dice.chance(50)))
			headers["Retry-After"] = this.dice.one(["1", "2", "0", "-1", "x", new Date(Date.now() + 2000).toUTCString()]);
		response.writeHead(code, headers).end("no");
	}

	_silence() {}

	_reset(n, response, socket) {
		reset(socket);
	}

	_half(n, response, socket) {
		socket.end(this.dice.one(HALVES));
	}

	_garbage(n, response, socket) {
		socket.end(Buffer.from(this.dice.one(GARBAGE), "latin1"));
	}
}
