// SPDX-License-Identifier: Apache-2.0
/*
 * The demo as somebody sees it who runs ./dev demo: short lines, a page that tells what arrived of what it claimed, and
 * nothing left after Ctrl-C.
 */
import assert from "node:assert/strict";
import { mkdirSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { after, before } from "node:test";

import { ingestBinary, root, scenario, sinkBinary } from "../system/lib/stage.mjs";
import { launch } from "./lib/chromium.mjs";
import { openPage } from "./lib/page.mjs";

let browser;
before(async () => (browser = await launch()));
after(() => browser?.close());

async function startDemo(stage) {
	const temp = stage.path("temp");
	const lines = stage.path("demo.log");
	mkdirSync(temp);
	const demo = stage.run("demo", join(root, "examples/demo"), [], {
		env: { TMPDIR: temp, FARO_INGEST: ingestBinary, FARO_SINK: sinkBinary, FARO_DEMO_LINES: lines },
		lastSignal: "SIGINT",
	});
	const [text, url] = await demo.said(/^[^]*Now open (http:\S+)/);
	return { demo, temp, url, said: text, lines: () => readFileSync(lines, "utf8") };
}

/* The page's cards, newest first, as { title, kind, state, claimed, arrived }. */
const cards = (page) => page.$$eval(".card", (all) => all.map((card) => {
	const column = (n) => Object.fromEntries([...card.querySelectorAll("tbody tr")]
		.map((row) => [row.cells[0].textContent, row.cells[n].textContent]));
	return {
		title: card.querySelector("b").textContent,
		kind: card.querySelector(".kind").textContent,
		state: card.querySelector(".state").textContent,
		marked: [...card.querySelectorAll("td.relay")].map((cell) => cell.parentElement.cells[0].textContent),
		claimed: column(1),
		arrived: column(2),
	};
}));

/* Presses a button, and waits for a card of that title in that state. */
async function press(page, button, title, state) {
	await page.click(`#${button}`);
	return cardOf(page, title, state);
}

async function cardOf(page, title, state) {
	const card = page.locator(".card").filter({ has: page.locator("b", { hasText: title }) })
		.filter({ has: page.locator(".state", { hasText: state }) }).first();
	await card.waitFor();
	const index = await card.evaluate((element) => [...document.querySelectorAll(".card")].indexOf(element));
	return (await cards(page))[index];
}

const REAL = { app: "shop", namespace: "retail", environment: "test" };
const RELAY = ["app", "namespace", "environment"];

scenario("the demo prints short lines, serves its page, and leaves nothing behind", async (stage) => {
	const { demo, temp, url, said, lines } = await startDemo(stage);
	assert.ok(said.split("\n").length <= 60, said);
	assert.ok(said.split("\n").every((line) => line.length <= 120), said);
	for (const kind of ["exception", "log", "event", "measurement", "span"])
		assert.match(said, new RegExp(`^   ${kind} +shop +retail +\\S`, "m"));
	assert.match(said, / demo\.log$|demo\.log\n/);
	assert.match(lines(), /kind=exception .*app_name=shop app_namespace=retail /);
	assert.match(lines(), /kind=span .*resource_service\.name=shop/);
	assert.doesNotMatch(lines(), /app_namespace=(?!retail )/);
	for (const path of ["", "app.js", "faro/config.js", "sdk/faro-web-sdk.iife.js", "sdk/faro-web-tracing.iife.js"])
		assert.equal((await fetch(url + path)).status, 200, path);
	assert.equal((await fetch(`${url}demo/off`, { method: "PUT", body: "off", headers: { "Sec-Fetch-Site": "cross-site" } })).status, 403);

	demo.signal("SIGINT");
	assert.deepEqual(await demo.closed, { code: 0, signal: null });
	assert.deepEqual(readdirSync(temp), []);
	await assert.rejects(fetch(url));
});

scenario("each button shows what the page claimed beside what arrived", async (stage) => {
	const { demo, url } = await startDemo(stage);
	const page = await openPage(stage, browser, `${url}?app=payments&namespace=finance`);
	for (const [button, title, kind] of [
		["error", "thrown by a button", "exception"],
		["log", "a line of log", "log"],
		["event", "button_clicked", "event"],
		["measurement", "demo luck", "measurement"],
		["fetch", /^GET$/, "span"],
	]) {
		const card = await press(page, button, title, "arrived, corrected");
		assert.equal(card.kind, kind);
		assert.deepEqual(card.claimed, { app: "payments", namespace: "finance", environment: "test", version: "3.1.4" });
		assert.deepEqual(card.arrived, { ...REAL, version: "3.1.4" });
		assert.deepEqual(card.marked, RELAY);
	}
	await demo.said(/^   exception +shop +retail +Error: thrown by a button/m);
});

scenario("a forged name arrives corrected; a zip bomb and another site are refused", async (stage) => {
	const { url, lines } = await startDemo(stage);
	const page = await openPage(stage, browser, url);
	const log = await press(page, "forge", "a forged line", "arrived, corrected");
	const span = await cardOf(page, "a forged span", "arrived, corrected");
	for (const card of [log, span]) {
		assert.deepEqual(card.claimed, { app: "payments", namespace: "finance", environment: "prod", version: "6.6.6" });
		assert.deepEqual(card.arrived, { ...REAL, version: "6.6.6" });
	}
	await press(page, "bomb", "a zip bomb", "refused: 413 too_large");
	await press(page, "elsewhere", "posts to localhost", "refused: 403 cross_site");
	assert.doesNotMatch(lines(), /from another site|message=0000/);
	await page.waitForFunction(() => document.getElementById("refused").textContent === "2");
});

scenario("what is sent while the receiver is off arrives when it is on again", async (stage) => {
	const { url, lines } = await startDemo(stage);
	const page = await openPage(stage, browser, url);
	await press(page, "log", "a line of log", "arrived");
	await page.click("#receiver");
	await page.waitForSelector("#receiver-box.off");
	const { title } = await press(page, "error", "thrown by a button", "kept until the receiver is back");
	assert.doesNotMatch(lines(), /kind=exception .*thrown by a button/);
	await page.waitForSelector("#spool.some");
	await page.click("#receiver");
	assert.deepEqual((await cardOf(page, title, "arrived, from the spool")).arrived, { ...REAL, version: "3.1.4" });
});
