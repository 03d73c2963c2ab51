// SPDX-License-Identifier: Apache-2.0
/*
 * The whole way of a beacon: nginx with the project's templates, rendered the way the nginx image does it, and
 * faro-ingest behind it; the receiver is the caller's. nginx also serves the demo page, the SDK, and a blank page for
 * tests that start the SDK themselves. All of it lives on the stage of tests/system.
 */
import { writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

import { ingestEnv, startIngest } from "../../system/lib/faro.mjs";
import { mainConfig, makeDirectory, startNginx } from "../../system/lib/nginx.mjs";
import { root } from "../../system/lib/stage.mjs";
import { SDKS } from "./sdk.mjs";

const blank = fileURLToPath(new URL("../pages/blank.html", import.meta.url));

/* What the service says of itself; pages may claim otherwise. */
export const IDENTITY = {
	OTEL_SERVICE_NAME: "shop",
	OTEL_RESOURCE_ATTRIBUTES: "service.namespace=retail,service.version=3.1.4,deployment.environment.name=test",
};

/* As the image's entry point does: read the .envsh, then replace the variables that exist. */
const RENDER = `
set -eu
. "$0/15-faro.envsh"
names=$(env | sed -n 's/^\\([A-Za-z_][A-Za-z0-9_]*\\)=.*/\${\\1}/p' | tr '\\n' ' ')
envsubst "$names" <"$0/templates/faro-http.conf.template" >"$1/faro-http.conf"
envsubst "$names" <"$0/templates/faro/location.conf.template" >"$1/location.conf"
envsubst "$names" <"$0/templates/faro/config.js.template" >"$1/config.js"
`;

async function render(stage, dir, env) {
	const { code, stderr } = await stage.finish("envsubst", "sh", ["-c", RENDER, `${root}/nginx`, dir], { env });
	if (code !== 0) throw new Error(`the templates could not be rendered: ${stderr}`);
}

function serverConfig(dir, sdk, csp) {
	const bundles = Object.entries(SDKS[sdk]).map(
		([name, file]) => `location = /sdk/${name} { alias "${file}"; types { } default_type text/javascript; }`);
	return `
${csp ? `add_header Content-Security-Policy "${csp}";` : ""}
types { text/html html; text/javascript js; text/css css; }
location / { root "${root}/examples/page"; }
location = /blank { alias "${blank}"; types { } default_type text/html; }
location /api/ { default_type application/json; return 200 '{}'; }
${bundles.join("\n")}
include ${dir}/location.conf;
`;
}

/* env: further settings, of faro-ingest and of the templates alike. Returns { origin, port }. */
export async function startStack(stage, upstream, { env = {}, sdk = "2.12", csp = "", name = "nginx" } = {}) {
	const dir = makeDirectory(stage, name);
	const settings = { ...IDENTITY, ...env };
	const { socket } = await startIngest(stage, upstream, { env: settings, socket: `${dir}/faro.sock` });

	await render(stage, dir, {
		...ingestEnv(upstream, settings),
		FARO_SOCKET: socket,
		FARO_CONFIG_JS: `${dir}/config.js`,
	});
	/* As root it must read the repository, wherever that lies. */
	const { port } = await startNginx(stage, dir, (ports) => mainConfig({
		dir,
		port: ports.port,
		user: "root",
		http: `include ${dir}/faro-http.conf;`,
		server: serverConfig(dir, sdk, csp),
	}));
	return { origin: `http://localhost:${port}`, port };
}
