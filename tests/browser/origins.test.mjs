// SPDX-License-Identifier: Apache-2.0
/* From and to where a page may post: absolute and relative URL, another path, another site, a policy, behind TLS. */
import assert from "node:assert/strict";
import { after, before } from "node:test";

import { scenario } from "../system/lib/stage.mjs";
import { launch } from "./lib/chromium.mjs";
import { openBlank, openPage, pushLog, startSdk, watchReplies } from "./lib/page.mjs";
import { spansOf, startReceiver } from "./lib/receiver.mjs";
import { startStack } from "./lib/stack.mjs";
import { startTls } from "./lib/tls.mjs";

const SDKS = ["2.12", "2.8"];
const CSP = "default-src 'self'; connect-src 'self'; script-src 'self'; img-src 'self' data:";

/* Names of other sites that lead here too. Without TLS they are no secure context: no Sec-Fetch-Site is sent to them. */
const OTHER_SITES = "--host-resolver-rules=MAP *.example 127.0.0.1";

let browser;
before(async () => (browser = await launch([OTHER_SITES])));
after(() => browser?.close());

const is = (name, value) => (item) => item[name] === value;
const spansOfAll = (posts) => posts.flatMap((post) => spansOf(post.beacon));
const urlOf = (span) => span.attributes.find(({ key }) => key === "url.full" || key === "http.url")?.value.stringValue;

/*
 * With its own posts traced, each batch would make a span, the span a batch, and so for ever. That the spans of the
 * page's two fetches arrive shows that tracing works; a span of the posts in between would have come with the second.
 */
async function assertNoLoop(receiver, page) {
	for (const path of ["/api/first", "/api/second"]) {
		await page.evaluate((url) => fetch(url).then((response) => response.text()), path);
		await receiver.until((posts) => spansOfAll(posts).find((span) => urlOf(span)?.endsWith(path)));
	}
	const others = spansOfAll(receiver.posts).map(urlOf).filter((url) => !url.includes("/api/"));
	assert.deepEqual(others, [], "the SDK traced posts of its own");
}

for (const sdk of SDKS) {
	for (const [name, urlAt] of [
		["the URL of config.js, which is FARO_PATH", () => undefined],
		["the absolute URL with /collect", (origin) => `${origin}/faro/collect`],
		["the relative URL /faro/collect", () => "/faro/collect"],
	]) {
		scenario(`SDK ${sdk}: no loop of self-traced posts with ${name}`, async (stage) => {
			const receiver = await startReceiver(stage);
			const { origin } = await startStack(stage, receiver.url, { sdk });
			const page = await openBlank(stage, browser, origin);
			const url = urlAt(origin);
			assert.equal(await page.evaluate(() => window.faroConfig.collectorUrl), `${origin}/faro`);
			await startSdk(page, { tracing: true, ...(url && { url }) });
			await assertNoLoop(receiver, page);
		});
	}

	scenario(`SDK ${sdk}: the same under another path`, async (stage) => {
		const receiver = await startReceiver(stage);
		const { origin } = await startStack(stage, receiver.url, { sdk, env: { FARO_PATH: "/rum/v1" } });
		const page = await openBlank(stage, browser, origin);
		await page.addScriptTag({ url: "/rum/v1/config.js" });
		assert.equal(await page.evaluate(() => window.faroConfig.collectorUrl), `${origin}/rum/v1`);
		await startSdk(page, { tracing: true });
		await assertNoLoop(receiver, page);
	});
}

for (const sdk of SDKS)
	scenario(`SDK ${sdk}: another site's page cannot send: the browser stops at the preflight`, async (stage) => {
		const receiver = await startReceiver(stage);
		const { origin, port } = await startStack(stage, receiver.url, { sdk });
		const page = await openBlank(stage, browser, `http://other.example:${port}`);
		const failed = page.waitForEvent("requestfailed", (request) => request.method() === "POST");
		await startSdk(page, { url: `${origin}/faro/collect` });
		await failed;
		assert.equal(receiver.posts.length, 0);
	});

for (const [name, from, to] of [
	["told by Sec-Fetch-Site", "http://127.0.0.1", "http://localhost"],
	["told by Origin, where no Sec-Fetch-Site is sent", "http://other.example", "http://shop.example"],
]) {
	scenario(`another site's post without preflight is refused, ${name}`, async (stage) => {
		const receiver = await startReceiver(stage);
		const { port } = await startStack(stage, receiver.url);
		const page = await openBlank(stage, browser, `${from}:${port}`);
		const replies = watchReplies(page);
		await page.evaluate(
			(url) => fetch(url, { method: "POST", mode: "no-cors", body: '{"meta":{},"logs":[{"message":"x"}]}' }),
			`${to}:${port}/faro/collect`,
		);
		await replies.until(403);
		assert.equal(receiver.posts.length, 0);
	});
}

for (const sdk of SDKS)
	scenario(`SDK ${sdk}: an allowed site sends with all headers of the SDK, and reads the reply's`, async (stage) => {
		const receiver = await startReceiver(stage);
		receiver.answer = (post, before) => before === 0 ? { headers: { "X-Faro-Session-Status": "invalid" } } : {};
		const other = await startStack(stage, receiver.url, { sdk, name: "other" });
		const allowed = `http://app.example:${other.port}`;
		const { origin } = await startStack(stage, receiver.url, { sdk, env: { FARO_ALLOWED_ORIGINS: allowed } });

		const page = await openBlank(stage, browser, allowed);
		await startSdk(page, { url: `${origin}/faro/collect`, requestCompression: true });
		await receiver.untilItem("events", is("name", "session_extend"));
	});

for (const [name, env, arrives] of [
	["without FARO_ALLOWED_HEADERS the browser sends nothing", {}, false],
	["with FARO_ALLOWED_HEADERS it sends", { FARO_ALLOWED_HEADERS: "baggage,sentry-trace" }, true],
])
	scenario(`a page below an allowed domain, whose other tools add headers: ${name}`, async (stage) => {
		const receiver = await startReceiver(stage);
		const other = await startStack(stage, receiver.url, { name: "other" });
		const { origin } = await startStack(stage, receiver.url, {
			env: { FARO_ALLOWED_ORIGINS: `http://*.preview.example:${other.port}`, ...env },
		});
		const page = await openBlank(stage, browser, `http://pr-1.shop.preview.example:${other.port}`);
		const status = await page.evaluate((url) => fetch(url, {
			method: "POST",
			headers: { "Content-Type": "application/json", baggage: "a=b", "sentry-trace": "1" },
			body: '{"meta":{},"logs":[{"message":"x"}]}',
		}).then((reply) => reply.status, () => "stopped by the browser"), `${origin}/faro/collect`);
		assert.equal(status, arrives ? 202 : "stopped by the browser");
		assert.equal(receiver.posts.length, arrives ? 1 : 0);
	});

for (const sdk of SDKS)
	scenario(`SDK ${sdk}: a policy of connect-src and script-src self lets config.js, SDK and posts through`, async (stage) => {
		const receiver = await startReceiver(stage);
		const { origin } = await startStack(stage, receiver.url, { sdk, csp: CSP });
		const page = await openPage(stage, browser, "about:blank");
		const complaints = [];
		page.on("console", (message) => {
			if (/Content Security Policy/.test(message.text())) complaints.push(message.text());
		});
		const answer = await page.goto(origin);
		assert.equal(answer.headers()["content-security-policy"], CSP);
		await page.click("#fetch");
		await receiver.until((posts) => spansOfAll(posts).length > 0);
		assert.deepEqual(complaints, []);
		const violation = is("name", "securitypolicyviolation");
		assert.ok(!receiver.posts.some((post) => post.beacon.events?.some(violation)));
	});

for (const sdk of SDKS)
	scenario(`SDK ${sdk}: TLS that ends before nginx: config.js names the https URL, and the post is same-origin`, async (stage) => {
		const receiver = await startReceiver(stage);
		const { port } = await startStack(stage, receiver.url, { sdk });
		const { origin } = await startTls(stage, port);
		const page = await openBlank(stage, browser, origin, { ignoreHTTPSErrors: true });
		assert.equal(await page.evaluate(() => window.faroConfig.collectorUrl), `${origin}/faro`);
		await startSdk(page);
		await pushLog(page, "over TLS");
		const { beacon } = await receiver.untilItem("logs", is("message", "over TLS"));
		assert.equal(beacon.meta.page.url, `${origin}/blank`);
	});
