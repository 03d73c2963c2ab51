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
		"otelcol.processor.batch": "input", "otelcol.exporter.otlp": "input" };
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

test("the chart's values give every variable, and name the ConfigMap that kustomize makes", () => {
	const wanted = new Set();
	const look = (value) => {
		if (value?.call === "sys.env") wanted.add(value.arguments[0]);
	};
	walk(config, ({ attributes }) => Object.values(attributes).forEach(look));
	assert.deepEqual([...wanted].sort(), values.alloy.extraEnv.map(({ name }) => name).sort());
	const [map] = yaml("alloy/kustomization.yaml").configMapGenerator;
	assert.deepEqual({ create: false, name: map.name, key: map.files[0] }, values.alloy.configMap);
});

test("dev goes to the dev Loki and to no other, everything else to the other", () => {
	const routes = config.filter(({ name, label }) => name === "loki.relabel" && label.startsWith("to_"));
	const goesTo = (environment) => routes.filter((block) => {
		const { source_labels, regex, action } = inner(block, "rule").attributes;
		assert.deepEqual(source_labels, ["app_environment"]);
		return new RegExp(`^(?:${regex})$`).test(environment) === (action === "keep");
	}).map(({ attributes }) => attributes.forward_to[0].reference);
	assert.deepEqual(goesTo("dev"), ["loki.write.dev.receiver"]);
	for (const environment of ["test", "prod", "", "device"]) assert.deepEqual(goesTo(environment), ["loki.write.prod.receiver"]);
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
