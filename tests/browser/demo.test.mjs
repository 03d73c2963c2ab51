/* The demo as somebody sees it who runs ./dev demo: lines, a page, and nothing left after Ctrl-C. */
import assert from "node:assert/strict";
import { mkdirSync, readdirSync } from "node:fs";
import { join } from "node:path";

import { root, scenario } from "../system/lib/stage.mjs";

scenario("the demo prints labelled lines and spans, serves its page, and leaves nothing behind", async (stage) => {
	const temp = stage.path("temp");
	mkdirSync(temp);
	const { FARO_INGEST = "", FARO_SINK = "" } = process.env;
	const demo = stage.run("demo", "node", [join(root, "examples/demo.mjs")],
		{ env: { TMPDIR: temp, ...(FARO_INGEST && { FARO_INGEST }), ...(FARO_SINK && { FARO_SINK }) } });

	const [, url] = await demo.said(/Now open (http:\S+)/);
	const text = demo.stdout.toString();
	assert.match(text, /kind=exception .*app_name=shop app_namespace=retail /);
	assert.match(text, /kind=span .*resource_service\.name=shop/);
	assert.doesNotMatch(text, /app_namespace=(?!retail )/);
	for (const path of ["", "app.js", "faro/config.js", "sdk/faro-web-sdk.iife.js", "sdk/faro-web-tracing.iife.js"])
		assert.equal((await fetch(url + path)).status, 200, path);

	demo.signal("SIGINT");
	assert.deepEqual(await demo.closed, { code: 0, signal: null });
	assert.deepEqual(readdirSync(temp), []);
	await assert.rejects(fetch(url));
});
