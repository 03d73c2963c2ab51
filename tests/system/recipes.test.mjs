// SPDX-License-Identifier: Apache-2.0
/*
 * The recipes of examples/nginx/: each Containerfile is built on an imitation of its base image, and run with
 * --supervise as PID 1, with this machine's nginx. The ports are those of the recipes, so the file runs itself once
 * more in a network of its own, and with mounts of its own. That takes root, or a kernel that lets users have
 * namespaces; such a user is the only one there, and what the recipes say of users is then not shown.
 */
import assert from "node:assert/strict";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import vm from "node:vm";

import { eventually } from "./lib/beacons.mjs";
import { get, post } from "./lib/client.mjs";
import { smallBeacon, startSink } from "./lib/faro.mjs";
import { Image, installed } from "./lib/image.mjs";
import { inNamespace } from "./lib/namespace.mjs";
import { isRoot } from "./lib/nginx.mjs";
import { ingestBinary, root, scenario } from "./lib/stage.mjs";

const STATUS_PORT = 12348;

/* What the base images have, as far as a recipe meets it; told anew. */

/* Only a command that is nginx is configured. *.envsh are read, *.sh are run, both if executable. */
const ENTRY_POINT = `#!/bin/sh
set -e
if [ "$1" = nginx ]; then
	find /docker-entrypoint.d -type f -perm -100 | sort -V | while read -r script; do
		case $script in
		*.envsh) . "$script" ;;
		*.sh) "$script" ;;
		esac
	done
fi
exec "$@"
`;

/* Templates into conf.d or NGINX_ENVSUBST_OUTPUT_DIR, subdirectories kept, defined variables only. */
const RENDER = `#!/bin/sh
set -e
output=\${NGINX_ENVSUBST_OUTPUT_DIR:-/etc/nginx/conf.d}
[ -d /etc/nginx/templates ] || exit 0
[ -w "$output" ] || { echo "$output is not writable"; exit 0; }
defined=$(env | sed -n 's/^\\([A-Za-z_][A-Za-z_0-9]*\\)=.*/\${\\1}/p')
cd /etc/nginx/templates
find . -name '*.template' | while read -r template; do
	mkdir -p "$output/$(dirname "$template")"
	envsubst "$defined" <"$template" >"$output/\${template%.template}"
done
`;

const nginxConf = ({ user, pid, temp }) => `${user}
worker_processes 2;
error_log stderr notice;
pid ${pid};
events { worker_connections 1024; }
http {
	include /etc/nginx/mime.types;
	access_log off;
	${temp ? ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].map((name) => `${name}_temp_path ${temp}/${name};`).join(" ") : ""}
	include /etc/nginx/conf.d/*.conf;
}
`;

/* In a namespace of one user, that user has all the names. */
function addUser(image) {
	const [passwd, group] = ["/etc/passwd", "/etc/group"].map((file) => readFileSync(file, "utf8"));
	if (isRoot) {
		image.write("/etc/passwd", `${passwd}nginx:x:101:101::/nonexistent:/bin/false\n`);
		image.write("/etc/group", `${group}nginx:x:101:\n`);
	} else {
		image.write("/etc/passwd", passwd.replace(/^(www-data:x):\d+:\d+/m, "$1:0:0"));
		image.write("/etc/group", group.replace(/^(www-data:x):\d+/m, "$1:0"));
	}
}

function entryPointImage(image, conf) {
	addUser(image);
	image.write("/etc/nginx/nginx.conf", nginxConf(conf));
	image.write("/docker-entrypoint.sh", ENTRY_POINT, 0o755);
	image.write("/docker-entrypoint.d/20-envsubst-on-templates.sh", RENDER, 0o755);
	image.write("/usr/share/nginx/html/index.html", "<p>the service itself</p>\n");
	image.entryPoint = ["/docker-entrypoint.sh"];
	image.stopSignal = "SIGQUIT";
}

const recipes = {
	official: {
		port: 80, responder: 65534,
		base: (image) => entryPointImage(image, { user: `user ${isRoot ? "nginx" : "root root"};`, pid: "/run/nginx.pid" }),
	},
	unprivileged: {
		port: 8080, responder: 101, readOnly: true,
		base: (image) => {
			entryPointImage(image, { user: isRoot ? "" : "user root root;", pid: "/tmp/nginx.pid", temp: "/tmp" });
			image.user = "101:101";
		},
	},
	plain: {
		port: 80, responder: 65534,
		base: (image) => {
			addUser(image);
			image.write("/var/www/html/index.html", "<p>the service itself</p>\n");
		},
	},
};

function build(stage, name) {
	const image = new Image(stage, name);
	recipes[name].base(image);
	const user = image.user;
	image.user = undefined;
	image.build(join(root, "examples/nginx", name), { faro: installed(stage, ingestBinary, join(root, "nginx")) });
	image.user = user;
	assert.equal(image.stopSignal, "SIGQUIT");
	return image;
}

const PAGE_WITH_SECRETS = "https://joe:secret@shop.example/cart?token=abc&page=2#top";

const on = (sink) => ({
	FARO_UPSTREAM_URL: sink.url, OTEL_SERVICE_NAME: "shop",
	OTEL_RESOURCE_ATTRIBUTES: "service.namespace=retail,deployment.environment.name=prod,service.version=1.2.3",
});

async function run(image, { readOnly }, env) {
	const container = image.run({ env, readOnly });
	await container.process.line(/start worker process \d/);
	if (env) await container.process.line(/event=started/);
	return container;
}

const commandLine = (pid) => readFileSync(`/proc/${pid}/cmdline`, "utf8").split("\0").filter(Boolean);

const children = (pid) => readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8").split(" ").filter(Boolean).map(Number);

const responderOf = (entry) => eventually("responder", () =>
	children(entry).find((pid) => commandLine(pid).some((word) => word.startsWith("--listen="))));

const uidOf = (pid) => Number(/^Uid:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))[1]);

async function assertServes({ port }, app) {
	const page = await get(port, "/");
	assert.equal(page.status, 200);
	assert.match(page.text, /the service itself/);
	const { status, text } = await get(port, "/faro/config.js");
	assert.equal(status, 200);
	const context = { location: { origin: "https://shop.example" }, URL };
	context.window = context;
	vm.runInNewContext(text, context);
	assert.equal(context.faroConfig.collectorUrl, "https://shop.example/faro");
	assert.equal(context.faroConfig.app.name, app);
}

function assertLabelled(body) {
	const { app } = JSON.parse(body).meta;
	assert.deepEqual(app, { name: "shop", version: "9", namespace: "retail", environment: "prod" });
}

function inside() {
	for (const [name, recipe] of Object.entries(recipes)) {
		scenario(`${name}: a beacon gets through, also after the responder was killed, and nginx was never away`, async (stage) => {
			const image = build(stage, name);
			const sink = await startSink(stage);
			const { process, entry } = await run(image, recipe, on(sink));
			assert.equal((await post(recipe.port, smallBeacon)).status, 202);
			assertLabelled(sink.bodies()[0]);
			await assertServes(recipe, "shop");
			assert.equal((await get(STATUS_PORT, "/health")).status, 200);

			const before = await responderOf(entry());
			if (isRoot) assert.equal(uidOf(before), recipe.responder);
			const [nginx] = children(entry()).filter((pid) => pid !== before);
			let stop = false;
			const visitor = (async () => {
				do assert.equal((await get(recipe.port, "/")).status, 200);
				while (!stop);
			})();
			globalThis.process.kill(before, "SIGKILL");
			await process.line(/event=responder_ended[^]*event=started/);
			assert.equal((await post(recipe.port, smallBeacon)).status, 202);
			stop = true;
			await visitor;
			assert.equal(sink.bodies().length, 2);
			assert.ok(children(entry()).includes(nginx));
			assert.deepEqual(commandLine(nginx).slice(0, 1).map((word) => word.split(":")[0]), ["nginx"]);
		});

		for (const [what, env, url] of [
			["as the recipe says", {}, "https://REDACTED:REDACTED@shop.example/cart?token=REDACTED&page=2#top"],
			["not with FARO_REDACT=", { FARO_REDACT: "" }, PAGE_WITH_SECRETS],
		])
			scenario(`${name}: credentials are taken out of URLs, ${what}`, async (stage) => {
				const image = build(stage, name);
				const sink = await startSink(stage);
				await run(image, recipe, { ...on(sink), ...env });
				assert.equal((await post(recipe.port, JSON.stringify({ meta: { page: { url: PAGE_WITH_SECRETS } } }))).status, 202);
				assert.equal(JSON.parse(sink.bodies()[0]).meta.page.url, url);
			});

		for (const signal of ["SIGQUIT", "SIGTERM"])
			scenario(`${name}: ${signal} ends nginx, then the responder, with 0`, async (stage) => {
				const image = build(stage, name);
				const sink = await startSink(stage);
				const { process, entry } = await run(image, recipe, on(sink));
				assert.equal((await post(recipe.port, smallBeacon)).status, 202);
				globalThis.process.kill(entry(), signal);
				assert.deepEqual(await process.closed, { code: 0, signal: null });
				assert.match(process.stderr, /event=command_ended .*status=0[^]*event=draining[^]*event=stopped .*unanswered=0/);
			});

		scenario(`${name}: without FARO_UPSTREAM_URL nginx is PID 1, and the site is there`, async (stage) => {
			const image = build(stage, name);
			const { process, entry } = await run(image, recipe);
			assert.match(process.stderr, /event=faro_off/);
			assert.match(commandLine(entry())[0], /^nginx/);
			assert.equal((await get(recipe.port, "/")).status, 200);
			globalThis.process.kill(entry(), image.stopSignal);
			assert.deepEqual(await process.closed, { code: 0, signal: null });
		});

		scenario(`${name}: settings that are wrong leave the site as it is`, async (stage) => {
			const image = build(stage, name);
			const env = { FARO_UPSTREAM_URL: "alloy", FARO_PATH: "/a b;", FARO_ALLOWED_ORIGINS: "*" };
			const { process } = image.run({ env, readOnly: recipe.readOnly });
			await process.line(/event=responder_refused/);
			await process.line(/start worker process \d/);
			assert.equal((await get(recipe.port, "/")).status, 200);
			assert.equal((await post(recipe.port, smallBeacon)).status, 503);
		});

		scenario(`${name}: nginx -t is content, with Faro and without`, async (stage) => {
			const image = build(stage, name);
			for (const env of [{}, { FARO_UPSTREAM_URL: "http://127.0.0.1:1", OTEL_SERVICE_NAME: "shop" }]) {
				const { process } = image.run({ env, command: ["nginx", "-t"], readOnly: recipe.readOnly });
				assert.equal((await process.closed).code, 0);
				assert.match(process.stderr, /test is successful/);
			}
		});
	}

	scenario("unprivileged: its root cannot be written to", async (stage) => {
		const image = build(stage, "unprivileged");
		image.entryPoint = undefined;
		const { process } = image.run({ command: ["sh", "-c", "id -u; touch /etc/nginx/x /run/x; touch /tmp/x"], readOnly: true });
		assert.equal((await process.closed).code, 0);
		assert.equal(process.stdout.toString(), isRoot ? "101\n" : "0\n");
		assert.equal(process.stderr.match(/Read-only file system/g).length, 2);
	});
}

inNamespace(import.meta.url, inside, 300_000);
