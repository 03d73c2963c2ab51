// SPDX-License-Identifier: Apache-2.0
/* The alerts under promtool: they load, each has a case where it fires and one where it does not, and the
 * PrometheusRule is the same. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { copyFileSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";

import { root, scenario } from "../system/lib/stage.mjs";
import { example, parseYaml, rules, text, yaml } from "./lib/examples.mjs";

const files = ["rules.test.yaml", "rules.week.test.yaml"].map((name) => join(root, "tests/platform", name));
const suites = files.map((file) => parseYaml(readFileSync(file, "utf8"))[0]);
const cases = suites.flatMap(({ tests }) => tests).flatMap((one) => one.alert_rule_test);
const promtool = (stage, ...args) => stage.finish(`promtool ${args.join(" ")}`, "promtool", args);

scenario("promtool takes the rules", async (stage) => {
	const { code, stdout, stderr } = await promtool(stage, "check", "rules", "--lint=all", "--lint-fatal",
		example("prometheus/faro-ingest.rules.yaml"));
	assert.equal(code, 0, stdout + stderr);
});

scenario("every alert fires in a case and stays quiet in another, and all of it holds", async (stage) => {
	for (const { alert } of rules()) {
		const own = cases.filter(({ alertname }) => alertname === alert);
		assert.ok(own.some(({ exp_alerts }) => exp_alerts.length > 0), `${alert} fires nowhere`);
		assert.ok(own.filter(({ exp_alerts }) => exp_alerts.length === 0).length >= 2, `${alert} is never quiet`);
	}
	const { code, stdout, stderr } = await promtool(stage, "test", "rules", ...files);
	assert.equal(code, 0, stdout + stderr);
});

/* Writes the cases of one alert, for what would else take minutes; the file, or undefined where there are none. */
function ownCases(file, rulesFile, { evaluation_interval, tests }, alert) {
	const own = tests.filter((one) => one.alert_rule_test.some(({ alertname }) => alertname === alert));
	writeFileSync(file, JSON.stringify({ rule_files: [rulesFile], evaluation_interval, tests: own })); // which is YAML too
	return own.length ? file : undefined;
}

/* The cases see a rule that is wrong: each threshold, each `for`, each selection. */
scenario("a rule that is changed breaks its case", async (stage) => {
	const original = text("prometheus/faro-ingest.rules.yaml");
	const changes = [
		["offset 1w", "offset 1d"], ["> 60\n", "> 10\n"],
		["increase(faro_ingest_rejected_total[1h])) == 0", "increase(faro_ingest_accepted_total[1h])) == 0"],
		["[1d]))\n          unless", "[1h]))\n          unless"], ["up{endpoint=\"faro-metrics\"} == 0\n          or ", ""],
		["          unless count by (namespace, job) (faro_ingest_upstream_up)\n        for: 10m", "        for: 10m"],
		["(faro_ingest_upstream_up)\n        for: 10m", "(faro_ingest_upstream_up)\n        for: 5m"],
		["or (up == 0", "or (up == 1"], ["(namespace, job, instance)", "(namespace, job)"],
		["upstream_up[1d])))\n        for: 10m", "upstream_up[1d])))\n        for: 5m"],
		["{endpoint=\"faro-metrics\"}", "{endpoint=\"metrics\"}"], ["{endpoint=\"faro-metrics\"}", ""],
		["[30m])) > 10\n", "[30m])) > 0\n"], ["[30m])) > 10\n", "[30m])) > 100\n"], ["{reason=\"not_found\"}", ""],
		["total[30m])) > 0\n        for: 10m", "total[30m])) > 0\n        for: 5m"],
		["          unless sum by (namespace, job) (increase(faro_ingest_accepted_total[30m])) > 0\n", ""],
		["== 0)\n        for: 10m", "== 0)\n        for: 30m"], ["upstream_misconfigured == 1", "upstream_misconfigured == 2"],
		["> 0.05", "> 0.5"], ["|spool_full|overloaded\"}[10m]", "|overloaded\"}[10m]"], ["|overloaded\"}[10m]", "|overloaded|bad_json\"}[10m]"],
		["|overloaded\"}[10m]", "|overloaded|upstream_rejected\"}[10m]"], ["|overloaded|not_found", "|overloaded|upstream_rejected|not_found"],
		["> 0.1\n", "> 0.5\n"], ["|not_found|method", ""], ["> 0.5\n        for: 10m", "> 0.4\n        for: 10m"],
		["max by (namespace, job)", "min by (namespace, job)"], ["and (faro_ingest_upstream_up == 1))", ")"],
		["spool_oldest_seconds > 1800", "spool_oldest_seconds >= 0"], ["[1h])) > 0", "[1h])) >= 0"],
		["_up[5m]", "_up[1m]"],
	];
	const rulesFile = stage.path("rules.yaml");
	for (const [from, to] of changes) {
		assert.ok(original.includes(from), `the rules have no ${from}`);
		writeFileSync(rulesFile, original.replace(from, to));
		const [, alert] = /.*alert: (\w+)/s.exec(original.slice(0, original.indexOf(from)));
		const own = suites.map((suite, i) => ownCases(stage.path(`${i}.yaml`), rulesFile, suite, alert)).filter(Boolean);
		const { code, stdout, stderr } = await promtool(stage, "test", "rules", ...own);
		assert.equal(code, 1, `${from} → ${to} goes unseen`);
		assert.match(stdout + stderr, new RegExp(`alertname: ${alert}`), "it is the alert that is wrong, not the file");
	}
}, { timeout: 180_000 });

test("no alert wakes anybody, each waits, adds up by service and says what to do", () => {
	const operations = readFileSync(join(root, "docs/OPERATIONS.md"), "utf8");
	const symptoms = operations.slice(operations.indexOf("## When telemetry stops")).replaceAll("`", "");
	for (const { alert, expr, for: wait, labels, annotations } of rules()) {
		assert.match(alert, /^FaroIngest[A-Z]/);
		assert.ok(["warning", "info"].includes(labels.severity), alert);
		assert.ok(parseInt(wait, 10) >= 5, alert);
		assert.match(expr, /^\w+ by \(namespace, job\)/, alert);
		for (const name of ["summary", "description", "runbook"]) assert.ok(annotations[name], `${alert}: ${name}`);
		assert.match(annotations.runbook, /^docs\/OPERATIONS\.md, "When telemetry stops", rows? `/);
		for (const [, row] of annotations.runbook.matchAll(/`([^`]+)`/g))
			assert.ok(symptoms.includes(row), `${alert}: docs/OPERATIONS.md has no row ${row}`);
	}
});

scenario("the PrometheusRule is the same rules", async (stage) => {
	const written = text("prometheus/prometheusrule.yaml");
	mkdirSync(stage.path("prometheus"));
	for (const name of ["prometheusrule", "faro-ingest.rules.yaml"])
		copyFileSync(example("prometheus", name), stage.path("prometheus", name));
	execFileSync(stage.path("prometheus/prometheusrule"));
	assert.equal(readFileSync(stage.path("prometheus/prometheusrule.yaml"), "utf8"), written,
		"run examples/prometheus/prometheusrule");
	const rule = yaml("prometheus/prometheusrule.yaml");
	assert.equal(`${rule.apiVersion} ${rule.kind}`, "monitoring.coreos.com/v1 PrometheusRule");
	assert.deepEqual(rule.spec, yaml("prometheus/faro-ingest.rules.yaml"));
});
