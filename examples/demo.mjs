/*
 * The demo: nginx with the shipped templates, faro-ingest behind it, and faro-sink as the receiver, on
 * free loopback ports. Sends the recorded beacons, whose lines faro-sink prints with the labels of
 * this service, then serves a page with the real SDK until Ctrl-C. Run it by ./dev demo.
 */
import { once } from "node:events";
import { readdirSync, readFileSync } from "node:fs";

import { startStack } from "../tests/browser/lib/stack.mjs";
import { sinkBinary, Stage } from "../tests/system/lib/stage.mjs";

const beacons = new URL("beacons/", import.meta.url);

async function startPrintingSink(stage) {
	const sink = stage.run("faro-sink", sinkBinary, ["--listen", "127.0.0.1:0"],
		{ stdio: ["ignore", "inherit", "pipe"] });
	const [, url] = await sink.line(/listening on (http:\S+)/);
	return url;
}

async function sendRecorded(origin) {
	const names = readdirSync(beacons).filter((name) => /^(?!bench-|headers).*\.json(\.gz)?$/.test(name));
	for (const name of names) {
		const headers = { "Content-Type": "application/json" };
		if (name.endsWith(".gz")) headers["Content-Encoding"] = "gzip";
		const reply = await fetch(`${origin}/faro/collect`,
			{ method: "POST", headers, body: readFileSync(new URL(name, beacons)) });
		if (reply.status !== 202) throw new Error(`${name}: ${reply.status} ${await reply.text()}`);
	}
	return names.length;
}

const stop = Promise.race(["SIGINT", "SIGTERM"].map((signal) => once(process, signal)));
const stage = new Stage();
try {
	const { origin } = await startStack(stage, await startPrintingSink(stage));
	const sent = await sendRecorded(origin);
	console.log(`
Above: ${sent} recorded beacons as lines and spans, each answered 202 and labelled
app_name=shop app_namespace=retail app_environment=test, whatever its page had claimed.

Now open ${origin}/ and use the buttons; what the page sends appears here. Ctrl-C ends all.`);
	await stop;
} catch (error) {
	stage.show();
	console.error(error.message);
	process.exitCode = 1;
} finally {
	await stage.close();
}
