// SPDX-License-Identifier: Apache-2.0
/*
 * The receiver's name and libc's own resolver: another address behind the same name, then a name server
 * that does not answer. libc asks port 53 of what /etc/resolv.conf says, so this file runs itself once
 * more in a network and a mount of its own, where both are ours. That takes root, or a kernel that lets
 * users have namespaces.
 */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { once } from "node:events";
import { writeFileSync } from "node:fs";
import { createServer as createHttp } from "node:http";
import { createServer as createHttps } from "node:https";
import { test } from "node:test";

import { get, post } from "./lib/client.mjs";
import { nameServer } from "./lib/dns.mjs";
import { ingestEnv, metrics, runIngest, smallBeacon, startIngest } from "./lib/faro.mjs";
import { inNamespace } from "./lib/namespace.mjs";
import { nginx } from "./lib/nginx.mjs";
import { receiver } from "./lib/receiver.mjs";
import { freePort, scenario } from "./lib/stage.mjs";
import { makeCertificate } from "./lib/tls.mjs";

const NAME = "alloy.test";

/* The names of this machine stay out of it, and so do search lists and a cache's socket. */
function takeOverResolver(stage, more = "") {
	const files = {
		"/etc/resolv.conf": `nameserver 127.0.0.53\n${more}`,
		"/etc/nsswitch.conf": "passwd: files\ngroup: files\nhosts: files dns\n",
		"/etc/hosts": "127.0.0.1 localhost\n",
	};
	for (const [path, text] of Object.entries(files)) {
		const mine = stage.path(path.replaceAll("/", "_"));
		writeFileSync(mine, text);
		execFileSync("mount", ["--bind", mine, path]);
		stage.after(() => execFileSync("umount", [path]));
	}
}

async function start(stage, dns, port) {
	takeOverResolver(stage);
	const ingest = await startIngest(stage, `http://${NAME}:${port}`);
	return { ingest, ...await nginx(stage, { socket: ingest.socket }) };
}

/* Posts until the answer is `status`; what may be answered on the way is in `meanwhile`. */
async function postUntil(server, status, meanwhile) {
	for (;;) {
		const reply = await post(server.port, smallBeacon);
		if (reply.status === status) return reply;
		assert.ok(meanwhile.includes(reply.status), `${reply.status}: ${reply.text}`);
	}
}

function inside() {
	scenario("the receiver on another address behind the same name is found without a restart", async (stage) => {
		const dns = await nameServer(stage, NAME);
		const port = await freePort();
		dns.address = "127.0.0.2";
		const first = await receiver(stage, { host: "127.0.0.2", port });
		const server = await start(stage, dns, port);
		assert.equal((await post(server.port, smallBeacon)).status, 202);
		assert.equal(first.requests.length, 1);

		await first.stop();
		const second = await receiver(stage, { host: "127.0.0.3", port });
		dns.address = "127.0.0.3";
		await postUntil(server, 202, [503]);
		assert.equal(second.requests.length, 1);
		assert.equal(first.requests.length, 1);
		assert.equal(second.last.headers.host, `${NAME}:${port}`);
		assert.equal(server.ingest.process.ended, undefined);
	});

	scenario("a name server that does not answer blocks nothing: the last addresses stay in use", async (stage) => {
		const dns = await nameServer(stage, NAME);
		const port = await freePort();
		dns.address = "127.0.0.2";
		const behind = await receiver(stage, { host: "127.0.0.2", port });
		const server = await start(stage, dns, port);
		assert.equal((await post(server.port, smallBeacon)).status, 202);

		/* A lookup is under way, and nobody will ever answer it. */
		dns.silent = true;
		await behind.stop();
		const asked = dns.asked();
		assert.equal((await post(server.port, smallBeacon)).status, 503); // makes it look again
		await asked;
		const before = dns.queries;
		assert.equal((await get(server.statusPort, "/health")).status, 200);
		assert.equal((await metrics(server)).get("upstream_up"), 0);
		assert.equal((await post(server.port, "")).status, 400);
		assert.equal((await post(server.port, smallBeacon)).status, 503);
		const back = await receiver(stage, { host: "127.0.0.2", port });
		assert.equal((await post(server.port, smallBeacon)).status, 202);
		assert.equal(back.requests.length, 1);
		/* libc repeats its question after seconds: all of the above was served within one wait. */
		assert.ok(dns.queries <= before + 2, `${dns.queries - before} further questions`);

		await back.stop();
		const moved = await receiver(stage, { host: "127.0.0.3", port });
		dns.address = "127.0.0.3";
		dns.silent = false;
		await postUntil(server, 202, [503]);
		assert.equal(moved.requests.length, 1);
		assert.equal(server.ingest.process.ended, undefined);
	});

	scenario("a name server that is silent from the start: 503 at once, then 202 once it answers", async (stage) => {
		const dns = await nameServer(stage, NAME);
		const port = await freePort();
		dns.silent = true;
		const behind = await receiver(stage, { host: "127.0.0.2", port });
		const server = await start(stage, dns, port);
		const refused = await post(server.port, smallBeacon);
		assert.equal(refused.status, 503);
		assert.equal(refused.json.reason, "upstream_unavailable");
		assert.match(refused.headers["retry-after"], /^\d+$/);
		assert.equal((await get(server.statusPort, "/ready")).status, 200);
		dns.address = "127.0.0.2";
		dns.silent = false;
		await postUntil(server, 202, [503]);
		assert.equal(behind.requests.length, 1);
	});

	scenario("a name that appears later is found", async (stage) => {
		const dns = await nameServer(stage, NAME);
		const port = await freePort();
		const behind = await receiver(stage, { host: "127.0.0.2", port });
		const server = await start(stage, dns, port);
		assert.equal((await post(server.port, smallBeacon)).status, 503);
		dns.address = "127.0.0.2";
		await postUntil(server, 202, [503]);
		assert.equal(behind.requests.length, 1);
	});

	/* Without the dot, libc would ask for the name below the search domain first. */
	for (const scheme of ["http", "https"])
		scenario(`${scheme}: a name with a dot at its end is looked up as it is written, and sent without the dot`, async (stage) => {
			const dns = await nameServer(stage, NAME);
			dns.address = "127.0.0.2";
			const { key, cert, ca } = await makeCertificate(stage, ["-days", "2", "-addext", `subjectAltName=DNS:${NAME}`]);
			const got = [];
			const answer = (request, response) => {
				got.push([request.headers.host, request.socket.servername]);
				const bodies = [];
				request.on("data", (bytes) => bodies.push(bytes));
				request.on("end", () => response.writeHead(Buffer.concat(bodies).at(-1) === 0x7d ? 202 : 400).end("ok"));
			};
			const behind = scheme === "http" ? createHttp(answer) : createHttps({ key, cert }, answer);
			behind.listen(0, "127.0.0.2");
			await once(behind, "listening");
			stage.after(() => behind.closeAllConnections());
			stage.after(() => behind.close());
			takeOverResolver(stage, "search svc.test\noptions ndots:5\n");
			const { port } = behind.address();
			const url = `${scheme}://${NAME}.:${port}`;
			const env = { FARO_UPSTREAM_CA_FILE: ca };
			const ingest = await startIngest(stage, url, { env });
			const server = { ingest, ...await nginx(stage, { socket: ingest.socket }) };
			await postUntil(server, 202, [503]);
			const { code, stdout } = await runIngest(stage, ["--check"], { env: ingestEnv(url, env) });
			assert.equal(code, 0, stdout.toString());
			assert.match(stdout.toString(), /^name +alloy\.test\. is 127\.0\.0\.2$/m);
			assert.equal(got.length, 4);
			for (const one of got) assert.deepEqual(one, [`${NAME}:${port}`, scheme === "http" ? undefined : NAME]);
			assert.deepEqual([...dns.names], [NAME]);
		});

	/* What --check finds with names; the rest of it is in check.test.mjs. */
	scenario("--check: no such name, no name server, no way there", async (stage) => {
		const dns = await nameServer(stage, NAME);
		takeOverResolver(stage);
		const expectFinding = async (url, finding, remedy) => {
			const { code, stdout } = await runIngest(stage, ["--check"], { env: ingestEnv(url) });
			assert.equal(code, 1);
			assert.match(stdout.toString(), new RegExp(`^finding   ${finding}: `, "m"));
			assert.match(stdout.toString(), remedy);
		};
		await expectFinding("http://nobody.test", "name_not_found", /^remedy .*NAME\.NAMESPACE/m);
		dns.address = "192.0.2.1"; // this network has lo alone
		await expectFinding(`http://${NAME}`, "unreachable", /^name +alloy\.test is 192\.0\.2\.1$/m);
		await expectFinding(`http://${NAME}`, "unreachable", /^remedy .*route/m);
		dns.stop();
		await expectFinding(`http://${NAME}`, "dns_no_answer", /^remedy .*resolv\.conf.*port 53/m);
	});

	scenario("SIGTERM during a lookup that does not end: exit 0 within the drain time", async (stage) => {
		const dns = await nameServer(stage, NAME);
		dns.silent = true;
		takeOverResolver(stage);
		const asked = dns.asked();
		const ingest = await startIngest(stage, `http://${NAME}:1`);
		await asked;
		assert.deepEqual(await ingest.process.stop("SIGTERM"), { code: 0, signal: null });
	});
}

inNamespace(import.meta.url, inside, 240_000);
