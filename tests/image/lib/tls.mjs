// SPDX-License-Identifier: Apache-2.0
/* An authority of our own, and a receiver at https:// that it vouches for. */
import { execFileSync } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { createServer } from "node:https";

const openssl = (...args) => execFileSync("openssl", args, { stdio: ["ignore", "ignore", "pipe"] });

export function authority(stage, name) {
	const file = (what) => stage.path(`${name}-${what}`);
	const key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"];
	openssl("req", "-x509", ...key, "-subj", `/CN=${name}`, "-keyout", file("ca.key"), "-out", file("ca.pem"));
	return {
		pem: readFileSync(file("ca.pem"), "utf8"),
		vouch(host) {
			openssl("req", "-x509", ...key, "-CA", file("ca.pem"), "-CAkey", file("ca.key"), "-subj", `/CN=${host}`,
				"-addext", `subjectAltName=DNS:${host}`, "-addext", "basicConstraints=CA:FALSE",
				"-keyout", file("server.key"), "-out", file("server.pem"));
			return { key: readFileSync(file("server.key")), cert: readFileSync(file("server.pem")) };
		},
	};
}

export async function tlsReceiver(stage, identity, options = {}) {
	const made = { bodies: [], protocols: [] };
	const server = createServer({ ...identity, ...options }, (request, response) => {
		const chunks = [];
		request.on("data", (chunk) => chunks.push(chunk));
		request.on("end", () => {
			made.bodies.push(Buffer.concat(chunks));
			made.protocols.push(request.socket.getProtocol());
			response.writeHead(202).end("ok");
		});
	});
	server.listen(0, "127.0.0.1");
	await once(server, "listening");
	stage.after(() => {
		server.close();
		server.closeAllConnections?.();
	});
	made.port = server.address().port;
	return made;
}
