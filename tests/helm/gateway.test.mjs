// SPDX-License-Identifier: Apache-2.0
/*
 * The recipes of the chart's README at work: a page of the service sends a beacon, by the way that the rendered Ingress
 * or HTTPRoute leads, through the rendered nginx and responder, to a stand-in receiver. The services are real: Express,
 * FastAPI, nginx. This file runs itself once more in a network and a mount of its own, as pod.test.mjs does.
 */
import assert from "node:assert/strict";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import vm from "node:vm";

import { get, post, send } from "../system/lib/client.mjs";
import { beacon } from "../system/lib/faro.mjs";
import { inNamespace } from "../system/lib/namespace.mjs";
import { root, scenario, sinkBinary } from "../system/lib/stage.mjs";
import { cases } from "./lib/cases.mjs";
import { Cluster } from "./lib/cluster.mjs";
import { parse, read, template, tests } from "./lib/helm.mjs";
import { furnish, Pod } from "./lib/pod.mjs";
import { begin, front, gateway, gatewayFor, image, paste, site } from "./lib/recipe.mjs";

const NAMESPACE = "retail", HOST = "shop.example";
const NGINX = 101, RESPONDER = 65534;
const services = join(tests, "services");
const installed = join(root, ".build/bench");

const ingress = { ingress: { enabled: true, hosts: [{ host: HOST, paths: [{ path: "/", pathType: "Prefix" }] }] } };

/* The service's own container, which none of the recipes touches. */
const startExpress = (stage, port) => stage.run("express", process.execPath, [join(services, "express.cjs")],
	{ env: { PORT: String(port), NODE_PATH: join(installed, "express/node_modules") } }).said(/express listens/);
const startFastapi = (stage) => stage.run("fastapi", join(installed, "venv/bin/uvicorn"),
	["--app-dir", services, "fastapi_service:app", "--port", "8000"], { env: { PYTHONDONTWRITEBYTECODE: "1" } }).line(/Uvicorn running/);

async function startNginx(pod, name, command) {
	const nginx = pod.start(name, { uid: NGINX, command });
	await nginx.line(/start worker process \d/);
	return nginx;
}

async function startResponder(pod) {
	const responder = pod.start("faro-ingest", { uid: RESPONDER });
	await responder.line(/event=started/);
	return responder;
}

/* A browser on the service's page: it runs the script that the page names, and posts to the URL that it is given. */
async function sendFromPage(entrance, bytes) {
	const page = await get(entrance, "/", { Host: HOST });
	assert.equal(page.status, 200, page.text);
	const [, source] = /<script src="([^"]+)">/.exec(page.text);
	const script = await get(entrance, source, { Host: HOST });
	assert.equal(script.status, 200, script.text);
	const window = {};
	vm.runInNewContext(script.text, { window, location: { origin: `https://${HOST}` }, URL });
	const { origin, pathname } = new URL(window.faroConfig.collectorUrl);
	assert.equal(origin, `https://${HOST}`);
	return post(entrance, bytes, { Host: HOST, Origin: origin, "Sec-Fetch-Site": "same-origin" }, { path: pathname });
}

/* The page's beacon arrives under the service's labels, and what is not the path's stays the service's. */
async function assertThrough(stage, manifests) {
	const sink = stage.run("faro-sink", sinkBinary, ["--listen", "127.0.0.1:12347"]);
	await sink.line(/listening on/);
	const entrance = await new Cluster(manifests).entrance(stage);
	const { status, text } = await sendFromPage(entrance, beacon("mixed-with-traces-2.12.json"));
	assert.equal(status, 202, text);
	await sink.said(/ app_name=shop .*app_namespace=retail|app_namespace=retail .*app_name=shop /);
	await sink.said(/kind=span .*\n/);
	const lines = sink.stdout.toString().split("\n").filter((line) => line.includes("kind="));
	for (const line of lines) assert.match(line, /app_name=shop |service\.name=shop /, line);
	return entrance;
}

function inside() {
	/* As container engines let pods do. */
	writeFileSync("/proc/sys/net/ipv4/ip_unprivileged_port_start", "0");

	for (const { name, folder, values } of cases.filter((one) => one.name.startsWith("gateway")))
		scenario(`nginx and faro-ingest take what is rendered: ${name}`, async (stage) => {
			furnish(stage);
			const manifests = parse(template(folder, values, { namespace: NAMESPACE }));
			const deployment = manifests.find(({ kind, metadata }) => kind === "Deployment" && metadata.name.endsWith("-faro"));
			const pod = new Pod(stage, manifests, NAMESPACE, {}, deployment.metadata.name);
			const { command } = pod.containers.find((container) => container.name === "nginx");
			const nginx = pod.start("nginx", { uid: NGINX, command: [...command, "-t"] });
			assert.equal((await nginx.closed).code, 0, nginx.stderr);
			assert.doesNotMatch(nginx.stderr, /\[(warn|error|emerg)\]/);
			const responder = pod.start("faro-ingest", { uid: RESPONDER, command: ["faro-ingest", "-t"] });
			assert.equal((await responder.closed).code, 0, responder.stderr);
			assert.doesNotMatch(responder.stderr, /warn|expected/);
		});

	for (const [service, deployment, recipe, start, copy] of [
		["helm create", "shop-faro", gateway, (stage) => startExpress(stage, 80)],
		["express", "shop-express-faro", gateway, (stage) => startExpress(stage, 3000), join(tests, "charts/express")],
		["fastapi", "shop-fastapi-faro", gatewayFor("the Gateway API"), startFastapi, join(tests, "charts/fastapi")],
	])
		scenario(`gateway, in the chart of ${service}: the service's page sends a beacon through it`, async (stage) => {
			const chart = paste(begin({ copy }), recipe);
			/* Without preStop the responder ends at once, and the test with it. */
			const more = { faro: { proxy: { spool: { enabled: true }, gateway: { preStopSeconds: 0 } } } };
			const values = [copy ? {} : ingress, more];
			const manifests = parse(template(chart, values, { namespace: NAMESPACE }));
			await start(stage);
			furnish(stage);
			const pod = new Pod(stage, manifests, NAMESPACE, {}, deployment);
			const nginx = await startNginx(pod, "nginx");
			assert.doesNotMatch(nginx.stderr, /\[(warn|error|emerg)\]/);
			const probe = pod.containers.find(({ name }) => name === "nginx").readinessProbe.httpGet.path;
			assert.equal((await get(8080, probe)).status, 200, "as the kubelet asks");
			assert.equal((await post(8080, "{}")).json.reason, "responder_unavailable");

			await startResponder(pod);
			for (const kind of ["readinessProbe", "livenessProbe"]) {
				const { command } = pod.containers.find(({ name }) => name === "faro-ingest")[kind].exec;
				assert.equal((await pod.start("faro-ingest", { uid: RESPONDER, command }).closed).code, 0, kind);
			}
			const entrance = await assertThrough(stage, manifests);
			assert.notEqual((await get(entrance, "/nothing", { Host: HOST })).json?.reason, "not_found", "the service's own 404");
			assert.equal((await get(8080, "/nothing")).json.reason, "not_found");
			assert.equal((await get(12348, "/metrics")).status, 200);
			/* Bodies that do not fit in memory go to the gateway's own /tmp; cookies may be large. */
			const large = JSON.parse(beacon("mixed-with-traces-2.12.json"));
			large.logs = [{ message: "x".repeat(300_000), level: "info", timestamp: "2026-01-01T00:00:00.000Z" }];
			assert.equal((await post(entrance, JSON.stringify(large), { Host: HOST, Cookie: `a=${"x".repeat(12_000)}` })).status, 202);
		});

	scenario("front sidecar, in the chart of helm create: the page's beacon goes through it, and all else to the app", async (stage) => {
		const manifests = parse(template(paste(begin(), front), ingress, { namespace: NAMESPACE }));
		await startExpress(stage, 80);
		furnish(stage);
		const pod = new Pod(stage, manifests, NAMESPACE);
		await startNginx(pod, "front", ["nginx", "-e", "stderr", "-g", "daemon off;"]);
		await startResponder(pod);
		assert.equal(new Cluster(manifests).port(HOST, "/"), 8081);
		const entrance = await assertThrough(stage, manifests);
		const { text } = await send(entrance, { path: "/nothing", method: "DELETE", headers: { Host: HOST } });
		assert.equal(text, "express has no such page");
	});

	scenario("nginx in the image, in the chart of helm create: the page's beacon goes through it", async (stage) => {
		const manifests = parse(template(paste(begin(), image), ingress, { namespace: NAMESPACE }));
		furnish(stage);
		writeFileSync("/etc/nginx/conf.d/default.conf", site);
		mkdirSync("/usr/share/nginx/html");
		writeFileSync("/usr/share/nginx/html/index.html", read(services, "index.html"));
		const pod = new Pod(stage, manifests, NAMESPACE);
		await startNginx(pod, "shop", ["nginx", "-e", "stderr", "-g", "daemon off;"]);
		await startResponder(pod);
		await assertThrough(stage, manifests);
	});
}

inNamespace(import.meta.url, inside, 300_000);
