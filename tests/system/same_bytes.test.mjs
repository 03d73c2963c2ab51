// SPDX-License-Identifier: Apache-2.0
/* The same beacon gives the same bytes, whoever carries it and however it is packed. */
import assert from "node:assert/strict";
import { chmodSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";

import { post } from "./lib/client.mjs";
import { parseCgi } from "./lib/fastcgi.mjs";
import {
	beacon, codingHeaders, codings, ingestEnv, runCgi, runIngest, startIngest, startSink, startSpawned,
} from "./lib/faro.mjs";
import { nginx, replace } from "./lib/nginx.mjs";
import { ingestBinary, root, scenario } from "./lib/stage.mjs";

/* Recorded from the real SDK. */
const names = readdirSync(join(root, "examples/beacons"))
	.filter((name) => name.endsWith(".json") && name !== "headers.json").sort();

const env = {
	OTEL_RESOURCE_ATTRIBUTES: "service.namespace=web,deployment.environment.name=test,k8s.cluster.name=blue",
	FARO_LABEL_ATTRIBUTES: "k8s.cluster.name",
};

/* fcgiwrap gives a program the request's variables and nothing else, so a script adds the settings. */
function writeCgiScript(stage, url) {
	const script = stage.path("faro-ingest.cgi");
	const settings = Object.entries(ingestEnv(url, env)).map(([name, value]) => `export ${name}='${value}'\n`);
	writeFileSync(script, `#!/bin/sh\n${settings.join("")}exec '${ingestBinary}'\n`);
	chmodSync(script, 0o755);
	return script;
}

async function startFcgiwrap(stage, url) {
	const socket = stage.path("fcgiwrap.sock");
	const script = writeCgiScript(stage, url);
	const { code, stderr } = await stage.finish("spawn-fcgi fcgiwrap", "spawn-fcgi",
		["-P", stage.path("fcgiwrap.pid"), "-M", "0666", "-s", socket, "--", "/usr/sbin/fcgiwrap"]);
	assert.equal(code, 0, stderr);
	stage.after(() => stage.finish("stop fcgiwrap", "sh", ["-c", `kill $(cat ${stage.path("fcgiwrap.pid")})`]));
	return nginx(stage, {
		socket, name: "nginx-fcgiwrap",
		/* It serves one connection at a time, so none may be kept. */
		edit: (name, text) => (name === "faro-location.conf"
			? replace(text, "fastcgi_keep_conn on;", `fastcgi_keep_conn off;\n\tfastcgi_param SCRIPT_FILENAME ${script};`)
			: text),
	});
}

/* Every way to hand over a body: (body, coding header) → nothing; the sink has it afterwards. */
async function waysToRelay(stage, url) {
	const own = await nginx(stage, { socket: (await startIngest(stage, url, { env })).socket, name: "nginx-own" });
	const spawned = await nginx(stage, { socket: (await startSpawned(stage, url, { env })).socket, name: "nginx-spawned" });
	const wrapped = await startFcgiwrap(stage, url);
	const through = (server) => async (body, headers) => {
		const reply = await post(server.port, body, headers);
		assert.equal(reply.status, 202, reply.text);
		assert.equal(reply.text, "ok");
	};
	return {
		"own listener": through(own),
		"spawn-fcgi": through(spawned),
		fcgiwrap: through(wrapped),
		CGI: async (body, headers) => {
			const variables = {
				GATEWAY_INTERFACE: "CGI/1.1", REQUEST_METHOD: "POST", SCRIPT_NAME: "/faro", PATH_INFO: "/collect",
				CONTENT_TYPE: "application/json", CONTENT_LENGTH: String(body.length), SERVER_PROTOCOL: "HTTP/1.1",
				HTTP_CONTENT_ENCODING: headers["Content-Encoding"] ?? "",
			};
			const { code, stdout, stderr } = await runCgi(stage, url, variables, body, env);
			assert.equal(code, 0, stderr);
			const reply = parseCgi(stdout);
			assert.equal(reply.status, 202, reply.text);
		},
	};
}

scenario("own listener, spawn-fcgi, fcgiwrap, CGI and --print give the same bytes for every coding", async (stage) => {
	/* Whatever it thinks of them: cJSON refuses a lone surrogate, which the real receiver takes. */
	const sink = await startSink(stage, ["--status", "202"]);
	const ways = await waysToRelay(stage, sink.url);
	assert.ok(names.length > 0, "examples/beacons is empty");
	let count = 0;
	for (const name of names) {
		const body = beacon(name);
		const printed = await runIngest(stage, ["--print"], { env: ingestEnv(undefined, env), stdin: body });
		assert.equal(printed.code, 0, printed.stderr);
		const labelled = printed.stdout;
		assert.equal(JSON.parse(labelled).meta.app.namespace, "web");
		assert.notDeepEqual(labelled, body);
		for (const [way, relay] of Object.entries(ways))
			for (const [packing, coding] of Object.entries(codings)) {
				await relay(coding.encode(body), codingHeaders(coding));
				const bodies = sink.bodies();
				assert.equal(bodies.length, ++count, "one relay a beacon");
				assert.ok(bodies.at(-1).equals(labelled), `${name}, ${packing}, ${way}`);
			}
	}
}, { timeout: 240_000 });

scenario("--print inflates what says that it is gzip, by variable or by its first bytes", async (stage) => {
	const body = beacon(names[0]);
	const print = async (stdin, more) => {
		const result = await runIngest(stage, ["--print"], { env: ingestEnv(undefined, more), stdin });
		assert.equal(result.code, 0, result.stderr);
		return result.stdout;
	};
	const labelled = await print(body);
	assert.ok((await print(codings.gzip.encode(body))).equals(labelled));
	for (const coding of Object.values(codings))
		assert.ok((await print(coding.encode(body), { HTTP_CONTENT_ENCODING: coding.header ?? "" })).equals(labelled));
});

scenario("--print says what is wrong with a beacon, and where, and exits 1", async (stage) => {
	for (const [stdin, reason] of [["", "empty"], ['{"meta":', "bad_json"], ['{"meta":{},"meta":{}}', "ambiguous_key"]]) {
		const { code, stdout, stderr } = await runIngest(stage, ["--print"], { env: ingestEnv(), stdin });
		assert.equal(code, 1);
		assert.equal(stdout.length, 0);
		assert.match(stderr, new RegExp(`${reason}: .`));
	}
});
