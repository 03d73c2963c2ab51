// SPDX-License-Identifier: Apache-2.0
/* What is wrong is refused before it reaches a cluster: each refusal names the value, and what to do. */
import assert from "node:assert/strict";
import { readFileSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";

import { root } from "../system/lib/stage.mjs";
import { chart, find, parse, refusal, shop, template, tests } from "./lib/helm.mjs";

const faro = (values) => ({ faro: { enabled: true, ...values } });
const proxy = (values) => faro({ proxy: values });
const routed = { hosts: ["shop.example"], ingress: { enabled: true } };
const gateway = (values, more = {}) => proxy({ mode: "gateway", gateway: { ...routed, ...values }, ...more });
const claim = { spool: { enabled: true, existingClaim: "x" } };

/* [values, the value's name, the remedy] */
const refused = [
	/* What the templates check. */
	[faro({ serviceName: "" }), "faro.serviceName is not set", "write the service's name"],
	[faro({ serviceName: "{{ .Values.nothing }}" }), "faro.serviceName is not set", "write the service's name"],
	[faro({ proxy: { enabled: false } }), "faro.enabled is true, but nothing would take the beacons",
		"set faro.proxy.enabled: true, or faro.collectorUrl to a public collector, or faro.enabled: false"],
	[faro({ collectorUrl: "/collect" }), 'faro.collectorUrl is "/collect"', "write an absolute http or https URL"],
	[faro({ collectorUrl: 'https://x/"' }), "faro.collectorUrl is", "write an absolute"],
	[faro({ name: "Not A Name" }), 'faro.name gives "Not A Name"', "write lower case letters, digits and dashes"],
	[faro({ appNames: ["a,b"] }), 'faro.appNames has "a,b"', "one name an item, without commas"],
	[faro({ appNames: ["a", ""] }), 'faro.appNames has ""', "one name an item"],
	[faro({ labelAttributes: { "k8s.pod.name": "x" } }), "faro.labelAttributes has k8s.pod.name", "leave it out"],
	[faro({ labelAttributes: { "host.name": "x" } }), "faro.labelAttributes has host.name", "leave it out"],
	[faro({ labelAttributes: { "service.instance.id": "x" } }), "has service.instance.id", "leave it out"],
	[faro({ labelAttributes: { "k8s.namespace.name": "x" } }), "has k8s.namespace.name", "leave it out"],
	[faro({ labelAttributes: { "service.version": "x" } }), "has service.version", "set faro.serviceName, faro.version"],
	[faro({ labelAttributes: { "a b": "x" } }), 'faro.labelAttributes has "a b"', "write keys of letters"],
	[faro({ serviceName: "x".repeat(256) }), "faro.serviceName has a value of more than 255 bytes", "write a shorter one"],
	[faro({ environment: "ü".repeat(128) }), "faro.environment has a value of more than 255 bytes", "write a shorter one"],
	[faro({ version: "1\n2" }), "faro.version has a value", "on one line"],
	[faro({ appNames: ["a", "b\u0007"] }), "faro.appNames has a value", "on one line"],
	[faro({ labelAttributes: { team: "x".repeat(256) } }), "faro.labelAttributes[team] has a value", "write a shorter one"],
	[proxy({ upstream: { tenant: "ü" } }), 'faro.proxy.upstream.tenant is "ü"', "at most 512 printable ASCII characters"],
	[proxy({ upstreamUrl: "" }), "faro.proxy.upstreamUrl is not set", "there or in global.faro.proxy.upstreamUrl"],
	[proxy({ upstreamUrl: "alloy:12347" }), 'faro.proxy.upstreamUrl is "alloy:12347"', "such as http://alloy:12347"],
	[proxy({ upstreamUrl: "http://u:p@alloy" }), "faro.proxy.upstreamUrl is", "without user, query or fragment"],
	[proxy({ upstreamUrl: "http://alloy/?a=b" }), "faro.proxy.upstreamUrl is", "without user, query or fragment"],
	[proxy({ image: { registry: "" } }), "faro.proxy.image.registry is not set",
		"write the registry that has your build of the faro-ingest image, there or in global.faro.proxy.image.registry"],
	[proxy({ upstreamUrl: "http://alloy:65536" }), 'faro.proxy.upstreamUrl is "http://alloy:65536"', "a port up to 65535"],
	[proxy({ image: { registry: "https://registry.example" } }), "faro.proxy.image.registry is", "without https://"],
	[proxy({ image: { repository: "faro-ingest:1" } }), 'faro.proxy.image.repository is "faro-ingest:1"', "without registry and tag"],
	[proxy({ image: { tag: "1:2" } }), 'faro.proxy.image.tag is "1:2"', "of letters, digits and ._-"],
	[proxy({ image: { digest: "sha256:1" } }), 'faro.proxy.image.digest is "sha256:1"', "write sha256: and 64"],
	[proxy({ path: "faro" }), 'faro.proxy.path is "faro"', "begins with a slash"],
	[proxy({ path: "/" }), 'faro.proxy.path is "/"', "such as /faro"],
	[proxy({ path: "/faro/" }), 'faro.proxy.path is "/faro/"', "does not end with one"],
	[proxy({ path: "/a;b" }), 'faro.proxy.path is "/a;b"', "of letters, digits and ._~-"],
	[proxy({ path: "/a/../b" }), 'faro.proxy.path is "/a/../b"', "leave out the segments . and .."],
	[proxy({ allowedOrigins: ["*"] }), 'faro.proxy.allowedOrigins has "*"', "write origins such as https://shop.example"],
	[proxy({ allowedOrigins: ["https://a.example/"] }), "faro.proxy.allowedOrigins has", "without path"],
	[proxy({ allowedOrigins: ["https://a.example:99999"] }), 'faro.proxy.allowedOrigins has "https://a.example:99999"', "write origins such as"],
	[proxy({ allowedOrigins: Array(300).fill("https://a.example") }), "faro.proxy.allowedOrigins has more than 3900 characters", "write fewer"],
	[proxy({ allowedHeaders: ["*"] }), 'faro.proxy.allowedHeaders has "*"', "write names of headers such as baggage"],
	[proxy({ allowedHeaders: ["a,b"] }), 'faro.proxy.allowedHeaders has "a,b"', "write names of headers such as baggage"],
	[proxy({ allowedHeaders: ["a".repeat(65)] }), "faro.proxy.allowedHeaders has", "write names of headers such as baggage"],
	[proxy({ allowedHeaders: Array(33).fill("a") }), "faro.proxy.allowedHeaders has 33 names", "write at most 32"],
	[proxy({ limits: { maxBodyBytes: "5 MiB" } }), 'faro.proxy.limits.maxBodyBytes is "5 MiB"', "write a number of bytes"],
	[proxy({ limits: { maxDecodedBytes: "x" } }), 'faro.proxy.limits.maxDecodedBytes is "x"', "write a number of bytes"],
	[proxy({ limits: { maxDecodedBytes: "16MiB" } }), "faro.proxy.resources.limits.memory is 64Mi", "write at least 111Mi"],
	[proxy({ limits: { maxMemoryBytes: "15728639" } }), "faro.proxy.limits.maxMemoryBytes is 15728639", "write at least 15728640"],
	[proxy({ limits: { maxMemoryBytes: "33MiB" } }), "faro.proxy.limits.maxMemoryBytes is 33MiB", "lower it, or raise the limit"],
	[proxy({ resources: { limits: { memory: "44Mi" } } }), "faro.proxy.resources.limits.memory is 44Mi", "write at least 45Mi"],
	[proxy({ resources: { limits: { memory: "much" } } }), 'faro.proxy.resources.limits.memory is "much"', "such as 64Mi"],
	[proxy({ resources: { limits: { cpu: "" } } }), "faro.proxy.resources.limits.cpu is not set", "leave the default"],
	[proxy({ resources: { requests: { memory: null } } }), "faro.proxy.resources.requests.memory is not set", "leave the key out"],
	[proxy({ resources: null }), "faro.proxy.resources is not set", "leave the key out"],
	[proxy({ mode: null }), "faro.proxy.mode is not set", "leave the key out"],
	[faro({ appNames: null }), "faro.appNames is not set", "leave the key out"],
	[proxy({ upstream: { ca: { configMapName: "a", secretName: "b" } } }),
		"faro.proxy.upstream.ca has both configMapName and secretName", "leave one of them out"],
	[proxy({ upstream: { apiKey: { key: "../x" } } }), 'faro.proxy.upstream.apiKey.key is "../x"', "write the key inside the Secret"],
	[proxy({ upstream: { ca: { key: "a/b" } } }), 'faro.proxy.upstream.ca.key is "a/b"', "write the key inside"],
	[proxy({ spool: { existingClaim: "x" } }), "faro.proxy.spool.existingClaim is set", "set faro.proxy.spool.enabled: true"],
	[proxy({ metrics: { podMonitor: true, serviceMonitor: true } }),
		"faro.proxy.metrics.podMonitor and faro.proxy.metrics.serviceMonitor are both true", "set one of them to false"],
	[proxy({ metrics: { port: 0, podMonitor: true } }), "faro.proxy.metrics.port is 0", "set a port such as 12348"],
	[proxy({ metrics: { port: 0, service: true } }), "faro.proxy.metrics.port is 0", "set a port such as 12348"],
	[proxy({ metrics: { interval: "30 s" } }), 'faro.proxy.metrics.interval is "30 s"', "write a time such as 30s"],
	[proxy({ metrics: { address: "::" } }), 'faro.proxy.metrics.address is "::"', "IPv6 in brackets"],
	[proxy({ upstream: { apiKey: { secretName: "a", file: "/b" } } }), "faro.proxy.upstream.apiKey has both secretName and file", "leave one of them out"],
	[proxy({ upstream: { apiKey: { file: "vault/alloy" } } }), 'faro.proxy.upstream.apiKey.file is "vault/alloy"', "write the absolute path"],
	[proxy({ extraVolumeMounts: [{ name: "a", mountPath: "/run/faro-ingest/x" }] }), "faro.proxy.extraVolumeMounts has /run/faro-ingest/x", "mount it elsewhere"],
	[proxy({ securityContext: { runAsUser: 0 } }), "faro.proxy.securityContext.runAsUser is 0", "write another number"],
	[proxy({ realIp: { header: "X Y" } }), 'faro.proxy.realIp.header is "X Y"', "such as X-Forwarded-For"],
	[proxy({ requestAttributes: { "a b": "x" } }), 'faro.proxy.requestAttributes has the key "a b"', "write keys of at most 64 letters"],
	[proxy({ requestAttributes: { ["x".repeat(65)]: "x" } }), "faro.proxy.requestAttributes has the key", "write keys of at most 64 letters"],
	[proxy({ requestAttributes: { "http.request.header.x": "x" } }), "faro.proxy.requestAttributes[http.request.header.x] is an array", "choose another key"],
	[proxy({ requestAttributes: { "a.b": "x", a_B: "x" } }), "a query cannot tell faro.proxy.requestAttributes[a", "leave one of them out"],
	[faro({ labelAttributes: { "a.b": "x" }, proxy: { requestAttributes: { "a-b": "x" } } }),
		"a query cannot tell faro.proxy.requestAttributes[a-b] from faro.labelAttributes[a.b]", "leave one of them out"],
	[proxy({ clientAddress: "full", requestAttributes: { "client.address": "x" } }), "from what faro.proxy.clientAddress stamps", "leave one of them out"],
	[proxy({ requestAttributes: Object.fromEntries(Array.from({ length: 33 }, (_, i) => [`a${i}`, "x"])) }),
		"faro.proxy.requestAttributes has 33 keys", "write at most 32"],
	[proxy({ mode: "include", image: { registry: "" }, helmTest: true }), "faro.proxy.helmTest is true", "set faro.proxy.image.registry"],
	[proxy({ helmTest: true, upstream: { apiKey: { file: "/a" } } }), "faro.proxy.helmTest is true", "set helmTest to false"],
	[proxy({ extraEnv: [{ name: "FARO_PATH", value: "/x" }] }), "faro.proxy.extraEnv has FARO_PATH", "set that value, and leave it out"],
	[proxy({ extraEnv: [{ name: "A", value: "1" }, { name: "A", value: "2" }] }), "faro.proxy.extraEnv has A", "comes twice"],
	[proxy({ extraEnv: [{ name: "FARO_SOCKET", value: "/tmp/s" }] }), "faro.proxy.extraEnv has FARO_SOCKET", "leave it out"],
	[proxy({ extraEnv: [{ name: "FARO_SPOOL_DIR", value: "/tmp" }] }), "faro.proxy.extraEnv has FARO_SPOOL_DIR", "leave it out"],
	[faro({ serviceEnv: { enabled: true }, collectorUrl: "https://x", proxy: { enabled: false, upstreamUrl: "" } }),
		"faro.serviceEnv.otlpEndpoint is not set", "write the OTLP endpoint"],
	[gateway({ ingress: {} }), "nothing would send beacons to the gateway", "set faro.proxy.gateway.ingress.enabled, httpRoute.enabled or route.enabled: true"],
	[gateway({ hosts: [] }), "faro.proxy.gateway.hosts is not set", "such as [shop.example]"],
	[gateway({ hosts: ["https://shop.example"] }), 'faro.proxy.gateway.hosts has "https://shop.example"', "without scheme, port and path"],
	[gateway({ hosts: ["Shop.example"] }), 'faro.proxy.gateway.hosts has "Shop.example"', "write host names of lower case letters"],
	[gateway({ hosts: ["*.example"], route: { enabled: true } }), 'faro.proxy.gateway.hosts has "*.example"', "write each host"],
	[gateway({ httpRoute: { enabled: true } }), "faro.proxy.gateway.httpRoute.parentRefs is not set", "such as [{name: gateway, namespace: infra}]"],
	[gateway({ nginxImage: "" }), 'faro.proxy.gateway.nginxImage is ""', "such as nginxinc/nginx-unprivileged"],
	[gateway({ address: "::" }), 'faro.proxy.gateway.address is "::"', "IPv6 in brackets"],
	[gateway({}, { metrics: { port: 8080 } }), "faro.proxy.metrics.port is 8080", "write another, such as 12348"],
	[gateway({}, claim), "faro.proxy.gateway.replicas is 2", "set replicas: 1"],
	[gateway({ replicas: 1, hpa: { enabled: true } }, claim), "faro.proxy.spool.existingClaim is set", "set faro.proxy.gateway.hpa.enabled: false and replicas: 1"],
	[gateway({ hpa: { enabled: true, minReplicas: 6 } }), "faro.proxy.gateway.hpa.minReplicas is 6", "the other way round"],
	[gateway({ hpa: { enabled: true }, nginxResources: { requests: { cpu: "" } } }), "faro.proxy.gateway.nginxResources.requests.cpu is not set", "leave the default"],
	[gateway({ podSpec: { containers: [] } }), "faro.proxy.gateway.podSpec has containers", "leave it out"],
	[gateway({ podSpec: { initContainers: [] } }), "faro.proxy.gateway.podSpec has initContainers", "leave it out"],
	[faro({ name: "1x", proxy: { mode: "gateway", gateway: routed } }), 'faro.name gives "1x"', "begins with a letter"],
	[gateway({}, { image: { registry: "" } }), "faro.proxy.image.registry is not set", "write the registry"],

	/* What the schema checks; its messages say where, what was there and what is taken. */
	[proxy({ mode: "daemon" }), "at '/proxy/mode'", "value must be one of 'sidecar', 'include', 'gateway'"],
	[gateway({ nginximage: "nginx" }), "faro.proxy.gateway.nginximage is not a value of this chart", "did you mean faro.proxy.gateway.nginxImage?"],
	[gateway({ httpRoutes: {} }), "faro.proxy.gateway.httpRoutes is not a value of this chart", "did you mean faro.proxy.gateway.httpRoute?"],
	[gateway({ replicas: 0 }), "at '/proxy/gateway/replicas'", "minimum: got 0, want 1"],
	[gateway({ hosts: "shop.example" }), "at '/proxy/gateway/hosts'", "want array"],
	[gateway({ httpRoute: { enabled: true, parentRefs: [{ namespace: "x" }] } }), "at '/proxy/gateway/httpRoute/parentRefs/0'", "missing property 'name'"],
	[proxy({ nativeSidecar: "yes" }), "at '/proxy/nativeSidecar'", "want boolean"],
	[proxy({ preStopSeconds: 301 }), "at '/proxy/preStopSeconds'", "300"],
	[proxy({ livenessProbe: { periodSeconds: 0 } }), "at '/proxy/livenessProbe/periodSeconds'", "minimum: got 0, want 1"],
	[proxy({ extraVolumeMounts: [{ name: "a" }] }), "at '/proxy/extraVolumeMounts/0'", "missing property 'mountPath'"],
	[proxy({ extraVolumeMounts: [{ name: "a", mountPath: "/b", readonly: true }] }), "at '/proxy/extraVolumeMounts/0'", "'readonly' not allowed"],
	[proxy({ clientAddress: "hashed" }), "at '/proxy/clientAddress'", "value must be one of 'off', false, 'masked', 'full'"],
	[proxy({ clientAddress: true }), "at '/proxy/clientAddress'", "value must be one of"],
	[proxy({ redact: "query" }), "at '/proxy/redact'", "want array"],
	[proxy({ dropFields: Array(65).fill("logs") }), "at '/proxy/dropFields'", "maxItems: got 65, want 64"],
	[proxy({ rateLimit: { requestsPerSecond: 0.5 } }), "at '/proxy/rateLimit/requestsPerSecond'", "want integer"],
	[proxy({ preStopSeconds: "5" }), "at '/proxy/preStopSeconds'", "want integer"],
	[proxy({ allowedOrigins: "https://a.example" }), "at '/proxy/allowedOrigins'", "want array"],
	[proxy({ upstream: { timeoutMs: 0 } }), "at '/proxy/upstream/timeoutMs'", "minimum: got 0, want 1"],
	[proxy({ metrics: { port: 70000 } }), "at '/proxy/metrics/port'", "maximum: got 70,000, want 65,535"],
	[faro({ labelAttributes: { team: 1 } }), "at '/labelAttributes/team'", "got number, want string"],
	[proxy({ extraEnv: [{ value: "x" }] }), "at '/proxy/extraEnv/0'", "missing property 'name'"],
	[proxy({ extraEnv: [{ name: "A", vlaue: "x" }] }), "at '/proxy/extraEnv/0'", "additional properties 'vlaue' not allowed"],
	[{ faro: { enabled: "true" } }, "at '/enabled'", "want boolean"],
	[[proxy({ image: { registry: "" } }), { global: { faro: { proxy: { image: { registry: 1 } } } } }],
		"at '/global/faro/proxy/image/registry'", "want string"],
];

for (const [values, name, remedy] of refused)
	test(`refused: ${JSON.stringify(values)}`, () => {
		const message = refusal(shop, values);
		assert.ok(message.includes(name), message);
		assert.ok(message.includes(remedy), message);
	});

/* Many of a kind, which are told in one message. */
const refusedTogether = [
	["networks that nginx may not trust, or does not know",
		["0.0.0.0/0", "::/0", "0::0/0", "10.0.0.0/7", "2000::/3", "10.0.0.256", "10.0.0.0/33", "fd00::/129", "1.2.3", "::1::", ":::",
			"1:2:3:4:5:6:7", "1:2:3:4:5:6:7:8:9", "12345::", "proxy.example", "unix:", "10.0.0.1;", ""],
		(from) => proxy({ realIp: { from } }), (one) => `faro.proxy.realIp.from has ${JSON.stringify(one)}: write the addresses`],
	["expressions that could end the directive, or stop nginx",
		["$a;", "a}", "{a", "${a}", 'a"', "a'", "a\\n", "a\nb", "a\tb", "$", "a$", "$1", "$$a", "$-", "", "x".repeat(256)],
		(all) => proxy({ requestAttributes: Object.fromEntries(all.map((one, i) => [`a${i}`, one])) }),
		(one, i) => `faro.proxy.requestAttributes[a${i}] is ${JSON.stringify(one)}: write variables of nginx and text`],
	["what cannot be redacted", ["url", "Secrets", ""], (redact) => proxy({ redact }),
		(one) => `faro.proxy.redact has ${JSON.stringify(one)}: write some of secrets, query`],
	["texts of errors that are no item of a list", ["a,b", "", " ", "a\nb", "x".repeat(256)], (dropErrors) => proxy({ dropErrors }),
		(one) => `faro.proxy.dropErrors has ${JSON.stringify(one)}: write texts`.replace(/\s+/g, " ")],
	["fields that are no path of a beacon", ["user", "meta..user", "logs[]", "logs[].", ".meta", "meta.a,b", "metadata.x", ""],
		(dropFields) => proxy({ dropFields }), (one) => `faro.proxy.dropFields has ${JSON.stringify(one)}: write paths`],
	["fields in which labels are stamped",
		["meta", "META", "meta.app", "meta.app.name", "meta.app.nameSpace", "meta.app.version.x", "meta.session", "meta.session.attributes",
			"traces.resourceSpans[].resource", "traces.resource_spans[].resource.attributes", "traces.resourceSpans[].resource.attributes[].key"],
		(dropFields) => proxy({ dropFields }), (one) => `faro.proxy.dropFields has ${JSON.stringify(one)}, where labels are stamped`],
	["attributes that are the service's own",
		["service.name", "service.namespace", "deployment.environment", "deployment.environment.name", "k8s.pod.name"],
		(all) => proxy({ requestAttributes: Object.fromEntries(all.map((one) => [one, "x"])) }),
		(one) => `faro.proxy.requestAttributes[${one}] is a label of the service`],
];

for (const [what, all, values, said] of refusedTogether)
	test(`refused: ${what}`, () => {
		const message = refusal(shop, values(all));
		for (const [i, one] of all.entries()) assert.ok(message.includes(said(one, i)), `${said(one, i)}: ${message}`);
		assert.equal(message.match(/faro-ingest: /g).length, all.length);
	});

/* "faro.a.b" → { faro: { a: { b: value } } } */
const at = (path, value) => path.split(".").reduceRight((inner, key) => ({ [key]: inner }), value);

/* [as it was written, what was meant] */
const misspelt = [
	["faro.enabeld", "faro.enabled"],
	["faro.servicename", "faro.serviceName"],
	["faro.enviroment", "faro.environment"],
	["faro.colectorUrl", "faro.collectorUrl"],
	["faro.label_attributes", "faro.labelAttributes"],
	["faro.appNmaes", "faro.appNames"],
	["faro.prox", "faro.proxy"],
	["faro.upstreamUrl", "faro.proxy.upstreamUrl"],
	["faro.proxy.upstreamURL", "faro.proxy.upstreamUrl"],
	["faro.proxy.servicName", "faro.serviceName"],
	["faro.proxy.allowedOrigin", "faro.proxy.allowedOrigins"],
	["faro.proxy.image.registery", "faro.proxy.image.registry"],
	["faro.proxy.upstream.apikey", "faro.proxy.upstream.apiKey"],
	["faro.proxy.upstream.ca.secretname", "faro.proxy.upstream.ca.secretName"],
	["faro.proxy.spool.max-bytes", "faro.proxy.spool.maxBytes"],
	["faro.proxy.metrics.podmonitor", "faro.proxy.metrics.podMonitor"],
	["faro.serviceEnv.otelEndpoint", "faro.serviceEnv.otlpEndpoint"],
	["global.faro.proxy.upstreamUlr", "global.faro.proxy.upstreamUrl"],
];

/* Each has a line of its own. */
for (const enabled of [true, false])
	test(`refused: ${misspelt.length} misspelt keys, each with the nearest known one, faro.enabled: ${enabled}`, () => {
		const message = refusal(shop, [{ faro: { enabled } }, ...misspelt.map(([path]) => at(path, {}))]);
		for (const [path, meant] of misspelt)
			assert.ok(message.includes(`faro-ingest: ${path} is not a value of this chart: did you mean ${meant}?`), `${path}: ${message}`);
		assert.equal(message.match(/did you mean/g).length, misspelt.length);
	});

test("refused: keys that are like none, with those that are there, and where a key of one's own goes", () => {
	const message = refusal(shop, [at("faro.sampling", {}), at("faro.proxy.spool.size", "1"), at("global.faro.proxy.image.xyzzy", 1)]);
	assert.ok(message.includes("faro.sampling is not a value of this chart: faro has appNames, "), message);
	assert.ok(message.includes("write a key of your own as faro.extra.sampling"), message);
	assert.ok(message.includes("faro.proxy.spool has enabled, existingClaim, "), message);
	assert.ok(message.includes("write a key of your own as global.faro.extra.xyzzy"), message);
});

/* What a template of the library makes of each of these, in one rendering. */
function each(name, all) {
	const folder = chart(join(tests, "charts/bare"), (made) => writeFileSync(join(made, "templates/probe.yaml"), `
apiVersion: v1
kind: ConfigMap
metadata: {name: probe}
data:
  {{- range $i, $one := .Values.probe }}
  _{{ $i }}: {{ include "faro-ingest.v1.${name}" $one | quote }}
  {{- end }}
`));
	const { data } = find(parse(template(folder, { probe: all })), "ConfigMap", "probe");
	return all.map((_, i) => data[`_${i}`]);
}

/* The cases of nginx's map and of the program. */
test("origins are refused or taken as the program does", () => {
	const { cases } = JSON.parse(readFileSync(join(root, "tests/system/origins.json"), "utf8"));
	const items = each("items", cases.map(({ list }) => [list])).map((json) => JSON.parse(json));
	const known = [...new Set(items.flat())];
	const taken = new Map(each("isOrigin", known).map((answer, i) => [known[i], answer === "yes"]));
	assert.ok(cases.length > 30);
	for (const [i, { list, valid }] of cases.entries())
		assert.equal(items[i].every((one) => taken.get(one)), valid, list);
	assert.match(refusal(shop, proxy({ allowedOrigins: ["https://a.example, https://*.example"] })),
		/faro\.proxy\.allowedOrigins has "https:\/\/\*\.example": write origins/);
});

test("sizes are refused or taken as the program does, within its ranges", () => {
	const { cases } = JSON.parse(readFileSync(join(root, "tests/system/sizes.json"), "utf8"));
	const ranges = {
		FARO_MAX_BODY_BYTES: [1, 2 ** 30], FARO_MAX_DECODED_BYTES: [1, 2 ** 30], FARO_MAX_MEMORY_BYTES: [1, 2 ** 31],
		FARO_SPOOL_MAX_BYTES: [2 ** 20, 2 ** 40],
	};
	const made = each("parsedBytes", cases.map(({ setting, text }) => ({ value: text, least: ranges[setting][0], most: ranges[setting][1] })));
	for (const [i, { setting, text, bytes }] of cases.entries())
		assert.equal(made[i], bytes === null ? "" : String(bytes), `${setting}=${text}`);
	const numbers = [1, 4194304, 2 ** 30];
	assert.deepEqual(each("parsedBytes", numbers.map((value) => ({ value, least: 1, most: 2 ** 30 }))), numbers.map(String), "not written as text");
	/* The values use these ranges. */
	for (const [values, name, range] of [
		[{ limits: { maxBodyBytes: "2GiB" } }, "faro.proxy.limits.maxBodyBytes", "1 to 1GiB"],
		[{ limits: { maxDecodedBytes: "1073741825" } }, "faro.proxy.limits.maxDecodedBytes", "1 to 1GiB"],
		[{ limits: { maxMemoryBytes: "3GiB" } }, "faro.proxy.limits.maxMemoryBytes", "1 to 2GiB"],
		[{ spool: { maxBytes: "1MB" } }, "faro.proxy.spool.maxBytes", "1MiB to 1024GiB"],
	])
		assert.ok(refusal(shop, proxy(values)).includes(`${name} is "${Object.values(Object.values(values)[0])[0]}": write a number of bytes from ${range}`));
});

test("a container's memory is a quantity as Kubernetes writes it", () => {
	const made = each("quantity", ["64Mi", "0.5Gi", "67108864", "64M", "1Ti", "1.5k"].map((value) => ({ name: "x", value })));
	assert.deepEqual(made, ["67108864", "536870912", "67108864", "64000000", "1099511627776", "1500"]);
});

/* charts/bare has only `container`, charts/named only `env`. */
for (const [name, values, value, wanted] of [
	["bare", { nativeSidecar: true }, "faro.proxy.nativeSidecar is true", "`faro-ingest.v1.initContainer` under initContainers:"],
	["bare", { mode: "include" }, "faro.proxy.mode is include", "`faro-ingest.v1.env` under env:"],
	["named", { mode: "sidecar" }, "faro.proxy.nativeSidecar is false", "`faro-ingest.v1.container` under containers:"],
])
	test(`refused: ${JSON.stringify(values)}, where the chart has no include for it`, () => {
		const message = refusal(chart(join(tests, "charts", name)),
			faro({ serviceName: "x", proxy: { enabled: true, upstreamUrl: "http://alloy:12347", image: { registry: "r.example" }, ...values } }));
		assert.ok(message.includes(value), message);
		assert.ok(message.includes(wanted), message);
	});

/* helm/shop without one of its includes: [name, where it has to go, a part of the line to write, values]. */
const forgotten = [
	["container", "under containers:", "}}{{ . | nindent 8 }}"],
	["initContainer", "under initContainers:", "}}{{ . | nindent 8 }}", { nativeSidecar: true }],
	["env", "under env: of the container that runs nginx", "}}{{ . | nindent 12 }}", { mode: "include" }],
	["volumeMounts", "under volumeMounts: of the container that runs nginx", "}}{{ . | nindent 12 }}"],
	["volumes", "under volumes: of the pod in shop/templates/deployment.yaml", "}}{{ . | nindent 8 }}"],
	["annotations", "under annotations: of the pod", "}}{{ . | nindent 8 }}"],
	["ports", "under ports: of the container that runs nginx", "}}{{ . | nindent 12 }}", { mode: "include", metrics: { podMonitor: true } }],
	["http", "above `faro-ingest.v1.location`, in http{}", "}}{{ . | nindent 4 }}"],
	["location", "in server{} of nginx's configuration", "}}{{ . | nindent 6 }}"],
	["manifests", "in templates/faro.yaml, whose name is fixed", '{{ include "faro-ingest.v1.manifests" . }}'],
];

/* Its block, from `with` to `end`, or its line. */
function forget(made, name) {
	for (const file of readdirSync(join(made, "templates"))) {
		const path = join(made, "templates", file);
		const include = `include "faro-ingest\\.v1\\.${name}" \\.`;
		writeFileSync(path, readFileSync(path, "utf8")
			.replace(new RegExp(`^( *)\\{\\{- with ${include} \\}\\}\n(?:.*\n)*?\\1\\{\\{- end \\}\\}\n`, "m"), "")
			.replace(new RegExp(`^.*${include}.*\n`, "m"), ""));
	}
}

const templatesOf = (folder) =>
	readdirSync(join(folder, "templates")).map((file) => readFileSync(join(folder, "templates", file), "utf8")).join("");

for (const [name, where, line, values = {}] of forgotten)
	test(`refused: the chart has forgotten to include ${name}; the message has the line to write`, () => {
		const folder = chart(join(root, "helm/shop"), (made) => forget(made, name));
		assert.ok(!templatesOf(folder).includes(`v1.${name}"`));
		const message = refusal(folder, proxy(values));
		assert.ok(message.includes(`the chart does not include \`faro-ingest.v1.${name}\` ${where}`), message);
		assert.ok(message.includes(line), message);
	});
