// SPDX-License-Identifier: Apache-2.0
/* What the process is to others of its machine: its privileges, its memory, its files. */
import assert from "node:assert/strict";
import { chmodSync, copyFileSync, readFileSync, readdirSync, renameSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";

import { counter, eventually, sendOne } from "./lib/beacons.mjs";
import { ingestEnv, smallBeacon, startIngest } from "./lib/faro.mjs";
import { isRoot } from "./lib/nginx.mjs";
import { fileBehind, memoryHolds } from "./lib/process.mjs";
import { ingestBinary, scenario } from "./lib/stage.mjs";
import { makeCertificate } from "./lib/tls.mjs";

const USER = "65534";

/* Root may read everything, so where the tests are root both sides are somebody else. */
const asUser = (command) => (isRoot ? ["setpriv", `--reuid=${USER}`, `--regid=${USER}`, "--clear-groups", ...command] : command);

/* With the widest umask that a parent could leave us. The user may have no way to where it was built. */
function start(stage, args, env) {
	const binary = stage.path("faro-ingest");
	chmodSync(stage.dir, 0o777);
	copyFileSync(ingestBinary, binary);
	const words = asUser(["sh", "-c", 'umask 0; exec "$@"', "sh", binary, ...args]);
	return stage.run("faro-ingest", words[0], words.slice(1), { env: ingestEnv("http://127.0.0.1:1", env) });
}

async function looksAt(stage, pid, file) {
	const words = asUser(["cat", `/proc/${pid}/${file}`]);
	return (await stage.finish(`cat ${file}`, words[0], words.slice(1))).code === 0;
}

const status = (pid, name) =>
	new RegExp(`^${name}:[ \\t]*(.*)$`, "m").exec(readFileSync(`/proc/${pid}/status`, "utf8"))[1];

const mode = (path) => (statSync(path).mode & 0o7777).toString(8);

scenario("it can gain no privileges, and leaves no core file", async (stage) => {
	const process = start(stage, ["--listen", `unix:${stage.path("faro.sock")}`]);
	await process.line(/event=started/);
	assert.equal(status(process.child.pid, "NoNewPrivs"), "1");
	/* The kernel gives what cannot be dumped to root, proc(5): no core file, whatever core_pattern says. */
	assert.equal(statSync(`/proc/${process.child.pid}/environ`).uid, 0);
});

scenario("no other process of its user reads its memory, environment or files", async (stage) => {
	const process = start(stage, ["--listen", `unix:${stage.path("faro.sock")}`]);
	await process.line(/event=started/);
	const words = asUser(["sh", "-c", "echo ready >&2; read line", "sh"]);
	const plain = stage.run("a plain process", words[0], words.slice(1), { stdio: ["pipe", "pipe", "pipe"] });
	await plain.line(/ready/);
	for (const file of ["environ", "maps"]) {
		assert.equal(await looksAt(stage, plain.child.pid, file), true, "the test itself");
		assert.equal(await looksAt(stage, process.child.pid, file), false, file);
	}
	assert.equal(await looksAt(stage, process.child.pid, "fd/0"), false);
	/* What an operator, and the bench, look at. */
	for (const file of ["status", "limits", "stat"]) assert.equal(await looksAt(stage, process.child.pid, file), true, file);
});

scenario("the spool, and what else it makes, is for its owner alone, the socket for whom --listen-mode says", async (stage) => {
	const spool = stage.path("spool"), socket = stage.path("faro.sock");
	const process = start(stage, ["--listen", `unix:${socket}`, "--listen-mode", "0626"], { FARO_SPOOL_DIR: spool });
	await process.line(/event=started/);
	if (isRoot) assert.equal(status(process.child.pid, "Uid").split("\t")[0], USER);
	assert.equal(mode(socket), "626");
	/* Whatever a library writes. */
	assert.equal(status(process.child.pid, "Umask"), "0077");
	assert.equal(mode(spool), "700");
	assert.equal((await sendOne(socket, smallBeacon)).status, 202);
	const files = readdirSync(spool);
	assert.ok(files.includes("spool.db") && files.includes("lock"), String(files));
	for (const name of files) assert.equal(mode(join(spool, name)), "600", name);
});

/* Else the log would go to whom a socket with that number leads. */
scenario("started without standard files: no socket of ours takes their numbers", async (stage) => {
	const behind = await counter(stage);
	const socket = stage.path("faro.sock");
	const { child } = stage.run("faro-ingest", "sh", ["-c", 'exec "$0" "$@" <&- >&- 2>&-', ingestBinary, "--listen", `unix:${socket}`],
		{ env: ingestEnv(behind.url, { FARO_LOG_LEVEL: "debug" }) });
	await eventually("responder", async () => (await sendOne(socket, smallBeacon))?.status === 202);
	for (const descriptor of [0, 1, 2]) assert.equal(fileBehind(child.pid, descriptor), "/dev/null");
});

scenario("the key is in no log line and on no command line", async (stage) => {
	const key = "a-key-that-nobody-shall-see";
	writeFileSync(stage.path("key"), `${key}\n`, { mode: 0o644 });
	const process = start(stage, ["--listen", `unix:${stage.path("faro.sock")}`],
		{ FARO_UPSTREAM_API_KEY_FILE: stage.path("key"), FARO_LOG_LEVEL: "debug" });
	await process.line(/event=started/);
	await sendOne(stage.path("faro.sock"), smallBeacon);
	assert.ok(!readFileSync(`/proc/${process.child.pid}/cmdline`, "utf8").includes(key));
	await process.stop();
	assert.ok(!process.stderr.includes(key));
});

for (const scheme of ["http", "https"])
	scenario(`a replaced key is nowhere in the process (${scheme})`, async (stage) => {
		const certificate = scheme === "https" ? await makeCertificate(stage) : undefined;
		const behind = await counter(stage, () => 202, certificate);
		const file = stage.path("key");
		writeFileSync(file, "the-key-of-yesterday");
		const env = { FARO_WORKERS: "1", FARO_UPSTREAM_API_KEY_FILE: file };
		if (certificate) env.FARO_UPSTREAM_CA_FILE = certificate.ca;
		const { process, socket } = await startIngest(stage, behind.url, { env });
		const holds = (key) => memoryHolds(process.child.pid, key);
		const send = async () => {
			const replies = await Promise.all(Array.from({ length: 8 }, () => sendOne(socket, smallBeacon)));
			for (const reply of replies) assert.equal(reply.status, 202);
		};
		await send();
		assert.ok(holds("the-key-of-yesterday"));
		writeFileSync(stage.path("new"), "another-key-for-today");
		renameSync(stage.path("new"), file);
		await eventually("new key alone", async () => {
			await send();
			return holds("another-key-for-today") && !holds("the-key-of-yesterday");
		});
	});
