// SPDX-License-Identifier: Apache-2.0
/*
 * What real pages send is never refused, and nothing in it changes but the labels.
 *
 * DESIGN: three looks at each recorded beacon. It is accepted, plain and compressed alike. Parsed, it is the input with
 * the label rules applied by applyLabels(), which was written from the rules and not from the source. And each key,
 * string, number and word outside of the labels stands in the output as it stood in the input, byte by byte and in its
 * order: parsing alone would not see 1e21 become 1e+21, or an escape become its character. What it does not show: what
 * is hostile, since no page of these was.
 */
import assert from "node:assert/strict";
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { gunzipSync } from "node:zlib";

import { beacon, runIngest } from "./lib/faro.mjs";
import { root, scenario } from "./lib/stage.mjs";

const files = readdirSync(join(root, "examples/beacons"));
const names = files.filter((name) => name.endsWith(".json") && name !== "headers.json").sort();
const mobile = readdirSync(join(root, "examples/beacons/mobile")).filter((name) => name !== "headers.json").map((name) => `mobile/${name}`);

/* Labels that the pages send as well (plan, browser.language), and one that they do not. */
const LABELLED = {
	env: {
		OTEL_SERVICE_NAME: "checkout",
		OTEL_RESOURCE_ATTRIBUTES: "service.namespace=retail,k8s.namespace.name=retail-prod,service.version=9.9.9," +
			"deployment.environment.name=production,k8s.cluster.name=blue,plan=gold,browser.language=tlh",
		FARO_LABEL_ATTRIBUTES: "k8s.cluster.name,plan,browser.language",
	},
	apps: ["checkout"],
	app: { namespace: "retail", environment: "production" },
	version: "9.9.9",
	resource: { "service.namespace": "retail", "k8s.namespace.name": "retail-prod", environment: "production" },
	attributes: { "k8s.cluster.name": "blue", plan: "gold", "browser.language": "tlh" },
};

/* Two frontends, the recorded one being the second; nothing is known of environment, version and cluster. */
const BARE = {
	env: {
		OTEL_SERVICE_NAME: "admin",
		OTEL_RESOURCE_ATTRIBUTES: "service.namespace=web",
		FARO_APP_NAMES: "admin,shop",
	},
	apps: ["admin", "shop"],
	app: { namespace: "web", environment: "" },
	version: "",
	resource: { "service.namespace": "web", "k8s.namespace.name": "", environment: "" },
	attributes: {},
};

/* --- the rules, once more ------------------------------------------------------------------------ */

const sessionKey = (key) => key.replaceAll(".", "_");

/* "\0" is no key of anybody's; the others are what the receiver's logfmt drops from a key. */
const shown = (key) => key.replace(/[\x00-\x20="\x7f]/g, "");

const DEPLOYMENT = ["deployment.environment.name", "deployment.environment"];
const STAMPED = ["service.name", "service.namespace", "k8s.namespace.name", ...DEPLOYMENT];

const isResourceLabel = (key, { attributes }) =>
	STAMPED.includes(key) || key in attributes || key.startsWith("k8s.");

const isSessionLabel = (key, { attributes }) => Object.keys(attributes).some((one) => sessionKey(one) === shown(key));

/* Rule 4, as pairs; what has no value is not stamped. */
function resourceLabels(app, { resource, attributes }) {
	const { environment, ...rest } = resource;
	const deployment = Object.fromEntries(DEPLOYMENT.map((key) => [key, environment]));
	return Object.entries({ "service.name": app, ...rest, ...deployment, ...attributes }).filter(([, value]) => value);
}

function applyToResource(one, app, identity) {
	const resource = (one.resource ??= {});
	const own = (resource.attributes ?? []).filter(({ key }) => !isResourceLabel(key, identity));
	const ours = resourceLabels(app, identity).map(([key, stringValue]) => ({ key, value: { stringValue } }));
	resource.attributes = [...own, ...ours];
}

function applyToSession(meta, identity) {
	const labels = Object.entries(identity.attributes);
	if (labels.length === 0) return;
	const session = (meta.session ??= {});
	const own = Object.entries(session.attributes ?? {}).filter(([key]) => !isSessionLabel(key, identity));
	session.attributes = Object.fromEntries([...own, ...labels.map(([key, value]) => [sessionKey(key), value])]);
}

/* Rule 7; no page has sent meta.geo. */
function applyToOverrides(meta, { apps }) {
	const overrides = meta.session?.overrides;
	if (overrides && !apps.includes(overrides.serviceName)) delete overrides.serviceName;
}

/* Rules 3 to 5, and 7. */
function applyLabels(body, identity) {
	const labelled = structuredClone(body);
	const meta = (labelled.meta ??= {});
	const app = (meta.app ??= {});
	const name = identity.apps.includes(app.name) ? app.name : identity.apps[0];

	Object.assign(app, { name, ...identity.app });
	if (!app.version && identity.version) app.version = identity.version;
	applyToSession(meta, identity);
	applyToOverrides(meta, identity);
	for (const one of labelled.traces?.resourceSpans ?? []) applyToResource(one, name, identity);
	return labelled;
}

/* The order in which labels are added is nobody's concern; that of the others is looked at byte by byte. */
function sortAttributes(body) {
	for (const { resource } of body.traces?.resourceSpans ?? [])
		resource.attributes.sort((a, b) => (a.key < b.key ? -1 : a.key > b.key ? 1 : 0));
	return body;
}

/* --- byte by byte -------------------------------------------------------------------------------- */

/* Keys, strings, numbers, words, braces and brackets of a text that is known to be JSON; a byte is a character. */
function* tokens(text) {
	for (let at = 0; at < text.length;) {
		const from = at++;
		if (text[from] === '"') {
			while (text[at] !== '"') at += text[at] === "\\" ? 2 : 1;
			at++;
		} else if (!"{}[]:,".includes(text[from])) {
			while (!"{}[]:,".includes(text[at])) at++;
		}
		yield text.slice(from, at);
	}
}

/* The end of the value that begins at list[at]. */
function valueEnd(list, at) {
	let depth = 0;
	do {
		depth += "{[".includes(list[at]) ? 1 : "}]".includes(list[at]) ? -1 : 0;
		at++;
	} while (depth > 0);
	return at;
}

/* Members or elements from list[at], an opening one, on: (key or undefined, from, value, end). */
function* children(list, at) {
	const isObject = list[at++] === "{";
	while (!"}]".includes(list[at])) {
		const from = at;
		const value = isObject ? at + 2 : at;
		at = valueEnd(list, value);
		yield { key: isObject ? JSON.parse(list[from]) : undefined, from, value, end: at };
		if (list[at] === ",") at++;
	}
}

/* Where the member's value begins; undefined without it, or without an object. */
function find(list, at, name) {
	if (at === undefined) return undefined;
	return [...children(list, at)].find(({ key }) => key === name)?.value;
}

const APP_LABELS = ["name", "namespace", "environment", "version"];

/* Which stretches of the list are labels, or were in their place: [from, end). `given` is what the browser sent. */
function labelSpans(list, identity, given) {
	const spans = [];
	const skip = (at, isLabel) => {
		if (at === undefined) return;
		for (const child of children(list, at)) if (isLabel(child)) spans.push([child.from, child.end]);
	};
	const meta = find(list, 0, "meta");
	const traces = find(list, 0, "traces");
	const session = find(list, meta, "session");

	skip(find(list, meta, "app"), ({ key }) => APP_LABELS.includes(key));
	/* Made for the labels, where the browser sent none. */
	if (!given.meta.session) skip(meta, ({ key }) => key === "session");
	else if (!given.meta.session.attributes) skip(session, ({ key }) => key === "attributes");
	else skip(find(list, session, "attributes"), ({ key }) => isSessionLabel(key, identity));
	skip(find(list, session, "overrides"), ({ key }) => key === "serviceName");
	const resourceSpans = find(list, traces, "resourceSpans");
	for (const { value } of resourceSpans === undefined ? [] : children(list, resourceSpans)) {
		const attributes = find(list, find(list, value, "resource"), "attributes");
		skip(attributes, (child) => isResourceLabel(JSON.parse(list[find(list, child.value, "key")]), identity));
	}
	return spans.sort(([a], [b]) => a - b);
}

/* Everything but the labels; commas go with their neighbours. */
function untouched(bytes, identity, given) {
	const list = [...tokens(bytes.toString("latin1"))];
	const spans = labelSpans(list, identity, given);
	const rest = [];
	let at = 0;
	for (const [from, end] of [...spans, [list.length, list.length]]) {
		rest.push(...list.slice(at, from));
		at = end;
	}
	return rest.filter((token) => token !== ",");
}

/* JSON.parse() takes the last of two and says nothing, and so would all of the above. */
function assertKeysOnce(bytes, name) {
	const list = [...tokens(bytes.toString("latin1"))];
	const open = [];
	list.forEach((token, at) => {
		if ("{[".includes(token)) open.push(new Set());
		else if ("}]".includes(token)) open.pop();
		if (token !== ":") return;
		const key = JSON.parse(list[at - 1]);
		assert.ok(!open.at(-1).has(key), `${name}: ${key} comes twice in one object`);
		open.at(-1).add(key);
	});
}

/* Of the lists, which are long, the place alone. */
function assertSameTokens(was, is, name) {
	const at = was.findIndex((token, i) => token !== is[i]);
	const around = (list) => list.slice(Math.max(0, at - 5), at + 5).join(" ").slice(0, 400);
	if (at >= 0 || is.length !== was.length)
		assert.fail(`${name}: token ${at} changed\nfrom ${around(was)}\nto   ${around(is)}`);
}

/* --- the beacons --------------------------------------------------------------------------------- */

async function print(stage, name, { env }) {
	const { code, stdout, stderr } = await runIngest(stage, ["--print"], { env, stdin: beacon(name) });
	assert.equal(code, 0, `${name} is refused: ${stderr}`);
	return stdout;
}

async function checkBeacon(stage, name, identity) {
	const input = beacon(name);
	const output = await print(stage, name, identity);
	const given = JSON.parse(input);
	const expected = applyLabels(given, identity);

	assert.deepEqual(sortAttributes(JSON.parse(output)), sortAttributes(expected), name);
	assertKeysOnce(output, name);
	assertSameTokens(untouched(input, identity, given), untouched(output, identity, given), name);
	return output;
}

for (const [kind, identity] of [["labels of its own", LABELLED], ["no labels of its own", BARE]]) {
	scenario(`every recorded beacon passes, and only its labels change: a service with ${kind}`, async (stage) => {
		for (const name of names) {
			const output = await checkBeacon(stage, name, identity);
			assert.ok((await print(stage, `${name}.gz`, identity)).equals(output), `${name}.gz gives other bytes`);
		}
	});
	scenario(`those in the shape of mobile SDKs pass in the same way: a service with ${kind}`, async (stage) => {
		assert.ok(mobile.length > 3);
		for (const name of mobile) await checkBeacon(stage, name, identity);
	});
}

scenario("headers.json has what each was posted with", async () => {
	const headers = JSON.parse(beacon("headers.json"));
	assert.deepEqual(Object.keys(headers).sort(), files.filter((name) => /(?<!^headers)\.json(\.gz)?$/.test(name)).sort());
	for (const [name, of] of Object.entries(headers)) {
		assert.equal(of["content-length"], String(beacon(name).length), name);
		assert.equal(of["content-encoding"], name.endsWith(".gz") ? "gzip" : undefined, name);
		assert.equal(of["content-type"], "application/json", name);
		const id = name.endsWith(".gz") ? JSON.parse(gunzipSync(beacon(name))).meta.session?.id : JSON.parse(beacon(name)).meta.session?.id;
		assert.equal(of["x-faro-session-id"], id, name);
		assert.equal("idempotency-key" in of, !/-2\.8\./.test(name), name);
	}
});

scenario("each kind of beacon is there, and its compressed twin is the same batch", async () => {
	const twins = names.map((name) => `${name}.gz`);
	assert.deepEqual(files.filter((name) => name.endsWith(".gz")).sort(), twins);
	for (const name of names) assert.ok(gunzipSync(beacon(`${name}.gz`)).equals(beacon(name)), name);
	const kinds = [
		"session-start", "no-session", "errors", "logs", "events", "measurements", "web-vitals", "performance",
		"user-action", "traces", "csp-violation", "all-instrumentations",
		"react-error", "react-routes", "react-profiler", "react-all", "replay", "replay-all",
	];
	for (const kind of kinds) assert.ok(names.includes(`${kind}-2.12.json`), kind);
});
