// SPDX-License-Identifier: Apache-2.0
/*
 * The responder, life after life: it is started, stopped, made to fail and ended as the plan has it. What
 * it did otherwise is a violation.
 */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { existsSync, readFileSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";

import { pause } from "../../system/lib/beacons.mjs";
import { ingestEnv } from "../../system/lib/faro.mjs";
import { compileShim, numbers } from "../../system/lib/shim.mjs";
import { ingestBinary, root } from "../../system/lib/stage.mjs";

const CALLS_NUMBERS = ["kind", "at", "forEver", "error", "counted", "failed", "live", "ready"];
const DISK_NUMBERS = ["kind", "at", "times", "failed", "slowUs", "ready", "readBytes", "none", "reads", "writes", "syncs", "opens"];
const DRAIN_MS = 2000;
/* What the dynamic linker keeps is known to the sanitizer by its caller, which is now a library of ours. */
const LEAKS = "leak:ld-linux\n";
/* Far more than it takes, on a machine that has other things to do. */
const END_MS = 60_000, START_MS = 30_000;

/*
 * What is to be preloaded, from the outside in: allocations fail before the sanitizer sees them, calls
 * behind it, so that it still checks their arguments. A program without a sanitizer has none in between.
 */
async function preloads(stage) {
	const source = join(root, "tests/torture/shim.c");
	const allocations = await compileShim(stage, source, "allocations.so", ["-DWITHOUT_CALLS"]);
	const calls = await compileShim(stage, source, "calls.so", ["-DWITHOUT_ALLOCATIONS"]);
	const disk = await compileShim(stage, join(root, "tests/system/faults/disk_shim.c"), "disk.so");
	const sanitizer = /=> (\S*libclang_rt\.asan\S*)/.exec(execFileSync("ldd", [ingestBinary]).toString())?.[1];
	const list = (...paths) => paths.filter(Boolean).join(" ");
	return {
		sanitizer,
		calls: list(allocations, sanitizer, calls),
		disk: list(allocations, sanitizer, disk),
		none: list(sanitizer),
	};
}

export class Responder {
	constructor(stage, ledger, upstream, certificate) {
		Object.assign(this, { stage, ledger, upstream, certificate });
		this.socket = stage.path("faro.sock");
		this.spool = stage.path("spool");
		this.counts = { lives: 0, kills: 0, terms: 0, stops: 0, notStarted: 0, failedCalls: 0, failedDisk: 0, movedAside: 0 };
		this.log = [];
	}

	async prepare() {
		this.preloads = await preloads(this.stage);
		writeFileSync(this.stage.path("leaks"), LEAKS);
		this.calls = await numbers(this.stage, "calls", CALLS_NUMBERS);
		this.disk = await numbers(this.stage, "disk", DISK_NUMBERS);
	}

	#environment(life) {
		const options = (name) => [process.env[name], `log_path=${this.stage.path("report")}`, "verify_asan_link_order=0",
			"print_stacktrace=1"].filter(Boolean).join(":");
		return ingestEnv(this.upstream.urls[life.https ? "https" : "http"], {
			LD_PRELOAD: this.preloads[life.shim],
			FARO_TORTURE: this.calls.path,
			PRELOADED_DISK: this.disk.path,
			PRELOADED_DISK_DIR: this.spool,
			ASAN_OPTIONS: options("ASAN_OPTIONS"),
			LSAN_OPTIONS: `suppressions=${this.stage.path("leaks")}:print_suppressions=0`,
			UBSAN_OPTIONS: options("UBSAN_OPTIONS"),
			FARO_SPOOL_DIR: this.spool,
			FARO_SPOOL_MAX_BYTES: "1GiB", // nothing leaves the quarantine
			FARO_SPOOL_SYNC: life.sync,
			FARO_REPLAY_RATE: "2000",
			FARO_WORKERS: String(life.workers),
			FARO_UPSTREAM_TIMEOUT_MS: "1000",
			FARO_DRAIN_TIMEOUT_MS: String(DRAIN_MS),
			FARO_UPSTREAM_CA_FILE: this.certificate.ca,
		});
	}

	/* --- failing ------------------------------------------------------------------------------------- */

	#disarm() {
		this.calls.set({ kind: 0 });
		this.disk.set({ kind: 0, slowUs: 0 });
		this.counts.failedCalls += this.calls.get("failed");
		this.counts.failedDisk += this.disk.get("failed");
		const failed = this.calls.get("failed") + this.disk.get("failed");
		this.calls.set({ failed: 0 });
		this.disk.set({ failed: 0 });
		return failed;
	}

	#arm(spell) {
		if (spell.what === "disk") {
			this.disk.set({ kind: 0 });
			this.disk.set({ at: spell.at, times: spell.times, slowUs: spell.slowUs, reads: 0, writes: 0, syncs: 0, opens: 0 });
			this.disk.set({ kind: spell.kind });
			return;
		}
		this.calls.set({ kind: 0 });
		this.calls.set({ at: 1 + (this.nth++ * 7919) % spell.reach, forEver: spell.forEver ? 1 : 0, error: spell.error, counted: 0 });
		this.calls.set({ kind: spell.kind });
	}

	/* Until its time is over, or the responder has ended. */
	async #cast(spell, over) {
		this.ledger.spell = spell;
		const end = Date.now() + spell.ms;
		this.#arm(spell);
		for (;;) {
			const left = end - Date.now();
			if (left <= 0 || over()) break;
			await pause(Math.min(left, spell.everyMs ?? 50));
			if (spell.what === "calls" && !spell.forEver) this.#arm(spell);
		}
		this.#disarm();
	}

	/* --- a life -------------------------------------------------------------------------------------- */

	async start(life) {
		this.life = life;
		this.nth = 0;
		this.stage.processes.length = 0;
		this.#note(`life ${++this.counts.lives}: ${JSON.stringify({ ...life, acts: life.acts.length })}`);
		if (life.birth) this.#arm(life.birth);
		this.asked = false;
		this.process = this.stage.run("faro-ingest", ingestBinary, ["--listen", `unix:${this.socket}`],
			{ env: this.#environment(life) });
		const { process: child } = this;
		child.closed.then((how) => this.#ended(child, how));
		/* The line itself may be what failed; clients will see. */
		const line = child.line(/event=started/).then(() => true, () => false);
		const started = await Promise.race([line, pause(life.birth ? 2000 : START_MS)]);
		const failed = this.#disarm();
		if (started && life.shim !== "none")
			assert.equal((life.shim === "disk" ? this.disk : this.calls).get("ready"), 1, "the shim is loaded");
		/* One that could not start says so and ends; the next one will. */
		if (!started && failed && !this.asked && child.ended?.code > 0) {
			this.counts.notStarted++;
			this.excused = child;
		} else if (!started && !life.birth && !child.ended) {
			this.ledger.violation(`it does not start within ${START_MS / 1000} s`, child.stderr.slice(-3000));
		}
	}

	#note(what) {
		this.log.push(`${this.ledger.seconds()} ${what}`);
	}

	/* The end of what it said is kept, for who wants to know later. */
	#ended(child, how) {
		const lines = child.stderr.split("\n").filter((line) => !/event=(request|started)/.test(line));
		this.counts.movedAside += lines.filter((line) => /event=spool_moved_aside/.test(line)).length;
		this.log.push(...lines.slice(-200).map((line) => `    ${line}`));
		this.#note(`ended: ${child.how()}`);
		if (this.log.length > 20_000) this.log.splice(0, 10_000);
		if (!this.asked && this.excused !== child && !(this.life.birth && how.code > 0 && !/event=started/.test(child.stderr)))
			this.ledger.violation(`it ended (${child.how()}) by itself`, child.stderr.slice(-3000));
		else if (this.asked === "SIGTERM" && how.code !== 0)
			this.ledger.violation(`SIGTERM made it end with ${child.how()}`, child.stderr.slice(-3000));
	}

	async #act(act) {
		if (act.what !== "stop") {
			this.#note(`fails: ${JSON.stringify(act)}`);
			await this.#cast(act, () => this.process.ended);
			return;
		}
		this.counts.stops++;
		this.#note(`stopped for ${act.ms} ms`);
		this.process.signal("SIGSTOP");
		await pause(act.ms);
		this.process.signal("SIGCONT");
	}

	/* From its start to the end that is planned, or to the end of the run; true: it goes on living. */
	async live(life, isOver) {
		await this.start(life);
		const born = Date.now();
		for (const act of life.acts) {
			while (Date.now() < born + act.at && !this.process.ended && !isOver()) await pause(20);
			/* What failed for long may have used up its time. */
			if (this.process.ended || isOver() || Date.now() > born + life.lengthMs) break;
			await this.#act(act);
		}
		while (Date.now() < born + life.lengthMs && !this.process.ended && !isOver()) await pause(20);
		if (isOver() && !this.process.ended) return true;
		await this.end(life.end);
		return false;
	}

	async end(signal) {
		const { process: child } = this;
		if (!child.ended) {
			this.asked = signal;
			this.counts[signal === "SIGKILL" ? "kills" : "terms"]++;
			child.signal(signal);
		}
		if (await Promise.race([child.closed, pause(END_MS)])) return;
		this.ledger.violation(`it does not end within ${END_MS / 1000} s of ${signal}`, child.stderr.slice(-3000));
		this.asked = "SIGKILL";
		await child.stop("SIGKILL");
	}

	/* --- what is on its disk, and what the sanitizers have to say ------------------------------------- */

	/* → [{ file, table, reason, text }], of all databases that are there, also those moved aside. */
	async stored(onlyQuarantine) {
		const found = [];
		if (!existsSync(this.spool)) return found;
		const names = readdirSync(this.spool).filter((name) => /^spool\.db/.test(name) && !/-(wal|shm|journal)$/.test(name));
		for (const file of onlyQuarantine ? ["spool.db"] : names)
			for (const table of onlyQuarantine ? ["quarantine"] : ["records", "quarantine"]) {
				const { code, stdout, stderr } = await this.stage.finish("sqlite3", "sqlite3", ["-readonly", "-separator", "\t", join(this.spool, file),
					".timeout 5000", `SELECT ${table === "records" ? "''" : "reason"}, sqlar_uncompress(body, size) FROM ${table}`]);
				if (code !== 0) this.#note(`sqlite3 on ${table} of ${file}: ${stderr.trim()}`);
				for (const line of stdout.toString().split("\n").slice(0, -1)) {
					const [reason, text] = line.split("\t");
					found.push({ file, table, reason, text });
				}
			}
		return found;
	}

	reports() {
		return readdirSync(this.stage.dir).filter((name) => name.startsWith("report"))
			.map((name) => readFileSync(this.stage.path(name), "utf8"));
	}
}
