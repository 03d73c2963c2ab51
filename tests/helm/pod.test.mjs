// SPDX-License-Identifier: Apache-2.0
/*
 * The rendered pod at work: nginx reads what was rendered, and a beacon goes through both containers, which
 * run as two users, to the receiver. This file runs itself once more in a network and a mount of its own,
 * where the rendered ports and paths are free. That takes root.
 */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { createServer as createHttps } from "node:https";
import { join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";

import { get, post } from "../system/lib/client.mjs";
import { beacon, beaconOfSize, smallBeacon } from "../system/lib/faro.mjs";
import { receiver } from "../system/lib/receiver.mjs";
import { scenario, sinkBinary } from "../system/lib/stage.mjs";
import { makeCertificate } from "../system/lib/tls.mjs";
import { cases } from "./lib/cases.mjs";
import { containers, find, parse, shop, template } from "./lib/helm.mjs";
import { bytes, furnish, memoryGroup, Pod } from "./lib/pod.mjs";

const NAMESPACE = "retail";
const NGINX = 101, RESPONDER = 10001;
const MIB = 1024 * 1024;

/* What the release does not bring itself. */
const certificates = readFileSync("/etc/ssl/certs/ca-certificates.crt", "utf8");
const OUTSIDE = {
	"shop-alloy": { token: "s3cret\n" }, "internal-ca": { "ca.crt": certificates }, trust: { "bundle.pem": certificates },
};

const manifestsOf = (values) => parse(template(shop, [{ faro: { enabled: true } }, values], { namespace: NAMESPACE }));

async function startPod(stage, manifests, { cgroup, outside } = {}) {
	furnish(stage);
	const pod = new Pod(stage, manifests, NAMESPACE, { ...OUTSIDE, ...outside });
	const nginx = pod.start("nginx", { uid: NGINX, command: ["nginx", "-e", "stderr", "-g", "daemon off;"] });
	await nginx.line(/start worker process \d/);
	return { pod, nginx, startResponder: () => startResponder(pod, cgroup) };
}

async function startResponder(pod, cgroup) {
	const responder = pod.start("faro-ingest", { uid: RESPONDER, cgroup });
	await responder.line(/event=started/);
	return responder;
}

async function startSink(stage) {
	const saved = stage.path("saved");
	const sink = stage.run("faro-sink", sinkBinary, ["--listen", "127.0.0.1:12347", "--save", saved]);
	await sink.line(/listening on/);
	return sink;
}

/* Of this process; the file is gone with it. */
const statusOf = (pid, name) => Number(new RegExp(`^${name}:\\s+(\\d+)`, "m").exec(readFileSync(`/proc/${pid}/status`, "utf8"))[1]);

/* The receiver answers none before every other post is: they are in memory together. → all results */
async function holdUntilTheRestIsAnswered(alloy, posts) {
	let settled = 0, answered = 0;
	const look = () => {
		if (settled === posts.length || settled + alloy.requests.length - answered < posts.length) return;
		while (answered < alloy.requests.length) alloy.requests[answered++].answer();
	};
	const wait = () => alloy.arrived(alloy.requests.length + 1).then(() => {
		look();
		wait();
	});
	wait();
	return Promise.all(posts.map((one) => one.finally(() => {
		settled++;
		look();
	})));
}

/* What it needed at most, and that the kernel had to take nothing away. */
function assertWithin(t, responder, limit, group) {
	const resident = statusOf(responder.child.pid, "VmHWM") * 1024;
	t.diagnostic(`most resident memory ${(resident / MIB).toFixed(1)} MiB of ${limit / MIB}`);
	assert.ok(resident <= limit, `${resident} of ${limit}`);
	if (group) {
		t.diagnostic(`control group, limited: peak ${(group.peak() / MIB).toFixed(1)} MiB, ${group.kills()} kills`);
		assert.equal(group.kills(), 0);
		assert.ok(group.peak() < limit, "the kernel had to reclaim");
	} else {
		t.diagnostic("no control group can be made here: resident memory alone was measured");
	}
}

function inside() {
	for (const { name, folder, values } of cases.filter((one) => one.folder === shop))
		scenario(`nginx and faro-ingest take what is rendered: ${name}`, async (stage) => {
			furnish(stage);
			const manifests = parse(template(folder, values, { namespace: NAMESPACE }));
			const pod = new Pod(stage, manifests, NAMESPACE, OUTSIDE);
			const nginx = pod.start("nginx", { uid: NGINX, command: ["nginx", "-e", "stderr", "-t"] });
			assert.equal((await nginx.closed).code, 0, nginx.stderr);
			assert.match(nginx.stderr, /test is successful/);
			assert.doesNotMatch(nginx.stderr, /\[(warn|error|emerg)\]/);

			const where = pod.containers.find(({ env }) => env?.some((entry) => entry.name === "FARO_UPSTREAM_URL"));
			assert.equal(Boolean(where), !["off", "public-collector"].includes(name));
			if (!where) return;
			const responder = pod.start(where.name, { uid: RESPONDER, command: ["faro-ingest", "-t"] });
			assert.equal((await responder.closed).code, 0, responder.stderr);
			assert.doesNotMatch(responder.stderr, /warn|expected/);
		});

	scenario("nginx -t takes the site when the ConfigMap is not there", async (stage) => {
		furnish(stage);
		const manifests = manifestsOf({}).filter(({ metadata }) => metadata.name !== "shop-faro");
		const nginx = new Pod(stage, manifests, NAMESPACE)
			.start("nginx", { uid: NGINX, command: ["nginx", "-e", "stderr", "-t"] });
		assert.equal((await nginx.closed).code, 0, nginx.stderr);
	});

	scenario("a beacon's namespace label is that of the release, and the pod serves before there is a responder", async (stage) => {
		const manifests = manifestsOf({ faro: {
			environment: "prod", labelAttributes: { "k8s.cluster.name": "north 1" }, proxy: { spool: { enabled: true } },
		} });
		const { pod, nginx, startResponder: start } = await startPod(stage, manifests);
		assert.match((await get(8080, "/index.html")).text, /the service itself/);
		assert.equal((await post(8080, smallBeacon)).status, 503);

		const responder = await start();
		assert.equal(statusOf(responder.child.pid, "Uid"), RESPONDER);
		assert.equal(statusOf(nginx.child.pid, "Uid"), NGINX);
		assert.equal(statusOf(responder.child.pid, "CapBnd"), 0);
		/* The receiver is not there yet: the beacon waits in the rendered spool, and alive is alive. */
		assert.equal((await post(8080, beacon("mixed-with-traces-2.12.json"))).status, 202);
		const probe = containers(manifests)["faro-ingest"].livenessProbe.exec.command;
		assert.equal((await pod.start("faro-ingest", { uid: RESPONDER, command: probe }).closed).code, 0);

		const sink = await startSink(stage);
		await sink.said(/ app_namespace=.*\n/);
		await sink.said(/kind=span .*\n/);
		const lines = sink.stdout.toString().trim().split("\n").filter((line) => line.includes("kind="));
		const labels = {
			app_name: "shop", app_namespace: NAMESPACE, app_environment: "prod", session_attr_k8s_cluster_name: '"north 1"',
		};
		const spanLabels = {
			"service.name": "shop", "service.namespace": NAMESPACE, "k8s.namespace.name": NAMESPACE,
			"deployment.environment.name": "prod", "k8s.cluster.name": '"north 1"',
		};
		for (const line of lines)
			for (const [name, value] of Object.entries(line.includes("kind=span ") ? spanLabels : labels))
				assert.ok(`${line} `.includes(` ${line.includes("kind=span ") ? "resource_" : ""}${name}=${value} `), `${name}: ${line}`);
		assert.equal((await get(12348, "/metrics")).status, 200);
		assert.equal((await get(12348, "/health")).status, 404, "only /metrics");
		const script = await get(8080, "/faro/config.js");
		assert.match(script.text, /namespace: "retail"/);
	});

	scenario("the Secret's key and the tenant reach the receiver", async (stage) => {
		const { startResponder: start } = await startPod(stage, manifestsOf({
			faro: { proxy: { upstream: { tenant: "{{ .Release.Namespace }}", apiKey: { secretName: "shop-alloy", key: "token" } } } },
		}));
		const alloy = await receiver(stage, { port: 12347 });
		await start();
		assert.equal((await post(8080, smallBeacon)).status, 202);
		assert.equal(alloy.last.headers["x-api-key"], "s3cret");
		assert.equal(alloy.last.headers["x-scope-orgid"], NAMESPACE);
	});

	scenario("crawlers are left out; each client has its address, a rate limit and what nginx knows, by the proxy's headers", async (stage) => {
		const { startResponder: start } = await startPod(stage, manifestsOf({ faro: { proxy: {
			realIp: { from: ["127.0.0.1"] }, rateLimit: { requestsPerSecond: 1, burst: 0 }, ignoreCrawlers: true,
			clientAddress: "masked", requestAttributes: { "geo.country.iso_code": "$http_x_country", "server.address": "$host:$server_port x" },
		} } }));
		const alloy = await receiver(stage, { port: 12347 });
		await start();
		const from = (address, headers = {}) => post(8080, smallBeacon, { "X-Forwarded-For": address, ...headers });
		const crawler = await from("192.0.2.1", { "User-Agent": "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)" });
		assert.equal(crawler.status, 202);
		assert.equal(alloy.requests.length, 0);
		const statuses = (await Promise.all(Array.from({ length: 20 }, () => from("192.0.2.2")))).map(({ status }) => status);
		assert.ok(statuses.includes(202) && statuses.includes(429), statuses.join());
		assert.equal((await from("198.51.100.3, 127.0.0.1", { "X-Country": "NL" })).status, 202);
		const { attributes } = JSON.parse(alloy.last.body).meta.session;
		assert.equal(attributes.client_address, "198.51.100.0");
		assert.equal(attributes.geo_country_iso_code, "NL");
		assert.match(attributes.server_address, /^\S+:8080 x$/);
		assert.match((await get(12348, "/metrics")).text, /faro_ingest_ignored_total\{reason="crawler"\} 1/);
	});

	scenario("helm test says whether the receiver takes beacons", async (stage) => {
		furnish(stage);
		const hook = find(manifestsOf({ faro: { proxy: { helmTest: true, upstream: { apiKey: { secretName: "shop-alloy", key: "token" } } } } }), "Pod");
		const deployment = { kind: "Deployment", metadata: hook.metadata, spec: { template: hook } };
		const pod = new Pod(stage, [deployment], NAMESPACE, OUTSIDE);
		const check = () => pod.start("faro-ingest", { uid: RESPONDER }).closed;
		assert.notEqual((await check()).code, 0, "there is none");
		await startSink(stage);
		assert.equal((await check()).code, 0);
	});

	scenario("include mode: the responder runs in the service's container, as its user", async (stage) => {
		const { pod } = await startPod(stage, manifestsOf({ faro: { proxy: { mode: "include", spool: { enabled: true } } } }));
		const alloy = await receiver(stage, { port: 12347 });
		const command = ["faro-ingest", "--listen", "unix:/run/faro-ingest/faro.sock"];
		const responder = pod.start("nginx", { uid: NGINX, command });
		await responder.line(/event=started/);
		assert.match(responder.stderr, /event=spool_open/);
		assert.equal((await post(8080, smallBeacon)).status, 202);
		assert.equal(JSON.parse(alloy.last.body).meta.app.namespace, NAMESPACE);
	});

	scenario("nginx can write nothing where the socket is, and the responder nothing but there and its spool", async (stage) => {
		const { pod } = await startPod(stage, manifestsOf({ faro: { proxy: { spool: { enabled: true } } } }));
		const writes = async (container, uid, path) =>
			(await pod.start(container, { uid, command: ["touch", `${path}/x`] }).closed).code === 0;
		assert.equal(await writes("nginx", NGINX, "/run/faro-ingest"), false);
		assert.equal(await writes("nginx", NGINX, "/etc/nginx/faro"), false);
		assert.equal(await writes("nginx", NGINX, "/tmp"), true);
		assert.equal(await writes("faro-ingest", RESPONDER, "/run/faro-ingest"), true);
		assert.equal(await writes("faro-ingest", RESPONDER, "/var/spool/faro-ingest"), true);
		assert.equal(await writes("faro-ingest", RESPONDER, "/tmp"), false);
	});

	const body = beaconOfSize(5 * MIB, "0123456789abcdef");
	for (const [what, bytesSent, headers, spool] of [
		["plain", body, {}, false],
		["gzip", gzipSync(body), { "Content-Encoding": "gzip" }, false],
		["plain, with a spool", body, {}, true],
	])
		scenario(`64 beacons of 5 MiB at a time stay within the rendered memory limit: ${what}`, async (stage, t) => {
			const manifests = manifestsOf({ faro: { proxy: { spool: { enabled: spool } } } });
			const limit = bytes(containers(manifests)["faro-ingest"].resources.limits.memory);
			const group = memoryGroup(stage, limit);
			const { startResponder: start } = await startPod(stage, manifests, { cgroup: group?.path });
			const alloy = await receiver(stage, { port: 12347 });
			alloy.status = null; // holds what it gets until all others are answered
			const responder = await start();
			stage.after(async () => {
				await responder.stop();
				group?.remove();
			});

			const statuses = await holdUntilTheRestIsAnswered(alloy, Array.from({ length: 64 },
				() => post(8080, bytesSent, headers).then(({ status }) => status)));
			assert.equal(statuses.length, 64);
			assert.deepEqual(statuses.filter((status) => status !== 202 && status !== 429), []);
			assert.ok(statuses.includes(202), "some must get through");

			t.diagnostic(`answers: ${statuses.filter((status) => status === 202).length} × 202 of 64`);
			assertWithin(t, responder, limit, group);
			alloy.status = 202;
			assert.equal((await post(8080, smallBeacon)).status, 202, "it goes on");
		});

	/* As many as the default lets in flight, with bodies that nearly fill the memory for them. */
	for (const spool of [false, true])
		scenario(`256 beacons in flight over https stay within the rendered memory limit${spool ? ", with a spool" : ""}`, async (stage, t) => {
			const { key, cert, ca } = await makeCertificate(stage, ["-days", "2", "-addext", "subjectAltName=DNS:alloy"]);
			const manifests = manifestsOf({ faro: { proxy: {
				upstreamUrl: "https://alloy:12347", spool: { enabled: spool },
				upstream: { ca: { secretName: "alloy-ca" }, timeoutMs: 60000, connectTimeoutMs: 30000 },
			} } });
			const { resources, env } = containers(manifests)["faro-ingest"];
			const limit = bytes(resources.limits.memory);
			const inflight = Number(env.find(({ name }) => name === "FARO_UPSTREAM_MAX_INFLIGHT").value);
			assert.equal(inflight, 256);
			const group = memoryGroup(stage, limit);
			const outside = { "alloy-ca": { "ca.crt": readFileSync(ca, "utf8") } };
			const { startResponder: start } = await startPod(stage, manifests, { cgroup: group?.path, outside });
			const held = [];
			let tellAll;
			const all = new Promise((done) => { tellAll = done; });
			const alloy = createHttps({ key, cert }, (request, response) => {
				request.resume();
				request.on("end", () => held.push(response) === inflight && tellAll());
			});
			alloy.listen(12347, "127.0.0.1");
			await once(alloy, "listening");
			stage.after(() => alloy.close());
			stage.after(() => alloy.closeAllConnections());
			const responder = await start();
			stage.after(async () => {
				await responder.stop();
				group?.remove();
			});

			const beaconSent = beaconOfSize(Math.floor(limit / 3 / inflight * 0.9), "0123456789abcdef");
			const posts = Array.from({ length: inflight }, () => post(8080, beaconSent).then(({ status }) => status));
			await all;
			for (const response of held) response.writeHead(202).end("ok");
			assert.deepEqual([...new Set(await Promise.all(posts))], [202]);
			t.diagnostic(`answers: ${held.length} × 202 over https, ${beaconSent.length} bytes each`);
			assertWithin(t, responder, limit, group);
		});
}

if (process.env.FARO_TEST_NAMESPACE) {
	inside();
} else {
	test("in a network and a mount of its own", { timeout: 600_000 }, async (t) => {
		const become = process.getuid() === 0 ? [] : ["sudo", "-n", "--preserve-env"];
		const [command, ...args] = [...become, "unshare", "--mount", "--net",
			"sh", "-c", 'ip link set lo up && exec "$0" "$1"', process.execPath, fileURLToPath(import.meta.url)];
		/* Without this it would report to the runner as a part of this file. */
		const env = { ...process.env, FARO_TEST_NAMESPACE: "of root", NODE_TEST_CONTEXT: "" };
		const child = spawn(command, args, { env, stdio: ["ignore", "pipe", "inherit"] });
		let report = "";
		child.stdout.on("data", (data) => { report += data; });
		const [code] = await once(child, "close");
		for (const [line] of report.matchAll(/^ *# (?:answers|most|control|no control).*$/gm)) t.diagnostic(line.replace(/^[ #]+/, ""));
		assert.equal(code, 0, report);
		assert.match(report, /^# pass [1-9]/m, "it must have run");
		assert.match(report, /^# skipped 0/m);
	});
}
