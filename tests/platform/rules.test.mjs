/* The alerts under promtool: they load, each has a case where it fires and one where it does not, and the
 * PrometheusRule is the same. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { copyFileSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";

import { root, scenario } from "../system/lib/stage.mjs";
import { example, parseYaml, rules, text, yaml } from "./lib/examples.mjs";

const casesFile = join(root, "tests/platform/rules.test.yaml");
const cases = parseYaml(readFileSync(casesFile, "utf8"))[0].tests.flatMap((one) => one.alert_rule_test);
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
	const { code, stdout, stderr } = await promtool(stage, "test", "rules", casesFile);
	assert.equal(code, 0, stdout + stderr);
});

/* The cases see a rule that is wrong: each threshold, each `for`, each selection. */
scenario("a rule that is changed breaks its case", async (stage) => {
	const original = text("prometheus/faro-ingest.rules.yaml");
	const changes = [
		["== 0)\n        for: 10m", "== 0)\n        for: 30m"], ["upstream_misconfigured == 1", "upstream_misconfigured == 2"],
		["> 0.05", "> 0.5"], ["|overloaded\"}[10m]", "|overloaded|bad_json\"}[10m]"],
		["|overloaded\"}[10m]", "|overloaded|upstream_rejected\"}[10m]"], ["|overloaded|not_found", "|overloaded|upstream_rejected|not_found"],
		["> 0.1\n", "> 0.5\n"], ["|not_found|method", ""], ["> 0.5\n        for: 10m", "> 0.4\n        for: 10m"],
		["max by (namespace, job)", "min by (namespace, job)"], ["and (faro_ingest_upstream_up == 1))", ")"],
		["spool_oldest_seconds > 1800", "spool_oldest_seconds >= 0"], ["[1h])) > 0", "[1h])) >= 0"],
		["_up[5m]", "_up[1m]"],
	];
	mkdirSync(stage.path("examples/prometheus"), { recursive: true });
	mkdirSync(stage.path("tests/platform"), { recursive: true });
	copyFileSync(casesFile, stage.path("tests/platform/rules.test.yaml"));
	for (const [from, to] of changes) {
		assert.ok(original.includes(from), `the rules have no ${from}`);
		writeFileSync(stage.path("examples/prometheus/faro-ingest.rules.yaml"), original.replace(from, to));
		const { code } = await promtool(stage, "test", "rules", stage.path("tests/platform/rules.test.yaml"));
		assert.equal(code, 1, `${from} → ${to} goes unseen`);
	}
});

test("no alert wakes anybody, each waits, adds up by service and says what to do", () => {
	const readme = readFileSync(join(root, "README.md"), "utf8");
	const symptoms = readme.slice(readme.indexOf("## When telemetry stops")).replaceAll("`", "");
	for (const { alert, expr, for: wait, labels, annotations } of rules()) {
		assert.match(alert, /^FaroIngest[A-Z]/);
		assert.ok(["warning", "info"].includes(labels.severity), alert);
		assert.ok(parseInt(wait, 10) >= 5, alert);
		assert.match(expr, /^\w+ by \(namespace, job\)/, alert);
		for (const name of ["summary", "description", "runbook"]) assert.ok(annotations[name], `${alert}: ${name}`);
		assert.match(annotations.runbook, /^README\.md, "When telemetry stops", rows? `/);
		for (const [, row] of annotations.runbook.matchAll(/`([^`]+)`/g))
			assert.ok(symptoms.includes(row), `${alert}: README.md has no row ${row}`);
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
