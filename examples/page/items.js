/*
 * The same item on both sides: as the SDK hands it out, and as the line that the receiver writes. Each becomes
 * { key, kind, says, labels }; the key is what both have in common.
 */
"use strict";

/* Of a resource's attributes and of meta.app, under the names that a person compares. */
const SPAN_LABELS = {
	"service.name": "app",
	"service.namespace": "namespace",
	"deployment.environment.name": "environment",
	"service.version": "version",
};
const LABELS = { name: "app", namespace: "namespace", environment: "environment", version: "version" };

function pick(names, value) {
	const labels = {};
	for (const [from, to] of Object.entries(names)) if (value(from) !== undefined) labels[to] = String(value(from));
	return labels;
}

function keyOf(kind, time, text) {
	return `${kind} ${Date.parse(time)} ${text}`;
}

const COMMON = {
	exception: (payload) => [`${payload.type}: ${payload.value}`],
	log: (payload) => [payload.message],
	event: (payload) => [payload.name, payload.attributes?.["http.url"] ?? payload.attributes?.["url.full"]],
	measurement: (payload) => [payload.type, Object.entries(payload.values).map(([name, value]) => `${name} ${+(+value).toFixed(3)}`)[0]],
};

function spansOf(resourceSpans) {
	return resourceSpans.flatMap(({ resource, scopeSpans }) => {
		const attributes = new Map((resource?.attributes ?? []).map(({ key, value }) => [key, value.stringValue]));
		return scopeSpans.flatMap(({ spans }) => spans.map((span) => ({
			key: `span ${span.spanId}`,
			kind: "span",
			says: span.name,
			labels: pick(SPAN_LABELS, (name) => attributes.get(name)),
		})));
	});
}

/* One item of the SDK; a trace holds any number of spans. */
function itemsSent({ type, payload, meta }) {
	if (type === "trace") return spansOf(payload.resourceSpans);
	const [text, more] = COMMON[type](payload);
	const labels = pick(LABELS, (name) => meta.app?.[name]);
	return [{ key: keyOf(type, payload.timestamp, text), kind: type, says: [text, more].filter(Boolean).join(" "), labels }];
}

/* logfmt: what is quoted is quoted as in JSON, but for a few escapes of Go's. */
function fieldsOf(line) {
	const fields = {};
	for (const [, key, quoted, plain] of line.matchAll(/([^\s=]+)=(?:("(?:[^"\\]|\\.)*")|(\S*))/g)) {
		let text = quoted ?? plain;
		try {
			if (quoted) text = JSON.parse(quoted);
		} catch {
			text = quoted.slice(1, -1);
		}
		fields[key] ??= text;
	}
	return fields;
}

function itemArrived(line) {
	const fields = fieldsOf(line);
	const { kind } = fields;
	if (kind === "span")
		return { key: `span ${fields.span_id}`, kind, labels: pick(SPAN_LABELS, (name) => fields[`resource_${name}`]) };
	const text = {
		exception: () => `${fields.type}: ${fields.value}`,
		log: () => fields.message,
		event: () => fields.event_name,
		measurement: () => fields.type,
	}[kind]();
	const time = fields.timestamp.replace(" ", "T").replace(" +0000 UTC", "Z");
	return { key: keyOf(kind, time, text), kind, labels: pick(LABELS, (name) => fields[`app_${name}`]) };
}
