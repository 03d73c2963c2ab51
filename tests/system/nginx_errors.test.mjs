// SPDX-License-Identifier: Apache-2.0
/*
 * What nginx answers by itself, without the responder's word: each cause has its own reason, in the one form of all
 * errors. All of it with the snippets, and with the templates as the official image renders them.
 */
import assert from "node:assert/strict";
import { once } from "node:events";
import { rmSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { join } from "node:path";

import { get, post, send } from "./lib/client.mjs";
import { smallBeacon, startIngest } from "./lib/faro.mjs";
import { fakeResponder } from "./lib/fastcgi.mjs";
import { nginx, replace } from "./lib/nginx.mjs";
import { assertProblem, assertRetryAfter } from "./lib/problem.mjs";
import { suspend } from "./lib/process.mjs";
import { receiver } from "./lib/receiver.mjs";
import { scenario } from "./lib/stage.mjs";
import { templatedNginx } from "./lib/templates.mjs";

const ALLOWED = "https://allowed.example", OTHER = "https://other.example";
const LARGE = Buffer.alloc(1024 * 1024, "x"); // beyond client_body_buffer_size, and beyond what a socket takes in

/* changes: { snippet: [[from, to], …] } */
const editor = (changes) => (name, text) =>
	(changes[name] ?? []).reduce((whole, [from, to]) => replace(whole, from, to), text);

const ways = {
	snippets: (stage, { changes = {}, ...options }) => nginx(stage, {
		...options,
		edit: editor({ ...changes, "faro-http.conf": [['"|$http_origin"', `"${ALLOWED}|$http_origin"`], ...changes["faro-http.conf"] ?? []] }),
	}),
	templates: (stage, { changes = {}, ...options }) => templatedNginx(stage, {
		...options, edit: editor(changes), env: { FARO_ALLOWED_ORIGINS: ALLOWED },
	}),
};

/* ask(headers) → reply. The answer has the form of all errors, and CORS headers for the allowed origin alone. */
async function assertOwnAnswer(ask, status, reason, detail, { retry = false } = {}) {
	for (const Origin of [ALLOWED, OTHER]) {
		const reply = await ask({ Origin });
		const { headers } = reply;
		assertProblem(reply, status, reason);
		assert.match(reply.json.detail, detail);
		assert.equal(headers.vary, "Origin");
		assert.equal(headers["access-control-allow-origin"], Origin === ALLOWED ? ALLOWED : undefined);
		if (retry) assertRetryAfter(reply);
		else assert.equal(headers["retry-after"], undefined);
		assert.equal(headers["access-control-expose-headers"], retry ? "Retry-After" : undefined);
	}
}

const unavailable = (ask, detail) => assertOwnAnswer(ask, 503, "responder_unavailable", detail, { retry: true });
const nginxError = (ask) => assertOwnAnswer(ask, 500, "nginx_error", /^nginx failed by itself, .* client_body_temp_path /);

/* A listener that nobody accepts from, whose queue is full; spawn-fcgi makes it for a program that does not care. */
async function fullBacklog(stage, socket) {
	stage.run("spawn-fcgi sleep", "spawn-fcgi", ["-n", "-M", "0666", "-b", "1", "-s", socket, "--", "/bin/sleep", "1000"]);
	for (let waiting = 0; ;) {
		const client = connect(socket);
		stage.after(() => client.destroy());
		const { code } = await once(client, "connect").catch((error) => error);
		if (code === "EAGAIN") return;
		if (!code) waiting++;
		assert.ok(waiting < 10, "the queue has no end");
	}
}

for (const [way, start] of Object.entries(ways)) {
	scenario(`${way}: a socket that is absent, or that a killed process has left, is responder_unavailable`, async (stage) => {
		const socket = stage.path("faro.sock");
		const server = await start(stage, { socket });
		const ask = (headers) => post(server.port, smallBeacon, headers);
		await unavailable(ask, /^nginx cannot reach faro-ingest, .* may connect to its socket/);
		assert.match(server.process.stderr, /No such file/);

		const { process } = await startIngest(stage, "http://127.0.0.1:9", { socket });
		await process.stop("SIGKILL");
		await unavailable(ask, /^nginx cannot reach faro-ingest, /);
		assert.match(server.process.stderr, /Connection refused/);
	});

	scenario(`${way}: a socket whose queue is full is responder_unavailable`, async (stage) => {
		const socket = stage.path("faro.sock");
		await fullBacklog(stage, socket);
		const server = await start(stage, { socket });
		await unavailable((headers) => post(server.port, smallBeacon, headers), /^nginx cannot reach faro-ingest, /);
		assert.match(server.process.stderr, /Resource temporarily unavailable/);
	});

	scenario(`${way}: a responder that goes away without an answer is responder_unavailable`, async (stage) => {
		const socket = stage.path("faro.sock");
		await fakeResponder(stage, socket, () => null);
		const server = await start(stage, { socket });
		await unavailable((headers) => post(server.port, smallBeacon, headers), / or lost it before it answered\. /);
		assert.match(server.process.stderr, /prematurely closed/);
	});

	scenario(`${way}: a responder that is stopped is responder_unavailable, and is served again when it goes on`, async (stage) => {
		const behind = await receiver(stage);
		const { process, socket } = await startIngest(stage, behind.url);
		const server = await start(stage, {
			socket,
			changes: { "faro-location.conf": [["read_timeout 15s", "read_timeout 200ms"], ["send_timeout 15s", "send_timeout 200ms"]] },
		});
		await suspend(process.child.pid);
		for (const body of [smallBeacon, LARGE])
			await unavailable((headers) => post(server.port, body, headers), /^faro-ingest did not answer nginx in time\. .* stopped /);
		assert.match(server.process.stderr, /timed out/);
		process.signal("SIGCONT");
		assert.equal((await post(server.port, smallBeacon)).status, 202);
	});

	scenario(`${way}: a temporary folder that cannot be written to is nginx_error, and only for bodies that need it`, async (stage) => {
		const socket = stage.path("faro.sock");
		await fakeResponder(stage, socket);
		const server = await start(stage, { socket });
		/* Permissions do not hold root back; a file in the folder's place does. */
		const folder = join(server.dir, "temp_client_body");
		rmSync(folder, { recursive: true });
		writeFileSync(folder, "");
		await nginxError((headers) => post(server.port, LARGE, headers));
		await nginxError((headers) => post(server.port, LARGE, { ...headers, "Transfer-Encoding": "chunked" }));
		await nginxError((headers) => post(server.port, LARGE, headers, { path: "/faro" }));
		assert.match(server.process.stderr, /temp_client_body.* failed/);
		assert.equal((await post(server.port, Buffer.alloc(100_000))).status, 202);
	});

	scenario(`${way}: an nginx without a connection left for the responder is nginx_error`, async (stage) => {
		const socket = stage.path("faro.sock");
		const responder = await fakeResponder(stage, socket);
		/* The channel to the master, the listener and each client take one; the snippets listen for the status, too. */
		const server = await start(stage, { socket, workers: 1, connections: way === "snippets" ? 4 : 3 });
		await nginxError((headers) => post(server.port, smallBeacon, headers));
		if (way === "snippets") assertProblem(await get(server.statusPort, "/health"), 500, "nginx_error");
		assert.match(server.process.stderr, /worker_connections are not enough/);
		assert.equal(responder.requests.length, 0);
	});

	scenario(`${way}: a body above the limit is too_large, told by its length or as it comes`, async (stage) => {
		const socket = stage.path("faro.sock");
		const responder = await fakeResponder(stage, socket);
		const server = await start(stage, { socket, changes: { "faro-location.conf": [["size 5m", "size 1000"]] } });
		const chunked = { "Transfer-Encoding": "chunked" };
		for (const path of ["/faro", "/faro/", "/faro/collect", "/faro/collect/"]) {
			for (const body of [Buffer.alloc(1001), LARGE]) {
				await assertOwnAnswer((headers) => send(server.port, { path, headers, body }),
					413, "too_large", /client_max_body_size and FARO_MAX_BODY_BYTES/);
				await assertOwnAnswer((headers) => send(server.port, { path, headers: { ...headers, ...chunked }, body }),
					413, "too_large", /client_max_body_size and FARO_MAX_BODY_BYTES/);
			}
			assert.equal((await send(server.port, { path, body: Buffer.alloc(1000) })).status, 202);
		}
		assert.equal(responder.requests.length, 4);
	});

	scenario(`${way}: a limit of requests, once switched on, is overloaded`, async (stage) => {
		const socket = stage.path("faro.sock");
		await fakeResponder(stage, socket);
		const server = await start(stage, {
			socket,
			changes: {
				"faro-http.conf": [["# limit_req_zone", "limit_req_zone"], ["5r/s", "1r/m"]],
				"faro-location.conf": [["# limit_req zone=faro_clients burst=20", "limit_req zone=faro_clients burst=1"]],
			},
		});
		for (const status of [202, 202]) assert.equal((await post(server.port, smallBeacon)).status, status);
		await assertOwnAnswer((headers) => post(server.port, smallBeacon, headers),
			429, "overloaded", /^This client sends more beacons than /, { retry: true });
	});

	scenario(`${way}: a limit of connections, once switched on, is overloaded`, async (stage) => {
		const socket = stage.path("faro.sock");
		let arrived, answer;
		const waiting = new Promise((done) => { arrived = done; });
		const held = new Promise((done) => { answer = done; });
		await fakeResponder(stage, socket, async () => {
			arrived();
			await held;
			return "Status: 202\r\n\r\nok";
		});
		const server = await start(stage, {
			socket,
			changes: {
				"faro-http.conf": [["# limit_conn_zone", "limit_conn_zone"]],
				"faro-location.conf": [["# limit_conn faro_connections 8", "limit_conn faro_connections 1"]],
			},
		});
		const first = post(server.port, smallBeacon);
		await waiting;
		await assertOwnAnswer((headers) => post(server.port, smallBeacon, headers),
			429, "overloaded", /^This client sends more beacons than /, { retry: true });
		answer();
		assert.equal((await first).status, 202);
	});
}
