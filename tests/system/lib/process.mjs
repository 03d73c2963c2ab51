// SPDX-License-Identifier: Apache-2.0
/* What the kernel says about a process, and how one is stopped. */
import { execFileSync } from "node:child_process";
import { readFileSync, readdirSync } from "node:fs";

import { eventually } from "./beacons.mjs";

/* Of all its threads; in steps of 10 ms. The name has no spaces. */
export function cpuMs(pid) {
	const fields = readFileSync(`/proc/${pid}/stat`, "utf8").split(" ");
	return (Number(fields[13]) + Number(fields[14])) * 10;
}

const statusKb = (pid, name) => Number(new RegExp(`^${name}:\\s+(\\d+) kB$`, "m").exec(readFileSync(`/proc/${pid}/status`, "utf8"))[1]);

/* The most that was ever resident. */
export const highWaterBytes = (pid) => statusKb(pid, "VmHWM") * 1024;
export const residentKb = (pid) => statusKb(pid, "VmRSS");
/* What is resident and no file's. */
export const anonymousKb = (pid) => statusKb(pid, "RssAnon");
/* A build with sanitizers has terabytes of shadow; what is resident of it is no word on ours. */
export const isSanitized = (pid) => statusKb(pid, "VmPeak") > 100 * 2 ** 20;

/* faro-ingest does not let its own user see its memory and descriptors (PR_SET_DUMPABLE), only root. */
const PAGE = 4096;
const LARGEST = 2 ** 30; // more is the shadow of a build with sanitizers

function asRoot(command, ...args) {
	const words = process.getuid() === 0 ? [command, ...args] : ["sudo", "-n", command, ...args];
	return execFileSync(words[0], words.slice(1), { maxBuffer: LARGEST, stdio: ["ignore", "pipe", "inherit"] });
}

/* Those that are open. */
const openDescriptors = (pid) => asRoot("ls", `/proc/${pid}/fd`).toString().split("\n").slice(0, -1);

export const descriptors = (pid) => openDescriptors(pid).length;
export const fileBehind = (pid, descriptor) => asRoot("readlink", `/proc/${pid}/fd/${descriptor}`).toString().trim();

/* As RLIMIT_NOFILE: with it, this many more can be opened. */
export function descriptorLimit(pid, more) {
	const open = new Set(openDescriptors(pid).map(Number));
	let limit = 0;
	for (; more > 0 || open.has(limit); limit++) if (!open.has(limit)) more--;
	return limit;
}

const isStopped = (pid) => readdirSync(`/proc/${pid}/task`).every((thread) =>
	readFileSync(`/proc/${pid}/task/${thread}/stat`, "utf8").split(" ")[2] === "T");

/* Until SIGCONT. A stop reaches its threads one by one, and on a busy machine one of them may still answer. */
export async function suspend(pid) {
	process.kill(pid, "SIGSTOP");
	await eventually("stopped process", () => isStopped(pid));
}

/* Is `text` anywhere in what it can write? */
export function memoryHolds(pid, text) {
	for (const [, start, end] of asRoot("cat", `/proc/${pid}/maps`).toString().matchAll(/^(\w+)-(\w+) rw/gm)) {
		const [first, last] = [start, end].map((address) => parseInt(address, 16) / PAGE);
		if ((last - first) * PAGE >= LARGEST) continue;
		if (asRoot("dd", `if=/proc/${pid}/mem`, `bs=${PAGE}`, `skip=${first}`, `count=${last - first}`, "status=none").includes(text))
			return true;
	}
	return false;
}
