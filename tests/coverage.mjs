// SPDX-License-Identifier: Apache-2.0
/*
 * node tests/coverage.mjs BUILD: what the runs of a build with --coverage have reached, from gcov; below the
 * goals it ends with 1.
 *
 * Lines of src/ without faro-sink, which is for tests. Branches of the modules that read what a browser sends,
 * and of the spool. --missing: every line and branch that nothing has reached.
 */
import { spawnSync } from "node:child_process";
import { readFileSync, readdirSync } from "node:fs";
import { join, resolve } from "node:path";

const LINES_GOAL = 90, BRANCHES_GOAL = 95;
const isTestTool = (file) => /^sink\//.test(file);
const MODULES = {
	json: /^beacon\/json(_string)?\.[ch]$/, enrich: /^beacon\/(enrich|edits)/, decode: /^beacon\/decode\.c$/,
	spool: /^delivery\/(spool|store|replay|retries|policy|pace)/,
};

/* A line of the log: its macros ask whether a literal is NULL. */
const OWN_BRANCHES = /\blog_(event|limited)\(|\bLOG_STR\(/;

const build = resolve(process.argv[2] ?? ".build/coverage");
const objects = join(build, "src");
/* Objects of one program alone, such as those of test_json_plain, are another compilation. */
const data = readdirSync(objects, { recursive: true }).filter((name) => /^([a-z]+\/)?[a-z_]+\.gcda$/.test(name));
if (data.length === 0) throw new Error(`no .gcda files in ${objects}: run the tests of a build with --coverage first`);

const files = new Map(); // name → Map(line number → { count, branches })
for (const name of data) {
	const gcov = spawnSync("gcov", ["-b", "-i", "-t", join(objects, name)], { cwd: build, maxBuffer: 1 << 28, encoding: "utf8" });
	if (gcov.error) throw gcov.error;
	/* What was killed while it wrote may have left half of a file. Its lines are there, and not reached. */
	if (gcov.status !== 0) console.error(`coverage: ${name} is not whole and counts for nothing: ${gcov.stderr.trim()}`);
	for (const { file, lines } of JSON.parse(gcov.stdout).files) {
		const match = /(?:^|\/)src\/((?:[a-z]+\/)?[^/]+)$/.exec(file);
		if (!match || isTestTool(match[1])) continue;
		const into = files.get(match[1]) ?? files.set(match[1], new Map()).get(match[1]);
		const source = readFileSync(join("src", match[1]), "utf8").split("\n");
		for (const { line_number, count, branches: all } of lines) {
			const branches = OWN_BRANCHES.test(source[line_number - 1]) ? [] : all;
			const seen = into.get(line_number) ?? { count: 0, branches: branches.map(() => 0) };
			seen.count += count;
			branches.forEach((branch, i) => { seen.branches[i] = (seen.branches[i] ?? 0) + branch.count; });
			into.set(line_number, seen);
		}
	}
}

function sum(names) {
	const total = { lines: 0, reached: 0, branches: 0, taken: 0 };
	for (const name of names)
		for (const { count, branches } of files.get(name).values()) {
			total.lines++;
			total.reached += count > 0;
			total.branches += branches.length;
			total.taken += branches.filter(Boolean).length;
		}
	return total;
}

const percent = (part, whole) => (whole ? 100 * part / whole : 100);
const show = (name, total) => console.log(name.padEnd(24),
	`lines ${percent(total.reached, total.lines).toFixed(1).padStart(5)} % of ${String(total.lines).padStart(5)}`,
	`  branches ${percent(total.taken, total.branches).toFixed(1).padStart(5)} % of ${String(total.branches).padStart(5)}`);

const names = [...files.keys()].sort();
for (const name of names) show(name, sum([name]));
console.log();
let failed = false;
for (const [module, pattern] of Object.entries(MODULES)) {
	const total = sum(names.filter((name) => pattern.test(name)));
	show(module, total);
	failed ||= total.branches === 0 || percent(total.taken, total.branches) < BRANCHES_GOAL;
}
const all = sum(names);
show("src", all);
failed ||= percent(all.reached, all.lines) < LINES_GOAL;

if (process.argv[3] === "--missing")
	for (const name of names) {
		const source = readFileSync(join("src", name), "utf8").split("\n");
		for (const [number, { count, branches }] of [...files.get(name)].sort(([a], [b]) => a - b))
			if (count === 0 || branches.some((n) => !n))
				console.log(`${name}:${number}: ${count === 0 ? "line" : branches.map((n) => (n ? "+" : "-")).join("")} ${source[number - 1]?.trim()}`);
	}

console.log(`goals: ${LINES_GOAL} % of the lines of src, ${BRANCHES_GOAL} % of the branches of ${Object.keys(MODULES).join(", ")}: ${failed ? "missed" : "reached"}`);
process.exit(failed ? 1 : 0);
