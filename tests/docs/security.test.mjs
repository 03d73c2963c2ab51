// SPDX-License-Identifier: Apache-2.0
/* Every test that SECURITY.md names is there. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";

import { root } from "../system/lib/stage.mjs";

const named = [...readFileSync(join(root, "SECURITY.md"), "utf8").matchAll(/\| `(tests\/[^`]+)`: ([^|]+) \|$/gm)];

test("SECURITY.md names tests, and each of them exists", () => {
	assert.ok(named.length > 40, `${named.length} are named`);
	for (const [, file, name] of named)
		assert.ok(readFileSync(join(root, file), "utf8").replace(/\s+(\* )?/g, " ").includes(name.trim()), `${file} has no "${name.trim()}"`);
});

test("every row of a table of threats names a test", () => {
	const threats = readFileSync(join(root, "SECURITY.md"), "utf8").split("## Threats")[1].split("\n## ")[0];
	const rows = threats.split("\n").filter((line) => line.startsWith("| ") && !line.startsWith("| threat"));
	assert.equal(rows.length, named.length);
});
