// SPDX-License-Identifier: Apache-2.0
/* LogQL by Loki's own parser and pipelines (../logql/). */
import assert from "node:assert/strict";
import { join } from "node:path";

import { root } from "../../system/lib/stage.mjs";

export const patient = { timeout: 600_000 }; // the first time, Loki's packages are compiled

/* (queries, [{ line, labels }]) => [{ error, series: { labels: samples } }], one a query. */
export async function buildLogql(stage) {
	const program = stage.path("logql");
	const { code, stderr } = await stage.finish("go build", "go", ["build", "-o", program, "."],
		{ cwd: join(root, "tests/platform/logql"), env: { ...process.env } });
	assert.equal(code, 0, stderr);
	return async (queries, entries) => {
		const done = await stage.finish("logql", program, [], { stdin: JSON.stringify({ queries, entries }) });
		assert.equal(done.code, 0, done.stderr);
		return JSON.parse(done.stdout);
	};
}
