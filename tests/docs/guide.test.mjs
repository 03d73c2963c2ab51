// SPDX-License-Identifier: Apache-2.0
/*
 * The guide against the program: nothing that the program has is missing in its tables, nothing stands there that the
 * program has not, and every link leads to a heading that exists.
 */
import assert from "node:assert/strict";
import { existsSync, readFileSync, readdirSync } from "node:fs";
import { dirname, join, relative } from "node:path";
import { test } from "node:test";

import { root, scenario } from "../system/lib/stage.mjs";
import { runIngest, startIngest } from "../system/lib/faro.mjs";
import { FastcgiClient } from "../system/lib/fastcgi.mjs";
import { listed, shellBlocks } from "./lib/documents.mjs";

const text = (name) => readFileSync(join(root, name), "utf8");
const PAGES = ["README.md", "SECURITY.md", "CONTRIBUTING.md", "RELEASING.md", ...readdirSync(join(root, "docs")).map((name) => `docs/${name}`)];

/* The cells of a table's rows whose first cell is a word in code style. */
const rows = (markdown) =>
	[...markdown.matchAll(/^\| `(\w+)`(?: \||, ).*$/gm)].map(([line]) => line.split(" | ").map((cell) => cell.replace(/^\| | \|$/g, "")));

scenario("SETTINGS.md has each setting of --help, with its type, range and default", async (stage) => {
	const { stdout } = await runIngest(stage, ["--help"], { env: {} });
	const help = stdout.toString();
	const settings = [...help.slice(help.indexOf("Settings,")).matchAll(/^  --[a-z-]+=(.+)\n +(FARO_\w+)(?: \((?:default )?(.+)\))?$/gm)]
		.map(([, type, name, preset = ""]) => [`\`${name}\``, type, preset && preset !== "required" ? `\`${preset}\`` : preset]);
	assert.ok(settings.length > 20);
	const page = text("docs/SETTINGS.md");
	const table = rows(page.slice(0, page.indexOf("\n## ")));
	assert.deepEqual(table.map(([name, type, preset]) => [name, type, preset]), settings);
	for (const [name, , , meaning] of table) assert.match(meaning, /\w{3}/, name);
});

scenario("the set of settings that PRIVACY.md recommends is one that the program takes", async (stage) => {
	const [, set] = /^## A recommended set$[^`]*```text\n([^`]*)```/m.exec(text("docs/PRIVACY.md"));
	const env = Object.fromEntries(set.trim().split("\n").map((line) => line.split("=")));
	assert.ok(Object.keys(env).length > 3);
	const { code, stderr } = await runIngest(stage, ["--test-config"],
		{ env: { ...env, OTEL_SERVICE_NAME: "shop", FARO_UPSTREAM_URL: "http://alloy:12347", FARO_SPOOL_DIR: stage.dir } });
	assert.equal(code, 0, stderr);
	assert.doesNotMatch(stderr, /level=warn/);
});

test("REPLIES.md has each status with its reason, and what each 202 rests on", () => {
	const page = text("docs/REPLIES.md");
	const list = text("src/base/verdict_list.h").replace(/\s+/g, " ");
	const reasons = new Set(["responder_unavailable", "nginx_error"]);
	for (const [, kind, status, reason] of list.matchAll(/\b(BROWSER|UPSTREAM|OWN)_VERDICT\( ?[A-Z_]+, (\w+), "([a-z_]+)"/g)) {
		reasons.add(kind === "UPSTREAM" ? `upstream_${reason}` : reason);
		if (/^\d+$/.test(status)) assert.match(page, new RegExp(`^\\|.*\\| [^|]*\\b${status}\\b.*\`.*${reason}\``, "m"), `${status} ${reason}`);
	}
	assert.ok(reasons.size > 20);
	const table = page.slice(0, page.indexOf("\n## "));
	const named = table.split("\n").filter((line) => line.startsWith("| ")).flatMap((line) => [...line.split(" | ").at(-1).matchAll(/`([a-z_]+)`/g)]);
	assert.deepEqual(new Set(named.map(([, name]) => name).filter((name) => name !== "reason")), reasons);
	const promises = [...list.matchAll(/\bPROMISE_VERDICT\( ?[A-Z_]+, 202, "([a-z_]+)"/g)].map(([, by]) => by);
	for (const by of promises) assert.match(page, new RegExp(`^\\| \`${by}\` \\|`, "m"), by);
});

/* What a page has between two headings. */
const section = (page, heading) => page.slice(page.indexOf(`\n## ${heading}\n`)).split("\n## ")[1];

scenario("METRICS.md has each metric with its type, its label and its help", async (stage) => {
	const ingest = await startIngest(stage, "http://127.0.0.1:1");
	const client = await FastcgiClient.open(ingest.socket);
	stage.after(() => client.close());
	const { text: exposed } = await client.send({ FARO_ENDPOINT: "metrics", REQUEST_METHOD: "GET" }, Buffer.alloc(0));
	const families = [...exposed.matchAll(/^# HELP faro_ingest_(\w+) (.*)\n# TYPE \w+ (\w+)\n\w+(?:\{(\w+)=)?/gm)]
		.map(([, name, help, type, label]) => [`\`${name}\``, type, label && label !== "le" ? `\`${label}\`` : "", help]);
	assert.ok(families.length > 20);
	assert.deepEqual(rows(section(text("docs/METRICS.md"), "Metrics")), families);
});

test("METRICS.md has each event that the manual has", () => {
	const events = listed(text("man/faro-ingest.8"), "Each event", "End of the events");
	const named = [...section(text("docs/METRICS.md"), "Events").matchAll(/^\| (`[^|]+`) \|/gm)].flatMap(([, cell]) => cell.match(/[a-z_*]+/g));
	assert.ok(events.length > 30);
	assert.deepEqual(named.sort(), events);
});

test("OPERATIONS.md has each finding of --check with its sentence", () => {
	const list = text("src/check/finding.c").replace(/"\s*"/g, "");
	const findings = [...list.matchAll(/\[FINDING_\w+\] = \{\s*"(\w+)",\s*"([^"]+)"/g)].map(([, name, sentence]) => [`\`${name}\``, sentence]);
	assert.ok(findings.length > 20);
	assert.deepEqual(rows(section(text("docs/OPERATIONS.md"), "What `--check` finds")), findings);
});

/* As the places that show Markdown make it of a heading. */
const anchor = (heading) => heading.toLowerCase().replace(/[^\w\- ]/g, "").replaceAll(" ", "-");
const anchors = (name) => [...text(name).matchAll(/^#+ (.*)$/gm)].map(([, heading]) => anchor(heading));

test("each link of the guide leads to a file, and to a heading in it", () => {
	for (const page of PAGES)
		for (const [, target, , heading] of text(page).matchAll(/\]\(([^)#]*)(#([^)]*))?\)/g)) {
			if (/^[a-z]+:/.test(target)) continue;
			const file = target ? join(dirname(page), target) : page;
			assert.ok(existsSync(join(root, file)), `${page}: ${target}`);
			if (heading) assert.ok(anchors(file).includes(heading), `${page}: ${relative(root, file)}#${heading}`);
		}
});

test("the README is a page that is read: at most 150 lines, and links to every page of the guide", () => {
	const readme = text("README.md");
	assert.ok(readme.split("\n").length <= 150);
	for (const name of readdirSync(join(root, "docs"))) assert.ok(readme.includes(`(docs/${name}`), name);
});

test("shell commands stand only in pages whose commands are run", () => {
	for (const page of PAGES.filter((name) => name.startsWith("docs/") && name !== "docs/QUICKSTART.md"))
		assert.deepEqual(shellBlocks(page, text(page)), [], page);
});
