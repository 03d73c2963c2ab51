// SPDX-License-Identifier: Apache-2.0
/*
 * A stage is what one test needs around it: a temporary directory, child processes and servers. It is
 * cleared when the test ends, well or badly; after a failure it first shows what the children wrote.
 * Nothing here waits for a time: tests wait for lines, exits and requests.
 */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { chmodSync, mkdtempSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { describe, test } from "node:test";
import { fileURLToPath } from "node:url";

export const root = resolve(dirname(fileURLToPath(import.meta.url)), "../../..");
export const ingestBinary = process.env.FARO_INGEST || join(root, ".build/src/faro-ingest");
export const sinkBinary = process.env.FARO_SINK || join(root, ".build/src/faro-sink");

/* A user's PATH on Debian lacks where nginx and ip are. */
process.env.PATH += ":/usr/sbin:/sbin";

/* Coverage is written by a process that ends by itself. */
const LAST_SIGNAL = process.env.FARO_TEST_LAST_SIGNAL ?? "SIGKILL";

const children = new Set();
process.on("exit", () => {
	for (const child of children) child.kill(child.lastSignal);
});

/* A child whose output is kept; stdin is a string, a Buffer, or nothing. lastSignal ends it for sure, and
 * is a milder one for a parent that has to take its own children along. */
class Process {
	constructor(name, command, args, { env, cwd, stdin, stdio, lastSignal = LAST_SIGNAL } = {}) {
		this.name = name;
		this.out = [];
		this.stderr = "";
		this.waiting = new Set();
		this.child = spawn(command, args, {
			cwd,
			env: { PATH: process.env.PATH, ...env },
			stdio: stdio ?? [stdin === undefined ? "ignore" : "pipe", "pipe", "pipe"],
		});
		this.child.lastSignal = lastSignal;
		children.add(this.child);
		this.child.stdout?.on("data", (bytes) => {
			this.out.push(bytes);
			this.#look();
		});
		this.child.stderr?.on("data", (bytes) => this.#read(bytes));
		/* `exit` is of use before the output is complete, `closed` after. */
		this.closed = new Promise((done) => {
			this.child.on("error", (error) => this.#end(done, { error }));
			this.child.on("close", (code, signal) => this.#end(done, { code, signal }));
		});
		if (stdin !== undefined) {
			this.child.stdin.on("error", () => {}); // a child need not read all of it
			this.child.stdin.end(stdin);
		}
	}

	#look() {
		for (const waiter of this.waiting) waiter.look();
	}

	#read(bytes) {
		this.stderr += bytes;
		this.#look();
	}

	#end(done, result) {
		children.delete(this.child);
		this.ended = result;
		this.#look();
		done(result);
	}

	get stdout() {
		return Buffer.concat(this.out);
	}

	/* The match of `pattern` in what the child wrote to stderr, or to stdout; rejects if it ends without. */
	line(pattern) {
		return this.#match(pattern, () => this.stderr);
	}

	said(pattern) {
		return this.#match(pattern, () => this.stdout.toString());
	}

	#match(pattern, text) {
		return new Promise((found, missing) => {
			const waiter = {
				look: () => {
					const match = pattern.exec(text());
					if (!match && !this.ended) return;
					this.waiting.delete(waiter);
					if (match) found(match);
					else missing(new Error(`${this.name} ended (${this.how()}) without ${pattern}`));
				},
			};
			this.waiting.add(waiter);
			waiter.look();
		});
	}

	how() {
		const { error, code, signal } = this.ended;
		return error ? error.message : signal ?? `exit ${code}`;
	}

	signal(name) {
		this.child.kill(name);
	}

	async stop(signal = "SIGTERM") {
		if (!this.ended) this.child.kill(signal);
		return this.closed;
	}
}

export class Stage {
	constructor() {
		this.dir = mkdtempSync(join(tmpdir(), "faro-test-"));
		chmodSync(this.dir, 0o755); // nginx's workers are somebody else
		this.processes = [];
		this.undo = [];
	}

	path(...names) {
		return join(this.dir, ...names);
	}

	run(name, command, args, options) {
		const process = new Process(name, command, args, options);
		this.processes.push(process);
		return process;
	}

	/* To its end. */
	async finish(name, command, args, options) {
		const process = this.run(name, command, args, options);
		const { code, signal, error } = await process.closed;
		if (error) throw error;
		return { code, signal, stdout: process.stdout, stderr: process.stderr };
	}

	after(action) {
		this.undo.push(action);
	}

	show() {
		for (const { name, stderr, ended } of this.processes)
			if (stderr)
				process.stderr.write(`--- ${name}${ended ? " (ended)" : ""}\n${stderr.slice(-6000)}\n`);
	}

	async close() {
		for (const action of this.undo.reverse()) await action();
		/* Last come, first gone: nginx goes before what is behind it. */
		for (const process of this.processes.reverse()) await process.stop(process.child.lastSignal);
		rmSync(this.dir, { recursive: true, force: true });
	}
}

/* Also when the test's time is over: what is still open would keep the process from ending. */
function whenAborted(signal) {
	return new Promise((_, aborted) =>
		signal.addEventListener("abort", () => aborted(new Error("it waits for something that does not come"))));
}

let waiting; // scenarios of a file that run some at a time

/* The scenarios that follow in this file run so many at a time: each mostly waits. */
export function atOnce(concurrency, what) {
	const scenarios = waiting = [];
	/* Once the file has named them all. */
	queueMicrotask(() => describe(what, { concurrency }, () => {
		waiting = undefined;
		for (const one of scenarios) scenario(...one);
	}));
}

/* test() with a stage. The limit is for what hangs; no test takes nearly as long. */
export function scenario(name, body, options = {}) {
	if (waiting) {
		waiting.push([name, body, options]);
		return;
	}
	test(name, { timeout: 60_000, ...options }, async (t) => {
		const stage = new Stage();
		try {
			await Promise.race([body(stage, t), whenAborted(t.signal)]);
		} catch (error) {
			stage.show();
			throw error;
		} finally {
			await stage.close();
		}
	});
}

/* Free at this moment; who takes it must cope with having been too slow. */
const given = new Set();

export async function freePort(host = "127.0.0.1") {
	const server = createServer().listen(0, host);
	await once(server, "listening");
	const { port } = server.address();
	server.close();
	await once(server, "close");
	/* The kernel may choose the same number twice in a row, before the first one is listened on. */
	if (given.has(port)) return freePort(host);
	given.add(port);
	return port;
}
