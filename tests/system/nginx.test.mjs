// SPDX-License-Identifier: Apache-2.0
/* The snippets of nginx/ alone: a fake responder stands behind them, or nothing. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import vm from "node:vm";

import { get, post, send } from "./lib/client.mjs";
import { fakeResponder } from "./lib/fastcgi.mjs";
import { isRoot, mainConfig, makeDirectory, nginx, replace, snippet, startNginx } from "./lib/nginx.mjs";
import { assertProblem, assertRetryAfter } from "./lib/problem.mjs";
import { root, scenario, Stage } from "./lib/stage.mjs";
import { makeImage, render, startImage } from "./lib/templates.mjs";

const MIB = 1024 * 1024;
const beacon = '{"meta":{}}';

/* What a browser has after it ran config.js on a page of `origin`. */
function runConfigJs(text, origin) {
	const context = { location: { origin }, URL };
	context.window = context;
	vm.runInNewContext(text, context);
	return JSON.parse(JSON.stringify(context.faroConfig));
}

scenario("nginx starts without a responder, serves everything else, and answers beacons with 503", async (stage) => {
	const server = await nginx(stage, { socket: stage.path("nowhere/faro.sock") });
	const page = await get(server.port, "/");
	assert.equal(page.status, 200);
	assert.match(page.text, /the service itself/);

	const reply = await post(server.port, beacon);
	assertProblem(reply, 503, "responder_unavailable");
	assertRetryAfter(reply);
	assertProblem(await post(server.port, beacon, {}, { path: "/faro/app.js" }), 503, "responder_unavailable");
	for (const path of ["/metrics", "/health", "/ready"])
		assertProblem(await get(server.statusPort, path), 503, "responder_unavailable");
});

scenario("both paths and all below them reach the responder, whatever the method", async (stage) => {
	const socket = stage.path("faro.sock");
	const responder = await fakeResponder(stage, socket);
	const server = await nginx(stage, { socket });
	const seen = async (method, path) => {
		assert.equal((await send(server.port, { method, path })).text, method === "HEAD" ? "" : "ok");
		const { params } = responder.requests.at(-1);
		return `${params.REQUEST_METHOD} ${params.SCRIPT_NAME} ${params.FARO_ENDPOINT}`;
	};
	assert.equal(await seen("POST", "/faro/collect"), "POST /faro/collect collect");
	assert.equal(await seen("POST", "/faro/collect?x=1"), "POST /faro/collect collect");
	assert.equal(await seen("POST", "/faro"), "POST /faro/collect collect");
	assert.equal(await seen("POST", "/faro/"), "POST /faro/ collect");
	assert.equal(await seen("POST", "/faro/collect/"), "POST /faro/collect/ collect");
	assert.equal(await seen("POST", "/faro/other.php"), "POST /faro/other.php collect");
	for (const method of ["GET", "HEAD", "PUT", "DELETE", "OPTIONS", "PATCH", "PROPFIND"])
		assert.equal(await seen(method, "/faro/collect"), `${method} /faro/collect collect`);
	assert.equal((await get(server.port, "/faroese")).status, 404);
	assert.equal((await get(server.port, "/farocollect")).status, 404);
	assert.equal(responder.requests.length, 13);
});

/* As sites have it that want a slash at the end of each path: a browser posts once more, with its body. */
scenario("a site-wide rule that adds a slash by 308 takes no beacon away", async (stage) => {
	const socket = stage.path("faro.sock");
	const responder = await fakeResponder(stage, socket);
	const server = await nginx(stage, { socket, server: "if ($uri ~ ^([^.]*[^/])$) { return 308 $1/; }" });
	for (const path of ["/faro", "/faro/collect"]) {
		const reply = await fetch(`http://127.0.0.1:${server.port}${path}`, { method: "POST", body: beacon });
		assert.equal(reply.status, 202);
		assert.ok(reply.redirected);
		const { params, body } = responder.requests.at(-1);
		assert.equal(`${params.REQUEST_METHOD} ${params.SCRIPT_NAME} ${params.FARO_ENDPOINT}`, `POST ${path}/ collect`);
		assert.equal(body.toString(), beacon);
	}
	assert.equal((await get(server.port, "/faro/config.js")).status, 200);
});

scenario("the responder gets the named parameters and nothing else of the client's", async (stage) => {
	const socket = stage.path("faro.sock");
	const responder = await fakeResponder(stage, socket);
	const server = await nginx(stage, { socket });
	const headers = {
		Host: "shop.example:8443", "Content-Type": "application/json", "Content-Encoding": "gzip",
		Origin: "https://shop.example:8443", "Sec-Fetch-Site": "same-origin",
		"X-Faro-Session-Id": "s1", "Idempotency-Key": "k1", Traceparent: "00-a-b-01",
		Cookie: "session=secret", Authorization: "Bearer secret", Proxy: "http://evil.example",
		"X-Api-Key": "secret", "X-Scope-OrgID": "other", Forwarded: "for=1.2.3.4",
		"X-Forwarded-For": "1.2.3.4", "Faro-Endpoint": "metrics", FARO_ENDPOINT: "metrics",
	};
	await send(server.port, { headers, body: beacon });
	assert.deepEqual(responder.requests[0].params, {
		FARO_ENDPOINT: "collect", GATEWAY_INTERFACE: "CGI/1.1", SERVER_PROTOCOL: "HTTP/1.1",
		REQUEST_METHOD: "POST", SCRIPT_NAME: "/faro/collect", CONTENT_LENGTH: String(beacon.length),
		CONTENT_TYPE: "application/json", HTTP_HOST: "shop.example:8443",
		HTTP_ORIGIN: "https://shop.example:8443", HTTP_SEC_FETCH_SITE: "same-origin",
		HTTP_CONTENT_ENCODING: "gzip", HTTP_X_FARO_SESSION_ID: "s1", HTTP_IDEMPOTENCY_KEY: "k1",
		HTTP_TRACEPARENT: "00-a-b-01", REMOTE_ADDR: "127.0.0.1",
	});
	assert.equal(responder.requests[0].body.toString(), beacon);
});

scenario("a chunked body arrives with its length", async (stage) => {
	const socket = stage.path("faro.sock");
	const responder = await fakeResponder(stage, socket);
	const server = await nginx(stage, { socket });
	const body = "y".repeat(300_000); // through a temporary file
	await send(server.port, { headers: { "Transfer-Encoding": "chunked" }, body });
	assert.equal(responder.requests[0].params.CONTENT_LENGTH, "300000");
	assert.equal(responder.requests[0].body.toString(), body);
});

scenario("connections to the responder are kept", async (stage) => {
	const socket = stage.path("faro.sock");
	const responder = await fakeResponder(stage, socket);
	const server = await nginx(stage, { socket });
	for (let i = 0; i < 20; i++) await post(server.port, beacon);
	assert.equal(responder.requests.length, 20);
	assert.ok(responder.connections <= 2, `one a worker at most, not ${responder.connections}`);
});

scenario("the responder's own errors pass as they are", async (stage) => {
	const socket = stage.path("faro.sock");
	let status;
	await fakeResponder(stage, socket, () =>
		`Status: ${status}\r\nContent-Type: application/problem+json\r\nX-Mine: yes\r\n\r\n{"status":${status}}`);
	const server = await nginx(stage, { socket, http: "fastcgi_intercept_errors on;" });
	for (status of [400, 413, 429, 502, 503, 504]) {
		const reply = await post(server.port, beacon);
		assert.equal(reply.status, status);
		assert.equal(reply.headers["x-mine"], "yes");
		assert.deepEqual(reply.json, { status });
	}
});

scenario("nginx refuses a body above the limit in the same form, before it has read it", async (stage) => {
	const socket = stage.path("faro.sock");
	const responder = await fakeResponder(stage, socket);
	const server = await nginx(stage, { socket });
	assert.equal((await post(server.port, Buffer.alloc(5 * MIB))).status, 202);
	for (const path of ["/faro/collect", "/faro"]) {
		const headers = { "Content-Length": 5 * MIB + 1 };
		assertProblem(await send(server.port, { path, headers, unfinished: true }), 413, "too_large");
	}
	assert.equal(responder.requests.length, 1);
});

scenario("a tab that closes does not cancel the beacon it has sent", async (stage) => {
	const socket = stage.path("faro.sock");
	let arrived, answer;
	const waiting = new Promise((done) => { arrived = done; });
	const held = new Promise((done) => { answer = done; });
	const responder = await fakeResponder(stage, socket, async ({ body }) => {
		if (body.toString() === "last words") {
			arrived();
			await held;
		}
		return "Status: 202\r\n\r\nok";
	});
	const server = await nginx(stage, { socket, workers: 1 });
	const abort = new AbortController();
	const gone = fetch(`http://127.0.0.1:${server.port}/faro/collect`,
		{ method: "POST", body: "last words", signal: abort.signal }).catch((error) => error.name);
	await waiting;
	abort.abort();
	assert.equal(await gone, "AbortError");
	/* The one worker sees that end before these requests, and would have hung up by then. */
	for (let i = 0; i < 5; i++) assert.equal((await post(server.port, beacon)).status, 202);
	assert.equal(responder.hungUp, 0);
	answer();
});

scenario("a service's own regular expressions take nothing away", async (stage) => {
	const socket = stage.path("faro.sock");
	await fakeResponder(stage, socket);
	const greedy = 'location ~* \\.js$ { return 418; } location ~ / { return 418; } location ~* collect { return 418; }';
	const server = await nginx(stage, { socket, server: greedy });
	assert.equal((await get(server.port, "/app.js")).status, 418);
	assert.equal((await post(server.port, beacon)).status, 202);
	assert.equal((await post(server.port, beacon, {}, { path: "/faro" })).status, 202);
	const script = await get(server.port, "/faro/config.js");
	assert.equal(script.status, 200);
	assert.equal(script.text, snippet("config.js"));
});

scenario("config.js is a script of the page's own origin, and is asked for again", async (stage) => {
	const server = await nginx(stage, { socket: stage.path("faro.sock"), http: "expires 1y;" });
	const { headers, text } = await get(server.port, "/faro/config.js");
	assert.equal(headers["content-type"], "text/javascript; charset=utf-8");
	assert.equal(headers["cache-control"], "no-cache");
	assert.equal(headers["x-content-type-options"], "nosniff");
	assert.equal(headers.expires, undefined);
	assert.deepEqual(runConfigJs(text, "https://shop.example:8443"), {
		collectorUrl: "https://shop.example:8443/faro",
		app: { name: "frontend" }, appNames: ["frontend"],
	});
	const again = await get(server.port, "/faro/config.js", { "If-None-Match": headers.etag });
	assert.equal(again.status, 304);
});

test("config.js hands on what was filled in", () => {
	let text = snippet("config.js");
	const settings = {
		path: "/t/x", collectorUrl: "", appNames: " shop , check\\\"out,", namespace: "web",
		environment: "prod", version: "1.2",
	};
	for (const [name, value] of Object.entries(settings))
		text = text.replace(new RegExp(`(\\t\\t${name}: )"[^"]*"`), `$1"${value}"`);
	const expected = {
		collectorUrl: "https://shop.example/t/x",
		app: { name: "shop", namespace: "web", environment: "prod", version: "1.2" },
		appNames: ["shop", 'check"out'],
	};
	assert.deepEqual(runConfigJs(text, "https://shop.example"), expected);
	const elsewhere = text.replace('collectorUrl: ""', 'collectorUrl: "https://faro.example/collect"');
	assert.equal(runConfigJs(elsewhere, "https://shop.example").collectorUrl, "https://faro.example/collect");
});

scenario("status pages are on a port of their own, and only there", async (stage) => {
	const socket = stage.path("faro.sock");
	const responder = await fakeResponder(stage, socket, ({ params }) => `Status: 200\r\n\r\n${params.FARO_ENDPOINT}`);
	const server = await nginx(stage, { socket });
	for (const name of ["metrics", "health", "ready"]) {
		assert.equal((await get(server.statusPort, `/${name}`, { Cookie: "a=b", Accept: "text/x" })).text, name);
		assert.deepEqual(responder.requests.at(-1).params, {
			FARO_ENDPOINT: name, GATEWAY_INTERFACE: "CGI/1.1", SERVER_PROTOCOL: "HTTP/1.1",
			REQUEST_METHOD: "GET", HTTP_ACCEPT: "text/x", SCRIPT_NAME: `/${name}`,
		});
		assert.equal((await get(server.port, `/${name}`)).status, 404);
		assert.equal((await get(server.port, `/faro/${name}`)).text, "collect", "the responder decides by endpoint");
	}
	assertProblem(await get(server.statusPort, "/faro/collect"), 404, "not_found");
	assertProblem(await get(server.statusPort, "/metrics/"), 404, "not_found");
});

scenario("everything works with an nginx that nobody started as root", async (stage) => {
	const socket = stage.path("faro.sock");
	await fakeResponder(stage, socket);
	const dir = makeDirectory(stage, "unprivileged", isRoot ? [65534, 65534] : undefined);
	const server = await startNginx(stage, dir, ({ port, statusPort }) => {
		const edit = (name, from, to) => writeFileSync(join(dir, name), replace(snippet(name), from, to));
		edit("faro-http.conf", "/run/faro-ingest/faro.sock", socket);
		edit("faro-location.conf", "/etc/nginx/faro/config.js", `${dir}/config.js`);
		edit("faro-status.conf", "127.0.0.1:12348", `127.0.0.1:${statusPort}`);
		writeFileSync(join(dir, "config.js"), snippet("config.js"));
		return mainConfig({
			dir, port, user: "",
			http: `include ${dir}/faro-http.conf;\ninclude ${dir}/faro-status.conf;`,
			server: `include ${dir}/faro-location.conf;`,
		});
	}, { as: isRoot ? "nobody" : undefined });
	assert.equal((await post(server.port, Buffer.alloc(1 * MIB))).status, 202); // through a temporary file
	assert.equal((await get(server.port, "/faro/config.js")).status, 200);
	assert.equal((await get(server.statusPort, "/health")).status, 202);
});

/* --- templates ------------------------------------------------------------------------------------- */

scenario("templates, with nothing set but the name, give what the plain snippets give", async (stage) => {
	const dir = makeImage(stage);
	const socket = stage.path("faro.sock");
	await fakeResponder(stage, socket);
	render(dir, {
		OTEL_SERVICE_NAME: "shop", FARO_SOCKET: socket, FARO_CONFIG_JS: `${dir}/conf.d/faro/config.js`,
		OTEL_RESOURCE_ATTRIBUTES: "service.namespace=web,service.version=1.2.3,deployment.environment.name=test",
	});
	const server = await startImage(stage, dir);
	assert.equal((await post(server.port, beacon)).status, 202);
	assert.equal((await post(server.port, beacon, {}, { path: "/faro" })).status, 202);
	const script = await get(server.port, "/faro/config.js");
	assert.deepEqual(runConfigJs(script.text, "https://shop.example"), {
		collectorUrl: "https://shop.example/faro",
		app: { name: "shop", namespace: "web", environment: "test", version: "1.2.3" }, appNames: ["shop"],
	});
});

test("templates rendered with the defaults are the plain snippets, but for the comment on top", async () => {
	const stage = new Stage();
	try {
		const dir = makeImage(stage);
		render(dir, { FARO_CONFIG_JS: "/etc/nginx/faro/config.js" });
		const directives = (text) => text.split("\n").map((line) => line.trim())
			.filter((line) => line && !line.startsWith("#"));
		const rendered = (name) => readFileSync(join(dir, "conf.d", name), "utf8");
		assert.deepEqual(directives(replace(rendered("faro/location.conf"), 'alias "/etc/nginx/faro/config.js"',
			"alias /etc/nginx/faro/config.js")), directives(snippet("faro-location.conf")));
		assert.equal(rendered("faro/config.js"), snippet("config.js"));
		/* Four more lines on top: what a variable is worth that nobody set, and the status port. */
		assert.deepEqual(directives(rendered("faro-http.conf")).slice(4), directives(snippet("faro-http.conf")));
	} finally {
		await stage.close();
	}
});

scenario("templates take another path, socket and list of origins", async (stage) => {
	const dir = makeImage(stage);
	const socket = stage.path("other.sock");
	render(dir, {
		FARO_PATH: "/rum/v1/", FARO_SOCKET: socket, FARO_CONFIG_JS: `${dir}/conf.d/faro/config.js`,
		FARO_ALLOWED_ORIGINS: "https://a.example,https://b.example", FARO_APP_NAMES: 'shop,say "hi"\\',
	});
	const server = await startImage(stage, dir);
	const down = await post(server.port, beacon, { Origin: "https://b.example" }, { path: "/rum/v1/collect" });
	assertProblem(down, 503, "responder_unavailable");
	assert.equal(down.headers["access-control-allow-origin"], "https://b.example");
	const responder = await fakeResponder(stage, socket);
	assert.equal((await post(server.port, beacon, {}, { path: "/rum/v1" })).status, 202);
	assert.equal(responder.requests[0].params.SCRIPT_NAME, "/rum/v1/collect");
	assert.equal((await post(server.port, beacon)).status, 404, "the service's own: there is no such file");
	const { text } = await get(server.port, "/rum/v1/config.js");
	assert.deepEqual(runConfigJs(text, "https://x").appNames, ["shop", 'say "hi"\\']);
	assert.equal(runConfigJs(text, "https://x").collectorUrl, "https://x/rum/v1");
});

for (const [what, options, env] of [
	["no variable set and no 15-faro.envsh", { envsh: false }, {}],
	["a filter that keeps our variables out", {}, { NGINX_ENVSUBST_FILTER: "^APP_" }],
	["values that nginx could not read", {}, {
		FARO_PATH: "/a {b};", FARO_SOCKET: "/run/x; }", FARO_ALLOWED_ORIGINS: '" ; }', FARO_CONFIG_JS: "a\nb",
		FARO_APP_NAMES: '"\n});\\', OTEL_RESOURCE_ATTRIBUTES: "service.version=%zz,=,,a", OTEL_SERVICE_NAME: "x",
	}],
	["a path that is the root, or not a path", {}, { FARO_PATH: "/" }],
])
	scenario(`templates do not stop nginx from starting: ${what}`, async (stage) => {
		const dir = makeImage(stage, options);
		render(dir, env);
		const server = await startImage(stage, dir);
		assert.equal((await get(server.port, "/")).status, 200);
		const script = readFileSync(join(dir, "conf.d/faro/config.js"), "utf8");
		assert.equal(runConfigJs(script, "https://x").collectorUrl, "https://x/faro");
	});

/* Each stands inside a directive, or a path of one. nginx reads no other setting of ours. */
test("15-faro.envsh hands on no value that could end its directive, or that nginx does not start with", () => {
	const names = ["FARO_PATH", "FARO_SOCKET", "FARO_CONFIG_JS", "FARO_ALLOWED_ORIGINS"];
	const read = (env) => execFileSync("sh", ["-c", `. "${root}/nginx/15-faro.envsh"; printf '%s\\0' ${names.map((name) => `"$${name}"`).join(" ")}`],
		{ encoding: "utf8", env: { PATH: process.env.PATH, ...env }, stdio: ["ignore", "pipe", "pipe"] });
	const defaults = read({});
	assert.equal(defaults, "/faro\0/run/faro-ingest/faro.sock\0/etc/nginx/conf.d/faro/config.js\0\0");
	for (const name of names) {
		const good = name === "FARO_ALLOWED_ORIGINS" ? "https://a.example" : "/a/b";
		assert.ok(read({ [name]: good }).includes(`${good}\0`), name);
		for (const bad of [..."\"';{}$\\#|<>()&^?+`!\t\r\n\u007f\u00e9"]) {
			assert.equal(read({ [name]: `${good}${bad}` }), defaults, `${name} with ${JSON.stringify(bad)} at the end`);
			assert.equal(read({ [name]: `${good}${bad}${good}` }), defaults, `${name} with ${JSON.stringify(bad)}`);
		}
		assert.equal(read({ [name]: good.padEnd(4000, "x") }), defaults, `${name}, too long`);
	}
});

scenario("templates do not stop nginx from starting: values as long as they may be", async (stage) => {
	const dir = makeImage(stage);
	render(dir, {
		FARO_PATH: "/x".padEnd(1000, "y"), FARO_SOCKET: "/x".padEnd(107, "y"), FARO_CONFIG_JS: "/x".padEnd(1000, "y"),
		FARO_ALLOWED_ORIGINS: Array.from({ length: 125 }, (_, i) => `https://*.p${i}.preview.example`).join(","),
	});
	const server = await startImage(stage, dir);
	assertProblem(await post(server.port, beacon, {}, { path: "/x".padEnd(1000, "y") }), 503, "responder_unavailable");
});

scenario("templates do not stop nginx from starting: nothing could be written", async (stage) => {
	const dir = makeImage(stage);
	/* Permissions do not hold root back; a file in the directory's place does. */
	const output = join(dir, "conf.d");
	execFileSync("rmdir", [output]);
	writeFileSync(join(dir, "blocked"), "");
	render(dir, { OUTPUT_DIR: output });
	const server = await startImage(stage, dir);
	assert.equal((await get(server.port, "/")).status, 200);
	assert.equal((await post(server.port, beacon)).status, 404);
});

scenario("the status port is there where the image has its file, beside the templates", async (stage) => {
	const dir = makeImage(stage);
	const socket = stage.path("faro.sock");
	await fakeResponder(stage, socket);
	const http = join(dir, "templates/faro-http.conf.template");
	writeFileSync(http, replace(readFileSync(http, "utf8"), "/etc/nginx/faro/", `${dir}/faro/`));
	render(dir, { FARO_SOCKET: socket });
	const server = await startNginx(stage, dir, ({ port, statusPort }) => {
		writeFileSync(join(dir, "faro/faro-status.conf"), replace(snippet("faro-status.conf"), "12348", String(statusPort)));
		return mainConfig({ dir, port, http: `include ${dir}/conf.d/*.conf;` });
	});
	assert.equal((await get(server.statusPort, "/health")).status, 202);
});
