// SPDX-License-Identifier: Apache-2.0
/* What is rendered and pinned: values, and the chart where it is not helm/shop. */
import { join } from "node:path";

import { root } from "../../system/lib/stage.mjs";
import { chart, shop, tests, umbrella } from "./helm.mjs";
import { begin, gateway, gatewayFor, paste } from "./recipe.mjs";

/* Two services without nginx, as the recipe of the README makes them. */
const gatewayed = (name, recipe) => paste(begin({ copy: join(tests, "charts", name) }), recipe);

const on = { faro: { enabled: true } };
const proxy = (values) => ({ faro: { enabled: true, proxy: values } });

const charts = {
	shop,
	umbrella: umbrella(join(tests, "charts/umbrella"), [join(root, "helm/shop"), join(tests, "charts/named")]),
	named: chart(join(tests, "charts/named")),
	bare: chart(join(tests, "charts/bare")),
	stateful: chart(join(tests, "charts/stateful")),
	express: gatewayed("express", gateway),
	fastapi: gatewayed("fastapi", gatewayFor("the Gateway API")),
};

const rows = [
	["off", {}],
	["sidecar", on],
	["native-sidecar", proxy({ nativeSidecar: true, preStopSeconds: 5 })],
	["include", proxy({ mode: "include", preStopSeconds: 5, spool: { enabled: true } })],
	["include-service-env", {
		faro: { enabled: true, serviceEnv: { enabled: true, pyroscopeAddress: "http://alloy:4040" }, proxy: { mode: "include" } },
	}],
	/* Only config.js: browsers send to a public collector. */
	["public-collector", {
		faro: { enabled: true, collectorUrl: "https://faro.example/collect", proxy: { enabled: false } },
	}],
	["every-value", {
		faro: {
			enabled: true,
			name: "{{ .Release.Name }}-telemetry",
			serviceName: "{{ .Chart.Name }}",
			appNames: ["{{ .Chart.Name }}", 'say "hi"'],
			labelAttributes: { "k8s.cluster.name": "north 1", team: "a,b=c%", "empty.one": "" },
			environment: "{{ .Values.replicas }}-fold",
			version: "{{ .Chart.AppVersion }}",
			collectorUrl: "https://{{ .Release.Name }}.example/rum/collect",
			proxy: {
				path: "/rum/v1",
				upstreamUrl: "https://alloy.{{ .Release.Namespace }}.svc:12347/collect",
				image: { registry: "registry.example/base/", repository: "relay", digest: `sha256:${"0a".repeat(32)}`, pullPolicy: "Always" },
				allowedOrigins: ["https://a.example", "http://localhost:3000", "https://*.preview.example"],
				allowedHeaders: ["baggage", "sentry-trace"],
				preStopSeconds: 5,
				limits: { maxBodyBytes: "2MiB", maxDecodedBytes: 4194304, maxMemoryBytes: "20MiB" },
				upstream: {
					connectTimeoutMs: 2000, timeoutMs: 60000, maxInflight: 64, tenant: "{{ .Release.Namespace }}",
					apiKey: { secretName: "{{ .Release.Name }}-alloy", key: "token" },
					ca: { secretName: "internal-ca" },
				},
				spool: { enabled: true, maxBytes: "128MiB", maxAgeSeconds: 31536000, sync: "normal", replayRate: 100000 },
				metrics: { port: 9090, address: "[::]", podMonitor: true, labels: { release: "prometheus" }, interval: "30s" },
				resources: { limits: { memory: "96Mi", "ephemeral-storage": "1Gi" }, requests: { cpu: "5m" } },
				extraEnv: [{ name: "FARO_LOG_FORMAT", value: "json" }],
			},
		},
	}],
	["service-monitor", proxy({ metrics: { serviceMonitor: true, selector: { app: "{{ .Release.Name }}" } } })],
	["existing-claim", proxy({ spool: { enabled: true, existingClaim: "{{ .Release.Name }}-spool" } })],
	["ca-of-a-configmap", proxy({
		upstreamUrl: "https://alloy", upstream: { ca: { configMapName: "trust", key: "bundle.pem" } }, metrics: { port: 0 },
	})],
	/* An expression may have all that does not end it; nginx takes this, see pod.test.mjs. */
	["request", proxy({
		realIp: { from: ["10.0.0.0/8", "192.168.1.1", "fc00::/7", "::1", "2001:db8:0:0:0:0:0:1"], header: "X-Real-IP" },
		rateLimit: { requestsPerSecond: 100, burst: 0 }, clientAddress: "masked", ignoreCrawlers: true,
		requestAttributes: {
			"geo.country.iso_code": "$http_x_country", "user_agent.synthetic.type": "$faro_synthetic_type",
			"server.address": "$server_name:$server_port", text: "# a=b, (c) [d] <e> ~*|%&!?@^`+-/. ü {{ .Chart.Name }}",
		},
	})],
	["privacy", proxy({
		redact: ["secrets", "query", "fragment", "userinfo", "email"], redactKeep: ["page", "{{ .Chart.Name }}"],
		dropFields: ["meta.user.email", "logs[].context.token", "meta.app.release", "meta.session.attributes.x", "traces.resourceSpans[].scopeSpans[].spans[].events", "events"],
		dropExtensionErrors: true, dropErrors: ["ResizeObserver loop", "$(POD_NAMESPACE)"],
	})],
	["nothing-redacted", proxy({ redact: [] })],
	["helm-test", proxy({
		helmTest: true, upstreamUrl: "https://alloy:12347", upstream: { tenant: "t", apiKey: { secretName: "shop-alloy", key: "token" }, ca: { secretName: "internal-ca" } },
	})],
	["rate-limit", proxy({ rateLimit: { requestsPerSecond: 5 }, clientAddress: false })],
	["service-env", { faro: { enabled: true, serviceEnv: { enabled: true } } }],
	/* The values a team begins with, and keys that are its own. */
	["five-values-and-keys-of-ones-own", {
		faro: {
			enabled: true, collectorUrl: "", proxy: { enabled: true, path: "/faro", upstreamUrl: "http://alloy:12347" },
			extra: { sampling: { rate: 0.1 }, sessionReplay: true, note: "{{ this is no template of ours" },
		},
	}],
	["umbrella", {
		global: {
			faro: {
				enabled: true, environment: "prod", labelAttributes: { "k8s.cluster.name": "north" },
				proxy: { upstreamUrl: "http://alloy.{{ .Release.Namespace }}:12347", path: "/rum", image: { registry: "registry.example" } },
			},
		},
		shop: { faro: { enabled: true, labelAttributes: { team: "web" }, proxy: { path: "/shop-rum" } } },
		named: { faro: { enabled: true, proxy: { upstreamUrl: "" } } },
	}, "umbrella"],
	["umbrella-one-of-two", { shop: { faro: { enabled: true } }, global: { faro: { enabled: true } } }, "umbrella"],
	["otel-service-name-is-there", {}, "named"],
	["stateful", { podAnnotations: { a: "b" }, volumes: [{ name: "data", emptyDir: {} }] }, "stateful"],
	["stateful-off", { faro: { enabled: false } }, "stateful"],
	["no-volumes-of-its-own", {}, "bare"],
	["no-volumes-of-its-own-off", { faro: { enabled: false } }, "bare"],
	["gateway", {}, "express"],
	["gateway-request", proxy({
		realIp: { from: ["10.0.0.0/8"] }, rateLimit: { requestsPerSecond: 100 }, ignoreCrawlers: true, helmTest: true,
		requestAttributes: { "server.address": "$host" }, readinessProbe: { enabled: true },
	}), "express"],
	["gateway-http-route", proxy({ metrics: { serviceMonitor: true } }), "fastapi"],
	["gateway-every-value", proxy({
		path: "/rum/v1",
		image: { pullPolicy: "Always" },
		limits: { maxBodyBytes: "1MiB" },
		realIp: { from: ["10.0.0.0/8"] }, rateLimit: { requestsPerSecond: 5 }, ignoreCrawlers: true,
		extraVolumeMounts: [{ name: "more", mountPath: "/more", readOnly: true }],
		metrics: { port: 9090, address: "[::]", podMonitor: true, selector: { app: "not the gateway's" } },
		gateway: {
			nginxImage: "registry.example/nginx@sha256:0a", nginxResources: { limits: { memory: "96Mi" } },
			hosts: ["{{ .Values.host }}", "www.{{ .Values.host }}"], address: "[::]", preStopSeconds: 20,
			ingress: { className: "", annotations: { "a.example/group": "{{ .Chart.Name }}" }, tlsSecretName: "{{ .Release.Name }}-tls" },
			httpRoute: { enabled: true, parentRefs: [{ name: "public", namespace: "infra", sectionName: "https" }], annotations: { a: "b" } },
			route: { enabled: true, annotations: { a: "b" }, insecureEdgeTerminationPolicy: "Allow" },
			hpa: { enabled: true, minReplicas: 3, maxReplicas: 9, targetCPUUtilizationPercentage: 70 },
			pdb: { enabled: true, maxUnavailable: "25%" },
			podAnnotations: { "vault.example/inject": "true" },
			podSpec: {
				imagePullSecrets: [{ name: "registry" }], tolerations: [{ operator: "Exists" }],
				securityContext: { supplementalGroups: [7] }, volumes: [{ name: "more", emptyDir: {} }],
			},
		},
	}), "express"],
	["gateway-existing-claim", proxy({
		nativeSidecar: true, spool: { enabled: true, existingClaim: "{{ .Release.Name }}-spool" },
		metrics: { port: 0 }, gateway: { replicas: 1, preStopSeconds: 0, ingress: { enabled: false }, ownRouting: true },
	}), "express"],
];

export const cases = rows.map(([name, values, which = "shop"]) => ({ name, values, folder: charts[which] }));
export { charts };
