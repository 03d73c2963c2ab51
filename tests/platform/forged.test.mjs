// SPDX-License-Identifier: Apache-2.0
/* Keys of the browser that Loki would show as a label of ours. Which characters it overlooks in a key is asked of Loki itself. */
import assert from "node:assert/strict";

import { runIngest } from "../system/lib/faro.mjs";
import { scenario } from "../system/lib/stage.mjs";
import { linesOf } from "./lib/lines.mjs";
import { buildLogql, patient } from "./lib/logql.mjs";

const env = {
	OTEL_SERVICE_NAME: "shop",
	OTEL_RESOURCE_ATTRIBUTES: "service.namespace=retail,k8s.cluster.name=eu-1",
	FARO_LABEL_ATTRIBUTES: "k8s.cluster.name",
};
const timestamp = "2026-01-01T00:00:00Z";

/* Of all characters above ASCII, those that `| logfmt` takes off a key's end; in JSON, some of ASCII as well. */
async function overlooked(logql, parser, lineOf) {
	const characters = [];
	for (let code = parser === "json" ? 0x20 : 0x80; code < 0x30000; code++)
		if (code < 0xd800 || code > 0xdfff) characters.push(String.fromCodePoint(code));
	const entries = characters.map((character, i) => ({ labels: { kind: "log" }, line: lineOf(`x${character}`, i) }));
	const [{ error, series }] = await logql([`sum by (n) (count_over_time({kind="log"} | ${parser} | x="1" [5m]))`], entries);
	assert.equal(error, undefined);
	return Object.keys(series).map((labels) => characters[/n="(\d+)"/.exec(labels)[1]]);
}

scenario("no character that Loki overlooks in a key makes a label of it", async (stage) => {
	const logql = await buildLogql(stage);
	const found = new Set([
		...await overlooked(logql, "logfmt", (key, n) => `n=${n} ${key}=1`),
		...await overlooked(logql, "json", (key, n) => JSON.stringify({ n: String(n), [key]: "1" })),
	]);
	assert.ok(found.size > 15, `${found.size} are overlooked`);

	const sessions = [];
	for (const character of found)
		for (const key of [`k8s_cluster_name${character}`, `\x01k8s_cluster_name${character}`, `k8s.cluster=_name${character}\x7f${character}`])
			sessions.push(JSON.stringify({
				meta: { session: { attributes: { [key]: "forged", plan: "gold" } } }, events: [{ name: "e", timestamp }],
			}));
	const entries = (await linesOf(stage, sessions, env)).map((line) => ({ labels: { kind: "event" }, line }));
	assert.equal(entries.length, sessions.length);
	const shown = ["session_attr_k8s_cluster_name", "app_name", "app_namespace"];
	const by = (...names) => `sum by (${names.join(",")}) (count_over_time({kind="event"} | logfmt [5m]))`;
	const results = await logql([by(...shown), by(shown[0]), `{kind="event"} | logfmt | keep ${shown.join(",")}`], entries);
	for (const { error, series } of results) {
		assert.equal(error, undefined);
		assert.deepEqual(Object.values(series), [entries.length], JSON.stringify(series));
		assert.match(Object.keys(series)[0], /session_attr_k8s_cluster_name="eu-1"/);
	}

	const values = {};
	for (const character of found)
		for (const name of ["kind", "timestamp", "app_name", "app_release", "__error__", "session_attr_k8s.cluster.name"])
			for (const key of [`${character}${name}`, `${name}${character}`, `${character}\u2003\x02${name}`]) values[key] = 1;
	const stdin = JSON.stringify({ measurements: [{ type: "x", values: { ...values, app_load_ms: 1 }, timestamp }] });
	const { code, stdout, stderr } = await runIngest(stage, ["--print"], { env, stdin });
	assert.equal(code, 0, stderr);
	assert.deepEqual(JSON.parse(stdout).measurements, [{ type: "x", values: { app_load_ms: 1 }, timestamp }]);
}, patient);
