// SPDX-License-Identifier: Apache-2.0
/* No module that the tests or the bench pull in has a copyleft licence stronger than LGPL. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";

import { faultOfExpression, faultOfFolder, faultOfPath, licenceOfText } from "./licenses.mjs";

const root = resolve(dirname(fileURLToPath(import.meta.url)), "../..");
const listed = (pattern) => execFileSync("find", [".", "(", "-name", "node_modules", "-o", "-name", ".build", ")", "-prune",
	"-o", "-name", pattern, "-print"], { cwd: root, encoding: "utf8" }).trim().split("\n").sort();

/* The lines of `go list`. Where a go.sum misses something, or there is no network, it says so and fails. */
const goList = (folder, ...args) => [...new Set(execFileSync("go", ["list", ...args],
	{ cwd: join(root, folder), encoding: "utf8", maxBuffer: 1 << 26 }).split("\n").filter(Boolean))];

test("a licence is known by its title, and not by being mentioned", () => {
	for (const [text, expected] of [
		["                    GNU AFFERO GENERAL PUBLIC LICENSE\n                       Version 3, 19 November 2007", "AGPL-3.0"],
		["                    GNU GENERAL PUBLIC LICENSE\n                       Version 2, June 1991", "GPL"],
		["                   GNU LESSER GENERAL PUBLIC LICENSE\n                       Version 3", "LGPL"],
		["Mozilla Public License Version 2.0\n … or the GNU Affero General Public License, Version 3.0", "MPL-2.0"],
		["                                 Apache License\n                           Version 2.0, January 2004", "Apache-2.0"],
		["Use it as you like.", undefined],
	])
		assert.equal(licenceOfText(text), expected, text);
	for (const path of ["github.com/grafana/loki/v3", "github.com/grafana/tempo", "github.com/grafana/mimir", "github.com/grafana/grafana", "go.k6.io/k6"])
		assert.notEqual(faultOfPath(path), "", path);
	for (const path of ["github.com/grafana/loki/pkg/push", "github.com/grafana/faro/pkg/go", "github.com/grafana/regexp"])
		assert.equal(faultOfPath(path), "", path);
	for (const fine of ["MIT", "(MIT OR GPL-3.0-only)", "Apache-2.0 AND MIT"]) assert.equal(faultOfExpression(fine), "", fine);
	for (const bad of ["AGPL-3.0-only", "GPL-3.0-or-later", "MIT AND AGPL-3.0-only", "UNLICENSED", "", undefined])
		assert.notEqual(faultOfExpression(bad), "", bad);
});

test("a folder is judged by each of its licence files", (t) => {
	const folder = mkdtempSync(join(tmpdir(), "faro-licences-"));
	t.after(() => rmSync(folder, { recursive: true }));
	const write = (name, text) => writeFileSync(join(folder, name), text);
	assert.match(faultOfFolder(folder), /no licence file/);
	write("LICENSE", "Apache License\nVersion 2.0");
	assert.equal(faultOfFolder(folder), "");
	write("COPYING", "GNU AFFERO GENERAL PUBLIC LICENSE");
	assert.equal(faultOfFolder(folder), "COPYING: AGPL-3.0");
	write("COPYING", "Pay me.");
	assert.match(faultOfFolder(folder), /not known here/);
});

/* Of the whole graph, `go list -m all`. What is compiled is here by then, and its files are read, as are those of any
 * other module that happens to be here; the rest are names in the go.mod of others, of which nothing is fetched, and
 * are judged by their paths. */
for (const file of listed("go.mod")) {
	const folder = dirname(file);
	test(`Go modules of ${folder}`, () => {
		const own = goList(folder, "-m")[0];
		const compiled = goList(folder, "-deps", "-test", "-f", "{{with .Module}}{{.Path}}{{end}}", "./...").filter((path) => path !== own);
		const all = new Map(goList(folder, "-m", "-f", "{{.Path}}\t{{.Dir}}", "all").map((line) => line.split("\t")));
		assert.ok(compiled.length > 0);
		for (const path of compiled) assert.ok(all.get(path), `${path} is compiled, and its source is not here`);
		all.delete(own);
		const faults = [...all].map(([path, source]) => [path, faultOfPath(path) || (source && faultOfFolder(source))])
			.filter(([, fault]) => fault);
		assert.deepEqual(faults, []);
	});
}

for (const file of listed("package-lock.json"))
	test(`npm packages of ${dirname(file)}`, () => {
		const packages = Object.entries(JSON.parse(readFileSync(join(root, file), "utf8")).packages).filter(([name]) => name);
		assert.ok(packages.length > 0);
		assert.deepEqual(packages.map(([name, { license }]) => [name, faultOfExpression(license)]).filter(([, fault]) => fault), []);
	});
