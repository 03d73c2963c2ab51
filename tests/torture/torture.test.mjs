// SPDX-License-Identifier: Apache-2.0
/*
 * Every allocation and every system call on a beacon's way fails in turn, once and from there on: ours,
 * libcurl's, OpenSSL's and SQLite's (shim.c counts them and makes them fail). After each the process must
 * live, have told no untrue 202, have answered or hung up, and serve the next beacon; in the end it must
 * own what it owned before.
 *
 * FARO_TORTURE_FULL=1: every N with every error, twice over. Without, a minute of it.
 */
import assert from "node:assert/strict";
import { join } from "node:path";

import { Counter, Sender, numbered, pause } from "../system/lib/beacons.mjs";
import { ingestEnv } from "../system/lib/faro.mjs";
import { compileShim, Numbers } from "../system/lib/shim.mjs";
import { ingestBinary, root, scenario } from "../system/lib/stage.mjs";
import { makeCertificate } from "../system/lib/tls.mjs";

const FACTS = { FARO_REQUEST_ATTRIBUTES: "geo.country.iso_code" };
const FULL = process.env.FARO_TORTURE_FULL === "1";
const ALLOCATIONS = 1, CALLS = 2;
const [EINTR, EIO, EAGAIN, ENOMEM, EMFILE, ENOSPC] = [4, 5, 11, 12, 24, 28];
const FIELDS = ["kind", "at", "forEver", "error", "counted", "failed", "live", "ready"];

/* The numbers that shim.c shares. */
class Control extends Numbers {
	arm(kind, at, { forEver = false, error = ENOMEM } = {}) {
		this.set({ kind: 0 });
		this.set({ at, forEver: forEver ? 1 : 0, error, counted: 0, failed: 0 });
		this.set({ kind });
	}

	/* How often it failed something. */
	disarm() {
		this.set({ kind: 0 });
		return this.get("failed");
	}
}

async function shim(stage) {
	const path = await compileShim(stage, join(root, "tests/torture/shim.c"));
	const control = new Control(stage.path("control"), FIELDS);
	stage.after(() => control.close());
	const { FARO_TORTURE_TRACE: trace } = process.env;
	return { control, env: { LD_PRELOAD: path, FARO_TORTURE: control.path, ...(trace && { FARO_TORTURE_TRACE: trace }) } };
}

async function start(stage, upstreamUrl, more = {}) {
	const { control, env } = await shim(stage);
	const socket = stage.path("faro.sock");
	const process = stage.run("faro-ingest", ingestBinary, ["--listen", `unix:${socket}`], {
		env: { ...ingestEnv(upstreamUrl, { FARO_WORKERS: "1", FARO_UPSTREAM_TIMEOUT_MS: "1000", ...FACTS, ...more }), ...env },
	});
	await process.line(/event=started/);
	assert.equal(control.get("ready"), 1, "the shim is loaded");
	return { control, socket, process };
}

let number = 0;
const nextId = () => `torture-${++number}`;

/* The status, "closed", or "nothing" where there was neither for `ms`. */
async function ask(socket, id, ms, sender = new Sender(socket)) {
	const body = numbered(id, "m".repeat(300));
	const reply = sender.send(body, { HTTP_IDEMPOTENCY_KEY: id, HTTP_X_FARO_SESSION_ID: "s1", FARO_ATTR_GEO_COUNTRY_ISO_CODE: "DE" })
		.then((got) => got?.status ?? "closed");
	return { sender, status: await Promise.race([reply, pause(ms).then(() => "nothing")]), reply };
}

/* One N: what was said to the beacon, and whether N was reached at all. */
async function tortureOnce({ control, socket, process, promised }, kind, at, options) {
	const id = nextId();
	const what = `${kind === ALLOCATIONS ? "allocation" : "call"} ${at}, ${JSON.stringify(options)}`;
	control.arm(kind, at, options);
	const { sender, status, reply } = await ask(socket, id, options.forEver ? 60 : 15_000);
	const failed = control.disarm();
	if (!options.forEver) assert.notEqual(status, "nothing", `${what}: it hangs`);
	/* Nothing fails any more, so the answer comes, or the end. */
	const last = await Promise.race([reply, pause(15_000).then(() => "nothing")]);
	sender.close();
	assert.equal(process.ended, undefined, `${what}: it ended`);
	assert.notEqual(last, "nothing", `${what}: it hangs`);
	if (last === 202) promised.push(id);
	return failed > 0;
}

/* A good beacon after a bad one; the breaker may be open, and a listener may pause. */
async function assertServes({ socket, promised }, what) {
	for (const end = Date.now() + 20_000; ;) {
		const id = nextId();
		const { sender, status } = await ask(socket, id, 15_000);
		sender.close();
		if (status === 202) {
			promised.push(id);
			return;
		}
		assert.ok(Date.now() < end, `${what}: the last answer was ${status}`);
		await pause(20);
	}
}

/* All N, until one is not reached; `each` of them, or every `step`th. */
async function series(torture, kind, options, step = 1) {
	let n = 1;
	for (let missed = 0; missed < 3; n += step) {
		missed = await tortureOnce(torture, kind, n, options) ? 0 : missed + 1;
		await assertServes(torture, `after ${kind === ALLOCATIONS ? "allocation" : "call"} ${n} ${JSON.stringify(options)}`);
		assert.ok(n < 50_000, "it has an end");
	}
	return n;
}

const ERRORS = FULL ? [ENOMEM, EINTR, EAGAIN, EIO, EMFILE, ENOSPC] : [ENOMEM, EINTR];

async function all(torture, step) {
	const counts = {};
	for (const forEver of [false, true]) {
		counts[`allocations ${forEver}`] = await series(torture, ALLOCATIONS, { forEver }, step);
		for (const error of forEver && !FULL ? [EIO] : ERRORS)
			counts[`calls ${forEver} ${error}`] = await series(torture, CALLS, { forEver, error }, step);
	}
	return counts;
}

/* What is kept for the next beacon comes and goes; what is lost, only goes. */
async function assertNoLeak(torture, t, step = 1) {
	const live = [];
	for (let round = 0; round < 4; round++) {
		await series(torture, ALLOCATIONS, { forEver: false }, step);
		await series(torture, CALLS, { forEver: false, error: EIO }, step);
		for (let i = 0; i < 5; i++) await assertServes(torture, "in between");
		await pause(100);
		live.push(torture.control.get("live"));
	}
	t.diagnostic(`live allocations after each round: ${live.join(" ")}`);
	assert.ok(live[3] <= live[1] + 3, `it loses memory: ${live.join(" ")}`);
}

const TIME = { timeout: FULL ? 7_200_000 : 240_000 };

scenario("to the receiver: no failure ends it, hangs, loses memory, or makes an untrue 202", async (stage, t) => {
	const behind = new Counter();
	await behind.listen();
	stage.after(() => behind.stop());
	const torture = { promised: [], ...await start(stage, behind.url) };
	await assertServes(torture, "before");
	t.diagnostic(JSON.stringify(await all(torture, 1)));
	await assertNoLeak(torture, t);
	assert.deepEqual(behind.missing(torture.promised), [], "untrue 202");
	assert.equal((await torture.process.stop("SIGTERM")).code, 0);
}, TIME);

/* Over a kept connection, and with a handshake for each beacon. */
for (const [how, behave, step] of [["kept", () => 202, 1], ["new", () => "202, close", FULL ? 1 : 37]])
	scenario(`to a receiver behind TLS, ${how} connections: no failure ends it, hangs, or makes an untrue 202`, async (stage, t) => {
		const certificate = await makeCertificate(stage);
		const behind = new Counter(behave, certificate);
		await behind.listen();
		stage.after(() => behind.stop());
		const torture = { promised: [], ...await start(stage, behind.url, { FARO_UPSTREAM_CA_FILE: certificate.ca }) };
		await assertServes(torture, "before");
		t.diagnostic(JSON.stringify(await all(torture, step)));
		assert.deepEqual(behind.missing(torture.promised), [], "untrue 202");
		assert.equal((await torture.process.stop("SIGTERM")).code, 0);
	}, TIME);

scenario("to the spool: no failure ends it, hangs, or makes an untrue 202", async (stage, t) => {
	const behind = new Counter();
	await behind.listen();
	const { port } = behind;
	await behind.stop();
	const torture = { promised: [], ...await start(stage, behind.url, { FARO_SPOOL_DIR: stage.path("spool"), FARO_REPLAY_RATE: "10000" }) };
	await assertServes(torture, "before");
	t.diagnostic(JSON.stringify(await all(torture, FULL ? 1 : 3)));
	/* Whatever has been promised meanwhile is in there, and arrives. */
	await behind.listen(port);
	stage.after(() => behind.stop());
	for (const end = Date.now() + 120_000; behind.missing(torture.promised).length; await pause(100))
		if (Date.now() > end) assert.deepEqual(behind.missing(torture.promised), [], `of ${torture.promised.length} promised`);
	assert.equal((await torture.process.stop("SIGTERM")).code, 0);
}, TIME);

/* A whole life: settings, labels, one beacon. It says what is missing, and ends as it does for a reason. */
for (const [what, args, stdin, env] of [
	["--print", ["--print"], numbered("x"), { ...FACTS, FARO_ATTR_GEO_COUNTRY_ISO_CODE: "DE" }],
	["-t", ["-t"], undefined, {
		FARO_UPSTREAM_URL: "http://127.0.0.1:1", FARO_ALLOWED_ORIGINS: "https://a.example,https://b.example:8443",
		FARO_APP_NAMES: "a,b,c", FARO_LABEL_ATTRIBUTES: "k8s.cluster.name", FARO_SPOOL_DIR: "/nonexistent",
		...FACTS, FARO_CLIENT_ADDRESS: "masked",
	}],
])
	scenario(`${what} with every allocation failing in turn: an exit status, never a signal`, async (stage, t) => {
		const { control, env: preload } = await shim(stage);
		const run = (at, forEver) => {
			control.arm(ALLOCATIONS, at, { forEver });
			return stage.finish(`faro-ingest ${what}, allocation ${at}`, ingestBinary, args, {
				env: { ...ingestEnv(undefined, { OTEL_RESOURCE_ATTRIBUTES: "service.name=a,k8s.cluster.name=b", ...env }), ...preload },
				stdin,
			});
		};
		const untouched = await run(1_000_000, false);
		assert.equal(untouched.code, 0, untouched.stderr);
		const count = control.get("counted");
		for (let at = 1; at <= count; at += FULL ? 1 : 3) {
			for (const forEver of [false, true]) {
				const { code, signal, stdout, stderr } = await run(at, forEver);
				assert.equal(signal, null, `allocation ${at}: ${stderr}`);
				assert.ok([0, 1, 2].includes(code), `allocation ${at}: ${code}`);
				if (code === 0 && what === "--print") assert.deepEqual(stdout, untouched.stdout, `allocation ${at}`);
			}
			stage.processes.length = 0;
		}
		t.diagnostic(`${count} allocations`);
	}, TIME);
