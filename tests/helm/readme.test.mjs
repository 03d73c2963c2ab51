// SPDX-License-Identifier: Apache-2.0
/* What the chart's README says: the diff applies, and the table is values.yaml and the schema. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { cpSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";

import { root, scenario } from "../system/lib/stage.mjs";
import { containers, find, invalid, library, packaged, parse, read, run, template, tests, VERSIONS } from "./lib/helm.mjs";

const readme = read(library, "README.md");
const diff = /```diff\n(.*?)```/s.exec(readme)[1];

test("a chart that adopts it changes at most 12 lines", () => {
	const changed = diff.split("\n").filter((line) => /^[+-]/.test(line) && !/^(\+\+\+|---) /.test(line));
	assert.ok(changed.length > 0 && changed.length <= 12, `${changed.length} lines`);
	assert.ok(changed.every((line) => line.length <= 110), "and no line is stretched to keep their number");
});

scenario("the diff applies to a plain chart, which renders what it should; off again, what it did", async (stage) => {
	const plain = stage.path("plain"), before = stage.path("before");
	cpSync(join(tests, "charts/plain"), plain, { recursive: true });
	cpSync(plain, before, { recursive: true });
	execFileSync("tar", ["-xzf", packaged, "-C", stage.dir]); // where the diff says: file://../faro-ingest
	execFileSync("patch", ["-p1", "--fuzz=0", "-s", "-d", plain], { input: diff });
	const { code, stderr } = run(["dependency", "build", plain]);
	assert.equal(code, 0, stderr);

	const text = template(plain);
	assert.equal(invalid(text), "");
	const manifests = parse(text);
	assert.deepEqual(Object.keys(containers(manifests)), ["nginx", "faro-ingest"]);
	assert.deepEqual(find(manifests, "Deployment").spec.template.spec.volumes.map(({ name }) => name),
		["site", "faro-config", "faro-socket"]);
	assert.equal(find(manifests, "ConfigMap", "shop-site").data["default.conf"], [
		"include /etc/nginx/faro/faro-http*.conf;", "server {", "  listen 8080;", "  root /usr/share/nginx/html;",
		"  include /etc/nginx/faro/faro-location*.conf;", "}", "",
	].join("\n"));

	assert.equal(template(plain, { faro: { enabled: false } }), template(before));
});

/* "proxy.path" → value; a map with nothing in it is a value too. */
function leaves(values, prefix = "") {
	return Object.entries(values).flatMap(([key, value]) =>
		value && typeof value === "object" && !Array.isArray(value) && Object.keys(value).length
			? leaves(value, `${prefix}${key}.`)
			: [[prefix + key, value]]);
}

const values = Object.fromEntries(leaves(parse(read(library, "values.yaml"))[0]));

test("the table of values has every value with its default, in their order", () => {
	const [, section] = readme.split("\n## Values\n");
	const rows = [...section.matchAll(/^\| `([\w.]+)` \| [\w ]+ \| `(.*?)` \|/gm)].map(([, name, value]) => [name, JSON.parse(value)]);
	assert.deepEqual(rows, Object.entries(values));
});

const schema = JSON.parse(read(library, "values.schema.json"));
const resolve = (node) => node.$ref ? resolve(schema.$defs[node.$ref.slice("#/$defs/".length)]) : node;

/* What the table calls the schema's type. What may be asked for and limited is Kubernetes' to say. */
function typeOf(name) {
	if (/esources\.(requests|limits)\./.test(name)) return "quantity";
	const node = name.split(".").reduce((outer, key) => resolve(outer).properties[key], schema.$defs.faro);
	if (node.$ref === "#/$defs/bytes") return "bytes";
	const { type, enum: words } = resolve(node);
	return words ? "word" : { array: "list", object: "map", boolean: "bool" }[type] ?? [type].flat().join(" or ");
}

test("the table of values has the types of the schema, and says what is required", () => {
	const [, section] = readme.split("\n## Values\n");
	const rows = [...section.matchAll(/^\| `([\w.]+)` \| ([\w ]+) \| `.*?` \| (.*)\|$/gm)];
	assert.equal(rows.length, Object.keys(values).length);
	for (const [, name, type] of rows) assert.equal(type, typeOf(name), name);
	assert.deepEqual(rows.filter(([, , , note]) => note.includes("**required**")).map(([, name]) => name),
		["proxy.upstreamUrl", "proxy.image.registry", "proxy.gateway.hosts", "proxy.gateway.httpRoute.parentRefs", "serviceName"]);
});

test("the schema has every value, and nothing else", () => {
	const names = (node, prefix = "") => Object.entries(node.properties).flatMap(([key, value]) => {
		const inner = resolve(value);
		return inner.properties ? names(inner, `${prefix}${key}.`) : [prefix + key];
	});
	/* What may be asked for and limited is Kubernetes' to say. */
	const free = (name) => name.replace(/^(proxy\.(?:resources|gateway\.nginxResources)\.\w+)\..*/, "$1");
	assert.deepEqual([...new Set(names(schema.$defs.faro))].sort(), [...new Set(Object.keys(values).map(free))].sort());
});

test("the first values are those that services know", () => {
	const { enabled, collectorUrl, proxy } = parse(read(library, "values.yaml"))[0];
	assert.deepEqual({ enabled, collectorUrl, enabledProxy: proxy.enabled, path: proxy.path, upstreamUrl: proxy.upstreamUrl },
		{ enabled: false, collectorUrl: "", enabledProxy: false, path: "/faro", upstreamUrl: "" });
});

test("the README has the templates that services include, as helm/shop does all of them", () => {
	const [, section] = /\n## Templates\n(.*?)\n## /s.exec(readme);
	const named = [...section.matchAll(/^\| (`\w+`(?:, `\w+`)*) \|/gm)].flatMap(([, cell]) => cell.match(/\w+/g));
	const templates = join(root, "helm/shop/templates");
	const included = readdirSync(templates).flatMap((name) =>
		[...read(templates, name).matchAll(/include "faro-ingest\.v1\.(\w+)"/g)].map(([, one]) => one));
	assert.deepEqual(named.sort(), included.sort());
});

test("the README names the versions of Kubernetes that are checked", () =>
	assert.ok(readme.includes(`Kubernetes ${VERSIONS[0]} to ${VERSIONS.at(-1)},`)));
