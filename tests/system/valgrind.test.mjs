// SPDX-License-Identifier: Apache-2.0
/* One beacon and one process, as CGI has it: valgrind sees every byte of its life, also what sanitizers
 * do not, such as what libraries leave behind. */
import assert from "node:assert/strict";
import { gzipSync } from "node:zlib";

import { beaconParams, parseCgi } from "./lib/fastcgi.mjs";
import { ingestEnv, smallBeacon } from "./lib/faro.mjs";
import { receiver } from "./lib/receiver.mjs";
import { ingestBinary, scenario } from "./lib/stage.mjs";

const VALGRIND = ["--quiet", "--leak-check=full", "--show-leak-kinds=definite,indirect,possible",
	"--errors-for-leak-kinds=definite,indirect,possible",
	"--error-exitcode=99", "--"];

const packed = gzipSync(smallBeacon);
const damaged = Buffer.from(packed);
damaged[damaged.length - 6] ^= 1;
const traces = Buffer.from('{"meta":{"app":{"name":"x"}},"traces":{"resourceSpans":[{"resource":{"attributes":' +
	'[{"key":"service.name","value":{"stringValue":"evil"}}]},"scopeSpans":[]},{}]}}');

for (const [what, body, more, status] of [
	["a beacon", smallBeacon, {}, 202],
	["a beacon in gzip", packed, { HTTP_CONTENT_ENCODING: "gzip" }, 202],
	["spans, and every header that is passed on", traces, {
		HTTP_X_FARO_SESSION_ID: "s1", HTTP_IDEMPOTENCY_KEY: "k1",
		HTTP_TRACEPARENT: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
	}, 202],
	["a damaged gzip", damaged, { HTTP_CONTENT_ENCODING: "gzip" }, 400],
	["bad JSON", smallBeacon.subarray(0, -2), {}, 400],
	["less than was declared", smallBeacon.subarray(0, 20), { CONTENT_LENGTH: 100 }, 400],
])
	scenario(`valgrind, CGI: ${what}: ${status}, and nothing to report`, async (stage) => {
		const behind = await receiver(stage);
		const { code, stdout, stderr } = await stage.finish("valgrind", "valgrind", [...VALGRIND, ingestBinary], {
			env: { ...ingestEnv(behind.url), ...beaconParams(body.length, more) }, stdin: body,
		});
		assert.equal(parseCgi(stdout).status, status, stderr);
		assert.doesNotMatch(stderr, /^==\d+==/m);
		assert.notEqual(code, 99);
		assert.equal(behind.requests.length, status === 202 ? 1 : 0);
	});

scenario("valgrind, CGI: a receiver that is not there: 503, and nothing to report", async (stage) => {
	const behind = await receiver(stage);
	await behind.stop();
	const { code, stdout, stderr } = await stage.finish("valgrind", "valgrind", [...VALGRIND, ingestBinary], {
		env: { ...ingestEnv(behind.url), ...beaconParams(smallBeacon.length) }, stdin: smallBeacon,
	});
	assert.equal(parseCgi(stdout).status, 503, stderr);
	assert.doesNotMatch(stderr, /^==\d+==/m);
	assert.notEqual(code, 99);
});
