// SPDX-License-Identifier: Apache-2.0
/* faro-ingest --supervise: nginx, or any command, and the responder beside it. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import {
	chmodSync, closeSync, copyFileSync, mkdirSync, openSync, readFileSync, readdirSync, rmSync, writeFileSync, writeSync,
} from "node:fs";

import { eventually, pause, sendOne } from "./lib/beacons.mjs";
import { get, post } from "./lib/client.mjs";
import { ingestEnv, smallBeacon } from "./lib/faro.mjs";
import { mainConfig, makeDirectory, replace, snippet } from "./lib/nginx.mjs";
import { suspend } from "./lib/process.mjs";
import { receiver } from "./lib/receiver.mjs";
import { PRE_STOP_MS, RATES, sendSteadily } from "./lib/shutdown.mjs";
import { freePort, ingestBinary, scenario } from "./lib/stage.mjs";

const FORWARDED = ["TERM", "INT", "QUIT", "HUP", "USR1", "USR2", "WINCH"];
const uid = process.getuid();

/* Where the responder, which is nobody if we are root, may make its socket. */
function makeRun(stage) {
	const dir = stage.path("run");
	mkdirSync(dir);
	chmodSync(dir, 0o777);
	return { FARO_SOCKET: `${dir}/faro.sock` };
}

function supervise(stage, upstreamUrl, command, { args = [], env, binary = ingestBinary, under = [], ...options } = {}) {
	const place = makeRun(stage);
	const words = [...under, binary, "--supervise", "--listen-mode=0666", ...args, "--", ...command];
	const process = stage.run("faro-ingest --supervise", words[0], words.slice(1),
		{ env: { ...ingestEnv(upstreamUrl, env), ...place }, lastSignal: "SIGTERM", ...options });
	return { process, pid: process.child.pid, socket: place.FARO_SOCKET };
}

/* Waits for a line on a FIFO, and for signals, whose names it writes; a line ends it with that status. */
function patientCommand(stage) {
	const fifo = stage.path("fifo");
	execFileSync("mkfifo", [fifo]);
	const traps = FORWARDED.map((name) => `trap 'echo got ${name}' ${name}`).join("\n");
	const end = openSync(fifo, "r+");
	stage.after(() => {
		writeSync(end, "0\n"); // no signal ends it
		closeSync(end);
	});
	const script = `${traps}\nexec 3<>${fifo}\necho ready\nuntil read status <&3; do :; done\nexit $status`;
	return { command: ["sh", "-c", script], end: (status) => writeSync(end, `${status}\n`) };
}

function processes() {
	return readdirSync("/proc").filter((name) => /^\d+$/.test(name)).flatMap((pid) => {
		try {
			const [state, parent] = readFileSync(`/proc/${pid}/stat`, "utf8").replace(/.*\) /s, "").split(" ");
			return [{ pid: Number(pid), state, parent: Number(parent) }];
		} catch {
			return []; // it has ended meanwhile
		}
	});
}

const children = (parent) => processes().filter((process) => process.parent === parent).map(({ pid }) => pid);

const commandLine = (pid) => readFileSync(`/proc/${pid}/cmdline`, "utf8").split("\0");

function field(pid, name) {
	return new RegExp(`^${name}:[ \t]*(.*)$`, "m").exec(readFileSync(`/proc/${pid}/status`, "utf8"))[1];
}

/* The responder is the child that was told to listen. */
const responderOf = (pid) => eventually("responder", () =>
	children(pid).find((child) => commandLine(child).some((word) => word.startsWith("--listen="))));

async function supervisedNginx(stage, upstreamUrl, options = {}) {
	const dir = makeDirectory(stage, "nginx");
	const port = await freePort();
	writeFileSync(`${dir}/config.js`, snippet("config.js"));
	writeFileSync(`${dir}/faro-http.conf`, replace(snippet("faro-http.conf"), "/run/faro-ingest/faro.sock", stage.path("run/faro.sock")));
	writeFileSync(`${dir}/faro-location.conf`, replace(snippet("faro-location.conf"), "/etc/nginx/faro/config.js", `${dir}/config.js`));
	writeFileSync(`${dir}/nginx.conf`, mainConfig({
		dir, port, http: `include ${dir}/faro-http.conf;`, server: `include ${dir}/faro-location.conf;`,
	}));
	const command = ["nginx", "-p", dir, "-c", `${dir}/nginx.conf`, "-e", "stderr", "-g", "daemon off;"];
	const supervised = supervise(stage, upstreamUrl, command, options);
	await supervised.process.line(/start worker process \d/);
	await supervised.process.line(/event=started/);
	return { ...supervised, port };
}

/* The container's preStop comes before any signal; then its nginx ends, and the responder only after that. */
for (const rate of RATES)
	scenario(`the end of a pod, at ${rate} beacons a second: no answer but 202, and no FARO_DRAIN_DELAY_MS`, async (stage) => {
		const behind = await receiver(stage);
		const supervised = await supervisedNginx(stage, behind.url, { env: { FARO_DRAIN_DELAY_MS: "600000" } });
		const { statuses, gone } = sendSteadily(supervised.port, rate);
		await behind.arrived(1);
		await pause(PRE_STOP_MS);
		assert.deepEqual(await supervised.process.stop("SIGQUIT"), { code: 0, signal: null });
		await gone;
		assert.ok(statuses.length >= Math.floor(rate * PRE_STOP_MS / 1000), `${statuses.length} beacons were answered`);
		assert.deepEqual([...new Set(statuses)], [202]);
		assert.match(supervised.process.stderr, /event=stopped.* unanswered=0/);
		assert.doesNotMatch(supervised.process.stderr, /event=drain_delayed/);
	});

for (const [what, script, expected] of [
	["its status", "exit 7", 7],
	["0", "exit 0", 0],
	["128 + n for a signal", "kill -9 $$", 137],
])
	scenario(`ends with the command, and with ${what}`, async (stage) => {
		const { process } = supervise(stage, "http://127.0.0.1:1", ["sh", "-c", script]);
		assert.deepEqual(await process.closed, { code: expected, signal: null });
		assert.match(process.stderr, /event=command_ended/);
	});

for (const [what, command, expected] of [
	["is not there", "/no/such/command", 127],
	["is not executable", "/etc/passwd", 126],
])
	scenario(`a command that ${what} ends with ${expected}, as in a shell`, async (stage) => {
		const { process } = supervise(stage, "http://127.0.0.1:1", [command]);
		assert.deepEqual(await process.closed, { code: expected, signal: null });
		assert.match(process.stderr, /event=command_not_run .*error=/);
	});

scenario("without FARO_UPSTREAM_URL the command takes the process over", async (stage) => {
	const { process, pid } = supervise(stage, undefined, ["sh", "-c", "echo I am $$; exit 3"]);
	assert.deepEqual(await process.closed, { code: 3, signal: null });
	assert.equal(process.stdout.toString(), `I am ${pid}\n`);
	assert.match(process.stderr, /^[^\n]*level=info event=faro_off [^\n]*\n$/);
});

scenario("without a command it says what is missing", async (stage) => {
	const { code, stderr } = await stage.finish("faro-ingest", ingestBinary, ["--supervise", "nginx"]);
	assert.equal(code, 2);
	assert.match(stderr, /--supervise: expected -- and a command/);
});

scenario("each signal reaches the command, and that alone", async (stage) => {
	const { command, end } = patientCommand(stage);
	const { process, pid } = supervise(stage, "http://127.0.0.1:1", command);
	await process.said(/ready/);
	await process.line(/event=started/);
	const responder = await responderOf(pid);
	for (const name of FORWARDED) {
		process.signal(`SIG${name}`);
		await process.said(new RegExp(`got ${name}\n`));
	}
	assert.equal(process.stdout.toString(), `ready\n${FORWARDED.map((name) => `got ${name}\n`).join("")}`);
	assert.equal(await responderOf(pid), responder);
	assert.doesNotMatch(process.stderr, /event=draining/);
	end(5);
	assert.deepEqual(await process.closed, { code: 5, signal: null });
	assert.match(process.stderr, /event=command_ended[^]*event=draining[^]*event=stopped/);
});

scenario("the command runs in a process as it was started: signals, limits, umask, privileges", async (stage) => {
	const look = ["sh", "-c", "trap '' HUP; exec \"$@\"", "sh"];
	const show = ["sh", "-c", "grep -E '^(Umask|Sig|Shd|NoNewPrivs|Uid|Gid|Groups)' /proc/self/status; cat /proc/self/limits"];
	const direct = await stage.finish("the command itself", look[0], [...look.slice(1), ...show]);
	const { process } = supervise(stage, "http://127.0.0.1:1", show, { under: look });
	assert.equal((await process.closed).code, 0);
	const withoutQueue = (text) => text.toString().replace(/^SigQ.*$/m, "");
	assert.equal(withoutQueue(process.stdout), withoutQueue(direct.stdout));
	assert.match(direct.stdout.toString(), /^NoNewPrivs:\s+0$/m);
});

scenario("a responder that is killed comes back, later each time, and nginx was never away", async (stage) => {
	const behind = await receiver(stage);
	const { process, pid, port } = await supervisedNginx(stage, behind.url);
	const [nginxPid] = children(pid).filter((child) => /^nginx/.test(commandLine(child)[0]));
	let asked = 0, stop = false;
	const page = (async () => {
		for (; !stop; asked++) assert.equal((await get(port, "/")).status, 200);
	})();
	for (let i = 1; i <= 3; i++) {
		assert.equal((await post(port, smallBeacon)).status, 202);
		globalThis.process.kill(await responderOf(pid), "SIGKILL");
		await process.line(new RegExp(`(event=responder_ended[^]*){${i}}(event=started)`));
	}
	assert.equal((await post(port, smallBeacon)).status, 202);
	stop = true;
	await page;
	assert.ok(asked > 0);
	assert.deepEqual([...process.stderr.matchAll(/signal=9 .*again_in_ms=(\d+)/g)].map(([, ms]) => ms), ["100", "200", "400"]);
	assert.ok(children(pid).includes(nginxPid));
});

scenario("wrong settings: the command runs, the responder says why, and is not asked again at once", async (stage) => {
	const { command, end } = patientCommand(stage);
	const { process, pid } = supervise(stage, "ftp://alloy", command, { args: ["--no-such-option"] });
	await process.line(/FARO_UPSTREAM_URL=ftp:\/\/alloy: expected[^]*event=responder_refused .*again_in_ms=60000/);
	assert.match(process.stderr, /--no-such-option: unknown option/);
	await process.said(/ready/);
	assert.equal(children(pid).length, 1);
	end(0);
	assert.deepEqual(await process.closed, { code: 0, signal: null });
	assert.equal(process.stderr.match(/event=responder_refused/g).length, 1);
});

for (const [signal, promise] of [["SIGQUIT", 202], ["SIGTERM", undefined]])
	scenario(`${signal} ends nginx first, then the responder, with 0`, async (stage) => {
		const behind = await receiver(stage);
		behind.status = null;
		const { process, port } = await supervisedNginx(stage, behind.url);
		const reply = post(port, smallBeacon).catch(() => ({}));
		const request = await behind.arrived(1);
		process.signal(signal);
		await process.line(signal === "SIGQUIT" ? /gracefully shutting down/ : /event=command_ended/);
		if (signal === "SIGQUIT") assert.doesNotMatch(process.stderr, /event=(command_ended|draining)/);
		request.answer();
		/* A graceful stop waits for what is in flight; the responder is there until then. */
		assert.equal((await reply).status, promise);
		assert.deepEqual(await process.closed, { code: 0, signal: null });
		assert.match(process.stderr, /event=command_ended[^]*event=draining[^]*event=stopped/);
	});

scenario("a responder that does not end is killed after its drain time", async (stage) => {
	const { command, end } = patientCommand(stage);
	const { process, pid } = supervise(stage, "http://127.0.0.1:1", command, { env: { FARO_DRAIN_TIMEOUT_MS: "100" } });
	await process.line(/event=started/);
	await suspend(await responderOf(pid));
	end(4);
	assert.deepEqual(await process.closed, { code: 4, signal: null });
	assert.match(process.stderr, /event=command_ended[^]*event=responder_killed/);
});

scenario("who kills the parent ends the responder, and leaves the command alone", async (stage) => {
	const { command, end } = patientCommand(stage);
	const { process, pid } = supervise(stage, "http://127.0.0.1:1", command);
	await process.said(/ready/);
	await process.line(/event=started/);
	const responder = await responderOf(pid);
	const [rest] = children(pid).filter((child) => child !== responder);
	process.signal("SIGKILL");
	await process.line(/event=stopped/);
	assert.match(commandLine(rest)[0], /sh$/);
	end(0);
	await process.closed;
});

scenario("the responder comes back although its file was replaced", async (stage) => {
	const behind = await receiver(stage);
	const binary = stage.path("faro-ingest");
	copyFileSync(ingestBinary, binary);
	const { command } = patientCommand(stage);
	const { process, pid, socket } = supervise(stage, behind.url, command, { binary });
	await process.line(/event=started/);
	rmSync(binary);
	writeFileSync(binary, "#!/bin/sh\necho I am another\n", { mode: 0o755 });
	globalThis.process.kill(await responderOf(pid), "SIGKILL");
	await process.line(/event=responder_ended[^]*event=started/);
	assert.equal((await sendOne(socket, smallBeacon)).status, 202);
});

scenario("the responder is never root, has a group of its own and no terminal's input", async (stage) => {
	const { command, end } = patientCommand(stage);
	const { process, pid } = supervise(stage, "http://127.0.0.1:1", command, { stdin: "" });
	await process.said(/ready/);
	await process.line(/event=started/);
	const responder = await responderOf(pid);
	const expected = Array(4).fill(uid === 0 ? 65534 : uid).join("\t");
	assert.equal(field(responder, "Uid"), expected);
	assert.equal(field(responder, "Name"), "faro-ingest");
	assert.equal(field(responder, "NoNewPrivs"), "1");
	assert.equal(field(pid, "NoNewPrivs"), "0");
	if (uid === 0) assert.equal(field(responder, "Groups").trim(), "");
	const group = (of) => readFileSync(`/proc/${of}/stat`, "utf8").replace(/.*\) /s, "").split(" ")[2];
	assert.equal(group(responder), String(responder));
	assert.notEqual(group(pid), String(responder));
	end(0);
	await process.closed;
});

scenario("Ctrl-C in a terminal reaches the command once, and the responder outlasts it", async (stage) => {
	const { command, end } = patientCommand(stage);
	const env = { ...ingestEnv("http://127.0.0.1:1"), ...makeRun(stage) };
	writeFileSync(stage.path("run.sh"), `exec "$FARO" --supervise -- sh -c '${command[2].replaceAll("'", "'\\''")}'\n`);
	const process = stage.run("a terminal", "script", ["-qefc", `exec sh ${stage.path("run.sh")}`, "/dev/null"],
		{ env: { ...env, FARO: ingestBinary }, stdio: ["pipe", "pipe", "pipe"] });
	/* The command and the responder write on one terminal, in any order. */
	await process.said(/ready/);
	await process.said(/event=started/);
	process.child.stdin.write("\x03");
	await process.said(/got INT/);
	/* Handed on, it would come a second time before this. */
	globalThis.process.kill(children(process.child.pid)[0], "SIGUSR1");
	await process.said(/got USR1/);
	assert.equal(process.stdout.toString().match(/got INT/g).length, 1);
	assert.doesNotMatch(process.stdout.toString(), /event=draining/);
	end(6);
	assert.equal((await process.closed).code, 6);
	assert.match(process.stdout.toString(), /event=command_ended[^]*event=draining[^]*event=stopped/);
});

scenario("as PID 1 it takes in the orphans of others, and no zombie stays", async (stage) => {
	const { command, end } = patientCommand(stage);
	const orphaning = `(sh -c 'read line < ${stage.path("other")}' &)\n`;
	execFileSync("mkfifo", [stage.path("other")]);
	const under = ["unshare", ...(uid === 0 ? [] : ["--user", "--map-root-user"]),
		"--pid", "--fork", "--kill-child", "--mount-proc"];
	const { process, pid } = supervise(stage, "http://127.0.0.1:1", ["sh", "-c", orphaning + command[2]], { under, lastSignal: "SIGKILL" });
	await process.line(/event=started/);
	const [first] = children(pid);
	assert.equal(field(first, "NSpid").split(/\s+/)[1], "1");
	const orphan = await eventually("orphan at PID 1", () =>
		children(first).find((child) => commandLine(child).some((word) => word.startsWith("read line"))));
	globalThis.process.kill(orphan, "SIGKILL");
	await eventually("end of the orphan", () => children(first).length === 2);
	assert.deepEqual(processes().filter(({ parent, state }) => parent === first && state === "Z"), []);
	/* PID 1 is deaf to what it has no handler for; ours hands it on. */
	globalThis.process.kill(first, "SIGTERM");
	await process.said(/got TERM/);
	end(0);
	assert.deepEqual(await process.closed, { code: 0, signal: null });
	assert.match(process.stderr, /event=stopped/);
});
