// SPDX-License-Identifier: Apache-2.0
/* What a browser sends, with every header under the test's control. */
import { request } from "node:http";
import { connect } from "node:net";

/* → { status, headers, text, json }. unfinished: the body is not all that Content-Length promises; the
 * connection ends with the answer. */
export function send(port, options = {}) {
	const { path = "/faro/collect", method = "POST", headers = {}, body, agent, unfinished } = options;
	return new Promise((done, failed) => {
		const call = request({ host: "127.0.0.1", port, path, method, headers, agent: agent ?? false });
		call.on("error", failed);
		call.on("response", (response) => {
			const chunks = [];
			response.on("data", (chunk) => chunks.push(chunk));
			response.on("error", failed);
			response.on("end", () => {
				if (unfinished) call.destroy();
				done(parse(response, Buffer.concat(chunks).toString()));
			});
		});
		if (!unfinished) call.end(body);
		else if (body) call.write(body);
		else call.flushHeaders();
	});
}

function parse(response, text) {
	const isJson = text && /json/.test(response.headers["content-type"] ?? "");
	return {
		status: response.statusCode,
		headers: response.headers,
		text,
		json: isJson ? JSON.parse(text) : undefined,
	};
}

/* A beacon as the SDK posts it. */
export function post(port, body, headers = {}, options = {}) {
	return send(port, { body, headers: { "Content-Type": "application/json", ...headers }, ...options });
}

export const get = (port, path, headers) => send(port, { method: "GET", path, headers });

/* Writes bytes, ends its side if `end`, and gives all that comes back until the other side ends. */
export function raw(port, bytes, { end = true } = {}) {
	return new Promise((done, failed) => {
		const chunks = [];
		const socket = connect({ port, host: "127.0.0.1", allowHalfOpen: true });
		socket.on("error", failed);
		socket.on("data", (chunk) => chunks.push(chunk));
		socket.on("end", () => {
			socket.end();
			done(Buffer.concat(chunks).toString("latin1"));
		});
		if (end) socket.end(bytes);
		else socket.write(bytes);
	});
}
