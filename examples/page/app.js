/*
 * Starts the SDK from /faro/config.js and shows what it takes and what the relay replies. A service needs the lines in
 * start() and no more; the rest is this page's buttons and lists.
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
	});
}

function addRow(list, what, detail, className = "") {
	const row = document.createElement("li");
	const cells = [
		["span", what, className],
		["span", detail, ""],
		["time", new Date().toLocaleTimeString(), ""],
	];
	for (const [tag, text, name] of cells) {
		const cell = document.createElement(tag);
		cell.textContent = text;
		cell.title = text;
		cell.className = name;
		row.append(cell);
	}
	document.getElementById(list).prepend(row);
}

function describe({ type, payload }) {
	switch (type) {
		case "exception":
			return `${payload.type}: ${payload.value}`;
		case "log":
			return payload.message;
		case "event":
			return payload.name;
		case "measurement":
			return `${payload.type} ${Object.keys(payload.values)[0]}`;
		default:
			return payload.resourceSpans
				.flatMap((resource) => resource.scopeSpans.flatMap((scope) => scope.spans.map((span) => span.name)))
				.join(", ");
	}
}

function showItem(item) {
	addRow("items", item.type, describe(item));
	return item;
}

/* The browser's own record of the posts: it sees them as they went, and touches none of them. */
function showReplies() {
	new PerformanceObserver((list) => {
		for (const entry of list.getEntries()) {
			if (entry.name !== faroConfig.collectorUrl) continue;
			const status = entry.responseStatus || "no reply";
			addRow("replies", status, `after ${Math.round(entry.duration)} ms`, entry.responseStatus === 202 ? "good" : "bad");
		}
	}).observe({ type: "resource", buffered: true });
}

function showClaims() {
	document.getElementById("version").textContent = GrafanaFaroWebSdk.VERSION;
	document.getElementById("collector").textContent = faroConfig.collectorUrl;
	for (const [name, value] of Object.entries(claims)) {
		const term = document.createElement("dt");
		const definition = document.createElement("dd");
		term.textContent = name;
		definition.textContent = value;
		document.getElementById("claims").append(term, definition);
	}
}

function onClick(id, action) {
	document.getElementById(id).addEventListener("click", action);
}

showClaims();
showReplies();

const faro = start();

onClick("error", () => {
	throw new Error(`thrown by a button at ${new Date().toISOString()}`);
});
onClick("log", () => faro.api.pushLog([`a line of log, café №${Math.ceil(Math.random() * 1000)}`]));
onClick("event", () => faro.api.pushEvent("button_clicked", { at: new Date().toISOString() }));
onClick("measurement", () => faro.api.pushMeasurement({ type: "demo", values: { luck: Math.random() } }));
onClick("fetch", () => fetch(`/faro/config.js?at=${Date.now()}`));
