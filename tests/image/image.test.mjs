// SPDX-License-Identifier: Apache-2.0
/*
 * The Containerfile, really built, on a base made by debootstrap that stands in for bookworm-slim, and run
 * as Kubernetes would run it: read-only, nobody's user id, a volume for the socket. The libraries that it builds
 * are kept in .build/static, for the parts that need the same ones; those that are there already are taken.
 */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { gzipSync } from "node:zlib";

import { sendOne } from "../system/lib/beacons.mjs";
import { smallBeacon } from "../system/lib/faro.mjs";
import { receiver } from "../system/lib/receiver.mjs";
import { root, scenario } from "../system/lib/stage.mjs";
import { open, serve } from "./lib/rootfs.mjs";
import { authority, tlsReceiver } from "./lib/tls.mjs";

const MiB = 1024 * 1024;
const architecture = execFileSync("dpkg", ["--print-architecture"]).toString().trim();
const BASE = "localhost/base", IMAGE = "localhost/faro-ingest";
const dir = mkdtempSync(join(root, ".build/image-"));
const path = (...names) => join(dir, ...names);
let mounted;

/* Without an engine, a registry, or a storage that the kernel has to know. */
function buildah(...args) {
	const storage = ["--storage-driver", "vfs", "--root", path("storage"), "--runroot", path("run")];
	return execFileSync("buildah", [...storage, ...args],
		{ encoding: "utf8", maxBuffer: 64 * MiB, stdio: ["ignore", "pipe", "inherit"] }).trim();
}

/* bookworm, with the packages' sources of this machine and the way to them. */
function makeBase() {
	const container = buildah("from", "scratch");
	buildah("copy", "--quiet", container, join(root, ".build/roots/bookworm"), "/");
	for (const sources of ["/etc/apt/sources.list", "/etc/apt/sources.list.d"])
		if (existsSync(sources)) buildah("copy", "--quiet", container, sources, sources);
	writeFileSync(path("apt.conf"), execFileSync("apt-config", ["dump", "Acquire"]));
	buildah("copy", "--quiet", container, path("apt.conf"), "/etc/apt/apt.conf.d/99machine");
	buildah("commit", "--quiet", "--rm", container, BASE);
}

before(() => {
	makeBase();
	const cache = join(root, ".build/static", architecture);
	mkdirSync(cache, { recursive: true });
	buildah("bud", "--isolation", "chroot", "--build-arg", `BASE=${BASE}`, "--volume", `${cache}:/src/.build/static/${architecture}`,
		"--tag", IMAGE, root);
	mounted = buildah("mount", buildah("from", IMAGE));
	/* A container's runtime makes this file, and mounts its own over it. */
	writeFileSync(join(mounted, "etc/hosts"), "");
});

after(() => rmSync(dir, { recursive: true, force: true }));

const inspect = (image) => JSON.parse(buildah("inspect", "--type", "image", image)).OCIv1;

test("it is one layer, of at most 15 MiB", (t) => {
	buildah("push", "--quiet", "--disable-compression", IMAGE, `dir:${path("exported")}`);
	const { layers } = JSON.parse(readFileSync(path("exported", "manifest.json")));
	assert.equal(layers.length, 1);
	const layer = readFileSync(path("exported", layers[0].digest.replace("sha256:", "")));
	const packed = gzipSync(layer).length;
	t.diagnostic(`${layer.length} bytes, ${packed} packed`);
	assert.ok(packed > 1 * MiB && layer.length <= 15 * MiB, `${layer.length} bytes`);
});

test("its user is a number, and not root's", () => {
	assert.match(inspect(IMAGE).config.User, /^[1-9]\d*:[1-9]\d*$/);
});

scenario("started as it says, in a read-only root, it answers a beacon", async (stage) => {
	const { Entrypoint: [command, ...before], Cmd } = inspect(IMAGE).config;
	const behind = await receiver(stage);
	const opened = open(stage, mounted, { "/etc/hosts": "127.0.0.1 alloy\n" });
	const { process, socket } = await serve(stage, opened, command, `http://alloy:${behind.port}`, { args: [...before, ...Cmd] });
	const reply = await sendOne(socket, smallBeacon);
	assert.equal(reply?.status, 202, reply?.text);
	assert.match(behind.last.body.toString(), /"namespace":"web"/);
	assert.deepEqual(await process.stop(), { code: 0, signal: null });
});

scenario("it brings authorities for https, and trusts no other", async (stage) => {
	const behind = await tlsReceiver(stage, authority(stage, "mine").vouch("alloy"));
	const opened = open(stage, mounted, { "/etc/hosts": "127.0.0.1 alloy\n" });
	const { process, socket } = await serve(stage, opened, inspect(IMAGE).config.Entrypoint[0], `https://alloy:${behind.port}`);
	assert.equal((await sendOne(socket, smallBeacon))?.status, 502);
	await process.line(/upstream_ca_file=\/etc\/ssl\/certs\/ca-certificates.crt/);
	await process.line(/certificate is not trusted/);
});

test("what it is made of is in it: licences, versions, the snippets for nginx", () => {
	const shipped = (name) => readFileSync(join(mounted, "usr/share", name), "utf8");
	assert.equal(shipped("doc/faro-ingest/COPYING"), readFileSync(join(root, "COPYING"), "utf8"));
	assert.match(shipped("doc/faro-ingest/copyright.txt"), /===== openssl =====/);
	assert.match(shipped("doc/faro-ingest/libraries.txt"), /^[0-9a-f]{64} +sqlite3_\S+\.dsc$/m);
	for (const name of ["faro-http.conf", "faro-crawlers.conf", "15-faro.envsh", "templates/faro/location.conf.template"])
		assert.equal(shipped(`faro-ingest/nginx/${name}`), readFileSync(join(root, "nginx", name), "utf8"));
});

test("the recipes for nginx images copy what is there", () => {
	const recipes = join(root, "examples/nginx");
	const names = readdirSync(recipes).filter((name) => existsSync(join(recipes, name, "Containerfile")));
	assert.ok(names.length >= 3);
	for (const name of names) {
		const text = readFileSync(join(recipes, name, "Containerfile"), "utf8");
		const sources = [...text.matchAll(/^COPY --from=faro (\S+) /gm)].map(([, source]) => source);
		assert.ok(sources.includes("/usr/sbin/faro-ingest"), name);
		for (const source of sources) assert.ok(existsSync(join(mounted, source)), `${name}: ${source}`);
	}
});
