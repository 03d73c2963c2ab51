// SPDX-License-Identifier: Apache-2.0
/* Starting, stopping, and what changes in between. */
import assert from "node:assert/strict";
import { Agent } from "node:http";
import { existsSync, mkdirSync, readFileSync, renameSync, statSync, writeFileSync } from "node:fs";
import { connect, createServer } from "node:net";
import { once } from "node:events";

import { eventually, pause } from "./lib/beacons.mjs";
import { get, post } from "./lib/client.mjs";
import { FastcgiClient, beaconParams } from "./lib/fastcgi.mjs";
import { beaconOfSize, ingestEnv, metrics, runIngest, smallBeacon, startIngest, startSpawned } from "./lib/faro.mjs";
import { nginx } from "./lib/nginx.mjs";
import { suspend } from "./lib/process.mjs";
import { receiver } from "./lib/receiver.mjs";
import { PRE_STOP_MS, RATES, sendSteadily } from "./lib/shutdown.mjs";
import { freePort, ingestBinary, scenario } from "./lib/stage.mjs";

const statuses = (replies) => replies.map(({ status }) => status);

/* Ends well within the time that it was given; the bound is the contract's, not a guess at speed. */
async function assertStopsWithin(ingest, timeoutMs, asked) {
	const { code, signal } = await ingest.process.closed;
	const took = performance.now() - asked;
	assert.deepEqual({ code, signal }, { code: 0, signal: null });
	assert.ok(took < timeoutMs, `${took} ms, and FARO_DRAIN_TIMEOUT_MS is ${timeoutMs}`);
	assert.match(ingest.process.stderr, /event=stopped/);
}

for (const [how, start] of [["its own listener", startIngest], ["spawn-fcgi", startSpawned]])
	scenario(`SIGTERM under load: all in flight and all that still comes is answered, then exit 0 (${how})`, async (stage) => {
		const behind = await receiver(stage);
		behind.status = null;
		const drain = 8000;
		const ingest = await start(stage, behind.url, { env: { FARO_DRAIN_TIMEOUT_MS: String(drain) } });
		const server = await nginx(stage, { socket: ingest.socket });
		const count = 100;
		const load = () => Array.from({ length: count }, () => post(server.port, smallBeacon));

		const before = load();
		await behind.arrived(count);
		const asked = performance.now();
		ingest.process.signal("SIGTERM");
		await ingest.process.line(/event=draining/);
		/* nginx does not know; it goes on sending, on kept connections and on new ones. */
		const after = load();
		await behind.arrived(2 * count);
		for (const request of behind.requests) request.answer();
		assert.deepEqual(statuses(await Promise.all([...before, ...after])), Array(2 * count).fill(202));
		await assertStopsWithin(ingest, drain, asked);
		assert.match(ingest.process.stderr, /event=stopped.* unanswered=0/);

		const reply = await post(server.port, smallBeacon);
		assert.equal(reply.status, 503, "nginx's own answer, never a 502");
		assert.match(reply.headers["retry-after"], /^[1-5]$/);
		assert.equal((await get(server.port, "/")).status, 200);
	});

/*
 * How a pod ends: nginx's container has a preStop of 5 s. An ordinary sidecar gets SIGTERM as it begins, a native
 * one when nginx has ended. --supervise is in supervise.test.mjs.
 */
for (const [what, env, first] of [
	["a sidecar with FARO_DRAIN_DELAY_MS", { FARO_DRAIN_DELAY_MS: `${PRE_STOP_MS + 1000}` }, "responder"],
	["a native sidecar", {}, "nginx"],
])
	for (const rate of RATES)
		scenario(`the end of a pod, at ${rate} beacons a second: no answer but 202 (${what})`, async (stage) => {
			const behind = await receiver(stage);
			const ingest = await startIngest(stage, behind.url, { env });
			const server = await nginx(stage, { socket: ingest.socket });
			const { statuses: seen, gone } = sendSteadily(server.port, rate);
			await behind.arrived(1);
			if (first === "responder") ingest.process.signal("SIGTERM");
			await pause(PRE_STOP_MS);
			await server.process.stop("SIGQUIT");
			if (first === "nginx") ingest.process.signal("SIGTERM");
			assert.deepEqual(await ingest.process.closed, { code: 0, signal: null });
			await gone;
			assert.ok(seen.length >= Math.floor(rate * PRE_STOP_MS / 1000), `${seen.length} beacons were answered`);
			assert.deepEqual([...new Set(seen)], [202]);
			assert.match(ingest.process.stderr, /event=stopped.* unanswered=0/);
		});

scenario("a second SIGTERM ends the delay of the first, and SIGINT has none", async (stage) => {
	const behind = await receiver(stage);
	const env = { FARO_DRAIN_DELAY_MS: "600000" };
	const ingest = await startIngest(stage, behind.url, { env });
	const server = await nginx(stage, { socket: ingest.socket });
	ingest.process.signal("SIGTERM");
	await ingest.process.line(/event=drain_delayed .*delay_ms=600000/);
	assert.equal((await post(server.port, smallBeacon)).status, 202);
	assert.equal((await get(server.statusPort, "/ready")).status, 200);
	assert.doesNotMatch(ingest.process.stderr, /event=draining/);
	assert.deepEqual(await ingest.process.stop("SIGTERM"), { code: 0, signal: null });
	assert.match(ingest.process.stderr, /event=draining/);

	const other = await startIngest(stage, behind.url, { env, socket: stage.path("other.sock") });
	assert.deepEqual(await other.process.stop("SIGINT"), { code: 0, signal: null });
	assert.doesNotMatch(other.process.stderr, /event=drain_delayed/);
});

scenario("SIGTERM with a stream of beacons that does not end: no 502, exit 0 within the drain time", async (stage) => {
	const behind = await receiver(stage);
	const drain = 2000;
	const ingest = await startIngest(stage, behind.url, { env: { FARO_DRAIN_TIMEOUT_MS: String(drain) } });
	const server = await nginx(stage, { socket: ingest.socket });
	const agent = new Agent({ keepAlive: true, maxSockets: 16 });
	stage.after(() => agent.destroy());
	const seen = {};
	let stop = false;
	const stream = async () => {
		while (!stop) {
			const { status } = await post(server.port, smallBeacon, {}, { agent });
			seen[status] = (seen[status] ?? 0) + 1;
		}
	};
	const streams = Array.from({ length: 16 }, stream);
	await behind.arrived(200);
	const asked = performance.now();
	ingest.process.signal("SIGTERM");
	await ingest.process.line(/event=draining/);
	await behind.arrived(behind.requests.length + 200);
	await assertStopsWithin(ingest, drain, asked);
	stop = true;
	await Promise.all(streams);
	assert.ok(seen[202] >= 400);
	/* What finds nobody any more is told to come back. Nothing is answered otherwise. */
	assert.deepEqual(Object.keys(seen).filter((status) => !["202", "503"].includes(status)), []);
	assert.match(ingest.process.stderr, /unanswered=0/);
});

scenario("SIGTERM with a receiver that never answers: exit 0 at the end of the drain time, and says what is left", async (stage) => {
	const behind = await receiver(stage);
	behind.status = null;
	const env = { FARO_DRAIN_TIMEOUT_MS: "500", FARO_UPSTREAM_TIMEOUT_MS: "60000" };
	const ingest = await startIngest(stage, behind.url, { env });
	const server = await nginx(stage, { socket: ingest.socket });
	const held = [post(server.port, smallBeacon), post(server.port, smallBeacon)];
	await behind.arrived(2);
	assert.deepEqual(await ingest.process.stop("SIGTERM"), { code: 0, signal: null });
	assert.deepEqual(statuses(await Promise.all(held)), [503, 503]);
	assert.match(ingest.process.stderr, /event=stopped.* unanswered=2/);
});

/* More than a worker keeps exchanges for, so that some are freed while others are ended. */
for (const { workers, keys, each } of [{ workers: 4, keys: 8, each: 4 }, { workers: 1, keys: 100, each: 2 }])
	scenario(`SIGTERM with a receiver that never answers: who waits for one of ${keys} beacons with ${workers} workers is promised nothing`, async (stage) => {
		const behind = await receiver(stage);
		behind.status = null;
		const env = { FARO_WORKERS: `${workers}`, FARO_DRAIN_TIMEOUT_MS: "500", FARO_UPSTREAM_TIMEOUT_MS: "60000" };
		const ingest = await startIngest(stage, behind.url, { env });
		const server = await nginx(stage, { socket: ingest.socket });
		const held = Array.from({ length: keys * each }, (_, i) => post(server.port, smallBeacon, { "Idempotency-Key": `k${Math.floor(i / each)}` }));
		await behind.arrived(keys);
		assert.deepEqual(await ingest.process.stop("SIGTERM"), { code: 0, signal: null });
		assert.ok(statuses(await Promise.all(held)).every((status) => status >= 500));
		assert.equal(behind.requests.length, keys);
	});

for (const name of ["SIGINT", "SIGQUIT"])
	scenario(`${name} drains as SIGTERM does`, async (stage) => {
		const behind = await receiver(stage);
		behind.status = null;
		const ingest = await startIngest(stage, behind.url);
		const server = await nginx(stage, { socket: ingest.socket });
		const held = post(server.port, smallBeacon);
		const request = await behind.arrived(1);
		ingest.process.signal(name);
		await ingest.process.line(/event=draining/);
		request.answer();
		assert.equal((await held).status, 202);
		assert.deepEqual(await ingest.process.closed, { code: 0, signal: null });
		assert.match(ingest.process.stderr, /event=stopped.* unanswered=0/);
	});

scenario("SIGTERM while a peer drips its request: nobody waits for it", async (stage) => {
	const behind = await receiver(stage);
	const drain = 2000; // less than a request may take to come
	const ingest = await startIngest(stage, behind.url,
		{ env: { FARO_DRAIN_TIMEOUT_MS: String(drain), FARO_WORKERS: "1" } });
	const dripping = await FastcgiClient.open(ingest.socket);
	stage.after(() => dripping.close());
	dripping.begin();
	const drip = setInterval(() => dripping.socket.write("x"), 300);
	stage.after(() => clearInterval(drip));
	const asked = performance.now();
	ingest.process.signal("SIGTERM");
	await assertStopsWithin(ingest, drain, asked);
	assert.match(ingest.process.stderr, /event=stopped.* unanswered=0/);
});

scenario("a second SIGTERM, SIGHUP, SIGUSR1 and SIGPIPE do no harm", async (stage) => {
	const behind = await receiver(stage);
	const ingest = await startIngest(stage, behind.url);
	const server = await nginx(stage, { socket: ingest.socket });
	for (const name of ["SIGHUP", "SIGUSR1", "SIGPIPE"]) ingest.process.signal(name);
	assert.equal((await post(server.port, smallBeacon)).status, 202);
	behind.status = null;
	const held = post(server.port, smallBeacon);
	const request = await behind.arrived(2);
	ingest.process.signal("SIGTERM");
	await ingest.process.line(/event=draining/);
	ingest.process.signal("SIGTERM");
	assert.equal((await get(server.statusPort, "/health")).status, 200);
	request.answer();
	assert.equal((await held).status, 202);
	assert.deepEqual(await ingest.process.closed, { code: 0, signal: null });
});

for (const [what, env] of [["", () => ({})], [", with a spool", (stage) => ({ FARO_SPOOL_DIR: stage.path("spool") })]])
	scenario(`an idle responder is gone within a second and a half, whatever connections nginx keeps${what}`, async (stage) => {
		const behind = await receiver(stage);
		const ingest = await startIngest(stage, behind.url, { env: env(stage) });
		const server = await nginx(stage, { socket: ingest.socket });
		assert.equal((await post(server.port, smallBeacon)).status, 202);
		const asked = performance.now();
		ingest.process.signal("SIGTERM");
		await assertStopsWithin(ingest, 1500, asked);
		assert.equal(existsSync(ingest.socket), false, "its socket is gone");
	});

scenario("while the spool is emptied at the end, there is no socket that nobody answers", async (stage) => {
	const behind = await receiver(stage);
	behind.status = 503;
	const env = { FARO_SPOOL_DIR: stage.path("spool"), FARO_DRAIN_TIMEOUT_MS: "20000" };
	mkdirSync(env.FARO_SPOOL_DIR, { mode: 0o700 });
	const ingest = await startIngest(stage, behind.url, { env });
	const client = await FastcgiClient.open(ingest.socket);
	stage.after(() => client.close());
	const body = Buffer.from(smallBeacon);
	assert.equal((await client.send(beaconParams(body.length), body)).status, 202);
	ingest.process.signal("SIGTERM");
	await eventually("no socket", () => !existsSync(ingest.socket));
	assert.doesNotMatch(ingest.process.stderr, /event=(spool_remaining|stopped)/);
	behind.status = 202;
	assert.deepEqual(await ingest.process.closed, { code: 0, signal: null });
	assert.match(ingest.process.stderr, /event=spool_remaining.* records=0/);
	assert.ok(behind.requests.length >= 2, "it was delivered");
});

scenario("a changed API key file is used without a restart, and never logged", async (stage) => {
	const behind = await receiver(stage);
	const file = stage.path("key");
	writeFileSync(file, "first-key\n");
	const env = { FARO_UPSTREAM_API_KEY_FILE: file, FARO_UPSTREAM_TENANT: "team-a" };
	const ingest = await startIngest(stage, behind.url, { env });
	const server = await nginx(stage, { socket: ingest.socket });
	const used = async () => {
		assert.equal((await post(server.port, smallBeacon, { "X-Api-Key": "forged", "X-Scope-OrgID": "forged" })).status, 202);
		assert.equal(behind.last.headers["x-scope-orgid"], "team-a");
		return behind.last.headers["x-api-key"];
	};
	/* The next beacon, or one soon after it: the file is looked at once in a while. */
	const becomes = async (key, previous) => {
		for (let now; (now = await used()) !== key;) assert.equal(now, previous);
	};
	assert.equal(await used(), "first-key");
	writeFileSync(stage.path("new"), "second-key"); // as Kubernetes does it: another file in its place
	renameSync(stage.path("new"), file);
	await becomes("second-key", "first-key");
	writeFileSync(file, "third-key"); // the same file, other content
	await becomes("third-key", "second-key");
	assert.doesNotMatch(ingest.process.stderr, /(first|second|third)-key|forged/);
});

scenario("the receiver comes, goes and comes back: no restart of ours", async (stage) => {
	const port = await freePort();
	const ingest = await startIngest(stage, `http://127.0.0.1:${port}`);
	const server = await nginx(stage, { socket: ingest.socket });
	for (let round = 0; round < 3; round++) {
		const absent = await post(server.port, smallBeacon);
		assert.equal(absent.status, 503);
		assert.equal(absent.json.reason, "upstream_unavailable");
		assert.equal((await metrics(server)).get("upstream_up"), 0);
		const behind = await receiver(stage, { port });
		assert.equal((await post(server.port, smallBeacon)).status, 202);
		assert.equal((await metrics(server)).get("upstream_up"), 1);
		await behind.stop();
	}
	assert.equal(ingest.process.ended, undefined);
});

scenario("nginx needs no restart when the responder comes, goes and comes back", async (stage) => {
	const behind = await receiver(stage);
	const socket = stage.path("faro.sock");
	const server = await nginx(stage, { socket });
	for (let round = 0; round < 3; round++) {
		assert.equal((await post(server.port, smallBeacon)).status, 503);
		const ingest = await startIngest(stage, behind.url, { socket });
		assert.equal((await post(server.port, smallBeacon)).status, 202);
		await ingest.process.stop(round === 1 ? "SIGKILL" : "SIGTERM");
	}
});

scenario("a socket that a dead responder left is replaced; a live one is not, nor a plain file", async (stage) => {
	const behind = await receiver(stage);
	const first = await startIngest(stage, behind.url);
	const again = () => stage.finish("another faro-ingest", ingestBinary,
		["--listen", `unix:${first.socket}`], { env: ingestEnv(behind.url) });

	const refused = await again();
	assert.equal(refused.code, 2);
	assert.ok(refused.stderr.includes(first.socket), refused.stderr);
	const server = await nginx(stage, { socket: first.socket });
	assert.equal((await post(server.port, smallBeacon)).status, 202, "the first one still serves");

	await first.process.stop("SIGKILL");
	assert.ok(existsSync(first.socket), "left behind");
	const second = await startIngest(stage, behind.url);
	assert.equal((await post(server.port, smallBeacon)).status, 202);
	assert.equal(statSync(second.socket).mode & 0o777, 0o666);
	await second.process.stop();

	writeFileSync(first.socket, "precious");
	assert.equal((await again()).code, 2);
	assert.ok(existsSync(first.socket));
});

scenario("TCP is for loopback only", async (stage) => {
	const env = ingestEnv("http://127.0.0.1:1");
	for (const address of ["0.0.0.0:0", "[::]:0", "192.0.2.1:9000", ":9000"]) {
		const { code, stderr } = await stage.finish("faro-ingest", ingestBinary, ["--listen", address], { env });
		assert.equal(code, 2, address);
		assert.match(stderr, /--listen/);
	}
	const port = await freePort();
	const process = stage.run("faro-ingest", ingestBinary, ["--listen", `127.0.0.1:${port}`], { env });
	await process.line(/event=started/);
	const socket = connect(port, "127.0.0.1");
	await once(socket, "connect");
	socket.destroy();
});

scenario("--ping tells whether a responder lives, whatever the receiver does", async (stage) => {
	const socket = stage.path("faro.sock");
	const ping = () => runIngest(stage, ["--ping", socket]);
	const nobody = await ping();
	assert.equal(nobody.code, 1);
	assert.ok(nobody.stderr.includes(socket));
	const ingest = await startIngest(stage, `http://127.0.0.1:${await freePort()}`, { socket });
	assert.equal((await ping()).code, 0);
	await suspend(ingest.process.child.pid);
	const silent = await ping();
	ingest.process.signal("SIGCONT");
	assert.equal(silent.code, 1);
	assert.match(silent.stderr, /no .*answer/);
	await ingest.process.stop("SIGKILL");
	assert.equal((await ping()).code, 1);
});

function frame(type, text) {
	return Buffer.concat([Buffer.from([1, type, 0, 1, 0, text.length, 0, 0]), Buffer.from(text)]);
}

scenario("--ping: another status, silence, half an answer and another protocol are no health", async (stage) => {
	const STDOUT = 6, STDERR = 7;
	const answers = {
		"another status": frame(STDOUT, "Status: 503 Service Unavailable\r\n\r\n"),
		"stderr": frame(STDERR, "Status: 200 OK\r\n\r\n"),
		"half a status": frame(STDOUT, "Status: 2"),
		"HTTP": Buffer.from("HTTP/1.1 400 Bad Request\r\nStatus: 200\r\n\r\n"),
		"nothing": Buffer.alloc(0),
		"silence": null,
		"health": frame(STDOUT, "Status: 200 OK\r\n\r\n"),
	};
	let answer;
	const path = stage.path("fake.sock");
	const server = createServer((socket) => {
		socket.on("error", () => {});
		socket.resume();
		if (answer) socket.end(answer);
	}).listen(path);
	await once(server, "listening");
	stage.after(() => server.close());
	for (const what of Object.keys(answers)) {
		answer = answers[what];
		const { code, stderr } = await runIngest(stage, ["--ping", path]);
		assert.equal(code, what === "health" ? 0 : 1, what);
		assert.equal(stderr.includes(path), what !== "health", stderr);
	}
});

scenario("-t, --version and --help answer and end", async (stage) => {
	for (const flag of ["-t", "--test-config"]) {
		const { code, stderr } = await runIngest(stage, [flag], { env: ingestEnv("http://alloy:12347") });
		assert.equal(code, 0, stderr);
		assert.match(stderr, /good/);
	}
	const version = await runIngest(stage, ["--version"]);
	assert.equal(version.code, 0);
	assert.match(version.stdout.toString(), /^faro-ingest \d+\.\d+/);
	const help = await runIngest(stage, ["--help"]);
	assert.equal(help.code, 0);
	for (const name of ["FARO_UPSTREAM_URL", "FARO_APP_NAMES", "FARO_ALLOWED_ORIGINS", "OTEL_SERVICE_NAME", "--listen", "--print", "--ping"])
		assert.ok(help.stdout.includes(name), name);
});

scenario("bad settings exit 2, and all of them are named with what was expected", async (stage) => {
	const env = {
		FARO_UPSTREAM_URL: "ftp://alloy", FARO_WORKERS: "many", FARO_MAX_BODY_BYTES: "5 MB", FARO_PATH: "faro",
		FARO_UPSTREAM_TIMEOUT_MS: "-1", FARO_ALLOWED_ORIGINS: "shop.example", FARO_LOG_FORMAT: "xml",
		FARO_LOG_LEVEL: "loud", FARO_UPSTREAM_API_KEY_FILE: stage.path("no-such-file"),
	};
	for (const args of [["-t"], ["--listen", `unix:${stage.path("x.sock")}`], ["--print"]]) {
		const { code, stderr, stdout } = await runIngest(stage, args, { env, stdin: "" });
		assert.equal(code, 2, args[0]);
		assert.equal(stdout.length, 0);
		for (const [name, value] of Object.entries(env)) {
			const line = stderr.split("\n").find((text) => text.includes(name));
			assert.ok(line, `${args[0]}: ${name} is named in\n${stderr}`);
			assert.match(line, /expected/);
			assert.ok(line.includes(value), line);
		}
		assert.match(stderr, /OTEL_SERVICE_NAME/, "what is missing is named too");
	}
	assert.equal(existsSync(stage.path("x.sock")), false);
	const nothing = await runIngest(stage, [], { env: ingestEnv("http://alloy:12347"), stdin: "" });
	assert.equal(nothing.code, 2);
	assert.match(nothing.stderr, /--listen/);
	const unknown = await runIngest(stage, ["--no-such-flag"], { env: ingestEnv("http://alloy:12347") });
	assert.equal(unknown.code, 2);
	assert.match(unknown.stderr, /--help/);
});

scenario("a flag wins over its variable, and the startup line tells what counts", async (stage) => {
	const ingest = await startIngest(stage, "http://127.0.0.1:1", {
		env: { FARO_PATH: "/a", FARO_WORKERS: "2" }, args: ["--path", "/b", "--max-body-bytes=1MiB"],
	});
	assert.match(ingest.process.stderr, /event=started.*path=\/b /);
	assert.match(ingest.process.stderr, /event=started.*max_body_bytes=1048576 .*workers=2 /);
	const client = await FastcgiClient.open(ingest.socket);
	stage.after(() => client.close());
	const ask = (SCRIPT_NAME) => client.send(beaconParams(2, { SCRIPT_NAME }), Buffer.from("[]"));
	assert.equal((await ask("/a/collect")).status, 404);
	assert.equal((await ask("/b/collect")).status, 400);
});

scenario("a low soft limit of open files is raised to the hard one", async (stage) => {
	const process = stage.run("faro-ingest", "sh",
		["-c", 'ulimit -Sn 64; exec "$0" "$@"', ingestBinary, "--listen", `unix:${stage.path("faro.sock")}`],
		{ env: ingestEnv("http://127.0.0.1:1") });
	await process.line(/event=started/);
	const [, soft, hard] = /^Max open files +(\S+) +(\S+)/m.exec(readFileSync(`/proc/${process.child.pid}/limits`, "utf8"));
	assert.equal(soft, hard);
	assert.notEqual(soft, "64");
});

scenario("the buffers of a burst are given back when it is over", async (stage) => {
	const behind = await receiver(stage);
	const ingest = await startIngest(stage, behind.url, { env: { FARO_WORKERS: "1" } });
	const server = await nginx(stage, { socket: ingest.socket });
	const held = async () => (await metrics(server)).get("inflight_bytes");
	assert.equal((await post(server.port, beaconOfSize(300_000))).status, 202);
	assert.ok(await held() >= 300_000, "kept for the next one");
	/* Asking counts as traffic, so there is a pause between two questions. */
	do await new Promise((done) => setTimeout(done, 1500));
	while (await held() > 64 * 1024);
});

scenario("several workers serve one socket and end together", async (stage) => {
	const behind = await receiver(stage);
	const ingest = await startIngest(stage, behind.url, { env: { FARO_WORKERS: "4" } });
	const server = await nginx(stage, { socket: ingest.socket });
	const replies = await Promise.all(Array.from({ length: 200 }, () => post(server.port, smallBeacon)));
	assert.deepEqual(statuses(replies), Array(200).fill(202));
	assert.equal((await metrics(server)).get("requests_total", 'code="202"'), 200);
	assert.deepEqual(await ingest.process.stop("SIGTERM"), { code: 0, signal: null });
});
