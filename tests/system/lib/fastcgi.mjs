// SPDX-License-Identifier: Apache-2.0
/*
 * FastCGI 1.0 from both sides, for what nginx never does: a client that says one length and sends
 * another, and a responder that shows what nginx passes on. Neither multiplexes.
 */
import { once } from "node:events";
import { chmodSync } from "node:fs";
import { connect, createServer } from "node:net";

const BEGIN = 1, ABORT = 2, END = 3, PARAMS = 4, STDIN = 5, STDOUT = 6;
const RESPONDER = 1, KEEP = 1;
const RECORD_MAX = 65535;

function record(type, content = Buffer.alloc(0), id = 1) {
	const header = Buffer.alloc(8);
	header.writeUInt8(1, 0);
	header.writeUInt8(type, 1);
	header.writeUInt16BE(id, 2);
	header.writeUInt16BE(content.length, 4);
	return Buffer.concat([header, content]);
}

function stream(type, content) {
	const records = [];
	for (let at = 0; at < content.length; at += RECORD_MAX)
		records.push(record(type, content.subarray(at, at + RECORD_MAX)));
	records.push(record(type));
	return Buffer.concat(records);
}

function lengthBytes(n) {
	if (n < 128) return Buffer.from([n]);
	const bytes = Buffer.alloc(4);
	bytes.writeUInt32BE((n | 0x80000000) >>> 0);
	return bytes;
}

function encodeParams(params) {
	return Buffer.concat(Object.entries(params).flatMap(([name, value]) => {
		const [n, v] = [Buffer.from(name), Buffer.from(String(value))];
		return [lengthBytes(n.length), lengthBytes(v.length), n, v];
	}));
}

function decodeParams(bytes) {
	const params = {};
	let at = 0;
	const length = () => {
		if (bytes[at] < 128) return bytes[at++];
		at += 4;
		return bytes.readUInt32BE(at - 4) & 0x7fffffff;
	};
	while (at < bytes.length) {
		const [n, v] = [length(), length()];
		params[bytes.toString("latin1", at, at + n)] = bytes.toString("latin1", at + n, at + n + v);
		at += n + v;
	}
	return params;
}

/* Calls each(type, content) for every whole record in the chunks it is fed with. */
function recordReader(each) {
	let rest = Buffer.alloc(0);
	return (chunk) => {
		rest = Buffer.concat([rest, chunk]);
		while (rest.length >= 8) {
			const [length, padding] = [rest.readUInt16BE(4), rest[6]];
			if (rest.length < 8 + length + padding) return;
			each(rest[1], rest.subarray(8, 8 + length));
			rest = rest.subarray(8 + length + padding);
		}
	};
}

function parseCgi(bytes) {
	const text = bytes.toString();
	const end = text.indexOf("\r\n\r\n");
	const headers = {};
	for (const line of text.slice(0, end).split("\r\n")) {
		const colon = line.indexOf(":");
		headers[line.slice(0, colon).toLowerCase()] = line.slice(colon + 1).trim();
	}
	const body = text.slice(end + 4);
	return {
		status: parseInt(headers.status ?? "200", 10),
		headers,
		text: body,
		json: /json/.test(headers["content-type"] ?? "") ? JSON.parse(body) : undefined,
	};
}
export { encodeParams, parseCgi, record, stream };

/* What nginx would pass for a beacon of `length` bytes. */
export function beaconParams(length, more = {}) {
	const params = {
		FARO_ENDPOINT: "collect", GATEWAY_INTERFACE: "CGI/1.1", SERVER_PROTOCOL: "HTTP/1.1",
		REQUEST_METHOD: "POST", SCRIPT_NAME: "/faro/collect",
		CONTENT_TYPE: "application/json", HTTP_HOST: "shop.example",
	};
	if (length !== undefined) params.CONTENT_LENGTH = length;
	return { ...params, ...more };
}

/* Up to the body; without params, up to where they begin. */
function request(params) {
	const begin = record(BEGIN, Buffer.from([0, RESPONDER, KEEP, 0, 0, 0, 0, 0]));
	return params ? Buffer.concat([begin, stream(PARAMS, encodeParams(params))]) : begin;
}

/* For cut see send(). */
export function requestBytes(params, body, cut) {
	let stdin = stream(STDIN, body);
	if (cut) stdin = stdin.subarray(0, stdin.length - 8);
	if (cut === "abort") stdin = Buffer.concat([stdin, record(ABORT)]);
	return Buffer.concat([request(params), stdin]);
}

/* One kept connection to a responder. `reply` is undefined where it closed without one. */
export class FastcgiClient {
	static async open(path) {
		const client = new FastcgiClient();
		client.socket = connect({ path, allowHalfOpen: true });
		client.closed = once(client.socket, "close").catch(() => {});
		await once(client.socket, "connect");
		client.socket.on("error", () => {}); // seen as the end
		client.socket.on("data", recordReader((type, content) => client.#take(type, content)));
		client.socket.on("end", () => client.#finish(undefined));
		client.socket.on("close", () => client.#finish(undefined));
		return client;
	}

	#take(type, content) {
		if (type === STDOUT) this.output = Buffer.concat([this.output ?? Buffer.alloc(0), content]);
		if (type === END) {
			const output = this.output;
			this.output = undefined;
			this.#finish(parseCgi(output ?? Buffer.alloc(0)));
		}
	}

	#finish(reply) {
		if (!reply) this.ended = true;
		this.each?.(reply);
		this.done?.(reply);
		this.done = undefined;
	}

	/* body: what goes into STDIN. cut: "abort" sends an ABORT record instead of the stream's end,
	 * "close" ends the connection there, "stall" sends nothing more. */
	send(params, body, { cut } = {}) {
		return this.sendBytes(requestBytes(params, body, cut), cut === "close");
	}

	/* A request as it is on the wire. */
	sendBytes(bytes, end = false) {
		const reply = new Promise((done) => {
			if (this.ended) done(undefined);
			else this.done = done;
		});
		if (end) this.socket.end(bytes);
		else this.socket.write(bytes);
		return reply;
	}

	/* The beginning only: up to the header of a long STDIN record, or of a long PARAMS record where there
	 * are no params. What follows is the caller's to write. */
	begin(params) {
		const header = record(params ? STDIN : PARAMS, Buffer.alloc(50_000)).subarray(0, 8);
		this.socket.write(Buffer.concat([request(params), header]));
	}

	/* All at once, without waiting for a reply; what comes back, in its order. */
	sendAll(requests) {
		const replies = [];
		this.socket.write(Buffer.concat(requests.map(([params, body]) => requestBytes(params, body))));
		return new Promise((done) => {
			this.each = (reply) => {
				if (reply) replies.push(reply);
				if (!reply || replies.length === requests.length) done(replies);
			};
		});
	}

	close() {
		this.socket.destroy();
	}
}

/*
 * A responder that answers what `handler({params, body})` returns: the text of a CGI response, or null
 * to close the connection without one. It keeps what it got in `requests`, and counts who hung up.
 */
export async function fakeResponder(stage, path, handler = () => "Status: 202\r\n\r\nok") {
	const sockets = new Set();
	const responder = { requests: [], connections: 0, hungUp: 0 };
	const server = createServer((socket) => {
		let params = [], body = [];
		responder.connections++;
		sockets.add(socket);
		socket.on("end", () => responder.hungUp++);
		socket.on("close", () => sockets.delete(socket));
		socket.on("error", () => {});
		socket.on("data", recordReader(async (type, content) => {
			if (type === PARAMS) params.push(Buffer.from(content));
			if (type === STDIN && content.length) body.push(Buffer.from(content));
			if (type !== STDIN || content.length) return;
			const got = { params: decodeParams(Buffer.concat(params)), body: Buffer.concat(body) };
			[params, body] = [[], []];
			responder.requests.push(got);
			const text = await handler(got);
			if (text === null) socket.destroy();
			else socket.write(Buffer.concat([stream(STDOUT, Buffer.from(text)), record(END, Buffer.alloc(8))]));
		}));
	});
	server.listen(path);
	await once(server, "listening");
	chmodSync(path, 0o666);
	stage.after(() => {
		server.close();
		for (const socket of sockets) socket.destroy();
	});
	return responder;
}
