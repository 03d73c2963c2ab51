// SPDX-License-Identifier: Apache-2.0
/*
 * What FARO_REDACT leaves of recorded beacons, session replay included.
 *
 * DESIGN: an oracle of its own, written from the manual. It works on decoded text, with regular expressions, and reads
 * JSON in strings by parsing it, however deep; so it knows nothing of escapes. The program's output without redaction,
 * put through it, must equal the output with. And between the places that became REDACTED, each byte of the output
 * stands in the other one, in its order. The recorded pages have few secrets, so some are planted.
 */
import assert from "node:assert/strict";
import { readdirSync } from "node:fs";
import { join } from "node:path";

import { beacon, ingestEnv, runIngest } from "./lib/faro.mjs";
import { root, scenario } from "./lib/stage.mjs";

const names = readdirSync(join(root, "examples/beacons"))
	.filter((name) => name.endsWith(".json") && name !== "headers.json").sort();

/* --- the oracle ---------------------------------------------------------------------------------- */

const EXACT = ["X-Amz-Signature", "X-Amz-Credential", "X-Amz-Security-Token", "AWSAccessKeyId", "Signature", "sig",
	"X-Goog-Signature"];
const ANY_CASE = ["access_token", "id_token", "refresh_token", "token", "code", "state", "api_key", "apikey", "password",
	"secret"];
const FILES = /\.(png|jpe?g|gif|svg|webp|avif|ico|bmp|s?css|less|[cm]?js|tsx?|jsx|map|json|html?|xml|txt|pdf|csv|ya?ml|wasm|vue|woff2?|ttf|otf|eot|mp[34]|webm|ogg|t?gz|php|svelte)$/i;
const ADDRESS = /[\p{L}\p{N}](?:[\p{L}\p{N}_%+.'-]*[\p{L}\p{N}_%+-])?@((?:[\p{L}\p{N}][\p{L}\p{N}-]*\.)+\p{L}[\p{L}\p{N}-]*\p{L})/gu;
const CLOSES = String.raw`["\s<>]|['\x60)](?![\p{L}\p{N}/?&=%#])`;
const URLS = new RegExp(String.raw`(?:data:|blob:|[a-z][a-z0-9+.-]*://|(?<=^|[\s"'\x60(=])/)(?:(?!${CLOSES}).)*`, "giu");
const KEYED = { "url.query": "query", "url.fragment": "fragment", "http.target": "target" };

const hide = (value) => (value === "" ? "" : "REDACTED");
const isSecret = (name) => EXACT.includes(name) || ANY_CASE.includes(name.toLowerCase());

function parameters(text, kinds, keep, isQuery) {
	return text.split("&").map((one) => {
		const at = one.indexOf("=");
		if (at < 0)
			return isQuery && kinds.query ? hide(one) : one;
		const name = one.slice(0, at), value = one.slice(at + 1);
		const goes = (isQuery && kinds.query && !keep.includes(name)) || (kinds.secrets && isSecret(name.replace(/.*[?#]/, "")));
		return `${name}=${goes ? hide(value) : value}`;
	}).join("&");
}

const addresses = (text) => text.replace(ADDRESS, (whole, domain) =>
	(FILES.test(domain) || /^\d+\.\d+\./.test(domain) ? whole : "REDACTED"));

function redactUrl(url, kinds, keep) {
	const position = /(?::\d{1,7}){2}$/.exec(url)?.[0] ?? "";
	const [, path, query, fragment] = /^([^?#]*)(\?[^#]*)?(#.*)?$/s.exec(url.slice(0, url.length - position.length));
	let [, scheme, authority, rest] = /^((?:[a-z][a-z0-9+.-]*:)?\/\/)?([^/]*)(.*)$/is.exec(path);
	if (scheme && kinds.userinfo)
		authority = authority.replace(/^.+@/s, "REDACTED:REDACTED@");
	else if (!scheme)
		[authority, rest] = ["", path];
	let result = `${scheme ?? ""}${authority}${kinds.email ? addresses(rest) : rest}`;
	if (query)
		result += `?${parameters(query.slice(1), kinds, keep, true)}`;
	if (fragment)
		result += `#${kinds.fragment ? hide(fragment.slice(1)) : parameters(fragment.slice(1), kinds, keep, false)}`;
	return result + position;
}

function redactText(text, kinds, keep, as) {
	if (as === "query")
		return parameters(text, kinds, keep, true);
	if (as === "fragment")
		return kinds.fragment ? hide(text) : parameters(text, kinds, keep, false);
	if (as === "target")
		return redactUrl(text, kinds, keep);
	let done = 0, result = "";
	for (const found of text.matchAll(URLS)) {
		const between = text.slice(done, found.index);
		result += kinds.email ? addresses(between) : between;
		result += /^(data|blob):/i.test(found[0]) ? found[0] : redactUrl(found[0], kinds, keep);
		done = found.index + found[0].length;
	}
	const rest = text.slice(done);
	return result + (kinds.email ? addresses(rest) : rest);
}

/* Strings that are JSON become what they say. */
function expand(value) {
	if (typeof value === "string" && /^\s*[[{]/.test(value))
		try {
			return { json: expand(JSON.parse(value)) };
		} catch {
			return value;
		}
	if (Array.isArray(value))
		return value.map(expand);
	if (value && typeof value === "object")
		return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, expand(inner)]));
	return value;
}

function redactTree(value, change, as) {
	if (typeof value === "string")
		return change(value, as);
	if (Array.isArray(value))
		return value.map((inner) => redactTree(inner, change));
	if (!value || typeof value !== "object")
		return value;
	return Object.fromEntries(Object.entries(value).map(([key, inner]) => {
		if (key === "value" && typeof value.key === "string" && inner?.stringValue !== undefined)
			return [key, { ...inner, stringValue: change(inner.stringValue, KEYED[value.key]) }];
		return [key, key === "key" && value.value ? inner : redactTree(inner, change, KEYED[key])];
	}));
}

function expected(body, kinds, keep) {
	const redacted = redactTree(body, (text, as) => redactText(text, kinds, keep, as));
	for (const name of ["name", "namespace", "environment", "version"])
		if (name in body.meta.app)
			redacted.meta.app[name] = body.meta.app[name];
	if (body.meta.session?.id)
		redacted.meta.session.id = body.meta.session.id;
	return redacted;
}

/* --- the tests ----------------------------------------------------------------------------------- */

async function print(stage, stdin, settings) {
	const env = ingestEnv(undefined, settings);
	const { code, stdout, stderr } = await runIngest(stage, ["--print"], { env, stdin });
	assert.equal(code, 0, stderr);
	return stdout.toString();
}

function assertOnlyReplaced(before, after) {
	let at = 0;
	const pieces = after.split(/REDACTED(?::REDACTED)?/);
	pieces.forEach((piece, i) => {
		const found = i === 0 ? (before.startsWith(piece) ? 0 : -1)
			: i === pieces.length - 1 ? (before.endsWith(piece) ? before.length - piece.length : -1)
				: before.indexOf(piece, at);
		assert.ok(found >= at, `changed elsewhere: ${piece.slice(0, 200)}`);
		at = found + piece.length;
	});
}

async function check(stage, stdin, list, keep = []) {
	const kinds = Object.fromEntries(list.map((kind) => [kind, true]));
	const settings = { FARO_REDACT: list.join(), FARO_REDACT_KEEP: keep.join() };
	const before = await print(stage, stdin, {});
	const after = await print(stage, stdin, settings);
	assert.deepEqual(expand(JSON.parse(after)), expected(expand(JSON.parse(before)), kinds, keep));
	assertOnlyReplaced(before, after);
	assert.equal(await print(stage, after, settings), after, "twice through");
	return after;
}

const ALL = ["secrets", "query", "fragment", "userinfo", "email"];

scenario("recorded beacons, redacted: as the oracle says, and nothing else changes", async (stage) => {
	for (const name of names) {
		await check(stage, beacon(name), ALL, ["page"]);
		await check(stage, beacon(name), ["secrets", "userinfo"]);
	}
});

scenario("recorded beacons with secrets planted in each URL: none is left", async (stage) => {
	for (const name of names) {
		const planted = beacon(name).toString()
			.replaceAll("http://localhost", "http://joe:s3cr3t@localhost")
			.replace(/(http:\/\/joe:s3cr3t@localhost[^"\\? )]*)(\?)?/g, (whole, url, query) =>
				(query ? `${url}?token=s3cr3t&` : whole))
			.replaceAll(/("message":")/g, "$1s3cr3t@mail.example /a?code=s3cr3t#s3cr3t ");
		const after = await check(stage, planted, ALL);
		assert.ok(!after.includes("s3cr3t"), name);
		assert.equal(after.includes("REDACTED"), planted.includes("s3cr3t"), name);
	}
});

scenario("JSON in strings, three levels deep: read, and valid on each", async (stage) => {
	let inner = { href: "https://joe:s3cr3t@a.example/?token=s3cr3t&b=\u00e4#s3cr3t", stack: "f@https://a.example/b.js?s3cr3t:1:2\ng@/c" };
	for (let level = 0; level < 3; level++) {
		const body = JSON.stringify({ meta: {}, logs: [{ message: JSON.stringify(inner) }] });
		for (const written of [body, body.replaceAll("/", "\\/"), body.replaceAll("&", "\\u0026").replaceAll("?", "\\u003f")]) {
			const after = await check(stage, written, ALL);
			assert.ok(!after.includes("s3cr3t"), after);
		}
		inner = { level, text: JSON.stringify(inner) };
	}
});
