// SPDX-License-Identifier: Apache-2.0
/* As a CGI program: one beacon from the environment and stdin, then the end. */
import assert from "node:assert/strict";

import { beaconParams, parseCgi } from "./lib/fastcgi.mjs";
import { ingestEnv, runCgi, smallBeacon } from "./lib/faro.mjs";
import { receiver } from "./lib/receiver.mjs";
import { ingestBinary, scenario } from "./lib/stage.mjs";

const variables = { ...beaconParams(smallBeacon.length), CONTENT_LENGTH: String(smallBeacon.length) };

/* A CGI server need not close the pipe behind the body, and may have more in it. */
scenario("nothing is read beyond CONTENT_LENGTH, and no end of stdin is waited for", async (stage) => {
	const behind = await receiver(stage);
	assert.equal(parseCgi((await runCgi(stage, behind.url, variables, smallBeacon)).stdout).status, 202);
	const plain = behind.last.body;
	for (const more of ["", "POST /another"]) {
		const process = stage.run("faro-ingest as CGI", ingestBinary, [],
			{ env: { ...ingestEnv(behind.url), ...variables }, stdio: ["pipe", "pipe", "pipe"] });
		process.child.stdin.on("error", () => {});
		process.child.stdin.write(Buffer.concat([smallBeacon, Buffer.from(more)]));
		assert.deepEqual(await process.closed, { code: 0, signal: null });
		assert.equal(parseCgi(process.stdout).status, 202, more);
		assert.deepEqual(behind.last.body, plain);
	}
	assert.equal(behind.requests.length, 3);
});

scenario("the three headers that are passed on reach the receiver from a CGI program too", async (stage) => {
	const behind = await receiver(stage);
	const passed = {
		"x-faro-session-id": "Fededwvm4e", "idempotency-key": "0190c0de-1111-7222-8333-444455556666",
		traceparent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
	};
	const more = Object.fromEntries(Object.entries(passed)
		.map(([name, value]) => [`HTTP_${name.toUpperCase().replaceAll("-", "_")}`, value]));
	const { stdout } = await runCgi(stage, behind.url, { ...variables, ...more }, smallBeacon);
	assert.equal(parseCgi(stdout).status, 202);
	for (const [name, value] of Object.entries(passed)) assert.equal(behind.last.headers[name], value);
});

scenario("a web server that is gone before the reply: relayed, and ended by no signal", async (stage) => {
	const behind = await receiver(stage);
	const process = stage.run("faro-ingest as CGI", ingestBinary, [],
		{ env: { ...ingestEnv(behind.url), ...variables }, stdio: ["pipe", "pipe", "pipe"] });
	process.child.stdout.destroy();
	process.child.stdin.end(smallBeacon);
	assert.deepEqual(await process.closed, { code: 1, signal: null });
	assert.match(process.stderr, /event=reply_not_taken .*error="?Broken pipe/);
	assert.equal(behind.requests.length, 1);
});
