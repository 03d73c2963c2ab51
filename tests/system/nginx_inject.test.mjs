// SPDX-License-Identifier: Apache-2.0
/* faro-inject.conf: config.js in pages that cannot be changed, whether nginx has them as files or from a service. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { readFileSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import { join } from "node:path";
import { gzipSync } from "node:zlib";

import { get } from "./lib/client.mjs";
import { nginx, replace, snippet } from "./lib/nginx.mjs";
import { scenario } from "./lib/stage.mjs";
import { makeImage, render, startImage } from "./lib/templates.mjs";

const PAGE = '<!doctype html><HTML><head>\n<script src="/app.js"></script></head><body><pre>&lt;head&gt;</pre></body></html>\n';
const SCRIPT = '<script src="/faro/config.js"></script>';
const WITH_SCRIPT = replace(PAGE, "<head>", `<head>${SCRIPT}`);

/* A service that compresses what it is asked for compressed, as Express with `compression` does. */
async function startService(stage, answers) {
	const service = createServer(({ url, headers }, response) => {
		const [type, text] = answers[url];
		const compress = /gzip/.test(headers["accept-encoding"] ?? "");
		response.writeHead(200, { "Content-Type": type, ...(compress && { "Content-Encoding": "gzip" }) });
		response.end(compress ? gzipSync(text) : text);
	}).listen(0, "127.0.0.1");
	await once(service, "listening");
	stage.after(() => service.close());
	return service.address().port;
}

const answers = {
	"/": ["text/html; charset=utf-8", PAGE],
	"/upper": ["text/html", PAGE.replace("<head>", "<HEAD>")],
	"/twice": ["text/html", `${PAGE}${PAGE}`],
	"/none": ["text/html", "<title>no such tag</title>"],
	"/attributes": ["text/html", '<head lang="en">'],
	"/app.js": ["text/javascript", 'document.write("<head>")'],
	"/data": ["application/json", '{"html":"<head>"}'],
	"/text": ["text/plain", "<head>"],
};

async function startBefore(stage, { gzip = "off" } = {}) {
	const port = await startService(stage, answers);
	return nginx(stage, {
		socket: stage.path("faro.sock"), http: `gzip ${gzip}; gzip_min_length 1;`,
		server: `location / { proxy_pass http://127.0.0.1:${port}; ${snippet("faro-inject.conf")} }`,
	});
}

scenario("a page of the service behind nginx gets the script, before its own and once; nothing else changes", async (stage) => {
	const { port } = await startBefore(stage);
	const gets = async (path) => (await get(port, path, { "Accept-Encoding": "gzip, br" })).text;
	assert.equal(await gets("/"), WITH_SCRIPT);
	assert.equal(await gets("/upper"), WITH_SCRIPT);
	assert.equal(await gets("/twice"), `${WITH_SCRIPT}${PAGE}`);
	for (const path of ["/none", "/attributes", "/app.js", "/data", "/text"]) assert.equal(await gets(path), answers[path][1]);
	assert.equal((await get(port, /src="(.*?)"/.exec(SCRIPT)[1])).status, 200);
});

scenario("nginx compresses such a page itself", async (stage) => {
	const { port } = await startBefore(stage, { gzip: "on" });
	const reply = await fetch(`http://127.0.0.1:${port}/`, { headers: { "Accept-Encoding": "gzip" } });
	assert.equal(reply.headers.get("content-encoding"), "gzip");
	assert.equal(await reply.text(), WITH_SCRIPT);
});

scenario("a page that is a file of nginx gets it, too, without the ETag of the file as it was", async (stage) => {
	const server = await nginx(stage, { socket: stage.path("faro.sock"), server: snippet("faro-inject.conf") });
	writeFileSync(join(server.dir, "www/index.html"), PAGE);
	const { text, headers } = await get(server.port, "/");
	assert.equal(text, WITH_SCRIPT);
	assert.equal(headers.etag, undefined);
	assert.equal(headers["last-modified"], undefined);
	/* Also with the snippet in server{}, config.js is as it was. */
	assert.equal((await get(server.port, "/faro/config.js")).text, snippet("config.js"));
});

for (const [what, options, env, path] of [
	["as it is", {}, {}, "/faro"],
	["with another path", {}, { FARO_PATH: "/rum/v1" }, "/rum/v1"],
	["with no variable set and no 15-faro.envsh", { envsh: false }, {}, "/faro"],
])
	scenario(`templates: the same for a site that includes it, ${what}`, async (stage) => {
		const dir = makeImage(stage, options);
		render(dir, env);
		writeFileSync(join(dir, "www/index.html"), PAGE);
		const server = await startImage(stage, dir, { server: `include ${dir}/conf.d/faro/inject*.conf;` });
		assert.equal((await get(server.port, "/")).text, replace(WITH_SCRIPT, "/faro/", `${path}/`));
	});

scenario("templates: the rendered file is the snippet, and a site that does not include it stays as it is", async (stage) => {
	const dir = makeImage(stage);
	render(dir, {});
	const directives = (text) => text.split("\n").filter((line) => !line.startsWith("#"));
	assert.deepEqual(directives(readFileSync(join(dir, "conf.d/faro/inject.conf"), "utf8")), directives(snippet("faro-inject.conf")));
	writeFileSync(join(dir, "www/index.html"), PAGE);
	assert.equal((await get((await startImage(stage, dir)).port, "/")).text, PAGE);
});
