// SPDX-License-Identifier: Apache-2.0
/*
 * A web server that plays the shop: it serves the page, the SDK and a small API to fetch from, and keeps every body
 * posted under /faro/collect exactly as it came. What it does not do: inflate, judge or answer anything but 202.
 */
import { createServer } from "node:http";
import { readFile } from "node:fs/promises";
import { EventEmitter, once } from "node:events";
import { bundleReactPage } from "./bundle.mjs";
import { SDKS } from "./sdk.mjs";

const pages = new URL("../pages/", import.meta.url);

const HTML = "text/html; charset=utf-8";
const SCRIPT = "text/javascript; charset=utf-8";

/* For /shop/strict: what the page's own scripts need, and nothing inline or from elsewhere. */
const STRICT = { "content-security-policy": "default-src 'self'; script-src 'self' 'report-sample'" };

async function readAll(request) {
	const chunks = [];
	for await (const chunk of request) chunks.push(chunk);
	return Buffer.concat(chunks);
}

function api(path, response) {
	const status = path.startsWith("/api/broken") ? 500 : path.startsWith("/api/missing") ? 404 : 200;
	response.writeHead(status, { "content-type": "application/json" });
	response.end(JSON.stringify({ path, status }));
}

async function sendFile(file, type, response, headers) {
	response.writeHead(200, { "content-type": type, ...headers });
	response.end(await readFile(file));
}

async function sendReactPage(response) {
	const script = await bundleReactPage();
	response.writeHead(200, { "content-type": SCRIPT });
	response.end(script);
}

async function answer(request, response, keep) {
	const path = new URL(request.url, "http://localhost").pathname;
	const sdk = path.match(/^\/sdk\/([\d.]+)\/([\w.-]+)$/);

	if (path.startsWith("/faro/collect")) {
		keep({ path, headers: request.headers, body: await readAll(request) });
		response.writeHead(202);
		response.end("ok");
	} else if (path.startsWith("/api/")) {
		api(path, response);
	} else if (path === "/assets/shop.js") {
		await sendFile(new URL("shop.js", pages), SCRIPT, response);
	} else if (path === "/assets/react.js") {
		await sendReactPage(response);
	} else if (path.startsWith("/shop/")) {
		await sendFile(new URL("shop.html", pages), HTML, response, path === "/shop/strict" ? STRICT : {});
	} else if (sdk && SDKS[sdk[1]]?.[sdk[2]]) {
		await sendFile(SDKS[sdk[1]][sdk[2]], SCRIPT, response);
	} else {
		response.writeHead(404);
		response.end();
	}
}

/* Returns { origin, posts, until(predicate), close() }; posts grows by one a request. */
export async function startRecorder(port = 0) {
	const posts = [];
	const news = new EventEmitter();
	const keep = (post) => {
		posts.push(post);
		news.emit("post");
	};
	const server = createServer((request, response) => {
		answer(request, response, keep).catch((error) => response.destroy(error));
	});

	server.listen(port, "127.0.0.1");
	await once(server, "listening");
	return {
		origin: `http://localhost:${server.address().port}`,
		posts,
		async until(predicate) {
			const deadline = AbortSignal.timeout(20_000);
			for (;;) {
				const found = predicate(posts);
				if (found) return found;
				await once(news, "post", { signal: deadline });
			}
		},
		close() {
			server.closeAllConnections();
			return new Promise((resolve) => server.close(resolve));
		},
	};
}
