// SPDX-License-Identifier: Apache-2.0
/*
 * The EXAMPLES of the manual pages, as printed, with the binaries that are under test: faro-sink stands behind the name
 * alloy, and a recorded beacon is beacon.json. Those that serve until they are told to stop are started, and stopped when
 * they say that they serve.
 */
import assert from "node:assert/strict";
import { copyFileSync, mkdirSync, readFileSync, readdirSync } from "node:fs";
import { dirname, join } from "node:path";

import { ingestBinary, root, scenario, sinkBinary } from "../system/lib/stage.mjs";
import { smallBeacon, startIngest } from "../system/lib/faro.mjs";
import { beaconParams, FastcgiClient } from "../system/lib/fastcgi.mjs";
import { listed, literalBlocks } from "./lib/documents.mjs";
import { runHere } from "./lib/machine.mjs";

const page = (name) => readFileSync(join(root, "man", name), "utf8");
const PATH = `${dirname(ingestBinary)}:${dirname(sinkBinary)}:${process.env.PATH}`;

/* Whose first word of stderr says that they serve. */
const SERVING = [[/ --listen unix:/, "event=started"], [/^faro-sink --status /, "listening on"]];

function asScript(text) {
	const [, serving] = SERVING.find(([command]) => command.test(text)) ?? [];
	if (!serving) return text;
	const quoted = `'${text.trim().replaceAll("'", "'\\''")}'`;
	return `bash -c ${quoted} 2>said & server=$!
until grep -q '${serving}' said; do kill -0 $server; sleep 0.1; done
kill $server; wait $server`;
}

async function run(stage, name, text, before = "") {
	const cwd = stage.path("work");
	mkdirSync(cwd, { recursive: true });
	copyFileSync(join(root, "examples/beacons/errors-2.12.json"), join(cwd, "beacon.json"));
	const shell = runHere(stage, name, ["mkdir /run/faro", before, asScript(text)], { cwd, env: { PATH }, hosts: ["alloy"] });
	const { code } = await shell.closed;
	assert.equal(code, 0, `${text}${shell.stdout}${shell.stderr}`);
	return shell.stdout.toString();
}

scenario("faro-ingest(8): each example", async (stage) => {
	const [print, serve, check, ...others] = literalBlocks(page("faro-ingest.8"), "EXAMPLES");
	assert.deepEqual(others, []);
	assert.match(await run(stage, "print", print), /^\{"meta":\{.*"name":"shop"/);
	await run(stage, "serve", serve);
	assert.match(await run(stage, "check", check, "faro-sink --quiet 2>sink & until grep -q listening sink; do sleep 0.1; done"), /^finding +ok/m);
});

scenario("faro-ingest(8): the metrics, each with its label, are those on the page", async (stage) => {
	const ingest = await startIngest(stage, "http://127.0.0.1:1");
	const client = await FastcgiClient.open(ingest.socket);
	stage.after(() => client.close());
	await client.send(beaconParams(2), Buffer.from("[]"));
	const { text } = await client.send({ FARO_ENDPOINT: "metrics", REQUEST_METHOD: "GET" }, Buffer.alloc(0));
	const families = [...text.matchAll(/^# TYPE faro_ingest_(\w+)/gm)].map(([, name]) => {
		const label = new RegExp(`^faro_ingest_${name}\\{(\\w+)=`, "m").exec(text)?.[1];
		return label ? `${name}{${label}}` : name;
	});
	assert.deepEqual(listed(page("faro-ingest.8"), "Each family", "End of the families"), families.sort());
});

/* Names stand behind a level, or are made of the reasons of the list of verdicts; a browser's are rejected_REASON. */
scenario("faro-ingest(8): the events are those of the source", async () => {
	const names = new Set(["rejected_*"]);
	for (const file of readdirSync(join(root, "src"), { recursive: true }).filter((name) => /^(?!sink\/).*\.c$/.test(name))) {
		const text = readFileSync(join(root, "src", file), "utf8");
		for (const [, ...found] of text.matchAll(/LOG_(?:DEBUG|INFO|WARN|ERROR),\s*(?:\w+ \? )?"([a-z_]+)"(?:\s*:\s*"([a-z_]+)")?/g))
			for (const name of found) if (name) names.add(name);
	}
	const verdicts = readFileSync(join(root, "src/base/verdict_list.h"), "utf8");
	for (const [, kind, reason] of verdicts.matchAll(/^(UPSTREAM|OWN)_VERDICT\(\s*\w+,\s*\w+,\s*"([a-z_]+)"/gm))
		names.add(kind === "UPSTREAM" ? `upstream_${reason}` : reason);
	assert.deepEqual(listed(page("faro-ingest.8"), "Each event", "End of the events"), [...names].sort());
});

scenario("faro-sink(1): each example", async (stage) => {
	const [take, overloaded, ...others] = literalBlocks(page("faro-sink.1"), "EXAMPLES");
	assert.deepEqual(others, []);
	assert.match(await run(stage, "take", take), /kind=log message=hello/);
	await run(stage, "overloaded", overloaded);
});

scenario("faro-ingest(8): looking into a spool that is in use", async (stage) => {
	const [look, ...others] = literalBlocks(page("faro-ingest.8"), "SPOOL");
	assert.deepEqual(others, []);
	const spool = stage.path("spool");
	const ingest = await startIngest(stage, "http://127.0.0.1:1", { env: { FARO_SPOOL_DIR: spool } });
	const client = await FastcgiClient.open(ingest.socket);
	stage.after(() => client.close());
	assert.equal((await client.send(beaconParams(smallBeacon.length), smallBeacon)).status, 202);
	const { code, stdout, stderr } = await stage.finish("sqlite3", "bash", ["-e", "-c", look], { cwd: spool });
	assert.equal(code, 0, stderr);
	assert.match(stdout.toString(), /\|\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\|\d+\|\d+\|\{"meta":.*"message":"hello"/);
});
