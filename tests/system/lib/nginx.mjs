// SPDX-License-Identifier: Apache-2.0
/* nginx with the snippets of nginx/, on free loopback ports, in the stage's directory. */
import { chownSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";

import { freePort, root } from "./stage.mjs";

export const snippet = (name) => readFileSync(join(root, "nginx", name), "utf8");

/* In a user's own namespace root is the only user there is, and cannot become another. */
const isAlone = process.env.FARO_TEST_NAMESPACE === "of a user";
export const isRoot = process.getuid() === 0 && !isAlone;

/* Fails where the text to be replaced is gone: then the snippets have changed. */
export function replace(text, from, to) {
	if (!text.includes(from)) throw new Error(`the snippet has no ${JSON.stringify(from)}`);
	return text.replaceAll(from, to);
}

/*
 * The snippets with this stage's socket and ports, written to DIR.
 * edit: (name, text) → text, for what a test wants to be different.
 */
function writeSnippets(dir, { socket, statusPort, configJs, edit }) {
	const texts = {
		"faro-http.conf": replace(snippet("faro-http.conf"), "/run/faro-ingest/faro.sock", socket),
		"faro-location.conf": replace(
			replace(snippet("faro-location.conf"), "/etc/nginx/faro/config.js", configJs), "/etc/nginx/faro/", `${dir}/`),
		"faro-request.conf": snippet("faro-request.conf"),
		"faro-status.conf": replace(
			snippet("faro-status.conf"), "listen 127.0.0.1:12348", `listen 127.0.0.1:${statusPort}`),
	};
	for (const [name, text] of Object.entries(texts))
		writeFileSync(join(dir, name), edit ? edit(name, text) : text);
}

/* Every path under DIR, and nothing else of the machine's. */
export function mainConfig({ dir, port, http = "", server = "", user = "nobody nogroup", workers = 2, connections = 1024 }) {
	const temp = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
		.map((name) => `\t${name}_temp_path ${dir}/temp_${name};`).join("\n");
	return `${isRoot && user ? `user ${user};` : isAlone ? "user root root;" : ""}
worker_processes ${workers};
pid ${dir}/nginx.pid;
error_log stderr notice;
events { worker_connections ${connections}; }
http {
	access_log off;
${temp}
	types { text/html html; application/javascript js; }
${http}
	server {
		listen 127.0.0.1:${port};
		root ${dir}/www;
${server}
	}
}
`;
}

/* Retries on other ports where somebody was quicker. `config` makes the text of nginx.conf. */
export async function startNginx(stage, dir, config, { as } = {}) {
	for (let attempt = 0; ; attempt++) {
		const port = await freePort();
		const statusPort = await freePort();
		writeFileSync(join(dir, "nginx.conf"), config({ port, statusPort }));
		const args = ["-p", dir, "-c", join(dir, "nginx.conf"), "-e", "stderr", "-g", "daemon off;"];
		const process = as
			? stage.run(`nginx as ${as}`, "setpriv",
				[`--reuid=${as}`, "--regid=nogroup", "--clear-groups", "nginx", ...args], { lastSignal: "SIGTERM" })
			: stage.run("nginx", "nginx", args, { lastSignal: "SIGTERM" });
		try {
			await process.line(/start worker process \d/);
			return { process, port, statusPort, dir };
		} catch (error) {
			if (attempt === 4 || !/Address already in use/.test(process.stderr)) throw error;
		}
	}
}

export function makeDirectory(stage, name, owner) {
	const dir = stage.path(name);
	mkdirSync(join(dir, "www"), { recursive: true });
	writeFileSync(join(dir, "www/index.html"), "<p>the service itself</p>\n");
	if (owner) chownSync(dir, ...owner);
	return dir;
}

/* The usual one: root-master where the tests run as root. */
export async function nginx(stage, { socket, edit, server = "", http = "", name = "nginx", ...main }) {
	const dir = makeDirectory(stage, name);
	const configJs = join(dir, "config.js");
	writeFileSync(configJs, snippet("config.js"));
	return startNginx(stage, dir, ({ port, statusPort }) => {
		writeSnippets(dir, { socket, statusPort, configJs, edit });
		return mainConfig({
			...main, dir, port,
			http: `include ${dir}/faro-http.conf;\ninclude ${dir}/faro-status.conf;\n${http}`,
			server: `${server}\ninclude ${dir}/faro-location.conf;`,
		});
	});
}
