// SPDX-License-Identifier: Apache-2.0
/*
 * Limits that an operator or a container sets, and the signals that come with them or from a peer, end nothing.
 *
 *	signal           who sends it                              what holds
 *	SIGXFSZ          a file that reaches RLIMIT_FSIZE          ignored; the write fails, and that is handled
 *	SIGPIPE          a peer, or who read the log, is gone      ignored
 *	SIGHUP           a terminal or a session that ends         ignored
 *	SIGUSR1 SIGUSR2  log rotation, or an upgrade, of nginx     ignored
 *	SIGTERM INT QUIT                                           the end, after what is in flight
 *	SIGXCPU          RLIMIT_CPU, the soft one                  the same
 *
 * What a program is started as may ignore signals, which its children inherit: the command of --supervise does not.
 */
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { chmodSync, closeSync, mkdirSync, openSync, readFileSync, statSync } from "node:fs";

import { counter, eventually, numbered, Sender, sendOne, status } from "../lib/beacons.mjs";
import { post } from "../lib/client.mjs";
import { beaconParams } from "../lib/fastcgi.mjs";
import { ingestEnv, startIngest } from "../lib/faro.mjs";
import { ingestBinary, scenario, sinkBinary } from "../lib/stage.mjs";

const LIMIT = 1 << 20;
const LOG_LIMIT = 2000;

/* A command that goes with its parent, however that ends. */
const PATIENT = "while kill -0 $PPID; do sleep 1; done 2>&-";

const incompressible = (bytes) => randomBytes(bytes / 2).toString("hex");
const limited = (bytes, command) => ["prlimit", `--fsize=${bytes}`, ...command];

/* stderr is a file, as a log that somebody else rotates. */
function openLog(stage) {
	const path = stage.path("log");
	const file = openSync(path, "a");
	stage.after(() => closeSync(file));
	return { path, stdio: ["ignore", "ignore", file] };
}

/* The responder of --supervise is nobody if we are root. */
const socketOf = (stage) => stage.path("run/faro.sock");

async function start(stage, name, [command, ...args], options) {
	const socket = socketOf(stage);
	mkdirSync(stage.path("run"));
	chmodSync(stage.path("run"), 0o777);
	const process = stage.run(name, command, args, options);
	await eventually("responder", async () => {
		assert.equal(process.ended, undefined, `${name} ended: ${process.ended && process.how()}`);
		return (await sendOne(socket, Buffer.alloc(0)))?.status === 400;
	});
	return { process, socket };
}

const assertAlive = (process, what) => assert.equal(process.ended, undefined, `${what}: ${process.ended && process.how()}`);

/* Until it has been refused for a while; those that were promised. */
async function fill(socket, process) {
	const sender = new Sender(socket);
	const promised = [];
	for (let i = 0, refused = 0; refused < 20; i++) {
		const id = `fill${i}`;
		const reply = await sender.send(numbered(id, incompressible(8000)));
		assertAlive(process, `after ${promised.length} promises`);
		assert.ok([202, 429, 503].includes(reply?.status), `${id} was answered ${reply?.status}`);
		if (reply.status === 202) promised.push(id);
		else refused++;
		assert.ok(i < 5000, "it is never full");
	}
	sender.close();
	return promised;
}

scenario("a spool that reaches the limit of a file: refused honestly, and all that was promised arrives", async (stage) => {
	const receiver = await counter(stage);
	const { process, socket } = await start(stage, "faro-ingest", limited(LIMIT, [ingestBinary, "--listen", `unix:${socketOf(stage)}`]),
		{ env: ingestEnv(receiver.url, { FARO_SPOOL_DIR: stage.path("spool"), FARO_REPLAY_RATE: "5000" }) });
	for (let round = 0; round < 2; round++) {
		await receiver.stop();
		const promised = await fill(socket, process);
		assert.ok(promised.length > 50, `${promised.length} promises`);
		await receiver.listen(receiver.port);
		await eventually("delivery", () => receiver.missing(promised).length === 0);
		await eventually("empty spool", async () => (await status(socket))("spool_records") === 0);
		receiver.taken.clear();
	}
	assert.ok(statSync(stage.path("spool/spool.db")).size <= LIMIT);
	assert.equal((await status(socket))("spool_moved_aside_total"), 0);
	assert.deepEqual(await process.stop("SIGTERM"), { code: 0, signal: null });
});

for (const supervised of [false, true])
	scenario(`a log file${supervised ? " of --supervise" : ""} that has reached its limit: every beacon is answered all the same`, async (stage) => {
		const receiver = await counter(stage);
		const log = openLog(stage);
		const words = supervised
			? [ingestBinary, "--supervise", "--listen-mode=0666", "--", "sh", "-c", PATIENT]
			: [ingestBinary, "--listen", `unix:${socketOf(stage)}`];
		const env = ingestEnv(receiver.url, { FARO_LOG_LEVEL: "debug", FARO_SOCKET: socketOf(stage) });
		const { process, socket } = await start(stage, "faro-ingest", limited(1, words),
			{ env, stdio: log.stdio, lastSignal: "SIGTERM" });
		for (let i = 0; i < 20; i++) assert.equal((await sendOne(socket, numbered(`beacon${i}`)))?.status, 202);
		assert.equal(receiver.taken.size, 20);
		assert.ok(statSync(log.path).size <= 1);
		assertAlive(process, "with a full log");
		assert.deepEqual(await process.stop("SIGTERM"), { code: supervised ? 143 : 0, signal: null });
	});

scenario("a log file that grows to its limit: every beacon is answered all the same", async (stage) => {
	const receiver = await counter(stage);
	await receiver.stop();
	const log = openLog(stage);
	const { process, socket } = await start(stage, "faro-ingest",
		limited(LOG_LIMIT, [ingestBinary, "--listen", `unix:${socketOf(stage)}`]), { env: ingestEnv(receiver.url), stdio: log.stdio });
	/* An error of each kind has a line of its own, once a while. */
	await eventually("log at its limit", async () => {
		for (const headers of [{}, { REQUEST_METHOD: "PUT" }, { CONTENT_TYPE: "text/html" }, { HTTP_CONTENT_ENCODING: "br" },
			{ HTTP_SEC_FETCH_SITE: "cross-site" }, { SCRIPT_NAME: "/no" }, { HTTP_CONTENT_ENCODING: "gzip" }]) {
			assert.ok(await sendOne(socket, numbered("x"), headers), "an answer");
			assertAlive(process, "while the log grows");
		}
		return statSync(log.path).size > LOG_LIMIT - 600;
	});
	assert.equal((await sendOne(socket, numbered("y"))).status, 503);
	assert.deepEqual(await process.stop("SIGTERM"), { code: 0, signal: null });
	assert.ok(statSync(log.path).size <= LOG_LIMIT);
});

scenario("a log file at its limit, as a CGI program: the beacon is answered all the same", async (stage) => {
	const receiver = await counter(stage);
	const log = openLog(stage);
	const body = numbered("cgi");
	const [command, ...args] = limited(1, [ingestBinary]);
	const process = stage.run("faro-ingest as CGI", command, args, {
		env: { ...ingestEnv(receiver.url, { FARO_LOG_LEVEL: "debug" }), ...beaconParams(body.length, { CONTENT_TYPE: "text/html" }) },
		stdio: ["pipe", "pipe", log.stdio[2]], stdin: body,
	});
	assert.deepEqual(await process.closed, { code: 0, signal: null });
	assert.match(process.stdout.toString(), /^Status: 415 /);
	assert.ok(statSync(log.path).size <= 1);
});

for (const signal of ["SIGXFSZ", "SIGPIPE", "SIGHUP", "SIGUSR1", "SIGUSR2"])
	scenario(`${signal} does no harm`, async (stage) => {
		const receiver = await counter(stage);
		const { process, socket } = await startIngest(stage, receiver.url, { env: { FARO_SPOOL_DIR: stage.path("spool") } });
		process.signal(signal);
		for (let i = 0; i < 5; i++) assert.equal((await sendOne(socket, numbered(`s${i}`)))?.status, 202);
		assertAlive(process, signal);
		assert.deepEqual(await process.stop("SIGTERM"), { code: 0, signal: null });
	});

scenario("SIGXCPU ends it in good order: what is in flight is answered", async (stage) => {
	let open;
	const gate = new Promise((done) => (open = done));
	const receiver = await counter(stage, () => gate);
	const { process, socket } = await startIngest(stage, receiver.url);
	const reply = sendOne(socket, numbered("in flight"));
	await eventually("request", () => receiver.requests === 1);
	process.signal("SIGXCPU");
	await process.line(/event=draining/);
	open(202);
	assert.equal((await reply)?.status, 202);
	assert.deepEqual(await process.closed, { code: 0, signal: null });
});

scenario("--print to a file at its limit says so", async (stage) => {
	const file = openSync(stage.path("out"), "w");
	stage.after(() => closeSync(file));
	const [command, ...args] = limited(1, [ingestBinary, "--print"]);
	const process = stage.run("faro-ingest --print", command, args,
		{ env: ingestEnv("http://127.0.0.1:1"), stdio: ["pipe", file, "pipe"], stdin: numbered("p") });
	assert.deepEqual(await process.closed, { code: 1, signal: null });
	assert.match(process.stderr.toString(), /faro-ingest: stdout: File too large/);
});

scenario("faro-sink, whose files are at their limit, goes on", async (stage) => {
	const [command, ...args] = limited(1, [sinkBinary, "--listen", "127.0.0.1:0", "--save", stage.path("saved"), "--quiet"]);
	const process = stage.run("faro-sink", command, args, {});
	const [, port] = await process.line(/listening on http:\S+:(\d+)/);
	for (let i = 0; i < 2; i++) await post(port, numbered("s"), {}, { path: "/collect" });
	assertAlive(process, "after beacons");
	await process.line(/cannot save beacon 0*2 .*File too large/);
	assert.deepEqual(await process.stop("SIGTERM"), { code: 0, signal: null });
});

/* In /proc: bit n - 1 is signal n. */
function has(pid, set, number) {
	const mask = new RegExp(`^${set}:\\s*([0-9a-f]+)$`, "m").exec(readFileSync(`/proc/${pid}/status`, "utf8"))[1];
	return (BigInt(`0x${mask}`) >> BigInt(number - 1) & 1n) === 1n;
}

for (const [what, upstream] of [["beside a responder", "http://127.0.0.1:1"], ["alone", ""]])
	scenario(`the command of --supervise, ${what}, has all signals as a program expects them`, async (stage) => {
		const process = stage.run("faro-ingest --supervise", ingestBinary,
			["--supervise", "--listen", `unix:${stage.path("faro.sock")}`, "--", "sh", "-c", "echo pid $$; exec sleep 10"],
			{ env: { ...ingestEnv(upstream), FARO_UPSTREAM_URL: upstream }, lastSignal: "SIGTERM" });
		const [, pid] = await process.said(/pid (\d+)/);
		await eventually("sleep", () => readFileSync(`/proc/${pid}/comm`, "utf8") === "sleep\n");
		for (const [name, number] of [["SIGHUP", 1], ["SIGUSR1", 10], ["SIGUSR2", 12], ["SIGPIPE", 13], ["SIGCHLD", 17],
			["SIGXCPU", 24], ["SIGXFSZ", 25]])
			assert.equal(has(pid, "SigIgn", number) || has(pid, "SigBlk", number), false, name);
	});
