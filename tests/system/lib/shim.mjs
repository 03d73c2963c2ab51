// SPDX-License-Identifier: Apache-2.0
/* C files that are preloaded below the program, and the numbers that they share with the test. */
import assert from "node:assert/strict";
import { closeSync, openSync, readSync, writeSync } from "node:fs";

const BYTES = 8;

/* A file of 64-bit numbers that the shim maps; the names are in the order of its struct. */
export class Numbers {
	constructor(path, names) {
		this.path = path;
		this.names = names;
		this.fd = openSync(path, "w+");
		writeSync(this.fd, Buffer.alloc(names.length * BYTES));
	}

	#at(name) {
		const index = this.names.indexOf(name);
		assert.ok(index >= 0, `the shim shares no ${name}`);
		return index * BYTES;
	}

	set(values) {
		for (const [name, value] of Object.entries(values)) {
			const bytes = Buffer.alloc(BYTES);
			bytes.writeBigInt64LE(BigInt(value));
			writeSync(this.fd, bytes, 0, BYTES, this.#at(name));
		}
	}

	get(name) {
		const bytes = Buffer.alloc(BYTES);
		readSync(this.fd, bytes, 0, BYTES, this.#at(name));
		return Number(bytes.readBigInt64LE());
	}

	close() {
		closeSync(this.fd);
	}
}

export async function numbers(stage, name, names) {
	const made = new Numbers(stage.path(name), names);
	stage.after(() => made.close());
	return made;
}

/* The path of the library, for LD_PRELOAD. */
export async function compileShim(stage, source, name = "shim.so", flags = []) {
	const path = stage.path(name);
	const { code, stderr } = await stage.finish("cc", "cc",
		["-shared", "-fPIC", "-O1", "-fno-builtin", "-U_FORTIFY_SOURCE", ...flags, "-o", path, source, "-ldl"]);
	assert.equal(code, 0, stderr);
	return path;
}
