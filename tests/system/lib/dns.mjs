// SPDX-License-Identifier: Apache-2.0
/*
 * A name server that knows one name, as much as the resolver of libc asks for: A and AAAA, UDP. It
 * answers, says that there is no such name, or is silent.
 */
import { createSocket } from "node:dgram";
import { once } from "node:events";

const A = 1, IN = 1;
const NXDOMAIN = 3;

function readQuestion(message) {
	const labels = [];
	let at = 12;
	while (message[at] !== 0) {
		labels.push(message.toString("latin1", at + 1, at + 1 + message[at]));
		at += 1 + message[at];
	}
	return { name: labels.join("."), type: message.readUInt16BE(at + 1), bytes: message.subarray(12, at + 5) };
}

function writeAnswer(query, question, { address, code = 0 }) {
	const header = Buffer.alloc(12);
	query.copy(header, 0, 0, 2);
	header.writeUInt16BE(0x8580 | code, 2); // an authoritative answer, recursion as asked for
	header.writeUInt16BE(1, 4);
	if (!address || question.type !== A) return Buffer.concat([header, question.bytes]);
	header.writeUInt16BE(1, 6);
	const record = Buffer.alloc(16);
	record.writeUInt16BE(0xc00c, 0); // the name in the question
	record.writeUInt16BE(A, 2);
	record.writeUInt16BE(IN, 4);
	record.writeUInt32BE(1, 6); // a second to live; libc keeps nothing anyway
	record.writeUInt16BE(4, 10);
	Buffer.from(address.split(".").map(Number)).copy(record, 12);
	return Buffer.concat([header, question.bytes, record]);
}

export async function nameServer(stage, name, { host = "127.0.0.53", port = 53 } = {}) {
	const server = { queries: 0, names: new Set(), address: null, silent: false, waiting: [] };
	const socket = createSocket("udp4");
	socket.on("message", (query, { port: from, address: to }) => {
		const question = readQuestion(query);
		server.queries++;
		server.names.add(question.name.toLowerCase());
		server.waiting = server.waiting.filter(({ n, done }) => server.queries < n || done());
		if (server.silent) return;
		const known = question.name.toLowerCase() === name && server.address;
		const answer = writeAnswer(query, question, known ? { address: server.address } : { code: NXDOMAIN });
		socket.send(answer, from, to);
	});
	socket.bind(port, host);
	await once(socket, "listening");
	server.stop = () => {
		if (!server.stopped) socket.close();
		server.stopped = true;
	};
	stage.after(server.stop);
	/* After the next question that comes from now on. */
	server.asked = () => new Promise((done) => server.waiting.push({ n: server.queries + 1, done }));
	return server;
}
