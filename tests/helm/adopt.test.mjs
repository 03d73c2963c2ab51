// SPDX-License-Identifier: Apache-2.0
/* The recipes of the chart's README, pasted into what Helm 3.18 and Helm 4 create, and into charts of services without
 * nginx: what is rendered then, and how little of the service has changed. */
import assert from "node:assert/strict";
import { cpSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";

import { Cluster } from "./lib/cluster.mjs";
import { cases, charts } from "./lib/cases.mjs";
import { containers, find, helm3, helm4, invalid, invalidAll, made, parse, run, template, tests, VERSIONS } from "./lib/helm.mjs";
import { begin, changed, front, gateway, gatewayFor, image, paste, ways } from "./lib/recipe.mjs";

const HOST = "shop.example";
const name = (manifest) => `${manifest.kind} ${manifest.metadata.name}`;

/* The chart of `helm create` with its own Ingress switched on. */
const ingress = { ingress: { enabled: true, className: "nginx", hosts: [{ host: HOST, paths: [{ path: "/", pathType: "Prefix" }] }] } };

/* → { before, after }: folders, of which the second has had the recipe. */
function pasted(recipe, { helm, copy } = {}) {
	const before = begin({ helm, copy });
	const after = join(made(), "shop");
	cpSync(join(before, "../faro-ingest"), join(after, "../faro-ingest"), { recursive: true });
	cpSync(before, after, { recursive: true });
	return { before, after: paste(after, recipe, helm) };
}

const own = { podAnnotations: { a: "b" }, volumes: [{ name: "x", emptyDir: {} }], volumeMounts: [{ name: "x", mountPath: "/x" }] };
const rendered = {};

for (const [version, helm] of [["3.18", helm3], ["4", helm4]]) {
	test(`Helm ${version} is what its name says`, () =>
		assert.match(run(["version", "--template", "{{ .Version }}"], { helm }).stdout, new RegExp(`^v${version}\\b`)));

	for (const [what, recipe] of Object.entries({ gateway, image, front })) {
		const { before, after } = pasted(recipe, { helm });

		test(`${what}, in the chart that Helm ${version} creates: the responder is there, and what the service had stays`, () => {
			const text = template(after, [ingress, own], { helm });
			rendered[`${what}, Helm ${version}`] = text;
			const manifests = parse(text);
			assert.ok(containers(manifests, what === "gateway" ? "shop-faro" : "shop")["faro-ingest"]);
			const { metadata, spec } = find(manifests, "Deployment", "shop").spec.template;
			assert.equal(metadata.annotations.a, "b");
			assert.ok(spec.volumes.some((volume) => volume.name === "x"));
			assert.ok(spec.containers[0].volumeMounts.some((mount) => mount.name === "x"));
		});

		test(`${what}, in the chart that Helm ${version} creates: off, it renders byte by byte what it did`, () => {
			for (const values of [{}, [ingress, own]])
				assert.equal(template(after, [values, { faro: { enabled: false } }].flat(), { helm }), template(before, values, { helm }));
		});
	}
}

/* --- the gateway ----------------------------------------------------------------------------------- */

const services = {
	"helm create": { values: ingress },
	express: { copy: join(tests, "charts/express") },
	fastapi: { copy: join(tests, "charts/fastapi"), way: "the Gateway API" },
};

for (const [service, { copy, values = {}, way = "an Ingress controller" }] of Object.entries(services)) {
	const { before, after } = pasted(gatewayFor(way), { copy });

	test(`gateway, ${service}: at most 8 lines change, and none of what the service's chart rendered`, () => {
		const lines = changed(before, after);
		assert.ok(lines > 0 && lines <= 8, `${lines} lines`);
		const then = parse(template(before, values)), now = parse(template(after, values));
		for (const manifest of then) assert.deepEqual(now.find((one) => name(one) === name(manifest)), manifest);
		assert.ok(now.length > then.length);
	});

	test(`gateway, ${service}: the path leads to the gateway and the rest to the service; no selector finds the other's pods`, () => {
		const cluster = new Cluster(parse(template(after, values)));
		for (const path of ["/faro", "/faro/collect", "/faro/config.js"]) {
			assert.match(cluster.rule(HOST, path).service, /-faro$/, path);
			assert.equal(cluster.port(HOST, path), 8080);
			assert.ok(cluster.workload(cluster.rule(HOST, path).service).metadata.name.endsWith("-faro"));
		}
		for (const path of ["/", "/faros", "/x/faro"]) {
			assert.equal(cluster.rule(HOST, path).service, "shop", path);
			assert.equal(cluster.workload("shop").metadata.name, "shop");
		}
		assert.equal(cluster.rule("other.example", "/faro"), undefined, "hosts of others are left alone");
	});
}

for (const way of Object.keys(ways))
	test(`gateway, where the cluster has ${way}: only what is asked for`, () => {
		const { after } = pasted(gatewayFor(way));
		const text = template(after, {});
		rendered[way] = text;
		const kinds = parse(text).map(({ kind }) => kind).filter((kind) => ["Ingress", "HTTPRoute", "Route"].includes(kind));
		assert.deepEqual(kinds, { "an Ingress controller": ["Ingress"], "the Gateway API": ["HTTPRoute"], "OpenShift's router": ["Route"] }[way] ?? []);
		const cluster = new Cluster(parse(text));
		if (kinds.length) assert.equal(cluster.port(HOST, "/faro/collect"), 8080);
		assert.equal(cluster.workload("shop-faro").metadata.name, "shop-faro");
	});

test(`all of it is valid for Kubernetes ${VERSIONS.join(", ")}`, () => assert.equal(invalidAll(rendered), ""));

test("the definitions of HTTPRoute and Route do refuse what is wrong", () => {
	const text = template(charts.express, cases.find(({ name: which }) => which === "gateway-every-value").values);
	const wrong = text.replace("type: PathPrefix", "type: Prefix").replace("termination: edge", "terminate: edge")
		.replace("parentRefs:", "parents:");
	const problems = invalid(wrong, ["1.37"]);
	assert.match(problems, /HTTPRoute.*'Prefix' is not one of/);
	assert.match(problems, /Route.*'terminate' was unexpected/);
	assert.match(problems, /HTTPRoute.*'parents' was unexpected/);
});
