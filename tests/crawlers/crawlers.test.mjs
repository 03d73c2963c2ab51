// SPDX-License-Identifier: Apache-2.0
/*
 * nginx/faro-crawlers.conf in a real nginx: what it says of the list's own examples must be what the list's patterns say
 * when they are asked one by one, and of browsers it must say nothing.
 */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { Agent } from "node:http";
import { test } from "node:test";

import { send } from "../system/lib/client.mjs";
import { mainConfig, makeDirectory, replace, snippet, startNginx } from "../system/lib/nginx.mjs";
import { scenario } from "../system/lib/stage.mjs";
import { generate, list, reasonOf } from "./generate.mjs";

const { usual, unusual } = JSON.parse(readFileSync(new URL("browsers.json", import.meta.url), "utf8"));
const map = snippet("faro-crawlers.conf");

/* nginx with this map, and what it says of some User-Agents, in their order. */
async function startMap(stage, text = map) {
	const server = await startNginx(stage, makeDirectory(stage, "map"), ({ port }) => mainConfig({
		dir: stage.path("map"), port, http: text,
		server: 'location = / { default_type text/plain; return 200 "$faro_crawler $faro_synthetic_type"; }',
	}));
	const agent = new Agent({ keepAlive: true, maxSockets: 8 });
	stage.after(() => agent.destroy());
	const ask = (name) => send(server.port, { method: "GET", path: "/", agent, headers: { "User-Agent": name } });
	return async (names) => (await Promise.all(names.map(ask))).map(({ text }) => text);
}

const patterns = list.map((entry) => [new RegExp(entry.pattern), reasonOf(entry)]);

/* By the list alone. Who crawls is a crawler, also with a browser that a program drives. */
function expected(name) {
	const reasons = new Set(patterns.filter(([pattern]) => pattern.test(name)).map(([, reason]) => reason));
	return reasons.has("crawler") ? "crawler bot" : reasons.has("synthetic") ? "synthetic test" : " ";
}

test("the file in nginx/ is what the generator makes of the list", () => {
	assert.equal(map, generate(), "run node tests/crawlers/generate.mjs >nginx/faro-crawlers.conf");
});

scenario("each of the list's own examples is caught, for the reason that the list gives", async (stage) => {
	const names = list.flatMap(({ instances = [] }) => instances);
	assert.ok(names.length > 2000);
	const said = await (await startMap(stage))(names);
	assert.deepEqual(names.map((name, i) => `${said[i]}: ${name}`), names.map((name) => `${expected(name)}: ${name}`));
	assert.ok(!said.includes(" "));
});

/* Also of those that have no example. */
scenario("each of the list's patterns that is a plain text is caught as it stands, and not in part", async (stage) => {
	const texts = list.map(({ pattern }) => pattern.replace(/^\^|\$$/g, "").replace(/\\([^A-Za-z0-9])/g, "$1"))
		.filter((text) => expected(text) !== " ");
	assert.ok(texts.length > 1400);
	const names = texts.flatMap((text) => [text, `x${text}x`, text.slice(0, -1), text.slice(1)]).map((text) => text.trim());
	const said = await (await startMap(stage))(names);
	assert.deepEqual(names.map((name, i) => `${said[i]}: ${name}`), names.map((name) => `${expected(name)}: ${name}`));
});

scenario("HeadlessChrome and Lighthouse are synthetic", async (stage) => {
	const [windows, phone] = [usual[0], usual.find((name) => /Android 10; K.*Mobile/.test(name))];
	const said = await (await startMap(stage))([replace(windows, " Chrome/", " HeadlessChrome/"), `${phone} Chrome-Lighthouse`]);
	assert.deepEqual(said, ["synthetic test", "synthetic test"]);
});

scenario("50 browsers are not caught", async (stage) => {
	assert.ok(usual.length >= 45 && usual.length + unusual.length >= 50);
	assert.equal(new Set([...usual, ...unusual]).size, usual.length + unusual.length);
	const ask = await startMap(stage);
	for (const names of [usual, unusual]) assert.deepEqual([...new Set(await ask(names))], [" "]);
});

scenario("the usual browsers are answered by the first two lines, the most frequent by the first", async (stage) => {
	const [first, second] = map.split("\n").filter((line) => line.includes("AppleWebKit") || line.includes("(?s)"));
	const marked = replace(replace(map, first, replace(first, '""', "frequent")), second, replace(second, '""', "usual"));
	const said = await (await startMap(stage, marked))([...usual, ...unusual]);
	assert.deepEqual(said.slice(usual.length), unusual.map(() => " "));
	const frequent = usual.filter((_, i) => said[i] === "frequent ");
	assert.deepEqual(said.slice(0, usual.length), usual.map((name) => (frequent.includes(name) ? "frequent " : "usual ")));
	for (const one of [/Windows NT 10.*Chrome\S+ Safari\S+$/, /Windows.*Edg/, /Macintosh.*Version\S+ Safari\S+$/,
		/iPhone.*Version\S+ Mobile\S+ Safari\S+$/, /Android 10; K\).*Mobile Safari\S+$/]) assert.ok(frequent.some((name) => one.test(name)), `${one}`);
});

scenario("of more than 512 bytes nothing is said, and the longest take nobody's time", async (stage) => {
	const crawler = (length) => "Googlebot/2.1".padStart(length, "Sas ");
	const ask = await startMap(stage);
	assert.deepEqual(await ask([crawler(512), crawler(513), crawler(7000), ""]), ["crawler bot", " ", " ", " "]);
	const begun = ["Mozilla/5.0 (Linux; Android 1; ", usual[0], usual.find((name) => /Instagram/.test(name)).slice(0, -1)];
	const ends = [" Build/a", " Chrome/1", "; rv:1", "a", " trill_1 a/", ") AppleWebKit/1 (KHTML, like Gecko)"];
	const endless = begun.flatMap((text) => ends.map((more) => text.padEnd(7000, more)));
	assert.deepEqual([...new Set(await ask(endless))], [" "]);
	assert.doesNotMatch(stage.processes[0].stderr, /pcre/i);
});

scenario("what nginx reads as an escape of its own, or as a variable, reaches the expression as it was", async (stage) => {
	const patterns = ['A"b', "B'\\\\t", "C\\$http_host", "D\\{x\\};", "E#[\"\\\\]x", "F\\\\n"];
	const ask = await startMap(stage, generate(patterns.map((pattern) => ({ pattern, tags: ["seo"] }))));
	const names = ['A"b', "B'\\t", "C$http_host", "D{x};", 'E#"x', "E#\\x", "F\\n"];
	for (const name of names) assert.ok(patterns.some((pattern) => new RegExp(pattern).test(name)), name);
	assert.deepEqual(await ask([...names, "B't", "Fn", "E#x"]), [...names.map(() => "crawler bot"), " ", " ", " "]);
});

test("the generator refuses a list that it cannot read, or a crawler that would pass for a usual browser", () => {
	const entry = (more) => [{ pattern: "Bot/", tags: ["seo"], ...more }];
	for (const pattern of ["", "|a", "a{2}", "(?<name>x)", "(?=x)", "a)", "x\\1", "x\\t", "[", "b\u00f6t", "(a(b))"])
		assert.throws(() => generate(entry({ pattern })), /cannot read/, pattern);
	for (const instance of [usual[0], usual.at(-1), "x".repeat(513)])
		assert.throws(() => generate(entry({ instances: [instance] })), /taken for a usual browser/);
});
