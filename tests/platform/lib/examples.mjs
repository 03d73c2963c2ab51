// SPDX-License-Identifier: Apache-2.0
/* What stands in examples/, read as the tools that it is for would read it. */
import { execFileSync } from "node:child_process";
import { readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";

import { root } from "../../system/lib/stage.mjs";

export const example = (...names) => join(root, "examples", ...names);
export const text = (...names) => readFileSync(example(...names), "utf8");

/* Every document of a YAML text, by Debian's own Python: the first one in PATH may be another, without the module. */
export const parseYaml = (yaml) => JSON.parse(execFileSync("/usr/bin/python3",
	["-c", "import json, sys, yaml; json.dump(list(yaml.safe_load_all(sys.stdin)), sys.stdout)"],
	{ input: yaml, encoding: "utf8" }));
export const yaml = (...names) => parseYaml(text(...names))[0];

export const dashboards = () => readdirSync(example("grafana/dashboards"))
	.map((name) => ({ name, json: JSON.parse(text("grafana/dashboards", name)) }));

/* [{ where, type, expr, legend, target }] of all dashboards; a row has no targets. */
export const targets = (type) => dashboards().flatMap(({ name, json }) =>
	json.panels.flatMap((panel) => (panel.targets ?? []).map((target) => ({
		where: `${name}: ${panel.title} ${target.refId}`, type: panel.datasource.type, expr: target.expr,
		legend: target.legendFormat ?? "", target,
	})))).filter((target) => target.type === type);

export const rules = () => yaml("prometheus/faro-ingest.rules.yaml").groups.flatMap(({ rules: all }) => all);

/* What Grafana puts in for its variables; `All` is each variable's allValue. */
export function interpolate(query) {
	const values = { __rate_interval: "1m", __interval: "1m", __auto: "5m", __range: "1h" };
	for (const { json } of dashboards())
		for (const { name, allValue } of json.templating.list) if (allValue) values[name] = allValue;
	return query.replace(/\$\{?(\w+)\}?/g, (whole, name) => values[name] ?? whole);
}
