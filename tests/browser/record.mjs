/*
 * Records examples/beacons from the real SDK in Chromium: `node tests/browser/record.mjs`.
 *
 * One scenario is one fresh browser profile: load the page, load the SDK, do what the scenario says, keep the batch it
 * asks for. Nothing is written by hand and nothing is changed afterwards; the compressed file is what the SDK itself
 * compressed from the same batch, and a recording where the two differ fails.
 */
import { readFile, writeFile, readdir, rm } from "node:fs/promises";
import { gunzipSync } from "node:zlib";
import { launch, newContext } from "./lib/chromium.mjs";
import { startRecorder } from "./lib/recorder.mjs";

const out = new URL("../../examples/beacons/", import.meta.url);

/* A fixed port, since it is part of what is recorded: two recordings then differ in ids and times alone. */
const PORT = Number(process.env.RECORD_PORT ?? 8088);

/* Only what every browser sends; of the rest nothing matters to who reads a beacon. */
const HEADERS = [
	"content-type",
	"content-encoding",
	"content-length",
	"accept",
	"origin",
	"sec-fetch-site",
	"sec-fetch-mode",
	"sec-fetch-dest",
	"x-faro-session-id",
	"idempotency-key",
	"traceparent",
];

const has = (kind, count = 1) => (beacon) => (beacon[kind]?.length ?? 0) >= count;
const hasSpans = (beacon) => beacon.traces?.resourceSpans?.length > 0;
const hasEvent = (name) => (beacon) => beacon.events?.some((event) => event.name === name);
const all = (...tests) => (beacon) => tests.every((test) => test(beacon));
const typeCount = (type, count) => (beacon) =>
	(beacon.measurements ?? []).filter((one) => one.type === type).length >= count;

const ONE_BATCH = { sendTimeout: 2500, itemLimit: 1000 };
const BIG_BATCH = { sendTimeout: 6000, itemLimit: 5000 };

/* only: instrumentations by their last name; none named: all. want: which of the posted batches is the one to keep. */
const SCENARIOS = {
	"session-start": { run: "sessionStart", only: ["session"], want: hasEvent("session_start") },
	errors: { run: "errors", only: ["session", "errors", "console"], batching: ONE_BATCH, want: has("exceptions", 6) },
	logs: { run: "logs", only: ["session", "console"], batching: ONE_BATCH, want: has("logs", 11) },
	events: { run: "events", only: ["session", "view"], want: hasEvent("item_removed") },
	measurements: { run: "measurements", only: ["session"], batching: ONE_BATCH, want: has("measurements", 4) },
	"web-vitals": {
		run: "vitals",
		only: ["session", "web-vitals"],
		batching: ONE_BATCH,
		after: (page) => page.click("#pay"),
		want: typeCount("web-vitals", 5),
	},
	performance: {
		run: "performanceEntries",
		only: ["session", "performance"],
		batching: ONE_BATCH,
		want: all(hasEvent("faro.performance.navigation"), hasEvent("faro.performance.resource")),
	},
	"user-action": {
		run: "userAction",
		tracing: true,
		batching: ONE_BATCH,
		after: (page) => page.click("#pay"),
		want: hasEvent("faro.user.action"),
	},
	traces: { run: "traces", only: ["session"], tracing: true, batching: ONE_BATCH, want: hasSpans },
	"mixed-with-traces": {
		run: "mixedWithTraces",
		tracing: true,
		batching: ONE_BATCH,
		want: all(hasSpans, has("exceptions"), has("logs"), has("events"), has("measurements")),
	},
	"mixed-without-traces": {
		run: "mixed",
		batching: ONE_BATCH,
		want: all(has("exceptions"), has("logs"), has("events"), has("measurements")),
	},
};

/* About 3, 18 and 230 KB, all of them with spans. */
const BENCH = {
	"bench-small": { run: "small", only: ["session"], tracing: true, batching: ONE_BATCH, want: hasSpans },
	"bench-medium": { run: "medium", only: ["session", "console"], tracing: true, batching: BIG_BATCH, want: hasSpans },
	"bench-large": { run: "large", only: ["session", "console"], tracing: true, batching: BIG_BATCH, want: hasSpans },
};

const decoded = (post) => (post.headers["content-encoding"] === "gzip" ? gunzipSync(post.body) : post.body);

/* The wanted batch with its compressed twin, or null while one of them is not there yet. */
function findPair(posts, want) {
	for (const plain of posts) {
		if (plain.headers["content-encoding"] || !want(JSON.parse(plain.body))) continue;
		const gzip = posts.find((post) => post.headers["content-encoding"] && decoded(post).equals(plain.body));
		if (gzip) return { plain, gzip };
	}
	return null;
}

async function record(browser, recorder, version, scenario) {
	const context = await newContext(browser);
	try {
		const page = await context.newPage();
		await page.goto(`${recorder.origin}/shop/cart`);
		for (const bundle of ["faro-web-sdk.iife.js", "faro-web-tracing.iife.js"]) {
			await page.addScriptTag({ url: `/sdk/${version}/${bundle}` });
		}
		recorder.posts.length = 0;
		const { only, tracing, batching } = scenario;
		await page.evaluate(([run, options]) => window.shop.play(run, options), [
			scenario.run,
			{ only, tracing, batching },
		]);
		await page.waitForSelector("body[data-played]");
		await scenario.after?.(page);
		return await recorder.until((posts) => findPair(posts, scenario.want));
	} finally {
		await context.close();
	}
}

function keptHeaders(post) {
	return Object.fromEntries(HEADERS.filter((name) => post.headers[name]).map((name) => [name, post.headers[name]]));
}

function contents(body) {
	const beacon = JSON.parse(body);
	const spans = (beacon.traces?.resourceSpans ?? []).flatMap((one) => one.scopeSpans.flatMap((scope) => scope.spans));
	const kinds = ["exceptions", "logs", "events", "measurements"].map((kind) => [beacon[kind]?.length ?? 0, kind]);
	return [...kinds, [spans.length, "spans"]].filter(([n]) => n).map(([n, kind]) => `${n} ${kind}`).join(", ");
}

async function save(name, version, pair, headers, rows) {
	await writeFile(new URL(`${name}.json`, out), pair.plain.body);
	await writeFile(new URL(`${name}.json.gz`, out), pair.gzip.body);
	headers[`${name}.json`] = keptHeaders(pair.plain);
	headers[`${name}.json.gz`] = keptHeaders(pair.gzip);
	const sdk = JSON.parse(pair.plain.body).meta.sdk.version;
	const row = `| ${name} | ${sdk} | ${pair.plain.body.length} | ${pair.gzip.body.length} | ${contents(pair.plain.body)} |`;
	rows.push(row);
	console.log(row);
}

async function writeTable(rows) {
	const readme = new URL("README.md", out);
	const text = await readFile(readme, "utf8");
	const head = "| file | SDK | .json bytes | .json.gz bytes | in it |\n|---|---|---:|---:|---|\n";
	await writeFile(readme, text.replace(/(<!-- table -->\n)[^]*(<!-- end -->)/, `$1${head}${rows.join("\n")}\n$2`));
}

async function main() {
	const recorder = await startRecorder(PORT);
	const browser = await launch();
	const headers = {};
	const rows = [];

	try {
		for (const file of await readdir(out)) {
			if (/\.json(\.gz)?$/.test(file)) await rm(new URL(file, out));
		}
		for (const version of ["2.12", "2.8"]) {
			for (const [name, scenario] of Object.entries(SCENARIOS)) {
				const pair = await record(browser, recorder, version, scenario);
				await save(`${name}-${version}`, version, pair, headers, rows);
			}
		}
		for (const [name, scenario] of Object.entries(BENCH)) {
			await save(name, "2.12", await record(browser, recorder, "2.12", scenario), headers, rows);
		}
		await writeFile(new URL("headers.json", out), `${JSON.stringify(headers, null, "\t")}\n`);
		await writeTable(rows);
	} finally {
		await browser.close();
		await recorder.close();
	}
}

await main();
