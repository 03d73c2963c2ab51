// SPDX-License-Identifier: Apache-2.0
/*
 * Web servers: some as good as nginx, whose beacons are marked and whose answers count, and some that no
 * responder deserves.
 */
import { connect } from "node:net";
import { deflateRawSync, deflateSync, gzipSync } from "node:zlib";

import { pause } from "../../system/lib/beacons.mjs";
import { beaconParams, FastcgiClient, record, requestBytes } from "../../system/lib/fastcgi.mjs";

/* A healthy responder answers or hangs up long before, also after the longest stop. */
const ANSWER_MS = 60_000;
const POISONS = [400, 403, 404, 408, 413, 500];
const CODINGS = [
	[undefined, (bytes) => bytes], ["gzip", gzipSync], ["deflate", deflateSync], ["deflate", deflateRawSync],
];
/* The receiver's word, or the responder's own, for "not now". */
const RETRIED = new Set([429, 500, 502, 503, 504]);

/* The result of the promise, or "late". */
async function within(ms, promise) {
	let timer;
	const late = new Promise((done) => {
		timer = setTimeout(done, ms, "late");
	});
	const first = await Promise.race([promise, late]);
	clearTimeout(timer);
	return first;
}

async function open(socket) {
	try {
		return await FastcgiClient.open(socket);
	} catch {
		return undefined; // it is dead, or has too few descriptors
	}
}

function body(ledger, n, poison, dice) {
	const filler = dice.chance(5) ? "y".repeat(dice.between(1000, 100_000)) : "";
	const message = `id=${ledger.id(n)};${poison ? `poison=${poison};` : ""}${filler}`;
	const text = JSON.stringify({
		meta: { app: { name: "shop" }, session: { id: `s${dice.below(50)}` } },
		logs: [{ message, level: "info", timestamp: "2026-01-02T03:04:05.678Z" }],
		...(dice.chance(20) && { events: [{ name: "click", attributes: { n: String(n) } }] }),
	});
	const [coding, encode] = dice.one(CODINGS);
	return { bytes: encode(Buffer.from(text)), headers: coding ? { HTTP_CONTENT_ENCODING: coding } : {} };
}

/* In a few pieces, as a slow network would. The answer may come before the last one. */
async function sendSlowly(client, params, bytes, dice) {
	const all = requestBytes(params, bytes);
	let at = dice.between(1, all.length - 1);
	const reply = client.sendBytes(all.subarray(0, at));
	while (at < all.length && !client.ended) {
		await pause(dice.between(1, 150));
		const end = Math.min(all.length, at + dice.between(1, all.length));
		client.socket.write(all.subarray(at, end));
		at = end;
	}
	return reply;
}

/* One that awaits every answer, sends again what was not taken, and sometimes what was. */
class GoodClient {
	constructor({ ledger, socket, dice, poisons }) {
		Object.assign(this, { ledger, socket, dice, poisons });
	}

	async run(isOver) {
		while (!isOver()) {
			await this.#deliver();
			await pause(this.dice.between(0, 40));
		}
		this.client?.close();
	}

	/* Every draw is made before the first answer, so that none of them moves another one. */
	async #deliver() {
		const { ledger, dice } = this;
		const poison = dice.chance(this.poisons) ? dice.one(POISONS) : 0;
		const n = ledger.begin(poison);
		const sent = body(ledger, n, poison, dice);
		const params = beaconParams(sent.bytes.length, { ...sent.headers, HTTP_IDEMPOTENCY_KEY: ledger.id(n) });
		const [retries, again] = [dice.between(0, 3), dice.chance(4)];
		for (let attempt = 0; attempt <= retries; attempt++) {
			const reply = await this.#attempt(n, params, sent.bytes);
			if (reply && !RETRIED.has(reply.status) && !(reply.status === 202 && again)) break;
			await pause(20 + 80 * attempt);
		}
		ledger.forget(n);
	}

	async #attempt(n, params, bytes) {
		const { ledger, dice } = this;
		if (!this.client || this.client.ended) this.client = await open(this.socket);
		if (!this.client) return undefined;
		ledger.counts.sent++;
		const slowly = bytes.length < 2000 && dice.chance(5);
		const reply = await within(ANSWER_MS,
			slowly ? sendSlowly(this.client, params, bytes, dice) : this.client.send(params, bytes));
		if (reply === "late") {
			ledger.violation(`beacon ${ledger.id(n)} got no answer and no end within ${ANSWER_MS / 1000} s`, ledger.history(n));
			this.client.close();
			this.client = undefined;
			return undefined;
		}
		const status = reply?.status ?? "closed";
		ledger.statuses[status] = (ledger.statuses[status] ?? 0) + 1;
		ledger.note(n, `client: ${status}${reply?.json ? ` ${reply.json.reason}` : ""}`);
		if (status === 202) ledger.promise(n);
		return reply;
	}
}

/* --- the bad ones ------------------------------------------------------------------------------------ */

const zeros = Buffer.alloc(32 * 2 ** 20);
const BOMB = gzipSync(zeros, { level: 9 });
const good = Buffer.from('{"meta":{"app":{"name":"shop"}},"logs":[{"message":"nobody waits for this","level":"info"}]}');
const BODIES = [
	"", "{", "null", "[]", `{"a":${"[".repeat(100_000)}`, `{"meta":{},"meta":{}}`, `\ufeff{}`, `{"logs":[{"message":"\\ud800"}]}`,
	`{"traces":{"resourceSpans":[{"":1}]}}`, `{"measurements":[{"type":"x","values":{"kind":1,"app_name":2}}]}`,
].map((text) => Buffer.from(text));

/* Each is what one connection writes; what happens to it then is chosen apart. */
const WRITES = {
	random: (dice) => dice.bytes(dice.between(1, 3000)),
	brokenHeader: (dice) => {
		const bytes = Buffer.from(requestBytes(beaconParams(good.length), good));
		for (let i = dice.between(1, 8); i > 0; i--) bytes[dice.below(bytes.length)] = dice.below(256);
		return bytes;
	},
	unknownTypes: (dice) => Buffer.concat(Array.from({ length: 50 }, () =>
		record(dice.below(256), dice.bytes(dice.below(100)), dice.below(65536)))),
	half: (dice) => {
		const bytes = requestBytes(beaconParams(good.length), good);
		return bytes.subarray(0, dice.between(1, bytes.length - 1));
	},
	whole: () => requestBytes(beaconParams(good.length), good),
	aborted: () => requestBytes(beaconParams(good.length), good, "abort"),
	wrongLength: (dice) => requestBytes(beaconParams(dice.one([0, 1, 10_000, -1, "x", 2 ** 40])), good),
	bomb: () => requestBytes(beaconParams(BOMB.length, { HTTP_CONTENT_ENCODING: "gzip" }), BOMB),
	badBody: (dice) => {
		const bytes = dice.one(BODIES);
		return requestBytes(beaconParams(bytes.length), bytes);
	},
	badCoding: (dice) => {
		const bytes = dice.bytes(500);
		return requestBytes(beaconParams(bytes.length, { HTTP_CONTENT_ENCODING: dice.one(["gzip", "deflate", "br", "gzip, gzip"]) }), bytes);
	},
	longValues: (dice) => requestBytes(beaconParams(good.length, {
		HTTP_IDEMPOTENCY_KEY: "k".repeat(dice.between(100, 8000)), HTTP_TRACEPARENT: "t".repeat(dice.between(1, 8000)),
		[`HTTP_${"X".repeat(dice.between(1, 5000))}`]: "y".repeat(dice.between(1, 40_000)),
	}), good),
	many: (dice) => Buffer.concat(Array.from({ length: dice.between(2, 60) }, () => requestBytes(beaconParams(good.length), good))),
	pages: (dice) => Buffer.concat(Array.from({ length: 40 }, () => requestBytes(
		beaconParams(0, { FARO_ENDPOINT: dice.one(["metrics", "health", "ready", "nonsense"]), REQUEST_METHOD: "GET" }), Buffer.alloc(0)))),
};

/* What comes back is read at once, late, or never. */
function writeBadly(path, bytes, dice, isOver) {
	const [reads, stayMs, ends] = [dice.weighted({ now: 5, late: 3, never: 2 }), dice.one([0, 5, 100, 1000, 5000]), dice.chance(50)];
	return new Promise((done) => {
		const socket = connect({ path, allowHalfOpen: true });
		const timers = [setTimeout(() => socket.destroy(), isOver() ? 0 : stayMs)];
		socket.on("error", () => {});
		socket.on("close", () => {
			timers.forEach(clearTimeout);
			done();
		});
		if (reads === "now") socket.resume();
		if (reads === "late") timers.push(setTimeout(() => socket.resume(), stayMs / 2));
		if (ends) socket.end(bytes);
		else socket.write(bytes);
	});
}

async function badClient({ ledger, socket, dice }, isOver) {
	while (!isOver()) {
		const how = dice.one(Object.keys(WRITES));
		ledger.hostile = (ledger.hostile ?? 0) + 1;
		await writeBadly(socket, WRITES[how](dice), dice, isOver);
		await pause(dice.between(5, 200));
	}
}

export const goodClient = (options, isOver) => new GoodClient(options).run(isOver);
export { badClient };
