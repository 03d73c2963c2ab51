// SPDX-License-Identifier: Apache-2.0
/*
 * Beacons in the shape of the mobile SDKs (examples/beacons/mobile, written by hand): they have no origin and no
 * Sec-Fetch-Site, fields that the receiver does not know, nulls, and Flutter's has `meta` at its end. They pass, and
 * are labelled as a browser's are.
 */
import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";

import { post } from "./lib/client.mjs";
import { beacon, startIngest, startSink } from "./lib/faro.mjs";
import { nginx } from "./lib/nginx.mjs";
import { root, scenario } from "./lib/stage.mjs";

const folder = join(root, "examples/beacons/mobile");
const headers = JSON.parse(readFileSync(join(folder, "headers.json"), "utf8"));
const names = readdirSync(folder).filter((name) => name !== "headers.json").sort();

const env = {
	OTEL_SERVICE_NAME: "shop",
	OTEL_RESOURCE_ATTRIBUTES: "service.namespace=retail,deployment.environment.name=prod,k8s.cluster.name=eu-1",
	FARO_APP_NAMES: "shop,shop-app",
	FARO_LABEL_ATTRIBUTES: "k8s.cluster.name",
};

const count = (body) => ["logs", "exceptions", "events", "measurements"].reduce((sum, kind) => sum + (body[kind]?.length ?? 0), 0);
const spansOf = (body) => (body.traces?.resourceSpans ?? []).flatMap(({ scopeSpans }) => scopeSpans.flatMap(({ spans }) => spans));

scenario("beacons of mobile apps pass nginx and the relay with their SDK's headers, and each item is labelled", async (stage) => {
	const sink = await startSink(stage);
	const ingest = await startIngest(stage, sink.url, { env });
	const { port } = await nginx(stage, { socket: ingest.socket });
	assert.deepEqual(names, Object.keys(headers).sort());
	for (const name of names) {
		const bytes = beacon(`mobile/${name}`), given = JSON.parse(bytes);
		assert.equal(headers[name]["content-length"], String(bytes.length), name);
		const { status, text } = await post(port, bytes, headers[name]);
		assert.equal(status, 202, `${name}: ${text}`);

		const is = JSON.parse(sink.bodies().at(-1));
		const app = given.meta.app.name === "shop-app" ? "shop-app" : "shop";
		const { name: is_name, namespace, environment, version } = is.meta.app;
		assert.deepEqual([is_name, namespace, environment, version], [app, "retail", "prod", "3.4.0"], name);
		assert.deepEqual(is.meta.session.attributes, { ...given.meta.session.attributes, k8s_cluster_name: "eu-1" }, name);
		for (const { resource } of is.traces?.resourceSpans ?? []) {
			const labels = Object.fromEntries(resource.attributes.map(({ key, value }) => [key, value.stringValue]));
			assert.deepEqual([labels["service.name"], labels["service.namespace"], labels["deployment.environment.name"], labels["k8s.cluster.name"]],
				[app, "retail", "prod", "eu-1"], name);
			assert.equal(new Set(resource.attributes.map(({ key }) => key)).size, resource.attributes.length, name);
		}
		/* And nothing is lost. */
		assert.deepEqual([count(is), spansOf(is)], [count(given), spansOf(given)], name);
	}
});
