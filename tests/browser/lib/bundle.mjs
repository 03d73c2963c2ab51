/* pages/react.jsx with React, its router and the SDK in one script, as a service's own build would make it. */
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

export const bundleReactPage = () => (made ??= bundle());
