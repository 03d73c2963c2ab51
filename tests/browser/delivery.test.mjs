// SPDX-License-Identifier: Apache-2.0
/* What becomes of a beacon when the page, the session or the receiver changes under it. */
import assert from "node:assert/strict";
import { after, before } from "node:test";

import { scenario } from "../system/lib/stage.mjs";
import { launch } from "./lib/chromium.mjs";
import { openBlank, pushLog, startSdk, watchReplies } from "./lib/page.mjs";
import { startReceiver } from "./lib/receiver.mjs";
import { startStack } from "./lib/stack.mjs";

let browser;
before(async () => (browser = await launch()));
after(() => browser?.close());

const is = (name, value) => (item) => item[name] === value;

async function open(stage, sdk) {
	const receiver = await startReceiver(stage);
	const { origin } = await startStack(stage, receiver.url, { sdk });
	const page = await openBlank(stage, browser, origin);
	return { receiver, page, origin, replies: watchReplies(page) };
}

/* Started, and its first beacon is through. */
async function openStarted(stage, sdk) {
	const opened = await open(stage, sdk);
	await startSdk(opened.page);
	await opened.receiver.untilItem("events", is("name", "session_start"));
	return opened;
}

for (const sdk of ["2.12", "2.8"]) {
	const inSdk = (name, body) => scenario(`SDK ${sdk}: ${name}`, body);

	/* The batch would wait a minute, so what arrives was sent by the page's end. */
	inSdk("an error right before the page is closed arrives", async (stage) => {
		const { receiver, page } = await open(stage, sdk);
		await startSdk(page, { batching: { sendTimeout: 60_000 } });
		await page.evaluate(() => window.faro.api.pushError(new Error("the last words")));
		await page.close();
		await receiver.untilItem("exceptions", is("value", "the last words"));
	});

	/* Compressing takes turns of the page's loop, of which a page that ends has few. */
	inSdk("an error right before the page is closed arrives, compressed", async (stage) => {
		const { receiver, page } = await open(stage, sdk);
		await startSdk(page, { batching: { sendTimeout: 60_000 }, requestCompression: true });
		await page.evaluate(() => window.faro.api.pushError(new Error("the last words")));
		await page.close();
		await receiver.untilItem("exceptions", is("value", "the last words"));
	});

	inSdk("an error right before the page is left for another arrives", async (stage) => {
		const { receiver, page } = await open(stage, sdk);
		await startSdk(page, { batching: { sendTimeout: 60_000 } });
		await page.evaluate(() => {
			window.faro.api.pushError(new Error("the last words"));
			location.href = "/api/elsewhere";
		});
		await receiver.untilItem("exceptions", is("value", "the last words"));
	});

	inSdk("a session that the receiver calls invalid is renewed", async (stage) => {
		const { receiver, page } = await open(stage, sdk);
		receiver.answer = (post, before) => before === 0 ? { headers: { "X-Faro-Session-Status": "invalid" } } : {};
		await startSdk(page);
		const first = await receiver.untilItem("events", is("name", "session_start"));
		await receiver.untilItem("events", is("name", "session_extend"));
		await pushLog(page, "after the renewal");

		const { beacon, headers } = await receiver.untilItem("logs", is("message", "after the renewal"));
		assert.equal(beacon.meta.session.attributes.previousSession, first.beacon.meta.session.id);
		assert.equal(headers["x-faro-session-id"], beacon.meta.session.id);
	});

	inSdk("429 comes with the receiver's Retry-After, and the SDK waits as told", async (stage) => {
		const { receiver, page, replies } = await openStarted(stage, sdk);
		let answers = 0;
		receiver.answer = () => answers++ === 0 ? { status: 429, headers: { "Retry-After": "2" } } : {};
		await pushLog(page, "while it is busy");
		const refused = await receiver.untilItem("logs", is("message", "while it is busy"));

		const reply = await replies.until(429);
		assert.equal(reply.headers["retry-after"], "2");
		const next = await nextAfter(receiver, page, refused);
		assert.ok(next.at - refused.at >= 1900, `waited ${next.at - refused.at} ms`);
	});

	inSdk("an outage is 503 with a Retry-After of seconds", async (stage) => {
		const { receiver, page, replies } = await openStarted(stage, sdk);
		let answers = 0;
		receiver.answer = () => answers++ === 0 ? { status: 500 } : {};
		await pushLog(page, "in the outage");
		const refused = await receiver.untilItem("logs", is("message", "in the outage"));

		const told = Number((await replies.until(503)).headers["retry-after"]);
		assert.ok(told >= 1 && told <= 5, `Retry-After: ${told}`);
		const next = await nextAfter(receiver, page, refused);
		/* 2.8 gives the batch up and goes on at once; only 2.12 reads Retry-After of a 503. */
		if (sdk !== "2.8") assert.ok(next.at - refused.at >= told * 1000 - 100, `waited ${next.at - refused.at} ms`);
	});

	/*
	 * 2.12 sends the refused batch again by itself, with the same key. 2.8 drops it, and drops or sends what the page
	 * says from then on: a line every 100 ms here.
	 */
	async function nextAfter(receiver, page, refused) {
		if (sdk === "2.8") {
			await page.evaluate(() => {
				let lines = 0;
				setInterval(() => window.faro.api.pushLog([`still here ${lines++}`]), 100);
			});
			return receiver.until((posts) => posts.find((one) => one.at > refused.at));
		}
		const key = refused.headers["idempotency-key"];
		return receiver.until((posts) =>
			posts.find((one) => one.at > refused.at && one.headers["idempotency-key"] === key));
	}
}
