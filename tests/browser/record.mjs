// SPDX-License-Identifier: Apache-2.0
/*
 * Records examples/beacons from the real SDK in Chromium: `node tests/browser/record.mjs`, or only some of them:
 * `node tests/browser/record.mjs replay-2.12 bench-small`.
 *
 * One scenario is one fresh browser profile: load the page, load the SDK, do what the scenario says, keep the batch it
 * asks for. Nothing is written by hand and nothing is changed afterwards; the compressed file is what the SDK itself
 * compressed from the same batch, and a recording where the two differ fails.
 */
import { readFile, readdir, rm, writeFile } from "node:fs/promises";
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
const hasEvent = (name, count = 1) => (beacon) =>
	(beacon.events ?? []).filter((event) => event.name === name).length >= count;
const all = (...tests) => (beacon) => tests.every((test) => test(beacon));
const typeCount = (type, count) => (beacon) =>
	(beacon.measurements ?? []).filter((one) => one.type === type).length >= count;

const ONE_BATCH = { sendTimeout: 2500, itemLimit: 1000 };
const BIG_BATCH = { sendTimeout: 6000, itemLimit: 5000 };

const SDK = ["faro-web-sdk.iife.js", "faro-web-tracing.iife.js"].map((name) => `/sdk/VERSION/${name}`);
const REPLAY = [...SDK, "/sdk/VERSION/faro-instrumentation-replay.iife.js"];
const REACT = ["/assets/react.js"];

/* Moves, types and clicks, so that a replay has more than the page in it. */
async function useThePage(page) {
	await page.mouse.move(200, 150, { steps: 5 });
	await page.fill("#coupon", "TEA-10%");
	await page.click("#pay");
}

/* only: instrumentations by their last name; none named: all of getWebInstrumentations(). want: which of the posted
 * batches is the one to keep. scripts: what the page loads. strict: it has a content security policy. */
const SCENARIOS = {
	"session-start": { run: "sessionStart", only: ["session"], want: hasEvent("session_start") },
	"no-session": { run: "logs", only: ["console"], session: false, batching: ONE_BATCH, want: has("logs", 11) },
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
	"csp-violation": {
		run: "violations",
		strict: true,
		only: ["session", "csp"],
		batching: ONE_BATCH,
		want: hasEvent("securitypolicyviolation", 2),
	},
	"all-instrumentations": {
		run: "everything",
		strict: true,
		tracing: true,
		batching: BIG_BATCH,
		after: (page) => page.click("#pay"),
		want: all(
			hasSpans, has("exceptions", 6), has("logs"), typeCount("web-vitals", 2),
			hasEvent("faro.performance.navigation"), hasEvent("faro.performance.resource"),
			hasEvent("securitypolicyviolation", 2), hasEvent("faro.user.action"), hasEvent("session_start"),
		),
	},
};

/* Packages around the SDK; they are of its newest version. */
const NEIGHBOURS = {
	"react-error": {
		run: "reactError",
		scripts: REACT,
		only: ["session", "errors"],
		batching: ONE_BATCH,
		want: has("exceptions", 2),
	},
	"react-routes": {
		run: "reactRoutes",
		scripts: REACT,
		only: ["session"],
		batching: ONE_BATCH,
		want: hasEvent("route_change", 2), // the third has another page.url, so another batch
	},
	"react-profiler": {
		run: "reactProfiler",
		scripts: REACT,
		only: ["session"],
		tracing: true,
		batching: ONE_BATCH,
		want: hasSpans,
	},
	"react-all": {
		run: "reactEverything",
		scripts: REACT,
		tracing: true,
		batching: BIG_BATCH,
		want: all(hasSpans, has("exceptions", 2), has("measurements"), hasEvent("route_change")),
	},
	replay: {
		run: "replay",
		scripts: REPLAY,
		only: ["session"],
		batching: ONE_BATCH,
		after: useThePage,
		want: hasEvent("faro.session_recording.event", 8),
	},
	"replay-all": {
		run: "replayEverything",
		scripts: REPLAY,
		tracing: true,
		batching: BIG_BATCH,
		after: useThePage,
		want: all(hasSpans, has("exceptions", 6), hasEvent("faro.session_recording.event", 8), hasEvent("faro.user.action")),
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
		const { only, tracing, batching, session, strict, scripts = SDK } = scenario;
		await page.goto(`${recorder.origin}/shop/${strict ? "strict" : "cart"}`);
		for (const script of scripts) await page.addScriptTag({ url: script.replace("VERSION", version) });
		recorder.posts.length = 0;
		await page.evaluate(([run, options]) => window.shop.play(run, options), [
			scenario.run,
			{ only, tracing, batching, session },
		]);
		await page.waitForSelector("body[data-played]");
		await scenario.after?.(page);
		return await recorder.until((posts) => findPair(posts, scenario.want));
	} catch (cause) {
		const posted = recorder.posts.map((post) => contents(decoded(post))).join("; ");
		throw new Error(`${scenario.run} with SDK ${version}: the wanted batch did not come, but: ${posted}`, { cause });
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

async function save(name, pair, headers) {
	await writeFile(new URL(`${name}.json`, out), pair.plain.body);
	await writeFile(new URL(`${name}.json.gz`, out), pair.gzip.body);
	headers[`${name}.json`] = keptHeaders(pair.plain);
	headers[`${name}.json.gz`] = keptHeaders(pair.gzip);
}

async function row(name) {
	const [plain, gzip] = await Promise.all(["json", "json.gz"].map((end) => readFile(new URL(`${name}.${end}`, out))));
	const sdk = JSON.parse(plain).meta.sdk.version;
	return `| ${name} | ${sdk} | ${plain.length} | ${gzip.length} | ${contents(plain)} |`;
}

/* Of all that is there, not only of what was recorded now. */
async function writeTable(names) {
	const readme = new URL("README.md", out);
	const text = await readFile(readme, "utf8");
	const head = "| file | SDK | .json bytes | .json.gz bytes | in it |\n|---|---|---:|---:|---|\n";
	const rows = (await Promise.all(names.map(row))).join("\n");
	const table = (_, start, end) => `${start}${head}${rows}\n${end}`;
	await writeFile(readme, text.replace(/(<!-- table -->\n)[^]*(<!-- end -->)/, table));
	console.log(rows);
}

/* Every beacon by its name: { version, scenario }. */
function listAll() {
	const named = (scenarios, version, name = (one) => `${one}-${version}`) =>
		Object.entries(scenarios).map(([one, scenario]) => [name(one), { version, scenario }]);
	return new Map([
		...named(SCENARIOS, "2.12"),
		...named(NEIGHBOURS, "2.12"),
		...named(SCENARIOS, "2.8"),
		...named(BENCH, "2.12", (one) => one),
	]);
}

const headersFile = new URL("headers.json", out);

/* What is recorded no more goes; with it all headers, when all are recorded. */
async function begin(known, wanted) {
	if (wanted.length < known.size) return JSON.parse(await readFile(headersFile, "utf8"));
	for (const file of await readdir(out)) {
		if (/\.json(\.gz)?$/.test(file)) await rm(new URL(file, out));
	}
	return {};
}

async function main(names) {
	const known = listAll();
	const wanted = names.length > 0 ? names : [...known.keys()];
	const unknown = wanted.filter((name) => !known.has(name));
	if (unknown.length > 0) throw new Error(`no such beacon: ${unknown.join(", ")}; there are ${[...known.keys()].join(", ")}`);

	const recorder = await startRecorder(PORT);
	const browser = await launch();
	try {
		const headers = await begin(known, wanted);
		for (const name of wanted) {
			const { version, scenario } = known.get(name);
			await save(name, await record(browser, recorder, version, scenario), headers);
		}
		const sorted = Object.fromEntries(Object.entries(headers).sort(([a], [b]) => (a < b ? -1 : 1)));
		await writeFile(headersFile, `${JSON.stringify(sorted, null, "\t")}\n`);
		await writeTable([...known.keys()].filter((name) => headers[`${name}.json`]));
	} finally {
		await browser.close();
		await recorder.close();
	}
}

await main(process.argv.slice(2));
