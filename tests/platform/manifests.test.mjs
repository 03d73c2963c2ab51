// SPDX-License-Identifier: Apache-2.0
/* What is applied to a cluster: kustomize makes the ConfigMaps, and the manifests are what they should be. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";

import { root, scenario } from "../system/lib/stage.mjs";
import { dashboards, example, parseYaml, text, yaml } from "./lib/examples.mjs";

async function kustomize(stage, name) {
	const { code, stdout, stderr } = await stage.finish("kubectl kustomize", "kubectl", ["kustomize", example(name)]);
	assert.equal(code, 0, stderr);
	return parseYaml(stdout.toString());
}

scenario("the sidecar that loads dashboards gets the dashboards as they are", async (stage) => {
	const [map, ...rest] = await kustomize(stage, "grafana");
	assert.deepEqual(rest, []);
	assert.equal(`${map.apiVersion} ${map.kind} ${map.metadata.name}`, "v1 ConfigMap faro-ingest-dashboards");
	assert.deepEqual(map.metadata.labels, { grafana_dashboard: "1" });
	assert.deepEqual(Object.keys(map.data).sort(), dashboards().map(({ name }) => name).sort(), "all of them");
	for (const [name, json] of Object.entries(map.data)) assert.equal(json, text("grafana/dashboards", name));
});

scenario("Alloy gets its configuration as it is", async (stage) => {
	const [map, ...rest] = await kustomize(stage, "alloy");
	assert.deepEqual(rest, []);
	assert.equal(`${map.apiVersion} ${map.kind} ${map.metadata.name}`, "v1 ConfigMap alloy-faro");
	assert.deepEqual(map.data, { "config.alloy": text("alloy/config.alloy") });
});

/* What Grafana would trip over, or a person: two panels of one id or in one place, a variable that nobody declares. */
test("each dashboard is one that Grafana can show", () => {
	const uids = new Set();
	for (const { name, json } of dashboards()) {
		const variables = json.templating.list.map((one) => one.name);
		const known = new Set([...variables, "__rate_interval", "__auto", "__range"]);
		for (const [, used] of JSON.stringify([json.panels, json.templating]).matchAll(/\$\{?(\w+)/g))
			if (used !== "__all") assert.ok(known.has(used), `${name}: $${used}`);
		for (const variable of variables)
			assert.match(JSON.stringify(json.panels), new RegExp(`\\$\\{?${variable}\\b`), `${name}: ${variable} is of use`);

		assert.equal(new Set(json.panels.map(({ id }) => id)).size, json.panels.length, `${name}: ids`);
		const taken = new Map();
		for (const { title, description, type, gridPos: { x, y, w, h }, targets } of json.panels) {
			assert.ok(x + w <= 24, `${name}: ${title} is too wide`);
			assert.ok(type === "row" || (description && targets.length), `${name}: ${title} says what it shows`);
			for (let i = x; i < x + w; i++)
				for (let j = y; j < y + h; j++) {
					assert.equal(taken.get(`${i} ${j}`), undefined, `${name}: ${title}`);
					taken.set(`${i} ${j}`, title);
				}
		}
		for (const { url } of json.links) uids.add(url.replace("/d/", ""));
	}
	assert.deepEqual([...uids].sort(), dashboards().map(({ json }) => json.uid).sort(), "they link to each other");
});

/* The keys of `values` that the chart does not know. */
const unknown = (values, known, path = "") => Object.entries(values).flatMap(([key, value]) =>
	!(key in known) ? [`${path}${key}`]
		: value && typeof value === "object" && !Array.isArray(value) ? unknown(value, known[key], `${path}${key}.`) : []);

test("the ArgoCD Application has what one needs, and values that the chart knows", () => {
	const { apiVersion, kind, metadata, spec } = yaml("argocd/shop.yaml");
	assert.equal(`${apiVersion} ${kind}`, "argoproj.io/v1alpha1 Application");
	assert.match(metadata.name, /^[a-z0-9]([a-z0-9-]*[a-z0-9])?$/);
	const { project, destination, source } = spec;
	for (const [what, value] of Object.entries({ project, server: destination.server, namespace: destination.namespace,
		repoURL: source.repoURL, path: source.path, targetRevision: source.targetRevision }))
		assert.equal(typeof value, "string", what);
	for (const option of spec.syncPolicy.syncOptions) assert.match(option, /^[A-Za-z]+=(true|false)$/);

	const chart = (file) => parseYaml(readFileSync(join(root, source.path, file), "utf8"))[0];
	const [{ alias }] = chart("Chart.yaml").dependencies;
	const known = parseYaml(readFileSync(join(root, "helm/faro-ingest/values.yaml"), "utf8"))[0];
	assert.deepEqual(unknown(source.helm.valuesObject[alias], known), []);
	assert.deepEqual(unknown({ proxy: { spoool: 1 } }, known), ["proxy.spoool"], "this test sees a wrong one");
});
