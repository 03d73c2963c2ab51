// SPDX-License-Identifier: Apache-2.0
/*
 * From a page in Chromium through nginx and faro-ingest to the receiver's lines: the demo page, each of its buttons, both
 * SDKs, plain and compressed. The page claims to be somebody else; the labels are the service's own.
 */
import assert from "node:assert/strict";
import { after, before } from "node:test";

import { sinkBinary, scenario } from "../system/lib/stage.mjs";
import { launch } from "./lib/chromium.mjs";
import { openPage, watchReplies } from "./lib/page.mjs";
import { startStack } from "./lib/stack.mjs";

let browser;
before(async () => (browser = await launch()));
after(() => browser?.close());

/* The items that the buttons and the SDK itself must have brought, as parts of a line. */
const EXPECTED = [
	["kind=exception", "thrown by a button"],
	["kind=log", "a line of log"],
	["kind=event", "event_name=button_clicked"],
	["kind=event", "event_name=session_start"],
	["kind=event", "event_name=faro.performance.navigation"],
	["kind=event", "event_name=faro.user.action"],
	["kind=event", "event_name=faro.tracing.fetch"],
	["kind=measurement", "type=demo"],
	["kind=measurement", "type=web-vitals"],
];
const LABELS = ["app_name=shop", "app_namespace=retail", "app_environment=test"];
const RESOURCE = ["service.name=shop", "service.namespace=retail", "deployment.environment.name=test"];
const CLAIMS = "?app=payments&namespace=finance&environment=prod";

/* faro-sink, and its lines as they come on stdout. */
async function startSink(stage) {
	const sink = stage.run("faro-sink", sinkBinary, ["--listen", "127.0.0.1:0"]);
	const [, url] = await sink.line(/listening on (http:\S+)/);
	const lines = () => sink.stdout.toString().split("\n").filter(Boolean);
	const until = async (look) => {
		while (!look(lines())) await new Promise((resolve) => sink.child.stdout.once("data", resolve));
	};
	return { url, lines, until };
}

const hasAll = (parts) => (line) => parts.every((part) => line.includes(part));
const isSpan = hasAll(["kind=span"]);

for (const sdk of ["2.12", "2.8"]) {
	for (const [how, more] of [["plain", ""], ["compressed", "&gzip"]]) {
		scenario(`SDK ${sdk}, ${how}: all that a page does arrives under the service's own labels`, async (stage) => {
			const sink = await startSink(stage);
			const { origin } = await startStack(stage, sink.url, { sdk });
			const page = await openPage(stage, browser, "about:blank");
			const replies = watchReplies(page);
			const codings = new Set();
			page.on("request", (request) => {
				if (request.method() === "POST") codings.add(request.headers()["content-encoding"] ?? "none");
			});

			await page.goto(`${origin}/${CLAIMS}${more}`);
			for (const button of ["error", "log", "event", "measurement", "fetch"]) await page.click(`#${button}`);
			await sink.until((lines) => EXPECTED.every((parts) => lines.some(hasAll(parts))) && lines.some(isSpan));

			assert.deepEqual([...codings], [more ? "gzip" : "none"]);
			assert.ok(replies.every((reply) => reply.status === 202), JSON.stringify(replies));
			for (const line of sink.lines()) {
				const labels = isSpan(line) ? RESOURCE : LABELS;
				assert.ok(hasAll(labels)(line), `a line without ${labels.join(" ")}: ${line}`);
				assert.doesNotMatch(line, /(app|service)[._](name|namespace)=(payments|finance)/);
			}
			await page.waitForSelector("#reply.good");
		});
	}
}
