// SPDX-License-Identifier: Apache-2.0
/*
 * What will happen, made from a seed alone: the lives of the responder and the moods of the receiver, in
 * their order. How much of it fits into the time is the machine's to say; what comes next never is.
 */
const ALLOCATIONS = 1, CALLS = 2;
const READS = 1, WRITES = 2, SYNCS = 3, OPENS = 4;
const [EINTR, EIO, EAGAIN, ENOMEM, EMFILE, ENOSPC, EPIPE, ECONNRESET] = [4, 5, 11, 12, 24, 28, 32, 104];

/* Numbers for one user of its own, so that nobody's timing changes what another one draws. */
export class Dice {
	constructor(seed, name) {
		this.state = 2166136261;
		for (const character of `${seed} ${name}`)
			this.state = Math.imul(this.state ^ character.codePointAt(0), 16777619);
	}

	/* From 0 to below 1. */
	next() {
		this.state = (this.state + 0x6d2b79f5) | 0;
		let mixed = Math.imul(this.state ^ (this.state >>> 15), this.state | 1);
		mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
		return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
	}

	below(n) {
		return Math.floor(this.next() * n);
	}

	between(low, high) {
		return low + this.below(high - low + 1);
	}

	chance(percent) {
		return this.next() * 100 < percent;
	}

	one(list) {
		return list[this.below(list.length)];
	}

	/* {name: weight} → a name. */
	weighted(weights) {
		let left = this.next() * Object.values(weights).reduce((sum, weight) => sum + weight, 0);
		for (const [name, weight] of Object.entries(weights)) {
			left -= weight;
			if (left < 0) return name;
		}
		return Object.keys(weights)[0];
	}

	bytes(n) {
		return Buffer.from(Array.from({ length: n }, () => this.below(256)));
	}
}

/* Something fails for a while: again and again a single call, or everything from one call on. */
function callSpell(dice, kind) {
	const forEver = dice.chance(30);
	return {
		what: "calls",
		kind,
		error: dice.one([EINTR, EIO, EAGAIN, ENOMEM, EMFILE, ENOSPC, EPIPE, ECONNRESET]),
		forEver,
		ms: forEver ? dice.between(20, 400) : dice.between(100, 2000),
		reach: dice.one([10, 60, 300]),
		everyMs: dice.between(5, 40),
	};
}

/* As many errors in a row as are told, below SQLite. */
function diskSpell(dice) {
	return {
		what: "disk",
		kind: dice.one([READS, READS, WRITES, SYNCS, OPENS]),
		at: dice.between(1, dice.one([3, 10, 30, 100])),
		times: dice.one([1, 1, 2, 10, 1000]),
		slowUs: dice.chance(20) ? dice.between(100, 5000) : 0,
		ms: dice.between(100, 4000),
	};
}

/* A life of the responder. Of the two libraries that fail calls only one can be under it at a time. */
function life(dice, wanted) {
	const disk = dice.chance(40);
	const lengthMs = dice.between(300, dice.chance(20) ? 15_000 : 4000);
	const spell = () => {
		if (dice.chance(disk ? 20 : 40)) return callSpell(dice, ALLOCATIONS);
		return disk ? diskSpell(dice) : callSpell(dice, CALLS);
	};
	const made = {
		shim: disk ? "disk" : "calls",
		https: dice.chance(25),
		workers: dice.between(1, 2),
		sync: dice.one(["full", "normal"]),
		lengthMs,
		/* From its first instruction on: then it may also refuse to start. */
		birth: undefined,
		acts: [],
		end: dice.weighted({ SIGKILL: 6, SIGTERM: 4 }),
	};
	if (dice.chance(25)) made.birth = { ...spell(), forEver: false, ms: 1000 };
	for (let at = dice.between(0, 1500); at < lengthMs; at += dice.between(100, 2000)) {
		const act = dice.chance(30)
			? { what: "stop", ms: dice.chance(30) ? dice.between(1000, 6000) : dice.between(100, 1000) }
			: spell();
		made.acts.push({ at, ...act });
	}
	if (!wanted("fail")) made.birth = undefined;
	made.acts = made.acts.filter(({ what }) => wanted(what === "stop" ? "stop" : "fail"));
	if (!wanted("disk") && disk) made.shim = "none";
	if (!wanted("kill")) made.end = "SIGTERM";
	if (made.shim === "none") [made.birth, made.acts] = [undefined, made.acts.filter(({ what }) => what === "stop")];
	return made;
}

function mood(dice) {
	const name = dice.weighted({ well: 30, flaky: 35, refusing: 12, silent: 5, slow: 6, down: 12 });
	return {
		name,
		status: dice.one([400, 403, 404, 408, 413, 429, 500, 503]),
		ms: name === "well" ? dice.between(1000, 8000) : dice.between(500, 5000),
	};
}

/* wanted(NAME): is this kind of trouble part of the run? */
export function makePlan(seed, seconds, wanted = () => true) {
	const lives = [], moods = [];
	const [forLives, forMoods] = [new Dice(seed, "lives"), new Dice(seed, "moods")];
	for (let ms = 0; ms < seconds * 1000; ms += lives.at(-1).lengthMs) lives.push(life(forLives, wanted));
	for (let ms = 0; ms < seconds * 1000; ms += moods.at(-1).ms) moods.push(mood(forMoods));
	return { lives, moods };
}
