// SPDX-License-Identifier: Apache-2.0
/* What others do with rendered manifests, or do differently: kustomize, Argo CD, a StatefulSet. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { copyFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";

import { root, scenario } from "../system/lib/stage.mjs";
import { charts } from "./lib/cases.mjs";
import { chart, find, invalid, parse, read, refusal, shop, template, tests } from "./lib/helm.mjs";

const monitored = { faro: { enabled: true, proxy: { metrics: { serviceMonitor: true } } } };
const headless = (manifests) => manifests.find(({ kind, spec }) => kind === "Service" && spec.clusterIP === "None");

function assertSelects(selector, labels) {
	assert.ok(Object.keys(selector).length > 0);
	for (const [name, value] of Object.entries(selector)) assert.equal(labels[name], value, name);
}

/* A pod finds its ConfigMap, the Service its pods, the monitor the Service. */
function assertTogether(manifests) {
	const { spec: { template: pod } } = find(manifests, "Deployment");
	const { configMap } = pod.spec.volumes.find(({ name }) => name === "faro-config");
	assert.ok(find(manifests, "ConfigMap", configMap.name).data["faro-location.conf"]);
	assertSelects(headless(manifests).spec.selector, pod.metadata.labels);
	assertSelects(find(manifests, "ServiceMonitor").spec.selector.matchLabels, headless(manifests).metadata.labels);
	assert.equal(new Set(manifests.filter(({ metadata }) => metadata.namespace).map(({ metadata }) => metadata.namespace)).size, 1);
}

scenario("kustomize may rename, move and label what is rendered", (stage) => {
	copyFileSync(join(tests, "kustomize/kustomization.yaml"), stage.path("kustomization.yaml"));
	writeFileSync(stage.path("shop.yaml"), template(shop, monitored));
	const text = execFileSync("kubectl", ["kustomize", stage.dir], { encoding: "utf8" });
	assert.equal(invalid(text), "");
	const manifests = parse(text);
	assertTogether(manifests);
	for (const { metadata } of manifests) {
		assert.match(metadata.name, /^eu-/);
		assert.equal(metadata.namespace, "eu");
		assert.equal(metadata.labels.team, "web");
	}
	const responder = find(manifests, "Deployment").spec.template.spec.containers.find(({ name }) => name === "faro-ingest");
	assert.ok(!JSON.stringify(responder).includes("retail"), "the label is the namespace that the pod runs in");
});

test("Argo CD may write its instance label, and gets the same manifests at each look", () => {
	const text = template(shop, monitored);
	assert.equal(template(shop, monitored, { more: ["--include-crds", "--kube-version", "1.33", "--api-versions", "monitoring.coreos.com/v1"] }), text);
	const manifests = parse(text);
	for (const { metadata } of manifests) (metadata.labels ??= {})["app.kubernetes.io/instance"] = "an-application";
	assertTogether(manifests);
});

test("a StatefulSet's claim template takes the place of the spool's volume", () => {
	const { spec } = find(parse(template(charts.stateful)), "StatefulSet");
	const [claim] = spec.volumeClaimTemplates;
	const { containers, volumes } = spec.template.spec;
	const mounts = containers.find(({ name }) => name === "faro-ingest").volumeMounts;
	assert.ok(mounts.some(({ name }) => name === claim.metadata.name));
	const { sizeLimit } = volumes.find(({ name }) => name === claim.metadata.name).emptyDir;
	assert.ok(Number.parseInt(claim.spec.resources.requests.storage, 10) * 1024 * 1024 >= Number(sizeLimit), "what the chart wants there");
	assert.ok(!containers.find(({ name }) => name === "app").volumeMounts, "nothing is shared with the app");
});

test("a StatefulSet is rendered before templates/faro.yaml, which misses its volumes", () => {
	const without = (name, change) => chart(join(tests, "charts/stateful"), (made) => {
		const path = join(made, "templates", name);
		const text = change(read(path));
		if (text) writeFileSync(path, text);
		else rmSync(path);
	});
	const noVolumes = without("statefulset.yaml", (text) => text.replace(' (include "faro-ingest.v1.volumes" . | fromYamlArray)', ""));
	assert.match(refusal(noVolumes), /under volumes: of the pod in stateful\/templates\/statefulset\.yaml, which has `faro-ingest\.v1\.container`/);
	const noManifests = without("faro.yaml", () => "");
	assert.match(refusal(noManifests), /does not include `faro-ingest\.v1\.manifests` in templates\/faro\.yaml/);
});

test("the README's three ways to write a list are those of charts that are rendered", () => {
	const readme = read(root, "helm/faro-ingest/README.md");
	const [, section] = /\n### Lists that exist already\n(.*?)\n## /s.exec(readme);
	const blocks = [...section.matchAll(/```yaml\n(.*?)```/gs)].map(([, block]) => block);
	const sources = ["bare/templates/deployment.yaml", "plain/templates/deployment.yaml", "stateful/templates/statefulset.yaml"]
		.map((name) => read(tests, "charts", name)).join("") + read(root, "helm/shop/templates/deployment.yaml");
	assert.equal(blocks.length, 3);
	for (const block of blocks) assert.ok(sources.includes(block), block);
});
