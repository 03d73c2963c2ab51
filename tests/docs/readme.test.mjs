// SPDX-License-Identifier: Apache-2.0
/*
 * A newcomer's path: the commands of the README, then of the quick start, in a fresh clone, each as printed. The clone has what is
 * committed, nothing else. Those that begin with ./dev or autoreconf need the network and run as they are; the others
 * follow in one shell, on a machine of its own, with what the former built.
 *
 * Special: ./dev demo runs until Ctrl-C, so its page is fetched, then it gets a SIGINT. ./dev check is among what runs this, so
 * it is the one command that is not run.
 */
import assert from "node:assert/strict";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";

import { root, scenario } from "../system/lib/stage.mjs";
import { shellBlocks } from "./lib/documents.mjs";
import { runHere } from "./lib/machine.mjs";

const MINUTE = 60_000;

/* What a newcomer has: none of the variables by which ./dev and the runner of tests tell things to us. */
const env = Object.fromEntries(Object.entries(process.env).filter(([name]) => !/^(FARO|NODE)_/.test(name)));

async function clone(stage) {
	const dir = stage.path("clone");
	const { code, stderr } = await stage.finish("git clone", "git", ["clone", "-q", `file://${root}`, dir], { env });
	assert.equal(code, 0, `a clone of a repository is needed: ${stderr}`);
	return dir;
}

async function runDemo(stage, cwd, text) {
	const demo = stage.run(text.trim(), "bash", ["-e", "-c", text], { cwd, env, lastSignal: "SIGINT" });
	const [, url] = await demo.said(/Now open (http:\S+)/);
	assert.match(await (await fetch(url)).text(), /faro-ingest demo/);
	demo.signal("SIGINT");
	assert.deepEqual(await demo.closed, { code: 0, signal: null });
	assert.match(demo.stdout.toString(), /^   exception +shop +retail /m);
}

async function runAsIs(stage, cwd, text) {
	const { code, stderr, stdout } = await stage.finish(text.trim(), "bash", ["-e", "-c", text], { cwd, env });
	assert.equal(code, 0, `${text}${stdout}${stderr}`);
}

scenario("every command of the README and the quick start, as printed, in a fresh clone", async (stage) => {
	const cwd = await clone(stage);
	const blocks = ["README.md", "docs/QUICKSTART.md"].flatMap((page) => shellBlocks(page, readFileSync(join(cwd, page), "utf8")));
	const session = [];
	let checks = 0;

	for (const text of blocks) {
		if (text === "./dev check\n") checks++;
		else if (text === "./dev demo\n") await runDemo(stage, cwd, text);
		else if (/^(\.\/dev |autoreconf )/.test(text)) await runAsIs(stage, cwd, text);
		else session.push(text);
	}
	assert.equal(checks, 1);
	assert.ok(existsSync(join(cwd, "root/usr/local/sbin/faro-ingest")));

	const shell = runHere(stage, "session", session, { cwd });
	const { code } = await shell.closed;
	const said = shell.stdout.toString();
	assert.equal(code, 0, said);
	/* --print, --check, --send, nginx with curl, /metrics, CGI. */
	assert.match(said, /^\{"meta":\{.*"namespace":"retail"/m);
	assert.match(said, /^finding +ok: /m);
	assert.match(said, /kind=log .*message="faro-ingest --check --send: a test".* app_name=shop app_namespace=retail/);
	assert.match(said, /^HTTP\/1\.1 202 /m);
	assert.match(said, /kind=log message=hello .*app_name=shop/);
	assert.match(said, /^faro_ingest_requests_total\{code="202"\} 1$/m);
	assert.match(said, /^Status: 202/m);
}, { timeout: 30 * MINUTE });
