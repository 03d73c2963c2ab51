// SPDX-License-Identifier: Apache-2.0
/*
 * FARO_ALLOWED_ORIGINS in nginx's map, for the answers that nginx gives by itself. The cases are those of origins.json,
 * which the program is held to as well.
 */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";

import { get, post } from "./lib/client.mjs";
import { mainConfig, makeDirectory, nginx, replace, snippet, startNginx } from "./lib/nginx.mjs";
import { assertProblem } from "./lib/problem.mjs";
import { root, scenario } from "./lib/stage.mjs";
import { templatedNginx } from "./lib/templates.mjs";

const { cases } = JSON.parse(readFileSync(join(root, "tests/system/origins.json"), "utf8"));

/* The bytes of a header are what they are: Node would refuse what is beyond Latin 1. */
const bytes = (text) => Buffer.from(text).toString("latin1");

/* What 15-faro.envsh makes of a list. */
const handedOn = (list) => execFileSync("sh", ["-c", `. "${root}/nginx/15-faro.envsh"; printf %s "$FARO_ALLOWED_ORIGINS"`],
	{ encoding: "utf8", env: { PATH: process.env.PATH, FARO_ALLOWED_ORIGINS: list }, stdio: ["ignore", "pipe", "pipe"] });

/* One nginx with the snippet's map once for each list, and a location that tells its value. */
async function mapsOf(stage, lists) {
	const [map] = /^map "\|\$http_origin" \$faro_cors_origin \{\n(?:\t.*\n)+\}$/m.exec(snippet("faro-http.conf"));
	const dir = makeDirectory(stage, "maps");
	const http = lists.map((list, i) => map.replace('"|', () => `"${list}|`).replace("$faro_cors_origin", () => `$case_${i}`));
	const server = lists.map((_, i) => `location = /${i} { default_type text/plain; return 200 $case_${i}; }`);
	return startNginx(stage, dir, ({ port }) => mainConfig({ dir, port, http: http.join("\n"), server: server.join("\n") }));
}

/* { list: the origins that it allows } of [[list, origins], …] */
async function allowedBy({ port }, asked) {
	const allowed = {};
	for (const [i, [list, origins]] of asked.entries()) {
		allowed[list] = [];
		for (const origin of origins) {
			const { text } = await get(port, `/${i}`, { Origin: bytes(origin) });
			if (text) assert.equal(text, origin);
			if (text) allowed[list].push(origin);
		}
	}
	return allowed;
}

for (const [way, chosen, written] of [
	["as the templates have it", cases, handedOn],
	/* By hand they are written without the scheme's own port, as the snippet's comment says. */
	["as it is written by hand", cases.filter(({ list }) => !/:(443|80)(,|$)/.test(list)), (list) => list],
])
	scenario(`nginx's map allows what the cases say, ${way}`, async (stage) => {
		const asked = chosen.map(({ list, allows = [], refuses }) => [list, [...allows, ...refuses]]);
		const server = await mapsOf(stage, asked.map(([list]) => written(list)));
		assert.deepEqual(await allowedBy(server, asked),
			Object.fromEntries(chosen.map(({ list, allows = [] }) => [list, allows])));
	});

for (const [way, start] of [
	["snippets", (stage, socket, list) => nginx(stage, {
		socket,
		edit: (name, text) => (name === "faro-http.conf" ? replace(text, '"|$http_origin"', `"${list}|$http_origin"`) : text),
	})],
	["templates", (stage, socket, list) => templatedNginx(stage, { socket, env: { FARO_ALLOWED_ORIGINS: list } })],
])
	scenario(`${way}: nginx's own answers have CORS headers for the origins in the list, and for no other`, async (stage) => {
		const server = await start(stage, stage.path("nowhere.sock"), "https://shop.example, https://*.preview.example:8443");
		for (const [origin, allowed] of [
			["https://shop.example", true], ["https://a.b.preview.example:8443", true],
			["https://a.shop.example", false], ["https://preview.example:8443", false], ["https://a.preview.example", false],
		]) {
			const reply = await post(server.port, "x", { Origin: origin });
			assertProblem(reply, 503, "responder_unavailable");
			assert.equal(reply.headers["access-control-allow-origin"], allowed ? origin : undefined, origin);
			assert.equal(reply.headers.vary, "Origin");
		}
		assert.equal((await post(server.port, "x")).headers["access-control-allow-origin"], undefined);
	});

/* PCRE gives up after ten million steps, and nginx says so; a longest name is compared, a longer one is none. */
scenario("no Origin makes the map try for long, nor does the longest list", async (stage) => {
	const list = Array.from({ length: 125 }, (_, i) => `https://*.p${i}.preview.example`).join(",");
	assert.ok(list.length > 3700 && list.length < 3900, `${list.length}`);
	const server = await mapsOf(stage, [handedOn(list)]);
	const host = (end, length) => `https://${"a.".repeat(length).slice(0, length - end.length)}${end}`;
	const longest = host("x.p0.preview.example", 253);
	const others = [
		host("x.p125.preview.example", 253), host("x.p0.preview.example", 400), host("x.p0.preview.example", 6000),
		`https://${"a".repeat(6000)}`, `https://${".p0.preview.example".repeat(300)}x`, "https://".repeat(800), "|".repeat(6000),
	];
	assert.deepEqual(await allowedBy(server, [[list, [longest, ...others]]]), { [list]: [longest] });
	assert.doesNotMatch(server.process.stderr, /pcre/i);
});
