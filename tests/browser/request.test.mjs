// SPDX-License-Identifier: Apache-2.0
/*
 * What nginx knows about a request, from a real browser to the lines that a receiver would write: the configuration of
 * examples/nginx/request with real_ip, Debian's geoip2 and the map of crawlers, on a page that faro-inject.conf gives config.js.
 * The test is the proxy in front, so it names the browser's address in X-Forwarded-For.
 */
import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { after, before } from "node:test";

import { fields } from "../platform/lib/lines.mjs";
import { eventually } from "../system/lib/beacons.mjs";
import { metrics, startIngest } from "../system/lib/faro.mjs";
import { replace } from "../system/lib/nginx.mjs";
import { startExample } from "../system/lib/request_example.mjs";
import { scenario, sinkBinary } from "../system/lib/stage.mjs";
import { launch } from "./lib/chromium.mjs";
import { openPage, pushLog, startSdk, watchReplies } from "./lib/page.mjs";
import { SDKS } from "./lib/sdk.mjs";

/* Of a page at localhost the example relays nothing. */
const SITE = "shop.example";

let browser, headless, chrome;
before(async () => {
	browser = await launch([`--host-resolver-rules=MAP ${SITE} 127.0.0.1`]);
	headless = `Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) HeadlessChrome/${browser.version()} Safari/537.36`;
	chrome = replace(headless, "HeadlessChrome", "Chrome");
});
after(() => browser?.close());

const settings = {
	FARO_REQUEST_ATTRIBUTES: "geo.country.iso_code,geo.continent.code,user_agent.synthetic.type",
	FARO_CLIENT_ADDRESS: "masked",
};

const page = `<!doctype html><html><head><link rel="icon" href="data:," />${Object.keys(SDKS["2.12"]).map((name) => `<script src="/sdk/${name}"></script>`).join("")}</head></html>\n`;

const serverOf = (dir) => `
types { text/html html; }
root ${dir}/www;
include ${dir}/faro-inject.conf;
location = /api { default_type application/json; return 200 '{}'; }
${Object.entries(SDKS["2.12"]).map(([name, file]) => `location = /sdk/${name} { alias "${file}"; types { } default_type text/javascript; }`).join("\n")}
`;

async function start(stage) {
	const sink = stage.run("faro-sink", sinkBinary, ["--listen", "127.0.0.1:0"]);
	const [, url] = await sink.line(/listening on (http:\S+)/);
	const { socket } = await startIngest(stage, url, { env: settings });
	/* As root it must read the repository, wherever that lies. */
	const server = await startExample(stage, socket, { user: "root", server: serverOf(stage.path("example")) });
	writeFileSync(stage.path("example/www/index.html"), page);
	return { sink, server, origin: `http://${SITE}:${server.port}` };
}

/* A page of a browser with this address and User-Agent, with the SDK started. */
async function visit(stage, origin, { address, userAgent, ...options }) {
	const tab = await openPage(stage, browser, origin, { userAgent, extraHTTPHeaders: { "X-Forwarded-For": address } });
	await startSdk(tab, { tracing: true, ...options });
	return tab;
}

/* The fields of the line of a log, and of the span of a fetch, that the tab sends. */
async function linesOf(sink, tab, text) {
	await pushLog(tab, text);
	await tab.evaluate((name) => fetch(`/api?${name}`).then((reply) => reply.text()), text);
	const [line] = await sink.said(new RegExp(`^.*kind=log message=${text} .*\\n`, "m"));
	const [, trace] = await sink.said(new RegExp(`event_name=faro.tracing.fetch .*api\\?${text} traceID=(\\w+) `));
	const [span] = await sink.said(new RegExp(`^kind=span trace_id=${trace} .*\\n`, "m"));
	return [fields(line), fields(span)];
}

/* The same facts on a line and on a span, as { attribute: value }. */
function assertFacts([line, span], expected) {
	const NAMES = ["geo.country.iso_code", "geo.continent.code", "user_agent.synthetic.type", "client.address"];
	const facts = (all, key) => Object.fromEntries(NAMES.map((name) => [name, all[key(name)]]).filter(([, value]) => value !== undefined));
	assert.deepEqual(facts(line, (name) => `session_attr_${name.replaceAll(".", "_")}`), expected);
	assert.deepEqual(facts(span, (name) => `resource_${name}`), expected);
}

const GB = { "geo.country.iso_code": "GB", "geo.continent.code": "EU", "client.address": "81.2.69.0" };

scenario("country and masked address are on logs and spans, whatever the page says", async (stage) => {
	const { sink, server, origin } = await start(stage);
	const attributes = {
		geo_country_iso_code: "XX", "geo.country.iso_code": "XX", client_address: "1.1.1.1", "client.address": "1.1.1.1",
		user_agent_synthetic_type: "XX",
	};
	const sessionTracking = { enabled: true, session: { attributes } };
	const tab = await visit(stage, origin, { address: "81.2.69.142", userAgent: chrome, sessionTracking });
	assertFacts(await linesOf(sink, tab, "forged"), GB);
	assert.ok((await metrics(server)).get("spoofed_total") >= 5, "the page did claim it");
	const others = await visit(stage, origin, { address: "2001:db8:1::5", userAgent: chrome });
	assertFacts(await linesOf(sink, others, "version6"), { ...GB, "geo.country.iso_code": "DE", "client.address": "2001:db8:1::" });
	assert.doesNotMatch(sink.stdout.toString(), /XX|1\.1\.1\.1|81\.2\.69\.142|2001:db8:1::5/);
});

scenario("a browser that a program drives is marked, and a crawler is answered and left out", async (stage) => {
	const { sink, server, origin } = await start(stage);
	const driven = await visit(stage, origin, { address: "81.2.69.142", userAgent: headless });
	assertFacts(await linesOf(sink, driven, "driven"), { ...GB, "user_agent.synthetic.type": "test" });

	const crawler = await visit(stage, origin, {
		address: "81.2.69.142", userAgent: replace(chrome, "like Gecko)", "like Gecko; compatible; bingbot/2.0; +http://www.bing.com/bingbot.htm)"),
	});
	const replies = watchReplies(crawler);
	await pushLog(crawler, "crawled");
	await replies.until(202);
	await eventually("count", async () => (await metrics(server)).get("ignored_total", 'reason="crawler"') > 0);
	await linesOf(sink, driven, "later");
	assert.doesNotMatch(sink.stdout.toString(), /crawled|bingbot/);
});

scenario("a page that opts out for its user gets neither country nor address", async (stage) => {
	const { sink, origin } = await start(stage);
	const tab = await visit(stage, origin, { address: "81.2.69.142", userAgent: chrome, trackGeolocation: false });
	assertFacts(await linesOf(sink, tab, "optedout"), {});
});
