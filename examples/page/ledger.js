/*
 * The list of what was claimed and what arrived, and the demo's own three addresses, which nginx serves: the lines that
 * the receiver has written, the metrics of faro-ingest, and the receiver's switch. Without them, as where only the page
 * is served, the list shows what was claimed.
 */
"use strict";

/* Before the SDK puts its own in place: nothing that this file asks for is telemetry. */
const quietFetch = window.fetch.bind(window);

const LONGEST = 40;
/* What the relay sets whatever the page says; of the version the page's own counts. */
const SET = ["app", "namespace", "environment"];

const waiting = new Map();
const relay = { on: true, spool: 0, refused: {} };

function make(tag, className, ...content) {
	const element = document.createElement(tag);
	element.className = className;
	element.append(...content);
	return element;
}

/* A card on top of the list; `by` is "page" for what a button did, "sdk" for what the SDK does unasked. */
function addCard(title, { kind = "", by = "page" } = {}) {
	const ledger = document.getElementById("ledger");
	const state = make("span", "state", "sent");
	const head = make("div", "head", make("span", "kind", kind), make("b", "", title), state);
	const card = make("li", `card by-${by}`, head);
	head.querySelector("b").title = title;
	ledger.prepend(card);
	[...ledger.querySelectorAll(`.by-${by}`)].slice(LONGEST).forEach((old) => old.remove());
	return { card, state };
}

function setState({ card, state }, name, text) {
	card.classList.remove("arrived", "refused", "kept");
	card.classList.add(name);
	state.textContent = text;
}

function addText({ card }, text) {
	card.append(make("p", "", text));
}

/* The table of one item; arrived() fills in the other side. */
function addItem(entry, item) {
	const rows = {};
	const table = make("table", "", make("thead", "", make("tr", "",
		make("th", ""), make("th", "", "page claimed"), make("th", "", "what arrived"))));
	const body = make("tbody", "");
	for (const name of [...SET, "version"]) {
		const arrived = make("td", "", "…");
		const claimed = make("td", "", item.labels[name] ?? "nothing");
		rows[name] = { arrived, claimed };
		body.append(make("tr", "", make("th", "", name), claimed, arrived));
	}
	table.append(body);
	entry.card.append(table);
	waiting.set(item.key, (labels) => {
		for (const [name, { arrived, claimed }] of Object.entries(rows)) {
			arrived.textContent = labels[name] ?? "nothing";
			const byRelay = SET.includes(name) || item.labels[name] === undefined;
			arrived.className = byRelay && labels[name] !== undefined ? "relay" : "";
			if (labels[name] !== item.labels[name]) claimed.className = "replaced";
		}
		const how = entry.card.classList.contains("kept") ? "arrived, from the spool" : "arrived";
		const corrected = SET.some((name) => labels[name] !== item.labels[name]);
		setState(entry, "arrived", corrected ? `${how}, corrected` : how);
	});
}

function addSent(item, by) {
	const entry = addCard(item.says, { kind: item.kind, by });
	addItem(entry, item);
	setTimeout(() => {
		if (waiting.has(item.key)) setState(entry, "kept", relay.on ? "not there yet" : "202: kept until the receiver is back");
	}, 2000);
}

/* ---- what the demo serves ---- */

let read = -1;

/* What has been appended since; the last byte comes twice, since a range must not be empty. */
async function readLines() {
	if (read < 0) {
		const reply = await quietFetch("/demo/lines", { method: "HEAD" });
		if (!reply.ok) return false;
		read = Number(reply.headers.get("Content-Length"));
		return true;
	}
	const from = Math.max(read - 1, 0);
	const reply = await quietFetch("/demo/lines", { headers: { Range: `bytes=${from}-` }, cache: "no-store" });
	if (reply.status !== 206) return reply.ok;
	const bytes = new Uint8Array(await reply.arrayBuffer());
	const end = bytes.lastIndexOf(10) + 1; // whole lines
	const text = new TextDecoder().decode(bytes.subarray(read - from, end));
	read = Math.max(read, from + end);
	for (const line of text.split("\n").filter(Boolean)) {
		const item = itemArrived(line);
		waiting.get(item.key)?.(item.labels);
		waiting.delete(item.key);
	}
	return true;
}

async function readMetrics() {
	const text = await (await quietFetch("/demo/metrics")).text();
	relay.spool = Number(/^faro_ingest_spool_records (\d+)/m.exec(text)?.[1] ?? 0);
	for (const [, reason, count] of text.matchAll(/^faro_ingest_rejected_total\{reason="(\w+)"\} (\d+)/gm))
		relay.refused[reason] = Number(count);
	const sum = Object.values(relay.refused).reduce((all, count) => all + count, 0);
	document.getElementById("spool").textContent = relay.spool;
	document.getElementById("refused").textContent = sum;
	document.getElementById("spool").classList.toggle("some", relay.spool > 0);
	document.getElementById("refused").classList.toggle("some", sum > 0);
}

function showReceiver(on) {
	relay.on = on;
	document.getElementById("receiver-state").textContent = on ? "on" : "off";
	document.getElementById("receiver-box").classList.toggle("off", !on);
	const button = document.getElementById("receiver");
	button.setAttribute("aria-pressed", String(!on));
	button.firstChild.textContent = on ? "Switch the receiver off" : "Switch the receiver on";
	button.querySelector("small").textContent = on
		? "then send, then switch it on again" : "what was sent meanwhile arrives then";
}

async function switchReceiver(on) {
	await quietFetch("/demo/off", { method: on ? "DELETE" : "PUT", body: on ? undefined : "off" });
	showReceiver(on);
}

async function watch() {
	try {
		if (!document.hidden) {
			if (!(await readLines())) return;
			await readMetrics();
			showReceiver((await (await quietFetch("/demo/receiver")).text()) === "on");
		}
	} catch {
		document.getElementById("receiver-state").textContent = "gone: the demo has ended";
		return;
	}
	setTimeout(watch, 400);
}
