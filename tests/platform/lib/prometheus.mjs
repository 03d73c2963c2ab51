// SPDX-License-Identifier: Apache-2.0
/* A real Prometheus that scrapes one target, and its answers. */
import { mkdirSync, writeFileSync } from "node:fs";

import { get } from "../../system/lib/client.mjs";
import { freePort } from "../../system/lib/stage.mjs";

/* The labels are those that examples/alloy/config.alloy gives a pod. */
export async function startPrometheus(stage, target, { ruleFiles = [] } = {}) {
	const dir = stage.path("prometheus");
	mkdirSync(dir);
	writeFileSync(`${dir}/prometheus.yml`, JSON.stringify({ // which is YAML too
		global: { scrape_interval: "200ms", scrape_timeout: "200ms", evaluation_interval: "1s" },
		rule_files: ruleFiles,
		scrape_configs: [{
			job_name: "shop",
			static_configs: [{ targets: [`127.0.0.1:${target}`], labels: { namespace: "retail", pod: "shop-0", endpoint: "faro-metrics" } }],
		}],
	}));
	for (let attempt = 0; ; attempt++) {
		const port = await freePort();
		const process = stage.run("prometheus", "prometheus", [
			`--config.file=${dir}/prometheus.yml`, `--storage.tsdb.path=${dir}/data`, `--web.listen-address=127.0.0.1:${port}`,
			"--enable-feature=exemplar-storage",
		]);
		try {
			await process.line(/Server is ready to receive web requests/);
			return new Prometheus(port);
		} catch (error) {
			if (attempt === 4 || !/address already in use/.test(process.stderr)) throw error;
		}
	}
}

class Prometheus {
	constructor(port) {
		this.port = port;
	}

	async api(path, params) {
		const reply = await get(this.port, `/api/v1/${path}?${new URLSearchParams(params)}`);
		if (reply.json?.status !== "success") throw new Error(`${JSON.stringify(params)}: ${reply.text}`);
		return reply.json.data;
	}

	/* [{ metric, value }], of an instant vector. */
	async query(query) {
		const { result } = await this.api("query", { query });
		return result.map(({ metric, value }) => ({ metric, value: Number(value[1]) }));
	}

	/* The one number that a query gives; undefined for none. */
	async number(query) {
		return (await this.query(query))[0]?.value;
	}

	/* [{ series, exemplars: [{ labels, value, timestamp }] }] of the last hour. */
	exemplars(selector) {
		const now = Date.now() / 1000;
		return this.api("query_exemplars", { query: selector, start: now - 3600, end: now + 60 });
	}

	/* The label sets of a selector's series. */
	series(selector) {
		return this.api("series", { "match[]": selector });
	}
}
