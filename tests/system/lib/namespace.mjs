// SPDX-License-Identifier: Apache-2.0
/* Tests that change mounts and the network, of a machine of their own. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { test } from "node:test";
import { fileURLToPath } from "node:url";

import { isRoot } from "./nginx.mjs";

/* The file at `url` runs itself again in new namespaces; there, `inside` declares its tests. */
export function inNamespace(url, inside, timeout) {
	if (process.env.FARO_TEST_NAMESPACE) {
		inside();
		return;
	}
	test("in a network and a mount of its own", { timeout }, async () => {
		const flags = isRoot ? ["--mount", "--net"] : ["--map-root-user", "--mount", "--net"];
		const child = spawn("unshare",
			[...flags, "sh", "-c", 'ip link set lo up && exec "$0" "$1"', process.execPath, fileURLToPath(url)],
			/* Without this it would report to the runner as a part of this file. */
			{ env: { ...process.env, FARO_TEST_NAMESPACE: isRoot ? "of root" : "of a user", NODE_TEST_CONTEXT: "" }, stdio: ["ignore", "pipe", "inherit"] });
		let report = "";
		child.stdout.on("data", (bytes) => { report += bytes; });
		const [code] = await once(child, "close");
		assert.equal(code, 0, report);
		assert.match(report, /^# pass [1-9]/m, report);
		assert.match(report, /^# (fail|skipped) 0/m);
	});
}
