// SPDX-License-Identifier: Apache-2.0
/*
 * The way that a cluster finds from a host and a path to a port of a pod, by nothing but the rendered objects: Ingress,
 * HTTPRoute and Route, Services and their selectors, the pods' labels and ports. All pods share one machine here, so
 * a port is one of 127.0.0.1. entrance() is a server in front of it, as an Ingress controller is.
 *
 * What it does not do: TLS, weights, filters, anything but prefixes of paths.
 */
import { createServer, request } from "node:http";
import { once } from "node:events";

import { find } from "./helm.mjs";

/* Every rule: { host, path, service, port: a number or a name } */
function rulesOf({ kind, spec }) {
	if (kind === "Ingress")
		return spec.rules.flatMap(({ host, http }) => http.paths.map(({ path, backend: { service } }) =>
			({ host, path, service: service.name, port: service.port.number ?? service.port.name })));
	if (kind === "HTTPRoute")
		return spec.hostnames.flatMap((host) => spec.rules.flatMap(({ matches = [{}], backendRefs: [{ name, port }] }) =>
			matches.map((match) => ({ host, path: match.path?.value ?? "/", service: name, port }))));
	if (kind === "Route")
		return [{ host: spec.host, path: spec.path ?? "/", service: spec.to.name, port: spec.port.targetPort }];
	return [];
}

const below = (path, prefix) => prefix === "/" || path === prefix || path.startsWith(`${prefix}/`);

export class Cluster {
	constructor(manifests) {
		this.manifests = manifests;
		this.rules = manifests.flatMap(rulesOf);
	}

	/* The name of the Service that gets it. */
	rule(host, path) {
		const [rule] = this.rules.filter((one) => one.host === host && below(path, one.path))
			.sort((a, b) => b.path.length - a.path.length);
		return rule;
	}

	/* The one workload whose pods the Service finds; two would be a mistake that nobody sees at first. */
	workload(service) {
		const { selector } = find(this.manifests, "Service", service).spec;
		const found = this.manifests.filter(({ kind, spec }) => kind === "Deployment" &&
			Object.entries(selector).every(([name, value]) => spec.template.metadata.labels[name] === value));
		if (found.length !== 1) throw new Error(`the Service ${service} finds the pods of ${found.map(({ metadata }) => metadata.name)}`);
		return found[0];
	}

	port(host, path) {
		const rule = this.rule(host, path);
		if (!rule) return undefined;
		const { ports } = find(this.manifests, "Service", rule.service).spec;
		const { port, targetPort = port } = ports.find((one) => one.port === rule.port || one.name === rule.port);
		if (typeof targetPort === "number") return targetPort;
		const { containers } = this.workload(rule.service).spec.template.spec;
		const [found] = containers.flatMap((container) => container.ports ?? []).filter(({ name }) => name === targetPort);
		return found.containerPort;
	}

	/* → the port of a server that passes each request on to where its Host and path lead. */
	async entrance(stage) {
		const server = createServer((incoming, outgoing) => {
			const { host } = incoming.headers;
			const port = this.port(host, new URL(incoming.url, "http://x").pathname);
			if (!port) {
				outgoing.writeHead(404).end("no rule has this host and path");
				return;
			}
			const { method, url: path, headers } = incoming;
			const passed = request({ host: "127.0.0.1", port, method, path, headers }, (answer) => {
				outgoing.writeHead(answer.statusCode, answer.headers);
				answer.pipe(outgoing);
			});
			passed.on("error", (error) => outgoing.writeHead(502).end(String(error)));
			incoming.pipe(passed);
		});
		server.listen(0, "127.0.0.1");
		await once(server, "listening");
		stage.after(() => server.close());
		stage.after(() => server.closeAllConnections());
		return server.address().port;
	}
}
