// SPDX-License-Identifier: Apache-2.0
/*
 * Ends TLS in front of nginx as an ingress does: a new certificate for localhost each time, the browser's Host kept, the
 * bytes behind it plain. What it does not do: HTTP/2.
 */
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { connect } from "node:net";
import { createServer } from "node:tls";

async function newCertificate(stage) {
	const [key, cert] = [stage.path("key.pem"), stage.path("cert.pem")];
	const { code, stderr } = await stage.finish("openssl", "openssl", [
		...["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"],
		...["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost", "-keyout", key, "-out", cert],
	]);
	if (code !== 0) throw new Error(`no certificate: ${stderr}`);
	return { key: readFileSync(key), cert: readFileSync(cert) };
}

export async function startTls(stage, behind) {
	const open = new Set();
	const server = createServer(await newCertificate(stage), (socket) => {
		const plain = connect(behind, "127.0.0.1");
		open.add(socket);
		socket.on("close", () => open.delete(socket) && plain.destroy());
		socket.on("error", () => plain.destroy());
		plain.on("error", () => socket.destroy());
		socket.pipe(plain).pipe(socket);
	});

	server.listen(0, "127.0.0.1");
	await once(server, "listening");
	stage.after(() => {
		for (const socket of open) socket.destroy();
		server.close();
	});
	return { origin: `https://localhost:${server.address().port}` };
}
