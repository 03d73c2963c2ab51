// SPDX-License-Identifier: Apache-2.0
/*
 * Real Helm on copies: the library is packaged once, as it would be published, and every chart of a test
 * gets that package. Nothing is written into the tree.
 */
import { execFileSync, spawnSync } from "node:child_process";
import { cpSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";

import { root } from "../../system/lib/stage.mjs";

export const helm4 = process.env.FARO_HELM || join(root, ".build/helm/bin/helm");
export const helm3 = process.env.FARO_HELM_3 || join(root, ".build/helm/3/helm");
const python = process.env.FARO_HELM_PYTHON || join(root, ".build/helm/venv/bin/python");
const definitions = process.env.FARO_HELM_CRDS || join(root, ".build/helm/crds");
const decoder = process.env.FARO_HELM_MONITORS || join(root, ".build/helm/bin/monitors");
const reader = join(root, "tests/helm/lib/manifests.py");
const validator = join(root, "tests/helm/lib/validate.py");

export const VERSIONS = ["1.29", "1.30", "1.31", "1.32", "1.33", "1.34", "1.35", "1.36", "1.37"];
export const library = join(root, "helm/faro-ingest");
export const tests = join(root, "tests/helm");

const directory = mkdtempSync(join(tmpdir(), "faro-helm-"));
process.on("exit", () => rmSync(directory, { recursive: true, force: true }));

/* → { code, stdout, stderr } */
export function run(args, { cwd = directory, helm = helm4 } = {}) {
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

/* A folder of its own for one chart. */
export const made = () => mkdtempSync(join(directory, "chart-"));

/* The folder of a copy that can be rendered; edit(folder) changes it before. */
export function chart(source, edit = () => {}) {
	const folder = join(made(), basename(source));
	cpSync(source, folder, { recursive: true });
	mkdirSync(join(folder, "charts"), { recursive: true });
	cpSync(packaged, join(folder, "charts", basename(packaged)));
	edit(folder);
	return folder;
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
export function attempt(folder, values = {}, { release = "shop", namespace = "retail", more = [], helm = helm4 } = {}) {
	const files = [values].flat().flatMap((value) => {
		const path = join(made(), "values.json");
		writeFileSync(path, JSON.stringify(value));
		return ["--values", path];
	});
	return run(["template", release, folder, "--namespace", namespace, ...files, ...more], { helm });
}

export const template = (...args) => must(attempt(...args));

/* The message of a refusal, on one line. */
export function refusal(...args) {
	const { code, stdout, stderr } = attempt(...args);
	if (code === 0) throw new Error(`this was rendered:\n${stdout.slice(0, 2000)}`);
	return stderr.replace(/\s+/g, " ").trim();
}

/* The schemas of Kubernetes, of the Gateway API and of OpenShift; → the problems. */
export const invalid = (text, versions = VERSIONS) => execFileSync(python, [validator, ...versions],
	{ input: text, encoding: "utf8", env: { ...process.env, FARO_HELM_CRDS: definitions } }).trim();

/* Of many at once, which takes a fraction of the time: { name: text } → the problems, each with the name. */
export function invalidAll(texts) {
	if (!invalid(Object.values(texts).join("\n---\n"))) return "";
	return Object.entries(texts).map(([name, text]) => invalid(text).replaceAll(/^(?=.)/gm, `${name}: `)).join("\n").trim();
}

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

export const containers = (manifests, name) => {
	const { spec } = find(manifests, "Deployment", name).spec.template;
	return Object.fromEntries([...(spec.initContainers ?? []), ...spec.containers].map((c) => [c.name, c]));
};

export const read = (...names) => readFileSync(join(...names), "utf8");
