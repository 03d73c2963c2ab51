// SPDX-License-Identifier: Apache-2.0
/* The recorded beacons, labelled by faro-ingest, as the lines that faro-sink prints for them. */
import { readdirSync } from "node:fs";

import { post } from "../../system/lib/client.mjs";
import { beacon, runIngest } from "../../system/lib/faro.mjs";
import { sinkBinary } from "../../system/lib/stage.mjs";
import { example } from "./examples.mjs";

const identity = {
	OTEL_SERVICE_NAME: "shop",
	OTEL_RESOURCE_ATTRIBUTES: "service.namespace=retail,deployment.environment.name=prod",
};

/* A line's fields; enough of logfmt for what is quoted as JSON would. */
export function fields(line) {
	return Object.fromEntries([...line.matchAll(/([^\s=]+)=("(?:[^"\\]|\\.)*"|\S*)/g)].map(([, key, value]) =>
		[key, value[0] === '"' ? JSON.parse(value) : value]));
}

/* Sends bodies as faro-ingest labels them; the lines that the sink printed, spans' among them. */
export async function linesOf(stage, bodies, env = identity) {
	const sink = stage.run("faro-sink", sinkBinary, ["--listen", "127.0.0.1:0"]);
	const [, port] = await sink.line(/listening on http:\S+:(\d+)/);
	for (const body of bodies) {
		const { code, stdout, stderr } = await runIngest(stage, ["--print"], { env, stdin: body });
		if (code !== 0) throw new Error(`--print: ${stderr}`);
		const { status, text } = await post(port, stdout, {}, { path: "/collect" });
		if (status !== 202) throw new Error(`faro-sink answered ${status}: ${text}`);
	}
	await sink.stop();
	return sink.stdout.toString().split("\n").filter(Boolean);
}

export const recorded = () => readdirSync(example("beacons"))
	.filter((name) => /^(?!headers).*\.json$/.test(name)).map((name) => beacon(name));
