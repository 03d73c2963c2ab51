// SPDX-License-Identifier: Apache-2.0
/*
 * The lines that the quick start tells to put into a page, taken from it and built as a service builds its bundle, under the
 * policy that it names: nothing besides them starts the SDK here.
 */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { after, before } from "node:test";

import { root, scenario } from "../system/lib/stage.mjs";
import { bundleScript } from "./lib/bundle.mjs";
import { launch, newContext } from "./lib/chromium.mjs";
import { spansOf, startReceiver } from "./lib/receiver.mjs";
import { startStack } from "./lib/stack.mjs";

const quickstart = readFileSync(`${root}/docs/QUICKSTART.md`, "utf8");
const block = (language) => {
	const [found, ...others] = [...quickstart.matchAll(new RegExp(`^\`\`\`${language}\n(.*?)^\`\`\`$`, "gms"))];
	assert.equal(others.length, 0, `one ${language} block is expected`);
	return found[1];
};
const SCRIPT_TAG = block("html").trim();
const LINES = block("js");
const [, POLICY] = /Content-Security-Policy `(.*?)`/.exec(quickstart);

let browser;
before(async () => (browser = await launch()));
after(() => browser?.close());

const is = (name, value) => (item) => item[name] === value;

for (const sdk of ["2.12", "2.8"])
	scenario(`SDK ${sdk}: the quick start's lines bring errors, logs, vitals and spans`, async (stage) => {
		const receiver = await startReceiver(stage);
		const { origin } = await startStack(stage, receiver.url, { sdk, csp: POLICY });
		const context = await newContext(browser);
		stage.after(() => context.close());
		const page = await context.newPage();
		const bundle = await bundleScript(LINES, sdk);
		const html = `<!doctype html><title>a service</title><p>text</p>${SCRIPT_TAG}<script src="/bundle.js"></script>`;
		const complaints = [];

		page.on("console", (message) => {
			if (/Content Security Policy/.test(message.text())) complaints.push(message.text());
		});
		await page.route(`${origin}/service`, (route) => route.fulfill({
			contentType: "text/html", headers: { "Content-Security-Policy": POLICY }, body: html,
		}));
		await page.route(`${origin}/bundle.js`, (route) => route.fulfill({ contentType: "text/javascript", body: bundle }));
		await page.goto(`${origin}/service`);
		await page.evaluate(() => {
			setTimeout(() => {
				throw new Error("of the service");
			});
			console.error("a line of the service");
			fetch("/api/orders");
		});
		await receiver.untilItem("exceptions", is("value", "of the service"));
		await receiver.untilItem("events", is("name", "session_start"));
		await receiver.untilItem("measurements", is("type", "web-vitals"));
		await receiver.until((posts) => posts.find((post) => spansOf(post.beacon).length > 0));
		assert.ok(receiver.posts.every(({ beacon }) => beacon.meta.app.name === "shop"));
		assert.deepEqual(complaints, []);
	});
