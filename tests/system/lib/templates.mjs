// SPDX-License-Identifier: Apache-2.0
/* nginx with the templates of nginx/templates, rendered at start as the official image does it. */
import { execFileSync } from "node:child_process";
import { chmodSync, copyFileSync, cpSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";

import { mainConfig, makeDirectory, startNginx } from "./nginx.mjs";
import { root } from "./stage.mjs";

/*
 * As the official image's entry point does it: reads executable *.envsh files, then renders every
 * *.template, subdirectories kept, with envsubst told to replace defined variables only (those that
 * match NGINX_ENVSUBST_FILTER); says so and goes on where the output directory is not writable.
 */
const entryPoint = `
set -e
for file in "$ENTRYPOINT_DIR"/*.envsh; do
	if [ -x "$file" ]; then . "$file"; fi
done
defined=$(awk -v filter="$NGINX_ENVSUBST_FILTER" \\
	'BEGIN { for (name in ENVIRON) if (name ~ filter) printf "\${%s} ", name }')
if ! [ -w "$OUTPUT_DIR" ]; then
	echo "$OUTPUT_DIR is not writable" >&2
	exit 0
fi
find "$TEMPLATE_DIR" -type f -name '*.template' | while read -r template; do
	relative=\${template#"$TEMPLATE_DIR"/}
	mkdir -p "$OUTPUT_DIR/$(dirname "$relative")"
	envsubst "$defined" <"$template" >"$OUTPUT_DIR/\${relative%.template}"
done
`;

/* An image: /etc/nginx in `dir`, with our templates copied in. */
export function makeImage(stage, { envsh = true } = {}) {
	const dir = makeDirectory(stage, "image");
	for (const name of ["templates", "conf.d", "faro", "entrypoint"]) mkdirSync(join(dir, name));
	cpSync(join(root, "nginx/templates"), join(dir, "templates"), { recursive: true });
	if (envsh) {
		copyFileSync(join(root, "nginx/15-faro.envsh"), join(dir, "entrypoint/15-faro.envsh"));
		chmodSync(join(dir, "entrypoint/15-faro.envsh"), 0o755);
	}
	return dir;
}

export function render(dir, env) {
	return execFileSync("sh", ["-c", entryPoint], {
		encoding: "utf8", stdio: ["ignore", "pipe", "pipe"],
		env: {
			PATH: process.env.PATH, ENTRYPOINT_DIR: `${dir}/entrypoint`, TEMPLATE_DIR: `${dir}/templates`,
			OUTPUT_DIR: `${dir}/conf.d`, NGINX_ENVSUBST_FILTER: "", ...env,
		},
	});
}

/* The image's nginx.conf includes conf.d/*.conf in http{}; the service's server{} has our include. */
export function startImage(stage, dir, { http = "", server = "", ...main } = {}) {
	return startNginx(stage, dir, ({ port }) => mainConfig({
		...main, dir, port, http: `include ${dir}/conf.d/*.conf;\n${http}`,
		server: `${server}\ninclude ${dir}/conf.d/faro/location*.conf;`,
	}));
}

/* The snippet that each template is, for `edit`. */
const templates = { "faro-http.conf": "faro-http.conf", "faro-location.conf": "faro/location.conf" };

/* As nginx() of nginx.mjs, by the templates; env: what the container has besides the socket. */
export function templatedNginx(stage, { socket, edit, env, ...main }) {
	const dir = makeImage(stage);
	for (const [name, path] of Object.entries(edit ? templates : {})) {
		const file = join(dir, "templates", `${path}.template`);
		writeFileSync(file, edit(name, readFileSync(file, "utf8")));
	}
	render(dir, { FARO_SOCKET: socket, FARO_CONFIG_JS: `${dir}/conf.d/faro/config.js`, ...env });
	return startImage(stage, dir, main);
}
