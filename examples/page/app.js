/*
 * Starts the SDK from /faro/config.js, and does what the buttons say. A service needs the lines in start() and no more.
 *
 * In the address: ?app=NAME&namespace=NAME claims to be somebody else (the relay does not believe it), ?gzip compresses.
 */
"use strict";

const wishes = new URLSearchParams(location.search);
const claims = { ...faroConfig.app };

for (const name of ["namespace", "environment", "version"]) {
	if (wishes.get(name)) claims[name] = wishes.get(name);
}
if (wishes.get("app")) claims.name = wishes.get("app");

function start() {
	return GrafanaFaroWebSdk.initializeFaro({
		url: faroConfig.collectorUrl,
		app: claims,
		requestCompression: wishes.has("gzip"),
		instrumentations: [
			...GrafanaFaroWebSdk.getWebInstrumentations(),
			new GrafanaFaroWebTracing.TracingInstrumentation(),
		],
		beforeSend: showItem,
		ignoreUrls: [/[/]demo[/]/], // what only the demo's page asks for
	});
}

/* What nobody pressed a button for. */
const UNASKED = /^(session_|faro\.(performance|user\.action)|web-vitals)/;

function showItem(item) {
	for (const each of itemsSent(item)) addSent(each, UNASKED.test(each.says) ? "sdk" : "page");
	return item;
}

function showReply(status, milliseconds) {
	const reply = document.getElementById("reply");
	reply.textContent = status ? `${status} after ${Math.round(milliseconds)} ms` : "none, it was cut off";
	reply.className = status === 202 ? "good" : "bad";
}

/* The browser's own record of the posts: it sees them as they went, and touches none of them. */
function watchReplies() {
	new PerformanceObserver((list) => {
		for (const entry of list.getEntries())
			if (entry.name === faroConfig.collectorUrl) showReply(entry.responseStatus, entry.duration);
	}).observe({ type: "resource", buffered: true });
}

/* ---- attacks, made by hand: the SDK would not send them ---- */

const post = (body, headers = {}) => quietFetch(faroConfig.collectorUrl,
	{ method: "POST", headers: { "Content-Type": "application/json", ...headers }, body });

const hex = (bytes) => [...crypto.getRandomValues(new Uint8Array(bytes))]
	.map((byte) => byte.toString(16).padStart(2, "0")).join("");

const number = () => `№${Math.ceil(Math.random() * 1000)}`;

const attribute = ([key, stringValue]) => ({ key, value: { stringValue } });

function forgedBeacon() {
	const now = new Date();
	const resource = {
		"service.name": "payments", "service.namespace": "finance", "deployment.environment.name": "prod",
		"service.version": "6.6.6",
	};
	const nanoseconds = `${now.getTime()}000000`;
	const span = {
		traceId: hex(16), spanId: hex(8), name: "a forged span", kind: 1,
		startTimeUnixNano: nanoseconds, endTimeUnixNano: nanoseconds,
	};
	return {
		meta: { app: { name: "payments", namespace: "finance", environment: "prod", version: "6.6.6" } },
		logs: [{ message: `a forged line, ${number()}`, level: "info", timestamp: now.toISOString() }],
		traces: { resourceSpans: [{
			resource: { attributes: Object.entries(resource).map(attribute) },
			scopeSpans: [{ scope: { name: "by hand" }, spans: [span] }],
		}] },
	};
}

async function forge() {
	const beacon = forgedBeacon();
	for (const item of itemsSent({ type: "log", payload: beacon.logs[0], meta: beacon.meta })) addSent(item, "page");
	for (const item of spansOf(beacon.traces.resourceSpans)) addSent(item, "page");
	await post(JSON.stringify(beacon));
}

const MEGABYTES = 100;

/* A log line of that many zeros, compressed piece by piece. */
async function zipBomb() {
	const piece = new TextEncoder().encode("0".repeat(1_000_000));
	const pieces = new ReadableStream({
		start(controller) {
			controller.enqueue(new TextEncoder().encode('{"logs":[{"message":"'));
			for (let i = 0; i < MEGABYTES; i++) controller.enqueue(piece);
			controller.enqueue(new TextEncoder().encode('"}]}'));
			controller.close();
		},
	});
	return new Response(pieces.pipeThrough(new CompressionStream("gzip"))).blob();
}

async function bomb() {
	const entry = addCard("a zip bomb", { kind: "attack" });
	const packed = await zipBomb();
	const reply = await post(packed, { "Content-Encoding": "gzip" });
	const { reason, detail } = await reply.json();
	setState(entry, "refused", `refused: ${reply.status} ${reason}`);
	addText(entry, `${Math.round(packed.size / 1000)} kB would have become ${MEGABYTES} MB. The relay stopped at its limit. It answered: “${detail}”`);
}

/* The same nginx under its other name is another site to the browser. */
function elsewhere() {
	const other = new URL("elsewhere.html", location.href);
	other.hostname = location.hostname === "localhost" ? "127.0.0.1" : "localhost";
	other.searchParams.set("to", faroConfig.collectorUrl);
	const entry = addCard(`a page of ${other.host} posts to ${location.host}`, { kind: "attack" });
	const before = relay.refused.cross_site ?? 0;
	const frame = make("iframe", "elsewhere");
	frame.title = "a page of another site";
	frame.src = other.href;
	entry.card.append(frame);
	const look = setInterval(() => {
		if ((relay.refused.cross_site ?? 0) === before) return;
		clearInterval(look);
		setState(entry, "refused", "refused: 403 cross_site");
		addText(entry, "The browser says with each request which site made it. The relay takes those of its own origin, and nothing of this one arrived. FARO_ALLOWED_ORIGINS lets others in.");
	}, 200);
}

/* ---- the page ---- */

const onClick = (id, action) => document.getElementById(id).addEventListener("click", action);

document.getElementById("version").textContent = GrafanaFaroWebSdk.VERSION;
document.getElementById("collector").textContent = new URL(faroConfig.collectorUrl).pathname;
document.getElementById("claims").textContent = `${claims.name} in ${claims.namespace}`;
document.getElementById("claims").classList.toggle("bad", claims.name !== faroConfig.app.name);
document.getElementById("own").addEventListener("change", ({ target }) =>
	document.getElementById("ledger").classList.toggle("all", target.checked));

watchReplies();
watch();

const faro = start();

onClick("error", () => {
	throw new Error(`thrown by a button, ${number()}`);
});
onClick("log", () => faro.api.pushLog([`a line of log, café ${number()}`]));
onClick("event", () => faro.api.pushEvent("button_clicked", { at: new Date().toISOString() }));
onClick("measurement", () => faro.api.pushMeasurement({ type: "demo", values: { luck: Math.random() } }));
onClick("fetch", () => fetch(`/faro/config.js?at=${Date.now()}`));
onClick("forge", forge);
onClick("bomb", bomb);
onClick("elsewhere", elsewhere);
onClick("receiver", () => switchReceiver(!relay.on));
