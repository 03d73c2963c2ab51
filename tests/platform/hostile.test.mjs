// SPDX-License-Identifier: Apache-2.0
/* Hostile bytes in every field of a beacon, one at a time and all at once: each item stays one line, in the receiver's
 * log store as in ours, and no line has a control byte. */
import assert from "node:assert/strict";

import { post } from "../system/lib/client.mjs";
import { beacon, startIngest } from "../system/lib/faro.mjs";
import { nginx } from "../system/lib/nginx.mjs";
import { scenario, sinkBinary } from "../system/lib/stage.mjs";
import { fields } from "./lib/lines.mjs";

const hostile = "a\n\r\0\x01\x1b[31m\x7f\u0085\u2028\u2029\ufeff\u202e\"\\=' \t kind=forged app_name=evil\nkind=forged";

/* Every text of a JSON value, key or value, as a path: [...names], and whether it is the key. */
function* texts(value, path = []) {
	if (typeof value === "string") yield { path, isKey: false };
	if (!value || typeof value !== "object") return;
	for (const [key, inner] of Object.entries(value)) {
		/* Names that the receiver knows are not free to choose: another is another field. */
		if (!Array.isArray(value) && ["context", "attributes", "values"].includes(path.at(-1))) yield { path: [...path, key], isKey: true };
		yield* texts(inner, [...path, key]);
	}
}

function spoiled(value, places) {
	const copy = structuredClone(value);
	for (const { path, isKey } of places) {
		const last = path.at(-1);
		const parent = path.slice(0, -1).reduce((inner, name) => inner?.[name], copy);
		if (!parent || !(last in parent)) continue;
		if (isKey) {
			parent[`${last}${hostile}`] = parent[last];
			delete parent[last];
		} else parent[last] += hostile;
	}
	return Buffer.from(JSON.stringify(copy));
}

/* Times and ids have a form: with these bytes the receiver, or we, refuse the beacon, and there is no line. */
const hasForm = ({ path }) => /^(timestamp|trace_id|span_id|traceId|spanId|parentSpanId|.*UnixNano)$/.test(String(path.at(-1)));

scenario("one line an item, and no control bytes, whatever is in the fields", async (stage) => {
	const sink = stage.run("faro-sink", sinkBinary, ["--listen", "127.0.0.1:0"]);
	const [, url] = await sink.line(/listening on (http:\S+)/);
	const ingest = await startIngest(stage, url);
	const { port } = await nginx(stage, { socket: ingest.socket });
	const beacons = []; // { where, status, expected }: how many lines it is to have, undefined where it may be refused
	const send = async (where, value, places, expected) => {
		const marked = { ...value, meta: { ...value.meta, view: { name: `n${beacons.length};` } } };
		const { status } = await post(port, spoiled(marked, places), { "X-Faro-Session-Id": "a b\xff" });
		beacons.push({ where, status, expected });
	};

	for (const name of ["mixed-without-traces-2.12.json", "mixed-with-traces-2.12.json", "web-vitals-2.12.json"]) {
		const clean = JSON.parse(beacon(name));
		const items = ["logs", "exceptions", "events", "measurements"].reduce((n, kind) => n + (clean[kind]?.length ?? 0), 0);
		const places = [...texts(clean)];
		const free = places.filter((place) => !hasForm(place));
		await send(`${name}: all`, clean, free, items);
		for (const place of places) {
			const where = `${name}: ${place.path.join(".")}${place.isKey ? " (key)" : ""}`;
			await send(where, clean, [place], hasForm(place) ? undefined : items);
		}
	}
	assert.ok(beacons.length > 300, `${beacons.length} were tried`);
	await sink.stop();

	const written = sink.stdout.toString();
	assert.doesNotMatch(written, /[\0-\x09\x0b-\x1f\x7f]/);
	const lines = beacons.map(() => 0);
	for (const line of written.split("\n").filter(Boolean)) {
		const { kind, app_name, app_namespace, view_name } = fields(line);
		assert.match(kind, /^(log|exception|event|measurement|span)$/);
		if (kind === "span") continue;
		assert.deepEqual([app_name, app_namespace], ["shop", "web"]);
		lines[parseInt(view_name.slice(1), 10)]++;
	}
	beacons.forEach(({ where, status, expected }, i) => {
		if (expected !== undefined || status !== 400) assert.equal(status, 202, where);
		if (expected !== undefined) assert.equal(lines[i], expected, where);
	});
	assert.doesNotMatch(ingest.process.stderr, /[\0-\x09\x0b-\x1f\x7f]|forged|evil/);
	for (const line of ingest.process.stderr.split("\n").filter(Boolean)) assert.match(line, /\bevent=\w+/);
}, { timeout: 180_000 });
