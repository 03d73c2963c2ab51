// SPDX-License-Identifier: Apache-2.0
/*
 * The two versions of the SDK that are tried, and where npm puts the bundles a page loads with <script src>. Session
 * replay is a package of its own; the React package has no such bundle, so bundle.mjs makes one.
 */
import { fileURLToPath } from "node:url";

const modules = fileURLToPath(new URL("../node_modules/", import.meta.url));

export const SDKS = {
	"2.12": {
		"faro-web-sdk.iife.js": `${modules}@grafana/faro-web-sdk/dist/bundle/faro-web-sdk.iife.js`,
		"faro-web-tracing.iife.js": `${modules}@grafana/faro-web-tracing/dist/bundle/faro-web-tracing.iife.js`,
		"faro-instrumentation-replay.iife.js":
			`${modules}@grafana/faro-instrumentation-replay/dist/bundle/faro-instrumentation-replay.iife.js`,
	},
	2.8: {
		"faro-web-sdk.iife.js": `${modules}faro-web-sdk-2.8/dist/bundle/faro-web-sdk.iife.js`,
		"faro-web-tracing.iife.js": `${modules}faro-web-tracing-2.8/dist/bundle/faro-web-tracing.iife.js`,
	},
};
