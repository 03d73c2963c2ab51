// SPDX-License-Identifier: Apache-2.0
/* Every statement in the tables of docs/RECEIVERS.md has a test that is there, a source, or the word "reported". */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";

import { root } from "../system/lib/stage.mjs";

const rows = readFileSync(join(root, "docs/RECEIVERS.md"), "utf8").split("\n")
	.filter((line) => /^\| /.test(line) && !/ shown by \|$/.test(line))
	.map((line) => line.split(/(?<!\\)\|/).slice(1, -1).map((cell) => cell.trim()));

test("each row of docs/RECEIVERS.md says how it is known", () => {
	assert.ok(rows.length > 35, `${rows.length} rows`);
	for (const [what, statement, proof, ...more] of rows) {
		assert.ok(what && statement && more.length === 0, `${what}: three cells`);
		assert.match(proof, /^(reported|source: \[[^\]]+\]\(https:\/\/\S+\)(, [\d.]+)?|`tests\/\S+`: .+)$/, `${what}: ${proof}`);
	}
});

test("the tests that it names are there", () => {
	const named = rows.map(([, , proof]) => /^`(tests\/[^`]+)`: (.+)$/.exec(proof)).filter(Boolean);
	assert.ok(named.length > 15);
	for (const [, file, name] of named)
		assert.ok(readFileSync(join(root, file), "utf8").replace(/\s+(\* )?/g, " ").includes(name), `${file} has no "${name}"`);
});
