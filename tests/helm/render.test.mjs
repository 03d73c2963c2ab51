// SPDX-License-Identifier: Apache-2.0
/* The matrix of values: pinned output, Kubernetes' schemas, and what holds for every case. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { copyFileSync, cpSync, existsSync, mkdirSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { basename, join } from "node:path";
import { test } from "node:test";

import { root, scenario } from "../system/lib/stage.mjs";
import { cases, charts } from "./lib/cases.mjs";
import {
	attempt, chart, containers, find, helm3, invalid, invalidAll, library, monitors, packaged, parse, read, run, shop, template, tests, VERSIONS,
} from "./lib/helm.mjs";

const golden = join(tests, "golden");
const update = process.env.FARO_UPDATE_GOLDEN;

/*
 * Of nginx's files only the lines that the chart has changed: the others are the snippets' own and have
 * tests of their own. Of checksums, that there is one.
 */
function pinned(text) {
	const sources = new Map(readdirSync(join(library, "files"))
		.map((name) => [name.replace("faro-crawlers", "faro-http-crawlers"), new Set(read(library, "files", name).split("\n").map((line) => line.trimEnd()))]));
	let source;
	const lines = text.split("\n").filter((line) => {
		const [, indent, name] = /^( *)([\w.-]+): \|$/.exec(line) ?? [];
		if (name) {
			source = sources.get(name);
			return true;
		}
		if (source && !/^ {4}|^ *$/.test(line)) source = undefined;
		return !source || !source.has(line.slice(4).trimEnd());
	});
	return lines.join("\n").replaceAll(/(checksum.*?: )[0-9a-f]{64}/g, "$1…");
}

const rendered = new Map(cases.map(({ name, folder, values }) => [name, template(folder, values)]));
const manifestsOf = new Map([...rendered].map(([name, text]) => [name, parse(text)]));

for (const [name, text] of rendered) {
	test(`${name}: renders as pinned (FARO_UPDATE_GOLDEN=1 writes it anew)`, () => {
		const path = join(golden, `${name}.yaml`);
		if (update) {
			mkdirSync(golden, { recursive: true });
			writeFileSync(path, pinned(text));
		}
		assert.ok(existsSync(path), `${path} is missing; look at the output and write it with FARO_UPDATE_GOLDEN=1`);
		assert.equal(pinned(text), read(path));
	});
}

/* The two do not write objects of one kind in the same order. */
test("Helm 3.18 renders the same", () => {
	const documents = (text) => text.split(/^---\n/m).map((document) => document.trim()).filter(Boolean).sort();
	for (const { name, folder, values } of cases)
		assert.deepEqual(documents(template(folder, values, { helm: helm3 })), documents(rendered.get(name)), name);
});

test(`all of it is valid for Kubernetes ${VERSIONS.join(", ")}`, () =>
	assert.equal(invalidAll(Object.fromEntries(rendered)), ""));

test("no pinned output is left of a case that is gone", () =>
	assert.deepEqual(readdirSync(golden).sort(), cases.map(({ name }) => `${name}.yaml`).sort()));

test("Kubernetes' schemas do refuse what is wrong", () => {
	const text = rendered.get("sidecar");
	assert.match(invalid(text.replace("imagePullPolicy:", "imagePullPolice:")), /imagePullPolice/);
	assert.match(invalid(text.replace("containerPort: 12348", 'containerPort: "x"')), /Deployment shop: 1\.29: /);
});

test("the monitors fit the Prometheus operator's types", () => {
	for (const [name, manifests] of manifestsOf)
		assert.equal(monitors(manifests), /every-value|service-monitor|http-route/.test(name) ? 1 : 0, name);
	const [wrong] = manifestsOf.get("service-monitor").filter(({ kind }) => kind === "ServiceMonitor");
	assert.throws(() => monitors([{ ...wrong, spec: { ...wrong.spec, endpoint: [] } }]), /unknown field "endpoint"/);
});

test("a monitor finds the port that the pod or the Service has", () => {
	const pod = find(manifestsOf.get("every-value"), "PodMonitor").spec;
	const { ports } = containers(manifestsOf.get("every-value"))["faro-ingest"];
	assert.deepEqual(pod.podMetricsEndpoints.map(({ port }) => port), ports.map(({ name }) => name));
	const labels = find(manifestsOf.get("every-value"), "Deployment").spec.template.metadata.labels;
	for (const [name, value] of Object.entries(pod.selector.matchLabels)) assert.equal(labels[name], value);

	const service = manifestsOf.get("service-monitor").find(({ spec }) => spec?.clusterIP === "None");
	const monitor = find(manifestsOf.get("service-monitor"), "ServiceMonitor").spec;
	assert.deepEqual(monitor.endpoints.map(({ port }) => port), service.spec.ports.map(({ name }) => name));
	for (const [name, value] of Object.entries(monitor.selector.matchLabels)) assert.equal(service.metadata.labels[name], value);
	assert.equal(service.spec.selector.app, "shop", "faro.proxy.metrics.selector, rendered");
});

test("a gateway's monitors find its own pods, and no others", () => {
	for (const [name, kind] of [["gateway-every-value", "PodMonitor"], ["gateway-http-route", "Service"]]) {
		const manifests = manifestsOf.get(name);
		const { spec } = manifests.find((one) => one.kind === kind && (kind === "PodMonitor" || one.spec.clusterIP === "None"));
		const wanted = spec.selector.matchLabels ?? spec.selector;
		const found = manifests.filter((one) => one.kind === "Deployment" && Object.entries(wanted)
			.every(([label, value]) => one.spec.template.metadata.labels[label] === value));
		assert.deepEqual(found.map(({ metadata }) => metadata.name.endsWith("-faro")), [true]);
	}
});

test("a gateway's files roll its pods", () => {
	const sum = (values) => parse(template(charts.express, values)).find(({ kind, metadata }) =>
		kind === "Deployment" && metadata.name === "shop-express-faro").spec.template.metadata.annotations["faro-ingest/checksum"];
	const values = (gateway) => ({ faro: { proxy: { gateway } } });
	assert.equal(sum({}), sum(values({ replicas: 3 })));
	assert.notEqual(sum({}), sum(values({ address: "[::]" })), "nginx.conf");
	assert.notEqual(sum({}), sum({ faro: { environment: "prod" } }), "config.js");
});

test("the values of the ArgoCD example render, with the release and namespace that it names", () => {
	const [{ spec }] = parse(read(root, "examples/argocd/shop.yaml"));
	const { releaseName, valuesObject } = spec.source.helm;
	assert.equal(spec.source.path, "helm/shop");
	const text = template(shop, valuesObject, { release: releaseName, namespace: spec.destination.namespace });
	assert.equal(invalid(text), "");
	assert.ok(containers(parse(text))["faro-ingest"]);
});

test("lint --strict finds nothing", () => {
	for (const folder of [library, ...Object.values(charts)]) {
		const { code, stdout, stderr } = run(["lint", "--strict", folder]);
		assert.equal(code, 0, stdout + stderr);
	}
});

/* --- not at all ------------------------------------------------------------------------------------ */

/* The chart as it was before: no dependency, no values, no include. */
function withoutLibrary(folder) {
	return chart(folder, (made) => {
		rmSync(join(made, "charts"), { recursive: true });
		rmSync(join(made, "templates/faro.yaml"));
		const edit = (name, change) => writeFileSync(join(made, name), change(read(made, name)));
		edit("Chart.yaml", (text) => text.replace(/^dependencies: .*\n/m, ""));
		edit("values.yaml", (text) => text.replace(/^faro:\n(?: .*\n)*/m, ""));
		for (const name of readdirSync(join(made, "templates")))
			edit(`templates/${name}`, (text) => text
				.replaceAll(/^ *\{\{- with include "faro-ingest.*\{\{ end \}\}\n/gm, "")
				.replaceAll(/^ *\{\{- with include "faro-ingest.*\n(?:(?!.*\{\{- end).*\n)*.*\{\{- end \}\}\n/gm, ""));
	});
}

for (const source of [join(root, "helm/shop"), join(tests, "charts/named"), join(tests, "charts/bare")])
	test(`${basename(source)}: off, it renders byte by byte what it renders without the library`, () => {
		const before = withoutLibrary(source);
		for (const name of readdirSync(join(before, "templates")))
			assert.doesNotMatch(read(before, "templates", name), /faro/, "the test has left an include");
		assert.equal(template(chart(source), { faro: { enabled: false } }), template(before));
		assert.equal(template(chart(source), { faro: null }), template(before), "without any values");
	});

test("global.faro turns nothing on that a service has not turned on", () => {
	const off = template(shop, {});
	assert.equal(template(shop, { global: { faro: { enabled: true, proxy: { enabled: true } } } }), off);
	const publicOnly = { faro: { enabled: true, collectorUrl: "https://x.example/collect", proxy: { enabled: false } } };
	assert.equal(template(shop, [publicOnly, { global: { faro: { proxy: { enabled: true } } } }]),
		template(shop, publicOnly));
});

/* --- what holds wherever it is on ------------------------------------------------------------------ */

const workloads = [...manifestsOf].flatMap(([name, manifests]) =>
	manifests.filter(({ kind }) => ["Deployment", "StatefulSet"].includes(kind)).map((workload) => ({ name, pod: workload.spec.template })));
const responders = workloads.flatMap(({ name, pod: { spec } }) => [...(spec.initContainers ?? []), ...spec.containers]
	.filter((container) => container.name === "faro-ingest").map((container) => ({ name, container, spec })));

test("the cases have responders to look at", () => assert.ok(responders.length > 8));

for (const { name, container, spec } of responders) {
	test(`${name}: the responder can do no harm to the pod`, () => {
		assert.equal(Boolean(container.readinessProbe), name.startsWith("gateway"), "in pods of its own alone");
		assert.equal(container.startupProbe, undefined);
		assert.deepEqual(container.livenessProbe.exec.command, ["faro-ingest", "--ping", "/run/faro-ingest/faro.sock"]);
		assert.deepEqual(container.securityContext, {
			allowPrivilegeEscalation: false, capabilities: { drop: ["ALL"] }, readOnlyRootFilesystem: true,
			runAsNonRoot: true, seccompProfile: { type: "RuntimeDefault" },
		});
		for (const kind of ["requests", "limits"])
			for (const what of ["cpu", "memory"]) assert.ok(container.resources[kind][what], `${kind}.${what}`);
	});

	test(`${name}: the socket's directory is the responder's and nginx's alone`, () => {
		const socket = spec.volumes.find((volume) => volume.name === "faro-socket");
		assert.equal(socket.emptyDir.medium, "Memory");
		const mounting = [...(spec.initContainers ?? []), ...spec.containers]
			.filter(({ volumeMounts = [] }) => volumeMounts.some((mount) => mount.name === "faro-socket"));
		assert.equal(mounting.length, 2);
		const nginx = mounting.find((other) => other !== container);
		assert.equal(nginx.volumeMounts.find((mount) => mount.name === "faro-socket").readOnly, true);
	});
}

for (const { name, pod: { spec } } of workloads.filter(({ pod }) => pod.metadata.labels["app.kubernetes.io/name"] === "faro-ingest"))
	test(`${name}: every container is fit for the pod security standard "restricted"`, () => {
		assert.equal(spec.automountServiceAccountToken, false);
		assert.equal(spec.securityContext.runAsNonRoot, true);
		for (const { securityContext } of [...(spec.initContainers ?? []), ...spec.containers])
			assert.deepEqual(securityContext, {
				allowPrivilegeEscalation: false, capabilities: { drop: ["ALL"] }, readOnlyRootFilesystem: true,
				runAsNonRoot: true, seccompProfile: { type: "RuntimeDefault" },
			});
	});

for (const { name, pod } of workloads)
	test(`${name}: no environment has a name twice, and no volume`, () => {
		const once = (list) => assert.deepEqual(list, [...new Set(list)]);
		for (const container of [...(pod.spec.initContainers ?? []), ...pod.spec.containers]) {
			once((container.env ?? []).map((entry) => entry.name));
			once((container.volumeMounts ?? []).map((mount) => mount.mountPath));
			const volumes = (pod.spec.volumes ?? []).map((volume) => volume.name);
			for (const mount of container.volumeMounts ?? []) assert.ok(volumes.includes(mount.name), mount.name);
		}
		once((pod.spec.volumes ?? []).map((volume) => volume.name));
	});

test("no case has a NetworkPolicy, and none fixes a user or a group, but charts/stateful its own", () => {
	for (const [name, text] of rendered) assert.doesNotMatch(text.replace("securityContext: {fsGroup: 10001}", ""), /NetworkPolicy|runAsUser|runAsGroup|fsGroup/, name);
});

test("what is rendered depends on nothing but chart, values and names", () => {
	const { values } = cases.find(({ name }) => name === "every-value");
	const first = template(shop, values);
	assert.equal(template(shop, values, { more: ["--kube-version", "1.25.0", "--is-upgrade"] }), first);
	assert.equal(template(shop, values, { more: ["--kube-version", "1.37.0", "--api-versions", "monitoring.coreos.com/v1"] }), first);
});

test("another snippet, value or path is another checksum; a replica more is not", () => {
	const sum = (...values) => {
		const { annotations } = find(parse(template(shop, [{ faro: { enabled: true } }, ...values])), "Deployment")
			.spec.template.metadata;
		return annotations["faro-ingest/checksum"];
	};
	assert.equal(sum(), sum({ replicas: 7 }));
	assert.notEqual(sum(), sum({ faro: { proxy: { path: "/rum" } } }));
	assert.notEqual(sum(), sum({ faro: { environment: "prod" } }));
});

test("the pod of helm test is asked for, is a hook, and is in no selector", () => {
	for (const [name, manifests] of manifestsOf) {
		const pods = manifests.filter(({ kind }) => kind === "Pod");
		assert.equal(pods.length, ["helm-test", "gateway-request"].includes(name) ? 1 : 0, name);
	}
	const { metadata, spec } = find(manifestsOf.get("helm-test"), "Pod");
	assert.equal(metadata.annotations["helm.sh/hook"], "test");
	assert.deepEqual(spec.containers[0].command, ["faro-ingest", "--check"]);
	const selectors = manifestsOf.get("helm-test").map(({ spec: other }) => other?.selector?.matchLabels ?? other?.selector).filter(Boolean);
	assert.equal(selectors.length, 2);
	for (const selector of selectors)
		assert.ok(Object.entries(selector).some(([key, value]) => metadata.labels[key] !== value), JSON.stringify(selector));
	const included = parse(template(shop, { faro: { enabled: true, proxy: { mode: "include", helmTest: true } } }));
	assert.equal(find(included, "Pod").spec.containers[0].image, "registry.example/faro-ingest:0.2.0");
	assert.doesNotMatch(template(shop, { faro: { enabled: true, proxy: { helmTest: true } } }, { more: ["--skip-tests"] }), /kind: Pod\n/);
});

/* --- single values --------------------------------------------------------------------------------- */

const envOf = (name, container = "faro-ingest") => Object.fromEntries(
	containers(manifestsOf.get(name))[container].env.map(({ name: key, value, valueFrom }) => [key, value ?? valueFrom]));

test("the namespace reaches the labels by the downward API", () => {
	const env = envOf("sidecar");
	assert.deepEqual(env.POD_NAMESPACE, { fieldRef: { fieldPath: "metadata.namespace" } });
	assert.match(env.OTEL_RESOURCE_ATTRIBUTES, /^k8s\.namespace\.name=\$\(POD_NAMESPACE\)/);
	const { env: list } = containers(manifestsOf.get("sidecar"))["faro-ingest"];
	assert.equal(list[0].name, "POD_NAMESPACE", "Kubernetes expands what stands before");
});

test("the sidecar serves a second longer than nginx's preStop; where it ends after nginx, it is not told to", () => {
	assert.equal(envOf("every-value").FARO_DRAIN_DELAY_MS, "6000");
	assert.equal(envOf("sidecar").FARO_DRAIN_DELAY_MS, undefined);
	assert.equal(envOf("native-sidecar").FARO_DRAIN_DELAY_MS, undefined);
	assert.equal(envOf("include", "nginx").FARO_DRAIN_DELAY_MS, undefined);
});

const responderOf = (...values) => containers(parse(template(shop, [{ faro: { enabled: true } }, ...values])))["faro-ingest"];

test("the CPU of the sidecar is not limited where its limit is null, by the service or for all", () => {
	const unlimited = { proxy: { resources: { limits: { cpu: null } } } };
	const limited = { global: { faro: { proxy: { resources: { limits: { cpu: "2" } } } } } };
	assert.equal(responderOf({}).resources.limits.cpu, "500m");
	assert.equal(responderOf(limited).resources.limits.cpu, "2");
	for (const values of [[{ faro: unlimited }], [{ global: { faro: unlimited } }], [limited, { faro: unlimited }]])
		assert.deepEqual(responderOf(...values).resources, { limits: { memory: "64Mi" }, requests: { cpu: "10m", memory: "16Mi" } });
});

test("probes, security context and mounts of the sidecar are the service's to change", () => {
	const values = { faro: { proxy: {
		livenessProbe: { periodSeconds: 60 }, readinessProbe: { enabled: true, failureThreshold: 9 },
		securityContext: { runAsUser: 10001, seccompProfile: { type: "Localhost", localhostProfile: "faro.json" } },
		extraVolumeMounts: [{ name: "tmp", mountPath: "/vault/{{ .Release.Name }}", readOnly: true }],
		upstream: { apiKey: { file: "/vault/{{ .Release.Name }}/alloy" } },
	} } };
	const text = template(shop, [{ faro: { enabled: true } }, values]);
	assert.equal(invalid(text), "");
	const { livenessProbe, readinessProbe, securityContext, volumeMounts, env } = containers(parse(text))["faro-ingest"];
	const exec = { command: ["faro-ingest", "--ping", "/run/faro-ingest/faro.sock"] };
	assert.deepEqual(livenessProbe, { exec, periodSeconds: 60, timeoutSeconds: 5, failureThreshold: 3 });
	assert.deepEqual(readinessProbe, { exec, periodSeconds: 10, timeoutSeconds: 5, failureThreshold: 9 });
	assert.deepEqual(securityContext, {
		allowPrivilegeEscalation: false, capabilities: { drop: ["ALL"] }, readOnlyRootFilesystem: true, runAsNonRoot: true,
		runAsUser: 10001, seccompProfile: { type: "Localhost", localhostProfile: "faro.json" },
	});
	assert.deepEqual(volumeMounts.at(-1), { name: "tmp", mountPath: "/vault/shop", readOnly: true });
	assert.equal(env.find(({ name }) => name === "FARO_UPSTREAM_API_KEY_FILE").value, "/vault/shop/alloy");
});

test("secrets and user info are redacted, unless the service says otherwise; a text is nothing that Kubernetes expands", () => {
	assert.equal(envOf("sidecar").FARO_REDACT, "secrets,userinfo");
	assert.equal(envOf("nothing-redacted").FARO_REDACT, undefined);
	assert.equal(envOf("privacy").FARO_REDACT_KEEP, "page,shop");
	assert.equal(envOf("privacy").FARO_DROP_EXTENSION_ERRORS, "on");
	assert.equal(envOf("privacy").FARO_DROP_ERRORS, "ResizeObserver loop,$$(POD_NAMESPACE)");
	assert.equal(envOf("sidecar").FARO_DROP_EXTENSION_ERRORS, undefined);
});

test("attributes are percent-encoded as OpenTelemetry reads them", () => {
	const env = envOf("every-value");
	assert.equal(env.OTEL_RESOURCE_ATTRIBUTES, "k8s.namespace.name=$(POD_NAMESPACE)," +
		"deployment.environment.name=2-fold,k8s.cluster.name=north%201,service.version=3.1.4,team=a%2Cb%3Dc%25");
	assert.equal(env.FARO_LABEL_ATTRIBUTES, "k8s.cluster.name,team");
});

test("an emptyDir for the spool has room for twice the limit and the reserve", () => {
	const [, factors] = /STORE_DISK_RESERVE_BYTES = ([\d *]+),/.exec(read(root, "src/delivery/store_private.h"));
	const reserve = factors.split("*").reduce((product, factor) => product * Number(factor), 1);
	for (const [name, limit] of [["include", 64], ["every-value", 128]]) {
		const { volumes } = find(manifestsOf.get(name), "Deployment").spec.template.spec;
		const size = Number(volumes.find((volume) => volume.name === "faro-spool").emptyDir.sizeLimit);
		assert.ok(size >= 2 * limit * 1024 * 1024 + reserve, `${name}: ${size}`);
	}
});

test("FARO_MAX_MEMORY_BYTES is a third of the container's limit, in include mode of the one it would have had", () => {
	for (const [name, container] of [["sidecar", "faro-ingest"], ["include", "nginx"]])
		assert.equal(envOf(name, container).FARO_MAX_MEMORY_BYTES, String(Math.floor(64 * 1024 * 1024 / 3)));
});

test("an umbrella's services have names, labels and settings of their own", () => {
	const manifests = manifestsOf.get("umbrella");
	const names = manifests.filter(({ kind }) => kind === "ConfigMap").map(({ metadata }) => metadata.name);
	assert.deepEqual(names.filter((name) => name.endsWith("-faro")).sort(), ["shop-faro", "shop-named-faro"]);
	const [own] = responders.filter(({ name }) => name === "umbrella");
	const values = (container) => Object.fromEntries(container.env.map(({ name, value }) => [name, value]));
	const env = values(own.container);
	assert.equal(env.FARO_UPSTREAM_URL, "http://alloy:12347", "the service's wins");
	assert.equal(env.FARO_PATH, "/shop-rum");
	const named = workloads.find(({ pod }) => pod.metadata.labels.app === "named").pod.spec.containers[0];
	assert.equal(values(named).FARO_UPSTREAM_URL, "http://alloy.retail:12347", "global.faro's, where the default stands");
	assert.equal(values(named).FARO_PATH, "/rum");
	assert.match(values(named).OTEL_RESOURCE_ATTRIBUTES, /deployment\.environment\.name=prod/);
	assert.equal(env.FARO_LABEL_ATTRIBUTES, "k8s.cluster.name,team", "maps of both are merged");
});

test("OTEL_SERVICE_NAME that is there stays the only one; elsewhere it is rendered once", () => {
	const { env } = containers(manifestsOf.get("otel-service-name-is-there")).named;
	assert.equal(env.filter(({ name }) => name === "OTEL_SERVICE_NAME").length, 1);
	assert.equal(env.find(({ name }) => name === "OTEL_EXPORTER_OTLP_ENDPOINT").value, "http://alloy:4318");
	assert.equal(envOf("include-service-env", "nginx").OTEL_SERVICE_NAME, "shop");
	assert.equal(envOf("include-service-env", "nginx").PYROSCOPE_SERVER_ADDRESS, "http://alloy:4040");
	assert.equal(envOf("service-env", "nginx").PYROSCOPE_SERVER_ADDRESS, undefined);
});

test("long names are cut to what a Service may have, and stay different", () => {
	const names = ["a", "b"].map((last) => {
		const name = "x".repeat(60) + last;
		const text = template(shop, { faro: { enabled: true, name, proxy: { metrics: { service: true } } } });
		return parse(text).find(({ kind, spec }) => kind === "Service" && spec.clusterIP === "None").metadata.name;
	});
	assert.notEqual(names[0], names[1]);
	for (const name of names) assert.ok(name.length <= 63 && name.endsWith("-metrics"), name);
});

test("origins are what the responder is told, and for nginx as browsers write them", () => {
	const { cases: origins } = JSON.parse(read(root, "tests/system/origins.json"));
	const lists = origins.filter(({ valid, list }) => valid && list).map(({ list }) => list);
	const allowedOrigins = lists.flatMap((list) => list.split(",").map((one) => one.trim()));
	const manifests = parse(template(shop, { faro: { enabled: true, proxy: { allowedOrigins: lists } } }));
	const env = containers(manifests)["faro-ingest"].env.find(({ name }) => name === "FARO_ALLOWED_ORIGINS").value;
	assert.deepEqual(env.split(","), allowedOrigins);
	const files = manifests.find(({ kind, data }) => kind === "ConfigMap" && data["faro-http.conf"]).data;
	const [, list] = /^map "(.*)\|\$http_origin"/m.exec(files["faro-http.conf"]);
	assert.deepEqual(list.split(","),
		allowedOrigins.map((one) => one.toLowerCase().replace(/^(https:.*):443$|^(http:.*):80$/, "$1$2")));
});

/* --- the package ----------------------------------------------------------------------------------- */

const SOURCES = {
	"faro-http.conf": "nginx/templates/faro-http.conf.template",
	"faro-location.conf": "nginx/templates/faro/location.conf.template",
	"faro-status.conf": "nginx/faro-status.conf",
	"faro-crawlers.conf": "nginx/faro-crawlers.conf",
	"config.js": "nginx/templates/faro/config.js.template",
	"defaults.yaml": "helm/faro-ingest/values.yaml",
};

test("files/ has nginx's own snippets, byte by byte (FARO_UPDATE_GOLDEN=1 copies them)", () => {
	assert.deepEqual(readdirSync(join(library, "files")).sort(), Object.keys(SOURCES).sort());
	for (const [name, source] of Object.entries(SOURCES)) {
		if (update) copyFileSync(join(root, source), join(library, "files", name));
		assert.equal(read(library, "files", name), read(root, source), `cp ${source} helm/faro-ingest/files/${name}`);
	}
});

/* The chart is handed on as a folder, too: vendored, or in a repository of charts. */
scenario("the chart is whole by itself: copied out, it is packaged, with the same files", (stage) => {
	const alone = stage.path("faro-ingest");
	cpSync(library, alone, { recursive: true, verbatimSymlinks: true });
	for (const entry of readdirSync(alone, { recursive: true, withFileTypes: true }))
		assert.ok(entry.isFile() || entry.isDirectory(), `${entry.name} is a link`);
	const { code, stderr } = run(["package", alone, "-d", stage.dir]);
	assert.equal(code, 0, stderr);
	const list = (archive) => execFileSync("tar", ["-tzf", archive], { encoding: "utf8" }).split("\n").sort();
	assert.deepEqual(list(stage.path(basename(packaged))), list(packaged));
	for (const name of Object.keys(SOURCES))
		assert.equal(execFileSync("tar", ["-xzOf", packaged, `faro-ingest/files/${name}`], { encoding: "utf8" }),
			read(library, "files", name));
});

test("the names of the templates carry the chart's major version, and the image is this version's", () => {
	const meta = read(library, "Chart.yaml");
	const major = /^version: (\d+)\./m.exec(meta)[1];
	for (const name of readdirSync(join(library, "templates")))
		for (const [, defined] of read(library, "templates", name).matchAll(/define "([^"]+)"/g))
			assert.match(defined, new RegExp(`^faro-ingest\\.v${major}\\.`));
	assert.ok(read(root, "configure.ac").includes(`AC_INIT([faro-ingest], [${/^appVersion: (.*)/m.exec(meta)[1]}]`));
});

test("without the alias it says so", () => {
	const folder = chart(join(tests, "charts/bare"), (made) => writeFileSync(join(made, "Chart.yaml"),
		read(made, "Chart.yaml").replace("alias: faro, ", "")));
	const { code, stderr } = attempt(folder, {});
	assert.notEqual(code, 0);
	assert.match(stderr, /in Chart\.yaml write `alias: faro` beside `name: faro-ingest`/);
});
