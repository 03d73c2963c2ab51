// SPDX-License-Identifier: Apache-2.0
/*
 * What was promised, and what became of it. A beacon is a number, marked in its message as id=RUN-NUMBER;.
 * What has arrived takes a byte, so that a run may take hours; what has not, has a history.
 */
const PROMISED = 1, TAKEN = 2, QUARANTINED = 4, POISON = 8;
const HISTORY_MAX = 40;

export class Ledger {
	constructor(run) {
		this.run = run;
		this.mark = new RegExp(`id=${run}-(\\d+);`);
		this.started = Date.now();
		this.beacons = 0;
		this.flags = new Uint8Array(1 << 16);
		this.histories = new Map();
		this.outstanding = new Set(); // promised, and not known to be anywhere
		this.violations = [];
		this.counts = { sent: 0, promised: 0, delivered: 0, quarantined: 0, duplicates: 0, poison: 0 };
		this.statuses = {};
		this.answers = {};
	}

	seconds() {
		return ((Date.now() - this.started) / 1000).toFixed(1);
	}

	/* The number of a new beacon; poison is what the receiver always answers with an error. */
	begin(poison) {
		const n = this.beacons++;
		if (n === this.flags.length) {
			const more = new Uint8Array(2 * n);
			more.set(this.flags);
			this.flags = more;
		}
		if (poison) {
			this.flags[n] = POISON;
			this.counts.poison++;
		}
		return n;
	}

	id(n) {
		return `${this.run}-${n}`;
	}

	/* Of which beacon is this text? */
	find(text) {
		const match = this.mark.exec(text);
		return match ? Number(match[1]) : undefined;
	}

	note(n, what) {
		if (n === undefined || this.flags[n] & TAKEN) return;
		const history = this.histories.get(n) ?? [];
		history.push(`${this.seconds()} ${what}`);
		if (history.length > HISTORY_MAX) history.splice(HISTORY_MAX / 2, 1);
		this.histories.set(n, history);
	}

	is(n, flag) {
		return (this.flags[n] & flag) !== 0;
	}

	isPoison(n) {
		return this.is(n, POISON);
	}

	promise(n) {
		if (this.is(n, PROMISED)) return;
		this.flags[n] |= PROMISED;
		this.counts.promised++;
		if (this.is(n, TAKEN)) this.counts.delivered++;
		else this.outstanding.add(n);
	}

	/* Its client has given up, and nobody owes it anything. */
	forget(n) {
		if (!this.is(n, PROMISED)) this.histories.delete(n);
	}

	take(n) {
		if (n === undefined) return;
		if (this.is(n, TAKEN)) this.counts.duplicates++;
		else if (this.is(n, PROMISED)) this.counts.delivered++;
		this.flags[n] |= TAKEN;
		this.outstanding.delete(n);
		this.histories.delete(n);
	}

	quarantine(n) {
		if (n === undefined || this.is(n, QUARANTINED)) return;
		this.flags[n] |= QUARANTINED;
		this.counts.quarantined++;
		this.note(n, "seen in quarantine");
		this.outstanding.delete(n);
	}

	hasGoodOutstanding() {
		for (const n of this.outstanding) if (!this.isPoison(n)) return true;
		return false;
	}

	/* A beacon may be in quarantine before its client has read the answer. */
	missing() {
		return [...this.outstanding].filter((n) => !this.is(n, QUARANTINED));
	}

	violation(what, detail = "") {
		this.violations.push({ at: this.seconds(), what, detail });
		process.stderr.write(`VIOLATION at ${this.seconds()} s: ${what}\n${detail}${detail && "\n"}`);
	}

	history(n) {
		return (this.histories.get(n) ?? []).map((line) => `    ${line}`).join("\n");
	}
}
