// SPDX-License-Identifier: Apache-2.0
/*
 * Real Helm on copies: the library is packaged once, as it would be published, and every chart of a test
 * gets that package. Nothing is written into the tree.
 */
import { execFileSync, spawnSync } from "node:child_process";
import { cpSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";

import { root } from "../../system/lib/stage.mjs";

const helm = process.env.FARO_HELM || join(root, ".build/helm/bin/helm");
const python = process.env.FARO_HELM_PYTHON || join(root, ".build/helm/venv/bin/python");
const decoder = process.env.FARO_HELM_MONITORS || join(root, ".build/helm/bin/monitors");
const reader = join(root, "tests/helm/lib/manifests.py");

export const VERSIONS = ["1.29", "1.33", "1.37"];
export const library = join(root, "helm/faro-ingest");
export const tests = join(root, "tests/helm");

const directory = mkdtempSync(join(tmpdir(), "faro-helm-"));
process.on("exit", () => rmSync(directory, { recursive: true, force: true }));

/* → { code, stdout, stderr } */
export function run(args, { cwd = directory } = {}) {
	const { status, error, stdout, stderr } = spawnSync(helm, args, {
		cwd, encoding: "utf8", maxBuffer: 1 << 26,
		env: { PATH: process.env.PATH, HOME: directory, HELM_CACHE_HOME: join(directory, "cache") },
	});
	if (error) throw error;
	return { code: status, stdout, stderr };
}

function must(result) {
	if (result.code !== 0) throw new Error(result.stderr || result.stdout);
	return result.stdout;
}

must(run(["package", library, "-d", join(directory, "packages")]));
export const packaged = join(directory, "packages", readdirSync(join(directory, "packages"))[0]);

/* The folder of a copy that can be rendered; edit(folder) changes it before. */
export function chart(source, edit = () => {}) {
	const made = join(mkdtempSync(join(directory, "chart-")), basename(source));
	cpSync(source, made, { recursive: true });
	mkdirSync(join(made, "charts"), { recursive: true });
	cpSync(packaged, join(made, "charts", basename(packaged)));
	edit(made);
	return made;
}

/* Services below one chart, each with a name of its own; their charts have the library. */
export function umbrella(source, services) {
	return chart(source, (made) => {
		rmSync(join(made, "charts", basename(packaged)));
		for (const service of services) cpSync(chart(service), join(made, "charts", basename(service)), { recursive: true });
	});
}

export const shop = chart(join(root, "helm/shop"));

/* values: an object, later ones over earlier ones; → { code, stdout, stderr } */
export function attempt(folder, values = {}, { release = "shop", namespace = "retail", more = [] } = {}) {
	const files = [values].flat().flatMap((value) => ["--set-json", JSON.stringify(value)]);
	return run(["template", release, folder, "--namespace", namespace, ...files, ...more]);
}

export const template = (...args) => must(attempt(...args));

/* The message of a refusal, on one line. */
export function refusal(...args) {
	const { code, stdout, stderr } = attempt(...args);
	if (code === 0) throw new Error(`this was rendered:\n${stdout.slice(0, 2000)}`);
	return stderr.replace(/\s+/g, " ").trim();
}

/* Kubernetes' own schemas; → the problems. */
export const invalid = (text, versions = VERSIONS) =>
	execFileSync(python, [reader, ...versions], { input: text, encoding: "utf8" }).trim();

/* The Prometheus operator's own types; → how many monitors there are. Throws where one does not fit. */
export const monitors = (manifests) =>
	Number(execFileSync(decoder, { input: JSON.stringify(manifests), encoding: "utf8", stdio: "pipe" }));

export const parse = (text) =>
	JSON.parse(execFileSync(python, [reader], { input: text, encoding: "utf8", maxBuffer: 1 << 26 }));

export const find = (manifests, kind, name) => {
	const found = manifests.filter((m) => m.kind === kind && (!name || m.metadata.name === name));
	if (found.length !== 1) throw new Error(`${found.length} manifests are a ${kind} ${name ?? ""}`);
	return found[0];
};

export const containers = (manifests) => {
	const { spec } = find(manifests, "Deployment").spec.template;
	return Object.fromEntries([...(spec.initContainers ?? []), ...spec.containers].map((c) => [c.name, c]));
};

export const read = (...names) => readFileSync(join(...names), "utf8");
