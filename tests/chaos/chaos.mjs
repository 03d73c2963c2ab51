// SPDX-License-Identifier: Apache-2.0
/*
 * Everything at once, for a while: hostile web servers, hostile receivers, failing calls and allocations,
 * kills, ends and stops, over one spool directory. Then all is made healthy, and the law is looked at:
 *
 * - Each beacon that was answered 202 was answered 2xx by the receiver, or is in the spool's quarantine.
 *   Only what the receiver always answers with an error may still wait in the spool: its quarantine takes minutes.
 * - No sanitizer has said anything; the responder ended only when it was told to, and it still answers.
 *
 * Beacons that come twice are allowed here: a killed responder cannot know that it has sent one. The loss
 * of power is not imitated: what the kernel was given is on the disk.
 *
 *	FARO_CHAOS_SECONDS=120  how long, before the end in health
 *	FARO_CHAOS_SEED=NUMBER  the same one makes the same plan (not the same timing)
 *	FARO_CHAOS_WITHOUT=LIST of kill stop fail disk poison bad upstream: leaves that out, to find a cause
 *	FARO_CHAOS_DRAIN_SECONDS=180  how long the end in health may take
 *	FARO_CHAOS_KEEP=FOLDER  where the spool and the log go after a violation
 *
 * node tests/chaos/chaos.mjs [--plan]: runs it, or prints the plan.
 */
import { createHash, randomInt } from "node:crypto";
import { cpSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";

import { numbered, pause, sendOne, status } from "../system/lib/beacons.mjs";
import { ingestBinary, root, Stage } from "../system/lib/stage.mjs";
import { makeCertificate } from "../system/lib/tls.mjs";
import { badClient, goodClient } from "./lib/clients.mjs";
import { Ledger } from "./lib/ledger.mjs";
import { Dice, makePlan } from "./lib/plan.mjs";
import { Responder } from "./lib/responder.mjs";
import { Upstream } from "./lib/upstream.mjs";

const seconds = Number(process.env.FARO_CHAOS_SECONDS || 120);
const seed = Number(process.env.FARO_CHAOS_SEED || randomInt(1, 2 ** 31));
const without = new Set((process.env.FARO_CHAOS_WITHOUT ?? "").split(/[ ,]+/));
const wanted = (what) => !without.has(what);
const keep = process.env.FARO_CHAOS_KEEP ?? join(root, ".build/chaos");

const GOOD_CLIENTS = 12, BAD_CLIENTS = 4;
const POISON_PERCENT = 1;
const HARVEST_MS = 5000; // before the oldest of the quarantine make room
const DRAIN_S = Number(process.env.FARO_CHAOS_DRAIN_SECONDS || 180);
const SHOWN_MAX = 20;
const HEALTHY = { shim: "none", https: false, workers: 1, sync: "full", lengthMs: 0, acts: [], end: "SIGTERM" };

async function harvest(responder, ledger) {
	for (const { text } of await responder.stored(true)) ledger.quarantine(ledger.find(text));
}

async function everyNow(ms, isOver, act) {
	while (!isOver()) {
		await act();
		for (const end = Date.now() + ms; Date.now() < end && !isOver();) await pause(50);
	}
}

/* The receiver's moods, one after the other. */
async function feel(upstream, moods, isOver) {
	for (let i = 0; !isOver(); i++) {
		const mood = moods[i % moods.length];
		await upstream.feel(mood);
		for (const end = Date.now() + mood.ms; Date.now() < end && !isOver();) await pause(20);
	}
}

async function live(responder, lives, isOver) {
	for (let i = 0; !isOver(); i++) if (await responder.live(lives[i % lives.length], isOver)) return;
	await responder.start(HEALTHY);
}

function clients(ledger, socket, isOver) {
	const running = [];
	const options = (name, i) => ({ ledger, socket, dice: new Dice(seed, `${name} ${i}`), poisons: wanted("poison") ? POISON_PERCENT : 0 });
	for (let i = 0; i < GOOD_CLIENTS; i++) running.push(goodClient(options("good", i), isOver));
	if (wanted("bad")) for (let i = 0; i < BAD_CLIENTS; i++) running.push(badClient(options("bad", i), isOver));
	return running;
}

/* Others must be taken meanwhile: where nobody is, nothing is said about a single beacon. */
async function drain(responder, ledger) {
	const end = Date.now() + DRAIN_S * 1000;
	let trickle = 0;
	while (ledger.hasGoodOutstanding() && Date.now() < end && !responder.process.ended) {
		await sendOne(responder.socket, numbered(`healthy-${++trickle}`), {});
		if (trickle % 10 === 0) await harvest(responder, ledger);
		await pause(100);
	}
	return DRAIN_S - Math.round((end - Date.now()) / 1000);
}

async function assertAnswers(responder, ledger) {
	const page = await Promise.race([status(responder.socket), pause(10_000)]);
	if (page?.("spool_records") === undefined) ledger.violation("at the end its metrics cannot be had");
	const reply = await Promise.race([sendOne(responder.socket, numbered("last"), {}), pause(10_000)]);
	if (reply?.status !== 202) ledger.violation(`at the end a good beacon gets ${reply?.status ?? "no answer"}`);
}

/* What was promised is looked for everywhere, and told. */
async function judge(responder, ledger) {
	const missing = ledger.missing();
	const where = new Map();
	for (const { file, table, reason, text } of await responder.stored(false)) {
		const n = ledger.find(text);
		if (n !== undefined) where.set(n, `${file}: ${table}${reason && ` (${reason})`}`);
	}
	const isStored = (n) => where.get(n) === "spool.db: records";
	/* Poison stays in the spool until it was answered with an error often enough, which takes minutes. */
	const [stuck, lost] = [missing.filter((n) => isStored(n) && !ledger.isPoison(n)), missing.filter((n) => !isStored(n))];
	ledger.counts.waiting = missing.length - stuck.length - lost.length;
	for (const [what, ids] of [["are lost", lost], ["are still in the spool", stuck]])
		if (ids.length)
			ledger.violation(`${ids.length} promised beacons ${what}`, ids.slice(0, SHOWN_MAX).map((n) =>
				`  ${ledger.id(n)}${ledger.isPoison(n) ? " (poison)" : ""}, now in ${where.get(n) ?? "nothing"}\n${ledger.history(n)}`).join("\n"));
	const reports = responder.reports();
	if (reports.length) ledger.violation(`${reports.length} reports of sanitizers`, reports.join("\n").slice(0, 20_000));
}

function print(ledger, responder, drainedS) {
	const { counts } = ledger;
	const { lives, kills, terms, stops, notStarted, failedCalls, failedDisk, movedAside } = responder.counts;
	const list = (object) => Object.entries(object).map(([name, n]) => `${name} ${n}`).join(", ");
	console.log(`seed ${seed}, ${seconds} s and ${drainedS} s to drain, ${ingestBinary}${responder.preloads.sanitizer ? " under sanitizers" : ""}
beacons ${ledger.beacons}, sent ${counts.sent}, poison ${counts.poison}, hostile connections ${ledger.hostile ?? 0}
promised ${counts.promised}, delivered of these ${counts.delivered}, in quarantine ${counts.quarantined}, poison that waits ${counts.waiting}, came again ${counts.duplicates}
restarts ${lives - 1} (SIGKILL ${kills}, SIGTERM ${terms}, not started for a failure ${notStarted}), stops ${stops}
failures injected: calls and allocations ${failedCalls}, disk ${failedDisk}; databases taken for damaged ${movedAside}
clients were answered: ${list(ledger.statuses)}
the receiver answered: ${list(ledger.answers)}
violations: ${ledger.violations.length}`);
}

function keepAll(responder, ledger, plan) {
	const folder = join(keep, String(seed));
	mkdirSync(folder, { recursive: true });
	cpSync(responder.spool, join(folder, "spool"), { recursive: true });
	writeFileSync(join(folder, "responder.log"), `${responder.log.join("\n")}\n`);
	writeFileSync(join(folder, "plan.json"), JSON.stringify(plan, null, "\t"));
	writeFileSync(join(folder, "violations.json"), JSON.stringify(ledger.violations, null, "\t"));
	console.log(`The spool, the log and the plan are in ${folder}; again with FARO_CHAOS_SEED=${seed}.`);
}

async function run(stage, plan) {
	const ledger = new Ledger(`c${seed}`);
	process.on("uncaughtException", (error) => ledger.violation("an answer that cannot be read", error.stack));
	const certificate = await makeCertificate(stage);
	const upstream = new Upstream(ledger, new Dice(seed, "upstream"));
	await upstream.listen(certificate);
	stage.after(() => upstream.stop());
	const responder = new Responder(stage, ledger, upstream, certificate);
	await responder.prepare();

	const end = Date.now() + seconds * 1000;
	let isDone = false;
	const isOver = () => Date.now() >= end;
	const running = clients(ledger, responder.socket, isOver);
	const watching = everyNow(HARVEST_MS, () => isDone, () => harvest(responder, ledger));
	if (wanted("upstream")) running.push(feel(upstream, plan.moods, isOver));
	running.push(live(responder, plan.lives, isOver));
	await Promise.all(running);

	await upstream.feel({ name: "well" });
	const drainedS = await drain(responder, ledger);
	await assertAnswers(responder, ledger);
	isDone = true;
	await watching;
	await responder.end("SIGTERM");
	await harvest(responder, ledger);
	await judge(responder, ledger);
	print(ledger, responder, drainedS);
	if (ledger.violations.length) keepAll(responder, ledger, plan);
	return ledger.violations.length === 0;
}

const plan = makePlan(seed, seconds, wanted);
if (process.argv[2] === "--plan") {
	console.log(JSON.stringify(plan, null, "\t"));
} else {
	const digest = createHash("sha256").update(JSON.stringify(plan)).digest("hex").slice(0, 12);
	console.log(`chaos: seed ${seed}, plan ${digest}: ${plan.lives.length} lives, ${plan.moods.length} moods, ${seconds} s`);
	const stage = new Stage();
	try {
		process.exitCode = (await run(stage, plan)) ? 0 : 1;
	} finally {
		await stage.close();
	}
}
