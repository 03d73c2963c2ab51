// SPDX-License-Identifier: Apache-2.0
/*
 * A stand-in for the receiver whose answers a test chooses, and that can wait for an item, whatever batch the SDK puts
 * it into. What it does not do: check a beacon, or write the lines of a real one (faro-sink does).
 */
import { EventEmitter, once } from "node:events";
import { createServer } from "node:http";

async function readBeacon(request) {
	const chunks = [];
	for await (const chunk of request) chunks.push(chunk);
	return JSON.parse(Buffer.concat(chunks));
}

class Receiver {
	constructor() {
		this.posts = []; // { beacon, headers, at }, whatever they were answered
		this.answer = () => ({}); // (post, how many came before) => { status, headers }
		this.news = new EventEmitter();
		this.server = createServer((request, response) => this.#take(request, response));
	}

	async #take(request, response) {
		const post = { beacon: await readBeacon(request), headers: request.headers, at: performance.now() };
		const { status = 202, headers = {} } = this.answer(post, this.posts.length);
		this.posts.push(post);
		response.writeHead(status, headers).end("ok");
		this.news.emit("post");
	}

	/* The first truthy value of look(posts), which is asked again whenever a post has come. */
	async until(look) {
		for (;;) {
			const found = look(this.posts);
			if (found) return found;
			await once(this.news, "post");
		}
	}

	/* Waits for an item of a kind ("logs", "exceptions", …) for which is(item) holds, and returns its post. */
	untilItem(kind, is) {
		return this.until((posts) => posts.find((post) => post.beacon[kind]?.some(is)));
	}
}

export async function startReceiver(stage) {
	const receiver = new Receiver();
	const { server } = receiver;

	server.listen(0, "127.0.0.1");
	await once(server, "listening");
	receiver.url = `http://127.0.0.1:${server.address().port}`;
	stage.after(() => {
		server.closeAllConnections();
		server.close();
	});
	return receiver;
}

export const spansOf = (beacon) =>
	(beacon.traces?.resourceSpans ?? []).flatMap((one) => one.scopeSpans.flatMap((scope) => scope.spans));
