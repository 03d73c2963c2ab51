// SPDX-License-Identifier: Apache-2.0
/* examples/alloy against what it connects: the lines of the receiver, nginx's status port, the chart's values.
 * Its syntax is read by a reader of our own (lib/alloy.mjs), since Alloy itself is not to be had here. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";

import { root, scenario } from "../system/lib/stage.mjs";
import { text, yaml } from "./lib/examples.mjs";
import { labelSources, parseAlloy, walk } from "./lib/alloy.mjs";
import { fields, linesOf, recorded } from "./lib/lines.mjs";

const config = parseAlloy(text("alloy/config.alloy"));
const values = yaml("alloy/values.yaml");
const component = (name, label) => config.find((block) => block.name === name && block.label === label);
const stage_ = (name) => component("loki.process", "faro").blocks.find((block) => block.name === `stage.${name}`);
const inner = (block, name) => block.blocks.find((one) => one.name === name);

test("the reader refuses what is no configuration", () => {
	for (const broken of ["a {", "a }", "a { b = }", 'a "x" { b = [1 2] }', "a { b = c( }", "b = 1", "a { 7 }", "a { b = 'x' }"])
		assert.throws(() => parseAlloy(broken), Error, broken);
});

test("every component that is named is there, with that export", () => {
	const exported = { "discovery.kubernetes": "targets", "discovery.relabel": "output", "loki.process": "receiver",
		"loki.relabel": "receiver", "loki.write": "receiver", "prometheus.remote_write": "receiver",
		"otelcol.processor.batch": "input", "otelcol.exporter.otlp": "input", "prometheus.exporter.self": "targets" };
	const seen = new Set();
	const look = (value) => {
		if (value?.reference) {
			const parts = value.reference.split(".");
			const [label, export_] = parts.splice(-2);
			assert.ok(component(parts.join("."), label), `${value.reference} is declared`);
			assert.equal(exported[parts.join(".")], export_, value.reference);
			seen.add(`${parts.join(".")} ${label}`);
		} else if (value && typeof value === "object") Object.values(value).forEach(look);
	};
	walk(config, ({ attributes }) => look(attributes));
	/* And all are used, but those that data enters by. */
	for (const { name, label } of config)
		assert.ok(seen.has(`${name} ${label}`) || ["faro.receiver", "otelcol.receiver.otlp", "prometheus.scrape"].includes(name), `${name} ${label} is used`);
});

test("the receiver can be reached, is limited per app, takes what the relay lets through, and downloads from named origins", () => {
	const server = inner(component("faro.receiver", "apps"), "server");
	assert.equal(server.attributes.listen_address, "0.0.0.0");
	assert.equal(inner(server, "rate_limiting").attributes.strategy, "per_app");
	assert.ok(parseInt(server.attributes.max_allowed_payload_size, 10) > 5, "above FARO_MAX_DECODED_BYTES");
	const origins = inner(component("faro.receiver", "apps"), "sourcemaps").attributes.download_from_origins;
	assert.ok(origins.length > 0 && origins.every((origin) => /^https:\/\/[^*]+$/.test(origin)));
	const port = values.alloy.extraPorts.find(({ name }) => name === "faro");
	assert.deepEqual(port, { name: "faro", port: 12347, targetPort: server.attributes.listen_port, protocol: "TCP" });
	assert.equal(values.alloy.listenAddr, "0.0.0.0");
});

test("services reach it by OTLP at the port that faro.serviceEnv of the chart gives them", () => {
	const otlp = component("otelcol.receiver.otlp", "services");
	for (const [block, port] of [["grpc", 4317], ["http", 4318]]) {
		assert.equal(inner(otlp, block).attributes.endpoint, `0.0.0.0:${port}`);
		assert.deepEqual(values.alloy.extraPorts.find(({ name }) => name === `otlp-${block}`),
			{ name: `otlp-${block}`, port, targetPort: port, protocol: "TCP" });
	}
	assert.match(readFileSync(join(root, "helm/faro-ingest/templates/_env.tpl"), "utf8"), /"http:\/\/%s:4318"/);
});

test("the charts' values give every variable, and name the ConfigMap that kustomize makes", () => {
	const wanted = new Set();
	const look = (value) => {
		if (value?.call === "sys.env") wanted.add(value.arguments[0]);
	};
	walk(config, ({ attributes }) => Object.values(attributes).forEach(look));
	for (const { alloy } of [values, yaml("alloy/values-dev.yaml")])
		assert.deepEqual([...wanted].sort(), alloy.extraEnv.map(({ name }) => name).sort());
	const [map] = yaml("alloy/kustomization.yaml").configMapGenerator;
	assert.deepEqual({ create: false, name: map.name, key: map.files[0] }, values.alloy.configMap);
});

/* Where the lines of an environment go, with the variables of these values. */
function destinations(environment, { alloy }) {
	const variables = Object.fromEntries(alloy.extraEnv.map(({ name, value }) => [name, value]));
	const { source_labels, regex, target_label, replacement } = inner(component("loki.relabel", "environment"), "rule").attributes;
	assert.deepEqual([source_labels, regex, target_label], [["app_environment"], "", "app_environment"]);
	const is = environment || variables[replacement.arguments[0]];
	return component("loki.relabel", "environment").attributes.forward_to.map(({ reference }) => {
		const [, label] = /^loki\.relabel\.(\w+)\.receiver$/.exec(reference);
		const block = component("loki.relabel", label), rule = inner(block, "rule").attributes;
		assert.deepEqual(rule.source_labels, ["app_environment"]);
		const keeps = new RegExp(`^(?:${rule.regex})$`).test(is) === (rule.action === "keep");
		const [, write] = /^loki\.write\.(\w+)\.receiver$/.exec(block.attributes.forward_to[0].reference);
		return keeps && variables[inner(component("loki.write", write), "endpoint").attributes.url.arguments[0]];
	}).filter(Boolean);
}

test("dev goes to the dev Loki and to no other, test and prod to theirs, and what has no environment where the operator says", () => {
	const dev = ["http://loki-gateway.loki-dev.svc/loki/api/v1/push"], prod = ["http://loki-gateway.loki-prod.svc/loki/api/v1/push"];
	assert.deepEqual(destinations("dev", values), dev);
	for (const environment of ["test", "prod", "device", ""]) assert.deepEqual(destinations(environment, values), prod, environment);
	const anywhere = yaml("alloy/values-dev.yaml");
	for (const environment of ["dev", "test", "prod", ""]) assert.deepEqual(destinations(environment, anywhere), dev, environment);
});

test("browsers' spans share neither a push nor a queue with those of services", () => {
	const { output, reaches } = { output: (block) => inner(block, "output").attributes.traces.map(({ reference }) => reference),
		reaches: (reference) => component(...reference.split(/\.(\w+)\.input$/)) };
	const [browsers, ...more] = output(component("faro.receiver", "apps"));
	assert.deepEqual(more, []);
	assert.equal(reaches(browsers).name, "otelcol.exporter.otlp", "a beacon is a push");
	const [batch] = output(component("otelcol.receiver.otlp", "services"));
	const [services] = output(reaches(batch));
	assert.notEqual(services, browsers);
	const { send_batch_size, send_batch_max_size } = reaches(batch).attributes;
	assert.ok(send_batch_size <= send_batch_max_size && send_batch_max_size * 4096 <= 4 * 1024 * 1024, "4 KiB a span fit into gRPC's default");
	const { sizer, queue_size } = inner(reaches(browsers), "sending_queue").attributes;
	assert.ok(sizer === "bytes" && queue_size <= parseInt(values.alloy.resources.limits.memory, 10) * 1024 * 1024 / 4);
});

/* --- ../platform: what the addresses and limits lead to ------------------------------------------------- */

const bytes = (text) => {
	const [, number, unit] = /^(\d+)(KB|KiB|MiB)$/.exec(text);
	return number * (unit === "MiB" ? 1024 * 1024 : 1024); // Loki's KB is 1024, too
};

test("a line that Alloy lets through is not too long for Loki, and a beacon of spans not for Tempo", () => {
	const { limit } = inner(stage_("truncate"), "rule").attributes;
	for (const name of ["loki-dev", "loki-prod"])
		assert.equal(bytes(yaml(`platform/${name}.yaml`).limits_config.max_line_size), bytes(limit), name);
	assert.equal(bytes(limit), 262144, "as Loki has it by default");
	const { max_recv_msg_size_mib } = yaml("platform/tempo.yaml").distributor.receivers.otlp.protocols.grpc;
	const { max_allowed_payload_size } = inner(component("faro.receiver", "apps"), "server").attributes;
	assert.ok(max_recv_msg_size_mib * 1024 * 1024 >= bytes(max_allowed_payload_size));
});

test("no two stores have one bucket, and all are at the same object store", () => {
	const [dev, prod, tempo, mimir] = ["loki-dev", "loki-prod", "tempo", "mimir"].map((name) => yaml(`platform/${name}.yaml`));
	const buckets = [dev.common.storage.s3.bucketnames, prod.common.storage.s3.bucketnames, tempo.storage.trace.s3.bucket,
		...["blocks_storage", "ruler_storage", "alertmanager_storage"].map((name) => mimir[name].s3.bucket_name)];
	assert.equal(new Set(buckets).size, 6);
	const stores = [dev.common.storage, prod.common.storage, tempo.storage.trace, mimir.common.storage].map(({ s3 }) => s3.endpoint);
	assert.equal(new Set(stores).size, 1);
	assert.ok(mimir.limits.max_global_exemplars_per_user > 0, "exemplars are kept");
});

test("Grafana asks the same Lokis, Tempo and Mimir that Alloy writes to", () => {
	const host = (url) => /^(?:http:\/\/)?([^/:]+)/.exec(url)[1];
	const written = values.alloy.extraEnv.filter(({ name }) => name !== "DEFAULT_ENVIRONMENT").map(({ value }) => host(value).split(".").slice(1).join("."));
	const asked = yaml("grafana/datasources.yaml").datasources.map(({ url }) => host(url).split(".").slice(1).join("."));
	assert.deepEqual([...new Set(asked)].sort(), [...new Set(written)].sort());
});

test("it scrapes the port that the chart's pods declare, and names them as dashboards and alerts do", () => {
	const { blocks } = component("discovery.relabel", "faro_ingest");
	assert.deepEqual(blocks[0].attributes,
		{ source_labels: ["__meta_kubernetes_pod_container_port_name"], regex: "faro-metrics", action: "keep" });
	const pod = readFileSync(join(root, "helm/faro-ingest/templates/_pod.tpl"), "utf8");
	assert.match(pod, /ports:\n *- name: faro-metrics\n *containerPort:/);
	assert.deepEqual(blocks.slice(1).map(({ attributes }) => attributes.target_label), ["namespace", "job", "pod", "endpoint"]);
	assert.equal(blocks.at(-1).attributes.replacement, /up\{endpoint="([^"]+)"\}/.exec(text("prometheus/faro-ingest.rules.yaml"))[1]);
});

scenario("its labels and its time are fields of every line that the receiver writes for a recorded beacon", async (stage) => {
	const { mapping } = stage_("logfmt").attributes;
	const labels = Object.entries(labelSources(config));
	assert.deepEqual(labels.map(([label]) => label).sort(), ["app_environment", "app_name", "app_namespace", "kind", "service_name"]);
	assert.equal(stage_("timestamp").attributes.source, stage_("template").attributes.source);
	assert.equal(stage_("timestamp").attributes.action_on_failure, "skip");
	assert.ok(stage_("template").attributes.template.includes(`"${stage_("timestamp").attributes.format}"`));

	const lines = (await linesOf(stage, recorded())).map(fields).filter(({ kind }) => kind !== "span");
	assert.ok(lines.length > 500);
	for (const line of lines) {
		for (const [label, field] of labels) assert.ok(line[field], `${label} in ${JSON.stringify(line)}`);
		/* As the format of Go has it, with or without a fraction. */
		assert.match(line[mapping.line_time], /^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(\.\d+)? [+-]\d{4} [A-Z]+$/);
		assert.deepEqual([line.app_name, line.app_namespace, line.app_environment], ["shop", "retail", "prod"]);
	}
	assert.deepEqual([...new Set(lines.map(({ kind }) => kind))].sort(), ["event", "exception", "log", "measurement"]);
});
