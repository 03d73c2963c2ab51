// SPDX-License-Identifier: Apache-2.0
/* The recipes of the chart's README, pasted as they stand into a chart beside a copy of the library. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { cpSync, mkdirSync, readFileSync, readdirSync } from "node:fs";
import { dirname, join, relative } from "node:path";

import { helm4, library, made, read, run } from "./helm.mjs";

const readme = read(library, "README.md");

/* What stands below a heading, up to the next. */
function section(heading) {
	const [, text] = new RegExp(`\\n##+ ${heading}\\n(.*?)\\n##+ `, "s").exec(readme) ?? [];
	assert.ok(text, `the README has no "${heading}"`);
	return text;
}

const block = (heading, language) => new RegExp(`\`\`\`${language}\\n(.*?)\`\`\``, "s").exec(section(heading))[1];

const GATEWAY = "Services without nginx: the gateway";
export const gateway = block(GATEWAY, "sh");
export const image = block("nginx in the image", "sh");
export const site = block("nginx in the image", "nginx");
export const front = block("nginx in front of any app", "sh");

/* The values of `gateway:` in that section's table, by what the cluster has. */
export const ways = Object.fromEntries([...section(GATEWAY).matchAll(/^\| (.*?) \| `(\{.*?\})`/gm)].map(([, name, value]) => [name, value]));

/* gateway, for a cluster that has this instead of the Ingress controller it is written for. */
export function gatewayFor(way) {
	const [usual] = Object.values(ways);
	assert.ok(gateway.includes(usual), "the recipe and its table differ");
	return gateway.replace(usual, ways[way]);
}

/* A folder with a chart named shop, by `helm create` or a copy, and the library beside it. */
export function begin({ helm = helm4, copy } = {}) {
	const folder = made();
	cpSync(library, join(folder, "faro-ingest"), { recursive: true, dereference: true });
	const service = join(folder, "shop");
	if (copy) cpSync(copy, service, { recursive: true });
	else assert.equal(run(["create", "shop"], { cwd: folder, helm }).code, 0);
	return service;
}

/* Pastes it into a shell in that folder. */
export function paste(folder, recipe, helm = helm4) {
	mkdirSync(join(folder, "charts"), { recursive: true });
	execFileSync("sh", ["-ec", recipe], { cwd: folder, stdio: "pipe", env: { ...process.env, PATH: `${dirname(helm)}:${process.env.PATH}` } });
	return folder;
}

/* How many lines the recipe has changed in the service's own files. */
export function changed(before, after) {
	const files = (folder) => readdirSync(folder, { recursive: true, withFileTypes: true })
		.filter((entry) => entry.isFile()).map((entry) => relative(folder, join(entry.parentPath ?? entry.path, entry.name)))
		.filter((name) => !/^charts\/|^Chart\.lock$/.test(name));
	const lines = (folder, name) => {
		try {
			return readFileSync(join(folder, name), "utf8").trimEnd().split("\n");
		} catch {
			return [];
		}
	};
	return files(after).reduce((sum, name) => {
		const left = new Map();
		for (const line of lines(before, name)) left.set(line, (left.get(line) ?? 0) + 1);
		return sum + lines(after, name).filter((line) => {
			const is = left.get(line) ?? 0;
			left.set(line, is - 1);
			return is <= 0;
		}).length;
	}, 0);
}
