// SPDX-License-Identifier: Apache-2.0
/*
 * The README's first command on a Debian that has nothing yet, in a fresh clone of what is committed: to the page, and
 * to Ctrl-C, after which nothing is left. On Debian 12 as a user with sudo, on Debian 13 as root.
 */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";

import { shellBlocks } from "../docs/lib/documents.mjs";
import { root, scenario } from "../system/lib/stage.mjs";
import { Machine } from "./lib/machine.mjs";

const MINUTE = 60_000;

/* What the packages may take: a little more than on the day it was written. */
const MOST_MIB = { bookworm: 250, trixie: 295 };

const VISITORS = {
	root: { who: "0:0", home: "/root" },
	"a user with sudo": { who: "1000:1000", home: "/home/visitor" },
};

/* The command as a person's shell runs it, and what is there when it has ended. */
const session = (command) => ["bash", "-c", `
cd ~/faro-ingest
${command.trim()}
echo "ended with $?"
for process in /proc/[0-9]*; do echo "left: process \${process#/proc/} $(cat $process/comm)"; done
find ~ /tmp /var/tmp /run /dev/shm -mindepth 1 -path ~/faro-ingest -prune -o -newer ~/before -type f -print -o -newer ~/before -type s -print |
	sed 's/^/left: /'`];

async function settle(machine, visitor) {
	const { who, home } = VISITORS[visitor];
	if (visitor !== "root") {
		await machine.finish("sudo", ["bash", "-e", "-c",
			"apt-get update -qq && apt-get install -qq -y --no-install-recommends sudo >/dev/null && useradd -m -u 1000 visitor"]);
		machine.write("/etc/sudoers.d/visitor", "visitor ALL=(ALL) NOPASSWD: ALL\n");
	}
	execFileSync("git", ["clone", "-q", `file://${root}`, join(machine.dir, home, "faro-ingest")], { stdio: ["ignore", "ignore", "pipe"] });
	await machine.finish("chown", ["chown", "-R", who, home]);
	machine.write(join(home, "before"), "");
}

async function visit(stage, t, suite, visitor) {
	const machine = new Machine(stage, suite);
	await settle(machine, visitor);
	const before = await machine.installedMiB();
	const [command] = shellBlocks("README.md", readFileSync(join(root, "README.md"), "utf8"));
	assert.equal(command, "./dev demo\n");

	const started = Date.now();
	const demo = machine.run(command.trim(), session(command), VISITORS[visitor]);
	const [said, url] = await demo.said(/^[^]*Now open (http:\S+)/);
	const seconds = Math.round((Date.now() - started) / 1000);
	assert.ok(said.split("\n").length <= 60, said);
	assert.match(await (await fetch(url)).text(), /faro-ingest demo/);
	for (const path of ["faro/config.js", "sdk/faro-web-sdk.iife.js", "sdk/faro-web-tracing.iife.js"])
		assert.equal((await fetch(url + path)).status, 200, path);
	assert.match(await (await fetch(`${url}demo/lines`)).text(), /kind=span .*resource_service\.name=shop/);

	process.kill(-demo.child.pid, "SIGINT");
	await demo.closed;
	const after = demo.stdout.toString().slice(said.length);
	assert.match(after, /^ended with 0$/m, after + demo.stderr);
	assert.deepEqual(after.match(/^left: .*$/gm), ["left: process 1 bash"]); // the shell itself
	await assert.rejects(fetch(url));
	await assert.rejects(fetch(url.replace(/\d+(?=[/]$)/, (port) => Number(port) + 1)));
	const changes = execFileSync("git", ["-c", "safe.directory=*", "status", "--porcelain"],
		{ cwd: join(machine.dir, VISITORS[visitor].home, "faro-ingest"), encoding: "utf8" });
	assert.equal(changes, "");

	const added = Math.round(await machine.installedMiB() - before);
	t.diagnostic(`${suite} as ${visitor}: ${seconds} s, ${added} MiB of packages`);
	assert.ok(added <= MOST_MIB[suite], `${added} MiB`);
}

for (const [suite, visitor] of [["bookworm", "a user with sudo"], ["trixie", "root"]])
	scenario(`./dev demo on a minimal ${suite} as ${visitor}: to the page, and nothing is left`,
		(stage, t) => visit(stage, t, suite, visitor), { timeout: 15 * MINUTE });
