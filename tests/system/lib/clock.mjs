// SPDX-License-Identifier: Apache-2.0
/* The clocks of one process are the test's to set: see faults/clock_shim.c for what each number does. */
import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";

import { compileShim, numbers } from "./shim.mjs";
import { root } from "./stage.mjs";

const NAMES = ["wallS", "asleepS", "rate", "ready", "askedWall", "askedBoot"];

/* `env` is for the program; `set` for the numbers. */
export async function clock(stage) {
	const library = await compileShim(stage, join(root, "tests/system/faults/clock_shim.c"), "clock.so");
	const shared = await numbers(stage, "clock", NAMES);
	const boot = stage.path("boot_id");
	const made = {
		env: { LD_PRELOAD: library, PRELOADED_CLOCK: shared.path, PRELOADED_CLOCK_BOOT_ID: boot },
		set: (values) => shared.set(values),
		asked: () => shared.get("askedWall") + shared.get("askedBoot"),
		/* For the next process. */
		setBoot: (n) => writeFileSync(boot, `00000000-0000-4000-8000-${String(n).padStart(12, "0")}\n`),
		assertLoaded: () => assert.equal(shared.get("ready"), 1, "the shim is loaded"),
	};
	made.setBoot(1);
	return made;
}
