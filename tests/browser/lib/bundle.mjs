// SPDX-License-Identifier: Apache-2.0
/*
 * Scripts as a service's own build would make them: what the README tells to write, with one of the SDKs; and
 * pages/react.jsx with React, its router and the SDK in one script.
 */
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const page = fileURLToPath(new URL("../pages/react.jsx", import.meta.url));

let made;

async function bundle() {
	const { outputFiles } = await build({
		entryPoints: [page],
		bundle: true,
		write: false,
		format: "iife",
		jsx: "automatic",
		charset: "utf8",
		define: { "process.env.NODE_ENV": '"production"' },
		logLevel: "warning",
	});
	return outputFiles[0].contents;
}

const here = fileURLToPath(new URL(".", import.meta.url));

/* `sdk` as in sdk.mjs. The text of the script, whose imports are found here. */
export async function bundleScript(contents, sdk) {
	const old = { "@grafana/faro-web-sdk": "faro-web-sdk-2.8", "@grafana/faro-web-tracing": "faro-web-tracing-2.8" };
	const { outputFiles } = await build({
		absWorkingDir: here, // where an alias is looked for
		stdin: { contents, resolveDir: here },
		alias: sdk === "2.8" ? old : {},
		bundle: true,
		write: false,
		format: "iife",
		logLevel: "warning",
	});
	return outputFiles[0].text;
}

export const bundleReactPage = () => (made ??= bundle());
